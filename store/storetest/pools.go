package storetest

import (
	"slices"

	"tributary"
)

func poolCases() []testCase {
	return []testCase{
		{"Fields", poolFields},
		{"StaleRevision", poolStale},
		{"NotFound", poolNotFound},
		{"Order", poolOrder},
		{"UnknownStream", poolUnknownStream},
		{"DeleteWithIdentity", poolDelete},
		{"Recreate", poolRecreate},
		{"NothingShared", poolNothingShared},
	}
}

// fullPool says something in every field.
func fullPool(id tributary.PoolID) tributary.Pool {
	return tributary.Pool{
		ID: id, Name: "Ünï pool", AllowUnauthenticated: true, AllowClassicFlow: new(false),
		LoginProviders:    map[string]string{"graph.facebook.com": "1", "accounts.google.com": ""},
		DeveloperProvider: "login.app", OpenIDProviders: []string{"arn:b", "arn:a"}, SAMLProviders: []string{"arn:s"},
		CognitoProviders: []tributary.CognitoProvider{
			{Name: "x", ClientID: "1", ServerSideTokenCheck: new(true)},
			{Name: "y", ClientID: "2", ServerSideTokenCheck: new(false)}, {Name: "z", ClientID: "3"},
		},
		Tags:    map[string]string{"": "empty", "team": "red"},
		Stream:  tributary.StreamConfig{Name: "gone", ID: 1 << 50, RoleARN: "arn:role", DisabledReason: "broken"},
		Push:    tributary.PushConfig{ApplicationARNs: []string{"arn:q", "arn:p"}, RoleARN: "arn:push"},
		Limits:  tributary.Limits{ValueBytes: 1, DatasetBytes: 2, Records: 3, Datasets: 4},
		Created: epoch + 7, Deleted: true,
	}
}

func poolFields(k *kit) {
	want := fullPool(poolA)
	k.ok(k.s.PutPool(k.Context(), want))
	want.Revision = 1
	p := got(k.s.Pool(k.Context(), poolA))(k)
	k.same("pool", poolText(&p), poolText(&want))
	if p.Stream.ID != want.Stream.ID {
		k.Fatalf("the stream's id is %d, want %d", p.Stream.ID, want.Stream.ID)
	}
	k.ok(k.s.PutPool(k.Context(), tributary.Pool{ID: poolA, Revision: 1}))
	p = got(k.s.Pool(k.Context(), poolA))(k)
	k.same("pool put again with nothing in it", poolText(&p), poolText(&tributary.Pool{ID: poolA, Revision: 2}))
}

func poolStale(k *kit) {
	ctx := k.Context()
	k.kind(k.s.PutPool(ctx, tributary.Pool{ID: poolA, Revision: 1}), tributary.Stale)
	_, err := k.s.Pool(ctx, poolA)
	k.kind(err, tributary.NotFound)
	p := k.pool(poolA)
	p.Name = "second"
	k.ok(k.s.PutPool(ctx, p))
	for _, revision := range []int64{0, 1, 3, -1} {
		k.kind(k.s.PutPool(ctx, tributary.Pool{ID: poolA, Revision: revision, Name: "stale"}), tributary.Stale)
	}
	if p := got(k.s.Pool(ctx, poolA))(k); p.Name != "second" || p.Revision != 2 {
		k.Fatalf("after stale puts the pool is %q at revision %d", p.Name, p.Revision)
	}
}

func poolNotFound(k *kit) {
	k.pool(poolA)
	_, err := k.s.Pool(k.Context(), poolB)
	k.kind(err, tributary.NotFound)
	k.kind(k.s.DeletePool(k.Context(), poolB), tributary.NotFound)
}

// hostileIDs have the form of ids, and sort differently by a collation.
func hostileIDs() []string {
	return []string{"a:0", "a:00", "a:0-", "a:0-0", "A:0", "a-b:0", "a-:0", "a_b:0", "ab:0", "a:0a", "B:0", "_:0",
		"0:0", "-:0", "a:-", "a:a", "aa:a", "Ab:0", "aB:0"}
}

// pages reads a listing page by page, for several limits and from every
// place, and compares it with all ids in the order of their bytes.
func pages[K ~string](k *kit, ids []string, list func(after K, limit int) []K) {
	k.Helper()
	slices.Sort(ids)
	for _, limit := range []int{1, 2, 3, len(ids), 1000} {
		var listed []string
		for after := K(""); ; {
			page := list(after, limit)
			if len(page) > limit {
				k.Fatalf("a page of %d has %d", limit, len(page))
			}
			if len(page) == 0 {
				break
			}
			for _, id := range page {
				listed = append(listed, string(id))
			}
			if after = page[len(page)-1]; len(listed) > len(ids) {
				break
			}
		}
		if !slices.Equal(listed, ids) {
			k.Fatalf("in pages of %d:\n got %q\nwant %q", limit, listed, ids)
		}
	}
	for i, id := range ids {
		for _, after := range []string{id, id + "\x00", id + "-"} {
			want, _ := slices.BinarySearch(ids, after)
			if want < len(ids) && ids[want] == after {
				want++
			}
			page := list(K(after), 1)
			if want == len(ids) && len(page) != 0 || want < len(ids) && (len(page) != 1 || string(page[0]) != ids[want]) {
				k.Fatalf("above %q (%d of %d) comes %q", after, i, len(ids), page)
			}
		}
	}
}

func poolOrder(k *kit) {
	ids := hostileIDs()
	for _, id := range ids {
		k.pool(tributary.PoolID(id))
	}
	pages(k, ids, func(after tributary.PoolID, limit int) []tributary.PoolID {
		var list []tributary.PoolID
		for _, p := range got(k.s.Pools(k.Context(), after, limit))(k) {
			list = append(list, p.ID)
			if one := got(k.s.Pool(k.Context(), p.ID))(k); poolText(&one) != poolText(&p) {
				k.Fatalf("pool %s is listed as\n%s\nand read as\n%s", p.ID, poolText(&p), poolText(&one))
			}
		}
		return list
	})
}

func poolUnknownStream(k *kit) {
	p := k.pool(poolA)
	s := k.stream("s", 1)
	p.Stream = tributary.StreamConfig{Name: "t", ID: s.ID + 1, Enabled: true}
	k.kind(k.s.PutPool(k.Context(), p), tributary.NotFound)
	k.kind(k.s.PutPool(k.Context(), tributary.Pool{ID: poolB, Stream: p.Stream}), tributary.NotFound)
	if now := got(k.s.Pool(k.Context(), poolA))(k); now.Revision != p.Revision {
		k.Fatalf("a refused put made revision %d", now.Revision)
	}
	// What a pool does not route to may be gone.
	p.Stream.Enabled = false
	k.ok(k.s.PutPool(k.Context(), p))
}

func poolDelete(k *kit) {
	k.pool(poolA)
	k.pool(poolB)
	k.identity(ann, poolA)
	k.ok(k.s.DeletePool(k.Context(), poolB))
	k.kind(k.s.DeletePool(k.Context(), poolA), tributary.Exists)
	k.ok(k.s.DeleteIdentity(k.Context(), ann))
	k.ok(k.s.DeletePool(k.Context(), poolA))
	k.kind(k.s.DeletePool(k.Context(), poolA), tributary.NotFound)
	_, err := k.s.Pool(k.Context(), poolA)
	k.kind(err, tributary.NotFound)
	if list := got(k.s.Pools(k.Context(), "", 10))(k); len(list) != 0 {
		k.Fatalf("deleted pools are listed: %d", len(list))
	}
}

func poolRecreate(k *kit) {
	p := k.pool(poolA)
	k.ok(k.s.DeletePool(k.Context(), poolA))
	k.kind(k.s.PutPool(k.Context(), p), tributary.Stale)
	if p = k.pool(poolA); p.Revision != 1 {
		k.Fatalf("a pool made again has revision %d", p.Revision)
	}
}

func poolNothingShared(k *kit) {
	spoil := func(p *tributary.Pool) {
		*p.AllowClassicFlow = true
		p.LoginProviders["graph.facebook.com"], p.Tags["team"] = "spoilt", "spoilt"
		p.OpenIDProviders[0], p.SAMLProviders[0], p.Push.ApplicationARNs[0] = "spoilt", "spoilt", "spoilt"
		p.CognitoProviders[0].Name, *p.CognitoProviders[1].ServerSideTokenCheck = "spoilt", true
	}
	want, in := fullPool(poolA), fullPool(poolA)
	k.ok(k.s.PutPool(k.Context(), in))
	want.Revision = 1
	spoil(&in)
	k.identity(ann, poolA)
	for range 2 {
		p := got(k.s.Pool(k.Context(), poolA))(k)
		k.same("pool", poolText(&p), poolText(&want))
		spoil(&p)
		v := k.view(keyOf(ann, "notes"))
		k.same("pool in a view", poolText(&v.Pool), poolText(&want))
		spoil(&v.Pool)
		list := got(k.s.Pools(k.Context(), "", 1))(k)
		k.same("listed pool", texts(list, poolText), poolText(&want))
		spoil(&list[0])
	}
}
