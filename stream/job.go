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
// node ends. Group, Node, Leases and Work are required.
type Job struct {
	Group  string // the lease group, which has no shards
	Node   *Node
	Leases tributary.Leases
	// Work is done until its ctx is done, which it is when the lease is lost
	// or might be: it must do no harm for as long as it then takes to end. If
	// it returns earlier, the lease is given back, and the job is tried again.
	Work func(ctx context.Context) error
	Log  *slog.Logger // nil: no log
}

const (
	jobEvery = time.Second
	jobRetry = 10 * time.Second // after Work returned
)

// Run works, whenever this node has the lease, until ctx is done.
func (j *Job) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := jobEvery
		worked, err := j.hold(ctx)
		if err != nil && ctx.Err() == nil && j.Log != nil {
			j.Log.Error("background work ended, will try again", "group", j.Group, "err", err)
		}
		if worked {
			wait = jobRetry
		}
		sleep(ctx, wait)
	}
	return nil
}

// hold works while this node has the lease. It tells whether the work ended by
// itself.
func (j *Job) hold(ctx context.Context) (ended bool, err error) {
	l, err := j.lease(ctx)
	if err != nil || !j.Node.Sure() || !j.Node.Free(&l) {
		return false, err
	}
	l, err = j.Leases.SwapLease(ctx, l.Take(j.Node.Name))
	if tributary.KindOf(err) == tributary.Stale {
		return false, nil
	}
	if err != nil {
		return false, err
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
	// The next owner need not wait for this one's death.
	_, releaseErr := j.Leases.SwapLease(context.WithoutCancel(ctx), l.Release())
	if tributary.KindOf(releaseErr) == tributary.Stale {
		releaseErr = nil
	}
	return ended, errors.Join(err, releaseErr)
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
	for sleep(ctx, jobEvery) {
		l, err := j.lease(ctx)
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
