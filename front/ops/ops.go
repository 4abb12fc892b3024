// Package ops is the front for those who run the server: health, readiness
// and metrics.
package ops

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tributary"
)

// Ops counts what happens and answers who asks.
type Ops struct {
	ready    func(context.Context) error
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	entries  *prometheus.CounterVec
	failures *prometheus.CounterVec
	log      Log // of which the lag is measured
	groups   []string
	outbox   outbox
}

// New makes it. ready tells why the server would refuse a write now.
func New(ready func(context.Context) error) *Ops {
	o := &Ops{
		ready:    ready,
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tributary_request_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"service", "operation", "status"}),
		entries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_delivered_entries_total", Help: "Log entries delivered to a sink.",
		}, []string{"group"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_delivery_failures_total", Help: "Deliveries to a sink that failed and are tried again.",
		}, []string{"group", "shard"}),
		outbox: newOutbox(),
	}
	o.registry.MustRegister(o.requests, o.entries, o.failures, o.outbox.sent, o.outbox.failed, o.outbox.dropped,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return o
}

// Observe hears of an answered request.
func (o *Ops) Observe(service, operation string, status int, took time.Duration) {
	o.requests.WithLabelValues(service, operation, strconv.Itoa(status)).Observe(took.Seconds())
}

// Delivered hears of a batch that a sink of the group has taken.
func (o *Ops) Delivered(group string) func(tributary.Shard, int) {
	return func(_ tributary.Shard, n int) { o.entries.WithLabelValues(group).Add(float64(n)) }
}

// Failed hears of a delivery that failed.
func (o *Ops) Failed(group string) func(tributary.Shard, error) {
	return func(s tributary.Shard, _ error) { o.failures.WithLabelValues(group, s.String()).Inc() }
}

// ServeHTTP answers /healthz, /readyz and /metrics.
func (o *Ops) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		_, _ = fmt.Fprintln(w, "ok")
	case "/readyz":
		if err := o.ready(r.Context()); err != nil {
			http.Error(w, "not ready: "+tributary.Message(err), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready")
	case "/metrics":
		promhttp.HandlerFor(prometheus.Gatherers{o.registry, o.lag(r.Context()), o.kinesisLag(r.Context())}, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// Profiling is Go's own pages under /debug/pprof/. They tell much and can cost
// much: they want an address of their own.
func Profiling() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
