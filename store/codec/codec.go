// Package codec is how engines write records, datasets and log entries as
// bytes: varints, each text behind its length. Counts and times are written as
// the distance to those of what encloses them, which makes most of them one
// byte.
package codec

import (
	"encoding/binary"
	"errors"

	"tributary"
)

// ErrCorrupt is returned for a stored value that cannot be read.
var ErrCorrupt = errors.New("stored value is damaged")

// AppendText writes a text behind its length.
func AppendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Reader takes a value apart. After the first failure it gives zero values and
// keeps the error. What it gives shares the value's memory.
type Reader struct {
	Rest string
	Err  error
}

func (r *Reader) fail() { r.Rest, r.Err = "", ErrCorrupt }

// Uint reads a number.
func (r *Reader) Uint() uint64 {
	var v uint64
	for i := 0; i < len(r.Rest) && i < binary.MaxVarintLen64; i++ {
		c := r.Rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.Rest = r.Rest[i+1:]
			return v
		}
	}
	r.fail()
	return 0
}

// Int reads a number that may be negative.
func (r *Reader) Int() int64 {
	u := r.Uint()
	return int64(u>>1) ^ -int64(u&1)
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if r.Rest == "" {
		r.fail()
		return 0
	}
	c := r.Rest[0]
	r.Rest = r.Rest[1:]
	return c
}

// Fixed64 reads a number of eight bytes.
func (r *Reader) Fixed64() uint64 {
	if len(r.Rest) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64([]byte(r.Rest[:8]))
	r.Rest = r.Rest[8:]
	return v
}

// Text reads what AppendText wrote.
func (r *Reader) Text() string {
	n := r.Uint()
	if n > uint64(len(r.Rest)) {
		r.fail()
		return ""
	}
	s := r.Rest[:n]
	r.Rest = r.Rest[n:]
	return s
}

// Count reads how many things follow, each of at least one byte.
func (r *Reader) Count() int {
	n := r.Uint()
	if n > uint64(len(r.Rest)) {
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
	b = AppendText(b, r.Key)
	b = binary.AppendVarint(b, base.count-r.SyncCount)
	b = binary.AppendVarint(b, int64(base.at-r.LastModified))
	if flags&flagSameBy == 0 {
		b = AppendText(b, r.LastModifiedBy)
	}
	if flags&flagSameTime == 0 {
		b = binary.AppendVarint(b, int64(r.LastModified-r.DeviceLastModified))
	}
	if !r.Removed {
		b = AppendText(b, r.Value)
	}
	return b
}

func (r *Reader) record(base stamp) tributary.Record {
	flags := r.Byte()
	out := tributary.Record{Key: r.Text(), Removed: flags&flagRemoved != 0, LastModifiedBy: base.by}
	out.SyncCount = base.count - r.Int()
	out.LastModified = base.at - tributary.Millis(r.Int())
	if flags&flagSameBy == 0 {
		out.LastModifiedBy = r.Text()
	}
	out.DeviceLastModified = out.LastModified
	if flags&flagSameTime == 0 {
		out.DeviceLastModified -= tributary.Millis(r.Int())
	}
	if !out.Removed {
		out.Value = r.Text()
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

func (r *Reader) records(base stamp) []tributary.Record {
	n := r.Count()
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
	return AppendText(append(b, 0), by)
}

func (r *Reader) author(self tributary.IdentityID) string {
	if r.Byte() == 1 {
		return string(self)
	}
	return r.Text()
}

// AppendRecord writes a record that stands alone.
func AppendRecord(b []byte, r *tributary.Record) []byte { return appendRecord(b, r, stamp{}) }

// DecodeRecord reads what AppendRecord wrote. It shares the value's memory.
func DecodeRecord(value string) (tributary.Record, error) {
	r := Reader{Rest: value}
	out := r.record(stamp{})
	return out, r.Err
}

const (
	headExists = 1 << iota
	headSplit
	headOrigin
)

// Dataset is a dataset as engines keep it: its head, and all records in the
// order of their keys unless they are split, which have keys of their own.
type Dataset struct {
	Head    tributary.Dataset
	Records []tributary.Record
	Split   bool
}

// SplitAbove is the size of a dataset's records, in bytes as of [Size], from
// which on each has a key of its own. Below it one value for all costs half the
// time.
const SplitAbove = 4 << 10

// Size is about what records take in one value, in bytes.
func Size(records []tributary.Record) int {
	const each = 10
	n := 0
	for i := range records {
		n += each + len(records[i].Key) + len(records[i].Value)
	}
	return n
}

func (d *Dataset) stamp() stamp {
	return stamp{count: d.Head.SyncCount, at: d.Head.LastModified, by: d.Head.LastModifiedBy}
}

// AppendDataset writes a dataset without its key.
func AppendDataset(b []byte, d *Dataset) []byte {
	h := &d.Head
	var flags byte
	if h.Exists {
		flags |= headExists
	}
	if d.Split {
		flags |= headSplit
	}
	if h.Origin != "" {
		flags |= headOrigin
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Change))
	for _, v := range []int64{h.SyncCount, h.Marker, h.Floor, int64(h.LastModified), int64(h.LastModified - h.Created), h.Records, h.Tombstones, h.TombstoneBytes, h.Bytes} {
		b = binary.AppendVarint(b, v)
	}
	b = appendAuthor(b, h.LastModifiedBy, h.Key.Identity)
	if !d.Split {
		b = appendRecords(b, d.Records, d.stamp())
	}
	if h.Origin != "" { // at the end, where programs that do not know it do not look
		b = AppendText(b, h.Origin)
	}
	return b
}

// DecodeDataset reads what AppendDataset wrote. It shares the value's memory.
func DecodeDataset(key tributary.DatasetKey, value string) (Dataset, error) {
	r := Reader{Rest: value}
	flags := r.Byte()
	d := Dataset{Split: flags&headSplit != 0}
	h := &d.Head
	h.Key, h.Exists = key, flags&headExists != 0
	h.Change = tributary.ChangeID(r.Fixed64())
	h.SyncCount, h.Marker, h.Floor = r.Int(), r.Int(), r.Int()
	h.LastModified = tributary.Millis(r.Int())
	h.Created = h.LastModified - tributary.Millis(r.Int())
	h.Records, h.Tombstones, h.TombstoneBytes, h.Bytes = r.Int(), r.Int(), r.Int(), r.Int()
	h.LastModifiedBy = r.author(key.Identity)
	if !d.Split {
		d.Records = r.records(d.stamp())
	}
	if flags&headOrigin != 0 {
		h.Origin = r.Text()
	}
	return d, r.Err
}

// AppendEntry writes a log entry: kind, arrival, then what its kind holds.
func AppendEntry(b []byte, e *tributary.Entry) []byte {
	b = append(b, byte(e.Kind))
	b = binary.AppendVarint(b, int64(e.Arrived))
	if e.Kind == tributary.EntryForeign {
		f := e.Foreign
		b = AppendText(b, f.PartitionKey)
		b = binary.LittleEndian.AppendUint64(b, f.HashKey.Hi)
		b = binary.LittleEndian.AppendUint64(b, f.HashKey.Lo)
		return append(b, f.Data...)
	}
	c := e.Change
	b = append(b, byte(c.Op))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.ID))
	b = AppendText(b, string(c.Key.Pool))
	b = AppendText(b, string(c.Key.Identity))
	b = AppendText(b, string(c.Key.Dataset))
	b = binary.AppendVarint(b, c.SyncCount)
	b = binary.AppendVarint(b, int64(e.Arrived-c.At))
	b = appendAuthor(b, c.By, c.Key.Identity)
	b = binary.AppendVarint(b, c.PoolBytes)
	return appendRecords(b, c.Records, stamp{count: c.SyncCount, at: c.At, by: c.By})
}

// DecodeEntry reads what AppendEntry wrote. It shares the value's memory, except
// for the data of a foreign record.
func DecodeEntry(value string) (tributary.Entry, error) {
	r := Reader{Rest: value}
	e := tributary.Entry{Kind: tributary.EntryKind(r.Byte()), Arrived: tributary.Millis(r.Int())}
	if e.Kind == tributary.EntryForeign {
		e.Foreign = &tributary.ForeignRecord{PartitionKey: r.Text(), HashKey: tributary.HashKey{Hi: r.Fixed64(), Lo: r.Fixed64()}}
		e.Foreign.Data = []byte(r.Rest)
		return e, r.Err
	}
	c := &tributary.Change{Op: tributary.Op(r.Byte()), ID: tributary.ChangeID(r.Fixed64())}
	c.Key = tributary.DatasetKey{Pool: tributary.PoolID(r.Text()), Identity: tributary.IdentityID(r.Text()), Dataset: tributary.DatasetName(r.Text())}
	c.SyncCount = r.Int()
	c.At = e.Arrived - tributary.Millis(r.Int())
	c.By = r.author(c.Key.Identity)
	c.PoolBytes = r.Int()
	c.Records = r.records(stamp{count: c.SyncCount, at: c.At, by: c.By})
	e.Change = c
	return e, r.Err
}

// Arrival reads only when an entry arrived.
func Arrival(value string) (tributary.Millis, error) {
	r := Reader{Rest: value}
	r.Byte()
	at := tributary.Millis(r.Int())
	return at, r.Err
}
