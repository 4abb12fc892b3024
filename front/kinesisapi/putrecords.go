package kinesisapi

import (
	"context"
	"fmt"
	"unicode/utf8"

	"tributary"
)

const (
	maxPutRecords = 500
	maxPutBytes   = 10 << 20 // of data and partition keys in one request
	maxKeyLength  = 256      // characters of a partition key
)

// putEntry is a record to be put, as it is on the wire.
type putEntry struct {
	Data            []byte
	PartitionKey    string
	ExplicitHashKey string
}

func (e *putEntry) size() int { return len(e.Data) + len(e.PartitionKey) }

// check reads a record, which is called where in error texts.
func (e *putEntry) check(op, where string) (tributary.ForeignRecord, error) {
	none := tributary.ForeignRecord{}
	switch n := utf8.RuneCountInString(e.PartitionKey); {
	case e.Data == nil:
		return none, required(op, where+"data")
	case n == 0:
		return none, invalid(op, "1 validation error detected: Value '' at '%spartitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1", where)
	case n > maxKeyLength:
		return none, invalid(op, "1 validation error detected: Value '%.256s' at '%spartitionKey' failed to satisfy constraint: Member must have length less than or equal to %d", e.PartitionKey, where, maxKeyLength)
	}
	hash := tributary.HashOf(e.PartitionKey)
	if e.ExplicitHashKey != "" {
		var err error
		if hash, err = tributary.ParseHashKey(e.ExplicitHashKey); err != nil {
			return none, invalid(op, "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %.128s", e.ExplicitHashKey)
		}
	}
	return tributary.ForeignRecord{PartitionKey: e.PartitionKey, HashKey: hash, Data: e.Data}, nil
}

// checkSize holds a record to what its stream takes.
func (e *putEntry) checkSize(op, where string, st *tributary.Stream) error {
	if most := maxRecordOf(st); e.size() > most {
		return invalid(op, "1 validation error detected: Value at '%sdata' failed to satisfy constraint: Member must have length less than or equal to %d, the partition key included. It has %d bytes", where, most, e.size())
	}
	return nil
}

// maxRecordOf is how large a record of a stream may be, in bytes.
func maxRecordOf(st *tributary.Stream) int { return max(st.MaxRecord, tributary.MinMaxRecord) }

type putRecordInput struct {
	streamRef
	putEntry
	SequenceNumberForOrdering string
	DryRun                    bool
}

type putRecordOutput struct {
	ShardID        string `json:"ShardId"`
	SequenceNumber tributary.Position
}

func (s *server) putRecord(ctx context.Context, p tributary.Principal, in *putRecordInput) (*putRecordOutput, error) {
	const op = "PutRecord"
	record, err := in.check(op, "")
	if err != nil {
		return nil, err
	}
	st, err := s.writable(ctx, p, op, in.streamRef)
	if err != nil {
		return nil, err
	}
	if err := in.checkSize(op, "", &st); err != nil {
		return nil, err
	}
	if err := s.checkOrdering(op, &st, in.SequenceNumberForOrdering); err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, dryRun()
	}
	if shard, ok := st.ShardFor(record.HashKey); ok && !s.limits.write(shard, in.size(), s.now()) {
		return nil, s.throttled(op, &st, shard.Number)
	}
	positions, err := s.Service.AppendRecords(ctx, p, &st, []tributary.ForeignRecord{record})
	if err != nil {
		return nil, err
	}
	out, err := put(positions[0])
	return &out, err
}

// writable reads a stream to which records may be put.
func (s *server) writable(ctx context.Context, p tributary.Principal, op string, ref streamRef) (tributary.Stream, error) {
	st, err := s.stream(ctx, p, op, ref)
	if err == nil && st.Name == tributary.AuditStream {
		err = invalid(op, "%s is the server's audit log, which can be read only", st.Name)
	}
	return st, err
}

// put tells where a record went.
func put(pos tributary.Position) (putRecordOutput, error) {
	shard, _, err := pos.Split()
	return putRecordOutput{ShardID: tributary.ShardID(shard.Number), SequenceNumber: pos}, err
}

// checkOrdering refuses a number that is none of the stream's. One that is needs
// nothing more: whatever is put later has a higher one.
func (s *server) checkOrdering(op string, st *tributary.Stream, number string) error {
	if number == "" {
		return nil
	}
	shard, _, err := tributary.Position(number).Split()
	if err != nil || shard.Stream != st.ID || shardRange(st, shard.Number) == nil {
		return invalid(op, "ExclusiveMinimumSequenceNumber %.130s used in PutRecord on stream %s under account %s is invalid.", number, st.Name, s.Account)
	}
	return nil
}

type putRecordsInput struct {
	streamRef
	Records []putEntry
	DryRun  bool
}

// putResult is what became of one record of PutRecords.
type putResult struct {
	ShardID        string             `json:"ShardId,omitzero"`
	SequenceNumber tributary.Position `json:",omitzero"`
	ErrorCode      string             `json:",omitzero"`
	ErrorMessage   string             `json:",omitzero"`
}

type putRecordsOutput struct {
	FailedRecordCount int
	Records           []putResult
}

func (s *server) putRecords(ctx context.Context, p tributary.Principal, in *putRecordsInput) (*putRecordsOutput, error) {
	const op = "PutRecords"
	records, err := in.check(op)
	if err != nil {
		return nil, err
	}
	st, err := s.writable(ctx, p, op, in.streamRef)
	if err != nil {
		return nil, err
	}
	for i := range in.Records {
		if err := in.Records[i].checkSize(op, member(i), &st); err != nil {
			return nil, err
		}
	}
	if in.DryRun {
		return nil, dryRun()
	}
	out := &putRecordsOutput{Records: make([]putResult, len(records))}
	admitted, from := s.admit(op, &st, records, out)
	if len(admitted) == 0 {
		return out, nil
	}
	positions, err := s.Service.AppendRecords(ctx, p, &st, admitted)
	if err != nil {
		return nil, err
	}
	for i, pos := range positions {
		one, err := put(pos)
		if err != nil {
			return nil, err
		}
		out.Records[from[i]] = putResult{ShardID: one.ShardID, SequenceNumber: one.SequenceNumber}
	}
	return out, nil
}

// member is what a record of a request is called in error texts.
func member(i int) string { return fmt.Sprintf("records.%d.member.", i+1) }

// check reads all records.
func (in *putRecordsInput) check(op string) ([]tributary.ForeignRecord, error) {
	switch n := len(in.Records); {
	case n == 0:
		return nil, invalid(op, "1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case n > maxPutRecords:
		return nil, invalid(op, "1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have length less than or equal to %d", maxPutRecords)
	}
	out := make([]tributary.ForeignRecord, len(in.Records))
	total := 0
	for i := range in.Records {
		var err error
		if out[i], err = in.Records[i].check(op, member(i)); err != nil {
			return nil, err
		}
		total += in.Records[i].size()
	}
	if total > maxPutBytes {
		return nil, invalid(op, "Records size exceeds %d MB limit", maxPutBytes>>20)
	}
	return out, nil
}

// admit gives the records that their shards' limits let in, and which of the
// request they are. The others are refused in out.
func (s *server) admit(op string, st *tributary.Stream, records []tributary.ForeignRecord, out *putRecordsOutput) (admitted []tributary.ForeignRecord, from []int) {
	now := s.now()
	for i := range records {
		r := &records[i]
		if shard, ok := st.ShardFor(r.HashKey); ok && !s.limits.write(shard, len(r.Data)+len(r.PartitionKey), now) {
			f := fault(op, s.throttled(op, st, shard.Number))
			out.Records[i] = putResult{ErrorCode: f.Code, ErrorMessage: f.Message}
			out.FailedRecordCount++
			continue
		}
		admitted, from = append(admitted, *r), append(from, i)
	}
	return admitted, from
}
