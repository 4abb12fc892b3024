package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// engineVariable chooses the engine of the servers that bring no database of
// their own.
const engineVariable = "TRIBUTARY_E2E_ENGINE"

const (
	embeddedEngine = "embedded"
	postgresEngine = "postgres"
)

// onPostgres tells whether servers are nodes over PostgreSQL in this run.
func onPostgres() bool { return os.Getenv(engineVariable) == postgresEngine }

// checkEngine refuses an engine that there is not.
func checkEngine() error {
	switch name := os.Getenv(engineVariable); name {
	case "", embeddedEngine, postgresEngine:
		return nil
	default:
		return fmt.Errorf("%s is %q, it must be %s, which is the default, or %s", engineVariable, name, embeddedEngine, postgresEngine)
	}
}

// TestEngine makes sure that the servers store with what the run is about.
func TestEngine(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.awaitGreeting()
	where := filepath.Join(s.data, "store")
	if onPostgres() {
		where = "postgres://tributary@"
	}
	if !strings.Contains(s.stdout.String(), "  store        "+where) {
		t.Errorf("the server says: %s", s.stdout)
	}
	if _, err := os.Stat(filepath.Join(s.data, "store")); (err == nil) == onPostgres() {
		t.Errorf("the folder of the embedded store: %v", err)
	}
}

// embeddedOnly skips a test of what only the embedded store has.
func embeddedOnly(t *testing.T, why string) {
	t.Helper()
	if onPostgres() {
		t.Skipf("of the embedded store only: %s", why)
	}
}

// ownDatabase skips a test that brings a PostgreSQL of its own, and so is the
// same whatever the run's engine is: the run on the embedded store has it.
func ownDatabase(t *testing.T) {
	t.Helper()
	if onPostgres() {
		t.Skipf("brings a PostgreSQL of its own, and runs where %s is %s", engineVariable, embeddedEngine)
	}
}

// databases is one PostgreSQL with a database for each server.
type databases struct {
	mu     sync.Mutex
	server *postgres // nil: nobody has asked for a database
	made   int
}

// shared is that of all tests: to start one takes as long as many of them.
var shared databases

// fresh makes a database that is dropped when the test ends, and gives its URL.
// Its user has no privileges.
func (d *databases) fresh(t *testing.T) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
	}
	p := d.server
	d.made++
	name := fmt.Sprintf("tributary_%d", d.made)
	if _, err := p.sql("CREATE DATABASE " + name + " OWNER tributary"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := p.sql("DROP DATABASE " + name + " WITH (FORCE)"); err != nil { // a server that was killed may still be connected
			t.Error(err)
		}
	})
	return "postgres://tributary@" + p.hostPort() + "/" + name + "?sslmode=disable"
}

// start starts it. The tests kill servers, never the machine, which keeps what
// was written to it.
func (d *databases) start() error {
	p, err := makePostgres(fmt.Sprintf("127.214.%d.1", os.Getpid()%250))
	if err != nil {
		return err
	}
	err = firstError(nil,
		func() error {
			return p.create("127.0.0.0/8", "fsync = off", "full_page_writes = off", "max_connections = 300")
		}, p.up,
		func() error { _, err := p.sql("CREATE USER tributary"); return err })
	if err != nil {
		return errors.Join(err, p.remove())
	}
	d.server = p
	return nil
}

// stop stops it, if it was started.
func (d *databases) stop() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil
	}
	return d.server.remove()
}
