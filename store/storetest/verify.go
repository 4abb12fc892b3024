package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"tributary"
)

// Checks say what [Verify] is to expect of a store.
type Checks struct {
	// Lost: streams that held changes have been deleted.
	Lost bool
	// Usage: wait until the pools' figures equal what the pools hold.
	Usage bool
	// Restores that the store went through, oldest first.
	Restores []Restore
}

// Restore is a restore from a backup: logs go on above one position, datasets
// above one sync count.
type Restore struct {
	Base  uint64
	Count int64
}

// leaps tells whether a restore had a log go on from one count to another.
func (c *Checks) leaps(from, to uint64) bool {
	return slices.ContainsFunc(c.Restores, func(r Restore) bool { return from <= r.Base && to == r.Base+1 })
}

// first tells whether a dataset that never was may begin with a count.
func (c *Checks) first(count int64) bool {
	return count == 1 || slices.ContainsFunc(c.Restores, func(r Restore) bool { return count == r.Count+1 })
}

// raised is a dataset's count after the restores that lie between it and
// another one.
func (c *Checks) raised(count, to int64) int64 {
	for _, r := range c.Restores {
		if count < r.Count && r.Count <= to {
			count = r.Count
		}
	}
	return count
}

// CheckConsistent fails t unless [Verify] is content.
func CheckConsistent(t testing.TB, s tributary.Store, c Checks) {
	t.Helper()
	if err := Verify(context.WithoutCancel(t.Context()), s, c); err != nil {
		t.Errorf("the store is not consistent: %v", err)
	}
}

// Verify walks a store that nobody writes to, and tells where it breaks I2 or
// I4: positions without gaps, every entry in the shard of its hash key, each
// dataset's sync counts consecutive in the order of the log, its head where
// the log ends, its records those that the log makes, and the figures of
// identities and pools the sums of what they hold.
//
// Of a log that was trimmed it takes what is left for a window: what lies
// before it is not missed, and the records that it explains must be right.
func Verify(ctx context.Context, s tributary.Store, c Checks) error {
	a := &audit{ctx: ctx, s: s, checks: c, histories: map[tributary.DatasetKey]*history{}, poolBytes: map[tributary.PoolID]int64{}, snapshots: map[tributary.DatasetKey]string{}}
	if err := errors.Join(a.walkLogs(), a.walkPools(), a.walkForgotten()); err != nil {
		return err
	}
	return errors.Join(a.findings...)
}

type audit struct {
	ctx       context.Context
	s         tributary.Store
	checks    Checks
	trimmed   map[tributary.Shard]bool // those some of whose entries are gone
	histories map[tributary.DatasetKey]*history
	poolBytes map[tributary.PoolID]int64      // by the log
	snapshots map[tributary.DatasetKey]string // not found yet
	findings  []error
}

func (a *audit) report(format string, args ...any) {
	const most = 20 // more would only hide the first
	if len(a.findings) < most {
		a.findings = append(a.findings, fmt.Errorf(format, args...))
	}
}

// complete tells whether the logs still hold every change.
func (a *audit) complete() bool { return len(a.trimmed) == 0 && !a.checks.Lost }

// mayMiss tells whether changes between two entries may be missing, because
// they were in logs that are gone. Within one shard only its beginning goes.
func (a *audit) mayMiss(from, to tributary.Shard) bool {
	if a.checks.Lost {
		return true
	}
	for shard := range a.trimmed {
		if from != to || shard != to {
			return true
		}
	}
	return false
}

// walkLogs reads all logs and gathers each dataset's entries.
func (a *audit) walkLogs() error {
	ranges, err := a.shardMaps()
	if err != nil {
		return err
	}
	shards, err := a.s.Shards(a.ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(shards, func(x, y tributary.Shard) int {
		return cmp.Or(cmp.Compare(x.Stream, y.Stream), cmp.Compare(x.Number, y.Number))
	})
	a.trimmed = map[tributary.Shard]bool{}
	for i, shard := range shards {
		if i > 0 && shards[i-1] == shard {
			a.report("shard %s is listed twice", shard)
			continue
		}
		if err := a.walkShard(shard, ranges); err != nil {
			return err
		}
	}
	return nil
}

// shardMaps are those of the named streams, by shard.
func (a *audit) shardMaps() (map[tributary.Shard]tributary.ShardRange, error) {
	ranges := map[tributary.Shard]tributary.ShardRange{}
	err := walk(a.ctx, a.s.Streams, func(s *tributary.Stream) (tributary.StreamName, error) {
		for _, r := range s.Shards {
			ranges[tributary.Shard{Stream: s.ID, Number: r.Number}] = r
		}
		return s.Name, nil
	})
	return ranges, err
}

// walk visits a whole listing, page by page. visit gives the value's place.
func walk[K ~string, V any](ctx context.Context, list func(context.Context, K, int) ([]V, error), visit func(*V) (K, error)) error {
	var after K
	for {
		values, err := list(ctx, after, 100)
		if err != nil || len(values) == 0 {
			return err
		}
		for i := range values {
			at, err := visit(&values[i])
			if err != nil {
				return err
			}
			if at <= after {
				return fmt.Errorf("above %q the listing of %T shows %q", after, values[i], at)
			}
			after = at
		}
	}
}

func (a *audit) walkShard(shard tributary.Shard, ranges map[tributary.Shard]tributary.ShardRange) error {
	horizon, err := a.s.Find(a.ctx, shard, 0)
	if err != nil {
		return err
	}
	entries, err := readAll(a.ctx, a.s, shard)
	if err != nil {
		return err
	}
	in, n, err := horizon.Split()
	if err != nil || in != shard {
		a.report("shard %s begins at %q", shard, horizon)
	}
	if n > 0 {
		a.trimmed[shard] = true
	}
	for i := range entries {
		e := &entries[i]
		n++
		if _, at, err := e.Position.Split(); err == nil && a.checks.leaps(n-1, at) {
			n = at
		}
		if want := tributary.PositionOf(shard, n); e.Position != want {
			a.report("shard %s has an entry at %s, want %s", shard, e.Position, want)
		}
		if r, named := ranges[shard]; named && (hashKey(e).Less(r.Start) || r.End.Less(hashKey(e))) {
			a.report("shard %s holds hash key %s of %s, which is not its own", shard, hashKey(e), entryText(e))
		}
		if e.Kind != tributary.EntryForeign {
			a.history(e.Change.Key).add(shard, e)
		}
		if e.Kind == tributary.EntryChange {
			a.poolBytes[e.Change.Key.Pool] += e.Change.PoolBytes
		}
	}
	return nil
}

func (a *audit) history(key tributary.DatasetKey) *history {
	h := a.histories[key]
	if h == nil {
		h = &history{key: key, logs: map[tributary.StreamID][]told{}}
		a.histories[key] = h
	}
	return h
}

func (a *audit) walkPools() error {
	return walk(a.ctx, a.s.Pools, func(p *tributary.Pool) (tributary.PoolID, error) { return p.ID, a.walkPool(p) })
}

func (a *audit) walkPool(p *tributary.Pool) error {
	shown, err := readSnapshots(a.ctx, a.s, p.ID, 10_000)
	if err != nil {
		return err
	}
	for i := range shown {
		a.snapshots[shown[i].Dataset.Key] = snapshotText(&shown[i])
	}
	var bytes int64
	logins := map[tributary.Login]tributary.IdentityID{}
	identities := func(ctx context.Context, after tributary.IdentityID, limit int) ([]tributary.Identity, error) {
		return a.s.Identities(ctx, p.ID, after, limit)
	}
	err = walk(a.ctx, identities, func(i *tributary.Identity) (tributary.IdentityID, error) {
		bytes += i.Usage.Bytes
		return i.ID, a.walkIdentity(i, logins)
	})
	if err != nil {
		return err
	}
	if a.complete() && a.poolBytes[p.ID] != bytes {
		a.report("by the log pool %s holds %d bytes, its identities hold %d", p.ID, a.poolBytes[p.ID], bytes)
	}
	if !a.checks.Usage || len(a.findings) > 0 {
		return nil
	}
	return awaitUsage(a.ctx, a.s, p.ID, func(u tributary.Usage) bool { return u.Bytes == bytes })
}

func (a *audit) walkIdentity(i *tributary.Identity, logins map[tributary.Login]tributary.IdentityID) error {
	for _, login := range i.Logins {
		if other, taken := logins[login]; taken && other != i.ID {
			a.report("login %q is linked to %s and %s", login, other, i.ID)
		}
		logins[login] = i.ID
		if found, err := a.s.FindLogin(a.ctx, i.Pool, login); err != nil || found != i.ID {
			a.report("login %q of %s finds %q, %v", login, i.ID, found, err)
		}
	}
	var bytes, count int64
	datasets := func(ctx context.Context, after tributary.DatasetName, limit int) ([]tributary.Dataset, error) {
		return a.s.Datasets(ctx, i.ID, after, limit)
	}
	err := walk(a.ctx, datasets, func(d *tributary.Dataset) (tributary.DatasetName, error) {
		bytes, count = bytes+d.Bytes, count+1
		return d.Key.Dataset, a.walkDataset(d)
	})
	if i.Datasets != count || i.Usage.Bytes != bytes {
		a.report("identity %s says it has %d datasets of %d bytes, it has %d of %d", i.ID, i.Datasets, i.Usage.Bytes, count, bytes)
	}
	return err
}

func (a *audit) walkDataset(d *tributary.Dataset) error {
	records, err := a.s.Records(a.ctx, d.Key, tributary.Range{Through: all})
	if err != nil {
		return err
	}
	v, err := a.s.View(a.ctx, d.Key, recordKeys(records))
	if err != nil {
		return err
	}
	if v.Dataset != *d {
		a.report("dataset %s is listed as %s and viewed as %s", d.Key, headText(d), headText(&v.Dataset))
	}
	byKey := slices.SortedFunc(slices.Values(records), func(x, y tributary.Record) int { return cmp.Compare(x.Key, y.Key) })
	if !slices.Equal(byKey, v.Records) {
		a.report("dataset %s lists the records\n%s\nand views\n%s", d.Key, recordsText(byKey), recordsText(v.Records))
	}
	a.checkFigures(d, records)
	a.checkSnapshot(d, byKey)
	h := a.history(d.Key)
	h.found = true
	h.check(a, d, records)
	return nil
}

// checkSnapshot wants a dataset's snapshot to be what is listed.
func (a *audit) checkSnapshot(d *tributary.Dataset, byKey []tributary.Record) {
	live := slices.DeleteFunc(byKey, func(r tributary.Record) bool { return r.Removed })
	if want := snapshotText(&tributary.Snapshot{Dataset: *d, Records: live}); a.snapshots[d.Key] != want {
		a.report("the snapshot is %q, listed is\n%s", a.snapshots[d.Key], want)
	}
	delete(a.snapshots, d.Key)
}

func recordKeys(records []tributary.Record) []string {
	keys := make([]string, len(records))
	for i := range records {
		keys[i] = records[i].Key
	}
	return keys
}

func (a *audit) checkFigures(d *tributary.Dataset, records []tributary.Record) {
	var live, tombstones, tombstoneBytes, bytes int64
	for i := range records {
		r := &records[i]
		bytes += r.Bytes()
		if r.Removed {
			tombstones++
			tombstoneBytes += int64(len(r.Key))
		} else {
			live++
		}
		if r.SyncCount > d.SyncCount {
			a.report("record %q of %s is above its dataset's count: %d, %d", r.Key, d.Key, r.SyncCount, d.SyncCount)
		}
	}
	if d.Records != live || d.Tombstones != tombstones || d.TombstoneBytes != tombstoneBytes || d.Bytes != bytes {
		a.report("dataset %s says %d records, %d tombstones of %d bytes, %d bytes; it has %d, %d of %d, %d",
			d.Key, d.Records, d.Tombstones, d.TombstoneBytes, d.Bytes, live, tombstones, tombstoneBytes, bytes)
	}
}

// walkForgotten checks the datasets that the logs know and no listing showed.
func (a *audit) walkForgotten() error {
	for key := range a.snapshots {
		a.report("there is a snapshot of dataset %s, which is not listed", key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(a.histories), compareKeys) {
		h := a.histories[key]
		if h.found {
			continue
		}
		v, err := a.s.View(a.ctx, key, nil)
		if err != nil && !isKind(err, tributary.NotFound) {
			return err
		}
		if records, err := a.s.Records(a.ctx, key, tributary.Range{Through: all}); err != nil || len(records) > 0 {
			a.report("dataset %s does not exist and lists %d records, %v", key, len(records), err)
		}
		h.check(a, &v.Dataset, nil)
	}
	return nil
}

func compareKeys(a, b tributary.DatasetKey) int { return cmp.Compare(a.String(), b.String()) }

// settled tells whether a pool's figures are as wanted. When a pool that has
// taken no change was last modified is the engine's affair.
func settled(want tributary.Usage) func(tributary.Usage) bool {
	return func(u tributary.Usage) bool {
		if want.LastModified == 0 {
			u.LastModified = 0
		}
		return u == want
	}
}

// usagePatience is several times what figures may be behind.
const usagePatience = 5 * time.Second

// awaitUsage reads a pool's figures until they are as wanted.
func awaitUsage(ctx context.Context, s tributary.Store, pool tributary.PoolID, wanted func(tributary.Usage) bool) error {
	ctx, cancel := context.WithTimeout(ctx, usagePatience)
	defer cancel()
	for {
		u, err := s.PoolUsage(ctx, pool)
		if err == nil && wanted(u) {
			return nil
		}
		if err != nil || ctx.Err() != nil {
			return fmt.Errorf("the figures of pool %s stay at %s: %w", pool, usageText(&u), cmp.Or(err, ctx.Err()))
		}
		runtime.Gosched()
	}
}
