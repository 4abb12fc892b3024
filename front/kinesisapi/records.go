package kinesisapi

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/awswire"
	"tributary/streamrec"
)

const (
	maxRecords = 10_000
	maxBytes   = 10 << 20 // of data and partition keys in one answer
	// maxRead is the most that is asked of the log at once, and perRecord what
	// a small record takes there with room to spare, so that a small Limit does
	// not read much for nothing.
	maxRead   = 1 << 20
	perRecord = 1 << 10
)

type getRecordsInput struct {
	ShardIterator string
	Limit         *int
	StreamARN     string
	DryRun        bool
}

// getRecordsOutput is the answer, which grows as JSON while the log is read.
type getRecordsOutput struct{ body []byte }

// AppendJSON appends the answer, or gives it as it is where nothing stands
// before it: it may be of 14 MB.
func (out *getRecordsOutput) AppendJSON(dst []byte) []byte {
	if len(dst) == 0 {
		return out.body
	}
	return append(dst, out.body...)
}

func (s *server) getRecords(ctx context.Context, p tributary.Principal, in *getRecordsInput) (*getRecordsOutput, error) {
	const op = "GetRecords"
	if in.ShardIterator == "" {
		return nil, required(op, "shardIterator")
	}
	limit, err := bounded(op, "limit", in.Limit, maxRecords, maxRecords)
	if err != nil {
		return nil, err
	}
	it, err := s.openIterator(op, in.ShardIterator)
	if err != nil {
		return nil, err
	}
	if in.StreamARN != "" {
		if _, err := s.name(op, streamRef{StreamName: string(it.stream), StreamARN: in.StreamARN}); err != nil {
			return nil, err
		}
	}
	st, err := s.incarnation(ctx, p, op, it.stream, it.shard.Stream)
	if err != nil {
		return nil, err
	}
	r := shardRange(&st, it.shard.Number)
	if r == nil {
		return nil, s.noShard(op, &st, it.shard.Number)
	}
	if in.DryRun {
		return nil, dryRun()
	}
	if !s.limits.read(it.shard, s.now()) {
		return nil, s.throttled(op, &st, it.shard.Number)
	}
	b := &batch{server: s, stream: &st, place: it, limit: limit, began: s.now(), body: append(make([]byte, 0, 4096), `{"Records":[`...)}
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	ended, err := b.ended(ctx, r)
	if err == nil && b.count == 0 && !ended && s.Hold > 0 {
		err = b.hold(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.limits.gave(it.shard, b.size, s.now())
	return b.finish(ended)
}

// batch is one answer of GetRecords in the making.
type batch struct {
	*server
	stream *tributary.Stream
	place  iterator // moves with what was read
	limit  int      // of entries
	began  tributary.Millis

	body  []byte
	data  []byte // of one entry
	count int
	size  int // of data and partition keys
	more  bool
	next  tributary.Millis // if there is more: when the first of it arrived
}

func (b *batch) after() tributary.Position {
	return tributary.PositionOf(b.place.shard, b.place.n)
}

// fill reads the log until the answer is full or the tip is reached, beside at
// most mostFilling others.
func (b *batch) fill(ctx context.Context) error {
	select {
	case b.filling <- struct{}{}:
		defer func() { <-b.filling }()
	case <-ctx.Done():
		return &tributary.Error{Kind: tributary.Unavailable, Op: "GetRecords", Err: ctx.Err()}
	}
	for !b.more {
		// Where the answer is full of entries, one more tells whether it is the last.
		ask := max(1, min(maxRead, maxBytes-b.size, (b.limit-b.count)*perRecord))
		entries, err := b.Log.Read(ctx, b.place.shard, b.after(), ask)
		if err != nil || len(entries) == 0 {
			return err
		}
		given := 0
		for given < len(entries) && b.add(&entries[given]) {
			given++
		}
		if b.more = given < len(entries); b.more {
			b.next = entries[given].Arrived
		}
		if given == 0 {
			return nil
		}
		if _, b.place.n, err = entries[given-1].Position.Split(); err != nil {
			return &tributary.Error{Kind: tributary.Internal, Op: "GetRecords", Err: err} // the log's own position
		}
	}
	return nil
}

// add appends an entry, if it fits.
func (b *batch) add(e *tributary.Entry) bool {
	if b.count == b.limit {
		return false
	}
	data, key := b.encode(e), e.PartitionKey()
	if b.count > 0 && b.size+len(data)+len(key) > maxBytes {
		return false
	}
	out := b.body
	const envelope = 256 // what stands around data and key, in round figures
	if need := base64.StdEncoding.EncodedLen(len(data)) + len(key) + envelope; cap(out)-len(out) < need {
		out = slices.Grow(out, cap(out)+need) // append would grow by a quarter, and copy megabytes again and again
	}
	if b.count > 0 {
		out = append(out, ',')
	}
	out = append(append(out, `{"SequenceNumber":"`...), e.Position...)
	out = awswire.Timestamp(e.Arrived).AppendJSON(append(out, `","ApproximateArrivalTimestamp":`...))
	out = base64.StdEncoding.AppendEncode(append(out, `,"Data":"`...), data)
	out = awswire.AppendString(append(out, `","PartitionKey":`...), key)
	b.body = append(out, '}')
	b.count++
	b.size += len(data) + len(key)
	return true
}

// encode gives an entry's data, good until the next call.
func (b *batch) encode(e *tributary.Entry) []byte {
	if e.Kind == tributary.EntryForeign {
		return e.Foreign.Data
	}
	data, inline := streamrec.AppendInline(b.data[:0], e.Change, b.InlineLimit)
	if !inline {
		data = streamrec.Append(data, e.Change, b.Link(b.place.shard, e.Position, linkLife(e.Arrived, b.began, b.stream.Retention)))
	}
	b.data = data
	return data
}

// ended tells whether the shard has nothing more to give, for ever.
func (b *batch) ended(ctx context.Context, r *tributary.ShardRange) (bool, error) {
	if !r.Closed || b.more {
		return false, nil
	}
	last := lastCount(r)
	if b.place.n >= last {
		return true, nil
	}
	// What the reader has not seen may have been trimmed.
	holds, err := b.holds(ctx, b.place.shard, r, 0)
	return !holds, err
}

// hold waits for an entry, and reads it.
func (b *batch) hold(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, b.Hold)
	defer cancel()
	if err := b.Log.Wait(wait, b.place.shard, b.after()); err != nil {
		if wait.Err() != nil && ctx.Err() == nil {
			return nil // nothing came
		}
		return err
	}
	return b.fill(ctx)
}

// childShard is a shard that a reader goes on with.
type childShard struct {
	ShardID      string `json:"ShardId"`
	ParentShards []string
	HashKeyRange hashKeyRange
}

// finish writes what follows the records.
func (b *batch) finish(ended bool) (*getRecordsOutput, error) {
	out := b.body
	b.place.created = b.now()
	if ended {
		out = append(out, `],"NextShardIterator":null,"MillisBehindLatest":`...)
	} else {
		out = append(append(out, `],"NextShardIterator":"`...), b.sealIterator(b.place)...)
		out = append(out, `","MillisBehindLatest":`...)
	}
	var behind tributary.Millis
	if b.more {
		behind = max(1, b.place.created-b.next) // 0 would say that there is nothing more
	}
	out = strconv.AppendInt(out, int64(behind), 10)
	if ended {
		children, err := json.Marshal(b.children())
		if err != nil {
			return nil, &tributary.Error{Kind: tributary.Internal, Op: "GetRecords", Err: err}
		}
		out = append(append(out, `,"ChildShards":`...), children...)
	}
	return &getRecordsOutput{append(out, '}')}, nil
}

func (b *batch) children() []childShard {
	out := []childShard{}
	for i := range b.stream.Shards {
		r := &b.stream.Shards[i]
		child, ours := childShard{ShardID: tributary.ShardID(r.Number), HashKeyRange: hashKeys(r)}, false
		for _, parent := range r.Parents {
			child.ParentShards = append(child.ParentShards, tributary.ShardID(parent))
			ours = ours || parent == b.place.shard.Number
		}
		if ours {
			out = append(out, child)
		}
	}
	return out
}

// linkLife is how long a link to an entry's records should be good: as long as
// the entry is there, within what a signature allows.
func linkLife(arrived, now tributary.Millis, retention time.Duration) time.Duration {
	const longest, shortest = 7 * 24 * time.Hour, time.Minute
	left := retention - time.Duration(now-arrived)*time.Millisecond
	return max(shortest, min(longest, left))
}
