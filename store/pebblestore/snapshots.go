package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

// Snapshots reads datasets of a pool with their live records.
func (s *Store) Snapshots(ctx context.Context, pool tributary.PoolID, above tributary.DatasetKey, maxBytes int) ([]tributary.Snapshot, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	snapshot := s.db.NewSnapshot()
	w := snapshotWalk{from: snapshot, pool: pool, most: int64(maxBytes), places: map[tributary.Shard]uint64{}}
	err := errors.Join(w.run(above), snapshot.Close())
	for shard, n := range w.places {
		if err == nil {
			err = s.awaitPlaces(ctx, place{shard: shard, n: n})
		}
	}
	if err != nil {
		return nil, internal("read snapshots", err)
	}
	return w.out, nil
}

// snapshotWalk reads the identities of a pool, and beside them their datasets.
type snapshotWalk struct {
	from *pebble.Snapshot
	pool tributary.PoolID
	most int64 // bytes

	heads  *pebble.Iterator
	out    []tributary.Snapshot
	size   int64
	places map[tributary.Shard]uint64 // up to which what was read must be durable
}

func (w *snapshotWalk) run(above tributary.DatasetKey) (err error) {
	if w.heads, err = w.from.NewIter(&pebble.IterOptions{LowerBound: headKey(above), UpperBound: []byte{tableHead + 1}}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.heads.Close()) }()
	w.heads.First()
	members := textKey(tableMember, string(w.pool), "")
	return scanRange(w.from, append(slices.Clone(members), above.Identity...), after(members), func(key, _ []byte) error {
		return w.identity(tributary.IdentityID(key[len(members):]), above)
	})
}

// identity reads an identity's datasets above a key. The iterator stands at or
// before the first.
func (w *snapshotWalk) identity(id tributary.IdentityID, above tributary.DatasetKey) error {
	prefix := textKey(tableHead, string(id), "")
	if w.heads.Valid() && bytes.Compare(w.heads.Key(), prefix) < 0 {
		w.heads.SeekGE(prefix)
	}
	for ; w.heads.Valid() && bytes.HasPrefix(w.heads.Key(), prefix); w.heads.Next() {
		key := tributary.DatasetKey{Pool: w.pool, Identity: id, Dataset: tributary.DatasetName(w.heads.Key()[len(prefix):])}
		if id == above.Identity && key.Dataset <= above.Dataset {
			continue
		}
		value, err := w.heads.ValueAndErr()
		if err != nil {
			return err
		}
		if err := w.dataset(key, string(value)); err != nil {
			return err
		}
	}
	return w.heads.Error()
}

func (w *snapshotWalk) dataset(key tributary.DatasetKey, value string) error {
	d, err := decodeDataset(key, value)
	if err != nil || !d.Head.Exists {
		return err
	}
	size := codec.SnapshotSize(&d.Head)
	if len(w.out) > 0 && w.size+size > w.most {
		return errStop
	}
	records := d.Records
	if d.Split {
		records = nil
		err = scan(w.from, datasetPrefix(tableRecord, key), func(_, value []byte) error {
			r, err := codec.DecodeRecord(string(value))
			records = append(records, r)
			return err
		})
	}
	w.places[d.at.shard] = max(w.places[d.at.shard], d.at.n)
	w.out, w.size = append(w.out, tributary.Snapshot{Dataset: d.Head, Records: codec.Live(records)}), w.size+size
	return err
}
