package move

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"tributary"
)

// Mover moves a store to another engine. Source and Target are required; the
// target was opened for a transfer and holds nothing, or what a move left there
// that was cut short.
type Mover struct {
	Source *Store
	Target Engine
	// From and To are what the stores are called in texts for people, and in
	// what a store that was given up says: no passwords.
	From, To string
	// Overwrite allows a target that was itself given up in an earlier move.
	Overwrite bool
	Log       *slog.Logger
	// Report is told how far the move is: when a step begins, and once a second.
	Report func(Progress)
	Now    func() time.Time

	// PageBytes is how much is read and written at once; 0: 1 MiB. Workers is how
	// many pages are written at the same time; 0: 4.
	PageBytes, Workers int
	// MostFrozen is how long writes are refused at most in one try to cut over,
	// the last steps aside, which take three writes of a state; 0: 4 s. Tries is
	// how many tries there are; 0: 5.
	MostFrozen time.Duration
	Tries      int

	patience time.Duration // with a store that does not tell its state; 0: 30 s
}

// Step is what a move is doing.
type Step string

// The steps of a move, in their order.
const (
	Copying   Step = "copy"
	Catching  Step = "catch up" // copying again what was written meanwhile
	Verifying Step = "verify"
	Cutting   Step = "cut over" // writes are refused
	Done      Step = "done"
)

// Progress tells how far a move is.
type Progress struct {
	Step  Step
	Kinds []KindProgress // those of which there is something
	Again int64          // items that were copied again
	// Frozen is how long writes were refused, in the last try.
	Frozen time.Duration
}

// KindProgress tells how much of a kind was copied, or in the step Verifying
// verified.
type KindProgress struct {
	Kind         tributary.ItemKind
	Items, Bytes int64
	Total        int64 // items, about; 0: not known
}

// run is a move under way.
type run struct {
	*Mover
	source  Engine
	journal *journal

	filling, filled, moved tributary.TransferState

	few      map[tributary.ItemKind]map[string]uint64 // hashes of what the target has
	restores []tributary.Restored                     // that the source went through
	began    map[tributary.Shard]ends                 // in the first round
	ends     map[tributary.Shard]ends
	marks    map[tributary.Shard]uint64 // entries up to this one were copied

	mu       sync.Mutex // guards progress and told
	progress Progress
	told     time.Time
}

// ends is where a shard's log began and ended in the last round. At the end there
// may be numbers that a restore left out.
type ends struct{ trimmed, last uint64 }

const (
	defaultPage   = 1 << 20
	defaultFrozen = 4 * time.Second
	most          = 1 << 30 // bytes: no bound
	mostNoted     = 100_000 // items in the journal before they are copied in between
	mostWorse     = 3       // rounds that are not shorter than those before
	shortRound    = 500 * time.Millisecond
)

// Run moves the store. When it returns nil, Source answers from the target.
// After an error the source goes on, except if it is not known whether it was
// given up, or the target did not take over: then neither takes writes, and
// running the move again, in this process or another, finishes it. It is safe to
// run a move again after whatever happened.
//
// Errors: Busy if the store is being moved already; Invalid if the stores are not a source and a target, Exists if the
// target holds data, Internal if the copy differs from the source, Busy if the
// source is written faster than it can be copied, Unavailable.
func (m *Mover) Run(ctx context.Context) error {
	if !m.Source.moved.TryLock() {
		return tributary.Errorf(tributary.Busy, "move store", "the store is being moved already")
	}
	defer m.Source.moved.Unlock()
	r := &run{Mover: m, source: m.Source.Engine()}
	finished, err := r.start(ctx)
	if finished || err != nil {
		return err
	}
	defer r.stop()
	if err := r.watch(ctx); err != nil {
		return err
	}
	if err := r.copyAll(ctx); err != nil {
		return err
	}
	r.step(Catching)
	if err := r.catchUp(ctx, nil); err != nil {
		return err
	}
	if err := r.verifyAll(ctx); err != nil {
		return err
	}
	return r.cutOver(ctx)
}

func (r *run) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}

func (r *run) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

func (r *run) pageBytes() int { return cmp.Or(r.PageBytes, defaultPage) }

// start brings both stores to the beginning, or finishes a move that was cut
// short between its last steps.
func (r *run) start(ctx context.Context) (finished bool, err error) {
	from, err := r.source.State(ctx)
	if err != nil {
		return false, err
	}
	to, err := r.Target.State(ctx)
	if err != nil {
		return false, err
	}
	if from.Phase == tributary.Moved {
		if finished, err := r.repair(ctx, from, to); finished || err != nil {
			return finished, err
		}
	} else if from.Phase != tributary.Ordinary {
		return false, tributary.Errorf(tributary.Invalid, "move store", "the source %s is itself being filled from %s: finish that move first", r.From, from.Peer)
	}
	if to.Phase == tributary.Ordinary && r.Target.ID() == r.source.ID() {
		return false, tributary.Errorf(tributary.Invalid, "move store", "source and target are the same store")
	}
	if to.Phase == tributary.Moved && !r.Overwrite {
		return false, tributary.Errorf(tributary.Exists, "move store", "the target %s holds what was moved to %s: name an empty store", r.To, to.Peer)
	}
	name, since := rand.Text(), tributary.MillisOf(r.now())
	r.filling = tributary.TransferState{Phase: tributary.Filling, Move: name, Peer: r.From, Since: since}
	r.filled, r.moved = r.filling, r.filling
	r.filled.Phase, r.moved.Phase, r.moved.Peer = tributary.Filled, tributary.Moved, r.To
	return false, r.Target.SetState(ctx, to, r.filling)
}

// repair goes on from where a move was cut short after its source was given up.
func (r *run) repair(ctx context.Context, from, to tributary.TransferState) (finished bool, err error) {
	switch same := to.Move == from.Move; {
	case same && to.Phase == tributary.Filled:
		r.log().Info("the move was cut short at its end, finishing it")
		if err := r.Target.SetState(ctx, to, tributary.TransferState{}); err != nil {
			return false, err
		}
	case same && to.Phase == tributary.Filling:
		// The target never held everything: the source was not to be given up.
		r.log().Info("the move was given up at its end, beginning again")
		return false, r.source.SetState(ctx, from, tributary.TransferState{})
	case to.Phase == tributary.Ordinary && r.Target.ID() == r.source.ID():
	default:
		return false, tributary.Errorf(tributary.Invalid, "move store", "the source %s was moved to %s, and the target %s is %s: name that store", r.From, from.Peer, r.To, to.Phase)
	}
	r.Source.change(newStage(r.Target, nil, nil))
	r.step(Done)
	return true, nil
}

// watch begins to note what is written, and waits for the writes that were not
// noted.
func (r *run) watch(ctx context.Context) error {
	r.journal = newJournal()
	r.few, r.marks = map[tributary.ItemKind]map[string]uint64{}, map[tributary.Shard]uint64{}
	return r.Source.change(newStage(r.source, r.journal, nil)).drained(ctx)
}

// stop ends a move that did not come to its end. Where nobody may write any
// more, nobody does.
func (r *run) stop() {
	if now := r.Source.now.Load(); now.store == r.source && now.refused == nil {
		r.Source.change(newStage(r.source, nil, nil))
	}
}

// step tells that another step begins.
func (r *run) step(s Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s == Verifying {
		for i := range r.progress.Kinds {
			k := &r.progress.Kinds[i]
			k.Total, k.Items, k.Bytes = max(k.Total, k.Items), 0, 0
		}
	}
	r.progress.Step = s
	r.log().Info("moving the store", "step", string(s))
	r.tell()
}

// tell reports the progress, which is locked.
func (r *run) tell() {
	r.told = time.Now()
	if r.Report != nil {
		p := r.progress
		p.Kinds = append([]KindProgress(nil), p.Kinds...)
		r.Report(p)
	}
}

// kind is the progress of a kind, which is locked.
func (r *run) kind(kind tributary.ItemKind) *KindProgress {
	for i := range r.progress.Kinds {
		if r.progress.Kinds[i].Kind == kind {
			return &r.progress.Kinds[i]
		}
	}
	r.progress.Kinds = append(r.progress.Kinds, KindProgress{Kind: kind})
	return &r.progress.Kinds[len(r.progress.Kinds)-1]
}

// count adds what was copied or verified.
func (r *run) count(items []tributary.Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range items {
		k := r.kind(items[i].Kind)
		k.Items++
		k.Bytes += int64(len(items[i].Key) + len(items[i].Value))
	}
	if time.Since(r.told) >= time.Second {
		r.tell()
	}
}

func (r *run) expect(kind tributary.ItemKind, more int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kind(kind).Total += more
}
