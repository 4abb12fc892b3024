package storetest

import (
	"cmp"
	"fmt"
	"slices"

	"tributary"
)

func leaseCases() []testCase {
	return []testCase{
		{"Fields", leaseFields},
		{"Stale", leaseStale},
		{"Groups", leaseGroups},
		{"AfterStream", leaseAfterStream},
	}
}

func (k *kit) leases(group string) []tributary.Lease {
	k.Helper()
	list := got(k.s.Leases(k.Context(), group))(k)
	slices.SortFunc(list, func(a, b tributary.Lease) int {
		return cmp.Or(cmp.Compare(a.Shard.Stream, b.Shard.Stream), cmp.Compare(a.Shard.Number, b.Shard.Number))
	})
	return list
}

func leaseFields(k *kit) {
	s := k.stream("s", 1)
	shard := tributary.Shard{Stream: s.ID}
	want := tributary.Lease{Group: "warehouse", Shard: shard}
	for n := range int64(4) {
		want = want.Take(fmt.Sprint("node-", n))
		want.Checkpoint = tributary.PositionOf(shard, uint64(n))
		if n == 2 {
			want = want.Release()
		}
		stored := got(k.s.SwapLease(k.Context(), want))(k)
		if want.Revision++; stored != want {
			k.Fatalf("stored as %+v, want %+v", stored, want)
		}
		if list := k.leases("warehouse"); len(list) != 1 || list[0] != want {
			k.Fatalf("listed as %+v, want %+v", list, want)
		}
	}
}

func leaseStale(k *kit) {
	shard := tributary.Shard{Stream: k.stream("s", 1).ID}
	ctx := k.Context()
	_, err := k.s.SwapLease(ctx, tributary.Lease{Group: "g", Shard: shard, Revision: 1})
	k.kind(err, tributary.Stale)
	first := got(k.s.SwapLease(ctx, tributary.Lease{Group: "g", Shard: shard, Owner: "a", Epoch: 1}))(k)
	second := got(k.s.SwapLease(ctx, first.Take("b")))(k)
	for _, revision := range []int64{0, 1, 3, -1} {
		late := first.Take("late")
		late.Revision = revision
		_, err := k.s.SwapLease(ctx, late)
		k.kind(err, tributary.Stale)
	}
	if list := k.leases("g"); len(list) != 1 || list[0] != second {
		k.Fatalf("after stale swaps the leases are %+v", list)
	}
}

func leaseGroups(k *kit) {
	s := k.stream("s", 3)
	groups := []string{"push", "pus", "push/retention", "Push", "push\x00", "é"}
	want := map[string][]tributary.Lease{}
	for _, group := range groups {
		for _, r := range s.Shards {
			l := tributary.Lease{Group: group, Shard: tributary.Shard{Stream: s.ID, Number: r.Number}, Owner: group, Epoch: 1}
			want[group] = append(want[group], got(k.s.SwapLease(k.Context(), l))(k))
		}
	}
	for _, group := range groups {
		if list := k.leases(group); !slices.Equal(list, want[group]) {
			k.Fatalf("group %q has leases %+v, want %+v", group, list, want[group])
		}
	}
	if list := k.leases("nobody"); len(list) != 0 {
		k.Fatalf("a group without leases has %+v", list)
	}
}

// leaseAfterStream: the shards of a stream made again have leases of their own.
func leaseAfterStream(k *kit) {
	old := k.stream("s", 1)
	got(k.s.SwapLease(k.Context(), tributary.Lease{Group: "g", Shard: tributary.Shard{Stream: old.ID}, Owner: "a"}))(k)
	k.ok(k.s.DeleteStream(k.Context(), "s"))
	if list := k.leases("g"); len(list) != 0 {
		k.Fatalf("the leases of a deleted stream are listed: %+v", list)
	}
	s := k.stream("s", 1)
	l := tributary.Lease{Group: "g", Shard: tributary.Shard{Stream: s.ID}, Owner: "b"}
	if l = got(k.s.SwapLease(k.Context(), l))(k); l.Revision != 1 {
		k.Fatalf("the lease of a new shard is %+v", l)
	}
	if !slices.Contains(k.leases("g"), l) {
		k.Fatalf("the leases are %+v, want %+v among them", k.leases("g"), l)
	}
}
