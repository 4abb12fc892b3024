//go:build cgo

package duckdb

import (
	"context"
	"errors"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"tributary"
)

// withLoader runs work while nobody else uses the loader. After a fatal error
// the database is closed and opened again, so that the next try goes on.
func (w *Warehouse) withLoader(ctx context.Context, op string, work func() error) error {
	select {
	case w.loading <- struct{}{}:
	case <-ctx.Done():
		return wrap(op, ctx.Err())
	}
	defer func() { <-w.loading }()
	w.mu.Lock()
	closed, broken := w.closed, w.broken
	w.mu.Unlock()
	if closed {
		return wrap(op, errClosed())
	}
	if broken != nil {
		if err := w.reopen(ctx, broken); err != nil {
			return wrap(op, err)
		}
	}
	err := work()
	if fatal(err) {
		err = errors.Join(err, w.reopen(ctx, err))
	}
	if err != nil {
		return wrap(op, err)
	}
	return nil
}

// fatal tells whether DuckDB has given up the database: it refuses every
// further statement until the database is closed and opened again.
func fatal(err error) bool {
	var theirs *duckdb.Error
	return errors.As(err, &theirs) && (theirs.Type == duckdb.ErrorTypeFatal || strings.Contains(theirs.Msg, "database has been invalidated"))
}

// reopen closes a database that DuckDB has given up, and opens it again. What
// was not in a file is gone. If it fails, whoever has the loader next tries again.
func (w *Warehouse) reopen(ctx context.Context, cause error) error {
	_ = w.disconnect(cause) // such a database has nothing good to say at its end
	return w.connect(ctx)
}

// disconnect closes the database. The caller has the loader. Queries that are
// running, or come until the database is open again, end with the cause.
func (w *Warehouse) disconnect(cause error) error {
	w.mu.Lock()
	db := w.db
	w.db, w.broken = nil, cause
	w.mu.Unlock()
	w.known = nil
	w.stopQueries(errBroken(cause))
	if db == nil {
		return nil
	}
	return errors.Join(w.loader.Close(), db.Close())
}

func errBroken(cause error) error {
	return &tributary.Error{Kind: tributary.Unavailable, Msg: "the warehouse has failed and is opened again: try again", Err: cause}
}
