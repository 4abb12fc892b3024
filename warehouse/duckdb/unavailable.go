//go:build !cgo

package duckdb

// Available tells whether DuckDB is in this build.
const Available = false
