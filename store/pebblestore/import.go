package pebblestore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

// Import writes items into a store that is being filled. The write of the next
// state makes them durable.
func (s *Store) Import(_ context.Context, items []tributary.Item) error {
	const op = "import items"
	if err := s.failed(); err != nil {
		return err
	}
	s.stateMu.RLock()
	defer s.stateMu.RUnlock()
	if s.state.Phase != tributary.Filling {
		return tributary.Errorf(tributary.Invalid, op, "the store is %s, items are taken while it is being filled", s.state.Phase)
	}
	b := s.db.NewBatch()
	defer b.Close()
	for i := range items {
		if items[i].Kind == tributary.ItemIdentity { // all before any is linked
			if err := s.unlink(b, tributary.IdentityID(items[i].Key)); err != nil {
				return internal(op, err)
			}
		}
	}
	for i := range items {
		if err := s.importItem(b, &items[i]); err != nil {
			return &tributary.Error{Kind: tributary.Invalid, Op: op, Msg: "the " + items[i].Kind.String() + " " + strconv.Quote(items[i].Key) + " cannot be imported", Err: err}
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		s.fail(err)
		return s.failed()
	}
	return nil
}

// put writes a value, or deletes it if it is nil.
func put(b *pebble.Batch, key, value []byte) {
	if value == nil {
		remove(b, key)
	} else {
		set(b, key, value)
	}
}

func (s *Store) importItem(b *pebble.Batch, i *tributary.Item) error {
	switch i.Kind {
	case tributary.ItemStore:
		return importFigure(b, i)
	case tributary.ItemShard:
		return importShard(b, i)
	case tributary.ItemUsage:
		return importUsage(b, i)
	case tributary.ItemLease:
		group, shard, err := codec.LeaseOfKey(i.Key)
		put(b, leaseKey(group, shard), i.Value)
		return err
	case tributary.ItemIdentity:
		return importIdentity(b, i)
	case tributary.ItemDataset:
		return s.importDataset(b, i)
	}
	t := tableOf(i.Kind)
	if t == nil {
		return codec.ErrCorrupt
	}
	key, err := t.key(i.Key)
	put(b, append([]byte{t.letter}, key...), i.Value)
	return err
}

func importFigure(b *pebble.Batch, i *tributary.Item) error {
	switch i.Key {
	case tributary.StoreID:
		put(b, metaID, i.Value)
		return nil
	case tributary.LastStream:
		n, err := strconv.ParseUint(string(i.Value), 10, 64)
		set(b, metaLastStream, binary.BigEndian.AppendUint64(nil, n))
		return err
	case tributary.Restores:
		return importRestores(b, i.Value)
	}
	return codec.ErrCorrupt
}

// importRestores writes the list of restores, each as it is in the list.
func importRestores(b *pebble.Batch, value []byte) error {
	removeAll(b, []byte{tableRestored})
	if value == nil {
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil {
		return err
	}
	for _, text := range list {
		var r tributary.Restored
		if err := json.Unmarshal(text, &r); err != nil {
			return err
		}
		set(b, restoredKey(r.At), text)
	}
	return nil
}

// importShard writes where a log begins. Its end is that of its entries, or of
// what a restore left out; the figures that they carry are imported, and must not
// be counted again.
func importShard(b *pebble.Batch, i *tributary.Item) error {
	id, err := codec.ShardOfKey(i.Key)
	if err != nil {
		return err
	}
	if i.Value == nil {
		removeAll(b, shardKey(tableLog, id))
		remove(b, shardKey(tableHorizon, id))
		remove(b, shardKey(tableFolded, id))
		return nil
	}
	ends, err := codec.DecodeShardEnds(string(i.Value))
	if err != nil {
		return err
	}
	set(b, shardKey(tableFolded, id), binary.BigEndian.AppendUint64(nil, ends.Last))
	if ends.Trimmed == 0 {
		return nil
	}
	set(b, shardKey(tableHorizon, id), binary.BigEndian.AppendUint64(nil, ends.Trimmed))
	return b.DeleteRange(logKey(id, 0), logKey(id, ends.Trimmed+1), nil)
}

func importUsage(b *pebble.Batch, i *tributary.Item) error {
	removeAll(b, textKey(tableUsage, i.Key, ""))
	remove(b, sessionsKey(tributary.PoolID(i.Key)))
	if i.Value == nil {
		return nil
	}
	u, err := codec.DecodePoolUsage(string(i.Value))
	for _, of := range u.Shards {
		value := binary.AppendVarint(nil, of.Bytes)
		set(b, usageKey(tributary.PoolID(i.Key), of.Shard), binary.AppendVarint(value, int64(of.Modified)))
	}
	if u.Sessions != 0 {
		set(b, sessionsKey(tributary.PoolID(i.Key)), binary.AppendVarint(nil, u.Sessions))
	}
	return err
}

// unlink removes an identity with what leads to it. A login that leads to
// another identity by now is that one's.
func (s *Store) unlink(b *pebble.Batch, id tributary.IdentityID) error {
	key := textKey(tableIdentity, string(id))
	value, err := s.get(key)
	if err != nil || value == "" {
		return err
	}
	have, err := decodeIdentity(id, value)
	if err != nil {
		return err
	}
	remove(b, key)
	remove(b, textKey(tableMember, string(have.Pool), string(id)))
	remove(b, textKey(tableOpen, string(id)))
	for _, l := range have.Logins {
		owner, err := s.get(loginKey(have.Pool, l))
		if err != nil {
			return err
		}
		if owner == string(id) {
			remove(b, loginKey(have.Pool, l))
		}
	}
	return nil
}

func importIdentity(b *pebble.Batch, i *tributary.Item) error {
	if i.Value == nil {
		return nil // it was unlinked
	}
	who, err := codec.DecodeIdentity(tributary.IdentityID(i.Key), string(i.Value))
	if err != nil {
		return err
	}
	for _, l := range who.Logins {
		set(b, loginKey(who.Pool, l), []byte(i.Key))
	}
	setIdentity(b, &identity{Identity: who})
	return nil
}

func (s *Store) importDataset(b *pebble.Batch, i *tributary.Item) error {
	key, err := codec.DatasetOfKey(i.Key)
	if err != nil {
		return err
	}
	had, err := s.get(headKey(key))
	if err != nil {
		return err
	}
	if had != "" {
		have, err := decodeDataset(key, had)
		if err != nil {
			return err
		}
		if have.Split {
			removeAll(b, datasetPrefix(tableRecord, key))
			removeAll(b, datasetPrefix(tableIndex, key))
		}
	}
	if i.Value == nil {
		remove(b, headKey(key))
		return nil
	}
	d, err := codec.DecodeDataset(key, string(i.Value))
	if err != nil {
		return err
	}
	if codec.Size(d.Records) > codec.SplitAbove {
		for n := range d.Records {
			writeRecord(b, key, &d.Records[n])
		}
		d.Split = true
	}
	set(b, headKey(key), appendDataset(nil, &dataset{Dataset: d}))
	return nil
}
