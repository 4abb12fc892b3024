package bench

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/internal/postgres"
)

// TestManyNodes measures P10 on a server that was given, which is left as it
// was.
func TestManyNodes(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, "fsync = on", "full_page_writes = on")
	c := small(t)
	c.Run, c.Database = []string{"p10"}, server.URL()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Wrong) > 0 {
		t.Errorf("wrong: %q", r.Wrong)
	}
	for name, n := range map[string]int{phaseByHand: 2, phaseOneNode: 2, phaseThreeNodes: 1, phaseSpread: 1, phaseCeiling: 0, phaseSyncs: 0} {
		_, of := r.mean(name)
		if len(of) != n {
			t.Errorf("%s: %d times", name, len(of))
		}
		for _, p := range of {
			if p.Ops == 0 || p.Millis.Max <= 0 || p.Millis.P50 > p.Millis.P999 || p.ClientCPU <= 0 || (p.ServerCPU == nil) != (name == phaseByHand) {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
	if f := r.Spread; f == nil || f.Events == 0 || f.Missing > 0 {
		t.Errorf("spread: %+v", f)
	}
	if !strings.Contains(r.Database, "fsync on, synchronous_commit on") {
		t.Errorf("database: %q", r.Database)
	}
	if n := len(slices.DeleteFunc(slices.Clone(r.Bars), func(b Bar) bool { return b.ID != "P10" })); n != 2 {
		t.Errorf("bars: %+v", r.Bars)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "the mean of ") {
		t.Errorf("%v:\n%s", err, text.String())
	}
	left, err := postgres.SQL(t.Context(), server.URL(), "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%bench%'")
	if err != nil || left != "" {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestNotDurable has a database whose figures must not be compared.
func TestNotDurable(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "full_page_writes = on", "synchronous_commit = off")
	r := &runner{report: &Report{}}
	if err := r.describe(t.Context(), &database{url: server.URL()}); err != nil {
		t.Fatal(err)
	}
	if len(r.report.Remarks) != 1 || !strings.Contains(r.report.Remarks[0], "synchronous_commit is off") {
		t.Errorf("remarks: %q", r.report.Remarks)
	}
}

// TestByHandChecked takes from PostgreSQL by hand what it must have.
func TestByHandChecked(t *testing.T) {
	server := pgtest.Start(t)
	c := small(t)
	r, err := newRunner(c)
	if err != nil {
		t.Fatal(err)
	}
	r.cfg.Database, r.plan.syncs = server.URL(), time.Second
	db, err := r.openDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.prepareByHand(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.byHand(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if p := r.report.Phases[0]; p.Millis.P50 <= 0 || p.PerSecond <= 0 || h.syncs <= p.Ops {
		t.Errorf("%+v", p)
	}
	for i, damage := range []string{
		"SELECT 1",
		"DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox)",
		"INSERT INTO records SELECT identity, dataset, 'another', '', 1, now() FROM heads LIMIT 1",
		"UPDATE heads SET sync_count = sync_count - 1 WHERE (identity, dataset) = (SELECT min(identity), min(dataset) FROM heads)",
	} {
		r.report.Wrong = nil
		if _, err := postgres.SQL(t.Context(), db.hand, damage); err != nil {
			t.Fatal(err)
		}
		if err := r.checkByHand(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if wrong := len(r.report.Wrong); wrong != min(i, 1) {
			t.Errorf("after %q: %q", damage, r.report.Wrong)
		}
	}
}

// TestNodeChecked has a node that shows an old state of some datasets.
func TestNodeChecked(t *testing.T) {
	records := func(count string, n int) string {
		return `{"Records":[` + strings.TrimSuffix(strings.Repeat(`{"Key":"a","SyncCount":`+count+`,"Value":""},`, n), ",") + `]}`
	}
	for _, c := range []struct {
		name, answer string
		wrong        string
	}{
		{"Right", records("3", patchesPerSync), ""},
		{"Old", records("2", patchesPerSync), "node 2 shows 1 of 3 datasets"},
		{"Part", records("3", patchesPerSync-1), "node 2 shows 1 of 3 datasets"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := records("3", patchesPerSync)
				if strings.HasPrefix(r.URL.Path, "/second/") {
					answer = c.answer
				}
				_, _ = io.WriteString(w, answer)
			}))
			defer h.Close()
			r := &runner{cfg: Config{Progress: io.Discard}, report: &Report{}, plan: plan{connections: 2}}
			p := &population{}
			for _, path := range []string{"/first", "/second", "/third"} {
				p.datasets = append(p.datasets, &dataset{path: path, count: 3})
			}
			n := &target{endpoint: endpoint{address: h.Listener.Addr().String()}}
			if err := r.checkNode(t.Context(), 2, n, p); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(r.report.Wrong, "; "); !strings.HasPrefix(got, c.wrong) || (got == "") != (c.wrong == "") {
				t.Errorf("wrong: %q", got)
			}
		})
	}
}

func TestReadPgbench(t *testing.T) {
	const good = "number of transactions actually processed: 1234\nnumber of failed transactions: 0 (0.000%)\ntps = 617.250000 (without initial connection time)\n"
	if ops, perSecond, err := readPgbench(good); ops != 1234 || perSecond != 617.25 || err != nil {
		t.Errorf("got %d, %v, %v", ops, perSecond, err)
	}
	for _, bad := range []string{"", strings.Replace(good, "tps", "tpm", 1), strings.Replace(good, "1234", "0", 1)} {
		if _, _, err := readPgbench(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestFamilyCPU(t *testing.T) {
	alone := processCPU(os.Getpid())
	if all := familyCPU(os.Getpid()); alone < 0 || all < alone {
		t.Errorf("the process has used %v s, with its children %v s", alone, all)
	}
	if familyCPU(0) != -1 {
		t.Error("the CPU time of no process is known")
	}
}
