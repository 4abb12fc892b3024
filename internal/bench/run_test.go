package bench

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"tributary/store/pebblestore"
)

func small(t *testing.T) Config {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Executable: executable, ReadKey: readKey, Compact: pebblestore.Compact, Region: "us-east-1", Dir: t.TempDir(),
		Quick: true, Seconds: 1, Connections: 8, Identities: 8, Datasets: 4, Warehouse: "none", Version: "test", Seed: 42,
	}
}

// TestRun measures servers of its own, as the command does.
func TestRun(t *testing.T) {
	t.Parallel()
	c := small(t)
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Wrong) > 0 {
		t.Errorf("wrong: %q", r.Wrong)
	}
	for _, name := range []string{phaseSyncs, phasePull, phaseNothing, phaseOne, phaseLarge, phaseVisible} {
		if p, ok := r.phase(name, "none"); !ok || p.Ops == 0 || p.Millis.Max <= 0 || p.Millis.P50 > p.Millis.P999 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p, ok := r.phase(phaseCeiling, ""); !ok || p.Ops == 0 {
		t.Error("there is no ceiling")
	}
	if _, ok := r.phase(phaseGrown, "none, grown"); !ok {
		t.Error("growth was not measured")
	}
	if f := r.Visible; f == nil || f.Events == 0 || f.Missing > 0 {
		t.Errorf("visible: %+v", f)
	}
	// Random values cannot be packed tighter than they were before base64, in
	// the record and in the log.
	if r.Rest == nil || r.Rest.Records != 25*4*patchesPerSync || r.Rest.SSTBytes < 2*valueBytes*r.Rest.Records {
		t.Errorf("at rest: %+v", r.Rest)
	}
	if _, ok := r.Memory["none, at rest"]; !ok || r.Memory["none"] == r.Memory["none, at rest"] {
		t.Errorf("memory: %+v", r.Memory) // the server of P1 has its own figure
	}
	if p, ok := r.phase(phaseIdle, "none"); !ok || p.ServerCPU == nil {
		t.Errorf("idle: %+v", p)
	}
	left, err := os.ReadDir(c.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	checkOutput(t, r)
}

func checkOutput(t *testing.T, r *Report) {
	t.Helper()
	var text, object bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"seed 42", phaseSyncs, "ceiling", "P1 ", "P2 ", "P4 ", "P5 ", "P9 ", "P11"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("the report does not say %q:\n%s", words, text.String())
		}
	}
	if err := r.WriteJSON(&object); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || back.Seed != 42 || len(back.Phases) != len(r.Phases) {
		t.Errorf("read back: %v, %+v", err, back)
	}
}

// TestWarehouseAlone: what the warehouse costs is a share of what there is
// without it, so that is measured too.
func TestWarehouseAlone(t *testing.T) {
	t.Parallel()
	c := small(t)
	c.Run, c.Warehouse = []string{"warehouse"}, "duckdb"
	r, err := Run(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "There is no warehouse here") {
		t.Fatal(err)
	}
	if _, ok := r.phase(phasePull, "none"); !ok {
		t.Error("pulls were not measured without the warehouse")
	}
	if !slices.ContainsFunc(r.Bars, func(b Bar) bool { return b.ID == "P1'" }) {
		t.Errorf("bars: %+v", r.Bars)
	}
}

// TestIdleAlone measures P11 on the server that there is.
func TestIdleAlone(t *testing.T) {
	t.Parallel()
	c := small(t)
	c.Run = []string{"p11"}
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Bars, func(b Bar) bool { return b.ID == "P11" }) {
		t.Errorf("bars: %+v", r.Bars)
	}
}

// TestGivenServer measures a server that runs already, and leaves out what it
// does not have.
func TestGivenServer(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	h := httptest.NewServer(s)
	defer h.Close()
	c := small(t)
	c.Server, c.Key, c.ServerPID, c.Run = h.URL, s.key, os.Getpid(), []string{"p1", "p5", "p6"}
	for seed := range uint64(2) { // the second finds the stream of the first
		c.Seed = seed + 1
		r, err := Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := r.phase(phaseSyncs, "as it is"); !ok || p.Ops == 0 || len(r.Wrong) > 0 {
			t.Errorf("syncs: %+v; wrong: %q", p, r.Wrong)
		}
		if r.Queryable != nil || !strings.Contains(strings.Join(r.Remarks, " "), "There is no warehouse here") {
			t.Errorf("remarks: %q", r.Remarks)
		}
	}
}

// lossy hides the first record of some answers of GetRecords.
type lossy struct{ http.Handler }

func (l lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetRecords") {
		l.Handler.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	l.Handler.ServeHTTP(rec, r)
	var out struct {
		Records           []map[string]any
		NextShardIterator string
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err == nil && len(out.Records) > 1 {
		out.Records = out.Records[1:]
	}
	body, _ := json.Marshal(out)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// TestMissingEvents has a server that loses events on their way to readers.
func TestMissingEvents(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	h := httptest.NewServer(lossy{s})
	defer h.Close()
	c := small(t)
	c.Server, c.Key, c.Run, c.Poll = h.URL, s.key, []string{"p5"}, 20*time.Millisecond
	r, err := newRunner(c)
	if err != nil {
		t.Fatal(err)
	}
	r.plan.patience = time.Second
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f := r.report.Visible; f == nil || f.Missing == 0 || len(r.report.Wrong) != 1 {
		t.Errorf("visible: %+v; wrong: %q", f, r.report.Wrong)
	}
}

// TestWrongSync has servers whose answers to syncs must end the run.
func TestWrongSync(t *testing.T) {
	s := inMemory(t)
	for name, answer := range map[string]func(http.ResponseWriter){
		"Refused": func(w http.ResponseWriter) { http.Error(w, `{"message":"full"}`, http.StatusServiceUnavailable) },
		"Short":   func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"Records":[]}`) },
		"Count": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"Records":[`+strings.Repeat(`{"Key":"a","SyncCount":7,"Value":""},`, 4)+`{"Key":"a","SyncCount":7,"Value":""}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" && strings.Contains(r.URL.Path, "/datasets/") {
					answer(w)
					return
				}
				s.ServeHTTP(w, r)
			}))
			defer h.Close()
			c := small(t)
			c.Server, c.Key, c.Run, c.NoStream, c.Seed = h.URL, s.key, []string{"p3"}, true, 0
			if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "sync 1 of /identitypools/") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestWarehouseChecks has warehouses that hold what they must not.
func TestWarehouseChecks(t *testing.T) {
	for _, c := range []struct {
		name, raw, current string
		wrong              int
	}{
		{"Right", "[[10]]", `[["a","d",2,5]]`, 0},
		{"RowLost", "[[9]]", `[["a","d",2,5]]`, 1},
		{"RowTwice", "[[11]]", `[["a","d",2,5]]`, 1},
		{"OldCount", "[[10]]", `[["a","d",1,5]]`, 1},
		{"RecordLost", "[[10]]", `[["a","d",2,4]]`, 1},
		{"DatasetLost", "[[10]]", `[]`, 1},
		{"Stranger", "[[10]]", `[["a","d",2,5],["b","d",2,5]]`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				rows := c.raw
				if bytes.Contains(body, []byte("cognito_current_state")) {
					rows = c.current
				}
				_, _ = io.WriteString(w, `{"Columns":[],"Types":[],"Rows":`+rows+`,"Cut":false}`)
			})
			r := &runner{cfg: Config{Progress: io.Discard}, report: &Report{}}
			r.plan.pollQuery = time.Millisecond
			tg := &target{endpoint: endpoint{address: address}, datasets: []*dataset{{identity: "a", name: "d", count: 2, patches: 10, records: 5}}}
			if err := r.drain(t.Context(), tg, now(), nil); err != nil {
				t.Fatal(err)
			}
			if len(r.report.Wrong) != c.wrong {
				t.Errorf("wrong: %q", r.report.Wrong)
			}
		})
	}
}

func TestConfigRefused(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"there is no \"p99\"":      func(c *Config) { c.Run = []string{"p99"} },
		"need at least":            func(c *Config) { c.Identities, c.Datasets = 1, 1 },
		"of the benchmark's own":   func(c *Config) { c.Server, c.Profile = "http://h:1", "x" },
		"it must be like http://1": func(c *Config) { c.Server, c.Run = "https://h", []string{"p3"} },
		"p6 cannot be":             func(c *Config) { c.Run = []string{"p1", "p6"} },
		"warehouse cannot be":      func(c *Config) { c.Run = []string{"warehouse"} },
		"p10 measures servers":     func(c *Config) { c.Server, c.Run = "http://h:1", []string{"p10"} },
		"did not start":            func(c *Config) { c.Serve, c.Run = []string{"--fail"}, []string{"p3"} },
		"as it was told":           func(c *Config) { c.Serve, c.Run = []string{"--fail"}, []string{"p3"} },
	} {
		c := small(t)
		edit(&c)
		if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestInterrupted ends a run in its middle: servers and folders must be gone.
func TestInterrupted(t *testing.T) {
	c := small(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c.Progress, c.Run, c.Seconds = stopAt{stop, phaseSyncs}, []string{"p3"}, 60
	if _, err := Run(ctx, c); err == nil {
		t.Error("the run ended as if nothing had happened")
	}
	if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// stopAt is a progress that stops the run at a phase.
type stopAt struct {
	stop func()
	at   string
}

func (s stopAt) Write(b []byte) (int, error) {
	if strings.Contains(string(b), ": "+s.at) {
		s.stop()
	}
	return len(b), nil
}
