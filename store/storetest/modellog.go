package storetest

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"tributary"
)

// modelLog is a shard's log: what is left of it, above what was forgotten.
type modelLog struct {
	forgotten uint64 // entries that have been trimmed
	entries   []tributary.Entry
}

func (l *modelLog) count() uint64 { return l.forgotten + uint64(len(l.entries)) }

// from gives the entries above the n-th.
func (l *modelLog) from(n uint64) []tributary.Entry {
	return l.entries[min(max(n, l.forgotten)-l.forgotten, uint64(len(l.entries))):]
}

// stream finds a stream by id, nil if there is none.
func (m *Model) stream(id tributary.StreamID) *tributary.Stream {
	if id == tributary.DefaultStream {
		return &m.byDefault
	}
	for _, s := range m.streams {
		if s.ID == id {
			return &s
		}
	}
	return nil
}

func (m *Model) shardOf(id tributary.StreamID, h tributary.HashKey) (tributary.Shard, bool) {
	if s := m.stream(id); s != nil {
		return s.ShardFor(h)
	}
	return tributary.Shard{}, false
}

func (m *Model) addLogs(s *tributary.Stream) {
	for _, r := range s.Shards {
		shard := tributary.Shard{Stream: s.ID, Number: r.Number}
		if m.logs[shard] == nil {
			m.logs[shard] = &modelLog{}
		}
	}
}

func (m *Model) add(shard tributary.Shard, e tributary.Entry) tributary.Position {
	l := m.logs[shard]
	e = cloneEntry(e)
	e.Arrived, e.Position = m.now(), tributary.PositionOf(shard, l.count()+1)
	l.entries = append(l.entries, e)
	m.wake()
	return e.Position
}

func (m *Model) wake() {
	close(m.news)
	m.news = make(chan struct{})
}

// Stream implements [tributary.Streams].
func (m *Model) Stream(_ context.Context, name tributary.StreamName) (tributary.Stream, error) {
	return do(m, func() (tributary.Stream, error) {
		s, ok := m.streams[name]
		if !ok {
			return s, failed(tributary.NotFound, "stream")
		}
		return s.Clone(), nil
	})
}

// Streams implements [tributary.Streams].
func (m *Model) Streams(_ context.Context, after tributary.StreamName, limit int) ([]tributary.Stream, error) {
	return do(m, func() ([]tributary.Stream, error) {
		list := page(m.streams, after, limit, func(tributary.Stream) bool { return true })
		for i := range list {
			list[i] = list[i].Clone()
		}
		return list, nil
	})
}

// PutStream implements [tributary.Streams].
func (m *Model) PutStream(_ context.Context, s tributary.Stream) (tributary.Stream, error) {
	return do(m, func() (tributary.Stream, error) {
		had := m.streams[s.Name]
		if had.Revision != s.Revision || had.ID != s.ID && had.ID != 0 {
			return tributary.Stream{}, failed(tributary.Stale, "stream")
		}
		if err := had.CheckNext(&s); err != nil {
			return tributary.Stream{}, err
		}
		if s = s.Clone(); had.ID == 0 {
			m.lastStream++
			s.ID = m.lastStream
		}
		s.Revision++
		m.addLogs(&s)
		for i := range s.Shards {
			r := &s.Shards[i]
			shard := tributary.Shard{Stream: s.ID, Number: r.Number}
			r.Last = ""
			if n := m.logs[shard].count(); r.Closed && n > 0 {
				r.Last = tributary.PositionOf(shard, n)
			}
		}
		m.streams[s.Name] = s
		return s.Clone(), nil
	})
}

// DeleteStream implements [tributary.Streams].
func (m *Model) DeleteStream(_ context.Context, name tributary.StreamName) error {
	return m.write(func() error {
		s, ok := m.streams[name]
		if !ok {
			return failed(tributary.NotFound, "stream")
		}
		for _, p := range m.pools {
			if p.Route() == s.ID {
				return failed(tributary.Exists, "pool")
			}
		}
		delete(m.streams, name)
		maps.DeleteFunc(m.logs, func(shard tributary.Shard, _ *modelLog) bool { return shard.Stream == s.ID })
		maps.DeleteFunc(m.leases, func(k leaseKey, _ tributary.Lease) bool { return k.shard.Stream == s.ID })
		m.wake()
		return nil
	})
}

// Shards implements [tributary.Source].
func (m *Model) Shards(context.Context) ([]tributary.Shard, error) {
	return do(m, func() ([]tributary.Shard, error) { return slices.Collect(maps.Keys(m.logs)), nil })
}

// at finds a shard's log and the count of a position in it.
func (m *Model) at(s tributary.Shard, p tributary.Position) (*modelLog, uint64, error) {
	l := m.logs[s]
	if l == nil {
		return nil, 0, failed(tributary.NotFound, "shard")
	}
	if p == "" {
		return l, 0, nil
	}
	shard, n, err := p.Split()
	if err != nil || shard != s {
		return nil, 0, failed(tributary.Invalid, "position")
	}
	return l, n, nil
}

// Read implements [tributary.Source].
func (m *Model) Read(_ context.Context, s tributary.Shard, after tributary.Position, maxBytes int) ([]tributary.Entry, error) {
	return do(m, func() ([]tributary.Entry, error) {
		l, n, err := m.at(s, after)
		if err != nil {
			return nil, err
		}
		var list []tributary.Entry
		for _, e := range l.from(n) {
			list = append(list, cloneEntry(e))
			if maxBytes -= entryBytes(&e); maxBytes <= 0 {
				break
			}
		}
		return list, nil
	})
}

// entryBytes is about what an entry weighs.
func entryBytes(e *tributary.Entry) int {
	const rest = 100
	n := rest
	if e.Foreign != nil {
		n += len(e.Foreign.PartitionKey) + len(e.Foreign.Data)
	}
	if e.Change != nil {
		for i := range e.Change.Records {
			n += rest + int(e.Change.Records[i].Bytes())
		}
	}
	return n
}

// Find implements [tributary.Log].
func (m *Model) Find(_ context.Context, s tributary.Shard, at tributary.Millis) (tributary.Position, error) {
	return do(m, func() (tributary.Position, error) {
		l, _, err := m.at(s, "")
		if err != nil {
			return "", err
		}
		below := l.forgotten
		for i := 0; i < len(l.entries) && l.entries[i].Arrived < at; i++ {
			below++
		}
		return tributary.PositionOf(s, below), nil
	})
}

// Wait implements [tributary.Log].
func (m *Model) Wait(ctx context.Context, s tributary.Shard, after tributary.Position) error {
	for {
		news, err := do(m, func() (chan struct{}, error) {
			l, n, err := m.at(s, after)
			if err != nil || len(l.from(n)) > 0 {
				return nil, err
			}
			return m.news, nil
		})
		if news == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

// Trim implements [tributary.Log].
func (m *Model) Trim(_ context.Context, s tributary.Shard, through tributary.Position) error {
	return m.write(func() error {
		l, n, err := m.at(s, through)
		if err != nil {
			return err
		}
		through := min(max(n, l.forgotten), l.count())
		l.entries, l.forgotten = slices.Clone(l.from(through)), through
		return nil
	})
}

// LogBytes implements [tributary.Log].
func (m *Model) LogBytes(_ context.Context, s tributary.Shard) (int64, error) {
	return do(m, func() (int64, error) {
		l, _, err := m.at(s, "")
		if err != nil {
			return 0, err
		}
		var n int64
		for i := range l.entries {
			n += int64(entryBytes(&l.entries[i]))
		}
		return n, nil
	})
}

// Append implements [tributary.Log].
func (m *Model) Append(_ context.Context, stream tributary.StreamID, entries []tributary.Entry, marks ...tributary.Lease) ([]tributary.Position, error) {
	return do(m, func() ([]tributary.Position, error) {
		if len(entries) > 0 && m.stream(stream) == nil {
			return nil, failed(tributary.NotFound, "stream")
		}
		for _, l := range marks {
			if m.leases[leaseKey{l.Group, l.Shard}].Revision != l.Revision {
				return nil, failed(tributary.Stale, "mark")
			}
		}
		shards := make([]tributary.Shard, len(entries))
		for i := range entries {
			e, open := &entries[i], false
			if shards[i], open = m.shardOf(stream, hashKey(e)); !open {
				return nil, failed(tributary.Stale, "shard")
			}
			if e.Kind == tributary.EntrySnapshot && m.datasets[e.Change.Key].head.Version != e.Change.Condition.Base {
				return nil, failed(tributary.Stale, "head")
			}
		}
		positions := make([]tributary.Position, len(entries))
		for i := range entries {
			positions[i] = m.add(shards[i], entries[i])
		}
		for _, l := range marks {
			l.Revision++
			m.leases[leaseKey{l.Group, l.Shard}] = l
		}
		return positions, nil
	})
}

func hashKey(e *tributary.Entry) tributary.HashKey {
	if e.Kind == tributary.EntryForeign {
		return e.Foreign.HashKey
	}
	return tributary.HashOf(e.PartitionKey())
}

// Leases implements [tributary.Leases].
func (m *Model) Leases(_ context.Context, group string) ([]tributary.Lease, error) {
	return do(m, func() ([]tributary.Lease, error) {
		var list []tributary.Lease
		for _, l := range m.leases {
			if l.Group == group {
				list = append(list, l)
			}
		}
		return list, nil
	})
}

// SwapLease implements [tributary.Leases].
func (m *Model) SwapLease(_ context.Context, l tributary.Lease) (tributary.Lease, error) {
	return do(m, func() (tributary.Lease, error) {
		key := leaseKey{l.Group, l.Shard}
		if m.leases[key].Revision != l.Revision {
			return tributary.Lease{}, failed(tributary.Stale, "lease")
		}
		l.Revision++
		m.leases[key] = l
		return l, nil
	})
}

// AccessKey implements [tributary.AccessKeys].
func (m *Model) AccessKey(_ context.Context, id string) (tributary.AccessKey, error) {
	return do(m, func() (tributary.AccessKey, error) {
		k, ok := m.keys[id]
		if !ok {
			return k, failed(tributary.NotFound, "access key")
		}
		k.Sealed = bytes.Clone(k.Sealed)
		return k, nil
	})
}

// AccessKeys implements [tributary.AccessKeys].
func (m *Model) AccessKeys(context.Context) ([]tributary.AccessKey, error) {
	return do(m, func() ([]tributary.AccessKey, error) {
		var list []tributary.AccessKey
		for _, k := range m.keys {
			k.Sealed = bytes.Clone(k.Sealed)
			list = append(list, k)
		}
		return list, nil
	})
}

// PutAccessKey implements [tributary.AccessKeys].
func (m *Model) PutAccessKey(_ context.Context, k tributary.AccessKey) error {
	return m.write(func() error {
		if m.keys[k.ID].Revision != k.Revision {
			return failed(tributary.Stale, "access key")
		}
		k.Revision++
		k.Sealed = bytes.Clone(k.Sealed)
		m.keys[k.ID] = k
		return nil
	})
}

// DeleteAccessKey implements [tributary.AccessKeys].
func (m *Model) DeleteAccessKey(_ context.Context, id string) error {
	return m.write(func() error {
		if _, ok := m.keys[id]; !ok {
			return failed(tributary.NotFound, "access key")
		}
		delete(m.keys, id)
		return nil
	})
}

// SealingKeys implements [tributary.SealingKeys].
func (m *Model) SealingKeys(context.Context) ([]tributary.SealingKey, error) {
	return do(m, func() ([]tributary.SealingKey, error) {
		var list []tributary.SealingKey
		for _, k := range m.sealing {
			k.Sealed = bytes.Clone(k.Sealed)
			list = append(list, k)
		}
		return list, nil
	})
}

// PutSealingKey implements [tributary.SealingKeys].
func (m *Model) PutSealingKey(_ context.Context, k tributary.SealingKey) error {
	return m.write(func() error {
		if m.sealing[k.ID].Revision != k.Revision {
			return failed(tributary.Stale, "sealing key")
		}
		k.Revision++
		k.Sealed = bytes.Clone(k.Sealed)
		m.sealing[k.ID] = k
		return nil
	})
}

// DeleteSealingKey implements [tributary.SealingKeys].
func (m *Model) DeleteSealingKey(_ context.Context, id uint32) error {
	return m.write(func() error {
		if _, ok := m.sealing[id]; !ok {
			return failed(tributary.NotFound, "sealing key")
		}
		delete(m.sealing, id)
		return nil
	})
}

// PoolUsage implements [tributary.Usages].
func (m *Model) PoolUsage(_ context.Context, pool tributary.PoolID) (tributary.Usage, error) {
	return do(m, func() (tributary.Usage, error) {
		if _, ok := m.pools[pool]; !ok {
			return tributary.Usage{}, failed(tributary.NotFound, "pool")
		}
		return m.usage[pool], nil
	})
}

// CountSessions implements [tributary.Usages].
func (m *Model) CountSessions(_ context.Context, sessions map[tributary.PoolID]int64) error {
	return m.write(func() error {
		for id, n := range sessions {
			if _, ok := m.pools[id]; ok {
				u := m.usage[id]
				u.Sessions += n
				m.usage[id] = u
			}
		}
		return nil
	})
}
