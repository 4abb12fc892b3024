// Package pgtest runs PostgreSQL for tests.
package pgtest

import (
	"testing"

	"tributary/internal/postgres"
)

// Server is a running PostgreSQL of a test's own.
type Server struct{ *postgres.Server }

// Start starts a server that stops when the test, or the main of tests, ends.
// Settings are lines of postgresql.conf.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	if _, err := postgres.Programs(); err != nil && testing.Short() {
		t.Skip(err)
	}
	// Tests kill processes, not the machine, which keeps what was written to it.
	s, err := postgres.Start("", append([]string{"fsync = off", "full_page_writes = off"}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test may have stopped it
	return &Server{s}
}

// Fresh gives the URL of an empty place of its own in the server's database.
func (s *Server) Fresh(t testing.TB) string {
	t.Helper()
	url, err := s.Server.Fresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}
