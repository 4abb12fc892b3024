package move_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/move"
	"tributary/store/pebblestore"
	"tributary/store/storetest"
)

// restored is a store that was restored from a backup, with a world that knows
// what is in it. Between the two it was written by another.
func restored(t *testing.T) (*world, *pebblestore.Store) {
	t.Helper()
	before, err := pebblestore.Open(pebblestore.Config{Dir: "store", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	w, lost := newWorld(t, before), newWorld(t, before)
	storetest.Program{Seed: 1, Steps: 100}.Run(t.Context(), w.s)
	w.home()
	rnd := rand.New(rand.NewPCG(1, 0))
	write := func(w *world, id tributary.IdentityID) {
		for n := range 20 {
			if !w.identity(id) || !w.sync(rnd, id, tributary.DatasetName(fmt.Sprint("d", n%3))) {
				t.Fatal("a write was refused")
			}
		}
	}
	write(w, "w:0")
	write(w, "w:1")
	var backup bytes.Buffer
	b, err := before.Backup("test")
	if err == nil {
		_, err = b.Write(t.Context(), &backup)
		err = errors.Join(err, b.Close())
	}
	w.fatal(err)
	lost.ids.Store(1 << 20)
	write(lost, "w:1")
	w.fatal(before.Close())
	cfg := pebblestore.Config{Dir: "store", FS: vfs.NewMem(), Transfer: true}
	report, err := pebblestore.Restore(t.Context(), cfg, &backup, nil)
	w.fatal(err)
	w.restores = []storetest.Restore{{Base: report.Restored.Base, Count: report.Restored.Count}}
	after, err := pebblestore.Open(cfg)
	w.fatal(err)
	t.Cleanup(func() { _ = after.Close() })
	return w, after
}

// TestMoveRestored moves a store that was restored from a backup to a database
// and back, while it is written all the time: what the restore left out stays
// left out, and who follows the log notices nothing.
func TestMoveRestored(t *testing.T) {
	server := pgtest.Start(t)
	w, source := restored(t)
	restores := source.Restores()
	var engine move.Engine = source
	for _, to := range []*place{pgPlace(server)(t), pebblePlace(t)} {
		s := move.Wrap(engine)
		w.s = w.books.Watch(s)
		w.begin()
		w.until(100)
		var last move.Progress
		m := &move.Mover{Source: s, Target: to.must(t), From: "old", To: "new", PageBytes: 20_000, Report: func(p move.Progress) { last = p }}
		if err := m.Run(t.Context()); err != nil {
			t.Errorf("the move to %s: %v", to.name, err)
		}
		w.until(100)
		w.end()
		if t.Failed() {
			return
		}
		w.settled(s)
		if at := slices.IndexFunc(last.Kinds, func(k move.KindProgress) bool { return k.Kind == tributary.ItemEntry }); last.Kinds[at].Total > 1<<20 {
			t.Errorf("%d entries were expected", last.Kinds[at].Total) // the gap is far larger
		}
		if w.frozen() > 5*time.Second {
			t.Errorf("writes were refused for %v", w.frozen())
		}
		w.refused, engine = nil, m.Target
	}
	back := engine.(*pebblestore.Store)
	if got := back.Restores(); fmt.Sprint(got) != fmt.Sprint(restores) {
		t.Errorf("the restores are %+v, they were %+v", got, restores)
	}
	key := tributary.DatasetKey{Pool: pool, Identity: "w:0", Dataset: "never"}
	if v, err := back.View(t.Context(), key, nil); err != nil || v.Dataset.Marker != w.restores[0].Count {
		t.Errorf("what was never written is %+v, %v", v.Dataset, err)
	}
}
