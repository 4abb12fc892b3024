package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLifecycle starts and stops servers in all the ways that there are.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	t.Run("SecondServer", testSecondServer)
	t.Run("PortTaken", testPortTaken)
	t.Run("Drain", testDrain)
	t.Run("DrainTime", testDrainTime)
	t.Run("SecondSignal", testSecondSignal)
	t.Run("Interrupt", testInterrupt)
	t.Run("Restart", testRestart)
	t.Run("Secrets", testSecrets)
	t.Run("MasterKey", testMasterKey)
	t.Run("NewKey", testNewKey)
	t.Run("Health", testHealth)
	t.Run("DiskFull", testDiskFull)
	t.Run("NoWarehouse", testNoWarehouse)
}

// serve runs a server that is expected to end by itself.
func (s *server) serve(args ...string) result {
	s.t.Helper()
	return s.run(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
}

func testSecondServer(t *testing.T) {
	embeddedOnly(t, "a second server over a database is another node")
	s := startServer(t)
	dev := s.developer()
	g := dev.newGuest(t, dev.newPool(t, "two servers"))
	g.sync(t, g.dataset("notes"), replace("k", "v", 0))
	for range 2 { // the first refusal must not open the way
		r := s.serve("--data", s.data)
		if r.code != 1 || !strings.Contains(r.stderr, s.data) || !strings.Contains(r.stderr, "is in use by another tributary") || strings.Contains(r.stdout, "ready") {
			t.Errorf("%v", r)
		}
	}
	s.healthy()
	g.sync(t, g.dataset("notes"), replace("k", "w", 1))
}

func testPortTaken(t *testing.T) {
	s := startServer(t)
	data := filepath.Join(t.TempDir(), "data")
	r := s.run("serve", "--listen", strings.TrimPrefix(s.url, "http://"), "--data", data)
	if r.code != 1 || !strings.Contains(r.stderr, "is in use: choose another with --listen") {
		t.Errorf("%v", r)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a server that could not listen has left a data folder: %v", err)
	}
}

// inFlight is a request whose body the server is waiting for.
type inFlight struct {
	body   chan struct{} // close it to send the body
	answer chan answer
	err    chan error
}

// begin sends a signed update up to its body, and returns when the server has
// begun to read the body.
func (c *caller) begin(t *testing.T, d dataset, p ...patch) *inFlight {
	t.Helper()
	body := encode(t, update{c.list(t, d).SyncSessionToken, p})
	r, err := c.request(syncService, http.MethodPost, d.path(), body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Expect", "100-continue")
	f := &inFlight{body: make(chan struct{}), answer: make(chan answer, 1), err: make(chan error, 1)}
	begun := make(chan struct{})
	r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(begun) }}))
	r.Body = io.NopCloser(&lateReader{after: f.body, from: bytes.NewReader(body)})
	slow := &caller{url: c.url, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}}
	go func() {
		a, err := slow.send(r)
		f.answer <- a
		f.err <- err
	}()
	select {
	case <-begun:
	case <-time.After(20 * time.Second):
		t.Fatal("the server did not ask for the body")
	}
	return f
}

// lateReader gives nothing before its time.
type lateReader struct {
	after <-chan struct{}
	from  io.Reader
}

func (r *lateReader) Read(p []byte) (int, error) {
	<-r.after
	return r.from.Read(p)
}

// awaitLog waits until the server has said a text on stderr.
func (s *server) awaitLog(text string) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, func() error {
		if !strings.Contains(s.stderr.String(), text) {
			return errors.New("the server has not said " + text)
		}
		return nil
	})
}

// awaitClosed waits until the server takes no more connections.
func (s *server) awaitClosed() {
	s.t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(s.t, 20*time.Second, func() error {
		a, err := client.Get(s.url + "/healthz")
		if err != nil {
			return nil
		}
		_ = a.Body.Close()
		return errors.New("the server still takes connections")
	})
}

func testDrain(t *testing.T) {
	s := startServer(t)
	dev := s.developer()
	g := dev.newGuest(t, dev.newPool(t, "drain"))
	d := g.dataset("notes")
	f := g.begin(t, d, replace("k", "sent while stopping", 0))
	s.signal(syscall.SIGTERM)
	s.awaitClosed()
	if s.hasEnded() {
		t.Fatal("the server ended with a sync under way")
	}
	close(f.body)
	if a, err := <-f.answer, <-f.err; err != nil || a.status != http.StatusOK {
		t.Fatalf("the sync under way: %v", errorOf("UpdateRecords", a, err))
	}
	if code := s.await(20 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.start()
	g.url = s.url
	if l := g.list(t, d); len(l.Records) != 1 || *l.Records[0].Value != "sent while stopping" {
		t.Errorf("after the restart: %+v", l)
	}
}

// testDrainTime has a request that never ends. It must not hold up the stop
// for longer than --drain says.
func testDrainTime(t *testing.T) {
	s := startServer(t, "--drain", "300ms")
	dev := s.developer()
	g := dev.newGuest(t, dev.newPool(t, "drain"))
	f := g.begin(t, g.dataset("notes"), replace("k", "v", 0))
	s.signal(syscall.SIGTERM)
	if code := s.await(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(s.stderr.String(), "requests were cut off") {
		t.Errorf("the log does not say that requests were cut off:\n%s", s.stderr)
	}
	close(f.body)
	if a, err := <-f.answer, <-f.err; err == nil && a.status == http.StatusOK {
		t.Errorf("the sync that was cut off is acknowledged: %s", a.body)
	}
	s.start()
	g.url = s.url
	if l := g.list(t, g.dataset("notes")); l.DatasetExists {
		t.Errorf("the sync that was cut off is there: %+v", l)
	}
}

func testSecondSignal(t *testing.T) {
	s := startServer(t, "--drain", "60s")
	dev := s.developer()
	g := dev.newGuest(t, dev.newPool(t, "two signals"))
	f := g.begin(t, g.dataset("notes"), replace("k", "v", 0))
	s.signal(syscall.SIGTERM)
	s.awaitLog("stopping")
	start := time.Now()
	eventually(t, 10*time.Second, func() error { // the first one may still be on its way through
		if s.hasEnded() {
			return nil
		}
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		return errors.New("the server goes on")
	})
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if code := s.await(time.Second); code == 0 {
		t.Errorf("exit code %d after a stop that was cut short", code)
	}
	close(f.body)
	<-f.answer
	s.start()
	g.url = s.url
	g.sync(t, g.dataset("notes"), replace("k", "v", 0))
}

func testInterrupt(t *testing.T) {
	s := startServer(t)
	s.signal(syscall.SIGINT)
	if code := s.await(20 * time.Second); code != 0 {
		t.Errorf("exit code %d after an interrupt", code)
	}
	if log := s.stderr.String(); !strings.HasSuffix(log, "msg=stopped\n") {
		t.Errorf("the log ends otherwise:\n%s", log)
	}
}

// testRestart uses after a stop, and after a crash, all that was issued before.
func testRestart(t *testing.T) {
	for name, end := range map[string]func(*server){"Stop": (*server).stop, "Kill": (*server).kill} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			dev, key := s.developer(), s.key()
			g := dev.newGuest(t, dev.newPool(t, "restart"))
			dev.newStream(t, g.pool, "restart", 1)
			d := g.dataset("notes")
			g.sync(t, d, replace("a", "1", 0), replace("b", "2", 0))
			var first listing
			g.rest(t, "GET", d.path()+"/records?maxResults=1", nil, &first)
			var iterator struct{ ShardIterator string }
			dev.call(t, kinesisService, "GetShardIterator", object{"StreamName": "restart", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}, &iterator)

			end(s)
			s.start()
			if s.key() != key {
				t.Error("the developer's key is another one")
			}
			dev.url, g.url = s.url, s.url
			var second listing
			g.rest(t, "GET", d.path()+"/records?maxResults=1&nextToken="+url.QueryEscape(*first.NextToken), nil, &second)
			if len(second.Records) != 1 || second.Records[0].Key == first.Records[0].Key || second.NextToken != nil {
				t.Errorf("the second page: %+v", second)
			}
			g.rest(t, "POST", d.path(), update{first.SyncSessionToken, []patch{replace("a", "3", 1)}}, nil)
			events, err := dev.readShard("shardId-000000000000", iterator.ShardIterator)
			if err != nil || len(events) != 2 {
				t.Errorf("the stream from an old iterator: %v, %d events", err, len(events))
			}
		})
	}
}

// awaitGreeting waits for the last line of what a server says at its start.
func (s *server) awaitGreeting() {
	s.t.Helper()
	eventually(s.t, 10*time.Second, func() error {
		if !strings.Contains(s.stdout.String(), "aws cognito-identity list-identity-pools") {
			return errors.New("the greeting is not whole")
		}
		return nil
	})
}

func testSecrets(t *testing.T) {
	s := startServer(t, "--log-level", "debug")
	dev, key := s.developer(), s.key()
	s.awaitGreeting()
	if n := strings.Count(s.stdout.String(), key.secret); n != 1 {
		t.Errorf("the first start prints the secret %d times", n)
	}
	for _, name := range []string{"credentials", "master.key"} {
		info, err := os.Stat(filepath.Join(s.data, name))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	master, err := os.ReadFile(filepath.Join(s.data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	g := dev.newGuest(t, dev.newPool(t, "secrets"))
	d := g.dataset("notes")
	session := g.list(t, d).SyncSessionToken
	g.sync(t, d, replace("k", "a value that is nobody's business", 0))
	g.do(t, syncService, "POST", d.path(), []byte(`{"SyncSessionToken":"`+session+`","RecordPatches":7}`))
	newCaller(s.url, key.id, key.secret+"x", "").do(t, syncService, "GET", "/identitypools", nil)

	s.restart()
	s.awaitGreeting()
	if out := s.stdout.String(); strings.Contains(out, key.secret) || strings.Contains(out, "was created") {
		t.Errorf("the second start says: %s", out)
	}
	said := s.stdout.String()
	for _, log := range s.logs {
		said += log.String()
	}
	for what, secret := range map[string]string{
		"secret key": key.secret, "master key": strings.TrimSpace(string(master)), "guest's secret key": g.secret, "guest's token": g.token,
		"session token": session, "value": "nobody's business",
	} {
		if strings.Contains(said, secret) {
			t.Errorf("the log holds the %s:\n%s", what, said)
		}
	}
}

// testMasterKey takes the master key away, and gives the server another one.
func testMasterKey(t *testing.T) {
	s := startServer(t)
	s.stop()
	path := filepath.Join(s.data, "master.key")
	master, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	from := "restore the file from a backup"
	if onPostgres() {
		from = "copy it from a node that runs"
	}
	if r := s.serve("--data", s.data); r.code != 1 || !strings.Contains(r.stderr, path+" is missing") || !strings.Contains(r.stderr, from) {
		t.Errorf("%v", r)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new master key was made beside the store: %v", err)
	}
	write(path, []byte("nonsense\n"))
	if r := s.serve("--data", s.data); r.code != 1 || !strings.Contains(r.stderr, "is no master key") {
		t.Errorf("%v", r)
	}
	elsewhere := filepath.Join(t.TempDir(), "key")
	if r := s.serve("--data", s.data, "--master-key-file", elsewhere); r.code != 1 || !strings.Contains(r.stderr, elsewhere) {
		t.Errorf("%v", r)
	}
	write(elsewhere, master)
	s.args = []string{"--master-key-file", elsewhere}
	s.start()
	s.developer().newPool(t, "key elsewhere")
}

// testNewKey loses the credentials, and gets in with a new key. Only nodes over
// a database may go on while it is made.
func testNewKey(t *testing.T) {
	s := startServer(t)
	old := s.developer()
	create := []string{"access-key", "create", "--offline", "--data", s.data}
	if !onPostgres() {
		if r := s.run(create...); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "is in use by another tributary (process ") {
			t.Errorf("beside a server: %v", r)
		}
		s.stop()
	}
	r := s.run(create...)
	if r.code != 0 || !strings.HasSuffix(r.stderr, " has no policy: it may do everything\n") {
		t.Fatal(r)
	}
	if err := os.WriteFile(filepath.Join(s.data, "credentials"), []byte(r.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if !onPostgres() {
		s.start()
	}
	s.developer().newPool(t, "by a new key")
	old.url = s.url
	old.newPool(t, "by the old key")
}

// get reads one of the pages that need no signature.
func (s *server) get(path string) (status int, text string) {
	s.t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	a, err := client.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return a.StatusCode, string(body)
}

func testHealth(t *testing.T) {
	s := startServer(t)
	dev := s.developer()
	g := dev.newGuest(t, dev.newPool(t, "health"))
	g.sync(t, g.dataset("notes"), replace("k", "v", 0))
	s.awaitRows(g.pool, 1, 20*time.Second)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if status, text := s.get(path); status != http.StatusOK || text != want {
			t.Errorf("%s: status %d: %q", path, status, text)
		}
	}
	status, text := s.get("/metrics")
	for _, want := range []string{
		`tributary_request_seconds_count{operation="UpdateRecords",service="cognito-sync",status="200"} 1`,
		`tributary_delivered_entries_total{group="warehouse"} `, // the sync, and the audit log's
		"tributary_delivery_lag_seconds", "go_goroutines", "process_open_fds",
	} {
		if status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("/metrics: status %d, lacks %s", status, want)
		}
	}
	for _, secret := range []string{g.identity, s.key().id, g.pool} {
		if strings.Contains(text, secret) {
			t.Errorf("/metrics names %s", secret)
		}
	}
}

// testDiskFull asks for more free space than the disk has: writes are refused,
// everything else goes on.
func testDiskFull(t *testing.T) {
	embeddedOnly(t, "--min-free speaks of the data folder's disk")
	s := startServer(t)
	dev := s.developer()
	g := dev.newGuest(t, dev.newPool(t, "disk full"))
	d := g.dataset("notes")
	g.sync(t, d, replace("k", "v", 0))
	s.stop()
	s.args = []string{"--min-free", "100%"}
	s.start()
	dev.url, g.url = s.url, s.url

	a := g.do(t, syncService, "POST", d.path(), encode(t, update{g.list(t, d).SyncSessionToken, []patch{replace("k", "w", 1)}}))
	wantFault(t, a, 503, "ServiceUnavailableException", "free")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if status, text := s.get("/readyz"); status != http.StatusServiceUnavailable || !strings.HasPrefix(text, "not ready: ") {
		t.Errorf("/readyz: status %d: %q", status, text)
	}
	s.healthy()
	if l := g.list(t, d); len(l.Records) != 1 || *l.Records[0].Value != "v" {
		t.Errorf("%+v", l)
	}
	g.rest(t, "DELETE", d.path(), nil, nil) // what makes room is taken
}

// testNoWarehouse does without a warehouse, and then with one, which gets what
// had happened before, although every start trims the logs.
func testNoWarehouse(t *testing.T) {
	s := startServer(t, "--warehouse", "none")
	if !strings.Contains(s.stdout.String(), "warehouse    none: The server was started with --warehouse none") {
		t.Errorf("the server says: %s", s.stdout)
	}
	dev := s.developer()
	g := dev.newGuest(t, dev.newPool(t, "no warehouse"))
	g.sync(t, g.dataset("notes"), replace("k", "v", 0))
	if status, text := s.get("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: status %d: %q", status, text)
	}
	r := s.run("query", "--server", s.url, "--data", s.data, "SELECT 1")
	if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "--warehouse none") {
		t.Errorf("%v", r)
	}
	if _, err := os.Stat(filepath.Join(s.data, "warehouse.duckdb")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a warehouse: %v", err)
	}
	s.restart()
	g.url = s.url
	g.sync(t, g.dataset("notes"), replace("k", "w", 1)) // and once more: what is there is trimmed while it serves
	s.stop()
	s.args = nil
	s.start()
	s.awaitRows(g.pool, 2, 20*time.Second)
}
