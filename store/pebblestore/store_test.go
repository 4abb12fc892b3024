package pebblestore_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/store/pebblestore"
	"tributary/store/storetest"
)

// open opens a store that the test closes, and fails the test if it cannot.
func open(t testing.TB, c pebblestore.Config) *pebblestore.Store {
	t.Helper()
	s, err := pebblestore.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// closed opens a store that its test need not close.
func closed(t testing.TB, c pebblestore.Config) tributary.Store {
	s := open(t, c)
	t.Cleanup(func() { _ = s.Close() }) // a second time, if the test closed it
	return s
}

// TestStore runs the suite on a real disk and in memory.
func TestStore(t *testing.T) {
	t.Run("Disk", func(t *testing.T) {
		storetest.Run(t, func(t testing.TB) tributary.Store {
			return closed(t, pebblestore.Config{Dir: t.TempDir()})
		}, storetest.Options{})
	})
	t.Run("Memory", func(t *testing.T) {
		storetest.Run(t, func(t testing.TB) tributary.Store {
			return closed(t, pebblestore.Config{Dir: "store", FS: vfs.NewMem()})
		}, storetest.Options{})
	})
}
