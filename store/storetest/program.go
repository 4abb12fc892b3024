package storetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tributary"
)

// Program is a seeded sequence of operations on all roles of a store. Times,
// change ids and choices come from the seed and from what the store shows, so
// that two stores that keep the contracts give equal histories.
type Program struct {
	Seed  uint64
	Steps int

	again bool // the store is not fresh: its figures are not the program's
}

// Run drives the store and gives the history: each operation, its outcome and
// what could be seen afterwards. What engines choose themselves is left out or
// put in terms of names: stream ids, the default log's shards, arrival times.
func (p Program) Run(ctx context.Context, s tributary.Store) []string {
	a := &actor{
		ctx: ctx, s: s, rnd: rand.New(rand.NewPCG(p.Seed, 0)), seed: p.Seed,
		labels: map[tributary.StreamID]string{tributary.DefaultStream: "default"},
		made:   map[tributary.StreamName]int{}, usage: map[tributary.PoolID]tributary.Usage{}, unsettled: p.again,
	}
	moves := a.moves()
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	history := a.begin()
	for step := range p.Steps {
		pick := a.rnd.IntN(total)
		i := 0
		for ; pick >= moves[i].weight; i++ {
			pick -= moves[i].weight
		}
		history = append(history, fmt.Sprintf("step %d: %s %s", step, moves[i].name, moves[i].do()))
	}
	return append(history, a.end()...)
}

// Compare runs a program on two stores. Their histories must be equal, and
// both must be consistent in the end.
func Compare(t *testing.T, a, b Opener, p Program) {
	t.Helper()
	first, second := a(t), b(t)
	h, g := p.Run(t.Context(), first), p.Run(t.Context(), second)
	for i := range max(len(h), len(g)) {
		x, y := "(the history has ended)", "(the history has ended)"
		if i < len(h) {
			x = h[i]
		}
		if i < len(g) {
			y = g[i]
		}
		if x != y {
			t.Errorf("seed %d, %d steps: the histories differ in line %d\nafter\n%s\none store:\n%s\nthe other:\n%s",
				p.Seed, p.Steps, i, strings.Join(h[max(0, i-3):min(i, len(h))], "\n"), x, y)
			return
		}
	}
	lost := slices.ContainsFunc(h, func(line string) bool {
		return strings.Contains(line, ": delete stream ") && strings.Contains(line, "-> ok")
	})
	for _, s := range []tributary.Store{first, second} {
		CheckConsistent(t, s, Checks{Lost: lost, Usage: true})
	}
	if t.Failed() {
		t.Errorf("seed %d, %d steps", p.Seed, p.Steps)
	}
}

// actor runs a program.
type actor struct {
	ctx    context.Context
	s      tributary.Store
	rnd    *rand.Rand
	seed   uint64
	writes uint64
	labels map[tributary.StreamID]string // what streams are called in the history
	made   map[tributary.StreamName]int  // how often a stream was made
	usage  map[tributary.PoolID]tributary.Usage
	// unsettled: one pool's figures never came, so the others' would be as late.
	unsettled bool
}

type move struct {
	weight int
	name   string
	do     func() string
}

func (a *actor) moves() []move {
	return []move{
		{6, "put pool", a.putPool},
		{1, "delete pool", a.deletePool},
		{8, "put identity", a.putIdentity},
		{2, "delete identity", a.deleteIdentity},
		{40, "sync", a.sync},
		{5, "remove dataset", a.removeDataset},
		{4, "two syncs at once", a.syncTwice},
		{8, "list", a.list},
		{8, "records", a.records},
		{5, "put stream", a.putStream},
		{1, "delete stream", a.deleteStream},
		{5, "append", a.append},
		{3, "append with a mark", a.appendMarked},
		{3, "put device", a.putDevice},
		{1, "delete device", a.deleteDevice},
		{2, "snapshots", a.snapshots},
		{5, "read", a.read},
		{3, "trim", a.trim},
		{1, "trim default", a.trimDefault},
		{4, "lease", a.lease},
		{2, "access key", a.accessKey},
		{2, "delete access key", a.deleteAccessKey},
		{2, "sessions", a.sessions},
	}
}

// The small worlds in which a program moves.
func poolNames() []tributary.PoolID { return []tributary.PoolID{"a:0", "a:00", "A:0"} }

func identityNames() []tributary.IdentityID {
	return []tributary.IdentityID{"a:1", "a:11", "a:1-", "A:1", "b:2", "b_:2", "b-:2"}
}

func datasetNames() []tributary.DatasetName {
	return []tributary.DatasetName{"d", "D", "d.", "d-d", "_"}
}

func streamNames() []tributary.StreamName { return []tributary.StreamName{"s", "S", "s-1"} }

func pick[T any](a *actor, list []T) T { return list[a.rnd.IntN(len(list))] }

func (a *actor) odds(n int) bool { return a.rnd.IntN(n) == 0 }

// begin makes pools and identities, so that there is something to move in.
func (a *actor) begin() []string {
	var lines []string
	for _, id := range poolNames() {
		lines = append(lines, fmt.Sprintf("pool %s %s", id, outcome(a.s.PutPool(a.ctx, tributary.Pool{ID: id, Created: epoch}), "")))
	}
	for n, id := range identityNames()[:5] {
		i := tributary.Identity{ID: id, Pool: a.poolOf(n), Created: epoch, Modified: epoch}
		lines = append(lines, fmt.Sprintf("identity %s %s", id, outcome(a.s.PutIdentity(a.ctx, i), "")))
	}
	return lines
}

// key is of an identity in the pool it always has, most often one that is there.
func (a *actor) key() tributary.DatasetKey {
	there := func(n int) bool {
		_, err := a.s.Identity(a.ctx, identityNames()[n])
		return err == nil
	}
	n := a.rnd.IntN(len(identityNames()))
	for tries := 0; tries < 5 && !there(n); tries++ {
		n = a.rnd.IntN(len(identityNames()))
	}
	return tributary.DatasetKey{Pool: a.poolOf(n), Identity: identityNames()[n], Dataset: pick(a, datasetNames())}
}

func (a *actor) poolOf(identity int) tributary.PoolID { return poolNames()[identity%len(poolNames())] }

func (a *actor) writer() tributary.Writer {
	a.writes++
	return tributary.Writer{
		ID: changeID(a.seed<<32 + a.writes), By: fmt.Sprint("by-", a.rnd.IntN(3)), Now: epoch + tributary.Millis(10*a.writes),
	}
}

func (a *actor) label(id tributary.StreamID) string {
	if label, known := a.labels[id]; known {
		return label
	}
	return fmt.Sprintf("stream %d", id)
}

// outcome is a line's end: the answer, and what it shows if there is one.
func outcome(err error, text string) string {
	if err != nil {
		return "-> " + kindText(err)
	}
	return "-> ok " + text
}

// liveStreams are all streams; the store lists them by name.
func (a *actor) liveStreams() []tributary.Stream {
	list, _ := a.s.Streams(a.ctx, "", 100)
	return list
}

// anyShard is one of a named stream's.
func (a *actor) anyShard() (tributary.Shard, bool) {
	streams := a.liveStreams()
	if len(streams) == 0 {
		return tributary.Shard{}, false
	}
	s := pick(a, streams)
	return tributary.Shard{Stream: s.ID, Number: pick(a, s.Shards).Number}, true
}

func (a *actor) shardLabel(s tributary.Shard) string {
	return fmt.Sprintf("%s/%d", a.label(s.Stream), s.Number)
}

func (a *actor) positionLabel(p tributary.Position) string {
	if p == "" {
		return "beginning"
	}
	shard, n, err := p.Split()
	if err != nil {
		return "malformed " + string(p)
	}
	return fmt.Sprintf("%s#%d", a.shardLabel(shard), n)
}

// end is the store when all is done.
func (a *actor) end() []string {
	lines, err := Dump(a.ctx, a.s)
	lines = append(lines, "dump "+outcome(err, ""))
	for _, group := range append(leaseGroupNames(), markGroup) {
		leases, err := a.s.Leases(a.ctx, group)
		slices.SortFunc(leases, func(x, y tributary.Lease) int { return cmp.Compare(a.leaseLabel(&x), a.leaseLabel(&y)) })
		lines = append(lines, "leases "+outcome(err, texts(leases, a.leaseLabel)))
	}
	keys, err := a.s.AccessKeys(a.ctx)
	slices.SortFunc(keys, func(x, y tributary.AccessKey) int { return cmp.Compare(x.ID, y.ID) })
	lines = append(lines, "keys "+outcome(err, texts(keys, accessKeyText)))
	for _, pool := range poolNames() {
		lines = append(lines, "usage of "+string(pool)+" "+a.settledUsage(pool))
	}
	return lines
}

// settledUsage waits for the figures that the program's own sums foretell.
func (a *actor) settledUsage(pool tributary.PoolID) string {
	if _, err := a.s.PoolUsage(a.ctx, pool); err != nil {
		return kindText(err)
	}
	want := a.usage[pool]
	if a.unsettled {
		return "not waited for"
	}
	if err := awaitUsage(a.ctx, a.s, pool, settled(want)); err != nil {
		a.unsettled = true
		return fmt.Sprintf("%v, want %s", err, usageText(&want))
	}
	return usageText(&want)
}
