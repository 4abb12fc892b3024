// Package move copies a store to another engine while it serves, and hands the
// service over.
//
// [Store] stands between the server and the engine from the start. While
// nothing moves it costs two additions per write; during a move it notes what
// is written, refuses writes for the moment of the cut-over, and then goes on
// with the new engine. [Mover] does the copying.
package move

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"tributary"
)

// Engine is a store that can be moved.
type Engine interface {
	tributary.Store
	tributary.Transfer
}

// Store is a store that can be moved while it is used. Its methods are those of
// tributary.Store.
type Store struct {
	now   atomic.Pointer[stage]
	first Engine
	moved sync.Mutex // held by the mover

	mu    sync.Mutex           // guards waits
	waits map[*waiter]struct{} // those who wait for an entry
}

var _ tributary.Store = (*Store)(nil)

// stage is who answers, and what happens to writes.
type stage struct {
	store   Engine
	journal *journal // notes what is written; nil: nothing moves
	refused error    // what writes get instead; nil: they go on
	writes  atomic.Int64
	idle    chan struct{} // has room for one: the last write has ended
	older   *stage        // the one before, if its writes may be under way; the mover's
}

func newStage(store Engine, j *journal, refused error) *stage {
	return &stage{store: store, journal: j, refused: refused, idle: make(chan struct{}, 1)}
}

// Wrap makes a store movable. All writes must go through what it gives.
func Wrap(s Engine) *Store {
	out := &Store{first: s, waits: map[*waiter]struct{}{}}
	out.now.Store(newStage(s, nil, nil))
	return out
}

// Engine is the engine that answers now.
func (s *Store) Engine() Engine { return s.now.Load().store }

// enter begins a write. Whoever changes the stage waits for the writes that
// entered the one before.
func (s *Store) enter() (*stage, error) {
	for {
		g := s.now.Load()
		g.writes.Add(1)
		if s.now.Load() != g {
			g.leave()
			continue
		}
		if g.refused != nil {
			g.leave()
			return nil, g.refused
		}
		return g, nil
	}
}

func (g *stage) leave() {
	if g.writes.Add(-1) == 0 {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

// drained returns when no write is under way in a stage that is over, or in
// those before it.
func (g *stage) drained(ctx context.Context) error {
	for s := g; s != nil; s = s.older {
		for s.writes.Load() > 0 {
			select {
			case <-s.idle:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	g.older = nil
	return nil
}

// write does a write that touches nothing that is noted.
func (s *Store) write(f func(Engine) error) error {
	g, err := s.enter()
	if err != nil {
		return err
	}
	defer g.leave()
	return f(g.store)
}

// noted does a write that touches identities, datasets or devices.
func (s *Store) noted(f func(Engine) error, notes ...note) error {
	g, err := s.enter()
	if err != nil {
		return err
	}
	defer g.leave()
	for _, n := range notes {
		if g.journal != nil {
			n.identity = tributary.IdentityID(strings.Clone(string(n.identity))) // it may point into a request
			g.journal.begin(n)
			defer g.journal.end(n)
		}
	}
	return f(g.store)
}

// change begins another stage, and wakes who waits for an entry if the engine
// is another.
func (s *Store) change(next *stage) (before *stage) {
	next.older = s.now.Load()
	before = s.now.Swap(next)
	if before.store != next.store {
		s.mu.Lock()
		defer s.mu.Unlock()
		for w := range s.waits {
			w.cancel()
		}
	}
	return before
}

// waiter is a call that waits for an entry.
type waiter struct{ cancel context.CancelFunc }

// Wait returns when there is an entry above a position. It goes on at the new
// engine if the store is moved meanwhile.
func (s *Store) Wait(ctx context.Context, id tributary.Shard, after tributary.Position) error {
	for {
		engine := s.Engine()
		err := s.waitAt(ctx, engine, id, after)
		if err == nil || ctx.Err() != nil || s.Engine() == engine {
			return err
		}
	}
}

func (s *Store) waitAt(ctx context.Context, engine Engine, id tributary.Shard, after tributary.Position) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &waiter{cancel}
	s.mu.Lock()
	s.waits[w] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waits, w)
	}()
	if s.Engine() != engine {
		return nil // nobody would wake it
	}
	return engine.Wait(ctx, id, after)
}

// ID is the store's random name, which a move keeps.
func (s *Store) ID() string { return s.Engine().ID() }

// Ready tells why a write would be refused now.
func (s *Store) Ready(ctx context.Context) error {
	g := s.now.Load()
	if g.refused != nil {
		return g.refused
	}
	return g.store.Ready(ctx)
}

// Close closes the engine that answers, and the one that was given up.
func (s *Store) Close() error {
	now := s.Engine()
	err := now.Close()
	if now != s.first {
		err = errors.Join(err, s.first.Close())
	}
	return err
}

// Pool implements tributary.Pools.
func (s *Store) Pool(ctx context.Context, id tributary.PoolID) (tributary.Pool, error) {
	return s.Engine().Pool(ctx, id)
}

// Pools implements tributary.Pools.
func (s *Store) Pools(ctx context.Context, after tributary.PoolID, limit int) ([]tributary.Pool, error) {
	return s.Engine().Pools(ctx, after, limit)
}

// PutPool implements tributary.Pools.
func (s *Store) PutPool(ctx context.Context, p tributary.Pool) error {
	return s.write(func(e Engine) error { return e.PutPool(ctx, p) })
}

// DeletePool implements tributary.Pools.
func (s *Store) DeletePool(ctx context.Context, id tributary.PoolID) error {
	return s.write(func(e Engine) error { return e.DeletePool(ctx, id) })
}

// Identity implements tributary.Identities.
func (s *Store) Identity(ctx context.Context, id tributary.IdentityID) (tributary.Identity, error) {
	return s.Engine().Identity(ctx, id)
}

// Identities implements tributary.Identities.
func (s *Store) Identities(ctx context.Context, pool tributary.PoolID, after tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	return s.Engine().Identities(ctx, pool, after, limit)
}

// FindLogin implements tributary.Identities.
func (s *Store) FindLogin(ctx context.Context, pool tributary.PoolID, l tributary.Login) (tributary.IdentityID, error) {
	return s.Engine().FindLogin(ctx, pool, l)
}

// PutIdentity implements tributary.Identities.
func (s *Store) PutIdentity(ctx context.Context, all ...tributary.Identity) error {
	notes := make([]note, len(all))
	for n := range all {
		notes[n].identity = all[n].ID
	}
	return s.noted(func(e Engine) error { return e.PutIdentity(ctx, all...) }, notes...)
}

// UnfinishedIdentities implements tributary.Unfinished.
func (s *Store) UnfinishedIdentities(ctx context.Context, after tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	return s.Engine().UnfinishedIdentities(ctx, after, limit)
}

// DeleteIdentity implements tributary.Identities.
func (s *Store) DeleteIdentity(ctx context.Context, id tributary.IdentityID) error {
	return s.noted(func(e Engine) error { return e.DeleteIdentity(ctx, id) }, note{identity: id, all: true})
}

// View implements tributary.Datasets.
func (s *Store) View(ctx context.Context, key tributary.DatasetKey, records []string) (tributary.View, error) {
	return s.Engine().View(ctx, key, records)
}

// Datasets implements tributary.Datasets.
func (s *Store) Datasets(ctx context.Context, id tributary.IdentityID, after tributary.DatasetName, limit int) ([]tributary.Dataset, error) {
	return s.Engine().Datasets(ctx, id, after, limit)
}

// Records implements tributary.Datasets.
func (s *Store) Records(ctx context.Context, key tributary.DatasetKey, r tributary.Range) ([]tributary.Record, error) {
	return s.Engine().Records(ctx, key, r)
}

// Snapshots implements tributary.Datasets.
func (s *Store) Snapshots(ctx context.Context, pool tributary.PoolID, after tributary.DatasetKey, maxBytes int) ([]tributary.Snapshot, error) {
	return s.Engine().Snapshots(ctx, pool, after, maxBytes)
}

// Device implements tributary.Devices.
func (s *Store) Device(ctx context.Context, identity tributary.IdentityID, id tributary.DeviceID) (tributary.Device, error) {
	return s.Engine().Device(ctx, identity, id)
}

// Devices implements tributary.Devices.
func (s *Store) Devices(ctx context.Context, identity tributary.IdentityID) ([]tributary.Device, error) {
	return s.Engine().Devices(ctx, identity)
}

// PutDevice implements tributary.Devices.
func (s *Store) PutDevice(ctx context.Context, d tributary.Device) error {
	return s.noted(func(e Engine) error { return e.PutDevice(ctx, d) }, note{device: tributary.DeviceItemKey(d.Identity, d.ID)})
}

// DeleteDevice implements tributary.Devices.
func (s *Store) DeleteDevice(ctx context.Context, identity tributary.IdentityID, id tributary.DeviceID) error {
	return s.noted(func(e Engine) error { return e.DeleteDevice(ctx, identity, id) }, note{device: tributary.DeviceItemKey(identity, id)})
}

// Commit implements tributary.Datasets.
func (s *Store) Commit(ctx context.Context, c *tributary.Change) error {
	g, err := s.enter()
	if err != nil {
		return err
	}
	defer g.leave()
	if g.journal != nil {
		n := noteOf(c)
		g.journal.begin(n)
		defer g.journal.end(n)
	}
	return g.store.Commit(ctx, c)
}

// Stream implements tributary.Streams.
func (s *Store) Stream(ctx context.Context, name tributary.StreamName) (tributary.Stream, error) {
	return s.Engine().Stream(ctx, name)
}

// Streams implements tributary.Streams.
func (s *Store) Streams(ctx context.Context, after tributary.StreamName, limit int) ([]tributary.Stream, error) {
	return s.Engine().Streams(ctx, after, limit)
}

// PutStream implements tributary.Streams.
func (s *Store) PutStream(ctx context.Context, st tributary.Stream) (tributary.Stream, error) {
	out := st
	err := s.write(func(e Engine) (err error) {
		out, err = e.PutStream(ctx, st)
		return err
	})
	return out, err
}

// DeleteStream implements tributary.Streams.
func (s *Store) DeleteStream(ctx context.Context, name tributary.StreamName) error {
	return s.write(func(e Engine) error { return e.DeleteStream(ctx, name) })
}

// Shards implements tributary.Source.
func (s *Store) Shards(ctx context.Context) ([]tributary.Shard, error) {
	return s.Engine().Shards(ctx)
}

// Read implements tributary.Source.
func (s *Store) Read(ctx context.Context, id tributary.Shard, after tributary.Position, maxBytes int) ([]tributary.Entry, error) {
	return s.Engine().Read(ctx, id, after, maxBytes)
}

// Find implements tributary.Log.
func (s *Store) Find(ctx context.Context, id tributary.Shard, at tributary.Millis) (tributary.Position, error) {
	return s.Engine().Find(ctx, id, at)
}

// Trim implements tributary.Log. During a move it is put off, until whoever
// trims comes again: the log tells what other nodes write.
func (s *Store) Trim(ctx context.Context, id tributary.Shard, through tributary.Position) error {
	g, err := s.enter()
	if err != nil {
		return err
	}
	defer g.leave()
	if g.journal != nil {
		return nil
	}
	return g.store.Trim(ctx, id, through)
}

// LogBytes implements tributary.Log.
func (s *Store) LogBytes(ctx context.Context, id tributary.Shard) (int64, error) {
	return s.Engine().LogBytes(ctx, id)
}

// Append implements tributary.Log.
func (s *Store) Append(ctx context.Context, id tributary.StreamID, entries []tributary.Entry, marks ...tributary.Lease) ([]tributary.Position, error) {
	var out []tributary.Position
	err := s.write(func(e Engine) (err error) {
		out, err = e.Append(ctx, id, entries, marks...)
		return err
	})
	return out, err
}

// Leases implements tributary.Leases.
func (s *Store) Leases(ctx context.Context, group string) ([]tributary.Lease, error) {
	return s.Engine().Leases(ctx, group)
}

// SwapLease implements tributary.Leases.
func (s *Store) SwapLease(ctx context.Context, l tributary.Lease) (tributary.Lease, error) {
	out := l
	err := s.write(func(e Engine) (err error) {
		out, err = e.SwapLease(ctx, l)
		return err
	})
	return out, err
}

// AccessKey implements tributary.AccessKeys.
func (s *Store) AccessKey(ctx context.Context, id string) (tributary.AccessKey, error) {
	return s.Engine().AccessKey(ctx, id)
}

// AccessKeys implements tributary.AccessKeys.
func (s *Store) AccessKeys(ctx context.Context) ([]tributary.AccessKey, error) {
	return s.Engine().AccessKeys(ctx)
}

// PutAccessKey implements tributary.AccessKeys.
func (s *Store) PutAccessKey(ctx context.Context, k tributary.AccessKey) error {
	return s.write(func(e Engine) error { return e.PutAccessKey(ctx, k) })
}

// DeleteAccessKey implements tributary.AccessKeys.
func (s *Store) DeleteAccessKey(ctx context.Context, id string) error {
	return s.write(func(e Engine) error { return e.DeleteAccessKey(ctx, id) })
}

// SealingKeys implements tributary.SealingKeys.
func (s *Store) SealingKeys(ctx context.Context) ([]tributary.SealingKey, error) {
	return s.Engine().SealingKeys(ctx)
}

// PutSealingKey implements tributary.SealingKeys.
func (s *Store) PutSealingKey(ctx context.Context, k tributary.SealingKey) error {
	return s.write(func(e Engine) error { return e.PutSealingKey(ctx, k) })
}

// DeleteSealingKey implements tributary.SealingKeys.
func (s *Store) DeleteSealingKey(ctx context.Context, id uint32) error {
	return s.write(func(e Engine) error { return e.DeleteSealingKey(ctx, id) })
}

// PoolUsage implements tributary.Usages.
func (s *Store) PoolUsage(ctx context.Context, pool tributary.PoolID) (tributary.Usage, error) {
	return s.Engine().PoolUsage(ctx, pool)
}

// CountSessions implements tributary.Usages.
func (s *Store) CountSessions(ctx context.Context, sessions map[tributary.PoolID]int64) error {
	return s.write(func(e Engine) error { return e.CountSessions(ctx, sessions) })
}
