package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"tributary"
	"tributary/sink/kinesis"
	"tributary/streamrec"
)

const throttled = "ProvisionedThroughputExceededException"

// fakeKinesis is no Kinesis: it takes PutRecords in memory, writes the records
// of a call in any order, as Kinesis may, and fails as it is told.
type fakeKinesis struct {
	*testing.T
	mu     sync.Mutex
	rng    *rand.Rand
	got    map[string][][]byte // by partition key
	hashes map[string]string
	flying map[string]int
	calls  int
	most   int // calls at a time
	now    int
	// fault decides about a call; nil: all is well.
	fault func(rng *rand.Rand, call int) fault
	takes time.Duration  // a call, at most
	later sync.WaitGroup // calls that are still to arrive
}

// fault is how a call fails.
type fault struct {
	err     error   // of the whole call
	written bool    // it was nevertheless written, or a part of it
	refuse  float64 // share of the records that are refused
	late    bool    // it is written after the answer
}

func newFake(t *testing.T, seed uint64) *fakeKinesis {
	return &fakeKinesis{T: t, rng: rand.New(rand.NewPCG(seed, seed)), got: map[string][][]byte{}, hashes: map[string]string{}, flying: map[string]int{}, takes: 20 * time.Millisecond}
}

func (f *fakeKinesis) PutRecords(ctx context.Context, in *api.PutRecordsInput, _ ...func(*api.Options)) (*api.PutRecordsOutput, error) {
	what, takes := f.begin(in)
	defer f.end(in)
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if what.late && what.err != nil {
		f.later.Go(func() { f.writeLater(in) })
		return nil, what.err
	}
	out := &api.PutRecordsOutput{Records: make([]types.PutRecordsResultEntry, len(in.Records))}
	for _, i := range f.rng.Perm(len(in.Records)) {
		if what.err != nil && !what.written || f.rng.Float64() < what.refuse {
			out.Records[i].ErrorCode, out.Records[i].ErrorMessage = aws.String(throttled), aws.String("Rate exceeded")
			continue
		}
		f.write(&in.Records[i])
	}
	if what.err != nil {
		return nil, what.err
	}
	return out, nil
}

// begin counts what is on its way, and holds the call to the limits.
func (f *fakeKinesis) begin(in *api.PutRecordsInput) (fault, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.now++
	f.most = max(f.most, f.now)
	size := 0
	for i := range in.Records {
		key := *in.Records[i].PartitionKey
		n := len(in.Records[i].Data) + len(key)
		if size += n; n > 1<<20 {
			f.Errorf("a record has %d bytes", n)
		}
		if f.flying[key]++; f.flying[key] > 1 {
			f.Errorf("two records of key %s are on their way", key)
		}
	}
	if len(in.Records) == 0 || len(in.Records) > 500 || size > 5<<20 {
		f.Errorf("a call has %d records, %d bytes", len(in.Records), size)
	}
	what := fault{}
	if f.fault != nil {
		what = f.fault(f.rng, f.calls)
	}
	return what, time.Duration(f.rng.Int64N(int64(f.takes) + 1))
}

func (f *fakeKinesis) end(in *api.PutRecordsInput) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	for i := range in.Records {
		f.flying[*in.Records[i].PartitionKey]--
	}
}

// writeLater is a call that was taken for lost and arrives.
func (f *fakeKinesis) writeLater(in *api.PutRecordsInput) {
	f.mu.Lock()
	after := time.Duration(f.rng.Int64N(int64(20 * time.Second)))
	f.mu.Unlock()
	time.Sleep(after)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range in.Records {
		f.write(&in.Records[i])
	}
}

func (f *fakeKinesis) write(r *types.PutRecordsRequestEntry) {
	key := *r.PartitionKey
	f.got[key] = append(f.got[key], r.Data)
	f.hashes[key] = aws.ToString(r.ExplicitHashKey)
}

// check wants the sync counts of every key to rise from 1 without a gap, repeats
// left out, to what was delivered. It gives the number of repeats.
func (f *fakeKinesis) check(want map[string]int64) (repeats int) {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, last := range want {
		var seen int64
		for _, data := range f.got[key] {
			c, _, err := streamrec.Decode(data)
			if err != nil {
				f.Fatal(err)
			}
			switch {
			case c.SyncCount <= seen:
				repeats++
			case c.SyncCount == seen+1:
				seen++
			default:
				f.Fatalf("key %s: sync count %d follows %d", key, c.SyncCount, seen)
			}
		}
		if seen != last {
			f.Fatalf("key %s: the last sync count is %d, want %d", key, seen, last)
		}
	}
	return repeats
}

var (
	errGone    = &smithy.OperationError{ServiceID: "Kinesis", OperationName: "PutRecords", Err: &types.ResourceNotFoundException{Message: aws.String("Stream far under account 000000000000 not found.")}}
	errDenied  = &smithy.OperationError{ServiceID: "Kinesis", OperationName: "PutRecords", Err: &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized to perform: kinesis:PutRecords"}}
	errRole    = &smithy.OperationError{ServiceID: "Kinesis", OperationName: "PutRecords", Err: fmt.Errorf("get credentials: %w", &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized to perform: sts:AssumeRole"}})}
	errOwn     = &smithy.OperationError{ServiceID: "Kinesis", OperationName: "PutRecords", Err: fmt.Errorf("get credentials: %w", &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: &smithy.GenericAPIError{Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid."}})}
	errServer  = &smithy.GenericAPIError{Code: "InternalFailure", Message: "oops"}
	errNetwork = errors.New("dial tcp: connection refused")
	errRefuses = &types.InvalidArgumentException{Message: aws.String("Value too long")}
)

// fakeStreams is the one stream that there is.
type fakeStreams struct {
	mu     sync.Mutex
	stream tributary.Stream
}

var target = tributary.Target{Name: "far", Region: "eu-west-1", RoleARN: "arn:aws:iam::123456789012:role/far"}

func newStreams() *fakeStreams {
	return &fakeStreams{stream: tributary.Stream{ID: 7, Name: target.StreamName(), Revision: 1, Kind: tributary.Kinesis, Target: target, Shards: tributary.EvenShards(4)}}
}

func (f *fakeStreams) Stream(_ context.Context, name tributary.StreamName) (tributary.Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name != f.stream.Name {
		return tributary.Stream{}, tributary.Errorf(tributary.NotFound, "read stream", "no such stream")
	}
	return f.stream, nil
}

func (f *fakeStreams) Streams(context.Context, tributary.StreamName, int) ([]tributary.Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []tributary.Stream{f.stream}, nil
}

func (f *fakeStreams) PutStream(context.Context, tributary.Stream) (tributary.Stream, error) {
	return tributary.Stream{}, errors.ErrUnsupported
}

func (f *fakeStreams) DeleteStream(context.Context, tributary.StreamName) error {
	return errors.ErrUnsupported
}

// turn sets why the stream is off, "" if it is on.
func (f *fakeStreams) turn(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stream.Failure = reason
	f.stream.Revision++
}

func (f *fakeStreams) reason() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stream.Failure
}

// fail is what turns it off, as the service does.
func (f *fakeStreams) fail(_ context.Context, stream tributary.Stream, reason string) error {
	if s, _ := f.Stream(context.Background(), stream.Name); s.Revision != stream.Revision {
		return nil
	}
	f.turn(reason)
	return nil
}

// world is a sink before a fake Kinesis.
type world struct {
	*testing.T
	fake    *fakeKinesis
	streams *fakeStreams
	sink    *kinesis.Sink
	mu      sync.Mutex
	sent    int
	codes   map[string]int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{T: t, fake: newFake(t, seed), streams: newStreams(), codes: map[string]int{}}
	w.sink = &kinesis.Sink{
		Streams: w.streams, Fail: w.streams.fail, InlineLimit: streamrec.DefaultInlineLimit,
		Client: func(to tributary.Target) kinesis.Client {
			if to != target {
				t.Errorf("asked for %+v", to)
			}
			return w.fake
		},
		Sent: func(_ tributary.Target, n int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sent += n
		},
		Failed: func(_ tributary.Target, code string, n int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.codes[code] += n
		},
	}
	return w
}

var shard = tributary.Shard{Stream: 7}

// batch makes entries: rounds of changes of so many identities, in an order of
// the rng's choice that keeps each identity's.
func batch(rng *rand.Rand, identities, changes int) (entries []tributary.Entry, last map[string]int64) {
	last = map[string]int64{}
	for n := range changes {
		id := fmt.Sprintf("eu-west-1:%012x", rng.IntN(identities))
		last[id]++
		entries = append(entries, entry(uint64(n+1), id, last[id], strings.Repeat("v", rng.IntN(200))))
	}
	return entries, last
}

func entry(n uint64, id string, count int64, value string) tributary.Entry {
	return tributary.Entry{Position: tributary.PositionOf(shard, n), Change: &tributary.Change{
		Key:       tributary.DatasetKey{Pool: "eu-west-1:a", Identity: tributary.IdentityID(id), Dataset: "d"},
		SyncCount: count, Records: []tributary.Record{{Key: "k", Value: value, SyncCount: count}},
	}}
}

// deliver does as a pump does: again and again, until a batch is taken.
func (w *world) deliver(batch []tributary.Entry, within time.Duration) {
	w.Helper()
	for deadline := time.Now().Add(within); ; {
		err := w.sink.Deliver(w.Context(), tributary.Lease{Group: "kinesis", Shard: shard}, batch)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("not delivered: %v", err)
		}
		time.Sleep(time.Second)
	}
}
