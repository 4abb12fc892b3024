package storetest

import (
	"fmt"
	"slices"
	"strings"

	"tributary"
)

func appendCases() []testCase {
	return []testCase{
		{"Foreign", appendForeign},
		{"ForeignHashKey", appendHashKey},
		{"Snapshot", appendSnapshot},
		{"SnapshotStale", appendStale},
		{"AllOrNothing", appendAllOrNothing},
		{"AppendNotFound", appendNotFound},
		{"AppendToDefault", appendDefault},
		{"AppendNothingShared", appendNothingShared},
	}
}

func foreign(partitionKey, data string) tributary.Entry {
	return tributary.Entry{Kind: tributary.EntryForeign, Arrived: epoch, Foreign: &tributary.ForeignRecord{
		PartitionKey: partitionKey, HashKey: tributary.HashOf(partitionKey), Data: []byte(data),
	}}
}

// snapshot is what a bulk publish appends for a dataset as it is now.
func (k *kit) snapshot(key tributary.DatasetKey) tributary.Entry {
	k.Helper()
	v := k.view(key)
	d := &v.Dataset
	return tributary.Entry{Kind: tributary.EntrySnapshot, Arrived: epoch, Change: &tributary.Change{
		Key: key, Op: tributary.Replace, SyncCount: d.SyncCount, At: d.LastModified, By: d.LastModifiedBy,
		Records:   k.records(key, tributary.Range{Through: d.SyncCount, LiveOnly: true}),
		Condition: tributary.Condition{Base: d.Version, Identity: v.Identity.Revision, Stream: v.Pool.Route()},
	}}
}

// appended checks that the entries lie where Append says.
func (k *kit) appended(s tributary.Stream, entries []tributary.Entry, positions []tributary.Position) {
	k.Helper()
	if len(positions) != len(entries) {
		k.Fatalf("%d entries got %d positions", len(entries), len(positions))
	}
	for i, p := range positions {
		shard, n, err := p.Split()
		k.ok(err)
		e := got(k.s.Read(k.Context(), shard, tributary.PositionOf(shard, n-1), 1))(k)[0]
		k.same("appended entry", entryText(&e), entryText(&entries[i]))
		if e.Position != p || e.Arrived <= 0 {
			k.Fatalf("the entry at %s says it is at %s, arrived %d", p, e.Position, e.Arrived)
		}
		if want, _ := s.ShardFor(hashKey(&entries[i])); shard != want {
			k.Fatalf("the entry of hash key %s is in shard %s, want %s", hashKey(&entries[i]), shard, want)
		}
	}
}

func appendForeign(k *kit) {
	s := k.stream("s", 3)
	var entries []tributary.Entry
	for n := range 12 {
		entries = append(entries, foreign(fmt.Sprint("p", n%5), fmt.Sprint("data ", n)))
	}
	entries = append(entries, foreign("empty", ""), foreign("\u00e9", "\x00\xff\xfe"), foreign("large", strings.Repeat("x", 1<<20)))
	positions := got(k.s.Append(k.Context(), s.ID, entries))(k)
	k.appended(s, entries, positions)
	// One shard's entries keep the order in which they were given.
	last := map[tributary.Shard]tributary.Position{}
	for _, p := range positions {
		shard, _, _ := p.Split()
		if p <= last[shard] {
			k.Fatalf("shard %s: %s is given after %s", shard, p, last[shard])
		}
		last[shard] = p
	}
	again := got(k.s.Append(k.Context(), s.ID, entries[:1]))(k)
	k.appended(s, entries[:1], again)
	if again[0] <= positions[0] {
		k.Fatalf("appended again the entry is at %s, before at %s", again[0], positions[0])
	}
	if positions := got(k.s.Append(k.Context(), s.ID, nil))(k); len(positions) != 0 {
		k.Fatalf("nothing appended got positions %q", positions)
	}
}

// appendHashKey: an explicit hash key decides, not the partition key.
func appendHashKey(k *kit) {
	s := k.stream("s", 4)
	var entries []tributary.Entry
	for _, r := range s.Shards {
		for _, h := range []tributary.HashKey{r.Start, r.End} {
			e := foreign("always the same", r.Start.String())
			e.Foreign.HashKey = h
			entries = append(entries, e)
		}
	}
	positions := got(k.s.Append(k.Context(), s.ID, entries))(k)
	k.appended(s, entries, positions)
	for i, p := range positions {
		if shard, n, _ := p.Split(); int(shard.Number) != i/2 || n != uint64(i%2+1) {
			k.Fatalf("entry %d is number %d of shard %s", i, n, shard)
		}
	}
}

func appendSnapshot(k *kit) {
	key := k.world()
	s := k.stream("s", 2)
	k.route(poolA, s)
	k.sync(key, put("a", "1"), put("b", big), remove("c"))
	k.sync(key, put("a", "2"))
	before := k.view(key, "a", "b", "c")
	entries := []tributary.Entry{k.snapshot(key), foreign("p", "x"), k.snapshot(key)}
	k.appended(s, entries, got(k.s.Append(k.Context(), s.ID, entries))(k))
	after := k.view(key, "a", "b", "c")
	k.same("view after a snapshot", viewText(&after), viewText(&before))
	for _, e := range k.entries(k.shard(s, string(ann))) {
		if e.Kind == tributary.EntrySnapshot && (e.Change.Condition != tributary.Condition{} || e.Change.Next != tributary.Dataset{}) {
			k.Fatalf("the log shows what is for the store alone: %+v", e.Change)
		}
	}
	c := k.sync(key, put("a", "3"))
	list := k.entries(k.shard(s, string(ann)))
	k.same("log's end", entryText(&list[len(list)-1]), storedChange(c))
	k.awaitUsage(poolA, tributary.Usage{Bytes: c.Next.Bytes, LastModified: c.At})
}

// notAppended appends what must be Stale and must leave no trace.
func (k *kit) notAppended(s tributary.Stream, entries ...tributary.Entry) {
	k.Helper()
	before := k.everythingText()
	_, err := k.s.Append(k.Context(), s.ID, entries)
	k.kind(err, tributary.Stale)
	k.same("store after a stale append", k.everythingText(), before)
}

func appendStale(k *kit) {
	key := k.world()
	s := k.stream("s", 2)
	k.route(poolA, s)
	k.sync(key, put("a", "1"))
	e := k.snapshot(key)
	k.sync(key, put("a", "2"))
	k.notAppended(s, e)
	e = k.snapshot(key)
	e.Change.Condition.Base.Change++
	k.notAppended(s, e)
	e = k.snapshot(key)
	k.drop(key)
	k.notAppended(s, e)
	k.sync(key, put("a", "1"))
	k.notAppended(s, e)
	e = k.snapshot(key)
	k.drop(key)
	k.ok(k.s.DeleteIdentity(k.Context(), ann))
	k.notAppended(s, e)
}

func appendAllOrNothing(k *kit) {
	key, other := k.world(), keyOf(ann, "other")
	s := k.stream("s", 4)
	k.route(poolA, s)
	k.sync(key, put("a", "1"))
	k.sync(other, put("a", "1"))
	stale, fine := k.snapshot(key), k.snapshot(other)
	k.sync(key, put("a", "2"))
	entries := []tributary.Entry{fine}
	for n := range 8 {
		entries = append(entries, foreign(fmt.Sprint(n), "x"))
	}
	k.notAppended(s, append(entries, stale)...)
	k.notAppended(s, slices.Concat([]tributary.Entry{stale}, entries)...)
	k.appended(s, entries, got(k.s.Append(k.Context(), s.ID, entries))(k))
}

func appendNotFound(k *kit) {
	s := k.stream("s", 1)
	for _, id := range []tributary.StreamID{s.ID + 1, 0, 1 << 50} {
		_, err := k.s.Append(k.Context(), id, []tributary.Entry{foreign("p", "x")})
		k.kind(err, tributary.NotFound)
	}
	k.ok(k.s.DeleteStream(k.Context(), "s"))
	_, err := k.s.Append(k.Context(), s.ID, []tributary.Entry{foreign("p", "x")})
	k.kind(err, tributary.NotFound)
}

// appendDefault: a bulk publish to the warehouse goes through the default log.
func appendDefault(k *kit) {
	key := k.world()
	k.sync(key, put("a", "1"))
	e := k.snapshot(key)
	positions := got(k.s.Append(k.Context(), tributary.DefaultStream, []tributary.Entry{e}))(k)
	list := k.defaultLog()
	if len(list) != 2 || len(positions) != 1 || list[1].Position != positions[0] {
		k.Fatalf("the default log holds %d entries, the snapshot is at %q", len(list), positions)
	}
	k.same("snapshot", entryText(&list[1]), entryText(&e))
}

func appendNothingShared(k *kit) {
	key := k.world()
	s := k.stream("s", 1)
	k.route(poolA, s)
	k.sync(key, put("a", "1"))
	entries := []tributary.Entry{foreign("p", "data"), k.snapshot(key)}
	want := texts(entries, entryText)
	got(k.s.Append(k.Context(), s.ID, entries))(k)
	for range 2 {
		entries[0].Foreign.Data[0], entries[0].Foreign.PartitionKey = 'X', "X"
		entries[1].Change.Records[0].Value, entries[1].Change.By = "spoilt", "spoilt"
		entries = k.entries(tributary.Shard{Stream: s.ID})[1:]
		k.same("log", texts(entries, entryText), want)
	}
}
