// Package postgres runs PostgreSQL from the machine's packages: a server of
// its own in a temporary folder, and the programs that talk to one.
package postgres

import (
	"context"
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
)

// Server is a PostgreSQL that Start has started.
type Server struct {
	Dir  string // its data folder
	Port int

	bin string
	as  *syscall.Credential // PostgreSQL refuses to run as root

	schemas atomic.Int64
}

// Programs finds the folder of PostgreSQL's programs; Debian keeps them off the
// PATH.
func Programs() (string, error) {
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

// Start starts a server, durable as PostgreSQL is by default, with its data in
// a new folder below dir, "" being the system's for temporary files. Settings
// are lines of postgresql.conf. The caller closes it.
func Start(dir string, settings ...string) (*Server, error) {
	programs, err := Programs()
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp(dir, "tributary-postgres-*")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: filepath.Join(root, "data"), bin: programs}
	if err := s.start(root, settings); err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	return s, nil
}

func (s *Server) start(root string, settings []string) error {
	if err := s.unprivileged(root); err != nil {
		return err
	}
	var err error
	if s.Port, err = freePort(); err != nil {
		return err
	}
	if err := s.Run("initdb", "-D", s.Dir, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"); err != nil {
		return err
	}
	lines := append([]string{
		fmt.Sprintf("port = %d", s.Port), "listen_addresses = '127.0.0.1'", fmt.Sprintf("unix_socket_directories = '%s'", root),
		"shared_buffers = 256MB", "max_connections = 300", "max_wal_size = 2GB",
	}, settings...)
	if err := s.Configure(lines...); err != nil {
		return err
	}
	return s.Up()
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

// Run runs one of PostgreSQL's programs as the server's user.
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

// Close stops the server and removes its folder.
func (s *Server) Close() error { return errors.Join(s.Stop(), os.RemoveAll(filepath.Dir(s.Dir))) }

// PID is the process whose children serve the connections; an error if the
// server is not up.
func (s *Server) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// URL is the server's database.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.Port)
}

// Fresh gives the URL of an empty place of its own in the server's database: a
// new schema.
func (s *Server) Fresh(ctx context.Context) (string, error) {
	return CreateSchema(ctx, s.URL(), fmt.Sprintf("fresh_%d", s.schemas.Add(1)))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
