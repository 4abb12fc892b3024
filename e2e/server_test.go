package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	account = "123456789012"
	region  = "us-east-1"
)

// server is the real binary, serving on a free port of its own choice.
type server struct {
	t    *testing.T
	data string
	args []string
	env  []string

	program     string // the binary; "": the one under test
	credentials string // file of the developer's key; "": that in data
	// within is a command that runs the binary; none if it is empty.
	within []string

	url    string
	cmd    *exec.Cmd
	stdout *output // of this run
	stderr *output // of this run
	ended  chan struct{}
	logs   []*output // stderr of all runs
}

// output is what a process has said so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// newServer makes a server on a new data folder, and where the run's engine is
// PostgreSQL on a new database, not started yet. At the end of the test it is
// stopped, and what it logged is looked through.
func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{t: t, data: filepath.Join(t.TempDir(), "data"), args: args, env: environment(t)}
	if onPostgres() {
		s.env = append(s.env, "TRIBUTARY_STORE="+shared.fresh(t))
	}
	t.Cleanup(s.finish)
	return s
}

// in is the server for the use of a subtest.
func (s *server) in(t *testing.T) *server {
	sub := *s
	sub.t = t
	return &sub
}

// startServer starts a server on a new data folder.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := newServer(t, args...)
	s.start()
	return s
}

// launch starts the process and does not wait for it to be ready.
func (s *server) launch() {
	s.t.Helper()
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", s.data, "--account", account}, s.args...)
	s.launchWith(args...)
}

func (s *server) launchWith(args ...string) {
	s.t.Helper()
	program := s.program
	if program == "" {
		program = binary(s.t)
	}
	command := slices.Concat(s.within, []string{program}, args)
	s.cmd = exec.Command(command[0], command[1:]...)
	s.stdout, s.stderr, s.ended = &output{}, &output{}, make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Env = s.stdout, s.stderr, s.env
	s.logs = append(s.logs, s.stderr)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // the exit code is kept in cmd
		close(ended)
	}(s.cmd, s.ended)
}

func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.awaitReady()
}

var readyPattern = regexp.MustCompile(`is ready on (http://\S+)`)

func (s *server) awaitReady() {
	s.t.Helper()
	eventually(s.t, time.Minute, func() error {
		if m := readyPattern.FindStringSubmatch(s.stdout.String()); m != nil {
			s.url = m[1]
			return nil
		}
		if s.hasEnded() {
			s.t.Fatalf("the server ended by itself: exit code %d\n%s", s.cmd.ProcessState.ExitCode(), s.stderr)
		}
		return errors.New("the server is not ready")
	})
}

func (s *server) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// await waits for the process to end and gives its exit code, -1 for a signal.
func (s *server) await(within time.Duration) int {
	s.t.Helper()
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		_ = s.cmd.Process.Kill()
		s.t.Fatalf("the server did not end within %v\n%s", within, s.stderr)
		return 0
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// stop asks the server to end, which it must do with exit code 0.
func (s *server) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.await(time.Minute); code != 0 {
		s.t.Fatalf("exit code %d after SIGTERM\n%s", code, s.stderr)
	}
}

// kill ends the server at once, as a crash does.
func (s *server) kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	s.await(time.Minute)
}

func (s *server) restart() {
	s.t.Helper()
	s.stop()
	s.start()
}

// finish ends the server at the end of a test and reads what it has logged.
func (s *server) finish() {
	if s.cmd != nil && !s.hasEnded() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
			if code := s.cmd.ProcessState.ExitCode(); code != 0 {
				s.t.Errorf("exit code %d after SIGTERM", code)
			}
		case <-time.After(time.Minute):
			_ = s.cmd.Process.Kill()
			<-s.ended
			s.t.Errorf("the server did not end within a minute of SIGTERM")
		}
	}
	for _, log := range s.logs {
		for _, fault := range []string{"panic", "DATA RACE"} { // also of a run that was killed, and has no exit code
			if strings.Contains(log.String(), fault) {
				s.t.Errorf("the server's log speaks of a %s:\n%s", fault, log)
			}
		}
	}
	if s.t.Failed() && len(s.logs) > 0 {
		text := s.logs[len(s.logs)-1].String()
		s.t.Logf("the end of the server's log:\n%s", text[max(0, len(text)-4000):])
	}
}

// healthy fails the test unless the server answers for itself.
func (s *server) healthy() {
	s.t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(s.url + "/healthz")
	if err != nil {
		s.t.Fatalf("/healthz: %v", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("/healthz: status %d", answer.StatusCode)
	}
}

// key is a developer's access key.
type key struct{ id, secret string }

var keyPattern = regexp.MustCompile(`(?s)aws_access_key_id = (\S+).*aws_secret_access_key = (\S+)`)

// key reads the key that the server made at its first start.
func (s *server) key() key {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, "credentials"))
	if err != nil {
		s.t.Fatal(err)
	}
	m := keyPattern.FindSubmatch(text)
	if m == nil {
		s.t.Fatal("the credentials file has no key")
	}
	return key{string(m[1]), string(m[2])}
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command of the binary to its end.
func (s *server) run(args ...string) result {
	s.t.Helper()
	return runCommand(s.t, s.env, binary(s.t), args...)
}

// mostCommand is how long a command may take before it is killed: one that
// should fail and serves instead would never end.
const mostCommand = 5 * time.Minute

func runCommand(t *testing.T, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), mostCommand)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, env
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, clip(r.stdout), clip(r.stderr))
}
