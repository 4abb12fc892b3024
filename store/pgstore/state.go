package pgstore

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"tributary"
)

// The state of a store that is not ordinary is the row 'transfer' of meta, and
// its id the row 'kept_id'. An ordinary store has the row 'id', which
// transactions hold that write anything but a change: a node that has the store
// open finds it gone and writes nothing more. A program that knows nothing of
// moves does not open a store without it.

// A store that went through restores has the row 'restores', which says so.

// beginServing begins a transaction of a store that serves, in one round trip.
const beginServing = `BEGIN; WITH held AS (SELECT 1 FROM meta WHERE name = 'id' FOR KEY SHARE) SELECT 1 / count(*) FROM held`

// readState reads the state, locking its row.
func readState(ctx context.Context, tx pgx.Tx, lock string) (tributary.TransferState, error) {
	var t tributary.TransferState
	rows, err := tx.Query(ctx, `SELECT name, value FROM meta WHERE name IN ('id', 'transfer') ORDER BY name `+lock)
	if err != nil {
		return t, err
	}
	found := false
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		found = true
		if name == "id" {
			return nil
		}
		return wrapStored("read state", json.Unmarshal([]byte(value), &t))
	})
	if err == nil && !found {
		// The row that was waited for has become the other one.
		err = tributary.Errorf(tributary.Unavailable, "read state", "the state is being changed")
	}
	return t, err
}

// State tells where the store stands in a move. It waits for a change of state
// that is under way.
func (s *Store) State(ctx context.Context) (tributary.TransferState, error) {
	if err := s.opened(); err != nil {
		return tributary.TransferState{}, err
	}
	var t tributary.TransferState
	read := func(tx pgx.Tx) (err error) {
		t, err = readState(ctx, tx, "FOR SHARE")
		return err
	}
	err := pgx.BeginFunc(ctx, s.db, read)
	if tributary.KindOf(err) == tributary.Unavailable {
		err = pgx.BeginFunc(ctx, s.db, read)
	}
	return t, wrap("read state", err)
}

// enter puts a store that is opened into the state that is stored.
func (s *Store) enter(ctx context.Context) error {
	t, err := s.State(ctx)
	if err != nil {
		return err
	}
	name, _, _ := Place(s.cfg.URL)
	if err := t.Refusal(name); err != nil && !s.cfg.Transfer {
		return err
	}
	return s.stand(ctx, t)
}

// stand takes over a state: reads go on in a store that was moved, nothing in
// one that is being filled.
func (s *Store) stand(ctx context.Context, t tributary.TransferState) error {
	if t.Phase == tributary.Filling || t.Phase == tributary.Filled {
		s.standby.Store(tributary.Errorf(tributary.Unavailable, "store", "The store is being filled"))
		return nil
	}
	err := s.db.QueryRow(ctx, `SELECT value FROM meta WHERE name IN ('id', 'kept_id')`).Scan(&s.id)
	if err == nil {
		s.standby.Store(nil)
	}
	return wrap("open store", err)
}

// SetState moves the store to its next state.
func (s *Store) SetState(ctx context.Context, from, to tributary.TransferState) error {
	const op = "set state"
	if err := s.opened(); err != nil {
		return err
	}
	if err := from.CheckStep(&to); err != nil {
		return err
	}
	text, err := json.Marshal(to)
	if err != nil {
		return wrapStored(op, err)
	}
	s.filling.Store(nil)
	err = pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL statement_timeout = 0"}, func(tx pgx.Tx) error {
		have, err := readState(ctx, tx, "FOR UPDATE")
		if err != nil {
			return err
		}
		if have != from {
			return tributary.Errorf(tributary.Stale, op, "the store is %s", have.Phase)
		}
		if err := prepareStep(ctx, tx, &from, &to); err != nil {
			return err
		}
		return writeState(ctx, tx, &from, &to, string(text))
	})
	if err != nil {
		return wrap(op, err)
	}
	if from.Clears(&to) {
		s.forget()
	}
	if to.Phase == tributary.Filling {
		s.filling.Store(new(string(text)))
	}
	return s.stand(ctx, to)
}

// forget empties what is remembered of what the store held.
func (s *Store) forget() {
	s.maps.mu.Lock()
	s.maps.kept = nil
	s.maps.mu.Unlock()
	s.pools.mu.Lock()
	s.pools.kept = nil
	s.pools.mu.Unlock()
	s.heads.mu.Lock()
	s.heads.kept, s.heads.bytes = nil, 0
	s.heads.mu.Unlock()
}

func writeState(ctx context.Context, tx pgx.Tx, from, to *tributary.TransferState, text string) error {
	var steps []statement
	switch {
	case from.Phase == tributary.Ordinary:
		// The key itself changes, which whoever holds the row must let go first.
		steps = []statement{
			{`UPDATE meta SET name = 'kept_id' WHERE name = 'id'`, nil},
			{`INSERT INTO meta (name, value) VALUES ('transfer', $1)`, []any{text}},
		}
	case to.Phase == tributary.Ordinary:
		steps = []statement{
			{`DELETE FROM meta WHERE name = 'transfer'`, nil},
			{`UPDATE meta SET name = 'id' WHERE name = 'kept_id'`, nil},
		}
	default:
		steps = []statement{{`UPDATE meta SET value = $1 WHERE name = 'transfer'`, []any{text}}}
	}
	if from.Clears(to) {
		steps = append(steps, statement{`DELETE FROM meta WHERE name IN ('kept_id', 'last_stream', 'restores')`, nil})
		for _, name := range transferTables {
			steps = append(steps, statement{`TRUNCATE ` + name, nil})
		}
	}
	for _, step := range steps {
		done, err := tx.Exec(ctx, step.sql, step.args...)
		if err != nil {
			return err
		}
		if to.Phase == tributary.Ordinary && done.RowsAffected() != 1 {
			return tributary.Errorf(tributary.Invalid, "set state", "the store has no id: it was not filled")
		}
	}
	return nil
}

// prepareStep does what a step needs beside the state itself.
func prepareStep(ctx context.Context, tx pgx.Tx, from, to *tributary.TransferState) error {
	switch {
	case from.Phase == tributary.Ordinary && to.Phase == tributary.Filling:
		return checkEmpty(ctx, tx)
	case to.Phase == tributary.Moved:
		// A commit checks its shard alone, under the shard's lock.
		_, err := tx.Exec(ctx, `UPDATE shards SET open = false`)
		return err
	case from.Phase == tributary.Moved && to.Phase == tributary.Ordinary:
		return reopenShards(ctx, tx)
	case to.Phase == tributary.Filled:
		_, err := tx.Exec(ctx, `UPDATE shards s SET arrived = coalesce((SELECT l.arrived FROM log l WHERE l.stream_id = s.stream_id AND l.shard = s.shard
			AND l.position = (SELECT max(m.position) FROM log m WHERE m.stream_id = s.stream_id AND m.shard = s.shard)), 0)`)
		return err
	}
	return nil
}

// checkEmpty refuses a store in which something was written.
func checkEmpty(ctx context.Context, tx pgx.Tx) error {
	query := `SELECT EXISTS (SELECT 1 FROM streams WHERE stream_id <> $1)`
	for _, table := range transferTables {
		if table != "streams" && table != "shards" {
			query += ` OR EXISTS (SELECT 1 FROM ` + table + `)`
		}
	}
	var full bool
	err := tx.QueryRow(ctx, query, int64(tributary.DefaultStream)).Scan(&full)
	if err == nil && full {
		err = tributary.Errorf(tributary.Exists, "set state", "the store holds data already: name an empty one")
	}
	return err
}

// reopenShards opens the shards that a move closed which never ended.
func reopenShards(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT body FROM streams`)
	if err != nil {
		return err
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, body := range bodies {
		st, err := decodeJSON[tributary.Stream]("set state", body)
		if err != nil {
			return err
		}
		for _, r := range st.Shards {
			if _, err := tx.Exec(ctx, `UPDATE shards SET open = $3 WHERE stream_id = $1 AND shard = $2`, int64(st.ID), int64(r.Number), !r.Closed); err != nil {
				return err
			}
		}
	}
	return nil
}
