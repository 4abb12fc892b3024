//go:build cgo

package duckdb_test

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
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

// soak multiplies the number of random programs.
func soak(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("TRIBUTARY_SOAK"), "1"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSuite(t *testing.T) {
	if testing.Short() {
		warehousetest.Run(t, warehousetest.Options{Programs: 3, Seed: 2_000_000, Open: func(t *testing.T) warehousetest.Opened {
			return warehousetest.Opened{Warehouse: open(t, duckdb.Config{FoldRows: 20})}
		}})
		return
	}
	t.Run("File", func(t *testing.T) {
		warehousetest.Run(t, warehousetest.Options{Open: opener(0), Programs: 5 * soak(t), Thorough: soak(t) > 1})
	})
	// The state's table is brought up to date all the time.
	t.Run("Folding", func(t *testing.T) {
		warehousetest.Run(t, warehousetest.Options{Open: opener(5), Programs: 5 * soak(t), Thorough: soak(t) > 1, Seed: 1_000_000})
	})
}

// TestInMemory: without a path nothing is written, and all the rest is the same.
func TestInMemory(t *testing.T) {
	w, l := open(t, duckdb.Config{}), newLoad(100)
	for range 5 {
		deliver(t, w, l.batch(500))
	}
	if rows := ask(t, w, "SELECT count(*) FROM cognito_raw_data"); rows[0][0] != int64(2500) {
		t.Errorf("%v rows", rows)
	}
}
