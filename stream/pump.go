// Package stream carries the log to sinks, and trims what is carried.
package stream

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"tributary"
)

// Source is the log as a pump needs it.
type Source interface {
	tributary.Source
	Find(ctx context.Context, s tributary.Shard, at tributary.Millis) (tributary.Position, error)
	Wait(ctx context.Context, s tributary.Shard, after tributary.Position) error
}

// Pump carries the entries of every shard to a sink, each shard under a lease
// of its own: read above the checkpoint, deliver, move the checkpoint. A shard
// whose delivery fails is tried again, more and more slowly, and holds up no
// other; one whose delivery hangs takes one of the Batches. Many nodes run the
// same pump: each holds its share of the leases, and takes over those of a node
// that has died. Group, Node, Source, Leases and Sink are required.
type Pump struct {
	Group  string // the lease group
	Node   *Node
	Source Source
	Leases tributary.Leases
	Sink   tributary.Sink
	// Alone: no other node has this sink, so all leases belong here, whoever has
	// them. A node that had the sink before, and lives, may have been unable to
	// give them back.
	Alone bool
	// A batch is closed at MaxBytes (0: 4 MiB), or Linger (0: 200 ms) after its
	// first entry was seen.
	MaxBytes int
	Linger   time.Duration
	// Batches is how many are in memory at a time, over all shards (0: 8).
	Batches int
	// Retry is the wait after a failure (0: 100 ms), doubled up to 10 s.
	Retry time.Duration
	Log   *slog.Logger     // nil: no log
	Now   func() time.Time // nil: time.Now
	// Delivered, if set, hears of every batch.
	Delivered func(s tributary.Shard, entries int)
	// Failed, if set, hears of every delivery that failed.
	Failed func(s tributary.Shard, err error)
}

const (
	lookEvery = 250 * time.Millisecond // for shards that are new, and leases that are free
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
)

// Run carries until ctx is done. The leases are then given back.
func (p *Pump) Run(ctx context.Context) error {
	c := &crew{Pump: p, ctx: ctx, batches: make(chan struct{}, cmp.Or(p.Batches, 8)), at: map[tributary.Shard]context.CancelFunc{}}
	defer c.working.Wait()
	for {
		left, err := c.assign()
		if err == nil {
			err = c.release(left)
		}
		if err != nil && ctx.Err() == nil {
			p.log().Error("pump cannot share the shards out", "group", p.Group, "err", err)
		}
		if !sleep(ctx, lookEvery) {
			return nil
		}
	}
}

// free tells whether a lease may be taken.
func (p *Pump) free(l *tributary.Lease) bool { return p.Alone || p.Node.Free(l) }

// crew is a pump's workers.
type crew struct {
	*Pump
	ctx     context.Context // of them all
	batches chan struct{}   // a token for each batch in memory
	working sync.WaitGroup

	mu sync.Mutex
	at map[tributary.Shard]context.CancelFunc // sends the shard's worker home
}

// assign starts workers for free leases up to this node's share, and sends
// home who has lost his lease, or is one too many. It gives the leases that are
// this node's without a worker: one went home and could not give it back.
func (c *crew) assign() (left []tributary.Lease, err error) {
	if !c.Node.Sure() {
		return nil, nil
	}
	shards, err := c.Source.Shards(c.ctx)
	if err != nil {
		return nil, err
	}
	leases, err := c.Leases.Leases(c.ctx, c.Group)
	if err != nil {
		return nil, err
	}
	free := make(map[tributary.Shard]bool, len(leases))
	for i := range leases {
		free[leases[i].Shard] = c.free(&leases[i])
	}
	share := len(shards)
	if !c.Alone {
		share = c.Node.share(len(shards))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	working := 0
	for _, s := range shards {
		stop, here := c.at[s]
		mine, known := free[s] // unless another node has it
		switch {
		case here && (known && !mine || working == share):
			stop()
		case here:
			working++
		}
	}
	for _, s := range shards {
		_, here := c.at[s]
		if mine, known := free[s]; here || known && !mine || working >= share {
			continue
		}
		c.start(s)
		working++
	}
	for _, l := range leases {
		if _, here := c.at[l.Shard]; !here && l.Owner == c.Node.Name {
			left = append(left, l)
		}
	}
	return left, nil
}

// release gives leases back. One that a worker gave back meanwhile is Stale.
func (c *crew) release(left []tributary.Lease) error {
	for _, l := range left {
		if _, err := c.Leases.SwapLease(c.ctx, l.Release()); err != nil && tributary.KindOf(err) != tributary.Stale {
			return err
		}
	}
	return nil
}

// start lets a worker carry a shard. The caller holds mu.
func (c *crew) start(s tributary.Shard) {
	ctx, stop := context.WithCancel(c.ctx)
	c.at[s] = stop
	c.working.Go(func() {
		(&worker{Pump: c.Pump, shard: s, batches: c.batches}).run(ctx)
		stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.at, s)
	})
}

func (p *Pump) log() *slog.Logger {
	if p.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.Log
}

func (p *Pump) now() tributary.Millis {
	if p.Now != nil {
		return tributary.MillisOf(p.Now())
	}
	return tributary.MillisOf(time.Now())
}

// sleep waits, and tells whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
