package storetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"tributary"
)

func concurrencyCases() []testCase {
	return []testCase{
		{"OneDataset", func(k *kit) { counters(k, 1, 1, "") }},
		{"OneLargeDataset", func(k *kit) { counters(k, 1, 1, strings.Repeat(big, 60)) }},
		{"OneIdentity", func(k *kit) { counters(k, 1, 4, "") }},
		{"ManyIdentities", func(k *kit) { counters(k, 6, 2, "") }},
		{"CreateAndDelete", createAndDelete},
		{"LogReaders", logReaders},
		{"LogTrimmedBehindReader", logTrimmedBehind},
		{"OneMoment", oneMoment},
		{"Reshard", reshardUnderLoad},
		{"MovePool", movePoolUnderLoad},
		{"Revisions", revisions},
		{"Logins", loginRace},
		{"MadeOnce", madeOnce},
	}
}

// madeOnce: of those who make the same identity one does, and of those who make
// the same device of it.
func madeOnce(k *kit) {
	k.pool(poolA)
	once := func(what string, write func() error) {
		var won atomic.Int64
		together(workers, func(int) {
			if err := write(); err == nil {
				won.Add(1)
			} else if !isKind(err, tributary.Stale) {
				k.Errorf("%s: %v", what, err)
			}
		})
		if won.Load() != 1 {
			k.Fatalf("%s was made by %d", what, won.Load())
		}
	}
	for n := range k.rounds() {
		id := testIdentity(n)
		once("an identity", func() error {
			return k.s.PutIdentity(k.Context(), tributary.Identity{ID: id, Pool: poolA, Created: epoch})
		})
		once("a device", func() error { return k.s.PutDevice(k.Context(), device(id, "d")) })
	}
}

const workers = 4

// rounds scales what each goroutine does.
func (k *kit) rounds() int { return max(k.o.Steps/5, 10) }

// together runs n functions at once and waits for all. They fail by t.Error.
func together(n int, f func(worker int)) {
	var wait sync.WaitGroup
	start := make(chan struct{})
	for worker := range n {
		wait.Go(func() {
			<-start
			f(worker)
		})
	}
	close(start)
	wait.Wait()
}

// update is a client's loop: view, apply, commit, again if that was Stale. It
// is safe in any goroutine. The patches are made from the view.
func (k *kit) update(key tributary.DatasetKey, names []string, patches func(*tributary.View) []tributary.Patch) *tributary.Change {
	ctx, cancel := context.WithTimeout(k.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		v, err := k.s.View(ctx, key, names)
		if err != nil {
			k.Errorf("view: %v", err)
			return nil
		}
		unlimited(&v)
		var c *tributary.Change
		if p := patches(&v); p != nil {
			current(&v, p)
			c, err = v.Apply(p, k.writer())
		} else {
			c = v.Delete(k.writer())
		}
		if err == nil {
			err = k.s.Commit(ctx, c)
		}
		if err == nil {
			return c
		}
		if !isKind(err, tributary.Stale) {
			k.Errorf("sync: %v", err)
			return nil
		}
		runtime.Gosched()
	}
	k.Errorf("sync of %s never succeeded", key)
	return nil
}

// increment adds one to the number in record "n" and leaves a record of its own.
func (k *kit) increment(key tributary.DatasetKey, own string) *tributary.Change {
	return k.update(key, []string{"n", own}, func(v *tributary.View) []tributary.Patch {
		n := 0
		for _, r := range v.Records {
			if r.Key == "n" {
				n, _ = strconv.Atoi(r.Value)
			}
		}
		return []tributary.Patch{put("n", fmt.Sprint(n+1)), put(own, fmt.Sprint(n))}
	})
}

func testIdentity(n int) tributary.IdentityID {
	return tributary.IdentityID(fmt.Sprintf("eu-west-1:%08x", n*2654435761%(1<<32)))
}

// counters: no update is lost, sync counts are consecutive, and the log has
// exactly the acknowledged changes.
func counters(k *kit, identities, datasets int, ballast string) {
	k.pool(poolA)
	s := k.stream("s", 2)
	k.route(poolA, s)
	var keys []tributary.DatasetKey
	for i := range identities {
		k.identity(testIdentity(i), poolA)
		for d := range datasets {
			keys = append(keys, keyOf(testIdentity(i), tributary.DatasetName(fmt.Sprint("d", d))))
		}
	}
	acked := &Acked{}
	k.s = acked.Watch(k.s)
	if ballast != "" {
		k.sync(keys[0], put("ballast", ballast))
	}
	together(workers, func(w int) {
		for n := range k.rounds() {
			k.increment(keys[(w+n)%len(keys)], fmt.Sprint("w", w))
		}
	})
	total := 0
	for _, key := range keys {
		v := k.view(key, "n", "ballast")
		n, _ := strconv.Atoi(v.Records[len(v.Records)-1].Value)
		if total += n; v.Dataset.SyncCount != int64(n)+int64(len(v.Records)-1) {
			k.Fatalf("dataset %s counts %d, its sync count is %d", key, n, v.Dataset.SyncCount)
		}
	}
	if want := workers * k.rounds(); total != want {
		k.Fatalf("%d of %d increments are left", total, want)
	}
	entries := 0
	for _, r := range s.Shards {
		entries += len(k.entries(tributary.Shard{Stream: s.ID, Number: r.Number}))
	}
	if ballast != "" {
		entries--
	}
	if entries != total {
		k.Fatalf("the log has %d entries of %d changes", entries, total)
	}
	k.ok(acked.Check(k.Context(), k.s))
	k.ok(Verify(k.Context(), k.s, Checks{Usage: true}))
}

// createAndDelete: datasets come and go under each other's hands.
func createAndDelete(k *kit) {
	k.world()
	acked := &Acked{}
	k.s = acked.Watch(k.s)
	together(workers, func(w int) {
		key := keyOf(ann, tributary.DatasetName(fmt.Sprint("d", w/2)))
		for n := range k.rounds() {
			k.update(key, []string{"a"}, func(v *tributary.View) []tributary.Patch {
				if v.Dataset.Exists && (n+w)%2 == 0 {
					return nil
				}
				return []tributary.Patch{put("a", strings.Repeat(big, n%3*30))}
			})
		}
	})
	var total int64
	for d := range workers / 2 {
		total += k.view(keyOf(ann, tributary.DatasetName(fmt.Sprint("d", d)))).Dataset.SyncCount
	}
	if want := int64(workers * k.rounds()); total != want {
		k.Fatalf("the sync counts add up to %d, want %d", total, want)
	}
	k.ok(acked.Check(k.Context(), k.s))
	k.ok(Verify(k.Context(), k.s, Checks{Usage: true}))
}

// follow reads a shard until it has seen entry number total, and checks that
// none is left out or comes twice. It is safe in any goroutine.
func (k *kit) follow(shard tributary.Shard, total uint64, maxBytes int, seen func(*tributary.Entry)) {
	ctx, cancel := context.WithTimeout(k.Context(), patience)
	defer cancel()
	var after tributary.Position
	for n := uint64(0); n < total; {
		if err := k.s.Wait(ctx, shard, after); err != nil || ctx.Err() != nil {
			k.Errorf("waiting above number %d of %d: %v", n, total, err)
			return
		}
		batch, err := k.s.Read(ctx, shard, after, maxBytes)
		if err != nil || len(batch) == 0 {
			k.Errorf("woken above number %d, Read gives %d entries, %v", n, len(batch), err)
			return
		}
		for i := range batch {
			n++
			if want := tributary.PositionOf(shard, n); batch[i].Position != want {
				k.Errorf("after number %d comes %s", n-1, batch[i].Position)
				return
			}
			after = batch[i].Position
			seen(&batch[i])
		}
	}
}

// logReaders: a reader during writes sees each entry once, in order, whole.
func logReaders(k *kit) {
	k.pool(poolA)
	s := k.stream("s", 1)
	k.route(poolA, s)
	shard := tributary.Shard{Stream: s.ID}
	for w := range workers {
		k.identity(testIdentity(w), poolA)
	}
	total := uint64(workers * k.rounds() * 2)
	var readers sync.WaitGroup
	for _, maxBytes := range []int{1, 1 << 10, pageSize} {
		readers.Go(func() {
			counts := map[tributary.DatasetKey]int64{}
			k.follow(shard, total, maxBytes, func(e *tributary.Entry) {
				if e.Kind != tributary.EntryChange {
					return
				}
				if c := e.Change; c.SyncCount != counts[c.Key]+1 || len(c.Records) != 2 {
					k.Errorf("%s goes from %d to %s", c.Key, counts[c.Key], changeText(c))
				}
				counts[e.Change.Key]++
			})
		})
	}
	together(workers, func(w int) {
		for n := range k.rounds() {
			k.increment(keyOf(testIdentity((w+n)%workers), "d"), fmt.Sprint("w", w))
			if _, err := k.s.Append(k.Context(), s.ID, []tributary.Entry{foreign("p", "x")}); err != nil {
				k.Errorf("append: %v", err)
			}
		}
	})
	readers.Wait()
}

// logTrimmedBehind: a pump trims what it has read, which moves nothing under
// its hands.
func logTrimmedBehind(k *kit) {
	k.pool(poolA)
	s := k.stream("s", 1)
	k.route(poolA, s)
	shard := tributary.Shard{Stream: s.ID}
	for w := range workers {
		k.identity(testIdentity(w), poolA)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		k.follow(shard, uint64(workers*k.rounds()), 500, func(e *tributary.Entry) {
			if err := k.s.Trim(k.Context(), shard, e.Position); err != nil {
				k.Errorf("trim: %v", err)
			}
		})
	})
	together(workers, func(w int) {
		for range k.rounds() {
			k.increment(keyOf(testIdentity(w), "d"), "own")
		}
	})
	reader.Wait()
	if n := len(k.entries(shard)); n != 0 {
		k.Fatalf("%d entries are left behind the reader", n)
	}
}

// oneMoment: each change writes all records of the dataset, so that a read
// that is not of one moment shows records of two counts.
func oneMoment(k *kit) {
	key := k.world()
	var names []string
	for n := range 30 {
		names = append(names, fmt.Sprint("k", n))
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for reader := range 2 {
		readers.Go(func() {
			for !done.Load() {
				k.readOneMoment(key, names, reader == 0)
			}
		})
	}
	together(workers, func(w int) {
		for n := range k.rounds() {
			k.update(key, names, func(v *tributary.View) []tributary.Patch {
				if v.Dataset.Exists && (w+n)%5 == 0 {
					return nil
				}
				patches := make([]tributary.Patch, len(names))
				for i, name := range names {
					patches[i] = put(name, strings.Repeat("v", n%4*100))
				}
				return patches
			})
		}
	})
	done.Store(true)
	readers.Wait()
}

func (k *kit) readOneMoment(key tributary.DatasetKey, names []string, view bool) {
	var list []tributary.Record
	var err error
	if view {
		var v tributary.View
		v, err = k.s.View(k.Context(), key, names)
		list = v.Records
		if d := v.Dataset; err == nil && (d.Exists != (len(list) == len(names)) || len(list) > 0 && list[0].SyncCount != d.SyncCount) {
			k.Errorf("the head is %s with %d records", headText(&d), len(list))
		}
		if err == nil && (v.Identity.Datasets == 1) != v.Dataset.Exists {
			k.Errorf("the identity has %d datasets, the dataset exists=%t", v.Identity.Datasets, v.Dataset.Exists)
		}
	} else {
		list, err = k.s.Records(k.Context(), key, tributary.Range{Through: all})
	}
	if err != nil {
		k.Errorf("reading: %v", err)
	}
	torn := slices.ContainsFunc(list, func(r tributary.Record) bool { return r.SyncCount != list[0].SyncCount })
	if torn || len(list) != 0 && len(list) != len(names) {
		k.Errorf("a read of %d records is not of one moment: %s", len(list), recordsText(list))
	}
}

// reshardUnderLoad: splits and merges while identities sync. Verify checks
// afterwards that each identity's entries go from parent to child.
func reshardUnderLoad(k *kit) {
	k.pool(poolA)
	s := k.stream("s", 1)
	k.route(poolA, s)
	for w := range workers {
		k.identity(testIdentity(w), poolA)
	}
	acked := &Acked{}
	k.s = acked.Watch(k.s)
	together(workers+1, func(w int) {
		if w == workers {
			for range 6 {
				k.reshard(&s)
			}
			return
		}
		for range k.rounds() {
			k.increment(keyOf(testIdentity(w), "d"), "own")
		}
	})
	if total := k.closedShards(s); total == 0 {
		k.Fatal("no shard was closed")
	}
	k.ok(acked.Check(k.Context(), k.s))
}

// reshard replaces the open shards by one or two others.
func (k *kit) reshard(s *tributary.Stream) {
	next := s.Clone()
	var parents []uint32
	for i := range next.Shards {
		if r := &next.Shards[i]; !r.Closed {
			r.Closed = true
			parents = append(parents, r.Number)
		}
	}
	for _, r := range tributary.EvenShards(3 - len(parents)) {
		r.Number, r.Parents = uint32(len(next.Shards)), parents
		next.Shards = append(next.Shards, r)
	}
	stored, err := k.s.PutStream(k.Context(), next)
	if err != nil {
		k.Errorf("reshard: %v", err)
		return
	}
	*s = stored
	for _, r := range stored.Shards {
		shard := tributary.Shard{Stream: s.ID, Number: r.Number}
		if list, err := readAll(k.Context(), k.s, shard); err == nil && r.Closed && len(list) > 0 && list[len(list)-1].Position != r.Last {
			k.Errorf("shard %s was closed at %s and took %s", shard, r.Last, list[len(list)-1].Position)
		}
	}
}

// closedShards checks that nothing lies above the end of a closed shard.
func (k *kit) closedShards(s tributary.Stream) int {
	k.Helper()
	closed := 0
	for _, r := range s.Shards {
		if !r.Closed {
			continue
		}
		closed++
		shard := tributary.Shard{Stream: s.ID, Number: r.Number}
		if list := k.entries(shard); len(list) > 0 && list[len(list)-1].Position != r.Last {
			k.Fatalf("shard %s was closed at %q and ends at %s", shard, r.Last, list[len(list)-1].Position)
		}
	}
	return closed
}

// movePoolUnderLoad: from the moment PutPool returns the old log takes nothing.
func movePoolUnderLoad(k *kit) {
	k.pool(poolA)
	streams := []tributary.Stream{{ID: tributary.DefaultStream}, k.stream("s", 1), k.stream("t", 2)}
	for w := range workers {
		k.identity(testIdentity(w), poolA)
	}
	var moves atomic.Int64
	together(workers+1, func(w int) {
		if w == workers {
			for n := range 12 {
				k.movePool(streams[(n+1)%3], streams[n%3])
				moves.Add(1)
			}
			return
		}
		for range k.rounds() {
			k.increment(keyOf(testIdentity(w), "d"), "own")
		}
	})
	if moves.Load() != 12 {
		k.Fatalf("the pool was moved %d times", moves.Load())
	}
}

func (k *kit) movePool(to, from tributary.Stream) {
	p, err := k.s.Pool(k.Context(), poolA)
	if err == nil {
		if p = routed(p, to); to.ID == tributary.DefaultStream {
			p.Stream = tributary.StreamConfig{}
		}
		err = k.s.PutPool(k.Context(), p)
	}
	first := k.size(from)
	if second := k.size(from); err != nil || first != second {
		k.Errorf("after the move (%v) the old log grew from %d to %d entries", err, first, second)
	}
}

// size is how many entries a stream holds.
func (k *kit) size(s tributary.Stream) int {
	shards, err := k.s.Shards(k.Context())
	total := 0
	for _, shard := range shards {
		if shard.Stream == s.ID && err == nil {
			var list []tributary.Entry
			list, err = readAll(k.Context(), k.s, shard)
			total += len(list)
		}
	}
	if err != nil {
		k.Errorf("reading the log of stream %d: %v", s.ID, err)
	}
	return total
}

// revisions: of all that put with one revision one wins.
func revisions(k *kit) {
	k.world()
	k.stream("s", 1)
	ctx := k.Context()
	shard := tributary.Shard{Stream: tributary.DefaultStream}
	puts := map[string]func(revision int64, w int) error{
		"pool": func(revision int64, w int) error {
			return k.s.PutPool(ctx, tributary.Pool{ID: poolB, Revision: revision})
		},
		"identity": func(revision int64, w int) error {
			return k.s.PutIdentity(ctx, tributary.Identity{ID: bob, Pool: poolA, Revision: revision})
		},
		"stream": func(revision int64, w int) error {
			s := newStream("t", 1)
			if revision > 0 {
				s, _ = k.s.Stream(ctx, "t")
			}
			s.Revision = revision
			_, err := k.s.PutStream(ctx, s)
			return err
		},
		"lease": func(revision int64, w int) error {
			_, err := k.s.SwapLease(ctx, tributary.Lease{Group: "g", Shard: shard, Owner: fmt.Sprint(w), Revision: revision})
			return err
		},
		"access key": func(revision int64, w int) error {
			return k.s.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey, Revision: revision})
		},
		"sealing key": func(revision int64, w int) error {
			return k.s.PutSealingKey(ctx, tributary.SealingKey{ID: 1, Revision: revision})
		},
	}
	for what, put := range puts {
		for revision := range int64(k.rounds()) {
			var won atomic.Int64
			together(workers, func(w int) {
				switch err := put(revision, w); {
				case err == nil:
					won.Add(1)
				case !isKind(err, tributary.Stale):
					k.Errorf("%s: %v", what, err)
				}
			})
			if won.Load() != 1 {
				k.Fatalf("%s at revision %d was written by %d of %d", what, revision, won.Load(), workers)
			}
		}
	}
}

// loginRace: one login, many identities that want it.
func loginRace(k *kit) {
	k.pool(poolA)
	for round := range k.rounds() {
		login := tributary.Login{Provider: "p", User: fmt.Sprint(round)}
		var winners [workers]error
		together(workers, func(w int) {
			id := testIdentity(round*workers + w)
			winners[w] = k.s.PutIdentity(k.Context(), tributary.Identity{ID: id, Pool: poolA, Logins: []tributary.Login{login}})
		})
		won := 0
		for w, err := range winners {
			if err == nil {
				won++
				k.wantLogin(poolA, login, testIdentity(round*workers+w))
				continue
			}
			k.kind(err, tributary.Exists)
		}
		if won != 1 {
			k.Fatalf("a login was linked to %d identities", won)
		}
	}
}
