package pebblestore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

// cursor reads a table of the layout beside another one, whose keys it follows
// in the same order.
type cursor struct {
	c  *checker
	it *pebble.Iterator
	ok bool
}

func (c *checker) follow(table byte) (*cursor, error) {
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		return nil, err
	}
	return &cursor{c, it, it.First()}, nil
}

// take calls f for the keys that begin with a prefix. Those before them belong
// to nothing that was asked for.
func (k *cursor) take(prefix []byte, f func(key []byte, value string) error) error {
	for ; k.ok; k.ok = k.it.Next() {
		key := k.it.Key()
		mine := strings.HasPrefix(string(key), string(prefix))
		if !mine && string(key) > string(prefix) {
			return nil
		}
		k.c.Keys++
		value, err := k.it.ValueAndErr()
		if err != nil {
			return err
		}
		if !mine {
			k.c.fault(key, "what it belongs to does not exist")
		} else if err := f(key, string(value)); err != nil {
			k.c.fault(key, "%v", err)
		}
	}
	return k.it.Error()
}

// end takes what is left, which belongs to nothing.
func (k *cursor) end(table byte) error {
	return errors.Join(k.take([]byte{table + 1}, nil), k.it.Close())
}

// dataWalk reads identities, and beside them their datasets, records and devices.
type dataWalk struct {
	*checker
	heads, records, index, devices *cursor
}

// checkIdentities checks identities with all that is theirs.
func (c *checker) checkIdentities() (err error) {
	w := &dataWalk{checker: c}
	for table, k := range map[byte]**cursor{tableHead: &w.heads, tableRecord: &w.records, tableIndex: &w.index, tableDevice: &w.devices} {
		if *k, err = c.follow(table); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, (*k).end(table)) }()
	}
	return c.walk(tableIdentity, func(key []byte, value string) error {
		c.Identities++
		id := tributary.IdentityID(key[1:])
		i, err := decodeIdentity(id, value)
		if err != nil {
			return err
		}
		if err := w.checkIdentity(key, i); err != nil {
			return fmt.Errorf("its datasets cannot be read: %w", err)
		}
		return nil
	})
}

func (w *dataWalk) checkIdentity(key []byte, i *identity) error {
	if p := w.pools[i.Pool]; p == nil {
		w.fault(key, "its pool %s does not exist", i.Pool)
	} else {
		p.held += i.Usage.Bytes
	}
	if i.Revision < 1 {
		w.fault(key, "it has revision %d", i.Revision)
	}
	w.checkPlace(key, i.at)
	w.checkPlace(key, i.revision)
	if there, err := w.has(textKey(tableMember, string(i.Pool), string(i.ID))); err != nil {
		return err
	} else if !there {
		w.fault(key, "it is not among the identities of pool %s", i.Pool)
	}
	if there, err := w.has(textKey(tableOpen, string(i.ID))); err != nil {
		return err
	} else if there != i.Unfinished {
		w.fault(key, "it is unfinished: %t, and it is among those that are: %t", i.Unfinished, there)
	}
	for _, l := range i.Logins {
		owner, err := getFrom(w.db, loginKey(i.Pool, l))
		if err != nil {
			return err
		}
		if owner != string(i.ID) {
			w.fault(key, "its login of %s leads to %q", l.Provider, owner)
		}
	}
	var datasets, bytes int64
	err := w.heads.take(textKey(tableHead, string(i.ID), ""), func(key []byte, value string) error {
		of, err := headKeyOf(key)
		if err != nil {
			return err
		}
		d, err := decodeDataset(of, value)
		if err != nil {
			return err
		}
		if d.Head.Exists {
			datasets++
			bytes += d.Head.Bytes
		}
		return w.checkDataset(key, d)
	})
	if datasets != i.Datasets || bytes != i.Usage.Bytes {
		w.fault(key, "it says it has %d datasets of %d bytes, it has %d of %d", i.Datasets, i.Usage.Bytes, datasets, bytes)
	}
	return errors.Join(err, w.devices.take(textKey(tableDevice, string(i.ID), ""), checkDevice))
}

// checkDevice looks at a device of an identity. JSON keeps valid text only.
func checkDevice(key []byte, value string) error {
	var d tributary.Device
	if err := json.Unmarshal([]byte(value), &d); err != nil {
		return err
	}
	if have := string(deviceKey(d.Identity, d.ID)); have != string(key) && utf8.Valid(key) {
		return fmt.Errorf("it holds device %q of identity %s", d.ID, d.Identity)
	}
	if d.Revision < 1 {
		return fmt.Errorf("it has revision %d", d.Revision)
	}
	return nil
}

// checkPlace wants a change's place in the log not above the log's end.
func (w *dataWalk) checkPlace(key []byte, p place) {
	if s := w.shards[p.shard]; s != nil && p.n > s.end {
		w.fault(key, "it was changed at %d in shard %s, whose log ends at %d", p.n, p.shard, s.end)
	}
}

// checkDataset compares a head with its records. What it returns is a fault.
func (w *dataWalk) checkDataset(key []byte, d *dataset) error {
	h := &d.Head
	w.checkPlace(key, d.at)
	switch {
	case h.Exists:
		w.Datasets++
	case h.Marker != h.SyncCount:
		return fmt.Errorf("it was deleted at sync count %d and its marker is %d", h.SyncCount, h.Marker)
	case d.Split || len(d.Records) > 0:
		return errors.New("it was deleted and has records")
	}
	if h.SyncCount < 1 || h.Marker > h.SyncCount || h.Floor > h.SyncCount {
		return fmt.Errorf("its sync count is %d, marker %d, floor %d", h.SyncCount, h.Marker, h.Floor)
	}
	records := d.Records
	if d.Split {
		var err error
		if records, err = w.splitRecords(key, h.Key); err != nil {
			return err
		}
	}
	return w.compareRecords(h, records)
}

// splitRecords reads the records that have keys of their own, and compares them
// with their index.
func (w *dataWalk) splitRecords(head []byte, of tributary.DatasetKey) ([]tributary.Record, error) {
	var out []tributary.Record
	prefix := datasetPrefix(tableRecord, of)
	err := w.records.take(prefix, func(key []byte, value string) error {
		r, err := codec.DecodeRecord(value)
		if err == nil && r.Key != string(key[len(prefix):]) {
			err = fmt.Errorf("it holds the record %q", r.Key)
		}
		out = append(out, r)
		return err
	})
	type indexed struct {
		count   int64
		removed bool
	}
	want := make(map[string]indexed, len(out))
	for i := range out {
		want[out[i].Key] = indexed{out[i].SyncCount, out[i].Removed}
	}
	prefix = datasetPrefix(tableIndex, of)
	indexErr := w.index.take(prefix, func(key []byte, value string) error {
		rest := key[len(prefix):]
		if len(rest) < 8 {
			return codec.ErrCorrupt
		}
		name := string(rest[8:])
		have := indexed{int64(binary.BigEndian.Uint64(rest)), value != ""}
		if r, ok := want[name]; !ok || r != have {
			return fmt.Errorf("the record %q is not as the index says", name)
		}
		delete(want, name)
		return nil
	})
	for name := range want {
		w.fault(head, "the record %q is not in the index", name)
	}
	return out, errors.Join(err, indexErr)
}

// compareRecords compares a head's figures with its records.
func (w *dataWalk) compareRecords(h *tributary.Dataset, records []tributary.Record) error {
	var have tributary.Dataset
	for i := range records {
		r := &records[i]
		w.Records++
		have.Bytes += r.Bytes()
		if r.Removed {
			have.Tombstones++
			have.TombstoneBytes += int64(len(r.Key))
		} else {
			have.Records++
		}
		if r.SyncCount > h.SyncCount || r.SyncCount < 1 {
			return fmt.Errorf("the record %q has sync count %d, the dataset %d", r.Key, r.SyncCount, h.SyncCount)
		}
	}
	for i := 1; i < len(records); i++ {
		if records[i].Key <= records[i-1].Key {
			return errors.New("its records are not in the order of their keys")
		}
	}
	if have.Records != h.Records || have.Tombstones != h.Tombstones || have.TombstoneBytes != h.TombstoneBytes || have.Bytes != h.Bytes {
		return fmt.Errorf("it says it has %d records, %d tombstones of %d bytes, %d bytes; it has %d, %d of %d, %d",
			h.Records, h.Tombstones, h.TombstoneBytes, h.Bytes, have.Records, have.Tombstones, have.TombstoneBytes, have.Bytes)
	}
	return nil
}

// checkMembers wants an identity for each member of a pool.
func (c *checker) checkMembers() error {
	return c.walk(tableMember, func(key []byte, _ string) error {
		pool, id, found := strings.Cut(string(key[1:]), "\x00")
		if !found {
			return codec.ErrCorrupt
		}
		i, err := c.identityOf(tributary.IdentityID(id))
		if err == nil && string(i.Pool) != pool {
			err = fmt.Errorf("the identity is of pool %s", i.Pool)
		}
		return err
	})
}

// checkOpen wants an identity for each that is unfinished; whether it is was
// asked with the identity.
func (c *checker) checkOpen() error {
	return c.walk(tableOpen, func(key []byte, _ string) error {
		_, err := c.identityOf(tributary.IdentityID(key[1:]))
		return err
	})
}

// checkLogins wants an identity for each login, that has it.
func (c *checker) checkLogins() error {
	return c.walk(tableLogin, func(key []byte, value string) error {
		i, err := c.identityOf(tributary.IdentityID(value))
		if err != nil {
			return err
		}
		for _, l := range i.Logins {
			if string(loginKey(i.Pool, l)) == string(key) {
				return nil
			}
		}
		return fmt.Errorf("identity %s has no such login", value)
	})
}

// has tells whether a key is there, whatever its value.
func (c *checker) has(key []byte) (bool, error) {
	_, closer, err := c.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

func (c *checker) identityOf(id tributary.IdentityID) (*identity, error) {
	value, err := getFrom(c.db, textKey(tableIdentity, string(id)))
	if err == nil && value == "" {
		err = fmt.Errorf("identity %q does not exist", id)
	}
	if err != nil {
		return nil, err
	}
	return decodeIdentity(id, value)
}
