package pebblestore

import (
	"encoding/binary"

	"tributary"
	"tributary/store/codec"
)

// dataset is a dataset as the store holds it. It is never changed once others
// can see it.
type dataset struct {
	codec.Dataset
	at     place  // of the last change
	recent recent // of a split dataset
}

func appendDataset(b []byte, d *dataset) []byte {
	return codec.AppendDataset(appendPlace(b, d.at), &d.Dataset)
}

func decodeDataset(key tributary.DatasetKey, value string) (*dataset, error) {
	r := codec.Reader{Rest: value}
	d := &dataset{at: readPlace(&r)}
	if r.Err != nil {
		return nil, r.Err
	}
	var err error
	d.Dataset, err = codec.DecodeDataset(key, r.Rest)
	return d, err
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
	if len(out.records) > mostRecent || codec.Size(out.records) > mostRecentBytes || len(c.Forgotten) > 0 {
		return recent{since: c.SyncCount}
	}
	return out
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

func readPlace(r *codec.Reader) place {
	return place{shard: tributary.Shard{Stream: tributary.StreamID(r.Uint()), Number: uint32(r.Uint())}, n: r.Uint()}
}

// identity is an identity as the store holds it, never changed once others can
// see it.
type identity struct {
	tributary.Identity
	at       place // of the last change to its data
	revision place // of the last change that raised its revision
}

func appendIdentity(b []byte, i *identity) []byte {
	b = codec.AppendIdentityState(b, &i.Identity)
	b = codec.AppendText(b, string(i.Pool))
	for _, v := range []int64{i.Revision, int64(i.Created), int64(i.Modified), i.Datasets, i.Usage.Bytes, int64(i.Usage.LastModified)} {
		b = binary.AppendVarint(b, v)
	}
	b = appendPlace(b, i.at)
	b = appendPlace(b, i.revision)
	b = binary.AppendUvarint(b, uint64(len(i.Logins)))
	for _, l := range i.Logins {
		b = codec.AppendText(codec.AppendText(b, l.Provider), l.User)
	}
	return b
}

func decodeIdentity(id tributary.IdentityID, value string) (*identity, error) {
	r := codec.Reader{Rest: value}
	i := &identity{}
	i.ID = id
	r.IdentityState(&i.Identity)
	i.Pool = tributary.PoolID(r.Text())
	i.Revision = r.Int()
	i.Created, i.Modified = tributary.Millis(r.Int()), tributary.Millis(r.Int())
	i.Datasets, i.Usage.Bytes = r.Int(), r.Int()
	i.Usage.LastModified = tributary.Millis(r.Int())
	i.at, i.revision = readPlace(&r), readPlace(&r)
	for range r.Count() {
		i.Logins = append(i.Logins, tributary.Login{Provider: r.Text(), User: r.Text()})
	}
	return i, r.Err
}
