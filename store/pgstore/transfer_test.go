package pgstore_test

import (
	"strings"
	"testing"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/pgstore"
	"tributary/store/storetest"
)

// TestTransfer copies stores of this engine.
func TestTransfer(t *testing.T) {
	server := pgtest.Start(t)
	wire := tap(t, server)
	movable := func(t testing.TB) storetest.Movable {
		return open(t, pgstore.Config{URL: wire.through(t, server.Fresh(t)), Connections: 8, Transfer: true})
	}
	storetest.RunTransfer(t, movable, movable, storetest.Options{Seeds: 1, Steps: 100})
	wire.check(t)
}

// TestMovedEverywhere: a node that has a store open when it is moved writes
// nothing more into it, and one that opens it later is told where it went.
func TestMovedEverywhere(t *testing.T) {
	url := pgtest.Start(t).Fresh(t)
	mover, other := open(t, pgstore.Config{URL: url, Transfer: true}), open(t, pgstore.Config{URL: url})
	ctx := t.Context()
	pool := tributary.Pool{ID: "a:0"}
	key := tributary.DatasetKey{Pool: pool.ID, Identity: "a:1", Dataset: "d"}
	for _, err := range []error{other.PutPool(ctx, pool), other.PutIdentity(ctx, tributary.Identity{ID: key.Identity, Pool: pool.ID})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(id tributary.ChangeID) error {
		v, err := other.View(ctx, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.Apply([]tributary.Patch{{Key: "k", Value: "v", SyncCount: 0}}, tributary.Writer{ID: id, By: "me", Now: 1})
		if err != nil {
			t.Fatal(err)
		}
		return other.Commit(ctx, c)
	}
	if err := write(1); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Pool(ctx, pool.ID); err != nil {
		t.Fatal(err)
	}
	moved := tributary.TransferState{Phase: tributary.Moved, Move: "m", Peer: "data", Since: 1_790_000_000_000}
	if err := mover.SetState(ctx, tributary.TransferState{}, moved); err != nil {
		t.Fatal(err)
	}
	v, err := other.View(ctx, key, []string{"k"})
	if err != nil || v.Dataset.SyncCount != 1 {
		t.Fatalf("the other node reads %+v, %v", v.Dataset, err)
	}
	v.Dataset.SyncCount = 1
	c, err := v.Apply([]tributary.Patch{{Key: "k", Value: "w", SyncCount: 1}}, tributary.Writer{ID: 2, By: "me", Now: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Commit(ctx, c); err == nil {
		t.Error("the other node commits into a store that was moved")
	}
	if err := other.PutIdentity(ctx, tributary.Identity{ID: "a:2", Pool: pool.ID}); tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("the other node writes an identity: %v", err)
	}
	if err := other.Ready(ctx); tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("the other node says it is ready: %v", err)
	}
	_, err = pgstore.Open(ctx, pgstore.Config{URL: url})
	if tributary.KindOf(err) != tributary.Invalid || !strings.Contains(err.Error(), "moved to data at 2026-09-21") || !strings.Contains(err.Error(), "migrate-store") {
		t.Errorf("opening gives %v", err)
	}
}
