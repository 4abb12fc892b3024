package pebblestore

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// The ways to break a store on purpose.
const (
	DropSync = iota
	EarlyWatermark
	SplitBatch
)

// Broken is a configuration of a store that breaks a promise.
func Broken(c Config, how int) Config {
	c.faults = faults{dropSync: how == DropSync, earlyWatermark: how == EarlyWatermark, splitBatch: how == SplitBatch}
	return c
}

// SetFormat writes another format version.
func (s *Store) SetFormat(n uint32) error {
	return s.db.Set(metaFormat, binary.BigEndian.AppendUint32(nil, n), pebble.Sync)
}
