package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary/awswire"
)

// TestListenEverywhere: the address that stands for all is none to connect to.
func TestListenEverywhere(t *testing.T) {
	for _, c := range []struct {
		listen, public string
		links          string // begin so
		warned         bool
	}{
		{"0.0.0.0:0", "", "http://127.0.0.1:", true},
		{":0", "", "http://127.0.0.1:", true},
		{"0.0.0.0:0", "https://sync.example.org/", "https://sync.example.org", false},
		{"127.0.0.1:0", "", "http://127.0.0.1:", false},
	} {
		var log, said bytes.Buffer
		cfg := usualSettings(t.TempDir())
		cfg.Listen, cfg.PublicURL, cfg.Warehouse = c.listen, c.public, "none"
		s, err := newServer(t.Context(), &cfg, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		s.greet(&said)
		if err := s.close(); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(s.publicURL(), c.links) || strings.HasSuffix(s.publicURL(), "/") || !strings.Contains(said.String(), "AWS_ENDPOINT_URL=http://127.0.0.1:") {
			t.Errorf("%s: links %s\n%s", c.listen, s.publicURL(), said.String())
		}
		for _, text := range []string{"--public-url is not set", "requests are signed, not encrypted"} {
			if warned := strings.Contains(log.String(), text); warned != c.warned {
				t.Errorf("%s: the log says %s", c.listen, log.String())
			}
		}
	}
}

// TestPortInUse: a start without its ports ends with what to do about it.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().String()
	_, port, _ := net.SplitHostPort(taken)
	for flag, edit := range map[string]func(*serveCmd){
		"--listen":       func(c *serveCmd) { c.Listen = taken },
		"--debug-listen": func(c *serveCmd) { c.DebugListen = taken },
	} {
		cfg := usualSettings(t.TempDir())
		edit(&cfg)
		want := "port " + port + " is in use: choose another with " + flag
		if _, err := newServer(t.Context(), &cfg, slog.New(slog.DiscardHandler)); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestLogOfARun: another number of shards than the store's is warned of, and
// the last line of a clean stop says so.
func TestLogOfARun(t *testing.T) {
	data := t.TempDir()
	for _, c := range []struct {
		shards *int
		warned bool
	}{{new(2), false}, {nil, false}, {new(3), true}} {
		var log bytes.Buffer
		cfg := usualSettings(data)
		cfg.Shards, cfg.Warehouse, cfg.DebugListen = c.shards, "none", "127.0.0.1:0"
		s, err := newServer(t.Context(), &cfg, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := s.run(ctx); err != nil {
			t.Error(err)
		}
		if warned := strings.Contains(log.String(), "--shards is used for new stores only"); warned != c.warned || !strings.HasSuffix(log.String(), "msg=stopped\n") {
			t.Errorf("%v shards: %s", c.shards, log.String())
		}
	}
}

// impatientServer is a server that gives answers a moment to be taken. closed
// is told of each connection that the server gives up.
func impatientServer(t *testing.T) (s *server, closed chan struct{}) {
	t.Helper()
	c := usualSettings(t.TempDir())
	c.Warehouse = "none"
	s, err := newServer(t.Context(), &c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if s.http.WriteTimeout <= s.http.ReadTimeout {
		t.Errorf("%v for a request with its answer, %v of it for the body", s.http.WriteTimeout, s.http.ReadTimeout)
	}
	s.http.WriteTimeout = 100 * time.Millisecond
	closed = make(chan struct{}, 10)
	s.http.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	runServer(t, s)
	return s, closed
}

// TestNeverReads: a client that asks again and again and reads nothing loses
// its connection.
func TestNeverReads(t *testing.T) {
	s, closed := impatientServer(t)
	c, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	for err = error(nil); err == nil; {
		_, err = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	select {
	case <-closed:
	case <-ctx.Done():
		t.Errorf("the server keeps the connection; the client: %v", err)
	}
}

// TestSlowQuery: a query may take longer than other answers.
func TestSlowQuery(t *testing.T) {
	s, _ := impatientServer(t)
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(2 * s.http.WriteTimeout)
		_, _ = io.WriteString(w, "late")
	})
	f := s.http.Handler.(*fronts)
	f.api, f.ops = slow, slow
	get := func(path string) (string, error) {
		r, err := http.Get(s.url() + path)
		if err != nil {
			return "", err
		}
		defer func() { _ = r.Body.Close() }()
		text, err := io.ReadAll(r.Body)
		return string(text), err
	}
	if text, err := get("/_tributary/v1/query"); err != nil || text != "late" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := get("/metrics"); err == nil {
		t.Errorf("an answer after the write timeout: %q", text)
	}
}

// TestSlowBackup: a backup may take as long as it is read.
func TestSlowBackup(t *testing.T) {
	s, _ := impatientServer(t)
	const pieces = 5
	s.http.Handler.(*fronts).api = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range pieces {
			<-time.After(s.http.WriteTimeout)
			_, _ = io.WriteString(w, "piece ")
			_ = http.NewResponseController(w).Flush()
		}
	})
	r, err := http.Post(s.url()+"/_tributary/v1/backup", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if text, err := io.ReadAll(r.Body); err != nil || string(text) != strings.Repeat("piece ", pieces) {
		t.Errorf("%q, %v", text, err)
	}
}

// TestStreamLimit reads from the server's first frame of HTTP/2, its settings,
// how many requests it takes at once on a connection.
func TestStreamLimit(t *testing.T) {
	s := startServer(t, func(c *serveCmd) { c.Warehouse = "none" })
	c, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	var head [9]byte // length, type, flags, stream
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	settings := make([]byte, head[2])
	if _, err := io.ReadFull(c, settings); err != nil {
		t.Fatal(err)
	}
	const maxConcurrentStreams, want = 3, 100
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == maxConcurrentStreams && binary.BigEndian.Uint32(settings[2:]) == want {
			return
		}
	}
	t.Errorf("the server does not limit a connection to %d requests", want)
}

// TestKinesisLimits: of 2 MiB that are put at once half is refused where Amazon's
// limits hold, and nothing where nobody asked for them.
func TestKinesisLimits(t *testing.T) {
	for limits, want := range map[bool]string{false: `"FailedRecordCount":0,`, true: `"FailedRecordCount":2,`} {
		s := startServer(t, func(c *serveCmd) { c.Warehouse, c.KinesisLimits = "none", limits })
		send := func(op, body string) string {
			r := httptest.NewRequest(http.MethodPost, s.url()+"/", strings.NewReader(body))
			r.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
			awswire.Sign(r, []byte(body), *s.newKey, "us-east-1", "kinesis", time.Now())
			w := httptest.NewRecorder()
			s.http.Handler.ServeHTTP(w, r)
			return w.Body.String()
		}
		send("CreateStream", `{"StreamName":"s"}`)
		record := `{"PartitionKey":"k","Data":"` + strings.Repeat("AAAA", 1<<19/3) + `"}`
		if got := send("PutRecords", `{"StreamName":"s","Records":[`+strings.Repeat(record+",", 3)+record+`]}`); !strings.Contains(got, want) {
			t.Errorf("limits %t: %.300s, want %s", limits, got, want)
		}
	}
}
