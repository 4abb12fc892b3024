package storetest

import (
	"tributary"
)

func usageCases() []testCase {
	return []testCase{
		{"Identity", usageIdentity},
		{"PoolBytes", usagePool},
		{"AcrossStreams", usageStreams},
		{"Sessions", usageSessions},
		{"NotFound", func(k *kit) {
			k.pool(poolA)
			_, err := k.s.PoolUsage(k.Context(), poolB)
			k.kind(err, tributary.NotFound)
		}},
		{"NewPool", usageNewPool},
		{"Recreate", usageRecreate},
	}
}

func (k *kit) awaitUsage(pool tributary.PoolID, want tributary.Usage) {
	k.Helper()
	if err := awaitUsage(k.Context(), k.s, pool, settled(want)); err != nil {
		k.Fatalf("%v, want %s", err, usageText(&want))
	}
}

func usageIdentity(k *kit) {
	key := k.world()
	k.sync(key, put("a", "12"), put("é", "ö"))
	last := k.sync(keyOf(ann, "other"), put("b", "1"))
	i := got(k.s.Identity(k.Context(), ann))(k)
	if want := (tributary.Usage{Bytes: 3 + 4 + 2, LastModified: last.At}); i.Usage != want || i.Datasets != 2 {
		k.Fatalf("the identity holds %d datasets, %+v, want %+v", i.Datasets, i.Usage, want)
	}
	k.sync(key, put("a", ""), remove("é"))
	last = k.drop(keyOf(ann, "other"))
	for _, i := range []tributary.Identity{got(k.s.Identity(k.Context(), ann))(k), k.view(key).Identity,
		got(k.s.Identities(k.Context(), poolA, "", 1))(k)[0]} {
		if want := (tributary.Usage{Bytes: 1, LastModified: last.At}); i.Usage != want || i.Datasets != 1 {
			k.Fatalf("the identity holds %d datasets, %+v, want %+v", i.Datasets, i.Usage, want)
		}
	}
}

func usagePool(k *kit) {
	key := k.world()
	k.identity(bob, poolA)
	k.pool(poolB)
	c := k.sync(key, put("a", "123"), put("b", "1"))
	k.awaitUsage(poolA, tributary.Usage{Bytes: 6, LastModified: c.At})
	k.sync(keyOf(bob, "notes"), put("c", big))
	c = k.sync(key, remove("a"))
	k.awaitUsage(poolA, tributary.Usage{Bytes: 3 + int64(len(big)), LastModified: c.At})
	c = k.drop(keyOf(bob, "notes"))
	k.awaitUsage(poolA, tributary.Usage{Bytes: 2, LastModified: c.At})
	k.awaitUsage(poolB, tributary.Usage{})
}

// usageStreams: figures are the pool's, wherever its changes went.
func usageStreams(k *kit) {
	key := k.world()
	s, other := k.stream("s", 2), k.stream("t", 1)
	k.sync(key, put("a", "1"))
	k.route(poolA, s)
	k.sync(key, put("b", "12"))
	k.sync(key, put("c", "123"))
	k.route(poolA, other)
	c := k.sync(key, put("d", "1234"))
	k.awaitUsage(poolA, tributary.Usage{Bytes: 14, LastModified: c.At})
	k.route(poolA, tributary.Stream{})
	k.ok(k.s.DeleteStream(k.Context(), s.Name))
	k.lost = true
	for _, shard := range got(k.s.Shards(k.Context()))(k) {
		if list := k.entries(shard); len(list) > 0 {
			k.ok(k.s.Trim(k.Context(), shard, list[len(list)-1].Position))
		}
	}
	c = k.sync(key, put("e", "12345"))
	k.awaitUsage(poolA, tributary.Usage{Bytes: 20, LastModified: c.At})
}

func usageSessions(k *kit) {
	k.world()
	k.pool(poolB)
	ctx := k.Context()
	k.ok(k.s.CountSessions(ctx, map[tributary.PoolID]int64{poolA: 2, poolB: 5}))
	k.ok(k.s.CountSessions(ctx, nil))
	k.ok(k.s.CountSessions(ctx, map[tributary.PoolID]int64{poolA: 3, "nowhere:0": 7}))
	c := k.sync(keyOf(ann, "notes"), put("a", "1"))
	k.awaitUsage(poolA, tributary.Usage{Bytes: 2, Sessions: 5, LastModified: c.At})
	k.awaitUsage(poolB, tributary.Usage{Sessions: 5})
	k.pool("nowhere:0")
	k.awaitUsage("nowhere:0", tributary.Usage{})
}

func usageNewPool(k *kit) {
	k.pool(poolA)
	k.awaitUsage(poolA, tributary.Usage{})
}

func usageRecreate(k *kit) {
	key := k.world()
	k.ok(k.s.CountSessions(k.Context(), map[tributary.PoolID]int64{poolA: 2}))
	k.sync(key, put("a", "1"))
	c := k.drop(key)
	k.awaitUsage(poolA, tributary.Usage{Sessions: 2, LastModified: c.At})
	k.ok(k.s.DeleteIdentity(k.Context(), ann))
	k.ok(k.s.DeletePool(k.Context(), poolA))
	_, err := k.s.PoolUsage(k.Context(), poolA)
	k.kind(err, tributary.NotFound)
	k.pool(poolA)
	k.awaitUsage(poolA, tributary.Usage{})
}
