package storetest

import (
	"fmt"

	"tributary"
)

func identityCases() []testCase {
	return []testCase{
		{"Fields", identityFields},
		{"KeptByTheStore", identityKept},
		{"StaleRevision", identityStale},
		{"NotFound", identityNotFound},
		{"Order", identityOrder},
		{"LoginTaken", loginTaken},
		{"LoginMoves", loginMoves},
		{"Together", putTogether},
		{"Unfinished", unfinished},
		{"Origin", origin},
		{"LoginSpelling", loginSpelling},
		{"DeleteWithDataset", identityDelete},
		{"DeleteForgetsMarkers", identityForgets},
		{"OneInAllPools", identityOneInAll},
		{"NothingShared", identityNothingShared},
	}
}

var google = tributary.Login{Provider: "accounts.google.com", User: "1"}

func identityFields(k *kit) {
	k.pool(poolA)
	want := tributary.Identity{
		ID: ann, Pool: poolA, Logins: []tributary.Login{google, {Provider: "a", User: "ö"}, {Provider: "a", User: "o"}},
		Disabled: true, Created: epoch + 1, Modified: epoch + 2,
	}
	k.ok(k.s.PutIdentity(k.Context(), want))
	want.Revision = 1
	i := got(k.s.Identity(k.Context(), ann))(k)
	k.same("identity", identityText(&i), identityText(&want))
	k.ok(k.s.PutIdentity(k.Context(), tributary.Identity{ID: ann, Pool: poolA, Revision: 1, Created: epoch, Modified: epoch}))
	i = got(k.s.Identity(k.Context(), ann))(k)
	k.same("identity put again", identityText(&i),
		identityText(&tributary.Identity{ID: ann, Pool: poolA, Revision: 2, Created: epoch, Modified: epoch}))
}

func identityKept(k *kit) {
	k.pool(poolA)
	lie := tributary.Usage{Bytes: 9, Sessions: 9, LastModified: 9}
	k.ok(k.s.PutIdentity(k.Context(), tributary.Identity{ID: ann, Pool: poolA, Datasets: 9, Usage: lie}))
	i := got(k.s.Identity(k.Context(), ann))(k)
	if i.Datasets != 0 || i.Usage != (tributary.Usage{}) {
		k.Fatalf("a new identity holds %d datasets, %+v", i.Datasets, i.Usage)
	}
	c := k.sync(keyOf(ann, "notes"), put("a", "1"))
	i = got(k.s.Identity(k.Context(), ann))(k)
	i.Datasets, i.Usage = 9, lie
	k.ok(k.s.PutIdentity(k.Context(), i))
	i = got(k.s.Identity(k.Context(), ann))(k)
	if want := (tributary.Usage{Bytes: 2, LastModified: c.At}); i.Datasets != 1 || i.Usage != want {
		k.Fatalf("the identity holds %d datasets, %+v, want 1, %+v", i.Datasets, i.Usage, want)
	}
}

func identityStale(k *kit) {
	k.pool(poolA)
	ctx := k.Context()
	k.kind(k.s.PutIdentity(ctx, tributary.Identity{ID: ann, Pool: poolA, Revision: 1, Logins: []tributary.Login{google}}), tributary.Stale)
	_, err := k.s.Identity(ctx, ann)
	k.kind(err, tributary.NotFound)
	i := k.identity(ann, poolA)
	k.ok(k.s.PutIdentity(ctx, i))
	for _, revision := range []int64{0, 1, 3, -1} {
		i.Revision, i.Logins = revision, []tributary.Login{google}
		k.kind(k.s.PutIdentity(ctx, i), tributary.Stale)
	}
	_, err = k.s.FindLogin(ctx, poolA, google)
	k.kind(err, tributary.NotFound)
	if i = got(k.s.Identity(ctx, ann))(k); i.Revision != 2 || len(i.Logins) != 0 {
		k.Fatalf("after stale puts the identity is %s", identityText(&i))
	}
}

func identityNotFound(k *kit) {
	k.pool(poolA)
	ctx := k.Context()
	_, err := k.s.Identity(ctx, ann)
	k.kind(err, tributary.NotFound)
	k.kind(k.s.DeleteIdentity(ctx, ann), tributary.NotFound)
	_, err = k.s.FindLogin(ctx, poolA, google)
	k.kind(err, tributary.NotFound)
	k.kind(k.s.PutIdentity(ctx, tributary.Identity{ID: ann, Pool: poolB, Logins: []tributary.Login{google}}), tributary.NotFound)
	_, err = k.s.Identity(ctx, ann)
	k.kind(err, tributary.NotFound)
	_, err = k.s.FindLogin(ctx, poolB, google)
	k.kind(err, tributary.NotFound)
	if list := got(k.s.Identities(ctx, poolB, "", 10))(k); len(list) != 0 {
		k.Fatalf("a pool that is not there lists %d identities", len(list))
	}
}

// identityOrder lists pools whose ids are prefixes of one another.
func identityOrder(k *kit) {
	pools := []tributary.PoolID{"a:0", "a:00", "a:0-"}
	ids := hostileIDs()
	for n, pool := range pools {
		k.pool(pool)
		for _, id := range ids {
			k.identity(tributary.IdentityID(fmt.Sprintf("%s%d", id, n)), pool)
		}
	}
	for n, pool := range pools {
		own := make([]string, len(ids))
		for i, id := range ids {
			own[i] = fmt.Sprintf("%s%d", id, n)
		}
		pages(k, own, func(after tributary.IdentityID, limit int) []tributary.IdentityID {
			var list []tributary.IdentityID
			for _, i := range got(k.s.Identities(k.Context(), pool, after, limit))(k) {
				if list = append(list, i.ID); i.Pool != pool {
					k.Fatalf("pool %s lists %s of pool %s", pool, i.ID, i.Pool)
				}
			}
			return list
		})
	}
}

func (k *kit) wantLogin(pool tributary.PoolID, login tributary.Login, want tributary.IdentityID) {
	k.Helper()
	id, err := k.s.FindLogin(k.Context(), pool, login)
	if want == "" {
		k.kind(err, tributary.NotFound)
		return
	}
	if err != nil || id != want {
		k.Fatalf("login %q finds %q, %v, want %q", login, id, err, want)
	}
}

func loginTaken(k *kit) {
	k.pool(poolA)
	k.pool(poolB)
	ctx := k.Context()
	k.identity(ann, poolA, google)
	free := tributary.Login{Provider: "free", User: "1"}
	k.kind(k.s.PutIdentity(ctx, tributary.Identity{ID: bob, Pool: poolA, Logins: []tributary.Login{free, google}}), tributary.Exists)
	_, err := k.s.Identity(ctx, bob)
	k.kind(err, tributary.NotFound)
	k.wantLogin(poolA, free, "")
	k.wantLogin(poolA, google, ann)
	i := k.identity(bob, poolA, free)
	i.Logins = []tributary.Login{google}
	k.kind(k.s.PutIdentity(ctx, i), tributary.Exists)
	k.wantLogin(poolA, free, bob)
	// Another pool has its own.
	k.wantLogin(poolB, google, "")
	k.identity("eu-west-1:33", poolB, google)
	k.wantLogin(poolB, google, "eu-west-1:33")
	k.wantLogin(poolA, google, ann)
}

func loginMoves(k *kit) {
	k.pool(poolA)
	other := tributary.Login{Provider: "graph.facebook.com", User: "1"}
	a, b := k.identity(ann, poolA, google, other), k.identity(bob, poolA)
	a.Logins = []tributary.Login{other}
	k.ok(k.s.PutIdentity(k.Context(), a))
	k.wantLogin(poolA, google, "")
	k.wantLogin(poolA, other, ann)
	b.Logins = []tributary.Login{google}
	k.ok(k.s.PutIdentity(k.Context(), b))
	k.wantLogin(poolA, google, bob)
	// An identity that is put with the logins it has keeps them.
	b.Revision++
	k.ok(k.s.PutIdentity(k.Context(), b))
	k.wantLogin(poolA, google, bob)
	k.ok(k.s.DeleteIdentity(k.Context(), ann))
	k.wantLogin(poolA, other, "")
	b.Revision++
	b.Logins = append(b.Logins, other)
	k.ok(k.s.PutIdentity(k.Context(), b))
	k.wantLogin(poolA, other, bob)
}

// putTogether: several identities are written all or none, and a login may go
// from one to the other, in either order.
func putTogether(k *kit) {
	k.pool(poolA)
	a, b := k.identity(ann, poolA, google), k.identity(bob, poolA)
	ctx := k.Context()
	for range 2 {
		a.Logins, b.Logins = b.Logins, a.Logins
		a.MergedInto, b.Merged, a.Unfinished, a.Disabled = bob, true, true, true
		for _, late := range []*tributary.Identity{&a, &b} {
			late.Revision++
			k.kind(k.s.PutIdentity(ctx, a, b), tributary.Stale)
			late.Revision--
		}
		k.ok(k.s.PutIdentity(ctx, a, b))
		a.Revision, b.Revision = a.Revision+1, b.Revision+1
		owner := a
		if len(b.Logins) > 0 {
			owner = b
		}
		k.wantLogin(poolA, google, owner.ID)
		for _, want := range []tributary.Identity{a, b} {
			have := got(k.s.Identity(ctx, want.ID))(k)
			k.same("identity", identityText(&have), identityText(&want))
			v := k.view(tributary.DatasetKey{Pool: poolA, Identity: want.ID, Dataset: "d"})
			k.same("viewed identity", identityText(&v.Identity), identityText(&want))
		}
		a, b = b, a
		a.Merged, a.MergedInto, b.Merged, b.MergedInto = b.Merged, b.MergedInto, a.Merged, a.MergedInto
	}
	c := tributary.Identity{ID: "eu-west-1:33", Pool: poolA, Logins: []tributary.Login{google}}
	k.kind(k.s.PutIdentity(ctx, c, tributary.Identity{ID: "eu-west-1:34", Pool: poolB}), tributary.NotFound)
	k.kind(k.s.PutIdentity(ctx, tributary.Identity{ID: "eu-west-1:34", Pool: poolA}, c), tributary.Exists)
	for _, id := range []tributary.IdentityID{"eu-west-1:33", "eu-west-1:34"} {
		_, err := k.s.Identity(ctx, id)
		k.kind(err, tributary.NotFound)
	}
}

func unfinished(k *kit) {
	k.pool(poolA)
	a, b := k.identity(ann, poolA), k.identity(bob, poolA)
	list := func(after tributary.IdentityID, limit int) string {
		return texts(got(k.s.UnfinishedIdentities(k.Context(), after, limit))(k), func(i *tributary.Identity) string { return string(i.ID) })
	}
	put := func(i *tributary.Identity, unfinished bool) {
		i.Unfinished = unfinished
		k.ok(k.s.PutIdentity(k.Context(), *i))
		i.Revision++
	}
	first, second := string(min(ann, bob)), string(max(ann, bob))
	k.same("at first", list("", 9), "")
	put(&a, true)
	put(&b, true)
	k.same("both", list("", 9), texts([]string{first, second}, func(s *string) string { return *s }))
	k.same("the first", list("", 1), first)
	k.same("the second", list(min(ann, bob), 9), second)
	put(&a, false)
	k.same("one is finished", list("", 9), string(bob))
	k.ok(k.s.DeleteIdentity(k.Context(), bob))
	k.same("one is gone", list("", 9), "")
}

// origin: whence a dataset came stays with it, whatever happens to it.
func origin(k *kit) {
	key := k.world()
	from := k.sync(key, put("a", "1"), put("b", big), remove("c"))
	live := got(k.s.Records(k.Context(), key, tributary.Range{Through: 9, LiveOnly: true}))(k)
	k.identity(bob, poolA)
	at := tributary.DatasetKey{Pool: poolA, Identity: bob, Dataset: key.Dataset + "." + tributary.DatasetName(ann)}
	v := k.view(at)
	c := v.Adopt(&from.Next, live, string(ann)+"/notes", tributary.Writer{ID: 99, By: "by", Now: epoch + 50})
	k.ok(k.s.Commit(k.Context(), c))
	want := func() tributary.Dataset {
		k.Helper()
		v := k.view(at)
		if v.Dataset.Origin != string(ann)+"/notes" {
			k.Fatalf("the origin is %q", v.Dataset.Origin)
		}
		return v.Dataset
	}
	if h := want(); h.SyncCount != 1 || h.Records != 2 || h.Bytes != from.Next.Bytes || h.Tombstones != 0 || h.Created != from.Next.Created {
		k.Fatalf("the copy is %s", headText(&h))
	}
	for i := range live {
		live[i].SyncCount = 1
	}
	k.same("records", recordsText(k.everything(at)), recordsText(live))
	k.sync(at, put("a", "2"))
	want()
	k.drop(at)
	want()
	k.sync(at, put("a", "3"))
	want()
}

// loginSpelling: logins that a careless joining of provider and user confuses,
// and users that a collation or a C string does.
func loginSpelling(k *kit) {
	k.pool("a:0")
	k.pool("a:0b")
	logins := []tributary.Login{
		{Provider: "a", User: "b:c"}, {Provider: "a:b", User: "c"}, {Provider: "a/b", User: "c"}, {Provider: "a", User: "b/c"},
		{Provider: "a", User: "b\x00c"}, {Provider: "a\x00b", User: "c"}, {Provider: "ab", User: "c"}, {Provider: "a", User: "bc"},
		{Provider: "a", User: "BC"}, {Provider: "a", User: "bc "}, {Provider: "a", User: "bç"}, {Provider: "a", User: "b"},
		{Provider: "ba", User: "b:c"}, {Provider: "", User: "a"}, {Provider: "a", User: ""}, {Provider: "c", User: "c\u0327"},
		{Provider: "c", User: "ç"}, {Provider: "arn:aws:iam::1:oidc-provider/x", User: "accounts.x:OIDC:1"},
	}
	id := func(n int) tributary.IdentityID { return tributary.IdentityID(fmt.Sprintf("a:%d", n)) }
	for n, login := range logins {
		k.identity(id(n), "a:0", login)
	}
	for n, login := range logins {
		k.wantLogin("a:0", login, id(n))
		k.wantLogin("a:0b", login, "")
	}
}

func identityDelete(k *kit) {
	key := k.world()
	k.sync(key, put("a", "1"))
	k.sync(keyOf(ann, "other"), put("a", "1"))
	k.kind(k.s.DeleteIdentity(k.Context(), ann), tributary.Exists)
	k.drop(key)
	k.kind(k.s.DeleteIdentity(k.Context(), ann), tributary.Exists)
	k.drop(keyOf(ann, "other"))
	k.ok(k.s.DeleteIdentity(k.Context(), ann))
	k.kind(k.s.DeleteIdentity(k.Context(), ann), tributary.NotFound)
	_, err := k.s.View(k.Context(), key, nil)
	k.kind(err, tributary.NotFound)
	if list := got(k.s.Identities(k.Context(), poolA, "", 10))(k); len(list) != 0 {
		k.Fatal("a deleted identity is listed")
	}
}

func identityForgets(k *kit) {
	key := k.world()
	near := keyOf(ann+"0", "notes") // its id continues ann's
	k.identity(near.Identity, poolA)
	k.sync(near, put("b", "1"))
	k.drop(near)
	for _, value := range []string{"small", big} {
		for n := range 60 {
			k.sync(key, put(fmt.Sprint("k", n%50), value), put("a", value))
		}
		k.sync(key, remove("a"))
		k.drop(key)
		k.ok(k.s.DeleteIdentity(k.Context(), ann))
		if i := k.identity(ann, poolA); i.Revision != 1 || i.Datasets != 0 || i.Usage != (tributary.Usage{}) {
			k.Fatalf("an identity made again is %s", identityText(&i))
		}
		v := k.view(key, "a", "k1")
		k.same("dataset of an identity made again", headText(&v.Dataset), headText(&tributary.Dataset{Key: key}))
		c := k.sync(key, put("b", "1"))
		if list := k.everything(key); c.SyncCount != 1 || len(list) != 1 {
			k.Fatalf("its first change has count %d, its dataset %d records", c.SyncCount, len(list))
		}
		k.drop(key)
		k.ok(k.s.DeleteIdentity(k.Context(), ann))
		k.identity(ann, poolA)
	}
	if v := k.view(near); v.Dataset.Marker != 2 {
		k.Fatalf("the marker of an identity with a longer id is %d", v.Dataset.Marker)
	}
}

func identityOneInAll(k *kit) {
	k.pool(poolA)
	k.pool(poolB)
	k.identity(ann, poolA)
	for _, revision := range []int64{0, 1} {
		i := tributary.Identity{ID: ann, Pool: poolB, Revision: revision}
		k.kind(k.s.PutIdentity(k.Context(), i), tributary.Stale)
	}
	if i := got(k.s.Identity(k.Context(), ann))(k); i.Pool != poolA {
		k.Fatalf("the identity is in pool %s", i.Pool)
	}
}

func identityNothingShared(k *kit) {
	k.pool(poolA)
	in := tributary.Identity{ID: ann, Pool: poolA, Logins: []tributary.Login{google}}
	k.ok(k.s.PutIdentity(k.Context(), in))
	in.Logins[0].User = "spoilt"
	for range 2 {
		i := got(k.s.Identity(k.Context(), ann))(k)
		v := k.view(keyOf(ann, "notes"))
		list := got(k.s.Identities(k.Context(), poolA, "", 1))(k)
		for _, i := range []tributary.Identity{i, v.Identity, list[0]} {
			if i.Logins[0] != google {
				k.Fatalf("the login became %q", i.Logins[0])
			}
			i.Logins[0].User = "spoilt"
		}
	}
}
