package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary"
	"tributary/internal/enginetest"
	"tributary/stream"
)

const pool = tributary.PoolID("us-east-1:00000000-0000-4000-8000-000000000001")

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// world is a store with a service on top of it and a clock.
type world struct {
	*testing.T
	store   tributary.Store
	service *tributary.Service
	mu      sync.Mutex
	clock   time.Time
}

var developer = tributary.Principal{Account: "000000000000", AccessKey: "test"}

func newWorld(t *testing.T) *world { return newWorldOf(t, 4) }

// newWorldOf has so many shards in its default log.
func newWorldOf(t *testing.T, shards int) *world {
	w := &world{T: t, clock: time.Unix(1_790_000_000, 0)}
	s := enginetest.Open(t, enginetest.Config{Shards: shards, Now: w.now})
	sealer, err := tributary.NewSealer(make([]byte, tributary.MasterKeyLength))
	w.check(err)
	w.store, w.service = s, &tributary.Service{Store: s, Sealer: sealer, Now: w.now, Account: developer.Account}
	_, err = w.service.CreatePool(t.Context(), developer, tributary.Pool{ID: pool, Name: "test"})
	w.check(err)
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func identity(n int) tributary.IdentityID {
	return tributary.IdentityID(fmt.Sprintf("us-east-1:00000000-0000-4000-8000-%012x", n))
}

// write makes changes of identities, round by round.
func (w *world) write(identities, rounds int) {
	w.Helper()
	for n := range identities {
		if _, err := w.service.CreateIdentity(w.Context(), developer, tributary.Identity{ID: identity(n), Pool: pool}); err != nil && tributary.KindOf(err) != tributary.Exists {
			w.Fatal(err)
		}
	}
	for range rounds {
		for n := range identities {
			k := tributary.DatasetKey{Pool: pool, Identity: identity(n), Dataset: "d"}
			l, err := w.service.ListRecords(w.Context(), developer, k, tributary.ListQuery{})
			w.check(err)
			_, err = w.service.UpdateRecords(w.Context(), developer, k, tributary.Update{SessionToken: l.SessionToken,
				Patches: []tributary.Patch{{Key: "k", Value: "v", SyncCount: l.SyncCount}}})
			w.check(err)
		}
	}
}

// recorder is a sink that keeps what it is given, and fails as it is told.
type recorder struct {
	mu      sync.Mutex
	got     map[tributary.Shard][]tributary.Entry
	fail    func(call int) error // asked before a batch is taken
	lose    func(call int) error // asked after
	calls   int
	changed chan struct{}
}

func newRecorder() *recorder {
	return &recorder{got: map[tributary.Shard][]tributary.Entry{}, changed: make(chan struct{}, 1)}
}

func (r *recorder) Deliver(_ context.Context, l tributary.Lease, batch []tributary.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.fail != nil {
		if err := r.fail(r.calls); err != nil {
			return err
		}
	}
	r.got[l.Shard] = append(r.got[l.Shard], batch...)
	select {
	case r.changed <- struct{}{}:
	default:
	}
	if r.lose != nil {
		return r.lose(r.calls)
	}
	return nil
}

// distinct counts the entries, repeats left out, and checks their order.
func (r *recorder) distinct(t *testing.T) (entries, repeats int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for shard, list := range r.got {
		seen := map[tributary.Position]bool{}
		var last tributary.Position
		for _, e := range list {
			if seen[e.Position] {
				repeats++
				continue
			}
			if e.Position < last {
				t.Errorf("shard %s: %s was delivered for the first time after %s", shard, e.Position, last)
			}
			seen[e.Position], last = true, e.Position
			entries++
		}
	}
	return entries, repeats
}

// await waits until so many entries are there.
func (r *recorder) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		if have, _ := r.distinct(t); have >= n {
			return
		}
		select {
		case <-r.changed:
		case <-deadline:
			have, _ := r.distinct(t)
			t.Fatalf("%d entries were delivered, want %d", have, n)
		}
	}
}

func (w *world) pump(sink tributary.Sink) *stream.Pump {
	return &stream.Pump{Group: "test", Node: &stream.Node{Name: "one"}, Source: w.store, Leases: w.store, Sink: sink, Linger: time.Millisecond, Retry: time.Millisecond, Now: w.now}
}

// start runs a pump and gives a function that stops it.
func start(t *testing.T, p *stream.Pump) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestPump(t *testing.T) {
	t.Run("DeliversAll", func(t *testing.T) {
		w, r := newWorld(t), newRecorder()
		w.write(8, 2)
		stop := start(t, w.pump(r))
		r.await(t, 16)
		w.write(8, 3) // while it waits
		r.await(t, 40)
		stop()
		if n, repeats := r.distinct(t); n != 40 || repeats != 0 {
			t.Errorf("%d entries and %d repeats were delivered", n, repeats)
		}
	})
	t.Run("ResumesWhereItStopped", func(t *testing.T) {
		w, first, second := newWorld(t), newRecorder(), newRecorder()
		w.write(4, 2)
		stop := start(t, w.pump(first))
		first.await(t, 8)
		stop()
		w.write(4, 1)
		p := w.pump(second)
		p.Node = &stream.Node{Name: "two"} // the leases were given back
		start(t, p)
		second.await(t, 4)
		if n, _ := second.distinct(t); n != 4 {
			t.Errorf("%d entries were delivered to the second pump, want 4", n)
		}
	})
	t.Run("FindsNewStreams", func(t *testing.T) {
		w, r := newWorld(t), newRecorder()
		start(t, w.pump(r))
		w.write(2, 1)
		r.await(t, 2)
		_, err := w.service.CreateStream(t.Context(), developer, "s", 2, 0)
		w.check(err)
		_, err = w.service.ChangePool(t.Context(), developer, pool, func(p *tributary.Pool) error {
			return w.service.SetStream(t.Context(), p, "s", "", true)
		})
		w.check(err)
		w.write(2, 1)
		r.await(t, 4)
		w.check(w.service.DeleteStream(t.Context(), developer, "s"))
		w.write(2, 1)
		r.await(t, 6)
	})
}

func TestPumpFailures(t *testing.T) {
	boom := errors.New("boom")
	every := func(n int) func(int) error {
		return func(call int) error {
			if call%n != 0 {
				return boom
			}
			return nil
		}
	}
	for _, c := range []struct {
		name       string
		fail, lose func(int) error
		repeats    bool
	}{
		{"Refused", every(3), nil, false},
		{"TakenButToldFailed", nil, every(2), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r := newWorld(t), newRecorder()
			r.fail, r.lose = c.fail, c.lose
			w.write(8, 3)
			failures := make(chan error, 1000)
			p := w.pump(r)
			p.MaxBytes = 1 // an entry a batch
			p.Failed = func(_ tributary.Shard, err error) { failures <- err }
			stop := start(t, p)
			r.await(t, 24)
			stop()
			if n, repeats := r.distinct(t); n != 24 || repeats > 0 != c.repeats {
				t.Errorf("%d entries and %d repeats were delivered", n, repeats)
			}
			if err := <-failures; !errors.Is(err, boom) {
				t.Errorf("the failure was told as %v", err)
			}
		})
	}
}

// gated lets a pump deliver when the gate is open.
type gated struct {
	to      tributary.Sink
	arrived chan struct{} // a token for each batch that stands before the gate
	gate    chan struct{}
}

func (g *gated) Deliver(ctx context.Context, l tributary.Lease, batch []tributary.Entry) error {
	g.arrived <- struct{}{}
	<-g.gate
	return g.to.Deliver(ctx, l, batch)
}

func newGated(to tributary.Sink) *gated {
	return &gated{to: to, arrived: make(chan struct{}, 1000), gate: make(chan struct{})}
}

// TestPumpBatches: only so many batches are in memory at a time, and a shard
// that waits for entries is none of them.
func TestPumpBatches(t *testing.T) {
	w, r := newWorld(t), newRecorder()
	w.write(32, 2) // all shards of the default log
	sink := newGated(r)
	p := w.pump(sink)
	p.Batches = 2
	start(t, p)
	<-sink.arrived
	<-sink.arrived
	select {
	case <-sink.arrived:
		t.Error("a third batch was read")
	case <-time.After(200 * time.Millisecond):
	}
	close(sink.gate)
	r.await(t, 64)
	w.write(32, 1)
	r.await(t, 96)
}

// told is a log's text.
type told struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func (l *told) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (l *told) gaps() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, "entries were trimmed before the sink had them") {
			lines = append(lines, line)
		}
	}
	return lines
}

// keeping is a sink that keeps its own checkpoint.
type keeping struct{ *recorder }

func (k keeping) Checkpoint(_ context.Context, s tributary.Shard) (tributary.Position, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if got := k.got[s]; len(got) > 0 {
		return got[len(got)-1].Position, nil
	}
	return "", nil
}

// TestPumpGap: where entries were trimmed that the sink has not got it is told,
// once, and delivery goes on behind them.
func TestPumpGap(t *testing.T) {
	for name, keeps := range map[string]bool{"Lease": false, "Checkpointer": true} {
		t.Run(name, func(t *testing.T) {
			w, r, l := newWorld(t), newRecorder(), &told{changed: make(chan struct{}, 1)}
			w.write(1, 1)
			w.pass(time.Second)
			w.check((&stream.Retention{Store: w.store, Now: w.now}).Trim(t.Context()))
			r.fail = func(call int) error {
				if call <= 3 {
					return errors.New("boom")
				}
				return nil
			}
			p := w.pump(r)
			if keeps {
				p.Sink = keeping{r}
			}
			p.Log = slog.New(slog.NewTextHandler(l, nil))
			start(t, p)
			for len(l.gaps()) == 0 { // before anything new arrives
				<-l.changed
			}
			w.write(1, 2)
			r.await(t, 2)
			gaps := l.gaps()
			if len(gaps) != 1 {
				t.Fatalf("told %d times: %q", len(gaps), gaps)
			}
			for _, want := range []string{"level=ERROR", "group=test", "shard=1/", `checkpoint=""`, "horizon=49", "it goes on without them"} {
				if !strings.Contains(gaps[0], want) {
					t.Errorf("%s is missing: %s", want, gaps[0])
				}
			}
		})
	}
}

// TestPumpCheckpoint: a sink that has less than its lease says, as a warehouse
// that was moved away, gets the rest, and nothing of it is trimmed before.
func TestPumpCheckpoint(t *testing.T) {
	w, first, second := newWorld(t), newRecorder(), newRecorder()
	w.write(1, 3)
	stop := start(t, w.pump(first))
	first.await(t, 3)
	stop()
	stuck := newGated(second)
	p := w.pump(struct {
		*gated
		tributary.Checkpointer
	}{stuck, keeping{second}})
	start(t, p)
	<-stuck.arrived
	w.pass(time.Minute)
	w.check((&stream.Retention{Store: w.store, Groups: []string{"test"}, Now: w.now}).Trim(t.Context()))
	leases, err := w.store.Leases(t.Context(), "test")
	w.check(err)
	for _, l := range leases {
		if horizon, err := w.store.Find(t.Context(), l.Shard, 0); err != nil || l.Checkpoint != "" || horizon != tributary.PositionOf(l.Shard, 0) {
			t.Errorf("shard %s: checkpoint %q, horizon %s, %v", l.Shard, l.Checkpoint, horizon, err)
		}
	}
	close(stuck.gate)
	second.await(t, 3)
}
