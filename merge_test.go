package tributary_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tributary"
	"tributary/store/storetest"
)

// TestOwnTokenIsNoWayAroundMappings: a token that was given for a login of a
// provider is no login itself, past the provider's role mapping.
func TestOwnTokenIsNoWayAroundMappings(t *testing.T) {
	k := newSignInKit(t)
	_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error {
		return p.SetRoles("arn:aws:iam::123456789012:role/full", "", map[string]tributary.RoleMapping{
			"google": {DenyAmbiguous: true, Rules: []tributary.RoleRule{{Claim: "sub", Match: tributary.MatchEquals, Value: "boss", RoleARN: "arn:aws:iam::123456789012:role/boss"}}},
		})
	})
	k.ok(err)
	id := k.getID("google:ann")
	_, err = k.signIn(id, "google:ann")
	k.kind(err, tributary.Denied)
	_, token, err := k.Token(k.ctx, tributary.SignIn{Identity: id, Logins: logins("google:ann")})
	k.ok(err)
	_, err = k.signIn(id, tributary.OwnProvider+":"+token)
	k.kind(err, tributary.Denied)
}

// TestUnlinkedUsersTokenEnds: a token of a user who was taken off an identity
// is good for nothing.
func TestUnlinkedUsersTokenEnds(t *testing.T) {
	k := newSignInKit(t)
	i, token, err := k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Logins: logins("login.app:u")}})
	k.ok(err)
	k.ok(k.UnlinkDeveloper(k.ctx, developer, poolA, i.ID, "login.app", "u"))
	_, _, err = k.Token(k.ctx, tributary.SignIn{Identity: i.ID, Logins: map[string]string{tributary.OwnProvider: token}})
	k.kind(err, tributary.Denied)
	_, err = k.signIn(i.ID, "google:mallory "+tributary.OwnProvider+":"+token)
	k.kind(err, tributary.Denied)
}

type hooked struct {
	tributary.Store
	hook func(tributary.DatasetKey)
}

func (h *hooked) View(ctx context.Context, k tributary.DatasetKey, r []string) (tributary.View, error) {
	if f := h.hook; f != nil {
		h.hook = nil
		f(k)
	}
	return h.Store.View(ctx, k, r)
}

// TestHeirIsMergedMeanwhile: the heir is merged on between being found and being
// read, and the dataset goes with it.
func TestHeirIsMergedMeanwhile(t *testing.T) {
	k := newSignInKit(t)
	guest, w, z := k.getID(""), k.getID("google:w"), k.getID("facebook:z")
	d := tributary.DatasetKey{Pool: poolA, Identity: guest, Dataset: "notes"}
	k.update(d, tributary.Patch{Key: "a", Value: "1"})
	plain := k.Store
	other := &tributary.Service{Store: plain, Sealer: k.Sealer, Logins: fakeLogins{}, Region: "eu-west-1", Account: account, Now: k.clock.Now}
	k.Service.Store = &hooked{Store: plain, hook: func(tributary.DatasetKey) {
		_, err := other.SignIn(k.ctx, tributary.SignIn{Identity: z, Logins: logins("google:w facebook:z")})
		k.ok(err)
	}}
	g, err := k.signIn(guest, "google:w")
	k.ok(err)
	want(t, "who the guest is", g.Identity.ID, z)
	k.ok(other.Sweep(k.ctx))
	for name, id := range map[string]tributary.IdentityID{"guest": guest, "w": w, "z": z} {
		list, err := plain.Datasets(k.ctx, id, "", 10)
		k.ok(err)
		if name == "z" && len(list) == 0 {
			t.Error("the heir of all lacks the dataset")
		}
	}
}

// TestDatasetsOfOneOrigin: two datasets whose copies could have one name are two
// copies.
func TestDatasetsOfOneOrigin(t *testing.T) {
	k := newSignInKit(t)
	guest, w := k.getID(""), k.getID("google:w")
	put := func(id tributary.IdentityID, name tributary.DatasetName, v string) {
		k.update(tributary.DatasetKey{Pool: poolA, Identity: id, Dataset: name}, tributary.Patch{Key: "a", Value: v})
	}
	put(guest, "x", "1")
	put(guest, tributary.DatasetName("x."+guest), "2")
	put(w, tributary.DatasetName("x."+guest), "own")
	_, err := k.signIn(guest, "google:w")
	k.ok(err)
	list, err := k.Store.Datasets(k.ctx, w, "", 10)
	k.ok(err)
	if len(list) != 3 {
		t.Errorf("%d datasets, want 3", len(list))
	}
}

// TestCopyWasChanged: a merge is killed between copy and removal, the copy is
// changed, the heir is merged on: the change stays.
func TestCopyWasChanged(t *testing.T) {
	k := newSignInKit(t)
	// Ids in an order in which the sweep meets the first guest first.
	guest, w := ann, k.getID("google:w")
	k.identity(poolA, guest)
	z := k.getID("facebook:z")
	d := tributary.DatasetKey{Pool: poolA, Identity: guest, Dataset: "x"}
	k.update(d, tributary.Patch{Key: "a", Value: "old"})
	plain := k.Store
	dying := &tributary.Service{Store: &dies{Store: plain, left: 1}, Sealer: k.Sealer, Logins: fakeLogins{}, Region: "eu-west-1", Account: account, Now: k.clock.Now}
	_, err := dying.SignIn(k.ctx, tributary.SignIn{Identity: guest, Logins: logins("google:w")})
	k.kind(err, tributary.Unavailable)
	copied := tributary.DatasetKey{Pool: poolA, Identity: w, Dataset: tributary.DatasetName("x." + guest)}
	k.update(copied, tributary.Patch{Key: "a", Value: "new", SyncCount: 1})
	// The process that merges w into z dies after the merge's first write.
	dying.Store = &dies{Store: plain}
	_, err = dying.SignIn(k.ctx, tributary.SignIn{Identity: z, Logins: logins("google:w facebook:z")})
	k.kind(err, tributary.Unavailable)
	k.ok(k.Sweep(k.ctx))
	copied.Identity = z
	l := k.list(copied, 0)
	if len(l.Records) != 1 || l.Records[0].Value != "new" {
		t.Errorf("%+v", l.Records)
	}
}

type dies struct {
	tributary.Store
	left int
}

func (d *dies) Commit(ctx context.Context, c *tributary.Change) error {
	if d.left == 0 {
		return tributary.Errorf(tributary.Unavailable, "x", "dead")
	}
	d.left--
	return d.Store.Commit(ctx, c)
}

type hookedID struct {
	tributary.Store
	hook func()
}

func (h *hookedID) Datasets(ctx context.Context, i tributary.IdentityID, a tributary.DatasetName, n int) ([]tributary.Dataset, error) {
	if f := h.hook; f != nil {
		h.hook = nil
		f()
	}
	return h.Store.Datasets(ctx, i, a, n)
}

// TestLateSweep: a sweep that is late leaves an identity alone that was made anew.
func TestLateSweep(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.update(key("notes"), tributary.Patch{Key: "a", Value: "1"})
	_, err := k.DeleteIdentities(k.ctx, developer, []tributary.IdentityID{ann})
	k.ok(err)
	plain := k.Store
	other := &tributary.Service{Store: plain, Sealer: k.Sealer, Region: "eu-west-1", Account: account, Now: k.clock.Now}
	k.Service.Store = &hookedID{Store: plain, hook: func() {
		k.ok(other.Sweep(k.ctx))
		k.Service.Store = plain
		k.identity(poolA, ann)
		k.update(key("notes"), tributary.Patch{Key: "a", Value: "new"})
	}}
	late := &tributary.Service{Store: k.Service.Store, Sealer: k.Sealer, Region: "eu-west-1", Account: account, Now: k.clock.Now}
	k.ok(late.Sweep(k.ctx))
	_, err = plain.Identity(k.ctx, ann)
	if err != nil {
		t.Errorf("the new identity: %v", err)
	}
}

// TestDeveloperLinksAllOrNothing: of logins that do not go together none is
// linked.
func TestDeveloperLinksAllOrNothing(t *testing.T) {
	k := newSignInKit(t)
	id := k.getID("google:ann")
	_, _, err := k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Identity: id, Logins: logins("login.app:u facebook:ann google:bob")}})
	k.kind(err, tributary.Exists)
	i, err := k.Store.Identity(k.ctx, id)
	k.ok(err)
	want(t, "the logins", fmt.Sprint(i.Logins), fmt.Sprint([]tributary.Login{{Provider: "google", User: "ann"}}))
}

// TestMergedDatasetsAreBounded: merges stop at ten times a pool's limit.
func TestMergedDatasetsAreBounded(t *testing.T) {
	k := newSignInKit(t)
	_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { p.Limits.Datasets = 1; return nil })
	k.ok(err)
	user := k.getID("google:ann")
	guest := func() tributary.IdentityID {
		id := k.getID("")
		k.update(tributary.DatasetKey{Pool: poolA, Identity: id, Dataset: "x"}, tributary.Patch{Key: "a", Value: "1"})
		return id
	}
	for range 10 {
		_, err := k.signIn(guest(), "google:ann")
		k.ok(err)
	}
	last := guest()
	_, err = k.signIn(last, "google:ann")
	k.kind(err, tributary.Limit)
	list, _, err := k.ListDatasets(k.ctx, developer, poolA, user, "", 0)
	k.ok(err)
	want(t, "datasets", len(list), 10)
	_, err = k.DeleteDataset(k.ctx, developer, list[0].Key)
	k.ok(err)
	_, err = k.signIn(last, "google:ann")
	k.ok(err)
}

// TestMergeIsTold: the audit log hears of a merge that was made, whoever led to
// it, also if its caller did not wait for the end.
func TestMergeIsTold(t *testing.T) {
	k := newSignInKit(t)
	token := func(ctx context.Context, text string) (tributary.IdentityID, *tributary.Call, error) {
		p := developer
		p.Call = &tributary.Call{Action: "cognito-identity:GetOpenIdTokenForDeveloperIdentity"}
		i, _, err := k.DeveloperToken(ctx, p, tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Logins: logins(text)}})
		return i.ID, p.Call, err
	}
	a, b := k.getID("google:a"), k.getID("facebook:b")
	stays, call, err := token(k.ctx, "google:a facebook:b login.app:u")
	k.ok(err)
	if stays == a {
		a, b = b, a
	}
	want(t, "the details", strings.Join(call.Details, "; "), "Merged: "+string(a)+" into "+string(b))

	v, _, err := token(k.ctx, "login.app:v")
	k.ok(err)
	k.update(tributary.DatasetKey{Pool: poolA, Identity: v, Dataset: "x"}, tributary.Patch{Key: "a", Value: "1"})
	ctx, leave := context.WithCancel(k.ctx)
	plain := k.Service.Store
	writes := 0
	k.Service.Store = &storetest.Faulty{Store: plain, Hook: func(string) (bool, error) {
		if writes++; writes > 1 {
			leave()
			return false, ctx.Err()
		}
		return true, nil
	}}
	p := developer
	p.Call = &tributary.Call{Action: "cognito-identity:MergeDeveloperIdentities"}
	_, err = k.MergeDevelopers(ctx, p, poolA, "login.app", "v", "u")
	if err == nil {
		t.Fatal("it did not hear that its caller has gone")
	}
	want(t, "the details", strings.Join(p.Call.Details, "; "), "Merged: "+string(v)+" into "+string(stays))
}

// TestGuestsWithoutDataMayComeAlways: what a user has already keeps no device
// out that brings nothing.
func TestGuestsWithoutDataMayComeAlways(t *testing.T) {
	k := newSignInKit(t)
	user := k.getID("google:ann")
	for n := range 12 {
		k.update(tributary.DatasetKey{Pool: poolA, Identity: user, Dataset: tributary.DatasetName(fmt.Sprint("d", n))}, tributary.Patch{Key: "a", Value: "1"})
	}
	_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { p.Limits.Datasets = 1; return nil })
	k.ok(err)
	_, err = k.signIn(k.getID(""), "google:ann")
	k.ok(err)
}

// TestUnlinkedIdentityWinsNothing: an identity that was unlinked takes nobody's
// data over.
func TestUnlinkedIdentityWinsNothing(t *testing.T) {
	k := newSignInKit(t)
	i, token, err := k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Logins: logins("login.app:u")}})
	k.ok(err)
	g := k.getID("google:ann")
	k.update(tributary.DatasetKey{Pool: poolA, Identity: g, Dataset: "x"}, tributary.Patch{Key: "a", Value: "1"})
	k.ok(k.UnlinkDeveloper(k.ctx, developer, poolA, i.ID, "login.app", "u"))
	_, err = k.signIn(i.ID, "google:ann "+tributary.OwnProvider+":"+token)
	k.kind(err, tributary.Denied)
	want(t, "who ann is", k.getID("google:ann"), g)
	_, _, err = k.ListDatasets(k.ctx, asIdentity(poolA, g), poolA, g, "", 0)
	k.ok(err)
}
