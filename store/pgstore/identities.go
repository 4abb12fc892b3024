package pgstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/store/codec"
)

const identityFields = `pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified`

func scanIdentity(row pgx.Row, i *tributary.Identity) error {
	var logins []byte
	if err := row.Scan(&i.Pool, &i.Revision, &i.Disabled, &i.Created, &i.Modified, &logins, &i.Datasets, &i.Usage.Bytes, &i.Usage.LastModified); err != nil {
		return err
	}
	var err error
	i.Logins, err = decodeLogins(logins)
	return wrapStored("read identity "+string(i.ID), err)
}

func encodeLogins(logins []tributary.Login) []byte {
	b := binary.AppendUvarint(nil, uint64(len(logins)))
	for _, l := range logins {
		b = codec.AppendText(codec.AppendText(b, l.Provider), l.User)
	}
	return b
}

func decodeLogins(b []byte) ([]tributary.Login, error) {
	r := codec.Reader{Rest: string(b)}
	var out []tributary.Login
	for range r.Count() {
		out = append(out, tributary.Login{Provider: r.Text(), User: r.Text()})
	}
	return out, r.Err
}

// Identity reads an identity.
func (s *Store) Identity(ctx context.Context, id tributary.IdentityID) (tributary.Identity, error) {
	i := tributary.Identity{ID: id}
	if err := s.alive(); err != nil {
		return i, err
	}
	err := scanIdentity(s.db.QueryRow(ctx, `SELECT `+identityFields+` FROM identities WHERE identity_id = $1`, string(id)), &i)
	if isNone(err) {
		return tributary.Identity{}, noIdentity(id)
	}
	return i, wrap("read identity", err)
}

// Identities lists a pool's identities by id.
func (s *Store) Identities(ctx context.Context, pool tributary.PoolID, after tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	const op = "list identities"
	if err := s.alive(); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT identity_id, `+identityFields+` FROM identities WHERE pool_id = $1 AND identity_id > $2 ORDER BY identity_id LIMIT $3`,
		string(pool), above(string(after)), limit)
	if err != nil {
		return nil, wrap(op, err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (tributary.Identity, error) {
		var i tributary.Identity
		err := scanIdentity(withID{row, &i.ID}, &i)
		return i, err
	})
	return out, wrap(op, err)
}

// withID scans one column more, before the others.
type withID struct {
	pgx.CollectableRow
	id *tributary.IdentityID
}

func (w withID) Scan(dest ...any) error {
	return w.CollectableRow.Scan(append([]any{w.id}, dest...)...)
}

// FindLogin tells which identity a login is linked to.
func (s *Store) FindLogin(ctx context.Context, pool tributary.PoolID, l tributary.Login) (tributary.IdentityID, error) {
	const op = "find login"
	if err := s.alive(); err != nil {
		return "", err
	}
	var id string
	err := s.db.QueryRow(ctx, `SELECT identity_id FROM logins WHERE pool_id = $1 AND provider = $2 AND username = $3`,
		string(pool), []byte(l.Provider), []byte(l.User)).Scan(&id)
	if isNone(err) {
		return "", tributary.Errorf(tributary.NotFound, op, "No identity is linked to this login of %s", l.Provider)
	}
	return tributary.IdentityID(id), wrap(op, err)
}

// PutIdentity writes an identity and its logins.
func (s *Store) PutIdentity(ctx context.Context, i tributary.Identity) error {
	const op = "put identity"
	return s.tx(ctx, op, func(tx pgx.Tx) error {
		have := tributary.Identity{ID: i.ID}
		err := scanIdentity(tx.QueryRow(ctx, `SELECT `+identityFields+` FROM identities WHERE identity_id = $1 FOR UPDATE`, string(i.ID)), &have)
		if err != nil && !isNone(err) {
			return err
		}
		found, err := exists(ctx, tx, `SELECT 1 FROM pools WHERE pool_id = $1 FOR KEY SHARE`, string(i.Pool))
		if err != nil {
			return err
		}
		if !found {
			return noPool(i.Pool)
		}
		if have.Revision != i.Revision || have.Revision > 0 && have.Pool != i.Pool {
			return stale(op)
		}
		if err := writeIdentity(ctx, tx, &i); err != nil {
			return err
		}
		return relink(ctx, tx, &i, have.Logins)
	})
}

func writeIdentity(ctx context.Context, tx pgx.Tx, i *tributary.Identity) error {
	const op = "put identity"
	if i.Revision == 0 {
		return oneRow(op)(tx.Exec(ctx, `INSERT INTO identities (identity_id, `+identityFields+`) VALUES ($1, $2, 1, $3, $4, $5, $6, 0, 0, 0) ON CONFLICT DO NOTHING`,
			string(i.ID), string(i.Pool), i.Disabled, int64(i.Created), int64(i.Modified), encodeLogins(i.Logins)))
	}
	return oneRow(op)(tx.Exec(ctx, `UPDATE identities SET revision = revision + 1, disabled = $2, created = $3, modified = $4, logins = $5 WHERE identity_id = $1`,
		string(i.ID), i.Disabled, int64(i.Created), int64(i.Modified), encodeLogins(i.Logins)))
}

// relink links an identity's logins and unlinks those that it had. Links are
// made in one order, so that two identities cannot deadlock over theirs.
func relink(ctx context.Context, tx pgx.Tx, i *tributary.Identity, had []tributary.Login) error {
	for _, l := range had {
		if _, err := tx.Exec(ctx, `DELETE FROM logins WHERE pool_id = $1 AND provider = $2 AND username = $3`, string(i.Pool), []byte(l.Provider), []byte(l.User)); err != nil {
			return err
		}
	}
	logins := slices.SortedFunc(slices.Values(i.Logins), func(a, b tributary.Login) int {
		return bytes.Compare([]byte(a.Provider+"\x00"+a.User), []byte(b.Provider+"\x00"+b.User))
	})
	for _, l := range slices.Compact(logins) {
		made, err := tx.Exec(ctx, `INSERT INTO logins (pool_id, provider, username, identity_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			string(i.Pool), []byte(l.Provider), []byte(l.User), string(i.ID))
		if err != nil {
			return err
		}
		if made.RowsAffected() == 0 {
			return tributary.Errorf(tributary.Exists, "put identity", "The login of %s is linked to another identity", strings.ToValidUTF8(l.Provider, "?"))
		}
	}
	return nil
}

// DeleteIdentity forgets an identity without datasets.
func (s *Store) DeleteIdentity(ctx context.Context, id tributary.IdentityID) error {
	const op = "delete identity"
	return s.tx(ctx, op, func(tx pgx.Tx) error {
		i := tributary.Identity{ID: id}
		err := scanIdentity(tx.QueryRow(ctx, `SELECT `+identityFields+` FROM identities WHERE identity_id = $1 FOR UPDATE`, string(id)), &i)
		if isNone(err) {
			return noIdentity(id)
		}
		if err != nil {
			return err
		}
		if i.Datasets > 0 {
			return tributary.Errorf(tributary.Exists, op, "Identity %s still has datasets", id)
		}
		if err := relink(ctx, tx, &tributary.Identity{ID: id, Pool: i.Pool}, i.Logins); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM datasets WHERE identity_id = $1`, string(id)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM identities WHERE identity_id = $1`, string(id))
		return err
	})
}
