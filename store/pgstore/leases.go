package pgstore

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary"
)

// Leases lists a group's leases.
func (s *Store) Leases(ctx context.Context, group string) ([]tributary.Lease, error) {
	out, err := listJSON[tributary.Lease](ctx, s, "list leases", `SELECT body FROM leases WHERE sink = $1`, []byte(group))
	for i := range out {
		out[i].Group = group // JSON keeps valid text only
	}
	return out, err
}

// SwapLease writes a lease if its revision is the stored one.
func (s *Store) SwapLease(ctx context.Context, l tributary.Lease) (tributary.Lease, error) {
	if err := s.tx(ctx, "swap lease", func(tx pgx.Tx) error { return swapLeases(ctx, tx, l) }); err != nil {
		return l, err
	}
	l.Revision++
	return l, nil
}

// swapLeases writes leases if their revisions are the stored ones. Rows are
// locked in one order, so that transactions cannot deadlock.
func swapLeases(ctx context.Context, tx pgx.Tx, all ...tributary.Lease) error {
	name := func(l tributary.Lease) string { return tributary.LeaseItemKey(l.Group, l.Shard) }
	for _, l := range slices.SortedFunc(slices.Values(all), func(a, b tributary.Lease) int { return strings.Compare(name(a), name(b)) }) {
		next := l
		next.Revision++
		if err := swap(ctx, tx, "swap lease", next, l.Revision,
			`INSERT INTO leases (revision, body, sink, stream_id, shard) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			`UPDATE leases SET revision = $1, body = $2 WHERE revision = $1 - 1 AND sink = $3 AND stream_id = $4 AND shard = $5`,
			next.Revision, []byte(l.Group), int64(l.Shard.Stream), int64(l.Shard.Number)); err != nil {
			return err
		}
	}
	return nil
}

// swap writes a value as JSON, by insert if it must not exist yet, else by
// update. The statements get the next revision, the JSON, and what names it.
func swap(ctx context.Context, tx pgx.Tx, op string, v any, revision int64, insert, update string, next int64, names ...any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return wrapStored(op, err)
	}
	statement := update
	if revision == 0 {
		statement = insert
	}
	return oneRow(op)(tx.Exec(ctx, statement, append([]any{next, string(body)}, names...)...))
}

// swapAlone is swap in a transaction of its own.
func (s *Store) swapAlone(ctx context.Context, op string, v any, revision int64, insert, update string, next int64, names ...any) error {
	return s.tx(ctx, op, func(tx pgx.Tx) error {
		return swap(ctx, tx, op, v, revision, insert, update, next, names...)
	})
}

// AccessKey reads an access key.
func (s *Store) AccessKey(ctx context.Context, id string) (tributary.AccessKey, error) {
	list, err := listJSON[tributary.AccessKey](ctx, s, "read access key", `SELECT body FROM access_keys WHERE key_id = $1`, []byte(id))
	if err != nil {
		return tributary.AccessKey{}, err
	}
	if len(list) == 0 {
		return tributary.AccessKey{}, tributary.Errorf(tributary.NotFound, "read access key", "The access key does not exist")
	}
	return list[0], nil
}

// AccessKeys lists the access keys.
func (s *Store) AccessKeys(ctx context.Context) ([]tributary.AccessKey, error) {
	return listJSON[tributary.AccessKey](ctx, s, "list access keys", `SELECT body FROM access_keys`)
}

// PutAccessKey writes an access key if its revision is the stored one.
func (s *Store) PutAccessKey(ctx context.Context, k tributary.AccessKey) error {
	next := k
	next.Revision++
	return s.swapAlone(ctx, "put access key", next, k.Revision,
		`INSERT INTO access_keys (revision, body, key_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		`UPDATE access_keys SET revision = $1, body = $2 WHERE revision = $1 - 1 AND key_id = $3`,
		next.Revision, []byte(k.ID))
}

// DeleteAccessKey forgets an access key.
func (s *Store) DeleteAccessKey(ctx context.Context, id string) error {
	return s.deleteRow(ctx, "delete access key", "The access key does not exist", `DELETE FROM access_keys WHERE key_id = $1`, []byte(id))
}

// deleteRow deletes the row that there must be.
func (s *Store) deleteRow(ctx context.Context, op, missing, statement string, names ...any) error {
	return s.tx(ctx, op, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, statement, names...)
		if err == nil && tag.RowsAffected() == 0 {
			err = tributary.Errorf(tributary.NotFound, op, "%s", missing)
		}
		return err
	})
}

// SealingKeys lists the sealing keys.
func (s *Store) SealingKeys(ctx context.Context) ([]tributary.SealingKey, error) {
	return listJSON[tributary.SealingKey](ctx, s, "list sealing keys", `SELECT body FROM sealing_keys`)
}

// PutSealingKey writes a sealing key if its revision is the stored one.
func (s *Store) PutSealingKey(ctx context.Context, k tributary.SealingKey) error {
	next := k
	next.Revision++
	return s.swapAlone(ctx, "put sealing key", next, k.Revision,
		`INSERT INTO sealing_keys (revision, body, key_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		`UPDATE sealing_keys SET revision = $1, body = $2 WHERE revision = $1 - 1 AND key_id = $3`,
		next.Revision, int64(k.ID))
}

// DeleteSealingKey forgets a sealing key.
func (s *Store) DeleteSealingKey(ctx context.Context, id uint32) error {
	return s.deleteRow(ctx, "delete sealing key", "The sealing key does not exist", `DELETE FROM sealing_keys WHERE key_id = $1`, int64(id))
}
