package pebblestore

import (
	"context"
	"encoding/binary"
	"encoding/json"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
)

func leaseKey(group string, shard tributary.Shard) []byte {
	return appendShard(textKey(tableLease, group, ""), shard)
}

// Leases lists a group's leases.
func (s *Store) Leases(_ context.Context, group string) ([]tributary.Lease, error) {
	s.leases.Lock()
	defer s.leases.Unlock()
	if err := s.alive(); err != nil { // if not, what was written last may not be durable
		return nil, err
	}
	var out []tributary.Lease
	err := scan(s.db, textKey(tableLease, group, ""), func(_, value []byte) error {
		var l tributary.Lease
		err := json.Unmarshal(value, &l)
		if l.Group == group { // a group's name may hold a zero byte
			out = append(out, l)
		}
		return err
	})
	return out, internal("list leases", err)
}

// SwapLease writes a lease if its revision is the stored one.
func (s *Store) SwapLease(_ context.Context, l tributary.Lease) (tributary.Lease, error) {
	if err := s.swapLeases(l); err != nil {
		return l, err
	}
	l.Revision++
	return l, nil
}

// swapLeases writes leases if their revisions are the stored ones.
func (s *Store) swapLeases(all ...tributary.Lease) error {
	if err := s.alive(); err != nil || len(all) == 0 {
		return err
	}
	s.leases.Lock()
	defer s.leases.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	if err := s.setLeases(b, all); err != nil {
		return err
	}
	return s.write(b)
}

// setLeases adds the next revisions of leases to a batch. The leases are locked.
func (s *Store) setLeases(b *pebble.Batch, all []tributary.Lease) error {
	const op = "swap lease"
	for _, l := range all {
		key := leaseKey(l.Group, l.Shard)
		var have tributary.Lease
		value, err := s.get(key)
		if err == nil && value != "" {
			err = json.Unmarshal([]byte(value), &have)
		}
		if err != nil {
			return internal(op, err)
		}
		if have.Revision != l.Revision {
			return stale(op)
		}
		l.Revision++
		if err := setJSON(b, key, l); err != nil {
			return err
		}
	}
	return nil
}

// swap reads a JSON value into have, and writes what next makes of it.
func (s *Store) swap(op string, key []byte, have any, next func() (any, error)) error {
	if err := s.alive(); err != nil {
		return err
	}
	s.records.Lock()
	defer s.records.Unlock()
	value, err := s.get(key)
	if err == nil && value != "" {
		err = json.Unmarshal([]byte(value), have)
	}
	if err != nil {
		return internal(op, err)
	}
	v, err := next()
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := setJSON(b, key, v); err != nil {
		return err
	}
	return s.write(b)
}

func accessKeyKey(id string) []byte { return textKey(tableKey, id) }

// AccessKey reads an access key.
func (s *Store) AccessKey(_ context.Context, id string) (tributary.AccessKey, error) {
	var k tributary.AccessKey
	s.records.Lock()
	defer s.records.Unlock()
	if err := s.alive(); err != nil {
		return k, err
	}
	value, err := s.get(accessKeyKey(id))
	if err == nil && value == "" {
		return k, tributary.Errorf(tributary.NotFound, "read access key", "The access key does not exist")
	}
	if err == nil {
		err = json.Unmarshal([]byte(value), &k)
	}
	return k, internal("read access key", err)
}

// AccessKeys lists the access keys.
func (s *Store) AccessKeys(context.Context) ([]tributary.AccessKey, error) {
	return listJSON[tributary.AccessKey](s, "list access keys", tableKey)
}

// listJSON lists a table of JSON values.
func listJSON[T any](s *Store, op string, table byte) ([]T, error) {
	s.records.Lock()
	defer s.records.Unlock()
	if err := s.alive(); err != nil {
		return nil, err
	}
	var out []T
	err := scan(s.db, []byte{table}, func(_, value []byte) error {
		var v T
		err := json.Unmarshal(value, &v)
		out = append(out, v)
		return err
	})
	return out, internal(op, err)
}

// PutAccessKey writes an access key if its revision is the stored one.
func (s *Store) PutAccessKey(_ context.Context, k tributary.AccessKey) error {
	var have tributary.AccessKey
	return s.swap("put access key", accessKeyKey(k.ID), &have, func() (any, error) {
		if have.Revision != k.Revision {
			return nil, stale("put access key")
		}
		k.Revision++
		return k, nil
	})
}

// DeleteAccessKey forgets an access key.
func (s *Store) DeleteAccessKey(_ context.Context, id string) error {
	return s.deleteValue("delete access key", "The access key does not exist", accessKeyKey(id))
}

// deleteValue deletes the value that there must be.
func (s *Store) deleteValue(op, missing string, key []byte) error {
	if err := s.alive(); err != nil {
		return err
	}
	s.records.Lock()
	defer s.records.Unlock()
	value, err := s.get(key)
	if err != nil {
		return internal(op, err)
	}
	if value == "" {
		return tributary.Errorf(tributary.NotFound, op, "%s", missing)
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.Delete(key, nil); err != nil {
		return internal(op, err)
	}
	return s.write(b)
}

func sealingKey(id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{tableSealing}, id)
}

// SealingKeys lists the sealing keys.
func (s *Store) SealingKeys(context.Context) ([]tributary.SealingKey, error) {
	return listJSON[tributary.SealingKey](s, "list sealing keys", tableSealing)
}

// PutSealingKey writes a sealing key if its revision is the stored one.
func (s *Store) PutSealingKey(_ context.Context, k tributary.SealingKey) error {
	var have tributary.SealingKey
	return s.swap("put sealing key", sealingKey(k.ID), &have, func() (any, error) {
		if have.Revision != k.Revision {
			return nil, stale("put sealing key")
		}
		k.Revision++
		return k, nil
	})
}

// DeleteSealingKey forgets a sealing key.
func (s *Store) DeleteSealingKey(_ context.Context, id uint32) error {
	return s.deleteValue("delete sealing key", "The sealing key does not exist", sealingKey(id))
}
