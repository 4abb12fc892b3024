package move_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/move"
	"tributary/store/storetest"
)

// faulty is an engine whose transfer fails as its hooks say.
type faulty struct {
	move.Engine
	power  *power
	mangle func([]tributary.Item) []tributary.Item // what is imported instead
	commit func()                                  // before each commit
	refuse bool                                    // to be given up
}

// power is that of the process: when it goes, every engine of it stands still.
type power struct {
	gone   atomic.Bool
	before func(op string) bool // tells whether it goes before a call
	after  func(op string) bool // or after it was heard
}

var errPower = tributary.Errorf(tributary.Unavailable, "test", "the power is gone")

func (p *power) call(op string, f func() error) error {
	if p.gone.Load() || p.before != nil && p.before(op) {
		p.gone.Store(true)
		return errPower
	}
	err := f()
	if p.after != nil && p.after(op) {
		p.gone.Store(true)
	}
	if p.gone.Load() {
		return errPower
	}
	return err
}

func (f *faulty) SetState(ctx context.Context, from, to tributary.TransferState) error {
	if f.refuse && to.Phase == tributary.Moved {
		return errPower
	}
	return f.power.call(to.Phase.String(), func() error { return f.Engine.SetState(ctx, from, to) })
}

func (f *faulty) State(ctx context.Context) (out tributary.TransferState, err error) {
	err = f.power.call("state", func() (err error) {
		out, err = f.Engine.State(ctx)
		return err
	})
	return out, err
}

func (f *faulty) Import(ctx context.Context, items []tributary.Item) error {
	if f.mangle != nil {
		items = f.mangle(items)
	}
	return f.power.call("import", func() error { return f.Engine.Import(ctx, items) })
}

func (f *faulty) Commit(ctx context.Context, c *tributary.Change) error {
	if f.commit != nil {
		f.commit()
	}
	return f.Engine.Commit(ctx, c)
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// small fills a store a little.
func small(t testing.TB, s tributary.Store) *world {
	w := newWorld(t, s)
	w.home()
	rnd := seeded()
	for n := range 5 {
		id := tributary.IdentityID(fmt.Sprint("w:", n))
		w.identity(id, tributary.Login{Provider: "q", User: fmt.Sprint("user", n)})
		for range 4 {
			w.sync(rnd, id, "d")
		}
	}
	w.device("w:1", "d0")
	w.streams(rnd, 3)
	return w
}

// TestRepair cuts the power before and after each step of the end, and in the
// middle: never do both stores take writes, and the move, run again, comes to
// its end with all that was acknowledged.
func TestRepair(t *testing.T) {
	type cut struct {
		op    string
		after bool
	}
	var cuts []cut
	for _, op := range []string{"filling", "import", "filled", "moved", "ordinary"} {
		cuts = append(cuts, cut{op, false}, cut{op, true})
	}
	for _, d := range directions(t) {
		for _, c := range cuts {
			from, to := d.from(t), d.to(t)
			t.Run(fmt.Sprintf("%s-%s/%s,%t", from.name, to.name, c.op, c.after), func(t *testing.T) {
				p := &power{}
				at := func(op string) bool { return op == c.op }
				if c.after {
					p.after = at
				} else {
					p.before = at
				}
				source, target := from.must(t), to.must(t)
				s := move.Wrap(&faulty{Engine: source, power: p})
				w := small(t, s)
				m := &move.Mover{Source: s, Target: &faulty{Engine: target, power: p}, From: from.name, To: to.name}
				m.Impatient()
				if err := m.Run(t.Context()); err == nil {
					t.Fatal("a move without power ended")
				}
				if err := source.Close(); err != nil {
					t.Fatal(err)
				}
				if err := target.Close(); err != nil {
					t.Fatal(err)
				}
				oneServes(t, from, to, source.ID())
				again := move.Wrap(from.must(t))
				if err := (&move.Mover{Source: again, Target: to.must(t), From: from.name, To: to.name}).Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.settled(again)
				w.s = w.books.Watch(again)
				w.sync(seeded(), "w:1", "d")
				w.settled(again)
				closedAndOpened(t, again, from, to)
			})
		}
	}
}

// oneServes opens both stores as a server does: the move's source, or its
// target, or neither, but not both.
func oneServes(t *testing.T, from, to *place, id string) {
	t.Helper()
	serve := 0
	for _, p := range []*place{from, to} {
		e, err := p.open(t, false)
		if err != nil {
			continue
		}
		if e.ID() == id {
			serve++
		}
		_ = e.Close()
	}
	if serve > 1 {
		t.Error("both stores serve")
	}
}

// TestVerify: whatever is copied wrong is found, and the source goes on.
func TestVerify(t *testing.T) {
	pg := pgPlace(pgtest.Start(t))
	for _, to := range []func(testing.TB) *place{pebblePlace, pg} {
		for _, kind := range tributary.ItemKinds() {
			for _, how := range []string{"Lost", "Old"} {
				place := to(t)
				t.Run(fmt.Sprintf("%s/%s/%s", place.name, kind, how), func(t *testing.T) {
					source := pebblePlace(t).must(t)
					s := move.Wrap(source)
					w := small(t, s)
					w.ok("put sealing key", w.s.PutSealingKey(t.Context(), tributary.SealingKey{ID: 1, Sealed: []byte("s")}))
					w.ok("put access key", w.s.PutAccessKey(t.Context(), tributary.AccessKey{ID: "key"}))
					_, err := w.s.SwapLease(t.Context(), tributary.Lease{Group: "g", Shard: tributary.Shard{Stream: 1}})
					w.ok("swap lease", err)
					target := &faulty{Engine: place.must(t), power: &power{}}
					target.mangle = func(items []tributary.Item) []tributary.Item { return mangle(t, items, kind, how) }
					err = (&move.Mover{Source: s, Target: target, From: "here", To: "there", Workers: 1}).Run(t.Context())
					if err == nil || tributary.KindOf(err) != tributary.Internal || !strings.Contains(err.Error(), "verify copy") {
						t.Fatal("the move gives", err)
					}
					if state, err := source.State(t.Context()); err != nil || state.Phase != tributary.Ordinary {
						t.Errorf("the source is %v, %v", state, err)
					}
					if !w.sync(seeded(), "w:1", "d") || s.Engine() != source {
						t.Error("the source does not go on")
					}
				})
			}
		}
	}
}

// mangle loses the last item of a kind, or gives it an older value.
func mangle(t *testing.T, items []tributary.Item, kind tributary.ItemKind, how string) []tributary.Item {
	var out []tributary.Item
	last := -1
	for i := range items {
		if items[i].Kind == kind && items[i].Value != nil {
			last = i
		}
	}
	for i, item := range items {
		switch {
		case i != last:
		case how == "Lost":
			continue
		default:
			item.Value = older(t, item)
		}
		out = append(out, item)
	}
	return out
}

// older is a value of an item's kind that is not the item's.
func older(t *testing.T, item tributary.Item) []byte {
	text := string(item.Value)
	switch item.Kind {
	case tributary.ItemStore:
		return append([]byte("1"), item.Value...)
	case tributary.ItemStream, tributary.ItemPool, tributary.ItemLease, tributary.ItemAccessKey, tributary.ItemSealingKey, tributary.ItemDevice:
		if out := strings.Replace(text, `"Revision":`, `"Revision":4`, 1); out != text {
			return []byte(out)
		}
		t.Fatalf("%s %s has no revision", item.Kind, text)
	case tributary.ItemShard: // closed, and trimmed
		return []byte{0, 1, 1}
	case tributary.ItemIdentity: // the revision, behind flags and the pool's length and id
		out := []byte(text)
		out[2+len(pool)]++
		return out
	}
	out := []byte(text)
	out[len(out)-1] ^= 1
	return out
}

// TestGiveUp: a cut-over that takes too long is given up, and writes go on; one
// that is under way when writes are to stop is waited for, and not lost.
func TestGiveUp(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	source := &faulty{Engine: pebblePlace(t).must(t), power: &power{}}
	s := move.Wrap(source)
	w := small(t, s)
	first := true
	source.commit = func() {
		if first {
			first = false
			close(held)
			<-hold
		}
	}
	done := make(chan bool)
	m := &move.Mover{Source: s, Target: pebblePlace(t).must(t), From: "here", To: "there", MostFrozen: 20 * time.Millisecond, Tries: 3}
	tries := 0
	m.Report = func(p move.Progress) {
		switch {
		case p.Step == move.Verifying: // from here on the write is under way
			go func() { done <- w.sync(seeded(), "w:1", "slow") }()
			<-held
		case p.Step == move.Cutting:
			tries++
		}
	}
	if err := m.Run(t.Context()); tributary.KindOf(err) != tributary.Busy || tries != 3 {
		t.Fatalf("after %d tries the move gives %v", tries, err)
	}
	if !w.sync(seeded(), "w:2", "d") {
		t.Fatal("writes do not go on")
	}
	if state, err := m.Target.State(t.Context()); err != nil || state.Phase != tributary.Filling {
		t.Errorf("the target is %+v, %v", state, err)
	}
	// The write still hangs, so that the second move waits for it before it begins.
	time.AfterFunc(50*time.Millisecond, func() { close(hold) })
	m.Report, m.MostFrozen = nil, 0
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !<-done {
		t.Error("the write that was under way was refused")
	}
	w.settled(s)
}

// TestRefused: what is no source and no target is told apart, and nothing is
// touched.
func TestRefused(t *testing.T) {
	run := func(source, target move.Engine) error {
		return (&move.Mover{Source: move.Wrap(source), Target: target, From: "here", To: "there"}).Run(t.Context())
	}
	one, full := pebblePlace(t).must(t), pebblePlace(t).must(t)
	small(t, one)
	small(t, full)
	if err := run(one, full); tributary.KindOf(err) != tributary.Exists {
		t.Errorf("into a store with data: %v", err)
	}
	if err := run(one, one); tributary.KindOf(err) != tributary.Invalid {
		t.Errorf("into itself: %v", err)
	}
	there := pebblePlace(t).must(t)
	if err := run(one, there); err != nil {
		t.Fatal(err)
	}
	if err := run(one, there); err != nil {
		t.Errorf("a move that has ended, again: %v", err)
	}
	if err := run(one, pebblePlace(t).must(t)); tributary.KindOf(err) != tributary.Invalid || !strings.Contains(err.Error(), "was moved to there") {
		t.Errorf("out of a store that was moved: %v", err)
	}
	if err := run(full, one); tributary.KindOf(err) != tributary.Exists {
		t.Errorf("over a store that was moved: %v", err)
	}
	if err := (&move.Mover{Source: move.Wrap(there), Target: one, Overwrite: true}).Run(t.Context()); err != nil {
		t.Errorf("back over the store that it came from: %v", err)
	}
}

// TestUnderWay: a write that is under way from before the rounds until writes
// are to stop is waited for, and copied when it has ended.
func TestUnderWay(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	source := &faulty{Engine: pebblePlace(t).must(t), power: &power{}}
	s := move.Wrap(source)
	w := small(t, s)
	source.commit = func() {
		once.Do(func() {
			close(held)
			<-hold
		})
	}
	done := make(chan bool)
	m := &move.Mover{Source: s, Target: pebblePlace(t).must(t)}
	m.Report = func(p move.Progress) {
		switch p.Step {
		case move.Verifying:
			go func() { done <- w.sync(seeded(), "w:1", "slow") }()
			<-held
		case move.Cutting:
			time.AfterFunc(20*time.Millisecond, func() { close(hold) })
		}
	}
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !<-done {
		t.Error("the write that was under way was refused")
	}
	w.settled(s)
}

// TestWait: who waits for an entry is woken by one that the new engine takes.
func TestWait(t *testing.T) {
	s := move.Wrap(pebblePlace(t).must(t))
	w := small(t, s)
	shard, _, err := mustFind(t, s, "w:1").Split()
	w.fatal(err)
	last := mustFind(t, s, "w:1")
	woken := make(chan error, 1)
	go func() { woken <- s.Wait(t.Context(), shard, last) }()
	w.fatal((&move.Mover{Source: s, Target: pebblePlace(t).must(t)}).Run(t.Context()))
	select {
	case err := <-woken:
		t.Fatal("woken without an entry:", err)
	case <-time.After(20 * time.Millisecond):
	}
	w.sync(seeded(), "w:1", "d")
	select {
	case err := <-woken:
		w.fatal(err)
	case <-time.After(10 * time.Second):
		t.Error("nobody woke it")
	}
}

// mustFind gives the end of the shard of an identity's changes.
func mustFind(t *testing.T, s tributary.Store, id tributary.IdentityID) tributary.Position {
	even := tributary.Stream{ID: tributary.DefaultStream, Shards: tributary.EvenShards(4)}
	shard, _ := even.ShardFor(tributary.HashOf(string(id)))
	at, err := s.Find(t.Context(), shard, tributary.Millis(1)<<60)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestSame: whatever is written in whichever step, both stores are the same
// item by item when the source was given up.
func TestSame(t *testing.T) {
	for _, d := range directions(t) {
		for _, at := range []move.Step{move.Copying, move.Verifying, move.Catching, move.Cutting} {
			from, to := d.from(t), d.to(t)
			t.Run(fmt.Sprintf("%s-%s/%s", from.name, to.name, at), func(t *testing.T) {
				source, target := from.must(t), to.must(t)
				s := move.Wrap(source)
				w := small(t, s)
				rnd, ctx := seeded(), t.Context()
				var key tributary.DatasetKey
				for _, id := range []tributary.IdentityID{"x:1", "x:2"} {
					w.identity(id, tributary.Login{Provider: "q", User: string(id)})
					key = tributary.DatasetKey{Pool: pool, Identity: id, Dataset: "d"}
					w.sync(rnd, id, "d")
					w.device(id, "goes with it")
					v, err := s.View(ctx, key, nil)
					w.fatal(err)
					if v.Dataset.Exists {
						w.ok("remove", w.s.Commit(ctx, v.Delete(tributary.Writer{ID: tributary.ChangeID(w.ids.Add(1) << 40), Now: 1})))
					}
				}
				named := func() tributary.Stream {
					st, err := w.s.PutStream(ctx, tributary.Stream{Name: "again", Kind: tributary.Embedded, Shards: tributary.EvenShards(2), Retention: time.Hour})
					w.fatal(err)
					for range 5 {
						_, err := w.s.Append(ctx, st.ID, []tributary.Entry{{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p", HashKey: tributary.HashOf("p"), Data: []byte("x")}}})
						w.fatal(err)
					}
					return st
				}
				named()
				done := false
				m := &move.Mover{Source: s, Target: target, Report: func(p move.Progress) {
					if p.Step != at || done {
						return
					}
					done = true
					w.fatal(w.s.DeleteIdentity(ctx, "x:1")) // with its marker
					w.fatal(w.s.DeleteStream(ctx, "again"))
					st := named()
					shard, _ := st.ShardFor(tributary.HashOf("p"))
					w.fatal(w.s.Trim(ctx, shard, tributary.PositionOf(shard, 3)))
					end := mustFind(t, s, "w:1")
					of, _, _ := end.Split()
					w.fatal(w.s.Trim(ctx, of, end))
					i, err := s.Identity(ctx, "x:2") // a login goes to another
					w.fatal(err)
					i.Logins = nil
					w.fatal(w.s.PutIdentity(ctx, i))
					w.identity("a:0", tributary.Login{Provider: "q", User: "x:2"})
					w.sync(rnd, "w:3", "d")
					w.device("w:1", "d0")
					w.device("x:2", "new")
					w.fatal(w.s.DeleteDevice(ctx, "x:2", "goes with it"))
					_, err = w.s.Append(ctx, st.ID, nil, tributary.Lease{Group: "marked", Shard: shard})
					w.fatal(err)
				}}
				w.fatal(m.Run(ctx))
				if !done {
					t.Fatal("nothing was written")
				}
				want, err := storetest.AllItems(ctx, source, 1<<20)
				w.fatal(err)
				have, err := storetest.AllItems(ctx, target, 1<<20)
				w.fatal(err)
				if len(want) != len(have) {
					t.Fatalf("%d items, %d items", len(want), len(have))
				}
				for i := range want {
					if want[i].Kind == tributary.ItemShard { // a database's are all closed when it was given up
						want[i].Value[0] = have[i].Value[0]
					}
					if want[i].Kind != have[i].Kind || want[i].Key != have[i].Key || string(want[i].Value) != string(have[i].Value) {
						t.Fatalf("%s %q is %q, want %s %q %q", have[i].Kind, have[i].Key, have[i].Value, want[i].Kind, want[i].Key, want[i].Value)
					}
				}
				shards, err := source.Shards(ctx)
				w.fatal(err)
				for _, shard := range shards {
					before, err := source.Read(ctx, shard, "", 1<<20)
					w.fatal(err)
					after, err := target.Read(ctx, shard, "", 1<<20)
					w.fatal(err)
					for i := range before {
						if before[i].Position != after[i].Position || before[i].Arrived != after[i].Arrived {
							t.Fatalf("entry %s of %d is %s of %d", before[i].Position, before[i].Arrived, after[i].Position, after[i].Arrived)
						}
					}
				}
			})
		}
	}
}

// TestNotGivenUp: a source that does not give up goes on, and its target is not
// taken for the whole any more.
func TestNotGivenUp(t *testing.T) {
	source := &faulty{Engine: pebblePlace(t).must(t), power: &power{}, refuse: true}
	s := move.Wrap(source)
	w := small(t, s)
	m := &move.Mover{Source: s, Target: pebblePlace(t).must(t)}
	if err := m.Run(t.Context()); err == nil {
		t.Fatal("the move ended")
	}
	if state, err := m.Target.State(t.Context()); err != nil || state.Phase != tributary.Filling {
		t.Errorf("the target is %+v, %v", state, err)
	}
	w.sync(seeded(), "w:1", "d")
	source.refuse = false
	w.fatal(m.Run(t.Context()))
	w.settled(s)
}
