package pebblestore

import (
	"context"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

var errStale = &tributary.Error{Kind: tributary.Stale, Op: "commit", Msg: "The dataset was changed at the same time"}

// Commit applies a change iff its condition holds, and returns when it is
// durable.
func (s *Store) Commit(_ context.Context, c *tributary.Change) error {
	if err := s.alive(); err != nil {
		return err
	}
	if c.Op != tributary.Remove {
		if err := s.room.check(); err != nil {
			return err
		}
	}
	b := s.db.NewBatch()
	log, n, err := s.stage(b, c)
	if err != nil {
		return internal("commit", errJoinClose(err, b))
	}
	return s.settle(b, log, n)
}

func errJoinClose(err error, b *pebble.Batch) error {
	_ = b.Close() // of a batch that was not applied
	return err
}

// settle waits until an applied batch is durable, then lets readers see it.
func (s *Store) settle(b *pebble.Batch, log *shardLog, n uint64) error {
	if s.cfg.faults.dropSync {
		log.settled(n)
		return nil
	}
	if s.cfg.faults.earlyWatermark {
		log.settled(n)
	}
	if err := s.syncWait(b); err != nil {
		return err
	}
	log.settled(n)
	return internal("commit", b.Close())
}

// stage checks the change's condition and applies it, under the identity's
// lock, then the routing's, then the shard's.
func (s *Store) stage(b *pebble.Batch, c *tributary.Change) (*shardLog, uint64, error) {
	st := s.stripe(c.Key.Identity)
	st.mu.Lock()
	defer st.mu.Unlock()
	who, err := s.identity(st, c.Key.Identity)
	if err != nil {
		return nil, 0, err
	}
	d, err := s.dataset(st, c.Key)
	if err != nil {
		return nil, 0, err
	}
	if who == nil || who.Pool != c.Key.Pool || who.Revision != c.Condition.Identity || d.Head.Version != c.Condition.Base {
		return nil, 0, errStale
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	log := s.routeOf(c)
	if log == nil {
		return nil, 0, errStale
	}
	nextDataset, err := s.nextDataset(b, d, c)
	if err != nil {
		return nil, 0, err
	}
	n, err := s.applyChange(b, log, c, nextDataset, who.next(c, d.Head.Exists), st)
	return log, n, err
}

// routeOf finds the log of a change, nil if the pool routes elsewhere by now.
// The routing is locked.
func (s *Store) routeOf(c *tributary.Change) *shardLog {
	p := s.pools[c.Key.Pool]
	if p == nil || p.Route() != c.Condition.Stream {
		return nil
	}
	return s.shardOf(c.Condition.Stream, tributary.HashOf(string(c.Key.Identity)))
}

func (s *Store) shardOf(id tributary.StreamID, h tributary.HashKey) *shardLog {
	stream := s.streams[id]
	if stream == nil {
		return nil
	}
	shard, ok := stream.ShardFor(h)
	if !ok {
		return nil
	}
	return s.shards[shard]
}

// next is the identity after a change.
func (i *identity) next(c *tributary.Change, existed bool) *identity {
	out := *i
	if existed != c.Next.Exists {
		out.Revision++
		out.Datasets++
		if existed {
			out.Datasets -= 2
		}
	}
	out.Usage.Bytes += c.PoolBytes
	out.Usage.LastModified = max(out.Usage.LastModified, c.At)
	return &out
}

// nextDataset is the dataset after a change. What has a key of its own is
// written to the batch; the head is not yet.
func (s *Store) nextDataset(b *pebble.Batch, d *dataset, c *tributary.Change) (*dataset, error) {
	next := &dataset{Dataset: codec.Dataset{Head: c.Next, Split: d.Split}}
	next.Head.Key = d.Head.Key
	switch {
	case c.Op == tributary.Remove:
		next.Split = false
		if d.Split {
			removeAll(b, datasetPrefix(tableRecord, c.Key))
			removeAll(b, datasetPrefix(tableIndex, c.Key))
		}
	case d.Split:
		next.recent = d.recent.then(c)
		return next, s.writeSplit(b, c)
	default:
		next.Records = c.Updated(d.Records)
		if codec.Size(next.Records) > codec.SplitAbove {
			for i := range next.Records {
				writeRecord(b, c.Key, &next.Records[i])
			}
			next.Split, next.Records, next.recent.since = true, nil, c.SyncCount
		}
	}
	return next, nil
}

// packed is a copy that shares nothing with the request.
func (r recent) packed() recent {
	out := recent{since: r.since, records: make([]tributary.Record, len(r.records))}
	for i, have := range r.records {
		have.Key, have.Value = strings.Clone(have.Key), strings.Clone(have.Value)
		have.LastModifiedBy = strings.Clone(have.LastModifiedBy)
		out.records[i] = have
	}
	return out
}

func writeRecord(b *pebble.Batch, key tributary.DatasetKey, r *tributary.Record) {
	set(b, recordKey(key, r.Key), codec.AppendRecord(nil, r))
	var tombstone []byte
	if r.Removed {
		tombstone = []byte{1}
	}
	set(b, indexKey(key, r.SyncCount, r.Key), tombstone)
}

// writeSplit writes what a change makes of a split dataset's records.
func (s *Store) writeSplit(b *pebble.Batch, c *tributary.Change) error {
	for i := range c.Records {
		r := &c.Records[i]
		had, err := s.splitRecord(s.db, c.Key, r.Key)
		if err != nil {
			return err
		}
		if had != nil {
			remove(b, indexKey(c.Key, had.SyncCount, had.Key))
		}
		writeRecord(b, c.Key, r)
	}
	for i := range c.Forgotten {
		r := &c.Forgotten[i]
		remove(b, indexKey(c.Key, r.SyncCount, r.Key))
		remove(b, recordKey(c.Key, r.Key))
	}
	return nil
}

func (s *Store) splitRecord(from pebble.Reader, key tributary.DatasetKey, name string) (*tributary.Record, error) {
	value, err := getFrom(from, recordKey(key, name))
	if err != nil || value == "" {
		return nil, internal("read record", err)
	}
	out, err := codec.DecodeRecord(value)
	return &out, internal("read record of "+key.String(), err)
}

// applyChange numbers a change and applies everything about it in one batch.
func (s *Store) applyChange(b *pebble.Batch, log *shardLog, c *tributary.Change, d *dataset, who *identity, st *stripe) (uint64, error) {
	log.mu.Lock()
	defer log.mu.Unlock()
	n := log.last + 1
	at := place{shard: log.id, n: n}
	if who.Revision != c.Condition.Identity {
		who.revision = at
	}
	d.at, who.at = at, at
	entry := tributary.Entry{Arrived: log.arrival(s.now()), Kind: tributary.EntryChange, Change: c}
	value := appendDataset(make([]byte, 0, 64+codec.Size(d.Records)+32*len(d.Records)), d)
	set(b, headKey(d.Head.Key), value)
	set(b, textKey(tableIdentity, string(who.ID)), appendIdentity(nil, who))
	if err := s.applyEntry(b, log, n, &entry); err != nil {
		return 0, err
	}
	// The records of the change still point into the request; those of the
	// stored value are packed.
	packed, err := decodeDataset(d.Head.Key, string(value))
	if err != nil {
		return 0, err
	}
	packed.recent = d.recent.packed()
	packed.Head.Key.Dataset = tributary.DatasetName(strings.Clone(string(d.Head.Key.Dataset)))
	packed.Head.Key.Identity, packed.Head.Key.Pool = who.ID, who.Pool
	s.remember(st, packed)
	st.rememberIdentity(who)
	return n, nil
}
