package pgstore

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"

	"tributary"
)

func noStream(name tributary.StreamName) error {
	return tributary.Errorf(tributary.NotFound, "read stream", "Stream %s not found.", name)
}

// Stream reads a stream by name.
func (s *Store) Stream(ctx context.Context, name tributary.StreamName) (tributary.Stream, error) {
	list, err := listJSON[tributary.Stream](ctx, s, "read stream", `SELECT body FROM streams WHERE name = $1 AND name <> ''`, string(name))
	if err != nil {
		return tributary.Stream{}, err
	}
	if len(list) == 0 {
		return tributary.Stream{}, noStream(name)
	}
	return list[0], nil
}

// Streams lists streams by name.
func (s *Store) Streams(ctx context.Context, after tributary.StreamName, limit int) ([]tributary.Stream, error) {
	return listJSON[tributary.Stream](ctx, s, "list streams", `SELECT body FROM streams WHERE name > $1 ORDER BY name LIMIT $2`, above(string(after)), limit)
}

// streamMaps remembers the streams' shard maps. One that is out of date is
// noticed when a change finds its shard closed.
type streamMaps struct {
	mu   sync.Mutex
	kept map[tributary.StreamID]*tributary.Stream
}

// streamByID reads a stream by its id, from memory unless fresh.
func (s *Store) streamByID(ctx context.Context, id tributary.StreamID, fresh bool) (*tributary.Stream, error) {
	s.maps.mu.Lock()
	have := s.maps.kept[id]
	s.maps.mu.Unlock()
	if have != nil && !fresh {
		return have, nil
	}
	list, err := listJSON[tributary.Stream](ctx, s, "read stream", `SELECT body FROM streams WHERE stream_id = $1`, int64(id))
	if err != nil {
		return nil, err
	}
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	if len(list) == 0 {
		delete(s.maps.kept, id)
		return nil, tributary.Errorf(tributary.NotFound, "read stream", "The stream does not exist")
	}
	if s.maps.kept == nil {
		s.maps.kept = map[tributary.StreamID]*tributary.Stream{}
	}
	s.maps.kept[id] = &list[0]
	return &list[0], nil
}

// shardFor finds the open shard of a hash key.
func (s *Store) shardFor(ctx context.Context, id tributary.StreamID, hash tributary.HashKey, fresh bool) (tributary.Shard, bool, error) {
	st, err := s.streamByID(ctx, id, fresh)
	if tributary.KindOf(err) == tributary.NotFound {
		return tributary.Shard{}, false, nil
	}
	if err != nil {
		return tributary.Shard{}, false, err
	}
	shard, ok := st.ShardFor(hash)
	return shard, ok, nil
}

// PutStream writes a stream and its shard map. Closing a shard takes its lock:
// what holds it before is in the log, what comes after finds it closed.
func (s *Store) PutStream(ctx context.Context, st tributary.Stream) (tributary.Stream, error) {
	const op = "put stream"
	var out tributary.Stream
	err := s.tx(ctx, op, func(tx pgx.Tx) error {
		out = st.Clone()
		var body string
		err := tx.QueryRow(ctx, `SELECT body FROM streams WHERE name = $1 FOR UPDATE`, string(st.Name)).Scan(&body)
		if err != nil && !isNone(err) {
			return err
		}
		if isNone(err) {
			if st.Revision != 0 {
				return stale(op)
			}
			return s.newStream(ctx, tx, &out)
		}
		have, err := decodeJSON[tributary.Stream](op, body)
		if err != nil {
			return err
		}
		if have.Revision != st.Revision || have.ID != st.ID {
			return stale(op)
		}
		if err := have.CheckNext(&st); err != nil {
			return err
		}
		return s.nextStream(ctx, tx, &out)
	})
	if err != nil {
		return st, err
	}
	_, err = s.streamByID(ctx, out.ID, true)
	return out, err
}

// newStream stores a stream under an id above all that ever were, whatever the
// clock says.
func (s *Store) newStream(ctx context.Context, tx pgx.Tx, st *tributary.Stream) error {
	var text string
	if err := tx.QueryRow(ctx, `SELECT value FROM meta WHERE name = 'last_stream' FOR UPDATE`).Scan(&text); err != nil {
		return err
	}
	last, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return wrapStored("put stream", err)
	}
	st.ID = tributary.StreamID(max(uint64(s.now()), last+1))
	st.Revision++
	if _, err := tx.Exec(ctx, `UPDATE meta SET value = $1 WHERE name = 'last_stream'`, strconv.FormatUint(uint64(st.ID), 10)); err != nil {
		return err
	}
	if err := insertStream(ctx, tx, st); err != nil {
		return err
	}
	return insertShards(ctx, tx, st, nil)
}

func insertStream(ctx context.Context, tx pgx.Tx, st *tributary.Stream) error {
	body, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return oneRow("put stream")(tx.Exec(ctx, `INSERT INTO streams (stream_id, name, revision, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		int64(st.ID), string(st.Name), st.Revision, string(body)))
}

// insertShards adds the shards that are not there yet. Those that the last
// restore does not know, of a stream that it may, go on above its gap.
func insertShards(ctx context.Context, tx pgx.Tx, st *tributary.Stream, last *tributary.Restored) error {
	for i := range st.Shards {
		_, begin := last.Gap(tributary.Shard{Stream: st.ID, Number: st.Shards[i].Number})
		if _, err := tx.Exec(ctx, `INSERT INTO shards (stream_id, shard, open, last, trimmed, arrived) VALUES ($1, $2, $3, $4, 0, 0) ON CONFLICT DO NOTHING`,
			int64(st.ID), int64(st.Shards[i].Number), !st.Shards[i].Closed, int64(begin)); err != nil {
			return err
		}
	}
	return nil
}

// nextStream writes the next revision of a stream, whose row is locked.
func (s *Store) nextStream(ctx context.Context, tx pgx.Tx, st *tributary.Stream) error {
	ends, err := lockEnds(ctx, tx, st.ID)
	if err != nil {
		return err
	}
	restored, err := lastRestore(ctx, tx)
	if err != nil {
		return err
	}
	st.Revision++
	if err := insertShards(ctx, tx, st, restored); err != nil {
		return err
	}
	for i := range st.Shards {
		r := &st.Shards[i]
		if !r.Closed {
			continue
		}
		if n := ends[r.Number]; n > 0 {
			r.Last = tributary.PositionOf(tributary.Shard{Stream: st.ID, Number: r.Number}, n)
		}
		if _, err := tx.Exec(ctx, `UPDATE shards SET open = false WHERE stream_id = $1 AND shard = $2`, int64(st.ID), int64(r.Number)); err != nil {
			return err
		}
	}
	body, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return oneRow("put stream")(tx.Exec(ctx, `UPDATE streams SET revision = $2, body = $3 WHERE stream_id = $1`, int64(st.ID), st.Revision, string(body)))
}

// lockEnds locks a stream's shards and gives the counts of their last entries,
// those that were trimmed among them.
func lockEnds(ctx context.Context, tx pgx.Tx, id tributary.StreamID) (map[uint32]uint64, error) {
	if _, err := tx.Exec(ctx, `SELECT 1 FROM shards WHERE stream_id = $1 ORDER BY stream_id, shard FOR UPDATE`, int64(id)); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, lastEntries, int64(id))
	if err != nil {
		return nil, err
	}
	ends := map[uint32]uint64{}
	var number uint32
	var last uint64
	_, err = pgx.ForEachRow(rows, []any{&number, &last}, func() error {
		ends[number] = last
		return nil
	})
	return ends, err
}

// DeleteStream forgets a stream and its log. The figures that its shards hold
// go to the default log's first shard.
func (s *Store) DeleteStream(ctx context.Context, name tributary.StreamName) error {
	const op = "delete stream"
	st, err := s.Stream(ctx, name)
	if err != nil {
		return err
	}
	err = s.tx(ctx, op, func(tx pgx.Tx) error {
		found, err := exists(ctx, tx, `SELECT 1 FROM streams WHERE stream_id = $1 FOR UPDATE`, int64(st.ID))
		if err != nil {
			return err
		}
		if !found {
			return noStream(name)
		}
		used, err := exists(ctx, tx, `SELECT 1 FROM pools WHERE route = $1 LIMIT 1`, int64(st.ID))
		if err != nil {
			return err
		}
		if used {
			return tributary.Errorf(tributary.Exists, op, "A pool writes to stream %s", name)
		}
		return dropStream(ctx, tx, st.ID)
	})
	if err == nil {
		_, _ = s.streamByID(ctx, st.ID, true) // forgets it; the next change would, too
		s.ends.nudge()
	}
	return err
}

func dropStream(ctx context.Context, tx pgx.Tx, id tributary.StreamID) error {
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil { // the log may be large
		return err
	}
	heir := int64(tributary.DefaultStream)
	for _, step := range []string{
		`SELECT 1 FROM shards WHERE stream_id = $1 OR stream_id = $2 AND shard = 0 ORDER BY stream_id, shard FOR UPDATE`,
		`INSERT INTO usage (pool_id, stream_id, shard, bytes, modified)
			SELECT pool_id, $2::bigint, 0, sum(bytes), max(modified) FROM usage WHERE stream_id = $1 GROUP BY pool_id ORDER BY pool_id
			ON CONFLICT (pool_id, stream_id, shard) DO UPDATE SET bytes = usage.bytes + excluded.bytes, modified = greatest(usage.modified, excluded.modified)`,
	} {
		if _, err := tx.Exec(ctx, step, int64(id), heir); err != nil {
			return err
		}
	}
	for _, table := range []string{"usage", "log", "shards", "leases", "streams"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE stream_id = $1`, int64(id)); err != nil {
			return err
		}
	}
	return nil
}
