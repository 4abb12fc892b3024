package pebblestore

import (
	"encoding/binary"
	"errors"

	"tributary"
)

// Values are written as varints, each text behind its length. Counts and times
// are written as the distance to those of what encloses them, which makes most
// of them one byte.

// errCorrupt is returned for a stored value that cannot be read.
var errCorrupt = errors.New("stored value is damaged")

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes a value apart. After the first failure it gives zero values and
// keeps the error.
type reader struct {
	rest string
	err  error
}

func (r *reader) fail() { r.rest, r.err = "", errCorrupt }

func (r *reader) uint() uint64 {
	var v uint64
	for i := 0; i < len(r.rest) && i < binary.MaxVarintLen64; i++ {
		c := r.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.rest = r.rest[i+1:]
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) int() int64 {
	u := r.uint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) byte() byte {
	if r.rest == "" {
		r.fail()
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *reader) fixed64() uint64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64([]byte(r.rest[:8]))
	r.rest = r.rest[8:]
	return v
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// count reads how many things follow, each of at least one byte.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

// stamp is what a record's counts, times and author are written against.
type stamp struct {
	count int64
	at    tributary.Millis
	by    string
}

const (
	flagRemoved  = 1 << iota
	flagSameBy   // the author is the stamp's
	flagSameTime // the device's time is the server's
)

func appendRecord(b []byte, r *tributary.Record, base stamp) []byte {
	var flags byte
	if r.Removed {
		flags |= flagRemoved
	}
	if r.LastModifiedBy == base.by {
		flags |= flagSameBy
	}
	if r.DeviceLastModified == r.LastModified {
		flags |= flagSameTime
	}
	b = append(b, flags)
	b = appendText(b, r.Key)
	b = binary.AppendVarint(b, base.count-r.SyncCount)
	b = binary.AppendVarint(b, int64(base.at-r.LastModified))
	if flags&flagSameBy == 0 {
		b = appendText(b, r.LastModifiedBy)
	}
	if flags&flagSameTime == 0 {
		b = binary.AppendVarint(b, int64(r.LastModified-r.DeviceLastModified))
	}
	if !r.Removed {
		b = appendText(b, r.Value)
	}
	return b
}

func (r *reader) record(base stamp) tributary.Record {
	flags := r.byte()
	out := tributary.Record{Key: r.text(), Removed: flags&flagRemoved != 0, LastModifiedBy: base.by}
	out.SyncCount = base.count - r.int()
	out.LastModified = base.at - tributary.Millis(r.int())
	if flags&flagSameBy == 0 {
		out.LastModifiedBy = r.text()
	}
	out.DeviceLastModified = out.LastModified
	if flags&flagSameTime == 0 {
		out.DeviceLastModified -= tributary.Millis(r.int())
	}
	if !out.Removed {
		out.Value = r.text()
	}
	return out
}

func appendRecords(b []byte, records []tributary.Record, base stamp) []byte {
	b = binary.AppendUvarint(b, uint64(len(records)))
	for i := range records {
		b = appendRecord(b, &records[i], base)
	}
	return b
}

func (r *reader) records(base stamp) []tributary.Record {
	n := r.count()
	out := make([]tributary.Record, 0, n)
	for range n {
		out = append(out, r.record(base))
	}
	return out
}

// appendAuthor writes who made a change: most often the identity itself, which
// is known already.
func appendAuthor(b []byte, by string, self tributary.IdentityID) []byte {
	if by == string(self) {
		return append(b, 1)
	}
	return appendText(append(b, 0), by)
}

func (r *reader) author(self tributary.IdentityID) string {
	if r.byte() == 1 {
		return string(self)
	}
	return r.text()
}

// place is where a change stands in the log: what must be durable before its
// data is shown.
type place struct {
	shard tributary.Shard
	n     uint64
}

func appendPlace(b []byte, p place) []byte {
	b = binary.AppendUvarint(b, uint64(p.shard.Stream))
	b = binary.AppendUvarint(b, uint64(p.shard.Number))
	return binary.AppendUvarint(b, p.n)
}

func (r *reader) place() place {
	return place{shard: tributary.Shard{Stream: tributary.StreamID(r.uint()), Number: uint32(r.uint())}, n: r.uint()}
}

const (
	headExists = 1 << iota
	headSplit
)

// dataset is a dataset as the store holds it. It is never changed once others
// can see it.
type dataset struct {
	head    tributary.Dataset
	records []tributary.Record // all, by key, unless split
	split   bool               // the records have keys of their own
	at      place              // of the last change
	recent  recent             // of a split dataset
}

// recent holds the last changed records of a split dataset in memory, so that
// a client that is nearly up to date costs no search in the tables: every
// record whose sync count is above since, by key.
type recent struct {
	since   int64
	records []tributary.Record
}

// mostRecent and mostRecentBytes bound the records kept.
const (
	mostRecent      = 32
	mostRecentBytes = 16 << 10
)

// covers tells whether all records of a range are among the recent ones.
func (r *recent) covers(g *tributary.Range) bool {
	return g.After.SyncCount > r.since || g.After.SyncCount == r.since && g.After.Whole
}

// then is what is recent after a change: of more than is kept, nothing.
func (r recent) then(c *tributary.Change) recent {
	out := recent{since: r.since, records: c.Updated(r.records)}
	if len(out.records) > mostRecent || size(out.records) > mostRecentBytes || len(c.Forgotten) > 0 {
		return recent{since: c.SyncCount}
	}
	return out
}

func (d *dataset) stamp() stamp {
	return stamp{count: d.head.SyncCount, at: d.head.LastModified, by: d.head.LastModifiedBy}
}

func appendDataset(b []byte, d *dataset) []byte {
	h := &d.head
	var flags byte
	if h.Exists {
		flags |= headExists
	}
	if d.split {
		flags |= headSplit
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Change))
	for _, v := range []int64{h.SyncCount, h.Marker, h.Floor, int64(h.LastModified), int64(h.LastModified - h.Created), h.Records, h.Tombstones, h.TombstoneBytes, h.Bytes} {
		b = binary.AppendVarint(b, v)
	}
	b = appendAuthor(b, h.LastModifiedBy, h.Key.Identity)
	b = appendPlace(b, d.at)
	if !d.split {
		b = appendRecords(b, d.records, d.stamp())
	}
	return b
}

func decodeDataset(key tributary.DatasetKey, value string) (*dataset, error) {
	r := reader{rest: value}
	flags := r.byte()
	d := &dataset{split: flags&headSplit != 0}
	h := &d.head
	h.Key, h.Exists = key, flags&headExists != 0
	h.Change = tributary.ChangeID(r.fixed64())
	h.SyncCount, h.Marker, h.Floor = r.int(), r.int(), r.int()
	h.LastModified = tributary.Millis(r.int())
	h.Created = h.LastModified - tributary.Millis(r.int())
	h.Records, h.Tombstones, h.TombstoneBytes, h.Bytes = r.int(), r.int(), r.int(), r.int()
	h.LastModifiedBy = r.author(key.Identity)
	d.at = r.place()
	if !d.split {
		d.records = r.records(d.stamp())
	}
	return d, r.err
}

// identity is an identity as the store holds it, never changed once others can
// see it.
type identity struct {
	tributary.Identity
	at       place // of the last change to its data
	revision place // of the last change that raised its revision
}

func appendIdentity(b []byte, i *identity) []byte {
	var flags byte
	if i.Disabled {
		flags = 1
	}
	b = append(b, flags)
	b = appendText(b, string(i.Pool))
	for _, v := range []int64{i.Revision, int64(i.Created), int64(i.Modified), i.Datasets, i.Usage.Bytes, int64(i.Usage.LastModified)} {
		b = binary.AppendVarint(b, v)
	}
	b = appendPlace(b, i.at)
	b = appendPlace(b, i.revision)
	b = binary.AppendUvarint(b, uint64(len(i.Logins)))
	for _, l := range i.Logins {
		b = appendText(appendText(b, l.Provider), l.User)
	}
	return b
}

func decodeIdentity(id tributary.IdentityID, value string) (*identity, error) {
	r := reader{rest: value}
	i := &identity{}
	i.ID, i.Disabled = id, r.byte() == 1
	i.Pool = tributary.PoolID(r.text())
	i.Revision = r.int()
	i.Created, i.Modified = tributary.Millis(r.int()), tributary.Millis(r.int())
	i.Datasets, i.Usage.Bytes = r.int(), r.int()
	i.Usage.LastModified = tributary.Millis(r.int())
	i.at, i.revision = r.place(), r.place()
	for range r.count() {
		i.Logins = append(i.Logins, tributary.Login{Provider: r.text(), User: r.text()})
	}
	return i, r.err
}

// appendEntry writes a log entry: kind, arrival, then what its kind holds.
func appendEntry(b []byte, e *tributary.Entry) []byte {
	b = append(b, byte(e.Kind))
	b = binary.AppendVarint(b, int64(e.Arrived))
	if e.Kind == tributary.EntryForeign {
		f := e.Foreign
		b = appendText(b, f.PartitionKey)
		b = binary.LittleEndian.AppendUint64(b, f.HashKey.Hi)
		b = binary.LittleEndian.AppendUint64(b, f.HashKey.Lo)
		return append(b, f.Data...)
	}
	c := e.Change
	b = append(b, byte(c.Op))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.ID))
	b = appendText(b, string(c.Key.Pool))
	b = appendText(b, string(c.Key.Identity))
	b = appendText(b, string(c.Key.Dataset))
	b = binary.AppendVarint(b, c.SyncCount)
	b = binary.AppendVarint(b, int64(e.Arrived-c.At))
	b = appendAuthor(b, c.By, c.Key.Identity)
	b = binary.AppendVarint(b, c.PoolBytes)
	return appendRecords(b, c.Records, stamp{count: c.SyncCount, at: c.At, by: c.By})
}

func decodeEntry(value string) (tributary.Entry, error) {
	r := reader{rest: value}
	e := tributary.Entry{Kind: tributary.EntryKind(r.byte()), Arrived: tributary.Millis(r.int())}
	if e.Kind == tributary.EntryForeign {
		e.Foreign = &tributary.ForeignRecord{PartitionKey: r.text(), HashKey: tributary.HashKey{Hi: r.fixed64(), Lo: r.fixed64()}}
		e.Foreign.Data = []byte(r.rest)
		return e, r.err
	}
	c := &tributary.Change{Op: tributary.Op(r.byte()), ID: tributary.ChangeID(r.fixed64())}
	c.Key = tributary.DatasetKey{Pool: tributary.PoolID(r.text()), Identity: tributary.IdentityID(r.text()), Dataset: tributary.DatasetName(r.text())}
	c.SyncCount = r.int()
	c.At = e.Arrived - tributary.Millis(r.int())
	c.By = r.author(c.Key.Identity)
	c.PoolBytes = r.int()
	c.Records = r.records(stamp{count: c.SyncCount, at: c.At, by: c.By})
	e.Change = c
	return e, r.err
}

// arrival reads only when an entry arrived.
func arrival(value string) (tributary.Millis, error) {
	r := reader{rest: value}
	r.byte()
	at := tributary.Millis(r.int())
	return at, r.err
}
