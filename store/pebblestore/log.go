package pebblestore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

// shardLog is one shard's end of the log.
type shardLog struct {
	id tributary.Shard

	mu      sync.Mutex
	last    uint64           // count of the last applied entry
	arrived tributary.Millis // when it did
	gap     gap              // at the end of the log when it was opened; not changed since
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
		at, arrivalErr := codec.Arrival(string(value))
		log.arrived, err = at, errors.Join(valueErr, arrivalErr)
	}
	s.goOn(log)
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
	log.count(e, n)
	s.foldInto(b, log)
	size := 128
	for i := range e.Change.Records {
		size += 64 + len(e.Change.Records[i].Key) + len(e.Change.Records[i].Value)
	}
	key, value := logKey(log.id, n), codec.AppendEntry(make([]byte, 0, size), e)
	if s.cfg.faults.splitBatch {
		if err := s.db.Set(key, value, pebble.NoSync); err != nil {
			return err
		}
	} else {
		set(b, key, value)
	}
	if err := s.apply(b); err != nil {
		return err
	}
	log.last, log.arrived = n, e.Arrived
	return nil
}

// apply applies a batch without waiting for the disk. A batch that cannot be
// applied leaves the memory in doubt: the store has failed.
func (s *Store) apply(b *pebble.Batch) error {
	var err error
	if e := s.retired.Load(); e != nil {
		return e
	}
	if s.cfg.faults.dropSync {
		err = s.db.Apply(b, pebble.NoSync)
	} else {
		err = s.db.ApplyNoSyncWait(b, pebble.Sync)
	}
	if err != nil {
		s.fail(err)
		return s.failed()
	}
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
		e, err := codec.DecodeEntry(string(value))
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
		arrived, err := s.arrived(log, middle+1)
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

// arrived reads when an entry arrived. One that is not there was trimmed, or
// left out by a restore: then it is the next one's time. The entry itself, which
// may be large, is not copied.
func (s *Store) arrived(log *shardLog, n uint64) (tributary.Millis, error) {
	value, closer, err := s.db.Get(logKey(log.id, n))
	if errors.Is(err, pebble.ErrNotFound) {
		at := log.gap.arrived
		err := scanRange(s.db, logKey(log.id, n), after(shardKey(tableLog, log.id)), func(_, value []byte) (err error) {
			if at, err = codec.Arrival(string(value[:min(len(value), 1+binary.MaxVarintLen64)])); err == nil {
				err = errStop
			}
			return err
		})
		return at, err
	}
	if err != nil {
		return 0, err
	}
	at, err := codec.Arrival(string(value[:min(len(value), 1+binary.MaxVarintLen64)]))
	return at, errors.Join(err, closer.Close())
}

// Wait returns when there is an entry above a position.
func (s *Store) Wait(ctx context.Context, id tributary.Shard, p tributary.Position) error {
	log, n, err := s.locate("wait", id, p)
	if err != nil {
		return err
	}
	return s.await(ctx, log, log.gap.skip(max(n, log.trimmed.Load()))+1)
}

// Trim forgets entries. The usage that they carry is folded first.
func (s *Store) Trim(_ context.Context, id tributary.Shard, through tributary.Position) error {
	log, n, err := s.locate("trim", id, through)
	if err != nil {
		return err
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	log.mu.Lock()
	defer log.mu.Unlock()
	if s.shards[id] != log || n <= log.trimmed.Load() {
		return nil // deleted, or trimmed further, meanwhile
	}
	b := s.db.NewBatch()
	defer b.Close()
	log.fold(b)
	if err := b.DeleteRange(logKey(id, 0), logKey(id, n+1), nil); err != nil {
		return internal("trim", err)
	}
	set(b, shardKey(tableHorizon, id), binary.BigEndian.AppendUint64(nil, n))
	if err := s.write(b); err != nil {
		return err
	}
	log.trimmed.Store(n)
	return nil
}

// LogBytes estimates the bytes of a shard's durable entries.
func (s *Store) LogBytes(_ context.Context, id tributary.Shard) (int64, error) {
	const op = "estimate log"
	log, _, err := s.locate(op, id, "")
	if err != nil {
		return 0, err
	}
	held := codec.HeldBy(s.Restores(), id, log.trimmed.Load(), log.durable.Load())
	var sampled, bytes int64
	for _, n := range held.Sample(codec.LogSample) {
		value, closer, err := s.db.Get(logKey(id, n))
		if errors.Is(err, pebble.ErrNotFound) {
			continue // trimmed meanwhile
		}
		if err != nil {
			return 0, internal(op, err)
		}
		sampled, bytes = sampled+1, bytes+int64(len(value))
		if err := closer.Close(); err != nil {
			return 0, internal(op, err)
		}
	}
	return held.Estimate(sampled, bytes), nil
}

// Append adds snapshots and foreign records, all of them or none, and the marks
// in the same batch.
func (s *Store) Append(_ context.Context, stream tributary.StreamID, entries []tributary.Entry, marks ...tributary.Lease) ([]tributary.Position, error) {
	if len(entries) == 0 {
		return nil, s.swapLeases(marks...)
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if len(marks) > 0 {
		s.leases.Lock()
		defer s.leases.Unlock()
	}
	b := s.db.NewBatch()
	if err := s.setLeases(b, marks); err != nil {
		return nil, errJoinClose(err, b)
	}
	if s.cfg.faults.splitMark {
		if err := s.write(b); err != nil {
			return nil, err
		}
		b = s.db.NewBatch()
	}
	logs, positions, err := s.stageEntries(b, stream, entries)
	if err != nil {
		return nil, internal("append", errJoinClose(err, b))
	}
	// One wait is for the whole batch; the counts differ from log to log.
	err = s.settle(b, logs[0].log, logs[0].n)
	for _, l := range logs[1:] {
		if err == nil {
			l.log.settled(l.n)
		}
	}
	return positions, err
}

// ending is where a log ends after a batch.
type ending struct {
	log *shardLog
	n   uint64
}

// stageEntries applies snapshots and foreign records in one batch, in the
// order of locks of a commit: identities, routing, shards.
func (s *Store) stageEntries(b *pebble.Batch, stream tributary.StreamID, entries []tributary.Entry) ([]ending, []tributary.Position, error) {
	defer s.lockIdentities(entries)()
	for i := range entries {
		if err := s.checkSnapshot(&entries[i]); err != nil {
			return nil, nil, err
		}
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	logs := make([]*shardLog, len(entries))
	for i := range entries {
		if logs[i] = s.shardOf(stream, hashOf(&entries[i])); logs[i] == nil && s.streams[stream] != nil {
			return nil, nil, errStale // no shard is open
		} else if logs[i] == nil {
			return nil, nil, tributary.Errorf(tributary.NotFound, "append", "The stream does not exist")
		}
	}
	defer lockLogs(logs)()
	ends := map[*shardLog]uint64{}
	var out []ending
	positions := make([]tributary.Position, len(entries))
	now := s.now()
	for i, log := range logs {
		n := max(ends[log], log.last) + 1
		ends[log] = n
		positions[i] = tributary.PositionOf(log.id, n)
		e := entries[i]
		e.Arrived = log.arrival(now)
		set(b, logKey(log.id, n), codec.AppendEntry(nil, &e))
	}
	err := s.apply(b)
	for log, n := range ends {
		if err == nil {
			log.last, log.arrived, log.usage.counted = n, log.arrival(now), n
		}
		out = append(out, ending{log, n})
	}
	return out, positions, err
}

func hashOf(e *tributary.Entry) tributary.HashKey {
	if e.Kind == tributary.EntryForeign {
		return e.Foreign.HashKey
	}
	return tributary.HashOf(e.PartitionKey())
}

// checkSnapshot refuses a snapshot of a dataset that has moved. The identity
// is locked.
func (s *Store) checkSnapshot(e *tributary.Entry) error {
	if e.Kind == tributary.EntryForeign {
		return nil
	}
	d, err := s.dataset(s.stripe(e.Change.Key.Identity), e.Change.Key)
	if err == nil && d.Head.Version != e.Change.Condition.Base {
		err = errStale
	}
	return err
}

// lockIdentities locks the stripes of the identities that entries are of, in
// the stripes' order.
func (s *Store) lockIdentities(entries []tributary.Entry) (unlock func()) {
	var needed [stripes]bool
	for i := range entries {
		if entries[i].Kind != tributary.EntryForeign {
			needed[stripeOf(entries[i].Change.Key.Identity)] = true
		}
	}
	for i, yes := range needed {
		if yes {
			s.stripes[i].mu.Lock()
		}
	}
	return func() {
		for i, yes := range needed {
			if yes {
				s.stripes[i].mu.Unlock()
			}
		}
	}
}

// lockLogs locks logs of one stream, in the order of their numbers.
func lockLogs(logs []*shardLog) (unlock func()) {
	distinct := slices.Clone(logs)
	slices.SortFunc(distinct, func(a, b *shardLog) int { return cmp.Compare(a.id.Number, b.id.Number) })
	distinct = slices.Compact(distinct)
	for _, l := range distinct {
		l.mu.Lock()
	}
	return func() {
		for _, l := range distinct {
			l.mu.Unlock()
		}
	}
}
