package pebblestore

import (
	"context"
	"errors"
	"fmt"
)

// Compact opens the store in a folder that no server uses, writes everything
// to tables, compacts them, and gives the tables' size in bytes: what the data
// takes at rest.
func Compact(ctx context.Context, dir string) (size int64, err error) {
	s, err := Open(Config{Dir: dir})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.db.Flush(); err != nil {
		return 0, fmt.Errorf("flush: %w", err)
	}
	if err := s.db.Compact(ctx, []byte{0}, []byte{0xff}, true); err != nil {
		return 0, fmt.Errorf("compact: %w", err)
	}
	for _, level := range s.db.Metrics().Levels {
		size += level.TablesSize
	}
	return size, nil
}
