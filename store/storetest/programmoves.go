package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary"
)

// The moves of a program. A move that is to be refused breaks one rule only:
// which of two reasons comes first is the engine's affair.

// late is a revision that is not the stored one, now and then.
func (a *actor) late(revision int64) (int64, bool) {
	if !a.odds(8) {
		return revision, false
	}
	return revision + 1 - 2*a.rnd.Int64N(2), true
}

func (a *actor) putPool() string {
	id := pick(a, poolNames())
	p, _ := a.s.Pool(a.ctx, id)
	p.ID = id
	p.Name = fmt.Sprint("pool ", a.rnd.IntN(100))
	p.Deleted = a.odds(6)
	config := p.Stream
	switch streams := a.liveStreams(); a.rnd.IntN(5) {
	case 0:
		p.Stream = tributary.StreamConfig{}
	case 1:
		p.Stream.Enabled, p.Stream.DisabledReason = false, "for a test"
	case 2:
		p.Stream = tributary.StreamConfig{Name: "gone", ID: 1 << 52, Enabled: true}
	default:
		if len(streams) > 0 {
			p = routed(p, pick(a, streams))
		}
	}
	stale := false
	if p.Revision, stale = a.late(p.Revision); stale {
		p.Stream = config
	}
	err := a.s.PutPool(a.ctx, p)
	now, _ := a.s.Pool(a.ctx, id)
	return fmt.Sprintf("%s r%d to %s %s; %s to %s", id, p.Revision, a.label(p.Route()), outcome(err, ""), poolText(&now), a.label(now.Route()))
}

func (a *actor) deletePool() string {
	id := pick(a, poolNames())
	err := a.s.DeletePool(a.ctx, id)
	if err == nil {
		delete(a.usage, id)
	}
	return fmt.Sprintf("%s %s", id, outcome(err, ""))
}

func (a *actor) putIdentity() string {
	n := a.rnd.IntN(len(identityNames()))
	i, err := a.s.Identity(a.ctx, identityNames()[n])
	i.ID, i.Pool = identityNames()[n], a.poolOf(n)
	i.Modified, i.Disabled, i.Merged, i.Unfinished = a.writer().Now, a.odds(4), a.odds(4), a.odds(3)
	if i.MergedInto = ""; a.odds(4) {
		i.MergedInto = pick(a, identityNames())
	}
	stale := false
	if err == nil {
		i.Revision, stale = a.late(i.Revision)
	}
	if !stale {
		i.Logins = nil
		for range a.rnd.IntN(3) {
			login := tributary.Login{Provider: "p", User: fmt.Sprint(a.rnd.IntN(4))}
			if !slices.Contains(i.Logins, login) {
				i.Logins = append(i.Logins, login)
			}
		}
	}
	i.Datasets, i.Usage.Bytes = 77, 77 // to be ignored
	all := []tributary.Identity{i}
	if other, err := a.s.Identity(a.ctx, pick(a, identityNames())); err == nil && other.ID != i.ID && a.odds(3) {
		i.Logins, other.Logins = other.Logins, i.Logins
		all = []tributary.Identity{i, other}
	}
	err = a.s.PutIdentity(a.ctx, all...)
	now, _ := a.s.Identity(a.ctx, i.ID)
	return fmt.Sprintf("%s r%d logins %q %s; %s; %s; %s", i.ID, i.Revision, i.Logins, outcome(err, ""), identityText(&now), a.logins(i.Pool), a.unfinished())
}

// unfinished tells which identities have work to be done, read in pages.
func (a *actor) unfinished() string {
	var list []string
	for after := tributary.IdentityID(""); ; {
		page, err := a.s.UnfinishedIdentities(a.ctx, after, 2)
		if err != nil || len(page) == 0 {
			return fmt.Sprint("unfinished ", list, outcome(err, ""))
		}
		for i := range page {
			list = append(list, identityText(&page[i]))
		}
		after = page[len(page)-1].ID
	}
}

// logins tells whose every login of a pool is.
func (a *actor) logins(pool tributary.PoolID) string {
	var list []string
	for user := range 4 {
		id, err := a.s.FindLogin(a.ctx, pool, tributary.Login{Provider: "p", User: fmt.Sprint(user)})
		list = append(list, fmt.Sprint(user, outcome(err, string(id))))
	}
	return strings.Join(list, ", ")
}

func (a *actor) deleteIdentity() string {
	id := pick(a, identityNames())
	err := a.s.DeleteIdentity(a.ctx, id)
	return fmt.Sprintf("%s %s", id, outcome(err, ""))
}

// patches are of few keys, so that they meet again, and of sizes that take
// datasets across the limits of a small value.
func (a *actor) patches() []tributary.Patch {
	var patches []tributary.Patch
	for range a.rnd.IntN(6) {
		key := fmt.Sprint("k", a.rnd.IntN(20))
		if slices.Contains(keysOf(patches), key) {
			continue
		}
		size := a.rnd.IntN(30)
		if a.odds(4) {
			size = a.rnd.IntN(3000)
		}
		p := put(key, strings.Repeat(fmt.Sprint(a.rnd.IntN(10)), size))
		if p.Remove = a.odds(3); a.odds(3) {
			p.DeviceLastModified = epoch + tributary.Millis(a.rnd.IntN(1000))
		}
		patches = append(patches, p)
	}
	return patches
}

// draft computes a change of the dataset as it is.
func (a *actor) draft(key tributary.DatasetKey) (*tributary.Change, error) {
	patches := a.patches()
	v, err := a.s.View(a.ctx, key, keysOf(patches))
	if err != nil {
		return nil, err
	}
	unlimited(&v)
	current(&v, patches)
	c, err := v.Apply(patches, a.writer())
	if err == nil && a.odds(4) {
		n := 1 + a.rnd.Int64N(3)
		oldest, _ := a.s.Records(a.ctx, key, tributary.Range{Through: all, TombstonesOnly: true, Limit: int(n) + len(patches)})
		forget(c, oldest, n)
	}
	return c, err
}

func (a *actor) commit(c *tributary.Change) error {
	err := a.s.Commit(a.ctx, c)
	if err == nil {
		u := a.usage[c.Key.Pool]
		u.Bytes, u.LastModified = u.Bytes+c.PoolBytes, c.At
		a.usage[c.Key.Pool] = u
	}
	return err
}

// seen is the dataset after a move.
func (a *actor) seen(key tributary.DatasetKey) string {
	v, err := a.s.View(a.ctx, key, []string{"k1", "k3", "k2"})
	return outcome(err, viewText(&v))
}

func (a *actor) sync() string {
	key := a.key()
	c, err := a.draft(key)
	if err != nil {
		return fmt.Sprintf("%s draft %s", key, outcome(err, ""))
	}
	if a.odds(12) {
		c.Condition.Base.Change++
	}
	if a.odds(12) {
		c.Condition.Identity++
	}
	err = a.commit(c)
	line := fmt.Sprintf("%s %s", changeText(c), outcome(err, a.seen(key)))
	if a.odds(8) {
		line += " again " + outcome(a.s.Commit(a.ctx, c), "")
	}
	return line
}

func (a *actor) syncTwice() string {
	key := a.key()
	c, err := a.draft(key)
	if err != nil {
		return fmt.Sprintf("%s draft %s", key, outcome(err, ""))
	}
	if a.odds(3) {
		key.Dataset = pick(a, datasetNames())
	}
	d, err := a.draft(key)
	if err != nil {
		return fmt.Sprintf("%s second draft %s", key, outcome(err, ""))
	}
	first, second := a.commit(c), a.commit(d)
	return fmt.Sprintf("%s, %s: %s %s; %s", c.Key, d.Key, outcome(first, ""), outcome(second, ""), a.seen(d.Key))
}

func (a *actor) removeDataset() string {
	key := a.key()
	v, err := a.s.View(a.ctx, key, nil)
	if err != nil || !v.Dataset.Exists {
		return fmt.Sprintf("%s not there %s", key, outcome(err, ""))
	}
	return fmt.Sprintf("%s %s %s", key, outcome(a.commit(v.Delete(a.writer())), ""), a.seen(key))
}

func (a *actor) list() string {
	limit := 1 + a.rnd.IntN(4)
	key := a.key()
	switch a.rnd.IntN(4) {
	case 0:
		list, err := a.s.Pools(a.ctx, key.Pool, limit)
		return fmt.Sprintf("pools above %s limit %d %s", key.Pool, limit, outcome(err, texts(list, poolText)))
	case 1:
		list, err := a.s.Identities(a.ctx, key.Pool, key.Identity, limit)
		return fmt.Sprintf("identities of %s above %s limit %d %s", key.Pool, key.Identity, limit, outcome(err, texts(list, identityText)))
	case 2:
		list, err := a.s.Datasets(a.ctx, key.Identity, key.Dataset, limit)
		return fmt.Sprintf("datasets of %s above %s limit %d %s", key.Identity, key.Dataset, limit, outcome(err, texts(list, headText)))
	}
	name := pick(a, streamNames())
	list, err := a.s.Streams(a.ctx, name, limit)
	one, oneErr := a.s.Stream(a.ctx, name)
	return fmt.Sprintf("stream %s %s, above it %s", name, outcome(oneErr, streamText(&one)), outcome(err, texts(list, streamText)))
}

func (a *actor) snapshots() string {
	key := a.key()
	if a.odds(2) {
		page, err := a.s.Snapshots(a.ctx, key.Pool, key, 0)
		return fmt.Sprintf("first of %s above %s %s", key.Pool, key, outcome(err, texts(page, snapshotText)))
	}
	list, err := readSnapshots(a.ctx, a.s, key.Pool, a.rnd.IntN(10_000))
	return fmt.Sprintf("all of %s %s", key.Pool, outcome(err, texts(list, snapshotText)))
}

func (a *actor) putDevice() string {
	d := device(a.key().Identity, tributary.DeviceID(fmt.Sprint("d\x00", a.rnd.IntN(3))))
	if have, err := a.s.Device(a.ctx, d.Identity, d.ID); err == nil {
		d = have
		d.Revision, _ = a.late(d.Revision)
	}
	d.Token = fmt.Sprint("token ", a.rnd.IntN(1000))
	if d.Datasets = nil; a.odds(2) {
		d.Datasets = datasetNames()[:1+a.rnd.IntN(4)]
	}
	err := a.s.PutDevice(a.ctx, d)
	now, listErr := a.s.Devices(a.ctx, d.Identity)
	return fmt.Sprintf("%s %s; %s", deviceText(&d), outcome(err, ""), outcome(listErr, texts(now, deviceText)))
}

func (a *actor) deleteDevice() string {
	identity, id := a.key().Identity, tributary.DeviceID(fmt.Sprint("d\x00", a.rnd.IntN(3)))
	return fmt.Sprintf("%q of %s %s", id, identity, outcome(a.s.DeleteDevice(a.ctx, identity, id), ""))
}

func (a *actor) records() string {
	key := a.key()
	r := tributary.Range{Through: all, Limit: a.rnd.IntN(5), LiveOnly: a.odds(3)}
	r.TombstonesOnly = !r.LiveOnly && a.odds(3)
	r.After = tributary.Cursor{SyncCount: a.rnd.Int64N(20), Whole: a.odds(2)}
	if !r.After.Whole {
		r.After.Key = fmt.Sprint("k", a.rnd.IntN(20))
	}
	if a.odds(3) {
		r.Through = a.rnd.Int64N(40)
	}
	list, err := a.s.Records(a.ctx, key, r)
	return fmt.Sprintf("%s %+v %s", key, r, outcome(err, recordsText(list)))
}

func (a *actor) putStream() string {
	name := pick(a, streamNames())
	s, err := a.s.Stream(a.ctx, name)
	isNew := err != nil
	switch {
	case isNew:
		s = newStream(name, 1+a.rnd.IntN(3))
	case len(s.Shards) < 12:
		a.reshape(&s)
	}
	s.Retention = time.Duration(1+a.rnd.IntN(100)) * time.Hour
	s.Revision, _ = a.late(s.Revision)
	given := s.Revision
	s, err = a.s.PutStream(a.ctx, s)
	if err == nil && isNew {
		a.made[name]++
		a.labels[s.ID] = fmt.Sprintf("%s@%d", name, a.made[name])
	}
	return fmt.Sprintf("%s r%d %s", name, given, outcome(err, a.label(s.ID)+" "+streamText(&s)))
}

// reshape replaces all open shards.
func (a *actor) reshape(s *tributary.Stream) {
	var parents []uint32
	for i := range s.Shards {
		if !s.Shards[i].Closed {
			parents = append(parents, s.Shards[i].Number)
			s.Shards[i].Closed = true
		}
	}
	for _, r := range tributary.EvenShards(1 + a.rnd.IntN(3)) {
		r.Number, r.Parents = uint32(len(s.Shards)), parents
		s.Shards = append(s.Shards, r)
	}
}

func (a *actor) deleteStream() string {
	name := pick(a, streamNames())
	return fmt.Sprintf("%s %s", name, outcome(a.s.DeleteStream(a.ctx, name), ""))
}

// anyStream is where something may be appended, now and then one that is not
// there.
func (a *actor) anyStream() tributary.StreamID {
	stream := tributary.DefaultStream
	if streams := a.liveStreams(); len(streams) > 0 && !a.odds(4) {
		stream = pick(a, streams).ID
	}
	if a.odds(10) {
		stream = 1 << 52
	}
	return stream
}

func (a *actor) append() string {
	stream := a.anyStream()
	var entries []tributary.Entry
	for range 1 + a.rnd.IntN(4) {
		if e, ok := a.snapshot(stream); ok && a.odds(2) {
			entries = append(entries, e)
			continue
		}
		entries = append(entries, foreign(fmt.Sprint("p", a.rnd.IntN(9)), fmt.Sprint("data ", a.rnd.IntN(1000))))
	}
	positions, err := a.s.Append(a.ctx, stream, entries)
	var at []string
	for _, p := range positions {
		if stream != tributary.DefaultStream {
			at = append(at, a.positionLabel(p))
		}
	}
	return fmt.Sprintf("%s\n%s\n%s", a.label(stream), texts(entries, entryText), outcome(err, strings.Join(at, " ")))
}

// snapshot is of a dataset whose pool writes to the stream, now and then of
// one that has moved.
func (a *actor) snapshot(stream tributary.StreamID) (tributary.Entry, bool) {
	v, err := a.s.View(a.ctx, a.key(), nil)
	d := &v.Dataset
	if err != nil || !d.Exists || v.Pool.Route() != stream {
		return tributary.Entry{}, false
	}
	records, _ := a.s.Records(a.ctx, d.Key, tributary.Range{Through: all, LiveOnly: true})
	c := &tributary.Change{
		Key: d.Key, SyncCount: d.SyncCount, At: d.LastModified, By: d.LastModifiedBy, Records: records,
		Condition: tributary.Condition{Base: d.Version, Identity: v.Identity.Revision, Stream: stream},
	}
	if a.odds(6) {
		c.Condition.Base.SyncCount--
	}
	return tributary.Entry{Kind: tributary.EntrySnapshot, Arrived: epoch, Change: c}, true
}

func (a *actor) read() string {
	shard, ok := a.anyShard()
	if !ok {
		return "nothing"
	}
	horizon, err := a.s.Find(a.ctx, shard, 0)
	last, lastErr := a.s.Find(a.ctx, shard, epoch*1000)
	after := tributary.PositionOf(shard, uint64(a.rnd.IntN(12)))
	if after > last {
		after = ""
	}
	entries, readErr := a.s.Read(a.ctx, shard, after, pageSize)
	for i := range entries {
		if want := entries[0].Position; i > 0 && entries[i].Position <= want {
			readErr = fmt.Errorf("positions out of order: %s, %s", want, entries[i].Position)
		}
	}
	return fmt.Sprintf("%s from %s to %s above %s %s", a.shardLabel(shard), outcome(err, a.positionLabel(horizon)),
		outcome(lastErr, a.positionLabel(last)), a.positionLabel(after), outcome(readErr, texts(entries, entryText)))
}

func (a *actor) trim() string {
	shard, ok := a.anyShard()
	if !ok {
		return "nothing"
	}
	through := tributary.PositionOf(shard, uint64(a.rnd.IntN(8)))
	if last, err := a.s.Find(a.ctx, shard, epoch*1000); err != nil || through > last {
		through = last
	}
	err := a.s.Trim(a.ctx, shard, through)
	horizon, _ := a.s.Find(a.ctx, shard, 0)
	return fmt.Sprintf("%s %s", a.positionLabel(through), outcome(err, a.positionLabel(horizon)))
}

// trimDefault forgets all of the default log, however it is divided.
func (a *actor) trimDefault() string {
	shards, err := a.s.Shards(a.ctx)
	left := 0
	for _, shard := range shards {
		if shard.Stream != tributary.DefaultStream || err != nil {
			continue
		}
		var last tributary.Position
		if last, err = a.s.Find(a.ctx, shard, epoch*1000); err == nil {
			err = a.s.Trim(a.ctx, shard, last)
		}
		entries, _ := readAll(a.ctx, a.s, shard)
		left += len(entries)
	}
	return outcome(err, fmt.Sprint(left, " left"))
}

func leaseGroupNames() []string { return []string{"g", "G", "g/1"} }

func (a *actor) leaseLabel(l *tributary.Lease) string {
	return fmt.Sprintf("%q %s owner %q epoch %d at %s r%d", l.Group, a.shardLabel(l.Shard), l.Owner, l.Epoch,
		a.positionLabel(l.Checkpoint), l.Revision)
}

func (a *actor) lease() string {
	shard, ok := a.anyShard()
	if !ok {
		return "nothing"
	}
	l := tributary.Lease{Group: pick(a, leaseGroupNames()), Shard: shard}
	leases, _ := a.s.Leases(a.ctx, l.Group)
	for _, stored := range leases {
		if stored.Shard == shard {
			l = stored
		}
	}
	l = l.Take(fmt.Sprint("node-", a.rnd.IntN(3)))
	l.Checkpoint = tributary.PositionOf(shard, uint64(a.rnd.IntN(5)))
	l.Revision, _ = a.late(l.Revision)
	stored, err := a.s.SwapLease(a.ctx, l)
	return fmt.Sprintf("%s %s", a.leaseLabel(&l), outcome(err, a.leaseLabel(&stored)))
}

func (a *actor) accessKey() string {
	id := fmt.Sprint("AKIA", a.rnd.IntN(3))
	k, _ := a.s.AccessKey(a.ctx, id)
	k.ID, k.Sealed, k.Disabled = id, []byte(fmt.Sprint(a.rnd.IntN(1000))), a.odds(3)
	k.Created = epoch
	k.Name, k.Policy, k.Until = fmt.Sprint("name ", a.rnd.IntN(3)), "", tributary.Millis(a.rnd.IntN(2))
	if a.odds(3) {
		k.Policy = keyPolicy
	}
	k.Revision, _ = a.late(k.Revision)
	err := a.s.PutAccessKey(a.ctx, k)
	now, nowErr := a.s.AccessKey(a.ctx, id)
	return fmt.Sprintf("%s %s; %s", accessKeyText(&k), outcome(err, ""), outcome(nowErr, accessKeyText(&now)))
}

func (a *actor) deleteAccessKey() string {
	id := fmt.Sprint("AKIA", a.rnd.IntN(3))
	return fmt.Sprintf("%s %s", id, outcome(a.s.DeleteAccessKey(a.ctx, id), ""))
}

func (a *actor) sessions() string {
	pool, n := pick(a, poolNames()), a.rnd.Int64N(5)
	_, err := a.s.PoolUsage(a.ctx, pool)
	if err == nil {
		u := a.usage[pool]
		u.Sessions += n
		a.usage[pool] = u
	}
	return fmt.Sprintf("%s %d %s", pool, n, outcome(a.s.CountSessions(a.ctx, map[tributary.PoolID]int64{pool: n}), ""))
}
