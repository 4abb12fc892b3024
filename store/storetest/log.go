package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tributary"
)

func logCases() []testCase {
	return []testCase{
		{"Entries", logEntries},
		{"Positions", logPositions},
		{"ShardOfEntry", logShards},
		{"ReadLimit", logReadLimit},
		{"ReadAbove", logReadAbove},
		{"NotFound", logNotFound},
		{"Invalid", logInvalid},
		{"Find", logFind},
		{"FindInEmpty", logFindEmpty},
		{"Trim", logTrim},
		{"TrimAll", logTrimAll},
		{"WaitForCommit", logWaitCommit},
		{"WaitHasEntry", logWaitHas},
		{"WaitDone", logWaitDone},
		{"WaitGone", logWaitGone},
	}
}

// oneShard is a world whose changes go to a stream of one shard.
func (k *kit) oneShard() (tributary.DatasetKey, tributary.Shard) {
	k.Helper()
	key := k.world()
	s := k.stream("s", 1)
	k.route(poolA, s)
	return key, tributary.Shard{Stream: s.ID}
}

func logEntries(k *kit) {
	key, shard := k.oneShard()
	k.identity(bob, poolA)
	var want []tributary.Entry
	add := func(c *tributary.Change) {
		want = append(want, tributary.Entry{Kind: tributary.EntryChange, Change: c})
	}
	add(k.sync(key, put("b", "1"), remove("a"), put("a\x00", "\x00\xff")))
	add(k.sync(keyOf(bob, "notes"), put("é", big)))
	add(k.sync(key, put("b", strings.Repeat("large", 2000))))
	add(k.drop(key))
	c := k.draft(key, put("empty", ""), put("device", "1"))
	c.By, c.Records[0].DeviceLastModified, c.Records[1].DeviceLastModified = "", epoch-1, epoch*3
	add(k.commit(c))
	for n := range 3 {
		c = k.draft(keyOf(bob, "gone"), remove(fmt.Sprint(n)))
		if n == 2 {
			forget(c, k.everything(keyOf(bob, "gone")), 1)
		}
		add(k.commit(c))
	}
	list := k.entries(shard)
	k.same("log", texts(list, entryText), texts(want, entryText))
	for i := range list {
		e := &list[i]
		if c := e.Change; c.Condition != (tributary.Condition{}) || c.Next != (tributary.Dataset{}) || c.Forgotten != nil {
			k.Fatalf("the log shows what is for the store alone: %+v", c)
		}
		if e.Arrived <= 0 {
			k.Fatalf("entry %d arrived at %d", i, e.Arrived)
		}
	}
}

func logPositions(k *kit) {
	key := k.world()
	s := k.stream("s", 4)
	k.route(poolA, s)
	for n := range 12 {
		id := ann + tributary.IdentityID(fmt.Sprint(n))
		k.identity(id, poolA)
		for range n%3 + 1 {
			k.sync(keyOf(id, "d"), put("a", "1"))
		}
	}
	k.sync(key, put("a", "1"))
	var total int
	for _, r := range s.Shards {
		shard := tributary.Shard{Stream: s.ID, Number: r.Number}
		list := k.entries(shard)
		total += len(list)
		for i, e := range list {
			if n := k.count(shard, e.Position); n != uint64(i+1) {
				k.Fatalf("entry %d of shard %s has number %d", i+1, shard, n)
			}
			if i > 0 && e.Arrived < list[i-1].Arrived {
				k.Fatalf("in shard %s entry %d arrived at %d, the next at %d", shard, i, list[i-1].Arrived, e.Arrived)
			}
		}
	}
	if total != 25 {
		k.Fatalf("the shards hold %d entries, want 25", total)
	}
}

func logShards(k *kit) {
	k.pool(poolA)
	s := k.stream("s", 3)
	k.route(poolA, s)
	want := map[tributary.Shard]string{}
	for n := range 12 {
		id := tributary.IdentityID(fmt.Sprintf("eu-west-1:%x", n))
		k.identity(id, poolA)
		c := k.sync(keyOf(id, "d"), put("a", "1"))
		want[k.shard(s, string(id))] += storedChange(c) + "\n"
	}
	if len(want) != 3 {
		k.Fatalf("the identities lie in %d shards", len(want))
	}
	for shard, text := range want {
		k.same("shard "+shard.String(), texts(k.entries(shard), entryText)+"\n", text)
	}
	if n := len(k.defaultLog()); n != 0 {
		k.Fatalf("the default log has %d entries", n)
	}
}

func logReadLimit(k *kit) {
	key, shard := k.oneShard()
	value := strings.Repeat("x", 64<<10)
	for n := range 10 {
		k.sync(key, put("a", fmt.Sprint(n)+value))
	}
	ctx := k.Context()
	for _, limit := range []int{0, 1, 1 << 10} {
		if list := got(k.s.Read(ctx, shard, "", limit))(k); len(list) != 1 {
			k.Fatalf("a read of %d bytes gives %d entries of 64 KiB", limit, len(list))
		}
	}
	if list := got(k.s.Read(ctx, shard, "", 160<<10))(k); len(list) < 2 || len(list) > 4 {
		k.Fatalf("a read of 160 KiB gives %d entries of 64 KiB", len(list))
	}
	if list := got(k.s.Read(ctx, shard, "", 2<<20))(k); len(list) != 10 {
		k.Fatalf("a read of 2 MiB gives %d of 10 entries of 64 KiB", len(list))
	}
	for _, limit := range []int{1, 100 << 10, 250 << 10} {
		n, after := uint64(0), tributary.Position("")
		for {
			list := got(k.s.Read(ctx, shard, after, limit))(k)
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				if n++; k.count(shard, e.Position) != n || e.Change.SyncCount != int64(n) {
					k.Fatalf("reading %d bytes at a time, %s follows number %d", limit, e.Position, n-1)
				}
				after = e.Position
			}
		}
		if n != 10 {
			k.Fatalf("reading %d bytes at a time gives %d entries, want 10", limit, n)
		}
	}
}

func logReadAbove(k *kit) {
	key, shard := k.oneShard()
	if list := k.entries(shard); len(list) != 0 {
		k.Fatalf("an empty shard has %d entries", len(list))
	}
	for range 5 {
		k.sync(key, put("a", "1"))
	}
	for n := range uint64(6) {
		list := got(k.s.Read(k.Context(), shard, tributary.PositionOf(shard, n), pageSize))(k)
		if len(list) != 5-int(n) || n < 5 && k.count(shard, list[0].Position) != n+1 {
			k.Fatalf("above number %d there are %d entries", n, len(list))
		}
	}
}

func logNotFound(k *kit) {
	_, shard := k.oneShard()
	ctx := k.Context()
	for _, s := range []tributary.Shard{
		{Stream: shard.Stream, Number: 1}, {Stream: shard.Stream + 1}, {Stream: 0}, {Stream: 1 << 50},
		{Stream: tributary.DefaultStream, Number: 1<<32 - 1},
	} {
		_, err := k.s.Read(ctx, s, "", 1)
		k.kind(err, tributary.NotFound)
		k.kind(k.s.Wait(ctx, s, ""), tributary.NotFound)
	}
}

func logInvalid(k *kit) {
	key := k.world()
	s := k.stream("s", 2)
	k.route(poolA, s)
	k.sync(key, put("a", "1"))
	shard := k.shard(s, string(ann))
	other := tributary.Shard{Stream: s.ID, Number: 1 - shard.Number}
	ctx := k.Context()
	for _, p := range []tributary.Position{
		tributary.PositionOf(other, 1), tributary.PositionOf(other, 0),
		tributary.PositionOf(tributary.Shard{Stream: s.ID + 1, Number: shard.Number}, 1),
		tributary.PositionOf(tributary.Shard{Stream: tributary.DefaultStream}, 1),
		"0", "1", "LATEST", "-1", tributary.PositionOf(shard, 1) + "0", tributary.PositionOf(shard, 1)[1:],
	} {
		_, err := k.s.Read(ctx, shard, p, pageSize)
		k.kind(err, tributary.Invalid)
		k.kind(k.s.Wait(ctx, shard, p), tributary.Invalid)
		_ = k.s.Trim(ctx, shard, p) // whatever it says
		if n := len(k.entries(shard)); n != 1 {
			k.Fatalf("trimming through %q leaves %d entries of 1", p, n)
		}
	}
}

// find checks Find against its definition, on the times that the entries
// themselves give.
func (k *kit) find(shard tributary.Shard, horizon uint64) {
	k.Helper()
	list := k.entries(shard)
	times := []tributary.Millis{0, 1, epoch * 1000}
	for _, e := range list {
		times = append(times, e.Arrived-1, e.Arrived, e.Arrived+1)
	}
	for _, at := range times {
		want := horizon
		for i := 0; i < len(list) && list[i].Arrived < at; i++ {
			want++
		}
		p := got(k.s.Find(k.Context(), shard, at))(k)
		if n := k.count(shard, p); n != want {
			k.Fatalf("at %d Find gives number %d, want %d", at, n, want)
		}
		rest := got(k.s.Read(k.Context(), shard, p, pageSize))(k)
		if len(rest) != len(list)-int(want-horizon) {
			k.Fatalf("from what Find gives for %d there are %d entries of %d", at, len(rest), len(list))
		}
	}
}

func logFind(k *kit) {
	key, shard := k.oneShard()
	for range 3 {
		k.sync(key, put("a", "1"))
	}
	// Commits until the engine's clock has moved a few times, so that there is
	// a time between two entries.
	const enough = 5000
	last, moved := k.entries(shard)[0].Arrived, 0
	for n := 0; moved < 3 && n < enough; n++ {
		c := k.sync(key, put("a", "1"))
		list := got(k.s.Read(k.Context(), shard, tributary.PositionOf(shard, uint64(c.SyncCount-1)), pageSize))(k)
		if list[0].Arrived > last {
			moved++
		}
		last = list[0].Arrived
	}
	k.find(shard, 0)
	k.ok(k.s.Trim(k.Context(), shard, tributary.PositionOf(shard, 2)))
	k.find(shard, 2)
}

func logFindEmpty(k *kit) {
	key, shard := k.oneShard()
	k.find(shard, 0)
	_, err := k.s.Find(k.Context(), tributary.Shard{Stream: shard.Stream, Number: 9}, 0)
	k.kind(err, tributary.NotFound)
	k.sync(key, put("a", "1"))
	k.sync(key, put("a", "2"))
	k.ok(k.s.Trim(k.Context(), shard, tributary.PositionOf(shard, 2)))
	k.find(shard, 2)
}

func logTrim(k *kit) {
	key, shard := k.oneShard()
	for range 6 {
		k.sync(key, put("a", "1"))
	}
	ctx := k.Context()
	horizon := uint64(0)
	for _, through := range []uint64{0, 2, 1, 2, 4} {
		k.ok(k.s.Trim(ctx, shard, tributary.PositionOf(shard, through)))
		horizon = max(horizon, through)
		for _, after := range []tributary.Position{"", tributary.PositionOf(shard, 0), tributary.PositionOf(shard, horizon)} {
			list := got(k.s.Read(ctx, shard, after, pageSize))(k)
			if len(list) != 6-int(horizon) || k.count(shard, list[0].Position) != horizon+1 {
				k.Fatalf("trimmed through %d, a read after %q gives %d entries", horizon, after, len(list))
			}
		}
	}
	if list := got(k.s.Read(ctx, shard, tributary.PositionOf(shard, 5), pageSize))(k); len(list) != 1 {
		k.Fatalf("above number 5 of 6 there are %d entries", len(list))
	}
	v := k.view(key, "a")
	if v.Dataset.SyncCount != 6 || len(v.Records) != 1 {
		k.Fatalf("trimming the log changed the data: %s", viewText(&v))
	}
}

func logTrimAll(k *kit) {
	key, shard := k.oneShard()
	for n := range uint64(3) {
		k.sync(key, put("a", "1"))
		k.sync(key, put("a", "2"))
		last := tributary.PositionOf(shard, 2*n+2)
		if list := k.entries(shard); len(list) != 2 || list[1].Position != last {
			k.Fatalf("round %d: the log holds %d entries", n, len(list))
		}
		k.ok(k.s.Trim(k.Context(), shard, last))
		k.find(shard, 2*n+2)
	}
	if shards := got(k.s.Shards(k.Context()))(k); !slices.Contains(shards, shard) {
		k.Fatalf("an open shard without entries is not among the shards %v", shards)
	}
}

// waiting starts a Wait and gives where its result comes.
func (k *kit) waiting(shard tributary.Shard, after tributary.Position) chan error {
	ctx, cancel := context.WithTimeout(k.Context(), patience)
	k.Cleanup(cancel)
	done := make(chan error, 1)
	go func() {
		err := k.s.Wait(ctx, shard, after)
		if err == nil {
			err = ctx.Err()
		}
		done <- err
	}()
	return done
}

func logWaitCommit(k *kit) {
	key, shard := k.oneShard()
	k.identity(bob, poolA)
	after := tributary.Position("")
	for n := range uint64(20) {
		first, second := k.waiting(shard, after), k.waiting(shard, tributary.PositionOf(shard, n))
		if n < 3 { // by now they do wait; else it may be too late for that
			k.blocks(shard, after)
		}
		switch n % 3 {
		case 0:
			k.sync(key, put("a", "1"))
		case 1:
			k.sync(keyOf(bob, "d"), put("a", "1"))
		case 2:
			got(k.s.Append(k.Context(), shard.Stream, []tributary.Entry{foreign("p", "data")}))(k)
		}
		k.ok(<-first)
		k.ok(<-second)
		list := got(k.s.Read(k.Context(), shard, after, pageSize))(k)
		if len(list) != 1 {
			k.Fatalf("woken, a reader finds %d entries", len(list))
		}
		after = list[0].Position
	}
}

func logWaitHas(k *kit) {
	key, shard := k.oneShard()
	for range 3 {
		k.sync(key, put("a", "1"))
	}
	for _, after := range []tributary.Position{"", tributary.PositionOf(shard, 0), tributary.PositionOf(shard, 2)} {
		k.ok(<-k.waiting(shard, after))
	}
	k.ok(k.s.Trim(k.Context(), shard, tributary.PositionOf(shard, 2)))
	k.ok(<-k.waiting(shard, tributary.PositionOf(shard, 1)))
}

// blocks checks that Wait returns for no other reason than its context's end.
// It is safe in any goroutine.
func (k *kit) blocks(shard tributary.Shard, after tributary.Position) {
	ctx, cancel := context.WithTimeout(k.Context(), aMoment)
	defer cancel()
	if err := k.s.Wait(ctx, shard, after); ctx.Err() == nil {
		k.Errorf("Wait above %q returned %v and nothing had happened", after, err)
	}
}

func logWaitDone(k *kit) {
	key, shard := k.oneShard()
	k.blocks(shard, "")
	k.sync(key, put("a", "1"))
	k.blocks(shard, tributary.PositionOf(shard, 1))
	// A change in another log is not for this one's reader.
	k.route(poolA, tributary.Stream{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.blocks(shard, tributary.PositionOf(shard, 1))
	}()
	k.sync(key, put("a", "2"))
	<-done
	k.ok(k.s.Trim(k.Context(), shard, tributary.PositionOf(shard, 1)))
	k.blocks(shard, "")
	ctx, cancel := context.WithCancel(k.Context())
	cancel()
	_ = k.s.Wait(ctx, shard, "") // returns
}

func logWaitGone(k *kit) {
	var shard tributary.Shard
	for n := range 6 {
		shard = tributary.Shard{Stream: k.stream("s", 1).ID}
		done := k.waiting(shard, "")
		if n < 3 { // by now it does wait
			k.blocks(shard, "")
		}
		k.ok(k.s.DeleteStream(k.Context(), "s"))
		if err := <-done; err != nil {
			k.kind(err, tributary.NotFound)
		}
	}
	k.kind(k.s.Wait(k.Context(), shard, ""), tributary.NotFound)
	_, err := k.s.Read(k.Context(), shard, "", 1)
	k.kind(err, tributary.NotFound)
}
