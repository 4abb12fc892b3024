package pebblestore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tributary"
	"tributary/store/pebblestore"
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
		t.Fatalf("TRIBUTARY_SOAK is %q, it must be a positive number", text)
	}
	return n
}

// TestCrash cuts the power at every filesystem operation of seeded programs, with
// none and with random shares of the unsynced data kept, reopens what is left,
// and checks I1 to I4.
func TestCrash(t *testing.T) {
	for seed := range uint64(3 * soak(t)) {
		c := crash{seed: seed}
		cuts, err := c.run(t, pebblestore.Config{})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		t.Logf("seed %d: %d cuts", seed, cuts)
		if cuts < 100 {
			t.Errorf("seed %d: only %d cuts were made", seed, cuts)
		}
	}
}

// TestCrashCanFail shows that TestCrash notices a store that breaks a promise.
func TestCrashCanFail(t *testing.T) {
	for name, how := range map[string]int{"DropSync": pebblestore.DropSync, "EarlyWatermark": pebblestore.EarlyWatermark, "SplitBatch": pebblestore.SplitBatch, "SplitMark": pebblestore.SplitMark} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(10) {
				c := crash{seed: seed, once: true}
				if _, err := c.run(t, pebblestore.Broken(pebblestore.Config{}, how)); err != nil {
					t.Logf("seed %d noticed: %.300v", seed, err)
					return
				}
			}
			t.Error("a broken store was not noticed")
		})
	}
}

// crash is one program during which the power is cut again and again.
type crash struct {
	seed uint64
	once bool // stop cutting at the first finding

	books storetest.Acked

	mu    sync.Mutex // guards what follows
	rnd   *rand.Rand
	shown map[tributary.Shard]tributary.Position // by a reader of the log
	cuts  int
	found error
}

const (
	steps  = 300 // of a program
	folder = "data/store"
)

func (c *crash) run(t *testing.T, cfg pebblestore.Config) (cuts int, err error) {
	mem := vfs.NewCrashableMem()
	c.rnd, c.shown = rand.New(rand.NewPCG(c.seed, 1)), map[tributary.Shard]tributary.Position{}
	cfg.Dir, cfg.Shards, cfg.MemTableSize = folder, 2, 64<<10
	cfg.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			c.cut(mem)
		}
		return nil
	}))
	s := open(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() { c.read(ctx, s) })
	storetest.Program{Seed: c.seed, Steps: steps}.Run(t.Context(), c.books.Watch(s))
	cancel()
	reader.Wait()
	if err := s.Close(); err != nil {
		return c.cuts, err
	}
	return c.cuts, c.found
}

// read follows the log and notes what it was shown.
func (c *crash) read(ctx context.Context, s tributary.Store) {
	for ctx.Err() == nil {
		shards, err := s.Shards(ctx)
		if err != nil {
			return
		}
		for _, shard := range shards {
			c.mu.Lock()
			after := c.shown[shard]
			c.mu.Unlock()
			entries, err := s.Read(ctx, shard, after, 1<<20)
			if err != nil || len(entries) == 0 {
				continue // a stream that is gone, or nothing new
			}
			c.mu.Lock()
			c.shown[shard] = entries[len(entries)-1].Position
			c.mu.Unlock()
		}
		runtime.Gosched()
	}
}

// cut takes what the disk would hold if the power went now, and checks it.
func (c *crash) cut(mem *vfs.MemFS) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.once && c.found != nil {
		return
	}
	c.cuts++
	shown := make(map[tributary.Shard]tributary.Position, len(c.shown))
	for s, p := range c.shown {
		shown[s] = p
	}
	kept := vfs.CrashCloneCfg{}
	if c.cuts%2 == 0 {
		kept = vfs.CrashCloneCfg{UnsyncedDataPercent: int(c.rnd.Uint64N(101)), RNG: rand.New(rand.NewPCG(c.rnd.Uint64(), 0))}
	}
	var left *vfs.MemFS
	books := c.books.At(func() { left = mem.CrashClone(kept) })
	if err := reopened(left, books, shown); err != nil {
		c.found = errors.Join(c.found, fmt.Errorf("cut %d, %d %% of the unsynced data kept: %w", c.cuts, kept.UnsyncedDataPercent, err))
	}
}

// reopened checks a store after a crash.
func reopened(left *vfs.MemFS, books *storetest.Acked, shown map[tributary.Shard]tributary.Position) error {
	ctx := context.Background()
	s, err := pebblestore.Open(pebblestore.Config{Dir: folder, FS: left, Shards: 2, MemTableSize: 64 << 10})
	if err != nil {
		return fmt.Errorf("reopen: %w", err)
	}
	err = errors.Join(storetest.Verify(ctx, s, storetest.Checks{Lost: true, Usage: true}), books.Check(ctx, s))
	for shard, p := range shown {
		last, findErr := s.Find(ctx, shard, 1<<60)
		if tributary.KindOf(findErr) == tributary.NotFound {
			continue // its stream was being deleted
		}
		if findErr != nil || last < p {
			err = errors.Join(err, findErr, fmt.Errorf("a reader was shown %s, the log of shard %s ends at %s", p, shard, last))
		}
	}
	return errors.Join(err, s.Close())
}
