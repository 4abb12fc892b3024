package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"tributary"
)

// Retention trims the logs: an embedded stream's after its retention, the
// default log once every group has it. What a group has not got is kept for
// Backlog at most. An entry's age is the higher of what its arrival says and
// how long it was seen here: where the clock was ahead for a while, all later
// entries arrive in the future. Store is required.
type Retention struct {
	Store   tributary.Store
	Groups  []string         // lease groups that must have an entry before it goes
	Backlog time.Duration    // 0: 7 days
	Every   time.Duration    // 0: a minute
	Log     *slog.Logger     // nil: no log
	Now     func() time.Time // nil: time.Now

	marks map[markKey]mark
}

// mark is the end of a shard's log as it was seen at some time. It is moved
// when it is older than the age that it is for.
type mark struct {
	end  tributary.Position
	seen time.Time
}

type markKey struct {
	shard tributary.Shard
	age   time.Duration
}

// grace is how much longer than its retention an entry stays, for the links
// that were given out last.
const grace = 2 * time.Minute

// Run trims until ctx is done.
func (r *Retention) Run(ctx context.Context) error {
	for {
		if err := r.Trim(ctx); err != nil && ctx.Err() == nil && r.Log != nil {
			r.Log.Error("trimming failed, will try again", "err", err)
		}
		if !sleep(ctx, cmp.Or(r.Every, time.Minute)) {
			return nil
		}
	}
}

// Trim trims every shard once. It is not to be called concurrently.
func (r *Retention) Trim(ctx context.Context) error {
	// In this order: each of these shards' streams is among the streams, or deleted.
	shards, err := r.Store.Shards(ctx)
	if err != nil {
		return err
	}
	keep, err := r.keep(ctx)
	if err != nil {
		return err
	}
	delivered, err := r.delivered(ctx)
	if err != nil {
		return err
	}
	w := sweep{Retention: r, delivered: delivered, before: r.marks}
	r.marks = map[markKey]mark{}
	var failed []error
	for _, s := range shards {
		age, known := keep[s.Stream]
		if !known {
			continue
		}
		if err := w.trim(ctx, s, age); err != nil && tributary.KindOf(err) != tributary.NotFound {
			failed = append(failed, fmt.Errorf("shard %s: %w", s, err))
		}
	}
	return errors.Join(failed...)
}

// keep is how long each stream's entries stay.
func (r *Retention) keep(ctx context.Context) (map[tributary.StreamID]time.Duration, error) {
	streams, err := r.Store.Streams(ctx, "", math.MaxInt)
	if err != nil {
		return nil, err
	}
	keep := map[tributary.StreamID]time.Duration{tributary.DefaultStream: 0}
	for _, s := range streams {
		keep[s.ID] = s.Retention + grace
	}
	return keep, nil
}

// delivered is what each group has got of each shard.
func (r *Retention) delivered(ctx context.Context) ([]map[tributary.Shard]tributary.Position, error) {
	var out []map[tributary.Shard]tributary.Position
	for _, g := range r.Groups {
		leases, err := r.Store.Leases(ctx, g)
		if err != nil {
			return nil, err
		}
		got := map[tributary.Shard]tributary.Position{}
		for _, l := range leases {
			got[l.Shard] = l.Checkpoint
		}
		out = append(out, got)
	}
	return out, nil
}

// sweep is one pass over all shards.
type sweep struct {
	*Retention
	delivered []map[tributary.Shard]tributary.Position
	before    map[markKey]mark // the marks of the pass before
}

func (w *sweep) trim(ctx context.Context, s tributary.Shard, keep time.Duration) error {
	through, err := w.olderThan(ctx, s, keep)
	if err != nil {
		return err
	}
	for _, got := range w.delivered {
		through = min(through, got[s]) // positions of one shard: text order is their order
	}
	overdue, err := w.olderThan(ctx, s, max(keep, cmp.Or(w.Backlog, 7*24*time.Hour)))
	if err != nil {
		return err
	}
	horizon, err := w.Store.Find(ctx, s, 0)
	if err != nil {
		return err
	}
	if overdue > through {
		lost, err := w.holds(ctx, s, max(through, horizon), overdue)
		if err != nil {
			return err
		}
		if lost {
			through = overdue
			if w.Log != nil {
				w.Log.Error("entries were dropped that a sink has not got", "shard", s.String(), "through", through)
			}
		}
	}
	if through <= horizon {
		return nil
	}
	return w.Store.Trim(ctx, s, through)
}

// holds tells whether there are entries above one position, up to another. What
// a restore left out lies between positions too.
func (w *sweep) holds(ctx context.Context, s tributary.Shard, above, through tributary.Position) (bool, error) {
	first, err := w.Store.Read(ctx, s, above, 1)
	return len(first) > 0 && first[0].Position <= through, err
}

// olderThan finds the last entry of at least an age.
func (w *sweep) olderThan(ctx context.Context, s tributary.Shard, age time.Duration) (tributary.Position, error) {
	now, key := w.now(), markKey{s, age}
	m := w.before[key]
	w.marks[key] = m // in case that this shard fails
	through, err := w.Store.Find(ctx, s, tributary.MillisOf(now.Add(-age)))
	if err != nil {
		return "", err
	}
	if m.end != "" && now.Sub(m.seen) < age {
		return through, nil
	}
	end, err := w.Store.Find(ctx, s, math.MaxInt64)
	if err != nil {
		return "", err
	}
	w.marks[key] = mark{end, w.now()} // the answer may have taken long
	return max(through, m.end), nil
}

func (r *Retention) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
