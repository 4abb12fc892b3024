package pgstore_test

import (
	"sync"
	"testing"

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

// TestStore runs the suite that every engine must pass.
func TestStore(t *testing.T) {
	server := pgtest.Start(t)
	var o storetest.Options
	if testing.Short() {
		o = storetest.Options{Seeds: 1, Steps: 50}
	}
	storetest.Run(t, func(t testing.TB) tributary.Store {
		return open(t, pgstore.Config{URL: server.Fresh(t), Connections: 8})
	}, o)
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
