package pgstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/store/codec"
)

// Shards lists all shards, the default log's among them.
func (s *Store) Shards(ctx context.Context) ([]tributary.Shard, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	last, err := s.readEnds(ctx)
	if err != nil {
		return nil, wrap("list shards", err)
	}
	out := make([]tributary.Shard, 0, len(last))
	for id := range last {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b tributary.Shard) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number))
	})
	return out, nil
}

func (s *Store) readEnds(ctx context.Context) (map[tributary.Shard]uint64, error) {
	rows, err := s.db.Query(ctx, `SELECT stream_id, shard, last FROM shards`)
	if err != nil {
		return nil, err
	}
	out := map[tributary.Shard]uint64{}
	var id tributary.Shard
	var last uint64
	_, err = pgx.ForEachRow(rows, []any{&id.Stream, &id.Number, &last}, func() error {
		out[id] = last
		return nil
	})
	return out, err
}

// bounds is where a shard's log begins and ends. After a restore the last count
// may be one that no entry has.
type bounds struct {
	trimmed, last uint64
	arrived       tributary.Millis // when the last entry did
}

func (b *bounds) check(op string, id tributary.Shard, p tributary.Position) (uint64, error) {
	if p == "" {
		return 0, nil
	}
	of, n, err := p.Split()
	if err != nil {
		return 0, err
	}
	if of != id || n > b.last {
		return 0, tributary.Errorf(tributary.Invalid, op, "Sequence number %s is not of shard %s", p, id)
	}
	return n, nil
}

// locate finds a shard's log and the count that a position in it stands for.
func (s *Store) locate(ctx context.Context, op string, id tributary.Shard, p tributary.Position) (bounds, uint64, error) {
	var b bounds
	if err := s.alive(); err != nil {
		return b, 0, err
	}
	err := s.db.QueryRow(ctx, `SELECT trimmed, last, arrived FROM shards WHERE stream_id = $1 AND shard = $2`, int64(id.Stream), int64(id.Number)).Scan(&b.trimmed, &b.last, &b.arrived)
	if isNone(err) {
		return b, 0, noShard(op, id)
	}
	if err != nil {
		return b, 0, wrap(op, err)
	}
	n, err := b.check(op, id, p)
	return b, n, err
}

func noShard(op string, id tributary.Shard) error {
	return tributary.Errorf(tributary.NotFound, op, "Shard %s does not exist", id)
}

// maxRead bounds the entries of one read; their sizes are looked at first.
const maxRead = 2000

const readQuery = `SELECT position, arrived, body FROM (
	SELECT position, arrived, body, sum(octet_length(body)) OVER (ORDER BY position) AS through, octet_length(body) AS size
	FROM (SELECT position, arrived, body FROM log WHERE stream_id = $1 AND shard = $2 AND position > $3 ORDER BY position LIMIT $4) AS l
) AS t WHERE through <= $5 OR through = size ORDER BY position`

// Read gives the entries above a position.
func (s *Store) Read(ctx context.Context, id tributary.Shard, p tributary.Position, maxBytes int) ([]tributary.Entry, error) {
	const op = "read log"
	b, n, err := s.locate(ctx, op, id, p)
	if err != nil || max(n, b.trimmed) >= b.last {
		return nil, err
	}
	rows, err := s.db.Query(ctx, readQuery, int64(id.Stream), int64(id.Number), int64(max(n, b.trimmed)), maxRead, maxBytes)
	if err != nil {
		return nil, wrap(op, err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (tributary.Entry, error) {
		var position uint64
		var arrived tributary.Millis
		var body []byte
		if err := row.Scan(&position, &arrived, &body); err != nil {
			return tributary.Entry{}, err
		}
		e, err := codec.DecodeEntry(string(body))
		e.Position, e.Arrived = tributary.PositionOf(id, position), arrived
		return e, wrapStored(op, err)
	})
	return out, wrap(op, err)
}

// Find gives the position below the first entry that arrived at or after a time.
// Numbers that a restore left out arrived with the entry above them, or with the
// last one.
func (s *Store) Find(ctx context.Context, id tributary.Shard, at tributary.Millis) (tributary.Position, error) {
	const op = "find"
	b, _, err := s.locate(ctx, op, id, "")
	if err != nil {
		return "", err
	}
	if b.arrived < at {
		return tributary.PositionOf(id, b.last), nil
	}
	// Arrival never goes back within a shard. Most look for one of its ends.
	low, high := b.trimmed, b.last
	for middle := low; low < high; middle = low + (high-low)/2 {
		n, arrived, err := s.next(ctx, id, middle)
		if err != nil {
			return "", wrap(op, err)
		}
		if n > 0 && arrived < at {
			low = n
		} else {
			high = middle
		}
	}
	return tributary.PositionOf(id, low), nil
}

// next gives the count of the first entry above one, and when it arrived; 0 if
// there is none.
func (s *Store) next(ctx context.Context, id tributary.Shard, above uint64) (n uint64, arrived tributary.Millis, err error) {
	err = s.db.QueryRow(ctx, `SELECT position, arrived FROM log WHERE stream_id = $1 AND shard = $2 AND position > $3 ORDER BY position LIMIT 1`,
		int64(id.Stream), int64(id.Number), int64(above)).Scan(&n, &arrived)
	if isNone(err) {
		err = nil
	}
	return n, arrived, err
}

// Trim forgets entries. The horizon moves first: what is left behind it after
// a crash goes with the next trim.
func (s *Store) Trim(ctx context.Context, id tributary.Shard, through tributary.Position) error {
	const op, chunk = "trim", 5000
	b, n, err := s.locate(ctx, op, id, through)
	if err != nil || n <= b.trimmed {
		return err
	}
	if err := s.tx(ctx, op, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE shards SET trimmed = greatest(trimmed, $3) WHERE stream_id = $1 AND shard = $2`, int64(id.Stream), int64(id.Number), int64(n))
		return err
	}); err != nil {
		return err
	}
	for done := uint64(0); done < n; {
		first, _, err := s.next(ctx, id, done) // what a restore left out is passed over
		if err != nil || first == 0 || first > n {
			return wrap(op, err)
		}
		done = min(first+chunk, n)
		if err := s.tx(ctx, op, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM log WHERE stream_id = $1 AND shard = $2 AND position <= $3`, int64(id.Stream), int64(id.Number), int64(done))
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// LogBytes estimates the bytes of a shard's entries.
func (s *Store) LogBytes(ctx context.Context, id tributary.Shard) (int64, error) {
	const op = "estimate log"
	held, err := s.held(ctx, op, id)
	if err != nil {
		return 0, err
	}
	counts := held.Sample(codec.LogSample)
	positions := make([]int64, len(counts))
	for i, n := range counts {
		positions[i] = int64(n)
	}
	var sampled, bytes int64
	err = s.db.QueryRow(ctx, `SELECT count(*), coalesce(sum(l.size), 0)::bigint FROM unnest($3::bigint[]) AS x (position),
		LATERAL (SELECT octet_length(body) AS size FROM log l WHERE l.stream_id = $1 AND l.shard = $2 AND l.position = x.position LIMIT 1) AS l`,
		int64(id.Stream), int64(id.Number), positions).Scan(&sampled, &bytes)
	return held.Estimate(sampled, bytes), wrap(op, err)
}

// held tells which entries a shard's log holds.
func (s *Store) held(ctx context.Context, op string, id tributary.Shard) (codec.Held, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	var b bounds
	var stored []byte
	err := s.db.QueryRow(ctx, `SELECT trimmed, last, (SELECT value FROM meta WHERE name = 'restores') FROM shards WHERE stream_id = $1 AND shard = $2`,
		int64(id.Stream), int64(id.Number)).Scan(&b.trimmed, &b.last, &stored)
	if isNone(err) {
		return nil, noShard(op, id)
	}
	if err != nil {
		return nil, wrap(op, err)
	}
	restores, err := decodeRestores(stored)
	return codec.HeldBy(restores, id, b.trimmed, b.last), err
}

// Append adds snapshots and foreign records, all of them or none, and the marks
// in the same transaction. Those are locked before the shards, which everybody
// waits for.
func (s *Store) Append(ctx context.Context, stream tributary.StreamID, entries []tributary.Entry, marks ...tributary.Lease) ([]tributary.Position, error) {
	const op = "append"
	if err := s.alive(); err != nil || len(entries)+len(marks) == 0 {
		return nil, err
	}
	var out []tributary.Position
	err := s.tx(ctx, op, func(tx pgx.Tx) error {
		if len(entries) == 0 {
			return swapLeases(ctx, tx, marks...)
		}
		of, err := lockStream(ctx, tx, stream)
		if err != nil {
			return err
		}
		if err := checkSnapshots(ctx, tx, entries); err != nil {
			return err
		}
		if err := swapLeases(ctx, tx, marks...); err != nil {
			return err
		}
		var log logColumns
		shards := make([]tributary.Shard, len(entries))
		for i := range entries {
			shard, open := of.ShardFor(hashOf(&entries[i]))
			if !open {
				return stale(op)
			}
			shards[i] = shard
			log.add(shard, &entries[i])
		}
		out, err = log.append(ctx, tx, shards, s.now())
		return err
	})
	s.ends.nudge()
	return out, err
}

// lockStream reads a stream, whose shard map stays as it is until the
// transaction ends.
func lockStream(ctx context.Context, tx pgx.Tx, id tributary.StreamID) (*tributary.Stream, error) {
	const op = "read stream"
	var body string
	err := tx.QueryRow(ctx, `SELECT body FROM streams WHERE stream_id = $1 FOR SHARE`, int64(id)).Scan(&body)
	if isNone(err) {
		return nil, tributary.Errorf(tributary.NotFound, op, "The stream does not exist")
	}
	if err != nil {
		return nil, err
	}
	st, err := decodeJSON[tributary.Stream](op, body)
	return &st, err
}

func hashOf(e *tributary.Entry) tributary.HashKey {
	if e.Kind == tributary.EntryForeign {
		return e.Foreign.HashKey
	}
	return tributary.HashOf(e.PartitionKey())
}

// checkSnapshots locks the identities that snapshots are of, and refuses one
// of a dataset that has moved.
func checkSnapshots(ctx context.Context, tx pgx.Tx, entries []tributary.Entry) error {
	var ids []string
	for i := range entries {
		if entries[i].Kind != tributary.EntryForeign {
			ids = append(ids, string(entries[i].Change.Key.Identity))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, lockIdentities, ids); err != nil {
		return err
	}
	for i := range entries {
		if entries[i].Kind == tributary.EntryForeign {
			continue
		}
		c := entries[i].Change
		var count, change int64
		err := tx.QueryRow(ctx, `SELECT sync_count, change_id FROM datasets WHERE identity_id = $1 AND name = $2`, string(c.Key.Identity), string(c.Key.Dataset)).Scan(&count, &change)
		if err != nil && !isNone(err) {
			return err
		}
		if c.Condition.Base != (tributary.Version{SyncCount: count, Change: tributary.ChangeID(change)}) {
			return stale("append")
		}
	}
	return nil
}

// append writes entries and gives their positions.
func (l *logColumns) append(ctx context.Context, tx pgx.Tx, shards []tributary.Shard, now tributary.Millis) ([]tributary.Position, error) {
	if _, err := tx.Exec(ctx, lockShards, l.streams, l.shards); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, numberEntries+` SELECT shard, position FROM done ORDER BY shard, position`, l.streams, l.shards, l.bodies, int64(now))
	if err != nil {
		return nil, err
	}
	numbered := map[uint32][]uint64{}
	var shard uint32
	var n uint64
	_, err = pgx.ForEachRow(rows, []any{&shard, &n}, func() error {
		numbered[shard] = append(numbered[shard], n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]tributary.Position, len(shards))
	for i, id := range shards {
		if len(numbered[id.Number]) == 0 {
			return nil, stale("append") // the shard was closed
		}
		out[i] = tributary.PositionOf(id, numbered[id.Number][0])
		numbered[id.Number] = numbered[id.Number][1:]
	}
	return out, nil
}

// ends follows where the logs end while somebody waits for it.
type ends struct {
	mu      sync.Mutex // guards what follows
	last    map[tributary.Shard]uint64
	waiting int
	joined  bool          // somebody began to wait after last was read
	wake    chan struct{} // closed when last was read anew
	look    chan struct{} // has room for one: read at once
}

func (e *ends) init() { e.wake, e.look = make(chan struct{}), make(chan struct{}, 1) }

// nudge makes the next look come at once.
func (e *ends) nudge() {
	select {
	case e.look <- struct{}{}:
	default:
	}
}

// join counts a waiter in or out, and gives what tells of news.
func (e *ends) join(by int) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting += by
	e.joined = e.joined || by > 0
	return e.wake
}

func (e *ends) at(id tributary.Shard) (last uint64, exists bool, wake <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, exists = e.last[id]
	return last, exists, e.wake
}

// tell publishes what was read, and tells whether anything has moved.
func (e *ends) tell(last map[tributary.Shard]uint64) (moved bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	moved = !maps.Equal(e.last, last)
	if moved || e.joined {
		e.last, e.joined = last, false
		close(e.wake)
		e.wake = make(chan struct{})
	}
	return moved
}

const (
	lookOften  = 10 * time.Millisecond // while the log moves
	lookSeldom = 50 * time.Millisecond
	quietAfter = 2 * time.Second
)

// watch reads where the logs end, as long as somebody waits for it: at once
// after a commit of this node, else by the clock, for those of others.
func (s *Store) watch(ctx context.Context) {
	tick := time.NewTimer(lookSeldom)
	defer tick.Stop()
	moved := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.ends.look:
		case <-tick.C:
		}
		if s.ends.needed() {
			if last, err := s.readEnds(ctx); err == nil && s.ends.tell(last) {
				moved = time.Now()
			}
		}
		pause := lookOften
		if time.Since(moved) > quietAfter {
			pause = lookSeldom
		}
		tick.Reset(pause)
	}
}

func (e *ends) needed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.waiting > 0
}

// Wait returns when there is an entry above a position.
func (s *Store) Wait(ctx context.Context, id tributary.Shard, p tributary.Position) error {
	const op = "wait"
	wake := s.ends.join(+1)
	defer s.ends.join(-1)
	b, n, err := s.locate(ctx, op, id, p)
	if err != nil {
		return err
	}
	if n, err = s.awaited(ctx, id, &b, max(n, b.trimmed)); err != nil {
		return wrap(op, err)
	}
	for last, exists := b.last, true; exists && last <= n; {
		select {
		case <-wake:
		case <-ctx.Done():
			return &tributary.Error{Kind: tributary.Unavailable, Op: op, Msg: "The request was given up", Err: ctx.Err()}
		case <-s.done:
			return s.alive()
		}
		last, exists, wake = s.ends.at(id)
	}
	return nil
}

// lastEntries gives the counts of a stream's last entries, those that were
// trimmed among them, by shard.
const lastEntries = `SELECT shard, greatest(trimmed, coalesce((SELECT max(position) FROM log l WHERE l.stream_id = s.stream_id AND l.shard = s.shard), 0))
	FROM shards s WHERE stream_id = $1`

// awaited is the count above which the next entry is to come for whoever has
// read up to n: n, or the log's end if a restore left out all that lies between.
func (s *Store) awaited(ctx context.Context, id tributary.Shard, b *bounds, n uint64) (uint64, error) {
	if n >= b.last {
		return n, nil
	}
	var last uint64
	err := s.db.QueryRow(ctx, lastEntries+` AND shard = $2`, int64(id.Stream), int64(id.Number)).Scan(&id.Number, &last)
	if isNone(err) { // deleted meanwhile
		return n, nil
	}
	if last <= n {
		n = b.last
	}
	return n, err
}
