package pebblestore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tributary"
	"tributary/store/pebblestore"
)

const (
	pool = tributary.PoolID("us-east-1:00000000-0000-4000-8000-000000000001")
	user = tributary.IdentityID("us-east-1:00000000-0000-4000-8000-000000000002")
)

var notes = tributary.DatasetKey{Pool: pool, Identity: user, Dataset: "notes"}

// populate makes a pool with one identity.
func populate(t testing.TB, s tributary.Store) {
	t.Helper()
	if err := s.PutPool(t.Context(), tributary.Pool{ID: pool, Name: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutIdentity(t.Context(), tributary.Identity{ID: user, Pool: pool}); err != nil {
		t.Fatal(err)
	}
}

// change computes a change of one record.
func change(t testing.TB, s tributary.Store, id tributary.ChangeID, value string) *tributary.Change {
	t.Helper()
	v, err := s.View(t.Context(), notes, []string{"k"})
	if err != nil {
		t.Fatal(err)
	}
	patch := tributary.Patch{Key: "k", Value: value, SyncCount: v.Dataset.SyncCount}
	c, err := v.Apply([]tributary.Patch{patch}, tributary.Writer{ID: id, By: "test", Now: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// gate holds back or fails operations on files of a kind.
type gate struct {
	suffix  string
	mu      sync.Mutex
	closed  chan struct{} // what syncs wait for; nil: they need not
	arrived chan struct{} // has room for one: a sync waits
	err     error
}

func (g *gate) MaybeError(op errorfs.Op) error {
	if !strings.Contains(op.Path, g.suffix) || op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	g.mu.Lock()
	closed, arrived, err := g.closed, g.arrived, g.err
	g.mu.Unlock()
	if closed != nil && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) {
		select {
		case arrived <- struct{}{}:
		default:
		}
		<-closed
		g.mu.Lock()
		defer g.mu.Unlock()
		err = g.err // which may have come meanwhile
	}
	return err
}

func (g *gate) String() string { return "gate" }

// hold holds syncs back until release, and tells when one has arrived.
func (g *gate) hold() (arrived <-chan struct{}, release func()) {
	c := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.arrived = c, make(chan struct{}, 1)
	return g.arrived, sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closed = nil
		close(c)
	})
}

func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

// reads are the calls that would show a change of notes above the position, or wait for it.
func reads(s tributary.Store, above tributary.Position, shard tributary.Shard) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"View": func(ctx context.Context) error { _, err := s.View(ctx, notes, nil); return err },
		"Records": func(ctx context.Context) error {
			_, err := s.Records(ctx, notes, tributary.Range{Through: 1 << 60})
			return err
		},
		"Datasets": func(ctx context.Context) error { _, err := s.Datasets(ctx, user, "", 10); return err },
		"Snapshots": func(ctx context.Context) error {
			_, err := s.Snapshots(ctx, pool, tributary.DatasetKey{}, 1<<20)
			return err
		},
		"Identity":  func(ctx context.Context) error { _, err := s.Identity(ctx, user); return err },
		"PoolUsage": func(ctx context.Context) error { _, err := s.PoolUsage(ctx, pool); return err },
		"Wait":      func(ctx context.Context) error { return s.Wait(ctx, shard, above) },
	}
}

// TestWatermark holds the disk back while a change is committed: nothing may
// show it before the disk has it (invariant I3).
func TestWatermark(t *testing.T) {
	if shown := freshChangeShown(t, pebblestore.Config{}); len(shown) > 0 {
		t.Errorf("shown before it was durable: %v", shown)
	}
}

// TestWatermarkCanFail shows that the test above notices a store that moves
// the watermark early.
func TestWatermarkCanFail(t *testing.T) {
	if shown := freshChangeShown(t, pebblestore.Broken(pebblestore.Config{}, pebblestore.EarlyWatermark)); len(shown) < 7 {
		t.Errorf("a store that shows changes early was caught by %v only", shown)
	}
}

func freshChangeShown(t *testing.T, c pebblestore.Config) (shown []string) {
	g := &gate{suffix: ".log"}
	c.Dir, c.FS = "store", errorfs.Wrap(vfs.NewMem(), g)
	s := closed(t, c)
	populate(t, s)
	if err := s.Commit(t.Context(), change(t, s, 1, "first")); err != nil {
		t.Fatal(err)
	}
	shard, tail := shardOf(t, s)
	second := change(t, s, 2, "second")
	arrived, release := g.hold()
	defer release()
	committed := make(chan error, 1)
	go func() { committed <- s.Commit(context.WithoutCancel(t.Context()), second) }()
	<-arrived
	for name, read := range reads(s, tail, shard) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if read(ctx) == nil {
			shown = append(shown, name)
		}
		cancel()
	}
	if entries, err := s.Read(t.Context(), shard, tail, 1<<20); err != nil || len(entries) > 0 {
		shown = append(shown, "Read")
	}
	select {
	case err := <-committed:
		t.Errorf("the change was acknowledged before it was durable: %v", err)
	default:
	}
	release()
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	for name, read := range reads(s, tail, shard) {
		if err := read(t.Context()); err != nil {
			t.Errorf("%s after the sync: %v", name, err)
		}
	}
	return shown
}

// shardOf gives the shard of the user's changes and its last position.
func shardOf(t testing.TB, s tributary.Store) (tributary.Shard, tributary.Position) {
	t.Helper()
	shards, err := s.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range shards {
		at, err := s.Find(t.Context(), shard, 1<<60)
		if err != nil {
			t.Fatal(err)
		}
		if _, n, _ := at.Split(); n > 0 {
			return shard, at
		}
	}
	t.Fatal("no shard has an entry")
	return tributary.Shard{}, ""
}

// TestPoison fails the log's disk: from then on everything is refused, nothing
// of the failed write is ever shown, and a reopened store is as it was.
func TestPoison(t *testing.T) {
	g := &gate{suffix: ".log"}
	mem := vfs.NewCrashableMem()
	failed := make(chan error, 1)
	s := open(t, pebblestore.Config{Dir: "store", FS: errorfs.Wrap(mem, g), Failed: func(err error) { failed <- err }})
	populate(t, s)
	if err := s.Commit(t.Context(), change(t, s, 1, "first")); err != nil {
		t.Fatal(err)
	}
	shard, tail := shardOf(t, s)
	g.fail(errors.New("the disk is broken"))
	second := change(t, s, 2, "second")
	if err := s.Commit(t.Context(), second); tributary.KindOf(err) != tributary.Unavailable {
		t.Fatalf("commit on a broken disk: %v", err)
	}
	if err := <-failed; !strings.Contains(err.Error(), "broken") {
		t.Errorf("the failure was told as %v", err)
	}
	g.fail(nil) // a disk that works again does not help
	for name, read := range reads(s, tail, shard) {
		if err := read(t.Context()); tributary.KindOf(err) != tributary.Unavailable {
			t.Errorf("%s after the failure: %v", name, err)
		}
	}
	if err := s.Commit(t.Context(), second); tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("commit after the failure: %v", err)
	}
	if err := s.Ready(t.Context()); tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("ready after the failure: %v", err)
	}
	_ = s.Close() // returns, whatever it tells
	again := closed(t, pebblestore.Config{Dir: "store", FS: mem.CrashClone(vfs.CrashCloneCfg{})})
	v, err := again.View(t.Context(), notes, nil)
	if err != nil || v.Dataset.SyncCount != 1 {
		t.Errorf("the reopened store has sync count %d, %v", v.Dataset.SyncCount, err)
	}
}

// TestHeldBack holds the disk back under writes that are not changes: who reads
// what they write waits for the disk, and if that fails is not shown it.
func TestHeldBack(t *testing.T) {
	login := tributary.Login{Provider: "p", User: "u"}
	for name, c := range map[string]struct {
		write, read func(ctx context.Context, s tributary.Store) error
	}{
		"Device": {func(ctx context.Context, s tributary.Store) error {
			return s.PutDevice(ctx, tributary.Device{Identity: user, ID: "d"})
		}, func(ctx context.Context, s tributary.Store) error {
			_, err := s.Device(ctx, user, "d")
			return err
		}},
		"Devices": {func(ctx context.Context, s tributary.Store) error {
			return s.PutDevice(ctx, tributary.Device{Identity: user, ID: "d"})
		}, func(ctx context.Context, s tributary.Store) error {
			list, err := s.Devices(ctx, user)
			return some(list, err)
		}},
		"Mark": {func(ctx context.Context, s tributary.Store) error {
			e := tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p"}}
			_, err := s.Append(ctx, tributary.DefaultStream, []tributary.Entry{e}, tributary.Lease{Group: "g"})
			return err
		}, func(ctx context.Context, s tributary.Store) error {
			list, err := s.Leases(ctx, "g")
			return some(list, err)
		}},
		"AccessKey": {func(ctx context.Context, s tributary.Store) error {
			return s.PutAccessKey(ctx, tributary.AccessKey{ID: "AK"})
		}, func(ctx context.Context, s tributary.Store) error {
			_, err := s.AccessKey(ctx, "AK")
			return err
		}},
		"SealingKeys": {func(ctx context.Context, s tributary.Store) error {
			return s.PutSealingKey(ctx, tributary.SealingKey{ID: 1})
		}, func(ctx context.Context, s tributary.Store) error {
			list, err := s.SealingKeys(ctx)
			return some(list, err)
		}},
		"Login": {func(ctx context.Context, s tributary.Store) error {
			return s.PutIdentity(ctx, tributary.Identity{ID: "us-east-1:9", Pool: pool, Logins: []tributary.Login{login}})
		}, func(ctx context.Context, s tributary.Store) error {
			_, err := s.FindLogin(ctx, pool, login)
			return err
		}},
	} {
		for _, broken := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, broken), func(t *testing.T) { heldBack(t, broken, c.write, c.read) })
		}
	}
}

// some gives an error if a list is empty.
func some[T any](list []T, err error) error {
	if err == nil && len(list) == 0 {
		err = errors.New("nothing is there")
	}
	return err
}

func heldBack(t *testing.T, broken bool, write, read func(context.Context, tributary.Store) error) {
	g := &gate{suffix: ".log"}
	s := closed(t, pebblestore.Config{Dir: "store", FS: errorfs.Wrap(vfs.NewMem(), g)})
	populate(t, s)
	arrived, release := g.hold()
	defer release()
	written, seen := make(chan error, 1), make(chan error, 1)
	go func() { written <- write(t.Context(), s) }()
	<-arrived
	go func() { seen <- read(t.Context(), s) }()
	select {
	case err := <-seen:
		t.Fatalf("before it was durable the read gives %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if broken {
		g.fail(errors.New("the disk is broken"))
	}
	release()
	for what, err := range map[string]error{"write": <-written, "read": <-seen} {
		if (err != nil) != broken || broken && tributary.KindOf(err) != tributary.Unavailable {
			t.Errorf("the %s gives %v", what, err)
		}
	}
}

// TestPoisonByOtherWrites fails the log's disk under a write that is not a
// Change.
func TestPoisonByOtherWrites(t *testing.T) {
	for name, write := range map[string]func(tributary.Store) error{
		"PutPool": func(s tributary.Store) error {
			return s.PutPool(t.Context(), tributary.Pool{ID: pool, Revision: 1, Name: "test"})
		},
		"PutIdentity": func(s tributary.Store) error {
			return s.PutIdentity(t.Context(), tributary.Identity{ID: user, Pool: pool, Revision: 1})
		},
		"SwapLease": func(s tributary.Store) error {
			_, err := s.SwapLease(t.Context(), tributary.Lease{Group: "g"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gate{suffix: ".log"}
			s := open(t, pebblestore.Config{Dir: "store", FS: errorfs.Wrap(vfs.NewMem(), g)})
			populate(t, s)
			g.fail(errors.New("the disk is broken"))
			if err := write(s); tributary.KindOf(err) != tributary.Unavailable {
				t.Errorf("on a broken disk: %v", err)
			}
			if err := s.Ready(t.Context()); tributary.KindOf(err) != tributary.Unavailable {
				t.Errorf("ready after the failure: %v", err)
			}
			_ = s.Close() // returns, whatever it tells
		})
	}
}

// TestBrokenManifest fails the file in which Pebble keeps its tables: the
// store tells so, and what was acknowledged is there after a restart.
func TestBrokenManifest(t *testing.T) {
	g := &gate{suffix: "MANIFEST"}
	mem := vfs.NewCrashableMem()
	failed := make(chan error, 1)
	s := open(t, pebblestore.Config{Dir: "store", FS: errorfs.Wrap(mem, g), MemTableSize: 256 << 10, Failed: func(err error) { failed <- err }})
	populate(t, s)
	g.fail(errors.New("the disk is broken"))
	acked := int64(0)
	for id := tributary.ChangeID(1); ; id++ {
		done := make(chan error, 1) // Pebble may never answer
		go func() {
			v, err := s.View(context.WithoutCancel(t.Context()), notes, []string{"k"})
			if err == nil {
				var c *tributary.Change
				patch := tributary.Patch{Key: "k", Value: strings.Repeat("x", 100_000), SyncCount: v.Dataset.SyncCount}
				if c, err = v.Apply([]tributary.Patch{patch}, tributary.Writer{ID: id, By: "test", Now: 1}); err == nil {
					err = s.Commit(context.WithoutCancel(t.Context()), c)
				}
			}
			done <- err
		}()
		var err error
		select {
		case err = <-done:
		case err = <-failed:
			failed <- err
		}
		if err != nil {
			break
		}
		acked++
	}
	if err := <-failed; err == nil || acked == 0 {
		t.Errorf("failure %v after %d acknowledged changes", err, acked)
	}
	again := closed(t, pebblestore.Config{Dir: "store", FS: mem.CrashClone(vfs.CrashCloneCfg{})})
	v, err := again.View(t.Context(), notes, nil)
	if err != nil || v.Dataset.SyncCount < acked {
		t.Errorf("the reopened store has sync count %d, acknowledged were %d, %v", v.Dataset.SyncCount, acked, err)
	}
}

// smallDisk says how much is free.
type smallDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load()}, nil
}

// TestFullDisk refuses writes before the disk is full, and goes on reading,
// deleting and trimming.
func TestFullDisk(t *testing.T) {
	disk := &smallDisk{FS: vfs.NewMem()}
	disk.free.Store(1 << 30)
	now := time.Unix(1_790_000_000, 0)
	s := closed(t, pebblestore.Config{Dir: "store", FS: disk, MinFree: 1 << 20, Now: func() time.Time { return now }})
	populate(t, s)
	if err := s.Commit(t.Context(), change(t, s, 1, "first")); err != nil {
		t.Fatal(err)
	}
	shard, tail := shardOf(t, s)
	disk.free.Store(1 << 10)
	now = now.Add(2 * time.Second)
	second := change(t, s, 2, "second")
	refused := map[string]error{
		"Commit":      s.Commit(t.Context(), second),
		"PutPool":     s.PutPool(t.Context(), tributary.Pool{ID: pool, Revision: 1, Name: "test"}),
		"PutIdentity": s.PutIdentity(t.Context(), tributary.Identity{ID: user, Pool: pool, Revision: 2}),
		"Ready":       s.Ready(t.Context()),
	}
	for name, err := range refused {
		if tributary.KindOf(err) != tributary.Unavailable {
			t.Errorf("%s on a full disk: %v", name, err)
		}
	}
	v, err := s.View(t.Context(), notes, nil)
	if err != nil || v.Dataset.SyncCount != 1 {
		t.Fatalf("view on a full disk: %d, %v", v.Dataset.SyncCount, err)
	}
	if err := s.Commit(t.Context(), v.Delete(tributary.Writer{ID: 3, By: "test", Now: 2})); err != nil {
		t.Errorf("delete on a full disk: %v", err)
	}
	if err := s.Trim(t.Context(), shard, tail); err != nil {
		t.Errorf("trim on a full disk: %v", err)
	}
	disk.free.Store(1 << 30)
	now = now.Add(2 * time.Second)
	if err := s.Commit(t.Context(), change(t, s, 4, "third")); err != nil {
		t.Errorf("commit after room was made: %v", err)
	}
}

// TestArrivalNeverGoesBack steps the clock back between the entries of one
// append: Find relies on their order.
func TestArrivalNeverGoesBack(t *testing.T) {
	var reads atomic.Int64
	clock := func() time.Time { return time.Unix(1_790_000_000-reads.Add(1), 0) }
	s := closed(t, pebblestore.Config{Dir: "store", FS: vfs.NewMem(), Now: clock})
	foreign := tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p"}}
	for range 3 {
		if _, err := s.Append(t.Context(), tributary.DefaultStream, []tributary.Entry{foreign, foreign, foreign}); err != nil {
			t.Fatal(err)
		}
	}
	shard, _ := shardOf(t, s)
	entries, err := s.Read(t.Context(), shard, "", 1<<20)
	if err != nil || len(entries) != 9 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].Arrived < entries[i-1].Arrived {
			t.Errorf("entry %d arrived %d ms before the last", i, entries[i-1].Arrived-entries[i].Arrived)
		}
	}
}

// TestTrimsRace trims one shard from many sides and reopens the store: the
// horizon never goes back, or positions would be given twice.
func TestTrimsRace(t *testing.T) {
	mem := vfs.NewMem()
	foreign := tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p"}}
	const rounds, each = 5, 10
	for n := uint64(0); n < rounds*each; n += each {
		s := open(t, pebblestore.Config{Dir: "store", FS: mem})
		var last tributary.Position
		for i := range uint64(each) {
			at, err := s.Append(t.Context(), tributary.DefaultStream, []tributary.Entry{foreign})
			if err != nil {
				t.Fatal(err)
			}
			last = at[0]
			if _, got, _ := last.Split(); got != n+i+1 {
				t.Fatalf("entry %d is at %s", n+i+1, last)
			}
		}
		shard, _, _ := last.Split()
		var trims sync.WaitGroup
		for back := range uint64(each) {
			trims.Go(func() {
				if err := s.Trim(t.Context(), shard, tributary.PositionOf(shard, n+each-back)); err != nil {
					t.Error(err)
				}
			})
		}
		trims.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCreationCutShort opens a folder in which a store was being created when
// the power went, and one in which a store is complete.
func TestCreationCutShort(t *testing.T) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll("store", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"UNFINISHED", "marker.manifest.000001.MANIFEST-000001"} {
		f, err := mem.Create("store/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	for range 2 { // created, then found
		s := open(t, pebblestore.Config{Dir: "store", FS: mem})
		ids[s.ID()] = true
		if _, err := s.Pool(t.Context(), pool); err != nil {
			populate(t, s)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := closed(t, pebblestore.Config{Dir: "store", FS: mem})
	if ids[s.ID()] = true; len(ids) > 1 {
		t.Errorf("one store has the ids %v", ids)
	}
	if p, err := s.Pool(t.Context(), pool); err != nil || p.Revision != 1 {
		t.Errorf("the pool has revision %d, %v", p.Revision, err)
	}
}

// TestOpen refuses a folder that is in use, and another format.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, pebblestore.Config{Dir: dir})
	if _, err := pebblestore.Open(pebblestore.Config{Dir: dir}); tributary.KindOf(err) != tributary.Unavailable || !strings.Contains(tributary.Message(err), " is in use by another tributary") {
		t.Errorf("a folder in use: %v", err)
	}
	if err := s.SetFormat(pebblestore.Format + 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pebblestore.Open(pebblestore.Config{Dir: dir}); tributary.KindOf(err) != tributary.Invalid || !strings.Contains(err.Error(), fmt.Sprint("format ", pebblestore.Format+1)) {
		t.Errorf("a newer format: %v", err)
	}
}
