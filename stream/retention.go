package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"tributary"
)

// Retention trims the logs: an embedded stream's after its retention, the
// others once every group has it. What a group has not got is kept for Backlog,
// or up to BacklogBytes, at most. An entry's age is the higher of what its
// arrival says and how long it was seen here: where the clock was ahead for a
// while, all later entries arrive in the future. Store is required.
type Retention struct {
	Store  tributary.Store
	Groups []string // lease groups that must have an entry before it goes
	// KindGroups are further ones, for the streams of a kind.
	KindGroups map[tributary.StreamKind][]string
	Backlog    time.Duration // 0: 7 days
	// BacklogBytes is how much the logs of streams at Kinesis may take together (0: no
	// limit), as Size estimates it.
	BacklogBytes int64
	Size         func(context.Context, tributary.Shard) (int64, error)
	// Dropped, if set, hears of entries of a stream that a group never gets,
	// before they are trimmed. If it fails they are kept.
	Dropped func(ctx context.Context, gap tributary.Gap) error
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
	rules, err := r.rules(ctx)
	if err != nil {
		return err
	}
	delivered, err := r.delivered(ctx)
	if err != nil {
		return err
	}
	w := sweep{Retention: r, rules: rules, delivered: delivered, before: r.marks}
	r.marks = map[markKey]mark{}
	if w.full, err = w.overfull(ctx, shards); err != nil {
		return err
	}
	plans := map[tributary.StreamID][]plan{}
	var failed []error
	for _, s := range shards {
		if _, known := rules[s.Stream]; !known {
			continue
		}
		p, err := w.plan(ctx, s)
		failed = append(failed, about(s, err))
		if err == nil {
			plans[s.Stream] = append(plans[s.Stream], p)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(plans)) {
		failed = append(failed, w.trim(ctx, id, plans[id]))
	}
	return errors.Join(failed...)
}

// about says which shard an error is of. One that is gone is none.
func about(s tributary.Shard, err error) error {
	if err == nil || tributary.KindOf(err) == tributary.NotFound {
		return nil
	}
	return fmt.Errorf("shard %s: %w", s, err)
}

// rule is how a stream's entries go.
type rule struct {
	keep   time.Duration // they stay at least
	groups []string      // that must have them
	outbox bool          // nobody but its groups reads it
}

func (r *Retention) rules(ctx context.Context) (map[tributary.StreamID]rule, error) {
	streams, err := r.Store.Streams(ctx, "", math.MaxInt)
	if err != nil {
		return nil, err
	}
	rules := map[tributary.StreamID]rule{tributary.DefaultStream: {groups: r.Groups}}
	for _, s := range streams {
		of := rule{groups: slices.Concat(r.Groups, r.KindGroups[s.Kind]), outbox: s.Kind == tributary.Kinesis}
		if !of.outbox {
			of.keep = s.Retention + grace
		}
		rules[s.ID] = of
	}
	return rules, nil
}

// delivered is what each group has got of each shard.
func (r *Retention) delivered(ctx context.Context) (map[string]map[tributary.Shard]tributary.Position, error) {
	out := map[string]map[tributary.Shard]tributary.Position{}
	groups := slices.Clone(r.Groups)
	for _, more := range r.KindGroups {
		groups = append(groups, more...)
	}
	for _, g := range groups {
		leases, err := r.Store.Leases(ctx, g)
		if err != nil {
			return nil, err
		}
		got := map[tributary.Shard]tributary.Position{}
		for _, l := range leases {
			got[l.Shard] = l.Checkpoint
		}
		out[g] = got
	}
	return out, nil
}

// sweep is one pass over all shards.
type sweep struct {
	*Retention
	rules     map[tributary.StreamID]rule
	delivered map[string]map[tributary.Shard]tributary.Position
	before    map[markKey]mark                       // the marks of the pass before
	full      map[tributary.Shard]tributary.Position // up to here logs are over BacklogBytes
}

// plan is how far a shard is to be trimmed.
type plan struct {
	shard            tributary.Shard
	horizon, through tributary.Position
	lost             []tributary.Gap // what groups never get; without entries: a gap of before that a group has not passed
}

func (w *sweep) plan(ctx context.Context, s tributary.Shard) (plan, error) {
	r := w.rules[s.Stream]
	through, err := w.olderThan(ctx, s, r.keep)
	if err != nil {
		return plan{}, err
	}
	overdue, err := w.olderThan(ctx, s, max(r.keep, cmp.Or(w.Backlog, 7*24*time.Hour)))
	if err != nil {
		return plan{}, err
	}
	overdue = max(overdue, w.full[s])
	horizon, err := w.Store.Find(ctx, s, 0)
	if err != nil {
		return plan{}, err
	}
	p := plan{shard: s, horizon: horizon}
	for _, g := range r.groups {
		got := w.delivered[g][s]
		through = min(through, got) // positions of one shard: text order is their order
		lost := tributary.Gap{Stream: s.Stream, Group: g, Continues: got < horizon && horizon != tributary.PositionOf(s, 0)}
		if overdue > max(got, horizon) {
			if err := w.measure(ctx, s, &lost, max(got, horizon), overdue); err != nil {
				return plan{}, err
			}
		}
		p.lost = append(p.lost, lost)
	}
	p.through = through
	for i := range p.lost {
		if p.lost[i].Entries > 0 {
			p.through = max(through, overdue)
		}
	}
	return p, nil
}

// trim trims the shards of a stream, and tells first of what is lost with it.
func (w *sweep) trim(ctx context.Context, id tributary.StreamID, plans []plan) error {
	for i, g := range w.rules[id].groups {
		gap := tributary.Gap{Stream: id, Group: g}
		for _, p := range plans {
			gap.Add(&p.lost[i])
		}
		if gap.Entries == 0 {
			continue
		}
		if w.Log != nil {
			w.Log.Error("entries were dropped that a sink has not got", "group", g, "stream", id, "entries", gap.Entries, "from", gap.From.Time(), "until", gap.Until.Time())
		}
		if w.Dropped != nil {
			if err := w.Dropped(ctx, gap); err != nil {
				return fmt.Errorf("stream %d: %w", id, err)
			}
		}
	}
	var failed []error
	for _, p := range plans {
		if p.through > p.horizon {
			failed = append(failed, about(p.shard, w.Store.Trim(ctx, p.shard, p.through)))
		}
	}
	return errors.Join(failed...)
}

// measure measures what there is above one position, up to another. What a
// restore left out lies between positions too.
func (w *sweep) measure(ctx context.Context, s tributary.Shard, gap *tributary.Gap, above, through tributary.Position) error {
	first, err := w.Store.Read(ctx, s, above, 1)
	if err != nil || len(first) == 0 || first[0].Position > through {
		return err
	}
	_, begin, err := first[0].Position.Split()
	if err != nil {
		return err
	}
	_, end, err := through.Split()
	if err != nil {
		return err
	}
	gap.Entries, gap.From, gap.Until = end-begin+1, first[0].Arrived, first[0].Arrived
	last, err := w.Store.Read(ctx, s, tributary.PositionOf(s, end-1), 1)
	if err == nil && len(last) > 0 && last[0].Position == through {
		gap.Until = max(gap.Until, last[0].Arrived)
	}
	return err
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
