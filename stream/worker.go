package stream

import (
	"cmp"
	"context"
	"errors"
	"time"

	"tributary"
)

// worker carries one shard.
type worker struct {
	*Pump
	shard   tributary.Shard
	batches chan struct{} // a token for each batch in memory, of all shards
	lease   tributary.Lease
	told    tributary.Position // the end of the last gap that was told
}

// run serves the shard until it is gone or ctx is done.
func (w *worker) run(ctx context.Context) {
	first := cmp.Or(w.Retry, firstWait)
	wait := first
	for ctx.Err() == nil {
		delivered, err := w.hold(ctx)
		if tributary.KindOf(err) == tributary.NotFound || ctx.Err() != nil {
			return
		}
		if delivered {
			wait = first
		}
		if err != nil {
			w.log().Error("pump failed, will try again", "group", w.Group, "shard", w.shard.String(), "in", wait, "err", err)
			if w.Failed != nil {
				w.Failed(w.shard, err)
			}
		}
		sleep(ctx, wait)
		wait = min(2*wait, lastWait)
	}
}

// hold takes the shard's lease and delivers until something fails or somebody
// else has taken the lease. It tells whether anything was delivered.
func (w *worker) hold(ctx context.Context) (delivered bool, err error) {
	if taken, err := w.take(ctx); err != nil || !taken {
		return false, err
	}
	defer func() {
		// The next owner need not wait for the lease to run out.
		if _, releaseErr := w.Leases.SwapLease(context.WithoutCancel(ctx), w.lease.Release()); releaseErr != nil && tributary.KindOf(releaseErr) != tributary.Stale {
			err = errors.Join(err, releaseErr)
		}
	}()
	if err := w.begin(ctx); err != nil {
		return false, err
	}
	for {
		if ready, err := w.await(ctx); err != nil || !ready {
			return delivered, ignoreDone(ctx, err)
		}
		n, last, err := w.deliver(ctx)
		if err != nil {
			return delivered, err
		}
		if n == 0 {
			continue // trimmed meanwhile
		}
		delivered = true
		if w.Delivered != nil {
			w.Delivered(w.shard, n)
		}
		if err := w.renew(ctx, last); err != nil {
			return delivered, err
		}
	}
}

// begin finds where to begin.
func (w *worker) begin(ctx context.Context) error {
	if c, ok := w.Sink.(tributary.Checkpointer); ok {
		at, err := c.Checkpoint(ctx, w.shard)
		if err != nil {
			return err
		}
		// The lease must tell what the sink lacks, or it may be trimmed.
		if at != w.lease.Checkpoint {
			if err := w.renew(ctx, at); err != nil {
				return err
			}
		}
	}
	// While nothing arrives nobody else would tell of a gap.
	return w.skipGap(ctx)
}

// take takes the shard's lease if it is free, or still ours.
func (w *worker) take(ctx context.Context) (bool, error) {
	all, err := w.Leases.Leases(ctx, w.Group)
	if err != nil {
		return false, err
	}
	l := tributary.Lease{Group: w.Group, Shard: w.shard}
	for _, have := range all {
		if have.Shard == w.shard {
			l = have
		}
	}
	if !l.Free(w.now()) && l.Owner != w.Owner {
		return false, nil
	}
	w.lease, err = w.Leases.SwapLease(ctx, l.Take(w.Owner, w.now()))
	if tributary.KindOf(err) == tributary.Stale {
		return false, nil
	}
	return err == nil, err
}

// renew keeps the lease, and moves its checkpoint. A lease that is lost stays
// as it was: giving it back then does nothing.
func (w *worker) renew(ctx context.Context, checkpoint tributary.Position) error {
	l, err := w.Leases.SwapLease(context.WithoutCancel(ctx), w.lease.Renew(w.now(), checkpoint))
	if err == nil {
		w.lease = l
	}
	return err
}

// await tells that there are entries above the checkpoint, and has a token for
// them, or false when ctx is done. It renews the lease meanwhile.
func (w *worker) await(ctx context.Context) (bool, error) {
	for ctx.Err() == nil {
		if ready, err := w.ready(ctx); err != nil || ready {
			return ready, err
		}
		if err := w.renew(ctx, w.lease.Checkpoint); err != nil {
			return false, err
		}
	}
	return false, nil
}

// ready waits for entries and a token, or gives up when it is time to renew the lease.
func (w *worker) ready(ctx context.Context) (bool, error) {
	limited, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	if err := w.Source.Wait(limited, w.shard, w.lease.Checkpoint); err != nil || limited.Err() != nil {
		return false, ignoreDone(limited, err)
	}
	first, err := w.Source.Read(limited, w.shard, w.lease.Checkpoint, 1)
	if err != nil {
		return false, ignoreDone(limited, err)
	}
	linger := cmp.Or(w.Linger, 200*time.Millisecond)
	if len(first) > 0 && w.now()-first[0].Arrived < tributary.Millis(linger.Milliseconds()) {
		sleep(ctx, linger) // what is fresh is worth waiting for more of it
	}
	select {
	case w.batches <- struct{}{}:
		return true, nil
	case <-limited.Done():
		return false, nil
	}
}

// deliver reads a batch, delivers it and gives the token back. It tells how
// many entries that were, and the last one's position.
func (w *worker) deliver(ctx context.Context) (int, tributary.Position, error) {
	defer func() { <-w.batches }()
	// A batch that was begun is finished: its sink commits or not, but is not
	// torn off by a shutdown.
	ctx = context.WithoutCancel(ctx)
	if err := w.skipGap(ctx); err != nil {
		return 0, "", err
	}
	batch, err := w.Source.Read(ctx, w.shard, w.lease.Checkpoint, cmp.Or(w.MaxBytes, 4<<20))
	if err != nil || len(batch) == 0 {
		return 0, "", err
	}
	return len(batch), batch[len(batch)-1].Position, w.Sink.Deliver(ctx, w.lease, batch)
}

// skipGap moves the checkpoint to the log's horizon if entries between the two
// were trimmed before the group had them, and says so once.
func (w *worker) skipGap(ctx context.Context) error {
	horizon, err := w.Source.Find(ctx, w.shard, 0)
	if err != nil {
		return err
	}
	have := w.lease.Checkpoint
	if have >= horizon || horizon == tributary.PositionOf(w.shard, 0) {
		return nil
	}
	// A sink that keeps its own checkpoint comes with the old one until it has
	// taken something.
	if have >= w.told {
		w.log().Error("entries were trimmed before the sink had them: publish the pools in bulk to fill the gap",
			"group", w.Group, "shard", w.shard.String(), "checkpoint", have, "horizon", horizon)
	}
	w.told, w.lease.Checkpoint = horizon, horizon
	return nil
}

func ignoreDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
