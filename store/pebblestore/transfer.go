package pebblestore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

var _ tributary.Transfer = (*Store)(nil)

// table is how the items of a kind that may be many lie in the store: a
// letter, then a key in the order of the items' keys.
type table struct {
	letter byte
	key    func(item string) ([]byte, error) // of an item, without the letter
	item   func(r pebble.Reader, key, value []byte) (tributary.Item, error)
}

// asIs is a table whose keys and values are those of the items.
func asIs(letter byte, kind tributary.ItemKind) *table {
	return &table{letter, sameKey, func(_ pebble.Reader, key, value []byte) (tributary.Item, error) {
		return tributary.Item{Kind: kind, Key: string(key), Value: slices.Clone(value)}, nil
	}}
}

func sameKey(item string) ([]byte, error) { return []byte(item), nil }

// tableOf gives the table of a kind, nil if its items are put together.
func tableOf(kind tributary.ItemKind) *table {
	switch kind {
	case tributary.ItemStream:
		return &table{tableStream, keyOfStream, streamItem}
	case tributary.ItemPool:
		return asIs(tablePool, kind)
	case tributary.ItemAccessKey:
		return asIs(tableKey, kind)
	case tributary.ItemSealingKey:
		return &table{tableSealing, keyOfSealing, sealingItem}
	case tributary.ItemIdentity:
		return &table{tableIdentity, sameKey, identityItem}
	case tributary.ItemDevice:
		return asIs(tableDevice, kind)
	case tributary.ItemDataset:
		return &table{tableHead, sameKey, datasetItem} // the keys' form is the same
	case tributary.ItemEntry:
		return &table{tableLog, keyOfEntry, entryItem}
	}
	return nil
}

// Scan gives items of a kind above a key.
func (s *Store) Scan(_ context.Context, kind tributary.ItemKind, above string, maxBytes int) ([]tributary.Item, error) {
	const op = "scan items"
	t := tableOf(kind)
	if t == nil {
		all, err := s.composed(kind)
		return codec.PageOf(all, above, maxBytes), internal(op, err)
	}
	if err := s.failed(); err != nil {
		return nil, err
	}
	from := []byte{t.letter}
	if above != "" {
		key, err := t.key(above)
		if err != nil {
			return nil, internal(op, err)
		}
		from = append(append(from, key...), 0)
	}
	snapshot := s.db.NewSnapshot()
	page := codec.Page{Most: maxBytes}
	err := scanRange(snapshot, from, after([]byte{t.letter}), func(key, value []byte) error {
		item, err := t.item(snapshot, key[1:], value)
		if err == nil && !page.Add(item) {
			return errStop
		}
		return err
	})
	return page.Items, internal(op, errors.Join(err, snapshot.Close()))
}

// Fetch gives items as they are now.
func (s *Store) Fetch(_ context.Context, kind tributary.ItemKind, keys []string) ([]tributary.Item, error) {
	const op = "fetch items"
	t := tableOf(kind)
	if t == nil {
		all, err := s.composed(kind)
		return codec.Pick(all, kind, keys), internal(op, err)
	}
	if err := s.failed(); err != nil {
		return nil, err
	}
	snapshot := s.db.NewSnapshot()
	out, err := fetch(snapshot, t, kind, keys)
	return out, internal(op, errors.Join(err, snapshot.Close()))
}

func fetch(r pebble.Reader, t *table, kind tributary.ItemKind, keys []string) ([]tributary.Item, error) {
	out := make([]tributary.Item, len(keys))
	for n, item := range keys {
		key, err := t.key(item)
		if err != nil {
			return nil, err
		}
		value, err := getFrom(r, append([]byte{t.letter}, key...))
		if err != nil {
			return nil, err
		}
		out[n] = tributary.Item{Kind: kind, Key: item}
		if value == "" {
			continue
		}
		if out[n], err = t.item(r, key, []byte(value)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func keyOfStream(item string) ([]byte, error) {
	id, err := codec.StreamOfKey(item)
	return binary.BigEndian.AppendUint64(nil, uint64(id)), err
}

func streamItem(_ pebble.Reader, key, value []byte) (tributary.Item, error) {
	id := tributary.StreamID(binary.BigEndian.Uint64(key))
	return tributary.Item{Kind: tributary.ItemStream, Key: tributary.StreamItemKey(id), Value: slices.Clone(value)}, nil
}

func keyOfSealing(item string) ([]byte, error) {
	id, err := codec.SealingKeyOf(item)
	return binary.BigEndian.AppendUint32(nil, id), err
}

func sealingItem(_ pebble.Reader, key, value []byte) (tributary.Item, error) {
	id := binary.BigEndian.Uint32(key)
	return tributary.Item{Kind: tributary.ItemSealingKey, Key: tributary.SealingItemKey(id), Value: slices.Clone(value)}, nil
}

func keyOfEntry(item string) ([]byte, error) {
	shard, n, err := tributary.Position(item).Split()
	return logKey(shard, n)[1:], err
}

func entryItem(_ pebble.Reader, key, value []byte) (tributary.Item, error) {
	at := tributary.PositionOf(readShard(key), logCount(key))
	return tributary.Item{Kind: tributary.ItemEntry, Key: string(at), Value: slices.Clone(value)}, nil
}

func identityItem(r pebble.Reader, key, value []byte) (tributary.Item, error) {
	item := tributary.Item{Kind: tributary.ItemIdentity, Key: string(key)}
	i, err := decodeIdentity(tributary.IdentityID(item.Key), string(value))
	if err != nil {
		return item, internal("read identity "+item.Key, err)
	}
	linked := codec.LinkedIdentity{Identity: i.Identity, Links: make([]tributary.IdentityID, len(i.Logins))}
	for n, l := range i.Logins {
		id, err := getFrom(r, loginKey(i.Pool, l))
		if err != nil {
			return item, err
		}
		linked.Links[n] = tributary.IdentityID(id)
	}
	item.Value = codec.AppendIdentity(nil, &linked)
	return item, nil
}

func datasetItem(r pebble.Reader, key, value []byte) (tributary.Item, error) {
	item := tributary.Item{Kind: tributary.ItemDataset, Key: string(key)}
	of, err := codec.DatasetOfKey(item.Key)
	if err != nil {
		return item, err
	}
	place := codec.Reader{Rest: string(value)}
	readPlace(&place)
	d, err := codec.DecodeDataset(of, place.Rest)
	if err = errors.Join(place.Err, err); err != nil {
		return item, internal("read dataset "+of.String(), err)
	}
	if !d.Split {
		item.Value = []byte(place.Rest)
		return item, nil
	}
	d.Split = false
	err = scan(r, datasetPrefix(tableRecord, of), func(_, value []byte) error {
		record, err := codec.DecodeRecord(string(value))
		d.Records = append(d.Records, record)
		return err
	})
	item.Value = codec.AppendDataset(nil, &d)
	return item, err
}

// composed puts together the items of a kind that are few. They lie in several
// tables, or in another order than the items.
func (s *Store) composed(kind tributary.ItemKind) ([]tributary.Item, error) {
	if err := s.failed(); err != nil {
		return nil, err
	}
	switch kind {
	case tributary.ItemStore:
		return s.storeItems()
	case tributary.ItemShard:
		return s.shardItems()
	case tributary.ItemUsage:
		return s.usageItems()
	case tributary.ItemLease:
		return s.leaseItems()
	}
	return nil, tributary.Errorf(tributary.Invalid, "read items", "the store has no items of %s", kind)
}

func (s *Store) storeItems() ([]tributary.Item, error) {
	id, err := s.get(metaID)
	if err != nil {
		return nil, err
	}
	last, err := s.get(metaLastStream)
	if err != nil {
		return nil, err
	}
	n := uint64(tributary.DefaultStream)
	if last != "" {
		n = binary.BigEndian.Uint64([]byte(last))
	}
	out := []tributary.Item{{Kind: tributary.ItemStore, Key: tributary.LastStream, Value: strconv.AppendUint(nil, n, 10)}}
	if id != "" {
		out = append(out, tributary.Item{Kind: tributary.ItemStore, Key: tributary.StoreID, Value: []byte(id)})
	}
	restores, err := restoresItem(s.db)
	if restores.Value != nil {
		out = append(out, restores)
	}
	return out, err
}

// restoresItem makes a list of the restores, each as it was written.
func restoresItem(r pebble.Reader) (tributary.Item, error) {
	item := tributary.Item{Kind: tributary.ItemStore, Key: tributary.Restores}
	var list []json.RawMessage
	err := scan(r, []byte{tableRestored}, func(_, value []byte) error {
		list = append(list, slices.Clone(value))
		return nil
	})
	if err == nil && len(list) > 0 {
		item.Value, err = json.Marshal(list)
	}
	return item, err
}

// shardItems reads where the logs begin and end, of every stream's every shard.
// Of a store that is being filled a shard is not there until it is known that
// the figures of all its entries are.
func (s *Store) shardItems() ([]tributary.Item, error) {
	filling := s.standby.Load() != nil
	snapshot := s.db.NewSnapshot()
	restores, err := loadRestored(snapshot)
	if err != nil {
		return nil, errors.Join(err, snapshot.Close())
	}
	var out []tributary.Item
	err = scan(snapshot, []byte{tableStream}, func(_, value []byte) error {
		var st tributary.Stream
		if err := json.Unmarshal(value, &st); err != nil {
			return err
		}
		for _, r := range st.Shards {
			id := tributary.Shard{Stream: st.ID, Number: r.Number}
			trimmed, last, err := logEnds(snapshot, id)
			if err != nil {
				return err
			}
			_, restored := latest(restores).Gap(id)
			last = max(last, restored)
			folded, err := getFrom(snapshot, shardKey(tableFolded, id))
			if err != nil {
				return err
			}
			if filling && (folded == "" || binary.BigEndian.Uint64([]byte(folded)) != last) {
				continue
			}
			out = append(out, tributary.Item{Kind: tributary.ItemShard, Key: tributary.ShardItemKey(id),
				Value: codec.AppendShardEnds(nil, codec.ShardEnds{Open: !r.Closed, Trimmed: trimmed, Last: last})})
		}
		return nil
	})
	return out, errors.Join(err, snapshot.Close())
}

// logEnds finds the counts of the last entry that was trimmed and of the last.
func logEnds(r pebble.Reader, id tributary.Shard) (trimmed, last uint64, err error) {
	horizon, err := getFrom(r, shardKey(tableHorizon, id))
	if err != nil {
		return 0, 0, err
	}
	if horizon != "" {
		trimmed = binary.BigEndian.Uint64([]byte(horizon))
	}
	prefix := shardKey(tableLog, id)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return 0, 0, err
	}
	last = trimmed
	if it.Last() {
		last = logCount(it.Key())
	}
	return trimmed, last, errors.Join(it.Error(), it.Close())
}

// usageItems reads the pools' figures, once those that are in memory alone have
// been written.
func (s *Store) usageItems() ([]tributary.Item, error) {
	if s.refusal() == nil {
		if err := s.foldAll(); err != nil {
			return nil, err
		}
	}
	snapshot := s.db.NewSnapshot()
	pools := map[string]*codec.PoolUsage{}
	of := func(pool string) *codec.PoolUsage {
		if pools[pool] == nil {
			pools[pool] = &codec.PoolUsage{}
		}
		return pools[pool]
	}
	usage := scan(snapshot, []byte{tableUsage}, func(key, value []byte) error {
		pool, shard, err := readUsageKey(key)
		if err != nil {
			return err
		}
		r := codec.Reader{Rest: string(value)}
		u := of(string(pool))
		u.Shards = append(u.Shards, codec.ShardUsage{Shard: shard, Bytes: r.Int(), Modified: tributary.Millis(r.Int())})
		return r.Err
	})
	sessions := scan(snapshot, []byte{tableSessions}, func(key, value []byte) error {
		r := codec.Reader{Rest: string(value)}
		if n := r.Int(); n != 0 {
			of(string(key[1:])).Sessions = n
		}
		return r.Err
	})
	out := make([]tributary.Item, 0, len(pools))
	for _, pool := range slices.Sorted(maps.Keys(pools)) {
		out = append(out, tributary.Item{Kind: tributary.ItemUsage, Key: pool, Value: codec.AppendPoolUsage(nil, pools[pool])})
	}
	return out, errors.Join(usage, sessions, snapshot.Close())
}

func (s *Store) leaseItems() ([]tributary.Item, error) {
	const tail = 1 + 12 // a zero byte and the shard
	var out []tributary.Item
	err := scan(s.db, []byte{tableLease}, func(key, value []byte) error {
		if len(key) < 1+tail {
			return codec.ErrCorrupt
		}
		group, shard := string(key[1:len(key)-tail]), readShard(key[len(key)-12:])
		out = append(out, tributary.Item{Kind: tributary.ItemLease, Key: tributary.LeaseItemKey(group, shard), Value: slices.Clone(value)})
		return nil
	})
	return out, err
}
