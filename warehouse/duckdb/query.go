//go:build cgo

package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"tributary"
	"tributary/warehouse"
)

// run is a query that is running.
type run struct {
	stop context.CancelCauseFunc
	done chan struct{}
}

// Query runs one SELECT in a read-only transaction of its own, so that it sees
// one state however long it takes, and cannot write.
func (w *Warehouse) Query(ctx context.Context, text string, l warehouse.QueryLimits) (*warehouse.Result, error) {
	const op = "query the warehouse"
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, wrap(op, ctx.Err())
	}
	defer func() { <-w.slots }()
	l = l.Effective()
	ctx, cancel := context.WithTimeoutCause(ctx, l.Time,
		tributary.Errorf(tributary.Limit, "", "the query took longer than %v", l.Time))
	defer cancel()
	result, err := w.query(ctx, op, text, l)
	if fatal(err) {
		// While no delivery comes nobody else would find out.
		return nil, errors.Join(err, w.withLoader(ctx, op, func() error { return w.execAll(ctx, `SELECT 1`) }))
	}
	return result, err
}

// enter registers a query, and gives the database, which stays open until it leaves.
func (w *Warehouse) enter(r *run) (*sql.DB, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errClosed()
	}
	if w.db == nil {
		return nil, errBroken(w.broken)
	}
	w.running[r] = struct{}{}
	return w.db, nil
}

func (w *Warehouse) leave(r *run) {
	w.mu.Lock()
	delete(w.running, r)
	w.mu.Unlock()
	close(r.done)
}

// stopQueries ends the running queries, and tells whether there were any.
func (w *Warehouse) stopQueries(cause error) bool {
	w.mu.Lock()
	var all []*run
	for r := range w.running {
		all = append(all, r)
	}
	w.mu.Unlock()
	for _, r := range all {
		r.stop(cause)
	}
	for _, r := range all {
		<-r.done
	}
	return len(all) > 0
}

// query runs a query that can be stopped, on a connection of its own.
func (w *Warehouse) query(ctx context.Context, op, text string, l warehouse.QueryLimits) (*warehouse.Result, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &run{stop: stop, done: make(chan struct{})}
	db, err := w.enter(r)
	if err != nil {
		return nil, wrap(op, err)
	}
	defer w.leave(r)
	result, err := read(ctx, db, text, l)
	if err != nil {
		return nil, queryError(ctx, op, err)
	}
	return result, nil
}

func read(ctx context.Context, db *sql.DB, text string, l warehouse.QueryLimits) (*warehouse.Result, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `BEGIN TRANSACTION READ ONLY`); err != nil {
		return nil, err
	}
	// The connection goes back to the others: it must not take the transaction along.
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`) }()
	s, err := admit(ctx, conn, text)
	if err != nil {
		return nil, err
	}
	return s.run(ctx, conn, l)
}

// queryError finds the cause of a query's end.
func queryError(ctx context.Context, op string, err error) error {
	var ours *tributary.Error
	if cause := context.Cause(ctx); cause != nil && errors.As(cause, &ours) {
		return wrap(op, cause)
	}
	if fatal(err) {
		return wrap(op, errBroken(err))
	}
	var theirs *duckdb.Error
	if ctx.Err() != nil || errors.As(err, &ours) || !errors.As(err, &theirs) {
		return wrap(op, err)
	}
	kind, msg := tributary.Invalid, withoutOurs(theirs.Msg)
	switch theirs.Type {
	case duckdb.ErrorTypeOutOfMemory:
		kind, msg = tributary.Limit, "the query needs more memory than the warehouse may take"
	case duckdb.ErrorTypePermission:
		kind = tributary.Denied
	case duckdb.ErrorTypeInternal:
		kind = tributary.Internal
	case duckdb.ErrorTypeIO:
		kind = tributary.Unavailable
	}
	return &tributary.Error{Kind: kind, Op: op, Msg: msg, Err: err}
}

// withoutOurs takes the statement that stands around the caller's out of an
// error's message.
func withoutOurs(msg string) string {
	if text, at, cut := strings.Cut(msg, "\nLINE 1: "); cut && strings.HasPrefix(at, around) {
		return strings.TrimSpace(text)
	}
	return msg
}

// around is how the statement begins that stands around the caller's.
const around = "SELECT * FROM query("

// run runs an admitted statement. The limit stands around it, not in it, so
// that the statement itself is run as it was written.
func (s *statement) run(ctx context.Context, conn *sql.Conn, l warehouse.QueryLimits) (*warehouse.Result, error) {
	rows, err := conn.QueryContext(ctx, fmt.Sprintf(around+`%s) LIMIT %d`, quote(s.text), l.Rows+1))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	result := &warehouse.Result{Columns: s.columns}
	for _, t := range types {
		result.Types = append(result.Types, t.DatabaseTypeName())
	}
	room := l.Bytes
	for rows.Next() {
		row, size, err := scan(rows, result.Types)
		if err != nil {
			return nil, err
		}
		if room -= size; room < 0 || len(result.Rows) == l.Rows {
			result.Cut = true
			return result, nil
		}
		result.Rows = append(result.Rows, row)
	}
	return result, rows.Err()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// scan reads a row and estimates its size.
func scan(rows *sql.Rows, types []string) ([]any, int64, error) {
	row := make([]any, len(types))
	into := make([]any, len(types))
	for i := range row {
		into[i] = &row[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, 0, err
	}
	size := int64(0)
	for i, v := range row {
		row[i] = plain(v, types[i])
		size += 16
		if text, ok := row[i].(string); ok {
			size += int64(len(text))
		}
	}
	return row, size, nil
}
