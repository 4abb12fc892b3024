package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/store/codec"
)

var _ tributary.Transfer = (*Store)(nil)

// transferTables are all tables that items are made of: a store that is to be
// filled is emptied of them.
var transferTables = []string{"pools", "identities", "unfinished", "logins", "devices", "datasets", "records", "streams", "shards", "log", "usage", "sessions", "leases", "access_keys", "sealing_keys"}

// The kinds of which there are few, with a query that gives all items. Their
// values are text, copied as they are.
var textItems = map[tributary.ItemKind]string{
	tributary.ItemStore: `SELECT CASE name WHEN 'last_stream' THEN 'last stream' WHEN 'restores' THEN 'restores' ELSE 'id' END::bytea, 0::bigint, 0::bigint, value
		FROM meta WHERE name IN ('id', 'kept_id', 'last_stream', 'restores')`,
	tributary.ItemStream:     `SELECT ''::bytea, stream_id, 0::bigint, body FROM streams`,
	tributary.ItemPool:       `SELECT convert_to(pool_id, 'UTF8'), 0::bigint, 0::bigint, body FROM pools`,
	tributary.ItemLease:      `SELECT sink, stream_id, shard, body FROM leases`,
	tributary.ItemAccessKey:  `SELECT key_id, 0::bigint, 0::bigint, body FROM access_keys`,
	tributary.ItemSealingKey: `SELECT ''::bytea, key_id, 0::bigint, body FROM sealing_keys`,
}

// textItemKey makes an item's key of what its query gave.
func textItemKey(kind tributary.ItemKind, name string, shard tributary.Shard) string {
	switch kind {
	case tributary.ItemStream:
		return tributary.StreamItemKey(shard.Stream)
	case tributary.ItemLease:
		return tributary.LeaseItemKey(name, shard)
	case tributary.ItemSealingKey:
		return tributary.SealingItemKey(uint32(shard.Stream))
	}
	return name
}

// Scan gives items of a kind above a key.
func (s *Store) Scan(ctx context.Context, kind tributary.ItemKind, after string, maxBytes int) ([]tributary.Item, error) {
	var out []tributary.Item
	if few(kind) {
		all, err := s.readFew(ctx, kind)
		return codec.PageOf(all, after, maxBytes), err
	}
	err := s.together(ctx, "scan items", func(tx pgx.Tx) (err error) {
		page := codec.Page{Most: maxBytes}
		switch kind {
		case tributary.ItemIdentity:
			page.Items, err = readIdentities(ctx, tx, `WHERE identity_id > $1 ORDER BY identity_id LIMIT $2`, after, pageRows(maxBytes, 100))
		case tributary.ItemDevice:
			page.Items, err = scanDevices(ctx, tx, after, maxBytes)
		case tributary.ItemDataset:
			err = scanDatasets(ctx, tx, after, &page)
		case tributary.ItemEntry:
			page.Items, err = scanEntries(ctx, tx, after, maxBytes)
		}
		out = page.Items
		return err
	})
	return out, err
}

// pageRows is how many rows of a size make a page, at most.
func pageRows(maxBytes, size int) int { return min(max(maxBytes/size, 1), 5000) }

// Fetch gives items as they are now.
func (s *Store) Fetch(ctx context.Context, kind tributary.ItemKind, keys []string) ([]tributary.Item, error) {
	var have []tributary.Item
	if few(kind) {
		have, err := s.readFew(ctx, kind)
		return codec.Pick(have, kind, keys), err
	}
	err := s.together(ctx, "fetch items", func(tx pgx.Tx) (err error) {
		switch kind {
		case tributary.ItemIdentity:
			have, err = readIdentities(ctx, tx, `WHERE identity_id = ANY($1)`, keys)
		case tributary.ItemDevice:
			have, err = fetchDevices(ctx, tx, keys)
		case tributary.ItemDataset:
			have, err = fetchDatasets(ctx, tx, keys)
		case tributary.ItemEntry:
			have, err = fetchEntries(ctx, tx, keys)
		}
		return err
	})
	return codec.Pick(have, kind, keys), err
}

// together reads as of one moment.
func (s *Store) together(ctx context.Context, op string, read func(pgx.Tx) error) error {
	if err := s.opened(); err != nil {
		return err
	}
	return retry(ctx, op, func() error {
		return pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, read)
	})
}

// few tells whether a kind's items are read as a whole, in one query.
func few(kind tributary.ItemKind) bool {
	return kind != tributary.ItemIdentity && kind != tributary.ItemDevice && kind != tributary.ItemDataset && kind != tributary.ItemEntry
}

// readFew reads all items of a kind of which there are few.
func (s *Store) readFew(ctx context.Context, kind tributary.ItemKind) ([]tributary.Item, error) {
	const op = "read items"
	if err := s.opened(); err != nil {
		return nil, err
	}
	query, row := textItems[kind], textItem(kind)
	switch {
	case kind == tributary.ItemUsage:
		return s.readUsage(ctx)
	case kind == tributary.ItemShard:
		query, row = `SELECT stream_id, shard, open, trimmed, last FROM shards`, shardItem
	case query == "":
		return nil, tributary.Errorf(tributary.Invalid, op, "the store has no items of %s", kind)
	}
	rows, err := s.db.Query(ctx, query)
	if err != nil {
		return nil, wrap(op, err)
	}
	out, err := pgx.CollectRows(rows, row)
	return out, wrap(op, err)
}

func textItem(kind tributary.ItemKind) pgx.RowToFunc[tributary.Item] {
	return func(row pgx.CollectableRow) (tributary.Item, error) {
		var name []byte
		var shard tributary.Shard
		var body string
		err := row.Scan(&name, &shard.Stream, &shard.Number, &body)
		return tributary.Item{Kind: kind, Key: textItemKey(kind, string(name), shard), Value: []byte(body)}, err
	}
}

func shardItem(row pgx.CollectableRow) (tributary.Item, error) {
	var id tributary.Shard
	var ends codec.ShardEnds
	err := row.Scan(&id.Stream, &id.Number, &ends.Open, &ends.Trimmed, &ends.Last)
	return tributary.Item{Kind: tributary.ItemShard, Key: tributary.ShardItemKey(id), Value: codec.AppendShardEnds(nil, ends)}, err
}

func (s *Store) readUsage(ctx context.Context) ([]tributary.Item, error) {
	rows, err := s.db.Query(ctx, `SELECT pool_id, stream_id, shard, bytes, modified, 0::bigint FROM usage
		UNION ALL SELECT pool_id, 0, 0, 0, 0, sessions FROM sessions WHERE sessions <> 0 ORDER BY pool_id`)
	if err != nil {
		return nil, wrap("read usage", err)
	}
	var out []tributary.Item
	var now codec.PoolUsage // of the pool whose rows are being read
	var at, pool string
	done := func() {
		if at != "" {
			out = append(out, tributary.Item{Kind: tributary.ItemUsage, Key: at, Value: codec.AppendPoolUsage(nil, &now)})
		}
		at, now = pool, codec.PoolUsage{}
	}
	var u codec.ShardUsage
	var sessions int64
	_, err = pgx.ForEachRow(rows, []any{&pool, &u.Shard.Stream, &u.Shard.Number, &u.Bytes, &u.Modified, &sessions}, func() error {
		if pool != at {
			done()
		}
		if now.Sessions += sessions; sessions == 0 {
			now.Shards = append(now.Shards, u)
		}
		return nil
	})
	done()
	return out, wrap("read usage", err)
}

// readIdentities reads identities and where their logins lead.
func readIdentities(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]tributary.Item, error) {
	rows, err := tx.Query(ctx, `SELECT identity_id, `+identityFields+` FROM identities `+where, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (codec.LinkedIdentity, error) {
		var i codec.LinkedIdentity
		err := scanIdentity(withID{row, &i.ID}, &i.Identity)
		i.Links = make([]tributary.IdentityID, len(i.Logins))
		return i, err
	})
	if err != nil {
		return nil, err
	}
	if err := readLinks(ctx, tx, list); err != nil {
		return nil, err
	}
	out := make([]tributary.Item, len(list))
	for n := range list {
		out[n] = tributary.Item{Kind: tributary.ItemIdentity, Key: string(list[n].ID), Value: codec.AppendIdentity(nil, &list[n])}
	}
	return out, nil
}

func readLinks(ctx context.Context, tx pgx.Tx, list []codec.LinkedIdentity) error {
	var l loginColumns
	var links []*tributary.IdentityID
	for n := range list {
		for at, login := range list[n].Logins {
			l.add(&list[n].Identity, login)
			links = append(links, &list[n].Links[at])
		}
	}
	if len(links) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT x.n, l.identity_id FROM unnest($1::text[], $2::bytea[], $3::bytea[]) WITH ORDINALITY AS x (pool_id, provider, username, n),
		LATERAL (SELECT identity_id FROM logins l WHERE l.pool_id = x.pool_id AND l.provider = x.provider AND l.username = x.username LIMIT 1) AS l`, l.pools, l.providers, l.users)
	if err != nil {
		return err
	}
	var n int
	var id tributary.IdentityID
	_, err = pgx.ForEachRow(rows, []any{&n, &id}, func() error {
		*links[n-1] = id
		return nil
	})
	return err
}

type loginColumns struct {
	ids, pools       []string
	providers, users [][]byte
}

func (l *loginColumns) add(i *tributary.Identity, login tributary.Login) {
	l.ids, l.pools = append(l.ids, string(i.ID)), append(l.pools, string(i.Pool))
	l.providers, l.users = append(l.providers, []byte(login.Provider)), append(l.users, []byte(login.User))
}

// What is read by a list of keys is read by LATERAL and LIMIT, which leaves the
// planner one plan: an index is asked for each key. It plans when it knows
// nothing of the tables' sizes, and might go through a table else.
const datasetColumnsQuery = `SELECT d.identity_id, d.name, d.body FROM `

// scanDatasets reads datasets until a page is full. The sizes of those whose
// records have rows of their own are told by their heads.
func scanDatasets(ctx context.Context, tx pgx.Tx, after string, page *codec.Page) error {
	var of tributary.DatasetKey
	if after != "" {
		var err error
		if of, err = codec.DatasetOfKey(after); err != nil {
			return wrapStored("scan datasets", err)
		}
	}
	list, err := readDatasets(ctx, tx, datasetColumnsQuery+`datasets d WHERE (d.identity_id, d.name) > ($1, $2) ORDER BY d.identity_id, d.name LIMIT $3`,
		string(of.Identity), string(of.Dataset), pageRows(page.Most, 300))
	if err != nil {
		return err
	}
	size := 0
	for n := range list {
		size += 100 + codec.Size(list[n].Records)
		if list[n].Split {
			size += int(list[n].Head.Bytes + list[n].Head.TombstoneBytes)
		}
		if n > 0 && size > page.Most {
			list = list[:n]
			break
		}
	}
	page.Items, err = datasetItems(ctx, tx, list)
	return err
}

func fetchDatasets(ctx context.Context, tx pgx.Tx, keys []string) ([]tributary.Item, error) {
	var k keyColumns
	for _, key := range keys {
		of, err := codec.DatasetOfKey(key)
		if err != nil {
			return nil, wrapStored("fetch datasets", err)
		}
		k.add(of, "")
	}
	list, err := readDatasets(ctx, tx, datasetColumnsQuery+`unnest($1::text[], $2::text[]) AS x (identity_id, name),
		LATERAL (SELECT * FROM datasets d WHERE d.identity_id = x.identity_id AND d.name = x.name LIMIT 1) AS d`, k.ids, k.names)
	if err != nil {
		return nil, err
	}
	return datasetItems(ctx, tx, list)
}

func readDatasets(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]codec.Dataset, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (codec.Dataset, error) {
		var key tributary.DatasetKey
		var body []byte
		if err := row.Scan(&key.Identity, &key.Dataset, &body); err != nil {
			return codec.Dataset{}, err
		}
		d, err := codec.DecodeDataset(key, string(body))
		return d, wrapStored("read dataset "+key.String(), err)
	})
}

// fillRecords reads the records of datasets where they are rows of their own.
func fillRecords(ctx context.Context, tx pgx.Tx, list []codec.Dataset) error {
	split := map[headID]*codec.Dataset{}
	var k keyColumns
	for n := range list {
		if list[n].Split {
			split[idOf(list[n].Head.Key)] = &list[n]
			k.add(list[n].Head.Key, "")
		}
	}
	if len(split) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT r.identity_id, r.dataset, r.body FROM unnest($1::text[], $2::text[]) AS x (identity_id, dataset),
			LATERAL (SELECT * FROM records r WHERE r.identity_id = x.identity_id AND r.dataset = x.dataset ORDER BY r.key OFFSET 0) AS r
			ORDER BY r.identity_id, r.dataset, r.key`, k.ids, k.names)
	if err != nil {
		return err
	}
	var id headID
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&id.identity, &id.dataset, &body}, func() error {
		r, err := codec.DecodeRecord(string(body))
		d := split[id]
		d.Records, d.Split = append(d.Records, r), false
		return wrapStored("read record", err)
	})
	return err
}

// datasetItems makes items of datasets.
func datasetItems(ctx context.Context, tx pgx.Tx, list []codec.Dataset) ([]tributary.Item, error) {
	if err := fillRecords(ctx, tx, list); err != nil {
		return nil, err
	}
	out := make([]tributary.Item, len(list))
	for n := range list {
		d := &list[n]
		d.Split = false
		out[n] = tributary.Item{Kind: tributary.ItemDataset, Key: tributary.DatasetItemKey(d.Head.Key.Identity, d.Head.Key.Dataset), Value: codec.AppendDataset(nil, d)}
	}
	return out, nil
}

// scanEntries reads entries above a position, those that were trimmed and are
// still being deleted left out. A page holds entries of one shard.
func scanEntries(ctx context.Context, tx pgx.Tx, after string, maxBytes int) ([]tributary.Item, error) {
	var of tributary.Shard
	var n uint64
	if after != "" {
		var err error
		if of, n, err = tributary.Position(after).Split(); err != nil {
			return nil, err
		}
	}
	for {
		var b bounds
		err := tx.QueryRow(ctx, `SELECT stream_id, shard, trimmed, last FROM shards WHERE stream_id = $1 AND shard >= $2 OR stream_id > $1 ORDER BY stream_id, shard LIMIT 1`,
			int64(of.Stream), int64(of.Number)).Scan(&of.Stream, &of.Number, &b.trimmed, &b.last)
		if isNone(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if here, _, _ := tributary.Position(after).Split(); here != of {
			n = 0
		}
		list, err := readEntries(ctx, tx, `SELECT stream_id, shard, position, arrived, body FROM (
			SELECT stream_id, shard, position, arrived, body, sum(octet_length(body)) OVER (ORDER BY position) AS through, octet_length(body) AS size
			FROM (SELECT stream_id, shard, position, arrived, body FROM log WHERE stream_id = $1 AND shard = $2 AND position > $3 ORDER BY position LIMIT $4) AS l
		) AS t WHERE through <= $5 OR through = size ORDER BY position`,
			int64(of.Stream), int64(of.Number), int64(max(n, b.trimmed)), pageRows(maxBytes, 100), maxBytes)
		if err != nil || len(list) > 0 {
			return list, err
		}
		of.Number++ // the next one that there is
	}
}

func fetchEntries(ctx context.Context, tx pgx.Tx, keys []string) ([]tributary.Item, error) {
	var streams, shards, positions []int64
	for _, key := range keys {
		of, n, err := tributary.Position(key).Split()
		if err != nil {
			return nil, err
		}
		streams, shards, positions = append(streams, int64(of.Stream)), append(shards, int64(of.Number)), append(positions, int64(n))
	}
	return readEntries(ctx, tx, `SELECT l.* FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS x (stream_id, shard, position),
		LATERAL (SELECT stream_id, shard, position, arrived, body FROM log l WHERE l.stream_id = x.stream_id AND l.shard = x.shard AND l.position = x.position LIMIT 1) AS l,
		LATERAL (SELECT trimmed FROM shards s WHERE s.stream_id = x.stream_id AND s.shard = x.shard LIMIT 1) AS s WHERE l.position > s.trimmed`,
		streams, shards, positions)
}

func readEntries(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]tributary.Item, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (tributary.Item, error) {
		var shard tributary.Shard
		var n uint64
		var arrived tributary.Millis
		var body []byte
		if err := row.Scan(&shard.Stream, &shard.Number, &n, &arrived, &body); err != nil {
			return tributary.Item{}, err
		}
		item := tributary.Item{Kind: tributary.ItemEntry, Key: string(tributary.PositionOf(shard, n))}
		item.Value, err = withArrival(body, arrived)
		return item, wrapStored(fmt.Sprintf("read entry %d of shard %s", n, shard), err)
	})
}

// withArrival is an entry's body with its time of arrival, which has a column
// of its own here.
func withArrival(body []byte, at tributary.Millis) ([]byte, error) {
	text := string(body)
	if has, err := codec.Arrival(text); err != nil || has == at {
		return body, err
	}
	e, err := codec.DecodeEntry(text)
	e.Arrived = at
	if err != nil {
		return nil, err
	}
	return codec.AppendEntry(nil, &e), nil
}
