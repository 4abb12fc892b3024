package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary"
	"tributary/awswire"
	"tributary/front/api"
	"tributary/store/move"
	"tributary/warehouse"
	"tributary/warehouse/duckdb"
)

const (
	backupPool = tributary.PoolID("us-east-1:11111111-2222-4333-8444-555555555555")
	backupUser = tributary.IdentityID("us-east-1:66666666-7777-4888-8999-aaaaaaaaaaaa")
)

var backupKey = tributary.DatasetKey{Pool: backupPool, Identity: backupUser, Dataset: "notes"}

// populateServer makes a pool and an identity.
func populateServer(t *testing.T, s *server) {
	t.Helper()
	dev := tributary.Principal{Account: "000000000000", AccessKey: "test"}
	_, err := s.service.CreatePool(t.Context(), dev, tributary.Pool{ID: backupPool, Name: "test"})
	if err == nil {
		_, err = s.service.CreateIdentity(t.Context(), dev, tributary.Identity{ID: backupUser, Pool: backupPool})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sync writes a record as a client does, and gives its count.
func syncRecord(t *testing.T, s *server, value string) int64 {
	t.Helper()
	dev := tributary.Principal{Account: "000000000000", AccessKey: "test"}
	l, err := s.service.ListRecords(t.Context(), dev, backupKey, tributary.ListQuery{})
	if err == nil {
		var got []tributary.Record
		got, err = s.service.UpdateRecords(t.Context(), dev, backupKey, tributary.Update{SessionToken: l.SessionToken, Patches: []tributary.Patch{{Key: "k", Value: value, SyncCount: l.SyncCount}}})
		if err == nil {
			return got[0].SyncCount
		}
	}
	t.Fatal(err)
	return 0
}

// done is a tool that must succeed.
func done(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := tool(t, nil, args...)
	if code != 0 {
		t.Fatalf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout, stderr
}

// refused is a tool that must fail and say so.
func refused(t *testing.T, says string, args ...string) {
	t.Helper()
	code, stdout, stderr := tool(t, nil, args...)
	if code == 0 || !strings.Contains(stdout+stderr, says) {
		t.Errorf("%v: exit code %d\n%s%s\nwant %q", args, code, stdout, stderr, says)
	}
}

// stopServer ends a server that newServer gave.
func startStoppable(t *testing.T, data string, log *slog.Logger) (s *server, stop func()) {
	t.Helper()
	c := usualSettings(data)
	s, err := newServer(t.Context(), &c, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	return s, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
}

// TestBackupRestore takes a backup of a running server, goes on, and restores it
// over the loss: the client of the lost time gets everything once, and the
// warehouse, which has what was lost, is told of.
func TestBackupRestore(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(t.TempDir(), "store.tar")
	s, stop := startStoppable(t, data, slog.New(slog.DiscardHandler))
	populateServer(t, s)
	syncRecord(t, s, "kept")
	online := []string{"backup", "--server", s.url(), "--data", data}
	_, said := done(t, append(online, file)...)
	if !strings.Contains(said, "the backup of store "+s.store.ID()) {
		t.Error(said)
	}
	refused(t, "is there already", append(online, file)...)
	done(t, append(online, "--force", file)...)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if out, _ := done(t, append(online, "-")...); !strings.Contains(out, "manifest.json") {
		t.Errorf("%d bytes on the standard output", len(out))
	}
	inUse := fmt.Sprintf("tributary: the data folder %s is in use by another tributary (process %d): stop it first\n", s.cfg.storeName(""), os.Getpid())
	if runtime.GOOS != "linux" {
		inUse = "is in use by another tributary: stop it first\n"
	}
	refused(t, inUse, "backup", "--offline", "--data", data, file+".2")
	refused(t, inUse, "check", "--data", data)
	refused(t, inUse, "serve", "--data", data, "--listen", "127.0.0.1:0")
	refused(t, "there is a store in", "restore", "--data", data, file)
	lost := syncRecord(t, s, "lost")
	w, _ := s.warehouse.get()
	hasAll := func() bool {
		shards, err := s.store.Shards(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, shard := range shards {
			at, err := w.Checkpoint(t.Context(), shard)
			if err != nil {
				t.Fatal(err)
			}
			end, err := s.store.Find(t.Context(), shard, 1<<60)
			if err != nil {
				t.Fatal(err)
			}
			if _, n, _ := end.Split(); n > 0 && at != end {
				return false
			}
		}
		return true
	}
	if duckdb.Available {
		eventually(t, hasAll)
	}
	stop()
	if out, _ := done(t, "check", "--data", data); !strings.Contains(out, ": 0 faults") {
		t.Error(out)
	}
	if err := os.Rename(filepath.Join(data, "store"), filepath.Join(data, "old")); err != nil {
		t.Fatal(err)
	}
	out, _ := done(t, "restore", "--data", data, file)
	for _, want := range []string{"1 pools, 1 identities, 1 datasets, 1 streams, ", "datasets a second", "goes on above"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	var checked struct{ FaultsFound, Restores, Datasets int }
	out, _ = done(t, "check", "--data", data, "--json")
	if err := json.Unmarshal([]byte(out), &checked); err != nil || checked.Restores != 1 || checked.Datasets != 1 || checked.FaultsFound != 0 {
		t.Errorf("%v, %+v\n%s", err, checked, out)
	}
	goesOn(t, data, lost)
}

func goesOn(t *testing.T, data string, lost int64) {
	t.Helper()
	var log bytes.Buffer
	s, stop := startStoppable(t, data, slog.New(slog.NewTextHandler(&log, nil)))
	told := strings.Count(log.String(), "has lost")
	dev := tributary.Principal{Account: "000000000000", AccessKey: "test"}
	l, err := s.service.ListRecords(t.Context(), dev, backupKey, tributary.ListQuery{LastSyncCount: lost})
	if err != nil || !l.DeletedMeanwhile || len(l.Records) != 1 || l.Records[0].Value != "kept" || l.SyncCount <= lost {
		t.Errorf("%+v, %v", l, err)
	}
	l, err = s.service.ListRecords(t.Context(), dev, backupKey, tributary.ListQuery{LastSyncCount: l.SyncCount})
	if err != nil || l.DeletedMeanwhile || len(l.Records) != 0 {
		t.Errorf("once more: %+v, %v", l, err)
	}
	count := syncRecord(t, s, "again")
	if count != l.SyncCount+1 {
		t.Errorf("the next sync has count %d, before it were %d", count, l.SyncCount)
	}
	if w, _ := s.warehouse.get(); w != nil {
		if told != 1 {
			t.Errorf("the log tells of the lost entries %d times:\n%s", told, log.String())
		}
		eventually(t, func() bool {
			r, err := w.Query(t.Context(), "SELECT value, syncCount FROM cognito_current_state", warehouse.QueryLimits{})
			return err == nil && len(r.Rows) == 1 && r.Rows[0][0] == "again" && r.Rows[0][1] == count
		})
	}
	stop()
	if duckdb.Available {
		log.Reset()
		_, stop = startStoppable(t, data, slog.New(slog.NewTextHandler(&log, nil)))
		stop()
		if strings.Contains(log.String(), "has lost") {
			t.Error("it is told of again although the warehouse went on")
		}
	}
	done(t, "check", "--data", data)
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatal("it did not come about")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestBackupOffline takes a backup of a stopped server's folder, with and
// without its master key.
func TestBackupOffline(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	s, stop := startStoppable(t, data, slog.New(slog.DiscardHandler))
	populateServer(t, s)
	syncRecord(t, s, "kept")
	stop()
	without, with := filepath.Join(dir, "without"), filepath.Join(dir, "with")
	done(t, "backup", "--offline", "--data", data, without)
	done(t, "backup", "--offline", "--data", data, "--with-master-key", with)
	refused(t, "--offline needs --data", "backup", "--offline", with)
	refused(t, "--with-master-key needs --data", "backup", "--with-master-key", with)
	refused(t, "there is no store to back up", "backup", "--offline", "--data", dir, with+".2")
	refused(t, "is no file", "backup", "--offline", "--force", "--data", data, dir)
	fresh := filepath.Join(dir, "fresh", "data")
	if _, said := done(t, "restore", "--data", fresh, without); !strings.Contains(said, "the master key is not in the backup") {
		t.Error(said)
	}
	whole := filepath.Join(dir, "whole")
	if _, said := done(t, "restore", "--data", whole, with); said != "" {
		t.Error(said)
	}
	want, err := os.ReadFile(filepath.Join(data, "master.key"))
	if have, haveErr := os.ReadFile(filepath.Join(whole, "master.key")); err != nil || haveErr != nil || string(have) != string(want) {
		t.Errorf("the master key is %q, %v, %v", have, err, haveErr)
	}
	again, stop := startStoppable(t, whole, slog.New(slog.DiscardHandler))
	syncRecord(t, again, "again")
	stop()
	other := filepath.Join(dir, "other")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := masterKey("", other, 0, false); err != nil {
		t.Fatal(err)
	}
	refused(t, "is not the master key of the backup", "restore", "--data", other, with)
	if names, err := os.ReadDir(other); err != nil || len(names) != 1 {
		t.Errorf("there are %v, %v", names, err)
	}
}

// TestDamagedBackup: neither check nor restore takes it.
func TestDamagedBackup(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	s, stop := startStoppable(t, data, slog.New(slog.DiscardHandler))
	populateServer(t, s)
	syncRecord(t, s, "kept")
	stop()
	file := filepath.Join(dir, "backup")
	done(t, "backup", "--offline", "--data", data, file)
	if out, _ := done(t, "check", "--temp", dir, file); !strings.Contains(out, "files as in its manifest") || !strings.Contains(out, "datasets 1,") {
		t.Error(out)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-700] },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"empty":   func([]byte) []byte { return nil },
		"text":    func([]byte) []byte { return []byte(strings.Repeat("no backup\n", 200)) },
	} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, change(bytes.Clone(content)), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, "tributary: "+bad+": the backup is damaged, or is none: ", "check", bad)
		refused(t, ". Use another copy of it, or another backup\n", "check", bad)
		refused(t, "tributary: nothing was restored: "+bad+": the backup is damaged, or is none: ", "restore", "--data", filepath.Join(dir, "new"), bad)
	}
	for _, command := range []string{"check", "restore"} {
		refused(t, "there is no file "+file+".2: name one", command, "--data", filepath.Join(dir, "new"), file+".2")
		refused(t, dir+" is a folder: name a file", command, "--data", filepath.Join(dir, "new"), dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "new", "store")); err == nil {
		t.Error("there is a store of a damaged backup")
	}
	// What a server wrote wrong is in its backup as it is: the walk finds it.
	if err := os.RemoveAll(filepath.Join(data, "store")); err != nil {
		t.Fatal(err)
	}
	refused(t, "there is no store", "check", "--data", data)
}

// TestBackupCutOff: a server that fails in the middle leaves no file, and the
// client says so.
func TestBackupCutOff(t *testing.T) {
	auth := func(*http.Request, awswire.ReadBody) (tributary.Principal, error) {
		return tributary.Principal{Account: "000000000000", AccessKey: "test"}, nil
	}
	var closed atomic.Int32
	front := api.New(api.Config{Authenticate: auth, Backup: func(context.Context) (*awswire.Stream, error) {
		return &awswire.Stream{ContentType: "application/x-tar", Close: func() error { closed.Add(1); return nil }, Write: func(_ context.Context, w io.Writer) error {
			_, _ = w.Write(make([]byte, 4096))
			return io.ErrShortWrite
		}}, nil
	}})
	server := httptest.NewServer(&fronts{api: front})
	server.Config.ErrorLog = nil
	defer server.Close()
	dir := t.TempDir()
	refused(t, "the backup did not arrive whole", "backup", "--server", server.URL, "--credentials", credentialsFile(t), filepath.Join(dir, "file"))
	eventually(t, func() bool { return closed.Load() == 1 }) // the client may be told before
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("left are %v, %v", names, err)
	}
	r, err := http.Post(server.URL+api.BackupPath, "", nil)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	if err == nil {
		t.Error("an answer that was cut off looks like a whole one")
	}
}

// TestBackupOfDatabase: it is not ours to back up.
func TestBackupOfDatabase(t *testing.T) {
	s := &server{movable: move.Wrap(nil)}
	if _, err := s.backup(t.Context()); tributary.KindOf(err) != tributary.Unavailable || !strings.Contains(tributary.Message(err), "its own tools") && !strings.Contains(tributary.Message(err), "database's own tools") {
		t.Error(err)
	}
}
