//go:build cgo

package duckdb_test

import (
	"path/filepath"
	"testing"

	"tributary/warehouse"
	"tributary/warehouse/duckdb"
	"tributary/warehouse/warehousetest"
)

func open(t *testing.T, c duckdb.Config) *duckdb.Warehouse {
	t.Helper()
	w, err := duckdb.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// opener opens warehouses in files, which can be reopened.
func opener(foldRows int) func(t *testing.T) warehousetest.Opened {
	return func(t *testing.T) warehousetest.Opened {
		c := duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db"), FoldRows: foldRows}
		w := open(t, c)
		return warehousetest.Opened{Warehouse: w, Reopen: func() warehouse.Warehouse {
			t.Helper()
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			w = open(t, c)
			return w
		}}
	}
}

func TestSuite(t *testing.T) {
	t.Run("File", func(t *testing.T) {
		warehousetest.Run(t, warehousetest.Options{Open: opener(0)})
	})
	// The state's table is brought up to date all the time.
	t.Run("Folding", func(t *testing.T) {
		warehousetest.Run(t, warehousetest.Options{Open: opener(5), Seed: 1000})
	})
	t.Run("Memory", func(t *testing.T) {
		warehousetest.Run(t, warehousetest.Options{Seed: 2000, Open: func(t *testing.T) warehousetest.Opened {
			return warehousetest.Opened{Warehouse: open(t, duckdb.Config{FoldRows: 50})}
		}})
	})
}
