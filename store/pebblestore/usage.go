package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

// Pools' figures travel in the log entries. Each shard adds up those of its
// own entries in memory, and writes the sums beside a commit once a second
// together with the count up to which they go; opening the store adds what
// came after.

const foldEvery = tributary.Millis(1000)

type poolUsage struct {
	bytes    int64
	modified tributary.Millis
}

// foldedUsage is a shard's share of the pools' figures. Its log's lock guards it.
type foldedUsage struct {
	pools   map[tributary.PoolID]poolUsage
	dirty   map[tributary.PoolID]struct{}
	counted uint64 // entries up to this one are in pools
	written tributary.Millis
}

func (l *shardLog) count(e *tributary.Entry, n uint64) {
	l.usage.counted = n
	if e.Kind != tributary.EntryChange {
		return
	}
	c := e.Change
	u := l.usage.pools[c.Key.Pool]
	u.bytes += c.PoolBytes
	u.modified = max(u.modified, c.At)
	l.usage.pools[c.Key.Pool] = u
	l.usage.dirty[c.Key.Pool] = struct{}{}
}

// foldInto writes the shard's figures with a batch if it is time.
func (s *Store) foldInto(b *pebble.Batch, l *shardLog) {
	if now := s.now(); now-l.usage.written >= foldEvery {
		l.usage.written = now
		l.fold(b)
	}
}

func (l *shardLog) fold(b *pebble.Batch) {
	for p := range l.usage.dirty {
		u := l.usage.pools[p]
		value := binary.AppendVarint(nil, u.bytes)
		set(b, usageKey(p, l.id), binary.AppendVarint(value, int64(u.modified)))
	}
	clear(l.usage.dirty)
	set(b, shardKey(tableFolded, l.id), binary.BigEndian.AppendUint64(nil, l.usage.counted))
}

func usageKey(p tributary.PoolID, s tributary.Shard) []byte {
	return appendShard(textKey(tableUsage, string(p), ""), s)
}

func readUsageKey(key []byte) (tributary.PoolID, tributary.Shard, error) {
	const shardLength = 12
	if len(key) < shardLength+2 {
		return "", tributary.Shard{}, codec.ErrCorrupt
	}
	return tributary.PoolID(key[1 : len(key)-shardLength-1]), readShard(key[len(key)-shardLength:]), nil
}

// loadUsage reads the figures and adds what the log holds beyond them.
func (s *Store) loadUsage() error {
	err := scan(s.db, []byte{tableUsage}, func(key, value []byte) error {
		pool, shard, err := readUsageKey(key)
		if err != nil {
			return err
		}
		r := codec.Reader{Rest: string(value)}
		u := poolUsage{bytes: r.Int(), modified: tributary.Millis(r.Int())}
		if log := s.shards[shard]; log != nil {
			log.usage.pools[pool] = u
		}
		return r.Err
	})
	for _, log := range s.shards {
		err = errors.Join(err, s.recount(log))
	}
	return internal("load usage", err)
}

func (s *Store) recount(log *shardLog) error {
	folded, err := s.get(shardKey(tableFolded, log.id))
	if err != nil {
		return err
	}
	if folded != "" {
		log.usage.counted = binary.BigEndian.Uint64([]byte(folded))
	}
	return scanRange(s.db, logKey(log.id, log.usage.counted+1), logKey(log.id, log.last+1), func(key, value []byte) error {
		e, err := codec.DecodeEntry(string(value))
		if err == nil {
			log.count(&e, logCount(key))
		}
		return err
	})
}

func (s *Store) flushUsage() error {
	b := s.db.NewBatch()
	defer b.Close()
	for _, log := range s.shards {
		log.mu.Lock()
		log.fold(b)
		log.mu.Unlock()
	}
	return s.write(b)
}

// PoolUsage adds up the shards' shares of a pool's figures.
func (s *Store) PoolUsage(ctx context.Context, pool tributary.PoolID) (tributary.Usage, error) {
	if _, err := s.Pool(ctx, pool); err != nil {
		return tributary.Usage{}, err
	}
	var out tributary.Usage
	ids, err := s.Shards(ctx)
	if err != nil {
		return tributary.Usage{}, err
	}
	for _, id := range ids {
		log := s.shard(id)
		if log == nil {
			continue
		}
		log.mu.Lock()
		u, n := log.usage.pools[pool], log.last
		log.mu.Unlock()
		if err := s.await(ctx, log, n); err != nil {
			return tributary.Usage{}, err
		}
		out.Bytes += u.bytes
		out.LastModified = max(out.LastModified, u.modified)
	}
	s.records.Lock()
	defer s.records.Unlock()
	out.Sessions, err = s.sessions(pool)
	return out, err
}

func sessionsKey(pool tributary.PoolID) []byte { return textKey(tableSessions, string(pool)) }

func (s *Store) sessions(pool tributary.PoolID) (int64, error) {
	value, err := s.get(sessionsKey(pool))
	if err != nil || value == "" {
		return 0, internal("read sessions", err)
	}
	r := codec.Reader{Rest: value}
	n := r.Int()
	return n, internal("read sessions", r.Err)
}

// CountSessions adds to pools' figures.
func (s *Store) CountSessions(_ context.Context, sessions map[tributary.PoolID]int64) error {
	if err := s.writable(); err != nil {
		return err
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	s.records.Lock()
	defer s.records.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	for pool, add := range sessions {
		if s.pools[pool] == nil {
			continue // deleted meanwhile
		}
		n, err := s.sessions(pool)
		if err != nil {
			return err
		}
		set(b, sessionsKey(pool), binary.AppendVarint(nil, n+add))
	}
	return s.write(b)
}
