package tributary_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/internal/enginetest"
	"tributary/store/pebblestore"
)

const (
	account = "123456789012"
	poolA   = tributary.PoolID("eu-west-1:00000000-0000-4000-8000-00000000000a")
	poolB   = tributary.PoolID("eu-west-1:00000000-0000-4000-8000-00000000000b")
	ann     = tributary.IdentityID("eu-west-1:11111111-1111-4111-8111-111111111111")
	bob     = tributary.IdentityID("eu-west-1:22222222-2222-4222-8222-222222222222")

	startOfTime = tributary.Millis(1_700_000_000_000)
)

var developer = tributary.Principal{Account: account, AccessKey: "AKIA"}

func asIdentity(pool tributary.PoolID, id tributary.IdentityID) tributary.Principal {
	return tributary.Principal{AccessKey: "ASIA", Pool: pool, Identity: id}
}

// soak is how often a test runs what it runs once by default: TRIBUTARY_SOAK,
// or 1.
func soak(t testing.TB) int {
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

// clock is a clock that only tests move.
type clock struct{ millis atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.millis.Store(int64(startOfTime))
	return c
}

func (c *clock) Now() time.Time           { return time.UnixMilli(c.millis.Load()) }
func (c *clock) Millis() tributary.Millis { return tributary.Millis(c.millis.Load()) }
func (c *clock) Add(d time.Duration)      { c.millis.Add(d.Milliseconds()) }

// openStore opens an empty store, closed with the test.
func openStore(t testing.TB, c *clock) tributary.Store {
	t.Helper()
	return enginetest.Open(t, enginetest.Config{Shards: 1, Now: c.Now})
}

// openStoreOn opens an embedded store.
func openStoreOn(t testing.TB, c *clock, fs vfs.FS) tributary.Store {
	t.Helper()
	s, err := pebblestore.Open(pebblestore.Config{
		Dir: "x", FS: fs, Now: c.Now, Shards: 1, CacheSize: 1 << 20, MemTableSize: 1 << 18,
	})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	return s
}

func newSealer(t testing.TB, master byte) *tributary.Sealer {
	t.Helper()
	key := make([]byte, tributary.MasterKeyLength)
	key[0] = master
	s, err := tributary.NewSealer(key)
	if err != nil {
		t.Fatalf("new sealer: %v", err)
	}
	return s
}

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// kit is a service on a store, with what tests do to it.
type kit struct {
	t testing.TB
	*tributary.Service
	ctx   context.Context
	clock *clock
}

// newKit is a service without a pool.
func newKit(t testing.TB) *kit {
	c := newClock()
	s := &tributary.Service{Store: openStore(t, c), Sealer: newSealer(t, 1), Region: "eu-west-1", Account: account, Now: c.Now}
	return &kit{t: t, Service: s, ctx: t.Context(), clock: c}
}

// Guest signs a guest in.
func (k *kit) Guest(ctx context.Context, id tributary.IdentityID) (tributary.Identity, error) {
	g, err := k.SignIn(ctx, tributary.SignIn{Identity: id})
	return g.Identity, err
}

// in is the kit in a subtest.
func (k *kit) in(t testing.TB) *kit {
	return &kit{t: t, Service: k.Service, ctx: t.Context(), clock: k.clock}
}

// newFilledKit is a service with two pools, one of which has Ann and Bob.
func newFilledKit(t testing.TB, l tributary.Limits) *kit {
	k := newKit(t)
	for _, id := range []tributary.PoolID{poolA, poolB} {
		k.pool(tributary.Pool{ID: id, Name: "a pool", AllowUnauthenticated: true, Limits: l})
	}
	for _, id := range []tributary.IdentityID{ann, bob} {
		k.identity(poolA, id)
	}
	return k
}

func (k *kit) pool(p tributary.Pool) tributary.Pool {
	k.t.Helper()
	out, err := k.CreatePool(k.ctx, developer, p)
	k.ok(err)
	return out
}

func (k *kit) identity(pool tributary.PoolID, id tributary.IdentityID) tributary.Identity {
	k.t.Helper()
	out, err := k.CreateIdentity(k.ctx, developer, tributary.Identity{ID: id, Pool: pool})
	k.ok(err)
	return out
}

func (k *kit) ok(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("unexpected error of kind %q: %v", tributary.KindOf(err), err)
	}
}

// kind ends the test unless err is an Error of the kind.
func (k *kit) kind(err error, want tributary.Kind) {
	k.t.Helper()
	wantKind(k.t, err, want)
}

func wantKind(t testing.TB, err error, want tributary.Kind) {
	t.Helper()
	var e *tributary.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Fatalf("the error is %v, want one of kind %q", err, want)
	}
}

// text ends the test unless err has the kind and the message, whole.
func (k *kit) text(err error, want tributary.Kind, message string) {
	k.t.Helper()
	k.kind(err, want)
	if got := tributary.Message(err); got != message {
		k.t.Fatalf("the message is %q, want %q", got, message)
	}
}

// key is a dataset of Ann's.
func key(name tributary.DatasetName) tributary.DatasetKey {
	return tributary.DatasetKey{Pool: poolA, Identity: ann, Dataset: name}
}

func (k *kit) list(d tributary.DatasetKey, last int64) tributary.Listing {
	k.t.Helper()
	l, err := k.ListRecords(k.ctx, developer, d, tributary.ListQuery{LastSyncCount: last})
	k.ok(err)
	return l
}

// update applies patches with a fresh token.
func (k *kit) update(d tributary.DatasetKey, patches ...tributary.Patch) []tributary.Record {
	k.t.Helper()
	records, err := k.tryUpdate(d, patches...)
	k.ok(err)
	return records
}

func (k *kit) tryUpdate(d tributary.DatasetKey, patches ...tributary.Patch) ([]tributary.Record, error) {
	k.t.Helper()
	token := k.list(d, 0).SessionToken
	return k.UpdateRecords(k.ctx, developer, d, tributary.Update{SessionToken: token, Patches: patches})
}

// set writes a key whatever its sync count is, and gives the dataset's.
func (k *kit) set(d tributary.DatasetKey, name, value string) int64 {
	k.t.Helper()
	return k.update(d, tributary.Patch{Key: name, Value: value, SyncCount: k.list(d, 0).SyncCount})[0].SyncCount
}

// remove is set for a removal.
func (k *kit) remove(d tributary.DatasetKey, name string) int64 {
	k.t.Helper()
	return k.update(d, tributary.Patch{Key: name, Remove: true, SyncCount: k.list(d, 0).SyncCount})[0].SyncCount
}

func (k *kit) delete(d tributary.DatasetKey) {
	k.t.Helper()
	_, err := k.DeleteDataset(k.ctx, developer, d)
	k.ok(err)
}

// changes reads all changes of all shards, in the order of their shards.
func (k *kit) changes() []*tributary.Change {
	k.t.Helper()
	shards, err := k.Store.Shards(k.ctx)
	k.ok(err)
	var out []*tributary.Change
	for _, s := range shards {
		for at := tributary.Position(""); ; {
			batch, err := k.Store.Read(k.ctx, s, at, 1<<20)
			k.ok(err)
			if len(batch) == 0 {
				break
			}
			for _, e := range batch {
				out, at = append(out, e.Change), e.Position
			}
		}
	}
	return out
}

// show writes records as "key=value@count", removed ones as "key-@count".
func show(records []tributary.Record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = r.Key + "=" + r.Value + "@" + strconv.FormatInt(r.SyncCount, 10)
		if r.Removed {
			out[i] = r.Key + "-" + r.Value + "@" + strconv.FormatInt(r.SyncCount, 10)
		}
	}
	return out
}

func wantRecords(t testing.TB, what string, got []tributary.Record, want ...string) {
	t.Helper()
	if s := show(got); !slices.Equal(s, want) && len(s)+len(want) > 0 {
		t.Fatalf("%s: records %v, want %v", what, s, want)
	}
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}
