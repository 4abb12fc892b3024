package postgres

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func start(t *testing.T, settings ...string) *Server {
	t.Helper()
	if _, err := Programs(); err != nil && testing.Short() {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "postgres-test-*") // the server's user cannot enter one of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("left behind: %v", err)
		}
	})
	const everybody = 0o755
	if err := os.Chmod(dir, everybody); err != nil {
		t.Fatal(err)
	}
	s, err := Start(dir, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, url, statements string) string {
	t.Helper()
	out, err := SQL(t.Context(), url, statements)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestServer starts a server that is durable, has the settings that it was
// given, and places that do not see each other.
func TestServer(t *testing.T) {
	s := start(t, "work_mem = 7MB")
	if got := ask(t, s.URL(), "SHOW fsync; SHOW synchronous_commit; SHOW work_mem"); got != "on\non\n7MB" {
		t.Errorf("settings: %q", got)
	}
	pid, err := s.PID()
	if err != nil {
		t.Fatal(err)
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || string(name) != "postgres\n" {
		t.Errorf("process %d is %q, %v", pid, name, err)
	}
	var urls [2]string
	for i := range urls {
		var err error
		if urls[i], err = s.Fresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ask(t, urls[0], "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)")
	if got := ask(t, urls[0], "SELECT n, n + 1 FROM t ORDER BY n"); got != "1|2\n2|3" {
		t.Errorf("rows: %q", got)
	}
	if _, err := SQL(t.Context(), urls[1], "SELECT * FROM t"); err == nil || !strings.Contains(err.Error(), `relation "t" does not exist`) {
		t.Errorf("the other place: %v", err)
	}
	if err := DropSchema(t.Context(), s.URL(), "fresh_1"); err != nil {
		t.Error(err)
	}
	if got := ask(t, s.URL(), "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'fresh%'"); got != "fresh_2" {
		t.Errorf("schemas: %q", got)
	}
}

// TestPassword keeps a password off the command line, and out of errors.
func TestPassword(t *testing.T) {
	if _, err := Programs(); err != nil && testing.Short() {
		t.Skip(err)
	}
	c, err := Command(t.Context(), "postgres://me:s3cret@h:1/d?options=-cjit%3Doff", "psql", "-q")
	if err != nil {
		t.Fatal(err)
	}
	if line := strings.Join(c.Args[1:], " "); line != "-q postgres://me@h:1/d?options=-cjit%3Doff" {
		t.Errorf("command line: %s", line)
	}
	if !strings.Contains(strings.Join(c.Env, " "), "PGPASSWORD=s3cret") {
		t.Error("the password is not in the environment")
	}
	for _, bad := range []string{"postgres://me:s3cret@h:port/d", "http://me:s3cret@h/d", "s3cret"} {
		if _, err := Command(t.Context(), bad, "psql"); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
