package stream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary"
	"tributary/internal/enginetest"
	"tributary/store/storetest"
	"tributary/stream"
)

// steady runs nodes with which nothing is wrong, until they are balanced.
func steady(t *testing.T, seed uint64, nodes int) *sim {
	s := newSim(t, seed)
	s.heal()
	for range nodes {
		s.start()
	}
	s.running.Go(func() { s.write(rand.New(rand.NewPCG(seed, 2))) })
	time.Sleep(15 * time.Second)
	return s
}

// holds tells whether a node has any lease. The caller holds mu.
func (s *sim) holds(n *simNode) bool {
	for key, l := range s.leases {
		if key.group != tributary.NodesGroup && l.Owner == n.name {
			return true
		}
	}
	return false
}

// finish waits until all is delivered and balanced.
func (s *sim) finish() {
	s.t.Helper()
	close(s.quiet)
	time.Sleep(15 * time.Second)
	s.require("at the end", s.settled())
	if err := s.report(); err != nil {
		s.t.Error(err)
	}
}

// TestTakeover: whenever a node dies, what it had is with others 10 seconds
// later.
func TestTakeover(t *testing.T) {
	enginetest.Once(t)
	var mu sync.Mutex
	var longest time.Duration
	t.Run("Seeds", func(t *testing.T) {
		for seed := range uint64(100 * soak(t)) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := steady(t, seed, 2+int(seed%4))
					defer s.stop()
					time.Sleep(time.Duration(s.rng.IntN(int(5 * time.Second))))
					s.locked(func() {
						n := s.pick()
						for range 100 { // there may be more nodes than shards
							if !s.holds(n) {
								n = s.pick()
							}
						}
						s.note("%s crashes", n.name)
						n.crash()
					})
					crashed := time.Now()
					if len(s.abandoned()) == 0 {
						t.Error("the dead node had no lease")
					}
					for time.Sleep(10 * time.Millisecond); len(s.abandoned()) > 0; time.Sleep(10 * time.Millisecond) {
						if time.Since(crashed) >= 10*time.Second {
							s.require("10 s after the death", s.abandoned())
							break
						}
					}
					mu.Lock()
					longest = max(longest, time.Since(crashed))
					mu.Unlock()
					s.finish()
				})
			})
		}
	})
	t.Logf("the longest time until others had all leases was %s", longest)
}

// TestOutage: while no node can look, or all sleep, none is taken for dead.
func TestOutage(t *testing.T) {
	enginetest.Once(t)
	for _, how := range []how{failing, hanging, readOnly, asleep} {
		for _, d := range []time.Duration{tributary.LeaseTime + time.Second, time.Minute} {
			for seed := range uint64(5 * soak(t)) {
				t.Run(fmt.Sprint(how, d, seed), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						s := steady(t, seed, 3)
						defer s.stop()
						before := s.robbed
						s.locked(func() { s.strike(how, d) })
						time.Sleep(d + 20*time.Second)
						s.locked(func() {
							if s.robbed != before {
								s.violated("%d leases were taken from nodes that are alive", s.robbed-before)
							}
						})
						s.finish()
					})
				})
			}
		}
	}
}

// fenced is a sink that refuses an epoch below one that it has seen.
type fenced struct {
	*recorder
	highest map[tributary.Shard]int64
	refused int
}

func (f *fenced) Deliver(ctx context.Context, l tributary.Lease, batch []tributary.Entry) error {
	f.mu.Lock()
	old := l.Epoch < f.highest[l.Shard]
	f.highest[l.Shard] = max(f.highest[l.Shard], l.Epoch)
	if old {
		f.refused++
	}
	f.mu.Unlock()
	if old {
		return tributary.Errorf(tributary.Stale, "deliver", "the lease's epoch %d has passed", l.Epoch)
	}
	return f.recorder.Deliver(ctx, l, batch)
}

// TestPumpLease: an owner that is stuck in a delivery, and of which nothing is
// heard, keeps its shards for as long as others must take it for alive. Then
// another takes over, and what the first delivers when it wakes is refused.
func TestPumpLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &storetest.Model{}
		put := func(entries int) {
			for i := range entries {
				_, err := store.Append(t.Context(), tributary.DefaultStream, []tributary.Entry{{Kind: tributary.EntryForeign,
					Foreign: &tributary.ForeignRecord{PartitionKey: fmt.Sprint(i)}}})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		put(3)
		sink := &fenced{recorder: newRecorder(), highest: map[tributary.Shard]int64{}}
		stuck, woken, way := newGated(sink), make(chan error, 100), &cuttable{to: store}
		pump := func(name string, leases tributary.Leases, sink tributary.Sink) *stream.Pump {
			node := &stream.Node{Name: name, Leases: leases}
			startNode(t, node)
			return &stream.Pump{Group: "test", Node: node, Source: store, Leases: leases, Sink: sink}
		}
		first := pump("one", way, stuck)
		first.Failed = func(_ tributary.Shard, err error) { woken <- err }
		start(t, first)
		next(t, stuck.arrived)
		start(t, pump("two", store, sink))
		time.Sleep(20 * time.Second)
		if n, _ := sink.distinct(t); n != 0 {
			t.Fatalf("%d entries were delivered by a pump without the lease", n)
		}

		way.cut(true)
		cut := time.Now()
		time.Sleep(tributary.LeaseTime - time.Second)
		synctest.Wait()
		if n, _ := sink.distinct(t); n != 0 {
			t.Errorf("%d entries were delivered %s after the owner's node was cut off", n, time.Since(cut))
		}
		time.Sleep(time.Until(cut.Add(10 * time.Second)))
		synctest.Wait()
		if n, _ := sink.distinct(t); n != 3 {
			t.Errorf("%d entries were delivered 10 s after the owner's node was cut off, want 3", n)
		}

		close(stuck.gate)
		if err := next(t, woken); tributary.KindOf(err) != tributary.Stale {
			t.Errorf("the woken owner heard %v", err)
		}
		put(1)
		time.Sleep(10 * time.Second)
		n, repeats := sink.distinct(t)
		sink.mu.Lock()
		defer sink.mu.Unlock()
		if n != 4 || repeats != 0 || sink.refused != 1 {
			t.Errorf("%d entries and %d repeats were delivered, %d batches refused", n, repeats, sink.refused)
		}
	})
}
