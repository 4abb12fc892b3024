package pgstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary"
	"tributary/store/codec"
)

const identityFields = `pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified`

func scanIdentity(row pgx.Row, i *tributary.Identity) error {
	var logins []byte
	if err := row.Scan(&i.Pool, &i.Revision, &i.Disabled, &i.Created, &i.Modified, &logins, &i.Datasets, &i.Usage.Bytes, &i.Usage.LastModified); err != nil {
		return err
	}
	return wrapStored("read identity "+string(i.ID), decodeFacts(i, logins))
}

// encodeFacts writes what no statement looks for: the logins, and behind them,
// where programs of schema version 2 do not look, what became of the identity.
func encodeFacts(i *tributary.Identity) []byte {
	b := binary.AppendUvarint(nil, uint64(len(i.Logins)))
	for _, l := range i.Logins {
		b = codec.AppendText(codec.AppendText(b, l.Provider), l.User)
	}
	return codec.AppendIdentityState(b, i)
}

// decodeFacts reads what encodeFacts wrote. Whether the identity is disabled
// its column tells.
func decodeFacts(i *tributary.Identity, b []byte) error {
	r := codec.Reader{Rest: string(b)}
	i.Logins = nil
	for range r.Count() {
		i.Logins = append(i.Logins, tributary.Login{Provider: r.Text(), User: r.Text()})
	}
	if r.Rest != "" {
		disabled := i.Disabled
		r.IdentityState(i)
		i.Disabled = disabled
	}
	return r.Err
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
	return s.listIdentities(ctx, `pool_id = $1 AND identity_id > $2 ORDER BY identity_id LIMIT $3`, string(pool), above(string(after)), limit)
}

func (s *Store) listIdentities(ctx context.Context, where string, args ...any) ([]tributary.Identity, error) {
	const op = "list identities"
	if err := s.alive(); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT identity_id, `+identityFields+` FROM identities WHERE `+where, args...)
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

// UnfinishedIdentities lists the identities with work to be done.
func (s *Store) UnfinishedIdentities(ctx context.Context, after tributary.IdentityID, limit int) ([]tributary.Identity, error) {
	return s.listIdentities(ctx, `identity_id IN (SELECT identity_id FROM unfinished WHERE identity_id > $1 ORDER BY identity_id LIMIT $2) ORDER BY identity_id`,
		above(string(after)), limit)
}

// PutIdentity writes identities and their logins.
func (s *Store) PutIdentity(ctx context.Context, all ...tributary.Identity) error {
	// Rows are locked in one order, so that transactions cannot deadlock.
	all = slices.SortedFunc(slices.Values(all), func(a, b tributary.Identity) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return s.tx(ctx, "put identity", func(tx pgx.Tx) error {
		var had []link
		for i := range all {
			logins, err := checkIdentity(ctx, tx, &all[i])
			if err != nil {
				return err
			}
			had = append(had, linksOf(&all[i], logins)...)
		}
		if err := unlink(ctx, tx, had); err != nil {
			return err
		}
		var links []link
		for i := range all {
			if err := writeIdentity(ctx, tx, &all[i]); err != nil {
				return err
			}
			links = append(links, linksOf(&all[i], all[i].Logins)...)
		}
		return relink(ctx, tx, links)
	})
}

// checkIdentity refuses a stale identity, and gives the logins that the stored
// one has.
func checkIdentity(ctx context.Context, tx pgx.Tx, i *tributary.Identity) ([]tributary.Login, error) {
	have := tributary.Identity{ID: i.ID}
	err := scanIdentity(tx.QueryRow(ctx, `SELECT `+identityFields+` FROM identities WHERE identity_id = $1 FOR UPDATE`, string(i.ID)), &have)
	if err != nil && !isNone(err) {
		return nil, err
	}
	found, err := exists(ctx, tx, `SELECT 1 FROM pools WHERE pool_id = $1 FOR KEY SHARE`, string(i.Pool))
	switch {
	case err != nil:
		return nil, err
	case have.Revision != i.Revision || have.Revision > 0 && have.Pool != i.Pool:
		return nil, stale("put identity")
	case !found:
		return nil, noPool(i.Pool)
	}
	return have.Logins, nil
}

func writeIdentity(ctx context.Context, tx pgx.Tx, i *tributary.Identity) error {
	const op = "put identity"
	if err := noteUnfinished(ctx, tx, i); err != nil {
		return err
	}
	args := []any{string(i.ID), i.Disabled, int64(i.Created), int64(i.Modified), encodeFacts(i)}
	if i.Revision == 0 {
		// A program of schema version 3 leaves the devices of an identity behind
		// that it deletes, which must not come back with another of its id.
		both := &pgx.Batch{}
		both.Queue(forgetDevices, string(i.ID))
		made := both.Queue(`INSERT INTO identities (identity_id, disabled, created, modified, logins, pool_id, revision, datasets, bytes, data_modified)
			VALUES ($1, $2, $3, $4, $5, $6, 1, 0, 0, 0) ON CONFLICT DO NOTHING`, append(args, string(i.Pool))...)
		made.Exec(func(tag pgconn.CommandTag) error { return oneRow(op)(tag, nil) })
		return tx.SendBatch(ctx, both).Close()
	}
	return oneRow(op)(tx.Exec(ctx, `UPDATE identities SET revision = revision + 1, disabled = $2, created = $3, modified = $4, logins = $5 WHERE identity_id = $1`, args...))
}

// noteUnfinished keeps the list of those with work to be done.
func noteUnfinished(ctx context.Context, tx pgx.Tx, i *tributary.Identity) error {
	note := `DELETE FROM unfinished WHERE identity_id = $1`
	if i.Unfinished {
		note = `INSERT INTO unfinished (identity_id) VALUES ($1) ON CONFLICT DO NOTHING`
	} else if i.Revision == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, note, string(i.ID))
	return err
}

// link is a login and the identity that it leads to.
type link struct {
	pool  tributary.PoolID
	login tributary.Login
	to    tributary.IdentityID
}

func linksOf(i *tributary.Identity, logins []tributary.Login) []link {
	out := make([]link, len(logins))
	for n, l := range logins {
		out[n] = link{i.Pool, l, i.ID}
	}
	return out
}

// sortLinks puts links in one order, so that two identities cannot deadlock
// over theirs.
func sortLinks(links []link) {
	slices.SortFunc(links, func(a, b link) int {
		return cmp.Or(strings.Compare(string(a.pool), string(b.pool)), strings.Compare(a.login.Provider+"\x00"+a.login.User, b.login.Provider+"\x00"+b.login.User))
	})
}

func unlink(ctx context.Context, tx pgx.Tx, links []link) error {
	sortLinks(links)
	for _, l := range links {
		if _, err := tx.Exec(ctx, `DELETE FROM logins WHERE pool_id = $1 AND provider = $2 AND username = $3`, string(l.pool), []byte(l.login.Provider), []byte(l.login.User)); err != nil {
			return err
		}
	}
	return nil
}

func relink(ctx context.Context, tx pgx.Tx, links []link) error {
	sortLinks(links)
	for _, l := range slices.Compact(links) {
		made, err := tx.Exec(ctx, `INSERT INTO logins (pool_id, provider, username, identity_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			string(l.pool), []byte(l.login.Provider), []byte(l.login.User), string(l.to))
		if err != nil {
			return err
		}
		if made.RowsAffected() == 0 {
			return tributary.Errorf(tributary.Exists, "put identity", "The login of %s is linked to another identity", strings.ToValidUTF8(l.login.Provider, "?"))
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
		if err := unlink(ctx, tx, linksOf(&i, i.Logins)); err != nil {
			return err
		}
		for _, table := range []string{`DELETE FROM unfinished WHERE identity_id = $1`, `DELETE FROM datasets WHERE identity_id = $1`, forgetDevices} {
			if _, err := tx.Exec(ctx, table, string(id)); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `DELETE FROM identities WHERE identity_id = $1`, string(id))
		return err
	})
}
