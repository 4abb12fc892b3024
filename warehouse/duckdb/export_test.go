//go:build cgo

package duckdb

import "context"

// Unchecked runs a text as it stands, on a connection that may write: what
// holds here is held by DuckDB's settings alone.
func (w *Warehouse) Unchecked(ctx context.Context, text string) error {
	_, err := w.db.ExecContext(ctx, text)
	return err
}

// Fatal tells whether DuckDB has given the database up.
func Fatal(err error) bool { return fatal(err) }
