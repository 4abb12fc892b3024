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
	SplitMark
)

// Broken is a configuration of a store that breaks a promise.
func Broken(c Config, how int) Config {
	c.faults = faults{dropSync: how == DropSync, earlyWatermark: how == EarlyWatermark, splitBatch: how == SplitBatch, splitMark: how == SplitMark}
	return c
}

// SetFormat writes another format version.
func (s *Store) SetFormat(n uint32) error {
	return s.db.Set(metaFormat, binary.BigEndian.AppendUint32(nil, n), pebble.Sync)
}

// Tamper writes a key behind the store's back, or deletes it.
func (s *Store) Tamper(key, value string, there bool) error {
	if !there {
		return s.db.Delete([]byte(key), pebble.Sync)
	}
	return s.db.Set([]byte(key), []byte(value), pebble.Sync)
}

// Abandon closes the store without a last write.
func (s *Store) Abandon() error {
	s.fail(errClosed)
	return s.Close()
}

// Stored gives the value of the first key that begins with a prefix.
func (s *Store) Stored(prefix string) (key, value string) {
	_ = scan(s.db, []byte(prefix), func(k, v []byte) error {
		key, value = string(k), string(v)
		return errStop
	})
	return key, value
}

// BareScan counts the datasets by their keys and values, which it decodes if
// decode.
func (s *Store) BareScan(decode bool) (n int, err error) {
	err = scan(s.db, []byte{tableHead}, func(key, value []byte) error {
		n++
		if !decode {
			return nil
		}
		of, err := headKeyOf(key)
		if err == nil {
			_, err = decodeDataset(of, string(value))
		}
		return err
	})
	return n, err
}
