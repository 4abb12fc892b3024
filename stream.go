package tributary

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// StreamName names a stream as Kinesis does.
type StreamName string

var streamNamePattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// CheckStreamName tells whether a stream may have this name.
func CheckStreamName(name StreamName) error {
	if len(name) == 0 || len(name) > 128 || !streamNamePattern.MatchString(string(name)) {
		return Errorf(Invalid, "check streamName",
			"1 validation error detected: Value '%s' at 'streamName' failed to satisfy constraint: Member must have length between 1 and 128 and satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
			clip(string(name)))
	}
	return nil
}

// StreamID is a stream's incarnation: a stream made again under an old name
// has a higher one. Logs are kept by it.
type StreamID uint64

// DefaultStream is the log of the pools without a stream. It has no name and
// no reader outside of the server.
const DefaultStream StreamID = 1

// StreamKind tells where the readers of a stream are.
type StreamKind string

// The kinds of stream.
const (
	Embedded StreamKind = "embedded" // read from the log, through the Kinesis API
	Kinesis  StreamKind = "kinesis"  // at Amazon Kinesis; the log is what is still to be sent there
)

// Target is a stream at Amazon Kinesis, and how it is reached. Pools share the
// log of one if all of it is the same.
type Target struct {
	Name    StreamName
	Region  string
	RoleARN string // assumed to write to it
}

// StreamName is the name under which the store has the stream. No embedded
// stream can have it.
func (t Target) StreamName() StreamName {
	return StreamName("kinesis:" + t.Region + ":" + string(t.Name) + ":" + t.RoleARN)
}

// Consumer is a reader of an embedded stream that registered for an output of
// its own.
type Consumer struct {
	Name    string
	Created Millis // its second is part of its ARN
	Tags    map[string]string
}

// DefaultRetention is how long an embedded stream keeps its entries.
const DefaultRetention = 24 * time.Hour

// Stream is a named log that pools write to.
type Stream struct {
	ID        StreamID // given by the store when it is first put
	Name      StreamName
	Revision  int64 // 0 in a stream that is not stored yet
	Kind      StreamKind
	Shards    []ShardRange // in the order of their numbers; never shrinks
	Retention time.Duration
	Created   Millis

	// Of an embedded stream.
	Tags      map[string]string
	Consumers []Consumer // in the order of their names' bytes
	// MaxRecord is the most bytes of a foreign record, its partition key included;
	// 0: MinMaxRecord.
	MaxRecord int

	// Of a stream of kind Kinesis.
	Target Target
	// Failure is why nothing is sent any more; "" while it is.
	Failure string
}

// Shard names one shard of one stream.
type Shard struct {
	Stream StreamID
	Number uint32
}

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Stream, s.Number) }

// ShardID is what readers call the shard of a number.
func ShardID(number uint32) string { return fmt.Sprintf("shardId-%012d", number) }

// ShardRange is a shard's entry in its stream's shard map.
type ShardRange struct {
	Number     uint32
	Parents    []uint32 // none, one (after a split) or two (after a merge)
	Start, End HashKey  // inclusive
	Closed     bool     // takes no further entries
	Last       Position // of a closed shard: of its last entry, or ""
}

// Clone copies a stream, so that nothing is shared.
func (s *Stream) Clone() Stream {
	out := *s
	out.Shards, out.Consumers, out.Tags = slices.Clone(s.Shards), slices.Clone(s.Consumers), maps.Clone(s.Tags)
	for i := range out.Shards {
		out.Shards[i].Parents = slices.Clone(out.Shards[i].Parents)
	}
	for i := range out.Consumers {
		out.Consumers[i].Tags = maps.Clone(out.Consumers[i].Tags)
	}
	return out
}

// CheckNext tells why a shard map cannot follow the stream's: shards are never
// taken away and never opened again.
func (s *Stream) CheckNext(next *Stream) error {
	const op = "put stream"
	if len(next.Shards) < len(s.Shards) {
		return Errorf(Invalid, op, "Stream %s has %d shards, none of which can be taken away", s.Name, len(s.Shards))
	}
	for i := range s.Shards {
		if s.Shards[i].Closed && !next.Shards[i].Closed {
			return Errorf(Invalid, op, "Shard %d of stream %s is closed and cannot be opened again", s.Shards[i].Number, s.Name)
		}
	}
	return nil
}

// HashKey is a place in Kinesis' space of hash keys, 0 to 2^128-1.
type HashKey struct{ Hi, Lo uint64 }

// maxHashKey is the highest.
var maxHashKey = HashKey{Hi: ^uint64(0), Lo: ^uint64(0)}

// HashOf is the hash key of a partition key: its MD5, as Kinesis computes it.
func HashOf(partitionKey string) HashKey {
	sum := md5.Sum([]byte(partitionKey))
	return HashKey{Hi: binary.BigEndian.Uint64(sum[:8]), Lo: binary.BigEndian.Uint64(sum[8:])}
}

// Less orders hash keys by number.
func (h HashKey) Less(other HashKey) bool {
	return h.Hi < other.Hi || h.Hi == other.Hi && h.Lo < other.Lo
}

// String is the key's decimal form, as on the Kinesis wire.
func (h HashKey) String() string {
	n := new(big.Int).SetUint64(h.Hi)
	n.Lsh(n, 64)
	return n.Or(n, new(big.Int).SetUint64(h.Lo)).String()
}

// ParseHashKey reads a key's decimal form: no sign, no leading zeros.
func ParseHashKey(decimal string) (HashKey, error) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.String() != decimal || n.Sign() < 0 || n.BitLen() > 128 {
		return HashKey{}, Errorf(Invalid, "read hash key", "%s is not a number from 0 to 2^128-1", clip(decimal))
	}
	return HashKey{Hi: new(big.Int).Rsh(n, 64).Uint64(), Lo: n.And(n, new(big.Int).SetUint64(^uint64(0))).Uint64()}, nil
}

// EvenShards divides the hash keys into n open shards.
func EvenShards(n int) []ShardRange {
	shards := make([]ShardRange, n)
	for i := range shards {
		shards[i] = ShardRange{Number: uint32(i), Start: hashShare(i, n), End: maxHashKey}
		if i > 0 {
			shards[i-1].End = shards[i].Start.before()
		}
	}
	return shards
}

// hashShare is i/n of the space of hash keys, rounded down.
func hashShare(i, n int) HashKey {
	hi, rest := bits.Div64(uint64(i)%uint64(n), 0, uint64(n))
	lo, _ := bits.Div64(rest, 0, uint64(n))
	return HashKey{Hi: hi, Lo: lo}
}

func (h HashKey) before() HashKey {
	lo, borrow := bits.Sub64(h.Lo, 1, 0)
	return HashKey{Hi: h.Hi - borrow, Lo: lo}
}

func (h HashKey) after() HashKey {
	lo, carry := bits.Add64(h.Lo, 1, 0)
	return HashKey{Hi: h.Hi + carry, Lo: lo}
}

// ShardFor gives the open shard that holds a hash key.
func (s *Stream) ShardFor(h HashKey) (Shard, bool) {
	for i := range s.Shards {
		r := &s.Shards[i]
		if !r.Closed && !h.Less(r.Start) && !r.End.Less(h) {
			return Shard{Stream: s.ID, Number: r.Number}, true
		}
	}
	return Shard{}, false
}

// Position is the place of an entry in its shard's log: its Kinesis sequence
// number, a decimal string of fixed width made of stream incarnation, shard
// and count, so that text order is number order and a child shard's numbers
// stand above its parents'. "" stands below every position. Positions of other
// sources (Kinesis itself) are opaque.
type Position string

const (
	positionHead   = "49" // as Kinesis' own numbers begin; keeps leading zeros away
	streamDigits   = 16
	shardDigits    = 10
	countDigits    = 20
	positionLength = len(positionHead) + streamDigits + shardDigits + countDigits
)

// PositionOf makes the position of a shard's n-th entry, counting from 1; n = 0
// is the position below the first entry.
func PositionOf(s Shard, n uint64) Position {
	b := make([]byte, 0, positionLength)
	b = append(b, positionHead...)
	b = appendPadded(b, uint64(s.Stream), streamDigits)
	b = appendPadded(b, uint64(s.Number), shardDigits)
	return Position(appendPadded(b, n, countDigits))
}

func appendPadded(b []byte, n uint64, width int) []byte {
	start := len(b)
	for range width {
		b = append(b, '0')
	}
	for i := len(b) - 1; n > 0 && i >= start; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// Split takes a position of [PositionOf] apart. It fails for any other text.
func (p Position) Split() (Shard, uint64, error) {
	bad := func() (Shard, uint64, error) {
		return Shard{}, 0, Errorf(Invalid, "split position", "%q is not a sequence number of this server", clip(string(p)))
	}
	if len(p) != positionLength || p[:len(positionHead)] != positionHead {
		return bad()
	}
	var parts [3]uint64
	rest := string(p[len(positionHead):])
	for i, width := range []int{streamDigits, shardDigits, countDigits} {
		n, err := strconv.ParseUint(rest[:width], 10, 64)
		if err != nil {
			return bad()
		}
		parts[i], rest = n, rest[width:]
	}
	if parts[1] > 1<<32-1 {
		return bad()
	}
	return Shard{Stream: StreamID(parts[0]), Number: uint32(parts[1])}, parts[2], nil
}
