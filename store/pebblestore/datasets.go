package pebblestore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

// View reads what a sync is computed from.
func (s *Store) View(ctx context.Context, key tributary.DatasetKey, names []string) (tributary.View, error) {
	v, d, snapshot, revised, err := s.look(key, len(names) > 0)
	if err != nil {
		return tributary.View{}, err
	}
	if len(names) > 0 {
		v.Records, err = s.named(d, snapshot, names)
		err = errors.Join(err, closeSnapshot(snapshot))
	}
	if err == nil {
		err = s.awaitPlaces(ctx, d.at, revised)
	}
	return v, internal("view", err)
}

// look takes what is there at one moment, under the identity's lock. A
// snapshot is given for a split dataset if its records are wanted.
func (s *Store) look(key tributary.DatasetKey, records bool) (v tributary.View, d *dataset, snapshot *pebble.Snapshot, revised place, err error) {
	if err = s.alive(); err != nil {
		return v, nil, nil, revised, err
	}
	st := s.stripe(key.Identity)
	st.mu.Lock()
	defer st.mu.Unlock()
	who, err := s.identity(st, key.Identity)
	if err == nil && (who == nil || who.Pool != key.Pool) {
		err = noIdentity(key.Identity)
	}
	if err != nil {
		return v, nil, nil, revised, err
	}
	if d, err = s.dataset(st, key); err != nil {
		return v, nil, nil, revised, err
	}
	if d.Split && records {
		snapshot = s.db.NewSnapshot()
	}
	v.Identity, v.Dataset = who.Clone(), d.Head
	s.routing.RLock()
	defer s.routing.RUnlock()
	p := s.pools[key.Pool]
	if p == nil {
		return v, nil, nil, revised, errors.Join(noPool(key.Pool), closeSnapshot(snapshot))
	}
	v.Pool = p.Clone()
	return v, d, snapshot, who.revision, nil
}

func closeSnapshot(s *pebble.Snapshot) error {
	if s == nil {
		return nil
	}
	return s.Close()
}

func noIdentity(id tributary.IdentityID) error {
	return tributary.Errorf(tributary.NotFound, "read identity", "Identity '%s' not found.", id)
}

// named picks a dataset's records of the given keys, in the order of the keys.
func (s *Store) named(d *dataset, snapshot *pebble.Snapshot, names []string) ([]tributary.Record, error) {
	if !slices.IsSorted(names) {
		names = slices.Sorted(slices.Values(names))
	}
	out := make([]tributary.Record, 0, len(names))
	for _, name := range slices.Compact(names) {
		if d.Split {
			r, err := s.splitRecord(snapshot, d.Head.Key, name)
			if err != nil {
				return nil, err
			}
			if r != nil {
				out = append(out, *r)
			}
			continue
		}
		if i, ok := slices.BinarySearchFunc(d.Records, name, func(r tributary.Record, k string) int { return cmp.Compare(r.Key, k) }); ok {
			out = append(out, d.Records[i])
		}
	}
	return out, nil
}

// Records lists a dataset's records in (sync count, key) order.
func (s *Store) Records(ctx context.Context, key tributary.DatasetKey, g tributary.Range) ([]tributary.Record, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	st := s.stripe(key.Identity)
	st.mu.Lock()
	who, err := s.identity(st, key.Identity)
	var d *dataset
	var snapshot *pebble.Snapshot
	if err == nil && who != nil && who.Pool == key.Pool {
		if d, err = s.dataset(st, key); err == nil && d.Split && !d.recent.covers(&g) {
			snapshot = s.db.NewSnapshot()
		}
	}
	st.mu.Unlock()
	if err != nil || d == nil {
		return nil, err
	}
	if g.Misses(d.Head.Floor) {
		return nil, errors.Join(tributary.Errorf(tributary.Stale, "list records", "Tombstones have been forgotten"), closeSnapshot(snapshot))
	}
	var out []tributary.Record
	switch {
	case snapshot != nil:
		out, err = s.splitRange(d, snapshot, g)
		err = errors.Join(err, closeSnapshot(snapshot))
	case d.Split:
		out = g.Select(d.recent.records)
	default:
		out = g.Select(d.Records)
	}
	if err == nil {
		err = s.awaitPlaces(ctx, d.at)
	}
	return out, internal("list records", err)
}

// splitRange lists records of a split dataset: all of them by one pass over
// the records, a share of them by the index.
func (s *Store) splitRange(d *dataset, snapshot *pebble.Snapshot, g tributary.Range) ([]tributary.Record, error) {
	key := d.Head.Key
	if g.After.SyncCount == 0 && (g.Limit == 0 || int64(g.Limit) >= d.Head.Records+d.Head.Tombstones) {
		var all []tributary.Record
		err := scan(snapshot, datasetPrefix(tableRecord, key), func(_, value []byte) error {
			r, err := codec.DecodeRecord(string(value))
			all = append(all, r)
			return err
		})
		return g.Select(all), err
	}
	prefix := datasetPrefix(tableIndex, key)
	var out []tributary.Record
	err := scanRange(snapshot, indexKey(key, g.After.SyncCount, ""), after(prefix), func(at, value []byte) error {
		rest := at[len(prefix):]
		entry := tributary.Record{SyncCount: int64(binary.BigEndian.Uint64(rest)), Key: string(rest[8:]), Removed: len(value) > 0}
		if entry.SyncCount > g.Through || g.Limit > 0 && len(out) == g.Limit {
			return errStop
		}
		if !g.Match(&entry) {
			return nil
		}
		r, err := s.splitRecord(snapshot, key, entry.Key)
		if err == nil && r == nil {
			err = codec.ErrCorrupt
		}
		if err == nil {
			out = append(out, *r)
		}
		return err
	})
	return out, err
}

// Datasets lists an identity's existing datasets by name.
func (s *Store) Datasets(ctx context.Context, id tributary.IdentityID, above tributary.DatasetName, limit int) ([]tributary.Dataset, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	st := s.stripe(id)
	st.mu.Lock()
	who, err := s.identity(st, id)
	if err != nil || who == nil {
		st.mu.Unlock()
		return nil, err
	}
	snapshot := s.db.NewSnapshot()
	st.mu.Unlock()
	var out []tributary.Dataset
	prefix := textKey(tableHead, string(id), "")
	from := append(textKey(tableHead, string(id), string(above)), 0)
	err = scanRange(snapshot, from, after(prefix), func(key, value []byte) error {
		if len(out) == limit {
			return errStop
		}
		name := tributary.DatasetName(key[len(prefix):])
		d, err := decodeDataset(tributary.DatasetKey{Pool: who.Pool, Identity: id, Dataset: name}, string(value))
		if err == nil && d.Head.Exists {
			out = append(out, d.Head)
		}
		return err
	})
	err = errors.Join(err, snapshot.Close())
	if err == nil {
		err = s.awaitPlaces(ctx, who.at)
	}
	return out, internal("list datasets", err)
}
