package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// kinesisFault is how a call to Kinesis fails.
type kinesisFault int

const (
	noFault       kinesisFault = iota
	inPart                     // some records are refused
	throttle                   // the call is refused
	serverError                // 500 before anything happens
	errorAfter                 // 500 after the write
	timeoutAfter               // the write happens, and the caller hangs
	dropped                    // the connection ends before anything happens
	droppedAfter               // and after the write
	kinesisFaults              // how many there are
)

// faultProxy stands before a Kinesis and fails PutRecords as it is told.
type faultProxy struct {
	t       *testing.T
	backend string
	url     string
	decide  func(*http.Request) kinesisFault
	hang    time.Duration

	mu   sync.Mutex
	rng  *rand.Rand
	done [kinesisFaults]int
}

func newFaultProxy(t *testing.T, backend string) *faultProxy {
	t.Helper()
	p := &faultProxy{t: t, backend: backend, hang: 15 * time.Second, rng: random(t)}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func readAll(t *testing.T, r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Log(err) // the caller went away
	}
	return body
}

// forward asks the backend, and answers what it answers.
func forward(t *testing.T, w http.ResponseWriter, r *http.Request, backend string, body []byte) {
	a, err := passOn(r, backend, body)
	if err != nil {
		t.Log(err)
		panic(http.ErrAbortHandler)
	}
	reply(w, a)
}

func passOn(r *http.Request, backend string, body []byte) (answer, error) {
	out, err := http.NewRequest(r.Method, backend+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	out.Header, out.Host = r.Header.Clone(), r.Host
	return newCaller(backend, "", "", "").send(out)
}

func reply(w http.ResponseWriter, a answer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a caller that has gone cannot be told
}

// ServeHTTP fails a call, or does not.
func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := readAll(p.t, r)
	what := p.decide(r)
	p.mu.Lock()
	p.done[what]++
	p.mu.Unlock()
	switch what {
	case noFault:
		forward(p.t, w, r, p.backend, body)
	case inPart:
		p.part(w, r, body)
	case throttle:
		refuse(w, http.StatusBadRequest, "ProvisionedThroughputExceededException")
	case serverError:
		refuse(w, http.StatusInternalServerError, "InternalFailure")
	case errorAfter:
		p.write(r, body)
		refuse(w, http.StatusInternalServerError, "InternalFailure")
	case timeoutAfter:
		p.write(r, body)
		select {
		case <-r.Context().Done():
		case <-time.After(p.hang):
		}
		panic(http.ErrAbortHandler)
	case dropped:
		panic(http.ErrAbortHandler)
	case droppedAfter:
		p.write(r, body)
		panic(http.ErrAbortHandler)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"by the fault proxy"}`, code)
}

// write lets the backend write.
func (p *faultProxy) write(r *http.Request, body []byte) {
	if a, err := passOn(r, p.backend, body); err != nil || a.status != http.StatusOK {
		p.t.Error(errorOf("behind the proxy", a, err))
	}
}

// part lets the backend have some of the records, in another order.
func (p *faultProxy) part(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		StreamName string
		Records    []json.RawMessage
	}
	if err := json.Unmarshal(body, &in); err != nil {
		p.t.Error(err)
	}
	results := make([]json.RawMessage, len(in.Records))
	p.mu.Lock()
	order := p.rng.Perm(len(in.Records))
	order = order[:p.rng.IntN(len(order)+1)]
	p.mu.Unlock()
	for i := range results {
		results[i] = json.RawMessage(`{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"by the fault proxy"}`)
	}
	if len(order) > 0 {
		some := in
		some.Records = nil
		for _, i := range order {
			some.Records = append(some.Records, in.Records[i])
		}
		a, err := passOn(r, p.backend, encode(p.t, some))
		var out struct{ Records []json.RawMessage }
		if err == nil {
			err = json.Unmarshal(a.body, &out)
		}
		if err != nil || len(out.Records) != len(order) {
			p.t.Error(errorOf("a part behind the proxy", a, err))
			panic(http.ErrAbortHandler)
		}
		for n, i := range order {
			results[i] = out.Records[n]
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = w.Write(encode(p.t, object{"FailedRecordCount": len(in.Records) - len(order), "Records": results}))
}

// draw draws a number below n.
func (p *faultProxy) draw(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rng.IntN(n)
}

// atRandom fails a share of the calls, each way as often, but for the slowest.
func (p *faultProxy) atRandom(share float64) {
	p.decide = func(*http.Request) kinesisFault {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.rng.Float64() >= share {
			return noFault
		}
		what := kinesisFault(1 + p.rng.IntN(int(kinesisFaults)-1))
		if what == timeoutAfter && p.rng.IntN(5) > 0 {
			return inPart
		}
		return what
	}
}

// TestKinesisFaults: whatever fails before Kinesis, a reader sees the sync
// counts of every dataset rise without a gap, and all of them.
func TestKinesisFaults(t *testing.T) {
	t.Parallel()
	at := startKinesalite(t)
	makeStream(t, kinesisAt(at), "faulty", 3)
	p := newFaultProxy(t, at)
	p.atRandom(.3)
	s := newOutServer(t, p.url, "--sts-endpoint", "none")
	w := newOutWriter(t, s, "faulty")
	r := newReader(t, kinesisAt(at), "faulty")
	w.write(longRun(t, 1000, 100_000))
	repeats := w.check(r, time.Duration(5*soak(t))*time.Minute)
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Logf("%d changes, %d repeats, calls by fault %v", w.written.Load(), repeats, p.done)
	for what, n := range p.done {
		if n == 0 && kinesisFault(what) != timeoutAfter {
			t.Errorf("no call had fault %d", what)
		}
	}
}

// TestKinesisKill: a server that is killed while it sends goes on where it was,
// with large updates on their way to the bucket too.
func TestKinesisKill(t *testing.T) {
	t.Parallel()
	at := startKinesalite(t)
	makeStream(t, kinesisAt(at), "killed", 2)
	bucket := startVersity(t, "payloads")
	p := newFaultProxy(t, at)
	p.atRandom(.1)
	s := newOutServer(t, p.url, "--sts-endpoint", "none", "--payload-bucket", "payloads", "--s3-endpoint", bucket, "--stream-inline-limit", "1KiB")
	w := newOutWriter(t, s, "killed")
	w.large = true
	r := newReader(t, kinesisAt(at), "killed")
	for range longRun(t, 4, 20) {
		var writing sync.WaitGroup
		writing.Go(func() { w.write(60) })
		<-time.After(time.Duration(p.draw(300)) * time.Millisecond)
		w.killed.Store(true)
		s.kill()
		writing.Wait()
		w.killed.Store(false)
		s.start()
		w.resume()
	}
	t.Logf("%d changes, %d repeats", w.written.Load(), w.check(r, time.Duration(5*soak(t))*time.Minute))
}

// outWriter writes datasets whose changes go to a stream.
type outWriter struct {
	t       *testing.T
	s       *server
	pool    string
	large   bool // some of the updates are
	guests  []guest
	killed  atomic.Bool
	written atomic.Int64

	mu    sync.Mutex
	count map[dataset]int64
}

func newOutWriter(t *testing.T, s *server, stream string) *outWriter {
	w := &outWriter{t: t, s: s, count: map[dataset]int64{}}
	dev := s.developer()
	w.pool = dev.newPool(t, "p")
	dev.sendTo(t, w.pool, stream, streamRole, "ENABLED")
	const identities = 24
	for range identities {
		w.guests = append(w.guests, dev.newGuest(t, w.pool))
	}
	return w
}

// write makes changes, by some clients at a time, until the server is killed.
func (w *outWriter) write(changes int) {
	const clients = 8
	dev := w.s.developer()
	var writing sync.WaitGroup
	for c := range clients {
		writing.Go(func() {
			for n := range changes / clients {
				g := &w.guests[(c+n*clients)%len(w.guests)] // 24 is 3 for each client
				if !w.change(dev, g.dataset("d"+strconv.Itoa(n%2)), n) {
					return
				}
			}
		})
	}
	writing.Wait()
}

// change makes one change of a dataset, and says false if the server was killed.
func (w *outWriter) change(dev *caller, d dataset, n int) bool {
	value := strconv.Itoa(n)
	if w.large && n%3 == 0 {
		value = string(bytes.Repeat([]byte{'x'}, 4<<10))
	}
	var list listing
	var out struct{ Records []record }
	err := dev.restTo("GET", d.path()+"/records?lastSyncCount=0", nil, &list)
	if err == nil {
		err = dev.restTo("POST", d.path(), update{list.SyncSessionToken, []patch{replace("k", value, list.DatasetSyncCount)}}, &out)
	}
	if err != nil {
		if !w.killed.Load() {
			w.t.Error(err)
		}
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count[d] = out.Records[0].SyncCount
	w.written.Add(1)
	return true
}

// resume takes in what the server holds: an update may have been stored whose
// answer was lost.
func (w *outWriter) resume() {
	dev := w.s.developer()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.guests {
		for _, name := range []string{"d0", "d1"} {
			d := w.guests[i].dataset(name)
			if n := dev.list(w.t, d).DatasetSyncCount; n > 0 {
				w.count[d] = n
			}
		}
	}
}

// check reads until the last change of each dataset is there, and checks all.
func (w *outWriter) check(r *reader, within time.Duration) (repeats int) {
	w.t.Helper()
	var events []event
	eventually(w.t, within, func() error {
		events = append(events, r.read(w.t)...)
		last := map[dataset]int64{}
		for _, e := range events {
			d := dataset{e.IdentityPoolID, e.IdentityID, e.DatasetName}
			last[d] = max(last[d], e.SyncCount)
		}
		for d, n := range w.count {
			if last[d] < n {
				return fmt.Errorf("%v is at %d of %d", d, last[d], n)
			}
		}
		return nil
	})
	return checkCounts(w.t, events, w.count)
}

// restTo calls an operation by method and path.
func (c *caller) restTo(method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	r, err := c.request(syncService, method, path, body)
	if err != nil {
		return err
	}
	a, err := c.send(r)
	if err != nil || a.status != http.StatusOK {
		return errorOf(method+" "+path, a, err)
	}
	return json.Unmarshal(a.body, out)
}
