//go:build cgo

package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

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
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, l.Time,
		tributary.Errorf(tributary.Limit, "", "the query took longer than %v", l.Time))
	defer cancel()
	r := &run{stop: stop, done: make(chan struct{})}
	if !w.enter(r) {
		return nil, wrap(op, errClosed())
	}
	defer w.leave(r)
	result, err := w.query(ctx, text, l)
	if err != nil {
		return nil, queryError(ctx, op, err)
	}
	return result, nil
}

func (w *Warehouse) enter(r *run) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.running[r] = struct{}{}
	return true
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

// query runs a query on a connection that is given up afterwards.
func (w *Warehouse) query(ctx context.Context, text string, l warehouse.QueryLimits) (*warehouse.Result, error) {
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `BEGIN TRANSACTION READ ONLY`); err != nil {
		return nil, err
	}
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
	var theirs *duckdb.Error
	if ctx.Err() != nil || errors.As(err, &ours) || !errors.As(err, &theirs) {
		return wrap(op, err)
	}
	kind, msg := tributary.Invalid, theirs.Msg
	switch theirs.Type {
	case duckdb.ErrorTypeOutOfMemory:
		kind, msg = tributary.Limit, "the query needs more memory than the warehouse may take"
	case duckdb.ErrorTypePermission:
		kind = tributary.Denied
	case duckdb.ErrorTypeInternal, duckdb.ErrorTypeFatal:
		kind = tributary.Internal
	case duckdb.ErrorTypeIO:
		kind = tributary.Unavailable
	}
	return &tributary.Error{Kind: kind, Op: op, Msg: msg, Err: err}
}

// run runs an admitted statement. The limit stands around it, not in it, so
// that the statement itself is run as it was written.
func (s *statement) run(ctx context.Context, conn *sql.Conn, l warehouse.QueryLimits) (*warehouse.Result, error) {
	rows, err := conn.QueryContext(ctx, fmt.Sprintf(`SELECT * FROM query(%s) LIMIT %d`, quote(s.text), l.Rows+1))
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
		row, size, err := scan(rows, len(types))
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
func scan(rows *sql.Rows, columns int) ([]any, int64, error) {
	row := make([]any, columns)
	into := make([]any, columns)
	for i := range row {
		into[i] = &row[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, 0, err
	}
	size := int64(0)
	for i, v := range row {
		row[i] = plain(v)
		size += 16
		if text, ok := row[i].(string); ok {
			size += int64(len(text))
		}
	}
	return row, size, nil
}

// plain turns a value of the driver's into one of those that results may hold.
func plain(v any) any {
	switch v := v.(type) {
	case nil, string, int64, float64, bool:
		return v
	case time.Time:
		return v.UTC()
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint8:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	case float32:
		return float64(v)
	}
	return otherText(v)
}

// otherText is the text of a value that has no type of Go's own.
func otherText(v any) any {
	switch v := v.(type) {
	case *big.Int:
		if v.IsInt64() {
			return v.Int64()
		}
		return v.String()
	case uint64:
		if v <= 1<<63-1 {
			return int64(v)
		}
	case duckdb.Decimal:
		return v.String()
	case duckdb.UUID:
		return v.String()
	case []byte:
		return fmt.Sprintf("%x", v)
	case []any, map[string]any:
		if text, err := json.Marshal(v); err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(v)
}
