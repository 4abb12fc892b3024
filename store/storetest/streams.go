package storetest

import (
	"fmt"
	"slices"
	"time"

	"tributary"
)

func streamCases() []testCase {
	return []testCase{
		{"Fields", streamFields},
		{"StaleRevision", streamStale},
		{"NotFound", streamNotFound},
		{"Order", streamOrder},
		{"DeleteInUse", streamDeleteInUse},
		{"Recreate", streamRecreate},
		{"OlderIncarnation", streamOlder},
		{"Split", streamSplit},
		{"Merge", streamMerge},
		{"LastOfClosed", streamLast},
		{"ShardsNeverReturn", streamShardsNeverReturn},
		{"MovePool", streamMovePool},
		{"SharedByPools", streamShared},
		{"Shards", streamShards},
		{"NothingShared", streamNothingShared},
	}
}

func streamFields(k *kit) {
	in := newStream("s", 3)
	in.Shards[1].Parents = []uint32{7, 0}
	out := got(k.s.PutStream(k.Context(), in))(k)
	in.Revision = 1
	k.same("stream as given back", streamText(&out), streamText(&in))
	if out.ID <= tributary.DefaultStream {
		k.Fatalf("the stream's id is %d", out.ID)
	}
	read := got(k.s.Stream(k.Context(), "s"))(k)
	k.same("stream", streamText(&read), streamText(&in))
	if read.ID != out.ID {
		k.Fatalf("put as %d, read as %d", out.ID, read.ID)
	}
	read.Retention, read.Kind, read.Created = 5*time.Hour+time.Nanosecond, "kinesis", epoch+1
	again := got(k.s.PutStream(k.Context(), read))(k)
	read.Revision = 2
	k.same("stream put again", streamText(&again), streamText(&read))
	if again.ID != out.ID {
		k.Fatalf("put again the stream's id is %d, before %d", again.ID, out.ID)
	}
}

func streamStale(k *kit) {
	ctx := k.Context()
	s := newStream("s", 1)
	s.Revision = 1
	_, err := k.s.PutStream(ctx, s)
	k.kind(err, tributary.Stale)
	_, err = k.s.Stream(ctx, "s")
	k.kind(err, tributary.NotFound)
	s = k.stream("s", 1)
	s = got(k.s.PutStream(ctx, s))(k)
	for _, revision := range []int64{0, 1, 3, -1} {
		late := s
		late.Revision, late.Retention = revision, time.Hour
		_, err := k.s.PutStream(ctx, late)
		k.kind(err, tributary.Stale)
	}
	_, err = k.s.PutStream(ctx, newStream("s", 1))
	k.kind(err, tributary.Stale)
	if now := got(k.s.Stream(ctx, "s"))(k); streamText(&now) != streamText(&s) || now.ID != s.ID {
		k.Fatalf("after stale puts the stream is %s", streamText(&now))
	}
}

func streamNotFound(k *kit) {
	k.stream("s", 1)
	_, err := k.s.Stream(k.Context(), "S")
	k.kind(err, tributary.NotFound)
	_, err = k.s.Stream(k.Context(), "")
	k.kind(err, tributary.NotFound)
	k.kind(k.s.DeleteStream(k.Context(), "S"), tributary.NotFound)
}

func streamOrder(k *kit) {
	var names []string
	for _, name := range hostileNames() {
		if tributary.CheckStreamName(tributary.StreamName(name)) == nil {
			names = append(names, name)
			k.stream(tributary.StreamName(name), 1)
		}
	}
	pages(k, names, func(after tributary.StreamName, limit int) []tributary.StreamName {
		var list []tributary.StreamName
		for _, s := range got(k.s.Streams(k.Context(), after, limit))(k) {
			list = append(list, s.Name)
			if one := got(k.s.Stream(k.Context(), s.Name))(k); one.ID != s.ID || streamText(&one) != streamText(&s) {
				k.Fatalf("listed as %s, read as %s", streamText(&s), streamText(&one))
			}
		}
		return list
	})
}

func streamDeleteInUse(k *kit) {
	key := k.world()
	s, other := k.stream("s", 1), k.stream("t", 1)
	k.route(poolA, s)
	k.kind(k.s.DeleteStream(k.Context(), "s"), tributary.Exists)
	k.sync(key, put("a", "1"))
	k.lost = true
	// A pool that names it and does not route to it has no claim.
	p := got(k.s.Pool(k.Context(), poolA))(k)
	p.Stream.Enabled = false
	k.ok(k.s.PutPool(k.Context(), p))
	k.ok(k.s.DeleteStream(k.Context(), "s"))
	p = got(k.s.Pool(k.Context(), poolA))(k)
	p.Stream.Enabled = true
	k.kind(k.s.PutPool(k.Context(), p), tributary.NotFound)
	k.route(poolA, other)
	k.kind(k.s.DeleteStream(k.Context(), "t"), tributary.Exists)
	k.sync(key, put("a", "2"))
	k.drop(key)
	k.ok(k.s.DeleteIdentity(k.Context(), ann))
	k.ok(k.s.DeletePool(k.Context(), poolA))
	k.ok(k.s.DeleteStream(k.Context(), "t"))
}

func streamRecreate(k *kit) {
	key := k.world()
	k.lost = true
	var last tributary.StreamID
	for n := range 4 {
		s := k.stream("s", 2)
		if s.ID <= last || s.Revision != 1 {
			k.Fatalf("made for the %dth time the stream has id %d, revision %d; before id %d", n, s.ID, s.Revision, last)
		}
		old := tributary.Shard{Stream: last}
		last = s.ID
		for _, r := range s.Shards {
			shard := tributary.Shard{Stream: s.ID, Number: r.Number}
			if list := k.entries(shard); len(list) != 0 {
				k.Fatalf("the new stream's shard %s has %d entries", shard, len(list))
			}
			k.find(shard, 0)
		}
		_, err := k.s.Read(k.Context(), old, "", 1)
		k.kind(err, tributary.NotFound)
		k.route(poolA, s)
		k.sync(key, put("a", fmt.Sprint(n)))
		got(k.s.Append(k.Context(), s.ID, []tributary.Entry{foreign("p", "x"), foreign("q", "x")}))(k)
		if e := k.entries(k.shard(s, string(ann)))[0]; e.Position == "" || e.Kind == tributary.EntryChange && e.Change.SyncCount != int64(n+1) {
			k.Fatalf("the new log begins with %s", entryText(&e))
		}
		k.route(poolA, tributary.Stream{})
		k.ok(k.s.DeleteStream(k.Context(), "s"))
		_, err = k.s.Stream(k.Context(), "s")
		k.kind(err, tributary.NotFound)
	}
}

// streamOlder: what was read of an earlier incarnation does not fit the later
// one, though their revisions are equal.
func streamOlder(k *kit) {
	old := k.stream("s", 1)
	k.ok(k.s.DeleteStream(k.Context(), "s"))
	s := k.stream("s", 1)
	old.Retention = time.Hour
	_, err := k.s.PutStream(k.Context(), old)
	k.kind(err, tributary.Stale)
	p := k.pool(poolA)
	p = routed(p, old)
	k.kind(k.s.PutPool(k.Context(), p), tributary.NotFound)
	k.ok(k.s.PutPool(k.Context(), routed(p, s)))
}

// halves splits shard 0 of a stream of one shard.
func halves(s tributary.Stream) tributary.Stream {
	next := s
	next.Shards = slices.Clone(s.Shards)
	next.Shards[0].Closed = true
	for i, r := range tributary.EvenShards(2) {
		r.Number, r.Parents = uint32(i+1), []uint32{0}
		next.Shards = append(next.Shards, r)
	}
	return next
}

func streamSplit(k *kit) {
	k.pool(poolA)
	s := k.stream("s", 1)
	k.route(poolA, s)
	parent := tributary.Shard{Stream: s.ID}
	var keys []tributary.DatasetKey
	for n := range 6 {
		key := keyOf(tributary.IdentityID(fmt.Sprintf("eu-west-1:%x", n)), "d")
		k.identity(key.Identity, poolA)
		k.sync(key, put("a", "1"))
		keys = append(keys, key)
	}
	// What was computed before the split is good after it.
	drafts := make([]*tributary.Change, len(keys))
	for n, key := range keys {
		drafts[n] = k.draft(key, put("a", "2"))
	}
	s = got(k.s.PutStream(k.Context(), halves(s)))(k)
	for _, c := range drafts {
		k.commit(c)
	}
	if n := len(k.entries(parent)); n != len(keys) {
		k.Fatalf("the closed shard holds %d entries, want %d", n, len(keys))
	}
	children := map[tributary.Shard][]tributary.Entry{}
	for _, c := range drafts {
		shard := k.shard(s, string(c.Key.Identity))
		children[shard] = append(children[shard], tributary.Entry{Change: c})
	}
	for _, number := range []uint32{1, 2} {
		shard := tributary.Shard{Stream: s.ID, Number: number}
		if len(children[shard]) == 0 {
			k.Fatalf("no identity lies in shard %s", shard)
		}
		list := k.entries(shard)
		k.same("child shard", texts(list, entryText), texts(children[shard], entryText))
		if list[0].Position <= s.Shards[0].Last {
			k.Fatalf("the child begins at %s, the parent ends at %s", list[0].Position, s.Shards[0].Last)
		}
	}
	e := foreign("p", "x")
	k.appended(s, []tributary.Entry{e}, got(k.s.Append(k.Context(), s.ID, []tributary.Entry{e}))(k))
}

func streamMerge(k *kit) {
	key := k.world()
	s := k.stream("s", 2)
	k.route(poolA, s)
	k.sync(key, put("a", "1"))
	s.Shards[0].Closed, s.Shards[1].Closed = true, true
	child := tributary.EvenShards(1)[0]
	child.Number, child.Parents = 2, []uint32{0, 1}
	s.Shards = append(s.Shards, child)
	s = got(k.s.PutStream(k.Context(), s))(k)
	c := k.sync(key, put("a", "2"))
	list := k.entries(tributary.Shard{Stream: s.ID, Number: 2})
	k.same("merged shard", texts(list, entryText), storedChange(c))
	stored := got(k.s.Stream(k.Context(), "s"))(k)
	k.same("stream", streamText(&stored), streamText(&s))
}

// streamShardsNeverReturn: a shard is not taken away, nor opened again.
func streamShardsNeverReturn(k *kit) {
	s := k.stream("s", 2)
	s.Shards[0].Closed = true
	s = got(k.s.PutStream(k.Context(), s))(k)
	open, fewer := s.Clone(), s.Clone()
	open.Shards[0].Closed = false
	fewer.Shards = fewer.Shards[:1]
	for _, next := range []tributary.Stream{open, fewer} {
		_, err := k.s.PutStream(k.Context(), next)
		k.kind(err, tributary.Invalid)
	}
	stored := got(k.s.Stream(k.Context(), "s"))(k)
	k.same("stream", streamText(&stored), streamText(&s))
}

// streamLast: only the store knows what a shard took before it was closed.
func streamLast(k *kit) {
	key := k.world()
	s := k.stream("s", 2)
	k.route(poolA, s)
	for range 3 {
		k.sync(key, put("a", "1"))
	}
	shard := k.shard(s, string(ann))
	k.ok(k.s.Trim(k.Context(), shard, tributary.PositionOf(shard, 3)))
	s.Shards[0].Closed, s.Shards[1].Closed = true, true
	for range 2 {
		s = got(k.s.PutStream(k.Context(), s))(k)
		for _, r := range s.Shards {
			want := tributary.Position("")
			if r.Number == shard.Number {
				want = tributary.PositionOf(shard, 3)
			}
			if r.Last != want {
				k.Fatalf("closed shard %d ends at %q, want %q", r.Number, r.Last, want)
			}
		}
	}
}

func streamMovePool(k *kit) {
	key := k.world()
	s := k.stream("s", 1)
	var inDefault, inStream []tributary.Entry
	sync := func(list *[]tributary.Entry) {
		*list = append(*list, tributary.Entry{Change: k.sync(key, put("a", "1"))})
	}
	for range 2 {
		sync(&inDefault)
		k.route(poolA, s)
		sync(&inStream)
		sync(&inStream)
		k.route(poolA, tributary.Stream{})
	}
	sync(&inDefault)
	k.same("default log", texts(k.defaultLog(), entryText), texts(inDefault, entryText))
	k.same("stream", texts(k.entries(tributary.Shard{Stream: s.ID}), entryText), texts(inStream, entryText))
}

func streamShared(k *kit) {
	key := k.world()
	k.pool(poolB)
	k.identity(bob, poolB)
	s := k.stream("s", 1)
	k.route(poolA, s)
	k.route(poolB, s)
	var want []tributary.Entry
	for range 2 {
		want = append(want, tributary.Entry{Change: k.sync(key, put("a", "1"))})
		want = append(want, tributary.Entry{Change: k.sync(tributary.DatasetKey{Pool: poolB, Identity: bob, Dataset: "notes"}, put("a", "1"))})
	}
	k.same("log", texts(k.entries(tributary.Shard{Stream: s.ID}), entryText), texts(want, entryText))
}

func streamShards(k *kit) {
	k.world()
	s := k.stream("s", 1)
	k.route(poolA, s)
	k.sync(keyOf(ann, "d"), put("a", "1"))
	s = got(k.s.PutStream(k.Context(), halves(s)))(k)
	gone := k.stream("t", 2)
	k.ok(k.s.DeleteStream(k.Context(), "t"))
	shards := got(k.s.Shards(k.Context()))(k)
	defaults := 0
	for _, shard := range shards {
		switch shard.Stream {
		case tributary.DefaultStream:
			defaults++
		case gone.ID:
			k.Fatalf("shards of a deleted stream are listed: %v", shards)
		}
	}
	if defaults == 0 {
		k.Fatalf("the default log has no shard: %v", shards)
	}
	for _, r := range s.Shards {
		if shard := (tributary.Shard{Stream: s.ID, Number: r.Number}); !slices.Contains(shards, shard) {
			k.Fatalf("shard %s is not listed: %v", shard, shards)
		}
	}
}

func streamNothingShared(k *kit) {
	in := newStream("s", 2)
	in.Shards[1].Parents = []uint32{5}
	want := newStream("s", 2)
	want.Shards[1].Parents = []uint32{5}
	want.Revision = 1
	out := got(k.s.PutStream(k.Context(), in))(k)
	for range 2 {
		in.Shards[0].Closed, in.Shards[1].Parents[0] = true, 9
		out.Shards[0].Closed, out.Shards[1].Parents[0] = true, 9
		in, out = got(k.s.Stream(k.Context(), "s"))(k), got(k.s.Streams(k.Context(), "", 1))(k)[0]
		k.same("stream", streamText(&in), streamText(&want))
		k.same("listed stream", streamText(&out), streamText(&want))
	}
}
