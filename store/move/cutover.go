package move

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"time"

	"tributary"
)

// errFrozen is what writes get while the service is handed over.
var errFrozen = &tributary.Error{Kind: tributary.Unavailable, Op: "write", Msg: "The store is being moved: try again in a few seconds"}

// errGivenUp tells that a cut-over would take too long.
var errGivenUp = errors.New("the cut-over takes too long")

// cutOver copies what is written until little is left, then refuses writes,
// copies the rest and hands over. It tries a few times.
func (r *run) cutOver(ctx context.Context) error {
	tries := r.Tries
	if tries == 0 {
		tries = 5
	}
	for range tries {
		r.step(Catching)
		if err := r.approach(ctx); err != nil {
			return err
		}
		if _, err := scanFew(ctx, r.Target); err != nil { // connections are opened before they are waited for
			return err
		}
		r.step(Cutting)
		err := r.handOver(ctx)
		if err == nil {
			r.step(Done)
		}
		if !errors.Is(err, errGivenUp) {
			return err
		}
		r.log().Warn("the cut-over is given up, trying again", "frozen", r.progress.Frozen, "err", err)
	}
	return tributary.Errorf(tributary.Busy, "move store", "the source is written faster than the last changes can be copied: move it when there is less to do")
}

// approach makes rounds until one is short, or they do not become shorter:
// writers that are refused leave more of the machine to the copying, so that a
// try may do even then.
func (r *run) approach(ctx context.Context) error {
	shortest, worse := time.Duration(0), 0
	for worse < mostWorse {
		began := time.Now()
		if err := r.round(ctx); err != nil {
			return err
		}
		took := time.Since(began)
		if took < shortRound {
			return nil
		}
		if worse++; shortest == 0 || took < shortest*9/10 {
			shortest, worse = took, 0
		}
	}
	return nil
}

// handOver refuses writes, copies the rest, and switches the stores' states:
// target filled, source moved, target ordinary. errGivenUp if it would take too
// long; then writes go on.
func (r *run) handOver(ctx context.Context) error {
	most := r.MostFrozen
	if most == 0 {
		most = defaultFrozen
	}
	began := time.Now()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.progress.Frozen = time.Since(began)
	}()
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	before := r.Source.change(newStage(r.source, r.journal, errFrozen))
	if err := r.finishCopy(limited, before); err != nil {
		return r.thaw(ctx, limited, err)
	}
	// From here on the outcome of each step must be known, and nobody stops it
	// in between.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(r.patience, defaultPatience))
	defer cancel()
	switch outcome, err := settle(last, r.source, tributary.TransferState{}, r.moved); outcome {
	case unknown:
		return err
	case refused:
		return r.thaw(ctx, limited, err)
	}
	switch late, err := r.wroteLate(last); {
	case err != nil:
		return err
	case late:
		return r.takeBack(ctx, limited, last)
	}
	for {
		outcome, err := settle(last, r.Target, r.filled, tributary.TransferState{})
		if outcome == reached {
			break
		}
		if outcome == unknown || last.Err() != nil || tributary.KindOf(err) != tributary.Unavailable {
			return err
		}
		pause(last)
	}
	r.Source.change(newStage(r.Target, nil, nil))
	return nil
}

// wroteLate tells whether another node has committed after the last look at the
// logs. The source was given up: they grow no more.
func (r *run) wroteLate(ctx context.Context) (bool, error) {
	copied := r.ends
	for {
		shards, err := scanAll(ctx, r.source, tributary.ItemShard)
		if err == nil {
			err = r.learnEnds(shards)
		}
		if err == nil {
			return !maps.EqualFunc(copied, r.ends, func(a, b ends) bool { return a.last == b.last }), nil
		}
		if pause(ctx); ctx.Err() != nil {
			return false, err
		}
	}
}

// takeBack has a source that was given up too early go on, and the cut-over
// tried again.
func (r *run) takeBack(ctx, limited, last context.Context) error {
	if outcome, err := settle(last, r.source, r.moved, tributary.TransferState{}); outcome != reached {
		return err
	}
	return errors.Join(errGivenUp, r.thaw(ctx, limited, errors.New("another node has written to the source")))
}

// finishCopy copies and verifies what is left, once no write is under way. The
// target is filled then.
func (r *run) finishCopy(ctx context.Context, before *stage) error {
	if err := before.drained(ctx); err != nil {
		return err
	}
	t := written{}
	if err := r.catchUp(ctx, t); err != nil {
		return err
	}
	if err := r.verifyTouched(ctx, t, true); err != nil {
		return err
	}
	if err := r.verifyFew(ctx); err != nil {
		return err
	}
	return r.Target.SetState(ctx, r.filling, r.filled)
}

// thaw lets writes go on after a cut-over that did not come to its end, and
// makes sure that the target is not taken for the whole any more. It gives
// errGivenUp if another try may be made.
func (r *run) thaw(ctx, limited context.Context, cause error) error {
	defer r.Source.change(newStage(r.source, r.journal, nil))
	// Writes do not wait for a target that does not answer: that it says filled
	// does no harm while the source is ordinary.
	soon, cancel := context.WithTimeout(ctx, thawTime)
	defer cancel()
	now, err := r.Target.State(soon)
	if err == nil && now == r.filled {
		err = r.Target.SetState(soon, r.filled, r.filling)
	}
	switch {
	case err != nil:
		return errors.Join(cause, err) // begins again with an empty target
	case limited.Err() != nil && ctx.Err() == nil:
		return errors.Join(errGivenUp, cause)
	}
	return cause
}

const (
	settlePause     = 50 * time.Millisecond
	thawTime        = time.Second
	defaultPatience = 30 * time.Second
)

// outcome is what became of a store that was to go to another state.
type outcome int

const (
	reached outcome = iota
	refused         // it is where it was, and will stay there
	unknown
)

// settle moves a store to its next state and tells what became of it. It goes
// on asking until that is known, or ctx is done.
func settle(ctx context.Context, s tributary.Transfer, from, to tributary.TransferState) (outcome, error) {
	err := s.SetState(ctx, from, to)
	if err == nil {
		return reached, nil
	}
	for {
		now, stateErr := s.State(ctx)
		switch {
		case stateErr == nil && now == to:
			return reached, nil
		case stateErr == nil && now == from:
			return refused, err
		case stateErr == nil:
			return unknown, err // somebody else moves it
		}
		if pause(ctx); ctx.Err() != nil {
			return unknown, errors.Join(err, stateErr)
		}
	}
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(settlePause):
	}
}
