// Package warehousetest is the suite that every engine of [warehouse.Warehouse]
// passes.
package warehousetest

import (
	"testing"

	"tributary/warehouse"
)

// Opened is a warehouse with its way to come back.
type Opened struct {
	warehouse.Warehouse
	// Reopen closes the warehouse and opens it again on the same data. Nil if
	// the engine keeps nothing.
	Reopen func() warehouse.Warehouse
}

// Options says what to run the suite on.
type Options struct {
	// Open opens an empty warehouse that is closed when the test ends.
	Open func(t *testing.T) Opened
	// Programs is how many random programs are run; 5 if 0. A failing one is
	// found again by its seed: Seed with Programs 1.
	Programs int
	Seed     uint64 // of the first program
	// Thorough adds what takes long: the orders of six events.
	Thorough bool
}

// Run runs the whole suite.
func Run(t *testing.T, o Options) {
	if o.Programs == 0 {
		o.Programs = 5
	}
	themes := []struct {
		name string
		run  func(*testing.T, Options)
	}{
		{"Columns", testColumns},
		{"Published", testPublished},
		{"Delivery", testDelivery},
		{"Fencing", testFencing},
		{"Interrupted", testInterrupted},
		{"Removal", testRemoval},
		{"Permutations", testPermutations},
		{"Values", testValues},
		{"Shards", testShards},
		{"Reopen", testReopen},
		{"Queries", testQueries},
		{"Programs", testPrograms},
	}
	for _, theme := range themes {
		t.Run(theme.name, func(t *testing.T) { theme.run(t, o) })
	}
}
