package stream

import (
	"context"
	"log/slog"
	"time"

	"tributary"
)

// Retention trims the logs: an embedded stream's after its retention, the
// default log once every group has it. What a group has not got is kept for
// Backlog at most. Store is required.
type Retention struct {
	Store   tributary.Store
	Groups  []string         // lease groups that must have an entry before it goes
	Backlog time.Duration    // 0: 7 days
	Every   time.Duration    // 0: a minute
	Log     *slog.Logger     // nil: no log
	Now     func() time.Time // nil: time.Now
}

// grace is how much longer than its retention an entry stays, for the links
// that were given out last.
const grace = 2 * time.Minute

// Run trims until ctx is done.
func (r *Retention) Run(ctx context.Context) error {
	every := r.Every
	if every == 0 {
		every = time.Minute
	}
	for {
		if err := r.Trim(ctx); err != nil && ctx.Err() == nil && r.Log != nil {
			r.Log.Error("trimming failed, will try again", "err", err)
		}
		if !sleep(ctx, every) {
			return nil
		}
	}
}

// Trim trims every shard once.
func (r *Retention) Trim(ctx context.Context) error {
	streams, err := r.Store.Streams(ctx, "", 1<<30)
	if err != nil {
		return err
	}
	keep := map[tributary.StreamID]time.Duration{}
	for _, s := range streams {
		keep[s.ID] = s.Retention + grace
	}
	delivered, err := r.delivered(ctx)
	if err != nil {
		return err
	}
	shards, err := r.Store.Shards(ctx)
	if err != nil {
		return err
	}
	for _, s := range shards {
		if err := r.trim(ctx, s, keep[s.Stream], delivered); err != nil && tributary.KindOf(err) != tributary.NotFound {
			return err
		}
	}
	return nil
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

func (r *Retention) trim(ctx context.Context, s tributary.Shard, keep time.Duration, delivered []map[tributary.Shard]tributary.Position) error {
	through, err := r.Store.Find(ctx, s, r.ago(keep))
	if err != nil {
		return err
	}
	for _, got := range delivered {
		through = min(through, got[s]) // positions of one shard: text order is their order
	}
	backlog := r.Backlog
	if backlog == 0 {
		backlog = 7 * 24 * time.Hour
	}
	overdue, err := r.Store.Find(ctx, s, r.ago(max(backlog, keep)))
	if err != nil {
		return err
	}
	horizon, err := r.Store.Find(ctx, s, 0)
	if err != nil {
		return err
	}
	if overdue > through {
		through = overdue
		if through > horizon && r.Log != nil {
			r.Log.Error("entries were dropped that a sink has not got", "shard", s.String(), "through", through)
		}
	}
	if through <= horizon {
		return nil
	}
	return r.Store.Trim(ctx, s, through)
}

func (r *Retention) ago(d time.Duration) tributary.Millis {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	return tributary.MillisOf(now().Add(-d))
}
