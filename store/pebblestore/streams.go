package pebblestore

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
)

func streamKey(id tributary.StreamID) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableStream}, uint64(id))
}

// streamNamed finds a stream by name. The routing is locked.
func (s *Store) streamNamed(name tributary.StreamName) *tributary.Stream {
	for _, st := range s.streams {
		if st.Name == name && name != "" {
			return st
		}
	}
	return nil
}

func noStream(name tributary.StreamName) error {
	return tributary.Errorf(tributary.NotFound, "read stream", "Stream %s not found.", name)
}

// Stream reads a stream by name.
func (s *Store) Stream(_ context.Context, name tributary.StreamName) (tributary.Stream, error) {
	if err := s.alive(); err != nil {
		return tributary.Stream{}, err
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	if st := s.streamNamed(name); st != nil {
		return st.Clone(), nil
	}
	return tributary.Stream{}, noStream(name)
}

// Streams lists streams by name.
func (s *Store) Streams(_ context.Context, above tributary.StreamName, limit int) ([]tributary.Stream, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	var out []tributary.Stream
	for _, st := range s.streams {
		if st.Name > above {
			out = append(out, st.Clone())
		}
	}
	slices.SortFunc(out, func(a, b tributary.Stream) int { return cmp.Compare(a.Name, b.Name) })
	return out[:min(limit, len(out))], nil
}

// PutStream writes a stream and its shard map.
func (s *Store) PutStream(_ context.Context, st tributary.Stream) (tributary.Stream, error) {
	const op = "put stream"
	if err := s.writable(); err != nil {
		return st, err
	}
	s.routing.Lock()
	defer s.routing.Unlock()
	have := s.streamNamed(st.Name)
	var revision int64
	if have != nil {
		revision = have.Revision
	}
	if st.Revision != revision || have != nil && have.ID != st.ID {
		return st, stale(op)
	}
	if have != nil {
		if err := have.CheckNext(&st); err != nil {
			return st, err
		}
	}
	st = st.Clone()
	b := s.db.NewBatch()
	defer b.Close()
	if have == nil {
		id, err := s.nextStreamID()
		if err != nil {
			return st, err
		}
		st.ID = id
		set(b, metaLastStream, binary.BigEndian.AppendUint64(nil, uint64(id)))
	}
	st.Revision++
	for i := range st.Shards {
		r := &st.Shards[i]
		if log := s.shards[tributary.Shard{Stream: st.ID, Number: r.Number}]; r.Closed && r.Last == "" && log != nil && log.lastEntry() > 0 {
			r.Last = tributary.PositionOf(log.id, log.lastEntry()) // nobody commits while the routing is locked
		}
	}
	if err := setJSON(b, streamKey(st.ID), st); err != nil {
		return st, err
	}
	if err := s.write(b); err != nil {
		return st, err
	}
	stored := st.Clone()
	s.streams[st.ID] = &stored
	for _, r := range st.Shards {
		id := tributary.Shard{Stream: st.ID, Number: r.Number}
		switch log := s.shards[id]; {
		case log == nil:
			log := newShardLog(id)
			s.goOn(log)
			log.durable.Store(log.last)
			s.shards[id] = log
		case r.Closed:
			// The write came after all of the shard's entries, and is durable.
			log.settled(log.last)
		}
	}
	return st, nil
}

// nextStreamID gives an id above all that ever were, whatever the clock says.
func (s *Store) nextStreamID() (tributary.StreamID, error) {
	last, err := s.get(metaLastStream)
	if err != nil {
		return 0, internal("put stream", err)
	}
	id := tributary.StreamID(max(s.now(), tributary.Millis(tributary.DefaultStream)+1))
	if last != "" {
		id = max(id, tributary.StreamID(binary.BigEndian.Uint64([]byte(last)))+1)
	}
	return id, nil
}

// DeleteStream forgets a stream and its log. The figures that its shards hold
// go to the default log's first shard.
func (s *Store) DeleteStream(_ context.Context, name tributary.StreamName) error {
	const op = "delete stream"
	if err := s.alive(); err != nil {
		return err
	}
	s.leases.Lock()
	defer s.leases.Unlock()
	s.routing.Lock()
	defer s.routing.Unlock()
	st := s.streamNamed(name)
	if st == nil {
		return noStream(name)
	}
	for _, p := range s.pools {
		if p.Route() == st.ID {
			return tributary.Errorf(tributary.Exists, op, "Pool %s writes to stream %s", p.ID, name)
		}
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := s.dropLeases(b, st.ID); err != nil {
		return err // before the heir's figures are changed
	}
	remove(b, streamKey(st.ID))
	heir := s.shards[tributary.Shard{Stream: tributary.DefaultStream}]
	heir.mu.Lock()
	defer heir.mu.Unlock()
	for _, r := range st.Shards {
		s.dropShard(b, tributary.Shard{Stream: st.ID, Number: r.Number}, heir)
	}
	heir.fold(b)
	if err := s.write(b); err != nil {
		return err
	}
	delete(s.streams, st.ID)
	for _, r := range st.Shards {
		id := tributary.Shard{Stream: st.ID, Number: r.Number}
		close(s.shards[id].gone)
		delete(s.shards, id)
	}
	return nil
}

// dropShard removes what is kept of a shard. Both logs are still.
func (s *Store) dropShard(b *pebble.Batch, id tributary.Shard, heir *shardLog) {
	log := s.shards[id]
	for pool, u := range log.usage.pools {
		sum := heir.usage.pools[pool]
		sum.bytes += u.bytes
		sum.modified = max(sum.modified, u.modified)
		heir.usage.pools[pool] = sum
		heir.usage.dirty[pool] = struct{}{}
		remove(b, usageKey(pool, id))
	}
	removeAll(b, shardKey(tableLog, id))
	remove(b, shardKey(tableHorizon, id))
	remove(b, shardKey(tableFolded, id))
}

// dropLeases removes a stream's leases, which are locked.
func (s *Store) dropLeases(b *pebble.Batch, stream tributary.StreamID) error {
	err := scan(s.db, []byte{tableLease}, func(key, value []byte) error {
		var l tributary.Lease
		if err := json.Unmarshal(value, &l); err != nil {
			return errors.Join(fmt.Errorf("lease %q", key), err)
		}
		if l.Shard.Stream == stream {
			remove(b, slices.Clone(key))
		}
		return nil
	})
	return internal("delete stream", err)
}
