package pebblestore

import (
	"encoding/binary"
	"fmt"
	"strings"

	"tributary"
	"tributary/store/codec"
)

// The layout. Every key begins with a letter for its table. Names and ids hold
// no zero byte, so a zero byte ends them and byte order is name order.
const (
	tableMeta     = 'm' // name → format version, id, last stream id
	tablePool     = 'p' // pool → JSON
	tableIdentity = 'i' // identity → encoded identity with its usage
	tableMember   = 'n' // pool 0 identity → nothing
	tableLogin    = 'o' // pool 0 provider with its length, user → identity
	tableOpen     = 'q' // identity with work to be done → nothing
	tableHead     = 'd' // identity 0 dataset → head, with its records while small
	tableRecord   = 'r' // identity 0 dataset 0 key → record, of a split dataset
	tableIndex    = 'x' // identity 0 dataset 0 sync count, key → 1 if a tombstone, of a split dataset
	tableStream   = 's' // stream id → JSON
	tableLog      = 'l' // stream id, shard, count → entry
	tableHorizon  = 'h' // stream id, shard → count of the last trimmed entry
	tableFolded   = 'f' // stream id, shard → count up to which usage is folded
	tableUsage    = 'u' // pool 0 stream id, shard → usage
	tableSessions = 'y' // pool → sync sessions
	tableLease    = 'e' // group 0 stream id, shard → JSON
	tableKey      = 'k' // access key id → JSON
	tableSealing  = 'g' // sealing key id → JSON
	tableDevice   = 'v' // identity 0 device → JSON
	tableRestored = 'z' // time of a restore → JSON
)

var (
	metaFormat     = []byte("mformat")
	metaID         = []byte("mid")
	metaLastStream = []byte("mlaststream")
)

func textKey(table byte, parts ...string) []byte {
	n := len(parts)
	for _, p := range parts {
		n += len(p)
	}
	k := append(make([]byte, 0, n), table)
	for i, p := range parts {
		if i > 0 {
			k = append(k, 0)
		}
		k = append(k, p...)
	}
	return k
}

func headKey(k tributary.DatasetKey) []byte {
	return textKey(tableHead, string(k.Identity), string(k.Dataset))
}

// headKeyOf takes a key of [headKey] apart. It does not name the pool.
func headKeyOf(key []byte) (tributary.DatasetKey, error) {
	identity, dataset, found := strings.Cut(string(key[1:]), "\x00")
	if !found {
		return tributary.DatasetKey{}, fmt.Errorf("key %q: %w", key, codec.ErrCorrupt)
	}
	return tributary.DatasetKey{Identity: tributary.IdentityID(identity), Dataset: tributary.DatasetName(dataset)}, nil
}

// datasetPrefix is what all keys of a split dataset's table begin with.
func datasetPrefix(table byte, k tributary.DatasetKey) []byte {
	return textKey(table, string(k.Identity), string(k.Dataset), "")
}

func recordKey(k tributary.DatasetKey, key string) []byte {
	return textKey(tableRecord, string(k.Identity), string(k.Dataset), key)
}

func indexKey(k tributary.DatasetKey, count int64, key string) []byte {
	b := datasetPrefix(tableIndex, k)
	b = binary.BigEndian.AppendUint64(b, uint64(count))
	return append(b, key...)
}

func shardKey(table byte, s tributary.Shard) []byte {
	return appendShard([]byte{table}, s)
}

func appendShard(b []byte, s tributary.Shard) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(s.Stream))
	return binary.BigEndian.AppendUint32(b, s.Number)
}

func readShard(b []byte) tributary.Shard {
	return tributary.Shard{Stream: tributary.StreamID(binary.BigEndian.Uint64(b)), Number: binary.BigEndian.Uint32(b[8:])}
}

func logKey(s tributary.Shard, n uint64) []byte {
	return binary.BigEndian.AppendUint64(shardKey(tableLog, s), n)
}

// logCount reads the count at the end of a log key.
func logCount(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// after is the smallest key above all keys that begin with the prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
