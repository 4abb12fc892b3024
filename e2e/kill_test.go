package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	killRounds = 20
	killKeys   = 5 // records of a sync
)

// TestKill syncs from many clients, kills the server at random times, starts
// it again on the same folder, and compares what it holds with what it had
// acknowledged. (A killed process loses nothing that it wrote without fsync:
// that is for the store's own crash tests.)
func TestKill(t *testing.T) {
	t.Parallel()
	rng := random(t)
	s := startServer(t, "--identity-rate", "0")
	for i := range soak(t) {
		k := newKillTest(t, s, rng, fmt.Sprintf("kill-%d", i))
		for n := range killRounds {
			k.round()
			if n == killRounds/2 { // the pump works again: the next kill hits it
				k.checkWarehouse()
			}
		}
		t.Logf("%d syncs acknowledged or found whole over %d kills", k.syncs(), killRounds)
		k.checkWarehouse()
	}
}

// killTest is what the clients of one pool know.
type killTest struct {
	*testing.T
	rng          *rand.Rand
	s            *server
	dev          *caller
	pool, stream string
	guests       []guest
	clients      [][]*writer // the writers of each goroutine
	datasets     map[dataset][]*writer
	killed       atomic.Bool
}

// writer writes five keys of a dataset that are its own. Others may write
// other keys of it at the same time.
type writer struct {
	id      int
	caller  *caller
	data    dataset
	token   string
	last    int64         // sync count of its keys
	tried   int           // number of the last sync tried
	acked   map[int64]int // sync count to the number of the sync
	pending int           // number of the sync whose answer was lost; 0: none
}

func newKillTest(t *testing.T, s *server, rng *rand.Rand, name string) *killTest {
	k := &killTest{T: t, rng: rng, s: s, dev: s.developer(), stream: name, datasets: map[dataset][]*writer{}}
	k.pool = k.dev.newPool(t, name)
	k.dev.newStream(t, k.pool, name, 4)
	const clients, identities = 16, 6
	for range identities {
		k.guests = append(k.guests, k.dev.newGuest(t, k.pool))
	}
	for c := range clients {
		// One dataset is shared by two clients, the other is the client's own.
		k.clients = append(k.clients, []*writer{k.newWriter(c/2, c), k.newWriter(clients/2+c, c+clients)})
	}
	return k
}

func (k *killTest) newWriter(n, id int) *writer {
	g := &k.guests[n%len(k.guests)]
	w := &writer{id: id, caller: g.caller, data: g.dataset(fmt.Sprintf("data-%d", n)), acked: map[int64]int{}}
	if n%2 == 0 {
		w.caller = k.dev
	}
	k.datasets[w.data] = append(k.datasets[w.data], w)
	return w
}

// round runs the clients, kills the server under them, and checks.
func (k *killTest) round() {
	k.refresh()
	k.killed.Store(false)
	var running sync.WaitGroup
	seen := k.watch(&running)
	for _, writers := range k.clients {
		running.Go(func() {
			for n := 0; writers[n%2].sync(k); n++ {
			}
		})
	}
	<-time.After(time.Duration(20+k.rng.IntN(280)) * time.Millisecond) // the time of the kill is the test
	k.killed.Store(true)
	k.s.kill()
	running.Wait()
	if k.rng.IntN(4) == 0 { // and once more while it recovers
		k.s.launch()
		<-time.After(time.Duration(k.rng.IntN(300)) * time.Millisecond)
		k.s.kill()
	}
	k.s.start()
	if k.Failed() {
		k.FailNow()
	}
	k.checkStore()
	k.checkSeen(seen)
	k.checkLog()
}

// refresh tells the clients the server's new address and gives them session
// tokens. Those of the credentials are from the first start.
func (k *killTest) refresh() {
	k.dev.url = k.s.url
	for i := range k.guests {
		k.guests[i].url = k.s.url
	}
	for d, writers := range k.datasets {
		token := k.dev.list(k.T, d).SyncSessionToken
		for _, w := range writers {
			w.token = token
		}
	}
}

// patches makes the sync of a number. Every seventh removes its last key.
func (w *writer) patches(n int) []patch {
	out := make([]patch, killKeys)
	for i := range out {
		out[i] = replace(w.key(i), w.value(n, i), w.last)
	}
	if w.removes(n) {
		out[killKeys-1] = remove(w.key(killKeys-1), w.last)
	}
	return out
}

func (w *writer) removes(n int) bool { return n%7 == 0 }
func (w *writer) key(i int) string   { return fmt.Sprintf("w%d-k%d", w.id, i) }
func (w *writer) value(n, i int) string {
	// The values of some grow until the store keeps their datasets another way.
	return fmt.Sprintf("w%d-k%d-n%d-%s", w.id, i, n, strings.Repeat("x", n%97*(1+w.id%3*10)))
}
func (w *writer) holds(n, i int) bool        { return i < killKeys-1 || !w.removes(n) }
func (w *writer) is(key string) bool         { return strings.HasPrefix(key, fmt.Sprintf("w%d-", w.id)) }
func (w *writer) ackedNumber() int           { return w.acked[w.last] }
func (w *writer) acknowledge(c int64, n int) { w.acked[c], w.last = n, c }

// sync does one sync. It is false when the server is gone.
func (w *writer) sync(k *killTest) bool {
	w.tried++
	body, err := json.Marshal(update{w.token, w.patches(w.tried)})
	if err != nil {
		k.Error(err)
		return false
	}
	r, err := w.caller.request(syncService, http.MethodPost, w.data.path(), body)
	if err != nil {
		k.Error(err)
		return false
	}
	w.pending = w.tried
	a, err := w.caller.send(r)
	switch {
	case err != nil && k.killed.Load():
		return false // who knows
	case err != nil:
		k.Errorf("the server failed before it was killed: %v", err)
		return false
	case a.status == http.StatusTooManyRequests:
		w.pending = 0 // refused: it must not be there
		return true
	case a.status != http.StatusOK:
		k.Error(errorOf("UpdateRecords", a, nil))
		return false
	}
	w.pending = 0
	var out struct{ Records []record }
	if err := json.Unmarshal(a.body, &out); err != nil || len(out.Records) != killKeys {
		k.Error(errorOf("UpdateRecords", a, err))
		return false
	}
	for i, r := range out.Records {
		if r.Key != w.key(i) || r.SyncCount != out.Records[0].SyncCount || r.SyncCount <= w.last {
			k.Errorf("sync after count %d: record %d is %+v", w.last, i, r)
			return false
		}
	}
	w.acknowledge(out.Records[0].SyncCount, w.tried)
	return true
}

func (k *killTest) syncs() int {
	n := 0
	for _, writers := range k.datasets {
		for _, w := range writers {
			n += len(w.acked)
		}
	}
	return n
}

// checkStore compares the store with what was acknowledged, and finds out what
// became of the syncs whose answers were lost.
func (k *killTest) checkStore() {
	k.dev.url = k.s.url
	for d, writers := range k.datasets {
		l := k.dev.list(k.T, d)
		known := 0
		for _, w := range writers {
			var mine []record
			for _, r := range l.Records {
				if w.is(r.Key) {
					mine = append(mine, r)
				}
			}
			known += len(mine)
			if err := w.settle(mine); err != nil {
				k.Errorf("%s: %v", d.path(), err)
			}
		}
		if known != len(l.Records) {
			k.Errorf("%s holds records that nobody asked for: %+v", d.path(), l.Records)
		}
		acked := 0
		for _, w := range writers {
			acked += len(w.acked)
		}
		if int64(acked) != l.DatasetSyncCount {
			k.Errorf("%s: sync count %d, but %d syncs are known", d.path(), l.DatasetSyncCount, acked)
		}
	}
	if k.Failed() {
		k.FailNow()
	}
}

// settle checks a writer's records, and decides whether its pending sync was
// applied: whole, or not at all.
func (w *writer) settle(records []record) error {
	have := map[string]record{}
	for _, r := range records {
		if r.Value != nil { // a list of everything shows tombstones too
			have[r.Key] = r
		}
	}
	n, count := w.ackedNumber(), w.last
	if first, ok := have[w.key(0)]; ok && w.pending != 0 && first.SyncCount != w.last {
		n, count = w.pending, first.SyncCount
		if count <= w.last {
			return fmt.Errorf("writer %d: count %d after %d was acknowledged", w.id, count, w.last)
		}
	}
	w.pending = 0
	if n == 0 {
		if len(records) > 0 {
			return fmt.Errorf("writer %d: records of no sync: %+v", w.id, records)
		}
		return nil
	}
	for i := range killKeys {
		r, listed := have[w.key(i)]
		live := listed && r.Value != nil // a removed record may be listed without a value
		if live != w.holds(n, i) {
			return fmt.Errorf("writer %d, sync %d: key %d is there: %v", w.id, n, i, live)
		}
		if listed && r.SyncCount != count || live && *r.Value != w.value(n, i) {
			return fmt.Errorf("writer %d, sync %d of count %d: record %+v", w.id, n, count, r)
		}
	}
	w.acknowledge(count, n)
	return nil
}

// checkLog compares the stream with what was acknowledged: one entry for every
// sync, in order, and no other.
func (k *killTest) checkLog() []event {
	events := k.dev.readStream(k.T, k.stream)
	counts, last := map[dataset]int64{}, map[string]string{}
	for i := range events {
		e := &events[i]
		d := dataset{e.IdentityPoolID, e.IdentityID, e.DatasetName}
		counts[d]++
		if e.SyncCount != counts[d] {
			k.Fatalf("%s: entry %s has count %d, expected %d", d.path(), e.sequence, e.SyncCount, counts[d])
		}
		if e.sequence <= last[e.shard] || e.partitionKey != e.IdentityID {
			k.Fatalf("entry %s after %s, partition key %s, identity %s", e.sequence, last[e.shard], e.partitionKey, e.IdentityID)
		}
		last[e.shard] = e.sequence
		if err := k.checkEvent(k.datasets[d], e); err != nil {
			k.Fatalf("%s: entry of count %d: %v", d.path(), e.SyncCount, err)
		}
	}
	if len(events) != k.syncs() {
		k.Fatalf("the log has %d entries, the clients know of %d syncs", len(events), k.syncs())
	}
	return events
}

func (k *killTest) checkEvent(writers []*writer, e *event) error {
	for _, w := range writers {
		n, ok := w.acked[e.SyncCount]
		if !ok {
			continue
		}
		if len(e.KinesisSyncRecords) != killKeys || e.Operation != "replace" || e.PayloadType != "Inline" {
			return fmt.Errorf("%d records, operation %s, %s", len(e.KinesisSyncRecords), e.Operation, e.PayloadType)
		}
		for i, r := range e.KinesisSyncRecords {
			if r.Key != w.key(i) || r.SyncCount != e.SyncCount || (r.Op == "replace") != w.holds(n, i) {
				return fmt.Errorf("sync %d, record %d is %+v", n, i, r)
			}
			if w.holds(n, i) && (r.Value == nil || *r.Value != w.value(n, i)) {
				return fmt.Errorf("sync %d, record %d is %+v", n, i, r)
			}
		}
		return nil
	}
	return fmt.Errorf("nobody's sync: %+v", e)
}

// checkWarehouse compares the warehouse with the log, row by row, and its
// current state with the store.
func (k *killTest) checkWarehouse() {
	want := map[string]bool{}
	for _, e := range k.checkLog() {
		for _, r := range e.KinesisSyncRecords {
			want[rowOf(e.IdentityID, e.DatasetName, e.Operation, r.Key, text(r.Value), r.Op, r.SyncCount, e.SyncCount, e.sequence)] = true
		}
	}
	k.s.awaitRows(k.pool, len(want), time.Minute)
	for d := range k.datasets { // each by itself: an answer has its limit
		rows := k.query("identityId, datasetName, operation, key, value, op, syncCount, eventSyncCount, position", "cognito_raw_data", d)
		k.take(want, rows, "the log")
		live := map[string]bool{}
		for _, r := range k.dev.list(k.T, d).Records {
			if r.Value != nil {
				live[rowOf(d.identity, d.name, r.Key, text(r.Value), r.SyncCount)] = true
			}
		}
		k.take(live, k.query("identityId, datasetName, key, value, syncCount", "cognito_current_state", d), "the store")
		if len(live) > 0 {
			k.Fatalf("%s: the current state lacks %d records of the store", d.path(), len(live))
		}
	}
	if len(want) > 0 {
		k.Fatalf("the warehouse lacks %d rows of the log", len(want))
	}
}

// take takes the rows out of what is wanted. One that is not there, or not any
// more, is one too many.
func (k *killTest) take(want map[string]bool, rows [][]any, from string) {
	taken := map[string]bool{}
	for _, r := range rows {
		row := rowOf(r...)
		switch {
		case taken[row]:
			k.Fatalf("the warehouse has a row of %s twice: %s", from, row)
		case !want[row]:
			k.Fatalf("the warehouse has a row that %s has not: %s", from, row)
		}
		delete(want, row)
		taken[row] = true
	}
}

// query selects a dataset's rows through the server's own operation.
func (k *killTest) query(columns, table string, d dataset) [][]any {
	body := encode(k.T, object{"SQL": "SELECT " + columns + " FROM " + table + " WHERE " + d.where(), "MaxRows": 1_000_000})
	a := k.dev.do(k.T, "tributary", http.MethodPost, "/_tributary/v1/query", body)
	if a.status != http.StatusOK {
		k.Fatal(errorOf("query", a, nil))
	}
	var out struct {
		Rows [][]any
		Cut  bool
	}
	numbers := json.NewDecoder(bytes.NewReader(a.body))
	numbers.UseNumber()
	if err := numbers.Decode(&out); err != nil || out.Cut {
		k.Fatalf("query: %v, cut %v", err, out.Cut)
	}
	return out.Rows
}

// rowOf makes one text of a row.
func rowOf(cells ...any) string { return strings.TrimSuffix(fmt.Sprintln(cells...), "\n") }

// text is a value that may not be there.
func text(value *string) any {
	if value == nil {
		return nil
	}
	return *value
}
