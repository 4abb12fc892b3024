package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// child is a server that the benchmark runs as a process of its own.
type child struct {
	cmd     *exec.Cmd
	url     string
	stderr  tail
	waited  chan struct{}
	outcome error // of the process; read after waited is closed
}

const (
	startTime = time.Minute
	stopTime  = 2 * time.Minute // a store with much to flush
)

// readyText stands before the address in a server's greeting.
const readyText = "is ready on http://"

// startChild starts a server and waits for its greeting. Its environment is
// env, or this process's if that is nil, and more.
func startChild(executable string, env, more []string, args ...string) (*child, error) {
	// Not bound to a context: the end of one would kill it, and it is to stop.
	c := &child{cmd: exec.Command(executable, args...), waited: make(chan struct{})}
	c.cmd.Env, c.cmd.Stderr = env, &c.stderr
	c.cmd.Env = append(c.cmd.Environ(), more...)
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	greeted := make(chan string, 1)
	go func() {
		greeted <- greeting(stdout)
		_, _ = io.Copy(io.Discard, stdout)
		c.outcome = c.cmd.Wait()
		close(c.waited)
	}()
	late := time.NewTimer(startTime)
	defer late.Stop()
	select {
	case c.url = <-greeted:
	case <-late.C:
	}
	if c.url == "" {
		_ = c.cmd.Process.Kill()
		<-c.waited
		return nil, fmt.Errorf("%s did not start: %w", strings.Join(c.cmd.Args, " "), c.said(c.outcome))
	}
	return c, nil
}

// greeting finds the address in what a server says at its start, and "" if the
// server ends first.
func greeting(stdout io.Reader) string {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), readyText); ok {
			return "http://" + strings.TrimSpace(at)
		}
	}
	return ""
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop asks the server to end. It may be called again.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case <-c.waited:
	case <-late.C:
		_ = c.cmd.Process.Kill()
		<-c.waited
		return c.said(errors.New("the server did not stop"))
	}
	if c.outcome != nil {
		return c.said(fmt.Errorf("the server ended: %w", c.outcome))
	}
	return nil
}

// said adds the last words of the server to an error.
func (c *child) said(err error) error {
	if err == nil {
		err = errors.New("it ended")
	}
	if words := c.stderr.String(); words != "" {
		return fmt.Errorf("%w; it said:\n%s", err, words)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

const tailSize = 4 << 10

// Write keeps the last bytes.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

// String is what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// freeAddress finds an address of this host that nobody listens on now.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
