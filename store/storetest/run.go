package storetest

import (
	"slices"
	"testing"

	"tributary"
)

// Opener gives a fresh, empty store and closes it in a cleanup of t. A test
// may have closed it already.
type Opener func(t testing.TB) tributary.Store

// Options scale the random parts of the suite. The zero value is for every
// change; a soak gives more.
type Options struct {
	Seeds int // random programs and rounds of each race; 0: 3
	Steps int // of one random program; 0: 150
}

func (o Options) filled() Options {
	if o.Seeds == 0 {
		o.Seeds = 3
	}
	if o.Steps == 0 {
		o.Steps = 150
	}
	return o
}

// testCase is one case of a theme. It has a fresh store.
type testCase struct {
	name string
	run  func(k *kit)
}

type theme struct {
	name  string
	cases []testCase
}

// Run tests a store. Every case opens its own.
func Run(t *testing.T, open Opener, o Options) {
	o = o.filled()
	for _, th := range []theme{
		{"Pools", poolCases()},
		{"Identities", identityCases()},
		{"Datasets", slices.Concat(viewCases(), recordCases(), snapshotCases())},
		{"Devices", deviceCases()},
		{"Commit", append(commitCases(), staleCases()...)},
		{"Log", slices.Concat(logCases(), logBytesCases(), appendCases(), markCases())},
		{"Streams", streamCases()},
		{"Leases", leaseCases()},
		{"Usage", usageCases()},
		{"Keys", keyCases()},
		{"Merge", mergeCases()},
		{"Life", lifeCases()},
		{"Concurrency", concurrencyCases()},
		{"Race", raceCases()},
	} {
		t.Run(th.name, func(t *testing.T) {
			for _, c := range th.cases {
				t.Run(c.name, func(t *testing.T) { c.run(newKit(t, open(t), o)) })
			}
		})
	}
	t.Run("ID", func(t *testing.T) {
		if one, other := open(t).ID(), open(t).ID(); one == "" || one == other {
			t.Errorf("the ids of two stores are %q and %q", one, other)
		}
	})
	t.Run("Program", func(t *testing.T) {
		for seed := range o.Seeds {
			if Compare(t, open, openModel, Program{Seed: uint64(seed), Steps: o.Steps}); t.Failed() {
				break
			}
		}
	})
}

func openModel(testing.TB) tributary.Store { return &Model{} }

// lifeCases are about the store as a whole.
func lifeCases() []testCase {
	return []testCase{
		{"Ready", func(k *kit) { k.ok(k.s.Ready(k.Context())) }},
		{"Closed", closedStore},
	}
}

func closedStore(k *kit) {
	key := k.world()
	c := k.draft(key, put("a", "1"))
	k.closed = true
	k.ok(k.s.Close())
	k.ok(k.s.Close())
	ctx := k.Context()
	_, poolErr := k.s.Pool(ctx, key.Pool)
	_, viewErr := k.s.View(ctx, key, nil)
	_, readErr := k.s.Read(ctx, tributary.Shard{Stream: tributary.DefaultStream}, "", 1)
	for _, err := range []error{k.s.Ready(ctx), k.s.Commit(ctx, c), poolErr, viewErr, readErr} {
		k.kind(err, tributary.Unavailable)
	}
}
