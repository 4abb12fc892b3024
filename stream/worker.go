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

// run serves the shard until it is gone, another node has its lease, or ctx is
// done.
func (w *worker) run(ctx context.Context) {
	first := cmp.Or(w.Retry, firstWait)
	wait := first
	for ctx.Err() == nil {
		delivered, err := w.hold(ctx)
		if err == nil || tributary.KindOf(err) == tributary.NotFound || ctx.Err() != nil {
			return
		}
		if delivered {
			wait = first
		}
		w.log().Error("pump failed, will try again", "group", w.Group, "shard", w.shard.String(), "in", wait, "err", err)
		if w.Failed != nil {
			w.Failed(w.shard, err)
		}
		sleep(ctx, wait)
		wait = min(2*wait, lastWait)
	}
}

// hold takes the shard's lease and delivers until something fails, without an
// error if somebody else has the lease. It tells whether anything was
// delivered.
func (w *worker) hold(ctx context.Context) (delivered bool, err error) {
	if taken, err := w.take(ctx); err != nil || !taken {
		return false, err
	}
	defer func() {
		// The next owner need not wait for this one's death.
		if _, releaseErr := w.Leases.SwapLease(context.WithoutCancel(ctx), w.lease.Release()); releaseErr != nil && tributary.KindOf(releaseErr) != tributary.Stale {
			err = errors.Join(err, releaseErr)
		}
	}()
	if err := w.begin(ctx); err != nil {
		return false, err
	}
	for {
		if ready, err := w.ready(ctx); err != nil || !ready {
			return delivered, err
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
		if err := w.advance(ctx, last); err != nil {
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
			if err := w.advance(ctx, at); err != nil {
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
	if !w.free(&l) {
		return false, nil
	}
	if !w.Node.Sure() {
		return false, unsure("take lease") // what it knows of the others may be old
	}
	w.lease, err = w.Leases.SwapLease(ctx, l.Take(w.Node.Name))
	if tributary.KindOf(err) == tributary.Stale {
		return false, nil
	}
	return err == nil, err
}

// advance moves the lease's checkpoint. A lease that is lost stays as it was:
// giving it back then does nothing.
func (w *worker) advance(ctx context.Context, checkpoint tributary.Position) error {
	l := w.lease
	l.Checkpoint = checkpoint
	l, err := w.Leases.SwapLease(context.WithoutCancel(ctx), l)
	if err == nil {
		w.lease = l
	}
	return err
}

// ready waits for entries above the checkpoint and a token for them, or tells
// false when ctx is done.
func (w *worker) ready(ctx context.Context) (bool, error) {
	if err := w.Source.Wait(ctx, w.shard, w.lease.Checkpoint); err != nil || ctx.Err() != nil {
		return false, ignoreDone(ctx, err)
	}
	first, err := w.Source.Read(ctx, w.shard, w.lease.Checkpoint, 1)
	if err != nil {
		return false, ignoreDone(ctx, err)
	}
	linger := cmp.Or(w.Linger, 200*time.Millisecond)
	if len(first) > 0 && w.now()-first[0].Arrived < tributary.Millis(linger.Milliseconds()) {
		sleep(ctx, linger) // what is fresh is worth waiting for more of it
	}
	select {
	case w.batches <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return false, nil
	}
}

// deliver reads a batch, delivers it and gives the token back. It tells how
// many entries that were, and the last one's position.
func (w *worker) deliver(ctx context.Context) (int, tributary.Position, error) {
	defer func() { <-w.batches }()
	if !w.Node.Sure() {
		// Others may take this node for dead. A sink would refuse what comes
		// from it then, but not every sink can.
		return 0, "", unsure("deliver")
	}
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
		w.log().Error("entries were trimmed before the sink had them: it goes on without them",
			"group", w.Group, "shard", w.shard.String(), "checkpoint", have, "horizon", horizon)
	}
	w.told, w.lease.Checkpoint = horizon, horizon
	return nil
}

func unsure(op string) error {
	return tributary.Errorf(tributary.Unavailable, op, "the other nodes have not heard of this one for too long")
}

func ignoreDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
