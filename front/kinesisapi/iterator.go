package kinesisapi

import (
	"context"
	"encoding/binary"
	"math"

	"tributary"
	"tributary/awswire"
)

// iterator is a place in a shard: what a ShardIterator says.
type iterator struct {
	created tributary.Millis
	shard   tributary.Shard
	n       uint64 // of the entry below it
	stream  tributary.StreamName
}

// iteratorContext is what iterators are sealed for.
const iteratorContext = "kinesis ShardIterator"

// sealIterator makes a ShardIterator: 270 characters at most, for the longest
// name, of the 512 that the wire allows.
func (s *server) sealIterator(it iterator) string {
	b := make([]byte, 0, 64+len(it.stream))
	b = binary.AppendVarint(b, int64(it.created))
	b = binary.AppendUvarint(b, uint64(it.shard.Stream))
	b = binary.AppendUvarint(b, uint64(it.shard.Number))
	b = binary.AppendUvarint(b, it.n)
	return s.Sealer.Seal(iteratorContext, append(b, it.stream...))
}

// openIterator reads a ShardIterator.
//
// Errors: Invalid, or the fault ExpiredIteratorException.
func (s *server) openIterator(op, token string) (iterator, error) {
	plain, err := s.Sealer.Open(iteratorContext, token)
	if err != nil {
		return iterator{}, &tributary.Error{Kind: tributary.Invalid, Op: op, Msg: "Invalid ShardIterator.", Err: err}
	}
	it, ok := decodeIterator(plain)
	if !ok {
		return iterator{}, invalid(op, "Invalid ShardIterator.")
	}
	if now := s.now(); tooOld(it.created, now) {
		const layout = "Mon Jan 02 15:04:05 MST 2006"
		return iterator{}, expired("ExpiredIteratorException", "Iterator expired. The iterator was created at time "+it.created.Time().Format(layout)+
			" while right now it is "+now.Time().Format(layout)+" which is further in the future than the tolerated delay of 300000 milliseconds.")
	}
	return it, nil
}

func decodeIterator(b []byte) (iterator, bool) {
	created, n := binary.Varint(b)
	if n <= 0 {
		return iterator{}, false
	}
	b = b[n:]
	var parts [3]uint64
	for i := range parts {
		if parts[i], n = binary.Uvarint(b); n <= 0 {
			return iterator{}, false
		}
		b = b[n:]
	}
	if parts[1] > math.MaxUint32 {
		return iterator{}, false
	}
	return iterator{
		created: tributary.Millis(created), n: parts[2], stream: tributary.StreamName(b),
		shard: tributary.Shard{Stream: tributary.StreamID(parts[0]), Number: uint32(parts[1])},
	}, true
}

type getShardIteratorInput struct {
	streamRef
	ShardID                string `json:"ShardId"`
	ShardIteratorType      string
	StartingSequenceNumber string
	Timestamp              *awswire.Timestamp
	DryRun                 bool
}

type getShardIteratorOutput struct{ ShardIterator string }

func (s *server) getShardIterator(ctx context.Context, p tributary.Principal, in *getShardIteratorInput) (*getShardIteratorOutput, error) {
	const op = "GetShardIterator"
	if in.ShardID == "" {
		return nil, required(op, "shardId")
	}
	if err := in.check(op, s.now()); err != nil {
		return nil, err
	}
	st, err := s.stream(ctx, p, op, in.streamRef)
	if err != nil {
		return nil, err
	}
	r, err := s.shard(op, &st, in.ShardID)
	if err != nil {
		return nil, err
	}
	id := tributary.Shard{Stream: st.ID, Number: r.Number}
	if !s.limits.call(iteratorCalls, id, s.now()) {
		return nil, s.throttled(op, &st, id.Number)
	}
	n, err := s.place(ctx, op, id, &st, in)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, dryRun()
	}
	return &getShardIteratorOutput{s.sealIterator(iterator{created: s.now(), shard: id, n: n, stream: st.Name})}, nil
}

// The types of iterator.
const (
	trimHorizon   = "TRIM_HORIZON"
	latest        = "LATEST"
	atSequence    = "AT_SEQUENCE_NUMBER"
	afterSequence = "AFTER_SEQUENCE_NUMBER"
)

// check tells whether the request makes sense by itself.
func (in *getShardIteratorInput) check(op string, now tributary.Millis) error {
	const either = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or " +
		"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and %s StartingSequenceNumber."
	switch in.ShardIteratorType {
	case atSequence, afterSequence:
		if in.StartingSequenceNumber == "" {
			return invalid(op, either, in.ShardIteratorType, "no")
		}
	case trimHorizon, latest:
		if in.StartingSequenceNumber != "" {
			return invalid(op, either, in.ShardIteratorType, "also a")
		}
	case atTimestamp:
		if in.Timestamp == nil {
			return invalid(op, "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
		}
		if at := tributary.Millis(*in.Timestamp); at > now {
			return invalid(op, "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", at, now)
		}
	case "":
		return required(op, "shardIteratorType")
	default:
		return invalid(op, "1 validation error detected: Value '%.64s' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]", in.ShardIteratorType)
	}
	return nil
}

// place finds the entry below which an iterator begins.
func (s *server) place(ctx context.Context, op string, id tributary.Shard, st *tributary.Stream, in *getShardIteratorInput) (uint64, error) {
	var at tributary.Millis
	switch in.ShardIteratorType {
	case trimHorizon:
	case atTimestamp:
		at = tributary.Millis(*in.Timestamp)
	default:
		at = math.MaxInt64 // the tip
	}
	found, err := s.Log.Find(ctx, id, at)
	if err != nil {
		return 0, err
	}
	_, n, err := found.Split()
	if err != nil || in.StartingSequenceNumber == "" || in.ShardIteratorType == atTimestamp {
		return n, err
	}
	return s.sequence(op, id, st, in, n)
}

// sequence finds the place that a sequence number stands for, in a shard whose
// last entry is tip.
func (s *server) sequence(op string, id tributary.Shard, st *tributary.Stream, in *getShardIteratorInput, tip uint64) (uint64, error) {
	of, n, err := tributary.Position(in.StartingSequenceNumber).Split()
	switch {
	case err != nil || of.Stream != id.Stream || of == id && n > tip:
		return 0, invalid(op, "StartingSequenceNumber %.130s used in GetShardIterator on shard %s in stream %s under account %s is invalid because it did not come from this stream.",
			in.StartingSequenceNumber, tributary.ShardID(id.Number), st.Name, s.Account)
	case of != id:
		return 0, invalid(op, "Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s", tributary.ShardID(of.Number), tributary.ShardID(id.Number))
	case in.ShardIteratorType == atSequence && n > 0:
		n--
	}
	return n, nil
}
