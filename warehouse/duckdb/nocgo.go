//go:build !cgo

package duckdb

import (
	"context"

	"tributary"
	"tributary/warehouse"
)

// Warehouse cannot be had in this build.
type Warehouse struct{ warehouse.Warehouse }

// Open fails: DuckDB is a C++ library. Unavailable.
func Open(context.Context, Config) (*Warehouse, error) {
	return nil, tributary.Errorf(tributary.Unavailable, "open duckdb",
		"built without cgo: the embedded warehouse is not in this binary; build it with CGO_ENABLED=1 or use another warehouse")
}
