package pebblestore_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tributary"
	"tributary/store/pebblestore"
	"tributary/store/storetest"
)

// backupOf takes a backup.
func backupOf(t testing.TB, s *pebblestore.Store) []byte {
	t.Helper()
	var out bytes.Buffer
	b, err := s.Backup("test")
	if err == nil {
		_, err = b.Write(t.Context(), &out)
		err = errors.Join(err, b.Close())
	}
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	return out.Bytes()
}

// restored restores a backup to a folder in memory.
func restored(t testing.TB, backup []byte) (pebblestore.Config, pebblestore.RestoreReport) {
	t.Helper()
	cfg := pebblestore.Config{Dir: folder, FS: vfs.NewMem(), MemTableSize: 64 << 10}
	report, err := pebblestore.Restore(t.Context(), cfg, bytes.NewReader(backup), nil)
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	return cfg, report
}

// sound fails the test unless a check of a closed store finds nothing.
func sound(t testing.TB, cfg pebblestore.Config) pebblestore.CheckReport {
	t.Helper()
	report, err := pebblestore.Check(t.Context(), cfg)
	if err != nil || report.Found > 0 {
		t.Fatalf("check: %v, %d faults: %s", err, report.Found, strings.Join(report.Faults, "\n"))
	}
	return report
}

func restores(s *pebblestore.Store) (out []storetest.Restore) {
	for _, r := range s.Restores() {
		out = append(out, storetest.Restore{Base: r.Base, Count: r.Count})
	}
	return out
}

// programmed is a store after a seeded program. Its leases may be of shards
// that never were, so they are not looked at.
func programmed(t testing.TB, seed uint64, steps int) *pebblestore.Store {
	t.Helper()
	s := open(t, pebblestore.Config{Dir: folder, FS: vfs.NewMem(), Shards: 2, MemTableSize: 64 << 10})
	t.Cleanup(func() { _ = s.Close() })
	storetest.Program{Seed: seed, Steps: steps}.Run(t.Context(), s)
	return s
}

// TestBackupWhileWriting takes backups while eight write. Each must hold all
// that was acknowledged before it began, and changes as a whole.
func TestBackupWhileWriting(t *testing.T) {
	s := open(t, pebblestore.Config{Dir: t.TempDir() + "/store", Shards: 2, MemTableSize: 256 << 10})
	defer func() { _ = s.Close() }()
	books := &storetest.Acked{}
	w := books.Watch(s)
	populate(t, w)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var mu sync.Mutex
	written := 0
	for n := range 8 {
		id := tributary.IdentityID(fmt.Sprintf("us-east-1:00000000-0000-4000-8000-1000000000%02x", n))
		if err := w.PutIdentity(t.Context(), tributary.Identity{ID: id, Pool: pool}); err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := writeOnce(t, w, id, n, i); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				mu.Lock()
				written++
				mu.Unlock()
			}
		})
	}
	await := func(more int) {
		mu.Lock()
		until := written + more
		mu.Unlock()
		for t.Context().Err() == nil && !t.Failed() {
			mu.Lock()
			done := written >= until
			mu.Unlock()
			if done {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	for range 3 * soak(t) {
		await(500)
		before := books.At(func() {})
		backup := backupOf(t, s)
		since := books.Since(before)
		cfg, report := restored(t, backup)
		checked := sound(t, cfg)
		r := open(t, cfg)
		if err := since.Check(t.Context(), r); err != nil {
			t.Error(err)
		}
		storetest.CheckConsistent(t, r, storetest.Checks{Usage: true, Restores: restores(r)})
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		t.Logf("%d bytes, %+v; checked in %v: %d tables, %d keys, %d records", len(backup), report.Tally, checked.Took, checked.Tables, checked.Keys, checked.Records)
		if report.Tally.Entries == 0 || report.Tally.Identities != 9 || checked.Tally != report.Tally {
			t.Errorf("restored %+v, checked %+v", report.Tally, checked.Tally)
		}
	}
	stop()
	writers.Wait()
}

// writeOnce is one sync of a writer, whose datasets grow until they are split.
func writeOnce(t testing.TB, s tributary.Store, id tributary.IdentityID, writer, i int) error {
	key := tributary.DatasetKey{Pool: pool, Identity: id, Dataset: tributary.DatasetName(fmt.Sprintf("d%d", i%3))}
	if i%50 == 49 {
		v, err := s.View(t.Context(), key, nil)
		if err != nil || !v.Dataset.Exists {
			return err
		}
		return s.Commit(t.Context(), v.Delete(tributary.Writer{ID: tributary.ChangeID(writer<<32 + i + 1), By: "test", Now: tributary.MillisOf(time.Now())}))
	}
	names := []string{fmt.Sprint("k", i%7), fmt.Sprint("k", i%11)}
	patches := []tributary.Patch{{Key: names[0], Value: strings.Repeat("v", 100+i%1000)}}
	if names[1] != names[0] {
		patches = append(patches, tributary.Patch{Key: names[1], Remove: i%5 == 0})
	}
	v, err := s.View(t.Context(), key, names)
	if err != nil {
		return err
	}
	for j := range patches {
		patches[j].SyncCount = v.Dataset.SyncCount
	}
	c, err := v.Apply(patches, tributary.Writer{ID: tributary.ChangeID(writer<<32 + i + 1), By: "test", Now: tributary.MillisOf(time.Now())})
	if err != nil {
		return err
	}
	return s.Commit(t.Context(), c)
}

// TestBackupAltered alters single bits and cuts the end off: each is found,
// and nothing is restored.
func TestBackupAltered(t *testing.T) {
	backup := backupOf(t, programmed(t, 1, 300))
	if _, err := pebblestore.ReadBackup(bytes.NewReader(backup), skip); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, backup []byte) {
		t.Helper()
		if _, err := pebblestore.ReadBackup(bytes.NewReader(backup), skip); tributary.KindOf(err) != tributary.Invalid {
			t.Errorf("%s: the backup is read with %v", what, err)
		}
	}
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	altered := func(at int) []byte {
		out := bytes.Clone(backup)
		out[at] ^= 1 << rnd.IntN(8)
		return out
	}
	for n := range 2000 * soak(t) {
		at := rnd.IntN(len(backup))
		if n < 1024 { // the manifest and the archive's end, which hold no file
			at = len(backup) - 1 - n
		}
		refused(fmt.Sprintf("byte %d of %d", at, len(backup)), altered(at))
	}
	for at := range 512 { // of the first file's header
		refused(fmt.Sprintf("byte %d of %d", at, len(backup)), altered(at))
	}
	for range 300 * soak(t) {
		n := rnd.IntN(len(backup))
		refused(fmt.Sprintf("%d bytes of %d", n, len(backup)), backup[:n])
	}
	refused("one byte more", append(bytes.Clone(backup), 0))
	for range 30 {
		mem := vfs.NewMem()
		at := rnd.IntN(len(backup))
		_, err := pebblestore.Restore(t.Context(), pebblestore.Config{Dir: folder, FS: mem}, bytes.NewReader(altered(at)), nil)
		if tributary.KindOf(err) != tributary.Invalid {
			t.Errorf("byte %d: restored with %v", at, err)
		}
		if names, err := mem.List("data"); err != nil || len(names) > 0 {
			t.Errorf("byte %d: left are %v, %v", at, names, err)
		}
	}
}

func skip(string, int64, io.Reader) error { return nil }

// TestBackupNames: an archive cannot write outside of the store's folder.
func TestBackupNames(t *testing.T) {
	for _, h := range []tar.Header{
		{Name: "../evil"}, {Name: "store/../../evil"}, {Name: "/etc/evil"}, {Name: "store/a/b"}, {Name: "store/"}, {Name: "store/.."}, {Name: "credentials"},
		{Name: "store/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, {Name: "store/hard", Typeflag: tar.TypeLink, Linkname: "store/a"}, {Name: `store/a\b`},
	} {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		h.Mode = 0o600
		if err := errors.Join(w.WriteHeader(&h), w.Close()); err != nil {
			t.Fatal(err)
		}
		mem := vfs.NewMem()
		_, err := pebblestore.Restore(t.Context(), pebblestore.Config{Dir: folder, FS: mem}, &out, nil)
		if tributary.KindOf(err) != tributary.Invalid || !strings.Contains(err.Error(), "is in no backup") {
			t.Errorf("%s: %v", h.Name, err)
		}
		if names, _ := mem.List(""); len(names) != 1 || names[0] != "data" {
			t.Errorf("%s: there are %v", h.Name, names)
		}
	}
}

// TestBackupMasterKey: a copy of a backup holds the key that it was given.
func TestBackupMasterKey(t *testing.T) {
	backup := backupOf(t, programmed(t, 1, 50))
	var out bytes.Buffer
	m, err := pebblestore.CopyBackup(&out, bytes.NewReader(backup), []byte("secret"))
	if err != nil || !m.Holds(pebblestore.MasterKeyName) {
		t.Fatalf("%v, %+v", err, m)
	}
	if _, report := restored(t, out.Bytes()); string(report.MasterKey) != "secret" {
		t.Errorf("restored the key %q", report.MasterKey)
	}
	if _, report := restored(t, backup); report.MasterKey != nil {
		t.Errorf("restored the key %q", report.MasterKey)
	}
	var same bytes.Buffer
	if _, err := pebblestore.CopyBackup(&same, bytes.NewReader(backup), nil); err != nil || !bytes.Equal(same.Bytes(), backup) {
		t.Errorf("a copy of %d bytes has %d, %v", len(backup), same.Len(), err)
	}
}

// TestBackupLeftovers: a backup that was cut short leaves nothing for long,
// and two do not run at a time.
func TestBackupLeftovers(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, pebblestore.Config{Dir: folder, FS: mem})
	b, err := s.Backup("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup("test"); tributary.KindOf(err) != tributary.Busy {
		t.Errorf("a second backup at a time: %v", err)
	}
	if _, err := mem.Stat(folder + ".backup"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, pebblestore.Config{Dir: folder, FS: mem})
	defer func() { _ = s.Close() }()
	if _, err := mem.Stat(folder + ".backup"); err == nil {
		t.Error("the checkpoint of a crashed server's backup is still there")
	}
	_ = b.Close()
	backupOf(t, s)
	if _, err := mem.Stat(folder + ".backup"); err == nil {
		t.Error("the checkpoint is still there")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup("test"); tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("a backup of a closed store: %v", err)
	}
}

// TestRestoreCut cuts the power at every filesystem operation of a restore:
// what is left is no store or all of it, and a further restore succeeds.
func TestRestoreCut(t *testing.T) {
	source := programmed(t, 2, 150)
	populate(t, source)
	for i := range 300 { // so that there are tables, which the restored store keeps
		if err := writeOnce(t, source, user, 1, i); err != nil {
			t.Fatal(err)
		}
	}
	backup := backupOf(t, source)
	if !bytes.Contains(backup, []byte(".sst")) {
		t.Fatal("the backup has no tables")
	}
	want, err := storetest.Dump(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(2, 0))
	mem := vfs.NewCrashableMem()
	var mu sync.Mutex // Pebble cleans up on its own time
	var lefts []*vfs.MemFS
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			kept := vfs.CrashCloneCfg{}
			if len(lefts)%2 == 0 {
				kept = vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rand.New(rand.NewPCG(rnd.Uint64(), 0))}
			}
			lefts = append(lefts, mem.CrashClone(kept))
		}
		return nil
	}))
	if _, err := pebblestore.Restore(t.Context(), pebblestore.Config{Dir: folder, FS: fs}, bytes.NewReader(backup), nil); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	lefts = append(lefts, mem.CrashClone(vfs.CrashCloneCfg{}))
	whole := 0
	for n, left := range lefts {
		cfg := pebblestore.Config{Dir: folder, FS: left}
		if _, err := left.Stat(folder); err == nil {
			whole++
		} else if n%7 == 0 {
			if _, err := pebblestore.Restore(t.Context(), cfg, bytes.NewReader(backup), nil); err != nil {
				t.Errorf("cut %d: a further restore: %v", n, err)
			}
		} else {
			continue
		}
		sameData(t, cfg, want)
		if t.Failed() {
			t.Fatalf("cut %d of %d", n, len(lefts))
		}
	}
	if len(lefts) < 50 || whole == 0 || whole == len(lefts) {
		t.Errorf("%d cuts, the store was there after %d", len(lefts), whole)
	}
	t.Logf("%d cuts, the store was there after %d", len(lefts), whole)
}

// sameData opens a store, which must hold the same pools, identities and
// entries as a dump, and datasets of other counts alone.
func sameData(t testing.TB, cfg pebblestore.Config, want []string) {
	t.Helper()
	s, err := pebblestore.Open(cfg)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = s.Close() }()
	got, err := storetest.Dump(t.Context(), s)
	if err != nil || len(got) != len(want) {
		t.Errorf("%d lines, want %d, %v", len(got), len(want), err)
		return
	}
	for i := range want {
		if got[i] != want[i] && !strings.HasPrefix(want[i], "dataset ") {
			t.Errorf("%s\nwant %s", got[i], want[i])
		}
	}
	storetest.CheckConsistent(t, s, storetest.Checks{Lost: true, Usage: true, Restores: restores(s)})
}

// TestRestoreFails fails every filesystem operation of a restore once: it is
// told, and leaves no store.
func TestRestoreFails(t *testing.T) {
	backup := backupOf(t, programmed(t, 2, 30))
	broken := errors.New("broken disk")
	for n := 0; ; n++ {
		mem, ops := vfs.NewMem(), 0
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			marker := strings.Contains(op.Path, "marker.") || strings.HasSuffix(op.Path, "restore/store") // Pebble panics, which is TestRestoreCut's
			if !marker && (op.Kind == errorfs.OpRename || op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpMkdirAll) {
				if ops++; ops == n+1 {
					return broken
				}
			}
			return nil
		}))
		_, err := pebblestore.Restore(t.Context(), pebblestore.Config{Dir: folder, FS: fs, Failed: func(error) {}}, bytes.NewReader(backup), nil)
		_, there := mem.Stat(folder)
		if ops <= n {
			if err != nil || there != nil {
				t.Errorf("undisturbed: %v, %v", err, there)
			}
			t.Logf("%d operations failed", n)
			return
		}
		if err != nil && there == nil && n+5 < ops {
			t.Errorf("operation %d of %d failed, and there is a store: %v", n, ops, err)
		}
		if err == nil && there != nil {
			t.Errorf("operation %d of %d failed: no error, and no store", n, ops)
		}
	}
}
