package tributary_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// What convergence means, in the order of strength:
//
//   - A client that came by its state by syncing with this very server ends
//     with what the server has, no more and no less.
//   - A client that did not — its store was damaged, or the server's was
//     restored to a day that the client is ahead of — ends with nothing left to
//     push, and with every record that the server could know it lacks. What it
//     lacks beyond that no server can tell: no client ever drops a record that a
//     list leaves out, so one that the server does not even know as removed
//     stays on the device; and none asks for what lies at or below the count that
//     it claims to have seen, so that what others wrote there after a restore
//     stays unseen until it is written again.
//   - A client that asks from 0 is told of no deletion of the dataset, or fresh
//     ones would purge what they have. iOS may stay at 0 for ever, Android and
//     .NET go back to it after a conflict of a new key, with records from the
//     time before in their hands.
//   - The JavaScript client takes the count of its push's answer for its own
//     even if others wrote in between, or if it left records of its list aside
//     for a conflict's sake. It does not ask for those again.
//
// The blind keys of a device are exactly those that the last two leave open.
// And in every case nobody is stuck: whatever the app writes next, on ghosts
// and unseen records too, arrives, and afterwards both sides have the same.

const mostRounds = 5

// settle synchronizes undisturbed until nothing is left to do.
func (d *device) settle() {
	d.t.Helper()
	d.paged, d.between, d.during = func() {}, func() {}, func() {}
	for round := 1; ; round++ {
		d.note("%s: round %d", d.name, round)
		purges := d.purges
		err := d.synchronize()
		// A round that dropped everything is no end: the next one pulls.
		if err == nil && !d.dirty() && d.purges == purges {
			return
		}
		if round == mostRounds {
			d.fail("%s is stuck after %d rounds: last %d, records %v, error %v; the server has %v at count %d",
				d.name, round, d.last, d.records, err, brief(slices.Collect(maps.Values(d.held()))), d.head().SyncCount)
		}
	}
}

// converged compares what the app sees with what the server has.
func (d *device) converged() {
	d.t.Helper()
	seen, live, held := d.seen(), d.live(), d.held()
	for _, key := range liveKeys {
		mine, iHave := seen[key]
		its, itHas := live[key]
		if iHave == itHas && mine == its || d.blind[key] {
			continue
		}
		r, known := held[key]
		if d.unsure && (!known || r.SyncCount <= d.lie) {
			continue
		}
		d.fail("%s has %s=%q (%t), the server has %q (%t); last %d, unsure %t, claimed %d", d.name, key, mine, iHave, its, itHas, d.last, d.unsure, d.lie)
	}
}

// afterwards has the app write every key, which finds the clients that are
// stuck as soon as they want something.
func (d *device) afterwards() {
	d.t.Helper()
	for _, key := range liveKeys {
		d.values++
		d.put(key, fmt.Sprint("last ", d.values))
	}
	d.settle()
	if seen, live := d.seen(), d.live(); !maps.Equal(seen, live) {
		d.fail("%s has written all keys and has %v, the server has %v", d.name, seen, live)
	}
}

// edit is the app doing something.
func (d *device) edit() {
	switch n := d.rng.IntN(20); {
	case n < 12:
		d.put(d.someKey(), d.value())
	case n < 19:
		d.remove(d.someKey())
	default:
		d.drop()
	}
}

// wild is a device in any state whatever.
func (d *device) wild() {
	d.unsure = true
	d.last = []int64{-1, 0, 1, d.rng.Int64N(d.head().SyncCount + 5), 1 << 30}[d.rng.IntN(5)]
	for _, key := range liveKeys {
		if d.rng.IntN(3) > 0 {
			d.records[key] = entry{value: d.value(), count: d.rng.Int64N(d.head().SyncCount + 5), dirty: d.rng.IntN(2) == 0}
			if d.rng.IntN(4) == 0 {
				d.records[key] = entry{removed: true, count: d.records[key].count, dirty: d.records[key].dirty}
			}
		}
	}
	d.note("%s begins with last %d, %v", d.name, d.last, d.records)
}

// program is a life of a device before it is left in peace.
type program struct {
	wild, restores bool
	incarnates     bool // restores are those of real backups
	meddled        bool // a function changes what is pushed
	races          bool // others write between its lists and pushes, the app during its pushes
}

func (p program) run(d *device) {
	d.t.Helper()
	w := d.world
	w.incarnates = p.incarnates
	if p.meddled {
		w.meddle()
	}
	for range w.rng.IntN(6) {
		w.happen()
	}
	if p.wild {
		d.wild()
	}
	if p.races {
		d.between = func() {
			for w.rng.IntN(3) == 0 {
				w.happen()
			}
		}
		d.paged = func() {
			if w.rng.IntN(8) == 0 {
				w.happen()
			}
		}
		d.during = func() {
			if w.rng.IntN(4) == 0 {
				d.put(w.someKey(), w.value())
			}
		}
	}
	d.most = []int{1, 2, 1024}[w.rng.IntN(3)]
	for range 4 + w.rng.IntN(12) {
		switch n := w.rng.IntN(20); {
		case n < 7:
			w.happen()
		case n < 13:
			d.edit()
		case n < 19:
			_ = d.synchronize() // the app is told, and tries again some day
		case p.restores:
			w.restore(w.rng.IntN(len(w.changes) + 1))
		}
	}
}

func models() map[string]func(seed uint64) model {
	return map[string]func(seed uint64) model{
		"JavaScript": func(uint64) model { return jsClient{} },
		"Android":    func(uint64) model { return androidClient{} },
		"IOS":        func(seed uint64) model { return iosClient{purges: seed%3 == 0} },
		"DotNet":     func(uint64) model { return dotnetClient{} },
	}
}

// TestClientsConverge runs seeded programs, all of them under every client.
func TestClientsConverge(t *testing.T) {
	for _, tt := range []struct {
		name string
		program
	}{
		{"Undisturbed", program{}},
		{"Raced", program{races: true}},
		{"FromAnyState", program{wild: true, races: true}},
		{"Restored", program{restores: true, races: true}},
		{"FromAnyStateRestored", program{wild: true, restores: true, races: true}},
		{"Incarnated", program{restores: true, incarnates: true, races: true}},
		{"FromAnyStateIncarnated", program{wild: true, restores: true, incarnates: true, races: true}},
	} {
		for name, m := range models() {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				for i := range 100 * soak(t) {
					runProgram(t, name, tt.program, m(uint64(i)), uint64(i))
				}
			})
		}
	}
}

func runProgram(t *testing.T, name string, p program, m model, seed uint64) {
	t.Helper()
	w := newWorld(t, seed)
	defer w.close()
	w.note("seed %d", seed)
	d := w.newDevice(name, m)
	p.run(d)
	d.settle()
	d.converged()
	d.afterwards()
}
