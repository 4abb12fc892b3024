package stream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary"
	"tributary/store/storetest"
	"tributary/stream"
)

// cuttable is a way to the leases that can be cut, and takes a while.
type cuttable struct {
	to    tributary.Leases
	takes time.Duration // from the store to the node

	mu    sync.Mutex
	isCut bool
}

func (c *cuttable) cut(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = is
}

func (c *cuttable) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return tributary.Errorf(tributary.Unavailable, "test", "cut")
	}
	return nil
}

func (c *cuttable) Leases(ctx context.Context, group string) ([]tributary.Lease, error) {
	if err := c.err(); err != nil {
		return nil, err
	}
	list, err := c.to.Leases(ctx, group)
	time.Sleep(c.takes)
	return list, err
}

func (c *cuttable) SwapLease(ctx context.Context, l tributary.Lease) (tributary.Lease, error) {
	if err := c.err(); err != nil {
		return tributary.Lease{}, err
	}
	return c.to.SwapLease(ctx, l)
}

// startNode runs a node and gives a function that stops it.
func startNode(t *testing.T, n *stream.Node) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// next waits for what a channel gives.
func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came for a minute")
		panic("not reached")
	}
}

// places are the owners of the places in their order.
func places(t *testing.T, store tributary.Leases) []string {
	t.Helper()
	all, err := store.Leases(t.Context(), tributary.NodesGroup)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(all))
	for _, l := range all {
		names[l.Shard.Number] = l.Owner
	}
	return names
}

// TestNodePlaces: the place of a node that left is for the next one at once,
// that of one that died when others saw it.
func TestNodePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &storetest.Model{}
		want := func(names ...string) {
			t.Helper()
			time.Sleep(100 * time.Millisecond)
			if have := places(t, store); !slices.Equal(have, names) {
				t.Errorf("the places are %q, want %q", have, names)
			}
		}
		join := func(name string, leases tributary.Leases) (stop func()) {
			stop = startNode(t, &stream.Node{Name: name, Leases: leases})
			time.Sleep(100 * time.Millisecond)
			return stop
		}
		way := &cuttable{to: store}
		stop := join("a", store)
		join("b", way)
		want("a", "b")
		stop()
		want("", "b")
		join("c", store)
		want("c", "b")
		way.cut(true) // b is as good as dead
		join("d", store)
		want("c", "b", "d")
		time.Sleep(10 * time.Second)
		want("c", "", "d")
		join("e", store)
		want("c", "e", "d")
		way.cut(false)
		time.Sleep(2 * time.Second)
		want("c", "e", "d", "b")
		for i := range 20 { // one after another
			join(fmt.Sprint("x", i), store)()
		}
		want("c", "e", "d", "b", "")
	})
}

// TestNodeRace: nodes that start at once, and see nothing of each other, all
// have places soon.
func TestNodeRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes = 4
		store := &storetest.Model{}
		var all []*stream.Node
		for i := range nodes {
			n := &stream.Node{Name: fmt.Sprint("n", i), Leases: &cuttable{to: store, takes: 10 * time.Millisecond}}
			startNode(t, n)
			all = append(all, n)
		}
		time.Sleep(nodes*time.Second + 500*time.Millisecond)
		names := places(t, store)
		slices.Sort(names)
		if want := []string{"n0", "n1", "n2", "n3"}; !slices.Equal(names, want) {
			t.Errorf("the places are of %q, want %q", names, want)
		}
		time.Sleep(time.Second)
		for _, n := range all {
			if !n.Sure() || !slices.Equal(n.Names(), names) {
				t.Errorf("%s is sure: %t, and sees %q", n.Name, n.Sure(), n.Names())
			}
		}
	})
}

// TestNodeShare: what nodes are to hold is together what there is, and differs
// by one at most.
func TestNodeShare(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			store := &storetest.Model{}
			var all []*stream.Node
			for range 1 + rng.IntN(9) {
				n := &stream.Node{Name: fmt.Sprintf("%x", rng.Uint64()), Leases: store}
				startNode(t, n)
				all = append(all, n)
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(2 * time.Second)
			for leases := range 50 {
				sum := 0
				for _, n := range all {
					share := n.Share(leases)
					if sum += share; share < leases/len(all) || share > leases/len(all)+1 {
						t.Errorf("seed %d: one of %d nodes is to hold %d of %d leases", seed, len(all), share, leases)
					}
				}
				if sum != leases {
					t.Errorf("seed %d: %d nodes are to hold %d of %d leases", seed, len(all), sum, leases)
				}
			}
		})
	}
}

// TestNodeFree: a lease is its owner's while that one is alive, even if it came,
// or came back, after the last look.
func TestNodeFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &storetest.Model{}
		a, b := &stream.Node{Name: "a", Leases: store}, &stream.Node{Name: "b"}
		way := &cuttable{to: store}
		b.Leases = way
		startNode(t, a)
		time.Sleep(10*time.Second + 100*time.Millisecond) // a looks at the full second
		epoch := int64(0)
		takes := func() tributary.Lease {
			epoch++
			return tributary.Lease{Group: "test", Owner: "b", Epoch: epoch}
		}
		always := func(l tributary.Lease, d time.Duration, free bool) {
			t.Helper()
			for range d / (50 * time.Millisecond) {
				if a.Free(&l) != free {
					t.Errorf("whether the lease is free is %t, at %s", !free, time.Now().Format("05.00"))
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		startNode(t, b)
		time.Sleep(100 * time.Millisecond)
		l := takes()
		if alone := (&stream.Node{Name: "c"}); !alone.Free(&l) {
			t.Error("what another had is not free for a node that is alone")
		}
		always(l, 3*time.Second, false) // it is new
		way.cut(true)
		always(l, tributary.LeaseTime-time.Second, false)
		time.Sleep(3 * time.Second)
		always(l, time.Second, true)
		way.cut(false)
		for range 200 {
			if !b.Sure() {
				time.Sleep(10 * time.Millisecond)
			}
		}
		always(takes(), 3*time.Second, false) // it came back
		if other := (tributary.Lease{Group: "test", Owner: "long gone", Epoch: 7}); a.Free(&other) {
			t.Error("a lease is free before anybody looked for its owner")
		} else if time.Sleep(1100 * time.Millisecond); !a.Free(&other) {
			t.Error("the lease of a node without a place is not free")
		}
	})
}

// TestJob: work is with another node at once when its node ends, and within 10
// seconds when that dies.
func TestJob(t *testing.T) {
	for _, dies := range []bool{false, true} {
		within := 1100 * time.Millisecond
		if dies {
			within = 10 * time.Second
		}
		for seed := range uint64(20 * soak(t)) {
			synctest.Test(t, func(t *testing.T) {
				store, works := &storetest.Model{}, make(chan string, 100_000)
				way := &cuttable{to: store}
				run := func(name string, leases tributary.Leases) (stop func()) {
					n := &stream.Node{Name: name, Leases: leases}
					leave := startNode(t, n)
					ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
					done := make(chan error)
					j := &stream.Job{Group: "test", Node: n, Leases: leases, Work: func(ctx context.Context) error {
						works <- name
						<-ctx.Done()
						works <- "nobody"
						return nil
					}}
					go func() { done <- j.Run(ctx) }()
					stop = sync.OnceFunc(func() {
						cancel()
						if err := <-done; err != nil {
							t.Error(err)
						}
						leave()
					})
					t.Cleanup(stop)
					return stop
				}
				stop := run("one", way)
				if who := next(t, works); who != "one" {
					t.Fatalf("%s works", who)
				}
				run("two", store)
				time.Sleep(10*time.Second + time.Duration(rand.New(rand.NewPCG(seed, 0)).IntN(int(3*time.Second))))
				ended := time.Now()
				if dies {
					way.cut(true)
				} else {
					stop()
				}
				for _, want := range []string{"nobody", "two"} { // in this order: never both
					if who := next(t, works); who != want {
						t.Errorf("seed %d: %s works, want %s", seed, who, want)
					}
				}
				if took := time.Since(ended); took > within {
					t.Errorf("seed %d, node dies: %t: another node works after %s, want %s", seed, dies, took, within)
				}
			})
		}
	}
}

// TestPumpAlone: a sink that moves with a job takes all leases along, also those
// that a node which lives could not give back when it lost the job.
func TestPumpAlone(t *testing.T) {
	w, r := newWorld(t), newRecorder()
	w.write(8, 2)
	before, after := &stream.Node{Name: "before", Leases: w.store}, &stream.Node{Name: "after", Leases: w.store}
	startNode(t, before)
	startNode(t, after)
	for began := time.Now(); !before.Sure(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("the node gets no place")
		}
	}
	shards, err := w.store.Shards(t.Context())
	w.check(err)
	for _, s := range shards {
		_, err := w.store.SwapLease(t.Context(), tributary.Lease{Group: "test", Shard: s, Owner: before.Name, Epoch: 1})
		w.check(err)
	}
	p := w.pump(r)
	p.Group, p.Node, p.Alone = "test", after, true
	start(t, p)
	r.await(t, 16)
	if !before.Sure() {
		t.Error("the node that had the leases is not alive: this shows nothing")
	}
}
