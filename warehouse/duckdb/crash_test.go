//go:build cgo && unix

package duckdb_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tributary"
	"tributary/warehouse/duckdb"
)

const crashFile = "TRIBUTARY_CRASH_FILE"

// TestCrash kills a process in the middle of its deliveries, again and again,
// and looks what is in the file: each entry up to the checkpoint once, none
// above it, and everything that was acknowledged.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	path := filepath.Join(t.TempDir(), "w.db")
	for round := range 6 {
		acknowledged := killed(t, path, 3+round*7)
		w := open(t, duckdb.Config{Path: path, FoldRows: 300})
		p, err := w.Checkpoint(t.Context(), shard)
		if err != nil {
			t.Fatal(err)
		}
		_, entries, err := p.Split()
		if err != nil || entries < acknowledged {
			t.Fatalf("checkpoint %d, %v; acknowledged %d", entries, err, acknowledged)
		}
		var rows, distinct int64
		r := ask(t, w, "SELECT count(*), count(DISTINCT (identityId, datasetName, key, syncCount)) FROM cognito_raw_data")
		rows, distinct = r[0][0].(int64), r[0][1].(int64)
		if rows != int64(entries)*5 || distinct != rows {
			t.Errorf("round %d: %d raw rows, %d of them distinct, for %d entries", round, rows, distinct, entries)
		}
		l := newLoad(200)
		for range entries {
			l.change(l.IntN(len(l.counts)))
		}
		r = ask(t, w, "SELECT count(*), sum(syncCount) FROM cognito_current_state")
		want, live := int64(0), int64(0)
		for _, n := range l.counts {
			if n > 0 {
				want, live = want+5*n, live+5
			}
		}
		if fmt.Sprint(r[0]) != fmt.Sprint([]any{live, want}) {
			t.Errorf("round %d: current state %v, want %d and %d", round, r[0], live, want)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killed runs a delivering process, kills it after so many acknowledged
// batches, and gives the last entry that it acknowledged.
func killed(t *testing.T, path string, batches int) uint64 {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$")
	c.Env = append(os.Environ(), crashFile+"="+path)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var last uint64
	lines := bufio.NewScanner(out)
	for range batches {
		if !lines.Scan() {
			t.Fatalf("the process ended: %v", lines.Err())
		}
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it wrote before it died
		_, _ = fmt.Sscan(lines.Text(), &last)
	}
	_ = c.Wait() // it was killed
	return last
}

// TestCrashChild is the process that is killed. The same changes are made each
// time, so that it goes on where the one before ended.
func TestCrashChild(t *testing.T) {
	path := os.Getenv(crashFile)
	if path == "" {
		t.Skip("is run by TestCrash")
	}
	w, err := duckdb.Open(t.Context(), duckdb.Config{Path: path, FoldRows: 300})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Checkpoint(t.Context(), shard)
	if err != nil {
		t.Fatal(err)
	}
	done := uint64(0)
	if p != "" {
		if _, done, err = p.Split(); err != nil {
			t.Fatal(err)
		}
	}
	l := newLoad(200)
	for range done {
		l.change(l.IntN(len(l.counts)))
	}
	for {
		var batch []tributary.Entry
		for range 1 + l.next%50 {
			batch = append(batch, l.change(l.IntN(len(l.counts))))
		}
		deliver(t, w, batch)
		fmt.Println(l.next)
	}
}
