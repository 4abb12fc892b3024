package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// postgresPort is the port of every PostgreSQL here: each has an address of
// its own.
const postgresPort = "15432"

// postgres is a PostgreSQL of the test's own, from the machine's packages.
type postgres struct {
	address string // that it listens on
	root    string // folder of its data, its socket and its log
	bin     string
	as      *syscall.Credential // PostgreSQL refuses to run as root
	cmd     *exec.Cmd
	ended   chan struct{}
}

// newPostgres makes one that has no data yet and does not run.
func newPostgres(t *testing.T, address string) *postgres {
	t.Helper()
	p, err := makePostgres(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if log, err := os.ReadFile(p.path("log")); t.Failed() && err == nil {
			t.Logf("the end of the log of PostgreSQL on %s:\n%s", p.address, log[max(0, len(log)-2000):])
		}
		_ = p.remove()
	})
	return p
}

// makePostgres is newPostgres for a PostgreSQL that the caller removes.
func makePostgres(address string) (*postgres, error) {
	p := &postgres{address: address}
	var err error
	if p.bin, err = postgresPrograms(); err != nil {
		return nil, err
	}
	// Not t.TempDir, into which another user cannot look.
	if p.root, err = os.MkdirTemp("", "tributary-postgres-"); err != nil {
		return nil, err
	}
	if os.Getuid() != 0 {
		return p, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, errors.Join(err, p.remove())
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(p.root, int(uid), int(gid)); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// remove kills it and removes its folder.
func (p *postgres) remove() error {
	p.crash()
	return os.RemoveAll(p.root)
}

// postgresPrograms finds the folder of the newest PostgreSQL's programs;
// Debian keeps them off the PATH.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		version := func(path string) int { n, _ := strconv.Atoi(strings.Split(path, "/")[4]); return n }
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	path, err := exec.LookPath("initdb")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", errors.New("PostgreSQL is not installed: apt-get install postgresql")
	}
	return filepath.Dir(path), nil
}

func (p *postgres) path(name string) string { return filepath.Join(p.root, name) }

// hostPort is where clients find it.
func (p *postgres) hostPort() string { return p.address + ":" + postgresPort }

func (p *postgres) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(p.bin, program), args...)
	c.Dir, c.SysProcAttr = p.root, &syscall.SysProcAttr{Credential: p.as}
	return c
}

func (p *postgres) run(program string, args ...string) (string, error) {
	out, err := p.command(program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("PostgreSQL on %s: %s: %w: %s", p.address, program, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// create makes a database cluster that all addresses of a network may use.
func (p *postgres) create(network string, settings ...string) error {
	if _, err := p.run("initdb", "-D", p.path("data"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"); err != nil {
		return err
	}
	for name, lines := range map[string][]string{
		"postgresql.conf": append([]string{"shared_buffers = 64MB", "max_connections = 100", "log_min_error_statement = panic"}, settings...),
		"pg_hba.conf":     {"host all all " + network + " trust", "host replication all " + network + " trust"},
	} {
		f, err := os.OpenFile(filepath.Join(p.path("data"), name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("\n" + strings.Join(lines, "\n") + "\n")
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// follow makes it a copy of a primary, which streams to it from now on.
func (p *postgres) follow(primary *postgres) error {
	if err := os.RemoveAll(p.path("data")); err != nil {
		return err
	}
	_, err := p.run("pg_basebackup", "-h", primary.address, "-p", postgresPort, "-U", "postgres", "-D", p.path("data"),
		"-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err != nil {
		return err
	}
	return p.up()
}

// up starts it, and waits until it answers.
func (p *postgres) up() error {
	log, err := os.OpenFile(p.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	p.cmd = p.command("postgres", "-D", p.path("data"), "-c", "listen_addresses="+p.address, "-c", "port="+postgresPort,
		"-c", "unix_socket_directories="+p.root)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(p.cmd, p.ended)
	return poll(time.Minute, func() error { _, err := p.sql("SELECT 1"); return err })
}

// sql runs a statement as the database's superuser, through its socket.
func (p *postgres) sql(statement string) (string, error) {
	return p.run("psql", "-h", p.root, "-p", postgresPort, "-U", "postgres", "-qAtc", statement)
}

// set changes a setting at once.
func (p *postgres) set(name, value string) error {
	if _, err := p.sql(fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value)); err != nil {
		return err
	}
	_, err := p.sql("SELECT pg_reload_conf()")
	return err
}

// signal sends a signal to all of its processes, which are not one group.
func (p *postgres) signal(sig syscall.Signal) {
	pid := p.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	_ = p.cmd.Process.Signal(sig)
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, sig) // it may have ended
		}
	}
}

// crash kills it, as kill -9 does.
func (p *postgres) crash() {
	if p.cmd != nil {
		p.signal(syscall.SIGKILL)
		<-p.ended
		p.cmd = nil
	}
}

// pair is a primary and its synchronous standby: a commit is acknowledged when
// it is on both disks.
type pair struct{ primary, standby *postgres }

// newPair starts a primary and a standby on two addresses of a network.
func newPair(t *testing.T, network, one, two string) *pair {
	t.Helper()
	p := &pair{newPostgres(t, one), newPostgres(t, two)}
	err := p.primary.create(network, "synchronous_commit = on", "wal_retrieve_retry_interval = 200ms")
	if err == nil {
		err = p.primary.up()
	}
	if err == nil {
		err = p.rebuild()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// url names both: a node finds out which of them takes writes.
func (p *pair) url() string {
	return "postgres://postgres@" + p.primary.hostPort() + "," + p.standby.hostPort() + "/postgres?sslmode=disable&target_session_attrs=read-write"
}

// rebuild makes the standby anew, and waits until it has all that the primary
// has acknowledged. From then on the primary waits for it.
func (p *pair) rebuild() error {
	if err := p.standby.follow(p.primary); err != nil {
		return err
	}
	if err := p.primary.set("synchronous_standby_names", "*"); err != nil {
		return err
	}
	last, err := p.primary.sql("SELECT pg_current_wal_flush_lsn()")
	if err != nil {
		return err
	}
	return poll(time.Minute, func() error {
		n, err := p.primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND flush_lsn >= '" + last + "'")
		if err == nil && n != "1" {
			err = errors.New("the standby is behind")
		}
		return err
	})
}

// failOver kills the primary, waits, and promotes the standby, which goes on
// alone. The roles are exchanged then.
func (p *pair) failOver(outage time.Duration) error {
	p.primary.crash()
	<-time.After(outage)
	p.primary, p.standby = p.standby, p.primary
	if _, err := p.primary.run("pg_ctl", "-D", p.primary.path("data"), "-w", "promote"); err != nil {
		return err
	}
	return p.primary.set("synchronous_standby_names", "")
}
