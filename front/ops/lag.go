package ops

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary"
)

// Log is the log with how far each group got in it: a store.
type Log interface {
	tributary.Source
	tributary.Leases
}

// WatchLag adds the lag of lease groups to the metrics. It must be called
// before the first request.
func (o *Ops) WatchLag(log Log, groups ...string) { o.log, o.groups = log, groups }

// lag measures how far the groups are behind. It asks the log, not the pumps,
// so that it is true of a sink that hangs, and of a pump that does not run.
func (o *Ops) lag(ctx context.Context) prometheus.Gatherer {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tributary_delivery_lag_seconds",
		Help: "Age of the oldest entry of a shard that a sink has not got; 0 if it has all, NaN if the log cannot be read.",
	}, []string{"group", "shard"})
	for _, group := range o.groups {
		o.measure(ctx, gauge, group)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(gauge)
	return r
}

func (o *Ops) measure(ctx context.Context, gauge *prometheus.GaugeVec, group string) {
	shards, err := o.log.Shards(ctx)
	if err != nil {
		return // not ready, and says so
	}
	got, err := o.checkpoints(ctx, group)
	if err != nil {
		return
	}
	for _, s := range shards {
		next, err := o.log.Read(ctx, s, got[s], 1)
		if tributary.KindOf(err) == tributary.NotFound {
			continue // deleted meanwhile
		}
		gauge.WithLabelValues(group, s.String()).Set(age(next, err))
	}
}

// checkpoints is what a group has got.
func (o *Ops) checkpoints(ctx context.Context, group string) (map[tributary.Shard]tributary.Position, error) {
	leases, err := o.log.Leases(ctx, group)
	got := map[tributary.Shard]tributary.Position{}
	for _, l := range leases {
		got[l.Shard] = l.Checkpoint
	}
	return got, err
}

// age is how old the first of some entries is, in seconds.
func age(next []tributary.Entry, err error) float64 {
	switch {
	case err != nil:
		return math.NaN()
	case len(next) == 0:
		return 0
	}
	return max(0, time.Since(next[0].Arrived.Time()).Seconds())
}
