package awswire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"tributary/awswire"
)

// unread is a body that must not be touched.
func unread(t *testing.T) io.Reader {
	return readerFunc(func([]byte) (int, error) {
		t.Error("the body was read")
		return 0, io.EOF
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestUnreadBody has requests that are refused before their body is read.
func TestUnreadBody(t *testing.T) {
	v := verifier(someone(), noon(t))
	s := awswire.Service[string]{
		Name: "test", MaxBody: 8 << 20, Authenticate: v.Authenticate,
		Operations: []awswire.Operation[string]{{Name: "Put", Method: "POST", Path: "/", Handle: awswire.Handler(echo)}},
		Fault:      func(string, error) *awswire.Fault { return &awswire.Fault{Code: "Down", Status: 500} },
	}
	stranger, nobody := someone(), someone()
	stranger.AccessKeyID, nobody.SecretKey = "AKIASTRANGER", "guessed"
	for _, c := range []struct {
		name, want string
		sign       func(*http.Request)
	}{
		{"Unsigned", "MissingAuthenticationTokenException", func(*http.Request) {}},
		{"Form", "IncompleteSignatureException", func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") }},
		{"Late", "InvalidSignatureException", func(r *http.Request) { awswire.Sign(r, nil, someone(), "r", "test", noon(t).Add(-time.Hour)) }},
		{"AnotherService", "InvalidSignatureException", func(r *http.Request) { awswire.Sign(r, nil, someone(), "r", "other", noon(t)) }},
		{"UnknownKey", "UnrecognizedClientException", func(r *http.Request) { awswire.Sign(r, nil, stranger, "r", "test", noon(t)) }},
		{"Link", "InvalidSignatureException", func(r *http.Request) {
			r.RequestURI = strings.TrimPrefix(awswire.Presign(r, someone(), "r", "test", noon(t), time.Hour), "http://example.com")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, length := range []int64{100, 1 << 20, -1} {
				r := httptest.NewRequest("POST", "/", unread(t))
				r.ContentLength = length
				c.sign(r)
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if code := header(w, "x-amzn-ErrorType"); code != c.want {
					t.Errorf("%d bytes: %s, want %s", length, code, c.want)
				}
			}
		})
	}
	t.Run("Outage", func(t *testing.T) {
		v.Lookup = func(context.Context, string, string) (string, string, error) { return "", "", errors.New("disk") }
		r := httptest.NewRequest("POST", "/", unread(t))
		r.ContentLength = 100
		awswire.Sign(r, nil, someone(), "r", "test", noon(t))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if code := header(w, "x-amzn-ErrorType"); code != "Down" {
			t.Errorf("%s, want the service's own fault", code)
		}
	})
}

// TestBodySizes has bodies around every bound, of known and of unknown length.
func TestBodySizes(t *testing.T) {
	const most, small = 200 << 10, 64 << 10
	length := 0
	handle := func(_ context.Context, _ string, in awswire.Input) (any, error) {
		length = len(in.Body)
		return struct{}{}, nil
	}
	s := service(awswire.RESTJSON)
	s.MaxBody = most
	s.Operations = []awswire.Operation[string]{
		{Name: "Signed", Method: "POST", Path: "/signed", Handle: handle},
		{Name: "Public", Method: "POST", Path: "/public", Public: true, Handle: handle},
		{Name: "Get", Method: "GET", Path: "/signed", Handle: handle},
	}
	for _, c := range []struct {
		method, path string
		size, status int
	}{
		{"POST", "/signed", 0, 200}, {"POST", "/signed", 1, 200}, {"POST", "/signed", small, 200}, {"POST", "/signed", small + 1, 200},
		{"POST", "/signed", most, 200}, {"POST", "/signed", most + 1, 413},
		{"POST", "/public", small, 200}, {"POST", "/public", small + 1, 413},
		{"GET", "/signed", small, 200}, {"GET", "/signed", small + 1, 413},
	} {
		for _, known := range []bool{true, false} {
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(strings.Repeat("x", c.size)))
			r.Header.Set("Authorization", "test")
			if !known {
				r.ContentLength = -1
			}
			length = -1
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			want := c.size
			if c.method == "GET" {
				want = 0
			}
			if w.Code != c.status || c.status == 200 && length != want {
				t.Errorf("%s %s with %d bytes, known %t: %d, %d bytes read", c.method, c.path, c.size, known, w.Code, length)
			}
		}
	}
}

// TestLargeBodies has as many large bodies as there is room for, each held by
// its operation. The next ones wait, for a while.
func TestLargeBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, room = 128 << 10, 8
		next := make(chan struct{})
		s := service(awswire.RESTJSON)
		s.MaxBody = most
		s.Operations = []awswire.Operation[string]{{Name: "Hold", Method: "POST", Path: "/", Handle: func(_ context.Context, _ string, in awswire.Input) (any, error) {
			if len(in.Body) > 1 {
				<-next
			}
			return struct{}{}, nil
		}}}
		answers := make(chan int, 100)
		send := func(ctx context.Context, body io.Reader) {
			r := httptest.NewRequestWithContext(ctx, "POST", "/", body)
			r.Header.Set("Authorization", "test")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			answers <- w.Code
		}
		large := func() io.Reader { return strings.NewReader(strings.Repeat("x", most)) }
		for i := range room {
			body := large()
			if i == 0 {
				body = iotest.OneByteReader(body) // of unknown length
			}
			go send(t.Context(), body)
		}
		synctest.Wait()

		send(t.Context(), strings.NewReader("x"))
		if got := <-answers; got != 200 {
			t.Errorf("a small body beside the large ones: %d", got)
		}
		start := time.Now()
		send(t.Context(), large())
		if got := <-answers; got != 503 || time.Since(start) != 5*time.Second {
			t.Errorf("one too many is answered %d after %v", got, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		go send(ctx, large())
		synctest.Wait()
		cancel()
		if got := <-answers; got != 503 {
			t.Errorf("one that was given up: %d", got)
		}
		go send(t.Context(), large())
		synctest.Wait()
		next <- struct{}{} // the first leaves, the one that waits takes its room
		synctest.Wait()
		close(next)
		for range room + 1 {
			if got := <-answers; got != 200 {
				t.Errorf("one that had room: %d", got)
			}
		}
	})
}

// TestHalfBody sends less than was announced.
func TestHalfBody(t *testing.T) {
	s := httptest.NewServer(service(awswire.RESTJSON))
	defer s.Close()
	for _, head := range []string{"Content-Length: 50\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n50\r\n"} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST /things/a/echo HTTP/1.1\r\nHost: x\r\n"+head+"{\"Text\""); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(answer), "IncompleteBody") {
			t.Errorf("%s, %v", answer, err)
		}
		_ = conn.Close()
	}
}
