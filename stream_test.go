package tributary_test

import (
	"cmp"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tributary"
)

const highestHashKey = "340282366920938463463374607431768211455" // as AWS writes 2^128-1

func number(h tributary.HashKey) *big.Int {
	n := new(big.Int).SetUint64(h.Hi)
	n.Lsh(n, 64)
	return n.Add(n, new(big.Int).SetUint64(h.Lo))
}

func TestHashKeyString(t *testing.T) {
	for _, tt := range []struct {
		key  tributary.HashKey
		want string
	}{
		{tributary.HashKey{}, "0"},
		{tributary.HashKey{Lo: 1}, "1"},
		{tributary.HashKey{Lo: 1<<64 - 1}, "18446744073709551615"},
		{tributary.HashKey{Hi: 1}, "18446744073709551616"},
		{tributary.HashKey{Hi: 1 << 63}, "170141183460469231731687303715884105728"},
		{tributary.HashKey{Hi: 1<<64 - 1, Lo: 1<<64 - 1}, highestHashKey},
	} {
		want(t, "the decimal form", tt.key.String(), tt.want)
	}
}

func TestHashOf(t *testing.T) {
	for text, decimal := range map[string]string{
		"":                "281949768489412648962353822266799178366",
		"a":               "16955237001963240173058271559858726497",
		string(ann):       "128370043768313795387407706911948126836",
		"partitionKey-03": "183955990062578521952773094788915351226",
	} {
		want(t, "the MD5 of "+text, tributary.HashOf(text).String(), decimal)
	}
}

func TestHashKeyLess(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	word := func() uint64 { return []uint64{0, 1, 1<<64 - 1, rng.Uint64()}[rng.IntN(4)] }
	for range 2000 {
		a, b := tributary.HashKey{Hi: word(), Lo: word()}, tributary.HashKey{Hi: word(), Lo: word()}
		want(t, a.String()+" < "+b.String(), a.Less(b), number(a).Cmp(number(b)) < 0)
	}
}

func TestEvenShardsCoverTheSpace(t *testing.T) {
	one := big.NewInt(1)
	for n := 1; n <= 1024; n++ {
		shards := tributary.EvenShards(n)
		want(t, "the number of shards", len(shards), n)
		want(t, "the first key", shards[0].Start.String(), "0")
		want(t, "the last key", shards[n-1].End.String(), highestHashKey)
		least, most := new(big.Int), new(big.Int)
		for i, s := range shards {
			if s.Number != uint32(i) || s.Closed || s.Parents != nil || s.Last != "" {
				t.Fatalf("%d shards: the shard %d is %+v", n, i, s)
			}
			size := new(big.Int).Sub(number(s.End), number(s.Start))
			size.Add(size, one)
			if i == 0 {
				least.Set(size)
			} else if next := new(big.Int).Add(number(shards[i-1].End), one); next.Cmp(number(s.Start)) != 0 {
				t.Fatalf("%d shards: shard %d begins at %s, the one before ends at %s", n, i, s.Start, shards[i-1].End)
			}
			if size.Cmp(least) < 0 {
				least.Set(size)
			}
			if size.Cmp(most) > 0 {
				most.Set(size)
			}
		}
		if most.Sub(most, least).Cmp(one) > 0 {
			t.Fatalf("%d shards: their sizes differ by %s", n, most)
		}
	}
}

func TestEvenShardsAreKinesisOwn(t *testing.T) {
	// As DescribeStream shows a stream of two shards on AWS.
	two := tributary.EvenShards(2)
	want(t, "the end of the first", two[0].End.String(), "170141183460469231731687303715884105727")
	want(t, "the start of the second", two[1].Start.String(), "170141183460469231731687303715884105728")
	three := tributary.EvenShards(3)
	want(t, "the end of the first of three", three[0].End.String(), "113427455640312821154458202477256070484")
}

func TestShardFor(t *testing.T) {
	s := tributary.Stream{ID: 7, Shards: tributary.EvenShards(4)}
	for _, r := range s.Shards {
		for _, h := range []tributary.HashKey{r.Start, r.End} {
			got, ok := s.ShardFor(h)
			if !ok || got != (tributary.Shard{Stream: 7, Number: r.Number}) {
				t.Errorf("the key %s is of shard %v (%t), want %d", h, got, ok, r.Number)
			}
		}
	}
	t.Run("ClosedShardsTakeNothing", func(t *testing.T) {
		s.Shards[0].Closed = true
		if got, ok := s.ShardFor(tributary.HashKey{}); ok {
			t.Errorf("the key 0 is of the closed shard %v", got)
		}
		s.Shards = append(s.Shards, tributary.ShardRange{Number: 4, Parents: []uint32{0}, Start: s.Shards[0].Start, End: s.Shards[0].End})
		got, _ := s.ShardFor(tributary.HashKey{})
		want(t, "the key 0 after a reshard", got, tributary.Shard{Stream: 7, Number: 4})
	})
	t.Run("AnyKeyHasOneShard", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 4))
		for range 500 {
			s := tributary.Stream{ID: 1, Shards: tributary.EvenShards(1 + rng.IntN(1024))}
			h := tributary.HashKey{Hi: rng.Uint64(), Lo: rng.Uint64()}
			got, ok := s.ShardFor(h)
			r := s.Shards[got.Number]
			if !ok || h.Less(r.Start) || r.End.Less(h) {
				t.Fatalf("the key %s is of shard %v (%t), which goes from %s to %s", h, got, ok, r.Start, r.End)
			}
		}
	})
}

// somePlace is a place that a store may give: stream ids are a clock's
// milliseconds, which 16 digits hold for ever.
func somePlace(rng *rand.Rand) (tributary.Shard, uint64) {
	pick := func(most uint64) uint64 { return []uint64{0, 1, most, rng.Uint64N(most)}[rng.IntN(4)] }
	return tributary.Shard{Stream: tributary.StreamID(pick(9_999_999_999_999_999)), Number: uint32(pick(1<<32 - 1))}, pick(1<<64 - 1)
}

func TestPositionRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for range 5000 {
		shard, n := somePlace(rng)
		p := tributary.PositionOf(shard, n)
		gotShard, got, err := p.Split()
		if err != nil || gotShard != shard || got != n {
			t.Fatalf("%s of %s, %d splits to %s, %d, %v", p, shard, n, gotShard, got, err)
		}
		if len(p) != len(tributary.PositionOf(tributary.Shard{}, 0)) || p[0] == '0' {
			t.Fatalf("%s of %s, %d is not of the fixed width without a leading zero", p, shard, n)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	for range 5000 {
		a, n := somePlace(rng)
		b, m := somePlace(rng)
		wantOrder := cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number), cmp.Compare(n, m))
		p, q := tributary.PositionOf(a, n), tributary.PositionOf(b, m)
		want(t, "text order of "+string(p)+" and "+string(q), cmp.Compare(p, q), wantOrder)
		x, _ := new(big.Int).SetString(string(p), 10)
		y, _ := new(big.Int).SetString(string(q), 10)
		want(t, "number order", x.Cmp(y), wantOrder)
		if n > 0 && tributary.PositionOf(a, 0) >= p {
			t.Fatalf("the beginning of %s does not stand below its entry %d", a, n)
		}
	}
	if last := tributary.PositionOf(tributary.Shard{Stream: 5, Number: 1}, 1<<64-1); last >= tributary.PositionOf(tributary.Shard{Stream: 5, Number: 2}, 0) {
		t.Error("a child shard does not begin above its parent")
	}
	if "" >= tributary.PositionOf(tributary.Shard{}, 0) {
		t.Error(`"" does not stand below every position`)
	}
}

func notPositions() []string {
	good := string(tributary.PositionOf(tributary.Shard{Stream: 3, Number: 2}, 1))
	bad := []string{"", "0", "49", good[1:], good + "0", " " + good[1:], "50" + good[2:], "4９" + good[2:]}
	for _, c := range "+-_. xeé" {
		for _, at := range []int{2, 3, 18, 27, 28, 47} {
			bad = append(bad, good[:at]+string(c)+good[at+1:])
		}
	}
	return append(bad,
		"49"+strings.Repeat("0", 16)+"4294967296"+strings.Repeat("0", 20), // no shard has this number
		"49"+strings.Repeat("0", 26)+"18446744073709551616",               // nor an entry this count
		strings.Repeat("9", len(good)))
}

func TestSplitRefusesOtherText(t *testing.T) {
	for _, text := range notPositions() {
		shard, n, err := tributary.Position(text).Split()
		if tributary.KindOf(err) != tributary.Invalid || shard != (tributary.Shard{}) || n != 0 {
			t.Errorf("%q splits to %s, %d, %v; want Invalid", text, shard, n, err)
		}
	}
	if _, _, err := tributary.Position(strings.Repeat("x", 100_000)).Split(); len(tributary.Message(err)) > 400 {
		t.Error("the message repeats all of what was sent")
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(string(tributary.PositionOf(tributary.Shard{Stream: 1_700_000_000_000, Number: 3}, 17)))
	for _, text := range notPositions() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shard, n, err := tributary.Position(text).Split()
		if err == nil && string(tributary.PositionOf(shard, n)) != text {
			t.Fatalf("%q splits to %s, %d, which is %q", text, shard, n, tributary.PositionOf(shard, n))
		}
		if err != nil && tributary.KindOf(err) != tributary.Invalid {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

func TestCheckStreamName(t *testing.T) {
	for _, name := range []tributary.StreamName{"a", "A-b_c.9", tributary.StreamName(strings.Repeat("s", 128))} {
		if err := tributary.CheckStreamName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []tributary.StreamName{"", "a b", "a:b", "a/b", "é", "a\n", tributary.StreamName(strings.Repeat("s", 129))} {
		if err := tributary.CheckStreamName(name); tributary.KindOf(err) != tributary.Invalid {
			t.Errorf("%q: %v, want Invalid", name, err)
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	var names []string
	for _, k := range tributary.Kinds() {
		names = append(names, k.String())
	}
	want(t, "the first kind", tributary.Kinds()[0], tributary.Internal)
	want(t, "the last kind", tributary.Kinds()[len(names)-1], tributary.Forbidden)
	if slices.Contains(names, "") || len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Errorf("the kinds are named %q", names)
	}
	want(t, "the kind of a foreign error", tributary.KindOf(strings.NewReader("").UnreadByte()), tributary.Internal)
}
