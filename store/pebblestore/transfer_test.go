package pebblestore_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/store/pebblestore"
	"tributary/store/storetest"
)

func movable(t testing.TB) storetest.Movable {
	s := open(t, pebblestore.Config{Dir: "store", FS: vfs.NewMem(), Transfer: true})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestTransfer copies stores of this engine.
func TestTransfer(t *testing.T) {
	storetest.RunTransfer(t, movable, movable, storetest.Options{})
}

// TestOpenMoved: a store that is being filled or was moved is not served, and
// tells why; a move finds it as it was.
func TestOpenMoved(t *testing.T) {
	there := tributary.TransferState{Move: "a move", Peer: "postgres://elsewhere/db", Since: 1_790_000_000_000}
	filling, filled, moved := there, there, there
	filling.Phase, filled.Phase, moved.Phase = tributary.Filling, tributary.Filled, tributary.Moved
	for _, c := range []struct {
		name string
		path []tributary.TransferState
	}{{"Filling", []tributary.TransferState{{}, filling}}, {"Filled", []tributary.TransferState{{}, filling, filled}}, {"Moved", []tributary.TransferState{{}, moved}}} {
		t.Run(c.name, func(t *testing.T) {
			config := pebblestore.Config{Dir: "store", FS: vfs.NewMem()}
			s := open(t, config)
			for i := range c.path[1:] {
				if err := s.SetState(t.Context(), c.path[i], c.path[i+1]); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := pebblestore.Open(config)
			if tributary.KindOf(err) != tributary.Invalid || !strings.Contains(err.Error(), "migrate-store") || !strings.Contains(err.Error(), there.Peer) || !strings.Contains(err.Error(), "2026-09-21") {
				t.Errorf("opening gives %v", err)
			}
			config.Transfer = true
			s = open(t, config)
			defer s.Close()
			last := c.path[len(c.path)-1]
			if now, err := s.State(t.Context()); err != nil || now != last {
				t.Errorf("the state is %+v, %v, want %+v", now, err, last)
			}
			if err := s.PutPool(t.Context(), tributary.Pool{ID: "a:0"}); tributary.KindOf(err) != tributary.Unavailable {
				t.Errorf("a write gives %v", err)
			}
		})
	}
}
