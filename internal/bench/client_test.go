package bench

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tributary/awswire"
)

func connect(t *testing.T, address string) *client {
	t.Helper()
	c, err := dial(t.Context(), endpoint{address: address}, syncService)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestClientKeepsConnection sends requests of all shapes over one connection.
func TestClientKeepsConnection(t *testing.T) {
	var from []string
	c := connect(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Header.Get("X-Amz-Target")+" "+string(body))
	}))
	large := strings.Repeat("x", 1000)
	for _, r := range []struct {
		call
		want string
	}{
		{call{method: "POST", target: "/a:b/c", body: []byte("{}")}, "POST /a:b/c  {}"},
		{call{method: "GET", target: "/a?b=c"}, "GET /a?b=c  "},
		{call{method: "POST", target: "/", operation: "K.Op", body: []byte(large)}, "POST / K.Op " + large},
		{call{method: "GET", target: "/a"}, "GET /a  "},
	} {
		got, err := c.do(r.call)
		if err != nil || string(got) != r.want {
			t.Errorf("%s %s: got %q, %v", r.method, r.target, got, err)
		}
	}
	for _, f := range from {
		if f != from[0] {
			t.Errorf("the connections were %v", from)
		}
	}
}

// TestClientSigns has a signature checked by the server's own verifier.
func TestClientSigns(t *testing.T) {
	key := awswire.Credentials{AccessKeyID: "AKIAX", SecretKey: "secret"}
	v := awswire.Verifier[string]{Lookup: func(context.Context, string, string) (string, string, error) { return key.SecretKey, "me", nil }}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		who, scope, err := v.Verify(r, body)
		if err != nil || who != "me" || scope.Service != kinesisName || scope.Region != "eu-west-1" {
			http.Error(w, "bad signature", http.StatusForbidden)
		}
	})
	c, err := dial(t.Context(), endpoint{address: address, region: "eu-west-1", key: key}, kinesisName)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, r := range []call{{method: "POST", target: "/", operation: "K.Op", body: []byte("{}")}, {method: "GET", target: "/a:b/records?lastSyncCount=3"}, {method: "POST", target: "/a", body: []byte("[]")}} {
		if _, err := c.do(r); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// raw answers every request with the pieces of an answer, each in a write of
// its own.
func raw(t *testing.T, hangUp bool, pieces ...string) *client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		in := bufio.NewReader(conn)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			for _, p := range pieces {
				if _, err := io.WriteString(conn, p); err != nil {
					return
				}
			}
			if hangUp {
				return
			}
		}
	}()
	c, err := dial(t.Context(), endpoint{address: l.Addr().String()}, syncService)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestClientSplitPackets(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nDate: today\r\ncontent-length:  5 \r\nConnection: keep-alive\r\n\r\nhello"
	for name, pieces := range map[string][]string{
		"Bytes":  strings.Split(answer, ""),
		"Halves": {answer[:20], answer[20:]},
		"Whole":  {answer},
	} {
		t.Run(name, func(t *testing.T) {
			c := raw(t, false, pieces...)
			for range 3 {
				if got, err := c.do(call{method: "GET", target: "/"}); err != nil || string(got) != "hello" {
					t.Fatalf("got %q, %v", got, err)
				}
			}
		})
	}
}

func TestClientRefuses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct{ name, answer, want string }{
		{"Nothing", "", "EOF"},
		{"CutHead", ok + "Content-Le", "EOF"},
		{"CutBody", ok + "Content-Length: 5\r\n\r\nhell", "EOF"},
		{"NoLength", ok + "\r\nhello", "no Content-Length"},
		{"BadLength", ok + "Content-Length: -1\r\n\r\n", "no length"},
		{"HugeLength", ok + "Content-Length: 99999999999\r\n\r\n", "no length"},
		{"Chunks", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunks"},
		{"Closing", ok + "Content-Length: 0\r\nConnection: close\r\n\r\n", "closes"},
		{"OldVersion", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "status line"},
		{"NoStatus", "HTTP/1.1 xyz\r\n\r\n", "status line"},
		{"NoHeader", ok + "hello\r\n\r\n", "header line"},
		{"LongLine", ok + "A: " + strings.Repeat("b", inBuffer) + "\r\n\r\n", "buffer full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := raw(t, true, c.answer).do(call{method: "GET", target: "/"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestClientFault(t *testing.T) {
	c := connect(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-Errortype", "ResourceConflictException")
		w.WriteHeader(http.StatusConflict)
		if r.URL.Path == "/plain" {
			_, _ = io.WriteString(w, "no JSON")
			return
		}
		_, _ = io.WriteString(w, `{"message":"Current SyncCount"}`)
	}))
	for target, message := range map[string]string{"/": "Current SyncCount", "/plain": "no JSON"} {
		_, err := c.do(call{method: "GET", target: target})
		var f *fault
		if !errors.As(err, &f) || *f != (fault{http.StatusConflict, "ResourceConflictException", message}) {
			t.Errorf("%s: got %v", target, err)
		}
	}
}

func TestClientEndsWithContext(t *testing.T) {
	began := make(chan struct{})
	release := make(chan struct{})
	address := serve(t, func(http.ResponseWriter, *http.Request) { close(began); <-release })
	defer close(release)
	ctx, stop := context.WithCancel(t.Context())
	c, err := dial(ctx, endpoint{address: address}, syncService)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	go func() { <-began; stop() }()
	if _, err := c.do(call{method: "GET", target: "/"}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
