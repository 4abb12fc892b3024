package pebblestore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
)

// shardLog is one shard's end of the log.
type shardLog struct {
	id tributary.Shard

	mu      sync.Mutex
	last    uint64           // count of the last applied entry
	arrived tributary.Millis // when it did
	usage   foldedUsage

	durable atomic.Uint64 // readers see entries up to this one
	trimmed atomic.Uint64 // entries up to this one are gone

	wakeMu sync.Mutex
	wake   chan struct{} // closed when durable moves; nil while nobody waits
	gone   chan struct{} // closed when the stream is deleted
}

func newShardLog(id tributary.Shard) *shardLog {
	return &shardLog{id: id, gone: make(chan struct{}), usage: foldedUsage{pools: map[tributary.PoolID]poolUsage{}, dirty: map[tributary.PoolID]struct{}{}}}
}

// loadShard finds the end of a shard's log. What is on disk is durable.
func (s *Store) loadShard(id tributary.Shard) error {
	log := newShardLog(id)
	s.shards[id] = log
	horizon, err := s.get(shardKey(tableHorizon, id))
	if err != nil {
		return err
	}
	if horizon != "" {
		log.trimmed.Store(binary.BigEndian.Uint64([]byte(horizon)))
	}
	log.last = log.trimmed.Load()
	prefix := shardKey(tableLog, id)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	if it.Last() {
		log.last = logCount(it.Key())
		value, valueErr := it.ValueAndErr()
		at, arrivalErr := arrival(string(value))
		log.arrived, err = at, errors.Join(valueErr, arrivalErr)
	}
	log.durable.Store(log.last)
	return errors.Join(err, it.Error(), it.Close())
}

// arrival is when the next entry arrives: never before the last. The log is
// locked.
func (l *shardLog) arrival(now tributary.Millis) tributary.Millis { return max(now, l.arrived) }

// settled moves the durable watermark and wakes who waits for it.
func (l *shardLog) settled(n uint64) {
	for have := l.durable.Load(); have < n && !l.durable.CompareAndSwap(have, n); have = l.durable.Load() {
	}
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

func (l *shardLog) waker() <-chan struct{} {
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return l.wake
}

// await returns when the entry n is durable, the stream is gone, or nothing
// can become durable any more.
func (s *Store) await(ctx context.Context, l *shardLog, n uint64) error {
	for l.durable.Load() < n {
		wake := l.waker()
		if l.durable.Load() >= n {
			return nil
		}
		select {
		case <-wake:
		case <-l.gone:
			return nil
		case <-ctx.Done():
			return &tributary.Error{Kind: tributary.Unavailable, Op: "wait", Msg: "The request was given up", Err: ctx.Err()}
		case <-s.dead:
			return s.alive()
		}
	}
	return nil
}

// awaitPlaces returns when all that was changed at the places is durable. What
// stands in a log that is gone has been for long.
func (s *Store) awaitPlaces(ctx context.Context, places ...place) error {
	for _, p := range places {
		if p.n == 0 {
			continue
		}
		if l := s.shard(p.shard); l != nil {
			if err := s.await(ctx, l, p.n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) shard(id tributary.Shard) *shardLog {
	s.routing.RLock()
	defer s.routing.RUnlock()
	return s.shards[id]
}

// applyEntry writes the n-th entry of a log and applies the batch without
// waiting for the disk. The log is locked.
func (s *Store) applyEntry(b *pebble.Batch, log *shardLog, n uint64, e *tributary.Entry) error {
	log.count(e.Change, n)
	s.foldInto(b, log)
	entries := b
	if s.cfg.faults.splitBatch {
		entries = s.db.NewBatch()
	}
	size := 128
	if e.Change != nil {
		for i := range e.Change.Records {
			size += 64 + len(e.Change.Records[i].Key) + len(e.Change.Records[i].Value)
		}
	}
	set(entries, logKey(log.id, n), appendEntry(make([]byte, 0, size), e))
	if entries != b {
		if err := s.db.Apply(entries, pebble.NoSync); err != nil {
			return err
		}
	}
	if s.cfg.faults.dropSync {
		return s.advance(log, n, e, s.db.Apply(b, pebble.NoSync))
	}
	return s.advance(log, n, e, s.db.ApplyNoSyncWait(b, pebble.Sync))
}

func (s *Store) advance(log *shardLog, n uint64, e *tributary.Entry, err error) error {
	if err != nil {
		s.fail(err)
		return s.alive()
	}
	log.last, log.arrived = n, e.Arrived
	return nil
}

// Shards lists all shards, the default log's among them.
func (s *Store) Shards(context.Context) ([]tributary.Shard, error) {
	s.routing.RLock()
	defer s.routing.RUnlock()
	out := make([]tributary.Shard, 0, len(s.shards))
	for id := range s.shards {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b tributary.Shard) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number))
	})
	return out, s.alive()
}

// locate finds a shard's log and the count that a position in it stands for.
func (s *Store) locate(op string, id tributary.Shard, p tributary.Position) (*shardLog, uint64, error) {
	if err := s.alive(); err != nil {
		return nil, 0, err
	}
	log := s.shard(id)
	if log == nil {
		return nil, 0, tributary.Errorf(tributary.NotFound, op, "Shard %s does not exist", id)
	}
	if p == "" {
		return log, 0, nil
	}
	of, n, err := p.Split()
	if err != nil {
		return nil, 0, err
	}
	if of != id || n > log.durable.Load() {
		return nil, 0, tributary.Errorf(tributary.Invalid, op, "Sequence number %s is not of shard %s", p, id)
	}
	return log, n, nil
}

// Read gives the durable entries above a position.
func (s *Store) Read(_ context.Context, id tributary.Shard, p tributary.Position, maxBytes int) ([]tributary.Entry, error) {
	log, n, err := s.locate("read log", id, p)
	if err != nil {
		return nil, err
	}
	durable := log.durable.Load()
	n = max(n, log.trimmed.Load())
	if n >= durable {
		return nil, nil
	}
	var out []tributary.Entry
	size := 0
	err = scanRange(s.db, logKey(id, n+1), logKey(id, durable+1), func(key, value []byte) error {
		if len(out) > 0 && size+len(value) > maxBytes {
			return errStop
		}
		e, err := decodeEntry(string(value))
		if err != nil {
			return err
		}
		e.Position = tributary.PositionOf(id, logCount(key))
		out, size = append(out, e), size+len(value)
		return nil
	})
	return out, internal("read log", err)
}

// Find gives the position below the first entry that arrived at or after a time.
func (s *Store) Find(_ context.Context, id tributary.Shard, at tributary.Millis) (tributary.Position, error) {
	log, _, err := s.locate("find", id, "")
	if err != nil {
		return "", err
	}
	// Arrival never goes back within a shard.
	low, high := log.trimmed.Load(), log.durable.Load()
	for low < high {
		middle := low + (high-low)/2
		value, err := s.get(logKey(id, middle+1))
		if err != nil {
			return "", internal("find", err)
		}
		arrived, err := arrival(value)
		if value == "" {
			arrived, err = math.MinInt64, nil // trimmed meanwhile
		}
		if err != nil {
			return "", internal("find", err)
		}
		if arrived < at {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return tributary.PositionOf(id, low), nil
}

// Wait returns when there is an entry above a position.
func (s *Store) Wait(ctx context.Context, id tributary.Shard, p tributary.Position) error {
	log, n, err := s.locate("wait", id, p)
	if err != nil {
		return err
	}
	return s.await(ctx, log, max(n, log.trimmed.Load())+1)
}

// Trim forgets entries. The usage that they carry is folded first.
func (s *Store) Trim(_ context.Context, id tributary.Shard, through tributary.Position) error {
	log, n, err := s.locate("trim", id, through)
	if err != nil || n <= log.trimmed.Load() {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	log.mu.Lock()
	defer log.mu.Unlock()
	log.fold(b)
	if err := b.DeleteRange(logKey(id, 0), logKey(id, n+1), nil); err != nil {
		return internal("trim", err)
	}
	set(b, shardKey(tableHorizon, id), binary.BigEndian.AppendUint64(nil, n))
	if err := s.write("trim", b); err != nil {
		return err
	}
	log.trimmed.Store(n)
	return nil
}

// Append adds snapshots and foreign records.
func (s *Store) Append(_ context.Context, stream tributary.StreamID, entries []tributary.Entry) ([]tributary.Position, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	positions := make([]tributary.Position, 0, len(entries))
	var waits []func() error
	var failed error
	for i := range entries {
		b := s.db.NewBatch()
		log, n, err := s.stageEntry(b, stream, entries[i])
		if err != nil {
			failed = internal("append", errJoinClose(err, b))
			break
		}
		positions = append(positions, tributary.PositionOf(log.id, n))
		waits = append(waits, func() error { return s.settle(b, log, n) })
	}
	// What was applied before a failure is in the log, and must be settled.
	for _, wait := range waits {
		failed = errors.Join(failed, wait())
	}
	if failed != nil {
		return nil, failed
	}
	return positions, nil
}

// stageEntry applies one snapshot or foreign record, in the order of locks of
// a commit.
func (s *Store) stageEntry(b *pebble.Batch, stream tributary.StreamID, e tributary.Entry) (*shardLog, uint64, error) {
	hash := tributary.HashOf(e.PartitionKey())
	if e.Kind == tributary.EntryForeign {
		hash = e.Foreign.HashKey
	} else {
		st := s.stripe(e.Change.Key.Identity)
		st.mu.Lock()
		defer st.mu.Unlock()
		d, err := s.dataset(st, e.Change.Key)
		if err != nil {
			return nil, 0, err
		}
		if d.head.Version != e.Change.Condition.Base {
			return nil, 0, errStale
		}
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	log := s.shardOf(stream, hash)
	if log == nil {
		return nil, 0, tributary.Errorf(tributary.NotFound, "append", "The stream does not exist")
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	e.Arrived = log.arrival(s.now())
	n := log.last + 1
	return log, n, s.applyEntry(b, log, n, &e)
}
