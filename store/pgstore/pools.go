package pgstore

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"tributary"
)

func noPool(id tributary.PoolID) error {
	return tributary.Errorf(tributary.NotFound, "read pool", "IdentityPool '%s' not found.", id)
}

// Pool reads a pool.
func (s *Store) Pool(ctx context.Context, id tributary.PoolID) (tributary.Pool, error) {
	const op = "read pool"
	if err := s.alive(); err != nil {
		return tributary.Pool{}, err
	}
	var body string
	err := s.db.QueryRow(ctx, `SELECT body FROM pools WHERE pool_id = $1`, string(id)).Scan(&body)
	if isNone(err) {
		return tributary.Pool{}, noPool(id)
	}
	if err != nil {
		return tributary.Pool{}, wrap(op, err)
	}
	p, err := decodeJSON[tributary.Pool](op, body)
	if err == nil {
		kept := p.Clone()
		s.pools.remember(&kept)
	}
	return p, err
}

// Pools lists pools by id.
func (s *Store) Pools(ctx context.Context, after tributary.PoolID, limit int) ([]tributary.Pool, error) {
	return listJSON[tributary.Pool](ctx, s, "list pools", `SELECT body FROM pools WHERE pool_id > $1 ORDER BY pool_id LIMIT $2`, above(string(after)), limit)
}

func decodeJSON[T any](op, body string) (T, error) {
	var v T
	return v, wrapStored(op, json.Unmarshal([]byte(body), &v))
}

// listJSON reads values that are kept as JSON.
func listJSON[T any](ctx context.Context, s *Store, op, query string, args ...any) ([]T, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, wrap(op, err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) {
		var body string
		if err := row.Scan(&body); err != nil {
			var none T
			return none, err
		}
		return decodeJSON[T](op, body)
	})
	return out, wrap(op, err)
}

// PutPool writes a pool if its revision is the stored one. Moving it to
// another log takes the locks of the old one's shards: a commit that holds one
// goes there, all others find the new route.
func (s *Store) PutPool(ctx context.Context, p tributary.Pool) error {
	const op = "put pool"
	return s.tx(ctx, op, func(tx pgx.Tx) error {
		var revision, route int64
		err := tx.QueryRow(ctx, `SELECT revision, route FROM pools WHERE pool_id = $1`, string(p.ID)).Scan(&revision, &route)
		if err != nil && !isNone(err) {
			return err
		}
		if revision != p.Revision {
			return stale(op)
		}
		found, err := exists(ctx, tx, `SELECT 1 FROM streams WHERE stream_id = $1 FOR SHARE`, int64(p.Route()))
		if err != nil {
			return err
		}
		if !found {
			return tributary.Errorf(tributary.NotFound, op, "Stream %s does not exist", p.Stream.Name)
		}
		if revision > 0 && route != int64(p.Route()) {
			if _, err := tx.Exec(ctx, `SELECT 1 FROM shards WHERE stream_id = $1 ORDER BY stream_id, shard FOR UPDATE`, route); err != nil {
				return err
			}
		}
		next := p
		next.Revision++
		body, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if revision == 0 {
			return oneRow(op)(tx.Exec(ctx, `INSERT INTO pools (pool_id, revision, route, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
				string(p.ID), next.Revision, int64(p.Route()), string(body)))
		}
		return oneRow(op)(tx.Exec(ctx, `UPDATE pools SET revision = $2, route = $3, body = $4 WHERE pool_id = $1 AND revision = $5`,
			string(p.ID), next.Revision, int64(p.Route()), string(body), revision))
	})
}

// DeletePool forgets a pool without identities.
func (s *Store) DeletePool(ctx context.Context, id tributary.PoolID) error {
	const op = "delete pool"
	return s.tx(ctx, op, func(tx pgx.Tx) error {
		gone, err := tx.Exec(ctx, `DELETE FROM pools WHERE pool_id = $1`, string(id))
		if err != nil {
			return err
		}
		if gone.RowsAffected() == 0 {
			return noPool(id)
		}
		// Whoever adds an identity holds the pool's row, which is ours by now.
		members, err := exists(ctx, tx, `SELECT 1 FROM identities WHERE pool_id = $1 LIMIT 1`, string(id))
		if err != nil {
			return err
		}
		if members {
			return tributary.Errorf(tributary.Exists, op, "Pool %s still has identities", id)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM usage WHERE pool_id = $1`, string(id)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM sessions WHERE pool_id = $1`, string(id))
		return err
	})
}

// PoolUsage adds up the shards' shares of a pool's figures.
func (s *Store) PoolUsage(ctx context.Context, pool tributary.PoolID) (tributary.Usage, error) {
	const op = "read usage"
	var u tributary.Usage
	if err := s.alive(); err != nil {
		return u, err
	}
	err := s.db.QueryRow(ctx, `SELECT
		coalesce((SELECT sum(bytes) FROM usage u WHERE u.pool_id = p.pool_id), 0)::bigint,
		coalesce((SELECT max(modified) FROM usage u WHERE u.pool_id = p.pool_id), 0)::bigint,
		coalesce((SELECT sessions FROM sessions s WHERE s.pool_id = p.pool_id), 0)::bigint
		FROM pools p WHERE p.pool_id = $1`, string(pool)).Scan(&u.Bytes, &u.LastModified, &u.Sessions)
	if isNone(err) {
		return u, noPool(pool)
	}
	return u, wrap(op, err)
}

// CountSessions adds to pools' figures.
func (s *Store) CountSessions(ctx context.Context, sessions map[tributary.PoolID]int64) error {
	pools, add := make([]string, 0, len(sessions)), make([]int64, 0, len(sessions))
	for pool, n := range sessions {
		pools, add = append(pools, string(pool)), append(add, n)
	}
	return s.tx(ctx, "count sessions", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO sessions (pool_id, sessions)
			SELECT p.pool_id, x.n FROM unnest($1::text[], $2::bigint[]) AS x (pool_id, n) JOIN pools p ON p.pool_id = x.pool_id ORDER BY p.pool_id
			ON CONFLICT (pool_id) DO UPDATE SET sessions = sessions.sessions + excluded.sessions`, pools, add)
		return err
	})
}
