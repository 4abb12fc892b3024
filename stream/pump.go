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
// other; one whose delivery hangs takes one of the Batches. Group, Owner, Source, Leases and Sink are required.
type Pump struct {
	Group  string // the lease group
	Owner  string // of the leases; another one for every process
	Source Source
	Leases tributary.Leases
	Sink   tributary.Sink
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
	lookEvery = 250 * time.Millisecond // for shards that are new
	renewTime = tributary.LeaseTime / 3
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
)

// Run carries until ctx is done. The leases are then given back.
func (p *Pump) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	var mu sync.Mutex
	running := map[tributary.Shard]bool{}
	batches := make(chan struct{}, cmp.Or(p.Batches, 8))
	for {
		shards, err := p.Source.Shards(ctx)
		if err != nil && ctx.Err() == nil {
			p.log().Error("pump cannot list shards", "group", p.Group, "err", err)
		}
		mu.Lock()
		for _, s := range shards {
			if running[s] {
				continue
			}
			running[s] = true
			workers.Go(func() {
				(&worker{Pump: p, shard: s, batches: batches}).run(ctx)
				mu.Lock()
				delete(running, s)
				mu.Unlock()
			})
		}
		mu.Unlock()
		if !sleep(ctx, lookEvery) {
			return nil
		}
	}
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
