package codec

import (
	"math/bits"
	"slices"

	"tributary"
)

// Held are the counts of the entries that a shard's log holds, which restores
// make several runs of.
type Held []run

// run are the counts above one up to another.
type run struct{ above, through uint64 }

// HeldBy gives the counts of the entries of a log that was trimmed up to one
// count and ends at another, restores being oldest first.
func HeldBy(restores []tributary.Restored, id tributary.Shard, trimmed, last uint64) Held {
	var out Held
	for _, restored := range slices.Backward(restores) {
		from, to := restored.Gap(id)
		if to <= trimmed || from >= last {
			continue // before the log, or part of the next gap
		}
		out = append(out, run{min(to, last), last})
		last = max(from, trimmed)
	}
	out = append(out, run{trimmed, last})
	slices.Reverse(out)
	return out
}

// Len is how many entries there are.
func (h Held) Len() (n uint64) {
	for _, r := range h {
		n += r.through - r.above
	}
	return n
}

// Sample gives the counts of up to most entries that lie spread over the log, of
// all if there are no more. Their distances differ, as entries may be alike at
// regular ones.
func (h Held) Sample(most uint64) []uint64 {
	n := h.Len()
	take := min(n, most)
	out := make([]uint64, 0, take)
	for i := range take {
		from, to := i*(n/take), (i+1)*(n/take)
		if i == take-1 {
			to = n
		}
		out = append(out, h.at(from+scattered(i)%(to-from)))
	}
	return out
}

// scattered makes of small numbers some that follow no pattern.
func scattered(i uint64) uint64 {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	return bits.RotateLeft64(i*golden, 32)
}

// at is the count of the n-th entry, from 0.
func (h Held) at(n uint64) uint64 {
	for _, r := range h {
		size := r.through - r.above
		if n < size {
			return r.above + 1 + n
		}
		n -= size
	}
	return 0
}

// LogSample is how many entries [tributary.Log.LogBytes] looks at, at most.
const LogSample = 64

// Estimate gives the bytes of all entries by those of a sample.
func (h Held) Estimate(sampled, bytes int64) int64 {
	if sampled == 0 {
		return 0
	}
	return int64(float64(bytes) / float64(sampled) * float64(h.Len()))
}
