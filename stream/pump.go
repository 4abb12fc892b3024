// Package stream carries the log to sinks, and trims what is carried.
package stream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tributary"
)

// Source is the log as a pump needs it.
type Source interface {
	tributary.Source
	Wait(ctx context.Context, s tributary.Shard, after tributary.Position) error
}

// Pump carries the entries of every shard to a sink, each shard under a lease
// of its own: read above the checkpoint, deliver, move the checkpoint. A shard
// whose delivery fails is tried again, more and more slowly, and holds up no
// other. Group, Owner, Source, Leases and Sink are required.
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
	// Retry is the wait after a failure (0: 100 ms), doubled up to 10 s.
	Retry time.Duration
	Log   *slog.Logger     // nil: no log
	Now   func() time.Time // nil: time.Now
	// Delivered, if set, hears of every batch and of the arrival of its last entry.
	Delivered func(s tributary.Shard, entries int, last tributary.Millis)
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
				p.carry(ctx, s)
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

// carry serves one shard until it is gone or ctx is done.
func (p *Pump) carry(ctx context.Context, s tributary.Shard) {
	first := p.Retry
	if first == 0 {
		first = firstWait
	}
	wait := first
	for ctx.Err() == nil {
		delivered, err := p.hold(ctx, s)
		if tributary.KindOf(err) == tributary.NotFound || ctx.Err() != nil {
			return
		}
		if delivered {
			wait = first
		}
		if err != nil {
			p.log().Error("pump failed, will try again", "group", p.Group, "shard", s.String(), "in", wait, "err", err)
			if p.Failed != nil {
				p.Failed(s, err)
			}
		}
		sleep(ctx, wait)
		wait = min(2*wait, lastWait)
	}
}

// hold takes the shard's lease and delivers until something fails or somebody
// else has taken the lease. It tells whether anything was delivered.
func (p *Pump) hold(ctx context.Context, s tributary.Shard) (delivered bool, err error) {
	l, ok, err := p.take(ctx, s)
	if err != nil || !ok {
		return false, err
	}
	defer func() {
		// The next owner need not wait for the lease to run out.
		if _, releaseErr := p.Leases.SwapLease(context.WithoutCancel(ctx), l.Release()); releaseErr != nil && tributary.KindOf(releaseErr) != tributary.Stale {
			err = errors.Join(err, releaseErr)
		}
	}()
	if c, ok := p.Sink.(tributary.Checkpointer); ok {
		at, err := c.Checkpoint(ctx, s)
		if err != nil {
			return false, err
		}
		l.Checkpoint = at
	}
	for {
		batch, err := p.next(ctx, &l)
		if err != nil || len(batch) == 0 {
			return delivered, err
		}
		// A batch that was begun is finished: its sink commits or not, but is
		// not torn off by a shutdown.
		if err := p.Sink.Deliver(context.WithoutCancel(ctx), l, batch); err != nil {
			return delivered, err
		}
		delivered = true
		last := &batch[len(batch)-1]
		if p.Delivered != nil {
			p.Delivered(s, len(batch), last.Arrived)
		}
		if l, err = p.Leases.SwapLease(context.WithoutCancel(ctx), l.Renew(p.now(), last.Position)); err != nil {
			return delivered, err
		}
	}
}

// take takes the shard's lease if it is free, or still ours.
func (p *Pump) take(ctx context.Context, s tributary.Shard) (tributary.Lease, bool, error) {
	all, err := p.Leases.Leases(ctx, p.Group)
	if err != nil {
		return tributary.Lease{}, false, err
	}
	l := tributary.Lease{Group: p.Group, Shard: s}
	for _, have := range all {
		if have.Shard == s {
			l = have
		}
	}
	if !l.Free(p.now()) && l.Owner != p.Owner {
		return l, false, nil
	}
	l, err = p.Leases.SwapLease(ctx, l.Take(p.Owner, p.now()))
	if tributary.KindOf(err) == tributary.Stale {
		return l, false, nil
	}
	return l, err == nil, err
}

// next waits for entries above the lease's checkpoint and reads a batch of
// them, renewing the lease meanwhile. No entries: ctx is done.
func (p *Pump) next(ctx context.Context, l *tributary.Lease) ([]tributary.Entry, error) {
	most, linger := p.MaxBytes, p.Linger
	if most == 0 {
		most = 4 << 20
	}
	if linger == 0 {
		linger = 200 * time.Millisecond
	}
	for ctx.Err() == nil {
		waited, err := p.wait(ctx, l)
		if err != nil || ctx.Err() != nil {
			return nil, ignoreDone(ctx, err)
		}
		if !waited {
			renewed, err := p.Leases.SwapLease(ctx, l.Renew(p.now(), l.Checkpoint))
			if err != nil {
				return nil, ignoreDone(ctx, err)
			}
			*l = renewed
			continue
		}
		batch, err := p.Source.Read(ctx, l.Shard, l.Checkpoint, most)
		if err != nil {
			return nil, ignoreDone(ctx, err)
		}
		if len(batch) == 0 {
			continue // trimmed meanwhile
		}
		if p.now()-batch[0].Arrived < tributary.Millis(linger.Milliseconds()) {
			// What is fresh is worth waiting for more of it. Shutdown or not,
			// what was read is delivered.
			sleep(ctx, linger)
			batch, err = p.Source.Read(context.WithoutCancel(ctx), l.Shard, l.Checkpoint, most)
		}
		return batch, err
	}
	return nil, nil
}

// wait tells whether there are entries above the checkpoint, or false when it
// is time to renew the lease.
func (p *Pump) wait(ctx context.Context, l *tributary.Lease) (bool, error) {
	limited, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	err := p.Source.Wait(limited, l.Shard, l.Checkpoint)
	if limited.Err() != nil {
		return false, nil
	}
	return err == nil, err
}

func ignoreDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
