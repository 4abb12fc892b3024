package pgstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tributary"
)

// grouper hands concurrent calls to workers in groups: whoever calls while all
// workers are busy goes with the next group. Where more nodes share the
// database, groups begin at least gap apart: many small groups would cost it more
// than one node's large ones.
type grouper[C any] struct {
	queue chan *waiting[C]
	gap   atomic.Int64 // nanoseconds

	mu   sync.Mutex
	last time.Time // when the last group began, or is to
}

// waiting is a call and where its answer goes.
type waiting[C any] struct {
	call  C
	ctx   context.Context
	since time.Time
	done  chan error
}

const (
	maxWaiting   = 4096 // calls in a queue; more are refused
	maxGroup     = 128  // calls in a group
	groupTimeout = 5 * time.Second
	patience     = 5 * time.Second // a call that has waited longer is refused, so that an answer comes
)

func newGrouper[C any]() *grouper[C] {
	return &grouper[C]{queue: make(chan *waiting[C], maxWaiting)}
}

// do waits for a call's answer, even if ctx is done before: the call points
// into the request, which must not be reused while a worker reads it.
func (g *grouper[C]) do(ctx context.Context, s *Store, op string, call C) error {
	w := &waiting[C]{call: call, ctx: ctx, since: time.Now(), done: make(chan error, 1)}
	if err := g.put(s, op, w); err != nil {
		return err
	}
	return <-w.done
}

func (g *grouper[C]) put(s *Store, op string, w *waiting[C]) error {
	s.calls.RLock()
	defer s.calls.RUnlock()
	if err := s.alive(); err != nil {
		return err
	}
	select {
	case g.queue <- w:
		return nil
	default:
		return tributary.Errorf(tributary.Unavailable, op, "Too many requests are waiting for the database")
	}
}

// work serves groups until the queue is closed and empty. serve gives back what
// is to go with the next group.
func (g *grouper[C]) work(op string, serve func(context.Context, []*waiting[C]) (rest []*waiting[C])) {
	var group []*waiting[C]
	for {
		if len(group) == 0 {
			first, ok := <-g.queue
			if !ok {
				return
			}
			group = append(group, first)
		}
		g.turn()
		for len(group) < maxGroup && len(g.queue) > 0 {
			select {
			case w := <-g.queue:
				group = append(group, w)
			default: // another worker took it
			}
		}
		if group = g.refuseLate(op, group); len(group) == 0 {
			continue
		}
		// The group outlives each of its requests.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(group[0].ctx), groupTimeout)
		group = serve(ctx, group)
		cancel()
	}
}

// refuseLate answers the calls of a group that have waited too long, and gives
// the others.
func (g *grouper[C]) refuseLate(op string, group []*waiting[C]) []*waiting[C] {
	var inTime []*waiting[C]
	for _, w := range group {
		if time.Since(w.since) <= patience {
			inTime = append(inTime, w)
		} else {
			w.done <- tributary.Errorf(tributary.Unavailable, op, "The database answers too slowly")
		}
	}
	return inTime
}

// turn waits for the next group's turn. While the gap is 0 it is at once.
func (g *grouper[C]) turn() {
	gap := time.Duration(g.gap.Load())
	if gap == 0 {
		return
	}
	g.mu.Lock()
	now := time.Now()
	if g.last = g.last.Add(gap); g.last.Before(now) {
		g.last = now
	}
	wait := g.last.Sub(now)
	g.mu.Unlock()
	time.Sleep(wait)
}

// answer gives all of a group the same answer.
func answer[C any](group []*waiting[C], err error) {
	for _, w := range group {
		w.done <- err
	}
}
