package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/warehouse/duckdb"
)

// TestNodes has two nodes on one database: what is made on one is there on the
// other, for a key of the first; and a node needs the master key of the others.
func TestNodes(t *testing.T) {
	url := pgtest.Start(t).Fresh(t)
	first := t.TempDir()
	one := startServer(t, func(c *serveCmd) { c.Store, c.Data, c.Warehouse = url, first, "none" })
	another := func(master string) func(*serveCmd) {
		return func(c *serveCmd) { c.Store, c.MasterKeyFile, c.Warehouse = url, master, "none" }
	}
	two := startServer(t, another(filepath.Join(first, "master.key")))
	var said bytes.Buffer
	if two.greet(&said); strings.Contains(said.String(), credentialsName+" (missing") || strings.Contains(said.String(), "AWS_SHARED_CREDENTIALS_FILE") ||
		!strings.Contains(said.String(), `credentials  in the store; "tributary access-key create --offline --store postgres://USER:PASSWORD@HOST:PORT/DATABASE --data `+two.cfg.Data+" --master-key-file "+two.cfg.MasterKeyFile+`"`) {
		t.Errorf("the greeting of a node without credentials:\n%s", said.String())
	}
	const id = "us-east-1:11111111-2222-4333-8444-555555555555"
	if code, _, stderr := tool(t, nil, "pool", "create", "--server", one.url(), "--data", first, "--id", id, "made on one"); code != 0 {
		t.Fatal(stderr)
	}
	if code, stdout, stderr := tool(t, nil, "pool", "show", "--server", two.url(), "--data", first, id); code != 0 || !strings.Contains(stdout, "made on one") {
		t.Errorf("on the other node: %d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := tool(t, map[string]string{"TRIBUTARY_STORE": url}, "access-key", "create", "--offline", "--data", first); code != 0 || !strings.Contains(stdout, "aws_access_key_id") {
		t.Errorf("another key: %d %s", code, stderr)
	}
	wrong := t.TempDir()
	if _, err := masterKey("", wrong, 0, false); err != nil {
		t.Fatal(err)
	}
	cfg := usualSettings(t.TempDir())
	another(filepath.Join(wrong, "master.key"))(&cfg)
	if _, err := newServer(t.Context(), &cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "opens none of the store's access keys") ||
		!strings.Contains(err.Error(), "--new-master-key --store "+databaseForm+" --data "+cfg.Data+" --master-key-file "+cfg.MasterKeyFile+`"`) {
		t.Errorf("with another master key: %v", err)
	}
}

// family is nodes on one database that share a master key.
type family struct {
	*testing.T
	store string
	data  string // of the first node, whose key all use
	key   tributary.DatasetKey

	written int // changes
}

func newFamily(t *testing.T) *family {
	return &family{T: t, store: pgtest.Start(t).Fresh(t), data: t.TempDir(),
		key: tributary.DatasetKey{Pool: "us-east-1:11111111-2222-4333-8444-555555555555", Identity: "us-east-1:22222222-2222-4333-8444-555555555555", Dataset: "d"}}
}

func (f *family) node(edit func(*serveCmd)) (s *server, stop func()) {
	f.Helper()
	c := usualSettings(f.TempDir())
	c.Store, c.MasterKeyFile = f.store, filepath.Join(f.data, "master.key")
	edit(&c)
	if c.Data == f.data {
		c.MasterKeyFile = "" // it makes the key
	}
	s, err := newServer(f.Context(), &c, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	return s, runServer(f.T, s)
}

func (f *family) check(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// write makes a change on a node.
func (f *family) write(on *server) {
	f.Helper()
	developer := tributary.Principal{Account: "000000000000", AccessKey: "test"}
	if _, err := on.service.CreatePool(f.Context(), developer, tributary.Pool{ID: f.key.Pool, Name: "p"}); err == nil {
		_, err = on.service.CreateIdentity(f.Context(), developer, tributary.Identity{ID: f.key.Identity, Pool: f.key.Pool})
		f.check(err)
	}
	f.check(f.tryWrite(on))
}

// tryWrite makes a change, whose value is its number.
func (f *family) tryWrite(on *server) error {
	developer := tributary.Principal{Account: "000000000000", AccessKey: "test"}
	l, err := on.service.ListRecords(f.Context(), developer, f.key, tributary.ListQuery{})
	if err != nil {
		return err
	}
	if l.SyncCount != int64(f.written) {
		return fmt.Errorf("of %d changes there are %d", f.written, l.SyncCount)
	}
	_, err = on.service.UpdateRecords(f.Context(), developer, f.key, tributary.Update{SessionToken: l.SessionToken,
		Patches: []tributary.Patch{{Key: "k", Value: "v", SyncCount: l.SyncCount}}})
	if err == nil {
		f.written++
	}
	return err
}

// rows waits until a query on a node finds so many rows; without cgo nobody can
// be asked.
func (f *family) rows(on *server, want int) {
	f.Helper()
	if !duckdb.Available {
		return
	}
	f.await(on, func(code int, stdout, _ string) bool {
		return code == 0 && strings.Contains(stdout, fmt.Sprint(want, " rows"))
	})
}

func (f *family) await(on *server, ok func(code int, stdout, stderr string) bool) {
	f.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		code, stdout, stderr := tool(f.T, nil, "query", "--server", on.url(), "--data", f.data, "SELECT count(*) || ' rows' AS n FROM cognito_raw_data")
		if ok(code, stdout, stderr) {
			return
		}
		if time.Now().After(deadline) {
			f.Fatalf("a query: %d %s%s", code, stdout, stderr)
		}
	}
}

// TestWarehouseOfNodes: one node has the embedded warehouse, and every node
// answers queries of it. Whoever can go on without a loss takes it over.
func TestWarehouseOfNodes(t *testing.T) {
	if !duckdb.Available {
		t.Skip("there is no embedded warehouse without cgo")
	}
	t.Run("SharedFile", func(t *testing.T) {
		f := newFamily(t)
		file := filepath.Join(t.TempDir(), "shared.duckdb")
		one, stopOne := f.node(func(c *serveCmd) { c.Data, c.WarehouseFile = f.data, file })
		f.write(one)
		f.rows(one, 1)
		two, _ := f.node(func(c *serveCmd) { c.WarehouseFile = file })
		f.rows(two, 1)
		three, _ := f.node(func(c *serveCmd) { c.Warehouse = "none" })
		f.rows(three, 1)
		f.write(three)
		f.rows(two, 2)
		f.trim(one)
		stopOne()
		f.rows(two, 2)
		f.rows(three, 2)
		f.write(three)
		f.rows(three, 3)
	})
	t.Run("FilesOfTheirOwn", func(t *testing.T) {
		f := newFamily(t)
		one, stop := f.node(func(c *serveCmd) { c.Data = f.data })
		f.write(one)
		f.rows(one, 1)
		f.trim(one)
		two, stopTwo := f.node(func(*serveCmd) {})
		stop()
		f.await(two, func(code int, _, stderr string) bool {
			return code == 1 && strings.Contains(stderr, "is in the file of the node "+one.url()+"; "+two.cfg.warehouseFile()+" lacks")
		})
		_, stop = f.node(func(c *serveCmd) { c.Data = f.data }) // has the file
		f.rows(two, 1)
		stopTwo()
		stop()
		three, _ := f.node(func(c *serveCmd) { c.WarehouseLoss = true })
		f.write(three)
		f.rows(three, 1)
	})
}

// trim forgets all that the warehouse has.
func (f *family) trim(on *server) {
	f.Helper()
	leases, err := on.store.Leases(f.Context(), warehouseGroup)
	f.check(err)
	for _, l := range leases {
		f.check(on.store.Trim(f.Context(), l.Shard, l.Checkpoint))
	}
}
