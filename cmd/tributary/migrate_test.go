package main

import (
	"strings"
	"testing"

	"tributary/internal/pgtest"
)

// TestMigrate: a dry run prints what is to be done and does nothing of it.
func TestMigrate(t *testing.T) {
	env := map[string]string{"TRIBUTARY_STORE": pgtest.Start(t).Fresh(t)}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"migrate", "--dry-run"}, "CREATE TABLE pools"},
		{[]string{"migrate", "--dry-run"}, "CREATE TABLE pools"}, // still
		{[]string{"migrate", "--shards", "7"}, "was brought from version 0 to"},
		{[]string{"migrate", "--dry-run"}, "nothing to do"},
		{[]string{"migrate"}, "nothing to do"},
	} {
		if code, stdout, stderr := tool(t, env, c.args...); code != 0 || !strings.Contains(stdout, c.says) {
			t.Errorf("%v: %d %s%s", c.args, code, stdout, stderr)
		}
	}
	s := startServer(t, func(c *serveCmd) { c.Store, c.Warehouse, c.Shards = env["TRIBUTARY_STORE"], "none", nil })
	if shards, err := s.store.Shards(t.Context()); err != nil || len(shards) != 7 {
		t.Errorf("the default log has shards %v, %v", shards, err)
	}
	if code, _, stderr := tool(t, map[string]string{"TRIBUTARY_STORE": ""}, "migrate"); code != 2 || !strings.Contains(stderr, "--store is not set") {
		t.Errorf("without --store: %d %s", code, stderr)
	}
}
