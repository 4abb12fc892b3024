package pgstore_test

import (
	"context"
	"errors"
	"fmt"
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

const (
	pool = tributary.PoolID("us-east-1:00000000-0000-4000-8000-000000000001")
	user = tributary.IdentityID("us-east-1:00000000-0000-4000-8000-000000000002")
)

// populate makes a pool with one identity.
func populate(t testing.TB, s tributary.Store) {
	t.Helper()
	if err := s.PutPool(t.Context(), tributary.Pool{ID: pool, Name: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutIdentity(t.Context(), tributary.Identity{ID: user, Pool: pool}); err != nil {
		t.Fatal(err)
	}
}

func key(n int) tributary.DatasetKey {
	return tributary.DatasetKey{Pool: pool, Identity: user, Dataset: tributary.DatasetName(fmt.Sprint("d", n))}
}

// write writes one record, and gives the dataset's count afterwards.
func write(ctx context.Context, s tributary.Store, k tributary.DatasetKey, id tributary.ChangeID) (int64, error) {
	v, err := s.View(ctx, k, []string{"k"})
	if err != nil {
		return 0, err
	}
	v.Pool.Limits.Datasets = 1000
	patch := tributary.Patch{Key: "k", Value: fmt.Sprint(id), SyncCount: v.Dataset.SyncCount}
	c, err := v.Apply([]tributary.Patch{patch}, tributary.Writer{ID: id, By: "test", Now: 1})
	if err != nil {
		return 0, err
	}
	return c.SyncCount, s.Commit(ctx, c)
}

// TestOutage stops the database under load, as a crash would, and starts it
// again: callers get Unavailable meanwhile, the store goes on by itself, and
// what was acknowledged is there, once.
func TestOutage(t *testing.T) {
	server := pgtest.Start(t)
	s := open(t, pgstore.Config{URL: server.Fresh(t)})
	populate(t, s)
	books := &storetest.Acked{}
	watched := books.Watch(s)
	const writers = 8
	for round := range 3 {
		ctx, stop := context.WithCancel(t.Context())
		var load sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		for w := range writers {
			load.Go(func() {
				for n := tributary.ChangeID(1); ctx.Err() == nil; n++ {
					_, err := write(t.Context(), watched, key(w), tributary.ChangeID(round*writers+w+1)<<32|n)
					kind := tributary.KindOf(err)
					if err != nil && kind != tributary.Unavailable && kind != tributary.Stale {
						t.Error(err)
						return
					}
					if kind == tributary.Unavailable {
						mu.Lock()
						refused++
						mu.Unlock()
						time.Sleep(10 * time.Millisecond)
					}
				}
			})
		}
		time.Sleep(200 * time.Millisecond) // of load
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(t.Context()); tributary.KindOf(err) != tributary.Unavailable {
			t.Errorf("ready without a database: %v", err)
		}
		if err := server.Up(); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { return s.Ready(t.Context()) })
		eventually(t, func() error {
			_, err := write(t.Context(), watched, key(writers), tributary.ChangeID(round+1))
			return err
		})
		stop()
		load.Wait()
		if refused == 0 {
			t.Error("nobody noticed the outage")
		}
	}
	if err := errors.Join(storetest.Verify(t.Context(), s, storetest.Checks{Lost: true, Usage: true}), books.Check(t.Context(), s)); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for err := f(); err != nil; err = f() {
		if time.Now().After(deadline) {
			t.Fatalf("still: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestReadOnly has a database that takes no writes, as a primary that was
// demoted: reads go on, writes are refused, and the store recovers.
func TestReadOnly(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Fresh(t)
	s := open(t, pgstore.Config{URL: url})
	populate(t, s)
	if _, err := write(t.Context(), s, key(1), 1); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, on := range []bool{true, false} {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf(`ALTER SYSTEM SET default_transaction_read_only = %t`, on)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), `SELECT pg_reload_conf()`); err != nil {
			t.Fatal(err)
		}
		if !on {
			break
		}
		eventually(t, func() error {
			if err := s.Ready(t.Context()); tributary.KindOf(err) != tributary.Unavailable {
				return errors.New("still ready")
			}
			return nil
		})
		if _, err := write(t.Context(), s, key(1), 2); tributary.KindOf(err) != tributary.Unavailable {
			t.Errorf("a write to a read-only database: %v", err)
		}
		if _, err := s.View(t.Context(), key(1), nil); err != nil {
			t.Errorf("a read: %v", err)
		}
		if _, err := conn.Exec(t.Context(), `SET default_transaction_read_only = off`); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error { _, err := write(t.Context(), s, key(1), 3); return err })
}

// TestNewerSchema: one step ahead is what an old node meets while the nodes are
// replaced. Two are not opened.
func TestNewerSchema(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Fresh(t)
	open(t, pgstore.Config{URL: url})
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	ahead := func(steps int) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), `INSERT INTO schema_versions VALUES ($1)`, pgstore.Version()+steps); err != nil {
			t.Fatal(err)
		}
	}
	ahead(1)
	open(t, pgstore.Config{URL: url})
	ahead(2)
	if _, err := pgstore.Open(t.Context(), pgstore.Config{URL: url}); tributary.KindOf(err) != tributary.Invalid || !strings.Contains(err.Error(), "schema version") {
		t.Errorf("a newer schema: %v", err)
	}
}

// TestOpenErrors names what is wrong with a URL.
func TestOpenErrors(t *testing.T) {
	for url, want := range map[string]tributary.Kind{
		"postgres://127.0.0.1:1/none?sslmode=disable": tributary.Unavailable,
		"postgres://127.0.0.1:x/none":                 tributary.Invalid,
	} {
		if _, err := pgstore.Open(t.Context(), pgstore.Config{URL: url}); tributary.KindOf(err) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestTwoNodes has two nodes on one database, each with syncs of the same
// datasets: counts and log agree, and a reader on one sees the other's.
func TestTwoNodes(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Fresh(t)
	nodes := []*pgstore.Store{open(t, pgstore.Config{URL: url}), open(t, pgstore.Config{URL: url})}
	populate(t, nodes[0])
	books := &storetest.Acked{}
	var load sync.WaitGroup
	const each = 100
	for w := range 8 {
		load.Go(func() {
			s := books.Watch(nodes[w%2])
			for n := range each {
				for {
					_, err := write(t.Context(), s, key(w/4), tributary.ChangeID(w+1)<<32|tributary.ChangeID(n))
					if err == nil {
						break
					}
					if tributary.KindOf(err) != tributary.Stale {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	shards, err := nodes[0].Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hash := tributary.HashOf(string(user))
	shard := tributary.Shard{Stream: tributary.DefaultStream}
	for i, r := range tributary.EvenShards(len(shards)) {
		if !hash.Less(r.Start) && !r.End.Less(hash) {
			shard = shards[i]
		}
	}
	seen, at := 0, tributary.Position("")
	for seen < 8*each {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := nodes[1].Wait(ctx, shard, at)
		cancel()
		if err != nil {
			t.Fatalf("after %d entries: %v", seen, err)
		}
		entries, err := nodes[1].Read(t.Context(), shard, at, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, n, _ := e.Position.Split(); n != uint64(seen+1) {
				t.Fatalf("entry %d is at %s", seen+1, e.Position)
			}
			seen, at = seen+1, e.Position
		}
	}
	load.Wait()
	if err := errors.Join(storetest.Verify(t.Context(), nodes[0], storetest.Checks{Lost: true, Usage: true}), books.Check(t.Context(), nodes[1])); err != nil {
		t.Error(err)
	}
}
