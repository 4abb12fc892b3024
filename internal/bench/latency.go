package bench

import (
	"math"
	"slices"
	"time"
)

// Latency is a distribution of times, in milliseconds.
type Latency struct{ P50, P90, P99, P999, Max float64 }

// latencyOf sorts the samples.
func latencyOf(samples []time.Duration) Latency {
	slices.Sort(samples)
	at := func(share float64) float64 { return millis(percentile(samples, share)) }
	return Latency{P50: at(.5), P90: at(.9), P99: at(.99), P999: at(.999), Max: at(1)}
}

// percentile gives the smallest sample that at least a share of all does not
// exceed: the nearest-rank definition, so it is always a time that was measured.
func percentile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	const slack = 1e-9 // .999 of 1,000 is 999, whatever floating point says
	rank := int(math.Ceil(share*float64(len(sorted)) - slack))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
