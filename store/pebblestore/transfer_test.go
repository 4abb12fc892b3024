package pebblestore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
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

// TestClearWhileReading: a store that was moved is filled anew while others
// still read it. Nobody waits for ever, and nothing of it is remembered.
func TestClearWhileReading(t *testing.T) {
	s := open(t, pebblestore.Config{Dir: "store", FS: vfs.NewMem(), Transfer: true})
	defer s.Close()
	populate(t, s)
	var keys []tributary.DatasetKey
	for n := range 64 {
		key := tributary.DatasetKey{Pool: pool, Identity: tributary.IdentityID(fmt.Sprint("us-east-1:", n)), Dataset: "d"}
		if err := s.PutIdentity(t.Context(), tributary.Identity{ID: key.Identity, Pool: pool}); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	state := tributary.TransferState{Phase: tributary.Moved, Move: "one"}
	if err := s.SetState(t.Context(), tributary.TransferState{}, state); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	reading := make(chan struct{}, 8)
	for range cap(reading) {
		readers.Go(func() {
			for n := 0; ; n++ {
				_, err := s.View(t.Context(), keys[n%len(keys)], nil)
				if n == len(keys) {
					reading <- struct{}{}
				}
				if err != nil {
					return
				}
			}
		})
	}
	for range cap(reading) {
		<-reading
	}
	filling := tributary.TransferState{Phase: tributary.Filling, Move: "two"}
	if err := s.SetState(t.Context(), state, filling); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
	filled := filling
	filled.Phase = tributary.Filled
	err := s.Import(t.Context(), []tributary.Item{{Kind: tributary.ItemStore, Key: tributary.StoreID, Value: []byte("id")}})
	if err := errors.Join(err, s.SetState(t.Context(), filling, filled), s.SetState(t.Context(), filled, tributary.TransferState{})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.View(t.Context(), keys[0], nil); tributary.KindOf(err) != tributary.NotFound {
		t.Errorf("what was deleted is read: %v", err)
	}
}
