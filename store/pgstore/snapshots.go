package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/store/codec"
)

// snapshotIdentities bounds the identities of a pool that are looked at for one
// page.
const snapshotIdentities = 500

// snapshotsQuery reads datasets of the next identities of a pool, as far as the
// values reach that make a page.
const snapshotsQuery = `SELECT identity_id, name, body FROM (
	SELECT d.identity_id, d.name, d.body, d.size, sum(d.size) OVER (ORDER BY d.identity_id, d.name) AS through
	FROM (SELECT identity_id FROM identities WHERE pool_id = $1 AND identity_id >= $2 ORDER BY identity_id LIMIT $4) AS i,
	LATERAL (SELECT d.identity_id, d.name, d.body, octet_length(d.body) AS size FROM datasets d
		WHERE d.identity_id = i.identity_id AND d.live AND (d.identity_id > $2 OR d.name > $3) ORDER BY d.name OFFSET 0) AS d
) AS t WHERE through <= $5 OR through = size ORDER BY identity_id, name`

// Snapshots reads datasets of a pool with their live records.
func (s *Store) Snapshots(ctx context.Context, pool tributary.PoolID, after tributary.DatasetKey, maxBytes int) ([]tributary.Snapshot, error) {
	const op = "read snapshots"
	if err := s.alive(); err != nil {
		return nil, err
	}
	after.Pool, after.Identity, after.Dataset = pool, tributary.IdentityID(above(string(after.Identity))), tributary.DatasetName(above(string(after.Dataset)))
	var out []tributary.Snapshot
	err := s.together(ctx, op, func(tx pgx.Tx) (err error) {
		out, err = snapshotsAfter(ctx, tx, after, maxBytes)
		return err
	})
	return out, err
}

func snapshotsAfter(ctx context.Context, tx pgx.Tx, after tributary.DatasetKey, maxBytes int) ([]tributary.Snapshot, error) {
	const anyName = "\x7f" // above every name
	limit := 1 + min(pageRows(maxBytes, 300), snapshotIdentities)
	for {
		list, err := readDatasets(ctx, tx, snapshotsQuery, string(after.Pool), string(after.Identity), string(after.Dataset), limit, maxBytes)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			return snapshotPage(ctx, tx, after.Pool, list, int64(maxBytes))
		}
		last := tributary.DatasetKey{Pool: after.Pool, Dataset: anyName}
		err = tx.QueryRow(ctx, `SELECT coalesce(max(identity_id), '') FROM (
			SELECT identity_id FROM identities WHERE pool_id = $1 AND identity_id >= $2 ORDER BY identity_id LIMIT $3) AS i`,
			string(after.Pool), string(after.Identity), limit).Scan(&last.Identity)
		if err != nil || last.Identity == "" || last == after {
			return nil, err
		}
		after = last
	}
}

// snapshotPage makes a page of datasets. The sizes of those whose records have
// rows of their own are told by their heads.
func snapshotPage(ctx context.Context, tx pgx.Tx, pool tributary.PoolID, list []codec.Dataset, most int64) ([]tributary.Snapshot, error) {
	var size int64
	for n := range list {
		size += codec.SnapshotSize(&list[n].Head)
		if n > 0 && size > most {
			list = list[:n]
			break
		}
	}
	if err := fillRecords(ctx, tx, list); err != nil {
		return nil, err
	}
	out := make([]tributary.Snapshot, len(list))
	for n := range list {
		list[n].Head.Key.Pool = pool
		out[n] = tributary.Snapshot{Dataset: list[n].Head, Records: codec.Live(list[n].Records)}
	}
	return out, nil
}
