package tributary_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary"
)

func TestUpdateGivesTheRecordsInTheOrderOfThePatches(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	got := k.update(key("d"), tributary.Patch{Key: "c", Value: "1"}, tributary.Patch{Key: "a", Remove: true}, tributary.Patch{Key: "b", Value: ""})
	wantRecords(t, "of the update", got, "c=1@1", "a-@1", "b=@1")
}

func TestUpdateOfNothing(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	for _, written := range []bool{false, true} {
		if written {
			k.set(key("d"), "a", "v")
		}
		changes, before := len(k.changes()), k.list(key("d"), 0)
		wantRecords(t, "of no patches", k.update(key("d")))
		after := k.list(key("d"), 0)
		want(t, "the count", after.SyncCount, before.SyncCount)
		want(t, "exists", after.Exists, written)
		want(t, "changes in the log", len(k.changes()), changes)
	}
	_, err := k.UpdateRecords(k.ctx, developer, key("d"), tributary.Update{SessionToken: "forged"})
	k.kind(err, tributary.Invalid) // the token is checked all the same
}

func TestUpdateConflictRejectsAll(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.set(d, "a", "1")
	k.set(d, "a", "2")
	_, err := k.tryUpdate(d, tributary.Patch{Key: "new", Value: "x"}, tributary.Patch{Key: "a", Value: "3", SyncCount: 1})
	k.text(err, tributary.Stale, "Current SyncCount for: a is: 2 not: 1")
	wantRecords(t, "after a conflict", k.list(d, 0).Records, "a=2@2")
	want(t, "changes in the log", len(k.changes()), 2)
}

// TestARefusedClientIsShownWhatItClaimsToHaveSeen has a client that lists from
// a count which hides the record that its patch conflicts with. No list would
// ever show it again, so the refusal has to bring it back.
func TestARefusedClientIsShownWhatItClaimsToHaveSeen(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.set(d, "a", "1")
	k.set(d, "a", "2")
	k.remove(d, "b")
	k.set(d, "c", "4")
	k.clock.Add(time.Minute)
	token := k.list(d, 3).SessionToken
	push := func() {
		t.Helper()
		_, err := k.UpdateRecords(k.ctx, developer, d, tributary.Update{SessionToken: token, Patches: []tributary.Patch{
			{Key: "a", Value: "mine", SyncCount: 1}, {Key: "b", Value: "mine"}, {Key: "x", Value: "mine"}, {Key: "c", Value: "mine", SyncCount: 1}}})
		k.kind(err, tributary.Stale)
	}
	push()
	shown := k.list(d, 3)
	var again []string
	for _, r := range shown.Records {
		again = append(again, fmt.Sprint(r.Key, " ", r.Value, " ", r.Removed))
		want(t, "the date of "+r.Key, r.LastModified, startOfTime)
	}
	want(t, "what the next list since 3 shows", strings.Join(again, ", "), "c 4 false, a 2 false, b  true")
	count, changes := shown.SyncCount, len(k.changes())
	push()
	want(t, "the count after another try", k.list(d, 0).SyncCount, count)
	want(t, "changes in the log", len(k.changes()), changes)
	head, err := k.DescribeDataset(k.ctx, developer, d)
	k.ok(err)
	want(t, "records, tombstones, bytes", fmt.Sprint(head.Records, head.Tombstones, head.Bytes), "2 1 4")
}

func TestUpdateRefusesBadPatches(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	for name, patches := range map[string][]tributary.Patch{
		"Twice":    {{Key: "a"}, {Key: "b"}, {Key: "a", Remove: true}},
		"NoKey":    {{}},
		"Negative": {{Key: "a", SyncCount: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			_, err := k.tryUpdate(key("d"), patches...)
			k.kind(err, tributary.Invalid)
			wantListing(t, k.list(key("d"), 0), 0, false, false)
		})
	}
}

func TestSeveralUpdatesWithOneToken(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	token := k.list(d, 0).SessionToken
	put := func(p tributary.Patch) ([]tributary.Record, error) {
		return k.UpdateRecords(k.ctx, developer, d, tributary.Update{SessionToken: token, Patches: []tributary.Patch{p}})
	}
	for count := range int64(5) {
		got, err := put(tributary.Patch{Key: "a", Value: "v", SyncCount: count})
		k.ok(err)
		want(t, "the count", got[0].SyncCount, count+1)
	}
	_, err := put(tributary.Patch{Key: "a", Value: "v", SyncCount: 3})
	k.text(err, tributary.Stale, "Current SyncCount for: a is: 5 not: 3") // a token does not excuse a stale count
}

func TestLastModifiedBy(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	for _, tt := range []struct {
		name, device string
		who          tributary.Principal
		want         string
	}{
		{"Developer", "", developer, account},
		{"DeveloperWithADevice", "device-1", developer, account},
		{"Identity", "", asIdentity(poolA, ann), string(ann)},
		{"Device", "device-1", asIdentity(poolA, ann), "device-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := k.in(t)
			d := key(tributary.DatasetName(tt.name))
			l, err := k.ListRecords(k.ctx, tt.who, d, tributary.ListQuery{})
			k.ok(err)
			got, err := k.UpdateRecords(k.ctx, tt.who, d, tributary.Update{SessionToken: l.SessionToken, DeviceID: tt.device, Patches: []tributary.Patch{{Key: "a"}}})
			k.ok(err)
			want(t, "the answer's", got[0].LastModifiedBy, tt.want)
			l, err = k.ListRecords(k.ctx, tt.who, d, tributary.ListQuery{})
			k.ok(err)
			want(t, "the listing's", l.LastModifiedBy, tt.want)
			want(t, "the record's", l.Records[0].LastModifiedBy, tt.want)
			head, err := k.DescribeDataset(k.ctx, tt.who, d)
			k.ok(err)
			want(t, "the dataset's", head.LastModifiedBy, tt.want)
			changes := k.changes()
			want(t, "the log's", changes[len(changes)-1].By, tt.want)
		})
	}
}

// tokenFor is a good session token for a dataset, from another node whose pool
// and identity are in order.
func tokenFor(t testing.TB, d tributary.DatasetKey) string {
	if tributary.CheckPoolID(d.Pool) != nil || tributary.CheckIdentityID(d.Identity) != nil || tributary.CheckDatasetName(d.Dataset) != nil {
		return "none"
	}
	k := newKit(t)
	k.pool(tributary.Pool{ID: d.Pool, Name: "p"})
	k.identity(d.Pool, d.Identity)
	return k.list(d, 0).SessionToken
}

// everyDataCall calls each operation that reaches an identity's data.
func everyDataCall(k *kit, p tributary.Principal, d tributary.DatasetKey) map[string]error {
	calls := map[string]error{}
	_, calls["ListRecords"] = k.ListRecords(k.ctx, p, d, tributary.ListQuery{})
	_, calls["UpdateRecords"] = k.UpdateRecords(k.ctx, p, d, tributary.Update{SessionToken: tokenFor(k.t, d), Patches: []tributary.Patch{{Key: "x"}}})
	_, calls["DescribeDataset"] = k.DescribeDataset(k.ctx, p, d)
	_, _, calls["ListDatasets"] = k.ListDatasets(k.ctx, p, d.Pool, d.Identity, "", 10)
	_, calls["IdentityUsage"] = k.IdentityUsage(k.ctx, p, d.Pool, d.Identity)
	_, calls["DeleteDataset"] = k.DeleteDataset(k.ctx, p, d)
	return calls
}

func TestAccess(t *testing.T) {
	const carl = tributary.IdentityID("eu-west-1:33333333-3333-4333-8333-333333333333")
	annInB := tributary.DatasetKey{Pool: poolB, Identity: ann, Dataset: "d"}
	for _, tt := range []struct {
		name string
		who  tributary.Principal
		data tributary.DatasetKey
		kind tributary.Kind // Internal: allowed
	}{
		{"OwnData", asIdentity(poolA, ann), key("d"), 0},
		{"Developer", developer, key("d"), 0},
		{"AnotherIdentity", asIdentity(poolA, bob), key("d"), tributary.Denied},
		{"OwnIDInAnotherPool", asIdentity(poolA, ann), annInB, tributary.Denied},
		{"OwnIDFromAnotherPool", asIdentity(poolB, ann), key("d"), tributary.Denied},
		{"Nobody", tributary.Principal{}, key("d"), tributary.Denied},
		{"NobodyWithAKey", tributary.Principal{AccessKey: "AKIA"}, key("d"), tributary.Denied},
		{"APoolWithoutAnIdentity", tributary.Principal{Pool: poolA}, key("d"), tributary.Denied},
		{"AnIdentityOfAnAccount", tributary.Principal{Account: account, Pool: poolA, Identity: bob}, key("d"), tributary.Denied},
		{"DeveloperInTheWrongPool", developer, annInB, tributary.NotFound},
		{"DeveloperAndNoIdentity", developer, tributary.DatasetKey{Pool: poolA, Identity: carl, Dataset: "d"}, tributary.NotFound},
		{"DeveloperAndNoPool", developer, tributary.DatasetKey{Pool: "eu-west-1:0", Identity: ann, Dataset: "d"}, tributary.NotFound},
		{"BadPoolID", developer, tributary.DatasetKey{Pool: "EU", Identity: ann, Dataset: "d"}, tributary.Invalid},
		{"BadIdentityID", developer, tributary.DatasetKey{Pool: poolA, Identity: "x:Z", Dataset: "d"}, tributary.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newFilledKit(t, tributary.Limits{})
			k.set(key("d"), "a", "v")
			for call, err := range everyDataCall(k, tt.who, tt.data) {
				if tt.kind == 0 && err != nil || tt.kind != 0 && tributary.KindOf(err) != tt.kind {
					t.Errorf("%s: error %v, want kind %q", call, err, tt.kind)
				}
			}
			if tt.kind != 0 {
				wantRecords(t, "the data", k.list(key("d"), 0).Records, "a=v@1")
			}
		})
	}
}

func TestDatasetNames(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	for _, name := range []string{"a", "A9_.:-", "name." + string(ann), strings.Repeat("n", 128)} {
		k.set(key(tributary.DatasetName(name)), "a", "v")
	}
	for _, name := range []string{"", "a b", "a/b", "é", "a\x00", "a\n", strings.Repeat("n", 129)} {
		for call, err := range everyDataCall(k, developer, key(tributary.DatasetName(name))) {
			if call != "ListDatasets" && call != "IdentityUsage" && tributary.KindOf(err) != tributary.Invalid {
				t.Errorf("%s of %q: %v, want Invalid", call, name, err)
			}
		}
	}
}

func TestDescribeAndDeleteDataset(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.update(d, tributary.Patch{Key: "a", Value: "123"}, tributary.Patch{Key: "é", Value: "ü"})
	k.clock.Add(time.Second)
	k.remove(d, "a")
	head, err := k.DescribeDataset(k.ctx, developer, d)
	k.ok(err)
	want(t, "the change's id", head.Change != 0, true)
	head.Change = 0
	want(t, "the head", head, tributary.Dataset{
		Key: d, Exists: true, Version: tributary.Version{SyncCount: 2},
		Created: startOfTime, LastModified: startOfTime + 1000, LastModifiedBy: account,
		Records: 1, Tombstones: 1, TombstoneBytes: 1, Bytes: 4,
	})
	k.clock.Add(time.Second)
	gone, err := k.DeleteDataset(k.ctx, developer, d)
	k.ok(err)
	gone.Change = 0
	want(t, "what was deleted", gone, head)
	_, err = k.DescribeDataset(k.ctx, developer, d)
	k.text(err, tributary.NotFound, "Dataset 'd' not found.")
	_, err = k.DeleteDataset(k.ctx, developer, d)
	k.text(err, tributary.NotFound, "Dataset 'd' not found.")
	_, err = k.DeleteDataset(k.ctx, developer, key("never"))
	k.kind(err, tributary.NotFound)
	last := k.changes()[2]
	if last.Op != tributary.Remove || last.SyncCount != 3 || len(last.Records) != 0 || last.PoolBytes != -4 || last.At != startOfTime+2000 {
		t.Errorf("the log says of the deletion: %+v", last)
	}
}

func TestListDatasets(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	names := []tributary.DatasetName{"A", "B", "a", "a.b", "b"}
	for _, name := range names {
		k.set(key(name), "a", "v")
	}
	k.set(key("deleted"), "a", "v")
	k.delete(key("deleted"))
	for most := range len(names) + 2 {
		var got []tributary.DatasetName
		token := ""
		for first := true; first || token != ""; first = false {
			list, next, err := k.ListDatasets(k.ctx, developer, poolA, ann, token, most)
			k.ok(err)
			for _, d := range list {
				got = append(got, d.Key.Dataset)
			}
			if most > 0 && len(list) > most {
				t.Fatalf("a page of %d has %d", most, len(list))
			}
			token = next
		}
		want(t, fmt.Sprint("pages of ", most), fmt.Sprint(got), fmt.Sprint(names))
	}
	_, _, err := k.ListDatasets(k.ctx, developer, poolA, ann, "!", 1)
	k.kind(err, tributary.Invalid)
	list, _, err := k.ListDatasets(k.ctx, developer, poolA, bob, "", 1)
	k.ok(err)
	want(t, "of another identity", len(list), 0)
}

func TestLimitsPerPool(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{ValueBytes: 4, DatasetBytes: 12, Records: 3, Datasets: 2})
	d := key("d")
	value := func(key, v string) tributary.Patch { return tributary.Patch{Key: key, Value: v} }
	k.update(d, value("a", "1234"), value("b", "1234"))
	refused := func(d tributary.DatasetKey, patches ...tributary.Patch) {
		t.Helper()
		_, err := k.tryUpdate(d, patches...)
		k.kind(err, tributary.Limit)
	}
	refused(d, value("c", "12345"))
	refused(d, value("c", "12"))
	k.update(d, value("c", "1"))
	refused(d, value("d", ""))
	k.set(key("e"), "a", "v")
	refused(key("f"), value("a", "v"))
	k.delete(key("e"))
	k.set(key("f"), "a", "v") // there is room again
	refused(key("e"), value("a", "v"))
	// Limits are the pool's own, and may change.
	_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error {
		p.Limits = tributary.Limits{Datasets: 3}
		return nil
	})
	k.ok(err)
	k.update(key("e"), value("a", strings.Repeat("v", 1000)))
	refused(key("g"), value("a", "v"))
}

func TestForgottenTombstonesAreTheOldest(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{Records: 1})
	d := key("d")
	for i := range 16 {
		k.remove(d, fmt.Sprint("t", i))
	}
	// One change removes a key that is the oldest tombstone already, and two more.
	k.update(d, tributary.Patch{Key: "t0", Remove: true, SyncCount: 1}, tributary.Patch{Key: "x", Remove: true}, tributary.Patch{Key: "y", Remove: true})
	head, err := k.DescribeDataset(k.ctx, developer, d)
	k.ok(err)
	want(t, "tombstones", head.Tombstones, 16)
	want(t, "the floor", head.Floor, 3)
	left := k.list(d, 3).Records
	wantRecords(t, "the oldest and the youngest that are left", []tributary.Record{left[0], left[len(left)-3]}, "t3-@4", "t0-@17")
	// All at once: a change keeps what it touches.
	var many []tributary.Patch
	for i := range 40 {
		many = append(many, tributary.Patch{Key: fmt.Sprint("many ", i), Remove: true})
	}
	k.update(d, many...)
	head, err = k.DescribeDataset(k.ctx, developer, d)
	k.ok(err)
	want(t, "tombstones of one change", head.Tombstones, 40)
	want(t, "the floor above the others", head.Floor, 17)
	k.remove(d, "one more")
	head, err = k.DescribeDataset(k.ctx, developer, d)
	k.ok(err)
	want(t, "tombstones after the next", head.Tombstones, 16)
}

func TestTombstonesAreBoundedInBytes(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{DatasetBytes: 500})
	d := key("d")
	for i := range 250 { // more small ones than are read at once, then large ones
		k.remove(d, fmt.Sprint("t", i))
	}
	k.remove(d, strings.Repeat("x", 400))
	head, err := k.DescribeDataset(k.ctx, developer, d)
	k.ok(err)
	want(t, "tombstones", head.Tombstones, 1+25)
	want(t, "their bytes", head.TombstoneBytes, 400+25*4)
	want(t, "the floor", head.Floor, 225)
}

// failing is a store whose commits fail as told.
type failing struct {
	tributary.Store
	stale  int   // so many are answered Stale
	failed error // then this, unless nil
	tries  int
}

func (f *failing) Commit(ctx context.Context, c *tributary.Change) error {
	f.tries++
	if f.tries <= f.stale {
		return tributary.Errorf(tributary.Stale, "commit", "not for clients")
	}
	if f.failed != nil {
		return f.failed
	}
	return f.Store.Commit(ctx, c)
}

func TestCommitIsTriedAgain(t *testing.T) {
	down := tributary.Errorf(tributary.Unavailable, "commit", "The store is not available")
	for _, tt := range []struct {
		name  string
		store failing
		kind  tributary.Kind // Internal: it succeeds
		tries int
	}{
		{"AtOnce", failing{}, 0, 1},
		{"AfterThreeOthers", failing{stale: 3}, 0, 4},
		{"Never", failing{stale: 1 << 30}, tributary.Busy, 8},
		{"StoreDown", failing{failed: down}, tributary.Unavailable, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newFilledKit(t, tributary.Limits{})
			k.set(key("old"), "a", "v")
			store := k.Store
			check := func(call string, err error, f *failing) {
				t.Helper()
				if tt.kind == 0 && err != nil || tt.kind != 0 && tributary.KindOf(err) != tt.kind {
					t.Errorf("%s: error %v, want kind %q", call, err, tt.kind)
				}
				want(t, "tries of "+call, f.tries, tt.tries)
			}
			f := tt.store
			f.Store, k.Store = store, &f
			_, err := k.tryUpdate(key("d"), tributary.Patch{Key: "a"})
			check("UpdateRecords", err, &f)
			g := tt.store
			g.Store, k.Store = store, &g
			_, err = k.DeleteDataset(k.ctx, developer, key("old"))
			check("DeleteDataset", err, &g)
		})
	}
}

// TestUpdatesAtOnce has many writers of one identity. Every update is answered
// well or Busy, and the log has exactly those that were, in their order.
func TestUpdatesAtOnce(t *testing.T) {
	const writers, each = 6, 20
	k := newFilledKit(t, tributary.Limits{})
	token := k.list(key("d"), 0).SessionToken
	counts := make([][]int64, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for n := range each {
				got, err := k.UpdateRecords(k.ctx, developer, key("d"), tributary.Update{SessionToken: token,
					Patches: []tributary.Patch{{Key: fmt.Sprint(i, "/", n), Value: "v"}}})
				if err == nil {
					counts[i] = append(counts[i], got[0].SyncCount)
				} else if tributary.KindOf(err) != tributary.Busy {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	seen := map[int64]bool{}
	for _, list := range counts {
		for _, n := range list {
			if seen[n] {
				t.Fatalf("two updates have the count %d", n)
			}
			seen[n] = true
		}
	}
	want(t, "the dataset's count", k.list(key("d"), 0).SyncCount, int64(len(seen)))
	for i, c := range k.changes() {
		want(t, "the count of the log's next change", c.SyncCount, int64(i+1))
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("disk on fire")
	err := fmt.Errorf("outer: %w", &tributary.Error{Kind: tributary.Limit, Op: "commit", Msg: "too much", Err: cause})
	want(t, "the kind", tributary.KindOf(err), tributary.Limit)
	want(t, "what a client may see", tributary.Message(err), "too much")
	want(t, "what the log says", err.Error(), "outer: commit: too much: disk on fire")
	want(t, "the cause is found", errors.Is(err, cause), true)
	want(t, "the message of a foreign error", tributary.Message(cause), "")
}
