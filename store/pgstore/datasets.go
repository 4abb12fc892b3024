package pgstore

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/store/codec"
)

// viewCall asks for a view; the answer is put into it.
type viewCall struct {
	key     tributary.DatasetKey
	view    *tributary.View
	dataset *codec.Dataset
}

func noIdentity(id tributary.IdentityID) error {
	return tributary.Errorf(tributary.NotFound, "read identity", "Identity '%s' not found.", id)
}

// View reads what a sync is computed from.
func (s *Store) View(ctx context.Context, key tributary.DatasetKey, names []string) (tributary.View, error) {
	for {
		v, d, err := s.see(ctx, key)
		if err != nil || len(names) == 0 {
			return v, err
		}
		if !d.Split {
			v.Records = pick(d.Records, names)
			return v, nil
		}
		var again bool
		if v.Records, again, err = s.splitRecords(ctx, &v.Dataset, names); !again {
			return v, err
		}
	}
}

// see reads a view without records, and the dataset.
func (s *Store) see(ctx context.Context, key tributary.DatasetKey) (tributary.View, codec.Dataset, error) {
	var v tributary.View
	var d codec.Dataset
	if err := s.alive(); err != nil {
		return v, d, err
	}
	err := s.reads.do(ctx, s, "view", viewCall{key, &v, &d})
	return v, d, err
}

// look reads what a commit goes on from. A dataset that was never written, and
// counts as deleted by a restore, gets the row that says so: every commit then
// finds the count that it was computed from in a row, or there is none.
func (s *Store) look(ctx context.Context, key tributary.DatasetKey) (tributary.View, codec.Dataset, error) {
	v, d, err := s.see(ctx, key)
	if err == nil && d.Head.Change == 0 && d.Head.Marker > 0 {
		err = s.mark(ctx, &d)
	}
	return v, d, err
}

// mark writes the head of a dataset that was never written.
func (s *Store) mark(ctx context.Context, d *codec.Dataset) error {
	key := d.Head.Key
	return s.tx(ctx, "mark dataset", func(tx pgx.Tx) error {
		found, err := exists(ctx, tx, `SELECT 1 FROM identities WHERE identity_id = $1 FOR SHARE`, string(key.Identity))
		if err != nil {
			return err
		}
		if !found {
			return noIdentity(key.Identity)
		}
		_, err = tx.Exec(ctx, `INSERT INTO datasets (identity_id, name, sync_count, change_id, live, body) VALUES ($1, $2, $3, 0, false, $4) ON CONFLICT DO NOTHING`,
			string(key.Identity), string(key.Dataset), d.Head.SyncCount, codec.AppendDataset(nil, d))
		return err
	})
}

// pick finds records by key, in the order of the keys.
func pick(records []tributary.Record, names []string) []tributary.Record {
	if !slices.IsSorted(names) {
		names = slices.Sorted(slices.Values(names))
	}
	out := make([]tributary.Record, 0, len(names))
	for _, name := range slices.Compact(slices.Clone(names)) {
		if i, ok := slices.BinarySearchFunc(records, name, func(r tributary.Record, k string) int { return cmp.Compare(r.Key, k) }); ok {
			out = append(out, records[i])
		}
	}
	return out
}

const viewQuery = `
SELECT x.n, i.pool_id, i.revision, i.disabled, i.created, i.modified, i.logins, i.datasets, i.bytes, i.data_modified, p.revision, d.body,
	CASE WHEN d.body IS NULL THEN (SELECT value FROM meta WHERE name = 'restores') END
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x (identity_id, name, n)
JOIN identities i ON i.identity_id = x.identity_id
JOIN pools p ON p.pool_id = i.pool_id
LEFT JOIN datasets d ON d.identity_id = x.identity_id AND d.name = x.name`

// viewAll serves views in one query, each of them of one moment.
func (s *Store) viewAll(ctx context.Context, group []*waiting[viewCall]) (rest []*waiting[viewCall]) {
	ids, names := make([]string, len(group)), make([]string, len(group))
	for i, w := range group {
		ids[i], names[i] = string(w.call.key.Identity), string(w.call.key.Dataset)
	}
	errs := make([]error, len(group))
	for i, w := range group {
		errs[i] = noIdentity(w.call.key.Identity)
	}
	err := retry(ctx, "view", func() error {
		rows, err := s.db.Query(ctx, viewQuery, ids, names)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n int
			var i tributary.Identity
			var logins, body, restores []byte
			var poolRevision int64
			if err := rows.Scan(&n, &i.Pool, &i.Revision, &i.Disabled, &i.Created, &i.Modified, &logins, &i.Datasets, &i.Usage.Bytes, &i.Usage.LastModified, &poolRevision, &body, &restores); err != nil {
				return err
			}
			call := &group[n-1].call
			i.ID = call.key.Identity
			if i.Pool == call.key.Pool {
				errs[n-1] = call.fill(i, logins, body, restores, poolRevision)
			}
		}
		return rows.Err()
	})
	for n, w := range group {
		if err == nil && errs[n] == nil {
			errs[n] = s.fillPool(ctx, w.call.view)
		}
		if err == nil && errs[n] == nil {
			s.heads.remember(*w.call.dataset)
		}
		if err != nil {
			errs[n] = err
		}
		w.done <- errs[n]
	}
	return nil
}

// fill takes what a query gave: of a dataset, or of the restores if there is
// none. The pool's revision is all of the pool yet.
func (c *viewCall) fill(i tributary.Identity, logins, body, restores []byte, poolRevision int64) error {
	err := decodeFacts(&i, logins)
	if err != nil {
		return wrapStored("read identity "+string(i.ID), err)
	}
	if body != nil {
		*c.dataset, err = codec.DecodeDataset(ownKey(c.key), string(body))
	} else {
		var last *tributary.Restored
		last, err = latest(restores)
		*c.dataset = codec.Dataset{Head: last.Unwritten(ownKey(c.key))}
	}
	if err != nil {
		return wrapStored("read dataset "+c.key.String(), err)
	}
	*c.view = tributary.View{Identity: i, Dataset: c.dataset.Head, Pool: tributary.Pool{ID: i.Pool, Revision: poolRevision}}
	return nil
}

// fillPool completes a view's pool, of which the revision is known.
func (s *Store) fillPool(ctx context.Context, v *tributary.View) error {
	p := s.pools.at(v.Pool.ID, v.Pool.Revision)
	if p == nil {
		read, err := s.Pool(ctx, v.Pool.ID) // perhaps newer, which a commit then finds out
		if err != nil {
			return err
		}
		p = &read
	}
	v.Pool = p.Clone()
	return nil
}

const splitQuery = `SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND key = ANY($3) ORDER BY key`

// splitRecords reads records of a split dataset, in the order of their keys.
// Again if the dataset has moved on from its head meanwhile.
func (s *Store) splitRecords(ctx context.Context, head *tributary.Dataset, names []string) (records []tributary.Record, again bool, err error) {
	keys := make([][]byte, len(names))
	for i, name := range names {
		keys[i] = []byte(name)
	}
	err = s.moment(ctx, head.Key, func(tx pgx.Tx, now tributary.Version) error {
		if again = now != head.Version; again {
			return nil
		}
		records, err = readRecords(ctx, tx, splitQuery, string(head.Key.Identity), string(head.Key.Dataset), keys)
		return err
	})
	return records, again, err
}

// moment reads as of one moment, beginning with the version of a dataset.
func (s *Store) moment(ctx context.Context, key tributary.DatasetKey, read func(pgx.Tx, tributary.Version) error) error {
	return retry(ctx, "read records", func() error {
		return pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			var count, change int64
			err := tx.QueryRow(ctx, `SELECT sync_count, change_id FROM datasets WHERE identity_id = $1 AND name = $2`,
				string(key.Identity), string(key.Dataset)).Scan(&count, &change)
			if err != nil && !isNone(err) {
				return err
			}
			return read(tx, tributary.Version{SyncCount: count, Change: tributary.ChangeID(change)})
		})
	})
}

func readRecords(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]tributary.Record, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (tributary.Record, error) {
		var body []byte
		if err := row.Scan(&body); err != nil {
			return tributary.Record{}, err
		}
		r, err := codec.DecodeRecord(string(body))
		return r, wrapStored("read record", err)
	})
}

// Records lists a dataset's records in (sync count, key) order.
func (s *Store) Records(ctx context.Context, key tributary.DatasetKey, g tributary.Range) ([]tributary.Record, error) {
	for {
		_, d, err := s.see(ctx, key)
		if tributary.KindOf(err) == tributary.NotFound {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if g.Misses(d.Head.Floor) {
			return nil, tributary.Errorf(tributary.Stale, "list records", "Tombstones have been forgotten")
		}
		if !d.Split {
			return g.Select(d.Records), nil
		}
		var out []tributary.Record
		var again bool
		err = s.moment(ctx, key, func(tx pgx.Tx, now tributary.Version) error {
			if again = now != d.Head.Version; again {
				return nil
			}
			query, args := rangeQuery(key, &g)
			out, err = readRecords(ctx, tx, query, args...)
			return err
		})
		if !again {
			return out, err
		}
	}
}

// rangeQuery selects a range of a split dataset's records.
func rangeQuery(key tributary.DatasetKey, g *tributary.Range) (string, []any) {
	query := `SELECT body FROM records WHERE identity_id = $1 AND dataset = $2 AND sync_count >= $3 AND (sync_count > $3 OR NOT $4 AND key > $5) AND sync_count <= $6`
	if g.LiveOnly {
		query += ` AND NOT removed`
	}
	if g.TombstonesOnly {
		query += ` AND removed`
	}
	query += ` ORDER BY sync_count, key`
	args := []any{string(key.Identity), string(key.Dataset), g.After.SyncCount, g.After.Whole, []byte(g.After.Key), g.Through}
	if g.Limit > 0 {
		query += ` LIMIT $7`
		args = append(args, g.Limit)
	}
	return query, args
}

// Datasets lists an identity's existing datasets by name.
func (s *Store) Datasets(ctx context.Context, id tributary.IdentityID, after tributary.DatasetName, limit int) ([]tributary.Dataset, error) {
	const op = "list datasets"
	if err := s.alive(); err != nil {
		return nil, err
	}
	var out []tributary.Dataset
	err := retry(ctx, op, func() error {
		rows, err := s.db.Query(ctx, `SELECT d.name, i.pool_id, d.body FROM datasets d JOIN identities i ON i.identity_id = d.identity_id
			WHERE d.identity_id = $1 AND d.name > $2 AND d.live ORDER BY d.name LIMIT $3`, string(id), above(string(after)), limit)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (tributary.Dataset, error) {
			key := tributary.DatasetKey{Identity: id}
			var body []byte
			if err := row.Scan(&key.Dataset, &key.Pool, &body); err != nil {
				return tributary.Dataset{}, err
			}
			d, err := codec.DecodeDataset(key, string(body))
			return d.Head, wrapStored(op, err)
		})
		return err
	})
	return out, err
}
