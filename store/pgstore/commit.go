package pgstore

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary"
	"tributary/store/codec"
)

// commitCall is a change on its way, with the dataset that it was computed from.
type commitCall struct {
	c     *tributary.Change
	shard tributary.Shard
	base  codec.Dataset
}

var groupSeed = maphash.MakeSeed()

// Commit applies a change iff its condition holds, and returns when it is
// durable.
func (s *Store) Commit(ctx context.Context, c *tributary.Change) error {
	const op = "commit"
	if err := s.alive(); err != nil {
		return err
	}
	base, ok := s.heads.at(c.Key, c.Condition.Base)
	if !ok && c.Condition.Base != (tributary.Version{}) {
		var err error
		if _, base, err = s.look(ctx, c.Key); tributary.KindOf(err) == tributary.NotFound || err == nil && base.Head.Version != c.Condition.Base {
			return stale(op)
		} else if err != nil {
			return err
		}
	}
	hash := tributary.HashOf(string(c.Key.Identity))
	for fresh := false; ; fresh = true {
		shard, ok, err := s.shardFor(ctx, c.Condition.Stream, hash, fresh)
		if err != nil {
			return err
		}
		if !ok {
			return stale(op)
		}
		// All changes of a shard go through one queue, so that groups of one
		// node do not wait for each other's lock of the shard.
		g := s.commits[maphash.Comparable(groupSeed, shard)%uint64(len(s.commits))]
		err = g.do(ctx, s, op, commitCall{c, shard, base})
		if fresh || tributary.KindOf(err) != tributary.Stale {
			return err
		}
		if now, ok, lookErr := s.shardFor(ctx, c.Condition.Stream, hash, true); lookErr != nil || ok && now == shard {
			return err // the shard map was not the reason
		}
	}
}

// commitAll commits a group in one transaction, and gives back what has to wait
// for another change of its identity.
func (s *Store) commitAll(ctx context.Context, group []*waiting[commitCall]) (rest []*waiting[commitCall]) {
	round := make([]*waiting[commitCall], 0, len(group))
	seen := make(map[tributary.IdentityID]bool, len(group))
	for _, w := range group {
		if id := w.call.c.Key.Identity; seen[id] {
			rest = append(rest, w)
		} else {
			seen[id] = true
			round = append(round, w)
		}
	}
	s.commitRound(ctx, round)
	return rest
}

// commitRound commits changes of distinct identities, all in one transaction.
// If a condition does not hold, what is stale is sifted out, and the others are
// tried again, in the end alone.
func (s *Store) commitRound(ctx context.Context, round []*waiting[commitCall]) {
	if len(round) == 0 {
		return
	}
	// Rows are locked in one order, so that transactions cannot deadlock.
	slices.SortFunc(round, func(a, b *waiting[commitCall]) int {
		return strings.Compare(string(a.call.c.Key.Identity), string(b.call.c.Key.Identity))
	})
	var next []codec.Dataset
	err := retry(ctx, "commit", func() (err error) {
		next, err = s.transact(ctx, round)
		return err
	})
	switch {
	case err == nil:
		for i := range next {
			s.heads.remember(next[i])
		}
		answer(round, nil)
		s.ends.nudge()
	case code(err) == divisionByZero && len(round) == 1:
		answer(round, stale("commit"))
	case code(err) == divisionByZero:
		fresh, err := s.sift(ctx, round)
		switch {
		case err != nil:
			answer(fresh, wrap("commit", err))
		case len(fresh) < len(round):
			s.commitRound(ctx, fresh)
		default: // it is something else than the versions
			half := len(round) / 2
			s.commitRound(ctx, round[:half])
			s.commitRound(ctx, round[half:])
		}
	default:
		s.resolve(ctx, round, err)
	}
}

const versionsQuery = `SELECT x.n, coalesce(d.sync_count, 0), coalesce(d.change_id, 0), i.revision
	FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x (identity_id, name, n)
	JOIN identities i ON i.identity_id = x.identity_id
	LEFT JOIN datasets d ON d.identity_id = x.identity_id AND d.name = x.name`

// sift answers the changes of a group that are stale, and gives the others.
func (s *Store) sift(ctx context.Context, round []*waiting[commitCall]) ([]*waiting[commitCall], error) {
	ids, names := make([]string, len(round)), make([]string, len(round))
	for i, w := range round {
		ids[i], names[i] = string(w.call.c.Key.Identity), string(w.call.c.Key.Dataset)
	}
	rows, err := s.db.Query(ctx, versionsQuery, ids, names)
	if err != nil {
		return round, err
	}
	holds := make([]bool, len(round))
	var n int
	var count, change, revision int64
	if _, err := pgx.ForEachRow(rows, []any{&n, &count, &change, &revision}, func() error {
		c := &round[n-1].call.c.Condition
		holds[n-1] = c.Identity == revision && c.Base == tributary.Version{SyncCount: count, Change: tributary.ChangeID(change)}
		return nil
	}); err != nil {
		return round, err
	}
	var fresh []*waiting[commitCall]
	for i, w := range round {
		if holds[i] {
			fresh = append(fresh, w)
		} else {
			w.done <- stale("commit")
		}
	}
	return fresh, nil
}

// resolveTimeout bounds the search for what became of a group: whoever waits for
// the next one waits for it too.
const resolveTimeout = 2 * time.Second

// resolve answers commits whose outcome is not known, because the connection
// was lost: the change that a dataset has last tells.
func (s *Store) resolve(ctx context.Context, round []*waiting[commitCall], cause error) {
	var e *pgconn.PgError
	if errors.As(cause, &e) {
		answer(round, cause) // the database said no
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	for _, w := range round {
		var change int64
		err := s.db.QueryRow(ctx, `SELECT change_id FROM datasets WHERE identity_id = $1 AND name = $2`,
			string(w.call.c.Key.Identity), string(w.call.c.Key.Dataset)).Scan(&change)
		if err == nil && tributary.ChangeID(change) == w.call.c.ID {
			w.done <- nil
		} else {
			w.done <- cause
		}
	}
}

// transact sends all statements of a transaction at once: one round trip. It
// gives the datasets as they are afterwards.
func (s *Store) transact(ctx context.Context, round []*waiting[commitCall]) ([]codec.Dataset, error) {
	b := &batch{now: s.now()}
	next := make([]codec.Dataset, len(round))
	for i, w := range round {
		d, err := b.add(&w.call)
		if err != nil {
			return nil, err
		}
		next[i] = d
	}
	return next, s.db.SendBatch(ctx, b.queue()).Close()
}

// batch collects what a transaction writes, by column.
type batch struct {
	now        tributary.Millis
	identities identityColumns
	created    datasetColumns
	changed    datasetColumns
	emptied    keyColumns
	forgotten  keyColumns
	records    recordColumns
	log        logColumns
	routes     map[tributary.PoolID]tributary.StreamID
}

type identityColumns struct {
	ids, pools                           []string
	revisions, more, datasets, bytes, at []int64
}

type datasetColumns struct {
	ids, names              []string
	baseCounts, baseChanges []int64
	counts, changes         []int64
	live                    []bool
	bodies                  [][]byte
}

type keyColumns struct {
	ids, names []string
	keys       [][]byte
}

type recordColumns struct {
	keyColumns
	counts  []int64
	removed []bool
	bodies  [][]byte
}

type logColumns struct {
	streams, shards []int64
	bodies          [][]byte
	usage           map[usageID]figures
}

type usageID struct {
	pool  tributary.PoolID
	shard tributary.Shard
}

type figures struct{ bytes, modified int64 }

// add adds a change and gives the dataset that it makes, which shares nothing
// with the request.
func (b *batch) add(call *commitCall) (codec.Dataset, error) {
	c, d := call.c, &call.base
	b.addIdentity(c, d.Head.Exists)
	next := codec.Dataset{Head: c.Next, Split: d.Split && c.Op != tributary.Remove}
	next.Head.Key = c.Key
	switch {
	case c.Op == tributary.Remove:
		if d.Split {
			b.emptied.add(c.Key, "")
		}
	case d.Split:
		for i := range c.Forgotten {
			b.forgotten.add(c.Key, c.Forgotten[i].Key)
		}
		b.records.add(c.Key, c.Records)
	default:
		next.Records = c.Updated(d.Records)
		if codec.Size(next.Records) > codec.SplitAbove {
			b.records.add(c.Key, next.Records)
			next.Split, next.Records = true, nil
		}
	}
	body := codec.AppendDataset(nil, &next)
	if c.Condition.Base == (tributary.Version{}) {
		b.created.add(c, body)
	} else {
		b.changed.add(c, body)
	}
	b.log.add(call.shard, &tributary.Entry{Kind: tributary.EntryChange, Change: c})
	if b.routes == nil {
		b.routes = map[tributary.PoolID]tributary.StreamID{}
	}
	if was, ok := b.routes[c.Key.Pool]; ok && was != c.Condition.Stream {
		return next, &pgconn.PgError{Code: divisionByZero} // one of the two is stale
	}
	b.routes[c.Key.Pool] = c.Condition.Stream
	return codec.DecodeDataset(ownKey(c.Key), string(body))
}

// ownKey copies a key that points into a request.
func ownKey(k tributary.DatasetKey) tributary.DatasetKey {
	return tributary.DatasetKey{
		Pool:     tributary.PoolID(strings.Clone(string(k.Pool))),
		Identity: tributary.IdentityID(strings.Clone(string(k.Identity))),
		Dataset:  tributary.DatasetName(strings.Clone(string(k.Dataset))),
	}
}

func (b *batch) addIdentity(c *tributary.Change, existed bool) {
	var more, datasets int64
	switch {
	case !existed && c.Next.Exists:
		more, datasets = 1, 1
	case existed && !c.Next.Exists:
		more, datasets = 1, -1
	}
	i := &b.identities
	i.ids, i.pools = append(i.ids, string(c.Key.Identity)), append(i.pools, string(c.Key.Pool))
	i.revisions, i.more = append(i.revisions, c.Condition.Identity), append(i.more, more)
	i.datasets, i.bytes, i.at = append(i.datasets, datasets), append(i.bytes, c.PoolBytes), append(i.at, int64(c.At))
}

func (d *datasetColumns) add(c *tributary.Change, body []byte) {
	d.ids, d.names = append(d.ids, string(c.Key.Identity)), append(d.names, string(c.Key.Dataset))
	d.baseCounts, d.baseChanges = append(d.baseCounts, c.Condition.Base.SyncCount), append(d.baseChanges, int64(c.Condition.Base.Change))
	d.counts, d.changes = append(d.counts, c.Next.SyncCount), append(d.changes, int64(c.Next.Change))
	d.live, d.bodies = append(d.live, c.Next.Exists), append(d.bodies, body)
}

func (k *keyColumns) add(key tributary.DatasetKey, record string) {
	k.ids, k.names = append(k.ids, string(key.Identity)), append(k.names, string(key.Dataset))
	k.keys = append(k.keys, []byte(record))
}

func (r *recordColumns) add(key tributary.DatasetKey, records []tributary.Record) {
	for i := range records {
		r.keyColumns.add(key, records[i].Key)
		r.counts, r.removed = append(r.counts, records[i].SyncCount), append(r.removed, records[i].Removed)
		r.bodies = append(r.bodies, codec.AppendRecord(nil, &records[i]))
	}
}

// add adds an entry. When it arrived is for the database to say, in a column.
func (l *logColumns) add(shard tributary.Shard, e *tributary.Entry) {
	l.streams, l.shards = append(l.streams, int64(shard.Stream)), append(l.shards, int64(shard.Number))
	l.bodies = append(l.bodies, codec.AppendEntry(nil, e))
	if e.Kind != tributary.EntryChange {
		return
	}
	if l.usage == nil {
		l.usage = map[usageID]figures{}
	}
	id := usageID{e.Change.Key.Pool, shard}
	u := l.usage[id]
	l.usage[id] = figures{u.bytes + e.Change.PoolBytes, max(u.modified, int64(e.Change.At))}
}

// want makes a statement of rows fail unless it gives n of them: all of a
// transaction is sent at once, so that nobody can look in between.
func want(rows, n string) string {
	return rows + ` SELECT 1 / (CASE WHEN count(*) = ` + n + ` THEN 1 ELSE 0 END) FROM done`
}

var (
	lockIdentities = `SELECT 1 FROM identities WHERE identity_id = ANY($1) ORDER BY identity_id FOR UPDATE`

	updateIdentities = want(`WITH x AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
	AS x (identity_id, pool_id, revision, more, datasets, bytes, at)
), done AS (
	UPDATE identities i SET revision = i.revision + x.more, datasets = i.datasets + x.datasets,
		bytes = i.bytes + x.bytes, data_modified = greatest(i.data_modified, x.at)
	FROM x WHERE i.identity_id = x.identity_id AND i.pool_id = x.pool_id AND i.revision = x.revision RETURNING 1
)`, `$8`)

	insertDatasets = want(`WITH done AS (
	INSERT INTO datasets (identity_id, name, sync_count, change_id, live, body)
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bytea[])
	ON CONFLICT DO NOTHING RETURNING 1
)`, `$7`)

	updateDatasets = want(`WITH x AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bytea[])
	AS x (identity_id, name, base_count, base_change, sync_count, change_id, live, body)
), done AS (
	UPDATE datasets d SET sync_count = x.sync_count, change_id = x.change_id, live = x.live, body = x.body
	FROM x WHERE d.identity_id = x.identity_id AND d.name = x.name AND d.sync_count = x.base_count AND d.change_id = x.base_change RETURNING 1
)`, `$9`)

	deleteAllRecords = `DELETE FROM records r USING unnest($1::text[], $2::text[]) AS x (identity_id, dataset)
	WHERE r.identity_id = x.identity_id AND r.dataset = x.dataset`

	deleteRecords = `DELETE FROM records r USING unnest($1::text[], $2::text[], $3::bytea[]) AS x (identity_id, dataset, key)
	WHERE r.identity_id = x.identity_id AND r.dataset = x.dataset AND r.key = x.key`

	putRecords = `INSERT INTO records (identity_id, dataset, key, sync_count, removed, body)
	SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::boolean[], $6::bytea[])
	ON CONFLICT (identity_id, dataset, key) DO UPDATE SET sync_count = excluded.sync_count, removed = excluded.removed, body = excluded.body`

	lockShards = `SELECT 1 FROM shards WHERE (stream_id, shard) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
	ORDER BY stream_id, shard FOR UPDATE`

	numberEntries = `WITH x AS (
	SELECT stream_id, shard, body, row_number() OVER (PARTITION BY stream_id, shard ORDER BY n) AS n
	FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS x (stream_id, shard, body, n)
), counts AS (
	SELECT stream_id, shard, count(*) AS n FROM x GROUP BY stream_id, shard
), moved AS (
	UPDATE shards s SET last = s.last + c.n, arrived = greatest(s.arrived, $4)
	FROM counts c WHERE s.stream_id = c.stream_id AND s.shard = c.shard AND s.open
	RETURNING s.stream_id, s.shard, s.last - c.n AS before, s.arrived
), done AS (
	INSERT INTO log (stream_id, shard, position, arrived, body)
	SELECT x.stream_id, x.shard, m.before + x.n, m.arrived, x.body
	FROM x JOIN moved m ON m.stream_id = x.stream_id AND m.shard = x.shard
	RETURNING stream_id, shard, position
)`
	appendLog = want(numberEntries, `$5`)

	addUsage = `INSERT INTO usage (pool_id, stream_id, shard, bytes, modified)
	SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
	ON CONFLICT (pool_id, stream_id, shard) DO UPDATE SET bytes = usage.bytes + excluded.bytes, modified = greatest(usage.modified, excluded.modified)`

	// checkRoutes comes last: whoever moves a pool holds the locks of its old
	// stream's shards until the move is made.
	checkRoutes = want(`WITH done AS (
	SELECT 1 FROM pools p JOIN unnest($1::text[], $2::bigint[]) AS x (pool_id, route) ON p.pool_id = x.pool_id AND p.route = x.route
)`, `$3`)
)

// queue gives the transaction's statements in the order of locks: identities,
// then shards. Sent together they are one transaction.
func (b *batch) queue() *pgx.Batch {
	out := &pgx.Batch{}
	i := &b.identities
	if len(i.ids) > 1 {
		out.Queue(lockIdentities, i.ids)
	}
	out.Queue(updateIdentities, i.ids, i.pools, i.revisions, i.more, i.datasets, i.bytes, i.at, len(i.ids))
	if d := &b.created; len(d.ids) > 0 {
		out.Queue(insertDatasets, d.ids, d.names, d.counts, d.changes, d.live, d.bodies, len(d.ids))
	}
	if d := &b.changed; len(d.ids) > 0 {
		out.Queue(updateDatasets, d.ids, d.names, d.baseCounts, d.baseChanges, d.counts, d.changes, d.live, d.bodies, len(d.ids))
	}
	if k := &b.emptied; len(k.ids) > 0 {
		out.Queue(deleteAllRecords, k.ids, k.names)
	}
	if k := &b.forgotten; len(k.ids) > 0 {
		out.Queue(deleteRecords, k.ids, k.names, k.keys)
	}
	if r := &b.records; len(r.ids) > 0 {
		out.Queue(putRecords, r.ids, r.names, r.keys, r.counts, r.removed, r.bodies)
	}
	b.log.queue(out, b.now)
	pools, routes := make([]string, 0, len(b.routes)), make([]int64, 0, len(b.routes))
	for pool, route := range b.routes {
		pools, routes = append(pools, string(pool)), append(routes, int64(route))
	}
	out.Queue(checkRoutes, pools, routes, len(pools))
	return out
}

func (l *logColumns) queue(out *pgx.Batch, now tributary.Millis) {
	if l.manyShards() {
		out.Queue(lockShards, l.streams, l.shards)
	}
	out.Queue(appendLog, l.streams, l.shards, l.bodies, int64(now), len(l.bodies))
	l.queueUsage(out)
}

func (l *logColumns) manyShards() bool {
	for i := range l.shards {
		if l.shards[i] != l.shards[0] || l.streams[i] != l.streams[0] {
			return true
		}
	}
	return false
}

func (l *logColumns) queueUsage(out *pgx.Batch) {
	var pools []string
	var streams, shards, bytes, modified []int64
	for id, u := range l.usage {
		pools, streams, shards = append(pools, string(id.pool)), append(streams, int64(id.shard.Stream)), append(shards, int64(id.shard.Number))
		bytes, modified = append(bytes, u.bytes), append(modified, u.modified)
	}
	if len(pools) > 0 {
		out.Queue(addUsage, pools, streams, shards, bytes, modified)
	}
}
