package stream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary"
	"tributary/store/storetest"
	"tributary/stream"
)

// sim is many nodes over one store in virtual time, and what is known of them.
type sim struct {
	t        *testing.T
	seed     uint64
	rng      *rand.Rand // of the goroutine that runs the program
	store    *storetest.Model
	ctx      context.Context // of everything
	end      context.CancelFunc
	began    time.Time
	running  sync.WaitGroup // the writer and the checks
	quiet    chan struct{}  // closed when nothing is to be written any more
	backlog  time.Duration  // 0: what the sinks have not got is kept
	unfenced bool           // the warehouse, to show what the fence is for

	mu         sync.Mutex // guards all that follows; nobody waits under it
	nodes      []*simNode // all that ever were
	faults     map[way]fault
	outages    []span
	calm       bool
	healed     chan struct{} // closed and replaced when faults end early
	skew       time.Duration // of the clock by which entries arrive
	arrived    tributary.Millis
	history    []string
	violations []string

	logs     map[tributary.Shard]*simLog
	streams  map[tributary.StreamName]tributary.Stream
	routes   map[tributary.PoolID]tributary.StreamID
	counts   map[tributary.DatasetKey]int64
	leases   map[simShard]tributary.Lease
	epochs   map[simShard]int64
	workers  map[string][]*simNode
	together map[string]time.Time // since when more than one awake node is in a job
	places   int
	robbed   int // leases taken from owners who did not give them back
	replaced int // how often the warehouse was
	written  int
}

const simPools = 3

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), began: time.Now(), quiet: make(chan struct{}), healed: make(chan struct{}),
		faults: map[way]fault{}, logs: map[tributary.Shard]*simLog{}, streams: map[tributary.StreamName]tributary.Stream{},
		routes: map[tributary.PoolID]tributary.StreamID{}, counts: map[tributary.DatasetKey]int64{}, leases: map[simShard]tributary.Lease{},
		epochs: map[simShard]int64{}, workers: map[string][]*simNode{}, together: map[string]time.Time{}}
	s.ctx, s.end = context.WithCancel(t.Context())
	s.store = &storetest.Model{Now: s.arrival, DefaultShards: 1 + s.rng.IntN(4)}
	for i := range simPools {
		s.must(s.store.PutPool(s.ctx, tributary.Pool{ID: simPool(i)}))
		s.routes[simPool(i)] = tributary.DefaultStream
		for k := range 4 {
			s.must(s.store.PutIdentity(s.ctx, tributary.Identity{ID: identity(i*10 + k), Pool: simPool(i)}))
		}
	}
	return s
}

func simPool(n int) tributary.PoolID {
	return tributary.PoolID(fmt.Sprintf("us-east-1:00000000-0000-4000-8000-%012d", n))
}

func (s *sim) must(err error) {
	if err != nil {
		panic(err) // the model refuses nothing that the program asks for
	}
}

func (s *sim) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *sim) isCalm() (is bool) {
	s.locked(func() { is = s.calm })
	return is
}

// note adds to the history. The caller holds mu.
func (s *sim) note(format string, args ...any) {
	s.history = append(s.history, fmt.Sprintf("%9.3f s  ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...))
}

// hold waits for a time, or until all is healed. It fails when ctx or a node
// ends before.
func (s *sim) hold(ctx context.Context, dead chan struct{}, until time.Time) error {
	var healed chan struct{}
	s.locked(func() { healed = s.healed })
	if time.Until(until) < 10*time.Millisecond {
		healed = nil // not worth it, and each delay is one of its own
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-healed:
		return nil
	case <-dead:
		return gone("the process died")
	case <-ctx.Done():
		return gone("given up")
	}
}

// arrival is the time by which entries arrive: it jumps, but never goes back.
// It is called under mu.
func (s *sim) arrival() tributary.Millis {
	s.arrived = max(s.arrived, tributary.MillisOf(time.Now().Add(s.skew)))
	return s.arrived
}

// start adds a node.
func (s *sim) start() *simNode {
	n := &simNode{Store: s.store, sim: s, dead: make(chan struct{}), ended: make(chan struct{}),
		faults: map[way]fault{}, found: map[simShard]bool{}, opened: map[tributary.Shard]int{}}
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(s.ctx)
	s.locked(func() {
		n.number = uint64(len(s.nodes) + 1)
		n.name = fmt.Sprintf("%c%d", 'a'+dice(s.seed+n.number).nextOf(26), n.number) // in any order
		if s.backlog == 0 && s.rng.IntN(2) == 0 {
			n.skew = time.Duration(s.rng.IntN(8)-4) * time.Hour
		}
		n.relink()
		s.nodes = append(s.nodes, n)
		s.note("%s starts, its clock is %s ahead", n.name, n.skew)
	})
	n.node = &stream.Node{Name: n.name, Leases: n}
	go n.run(ctx)
	return n
}

func (d dice) nextOf(n uint64) rune { return rune(d.next() % n) }

// run does what a server does: the node ends when everything else has.
func (n *simNode) run(ctx context.Context) {
	defer close(n.ended)
	all, leave := context.WithCancel(context.WithoutCancel(ctx))
	var node, background sync.WaitGroup
	node.Go(func() { _ = n.node.Run(all) })
	retention := &stream.Retention{Store: n, Groups: []string{warehouseGroup, kinesisGroup}, Every: 1700 * time.Millisecond, Backlog: n.sim.backlog, Now: n.now}
	for _, p := range []*stream.Pump{n.pump(warehouseGroup, simWarehouse{n}), n.pump(kinesisGroup, simKinesis{n})} {
		background.Go(func() { _ = p.Run(ctx) })
	}
	for job, work := range map[string]func(context.Context) error{retentionGroup: retention.Run, workGroup: n.work} {
		j := &stream.Job{Group: job, Node: n.node, Leases: n, Work: func(ctx context.Context) error {
			n.sim.enter(n, job)
			defer n.sim.leave(n, job)
			defer func() { _ = n.gate() }()
			return work(ctx)
		}}
		background.Go(func() { _ = j.Run(ctx) })
	}
	background.Wait()
	leave()
	node.Wait()
}

func (n *simNode) pump(group string, sink tributary.Sink) *stream.Pump {
	c := carrier{n, group}
	return &stream.Pump{Group: group, Node: n.node, Source: c, Leases: n, Sink: sink, Now: n.now, MaxBytes: 4000, Batches: 4}
}

func (n *simNode) now() time.Time {
	n.sim.mu.Lock()
	defer n.sim.mu.Unlock()
	return time.Now().Add(n.skew)
}

// work is a job that ends by itself now and then.
func (n *simNode) work(ctx context.Context) error {
	d := n.dice(request{op: "work"})
	timer := time.NewTimer(time.Second + d.below(time.Minute))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return nil
}

// alive are the nodes that neither crashed nor were stopped. The caller holds mu.
func (s *sim) alive() (list []*simNode) {
	for _, n := range s.nodes {
		if !n.crashed && !n.stopped {
			list = append(list, n)
		}
	}
	return list
}

// write commits changes, and puts records of others, all the time.
func (s *sim) write(rng *rand.Rand) {
	for {
		select {
		case <-s.quiet:
			return
		case <-time.After(time.Duration(rng.IntN(int(400 * time.Millisecond)))):
			s.locked(func() {
				for range 1 + rng.IntN(3) {
					s.change(rng)
				}
				s.checkLogs()
			})
		}
	}
}

// change makes a change. The caller holds mu.
func (s *sim) change(rng *rand.Rand) {
	i := rng.IntN(simPools)
	pool, err := s.store.Pool(s.ctx, simPool(i))
	s.must(err)
	s.written++
	if rng.IntN(8) == 0 {
		key := fmt.Sprint(rng.IntN(1000))
		_, err := s.store.Append(s.ctx, pool.Route(), []tributary.Entry{{Kind: tributary.EntryForeign,
			Foreign: &tributary.ForeignRecord{PartitionKey: key, HashKey: tributary.HashOf(key), Data: []byte("data")}}})
		s.must(err)
		return
	}
	key := tributary.DatasetKey{Pool: pool.ID, Identity: identity(i*10 + rng.IntN(4)), Dataset: tributary.DatasetName(fmt.Sprint("d", rng.IntN(2)))}
	v, err := s.store.View(s.ctx, key, []string{"k"})
	s.must(err)
	w := tributary.Writer{ID: tributary.ChangeID(rng.Uint64()), By: "writer", Now: s.arrived}
	c := v.Delete(w)
	if !v.Dataset.Exists || rng.IntN(10) > 0 {
		c, err = v.Apply([]tributary.Patch{{Key: "k", Value: fmt.Sprint(s.written), SyncCount: v.Dataset.SyncCount}}, w)
		s.must(err)
	}
	s.must(s.store.Commit(s.ctx, c))
}

// heal ends all that is wrong.
func (s *sim) heal() {
	s.locked(func() {
		s.note("all is healed")
		s.calm, s.faults, s.skew = true, map[way]fault{}, 0
		for i := range s.outages {
			s.outages[i].to = earlier(s.outages[i].to, time.Now())
		}
		for _, n := range s.nodes {
			n.paused, n.slow, n.lossy, n.trap, n.faults = time.Time{}, fault{}, fault{}, nil, map[way]fault{}
			if !n.crashed {
				n.relink()
			}
		}
		close(s.healed)
		s.healed = make(chan struct{})
	})
}

// stop ends the simulation, and everything in it.
func (s *sim) stop() {
	s.heal()
	s.locked(func() {
		for _, n := range s.nodes {
			n.crash()
		}
	})
	s.end()
	for _, n := range s.nodes {
		<-n.ended
	}
	s.running.Wait()
}

// report is what went wrong, with all that happened before.
func (s *sim) report() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.violations) == 0 {
		return nil
	}
	const most = 400 // lines; a violation is most often due to the last
	history := s.history
	if i := slices.IndexFunc(history, func(l string) bool { return strings.Contains(l, "VIOLATED") }); i >= 0 {
		history = history[:min(len(history), i+20)]
	}
	if len(history) > most {
		history = history[len(history)-most:]
	}
	return fmt.Errorf("seed %d: %s\nrun it alone with TRIBUTARY_SEED=%d go test ./stream -run TestSimulation\n%s",
		s.seed, strings.Join(s.violations, "\n"), s.seed, strings.Join(history, "\n"))
}

// settled tells what is not yet as it has to be when nothing is wrong for long.
func (s *sim) settled() (problems []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := s.alive()
	shards, err := s.store.Shards(s.ctx)
	s.must(err)
	slices.SortFunc(shards, compareShards)
	for _, group := range []string{warehouseGroup, kinesisGroup} {
		held := map[string]int{}
		for _, shard := range shards {
			l, log := s.leases[simShard{group, shard}], s.log(shard)
			held[l.Owner]++
			sink := log.rows
			if group == kinesisGroup {
				sink = log.carried
			}
			// What was trimmed need not have come, if there is a limit to the backlog.
			if n := uint64(len(log.times)); (n > log.trimmed || s.backlog == 0 && s.replaced == 0) && (sink != n || n > 0 && l.Checkpoint != tributary.PositionOf(shard, n)) {
				problems = append(problems, fmt.Sprintf("I5: %s has %d of the %d entries of %s, the lease of %s says %s", group, sink, n, shard, orNobody(l.Owner), short(l.Checkpoint)))
			}
		}
		for _, n := range alive {
			if have := held[n.name]; have < len(shards)/len(alive) || have > (len(shards)+len(alive)-1)/len(alive) {
				problems = append(problems, fmt.Sprintf("%s has %d of the %d leases of %s, of %d nodes", n.name, have, len(shards), group, len(alive)))
			}
		}
	}
	for _, job := range []string{retentionGroup, workGroup} {
		if len(s.workers[job]) > 1 {
			problems = append(problems, fmt.Sprintf("%d nodes are in job %s", len(s.workers[job]), job))
		}
	}
	if retention := s.workers[retentionGroup]; len(retention) != 1 {
		problems = append(problems, fmt.Sprintf("%d nodes are in the job that never ends", len(retention)))
	}
	return problems
}

// abandoned lists the leases that dead nodes have.
func (s *sim) abandoned() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shards, err := s.store.Shards(s.ctx)
	s.must(err)
	for key, l := range s.leases {
		if key.group == tributary.NodesGroup || key.shard.Stream != 0 && !slices.Contains(shards, key.shard) {
			continue
		}
		if slices.ContainsFunc(s.nodes, func(n *simNode) bool { return n.name == l.Owner && n.crashed }) {
			list = append(list, fmt.Sprintf("%s of %s, of %s", key.shard, key.group, l.Owner))
		}
	}
	slices.Sort(list)
	return list
}

func (s *sim) require(when string, problems []string) {
	s.locked(func() {
		for _, p := range problems {
			s.violated("%s: %s", when, p)
		}
	})
}
