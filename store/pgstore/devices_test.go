package pgstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/pgstore"
	"tributary/store/storetest"
)

// TestDevicesLeftBehind deletes an identity as a program of schema version 3
// does, which knows nothing of devices: those are not seen any more, and do not
// come back with another identity of that id.
func TestDevicesLeftBehind(t *testing.T) {
	url := pgtest.Start(t).Fresh(t)
	s := open(t, pgstore.Config{URL: url, Transfer: true})
	populate(t, s)
	ctx := t.Context()
	device := tributary.Device{Identity: user, ID: "d", Token: "t"}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows := func() (n int) {
		t.Helper()
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM devices`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := errors.Join(s.PutDevice(ctx, device), s.DeleteIdentity(ctx, user)); err != nil || rows() != 0 {
		t.Fatalf("with an identity that this program deletes %d devices stay, %v", rows(), err)
	}
	if err := errors.Join(s.PutIdentity(ctx, tributary.Identity{ID: user, Pool: pool}), s.PutDevice(ctx, device)); err != nil || rows() != 1 {
		t.Fatalf("there are %d devices, %v", rows(), err)
	}
	if _, err := conn.Exec(ctx, `DELETE FROM identities WHERE identity_id = $1`, string(user)); err != nil {
		t.Fatal(err)
	}
	gone := func(when string) {
		t.Helper()
		list, err := s.Devices(ctx, user)
		_, oneErr := s.Device(ctx, user, "d")
		if err != nil || len(list) != 0 || tributary.KindOf(oneErr) != tributary.NotFound {
			t.Errorf("%s: %d devices, %v, %v", when, len(list), err, oneErr)
		}
		items, err := storetest.AllItems(ctx, s, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		fetched, err := s.Fetch(ctx, tributary.ItemDevice, []string{tributary.DeviceItemKey(user, "d")})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range append(items, fetched...) {
			if i.Kind == tributary.ItemDevice && i.Value != nil {
				t.Errorf("%s: the store has the device %q", when, i.Key)
			}
		}
	}
	gone("without its identity")
	if err := s.PutDevice(ctx, device); tributary.KindOf(err) != tributary.NotFound {
		t.Errorf("a device of an identity that is gone: %v", err)
	}
	if err := s.PutIdentity(ctx, tributary.Identity{ID: user, Pool: pool}); err != nil {
		t.Fatal(err)
	}
	gone("with another identity")
	if err := s.PutDevice(ctx, device); err != nil {
		t.Error(err)
	}
}

// TestDevicesOfTheDeleted puts devices while their identity is deleted: none is
// left.
func TestDevicesOfTheDeleted(t *testing.T) {
	url := pgtest.Start(t).Fresh(t)
	s := open(t, pgstore.Config{URL: url})
	populate(t, s)
	ctx := t.Context()
	const devices = 6
	for n := range 40 {
		id := tributary.IdentityID(fmt.Sprint("a:", n))
		if err := s.PutIdentity(ctx, tributary.Identity{ID: id, Pool: pool}); err != nil {
			t.Fatal(err)
		}
		var writing sync.WaitGroup
		for d := range devices {
			writing.Go(func() {
				err := s.PutDevice(ctx, tributary.Device{Identity: id, ID: tributary.DeviceID(fmt.Sprint(d))})
				if err != nil && tributary.KindOf(err) != tributary.NotFound {
					t.Error(err)
				}
			})
		}
		writing.Go(func() {
			if err := s.DeleteIdentity(ctx, id); err != nil {
				t.Error(err)
			}
		})
		writing.Wait()
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var left int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM devices`).Scan(&left); err != nil || left > 0 {
		t.Errorf("%d devices are left, %v", left, err)
	}
}
