package stream_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"tributary"
	"tributary/internal/enginetest"
	"tributary/store/storetest"
)

// soak is by how much a soak run is larger than one for every change.
func soak(t testing.TB) int {
	t.Helper()
	text := os.Getenv("TRIBUTARY_SOAK")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("TRIBUTARY_SOAK is %q, it must be a number above 0", text)
	}
	return n
}

// seeds are those to run: 200, 500 for each step of TRIBUTARY_SOAK above 1, or
// the one of TRIBUTARY_SEED.
func seeds(t testing.TB) (from, to uint64) {
	t.Helper()
	if text := os.Getenv("TRIBUTARY_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("TRIBUTARY_SEED: %v", err)
		}
		return n, n + 1
	}
	switch n := soak(t); {
	case testing.Short():
		return 0, 20
	case n > 1:
		return 0, uint64(500 * n)
	default:
		return 0, 200
	}
}

// TestSimulation runs nodes with their leases, pumps and jobs in virtual time.
// They crash, sleep, lose the store, the sinks or only what says that they are
// alive, at times that the seed draws, and their clocks differ by hours. With
// everything that is applied I4 and I5 are checked, who holds which lease, and
// who works in which job; at the end, that all is delivered and balanced.
func TestSimulation(t *testing.T) {
	enginetest.Once(t)
	from, to := seeds(t)
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			if err := simulate(t, seed, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// simulate runs a seed.
func simulate(t *testing.T, seed uint64, change func(*sim)) (err error) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, seed)
		defer s.stop()
		if change != nil {
			change(s)
		}
		s.program()
		err = s.report()
		if _, alone := os.LookupEnv("TRIBUTARY_SEED"); alone {
			for _, l := range s.history {
				t.Log(l)
			}
		}
	})
	return err
}

// program is a seed's run: chaos, a time to heal, a last death.
func (s *sim) program() {
	if s.rng.IntN(8) == 0 {
		s.backlog = time.Duration(5+s.rng.IntN(20)) * time.Second
	}
	for range 2 + s.rng.IntN(4) {
		s.start()
	}
	s.running.Go(func() { s.write(rand.New(rand.NewPCG(s.seed, 2))) })
	s.running.Go(func() {
		for s.ctx.Err() == nil && s.hold(s.ctx, nil, time.Now().Add(250*time.Millisecond)) == nil {
			s.locked(s.checkJobs)
		}
	})
	chaos := time.Duration(20+s.rng.IntN(40)) * time.Second
	for time.Since(s.began) < chaos && !s.failed() {
		time.Sleep(time.Duration(s.rng.IntN(int(2 * time.Second))))
		s.act()
	}
	s.heal()
	for len(s.up()) < 2 {
		s.start()
	}
	time.Sleep(10 * time.Second)
	close(s.quiet)
	time.Sleep(20 * time.Second)
	s.require("30 s after all was healed", s.settled())

	s.locked(func() {
		n := s.pick()
		s.note("%s crashes, for the last time", n.name)
		n.crash()
		for range 5 {
			s.change(s.rng)
		}
		s.checkLogs()
	})
	time.Sleep(10 * time.Second)
	s.require("10 s after the last death", s.abandoned())
	time.Sleep(5 * time.Second)
	s.require("15 s after the last death", s.settled())
	s.locked(func() {
		if err := storetest.Verify(s.ctx, s.store, storetest.Checks{Lost: true}); err != nil {
			s.violated("I4: %v", err)
		}
		s.note("%d entries were written, %d nodes had %d places", s.written, len(s.nodes), s.places)
	})
}

func (s *sim) failed() (is bool) {
	s.locked(func() { is = len(s.violations) > 0 })
	return is
}

func (s *sim) up() (list []*simNode) {
	s.locked(func() { list = s.alive() })
	return list
}

// sleeping tells whether all nodes sleep: one that starts now would find them dead.
func (s *sim) sleeping() (is bool) {
	s.locked(func() {
		n := len(s.outages)
		is = n > 0 && s.outages[n-1].how == asleep && time.Now().Before(s.outages[n-1].to.Add(5*time.Second))
	})
	return is
}

// pick chooses a node that is alive, nil if there is none. The caller holds mu.
func (s *sim) pick() *simNode {
	list := s.alive()
	if len(list) == 0 {
		return nil
	}
	return list[s.rng.IntN(len(list))]
}

// some is a time up to most, the shorter the likelier.
func (s *sim) some(most time.Duration) time.Duration {
	x := s.rng.Float64()
	return time.Duration(x*x*float64(most)) + 200*time.Millisecond
}

func choose[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// act does one thing to a node, to the store or to the streams.
func (s *sim) act() {
	alive := len(s.up())
	if start := alive < 5 && s.rng.IntN(12) == 0; (start || alive < 2) && !s.sleeping() {
		s.start()
		return
	}
	if alive == 0 {
		return
	}
	s.locked(func() {
		switch x := s.rng.IntN(100); {
		case x < 70:
			s.harm(s.pick())
		case x < 78:
			s.outage()
		case x < 97:
			s.alter()
		case s.replaced < 2 && s.seed%4 == 0:
			s.replaced++
			s.note("the warehouse is replaced by an empty one")
			for _, l := range s.logs {
				l.before, l.loaded, l.rows, l.epoch = max(l.before, l.loaded), 0, 0, 0
			}
		}
	})
}

// harm does something to a node. The caller holds mu.
func (s *sim) harm(n *simNode) {
	d := s.some(20 * time.Second)
	how := choose(s.rng, failing, hanging, readOnly, flaky)
	switch s.rng.IntN(11) {
	case 0:
		s.note("%s sleeps for %s", n.name, d)
		n.pause(d)
	case 1, 2, 3:
		s.ambush(n, d, how)
	case 4, 5:
		s.note("%s: store %s for %s", n.name, how, d)
		n.fail(toStore, how, d)
	case 6:
		s.note("%s: sinks %s for %s", n.name, how, d)
		n.fail(toSinks, how, d)
	case 7:
		s.note("%s: its places %s for %s", n.name, how, d)
		n.fail(toPlaces, how, d)
	case 8:
		s.note("%s: slow for %s", n.name, d)
		n.slow = fault{slowOnly, time.Now().Add(d)}
	case 9:
		s.note("%s: lossy for %s", n.name, d)
		n.lossy = fault{lossyOnly, time.Now().Add(d)}
	case 10:
		if s.rng.IntN(2) == 0 {
			s.note("%s crashes", n.name)
			n.crash()
			return
		}
		s.note("%s is stopped", n.name)
		n.stopped = true
		n.cancel()
	}
}

// ambush lets something happen to a node in the middle of a call. The caller
// holds mu.
func (s *sim) ambush(n *simNode, d time.Duration, how how) {
	t := &trap{op: choose(s.rng, "", "Leases", "SwapLease", "SwapLease", "Find", "Read", "Deliver", "Commit", "Checkpoint", "Trim"), after: s.rng.IntN(2) == 0}
	when := "before"
	if t.after {
		when = "after"
	}
	kind := s.rng.IntN(6)
	t.spring = func() {
		switch kind {
		case 0, 1, 2:
			s.note("%s sleeps %s %s for %s", n.name, when, t.op, d)
			n.pause(d)
		case 3, 4:
			s.note("%s: store %s %s %s for %s", n.name, how, when, t.op, d)
			n.fail(toStore, how, d)
		case 5:
			s.note("%s crashes %s %s", n.name, when, t.op)
			n.crash()
		}
	}
	n.trap = t
}

// outage takes the store from all nodes, or all nodes' time. The caller holds mu.
func (s *sim) outage() {
	now := time.Now()
	if len(s.outages) > 0 && now.Before(s.outages[len(s.outages)-1].to.Add(15*time.Second)) {
		return
	}
	s.strike(choose(s.rng, failing, hanging, readOnly, flaky, asleep), time.Second+s.some(25*time.Second))
}

func (s *sim) strike(how how, d time.Duration) {
	now := time.Now()
	s.note("all nodes: store %s for %s", how, d)
	to := now.Add(d)
	for _, n := range s.nodes { // also of those that are being stopped
		if n.crashed {
			continue
		}
		if how == asleep {
			n.pause(d + time.Duration(s.rng.IntN(int(3*time.Second))))
		} else if how == failing || how == hanging {
			n.relink()
		}
	}
	s.outages = append(s.outages, span{now, to, how})
	if how != asleep {
		s.faults[toStore] = fault{how, to}
	}
}

// alter changes streams, routes or clocks. The caller holds mu.
func (s *sim) alter() {
	names := []tributary.StreamName{"s0", "s1", "s2"}
	name := choose(s.rng, names...)
	st, exists := s.streams[name]
	switch x := s.rng.IntN(10); {
	case x < 3 && !exists:
		st, err := s.store.PutStream(s.ctx, tributary.Stream{Name: name, Kind: tributary.Embedded, Shards: tributary.EvenShards(1 + s.rng.IntN(3)),
			Retention: choose(s.rng, 0, time.Hour)})
		s.must(err)
		s.streams[name] = st
		s.note("stream %s, number %d, is made with %d shards", name, st.ID, len(st.Shards))
	case x < 4 && exists:
		for i := range simPools {
			if s.routes[simPool(i)] == st.ID {
				s.route(simPool(i), tributary.Stream{})
			}
		}
		s.note("stream %s, number %d, is deleted", name, st.ID)
		s.must(s.store.DeleteStream(s.ctx, name))
		delete(s.streams, name)
		for key := range s.leases {
			if key.shard.Stream == st.ID {
				delete(s.leases, key)
				delete(s.epochs, key)
			}
		}
	case x < 6 && exists:
		s.split(st)
	case x < 8:
		s.route(simPool(s.rng.IntN(simPools)), st)
	case s.backlog == 0:
		s.skew = time.Duration(s.rng.IntN(8)-4) * time.Hour
		if n := s.pick(); s.rng.IntN(2) == 0 && n != nil {
			n.skew = time.Duration(s.rng.IntN(8)-4) * time.Hour
			s.note("the clock of %s is %s ahead", n.name, n.skew)
		}
	}
}

// route lets a pool write to a stream, or to the default log.
func (s *sim) route(id tributary.PoolID, st tributary.Stream) {
	p, err := s.store.Pool(s.ctx, id)
	s.must(err)
	p.Stream.ID, p.Stream.Enabled = st.ID, st.ID != 0
	s.must(s.store.PutPool(s.ctx, p))
	s.routes[id] = p.Route()
	s.note("pool %s goes to stream %d", id[len(id)-1:], p.Route())
}

// split closes a shard, and opens two for what it took.
func (s *sim) split(st tributary.Stream) {
	i := s.rng.IntN(len(st.Shards))
	if st.Shards[i].Closed || len(st.Shards) > 6 {
		return
	}
	next := st.Clone()
	r := &next.Shards[i]
	r.Closed = true
	middle := r.Start.Hi/2 + r.End.Hi/2
	left := tributary.ShardRange{Number: uint32(len(next.Shards)), Parents: []uint32{r.Number}, Start: r.Start, End: tributary.HashKey{Hi: middle, Lo: ^uint64(0)}}
	right := tributary.ShardRange{Number: left.Number + 1, Parents: left.Parents, Start: tributary.HashKey{Hi: middle + 1}, End: r.End}
	next.Shards = append(next.Shards, left, right)
	next, err := s.store.PutStream(s.ctx, next)
	s.must(err)
	s.streams[st.Name] = next
	s.note("shard %d of stream %d is split", i, st.ID)
}

// TestSimulationCanFail shows that TestSimulation notices a warehouse that does
// not look at the lease's epoch.
func TestSimulationCanFail(t *testing.T) {
	enginetest.Once(t)
	for seed := range uint64(200) {
		err := simulate(t, seed, func(s *sim) { s.unfenced = true })
		if err != nil {
			t.Logf("noticed: %.300v", err)
			return
		}
	}
	t.Error("200 seeds did not notice it")
}
