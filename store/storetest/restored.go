package storetest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"tributary"
)

// reborn is a store that was restored from a backup.
type reborn struct {
	*kit
	last  tributary.Restored
	notes tributary.DatasetKey // of ann, with three entries in shard
	shard tributary.Shard
	at    []tributary.Millis // when those arrived
	split tributary.Stream   // with one entry in its only open shard
}

// moveRestored: a store that was restored, its copy, and the copy's copy go on
// alike, whatever the restore left out.
func moveRestored(k *moveKit) {
	ctx := k.Context()
	n := &reborn{kit: k.kit}
	source := k.another(k.T)
	n.fill(k.source, source)
	k.ok(CopyStore(ctx, source, k.target))
	k.step(source, tributary.TransferState{Phase: tributary.Moved, Move: "test", Peer: "the source", Since: epoch}, isOrdinary)
	for _, s := range []Movable{source, k.target} {
		n.s = s
		n.standsStill()
		n.goesOn()
		n.unwritten()
		n.closes()
		n.consistent()
	}
	back := k.another(k.T)
	k.ok(CopyStore(ctx, k.target, back))
	n.s = back
	n.trims()
	n.sync(n.notes, put("c", "1"))
	n.consistent()
	// Another move begins with nothing.
	k.step(k.target, tributary.TransferState{Phase: tributary.Moved, Move: "test", Peer: "the source", Since: epoch}, isAnother)
	if have := got(k.target.Fetch(ctx, tributary.ItemStore, []string{tributary.Restores}))(k.kit); have[0].Value != nil {
		k.Fatalf("after another move began: %s", have[0].Value)
	}
}

// fill makes a world in one store, and what a restore makes of it in another.
func (n *reborn) fill(first, store Movable) {
	n.Helper()
	n.s = first
	n.notes = n.world()
	n.split = n.stream("split", 1)
	n.append(n.split.ID, "before")
	n.divide()
	n.append(n.split.ID, "p")
	for i := range 3 {
		n.sync(n.notes, put("a", fmt.Sprint(i)))
	}
	for _, e := range n.defaultLog() {
		n.shard, _, _ = e.Position.Split()
		n.at = append(n.at, e.Arrived)
	}
	items := n.restore(got(AllItems(n.Context(), first, pageSize))(n.kit))
	n.ok(store.SetState(n.Context(), isOrdinary, isFilling))
	for _, list := range [][]tributary.Item{items, {{Kind: tributary.ItemStore, Key: tributary.Restores}}, items} {
		n.ok(store.Import(n.Context(), list))
		have := got(store.Fetch(n.Context(), tributary.ItemStore, []string{tributary.Restores}))(n.kit)
		if len(list) == 1 && have[0].Value != nil {
			n.Fatalf("restores that were deleted are %s", have[0].Value)
		}
	}
	n.ok(store.SetState(n.Context(), isFilling, isFilled))
	n.ok(store.SetState(n.Context(), isFilled, isOrdinary))
	if diff := itemsDiffer(items, got(AllItems(n.Context(), store, pageSize))(n.kit)); diff != "" {
		n.Fatalf("the restored store differs: %s", diff)
	}
}

// restore makes items those of a store that was restored twice.
func (n *reborn) restore(items []tributary.Item) (out []tributary.Item) {
	n.Helper()
	n.last = tributary.Restored{Backup: epoch, At: epoch + 2, Count: 1 << 40, Base: 1 << 50}
	for _, i := range items {
		if i.Kind == tributary.ItemStore && i.Key == tributary.LastStream {
			id := got(strconv.ParseUint(string(i.Value), 10, 64))(n.kit)
			n.last.Streams = tributary.StreamID(id)
		}
		if i.Kind == tributary.ItemShard {
			i.Value = n.raise(i.Key, i.Value)
		}
		out = append(out, i)
	}
	first := n.last
	first.At, first.Count, first.Base, first.Shards = epoch+1, 1<<30, 1<<40, slices.Clone(n.last.Shards)
	for i := range first.Shards {
		first.Shards[i].Base >>= 10
	}
	list := got(json.Marshal([]tributary.Restored{first, n.last}))(n.kit)
	at := slices.IndexFunc(out, func(i tributary.Item) bool { return i.Kind != tributary.ItemStore })
	return slices.Insert(out, at, tributary.Item{Kind: tributary.ItemStore, Key: tributary.Restores, Value: list})
}

// raise has a shard's log, unless it is closed, go on above the restore's base.
func (n *reborn) raise(key string, value []byte) []byte {
	n.Helper()
	open, trimmed := value[0] == 1, value[1]
	last, _ := binary.Uvarint(value[2:])
	of := tributary.RestoredShard{Last: last}
	got(fmt.Sscanf(key, "%d/%d", &of.Shard.Stream, &of.Shard.Number))(n.kit)
	if open {
		of.Base = n.last.Base
		value = binary.AppendUvarint([]byte{1, trimmed}, of.Base)
	}
	n.last.Shards = append(n.last.Shards, of)
	return value
}

func (n *reborn) append(stream tributary.StreamID, data string) tributary.Position {
	n.Helper()
	e := tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p", Data: []byte(data)}}
	return got(n.s.Append(n.Context(), stream, []tributary.Entry{e}))(n.kit)[0]
}

// divide closes the last shard of a stream, and gives it a child.
func (n *reborn) divide() {
	n.Helper()
	st := got(n.s.Stream(n.Context(), n.split.Name))(n.kit)
	last := len(st.Shards) - 1
	child := st.Shards[last]
	st.Shards[last].Closed = true
	child.Number, child.Parents = child.Number+1, []uint32{child.Number}
	st.Shards = append(st.Shards, child)
	n.split = got(n.s.PutStream(n.Context(), st))(n.kit)
}

func (n *reborn) find(at tributary.Millis) uint64 {
	n.Helper()
	return n.count(n.shard, got(n.s.Find(n.Context(), n.shard, at))(n.kit))
}

// read wants the entries above a position to be these.
func (n *reborn) read(after tributary.Position, want ...uint64) {
	n.Helper()
	var have []uint64
	for _, e := range got(n.s.Read(n.Context(), n.shard, after, pageSize))(n.kit) {
		have = append(have, n.count(n.shard, e.Position))
	}
	if !slices.Equal(have, want) {
		n.Fatalf("above %s are %v, want %v", after, have, want)
	}
}

// weighs wants the log to weigh as much as some small entries do.
func (n *reborn) weighs(entries int64) {
	n.Helper()
	const least, most = 10, 300
	if bytes := got(n.s.LogBytes(n.Context(), n.shard))(n.kit); bytes < entries*least || bytes > entries*most {
		n.Fatalf("a log of %d entries weighs %d bytes", entries, bytes)
	}
}

// standsStill: until something is written the log ends at the base, and who
// waits in the gap waits.
func (n *reborn) standsStill() {
	n.Helper()
	if low, high := n.find(0), n.find(n.at[2]+1); low != 0 || high != n.last.Base {
		n.Fatalf("the log is from %d to %d, want 0 to %d", low, high, n.last.Base)
	}
	if at := n.find(n.at[2]); at > 2 {
		n.Fatalf("the third entry is searched above %d", at)
	}
	n.read("", 1, 2, 3)
	n.weighs(3)
	for _, known := range []uint64{3, 4, n.last.Base - 1, n.last.Base} {
		p := tributary.PositionOf(n.shard, known)
		n.read(p)
		short, cancel := context.WithTimeout(n.Context(), aMoment)
		n.kind(n.s.Wait(short, n.shard, p), tributary.Unavailable)
		cancel()
	}
	n.ok(n.s.Wait(n.Context(), n.shard, tributary.PositionOf(n.shard, 2)))
}

// unwritten: what is not there counts as deleted by the restore, and goes on
// above its count.
func (n *reborn) unwritten() {
	n.Helper()
	for _, name := range []tributary.DatasetName{"never", "never large"} {
		key := keyOf(ann, name)
		for range 2 {
			if d := n.view(key).Dataset; d.Exists || d.SyncCount != n.last.Count || d.Marker != n.last.Count || d.Change != 0 {
				n.Fatalf("what was never written is %s", headText(&d))
			}
		}
		first, second := n.draft(key, put("a", "1")), n.draft(key, put("a", "2"))
		n.commit(first)
		n.kind(n.s.Commit(n.Context(), second), tributary.Stale)
		if d := n.view(key).Dataset; !d.Exists || d.SyncCount != n.last.Count+1 || d.Marker != n.last.Count {
			n.Fatalf("after a sync it is %s", headText(&d))
		}
	}
	// Nor does anything of it outlive its identity.
	n.identity(bob, poolA)
	for range 2 {
		c := n.draft(keyOf(bob, "never"), put("a", "1"))
		n.ok(n.s.DeleteIdentity(n.Context(), bob))
		n.kind(n.s.Commit(n.Context(), c), tributary.Stale)
		n.identity(bob, poolA)
	}
	n.sync(keyOf(bob, "never"), put("a", "1"))
}

// closes: a shard that is closed before it has an entry of the new incarnation
// ends with its last one; its child may have been there in the lost time.
func (n *reborn) closes() {
	n.Helper()
	n.split = got(n.s.Stream(n.Context(), n.split.Name))(n.kit)
	end := func(number int) string { return string(n.split.Shards[number].Last) }
	n.divide()
	n.same("end of a shard", end(1), string(tributary.PositionOf(tributary.Shard{Stream: n.split.ID, Number: 1}, 1)))
	n.divide() // with nothing in it
	n.same("end of an empty shard", end(2), "")
	at := n.append(n.split.ID, "q")
	n.same("first of a child", string(at), string(tributary.PositionOf(tributary.Shard{Stream: n.split.ID, Number: 3}, n.last.Base+1)))
	n.divide()
	n.same("end of the child", end(3), string(at))
	s := n.stream("later", 1)
	if s.ID <= n.last.Streams {
		n.Fatalf("stream %d may have been there in the lost time", s.ID)
	}
	n.same("first of a stream", string(n.append(s.ID, "r")), string(tributary.PositionOf(tributary.Shard{Stream: s.ID}, 1)))
}

// goesOn: who has read up to the gap, or into it, gets the first entry above it.
func (n *reborn) goesOn() {
	n.Helper()
	first := n.last.Base + 1
	waited := make(chan error, 1)
	go func() { waited <- n.s.Wait(n.Context(), n.shard, tributary.PositionOf(n.shard, 4)) }()
	n.sync(n.notes, put("b", "1"))
	n.ok(<-waited)
	n.sync(n.notes, put("b", "2"))
	for _, known := range []uint64{3, 4, n.last.Base} {
		p := tributary.PositionOf(n.shard, known)
		n.read(p, first, first+1)
		n.ok(n.s.Wait(n.Context(), n.shard, p))
	}
	entries := n.entries(n.shard)
	if at := n.find(entries[3].Arrived); at > 3 {
		n.Fatalf("the first entry after the restore is searched above %d", at)
	}
	if at := n.find(entries[4].Arrived + 1); at != first+1 {
		n.Fatalf("the log ends at %d", at)
	}
}

// trims: trimming reaches into the gap, and across it.
func (n *reborn) trims() {
	n.Helper()
	var counts []uint64
	for _, e := range n.entries(n.shard) {
		counts = append(counts, n.count(n.shard, e.Position))
	}
	for _, through := range []uint64{2, 5, n.last.Base + 1, counts[len(counts)-1]} {
		n.ok(n.s.Trim(n.Context(), n.shard, tributary.PositionOf(n.shard, through)))
		for len(counts) > 0 && counts[0] <= through {
			counts = counts[1:]
		}
		n.read("", counts...)
		if at := n.find(0); at != through {
			n.Fatalf("trimmed through %d the log begins above %d", through, at)
		}
	}
}

func (n *reborn) consistent() {
	n.Helper()
	CheckConsistent(n.T, n.s, Checks{Usage: true, Restores: []Restore{{Base: n.last.Base, Count: n.last.Count}}})
}
