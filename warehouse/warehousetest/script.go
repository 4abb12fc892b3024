package warehousetest

import (
	"fmt"
	"testing"

	"tributary"
	"tributary/warehouse"
)

// pool is the pool of all identities.
const pool tributary.PoolID = "eu-west-1:01234567-0123-0123-0123-0123456789ab"

// identity makes an identity's id.
func identity(n int) tributary.IdentityID {
	return tributary.IdentityID(fmt.Sprintf("eu-west-1:%08x-0123-0123-0123-0123456789ab", n))
}

// noon is when things begin to happen.
const noon tributary.Millis = 1_700_000_000_000

// rec is a record of a change: a value, or a tombstone.
type rec struct {
	key, value string
	removed    bool
	count      int64 // of a snapshot's record; else the event's count
	at         int64 // the same
}

func set(key, value string) rec { return rec{key: key, value: value} }
func unset(key string) rec      { return rec{key: key, removed: true} }

// event is an entry without its place: seconds after noon, sync count, records.
func event(kind tributary.EntryKind, op tributary.Op, who int, dataset string, count, at int64, recs ...rec) tributary.Entry {
	when := func(at int64) tributary.Millis { return noon + tributary.Millis(1000*at) }
	c := &tributary.Change{
		Key: tributary.DatasetKey{Pool: pool, Identity: identity(who), Dataset: tributary.DatasetName(dataset)},
		Op:  op, SyncCount: count, At: when(at),
	}
	for _, r := range recs {
		if r.count == 0 {
			r.count, r.at = count, at
		}
		c.Records = append(c.Records, tributary.Record{
			Key: r.key, Value: r.value, Removed: r.removed, SyncCount: r.count,
			LastModified: when(r.at), DeviceLastModified: when(r.at) - 50,
		})
	}
	return tributary.Entry{Kind: kind, Change: c, Arrived: c.At}
}

func update(who int, count, at int64, recs ...rec) tributary.Entry {
	return event(tributary.EntryChange, tributary.Replace, who, "d", count, at, recs...)
}

func remove(who int, count, at int64) tributary.Entry {
	return event(tributary.EntryChange, tributary.Remove, who, "d", count, at)
}

func snapshot(who int, count, at int64, recs ...rec) tributary.Entry {
	return event(tributary.EntrySnapshot, tributary.Replace, who, "d", count, at, recs...)
}

func foreign(text string) tributary.Entry {
	return tributary.Entry{Kind: tributary.EntryForeign, Arrived: noon,
		Foreign: &tributary.ForeignRecord{PartitionKey: "x", Data: []byte(text)}}
}

// feed numbers entries of one shard and delivers them.
type feed struct {
	t     *testing.T
	w     warehouse.Warehouse
	lease tributary.Lease
	next  uint64
}

func newFeed(t *testing.T, w warehouse.Warehouse, shard uint32) *feed {
	s := tributary.Shard{Stream: 7, Number: shard}
	return &feed{t: t, w: w, lease: tributary.Lease{Group: "warehouse", Shard: s, Owner: "test", Epoch: 1}}
}

// number gives entries the next positions.
func (f *feed) number(entries ...tributary.Entry) []tributary.Entry {
	out := make([]tributary.Entry, len(entries))
	for i, e := range entries {
		f.next++
		e.Position = tributary.PositionOf(f.lease.Shard, f.next)
		out[i] = e
	}
	return out
}

// deliver delivers numbered entries.
func (f *feed) deliver(batch []tributary.Entry) {
	f.t.Helper()
	if err := f.w.Deliver(f.t.Context(), f.lease, batch); err != nil {
		f.t.Fatalf("Deliver: %v", err)
	}
}

// send numbers and delivers.
func (f *feed) send(entries ...tributary.Entry) []tributary.Entry {
	f.t.Helper()
	batch := f.number(entries...)
	f.deliver(batch)
	return batch
}

func wantKind(t *testing.T, err error, kind tributary.Kind) {
	t.Helper()
	if err == nil || tributary.KindOf(err) != kind {
		t.Errorf("error %v, want one of kind %v", err, kind)
	}
}
