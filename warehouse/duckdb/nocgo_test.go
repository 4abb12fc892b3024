//go:build !cgo

package duckdb_test

import (
	"strings"
	"testing"

	"tributary"
	"tributary/warehouse/duckdb"
)

// TestWithoutCgo: the build without DuckDB says so.
func TestWithoutCgo(t *testing.T) {
	w, err := duckdb.Open(t.Context(), duckdb.Config{})
	if w != nil || tributary.KindOf(err) != tributary.Unavailable || !strings.Contains(tributary.Message(err), "built without cgo") {
		t.Errorf("%v, %v", w, err)
	}
}
