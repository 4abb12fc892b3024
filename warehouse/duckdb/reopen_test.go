//go:build cgo && unix

package duckdb_test

import (
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"tributary"
	"tributary/warehouse"
	"tributary/warehouse/duckdb"
)

// breakDown gives the database a real fatal error: it makes a checkpoint while
// the process may write no file beyond a byte. The file system is afterwards as
// good as before, but DuckDB refuses every statement. meanwhile, if any, runs
// while nothing can be written yet.
func breakDown(t *testing.T, w *duckdb.Warehouse, meanwhile func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	tight := limit
	tight.Cur = 1
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight); err != nil {
		t.Fatal(err)
	}
	err := w.Unchecked(t.Context(), "FORCE CHECKPOINT")
	if meanwhile != nil {
		meanwhile()
	}
	if restored := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); restored != nil {
		t.Fatal(restored)
	}
	if !duckdb.Fatal(err) {
		t.Fatalf("the checkpoint gave %v, no fatal error", err)
	}
}

// TestFatal: whatever meets a fatal error first opens the database again, and
// the next try goes on at what was committed.
func TestFatal(t *testing.T) {
	lease := tributary.Lease{Shard: shard, Epoch: 1}
	for name, try := range map[string]func(t *testing.T, w *duckdb.Warehouse, next []tributary.Entry) error{
		"Deliver": func(t *testing.T, w *duckdb.Warehouse, next []tributary.Entry) error {
			return w.Deliver(t.Context(), lease, next)
		},
		"Checkpoint": func(t *testing.T, w *duckdb.Warehouse, _ []tributary.Entry) error {
			_, err := w.Checkpoint(t.Context(), shard)
			return err
		},
		"Query": func(t *testing.T, w *duckdb.Warehouse, _ []tributary.Entry) error {
			_, err := w.Query(t.Context(), "SELECT 1", warehouse.QueryLimits{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, l := open(t, duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db")}), newLoad(100)
			deliver(t, w, l.batch(50))
			breakDown(t, w, nil)
			next := l.batch(50)
			if err := try(t, w, next); tributary.KindOf(err) != tributary.Unavailable {
				t.Errorf("the first to meet the error: %v", err)
			}
			if rows := ask(t, w, "SELECT count(*) FROM cognito_raw_data"); rows[0][0] != int64(50) {
				t.Errorf("%v rows after it was opened again, want 50", rows)
			}
			deliver(t, w, next)
			if p, err := w.Checkpoint(t.Context(), shard); err != nil || p != next[len(next)-1].Position {
				t.Errorf("checkpoint %s, %v", p, err)
			}
			if rows := ask(t, w, "SELECT count(*) FROM cognito_raw_data"); rows[0][0] != int64(100) {
				t.Errorf("%v rows at the end, want 100", rows)
			}
		})
	}
}

// TestFatalEndsQueries: a query that is running when the database is opened
// again ends, with an error that says to try again.
func TestFatalEndsQueries(t *testing.T) {
	w, l := open(t, duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db")}), newLoad(100)
	deliver(t, w, l.batch(50))
	ended := make(chan error, 1)
	go func() {
		_, err := w.Query(t.Context(), endless, warehouse.QueryLimits{Time: time.Hour})
		ended <- err
	}()
	for ask(t, w, "SELECT count FROM duckdb_connection_count()")[0][0].(int64) < 3 {
		runtime.Gosched()
	}
	breakDown(t, w, nil)
	_, _ = w.Checkpoint(t.Context(), shard) // meets the error
	if err := <-ended; tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("the query ended with %v", err)
	}
	deliver(t, w, l.batch(50))
}

// TestFatalForLonger: as long as the database cannot be opened again all is
// Unavailable, and every try tries that too.
func TestFatalForLonger(t *testing.T) {
	w, l := open(t, duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db")}), newLoad(100)
	deliver(t, w, l.batch(50))
	breakDown(t, w, func() {
		for range 3 {
			_, err := w.Checkpoint(t.Context(), shard)
			if _, queryErr := w.Query(t.Context(), "SELECT 1", warehouse.QueryLimits{}); tributary.KindOf(err) != tributary.Unavailable || tributary.KindOf(queryErr) != tributary.Unavailable {
				t.Errorf("Checkpoint %v, Query %v", err, queryErr)
			}
		}
	})
	deliver(t, w, l.batch(50))
	if rows := ask(t, w, "SELECT count(*) FROM cognito_raw_data"); rows[0][0] != int64(100) {
		t.Errorf("%v rows, want 100", rows)
	}
}
