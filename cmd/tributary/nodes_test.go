package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/pgtest"
)

// TestNodes has two nodes on one database: what is made on one is there on the
// other, for a key of the first; and a node needs the master key of the others.
func TestNodes(t *testing.T) {
	url := pgtest.Start(t).Fresh(t)
	first := t.TempDir()
	one := startServer(t, func(c *serveCmd) { c.Store, c.Data = url, first })
	another := func(master string) func(*serveCmd) {
		return func(c *serveCmd) { c.Store, c.MasterKeyFile = url, master }
	}
	two := startServer(t, another(filepath.Join(first, "master.key")))
	const id = "us-east-1:11111111-2222-4333-8444-555555555555"
	if code, _, stderr := tool(t, nil, "pool", "create", "--server", one.url(), "--data", first, "--id", id, "made on one"); code != 0 {
		t.Fatal(stderr)
	}
	if code, stdout, stderr := tool(t, nil, "pool", "show", "--server", two.url(), "--data", first, id); code != 0 || !strings.Contains(stdout, "made on one") {
		t.Errorf("on the other node: %d %s%s", code, stdout, stderr)
	}
	if code, _, stderr := tool(t, nil, "query", "--server", two.url(), "--data", first, "SELECT 1"); code != 1 || !strings.Contains(stderr, "no embedded warehouse over a database of many nodes") {
		t.Errorf("query: %d %s", code, stderr)
	}
	wrong := t.TempDir()
	if _, err := masterKey("", wrong, 0); err != nil {
		t.Fatal(err)
	}
	cfg := usualSettings(t.TempDir())
	another(filepath.Join(wrong, "master.key"))(&cfg)
	if _, err := newServer(t.Context(), &cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "opens none of the store's access keys") {
		t.Errorf("with another master key: %v", err)
	}
}
