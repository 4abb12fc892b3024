package ops

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"tributary"
)

// outbox is what is counted of the streams at Kinesis.
type outbox struct {
	sent    *prometheus.CounterVec
	failed  *prometheus.CounterVec
	dropped *prometheus.CounterVec
	streams tributary.Streams // of which the lag is measured; nil: of none
	group   string
}

// ofTarget are the labels that name a stream at Kinesis.
var ofTarget = []string{"stream", "region", "role"}

func labels(t *tributary.Target, more ...string) []string {
	return append([]string{string(t.Name), t.Region, t.RoleARN}, more...)
}

func newOutbox() outbox {
	return outbox{
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_kinesis_records_total", Help: "Records that Kinesis has confirmed.",
		}, ofTarget),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_kinesis_errors_total", Help: "Records that Kinesis has not taken and that are tried again, by AWS's code; ProvisionedThroughputExceededException are throttles.",
		}, append(slices.Clone(ofTarget), "code")),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_dropped_entries_total", Help: "Log entries that were dropped before a sink had them, by its lease group and the stream's number.",
		}, []string{"group", "stream"}),
	}
}

// Sent hears of records that a stream at Kinesis has confirmed.
func (o *Ops) Sent(to tributary.Target, records int) {
	o.outbox.sent.WithLabelValues(labels(&to)...).Add(float64(records))
}

// Refused hears of records that a stream at Kinesis has not taken.
func (o *Ops) Refused(to tributary.Target, code string, records int) {
	o.outbox.failed.WithLabelValues(labels(&to, code)...).Add(float64(records))
}

// Dropped hears of entries that were trimmed before a sink had them.
func (o *Ops) Dropped(gap tributary.Gap) {
	o.outbox.dropped.WithLabelValues(gap.Group, strconv.FormatUint(uint64(gap.Stream), 10)).Add(float64(gap.Entries))
}

// WatchKinesis adds the streams at Kinesis to the metrics, which a lease group
// carries the log to. It must be called before the first request, after WatchLag.
func (o *Ops) WatchKinesis(streams tributary.Streams, group string) {
	o.outbox.streams, o.outbox.group = streams, group
}

// kinesisLag measures how far each stream at Kinesis is behind, and whether it
// was turned off.
func (o *Ops) kinesisLag(ctx context.Context) prometheus.Gatherer {
	lag := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tributary_kinesis_lag_seconds", Help: "Age of the oldest entry that a stream at Kinesis has not got; 0 if it has all, NaN if the log cannot be read.",
	}, ofTarget)
	off := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tributary_kinesis_off", Help: "1 for a stream at Kinesis that turned itself off, until a person turns it on again.",
	}, ofTarget)
	r := prometheus.NewRegistry()
	r.MustRegister(lag, off)
	if o.outbox.streams == nil {
		return r
	}
	all, err := o.outbox.streams.Streams(ctx, "", math.MaxInt)
	if err != nil {
		return r // not ready, and says so
	}
	got, err := o.checkpoints(ctx, o.outbox.group)
	if err != nil {
		return r
	}
	for i := range all {
		if s := &all[i]; s.Kind == tributary.Kinesis {
			lag.WithLabelValues(labels(&s.Target)...).Set(o.oldest(ctx, s, got))
			turned := 0.
			if s.Failure != "" {
				turned = 1
			}
			off.WithLabelValues(labels(&s.Target)...).Set(turned)
		}
	}
	return r
}

// oldest is the age of a stream's oldest entry that is not delivered.
func (o *Ops) oldest(ctx context.Context, s *tributary.Stream, got map[tributary.Shard]tributary.Position) float64 {
	most := 0.
	for i := range s.Shards {
		shard := tributary.Shard{Stream: s.ID, Number: s.Shards[i].Number}
		next, err := o.log.Read(ctx, shard, got[shard], 1)
		if tributary.KindOf(err) == tributary.NotFound {
			continue // deleted meanwhile
		}
		if most = max(most, age(next, err)); math.IsNaN(most) {
			break
		}
	}
	return most
}
