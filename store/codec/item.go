package codec

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"tributary"
)

// What follows are the values of items that are copied from one engine to
// another, where no engine's own form is the common one.

// LinkedIdentity is an identity and what its logins are linked to, which is
// kept beside it and must be copied as well.
type LinkedIdentity struct {
	tributary.Identity
	// Links are the identities that the logins lead to, in their order.
	Links []tributary.IdentityID
}

const (
	identityDisabled = 1 << iota
	identityUnfinished
	identityMerged
	identityMergedInto
)

// AppendIdentityState writes what an identity is: disabled, merged, unfinished.
func AppendIdentityState(b []byte, i *tributary.Identity) []byte {
	flag := func(set bool, bit byte) byte {
		if set {
			return bit
		}
		return 0
	}
	b = append(b, flag(i.Disabled, identityDisabled)|flag(i.Unfinished, identityUnfinished)|
		flag(i.Merged, identityMerged)|flag(i.MergedInto != "", identityMergedInto))
	if i.MergedInto != "" {
		b = AppendText(b, string(i.MergedInto))
	}
	return b
}

// IdentityState reads what AppendIdentityState wrote.
func (r *Reader) IdentityState(i *tributary.Identity) {
	flags := r.Byte()
	i.Disabled, i.Unfinished, i.Merged = flags&identityDisabled != 0, flags&identityUnfinished != 0, flags&identityMerged != 0
	if flags&identityMergedInto != 0 {
		i.MergedInto = tributary.IdentityID(r.Text())
	}
}

// AppendIdentity writes an identity without its id.
func AppendIdentity(b []byte, i *LinkedIdentity) []byte {
	b = AppendIdentityState(b, &i.Identity)
	b = AppendText(b, string(i.Pool))
	for _, v := range []int64{i.Revision, int64(i.Created), int64(i.Modified), i.Datasets, i.Usage.Bytes, int64(i.Usage.LastModified)} {
		b = binary.AppendVarint(b, v)
	}
	b = binary.AppendUvarint(b, uint64(len(i.Logins)))
	for n, l := range i.Logins {
		b = AppendText(AppendText(b, l.Provider), l.User)
		if i.Links[n] == i.ID {
			b = append(b, 1)
		} else {
			b = AppendText(append(b, 0), string(i.Links[n]))
		}
	}
	return b
}

// DecodeIdentity reads what AppendIdentity wrote, but for the links.
func DecodeIdentity(id tributary.IdentityID, value string) (tributary.Identity, error) {
	r := Reader{Rest: value}
	i := tributary.Identity{ID: id}
	r.IdentityState(&i)
	i.Pool = tributary.PoolID(r.Text())
	i.Revision = r.Int()
	i.Created, i.Modified = tributary.Millis(r.Int()), tributary.Millis(r.Int())
	i.Datasets, i.Usage.Bytes = r.Int(), r.Int()
	i.Usage.LastModified = tributary.Millis(r.Int())
	for range r.Count() {
		i.Logins = append(i.Logins, tributary.Login{Provider: r.Text(), User: r.Text()})
		if r.Byte() == 0 {
			r.Text()
		}
	}
	return i, r.Err
}

// ShardEnds is where a shard's log begins and ends.
type ShardEnds struct {
	Open          bool
	Trimmed, Last uint64 // counts of the last entry that was trimmed, and of the last
}

// AppendShardEnds writes the ends of a log.
func AppendShardEnds(b []byte, e ShardEnds) []byte {
	var open byte
	if e.Open {
		open = 1
	}
	return binary.AppendUvarint(binary.AppendUvarint(append(b, open), e.Trimmed), e.Last)
}

// DecodeShardEnds reads what AppendShardEnds wrote.
func DecodeShardEnds(value string) (ShardEnds, error) {
	r := Reader{Rest: value}
	e := ShardEnds{Open: r.Byte() == 1, Trimmed: r.Uint(), Last: r.Uint()}
	return e, r.Err
}

// PoolUsage are a pool's figures.
type PoolUsage struct {
	Sessions int64
	Shards   []ShardUsage
}

// ShardUsage is a shard's share of a pool's figures.
type ShardUsage struct {
	Shard    tributary.Shard
	Bytes    int64
	Modified tributary.Millis
}

// AppendPoolUsage writes a pool's figures, sorting the shards.
func AppendPoolUsage(b []byte, u *PoolUsage) []byte {
	slices.SortFunc(u.Shards, func(x, y ShardUsage) int {
		return cmp.Or(cmp.Compare(x.Shard.Stream, y.Shard.Stream), cmp.Compare(x.Shard.Number, y.Shard.Number))
	})
	b = binary.AppendVarint(b, u.Sessions)
	b = binary.AppendUvarint(b, uint64(len(u.Shards)))
	for _, s := range u.Shards {
		b = binary.AppendUvarint(b, uint64(s.Shard.Stream))
		b = binary.AppendUvarint(b, uint64(s.Shard.Number))
		b = binary.AppendVarint(b, s.Bytes)
		b = binary.AppendVarint(b, int64(s.Modified))
	}
	return b
}

// DecodePoolUsage reads what AppendPoolUsage wrote.
func DecodePoolUsage(value string) (PoolUsage, error) {
	r := Reader{Rest: value}
	u := PoolUsage{Sessions: r.Int()}
	for range r.Count() {
		s := tributary.Shard{Stream: tributary.StreamID(r.Uint()), Number: uint32(r.Uint())}
		u.Shards = append(u.Shards, ShardUsage{s, r.Int(), tributary.Millis(r.Int())})
	}
	return u, r.Err
}

// StreamOfKey reads the key of a stream's item.
func StreamOfKey(key string) (tributary.StreamID, error) {
	id, err := strconv.ParseUint(key, 10, 64)
	if err != nil {
		return 0, ErrCorrupt
	}
	return tributary.StreamID(id), nil
}

// SealingKeyOf reads the key of a sealing key's item.
func SealingKeyOf(key string) (uint32, error) {
	id, err := strconv.ParseUint(key, 10, 32)
	if err != nil {
		return 0, ErrCorrupt
	}
	return uint32(id), nil
}

// ShardOfKey reads the key of a shard's item.
func ShardOfKey(key string) (tributary.Shard, error) {
	stream, number, _ := strings.Cut(key, "/")
	id, err := StreamOfKey(stream)
	n, numberErr := strconv.ParseUint(number, 10, 32)
	if err != nil || numberErr != nil {
		return tributary.Shard{}, ErrCorrupt
	}
	return tributary.Shard{Stream: id, Number: uint32(n)}, nil
}

// LeaseOfKey reads the key of a lease's item. A group's name may hold any byte.
func LeaseOfKey(key string) (group string, s tributary.Shard, err error) {
	at := strings.LastIndexByte(key, 0)
	if at < 0 {
		return "", s, ErrCorrupt
	}
	s, err = ShardOfKey(key[at+1:])
	return key[:at], s, err
}

// DatasetOfKey reads the key of a dataset's item, but for the pool.
func DatasetOfKey(key string) (tributary.DatasetKey, error) {
	identity, name, found := strings.Cut(key, "\x00")
	if !found {
		return tributary.DatasetKey{}, ErrCorrupt
	}
	return tributary.DatasetKey{Identity: tributary.IdentityID(identity), Dataset: tributary.DatasetName(name)}, nil
}

// DeviceOfKey reads the key of a device's item. A device's id may hold any byte.
func DeviceOfKey(key string) (tributary.IdentityID, tributary.DeviceID, error) {
	identity, id, found := strings.Cut(key, "\x00")
	if !found {
		return "", "", ErrCorrupt
	}
	return tributary.IdentityID(identity), tributary.DeviceID(id), nil
}

// Page collects items of a scan, in the order of their keys.
type Page struct {
	Items []tributary.Item
	Most  int // bytes
	size  int
}

// Add adds an item unless the page is full.
func (p *Page) Add(i tributary.Item) (added bool) {
	size := len(i.Key) + len(i.Value)
	if len(p.Items) > 0 && p.size+size > p.Most {
		return false
	}
	p.Items, p.size = append(p.Items, i), p.size+size
	return true
}

// PageOf cuts a page out of all items of a kind, which it sorts.
func PageOf(all []tributary.Item, after string, most int) []tributary.Item {
	sortItems(all)
	p := Page{Most: most}
	for _, i := range all {
		if i.Key > after && !p.Add(i) {
			break
		}
	}
	return p.Items
}

func sortItems(list []tributary.Item) {
	slices.SortFunc(list, func(a, b tributary.Item) int { return cmp.Compare(a.Key, b.Key) })
}

// Pick gives the items of some keys in the keys' order, those that are not
// there with a nil value.
func Pick(have []tributary.Item, kind tributary.ItemKind, keys []string) []tributary.Item {
	sortItems(have)
	out := make([]tributary.Item, len(keys))
	for n, key := range keys {
		out[n] = tributary.Item{Kind: kind, Key: key}
		at, found := slices.BinarySearchFunc(have, key, func(i tributary.Item, k string) int { return cmp.Compare(i.Key, k) })
		if found {
			out[n] = have[at]
		}
	}
	return out
}
