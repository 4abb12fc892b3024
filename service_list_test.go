package tributary_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"tributary"
)

// wantListing compares what a listing says of the dataset, its records aside.
func wantListing(t testing.TB, l tributary.Listing, count int64, exists, deleted bool) {
	t.Helper()
	if l.SyncCount != count || l.Exists != exists || l.DeletedMeanwhile != deleted {
		t.Fatalf("the listing says count %d, exists %t, deleted meanwhile %t; want %d, %t, %t", l.SyncCount, l.Exists, l.DeletedMeanwhile, count, exists, deleted)
	}
	if l.SessionToken == "" {
		t.Fatal("the listing has no session token")
	}
}

func TestListNeverWritten(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	for _, last := range []int64{0, 1, 7, math.MaxInt64} {
		l := k.list(key("d"), last)
		wantListing(t, l, 0, false, false)
		wantRecords(t, "of nothing", l.Records)
		want(t, "LastModifiedBy", l.LastModifiedBy, "")
		want(t, "NextToken", l.NextToken, "")
	}
	_, err := k.DescribeDataset(k.ctx, developer, key("d"))
	k.kind(err, tributary.NotFound) // a listing creates nothing
}

func TestListRefusesANegativeCount(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	_, err := k.ListRecords(k.ctx, developer, key("d"), tributary.ListQuery{LastSyncCount: -1})
	k.kind(err, tributary.Invalid)
}

func TestListDeltas(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.update(d, tributary.Patch{Key: "b", Value: "1"}, tributary.Patch{Key: "a", Value: "1"})
	k.set(d, "c", "2")
	k.remove(d, "b")
	k.set(d, "a", "4")
	for _, tt := range []struct {
		last int64
		want []string
	}{
		{0, []string{"c=2@2", "b-@3", "a=4@4"}},
		{1, []string{"c=2@2", "b-@3", "a=4@4"}},
		{2, []string{"b-@3", "a=4@4"}},
		{3, []string{"a=4@4"}},
		{4, nil},
	} {
		l := k.list(d, tt.last)
		wantListing(t, l, 4, true, false)
		wantRecords(t, fmt.Sprint("since ", tt.last), l.Records, tt.want...)
		want(t, "LastModifiedBy", l.LastModifiedBy, account)
		want(t, "NextToken", l.NextToken, "")
	}
}

func TestListShowsAllOfARecord(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.update(d, tributary.Patch{Key: "a", Value: "v", DeviceLastModified: 12345}, tributary.Patch{Key: "b"})
	want(t, "a", k.list(d, 0).Records[0], tributary.Record{
		Key: "a", Value: "v", SyncCount: 1, LastModified: startOfTime, LastModifiedBy: account, DeviceLastModified: 12345})
	want(t, "b, of an empty value", k.list(d, 0).Records[1], tributary.Record{
		Key: "b", SyncCount: 1, LastModified: startOfTime, LastModifiedBy: account, DeviceLastModified: startOfTime})
}

// TestListPagesPinTheCount changes the dataset between every two pages. What
// changed is left to the next pull, and nothing is shown twice or skipped.
func TestListPagesPinTheCount(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.fill(d, 6) // a@1 … f@6
	var shown []tributary.Record
	l, err := k.page(d, "", 0, 2)
	k.ok(err)
	for n := 0; ; n++ {
		wantListing(t, l, 6, true, false)
		shown = append(shown, l.Records...)
		if l.NextToken == "" {
			break
		}
		if len(l.Records) != 2 {
			t.Fatalf("page %d has the records %v, want 2", n, show(l.Records))
		}
		k.set(d, "e", fmt.Sprint("changed ", n)) // not shown any more
		k.set(d, "a", fmt.Sprint("changed ", n)) // was shown
		k.set(d, fmt.Sprint("new ", n), "x")
		l, err = k.page(d, l.NextToken, 0, 2)
		k.ok(err)
	}
	wantRecords(t, "all pages", shown, "a=v@1", "b=v@2", "c=v@3", "d=v@4", "f=v@6")
	next := k.list(d, 6)
	wantRecords(t, "the next pull", next.Records, "new 0=x@9", "e=changed 1@10", "a=changed 1@11", "new 1=x@12")
}

func TestListPagesOfEverySize(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	for i := range 5 { // several records of one count, and tombstones
		k.update(d, tributary.Patch{Key: fmt.Sprint("x", i), Value: "v"}, tributary.Patch{Key: fmt.Sprint("y", i), Value: "v"},
			tributary.Patch{Key: fmt.Sprint("z", i), Remove: true})
	}
	for _, last := range []int64{0, 2} {
		whole := k.list(d, last).Records
		for most := 1; most <= len(whole)+1; most++ {
			var pages []tributary.Record
			token, n := "", 0
			for first := true; first || token != ""; first = false {
				l, err := k.page(d, token, last, most)
				k.ok(err)
				pages, token, n = append(pages, l.Records...), l.NextToken, n+1
			}
			wantRecords(t, fmt.Sprintf("since %d in pages of %d", last, most), pages, show(whole)...)
			want(t, "the number of pages", n, (len(whole)+most-1)/most)
		}
	}
}

func TestListPagesAcrossADeletion(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.fill(d, 4)
	first, err := k.page(d, "", 1, 1)
	k.ok(err)
	k.delete(d) // count 5
	second, err := k.page(d, first.NextToken, 1, 1)
	k.ok(err)
	wantRecords(t, "after the deletion", second.Records)
	want(t, "exists", second.Exists, false)
	k.set(d, "b", "again") // count 6
	third, err := k.page(d, first.NextToken, 1, 10)
	k.ok(err)
	wantRecords(t, "after the recreation", third.Records)
	wantListing(t, k.list(d, third.SyncCount), 6, true, true) // the pinned count tells of it
}

func TestListDeletedAndMadeAgain(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.fill(d, 3)
	k.delete(d)
	for last, told := range map[int64]bool{0: false, 1: true, 3: true, 4: false, 5: false, 99: false} {
		l := k.list(d, last)
		wantListing(t, l, 4, false, told)
		wantRecords(t, "of a deleted dataset", l.Records)
	}
	k.set(d, "a", "again")
	k.remove(d, "b")
	for last, told := range map[int64]bool{0: false, 1: true, 3: true, 4: false, 5: false, 6: false, 99: false} {
		l := k.list(d, last)
		wantListing(t, l, 6, true, told)
		switch {
		case last == 5:
			wantRecords(t, "the delta", l.Records, "b-@6")
		case last == 4:
			wantRecords(t, "since the marker", l.Records, "a=again@5", "b-@6")
		case last == 6:
			wantRecords(t, "nothing new", l.Records)
		default:
			wantRecords(t, fmt.Sprint("all live records since ", last), withoutRemoved(l.Records), "a=again@5")
		}
	}
	t.Run("TheLastDeletionCounts", func(t *testing.T) {
		k := k.in(t)
		k.delete(d) // 7
		k.set(d, "a", "third")
		wantListing(t, k.list(d, 6), 8, true, true)
		wantListing(t, k.list(d, 7), 8, true, false)
		_, err := k.DescribeDataset(k.ctx, developer, d)
		k.ok(err)
	})
}

func withoutRemoved(records []tributary.Record) []tributary.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r tributary.Record) bool { return r.Removed })
}

func TestListPagesTellOfADeletionOnEveryPage(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.fill(d, 3)
	k.delete(d)
	k.fill(d, 3)
	var all []tributary.Record
	token := ""
	for range 3 {
		l, err := k.page(d, token, 2, 1)
		k.ok(err)
		wantListing(t, l, 7, true, true) // clients look at the flags of the last page
		all, token = append(all, l.Records...), l.NextToken
	}
	wantRecords(t, "all live records", all, "a=v@5", "b=v@6", "c=v@7")
}

// forgetful makes a dataset of one live record whose tombstones up to a count
// have been forgotten: t0@1 … t19@20, of which 16 are kept, and live@21.
func forgetful(k *kit, d tributary.DatasetKey) {
	k.t.Helper()
	for i := range 20 {
		k.remove(d, fmt.Sprint("t", i))
	}
	k.set(d, "live", "v")
}

func TestListBelowTheFloor(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{Records: 1})
	d := key("d")
	forgetful(k, d)
	head, err := k.DescribeDataset(k.ctx, developer, d)
	k.ok(err)
	want(t, "tombstones kept", head.Tombstones, 16)
	want(t, "the floor", head.Floor, 4)
	for _, last := range []int64{1, 2, 3} {
		l := k.list(d, last)
		wantListing(t, l, 21, true, true)
		wantRecords(t, "all live records", withoutRemoved(l.Records), "live=v@21")
	}
	at := k.list(d, 4)
	wantListing(t, at, 21, true, false)
	want(t, "records since the floor", len(at.Records), 17)
	wantListing(t, k.list(d, 0), 21, true, false)
	wantListing(t, k.list(d, 21), 21, true, false)
	t.Run("AForgottenKeyIsUnknown", func(t *testing.T) {
		k := k.in(t)
		wantRecords(t, "t0 again", k.update(d, tributary.Patch{Key: "t0", Remove: true, SyncCount: 0}), "t0-@22")
		_, err := k.tryUpdate(d, tributary.Patch{Key: "t19", Remove: true, SyncCount: 19})
		k.text(err, tributary.Stale, "Current SyncCount for: t19 is: 20 not: 19")
	})
	t.Run("ADeletionForgetsTheFloor", func(t *testing.T) {
		k := k.in(t)
		k.delete(d)
		count := k.set(d, "x", "y")
		wantListing(t, k.list(d, count-1), count, true, false)
		wantListing(t, k.list(d, 4), count, true, true)
	})
}

func TestListAboveTheDatasetsCount(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.fill(d, 3)
	k.remove(d, "a")
	t.Run("Lenient", func(t *testing.T) {
		for _, last := range []int64{5, 1000, math.MaxInt64} {
			l := k.in(t).list(d, last)
			wantListing(t, l, 4, true, false)
			wantRecords(t, "all live records", withoutRemoved(l.Records), "b=v@2", "c=v@3")
		}
	})
	t.Run("Strict", func(t *testing.T) {
		k := k.in(t)
		k.StrictSyncCount = true
		for _, last := range []int64{5, 1000} {
			_, err := k.ListRecords(k.ctx, developer, d, tributary.ListQuery{LastSyncCount: last})
			k.text(err, tributary.Invalid, fmt.Sprintf("No such SyncCount: %d exists for this Dataset", last))
		}
		wantListing(t, k.list(d, 4), 4, true, false)
		wantListing(t, k.list(key("other"), 7), 0, false, false) // a dataset that is not there refuses nobody
		k.delete(d)
		wantListing(t, k.list(d, 7), 5, false, false)
	})
}

// between is a store in which something happens after a listing has read the
// head and before it reads the records.
type between struct {
	tributary.Store
	happens func()
}

func (b *between) Records(ctx context.Context, key tributary.DatasetKey, r tributary.Range) ([]tributary.Record, error) {
	if f := b.happens; f != nil {
		b.happens = nil
		f()
	}
	return b.Store.Records(ctx, key, r)
}

func TestListMeetsAChange(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.fill(d, 3)
	b := &between{Store: k.Store}
	k.Store = b
	b.happens = func() { k.set(d, "b", "changed") }
	l := k.list(d, 0)
	wantListing(t, l, 3, true, false)
	wantRecords(t, "as of the count", l.Records, "a=v@1", "c=v@3")
	b.happens = func() { k.delete(d) }
	l = k.list(d, 2)
	wantListing(t, l, 4, true, false)
	wantListing(t, k.list(d, l.SyncCount), 5, false, true)
}

// TestListNeverSkipsAForgottenTombstone has tombstones forgotten while they
// are being listed. A client that is not shown one of them and then asks from
// the listing's count on would keep the record for ever, so the listing must
// either show it or say that it is not to be built upon.
func TestListNeverSkipsAForgottenTombstone(t *testing.T) {
	forgetOne := func(k *kit, d tributary.DatasetKey) {
		for i := range 20 {
			k.remove(d, fmt.Sprint("more ", i))
		}
	}
	check := func(t *testing.T, k *kit, d tributary.DatasetKey, shown []tributary.Record, last tributary.Listing, err error) {
		t.Helper()
		if tributary.KindOf(err) == tributary.Invalid || last.DeletedMeanwhile || slices.ContainsFunc(shown, func(r tributary.Record) bool { return r.Key == "gone" }) {
			return
		}
		k.ok(err)
		if next := k.list(d, last.SyncCount); !next.DeletedMeanwhile {
			t.Fatalf("the tombstone of gone was forgotten before it was shown, and nobody says so: shown %v, the next pull %v", show(shown), show(next.Records))
		}
	}
	prepare := func(t *testing.T) (*kit, tributary.DatasetKey) {
		k := newFilledKit(t, tributary.Limits{Records: 3})
		d := key("d")
		k.set(d, "gone", "v") // what the client has seen: count 1
		for i := range 46 {
			k.remove(d, fmt.Sprint("t", i))
			if i == 1 {
				k.remove(d, "gone")
			}
		}
		return k, d
	}
	t.Run("BetweenPages", func(t *testing.T) {
		k, d := prepare(t)
		first, err := k.page(d, "", 1, 1)
		k.ok(err)
		forgetOne(k, d)
		rest, err := k.page(d, first.NextToken, 1, 0)
		check(t, k, d, append(first.Records, rest.Records...), rest, err)
	})
	t.Run("BetweenHeadAndRecords", func(t *testing.T) {
		k, d := prepare(t)
		b := &between{Store: k.Store}
		k.Store = b
		b.happens = func() { b.happens = nil; forgetOne(k, d) }
		l, err := k.page(d, "", 1, 0)
		check(t, k, d, l.Records, l, err)
	})
}
