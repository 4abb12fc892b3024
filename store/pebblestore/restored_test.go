package pebblestore_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/store/pebblestore"
	"tributary/store/storetest"
)

// incarnation is a store with five entries in its only shard, restored from
// its backup after three more.
type incarnation struct {
	*testing.T
	backup []byte
	lost   []tributary.Position // of the entries after the backup
	cfg    pebblestore.Config
	report pebblestore.RestoreReport
	s      *pebblestore.Store
}

func reborn(t *testing.T) *incarnation {
	t.Helper()
	s := open(t, pebblestore.Config{Dir: folder, FS: vfs.NewMem(), Shards: 1})
	populate(t, s)
	write := func(from, to int) {
		for i := from; i < to; i++ {
			if err := s.Commit(t.Context(), change(t, s, tributary.ChangeID(i+1), "v")); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := &incarnation{T: t}
	write(0, 5)
	n.backup = backupOf(t, s)
	write(5, 8)
	for i := range uint64(3) {
		n.lost = append(n.lost, tributary.PositionOf(defaultLog, 6+i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	n.restore(n.backup)
	return n
}

// restore makes the store that of a backup.
func (n *incarnation) restore(backup []byte) {
	n.Helper()
	n.cfg, n.report = restored(n, backup)
	n.reopen()
}

func (n *incarnation) reopen() {
	n.Helper()
	if n.s != nil {
		_ = n.s.Close()
	}
	sound(n, n.cfg)
	n.s = open(n, n.cfg)
	n.Cleanup(func() { _ = n.s.Close() })
}

func (n *incarnation) write(id tributary.ChangeID) {
	n.Helper()
	if err := n.s.Commit(n.Context(), change(n, n.s, id, "again")); err != nil {
		n.Fatal(err)
	}
}

// read gives the counts of the entries above a position.
func (n *incarnation) read(after tributary.Position) (counts []uint64) {
	n.Helper()
	entries, err := n.s.Read(n.Context(), defaultLog, after, 1<<20)
	if err != nil {
		n.Fatalf("read above %s: %v", after, err)
	}
	for _, e := range entries {
		_, count, _ := e.Position.Split()
		counts = append(counts, count)
	}
	return counts
}

func (n *incarnation) find(at tributary.Millis) uint64 {
	n.Helper()
	p, err := n.s.Find(n.Context(), defaultLog, at)
	if err != nil {
		n.Fatal(err)
	}
	_, count, _ := p.Split()
	return count
}

// TestRestoredPositions: numbers of the lost time never come again, and their
// readers go on with the first entry after the restore.
func TestRestoredPositions(t *testing.T) {
	n := reborn(t)
	base := n.report.Restored.Base
	const far = tributary.Millis(1) << 60
	for round := range 2 { // the second after another start
		if got := n.find(0); got != 0 {
			t.Errorf("round %d: the horizon is at %d", round, got)
		}
		if got := n.find(far); got != base {
			t.Errorf("round %d: the tip is at %d, want %d", round, got, base)
		}
		if got := n.read(""); len(got) != 5 || got[4] != 5 {
			t.Errorf("round %d: the log holds %v", round, got)
		}
		for _, p := range append(n.lost, tributary.PositionOf(defaultLog, 5)) {
			if got := n.read(p); len(got) != 0 {
				t.Errorf("round %d: above %s is %v", round, p, got)
			}
			short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			if err := n.s.Wait(short, defaultLog, p); tributary.KindOf(err) != tributary.Unavailable {
				t.Errorf("round %d: waiting above %s ends with %v", round, p, err)
			}
			cancel()
		}
		n.reopen()
	}
	waited := make(chan error, 1)
	go func() { waited <- n.s.Wait(t.Context(), defaultLog, n.lost[1]) }()
	n.write(20)
	n.write(21)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	for round := range 2 {
		for _, p := range append(n.lost, tributary.PositionOf(defaultLog, 5)) {
			if got := n.read(p); len(got) != 2 || got[0] != base+1 || got[1] != base+2 {
				t.Errorf("round %d: above %s is %v, want %d and the next", round, p, got, base+1)
			}
			if err := n.s.Wait(t.Context(), defaultLog, p); err != nil {
				t.Error(err)
			}
		}
		if low, high := n.find(0), n.find(far); low != 0 || high != base+2 {
			t.Errorf("round %d: the log is from %d to %d", round, low, high)
		}
		entries, err := n.s.Read(t.Context(), defaultLog, n.lost[0], 1)
		if err != nil || n.find(entries[0].Arrived) > 5 {
			t.Errorf("round %d: the first entry after the restore is searched above %d, %v", round, n.find(entries[0].Arrived), err)
		}
		n.reopen()
	}
	r := n.s.Restores()[0]
	for _, p := range n.lost {
		if !r.Lost(p) {
			t.Errorf("%s is not known as lost", p)
		}
	}
	for _, known := range []uint64{0, 5, base, base + 1} {
		if r.Lost(tributary.PositionOf(defaultLog, known)) {
			t.Errorf("%d counts as lost", known)
		}
	}
	storetest.CheckConsistent(t, n.s, storetest.Checks{Usage: true, Restores: restores(n.s)})
}

// TestRestoredTrim: trimming reaches into the gap, and across it.
func TestRestoredTrim(t *testing.T) {
	for _, through := range []uint64{3, 5, 7, 0} {
		n := reborn(t)
		n.write(20)
		if through == 0 {
			through = n.report.Restored.Base + 1
		}
		if err := n.s.Trim(t.Context(), defaultLog, tributary.PositionOf(defaultLog, through)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := n.find(0); got != through {
				t.Errorf("trimmed through %d, the horizon is at %d", through, got)
			}
			n.reopen()
		}
		n.write(21)
		if got := n.read(""); got[len(got)-1] != n.report.Restored.Base+2 {
			t.Errorf("trimmed through %d, the log holds %v", through, got)
		}
	}
}

// TestRestoredClose: a shard that is closed before it has an entry of the new
// incarnation ends with its last one.
func TestRestoredClose(t *testing.T) {
	n := reborn(t)
	st, err := n.s.PutStream(t.Context(), tributary.Stream{Name: "s", Kind: tributary.Embedded, Shards: tributary.EvenShards(1), Retention: tributary.DefaultRetention})
	if err != nil || st.ID <= n.report.Restored.Streams {
		t.Fatalf("stream %d, up to %d may have been given: %v", st.ID, n.report.Restored.Streams, err)
	}
	shard := tributary.Shard{Stream: st.ID}
	foreign := tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p", Data: []byte("d")}}
	at, err := n.s.Append(t.Context(), st.ID, []tributary.Entry{foreign})
	if err != nil || at[0] != tributary.PositionOf(shard, 1) {
		t.Fatalf("%v, %v", at, err)
	}
	n.restore(backupOf(t, n.s))
	split := func(st tributary.Stream) tributary.Stream {
		t.Helper()
		halves := tributary.EvenShards(2)
		last := len(st.Shards)
		st.Shards[last-1].Closed = true
		for i := range halves {
			halves[i].Number, halves[i].Parents = uint32(last+i), []uint32{uint32(last - 1)}
		}
		st.Shards = append(st.Shards, halves[0])
		st, err := n.s.PutStream(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st, err = n.s.Stream(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	st = split(st)
	if st.Shards[0].Last != at[0] {
		t.Errorf("the closed shard ends at %s, its last entry is %s", st.Shards[0].Last, at[0])
	}
	// Its child may have been there in the lost time, and had numbers.
	at, err = n.s.Append(t.Context(), st.ID, []tributary.Entry{foreign})
	if base := n.s.Restores()[1].Base; err != nil || at[0] != tributary.PositionOf(tributary.Shard{Stream: st.ID, Number: 1}, base+1) {
		t.Errorf("the child begins at %v, the restore's base is %d: %v", at, base, err)
	}
	st = split(st)
	if st.Shards[1].Last != at[0] {
		t.Errorf("the closed child ends at %s, its last entry is %s", st.Shards[1].Last, at[0])
	}
	n.reopen()
}

// TestRestoredCounts: every dataset, also one that was not there, goes on above
// all counts that may have been given out.
func TestRestoredCounts(t *testing.T) {
	n := reborn(t)
	count := n.report.Restored.Count
	v, err := n.s.View(t.Context(), notes, []string{"k"})
	if err != nil {
		t.Fatal(err)
	}
	if d := v.Dataset; d.SyncCount != count || d.Floor != count || d.Marker != 0 || !d.Exists || v.Records[0].SyncCount != 5 || count >= 1<<45 {
		t.Errorf("%+v, its record %+v, the restore's count %d", d, v.Records[0], count)
	}
	never := notes
	never.Dataset = "never"
	if v, err = n.s.View(t.Context(), never, nil); err != nil || v.Dataset.Exists || v.Dataset.SyncCount != count || v.Dataset.Marker != count {
		t.Errorf("of what is not there: %+v, %v", v.Dataset, err)
	}
	if list, err := n.s.Datasets(t.Context(), user, "", 10); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	n.write(20)
	if v, err = n.s.View(t.Context(), notes, []string{"k"}); err != nil || v.Dataset.SyncCount != count+1 || v.Records[0].SyncCount != count+1 {
		t.Errorf("%+v, %v", v.Dataset, err)
	}
}

// TestRestoredTwice restores one backup twice, with a run in between: what that
// run gave out does not come again either, nor with a clock that stands.
func TestRestoredTwice(t *testing.T) {
	n := reborn(t)
	first := n.report.Restored
	n.write(20)
	later := backupOf(t, n.s)
	n.restore(n.backup)
	second := n.report.Restored
	if second.Base <= first.Base+1000 || second.Count <= first.Count+10 {
		t.Errorf("first %+v, then %+v", first, second)
	}
	cfg := pebblestore.Config{Dir: folder, FS: vfs.NewMem(), Now: func() time.Time { return time.Unix(0, 0) }}
	report, err := pebblestore.Restore(t.Context(), cfg, bytes.NewReader(later), nil)
	if err != nil {
		t.Fatal(err)
	}
	if third := report.Restored; third.Base <= first.Base+1000 || third.Count <= first.Count || third.At <= first.At {
		t.Errorf("first %+v, then with a clock that is wrong %+v", first, third)
	}
	sound(t, cfg)
	n.cfg = cfg
	n.reopen()
	n.write(30)
	if len(n.s.Restores()) != 2 || n.read("")[6] != report.Restored.Base+1 {
		t.Errorf("%+v, the log holds %v", n.s.Restores(), n.read(""))
	}
	storetest.CheckConsistent(t, n.s, storetest.Checks{Usage: true, Restores: restores(n.s)})
}

// TestRestoredLeases: a sink has seen epochs of the lost time.
func TestRestoredLeases(t *testing.T) {
	_, s := checkable(t)
	backup := backupOf(t, s)
	_ = s.Close()
	cfg, report := restored(t, backup)
	sound(t, cfg)
	s = open(t, cfg)
	defer func() { _ = s.Close() }()
	leases, err := s.Leases(t.Context(), "w")
	if err != nil || len(leases) != 1 || leases[0].Epoch != int64(report.Restored.At) || leases[0].Checkpoint != tributary.PositionOf(defaultLog, 3) {
		t.Errorf("%+v, %v", leases, err)
	}
}

// TestRestoreRefuses: a folder that is there is not touched.
func TestRestoreRefuses(t *testing.T) {
	n := reborn(t)
	if _, err := pebblestore.Restore(t.Context(), n.cfg, bytes.NewReader(n.backup), nil); tributary.KindOf(err) != tributary.Exists {
		t.Errorf("over a store: %v", err)
	}
	n.reopen()
	n.write(20)
}
