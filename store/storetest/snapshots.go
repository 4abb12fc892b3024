package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"tributary"
)

func snapshotCases() []testCase {
	return []testCase{
		{"SnapshotPages", snapshotPages},
		{"SnapshotsFewAndFarBetween", snapshotsFar},
		{"SnapshotsOfNothing", snapshotsOfNothing},
		{"SnapshotsUnderLoad", snapshotsUnderLoad},
		{"SnapshotsNothingShared", snapshotsNothingShared},
	}
}

func snapshotText(s *tributary.Snapshot) string {
	return headText(&s.Dataset) + "\n" + recordsText(s.Records)
}

// readSnapshots reads all of a pool, page by page.
func readSnapshots(ctx context.Context, s tributary.Store, pool tributary.PoolID, maxBytes int) ([]tributary.Snapshot, error) {
	var list []tributary.Snapshot
	var after tributary.DatasetKey
	for {
		page, err := s.Snapshots(ctx, pool, after, maxBytes)
		if err != nil || len(page) == 0 {
			return list, err
		}
		for i := range page {
			if next := page[i].Dataset.Key; next.Pool != pool || compareDatasets(next, after) <= 0 {
				return list, fmt.Errorf("above %s of pool %s is a snapshot of %s", after, pool, next)
			}
			after = page[i].Dataset.Key
		}
		list = append(list, page...)
	}
}

// byListing is what the snapshots of a pool must be.
func (k *kit) byListing(pool tributary.PoolID) []tributary.Snapshot {
	k.Helper()
	var list []tributary.Snapshot
	for _, i := range got(k.s.Identities(k.Context(), pool, "", 1000))(k) {
		for _, d := range got(k.s.Datasets(k.Context(), i.ID, "", 1000))(k) {
			records := k.records(d.Key, tributary.Range{Through: all, LiveOnly: true})
			slices.SortFunc(records, func(a, b tributary.Record) int { return cmp.Compare(a.Key, b.Key) })
			list = append(list, tributary.Snapshot{Dataset: d, Records: records})
		}
	}
	return list
}

// snapshotPages: pages of every size give the same, of one pool only, with
// datasets of every size, and without those that were deleted.
func snapshotPages(k *kit) {
	pools := []tributary.PoolID{poolA, poolB}
	for _, pool := range pools {
		k.pool(pool)
	}
	for n, id := range []tributary.IdentityID{"a:1", "a:1-", "a:1:", "a:11", "A:1", "b:2", "b_:2", "b-:2"} {
		k.identity(id, pools[n%2])
		for m, name := range []tributary.DatasetName{"d", "D", "d.", "d-d", "_", "gone"} {
			key := tributary.DatasetKey{Pool: pools[n%2], Identity: id, Dataset: name}
			k.sync(key, put("b", fmt.Sprint(n)), put("a", strings.Repeat("x", 700*m*m)), put("c", "removed"), remove("never"))
			k.sync(key, remove("c"))
			if name == "gone" {
				k.drop(key)
			}
		}
	}
	for _, pool := range pools {
		want := k.byListing(pool)
		if len(want) != 4*5 {
			k.Fatalf("pool %s lists %d datasets", pool, len(want))
		}
		for _, most := range []int{0, 1, 2000, 20_000, 1 << 20} {
			list := got(readSnapshots(k.Context(), k.s, pool, most))(k)
			k.same(fmt.Sprintf("in pages of %d", most), texts(list, snapshotText), texts(want, snapshotText))
		}
		if page := got(k.s.Snapshots(k.Context(), pool, tributary.DatasetKey{}, 1))(k); len(page) != 1 {
			k.Fatalf("a page of 1 byte has %d datasets", len(page))
		}
		var weight int64
		for _, s := range got(k.s.Snapshots(k.Context(), pool, tributary.DatasetKey{}, 30_000))(k) {
			weight += s.Dataset.Bytes
		}
		if weight < 10_000 || weight > 50_000 {
			k.Fatalf("a page of 30000 bytes has %d", weight)
		}
		// What it goes on from need not be there any more.
		gone := want[7].Dataset.Key
		k.drop(gone)
		page := got(k.s.Snapshots(k.Context(), pool, gone, 1))(k)
		k.same("after one that is gone", texts(page, snapshotText), snapshotText(&want[8]))
	}
}

// snapshotsFar: many identities have nothing.
func snapshotsFar(k *kit) {
	k.pool(poolA)
	var some []tributary.Identity
	for n := range 1300 {
		some = append(some, tributary.Identity{ID: tributary.IdentityID(fmt.Sprintf("a:%06d", n)), Pool: poolA, Created: epoch})
	}
	k.ok(k.s.PutIdentity(k.Context(), some...))
	for _, n := range []int{3, 601, 1299} {
		k.sync(keyOf(some[n].ID, "d"), put("a", fmt.Sprint(n)))
	}
	want := texts(k.byListingOf(some[3].ID, some[601].ID, some[1299].ID), snapshotText)
	for _, most := range []int{1, 5000, 1 << 20} {
		k.same(fmt.Sprintf("in pages of %d", most), texts(got(readSnapshots(k.Context(), k.s, poolA, most))(k), snapshotText), want)
	}
}

func (k *kit) byListingOf(ids ...tributary.IdentityID) []tributary.Snapshot {
	k.Helper()
	var list []tributary.Snapshot
	for _, id := range ids {
		for _, d := range got(k.s.Datasets(k.Context(), id, "", 10))(k) {
			list = append(list, tributary.Snapshot{Dataset: d, Records: k.everything(d.Key)})
		}
	}
	return list
}

func snapshotsOfNothing(k *kit) {
	nothing := func(pool tributary.PoolID, after tributary.DatasetKey) {
		k.Helper()
		if list := got(k.s.Snapshots(k.Context(), pool, after, pageSize))(k); len(list) != 0 {
			k.Fatalf("pool %s holds above %s\n%s", pool, after, texts(list, snapshotText))
		}
	}
	nothing(poolA, tributary.DatasetKey{})
	key := k.world()
	nothing(poolA, tributary.DatasetKey{})
	k.sync(key, put("a", "1"))
	nothing(poolB, tributary.DatasetKey{})
	nothing(poolA[:len(poolA)-1], tributary.DatasetKey{})
	nothing(poolA, key)
	nothing(poolA, keyOf(bob, ""))
	k.drop(key)
	nothing(poolA, tributary.DatasetKey{})
}

// snapshotsUnderLoad: head and records of a dataset are of one moment, and what
// is shown is durable in the order of the log.
func snapshotsUnderLoad(k *kit) {
	k.pool(poolA)
	var done atomic.Bool
	var ballast []tributary.Patch
	for n := range 200 {
		ballast = append(ballast, put(fmt.Sprint("ballast", n), big))
	}
	for n := range workers {
		k.identity(testIdentity(n), poolA)
		k.increment(keyOf(testIdentity(n), "d"), "first")
		k.sync(keyOf(testIdentity(n), "large"), ballast...)
		k.increment(keyOf(testIdentity(n), "large"), "first")
	}
	var writing atomic.Int64
	writing.Store(workers)
	together(workers+2, func(w int) {
		if w < workers {
			for n := range k.rounds() {
				k.increment(keyOf(testIdentity(w), "d"), fmt.Sprint(n%7))
				k.increment(keyOf(testIdentity(w), "large"), fmt.Sprint(n%7))
			}
			done.Store(writing.Add(-1) == 0)
			return
		}
		seen := map[tributary.DatasetKey]int64{}
		for n := 0; !done.Load() && !k.Failed(); n++ {
			list, err := readSnapshots(k.Context(), k.s, poolA, []int{1000, 1 << 20}[n%2])
			if err != nil || len(list) != 2*workers {
				k.Errorf("%d snapshots, %v", len(list), err)
			}
			for i := range list {
				k.ofOneMoment(&list[i])
				if at := list[i].Dataset.SyncCount; at < seen[list[i].Dataset.Key] {
					k.Errorf("dataset %s goes back to %d", list[i].Dataset.Key, at)
				} else {
					seen[list[i].Dataset.Key] = at
				}
			}
		}
	})
}

// ofOneMoment holds a dataset that is incremented alone to its head.
func (k *kit) ofOneMoment(s *tributary.Snapshot) {
	var bytes int64
	n := -1
	ballast := 0
	for i := range s.Records {
		r := &s.Records[i]
		bytes += r.Bytes()
		switch r.Key {
		case "n":
			n, _ = strconv.Atoi(r.Value)
		case "ballast0":
			ballast = 1 // the sync before the first increment
		}
	}
	if bytes != s.Dataset.Bytes || int64(len(s.Records)) != s.Dataset.Records || int64(n+ballast) != s.Dataset.SyncCount {
		k.Errorf("a snapshot is not of one moment:\n%s", snapshotText(s))
	}
}

func snapshotsNothingShared(k *kit) {
	key := k.world()
	k.sync(key, put("a", "1"), put("b", "2"))
	want := texts(k.byListing(poolA), snapshotText)
	for range 2 {
		list := got(readSnapshots(k.Context(), k.s, poolA, pageSize))(k)
		k.same("snapshots", texts(list, snapshotText), want)
		list[0].Records[0].Value, list[0].Records[1].Key = "spoilt", "spoilt"
	}
	k.same("records", recordsText(k.everything(key)), recordsText(k.byListing(poolA)[0].Records))
}
