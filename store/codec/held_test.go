package codec_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"tributary"
	"tributary/store/codec"
)

// TestHeld has logs written, trimmed and restored at random, and compares what
// they hold with a list of it.
func TestHeld(t *testing.T) {
	id := tributary.Shard{Stream: 7, Number: 1}
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var restores []tributary.Restored
		var want []uint64
		var trimmed, last uint64
		for range rnd.IntN(12) {
			switch rnd.IntN(4) {
			case 0:
				var entry uint64 // the last of the backup
				if entry = trimmed; len(want) > 0 {
					entry = want[len(want)-1]
				}
				last += 1 + rnd.Uint64N(1000)
				restores = append(restores, tributary.Restored{Shards: []tributary.RestoredShard{{Shard: id, Last: entry, Base: last}}})
			case 1:
				if len(want) > 0 {
					n := rnd.IntN(len(want))
					trimmed, want = want[n], want[n+1:]
				}
			default:
				for range 1 + rnd.IntN(100) {
					last++
					want = append(want, last)
				}
			}
		}
		held := codec.HeldBy(restores, id, trimmed, last)
		if have := held.Sample(1 << 20); held.Len() != uint64(len(want)) || !slices.Equal(have, want) {
			t.Fatalf("seed %d: held are %d, %v, want %v", seed, held.Len(), have, want)
		}
		for most := range uint64(20) {
			have := held.Sample(most)
			if len(have) != min(int(most), len(want)) || !slices.IsSorted(have) || len(slices.Compact(slices.Clone(have))) != len(have) {
				t.Fatalf("seed %d: a sample of %d is %v", seed, most, have)
			}
			for _, n := range have {
				if !slices.Contains(want, n) {
					t.Fatalf("seed %d: the sample has %d, held are %v", seed, n, want)
				}
			}
		}
	}
}
