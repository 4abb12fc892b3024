package warehousetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary"
	"tributary/warehouse"
)

// testColumns: the tables have the columns that they are described with, AWS's
// ten first.
func testColumns(t *testing.T, o Options) {
	w := o.Open(t)
	const seed = "identityPoolId identityId datasetName operation key value op syncCount deviceLastModifiedDate lastModifiedDate"
	for _, table := range warehouse.Tables() {
		var want []string
		for _, c := range table.Columns {
			want = append(want, c.Name)
		}
		got := query(t, w, "SELECT * FROM "+table.Name).Columns
		if !strings.EqualFold(strings.Join(got, " "), strings.Join(want, " ")) {
			t.Errorf("%s has columns %v, want %v", table.Name, got, want)
		}
		if table.Name == warehouse.RawTable && !strings.EqualFold(strings.Join(got[:10], " "), seed) {
			t.Errorf("%s begins with %v", table.Name, got[:10])
		}
	}
}

// testDelivery: exactly once, whatever is delivered again, and how.
func testDelivery(t *testing.T, o Options) {
	w := o.Open(t)
	f, m := newFeed(t, w, 0), newModel()
	entries := f.number(
		update(1, 1, 1, set("a", "1"), set("b", "1")),
		foreign("not ours"),
		update(1, 2, 2, set("a", "2"), unset("b")),
		update(2, 1, 2, set("a", "1")),
		remove(1, 3, 3),
		update(1, 4, 4, set("a", "4")),
		foreign("not ours"),
	)
	m.apply(entries...)
	f.deliver(entries[:3])
	f.deliver(entries[:3])
	f.deliver(entries[1:5])
	f.deliver(entries)
	f.deliver(entries[2:4])
	m.compare(t, w)
	wantCheckpoint(t, w, f.lease.Shard, entries[6].Position)
	// The same events once more under new positions, as after a producer's retry.
	for _, e := range entries {
		f.send(e)
	}
	f.send(entries...)
	m.compare(t, w)
	wantCheckpoint(t, w, f.lease.Shard, tributary.PositionOf(f.lease.Shard, f.next))
	wantCheckpoint(t, w, tributary.Shard{Stream: 7, Number: 99}, "")
	if err := w.Deliver(t.Context(), f.lease, nil); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}

func wantCheckpoint(t *testing.T, w warehouse.Warehouse, s tributary.Shard, want tributary.Position) {
	t.Helper()
	got, err := w.Checkpoint(t.Context(), s)
	if err != nil || got != want {
		t.Errorf("checkpoint of %v is %q, %v; want %q", s, got, err, want)
	}
}

// testFencing: a lease that has passed writes nothing, whatever it brings.
func testFencing(t *testing.T, o Options) {
	w := o.Open(t)
	f, m := newFeed(t, w, 0), newModel()
	first := f.send(update(1, 1, 1, set("a", "1")))
	m.apply(first...)
	old := f.lease
	f.lease.Epoch = 3
	f.deliver(first) // nothing new, but the epoch has been seen
	next := f.number(update(1, 2, 2, set("a", "2")))
	wantKind(t, w.Deliver(t.Context(), old, next), tributary.Stale)
	wantKind(t, w.Deliver(t.Context(), old, first), tributary.Stale)
	m.compare(t, w)
	wantCheckpoint(t, w, f.lease.Shard, first[0].Position)
	f.deliver(next)
	m.apply(next...)
	// Another shard has epochs and positions of its own.
	g := newFeed(t, w, 1)
	m.apply(g.send(update(5, 1, 1, set("a", "1")))...)
	wantKind(t, w.Deliver(t.Context(), old, f.number(update(1, 3, 3, set("a", "3")))), tributary.Stale)
	m.compare(t, w)
}

// givesUp is a context that is cancelled when it was looked at so many times.
type givesUp struct {
	context.Context
	mu     sync.Mutex
	looks  int
	cancel context.CancelFunc
}

func (c *givesUp) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looks--; c.looks <= 0 {
		c.cancel()
	}
}

func (c *givesUp) Done() <-chan struct{} { c.look(); return c.Context.Done() }
func (c *givesUp) Err() error            { c.look(); return c.Context.Err() }

// testInterrupted: a delivery that is broken off anywhere leaves nothing, or
// has happened in full; the same batch then goes through.
func testInterrupted(t *testing.T, o Options) {
	w := o.Open(t)
	f, m := newFeed(t, w, 0), newModel()
	m.apply(f.send(update(1, 1, 1, set("a", "1"), set("b", "1")), update(2, 1, 1, set("a", "1")))...)
	broken := 0
	for looks, done := 1, false; !done; looks++ {
		n := int64(2 + 2*looks)
		batch := f.number(
			remove(1, n, n), update(2, n, n, set("a", "x")), update(1, n+1, n+1, set("a", "y"), set("b", "y")),
			update(2, 1, 1, set("late", "1")))
		ctx, cancel := context.WithCancel(t.Context())
		err := w.Deliver(&givesUp{Context: ctx, looks: looks, cancel: cancel}, f.lease, batch)
		cancel()
		if err != nil {
			broken++
			wantKind(t, err, tributary.Unavailable)
			if p, err := w.Checkpoint(t.Context(), f.lease.Shard); err != nil || p != batch[3].Position {
				m.compare(t, w)
			}
		}
		f.deliver(batch)
		m.apply(batch...)
		m.compare(t, w)
		done = err == nil || t.Failed()
	}
	if broken < 3 {
		t.Errorf("only %d deliveries were broken off", broken)
	}
}

// testShards: many shards deliver at once, while queries run.
func testShards(t *testing.T, o Options) {
	w := o.Open(t)
	const shards, batches, each = 8, 12, 10
	m := newModel()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for n := range shards {
		f := newFeed(t, w, uint32(n))
		var all [][]tributary.Entry
		for b := range batches {
			var batch []tributary.Entry
			for i := range each {
				count := int64(b*each + i + 1)
				e := update(n, count, count, set("k", "v"), set("l", "w"))
				if i == each-1 && b%4 == 3 {
					e = remove(n, count, count)
				}
				batch = append(batch, e)
			}
			all = append(all, f.number(batch...))
		}
		for _, batch := range all {
			m.apply(batch...)
		}
		wg.Go(func() {
			for _, batch := range all {
				if err := w.Deliver(t.Context(), f.lease, batch); err != nil {
					t.Errorf("shard %d: %v", n, err)
				}
			}
		})
	}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		consistent(t, w, stop)
	}()
	wg.Wait()
	close(stop)
	<-reading
	m.compare(t, w)
	for n := range shards {
		s := tributary.Shard{Stream: 7, Number: uint32(n)}
		wantCheckpoint(t, w, s, tributary.PositionOf(s, batches*each))
	}
}

// consistent asks for the current state until told to stop: at no time does it
// show a part of a change.
func consistent(t *testing.T, w warehouse.Warehouse, stop <-chan struct{}) {
	for {
		r, err := w.Query(t.Context(), `SELECT identityId, count(*) FROM cognito_current_state GROUP BY identityId HAVING count(*) <> 2 OR min(syncCount) <> max(syncCount)`, limits())
		if err != nil || len(r.Rows) > 0 {
			t.Errorf("half a change is visible: %v, %v", r, err)
			return
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// testReopen: everything is there after the warehouse was opened again, and
// deliveries go on where they ended.
func testReopen(t *testing.T, o Options) {
	w := o.Open(t)
	if w.Reopen == nil {
		t.Skip("the engine keeps nothing")
	}
	f, m := newFeed(t, w, 3), newModel()
	entries := f.number(
		update(1, 1, 1, set("a", "1"), set("b", "1")), update(2, 1, 1, set("a", "1")), remove(1, 2, 2),
		update(1, 3, 3, set("a", "3")), update(1, 4, 4, set("c", "4")), update(1, 1, 1, set("late", "1")),
		snapshot(1, 4, 9, rec{key: "a", value: "3", count: 3, at: 3}), remove(2, 2, 9))
	for i := range entries {
		f.deliver(entries[max(0, i-1) : i+1])
		f.w = w.Reopen()
		m.apply(entries[i])
		m.compare(t, f.w)
		wantCheckpoint(t, f.w, f.lease.Shard, entries[i].Position)
		stale := f.lease
		stale.Epoch--
		wantKind(t, f.w.Deliver(t.Context(), stale, entries), tributary.Stale)
	}
}

// testQueries: what every engine refuses and bounds. Engines test more.
func testQueries(t *testing.T, o Options) {
	w := o.Open(t)
	f := newFeed(t, w, 0)
	f.send(update(1, 1, 1, set("a", "12345678"), set("b", "12345678"), set("c", "12345678")))
	for _, sql := range []string{
		"", ";", "-- nothing", "SELEC 1", "SELECT 1; SELECT 2", "SELECT nothing FROM cognito_raw_data", "SELECT 1 FROM nowhere",
		"DELETE FROM cognito_raw_data", "DROP TABLE cognito_raw_data", "UPDATE cognito_raw_data SET value = 'x'",
		"INSERT INTO cognito_raw_data SELECT * FROM cognito_raw_data", "CREATE TABLE x (i INT)",
		"SELECT 1; DROP TABLE cognito_raw_data", "BEGIN", "COMMIT", "SELECT 1 /* */; /* */ DELETE FROM cognito_raw_data",
		"WITH gone AS (DELETE FROM cognito_raw_data RETURNING *) SELECT * FROM gone",
	} {
		_, err := w.Query(t.Context(), sql, limits())
		if kind := tributary.KindOf(err); err == nil || kind != tributary.Invalid && kind != tributary.Denied {
			t.Errorf("%q: error %v", sql, err)
		}
	}
	if n := len(query(t, w, "SELECT * FROM cognito_raw_data").Rows); n != 3 {
		t.Errorf("%d rows left", n)
	}
	r, err := w.Query(t.Context(), "SELECT key FROM cognito_raw_data ORDER BY key DESC;", warehouse.QueryLimits{Rows: 2})
	if err != nil || !r.Cut || len(r.Rows) != 2 || r.Rows[0][0] != "c" || r.Rows[1][0] != "b" {
		t.Errorf("at 2 rows: %v, %v", r, err)
	}
	r, err = w.Query(t.Context(), "SELECT key FROM cognito_raw_data ORDER BY key -- all", warehouse.QueryLimits{Rows: 3})
	if err != nil || r.Cut || len(r.Rows) != 3 {
		t.Errorf("at 3 rows: %v, %v", r, err)
	}
	r, err = w.Query(t.Context(), "SELECT value FROM cognito_raw_data", warehouse.QueryLimits{Bytes: 50})
	if err != nil || !r.Cut || len(r.Rows) != 2 {
		t.Errorf("at 50 bytes: %v, %v", r, err)
	}
	_, err = w.Query(t.Context(), "SELECT count(*) FROM cognito_raw_data", warehouse.QueryLimits{Time: time.Nanosecond})
	wantKind(t, err, tributary.Limit)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Query(gone, "SELECT 1", limits())
	wantKind(t, err, tributary.Unavailable)
}
