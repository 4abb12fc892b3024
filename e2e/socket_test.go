package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sockets sends over plain sockets what no HTTP library would send.
func (w *wrong) sockets(t *testing.T) {
	t.Run("Oversized", func(t *testing.T) { w.oversized(t) })
	t.Run("HalfBody", func(t *testing.T) { w.halfBody(t) })
	t.Run("Targets", func(t *testing.T) { w.targetForms(t) })
	t.Run("Spelling", func(t *testing.T) { w.spelling(t) })
	t.Run("Slow", func(t *testing.T) { // all take the server's time-outs
		t.Run("Malformed", func(t *testing.T) { t.Parallel(); w.malformed(t) })
		t.Run("Header", func(t *testing.T) { t.Parallel(); w.slowHeader(t) })
		t.Run("Idle", func(t *testing.T) { t.Parallel(); w.idle(t) })
	})
	w.s.healthy()
}

// dial opens a connection to the server.
func (w *wrong) dial() (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp", strings.TrimPrefix(w.s.url, "http://"), 10*time.Second)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(25 * time.Second))
}

var errClosed = errors.New("the server closed the connection without an answer")

// readAnswer reads an answer; errClosed if there comes none.
func readAnswer(from *bufio.Reader) (answer, error) {
	if _, err := from.Peek(1); errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return answer{}, errClosed
	}
	r, err := http.ReadResponse(from, nil)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	return answer{r.StatusCode, r.Header, body}, err
}

// exchange sends bytes, says that there will be no more if end is set, and
// reads the answer.
func (w *wrong) exchange(t *testing.T, end bool, parts ...[]byte) (answer, error) {
	t.Helper()
	c, err := w.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, p := range parts {
		if _, err := c.Write(p); err != nil {
			break // the server may have answered before it has read all
		}
	}
	if end {
		_ = c.CloseWrite()
	}
	a, err := readAnswer(bufio.NewReader(c))
	if err != nil && !errors.Is(err, errClosed) {
		t.Fatalf("no answer: %v", err)
	}
	return a, err
}

// head is a signed request as bytes, without its body.
func (w *wrong) head(t *testing.T, r *http.Request, more ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.URL.RequestURI(), r.URL.Host)
	for name, values := range r.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", name, values[0])
	}
	for _, line := range more {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// signedUpdate is an update of the notes that would be taken.
func (w *wrong) signedUpdate(t *testing.T, size int) (*http.Request, []byte) {
	t.Helper()
	body := encode(t, update{w.token, []patch{replace("color", strings.Repeat("x", size), 2)}})
	r, err := w.a.request(syncService, "POST", w.notes.path(), body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

const bodyLimit = 8 << 20

func (w *wrong) oversized(t *testing.T) {
	r, body := w.signedUpdate(t, bodyLimit)
	t.Run("Announced", func(t *testing.T) {
		a, err := w.exchange(t, false, w.head(t, r, fmt.Sprintf("Content-Length: %d", len(body))))
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 413, "RequestEntityTooLargeException", "8388608")
	})
	t.Run("Chunked", func(t *testing.T) {
		chunk := body[:bodyLimit+1]
		a, err := w.exchange(t, false, w.head(t, r, "Transfer-Encoding: chunked"), fmt.Appendf(nil, "%x\r\n", len(chunk)), chunk, []byte("\r\n0\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 413, "RequestEntityTooLargeException", "8388608")
	})
	t.Run("Sent", func(t *testing.T) {
		// With the whole body sent the connection may be gone before the answer is read.
		a, err := w.exchange(t, false, w.head(t, r, fmt.Sprintf("Content-Length: %d", len(body))), body)
		if err == nil {
			wantFault(t, a, 413, "RequestEntityTooLargeException", "8388608")
		}
	})
	t.Run("JustAllowed", func(t *testing.T) {
		// Too large a value, but not too large a body.
		r, body := w.signedUpdate(t, bodyLimit-1024)
		a, err := w.exchange(t, false, w.head(t, r, fmt.Sprintf("Content-Length: %d", len(body))), body)
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 400, "LimitExceededException", "")
	})
	t.Run("JSON11", func(t *testing.T) {
		a, err := w.dev.rpc(identityService, "GetId", bytes.Repeat([]byte(" "), 1<<20+1))
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 413, "RequestEntityTooLargeException", "")
	})
}

func (w *wrong) halfBody(t *testing.T) {
	for name, announce := range map[string]string{"Length": "Content-Length: %d", "Chunked": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			r, body := w.signedUpdate(t, 1000)
			line, half := announce, body[:len(body)/2]
			if name == "Length" {
				line = fmt.Sprintf(announce, len(body))
			} else {
				half = append(fmt.Appendf(nil, "%x\r\n", len(body)), half...)
			}
			a, err := w.exchange(t, true, w.head(t, r, line), half)
			if err == nil {
				wantFault(t, a, 400, "IncompleteBody", "")
			}
		})
	}
	t.Run("Left", func(t *testing.T) { // the client goes without a word
		for range 100 {
			r, body := w.signedUpdate(t, 1000)
			c, err := w.dial()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write(append(w.head(t, r, fmt.Sprintf("Content-Length: %d", len(body))), body[:100]...))
			_ = c.SetLinger(0)
			_ = c.Close()
		}
		w.s.healthy()
	})
}

// malformed sends what is no HTTP. Go's own server answers it in plain text,
// with a status of 400 to 505, or closes.
func (w *wrong) malformed(t *testing.T) {
	long := strings.Repeat("h", 100<<10)
	for name, text := range map[string]string{
		"TLS":             "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 300) + "\r\n\r\n",
		"Binary":          strings.Repeat("\x00\xff", 500) + "\r\n\r\n",
		"NoVersion":       "GET /\r\n\r\n",
		"HTTP3":           "GET / HTTP/3.0\r\nHost: x\r\n\r\n",
		"NoHost":          "GET / HTTP/1.1\r\n\r\n",
		"TwoHosts":        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"BrokenEscape":    "GET /identitypools/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"HalfEscape":      "GET /identitypools/%2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"NULInPath":       "GET /identity\x00pools HTTP/1.1\r\nHost: x\r\n\r\n",
		"NULInHeader":     "GET / HTTP/1.1\r\nHost: x\r\nX-A: \x00\r\n\r\n",
		"SpaceInHeader":   "GET / HTTP/1.1\r\nHost: x\r\nX A: b\r\n\r\n",
		"HeaderNoColon":   "GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
		"LongHeader":      "GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + long + "\r\n\r\n",
		"ManyHeaders":     "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 20_000) + "\r\n",
		"LongPath":        "GET /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"LongMethod":      long + " / HTTP/1.1\r\nHost: x\r\n\r\n",
		"LengthNegative":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"LengthHuge":      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"LengthTwice":     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"UnknownEncoding": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n",
		"Expectation":     "POST / HTTP/1.1\r\nHost: x\r\nExpect: miracle\r\nContent-Length: 1\r\n\r\na",
	} {
		t.Run(name, func(t *testing.T) {
			a, err := w.exchange(t, false, []byte(text))
			if err == nil && (a.status < 400 || a.status > 505) {
				t.Errorf("status %d: %s", a.status, clip(string(a.body)))
			}
		})
	}
	t.Run("BrokenChunk", func(t *testing.T) {
		r, _ := w.signedUpdate(t, 1000)
		a, err := w.exchange(t, false, w.head(t, r, "Transfer-Encoding: chunked"), []byte("nonsense\r\n"))
		if err == nil {
			wantFault(t, a, 400, "IncompleteBody", "")
		}
	})
}

// targetForms sends request targets in the unusual forms that HTTP allows.
func (w *wrong) targetForms(t *testing.T) {
	for name, line := range map[string]string{
		"Connect":    "CONNECT example.org:80",
		"Trace":      "TRACE /",
		"Unknown":    "BREW /identitypools",
		"Lower":      "get /identitypools",
		"OtherHost":  "GET http://example.org/identitypools",
		"NoPath":     "GET http://example.org",
		"Fragment":   "GET /identitypools#x",
		"OldVersion": "GET /identitypools",
	} {
		t.Run(name, func(t *testing.T) {
			version := "HTTP/1.1"
			if name == "OldVersion" {
				version = "HTTP/1.0"
			}
			a, err := w.exchange(t, false, []byte(line+" "+version+"\r\nHost: x\r\n\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			checkFault(t, a)
		})
	}
}

// spelling looks at the bytes of an error's header: some clients of HTTP/1.1
// search for its name as AWS writes it.
func (w *wrong) spelling(t *testing.T) {
	for name, request := range map[string]string{
		"Sync":     "GET /identitypools HTTP/1.1\r\n",
		"Identity": "POST / HTTP/1.1\r\nX-Amz-Target: AWSCognitoIdentityService.Nonsense\r\n",
		"Kinesis":  "POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.Nonsense\r\n",
		"Own":      "GET /_tributary/v1/pools/none HTTP/1.1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := w.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := io.WriteString(c, request+"Host: x\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(c)
			if err != nil || !bytes.Contains(answer, []byte("\r\nx-amzn-ErrorType: ")) {
				t.Errorf("%v: %s", err, clip(string(answer)))
			}
		})
	}
}

// slowHeader sends a header that never ends, a byte at a time. The server must
// lose patience.
func (w *wrong) slowHeader(t *testing.T) {
	c, err := w.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	start := time.Now()
	if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")); err != nil {
		t.Fatal(err)
	}
	go func() {
		every := time.NewTicker(100 * time.Millisecond)
		defer every.Stop()
		for range every.C {
			if _, err := c.Write([]byte("a")); err != nil {
				return // closed, by the server or at the end of the test
			}
		}
	}()
	a, err := readAnswer(bufio.NewReader(c))
	if err == nil && a.status < 400 {
		t.Errorf("status %d", a.status)
	} else if err != nil && !errors.Is(err, errClosed) {
		t.Errorf("the server did not give up: %v", err)
	}
	t.Logf("the server gave up after %v", time.Since(start).Round(time.Second))
}

// idle keeps many connections open while normal requests go on.
func (w *wrong) idle(t *testing.T) {
	n := idleConnections(t)
	conns := w.openIdle(t, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	var slowest time.Duration
	d := w.a.dataset("idle")
	for i := range int64(100) {
		start := time.Now()
		w.a.sync(t, d, replace("k", "v", i))
		slowest = max(slowest, time.Since(start))
	}
	t.Logf("%d connections open: the slowest of 100 list and update took %v", n, slowest)
	if slowest > 5*time.Second {
		t.Errorf("a sync took %v", slowest)
	}
	for i := 0; i < n; i += max(1, n/100) { // and they are good still
		if err := ping(conns[i]); err != nil {
			t.Fatalf("connection %d of %d: %v", i, n, err)
		}
	}
}

// idleConnections is how many there can be: 10,000, or what the limit of open
// files leaves.
func idleConnections(t *testing.T) int {
	t.Helper()
	const want = 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < 2*want {
		limit.Cur = min(limit.Max, 2*want)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	// The server is a process of its own, under the same hard limit, and keeps
	// some of it for its store.
	n := int(min(want, limit.Cur/2))
	if n < want {
		t.Logf("the limit of open files is %d: only %d connections", limit.Cur, n)
	}
	return n
}

// openIdle opens connections and sends one request on each, so that the server
// keeps them.
func (w *wrong) openIdle(t *testing.T, n int) []net.Conn {
	t.Helper()
	conns, errs := make([]net.Conn, n), make([]error, n)
	const workers = 32
	var opening sync.WaitGroup
	for worker := range workers {
		opening.Go(func() {
			for i := worker; i < n; i += workers {
				c, err := w.dial()
				if err == nil {
					conns[i], err = c, ping(c)
				}
				if errs[i] = err; err != nil {
					return
				}
			}
		})
	}
	opening.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return conns
}

// ping does a request on a connection that stays open.
func ping(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(25 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	a, err := readAnswer(bufio.NewReader(c))
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d", a.status)
	}
	return err
}
