package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// WatchTriggers adds the calls of pools' functions to the metrics, and gives what
// is to be told of each: its kind, how it ended and how long it took.
func (o *Ops) WatchTriggers() func(kind, outcome string, took time.Duration) {
	calls := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tributary_trigger_seconds", Help: "Time that functions of sync triggers took, those that failed included.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"kind", "outcome"})
	o.registry.MustRegister(calls)
	return func(kind, outcome string, took time.Duration) {
		calls.WithLabelValues(kind, outcome).Observe(took.Seconds())
	}
}
