//go:build cgo

package duckdb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary"
	"tributary/warehouse/duckdb"
)

// TestNewer: a file of a newer server is left alone, and the error says so.
func TestNewer(t *testing.T) {
	c := duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db")}
	w := few(t, c)
	if err := w.Unchecked(t.Context(), "UPDATE warehouse_meta SET version = version + 1"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := duckdb.Open(t.Context(), c)
	if tributary.KindOf(err) != tributary.Invalid || !strings.Contains(tributary.Message(err), "schema version 2") {
		t.Errorf("opened a newer file: %v", err)
	}
}

// TestOpenedAgain: of two warehouses on one file only the later takes entries.
func TestOpenedAgain(t *testing.T) {
	c, l := duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db")}, newLoad(100)
	lease := tributary.Lease{Shard: shard, Epoch: 1}
	first := open(t, c)
	deliver(t, first, l.batch(100))
	second := open(t, c)
	next := l.batch(100)
	if err := first.Deliver(t.Context(), lease, next); tributary.KindOf(err) != tributary.Stale {
		t.Errorf("the earlier one: %v", err)
	}
	deliver(t, second, next)
	if rows := ask(t, second, "SELECT count(*) FROM cognito_raw_data"); rows[0][0] != int64(200) {
		t.Errorf("%v rows", rows)
	}
}

// TestStore: a warehouse is opened for the store that filled it only. One from
// before there were ids keeps the first that it hears of.
func TestStore(t *testing.T) {
	c, l := duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db")}, newLoad(100)
	reopen := func(store string) (*duckdb.Warehouse, error) {
		c.Store = store
		return duckdb.Open(t.Context(), c)
	}
	w := open(t, c)
	deliver(t, w, l.batch(10))
	if err := w.Unchecked(t.Context(), "ALTER TABLE warehouse_meta DROP COLUMN store"); err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{"", "a", "a", ""} {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if w, err = reopen(store); err != nil {
			t.Fatalf("store %q: %v", store, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := reopen("b")
	if tributary.KindOf(err) != tributary.Invalid || !strings.Contains(tributary.Message(err), c.Path+" was filled from another store (a, this one is b): move it away") {
		t.Errorf("another store: %v, %v", w, err)
	}
	c.Store = "a"
	w = open(t, c)
	deliver(t, w, l.batch(10))
	if rows := ask(t, w, "SELECT count(*) FROM cognito_raw_data"); rows[0][0] != int64(20) {
		t.Errorf("%v rows", rows)
	}
}

// TestOpenErrors: what cannot be opened says why.
func TestOpenErrors(t *testing.T) {
	folder := t.TempDir()
	broken := filepath.Join(folder, "broken.db")
	if err := os.WriteFile(broken, []byte(strings.Repeat("this is no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		c    duckdb.Config
		kind tributary.Kind
	}{
		"Path":        {duckdb.Config{Path: filepath.Join(folder, "a?b")}, tributary.Invalid},
		"Folder":      {duckdb.Config{Path: folder}, tributary.Unavailable},
		"NoDatabase":  {duckdb.Config{Path: broken}, tributary.Unavailable},
		"MemoryLimit": {duckdb.Config{MemoryLimit: "much"}, tributary.Unavailable},
	} {
		if w, err := duckdb.Open(t.Context(), test.c); err == nil || tributary.KindOf(err) != test.kind {
			t.Errorf("%s: %v, %v", name, w, err)
		}
	}
}
