package stream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tributary"
)

// Job is work that one node does at a time. Another goes on with it when the
// node ends. Group, Node, Leases and, to work, Work are required.
type Job struct {
	Group  string // the lease group, which has no shards
	Node   *Node
	Leases tributary.Leases
	// Work is done until its ctx is done, which it is when the lease is lost
	// or might be: it must do no harm for as long as it then takes to end. If
	// it returns earlier, the lease is given back, and the job is tried again.
	Work func(ctx context.Context) error
	Log  *slog.Logger // nil: no log

	rest time.Time // it is not tried again before
}

const (
	jobEvery = time.Second
	jobRetry = 10 * time.Second // after Work returned
)

// Run works, whenever this node has the lease, until ctx is done.
func (j *Job) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		_, ended, err := j.hold(ctx)
		if err != nil && ctx.Err() == nil && j.Log != nil {
			j.Log.Error("background work ended, will try again", "group", j.Group, "err", err)
		}
		if ended {
			j.rest = time.Now().Add(jobRetry)
		}
		sleep(ctx, jobEvery)
	}
	return nil
}

// Once works once, if no other node that is alive has the lease. It tells
// whether it did.
func (j *Job) Once(ctx context.Context) (worked bool, err error) {
	worked, _, err = j.hold(ctx)
	return worked, err
}

// hold works while this node has the lease. It tells whether it had it, and
// whether the work ended by itself.
func (j *Job) hold(ctx context.Context) (had, ended bool, err error) {
	l, err := j.lease(ctx)
	if err != nil || !j.Node.Sure() || !j.Node.Free(&l) || time.Now().Before(j.rest) {
		return false, false, err
	}
	l, err = j.Leases.SwapLease(ctx, l.Take(j.Node.Name))
	if tributary.KindOf(err) == tributary.Stale {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	if !j.Node.Sure() { // the answer took long
		return false, false, j.release(ctx, l)
	}
	working, lost := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		defer lost()
		j.watch(working, l)
	})
	err = j.Work(working)
	ended = working.Err() == nil
	lost()
	watch.Wait()
	return true, ended, errors.Join(err, j.release(ctx, l))
}

// release gives the lease back: the next owner need not wait for this one's death.
func (j *Job) release(ctx context.Context, l tributary.Lease) error {
	_, err := j.Leases.SwapLease(context.WithoutCancel(ctx), l.Release())
	if tributary.KindOf(err) == tributary.Stale {
		return nil
	}
	return err
}

// lease reads the job's lease.
func (j *Job) lease(ctx context.Context) (tributary.Lease, error) {
	all, err := j.Leases.Leases(ctx, j.Group)
	if err != nil || len(all) == 0 {
		return tributary.Lease{Group: j.Group}, err
	}
	return all[0], nil
}

// watch returns when the lease is not surely this node's any more.
func (j *Job) watch(ctx context.Context, held tributary.Lease) {
	for sleep(ctx, jobEvery/2) {
		// While the store does not answer the node gets unsure.
		asking, cancel := context.WithTimeout(ctx, jobEvery/2)
		l, err := j.lease(asking)
		cancel()
		if !j.Node.Sure() || err == nil && l.Epoch != held.Epoch {
			return
		}
	}
}

// Holder tells which node has the job, "" if none that is alive.
func (j *Job) Holder(ctx context.Context) (string, error) {
	l, err := j.lease(ctx)
	if err != nil || !j.Node.Alive(l.Owner) {
		return "", err
	}
	return l.Owner, nil
}
