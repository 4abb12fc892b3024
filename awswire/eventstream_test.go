package awswire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json"

	"tributary/awswire"
)

type (
	// send is what an operation is given to send events with.
	send func(event string, content any) error
	// event is one, as Kinesis has it.
	event struct {
		Records []putEntry
		Behind  int64 `json:"MillisBehindLatest"`
	}
	begun struct{ Number int }
)

// subscription is a server with an event stream.
type subscription struct {
	testing.TB
	server *httptest.Server
	closed chan struct{} // told of the end of each stream
	log    *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func subscribe(t *testing.T, patience time.Duration, f func(context.Context, send) error, edit ...func(*http.Server)) *subscription {
	k := &subscription{TB: t, closed: make(chan struct{}, 1), log: &lockedBuffer{}}
	s := service(awswire.JSON11)
	s.Log = slog.New(slog.NewTextHandler(k.log, nil))
	s.Operations = []awswire.Operation[string]{{Name: "Subscribe", Handle: awswire.Handler(func(_ context.Context, _ string, in *echoIn) (*awswire.EventStream, error) {
		if in.Text != "" {
			return nil, errors.New(in.Text)
		}
		return &awswire.EventStream{
			Initial: begun{7}, Patience: patience, Close: func() { k.closed <- struct{}{} },
			Send: func(ctx context.Context, s func(string, any) error) error { return f(ctx, s) },
		}, nil
	})}}
	k.server = httptest.NewUnstartedServer(s)
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	k.server.Config.Protocols = p
	k.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	for _, f := range edit {
		f(k.server.Config)
	}
	k.server.Start()
	t.Cleanup(k.server.Close)
	return k
}

// open begins a stream.
func (k *subscription) open(ctx context.Context, http2 bool, contentType, auth, body string) *http.Response {
	k.Helper()
	p := new(http.Protocols)
	p.SetHTTP1(!http2)
	p.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{Protocols: p}
	k.Cleanup(transport.CloseIdleConnections)
	r, err := http.NewRequestWithContext(ctx, "POST", k.server.URL, strings.NewReader(body))
	if err != nil {
		k.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "Test.Subscribe")
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", auth)
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { _ = answer.Body.Close() })
	if want := map[bool]int{false: 1, true: 2}[http2]; answer.ProtoMajor != want {
		k.Fatalf("HTTP/%d, want %d", answer.ProtoMajor, want)
	}
	return answer
}

// next reads a message, and its headers as one text.
func (k *subscription) next(r io.Reader) (string, []byte) {
	k.Helper()
	m, err := eventstream.NewDecoder().Decode(r, nil)
	if err != nil {
		k.Fatal(err)
	}
	text := ""
	for _, h := range m.Headers {
		text += h.Name + "=" + h.Value.String() + " "
	}
	return strings.TrimSpace(text), m.Payload
}

// over waits until the server has done with the stream.
func (k *subscription) over() {
	k.Helper()
	select {
	case <-k.closed:
	case <-time.After(10 * time.Second):
		k.Fatal("the server keeps the stream")
	}
}

func bothHTTP(t *testing.T, f func(t *testing.T, http2 bool)) {
	for name, http2 := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		t.Run(name, func(t *testing.T) { f(t, http2) })
	}
}

// TestEventStream reads each message before the next is sent.
func TestEventStream(t *testing.T) {
	formats := map[string]func([]byte, any) error{
		cborType: cbor.Unmarshal,
		jsonType: func(b []byte, v any) error { return json.Unmarshal(b, v) },
	}
	bothHTTP(t, func(t *testing.T, http2 bool) {
		for contentType, decode := range formats {
			seen := make(chan struct{})
			k := subscribe(t, 0, func(ctx context.Context, send send) error {
				for i := range int64(3) {
					select {
					case <-seen:
					case <-ctx.Done():
						return ctx.Err()
					}
					if err := send("SubscribeToShardEvent", event{[]putEntry{{Data: []byte("\xff"), Arrived: 1500}}, i}); err != nil {
						return err
					}
				}
				return nil
			})
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			r := k.open(ctx, http2, contentType, "test", "")
			if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/vnd.amazon.eventstream" || len(r.Header.Get("X-Amzn-Requestid")) != 36 {
				t.Fatalf("%d %v", r.StatusCode, r.Header)
			}
			var first begun
			headers, payload := k.next(r.Body)
			if err := decode(payload, &first); err != nil || first.Number != 7 || headers != ":message-type=event :event-type=initial-response :content-type="+contentType {
				t.Fatalf("%s %q %v", headers, payload, err)
			}
			for i := range int64(3) {
				seen <- struct{}{}
				var got event
				headers, payload := k.next(r.Body)
				err := decode(payload, &got)
				if headers != ":message-type=event :event-type=SubscribeToShardEvent :content-type="+contentType {
					t.Fatal(headers)
				}
				if err != nil || got.Behind != i || len(got.Records) != 1 || string(got.Records[0].Data) != "\xff" || got.Records[0].Arrived != 1500 {
					t.Fatalf("%q %+v %v", payload, got, err)
				}
			}
			if rest, err := io.ReadAll(r.Body); err != nil || len(rest) > 0 {
				t.Errorf("%q after the end, %v", rest, err)
			}
			k.over()
		}
	})
}

// TestEventStreamFaults has faults before the stream, within it, and a panic.
func TestEventStreamFaults(t *testing.T) {
	var fail func(send) error
	k := subscribe(t, 0, func(_ context.Context, send send) error { return fail(send) })
	if r := k.open(t.Context(), false, jsonType, "", ""); r.StatusCode != 400 || r.Header.Get("Content-Type") != jsonType {
		t.Errorf("not signed: %d %v", r.StatusCode, r.Header)
	}
	if r := k.open(t.Context(), false, jsonType, "test", `{"Text":"no"}`); r.StatusCode != 500 || r.Header.Get("Content-Type") != jsonType {
		t.Errorf("refused by the operation: %d %v", r.StatusCode, r.Header)
	}
	inUse := &awswire.Fault{Code: "ResourceInUseException", Status: 400, Message: "in use"}
	for name, c := range map[string]struct {
		fail          func(send) error
		contentType   string
		code, payload string
		logged        bool
	}{
		"fault":       {func(send) error { return inUse }, jsonType, inUse.Code, `{"__type":"ResourceInUseException","message":"in use"}`, false},
		"in CBOR":     {func(send) error { return inUse }, cborType, inUse.Code, "\xa2\x66__type\x76ResourceInUseException\x67message\x66in use", false},
		"of ours":     {func(send) error { return errors.New("secret") }, jsonType, "InternalErrorException", `{"__type":"InternalErrorException","message":"Internal error"}`, true},
		"not encoded": {func(send send) error { return send("x", make(chan int)) }, jsonType, "InternalErrorException", `{"__type":"InternalErrorException","message":"Internal error"}`, true},
		"long name":   {func(send send) error { return send(strings.Repeat("x", 1<<15), 1) }, jsonType, "InternalErrorException", `{"__type":"InternalErrorException","message":"Internal error"}`, true},
	} {
		fail = c.fail
		before := k.log.String()
		r := k.open(t.Context(), false, c.contentType, "test", "")
		k.next(r.Body)
		headers, payload := k.next(r.Body)
		if want := ":message-type=exception :exception-type=" + c.code + " :content-type=" + c.contentType; headers != want || string(payload) != c.payload {
			t.Errorf("%s: %s %q, want %s %q", name, headers, payload, want, c.payload)
		}
		if rest, err := io.ReadAll(r.Body); err != nil || len(rest) > 0 {
			t.Errorf("%s: %q after the end, %v", name, rest, err)
		}
		k.over()
		if logged := k.log.String() != before; logged != c.logged {
			t.Errorf("%s: logged %t", name, logged)
		}
	}
	fail = func(send) error { panic("on purpose") }
	r := k.open(t.Context(), false, jsonType, "test", "")
	k.next(r.Body)
	if rest, err := io.ReadAll(r.Body); err == nil {
		t.Errorf("after a panic the stream ends as if it were whole: %q", rest)
	}
	k.over()
}

// TestEventStreamCorrupted has every byte of a message under its checksums.
func TestEventStreamCorrupted(t *testing.T) {
	k := subscribe(t, 0, func(context.Context, send) error { return nil })
	whole, err := io.ReadAll(k.open(t.Context(), false, jsonType, "test", "").Body)
	if err != nil {
		t.Fatal(err)
	}
	k.next(bytes.NewReader(whole))
	for i := range whole {
		broken := bytes.Clone(whole)
		broken[i] ^= 4
		if m, err := eventstream.NewDecoder().Decode(bytes.NewReader(broken), nil); err == nil {
			t.Errorf("byte %d was changed, and read is %+v", i, m)
		}
	}
}

// TestEventStreamSlowReader: who does not read is cut off.
func TestEventStreamSlowReader(t *testing.T) {
	bothHTTP(t, func(t *testing.T, http2 bool) {
		failed := make(chan error, 1)
		k := subscribe(t, 50*time.Millisecond, func(_ context.Context, send send) error {
			for {
				if err := send("x", strings.Repeat("x", 1<<16)); err != nil {
					failed <- err
					return err
				}
			}
		})
		r := k.open(t.Context(), http2, jsonType, "test", "")
		select {
		case err := <-failed:
			t.Log(err)
		case <-time.After(10 * time.Second):
			t.Fatal("the server writes on")
		}
		k.over()
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the stream ends as if it were whole")
		}
		if log := k.log.String(); log != "" {
			t.Error(log)
		}
	})
}

// TestEventStreamAbandoned: the client's going ends the operation's context.
func TestEventStreamAbandoned(t *testing.T) {
	bothHTTP(t, func(t *testing.T, http2 bool) {
		k := subscribe(t, 0, func(ctx context.Context, _ send) error {
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, leave := context.WithCancel(t.Context())
		r := k.open(ctx, http2, jsonType, "test", "")
		k.next(r.Body)
		leave()
		k.over()
		if log := k.log.String(); log != "" {
			t.Error(log)
		}
	})
}

// TestEventStreamOutlives: neither the server's timeouts nor the patience with
// one message end a stream that waits for an event.
func TestEventStreamOutlives(t *testing.T) {
	const moment = 100 * time.Millisecond
	bothHTTP(t, func(t *testing.T, http2 bool) {
		k := subscribe(t, moment, func(ctx context.Context, send send) error {
			for range 2 {
				select {
				case <-time.After(3 * moment):
				case <-ctx.Done():
					return ctx.Err()
				}
				if err := send("x", 1); err != nil {
					return err
				}
			}
			return nil
		}, func(s *http.Server) { s.ReadTimeout, s.WriteTimeout = moment, moment })
		r := k.open(t.Context(), http2, jsonType, "test", "")
		for range 3 {
			k.next(r.Body)
		}
		if rest, err := io.ReadAll(r.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
		k.over()
	})
}

// deadlines is an answer that knows until when it may be written.
type deadlines struct {
	*httptest.ResponseRecorder
	last time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.last = at
	return nil
}

// TestEventStreamEnd: the end of a stream, which the server writes, is not
// waited for without end either.
func TestEventStreamEnd(t *testing.T) {
	s := service(awswire.JSON11)
	s.Operations = []awswire.Operation[string]{{Name: "Subscribe", Public: true, Handle: awswire.Handler(give(&awswire.EventStream{
		Send: func(context.Context, func(string, any) error) error { return nil },
	}))}}
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("X-Amz-Target", "Test.Subscribe")
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(w, r)
	if left := time.Until(w.last); left < 30*time.Second || left > time.Minute {
		t.Errorf("%v are left", left)
	}
}
