package pebblestore

import (
	"context"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

func noPool(id tributary.PoolID) error {
	return tributary.Errorf(tributary.NotFound, "read pool", "IdentityPool '%s' not found.", id)
}

func stale(op string) error {
	return tributary.Errorf(tributary.Stale, op, "It was changed at the same time")
}

// Pool reads a pool.
func (s *Store) Pool(_ context.Context, id tributary.PoolID) (tributary.Pool, error) {
	if err := s.alive(); err != nil {
		return tributary.Pool{}, err
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	if p := s.pools[id]; p != nil {
		return p.Clone(), nil
	}
	return tributary.Pool{}, noPool(id)
}

// Pools lists pools by id.
func (s *Store) Pools(_ context.Context, above tributary.PoolID, limit int) ([]tributary.Pool, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	s.routing.RLock()
	defer s.routing.RUnlock()
	var out []tributary.Pool
	for _, id := range slices.Sorted(maps.Keys(s.pools)) {
		if id > above && len(out) < limit {
			out = append(out, s.pools[id].Clone())
		}
	}
	return out, nil
}

// PutPool writes a pool if its revision is the stored one.
func (s *Store) PutPool(_ context.Context, p tributary.Pool) error {
	const op = "put pool"
	if err := s.writable(); err != nil {
		return err
	}
	s.routing.Lock()
	defer s.routing.Unlock()
	var revision int64
	if have := s.pools[p.ID]; have != nil {
		revision = have.Revision
	}
	if p.Revision != revision {
		return stale(op)
	}
	if s.streams[p.Route()] == nil {
		return tributary.Errorf(tributary.NotFound, op, "Stream %s does not exist", p.Stream.Name)
	}
	p = p.Clone()
	p.Revision++
	b := s.db.NewBatch()
	defer b.Close()
	if err := setJSON(b, textKey(tablePool, string(p.ID)), p); err != nil {
		return err
	}
	if err := s.write(b); err != nil {
		return err
	}
	if have := s.pools[p.ID]; have != nil && have.Route() != p.Route() {
		s.settleStream(have.Route())
	}
	s.pools[p.ID] = &p
	return nil
}

// settleStream shows all that a stream's logs hold: a write that came after it
// is durable, and the routing is locked, so that nothing is being added.
func (s *Store) settleStream(id tributary.StreamID) {
	for shard, log := range s.shards {
		if shard.Stream == id {
			log.settled(log.last)
		}
	}
}

// DeletePool forgets a pool without identities.
func (s *Store) DeletePool(_ context.Context, id tributary.PoolID) error {
	const op = "delete pool"
	if err := s.alive(); err != nil {
		return err
	}
	s.routing.Lock()
	defer s.routing.Unlock()
	if s.pools[id] == nil {
		return noPool(id)
	}
	members := 0
	err := scan(s.db, textKey(tableMember, string(id), ""), func([]byte, []byte) error {
		members++
		return errStop
	})
	if err != nil {
		return internal(op, err)
	}
	if members > 0 {
		return tributary.Errorf(tributary.Exists, op, "Pool %s still has identities", id)
	}
	b := s.db.NewBatch()
	defer b.Close()
	remove(b, textKey(tablePool, string(id)))
	remove(b, sessionsKey(id))
	removeAll(b, textKey(tableUsage, string(id), ""))
	for _, log := range s.shards {
		log.mu.Lock()
		defer log.mu.Unlock()
		delete(log.usage.pools, id)
		delete(log.usage.dirty, id)
		log.fold(b) // or a restart would count the pool's last entries again
	}
	if err := s.write(b); err != nil {
		return err
	}
	delete(s.pools, id)
	return nil
}

// Identity reads an identity.
func (s *Store) Identity(ctx context.Context, id tributary.IdentityID) (tributary.Identity, error) {
	if err := s.alive(); err != nil {
		return tributary.Identity{}, err
	}
	st := s.stripe(id)
	st.mu.Lock()
	who, err := s.identity(st, id)
	st.mu.Unlock()
	if err != nil {
		return tributary.Identity{}, err
	}
	if who == nil {
		return tributary.Identity{}, noIdentity(id)
	}
	return who.Clone(), s.awaitPlaces(ctx, who.at)
}

// Identities lists a pool's identities by id.
func (s *Store) Identities(ctx context.Context, pool tributary.PoolID, above tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	return s.listIdentities(ctx, textKey(tableMember, string(pool), ""), above, limit)
}

// listIdentities lists the identities whose ids follow a prefix of a key.
func (s *Store) listIdentities(ctx context.Context, prefix []byte, above tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	var ids []tributary.IdentityID
	err := scanRange(s.db, append(append(prefix[:len(prefix):len(prefix)], above...), 0), after(prefix), func(key, _ []byte) error {
		if len(ids) == limit {
			return errStop
		}
		ids = append(ids, tributary.IdentityID(key[len(prefix):]))
		return nil
	})
	if err != nil {
		return nil, internal("list identities", err)
	}
	out := make([]tributary.Identity, 0, len(ids))
	for _, id := range ids {
		i, err := s.Identity(ctx, id)
		if tributary.KindOf(err) == tributary.NotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

func loginKey(pool tributary.PoolID, l tributary.Login) []byte {
	// The provider's length keeps its name apart from the user's, whatever they hold.
	return append(codec.AppendText(textKey(tableLogin, string(pool), ""), l.Provider), l.User...)
}

// FindLogin tells which identity a login is linked to.
func (s *Store) FindLogin(_ context.Context, pool tributary.PoolID, l tributary.Login) (tributary.IdentityID, error) {
	s.records.Lock()
	defer s.records.Unlock()
	if err := s.alive(); err != nil {
		return "", err
	}
	id, err := s.get(loginKey(pool, l))
	if err == nil && id == "" {
		return "", tributary.Errorf(tributary.NotFound, "find login", "No identity is linked to this login of %s", l.Provider)
	}
	return tributary.IdentityID(id), internal("find login", err)
}

// PutIdentity writes identities and their logins.
func (s *Store) PutIdentity(_ context.Context, all ...tributary.Identity) error {
	if err := s.writable(); err != nil {
		return err
	}
	defer s.lockStripes(all)()
	s.routing.RLock()
	defer s.routing.RUnlock()
	next, had := make([]*identity, len(all)), make([]*identity, len(all))
	linked := false
	for n := range all {
		var err error
		if next[n], had[n], err = s.nextIdentity(&all[n]); err != nil {
			return err
		}
		linked = linked || len(next[n].Logins)+len(had[n].Logins) > 0
	}
	if linked { // guests do not wait for each other's fsync
		s.records.Lock()
		defer s.records.Unlock()
	}
	b := s.db.NewIndexedBatch()
	defer b.Close()
	if err := s.relink(b, next, had); err != nil {
		return err
	}
	for n, i := range next {
		setIdentity(b, i)
		if had[n].Unfinished && !i.Unfinished {
			remove(b, textKey(tableOpen, string(i.ID)))
		}
	}
	if err := s.write(b); err != nil {
		return err
	}
	for _, i := range next {
		s.stripe(i.ID).rememberIdentity(i)
	}
	return nil
}

// lockStripes locks the stripes of identities in their order, and gives what
// unlocks them.
func (s *Store) lockStripes(all []tributary.Identity) (unlock func()) {
	var which []int
	for i := range all {
		which = append(which, stripeOf(all[i].ID))
	}
	slices.Sort(which)
	which = slices.Compact(which)
	for _, n := range which {
		s.stripes[n].mu.Lock()
	}
	return func() {
		for _, n := range which {
			s.stripes[n].mu.Unlock()
		}
	}
}

// nextIdentity gives an identity as it is to be stored, and as it is: empty if
// it is new. Its stripe and the routing are locked.
func (s *Store) nextIdentity(i *tributary.Identity) (next, had *identity, err error) {
	had, err = s.identity(s.stripe(i.ID), i.ID)
	if err != nil {
		return nil, nil, err
	}
	if had == nil {
		had = &identity{Identity: tributary.Identity{Pool: i.Pool}}
	}
	if i.Revision != had.Revision || had.Pool != i.Pool {
		return nil, nil, stale("put identity")
	}
	if s.pools[i.Pool] == nil {
		return nil, nil, noPool(i.Pool)
	}
	next = &identity{Identity: i.Clone(), at: had.at, revision: had.revision}
	next.Datasets, next.Usage = had.Datasets, had.Usage
	next.Revision++
	return next, had, nil
}

// setIdentity writes an identity and what leads to it, its logins aside.
func setIdentity(b *pebble.Batch, i *identity) {
	id := string(i.ID)
	set(b, textKey(tableIdentity, id), appendIdentity(nil, i))
	set(b, textKey(tableMember, string(i.Pool), id), nil)
	if i.Unfinished {
		set(b, textKey(tableOpen, id), nil)
	}
}

// relink unlinks the logins that identities had, and links those that they have
// now.
func (s *Store) relink(b *pebble.Batch, next, had []*identity) error {
	for _, i := range had {
		for _, l := range i.Logins {
			remove(b, loginKey(i.Pool, l))
		}
	}
	for _, i := range next {
		for _, l := range i.Logins {
			owner, err := getFrom(b, loginKey(i.Pool, l))
			if err != nil {
				return internal("put identity", err)
			}
			if owner != "" && owner != string(i.ID) {
				return tributary.Errorf(tributary.Exists, "put identity", "The login of %s is linked to another identity", l.Provider)
			}
			set(b, loginKey(i.Pool, l), []byte(i.ID))
		}
	}
	return nil
}

// UnfinishedIdentities lists the identities with work to be done.
func (s *Store) UnfinishedIdentities(ctx context.Context, above tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	return s.listIdentities(ctx, []byte{tableOpen}, above, limit)
}

// DeleteIdentity forgets an identity without datasets.
func (s *Store) DeleteIdentity(_ context.Context, id tributary.IdentityID) error {
	const op = "delete identity"
	if err := s.alive(); err != nil {
		return err
	}
	st := s.stripe(id)
	st.mu.Lock()
	defer st.mu.Unlock()
	who, err := s.identity(st, id)
	if err != nil {
		return err
	}
	if who == nil {
		return noIdentity(id)
	}
	if who.Datasets > 0 {
		return tributary.Errorf(tributary.Exists, op, "Identity %s still has datasets", id)
	}
	if len(who.Logins) > 0 {
		s.records.Lock()
		defer s.records.Unlock()
	}
	b := s.db.NewBatch()
	defer b.Close()
	for _, l := range who.Logins {
		remove(b, loginKey(who.Pool, l))
	}
	remove(b, textKey(tableIdentity, string(id)))
	remove(b, textKey(tableMember, string(who.Pool), string(id)))
	remove(b, textKey(tableOpen, string(id)))
	removeAll(b, textKey(tableHead, string(id), ""))
	removeAll(b, textKey(tableDevice, string(id), ""))
	if err := s.write(b); err != nil {
		return err
	}
	st.forgetAll()
	return nil
}
