package kinesisapi

import (
	"encoding/binary"
	"math"

	"tributary"
)

// FaultOf is the front's table of errors.
var FaultOf = fault

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
