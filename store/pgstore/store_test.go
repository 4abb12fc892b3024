package pgstore_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/pgstore"
	"tributary/store/storetest"
)

func open(t testing.TB, c pgstore.Config) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestStore runs the suite that every engine must pass, and looks at the SQL
// that it sends.
func TestStore(t *testing.T) {
	server := pgtest.Start(t)
	wire := tap(t, server)
	var o storetest.Options
	if testing.Short() {
		o = storetest.Options{Seeds: 1, Steps: 50}
	}
	storetest.Run(t, func(t testing.TB) tributary.Store {
		return open(t, pgstore.Config{URL: wire.through(t, server.Fresh(t)), Connections: 8})
	}, o)
	wire.check(t)
}

// TestMigrateAtOnce starts several nodes on an empty database.
func TestMigrateAtOnce(t *testing.T) {
	server := pgtest.Start(t)
	for range 5 {
		url := server.Fresh(t)
		var nodes sync.WaitGroup
		ids := make([]string, 8)
		for i := range ids {
			nodes.Go(func() {
				s, err := pgstore.Open(t.Context(), pgstore.Config{URL: url})
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = s.ID()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		nodes.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatalf("the nodes see stores %q", ids)
			}
		}
	}
}

// TestForeignTable has a table of another's in the way: it is told, and left
// alone.
func TestForeignTable(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Fresh(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `CREATE TABLE sessions (theirs text)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := pgstore.Open(ctx, pgstore.Config{URL: url}); tributary.KindOf(err) != tributary.Invalid || !strings.Contains(err.Error(), "sessions") {
		t.Errorf("a foreign table: %v", err)
	}
	if _, err := conn.Exec(t.Context(), `SELECT theirs FROM sessions`); err != nil {
		t.Error(err)
	}
}
