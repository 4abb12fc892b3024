package pgstore

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/store/codec"
)

// Import writes items into a store that is being filled, in one transaction.
func (s *Store) Import(ctx context.Context, items []tributary.Item) error {
	const op = "import items"
	if err := s.opened(); err != nil {
		return err
	}
	filling := s.filling.Load()
	if filling == nil {
		return tributary.Errorf(tributary.Invalid, op, "the store takes items while it is being filled")
	}
	w := &importer{}
	for i := range items {
		if err := w.add(&items[i]); err != nil {
			return &tributary.Error{Kind: tributary.Invalid, Op: op, Msg: "the " + items[i].Kind.String() + " " + strconv.Quote(items[i].Key) + " cannot be imported", Err: err}
		}
	}
	return retry(ctx, op, func() error {
		return pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL statement_timeout = 0"}, func(tx pgx.Tx) error {
			clear, err := w.clear(ctx, tx)
			if err != nil {
				return err
			}
			err = tx.SendBatch(ctx, w.queue(*filling, clear)).Close()
			if code(err) == divisionByZero {
				return tributary.Errorf(tributary.Invalid, op, "the store is not being filled any more, or by another move")
			}
			return err
		})
	})
}

// importer collects what an import writes, by column. Nothing in it refers to
// anything else: each table is written for itself.
type importer struct {
	figures    []statement
	identities struct {
		ids, pools                                          []string
		revisions, created, modified, datasets, bytes, data []int64
		disabled                                            []bool
		logins                                              [][]byte
		gone                                                []string // all that are written, before they are
		unfinished                                          []string
		links                                               loginColumns
	}
	devices struct {
		ids       []string
		devices   [][]byte
		revisions []int64
		bodies    []string
	}
	datasets struct {
		all     keyColumns
		ids     []string
		names   []string
		counts  []int64
		changes []int64
		live    []bool
		bodies  [][]byte
	}
	records recordColumns
	entries struct {
		streams, shards, positions, arrived []int64
		bodies                              [][]byte
	}
}

// statement is one for a single item: of a kind of which there are few, or that
// is to go.
type statement struct {
	sql  string
	args []any
}

// few adds statements for one item, which run in the order of the items.
func (w *importer) few(sql string, args ...any) {
	w.figures = append(w.figures, statement{sql, args})
}

func (w *importer) add(i *tributary.Item) error {
	switch i.Kind {
	case tributary.ItemStore:
		name := map[string]string{tributary.StoreID: "kept_id", tributary.LastStream: "last_stream", tributary.Restores: "restores"}[i.Key]
		if i.Key == tributary.Restores && i.Value == nil {
			w.few(`DELETE FROM meta WHERE name = 'restores'`)
			return nil
		}
		if name == "" || i.Value == nil {
			return codec.ErrCorrupt
		}
		w.few(`INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, string(i.Value))
		return nil
	case tributary.ItemStream:
		return w.addStream(i)
	case tributary.ItemShard:
		return w.addShard(i)
	case tributary.ItemPool:
		return w.addPool(i)
	case tributary.ItemUsage:
		return w.addUsage(i)
	case tributary.ItemLease:
		return w.addLease(i)
	case tributary.ItemAccessKey:
		return w.addAccessKey(i)
	case tributary.ItemSealingKey:
		return w.addSealingKey(i)
	case tributary.ItemIdentity:
		return w.addIdentity(i)
	case tributary.ItemDevice:
		return w.addDevice(i)
	case tributary.ItemDataset:
		return w.addDataset(i)
	case tributary.ItemEntry:
		return w.addEntry(i)
	}
	return codec.ErrCorrupt
}

func (w *importer) addStream(i *tributary.Item) error {
	id, err := codec.StreamOfKey(i.Key)
	if err != nil || i.Value == nil {
		w.few(`DELETE FROM streams WHERE stream_id = $1`, int64(id))
		return err
	}
	var st tributary.Stream
	if err := json.Unmarshal(i.Value, &st); err != nil {
		return err
	}
	w.few(`INSERT INTO streams (stream_id, name, revision, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (stream_id) DO UPDATE SET name = excluded.name, revision = excluded.revision, body = excluded.body`,
		int64(id), string(st.Name), st.Revision, string(i.Value))
	return nil
}

func (w *importer) addShard(i *tributary.Item) error {
	id, err := codec.ShardOfKey(i.Key)
	if err != nil || i.Value == nil {
		w.few(`DELETE FROM shards WHERE stream_id = $1 AND shard = $2`, int64(id.Stream), int64(id.Number))
		w.few(`DELETE FROM log WHERE stream_id = $1 AND shard = $2`, int64(id.Stream), int64(id.Number))
		return err
	}
	ends, err := codec.DecodeShardEnds(string(i.Value))
	w.few(`INSERT INTO shards (stream_id, shard, open, last, trimmed, arrived) VALUES ($1, $2, $3, $4, $5, 0)
		ON CONFLICT (stream_id, shard) DO UPDATE SET open = excluded.open, last = excluded.last, trimmed = excluded.trimmed`,
		int64(id.Stream), int64(id.Number), ends.Open, int64(ends.Last), int64(ends.Trimmed))
	w.few(`DELETE FROM log WHERE stream_id = $1 AND shard = $2 AND position <= $3`, int64(id.Stream), int64(id.Number), int64(ends.Trimmed))
	return err
}

func (w *importer) addPool(i *tributary.Item) error {
	if i.Value == nil {
		w.few(`DELETE FROM pools WHERE pool_id = $1`, i.Key)
		return nil
	}
	var p tributary.Pool
	err := json.Unmarshal(i.Value, &p)
	w.few(`INSERT INTO pools (pool_id, revision, route, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (pool_id) DO UPDATE SET revision = excluded.revision, route = excluded.route, body = excluded.body`,
		i.Key, p.Revision, int64(p.Route()), string(i.Value))
	return err
}

func (w *importer) addUsage(i *tributary.Item) error {
	w.few(`DELETE FROM usage WHERE pool_id = $1`, i.Key)
	w.few(`DELETE FROM sessions WHERE pool_id = $1`, i.Key)
	if i.Value == nil {
		return nil
	}
	u, err := codec.DecodePoolUsage(string(i.Value))
	for _, of := range u.Shards {
		w.few(`INSERT INTO usage (pool_id, stream_id, shard, bytes, modified) VALUES ($1, $2, $3, $4, $5)`,
			i.Key, int64(of.Shard.Stream), int64(of.Shard.Number), of.Bytes, int64(of.Modified))
	}
	if u.Sessions != 0 {
		w.few(`INSERT INTO sessions (pool_id, sessions) VALUES ($1, $2)`, i.Key, u.Sessions)
	}
	return err
}

func (w *importer) addLease(i *tributary.Item) error {
	group, shard, err := codec.LeaseOfKey(i.Key)
	if err != nil {
		return err
	}
	if i.Value == nil {
		w.few(`DELETE FROM leases WHERE sink = $1 AND stream_id = $2 AND shard = $3`, []byte(group), int64(shard.Stream), int64(shard.Number))
		return nil
	}
	var l tributary.Lease
	err = json.Unmarshal(i.Value, &l)
	w.few(`INSERT INTO leases (sink, stream_id, shard, revision, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (sink, stream_id, shard) DO UPDATE SET revision = excluded.revision, body = excluded.body`,
		[]byte(group), int64(shard.Stream), int64(shard.Number), l.Revision, string(i.Value))
	return err
}

func (w *importer) addAccessKey(i *tributary.Item) error {
	if i.Value == nil {
		w.few(`DELETE FROM access_keys WHERE key_id = $1`, []byte(i.Key))
		return nil
	}
	var k tributary.AccessKey
	err := json.Unmarshal(i.Value, &k)
	w.few(`INSERT INTO access_keys (key_id, revision, body) VALUES ($1, $2, $3)
		ON CONFLICT (key_id) DO UPDATE SET revision = excluded.revision, body = excluded.body`, []byte(i.Key), k.Revision, string(i.Value))
	return err
}

func (w *importer) addSealingKey(i *tributary.Item) error {
	id, err := codec.SealingKeyOf(i.Key)
	if err != nil {
		return err
	}
	if i.Value == nil {
		w.few(`DELETE FROM sealing_keys WHERE key_id = $1`, int64(id))
		return nil
	}
	var k tributary.SealingKey
	err = json.Unmarshal(i.Value, &k)
	w.few(`INSERT INTO sealing_keys (key_id, revision, body) VALUES ($1, $2, $3)
		ON CONFLICT (key_id) DO UPDATE SET revision = excluded.revision, body = excluded.body`, int64(id), k.Revision, string(i.Value))
	return err
}

func (w *importer) addIdentity(item *tributary.Item) error {
	c := &w.identities
	c.gone = append(c.gone, item.Key)
	if item.Value == nil {
		return nil
	}
	i, err := codec.DecodeIdentity(tributary.IdentityID(item.Key), string(item.Value))
	if err != nil {
		return err
	}
	c.ids, c.pools, c.revisions = append(c.ids, item.Key), append(c.pools, string(i.Pool)), append(c.revisions, i.Revision)
	c.created, c.modified, c.disabled = append(c.created, int64(i.Created)), append(c.modified, int64(i.Modified)), append(c.disabled, i.Disabled)
	c.datasets, c.bytes, c.data = append(c.datasets, i.Datasets), append(c.bytes, i.Usage.Bytes), append(c.data, int64(i.Usage.LastModified))
	c.logins = append(c.logins, encodeFacts(&i))
	if i.Unfinished {
		c.unfinished = append(c.unfinished, item.Key)
	}
	for n, l := range i.Logins {
		repeated := false
		for _, before := range i.Logins[:n] {
			repeated = repeated || before == l
		}
		if !repeated {
			c.links.add(&i, l)
		}
	}
	return nil
}

func (w *importer) addDataset(i *tributary.Item) error {
	key, err := codec.DatasetOfKey(i.Key)
	if err != nil {
		return err
	}
	c := &w.datasets
	c.all.add(key, "")
	if i.Value == nil {
		w.few(`DELETE FROM datasets WHERE identity_id = $1 AND name = $2`, string(key.Identity), string(key.Dataset))
		return nil
	}
	d, err := codec.DecodeDataset(key, string(i.Value))
	if err != nil {
		return err
	}
	body := i.Value
	if codec.Size(d.Records) > codec.SplitAbove {
		w.records.add(key, d.Records)
		d.Split, d.Records = true, nil
		body = codec.AppendDataset(nil, &d)
	}
	c.ids, c.names = append(c.ids, string(key.Identity)), append(c.names, string(key.Dataset))
	c.counts, c.changes = append(c.counts, d.Head.SyncCount), append(c.changes, int64(d.Head.Change))
	c.live, c.bodies = append(c.live, d.Head.Exists), append(c.bodies, body)
	return nil
}

func (w *importer) addDevice(i *tributary.Item) error {
	identity, id, err := codec.DeviceOfKey(i.Key)
	if err != nil {
		return err
	}
	if i.Value == nil {
		w.few(`DELETE FROM devices WHERE identity_id = $1 AND device_id = $2`, string(identity), []byte(id))
		return nil
	}
	var d tributary.Device
	err = json.Unmarshal(i.Value, &d)
	c := &w.devices
	c.ids, c.devices = append(c.ids, string(identity)), append(c.devices, []byte(id))
	c.revisions, c.bodies = append(c.revisions, d.Revision), append(c.bodies, string(i.Value))
	return err
}

func (w *importer) addEntry(i *tributary.Item) error {
	shard, n, err := tributary.Position(i.Key).Split()
	if err != nil {
		return err
	}
	if i.Value == nil {
		w.few(`DELETE FROM log WHERE stream_id = $1 AND shard = $2 AND position = $3`, int64(shard.Stream), int64(shard.Number), int64(n))
		return nil
	}
	at, err := codec.Arrival(string(i.Value))
	e := &w.entries
	e.streams, e.shards, e.positions = append(e.streams, int64(shard.Stream)), append(e.shards, int64(shard.Number)), append(e.positions, int64(n))
	e.arrived, e.bodies = append(e.arrived, int64(at)), append(e.bodies, i.Value)
	return err
}

// clear gives what removes the old values of what is written: few have any.
func (w *importer) clear(ctx context.Context, tx pgx.Tx) ([]statement, error) {
	var out []statement
	if len(w.identities.gone) > 0 {
		rows, err := tx.Query(ctx, `SELECT identity_id, pool_id, logins FROM identities WHERE identity_id = ANY($1)`, w.identities.gone)
		if err != nil {
			return nil, err
		}
		var id, pool string
		var logins []byte
		if _, err := pgx.ForEachRow(rows, []any{&id, &pool, &logins}, func() error {
			var was tributary.Identity
			err := decodeFacts(&was, logins)
			for _, l := range was.Logins {
				// A login that leads to another identity by now is that one's.
				out = append(out, statement{`DELETE FROM logins WHERE pool_id = $1 AND provider = $2 AND username = $3 AND identity_id = $4`,
					[]any{pool, []byte(l.Provider), []byte(l.User), id}})
			}
			out = append(out, statement{`DELETE FROM unfinished WHERE identity_id = $1`, []any{id}}, statement{`DELETE FROM identities WHERE identity_id = $1`, []any{id}})
			return wrapStored("read identity "+id, err)
		}); err != nil {
			return nil, err
		}
	}
	if all := &w.datasets.all; len(all.ids) > 0 {
		rows, err := tx.Query(ctx, `SELECT x.identity_id, x.name FROM unnest($1::text[], $2::text[]) AS x (identity_id, name),
			LATERAL (SELECT 1 FROM records r WHERE r.identity_id = x.identity_id AND r.dataset = x.name LIMIT 1) AS r`, all.ids, all.names)
		if err != nil {
			return nil, err
		}
		var id, name string
		if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
			out = append(out, statement{`DELETE FROM records WHERE identity_id = $1 AND dataset = $2`, []any{id, name}})
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

const (
	checkFilling = `WITH held AS (SELECT 1 FROM meta WHERE name = 'transfer' AND value = $1 FOR KEY SHARE) SELECT 1 / count(*) FROM held`

	importLinks = `INSERT INTO logins (identity_id, pool_id, provider, username) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])
		ON CONFLICT (pool_id, provider, username) DO UPDATE SET identity_id = excluded.identity_id`
	importUnfinished = `INSERT INTO unfinished (identity_id) SELECT * FROM unnest($1::text[])`
	importIdentities = `INSERT INTO identities (identity_id, pool_id, revision, disabled, created, modified, logins, datasets, bytes, data_modified)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bigint[], $9::bigint[], $10::bigint[])`
	importDevices = `INSERT INTO devices (identity_id, device_id, revision, body) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[])
		ON CONFLICT (identity_id, device_id) DO UPDATE SET revision = excluded.revision, body = excluded.body`
	importDatasets = `INSERT INTO datasets (identity_id, name, sync_count, change_id, live, body)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bytea[])
		ON CONFLICT (identity_id, name) DO UPDATE SET sync_count = excluded.sync_count, change_id = excluded.change_id, live = excluded.live, body = excluded.body`
	importEntries = `INSERT INTO log (stream_id, shard, position, arrived, body) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
		ON CONFLICT (stream_id, shard, position) DO UPDATE SET arrived = excluded.arrived, body = excluded.body`
)

// queue gives the transaction's statements, the first of which checks that the
// store is being filled by this move.
func (w *importer) queue(filling string, clear []statement) *pgx.Batch {
	out := &pgx.Batch{}
	out.Queue(checkFilling, filling)
	for _, f := range append(clear, w.figures...) {
		out.Queue(f.sql, f.args...)
	}
	if i := &w.identities; len(i.ids) > 0 {
		if len(i.links.ids) > 0 {
			out.Queue(importLinks, i.links.ids, i.links.pools, i.links.providers, i.links.users)
		}
		if len(i.unfinished) > 0 {
			out.Queue(importUnfinished, i.unfinished)
		}
		out.Queue(importIdentities, i.ids, i.pools, i.revisions, i.disabled, i.created, i.modified, i.logins, i.datasets, i.bytes, i.data)
	}
	if d := &w.devices; len(d.ids) > 0 {
		out.Queue(importDevices, d.ids, d.devices, d.revisions, d.bodies)
	}
	if d := &w.datasets; len(d.ids) > 0 {
		out.Queue(importDatasets, d.ids, d.names, d.counts, d.changes, d.live, d.bodies)
	}
	if r := &w.records; len(r.ids) > 0 {
		out.Queue(putRecords, r.ids, r.names, r.keys, r.counts, r.removed, r.bodies)
	}
	if e := &w.entries; len(e.streams) > 0 {
		out.Queue(importEntries, e.streams, e.shards, e.positions, e.arrived, e.bodies)
	}
	return out
}
