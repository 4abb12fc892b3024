package storetest_test

import (
	"sync/atomic"
	"testing"

	"tributary"
	"tributary/store/storetest"
)

// stepping is a clock that moves at every second look.
func stepping() func() tributary.Millis {
	var looks atomic.Int64
	return func() tributary.Millis { return tributary.Millis(1_800_000_000_000 + looks.Add(1)/2) }
}

func openModel(t testing.TB) tributary.Store {
	m := &storetest.Model{Now: stepping(), DefaultShards: 3, FirstStream: 1 << 40}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

func TestModel(t *testing.T) { storetest.Run(t, openModel, storetest.Options{}) }
