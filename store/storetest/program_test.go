package storetest_test

import (
	"context"
	"slices"
	"testing"

	"tributary"
	"tributary/store/storetest"
)

func openSmallModel(testing.TB) tributary.Store { return &storetest.Model{} }

func TestProgramSameOnUnlikeStores(t *testing.T) {
	for seed := range uint64(30) {
		storetest.Compare(t, openModel, openSmallModel, storetest.Program{Seed: seed, Steps: 120})
	}
}

// TestProgramSees: a store that loses one write in three gives another history.
func TestProgramSees(t *testing.T) {
	for _, op := range []string{"PutPool", "PutIdentity", "Commit", "PutStream", "PutDevice", "DeleteDevice", "Append", "Trim", "SwapLease", "PutAccessKey", "DeleteAccessKey"} {
		// The figures of pools will never be what the program thinks: waiting
		// for them ends at once, and nothing else of a Model heeds the context.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := storetest.Program{Seed: 7, Steps: 400}
		want := p.Run(ctx, openModel(t))
		writes := 0
		lossy := &storetest.Faulty{Store: openModel(t), Hook: func(o string) (bool, error) {
			if o == op {
				writes++
			}
			return o != op || writes%3 != 0, nil
		}}
		if slices.Equal(p.Run(ctx, lossy), want) {
			t.Errorf("the history is the same when every third %s of %d is lost", op, writes)
		}
	}
}

func TestProgramRepeats(t *testing.T) {
	p := storetest.Program{Seed: 3, Steps: 200}
	first, again := p.Run(t.Context(), openModel(t)), p.Run(t.Context(), openModel(t))
	if !slices.Equal(first, again) {
		t.Error("one seed gives two histories")
	}
	p.Seed++
	if slices.Equal(first, p.Run(t.Context(), openModel(t))) {
		t.Error("two seeds give one history")
	}
}
