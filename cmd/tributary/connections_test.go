package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// crowded is a server that has room for few connections, and loses patience
// soon with who sends no request.
func crowded(t *testing.T, most int, patience time.Duration) (*server, *safeBuffer) {
	t.Helper()
	log := &safeBuffer{}
	c := usualSettings(t.TempDir())
	c.Warehouse, c.MaxConnections = "none", most
	s, err := newServer(t.Context(), &c, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.http.ReadHeaderTimeout = patience
	runServer(t, s)
	return s, log
}

// client is a connection by hand.
type client struct {
	net.Conn
	from *bufio.Reader
}

func dial(t *testing.T, s *server) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{c, bufio.NewReader(c)}
}

// ask does a request, after which the connection is idle.
func (c *client) ask() error {
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	a, err := http.ReadResponse(c.from, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", a.StatusCode)
	}
	return err
}

func (l *connections) countIdle() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for c := range l.open {
		if c.idle.Load() != 0 {
			n++
		}
	}
	return n
}

// TestIdleMakesRoom: at the limit newcomers take the place of who has been idle
// the longest, and of nobody else.
func TestIdleMakesRoom(t *testing.T) {
	const most = 4
	s, log := crowded(t, most, time.Minute)
	var all []*client
	for i := range most + 2 {
		c := dial(t, s)
		if err := c.ask(); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		for s.connections.countIdle() < min(i+1, most) { // the answer comes first
			<-time.After(time.Millisecond)
		}
		all = append(all, c)
	}
	for i, c := range all {
		if err := c.ask(); (err == nil) != (i >= 2) {
			t.Errorf("connection %d of %d, of which %d may be open: %v", i, len(all), most, err)
		}
	}
	if n := strings.Count(log.String(), "all connections are in use"); n != 1 {
		t.Errorf("the log says so %d times: %s", n, log)
	}
}

// TestSlowHeaders: clients who fill all places with headers that never end
// lose them, and others are answered.
func TestSlowHeaders(t *testing.T) {
	const most = 4
	s, _ := crowded(t, most, 300*time.Millisecond)
	var slow []*client
	for range 3 * most {
		c := dial(t, s)
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	drip, stop := context.WithCancel(t.Context())
	defer stop()
	for _, c := range slow {
		go func() {
			every := time.NewTicker(20 * time.Millisecond)
			defer every.Stop()
			for drip.Err() == nil {
				if _, err := io.WriteString(c, "a"); err != nil {
					return
				}
				<-every.C
			}
		}()
	}
	if err := dial(t, s).ask(); err != nil {
		t.Errorf("in between: %v", err)
	}
	for i, c := range slow { // each is told so, or only closed
		if a, err := http.ReadResponse(c.from, nil); err == nil && a.StatusCode < 400 {
			t.Errorf("slow client %d is answered with %d", i, a.StatusCode)
		}
	}
}

// TestWaitsForBusy: without an idle connection a newcomer waits until one ends,
// or is: the requests under way go on.
func TestWaitsForBusy(t *testing.T) {
	for _, c := range []struct{ name, request string }{
		{"ends", "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
		{"goes idle", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := crowded(t, 1, time.Minute)
			entered, leave := make(chan struct{}), make(chan struct{})
			f := s.http.Handler.(*fronts)
			usual := f.ops
			f.ops = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/metrics" {
					close(entered)
					<-leave
				}
				usual.ServeHTTP(w, r)
			})
			busy := dial(t, s)
			if _, err := io.WriteString(busy, c.request); err != nil {
				t.Fatal(err)
			}
			<-entered
			answered := make(chan error, 1)
			newcomer := dial(t, s)
			go func() { answered <- newcomer.ask() }()
			for !s.connections.waiting.Load() { // until it is let wait
				select {
				case err := <-answered:
					t.Fatalf("answered while the only place was taken: %v", err)
				case <-time.After(time.Millisecond):
				}
			}
			close(leave)
			if a, err := http.ReadResponse(busy.from, nil); err != nil || a.StatusCode != http.StatusOK {
				t.Errorf("the request under way: %v", err)
			} else if _, err := io.Copy(io.Discard, a.Body); err != nil {
				t.Errorf("the request under way: %v", err)
			}
			if err := <-answered; err != nil {
				t.Errorf("the newcomer: %v", err)
			}
		})
	}
}

// TestStopsWhileCrowded: a newcomer that waits does not keep a server from its
// end.
func TestStopsWhileCrowded(t *testing.T) {
	c := usualSettings(t.TempDir())
	c.Warehouse, c.MaxConnections = "none", 1
	s, err := newServer(t.Context(), &c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.http.ReadHeaderTimeout, s.http.ReadTimeout = time.Hour, time.Hour
	stop := runServer(t, s)
	first := dial(t, s)
	if _, err := io.WriteString(first, "GET /healthz HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	dial(t, s)
	for !s.connections.waiting.Load() {
		<-time.After(time.Millisecond)
	}
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(30 * time.Second):
		_ = first.Close() // which lets it
		t.Error("the server did not end")
	}
}

// TestRefusalIsRead: a client that sends more than is read gets its refusal, and
// no broken connection.
func TestRefusalIsRead(t *testing.T) {
	s, _ := crowded(t, 4, time.Minute)
	for range 20 {
		c := dial(t, s)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("h", 300<<10)+"\r\n\r\n")
		a, err := http.ReadResponse(c.from, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, a.Body)
		}
		if err != nil || a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header that is too long: %v", err)
		}
		_ = c.Close()
	}
}

// TestConnectionsFor: the store keeps files of its own.
func TestConnectionsFor(t *testing.T) {
	for files, want := range map[uint64]int{256: 192, 1024: 768, 20_000: 17_952, 1 << 40: 1 << 20} {
		if have := connectionsFor(files); have != want {
			t.Errorf("%d files leave %d connections, want %d", files, have, want)
		}
	}
}
