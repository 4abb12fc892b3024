package stream_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/internal/enginetest"
	"tributary/store/pebblestore"
	"tributary/stream"
)

func TestRetention(t *testing.T) {
	const retention = time.Hour
	setup := func(t *testing.T) *world {
		w := newWorld(t)
		_, err := w.service.CreateStream(t.Context(), developer, "s", 1, retention)
		w.check(err)
		_, err = w.service.ChangePool(t.Context(), developer, pool, func(p *tributary.Pool) error {
			return w.service.SetStream(t.Context(), p, "s", "", true)
		})
		w.check(err)
		w.write(2, 2)
		w.pass(2 * retention)
		w.write(2, 1)
		return w
	}
	// left counts what the stream still holds.
	left := func(w *world) int {
		s, err := w.store.Stream(w.Context(), "s")
		w.check(err)
		entries, err := w.store.Read(w.Context(), tributary.Shard{Stream: s.ID}, "", 1<<20)
		w.check(err)
		return len(entries)
	}
	t.Run("ByAge", func(t *testing.T) {
		w := setup(t)
		w.check((&stream.Retention{Store: w.store, Now: w.now}).Trim(t.Context()))
		if n := left(w); n != 2 {
			t.Errorf("%d entries are left, want 2", n)
		}
	})
	t.Run("WaitsForGroups", func(t *testing.T) {
		w := setup(t)
		r := &stream.Retention{Store: w.store, Groups: []string{"test"}, Now: w.now}
		w.check(r.Trim(t.Context()))
		if n := left(w); n != 6 {
			t.Errorf("%d entries are left before they were delivered, want 6", n)
		}
		sink := newRecorder()
		stop := start(t, w.pump(sink))
		sink.await(t, 6)
		stop()
		w.check(r.Trim(t.Context()))
		if n := left(w); n != 2 {
			t.Errorf("%d entries are left after they were delivered, want 2", n)
		}
	})
	t.Run("NotForEver", func(t *testing.T) {
		w := setup(t)
		w.pass(30 * 24 * time.Hour)
		w.check((&stream.Retention{Store: w.store, Groups: []string{"test"}, Now: w.now}).Trim(t.Context()))
		if n := left(w); n != 0 {
			t.Errorf("%d entries are left of a backlog beyond its limit", n)
		}
	})
	t.Run("DefaultLog", func(t *testing.T) {
		w := newWorld(t)
		w.write(4, 1)
		sink := newRecorder()
		stop := start(t, w.pump(sink))
		sink.await(t, 4)
		stop()
		w.pass(time.Second)
		w.check((&stream.Retention{Store: w.store, Groups: []string{"test"}, Now: w.now}).Trim(t.Context()))
		shards, err := w.store.Shards(t.Context())
		w.check(err)
		for _, s := range shards {
			if entries, err := w.store.Read(t.Context(), s, "", 1<<20); err != nil || len(entries) > 0 {
				t.Errorf("shard %s still holds %d entries, %v", s, len(entries), err)
			}
		}
		if !slices.ContainsFunc(shards, func(s tributary.Shard) bool { return s.Stream == tributary.DefaultStream }) {
			t.Error("the default log has no shards")
		}
	})
	t.Run("CreatedMeanwhile", func(t *testing.T) {
		w := newWorld(t)
		store := &hurried{Store: w.store, meanwhile: func() {
			_, err := w.service.CreateStream(t.Context(), developer, "s", 1, retention)
			w.check(err)
			_, err = w.service.ChangePool(t.Context(), developer, pool, func(p *tributary.Pool) error {
				return w.service.SetStream(t.Context(), p, "s", "", true)
			})
			w.check(err)
			w.write(1, 2)
			w.pass(time.Second)
		}}
		w.check((&stream.Retention{Store: store, Now: w.now}).Trim(t.Context()))
		if n := left(w); n != 2 {
			t.Errorf("%d entries are left of a stream that was made meanwhile, want 2", n)
		}
	})
	t.Run("OneFails", func(t *testing.T) {
		w := setup(t)
		store := &hurried{Store: w.store, fail: tributary.Shard{Stream: tributary.DefaultStream}}
		if err := (&stream.Retention{Store: store, Now: w.now}).Trim(t.Context()); !errors.Is(err, errShard) {
			t.Errorf("the failure was told as %v", err)
		}
		if n := left(w); n != 2 {
			t.Errorf("%d entries are left behind the shard that failed, want 2", n)
		}
	})
	t.Run("ClockAhead", func(t *testing.T) {
		w := setup(t)
		const years = 10 * 365 * 24 * time.Hour
		w.pass(years)
		w.write(1, 1)
		w.pass(-years)
		w.write(2, 1) // arrives in the future
		r := &stream.Retention{Store: w.store, Groups: []string{"test"}, Now: w.now}
		trim := func(want int) {
			t.Helper()
			w.check(r.Trim(t.Context()))
			if n := left(w); n != want {
				t.Errorf("%d entries are left, want %d", n, want)
			}
		}
		carry := func(n int) {
			t.Helper()
			sink := newRecorder()
			stop := start(t, w.pump(sink))
			sink.await(t, n)
			stop()
		}
		trim(9) // no sink has them yet
		carry(9)
		w.pass(retention)
		w.write(2, 1)
		carry(2)
		trim(7) // of four the clock tells that they are old; the grace is not over
		w.pass(retention / 2)
		trim(2) // five more have been here for long
		w.pass(2 * retention)
		trim(0)
	})
	t.Run("BacklogClockAhead", func(t *testing.T) {
		w := setup(t)
		const years = 10 * 365 * 24 * time.Hour
		w.pass(years)
		w.write(1, 1)
		w.pass(-years)
		r := &stream.Retention{Store: w.store, Groups: []string{"test"}, Now: w.now}
		w.check(r.Trim(t.Context()))
		w.pass(8 * 24 * time.Hour)
		w.check(r.Trim(t.Context()))
		if n := left(w); n != 0 {
			t.Errorf("%d entries are left of a backlog beyond its limit", n)
		}
	})
}

// hurried is a store in which something happens between the first two of a
// pass's questions, or a shard that cannot be read.
type hurried struct {
	tributary.Store
	meanwhile func()
	fail      tributary.Shard
}

var errShard = errors.New("this shard cannot be read")

func (h *hurried) happen() {
	if f := h.meanwhile; f != nil {
		h.meanwhile = nil
		f()
	}
}

func (h *hurried) Streams(ctx context.Context, after tributary.StreamName, limit int) ([]tributary.Stream, error) {
	defer h.happen()
	return h.Store.Streams(ctx, after, limit)
}

func (h *hurried) Shards(ctx context.Context) ([]tributary.Shard, error) {
	defer h.happen()
	return h.Store.Shards(ctx)
}

func (h *hurried) Find(ctx context.Context, s tributary.Shard, at tributary.Millis) (tributary.Position, error) {
	if h.fail == s {
		return "", errShard
	}
	return h.Store.Find(ctx, s, at)
}

// restore goes on with a backup of the store.
func (w *world) restore() {
	w.Helper()
	b, err := w.store.(*pebblestore.Store).Backup("test")
	w.check(err)
	var archive bytes.Buffer
	_, err = b.Write(w.Context(), &archive)
	w.check(errors.Join(err, b.Close()))
	cfg := pebblestore.Config{Dir: "restored", FS: vfs.NewMem(), Now: w.now}
	_, err = pebblestore.Restore(w.Context(), cfg, &archive, nil)
	w.check(err)
	w.store, err = pebblestore.Open(cfg)
	w.check(err)
	w.Cleanup(func() { w.check(w.store.Close()) })
	w.service.Store = w.store
}

// TestRetentionRestored: what a restore leaves out of the logs is no loss. It
// looks as old as the last entry, or older than any where there is none.
func TestRetentionRestored(t *testing.T) {
	enginetest.Once(t) // by an embedded store's backup
	w := newWorld(t)
	var log bytes.Buffer
	r := &stream.Retention{Store: w.store, Groups: []string{"test"}, Now: w.now, Log: slog.New(slog.NewTextHandler(&log, nil))}
	deliver := func(entries int) {
		sink := newRecorder()
		stop := start(t, w.pump(sink))
		sink.await(t, entries)
		stop()
	}
	horizons := func() (all []tributary.Position) {
		shards, err := w.store.Shards(t.Context())
		w.check(err)
		for _, s := range shards {
			at, err := w.store.Find(t.Context(), s, 0)
			w.check(err)
			all = append(all, at)
		}
		return all
	}
	w.write(1, 2) // the other shards are empty
	deliver(2)
	w.pass(time.Second)
	w.check(r.Trim(t.Context()))
	w.write(1, 1)
	deliver(1)
	before := horizons()
	w.restore()
	r.Store = w.store
	w.pass(8 * 24 * time.Hour)
	w.check(r.Trim(t.Context()))
	if log.Len() > 0 {
		t.Errorf("it is told of a loss:\n%s", log.String())
	}
	trimmed := 0
	for i, at := range horizons() {
		_, was, _ := before[i].Split()
		_, is, _ := at.Split()
		if trimmed += int(is - was); is > was+1 {
			t.Errorf("trimmed from %d to %d", was, is)
		}
	}
	if trimmed != 1 {
		t.Errorf("%d entries were trimmed, want the one that was delivered", trimmed)
	}
	w.pass(8 * 24 * time.Hour) // what was seen as the log's end is old now
	w.write(1, 1)
	w.check(r.Trim(t.Context()))
	if log.Len() > 0 {
		t.Errorf("what is new counts as lost:\n%s", log.String())
	}
	w.pass(8 * 24 * time.Hour)
	w.check(r.Trim(t.Context()))
	if strings.Count(log.String(), "entries were dropped") != 1 {
		t.Errorf("a loss is not told once:\n%s", log.String())
	}
}
