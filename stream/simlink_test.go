package stream_test

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tributary"
	"tributary/store/storetest"
	"tributary/stream"
)

// simNode is a process of a simulation: a node with its pumps and jobs, and its
// ways to the store and to the sinks, on which things go wrong.
type simNode struct {
	tributary.Store // the shared one; what the node calls of it is overridden
	sim             *sim
	name            string
	number          uint64
	node            *stream.Node
	dead            chan struct{} // closed by a crash
	ended           chan struct{} // closed when all goroutines have ended
	cancel          context.CancelFunc

	// What follows is guarded by sim.mu.

	link    context.Context // done when the way to the store breaks
	cut     context.CancelFunc
	crashed bool
	stopped bool // gracefully
	paused  time.Time
	faults  map[way]fault
	slow    fault // calls take up to slowest
	lossy   fault // some calls are lost, or their answers
	trap    *trap
	skew    time.Duration // of the wall clock

	proof  time.Time               // when the last write of its place that was answered began
	writes []time.Time             // when its place was written
	left   bool                    // it gave its place back
	found  map[simShard]bool       // whether the node was sure when it looked where to begin
	opened map[tributary.Shard]int // which warehouse its connections are to
}

// way is where a node's calls go.
type way string

const (
	toStore  way = "store"
	toPlaces way = "places" // the leases of the nodes alone, as on one hanging connection
	toSinks  way = "sinks"
)

// fault is something wrong for a while.
type fault struct {
	how   how
	until time.Time
}

type how string

const (
	failing   how = "failing"
	hanging   how = "hanging" // until it is over, or the driver gives up
	readOnly  how = "read-only"
	flaky     how = "flaky"  // most calls fail
	asleep    how = "asleep" // all processes are paused, and wake at nearly the same time
	slowOnly  how = "slow"
	lossyOnly how = "lossy"
)

const (
	giveUp  = 15 * time.Second // of a driver whose call hangs
	slowest = 3 * time.Second
)

func (f fault) on(now time.Time) bool { return now.Before(f.until) }

// trap springs at a call of a kind: before it is sent, or when it was applied
// and not yet answered.
type trap struct {
	op     string // "" any
	after  bool
	spring func()
}

// request is a call of a node.
type request struct {
	op    string
	way   way
	group string
	shard tributary.Shard
	write bool
}

type simShard struct {
	group string
	shard tributary.Shard
}

func gone(why string) error { return tributary.Errorf(tributary.Unavailable, "simulation", "%s", why) }

// dice are numbers that depend on who asks for what at which time, not on which
// goroutine is first.
type dice uint64

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	x := uint64(*d)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (d *dice) one(in uint64) bool { return d.next()%in == 0 }

func (d *dice) below(most time.Duration) time.Duration {
	return time.Duration(d.next() % uint64(most))
}

func (n *simNode) dice(r request) *dice {
	d := dice(n.sim.seed)
	add := func(x uint64) { d ^= dice(x); d.next() }
	for _, s := range []string{r.op, r.group} {
		for i := range len(s) {
			add(uint64(s[i]))
		}
		add(1000)
	}
	add(n.number)
	add(uint64(r.shard.Stream)<<32 | uint64(r.shard.Number))
	add(uint64(time.Now().UnixNano()))
	x := dice(d.next())
	return &x
}

// call sends a request, has it applied under the simulation's mutex, and gives
// the answer, as far as nothing goes wrong.
func (n *simNode) call(ctx context.Context, r request, apply func() error) error {
	d := n.dice(r)
	n.spring(r, false)
	if err := n.reach(ctx, r, d); err != nil {
		return err
	}
	lossy, slow := n.quality(r)
	if lossy && d.one(20) {
		return gone("the request was lost")
	}
	if err := n.transit(ctx, r, d, slow); err != nil {
		if d.one(2) { // it is on its way, whoever waits for the answer
			n.sim.locked(func() { _ = apply() })
		}
		return err
	}
	var err error
	n.sim.locked(func() { err = apply() })
	n.spring(r, true)
	if slow && d.one(4) {
		if err := n.wait(ctx, time.Now().Add(d.below(slowest))); err != nil {
			return err
		}
	}
	if lossy && d.one(20) || n.broken(r) {
		return gone("the answer was lost")
	}
	if err := n.gate(); err != nil {
		return err
	}
	return err
}

// gate holds a paused node.
func (n *simNode) gate() error {
	for {
		var until time.Time
		var dead bool
		n.sim.locked(func() { until, dead = n.paused, n.crashed })
		if dead {
			return gone("the process is dead")
		}
		if !time.Now().Before(until) {
			return nil
		}
		_ = n.sim.hold(context.WithoutCancel(n.sim.ctx), n.dead, until)
	}
}

// reach tells whether a request gets out, and holds one that hangs.
func (n *simNode) reach(ctx context.Context, r request, d *dice) error {
	limit := time.Now().Add(giveUp)
	for {
		if err := n.gate(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return gone("given up")
		}
		var until time.Time
		fails := false
		n.sim.locked(func() {
			for _, f := range n.on(r) {
				switch {
				case f.how == failing, f.how == flaky && !d.one(4), f.how == readOnly && r.write:
					fails = true
				case f.how == hanging:
					until = f.until
				}
			}
		})
		switch {
		case fails:
			return gone("no connection")
		case until.IsZero():
			return nil
		}
		if until.After(limit) {
			until = limit
		}
		if err := n.wait(ctx, until); err != nil {
			return err
		}
		if !time.Now().Before(limit) || d.one(2) {
			return gone("the call hung")
		}
	}
}

// on lists what is wrong on a request's way. The caller holds sim.mu.
func (n *simNode) on(r request) []fault {
	now := time.Now()
	all := []fault{n.sim.faults[r.way], n.faults[r.way]}
	if r.way == toStore && r.group == tributary.NodesGroup {
		all = append(all, n.faults[toPlaces])
	}
	return slices.DeleteFunc(all, func(f fault) bool { return !f.on(now) })
}

// broken tells whether an answer is lost on its way.
func (n *simNode) broken(r request) (is bool) {
	n.sim.locked(func() {
		is = slices.ContainsFunc(n.on(r), func(f fault) bool { return f.how == failing || f.how == hanging })
	})
	return is
}

func (n *simNode) quality(r request) (lossy, slow bool) {
	n.sim.locked(func() {
		now := time.Now()
		lossy, slow = n.lossy.on(now) || r.way == toSinks && !n.sim.calm, n.slow.on(now)
	})
	return lossy, slow
}

// transit is a request's way. No two end at the same nanosecond, so that a
// seed's history is the same each time, or nearly so.
func (n *simNode) transit(ctx context.Context, r request, d *dice, slow bool) error {
	delay := 50*time.Microsecond + d.below(2*time.Millisecond)
	if slow && d.one(3) {
		delay += d.below(slowest)
	}
	if r.way == toSinks && d.one(60) && !n.sim.isCalm() {
		delay += d.below(20 * time.Second) // the sink is stuck
	}
	return n.wait(ctx, time.Now().Add(delay))
}

// wait waits for a time, or until all is healed, unless ctx or the node ends.
func (n *simNode) wait(ctx context.Context, until time.Time) error {
	if ctx.Err() != nil {
		return gone("given up")
	}
	return n.sim.hold(ctx, n.dead, until)
}

func (n *simNode) spring(r request, after bool) {
	var t *trap
	n.sim.locked(func() {
		if t = n.trap; t != nil && t.after == after && (t.op == "" || t.op == r.op) {
			n.trap = nil
			t.spring()
		}
	})
}

// pause stops all that the node does for a while. The caller holds sim.mu, as
// of all that follow.
func (n *simNode) pause(d time.Duration) {
	n.paused = later(n.paused, time.Now().Add(d))
	n.sim.rested(n)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fail makes something wrong on one of the node's ways.
func (n *simNode) fail(w way, how how, d time.Duration) {
	n.faults[w] = fault{how, time.Now().Add(d)}
	if w == toStore && (how == failing || how == hanging) {
		n.relink()
	}
}

func (n *simNode) relink() {
	if n.cut != nil {
		n.cut()
	}
	n.link, n.cut = context.WithCancel(n.sim.ctx)
}

func (n *simNode) crash() {
	if n.crashed {
		return
	}
	n.crashed = true
	n.sim.rested(n)
	close(n.dead)
	n.cancel()
	n.relink()
	n.cut()
}

// sure tells whether the others must take the node for alive, by what was
// really answered.
func (n *simNode) sure() bool {
	return !n.proof.IsZero() && time.Since(n.proof) < tributary.LeaseTime-time.Second
}

func ask[T any](ctx context.Context, n *simNode, r request, f func() (T, error)) (T, error) {
	var v T
	err := n.call(ctx, r, func() (err error) {
		v, err = f()
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return v, nil
}

func (n *simNode) model() *storetest.Model { return n.sim.store }

func compareShards(a, b tributary.Shard) int {
	return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number))
}

// Shards gives the shards in an order that the seed decides.
func (n *simNode) Shards(ctx context.Context) ([]tributary.Shard, error) {
	r := request{op: "Shards", way: toStore}
	list, err := ask(ctx, n, r, func() ([]tributary.Shard, error) { return n.model().Shards(ctx) })
	slices.SortFunc(list, compareShards)
	d := n.dice(r)
	for i := range list {
		k := i + int(d.next()%uint64(len(list)-i))
		list[i], list[k] = list[k], list[i]
	}
	return list, err
}

func (n *simNode) Streams(ctx context.Context, after tributary.StreamName, limit int) ([]tributary.Stream, error) {
	return ask(ctx, n, request{op: "Streams", way: toStore}, func() ([]tributary.Stream, error) { return n.model().Streams(ctx, after, limit) })
}

func (n *simNode) Find(ctx context.Context, s tributary.Shard, at tributary.Millis) (tributary.Position, error) {
	return ask(ctx, n, request{op: "Find", way: toStore, shard: s}, func() (tributary.Position, error) { return n.model().Find(ctx, s, at) })
}

func (n *simNode) Trim(ctx context.Context, s tributary.Shard, through tributary.Position) error {
	return n.call(ctx, request{op: "Trim", way: toStore, shard: s, write: true}, func() error {
		n.sim.checkTrim(n, s, through)
		return n.model().Trim(ctx, s, through)
	})
}

func (n *simNode) Leases(ctx context.Context, group string) ([]tributary.Lease, error) {
	list, err := ask(ctx, n, request{op: "Leases", way: toStore, group: group}, func() ([]tributary.Lease, error) { return n.model().Leases(ctx, group) })
	slices.SortFunc(list, func(a, b tributary.Lease) int { return compareShards(a.Shard, b.Shard) })
	return list, err
}

func (n *simNode) SwapLease(ctx context.Context, l tributary.Lease) (tributary.Lease, error) {
	began, sure := time.Now(), false
	n.sim.locked(func() { sure = n.sure() })
	got, err := ask(ctx, n, request{"SwapLease", toStore, l.Group, l.Shard, true}, func() (tributary.Lease, error) {
		got, err := n.model().SwapLease(context.WithoutCancel(ctx), l)
		if err == nil {
			n.sim.checkSwap(n, got, began, sure)
		}
		return got, err
	})
	if err == nil && l.Group == tributary.NodesGroup && l.Owner == n.name {
		n.sim.locked(func() { n.proof = began })
	}
	return got, err
}

// carrier is the log as one of the node's pumps sees it.
type carrier struct {
	*simNode
	group string
}

func (c carrier) Find(ctx context.Context, s tributary.Shard, at tributary.Millis) (tributary.Position, error) {
	c.sim.locked(func() { c.found[simShard{c.group, s}] = c.sure() })
	return ask(ctx, c.simNode, request{op: "Find", way: toStore, group: c.group, shard: s}, func() (tributary.Position, error) { return c.model().Find(ctx, s, at) })
}

func (c carrier) Read(ctx context.Context, s tributary.Shard, after tributary.Position, maxBytes int) ([]tributary.Entry, error) {
	if maxBytes > 1 {
		c.sim.locked(func() {
			if !c.found[simShard{c.group, s}] {
				c.sim.violated("%s begins a delivery of %s to %s, and is not sure that others take it for alive", c.name, s, c.group)
			}
		})
	}
	return ask(ctx, c.simNode, request{op: "Read", way: toStore, group: c.group, shard: s}, func() ([]tributary.Entry, error) {
		return c.model().Read(ctx, s, after, maxBytes)
	})
}

func (c carrier) Wait(ctx context.Context, s tributary.Shard, after tributary.Position) error {
	r := request{op: "Wait", way: toStore, group: c.group, shard: s}
	var link context.Context
	if err := c.call(ctx, r, func() error { link = c.link; return nil }); err != nil {
		return err
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(link, cancel)()
	err := c.model().Wait(waiting, s, after)
	if link.Err() != nil {
		return gone("the connection broke")
	}
	if err != nil {
		return err
	}
	return c.call(ctx, r, func() error { return nil })
}
