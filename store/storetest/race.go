package storetest

import (
	"context"
	"fmt"
	"strings"

	"tributary"
)

// raceCases race every pair of operations that look at or move each other's
// conditions, from several starting points. Whatever wins, the answers and the
// store must be those of one of the two orders, which the store itself shows
// when the operations follow one another; Verify wants the log to agree.
func raceCases() []testCase {
	ops := raceOps()
	var cases []testCase
	for i, x := range ops {
		for _, y := range ops[i:] {
			cases = append(cases, testCase{x.name + "+" + y.name, func(k *kit) {
				for _, start := range []startingPoint{barePool, freshIdentity, fullIdentity} {
					k.race(start, x, y)
				}
			}})
		}
	}
	return cases
}

// startingPoint is what an arena has at first.
type startingPoint int

const (
	barePool      startingPoint = iota // a pool without identities
	freshIdentity                      // which has no dataset
	fullIdentity                       // which has one
)

// arena is a pool with its streams in which one race is run. Arenas differ in
// their names alone.
type arena struct {
	k          *kit
	start      startingPoint
	pool       tributary.PoolID
	key        tributary.DatasetKey
	spare      tributary.IdentityID // not there yet
	home, away tributary.Stream     // the pool routes to home
	writes     uint64
}

func (k *kit) arena(start startingPoint) *arena {
	k.Helper()
	n := k.writes.Add(1)
	a := &arena{k: k, start: start, pool: tributary.PoolID(fmt.Sprintf("eu-west-1:%016x", n)), spare: testIdentity(int(2 * n))}
	a.key = tributary.DatasetKey{Pool: a.pool, Identity: testIdentity(int(2*n + 1)), Dataset: "d"}
	a.home = k.stream(tributary.StreamName(fmt.Sprintf("home-%016x", n)), 1)
	a.away = k.stream(tributary.StreamName(fmt.Sprintf("away-%016x", n)), 1)
	k.pool(a.pool)
	k.route(a.pool, a.home)
	if start != barePool {
		k.identity(a.key.Identity, a.pool)
	}
	if start == fullIdentity {
		k.commit(a.draft("d"))
	}
	return a
}

// writer counts by itself, so that the same history in two arenas is equal.
func (a *arena) writer() tributary.Writer {
	a.writes++
	return tributary.Writer{ID: changeID(a.writes), By: "racer", Now: epoch + tributary.Millis(a.writes)}
}

func (a *arena) draft(name tributary.DatasetName) *tributary.Change {
	a.k.Helper()
	key := a.key
	key.Dataset = name
	patches := []tributary.Patch{put("a", fmt.Sprint(a.writes)), put(fmt.Sprint("k", a.writes), "")}
	v := a.k.view(key, keysOf(patches)...)
	current(&v, patches)
	return got(v.Apply(patches, a.writer()))(a.k)
}

// raceOp is one operation. prepare computes it from the arena as it is, and
// gives nil if the arena has not what it takes.
type raceOp struct {
	name    string
	prepare func(a *arena) func(context.Context) error
}

func raceOps() []raceOp {
	return []raceOp{
		{"Commit", func(a *arena) func(context.Context) error { return a.commit("d") }},
		{"CommitOther", func(a *arena) func(context.Context) error { return a.commit("other") }},
		{"RemoveDataset", (*arena).removeDataset},
		{"Snapshot", (*arena).snapshot},
		{"PutRecord", (*arena).putRecord},
		{"Mark", (*arena).mark},
		{"PutDevice", (*arena).putDevice},
		{"Route", (*arena).route},
		{"Reshard", (*arena).reshard},
		{"Disable", (*arena).disable},
		{"NewIdentity", (*arena).newIdentity},
		{"DeleteIdentity", func(a *arena) func(context.Context) error {
			return func(ctx context.Context) error { return a.k.s.DeleteIdentity(ctx, a.key.Identity) }
		}},
		{"DeletePool", func(a *arena) func(context.Context) error {
			return func(ctx context.Context) error { return a.k.s.DeletePool(ctx, a.pool) }
		}},
		{"DeleteStream", func(a *arena) func(context.Context) error {
			return func(ctx context.Context) error { return a.k.s.DeleteStream(ctx, a.away.Name) }
		}},
	}
}

func (a *arena) commit(name tributary.DatasetName) func(context.Context) error {
	if a.start == barePool {
		return nil
	}
	c := a.draft(name)
	return func(ctx context.Context) error { return a.k.s.Commit(ctx, c) }
}

func (a *arena) removeDataset() func(context.Context) error {
	if a.start != fullIdentity {
		return nil
	}
	v := a.k.view(a.key)
	c := v.Delete(a.writer())
	return func(ctx context.Context) error { return a.k.s.Commit(ctx, c) }
}

func (a *arena) snapshot() func(context.Context) error {
	if a.start != fullIdentity {
		return nil
	}
	e := a.k.snapshot(a.key)
	return a.append(e)
}

// putRecord goes where the identity's changes go.
func (a *arena) putRecord() func(context.Context) error {
	return a.append(foreign(string(a.key.Identity), "data"))
}

func (a *arena) append(e tributary.Entry) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := a.k.s.Append(ctx, a.home.ID, []tributary.Entry{e})
		return err
	}
}

// mark adds a record and writes a lease that is not there yet.
func (a *arena) mark() func(context.Context) error {
	l := a.lease()
	return func(ctx context.Context) error {
		_, err := a.k.s.Append(ctx, a.home.ID, []tributary.Entry{foreign(string(a.key.Identity), "marked")}, l)
		return err
	}
}

func (a *arena) lease() tributary.Lease {
	return tributary.Lease{Group: "mark", Shard: tributary.Shard{Stream: a.home.ID, Number: 7}}
}

func (a *arena) putDevice() func(context.Context) error {
	d := device(a.key.Identity, "d")
	return func(ctx context.Context) error { return a.k.s.PutDevice(ctx, d) }
}

func (a *arena) route() func(context.Context) error {
	p := routed(got(a.k.s.Pool(a.k.Context(), a.pool))(a.k), a.away)
	return func(ctx context.Context) error { return a.k.s.PutPool(ctx, p) }
}

func (a *arena) reshard() func(context.Context) error {
	next := halves(a.home)
	return func(ctx context.Context) error {
		_, err := a.k.s.PutStream(ctx, next)
		return err
	}
}

func (a *arena) disable() func(context.Context) error {
	if a.start == barePool {
		return nil
	}
	i := got(a.k.s.Identity(a.k.Context(), a.key.Identity))(a.k)
	i.Disabled = true
	return func(ctx context.Context) error { return a.k.s.PutIdentity(ctx, i) }
}

func (a *arena) newIdentity() func(context.Context) error {
	i := tributary.Identity{ID: a.spare, Pool: a.pool, Created: epoch, Modified: epoch}
	return func(ctx context.Context) error { return a.k.s.PutIdentity(ctx, i) }
}

// race runs two operations at once, several times, and in each order.
func (k *kit) race(start startingPoint, x, y raceOp) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), patience)
	defer cancel()
	orders := map[string]bool{}
	for _, xFirst := range []bool{true, false} {
		a := k.arena(start)
		doX, doY := x.prepare(a), y.prepare(a)
		if doX == nil || doY == nil {
			return
		}
		var xErr, yErr error
		if xFirst {
			xErr, yErr = doX(ctx), doY(ctx)
		} else {
			yErr, xErr = doY(ctx), doX(ctx)
		}
		orders[a.outcome(xErr, yErr)] = true
	}
	for range k.o.Seeds {
		a := k.arena(start)
		do := []func(context.Context) error{x.prepare(a), y.prepare(a)}
		var errs [2]error
		together(2, func(w int) { errs[w] = do[w](ctx) })
		if end := a.outcome(errs[0], errs[1]); !orders[end] {
			for order := range orders {
				end += "\n\nin turn:\n" + order
			}
			k.Fatalf("%s and %s at once, from starting point %d, end as in neither order:\n%s", x.name, y.name, start, end)
		}
	}
}

// outcome is what became of the arena, without the names that are its own.
func (a *arena) outcome(xErr, yErr error) string {
	a.k.Helper()
	lines := []string{"answers: " + kindText(xErr) + ", " + kindText(yErr)}
	add := func(err error, text string) {
		if err != nil {
			text = kindText(err)
		}
		lines = append(lines, text)
	}
	ctx := a.k.Context()
	p, err := a.k.s.Pool(ctx, a.pool)
	add(err, poolText(&p))
	for _, id := range []tributary.IdentityID{a.key.Identity, a.spare} {
		i, err := a.k.s.Identity(ctx, id)
		add(err, identityText(&i))
		devices, err := a.k.s.Devices(ctx, id)
		add(err, texts(devices, deviceText))
	}
	for _, l := range a.k.leases("mark") {
		if l.Shard == a.lease().Shard {
			add(nil, fmt.Sprint("marked ", l.Revision))
		}
	}
	for _, name := range []tributary.DatasetName{"d", "other"} {
		key := a.key
		key.Dataset = name
		v, err := a.k.s.View(ctx, key, nil)
		records, recordsErr := a.k.s.Records(ctx, key, tributary.Range{Through: all})
		add(err, headText(&v.Dataset))
		add(recordsErr, recordsText(records))
	}
	for _, name := range []tributary.StreamName{a.home.Name, a.away.Name} {
		s, err := a.k.s.Stream(ctx, name)
		add(err, streamText(&s))
		for _, r := range s.Shards {
			lines = append(lines, a.shardText(&s, r)...)
		}
	}
	hash := tributary.HashOf(string(a.key.Identity)).String()
	return strings.NewReplacer(hash, "HASH", string(a.pool), "POOL", string(a.key.Identity), "IDENTITY", string(a.spare), "SPARE",
		string(a.home.Name), "HOME", string(a.away.Name), "AWAY").Replace(strings.Join(lines, "\n"))
}

// shardText leaves out shards that took nothing: which child of a split did
// depends on the arena's names.
func (a *arena) shardText(s *tributary.Stream, r tributary.ShardRange) []string {
	a.k.Helper()
	list := a.k.entries(tributary.Shard{Stream: s.ID, Number: r.Number})
	switch {
	case len(list) == 0:
		return nil
	case len(r.Parents) > 0:
		return []string{"child holds " + texts(list, entryText)}
	}
	return []string{"parent holds " + texts(list, entryText)}
}

func kindText(err error) string {
	if err == nil {
		return "ok"
	}
	return tributary.KindOf(err).String()
}
