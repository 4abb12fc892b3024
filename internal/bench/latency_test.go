package bench

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	upTo := func(n int) []time.Duration {
		list := make([]time.Duration, n)
		for i := range list {
			list[i] = time.Duration(i + 1)
		}
		return list
	}
	for _, c := range []struct {
		samples []time.Duration
		share   float64
		want    time.Duration
	}{
		{nil, .5, 0},
		{upTo(1), .5, 1},
		{upTo(1), .999, 1},
		{upTo(2), .5, 1},
		{upTo(3), .5, 2},
		{upTo(10), .9, 9},
		{upTo(10), .99, 10},
		{upTo(100), .99, 99},
		{upTo(100), 0, 1},
		{upTo(100), 1, 100},
		{upTo(1000), .999, 999},
		{upTo(1001), .999, 1000},
	} {
		if got := percentile(c.samples, c.share); got != c.want {
			t.Errorf("percentile %v of %d samples is %d, not %d", c.share, len(c.samples), got, c.want)
		}
	}
}

func TestLatencyOf(t *testing.T) {
	samples := make([]time.Duration, 1000)
	for i := range samples {
		samples[i] = time.Duration(i+1) * time.Millisecond
	}
	rand.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
	if got, want := latencyOf(samples), (Latency{500, 900, 990, 999, 1000}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := latencyOf(nil); got != (Latency{}) {
		t.Errorf("of nothing: %v", got)
	}
}
