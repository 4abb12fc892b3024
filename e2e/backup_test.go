package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBackup takes a backup while clients write, lets them write on, restores it
// to another folder, and has clients and readers of the lost time go on there.
func TestBackup(t *testing.T) {
	t.Parallel()
	embeddedOnly(t, "a database is backed up by its own tools")
	s := startServer(t, "--warehouse", "none")
	dev := s.developer()
	pool := dev.newPool(t, "backup")
	dev.newStream(t, pool, "backup", 1)
	const writers = 6
	guests := make([]guest, writers)
	acked := make([]atomic.Int64, writers)
	var stop atomic.Bool
	var running sync.WaitGroup
	for i := range guests {
		guests[i] = dev.newGuest(t, pool)
		running.Go(func() {
			g, d := &guests[i], guests[i].dataset("notes")
			token := g.list(t, d).SyncSessionToken
			for n := int64(1); !stop.Load() && !t.Failed(); n++ {
				body, err := json.Marshal(update{token, []patch{replace("n", fmt.Sprint(n), n-1), replace(fmt.Sprint("k", n%50), strings.Repeat("x", 300), n-1)}})
				if err != nil {
					t.Error(err)
					return
				}
				r, err := g.request(syncService, http.MethodPost, d.path(), body)
				if err != nil {
					t.Error(err)
					return
				}
				if a, err := g.send(r); err != nil || a.status != http.StatusOK {
					t.Error(errorOf("UpdateRecords", a, err))
					return
				}
				acked[i].Store(n)
			}
		})
	}
	await := func(more int64) {
		from := acked[0].Load()
		eventually(t, time.Minute, func() error {
			if have := acked[0].Load(); have < from+more && !t.Failed() {
				return fmt.Errorf("%d syncs", have-from)
			}
			return nil
		})
	}
	await(60)
	before := make([]int64, writers)
	for i := range before {
		before[i] = acked[i].Load()
	}
	file := filepath.Join(t.TempDir(), "store.tar")
	if r := s.run("backup", "--server", s.url, "--data", s.data, "--with-master-key", file); r.code != 0 {
		t.Fatal(r)
	}
	await(20)
	stop.Store(true)
	running.Wait()
	if t.Failed() {
		return
	}
	last := dev.readStream(t, "backup")
	iterator := dev.tip(t, "backup")
	s.stop()

	again := newServer(t, "--warehouse", "none")
	if r := again.run("check", file); r.code != 0 || !strings.Contains(r.stdout, " 0 faults") {
		t.Fatal(r)
	}
	if r := again.run("restore", "--data", again.data, file); r.code != 0 || r.stderr != "" {
		t.Fatal(r)
	} else {
		t.Log(r.stdout)
	}
	again.start()
	dev = newCaller(again.url, s.key().id, s.key().secret, "")
	for i := range guests {
		guests[i].url = again.url
		guests[i].continues(t, before[i], acked[i].Load())
	}
	// What a reader of the lost time has not read is what came after the restore.
	entries := dev.readAfter(t, "backup", last[len(last)-1].sequence)
	old, err := dev.readShard("shardId-000000000000", iterator)
	if err != nil || len(old) != writers || len(entries) != writers {
		t.Errorf("with an iterator of the lost time %d entries, after its last number %d, %v; want %d", len(old), len(entries), err, writers)
	}
	for _, e := range entries {
		if e.sequence <= last[len(last)-1].sequence {
			t.Errorf("number %s is not above %s", e.sequence, last[len(last)-1].sequence)
		}
	}
	again.stop()
	if r := again.run("check", "--data", again.data); r.code != 0 {
		t.Error(r)
	}
}

// continues has a client whose last count is of the lost time go on: it gets
// all of its dataset once, which is that of a sync between two, and writes.
func (g *guest) continues(t *testing.T, least, most int64) {
	t.Helper()
	d := g.dataset("notes")
	list := func(last int64) (out struct {
		listing
		DatasetDeletedAfterRequestedSyncCount bool
	}) {
		t.Helper()
		g.rest(t, "GET", fmt.Sprintf("%s/records?lastSyncCount=%d", d.path(), last), nil, &out)
		return out
	}
	l := list(most)
	var n, newest int64
	for _, r := range l.Records {
		newest = max(newest, r.SyncCount)
		if r.Key == "n" {
			if _, err := fmt.Sscan(*r.Value, &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !l.DatasetDeletedAfterRequestedSyncCount || n < least || n > most || newest != n || len(l.Records) != min(int(n), 50)+1 {
		t.Errorf("since %d: told %t, %d records, sync %d, newest %d; at the backup it was at least %d", most, l.DatasetDeletedAfterRequestedSyncCount, len(l.Records), n, newest, least)
	}
	if l = list(l.DatasetSyncCount); l.DatasetDeletedAfterRequestedSyncCount || len(l.Records) > 0 {
		t.Errorf("once more: told %t, %d records", l.DatasetDeletedAfterRequestedSyncCount, len(l.Records))
	}
	var out struct{ Records []record }
	g.rest(t, "POST", d.path(), update{l.SyncSessionToken, []patch{replace("n", "again", n)}}, &out)
	if len(out.Records) != 1 || out.Records[0].SyncCount != l.DatasetSyncCount+1 {
		t.Errorf("the next sync gives %+v", out.Records)
	}
}

// tip gives an iterator behind the last entry of a stream of one shard.
func (c *caller) tip(t *testing.T, stream string) string {
	t.Helper()
	var out struct{ ShardIterator string }
	c.call(t, kinesisService, "GetShardIterator", object{"StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"}, &out)
	return out.ShardIterator
}

// readAfter reads a stream of one shard behind a sequence number.
func (c *caller) readAfter(t *testing.T, stream, sequence string) []event {
	t.Helper()
	var out struct{ ShardIterator string }
	c.call(t, kinesisService, "GetShardIterator", object{"StreamName": stream, "ShardId": "shardId-000000000000",
		"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence}, &out)
	events, err := c.readShard("shardId-000000000000", out.ShardIterator)
	if err != nil {
		t.Fatal(err)
	}
	return events
}
