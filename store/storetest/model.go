package storetest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tributary"
)

// Model is a store of maps under one mutex, meant to be obviously right. Its
// zero value is an empty store.
type Model struct {
	// Now gives the time at which entries arrive; nil: the clock's.
	Now func() tributary.Millis
	// DefaultShards is how many shards the default log has; 0: one.
	DefaultShards int
	// FirstStream is the first stream's id; 0: the one above the default log's.
	FirstStream tributary.StreamID

	mu         sync.Mutex // guards all that follows
	id         string
	closed     bool
	pools      map[tributary.PoolID]tributary.Pool
	identities map[tributary.IdentityID]tributary.Identity
	datasets   map[tributary.DatasetKey]modelDataset
	devices    map[deviceKey]tributary.Device
	streams    map[tributary.StreamName]tributary.Stream
	usage      map[tributary.PoolID]tributary.Usage
	leases     map[leaseKey]tributary.Lease
	keys       map[string]tributary.AccessKey
	sealing    map[uint32]tributary.SealingKey
	logs       map[tributary.Shard]*modelLog
	byDefault  tributary.Stream   // the default log's shard map
	lastStream tributary.StreamID // given so far
	news       chan struct{}      // closed and replaced when a log grows or goes
}

type modelDataset struct {
	head    tributary.Dataset
	records []tributary.Record // in the order of their keys
}

type leaseKey struct {
	group string
	shard tributary.Shard
}

type deviceKey struct {
	identity tributary.IdentityID
	id       tributary.DeviceID
}

var _ tributary.Store = (*Model)(nil)

// do runs f under the mutex, on a store that is open.
func do[T any](m *Model, f func() (T, error)) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		var none T
		return none, tributary.Errorf(tributary.Unavailable, "model", "closed")
	}
	if m.logs == nil {
		m.make()
	}
	return f()
}

func (m *Model) write(f func() error) error {
	_, err := do(m, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func (m *Model) make() {
	m.pools = map[tributary.PoolID]tributary.Pool{}
	m.identities = map[tributary.IdentityID]tributary.Identity{}
	m.datasets = map[tributary.DatasetKey]modelDataset{}
	m.devices = map[deviceKey]tributary.Device{}
	m.streams = map[tributary.StreamName]tributary.Stream{}
	m.usage = map[tributary.PoolID]tributary.Usage{}
	m.leases = map[leaseKey]tributary.Lease{}
	m.keys = map[string]tributary.AccessKey{}
	m.sealing = map[uint32]tributary.SealingKey{}
	m.logs = map[tributary.Shard]*modelLog{}
	m.news = make(chan struct{})
	m.lastStream = max(m.FirstStream-1, tributary.DefaultStream)
	if m.FirstStream == 0 {
		m.lastStream = tributary.DefaultStream
	}
	m.byDefault = tributary.Stream{ID: tributary.DefaultStream, Shards: tributary.EvenShards(max(1, m.DefaultShards))}
	m.addLogs(&m.byDefault)
}

func (m *Model) now() tributary.Millis {
	if m.Now == nil {
		return tributary.MillisOf(time.Now())
	}
	return m.Now()
}

func failed(kind tributary.Kind, what string) error {
	return tributary.Errorf(kind, "model", "%s", what)
}

// page lists up to limit values above after, in the order of their keys' bytes.
func page[K cmp.Ordered, V any](all map[K]V, after K, limit int, keep func(V) bool) []V {
	var list []V
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if k > after && keep(all[k]) && len(list) < limit {
			list = append(list, all[k])
		}
	}
	return list
}

// Ready implements [tributary.Store].
func (m *Model) Ready(context.Context) error { return m.write(func() error { return nil }) }

// Close implements [tributary.Store].
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed && m.news != nil {
		close(m.news)
	}
	m.closed = true
	return nil
}

// Pool implements [tributary.Pools].
func (m *Model) Pool(_ context.Context, id tributary.PoolID) (tributary.Pool, error) {
	return do(m, func() (tributary.Pool, error) {
		p, ok := m.pools[id]
		if !ok {
			return p, failed(tributary.NotFound, "pool")
		}
		return p.Clone(), nil
	})
}

// ID implements [tributary.Store].
func (m *Model) ID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id == "" {
		m.id = rand.Text()
	}
	return m.id
}

// Pools implements [tributary.Pools].
func (m *Model) Pools(_ context.Context, after tributary.PoolID, limit int) ([]tributary.Pool, error) {
	return do(m, func() ([]tributary.Pool, error) {
		list := page(m.pools, after, limit, func(tributary.Pool) bool { return true })
		for i := range list {
			list[i] = list[i].Clone()
		}
		return list, nil
	})
}

// PutPool implements [tributary.Pools].
func (m *Model) PutPool(_ context.Context, p tributary.Pool) error {
	return m.write(func() error {
		if m.pools[p.ID].Revision != p.Revision {
			return failed(tributary.Stale, "pool")
		}
		if m.stream(p.Route()) == nil {
			return failed(tributary.NotFound, "stream")
		}
		p = p.Clone()
		p.Revision++
		m.pools[p.ID] = p
		return nil
	})
}

// DeletePool implements [tributary.Pools].
func (m *Model) DeletePool(_ context.Context, id tributary.PoolID) error {
	return m.write(func() error {
		if _, ok := m.pools[id]; !ok {
			return failed(tributary.NotFound, "pool")
		}
		for _, i := range m.identities {
			if i.Pool == id {
				return failed(tributary.Exists, "identity")
			}
		}
		delete(m.pools, id)
		delete(m.usage, id)
		return nil
	})
}

// Identity implements [tributary.Identities].
func (m *Model) Identity(_ context.Context, id tributary.IdentityID) (tributary.Identity, error) {
	return do(m, func() (tributary.Identity, error) {
		i, ok := m.identities[id]
		if !ok {
			return i, failed(tributary.NotFound, "identity")
		}
		return i.Clone(), nil
	})
}

// Identities implements [tributary.Identities].
func (m *Model) Identities(_ context.Context, pool tributary.PoolID, after tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	return do(m, func() ([]tributary.Identity, error) {
		list := page(m.identities, after, limit, func(i tributary.Identity) bool { return i.Pool == pool })
		for i := range list {
			list[i] = list[i].Clone()
		}
		return list, nil
	})
}

// FindLogin implements [tributary.Identities].
func (m *Model) FindLogin(_ context.Context, pool tributary.PoolID, login tributary.Login) (tributary.IdentityID, error) {
	return do(m, func() (tributary.IdentityID, error) {
		for _, i := range m.identities {
			if i.Pool == pool && slices.Contains(i.Logins, login) {
				return i.ID, nil
			}
		}
		return "", failed(tributary.NotFound, "login")
	})
}

// UnfinishedIdentities implements [tributary.Unfinished].
func (m *Model) UnfinishedIdentities(_ context.Context, after tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	return do(m, func() ([]tributary.Identity, error) {
		list := page(m.identities, after, limit, func(i tributary.Identity) bool { return i.Unfinished })
		for i := range list {
			list[i] = list[i].Clone()
		}
		return list, nil
	})
}

// PutIdentity implements [tributary.Identities].
func (m *Model) PutIdentity(_ context.Context, all ...tributary.Identity) error {
	return m.write(func() error {
		next := maps.Clone(m.identities)
		for _, i := range all {
			had := m.identities[i.ID]
			if had.Revision != i.Revision || had.Pool != i.Pool && had.Pool != "" {
				return failed(tributary.Stale, "identity")
			}
			if _, ok := m.pools[i.Pool]; !ok {
				return failed(tributary.NotFound, "pool")
			}
			i = i.Clone()
			i.Revision++
			i.Datasets, i.Usage = had.Datasets, had.Usage
			next[i.ID] = i
		}
		owner := map[string]tributary.IdentityID{}
		for _, i := range next {
			for _, l := range i.Logins {
				link := fmt.Sprintf("%s %q %q", i.Pool, l.Provider, l.User)
				if other := owner[link]; other != "" && other != i.ID {
					return failed(tributary.Exists, "login")
				}
				owner[link] = i.ID
			}
		}
		m.identities = next
		return nil
	})
}

// DeleteIdentity implements [tributary.Identities].
func (m *Model) DeleteIdentity(_ context.Context, id tributary.IdentityID) error {
	return m.write(func() error {
		i, ok := m.identities[id]
		if !ok {
			return failed(tributary.NotFound, "identity")
		}
		if i.Datasets > 0 {
			return failed(tributary.Exists, "dataset")
		}
		delete(m.identities, id)
		maps.DeleteFunc(m.datasets, func(k tributary.DatasetKey, _ modelDataset) bool { return k.Identity == id })
		maps.DeleteFunc(m.devices, func(k deviceKey, _ tributary.Device) bool { return k.identity == id })
		return nil
	})
}

// View implements [tributary.Datasets].
func (m *Model) View(_ context.Context, key tributary.DatasetKey, records []string) (tributary.View, error) {
	return do(m, func() (tributary.View, error) {
		i, ok := m.identities[key.Identity]
		if !ok || i.Pool != key.Pool {
			return tributary.View{}, failed(tributary.NotFound, "identity")
		}
		pool := m.pools[i.Pool]
		v := tributary.View{Pool: pool.Clone(), Identity: i.Clone(), Dataset: m.datasets[key].head}
		v.Dataset.Key = key
		for _, r := range m.datasets[key].records {
			if slices.Contains(records, r.Key) {
				v.Records = append(v.Records, r)
			}
		}
		return v, nil
	})
}

// Datasets implements [tributary.Datasets].
func (m *Model) Datasets(_ context.Context, identity tributary.IdentityID, after tributary.DatasetName, limit int) ([]tributary.Dataset, error) {
	return do(m, func() ([]tributary.Dataset, error) {
		all := map[tributary.DatasetName]tributary.Dataset{}
		for k, d := range m.datasets {
			if k.Identity == identity {
				all[k.Dataset] = d.head
			}
		}
		return page(all, after, limit, func(d tributary.Dataset) bool { return d.Exists }), nil
	})
}

// Records implements [tributary.Datasets].
func (m *Model) Records(_ context.Context, key tributary.DatasetKey, r tributary.Range) ([]tributary.Record, error) {
	return do(m, func() ([]tributary.Record, error) {
		d := m.datasets[key]
		if r.Misses(d.head.Floor) {
			return nil, tributary.Errorf(tributary.Stale, "list records", "tombstones have been forgotten")
		}
		return selected(d.records, r), nil
	})
}

// selected is a range of records by its definition.
func selected(records []tributary.Record, r tributary.Range) []tributary.Record {
	var list []tributary.Record
	for i := range records {
		if r.Match(&records[i]) {
			list = append(list, records[i])
		}
	}
	slices.SortFunc(list, func(a, b tributary.Record) int {
		return cmp.Or(cmp.Compare(a.SyncCount, b.SyncCount), cmp.Compare(a.Key, b.Key))
	})
	if r.Limit > 0 && len(list) > r.Limit {
		list = list[:r.Limit]
	}
	return list
}

// Commit implements [tributary.Datasets].
func (m *Model) Commit(_ context.Context, c *tributary.Change) error {
	return m.write(func() error {
		i, ok := m.identities[c.Key.Identity]
		d, pool := m.datasets[c.Key], m.pools[c.Key.Pool]
		shard, open := m.shardOf(c.Condition.Stream, tributary.HashOf(string(i.ID)))
		now := tributary.Condition{Base: d.head.Version, Identity: i.Revision, Stream: pool.Route()}
		if !ok || i.Pool != c.Key.Pool || now != c.Condition || !open {
			return failed(tributary.Stale, "condition")
		}
		switch {
		case c.Next.Exists && !d.head.Exists:
			i.Datasets, i.Revision = i.Datasets+1, i.Revision+1
		case !c.Next.Exists && d.head.Exists:
			i.Datasets, i.Revision = i.Datasets-1, i.Revision+1
		}
		u := m.usage[i.Pool]
		u.Bytes, u.LastModified = u.Bytes+c.PoolBytes, max(u.LastModified, c.At)
		i.Usage.Bytes, i.Usage.LastModified = i.Usage.Bytes+c.PoolBytes, max(i.Usage.LastModified, c.At)
		m.usage[i.Pool], m.identities[i.ID] = u, i
		m.datasets[c.Key] = modelDataset{head: c.Next, records: c.Updated(d.records)}
		m.add(shard, tributary.Entry{Kind: tributary.EntryChange, Change: c})
		return nil
	})
}
