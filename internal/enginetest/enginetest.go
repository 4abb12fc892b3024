// Package enginetest opens stores for the tests of what stands on a store: each
// of them runs on every engine.
package enginetest

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/internal/postgres"
	"tributary/store/pebblestore"
	"tributary/store/pgstore"
)

// variable chooses the engine of a run: embedded, which is the default, or
// postgres.
const variable = "TRIBUTARY_TEST_ENGINE"

// server is where the stores of a run on PostgreSQL are; nil: they are
// embedded. Main sets it before the first test begins.
var server *postgres.Server

// Main runs the tests of a package on the engine of the run, and gives their
// exit code. It is all that a TestMain does.
func Main(m *testing.M) (code int) {
	switch engine := os.Getenv(variable); engine {
	case "", "embedded":
		return m.Run()
	case "postgres":
	default:
		return failed(fmt.Errorf("%s is %q, it must be embedded, which is the default, or postgres", variable, engine))
	}
	var err error
	// Tests do not crash the machine, which keeps what was written to it.
	if server, err = postgres.Start("", "fsync = off", "full_page_writes = off"); err != nil {
		return failed(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			code = failed(err)
		}
	}()
	return m.Run()
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Once skips, in all runs but the one on the embedded engine, a test that
// chooses its engine itself, and so is the same in all of them.
func Once(t testing.TB) {
	t.Helper()
	if server != nil {
		t.Skip("chooses its engine itself: runs with the embedded one")
	}
}

// Config is what a test asks of its store.
type Config struct {
	Shards int // of the default log; 0: as many as the engine makes by itself
	Now    func() time.Time
}

// Open opens an empty store, which is closed when the test ends: an embedded
// one in memory, or one in a place of its own in PostgreSQL.
func Open(t testing.TB, c Config) tributary.Store {
	t.Helper()
	s, err := open(t, c)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

func open(t testing.TB, c Config) (tributary.Store, error) {
	if server == nil {
		if os.Getenv(variable) == "postgres" {
			return nil, errors.New("the package has no TestMain that calls Main")
		}
		return pebblestore.Open(pebblestore.Config{Dir: "store", FS: vfs.NewMem(), Shards: c.Shards, Now: c.Now, CacheSize: 8 << 20, MemTableSize: 4 << 20})
	}
	url, err := server.Fresh(t.Context())
	if err != nil {
		return nil, err
	}
	return pgstore.Open(t.Context(), pgstore.Config{URL: url, Shards: c.Shards, Connections: 8, Now: c.Now})
}
