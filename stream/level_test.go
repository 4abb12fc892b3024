package stream

import (
	"math"
	"testing"
)

// TestLevel: who takes little keeps it, and the others share the rest.
func TestLevel(t *testing.T) {
	for _, c := range []struct {
		sizes       []int64
		limit, want int64
	}{
		{nil, 10, math.MaxInt64},
		{[]int64{3, 7}, 10, math.MaxInt64},
		{[]int64{3, 8}, 10, 7},
		{[]int64{8, 9}, 10, 5},
		{[]int64{1, 100, 2}, 10, 7},
		{[]int64{100, 1, 200}, 21, 10},
	} {
		if got := level(c.sizes, c.limit); got != c.want {
			t.Errorf("%v of %d: %d, want %d", c.sizes, c.limit, got, c.want)
		}
	}
}
