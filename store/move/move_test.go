package move_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/store/move"
	"tributary/store/pebblestore"
	"tributary/store/storetest"
)

// TestStore runs the suite that every store must pass through the wrapper.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) tributary.Store {
		s, err := pebblestore.Open(pebblestore.Config{Dir: "store", FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return move.Wrap(s)
	}, storetest.Options{Seeds: 1, Steps: 60})
}

// TestTransfer copies between unlike engines.
func TestTransfer(t *testing.T) {
	for _, d := range directions(t)[:2] {
		opener := func(f func(testing.TB) *place) storetest.MovableOpener {
			return func(t testing.TB) storetest.Movable { return f(t).must(t) }
		}
		t.Run(d.from(t).name, func(t *testing.T) {
			storetest.RunTransfer(t, opener(d.from), opener(d.to), storetest.Options{Seeds: 2 * soak(t), Steps: 100})
		})
	}
}

// TestMove moves a store that is written all the time: nothing that was
// acknowledged is lost, no write is refused but by the cut-over and for at most
// five seconds, no read fails, and who follows the log notices nothing.
func TestMove(t *testing.T) {
	for _, d := range directions(t) {
		for round := range soak(t) {
			from, to := d.from(t), d.to(t)
			t.Run(fmt.Sprintf("%s-%s/%d", from.name, to.name, round), func(t *testing.T) {
				source := from.must(t)
				s := move.Wrap(source)
				w := newWorld(t, s)
				storetest.Program{Seed: uint64(round), Steps: 100}.Run(t.Context(), w.s)
				w.home()
				w.begin()
				w.until(200)
				var last move.Progress
				m := &move.Mover{Source: s, Target: to.must(t), From: from.name, To: to.name, PageBytes: 50_000, Report: func(p move.Progress) { last = p }}
				if err := m.Run(t.Context()); err != nil {
					t.Errorf("the move: %v", err)
				}
				w.until(200)
				w.end()
				if s.Engine() != m.Target || last.Step != move.Done {
					t.Fatalf("the move ended in %q", last.Step)
				}
				w.settled(s)
				t.Logf("%d writes, refused for %v, %d items copied again", w.wrote.Load(), w.frozen(), last.Again)
				if w.frozen() > 5*time.Second {
					t.Errorf("writes were refused for %v", w.frozen())
				}
				closedAndOpened(t, s, from, to)
			})
		}
	}
}

// until waits until so many writes more were acknowledged.
func (w *world) until(more int64) {
	for target := w.wrote.Load() + more; w.wrote.Load() < target && !w.Failed(); {
		time.Sleep(time.Millisecond)
	}
}

// closedAndOpened closes both stores: the new one opens as any, the old one
// tells where it went.
func closedAndOpened(t *testing.T, s *move.Store, from, to *place) {
	want, err := storetest.Dump(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	id := s.ID()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := from.open(t, false); tributary.KindOf(err) != tributary.Invalid {
		t.Errorf("the source opens: %v", err)
	}
	again, err := to.open(t, false)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got, err := storetest.Dump(t.Context(), again)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || again.ID() != id {
		t.Errorf("opened again the target differs: %v", err)
	}
}
