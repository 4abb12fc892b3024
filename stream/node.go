package stream

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"tributary"
)

// Node is one process among those that share a store. It tells the others that
// it is alive, by a lease of its own that it writes every second, and knows who
// of them is: those whose lease changed within LeaseTime. Only lengths of time
// are measured, each by one clock, so that clocks need not agree. Name is
// required.
type Node struct {
	// Name owns leases; another one for every process.
	Name string
	// Leases is where the nodes meet; nil: this node is the only one.
	Leases tributary.Leases
	Log    *slog.Logger // nil: no log
	// Seen, if set, hears each time how many nodes are alive, this one included.
	Seen func(nodes int)

	mu     sync.Mutex
	place  tributary.Lease // this node's own, as last written
	proven time.Time       // when the last write of it that succeeded began
	looked time.Time       // when the last look began; zero: it failed
	others map[tributary.Shard]sighting
	held   map[holding]held // by others, as seen by who works under this node's name
}

// holding names a lease of others.
type holding struct {
	group string
	shard tributary.Shard
}

// held is since when a lease is seen with its epoch, and when it was last seen.
type held struct {
	epoch        int64
	since, asked time.Time
}

// sighting is what was seen of a node's lease.
type sighting struct {
	lease  tributary.Lease
	silent time.Duration // for which it was seen unchanged
}

func (s *sighting) alive() bool { return s.lease.Owner != "" && s.silent < tributary.LeaseTime }

const (
	// nodeEvery is the time between two looks, each of which writes and reads.
	nodeEvery = time.Second
	// sureTime is for how long a node is sure of itself; a look that takes
	// longer proves nothing.
	sureTime = tributary.LeaseTime - nodeEvery
	// heldTime is for how long a lease is remembered that nobody asks for.
	heldTime = time.Minute
)

// Run tells and looks until ctx is done. Whoever works under the node's name
// must have ended by then.
func (n *Node) Run(ctx context.Context) error {
	if n.Leases == nil {
		<-ctx.Done()
		return nil
	}
	for {
		if err := n.look(ctx); err != nil && ctx.Err() == nil && n.Log != nil {
			n.Log.Warn("the other nodes cannot be seen, will try again", "err", err)
		}
		if !sleep(ctx, nodeEvery) {
			break
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), nodeEvery)
	defer cancel()
	n.mu.Lock()
	place := n.place
	n.mu.Unlock()
	if place.Owner != "" {
		// The others find out by themselves if this fails.
		_, _ = n.Leases.SwapLease(last, place.Release())
	}
	return nil
}

// Join tells and looks once, so that the others see this node from now on.
func (n *Node) Join(ctx context.Context) error {
	if n.Leases == nil {
		return nil
	}
	return n.look(ctx)
}

// look reads every node's lease, and writes this one's.
func (n *Node) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sureTime)
	defer cancel()
	err := n.readAndWrite(ctx)
	if err != nil {
		// Who cannot write does not know whether others can.
		n.mu.Lock()
		defer n.mu.Unlock()
		n.looked = time.Time{}
	}
	return err
}

func (n *Node) readAndWrite(ctx context.Context) error {
	began := time.Now()
	all, err := n.Leases.Leases(ctx, tributary.NodesGroup)
	if err != nil {
		return err
	}
	place, dead := n.see(began, all)
	began = time.Now()
	if place.Owner != n.Name {
		place = place.Take(n.Name)
	}
	place, err = n.Leases.SwapLease(ctx, place)
	if tributary.KindOf(err) == tributary.Stale {
		return nil // another node was faster; the next look finds another place
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.place, n.proven = place, began
	n.mu.Unlock()
	if dead.Owner != "" {
		// A new node sees only then that nobody has the place. If this fails, it
		// is tried again, or another node was faster.
		_, _ = n.Leases.SwapLease(ctx, dead.Release())
	}
	if n.Seen != nil {
		n.Seen(len(n.Names()))
	}
	return nil
}

// see takes in the leases as they are now, and gives the place to write: this
// node's, or one that nobody has. It also gives one of a dead node, if there is.
func (n *Node) see(now time.Time, all []tributary.Lease) (place, dead tributary.Lease) {
	n.mu.Lock()
	defer n.mu.Unlock()
	// While nobody was looking, because the store did not answer or this node
	// slept, silence proves nothing.
	passed := time.Duration(0)
	if !n.looked.IsZero() {
		passed = min(now.Sub(n.looked), 2*nodeEvery)
	}
	n.looked = now
	others := make(map[tributary.Shard]sighting, len(all))
	own, free := tributary.Lease{Group: tributary.NodesGroup}, -1
	for i, l := range all {
		if l.Owner == n.Name {
			own = l
			continue
		}
		s := sighting{lease: l}
		if before, ok := n.others[l.Shard]; ok && before.lease.Revision == l.Revision {
			s.silent = before.silent + passed
		}
		others[l.Shard] = s
		if s.alive() {
			continue
		}
		if l.Owner != "" {
			dead = l
		}
		if free < 0 || l.Shard.Number < all[free].Shard.Number {
			free = i
		}
	}
	maps.DeleteFunc(n.held, func(_ holding, h held) bool { return now.Sub(h.asked) > heldTime })
	n.others = others
	switch {
	case own.Owner != "":
	case free >= 0:
		own = all[free]
	default:
		own.Shard.Number = uint32(len(all))
	}
	if dead.Shard == own.Shard {
		dead = tributary.Lease{}
	}
	return own, dead
}

// Sure tells whether every other node must take this one for alive. What needs
// to be done by one node alone is not begun without.
func (n *Node) Sure() bool {
	if n.Leases == nil {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.place.Owner != "" && time.Since(n.proven) < sureTime
}

// Free tells whether a lease may be taken by this node. A node has a place, and
// takes leases after that: what a look tells of a lease's owner counts if the
// lease was seen before.
func (n *Node) Free(l *tributary.Lease) bool {
	if n.Leases == nil || l.Owner == "" || l.Owner == n.Name {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now, key := time.Now(), holding{l.Group, l.Shard}
	h, ok := n.held[key]
	if !ok || h.epoch != l.Epoch {
		h = held{epoch: l.Epoch, since: now}
	}
	h.asked = now
	if n.held == nil {
		n.held = map[holding]held{}
	}
	n.held[key] = h
	return n.looked.After(h.since) && !n.alive(l.Owner)
}

// Alive tells whether a node is taken for alive.
func (n *Node) Alive(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alive(name)
}

// alive is Alive for who holds mu.
func (n *Node) alive(name string) bool {
	for _, s := range n.others {
		if s.lease.Owner == name && s.alive() {
			return true
		}
	}
	return name == n.Name
}

// Names lists the nodes that are alive, this one included, in order.
func (n *Node) Names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := []string{n.Name}
	for _, s := range n.others {
		if s.alive() {
			names = append(names, s.lease.Owner)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// share is how many of a number of leases this node is to hold.
func (n *Node) share(leases int) int {
	names := n.Names()
	share := leases / len(names)
	if i, _ := slices.BinarySearch(names, n.Name); i < leases%len(names) {
		share++
	}
	return share
}
