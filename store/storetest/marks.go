package storetest

import (
	"fmt"
	"slices"
	"sync/atomic"

	"tributary"
)

func markCases() []testCase {
	return []testCase{
		{"Mark", markFields},
		{"MarkStale", markStale},
		{"MarkOfStaleEntries", markOfStaleEntries},
		{"MarkAlone", markAlone},
		{"MarkRace", markRace},
	}
}

// markFields: leases are written beside the entries, whatever shard they are of.
func markFields(k *kit) {
	s := k.stream("s", 2)
	marks := []tributary.Lease{
		{Group: "publish\x00 é", Owner: "a:1\x00d"},
		{Group: "publish", Shard: tributary.Shard{Number: 9}, Owner: "node", Epoch: 3},
		{Group: "publish", Shard: tributary.Shard{Stream: s.ID}, Checkpoint: tributary.PositionOf(tributary.Shard{Stream: s.ID}, 1)},
	}
	for n := range 3 {
		entries := []tributary.Entry{foreign("p", fmt.Sprint(n)), foreign("q", fmt.Sprint(n))}
		k.appended(s, entries, got(k.s.Append(k.Context(), s.ID, entries, marks...))(k))
		for i := range marks {
			marks[i].Revision++
			if !slices.Contains(k.leases(marks[i].Group), marks[i]) {
				k.Fatalf("the leases are %+v, want %+v among them", k.leases(marks[i].Group), marks[i])
			}
			marks[i].Epoch++
		}
	}
	marks[0] = got(k.s.SwapLease(k.Context(), marks[0]))(k) // it is a lease as any
	got(k.s.Append(k.Context(), s.ID, []tributary.Entry{foreign("p", "last")}, marks[0]))(k)
}

// notMarked appends with leases, which must fail and leave no trace.
func (k *kit) notMarked(kind tributary.Kind, stream tributary.StreamID, entries []tributary.Entry, marks ...tributary.Lease) {
	k.Helper()
	state := func() string {
		return fmt.Sprintf("%s\n%+v", k.everythingText(), k.leases("publish"))
	}
	before := state()
	_, err := k.s.Append(k.Context(), stream, entries, marks...)
	k.kind(err, kind)
	k.same("store after an append that failed", state(), before)
}

func markStale(k *kit) {
	s := k.stream("s", 2)
	entries := []tributary.Entry{foreign("p", "x"), foreign("q", "y")}
	mark, fine := tributary.Lease{Group: "publish", Owner: "o"}, tributary.Lease{Group: "publish", Shard: tributary.Shard{Number: 1}}
	for _, revision := range []int64{1, -1} {
		mark.Revision = revision
		k.notMarked(tributary.Stale, s.ID, entries, mark)
	}
	mark.Revision = 0
	got(k.s.Append(k.Context(), s.ID, entries, mark))(k)
	k.notMarked(tributary.Stale, s.ID, entries, mark)
	k.notMarked(tributary.Stale, s.ID, entries, fine, mark)
	k.notMarked(tributary.Stale, s.ID, entries, mark, fine)
	k.notMarked(tributary.Stale, s.ID, nil, mark)
	k.notMarked(tributary.Stale, s.ID, nil, fine, mark)
	mark.Revision = 1
	got(k.s.Append(k.Context(), s.ID, entries, mark, fine))(k)
}

// markOfStaleEntries: a lease is not written unless the entries are.
func markOfStaleEntries(k *kit) {
	key := k.world()
	s := k.stream("s", 2)
	k.route(poolA, s)
	k.sync(key, put("a", "1"))
	e := k.snapshot(key)
	k.sync(key, put("a", "2"))
	mark := tributary.Lease{Group: "publish"}
	k.notMarked(tributary.Stale, s.ID, []tributary.Entry{foreign("p", "x"), e}, mark)
	closed := k.stream("closed", 1)
	closed.Shards[0].Closed = true
	closed = got(k.s.PutStream(k.Context(), closed))(k)
	k.notMarked(tributary.Stale, closed.ID, []tributary.Entry{foreign("p", "x")}, mark)
	k.notMarked(tributary.NotFound, closed.ID+1, []tributary.Entry{foreign("p", "x")}, mark)
	got(k.s.Append(k.Context(), s.ID, []tributary.Entry{k.snapshot(key)}, mark))(k)
}

// markAlone: without entries there is no stream, and several leases are
// written at once.
func markAlone(k *kit) {
	mark, other := tributary.Lease{Group: "publish", Owner: "o"}, tributary.Lease{Group: "publish", Shard: tributary.Shard{Number: 1}}
	if at := got(k.s.Append(k.Context(), 1<<52, nil, mark, other))(k); len(at) != 0 {
		k.Fatalf("nothing appended got positions %q", at)
	}
	mark.Revision, other.Revision = 1, 1
	if list := k.leases("publish"); !slices.Equal(list, []tributary.Lease{mark, other}) {
		k.Fatalf("the leases are %+v", list)
	}
}

// markRace: of appends with the same mark one succeeds, all of it.
func markRace(k *kit) {
	const several = 60 // entries, which take a while
	s := k.stream("s", 3)
	l := tributary.Lease{Group: "publish"}
	for range k.rounds() {
		var won atomic.Int64
		together(workers, func(w int) {
			mine := l
			mine.Owner = fmt.Sprint(l.Revision+1, " by ", w)
			var entries []tributary.Entry
			for n := range several {
				entries = append(entries, foreign(fmt.Sprint(n), mine.Owner))
			}
			_, err := k.s.Append(k.Context(), s.ID, entries, mine)
			if err == nil {
				won.Add(1)
			} else if !isKind(err, tributary.Stale) {
				k.Errorf("append with a mark: %v", err)
			}
		})
		list := k.leases("publish")
		if won.Load() != 1 || len(list) != 1 || list[0].Revision != l.Revision+1 {
			k.Fatalf("of appends with one mark %d succeeded, the leases are %+v", won.Load(), list)
		}
		l = list[0]
	}
	byOwner := map[string]int{}
	for _, r := range s.Shards {
		for _, e := range k.entries(tributary.Shard{Stream: s.ID, Number: r.Number}) {
			byOwner[string(e.Foreign.Data)]++
		}
	}
	for owner, n := range byOwner {
		if n != several {
			k.Errorf("of the entries of %s there are %d", owner, n)
		}
	}
	if int64(len(byOwner)) != l.Revision || byOwner[l.Owner] == 0 {
		k.Errorf("%d appends are there, the lease is %+v", len(byOwner), l)
	}
}

// markGroup is the group of the leases that a program has appends write.
const markGroup = "marks"

// appendMarked appends entries that no other append has, with a lease.
func (a *actor) appendMarked() string {
	stream := a.anyStream()
	l := tributary.Lease{Group: markGroup, Shard: tributary.Shard{Number: uint32(a.rnd.IntN(2))}}
	leases, _ := a.s.Leases(a.ctx, l.Group)
	for _, stored := range leases {
		if stored.Shard == l.Shard {
			l = stored
		}
	}
	a.writes++
	l.Owner = fmt.Sprint("marked ", a.writes)
	if stream != 1<<52 { // one rule is broken at once
		l.Revision, _ = a.late(l.Revision)
	}
	var entries []tributary.Entry
	for n := range 1 + a.rnd.IntN(3) {
		entries = append(entries, foreign(fmt.Sprint("p", a.rnd.IntN(9)), fmt.Sprint(l.Owner, " ", n)))
	}
	_, err := a.s.Append(a.ctx, stream, entries, l)
	return fmt.Sprintf("%s\n%s\n%s %s", a.label(stream), texts(entries, entryText), a.leaseLabel(&l), outcome(err, ""))
}
