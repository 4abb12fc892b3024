package tributary

import (
	"context"
	"errors"
	"time"
)

const (
	flushEvery = 5 * time.Second  // counted sessions are added to the store
	sweepEvery = 15 * time.Second // for what was deleted or merged through another node
)

// Run adds up the sessions of this process until ctx is done.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			// The last sessions are worth a try; the store is still open.
			return s.FlushSessions(context.WithoutCancel(ctx))
		case <-tick.C:
			if err := s.FlushSessions(ctx); err != nil && ctx.Err() == nil {
				s.log().Error("sessions cannot be counted, will try again", "err", err)
			}
		}
	}
}

// RunSweep does what [Service.Sweep] does until ctx is done. One process is
// enough, and more do no harm.
func (s *Service) RunSweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log().Error("deleted pools and merged identities cannot be finished, will try again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.sweeper():
		}
	}
}

func (s *Service) sweeper() chan struct{} {
	s.sweepOnce.Do(func() { s.wakeSweeper = make(chan struct{}, 1) })
	return s.wakeSweeper
}

func (s *Service) wakeSweep() {
	select {
	case s.sweeper() <- struct{}{}:
	default: // it is to run anyway
	}
}

// Sweep finishes merges and deletions of identities that were not finished by
// who began them, and empties the deleted pools. Their datasets go by Changes,
// so that stream and warehouse hear of it. A pool that cannot be emptied does
// not keep the others.
func (s *Service) Sweep(ctx context.Context) error {
	err := s.sweepIdentities(ctx)
	pools, listed := s.Store.Pools(ctx, "", 1<<30)
	if listed != nil {
		return errors.Join(err, listed)
	}
	for _, pool := range pools {
		if !pool.Deleted {
			continue
		}
		failed := s.empty(ctx, pool.ID)
		if failed == nil {
			failed = s.Store.DeletePool(ctx, pool.ID)
		}
		if KindOf(failed) != NotFound {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// sweepIdentities finishes what was begun with identities. One that cannot be
// finished does not keep the others.
func (s *Service) sweepIdentities(ctx context.Context) error {
	const batch = 100
	var failed error
	for after := IdentityID(""); ctx.Err() == nil; {
		list, err := s.Store.UnfinishedIdentities(ctx, after, batch)
		if err != nil || len(list) == 0 {
			return errors.Join(failed, err)
		}
		for _, i := range list {
			failed, after = errors.Join(failed, s.finish(ctx, i.ID, false)), i.ID
		}
	}
	return failed
}

func (s *Service) empty(ctx context.Context, pool PoolID) error {
	const batch = 100
	for {
		list, err := s.Store.Identities(ctx, pool, "", batch)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, i := range list {
			if ctx.Err() != nil {
				return ctx.Err() // the next run goes on
			}
			if err := s.finish(ctx, i.ID, true); err != nil {
				return err
			}
		}
	}
}

func (s *Service) remove(ctx context.Context, k DatasetKey) error {
	v, err := s.Store.View(ctx, k, nil)
	if err != nil || !v.Dataset.Exists {
		return err
	}
	return s.Store.Commit(ctx, v.Delete(s.writer(Principal{Account: s.Account}, "")))
}
