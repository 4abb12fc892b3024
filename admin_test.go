package tributary_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary"
)

var madeID = regexp.MustCompile(`^eu-west-1:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestCreatePool(t *testing.T) {
	k := newKit(t)
	made := k.pool(tributary.Pool{Name: "One pool"})
	if !madeID.MatchString(string(made.ID)) {
		t.Errorf("the id is %q", made.ID)
	}
	want(t, "Created", made.Created, startOfTime)
	want(t, "the revision", made.Revision, 1)
	want(t, "the region", made.ID.Region(), "eu-west-1")
	given := k.pool(tributary.Pool{ID: poolA, Name: "given", Created: 5, Revision: 7, DeveloperProvider: "login.example"})
	want(t, "the id given", given.ID, poolA)
	want(t, "Created, whatever was given", given.Created, startOfTime)
	want(t, "the provider", given.DeveloperProvider, "login.example")
	_, err := k.CreatePool(k.ctx, developer, tributary.Pool{ID: poolA, Name: "again"})
	k.kind(err, tributary.Exists)
	for _, bad := range []tributary.Pool{
		{}, {Name: strings.Repeat("n", 129)}, {Name: "a/b"}, {Name: "ok", ID: "no colon"}, {Name: "ok", ID: "eu-west-1:UPPER"},
		{Name: "ok", ID: tributary.PoolID("eu-west-1:" + strings.Repeat("0", 46))},
	} {
		_, err := k.CreatePool(k.ctx, developer, bad)
		k.kind(err, tributary.Invalid)
	}
	_, err = k.CreatePool(k.ctx, asIdentity(poolA, ann), tributary.Pool{Name: "mine"})
	k.kind(err, tributary.Denied)
	k.Region = ""
	want(t, "the region by default", k.pool(tributary.Pool{Name: "x"}).ID.Region(), "us-east-1")
}

func TestPoolsInPages(t *testing.T) {
	k := newKit(t)
	var all []tributary.PoolID
	for range 7 {
		all = append(all, k.pool(tributary.Pool{Name: "p"}).ID)
	}
	slices.Sort(all)
	for _, i := range []int{0, 3, 4, 6} { // pages of deleted ones only, too
		k.ok(k.DeletePool(k.ctx, developer, all[i]))
	}
	live := []tributary.PoolID{all[1], all[2], all[5]}
	for most := 1; most <= 8; most++ {
		var got []tributary.PoolID
		token := ""
		for first := true; first || token != ""; first = false {
			list, next, err := k.Pools(k.ctx, developer, token, most)
			k.ok(err)
			if len(list) > most {
				t.Fatalf("a page of %d has %d", most, len(list))
			}
			for _, p := range list {
				got = append(got, p.ID)
			}
			token = next
		}
		want(t, fmt.Sprint("pages of ", most), fmt.Sprint(got), fmt.Sprint(live))
	}
	_, _, err := k.Pools(k.ctx, asIdentity(poolA, ann), "", 1)
	k.kind(err, tributary.Denied)
}

func TestChangePool(t *testing.T) {
	k := newKit(t)
	before := k.pool(tributary.Pool{ID: poolA, Name: "before", Tags: map[string]string{"a": "1"}})
	k.clock.Add(time.Hour)
	after, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error {
		p.Name, p.ID, p.Created, p.Revision = "after", poolB, 1, 99
		return nil
	})
	k.ok(err)
	want(t, "the name", after.Name, "after")
	want(t, "the id", after.ID, poolA)
	want(t, "Created", after.Created, before.Created)
	want(t, "the revision", after.Revision, before.Revision+1)
	t.Run("AnEditThatFailsChangesNothing", func(t *testing.T) {
		k := k.in(t)
		broken := errors.New("broken")
		_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error {
			p.Name, p.Tags["a"] = "broken", "broken"
			return broken
		})
		want(t, "the error is the edit's", errors.Is(err, broken), true)
		p, err := k.Pool(k.ctx, developer, poolA)
		k.ok(err)
		want(t, "the name", p.Name, "after")
		want(t, "the tag", p.Tags["a"], "1")
	})
	t.Run("ABadNameIsRefused", func(t *testing.T) {
		k := k.in(t)
		_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { p.Name = ""; return nil })
		k.kind(err, tributary.Invalid)
	})
	t.Run("TwoAtOnce", func(t *testing.T) {
		k := k.in(t)
		_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error {
			_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { p.Name = "the other"; return nil })
			return err
		})
		k.kind(err, tributary.Stale)
	})
	_, err = k.ChangePool(k.ctx, developer, poolB, func(*tributary.Pool) error { return nil })
	k.kind(err, tributary.NotFound)
	_, err = k.ChangePool(k.ctx, asIdentity(poolA, ann), poolA, func(*tributary.Pool) error { return nil })
	k.kind(err, tributary.Denied)
}

func TestDeletedPoolRefusesAll(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.set(key("d"), "a", "v")
	k.ok(k.DeletePool(k.ctx, developer, poolA))
	calls := everyDataCall(k, developer, key("d"))
	for call, err := range everyDataCall(k, asIdentity(poolA, ann), key("d")) {
		calls[call+" by the identity"] = err
	}
	_, calls["Pool"] = k.Pool(k.ctx, developer, poolA)
	_, calls["PoolUsage"] = k.PoolUsage(k.ctx, developer, poolA)
	calls["DeletePool"] = k.DeletePool(k.ctx, developer, poolA)
	_, calls["ChangePool"] = k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { p.Deleted = false; return nil })
	_, calls["NewGuest"] = k.NewGuest(k.ctx, poolA)
	_, calls["Guest"] = k.Guest(k.ctx, ann)
	_, calls["CreateIdentity"] = k.CreateIdentity(k.ctx, developer, tributary.Identity{Pool: poolA, ID: "eu-west-1:99"})
	_, _, calls["Identities"] = k.Identities(k.ctx, developer, poolA, "", 1, false)
	for call, err := range calls {
		if tributary.KindOf(err) != tributary.NotFound {
			t.Errorf("%s: error %v, want NotFound", call, err)
		}
	}
	want(t, "changes in the log", len(k.changes()), 1)
}

func TestSweepEmptiesDeletedPools(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	other := tributary.DatasetKey{Pool: poolB, Identity: "eu-west-1:44", Dataset: "d"}
	k.identity(poolB, other.Identity)
	bobs := tributary.DatasetKey{Pool: poolA, Identity: bob, Dataset: "d"}
	for _, d := range []tributary.DatasetKey{key("d"), key("e"), bobs, other} {
		k.set(d, "a", "v")
	}
	for range 120 { // more than a batch, without data
		_, err := k.NewGuest(k.ctx, poolA)
		k.ok(err)
	}
	k.ok(k.Sweep(k.ctx)) // nothing to do
	want(t, "changes in the log", len(k.changes()), 4)
	k.ok(k.DeletePool(k.ctx, developer, poolA))
	k.ok(k.Sweep(k.ctx))
	removed := map[tributary.DatasetKey]bool{}
	for _, c := range k.changes()[4:] {
		if c.Op != tributary.Remove || c.By != account || c.SyncCount != 2 {
			t.Errorf("the log says %+v, want a removal by the account", c)
		}
		removed[c.Key] = true
	}
	if len(removed) != 3 || !removed[key("d")] || !removed[key("e")] || !removed[bobs] {
		t.Errorf("the log has removals of %v", removed)
	}
	_, err := k.Store.Pool(k.ctx, poolA)
	k.kind(err, tributary.NotFound)
	_, err = k.Store.Identity(k.ctx, ann)
	k.kind(err, tributary.NotFound)
	wantRecords(t, "another pool's data", k.list(other, 0).Records, "a=v@1")
	k.pool(tributary.Pool{ID: poolA, Name: "again"})
	k.identity(poolA, ann)
	wantListing(t, k.list(key("d"), 1), 0, false, false) // nothing is left of it
	k.ok(k.Sweep(k.ctx))
}

// TestSweepGoesOnWhereItStopped breaks off a sweep at every commit.
func TestSweepGoesOnWhereItStopped(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	for _, name := range []tributary.DatasetName{"a", "b", "c"} {
		k.set(key(name), "x", "y")
	}
	k.ok(k.DeletePool(k.ctx, developer, poolA))
	down, store := tributary.Errorf(tributary.Unavailable, "commit", "down"), k.Store
	for range 3 {
		f := &oneCommit{Store: store, failed: down}
		k.Store = f
		k.kind(k.Sweep(k.ctx), tributary.Unavailable)
	}
	k.Store = store
	k.ok(k.Sweep(k.ctx))
	want(t, "changes in the log", len(k.changes()), 6)
	_, err := k.Store.Pool(k.ctx, poolA)
	k.kind(err, tributary.NotFound)
}

// oneCommit is a store that fails from the second thing it is to write.
type oneCommit struct {
	tributary.Store
	failed error
	writes int
}

func (o *oneCommit) fail() error {
	if o.writes++; o.writes > 1 {
		return o.failed
	}
	return nil
}

func (o *oneCommit) Commit(ctx context.Context, c *tributary.Change) error {
	if err := o.fail(); err != nil {
		return err
	}
	return o.Store.Commit(ctx, c)
}

func (o *oneCommit) DeleteIdentity(ctx context.Context, id tributary.IdentityID) error {
	if err := o.fail(); err != nil {
		return err
	}
	return o.Store.DeleteIdentity(ctx, id)
}

// TestSweepDoesNotStopAtOnePool has a pool that cannot be emptied before one
// that can.
func TestSweepDoesNotStopAtOnePool(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.set(key("d"), "a", "v")
	k.ok(k.DeletePool(k.ctx, developer, poolA))
	k.ok(k.DeletePool(k.ctx, developer, poolB))
	store := k.Store
	k.Store = &oneCommit{Store: store, failed: tributary.Errorf(tributary.Unavailable, "commit", "down"), writes: 1}
	k.kind(k.Sweep(k.ctx), tributary.Unavailable)
	k.Store = store
	_, err := store.Pool(k.ctx, poolA)
	k.ok(err)
	_, err = store.Pool(k.ctx, poolB)
	k.kind(err, tributary.NotFound)
	ctx, stop := context.WithCancel(k.ctx)
	stop()
	if err := k.Sweep(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a sweep that was called off gives %v", err)
	}
	k.ok(k.Sweep(k.ctx))
}

func TestRunSweepsAndFlushes(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.set(key("d"), "a", "v") // begins two sessions
	ofB := tributary.DatasetKey{Pool: poolB, Identity: "eu-west-1:44", Dataset: "d"}
	k.identity(poolB, ofB.Identity)
	k.list(ofB, 0)
	k.ok(k.DeletePool(k.ctx, developer, poolA))
	shards, err := k.Store.Shards(k.ctx)
	k.ok(err)
	ctx, stop := context.WithCancel(k.ctx)
	defer stop()
	done := make(chan error, 2)
	go func() { done <- k.Run(ctx) }()
	go func() { done <- k.RunSweep(ctx) }()
	patient, giveUp := context.WithTimeout(k.ctx, 30*time.Second)
	defer giveUp()
	_ = k.Store.Wait(patient, shards[0], tributary.PositionOf(shards[0], 1)) // the removal
	stop()
	k.ok(<-done)
	k.ok(<-done)
	changes := k.changes()
	want(t, "the log's last change", changes[len(changes)-1].Op, tributary.Remove)
	u, err := k.PoolUsage(k.ctx, developer, poolB)
	k.ok(err)
	want(t, "sessions", u.Sessions, 1)
}

func TestGuests(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	g, err := k.NewGuest(k.ctx, poolA)
	k.ok(err)
	if !madeID.MatchString(string(g.ID)) || g.Pool != poolA || g.Created != startOfTime || g.Modified != startOfTime || len(g.Logins) > 0 {
		t.Errorf("the guest is %+v", g)
	}
	again, err := k.Guest(k.ctx, g.ID)
	k.ok(err)
	want(t, "the same guest", again.ID, g.ID)
	_, err = k.Guest(k.ctx, "eu-west-1:99")
	k.text(err, tributary.NotFound, "Identity 'eu-west-1:99' not found.")
	_, err = k.Guest(k.ctx, "bad id")
	k.kind(err, tributary.Invalid)
	_, err = k.NewGuest(k.ctx, "eu-west-1:99")
	k.kind(err, tributary.NotFound)
	_, err = k.NewGuest(k.ctx, "bad id")
	k.kind(err, tributary.Invalid)
	member, err := k.CreateIdentity(k.ctx, developer, tributary.Identity{ID: "eu-west-1:55", Pool: poolA, Logins: []tributary.Login{{Provider: "p", User: "u"}}})
	k.ok(err)
	_, err = k.Guest(k.ctx, member.ID)
	k.text(err, tributary.Denied, "Access to Identity 'eu-west-1:55' is forbidden.")
	const refused = "Unauthenticated access is not supported for this identity pool."
	_, err = k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { p.AllowUnauthenticated = false; return nil })
	k.ok(err)
	_, err = k.Guest(k.ctx, g.ID)
	k.text(err, tributary.Denied, refused)
	_, err = k.NewGuest(k.ctx, poolA)
	k.text(err, tributary.Denied, refused)
}

func TestCreateIdentity(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	i, err := k.CreateIdentity(k.ctx, developer, tributary.Identity{ID: "eu-west-1:77", Pool: poolB, Disabled: true, Datasets: 7, Revision: 9,
		Logins: []tributary.Login{{Provider: "p", User: "u"}}})
	k.ok(err)
	if i.ID != "eu-west-1:77" || i.Pool != poolB || i.Disabled || i.Datasets != 0 || i.Revision != 1 || len(i.Logins) != 1 {
		t.Errorf("the identity is %+v", i)
	}
	_, err = k.CreateIdentity(k.ctx, developer, tributary.Identity{ID: "eu-west-1:77", Pool: poolB})
	k.kind(err, tributary.Exists)
	_, err = k.CreateIdentity(k.ctx, developer, tributary.Identity{ID: "eu-west-1:77", Pool: poolA}) // ids are unique over all pools
	k.kind(err, tributary.Exists)
	_, err = k.CreateIdentity(k.ctx, developer, tributary.Identity{ID: "eu-west-1:78", Pool: poolB, Logins: []tributary.Login{{Provider: "p", User: "u"}}})
	k.kind(err, tributary.Exists)
	for _, bad := range []tributary.IdentityID{"", "x", "eu-west-1:UP"} {
		_, err = k.CreateIdentity(k.ctx, developer, tributary.Identity{ID: bad, Pool: poolB})
		k.kind(err, tributary.Invalid)
	}
	_, err = k.CreateIdentity(k.ctx, developer, tributary.Identity{ID: "eu-west-1:79", Pool: "eu-west-1:0"})
	k.kind(err, tributary.NotFound)
	_, err = k.CreateIdentity(k.ctx, asIdentity(poolB, ann), tributary.Identity{ID: "eu-west-1:79", Pool: poolB})
	k.kind(err, tributary.Denied)
	_, err = k.Identity(k.ctx, developer, "eu-west-1:77")
	k.ok(err)
	_, err = k.Identity(k.ctx, asIdentity(poolB, "eu-west-1:77"), "eu-west-1:77")
	k.kind(err, tributary.Denied)
}

func TestDisabledIdentity(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.set(key("d"), "a", "v")
	i, err := k.Store.Identity(k.ctx, ann)
	k.ok(err)
	i.Disabled = true
	k.ok(k.Store.PutIdentity(k.ctx, i))
	for call, err := range everyDataCall(k, asIdentity(poolA, ann), key("d")) {
		if tributary.KindOf(err) != tributary.Denied {
			t.Errorf("%s: error %v, want Denied", call, err)
		}
	}
	_, err = k.Guest(k.ctx, ann)
	k.kind(err, tributary.Denied)
	for hide, number := range map[bool]int{true: 1, false: 2} {
		list, token, err := k.Identities(k.ctx, developer, poolA, "", 10, hide)
		k.ok(err)
		want(t, "identities", len(list), number)
		want(t, "the token", token, "")
	}
}

func TestIdentitiesInPages(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	list, token, err := k.Identities(k.ctx, developer, poolA, "", 1, false)
	k.ok(err)
	want(t, "the first", list[0].ID, ann)
	list, token, err = k.Identities(k.ctx, developer, poolA, token, 1, false)
	k.ok(err)
	want(t, "the second", list[0].ID, bob)
	want(t, "the token", token, "")
	_, _, err = k.Identities(k.ctx, asIdentity(poolA, ann), poolA, "", 1, false)
	k.kind(err, tributary.Denied)
}

func TestUsage(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d, bobs := key("d"), tributary.DatasetKey{Pool: poolA, Identity: bob, Dataset: "d"}
	pool := func() tributary.Usage {
		t.Helper()
		u, err := k.PoolUsage(k.ctx, developer, poolA)
		k.ok(err)
		return u
	}
	want(t, "of a new pool", pool(), tributary.Usage{LastModified: startOfTime})
	k.clock.Add(time.Minute)
	k.set(d, "a", "12345")    // 6 bytes, two sessions
	k.set(bobs, "é", "ü")     // 4 bytes
	k.set(key("e"), "a", "1") // 2 bytes
	k.clock.Add(time.Minute)
	k.remove(key("e"), "a")
	want(t, "before the sessions are counted", pool(), tributary.Usage{Bytes: 10, LastModified: startOfTime + 120_000})
	k.ok(k.FlushSessions(k.ctx))
	want(t, "sessions: each helper lists twice", pool().Sessions, 8)
	l, err := k.page(d, "", 0, 1)
	k.ok(err)
	want(t, "one page", l.NextToken, "")
	k.ok(k.FlushSessions(k.ctx))
	k.ok(k.FlushSessions(k.ctx))
	want(t, "sessions", pool().Sessions, 9)
	i, err := k.IdentityUsage(k.ctx, asIdentity(poolA, ann), poolA, ann)
	k.ok(err)
	want(t, "datasets", i.Datasets, 2)
	want(t, "the identity's bytes", i.Usage.Bytes, 6)
	want(t, "the identity's last change", i.Usage.LastModified, startOfTime+120_000)
	k.delete(d)
	want(t, "after a deletion", pool().Bytes, 4)
	i, err = k.IdentityUsage(k.ctx, developer, poolA, ann)
	k.ok(err)
	want(t, "datasets after a deletion", i.Datasets, 1)
	want(t, "the identity's bytes after a deletion", i.Usage.Bytes, 0)
	_, err = k.PoolUsage(k.ctx, asIdentity(poolA, ann), poolA)
	k.kind(err, tributary.Denied)
}

func TestPagesAreOneSession(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.fill(key("d"), 3)
	k.ok(k.FlushSessions(k.ctx))
	before, err := k.PoolUsage(k.ctx, developer, poolA)
	k.ok(err)
	token := ""
	for range 3 {
		l, err := k.page(key("d"), token, 0, 1)
		k.ok(err)
		token = l.NextToken
	}
	k.ok(k.FlushSessions(k.ctx))
	after, err := k.PoolUsage(k.ctx, developer, poolA)
	k.ok(err)
	want(t, "sessions of three pages", after.Sessions-before.Sessions, 1)
}

// noSessions is a store that cannot count sessions.
type noSessions struct {
	tributary.Store
	failed error
}

func (n noSessions) CountSessions(context.Context, map[tributary.PoolID]int64) error { return n.failed }

func TestSessionsAreKeptWhenTheyCannotBeCounted(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.list(key("d"), 0)
	store := k.Store
	k.Store = noSessions{store, tributary.Errorf(tributary.Unavailable, "count", "down")}
	k.kind(k.FlushSessions(k.ctx), tributary.Unavailable)
	k.list(key("d"), 0)
	k.kind(k.FlushSessions(k.ctx), tributary.Unavailable)
	k.Store = store
	k.list(key("d"), 0)
	k.ok(k.FlushSessions(k.ctx))
	u, err := k.PoolUsage(k.ctx, developer, poolA)
	k.ok(err)
	want(t, "sessions", u.Sessions, 3)
}
