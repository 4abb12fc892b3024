// Package pgtest runs PostgreSQL for tests: a server of its own, from the
// machine's packages, in a temporary folder.
package pgtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// Server is a running PostgreSQL.
type Server struct {
	Dir  string // its data folder
	Port int

	bin string
	as  *syscall.Credential // PostgreSQL refuses to run as root

	schemas atomic.Int64
}

// bin finds the folder of PostgreSQL's programs; Debian keeps them off the PATH.
func bin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("PostgreSQL is not installed: apt-get install postgresql")
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

func version(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // 0 if it is no number
	return n
}

// Start starts a server that stops when the test, or the main of tests, ends.
// Settings are lines of postgresql.conf.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	if _, err := bin(); err != nil && testing.Short() {
		t.Skip(err)
	}
	s, err := start(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(); _ = os.RemoveAll(filepath.Dir(s.Dir)) })
	return s
}

func start(settings []string) (*Server, error) {
	programs, err := bin()
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("", "tributary-postgres-*")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: filepath.Join(root, "data"), bin: programs}
	if err := s.unprivileged(root); err != nil {
		return nil, err
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	if err := s.Run("initdb", "-D", s.Dir, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"); err != nil {
		return nil, err
	}
	lines := append([]string{
		fmt.Sprintf("port = %d", s.Port), "listen_addresses = '127.0.0.1'", fmt.Sprintf("unix_socket_directories = '%s'", root),
		"shared_buffers = 256MB", "max_connections = 300", "max_wal_size = 2GB",
	}, settings...)
	if err := s.Configure(lines...); err != nil {
		return nil, err
	}
	return s, s.Up()
}

// unprivileged chooses whom the server runs as.
func (s *Server) unprivileged(root string) error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(root, int(uid), int(gid))
}

// Configure adds lines to postgresql.conf.
func (s *Server) Configure(lines ...string) error {
	f, err := os.OpenFile(filepath.Join(s.Dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// Run runs one of PostgreSQL's programs.
func (s *Server) Run(program string, args ...string) error {
	c := exec.Command(filepath.Join(s.bin, program), args...)
	c.Dir, c.SysProcAttr = filepath.Dir(s.Dir), &syscall.SysProcAttr{Credential: s.as}
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

func (s *Server) log() string { return filepath.Join(filepath.Dir(s.Dir), "log") }

// Up starts the server, and waits until it answers.
func (s *Server) Up() error { return s.Run("pg_ctl", "-D", s.Dir, "-l", s.log(), "-w", "start") }

// Stop stops the server at once, as a crash would, but for what is on disk.
func (s *Server) Stop() error { return s.Run("pg_ctl", "-D", s.Dir, "-m", "immediate", "-w", "stop") }

// Fresh gives the URL of an empty place of its own in the server's database: a
// new schema.
func (s *Server) Fresh(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.schemas.Add(1))
	if err := s.Run("psql", "-h", filepath.Dir(s.Dir), "-p", strconv.Itoa(s.Port), "-U", "postgres", "-qc", "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable&search_path=%s", s.Port, name)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
