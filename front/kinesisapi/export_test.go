package kinesisapi

import (
	"encoding/binary"
	"math"

	"tributary"
)

// FaultOf is the front's table of errors.
var FaultOf = fault

// Table lists the operations that are served, and those that are refused.
func Table(cfg Config) (served, refused []string) {
	for _, op := range newServer(cfg).operations() {
		switch {
		case notOffered[op.Name] != "":
			refused = append(refused, op.Name)
		case op.Name != "SubscribeToShard":
			served = append(served, op.Name)
		}
	}
	return served, refused
}

// OpenIterator reads a token as GetRecords does, and tells whether what it
// read is written again as the same token's content.
func OpenIterator(cfg Config, token string) error {
	_, err := newServer(cfg).openIterator("test", token)
	return err
}

// DecodeIterator reads an iterator's content, and writes what it read.
func DecodeIterator(b []byte) ([]byte, bool) {
	it, ok := decodeIterator(b)
	if !ok {
		return nil, false
	}
	out := binary.AppendVarint(nil, int64(it.created))
	for _, n := range []uint64{uint64(it.shard.Stream), uint64(it.shard.Number), it.n} {
		out = binary.AppendUvarint(out, n)
	}
	return append(out, it.stream...), true
}

// LongestIterator seals the largest iterator that there can be.
func LongestIterator(cfg Config, name tributary.StreamName) string {
	return newServer(cfg).sealIterator(iterator{
		created: math.MaxInt64, n: math.MaxUint64, stream: name,
		shard: tributary.Shard{Stream: math.MaxUint64, Number: math.MaxUint32},
	})
}

// CountBuckets calls for n shards at one time, and for as many others later; it
// gives how many buckets there are after each.
func CountBuckets(n uint32) (before, after int) {
	l := newLimits()
	for i := range n {
		l.call(readCalls, tributary.Shard{Number: i}, 1000)
	}
	before = len(l.buckets)
	for i := range n {
		l.call(readCalls, tributary.Shard{Number: n + i}, 2000)
	}
	return before, len(l.buckets)
}
