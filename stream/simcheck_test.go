package stream_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tributary"
)

const (
	warehouseGroup = "warehouse"
	kinesisGroup   = "kinesis"
	retentionGroup = "retention"
	workGroup      = "work"
)

// simLog is what a simulation knows of a shard's log and of what was made of it.
type simLog struct {
	times   []time.Time // when each entry was written
	trimmed uint64
	// The warehouse keeps rows, checkpoint and fence in one place.
	loaded  uint64 // its checkpoint
	rows    uint64 // the last row
	epoch   int64  // the highest it has seen
	before  uint64 // the checkpoint of the warehouse that was replaced
	carried uint64 // what the sink without a checkpoint has at least once
}

// violated notes that an invariant does not hold. The caller holds mu.
func (s *sim) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.note("VIOLATED: %s", text)
	if len(s.violations) < 10 {
		s.violations = append(s.violations, text)
	}
}

func (s *sim) log(shard tributary.Shard) *simLog {
	l := s.logs[shard]
	if l == nil {
		l = &simLog{}
		s.logs[shard] = l
	}
	return l
}

// checkLogs takes in what was written since it was last called, and holds it
// to I4. The caller holds mu.
func (s *sim) checkLogs() {
	shards, err := s.store.Shards(s.ctx)
	s.must(err)
	slices.SortFunc(shards, compareShards)
	for _, shard := range shards {
		l := s.log(shard)
		have := uint64(len(l.times))
		entries, err := s.store.Read(s.ctx, shard, tributary.PositionOf(shard, have), 1<<30)
		s.must(err)
		for i := range entries {
			e := &entries[i]
			if have++; e.Position != tributary.PositionOf(shard, have) {
				s.violated("I4: shard %s: entry %d is at %s", shard, have, e.Position)
			}
			l.times = append(l.times, time.Now())
			s.checkEntry(shard, e)
		}
	}
}

func (s *sim) checkEntry(shard tributary.Shard, e *tributary.Entry) {
	st := tributary.Stream{ID: tributary.DefaultStream, Shards: tributary.EvenShards(s.store.DefaultShards)}
	for _, named := range s.streams {
		if named.ID == shard.Stream {
			st = named
		}
	}
	hash := tributary.HashOf(e.PartitionKey())
	if e.Kind == tributary.EntryForeign {
		hash = e.Foreign.HashKey
	}
	if open, ok := st.ShardFor(hash); !ok || open != shard {
		s.violated("I4: %s is in shard %s, the open one is %s", e.PartitionKey(), shard, open)
	}
	if e.Kind != tributary.EntryChange {
		return
	}
	if e.Change.SyncCount <= s.counts[e.Change.Key] {
		s.violated("I4: %s goes from sync count %d to %d at %s", e.Change.Key, s.counts[e.Change.Key], e.Change.SyncCount, e.Position)
	}
	s.counts[e.Change.Key] = e.Change.SyncCount
	if at := s.routes[e.Change.Key.Pool]; at != shard.Stream {
		s.violated("I4: %s was written to stream %d, its pool goes to %d", e.Change.Key, shard.Stream, at)
	}
}

// checkTrim: nothing goes that a sink has not got. The caller holds mu.
func (s *sim) checkTrim(n *simNode, shard tributary.Shard, through tributary.Position) {
	if s.isDeleted(shard.Stream) {
		return // the store refuses it
	}
	l := s.logs[shard]
	_, last, err := through.Split()
	if l == nil || err != nil || last > uint64(len(l.times)) {
		s.violated("I5: %s trims %s through %s", n.name, shard, through)
		return
	}
	if _, exists := s.epochs[simShard{warehouseGroup, shard}]; !exists && last > 0 && s.backlog == 0 {
		s.violated("I5: %s trims %s before any pump took it", n.name, shard)
	}
	has := min(max(l.loaded, l.before), l.carried)
	// The last is the youngest.
	if last > has && (s.backlog == 0 || time.Since(l.times[last-1]) < s.backlog) {
		s.violated("I5: %s trims %s through %d, the sinks have %d", n.name, shard, last, has)
	}
	l.trimmed = max(l.trimmed, last)
}

// isDeleted tells whether a stream was deleted. The caller holds mu.
func (s *sim) isDeleted(id tributary.StreamID) bool {
	for _, st := range s.streams {
		if st.ID == id {
			return false
		}
	}
	return id > tributary.DefaultStream
}

// checkSwap: a lease has one holder, who took it from nobody that is alive. The
// caller holds mu.
func (s *sim) checkSwap(n *simNode, got tributary.Lease, began time.Time, sure bool) {
	key := simShard{got.Group, got.Shard}
	had := s.leases[key]
	s.leases[key] = got
	if got.Group == tributary.NodesGroup {
		switch {
		case got.Owner == n.name:
			n.writes = append(n.writes, time.Now())
		case had.Owner == n.name:
			n.left = true
		}
		if had.Owner != n.name {
			s.places = max(s.places, int(got.Shard.Number)+1)
			s.note("%s has place %d, before %q", n.name, got.Shard.Number, had.Owner)
			s.checkDeath(n, &had, began)
		}
		return
	}
	if s.isDeleted(got.Shard.Stream) {
		return // a lease of a stream that is gone
	}
	if got.Epoch == had.Epoch {
		if had.Owner != n.name {
			s.violated("%s writes the lease of %s for %s, which is %q's", n.name, got.Shard, got.Group, had.Owner)
		}
		if got.Checkpoint != had.Checkpoint && got.Owner == n.name && len(got.Checkpoint) > 0 {
			return
		}
		s.note("%s has lease %s %s, checkpoint %s", orNobody(got.Owner), got.Group, got.Shard, short(got.Checkpoint))
		return
	}
	s.note("%s takes %s %s with epoch %d, before %q", n.name, got.Group, got.Shard, got.Epoch, had.Owner)
	if got.Epoch != had.Epoch+1 || got.Epoch <= s.epochs[key] || got.Owner != n.name {
		s.violated("%s took %s for %s with epoch %d for %q, the highest was %d", n.name, got.Shard, got.Group, got.Epoch, got.Owner, s.epochs[key])
	}
	s.epochs[key] = got.Epoch
	if !sure {
		s.violated("%s takes %s for %s, and is not sure that others take it for alive", n.name, got.Shard, got.Group)
	}
	s.checkDeath(n, &had, began)
}

func orNobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}

func short(p tributary.Position) string {
	if _, n, err := p.Split(); err == nil {
		return fmt.Sprint(n)
	}
	return string(p)
}

// checkDeath: what is taken from a node is taken when it was silent for long
// enough. What the taker knows may be as old as its own last proof of life.
func (s *sim) checkDeath(n *simNode, had *tributary.Lease, at time.Time) {
	if had.Owner == "" || had.Owner == n.name {
		return
	}
	s.robbed++
	i := slices.IndexFunc(s.nodes, func(o *simNode) bool { return o.name == had.Owner })
	owner := s.nodes[i]
	if owner.left {
		return
	}
	next, longest := at, time.Duration(0)
	for _, written := range slices.Backward(owner.writes) {
		if next.Before(at.Add(-tributary.LeaseTime)) {
			break
		}
		if written.Before(next) {
			longest = max(longest, s.silence(written, next))
			next = written
		}
	}
	// A look that takes long counts up to a second too much.
	if longest < tributary.LeaseTime-time.Second {
		s.violated("%s takes a lease of %s, whose silence was %s", n.name, had.Owner, longest)
	}
}

// silence is how long nothing was heard while it could have been. A node that
// sleeps may count 2 seconds of it.
func (s *sim) silence(from, to time.Time) time.Duration {
	d := to.Sub(from)
	for _, o := range s.outages {
		lost := earlier(to, o.to).Sub(later(from, o.from))
		if lost > 0 {
			d -= lost - min(lost, 2*time.Second)
		}
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// span is from when to when all nodes had no store, or slept.
type span struct {
	from, to time.Time
	how      how
}

// enter and leave tell that a node works in a job.
func (s *sim) enter(n *simNode, job string) {
	s.locked(func() {
		if !n.sure() {
			s.violated("%s begins job %s, and is not sure that others take it for alive", n.name, job)
		}
		s.note("%s works in %s", n.name, job)
		s.workers[job] = append(s.workers[job], n)
		s.checkJobs()
	})
}

func (s *sim) leave(n *simNode, job string) {
	s.locked(func() {
		s.checkJobs()
		s.note("%s works in %s no more", n.name, job)
		s.workers[job] = slices.DeleteFunc(s.workers[job], func(o *simNode) bool { return o == n })
		s.checkJobs()
	})
}

// overlap is for how long two nodes may be in one job: what wakes needs to see
// that it was taken for dead.
const overlap = 1100 * time.Millisecond

// checkJobs: no two nodes that are awake are in one job for long. The caller
// holds mu.
func (s *sim) checkJobs() {
	for _, job := range []string{retentionGroup, workGroup} {
		now, awake := time.Now(), []string{}
		for _, n := range s.workers[job] {
			if !n.crashed && !now.Before(n.paused) {
				awake = append(awake, n.name)
			}
		}
		since := s.together[job]
		switch {
		case len(awake) < 2:
			s.together[job] = time.Time{}
		case since.IsZero():
			s.together[job] = now
			s.note("%s are all in %s", awake, job)
		case now.Sub(since) > overlap:
			s.violated("%s are all in job %s for %s", awake, job, now.Sub(since))
			s.together[job] = now
		}
	}
}

// rested tells that a node sleeps or is dead. The caller holds mu.
func (s *sim) rested(n *simNode) {
	for job, all := range s.workers {
		if slices.Contains(all, n) {
			s.together[job] = time.Time{}
		}
	}
}

// batch is a batch's first and last count, after a look whether it is whole.
func (s *sim) batch(n *simNode, l *tributary.Lease, entries []tributary.Entry) (first, last uint64) {
	for i := range entries {
		shard, at, err := entries[i].Position.Split()
		if i == 0 {
			first, last = at, at-1
		}
		if last++; err != nil || shard != l.Shard || at != last {
			s.violated("I5: %s delivers %s at place %d of a batch of %s from %d on", n.name, entries[i].Position, i, l.Shard, first)
		}
	}
	return first, last
}

// gap tells whether a sink may miss what is between what it has and what comes.
func (s *sim) gap(l *simLog, has, first uint64) bool {
	return first > has+1 && (first > l.trimmed+1 || s.backlog == 0 && s.replaced == 0)
}

// simKinesis is a sink without a checkpoint or a fence of its own.
type simKinesis struct{ n *simNode }

func (k simKinesis) Deliver(ctx context.Context, l tributary.Lease, entries []tributary.Entry) error {
	s := k.n.sim
	return k.n.call(ctx, request{op: "Deliver", way: toSinks, group: kinesisGroup, shard: l.Shard}, func() error {
		log := s.log(l.Shard)
		first, last := s.batch(k.n, &l, entries)
		if s.gap(log, log.carried, first) {
			s.violated("I5: kinesis has %d of %s, %s delivers from %d on", log.carried, l.Shard, k.n.name, first)
		}
		log.carried = max(log.carried, last)
		return nil
	})
}

// simWarehouse keeps rows and checkpoint in one transaction, which the epoch of
// the lease fences.
type simWarehouse struct{ n *simNode }

func (w simWarehouse) Checkpoint(ctx context.Context, shard tributary.Shard) (tributary.Position, error) {
	return ask(ctx, w.n, request{op: "Checkpoint", way: toSinks, group: warehouseGroup, shard: shard}, func() (tributary.Position, error) {
		w.n.opened[shard] = w.n.sim.replaced
		if have := w.n.sim.log(shard).loaded; have > 0 {
			return tributary.PositionOf(shard, have), nil
		}
		return "", nil
	})
}

// Deliver is a transaction, which reads the checkpoint at its beginning and
// writes rows after it at its end. What is between the two is up to the fence.
func (w simWarehouse) Deliver(ctx context.Context, l tributary.Lease, entries []tributary.Entry) error {
	s, r := w.n.sim, request{op: "Deliver", way: toSinks, group: warehouseGroup, shard: l.Shard}
	enter := func(log *simLog) error {
		if w.n.opened[l.Shard] != s.replaced {
			w.n.opened[l.Shard] = s.replaced
			return gone("the connection broke")
		}
		if l.Epoch < log.epoch && !s.unfenced {
			return tributary.Errorf(tributary.Stale, "load", "the lease's epoch %d has passed, it is %d", l.Epoch, log.epoch)
		}
		log.epoch = max(log.epoch, l.Epoch)
		return nil
	}
	has, err := ask(ctx, w.n, r, func() (uint64, error) {
		log := s.log(l.Shard)
		return log.loaded, enter(log)
	})
	if err != nil {
		return err
	}
	r.op = "Commit"
	return w.n.call(ctx, r, func() error {
		log := s.log(l.Shard)
		if err := enter(log); err != nil {
			return err
		}
		first, last := s.batch(w.n, &l, entries)
		if last <= has {
			return nil // all of it again
		}
		first = max(first, has+1)
		if first <= log.rows {
			s.violated("I5: %s puts rows %d to %d of %s in the warehouse, which has %d", w.n.name, first, last, l.Shard, log.rows)
		}
		if s.gap(log, log.rows, first) {
			s.violated("I5: the warehouse has %d of %s, %s delivers from %d on", log.rows, l.Shard, w.n.name, first)
		}
		log.rows, log.loaded = last, last
		return nil
	})
}
