package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary"
)

// Names that most cases use. No two of an identity's neighbours share a shard
// by accident: what depends on shards computes them.
const (
	poolA = tributary.PoolID("eu-west-1:00000000-0000-4000-8000-00000000000a")
	poolB = tributary.PoolID("eu-west-1:00000000-0000-4000-8000-00000000000b")
	ann   = tributary.IdentityID("eu-west-1:11111111-1111-4111-8111-111111111111")
	bob   = tributary.IdentityID("eu-west-1:22222222-2222-4222-8222-222222222222")

	epoch    = tributary.Millis(1_790_000_000_000) // before every time of a test
	patience = 30 * time.Second                    // for what must happen, however slow the engine
	aMoment  = 20 * time.Millisecond               // for what must not happen
	pageSize = 1 << 20                             // bytes asked of the log at once
	all      = math.MaxInt64                       // a range's Through
	big      = "a value of some length, so that a few of them do not fit in one small value of an engine "
)

// kit is a case's store with what a case does to it.
type kit struct {
	*testing.T
	s      tributary.Store
	o      Options
	writes atomic.Uint64 // writers given so far
	lost   bool          // a stream with changes was deleted
	closed bool          // the store is, so its end state is not looked at
}

// newKit is a kit whose store must be consistent when the case has passed.
func newKit(t *testing.T, s tributary.Store, o Options) *kit {
	k := &kit{T: t, s: s, o: o}
	t.Cleanup(func() {
		if t.Failed() || k.closed {
			return
		}
		if err := Verify(context.WithoutCancel(t.Context()), s, Checks{Lost: k.lost}); err != nil {
			t.Errorf("the store that the case leaves is not consistent: %v", err)
		}
	})
	return k
}

// ok ends the case if err is one.
func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatalf("unexpected error of kind %q: %v", tributary.KindOf(err), err)
	}
}

// kind ends the case unless err is of a kind.
func (k *kit) kind(err error, want ...tributary.Kind) {
	k.Helper()
	for _, w := range want {
		if err != nil && isKind(err, w) {
			return
		}
	}
	k.Fatalf("the error is %v, want one of kind %v", err, want)
}

// isKind is stricter than KindOf: an error without a Kind has none.
func isKind(err error, kind tributary.Kind) bool {
	var e *tributary.Error
	return errors.As(err, &e) && e.Kind == kind
}

// same ends the case if two texts differ.
func (k *kit) same(what, got, want string) {
	k.Helper()
	if got != want {
		k.Fatalf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// got takes a method's value and ends the case if there is an error instead.
func got[T any](v T, err error) func(*kit) T {
	return func(k *kit) T {
		k.Helper()
		k.ok(err)
		return v
	}
}

// writer is one whose id and time no other has. Ids use all 64 bits.
func (k *kit) writer() tributary.Writer {
	n := k.writes.Add(1)
	return tributary.Writer{ID: changeID(n), By: fmt.Sprintf("device-%d", n%3), Now: epoch + tributary.Millis(n)}
}

// changeID spreads small numbers over all of 64 bits, none of them onto 0.
func changeID(n uint64) tributary.ChangeID { return tributary.ChangeID(n * 0x9e3779b97f4a7c15) }

func (k *kit) pool(id tributary.PoolID) tributary.Pool {
	k.Helper()
	k.ok(k.s.PutPool(k.Context(), tributary.Pool{ID: id, Name: "pool", Created: epoch}))
	return got(k.s.Pool(k.Context(), id))(k)
}

func (k *kit) identity(id tributary.IdentityID, pool tributary.PoolID, logins ...tributary.Login) tributary.Identity {
	k.Helper()
	k.ok(k.s.PutIdentity(k.Context(), tributary.Identity{ID: id, Pool: pool, Logins: logins, Created: epoch}))
	return got(k.s.Identity(k.Context(), id))(k)
}

// world is ann in pool A, and the key of a dataset of hers.
func (k *kit) world() tributary.DatasetKey {
	k.Helper()
	k.pool(poolA)
	k.identity(ann, poolA)
	return keyOf(ann, "notes")
}

func keyOf(identity tributary.IdentityID, name tributary.DatasetName) tributary.DatasetKey {
	return tributary.DatasetKey{Pool: poolA, Identity: identity, Dataset: name}
}

func (k *kit) stream(name tributary.StreamName, shards int) tributary.Stream {
	k.Helper()
	return got(k.s.PutStream(k.Context(), newStream(name, shards)))(k)
}

func newStream(name tributary.StreamName, shards int) tributary.Stream {
	return tributary.Stream{
		Name: name, Kind: tributary.Embedded, Shards: tributary.EvenShards(shards),
		Retention: tributary.DefaultRetention, Created: epoch,
	}
}

// route sends a pool's changes to a stream, or to the default log.
func (k *kit) route(pool tributary.PoolID, s tributary.Stream) {
	k.Helper()
	p := got(k.s.Pool(k.Context(), pool))(k)
	k.ok(k.s.PutPool(k.Context(), routed(p, s)))
}

func routed(p tributary.Pool, s tributary.Stream) tributary.Pool {
	p.Stream = tributary.StreamConfig{Name: s.Name, ID: s.ID, Enabled: s.ID != 0}
	return p
}

// put and remove are patches; whoever applies them fills in the sync counts.
func put(key, value string) tributary.Patch { return tributary.Patch{Key: key, Value: value} }

func remove(key string) tributary.Patch { return tributary.Patch{Key: key, Remove: true} }

// current fills the patches' sync counts as a client would that is up to date.
func current(v *tributary.View, patches []tributary.Patch) {
	for i := range patches {
		patches[i].SyncCount = 0
		for _, r := range v.Records {
			if r.Key == patches[i].Key {
				patches[i].SyncCount = r.SyncCount
			}
		}
	}
}

func keysOf(patches []tributary.Patch) []string {
	keys := make([]string, len(patches))
	for i := range patches {
		keys[i] = patches[i].Key
	}
	return keys
}

// unlimited lets tests write more than an app may.
func unlimited(v *tributary.View) {
	v.Pool.Limits = tributary.Limits{ValueBytes: 1 << 30, DatasetBytes: 1 << 30, Records: 1 << 20, Datasets: 1 << 20}
}

// draft computes a change and does not commit it.
func (k *kit) draft(key tributary.DatasetKey, patches ...tributary.Patch) *tributary.Change {
	k.Helper()
	v := got(k.s.View(k.Context(), key, keysOf(patches)))(k)
	current(&v, patches)
	unlimited(&v)
	return got(v.Apply(patches, k.writer()))(k)
}

// draftDrop computes the removal of a dataset and does not commit it.
func (k *kit) draftDrop(key tributary.DatasetKey) *tributary.Change {
	k.Helper()
	v := got(k.s.View(k.Context(), key, nil))(k)
	return v.Delete(k.writer())
}

func (k *kit) commit(c *tributary.Change) *tributary.Change {
	k.Helper()
	k.ok(k.s.Commit(k.Context(), c))
	return c
}

func (k *kit) sync(key tributary.DatasetKey, patches ...tributary.Patch) *tributary.Change {
	k.Helper()
	return k.commit(k.draft(key, patches...))
}

func (k *kit) drop(key tributary.DatasetKey) *tributary.Change {
	k.Helper()
	return k.commit(k.draftDrop(key))
}

func (k *kit) view(key tributary.DatasetKey, keys ...string) tributary.View {
	k.Helper()
	return got(k.s.View(k.Context(), key, keys))(k)
}

func (k *kit) records(key tributary.DatasetKey, r tributary.Range) []tributary.Record {
	k.Helper()
	return got(k.s.Records(k.Context(), key, r))(k)
}

func (k *kit) everything(key tributary.DatasetKey) []tributary.Record {
	k.Helper()
	return k.records(key, tributary.Range{Through: all})
}

// shard is where a stream puts a partition key.
func (k *kit) shard(s tributary.Stream, partitionKey string) tributary.Shard {
	k.Helper()
	shard, open := s.ShardFor(tributary.HashOf(partitionKey))
	if !open {
		k.Fatalf("stream %s has no open shard for %s", s.Name, partitionKey)
	}
	return shard
}

// entries are all that a shard still holds.
func (k *kit) entries(s tributary.Shard) []tributary.Entry {
	k.Helper()
	return got(readAll(k.Context(), k.s, s))(k)
}

// defaultLog is all that the default log holds, shard after shard.
func (k *kit) defaultLog() []tributary.Entry {
	k.Helper()
	var list []tributary.Entry
	for _, s := range got(k.s.Shards(k.Context()))(k) {
		if s.Stream == tributary.DefaultStream {
			list = append(list, k.entries(s)...)
		}
	}
	return list
}

func readAll(ctx context.Context, s tributary.Store, shard tributary.Shard) ([]tributary.Entry, error) {
	var list []tributary.Entry
	var after tributary.Position
	for {
		batch, err := s.Read(ctx, shard, after, pageSize)
		if err != nil || len(batch) == 0 {
			return list, err
		}
		last := batch[len(batch)-1].Position
		if last <= after {
			return list, fmt.Errorf("reading shard %s above %q ends at %q", shard, after, last)
		}
		list, after = append(list, batch...), last
	}
}

// count is the position's number in its shard.
func (k *kit) count(s tributary.Shard, p tributary.Position) uint64 {
	k.Helper()
	shard, n, err := p.Split()
	k.ok(err)
	if shard != s {
		k.Fatalf("position %s is of shard %s, want %s", p, shard, s)
	}
	return n
}

// texts joins the texts of values, one a line.
func texts[T any](list []T, text func(*T) string) string {
	lines := make([]string, len(list))
	for i := range list {
		lines[i] = text(&list[i])
	}
	return strings.Join(lines, "\n")
}
