package storetest

import (
	"fmt"
	"strings"

	"tributary"
)

func logBytesCases() []testCase {
	return []testCase{
		{"Bytes", logBytes},
		{"BytesOfUnlikeEntries", logBytesUnlike},
		{"BytesNotFound", logBytesNotFound},
	}
}

// weighs wants the estimate for a shard within a tenth of so many bytes, and
// what every entry needs beside its data.
func (k *kit) weighs(s tributary.Shard, entries, bytes int64) {
	k.Helper()
	const beside = 150
	if have := got(k.s.LogBytes(k.Context(), s))(k); have < bytes*9/10 || have > bytes*11/10+entries*beside {
		k.Fatalf("%d entries of %d bytes are estimated at %d", entries, bytes, have)
	}
}

// logBytes: the estimate grows with the log, and falls when it is trimmed.
func logBytes(k *kit) {
	s := k.stream("s", 2)
	shard, other := tributary.Shard{Stream: s.ID}, tributary.Shard{Stream: s.ID, Number: 1}
	const size, batch = 2000, 50
	add := func() {
		var entries []tributary.Entry
		for n := range batch {
			e := foreign("p", strings.Repeat(fmt.Sprint(n%10), size))
			e.Foreign.HashKey = s.Shards[0].Start
			entries = append(entries, e)
		}
		got(k.s.Append(k.Context(), s.ID, entries))(k)
	}
	k.weighs(shard, 0, 0)
	for n := range int64(5) {
		add()
		k.weighs(shard, (n+1)*batch, (n+1)*batch*size)
	}
	for n := range int64(5) {
		k.ok(k.s.Trim(k.Context(), shard, tributary.PositionOf(shard, uint64((n+1)*batch))))
		k.weighs(shard, (4-n)*batch, (4-n)*batch*size)
	}
	add()
	k.weighs(shard, batch, batch*size)
	k.weighs(other, 0, 0)
}

// logBytesUnlike: large entries at regular distances are neither missed nor all
// that is seen.
func logBytesUnlike(k *kit) {
	s := k.stream("s", 1)
	const large, all = 10_000, 1024
	var entries []tributary.Entry
	for n := range all {
		size := 100
		if n%8 == 0 {
			size = large
		}
		entries = append(entries, foreign("p", strings.Repeat("x", size)))
	}
	got(k.s.Append(k.Context(), s.ID, entries))(k)
	const bytes = all/8*large + all*7/8*100
	if have := got(k.s.LogBytes(k.Context(), tributary.Shard{Stream: s.ID}))(k); have < bytes/3 || have > bytes*3 {
		k.Fatalf("a log of %d bytes is estimated at %d", bytes, have)
	}
}

func logBytesNotFound(k *kit) {
	s := k.stream("s", 1)
	for _, shard := range []tributary.Shard{{Stream: s.ID, Number: 1}, {Stream: s.ID + 1}, {}} {
		_, err := k.s.LogBytes(k.Context(), shard)
		k.kind(err, tributary.NotFound)
	}
	k.ok(k.s.DeleteStream(k.Context(), "s"))
	_, err := k.s.LogBytes(k.Context(), tributary.Shard{Stream: s.ID})
	k.kind(err, tributary.NotFound)
}
