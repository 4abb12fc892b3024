package kinesis

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"tributary"
)

// Sink writes the entries of streams of kind Kinesis to them. Streams, Client
// and Fail are required.
type Sink struct {
	Streams tributary.Streams
	// Client gives the client of a target.
	Client func(tributary.Target) Client
	// Fail turns a stream off, which cannot go on until a person has acted.
	Fail func(ctx context.Context, stream tributary.Stream, reason string) error
	// Bucket takes the records of updates above InlineLimit; nil: they stay in
	// their stream record, however large.
	Bucket      Bucket
	InlineLimit int // bytes of a record's JSON
	// Sent, if set, hears how many records were confirmed.
	Sent func(to tributary.Target, records int)
	// Failed, if set, hears how many records were refused, and of AWS's code.
	Failed func(to tributary.Target, code string, records int)
	// Patience is for how long a failure is tried again that a person must end
	// (0: 30 s).
	Patience time.Duration
	// Timeout is that of a call (0: 10 s).
	Timeout time.Duration
	// Calls is how many of one shard are under way at a time (0: 4).
	Calls int
	Log   *slog.Logger // nil: no log

	mu     sync.Mutex
	names  map[tributary.StreamID]tributary.StreamName
	shards map[tributary.Shard]*progress
}

// Bucket keeps what is too large for a record.
type Bucket interface {
	// Put keeps the records of a change, which is in a dataset, as a JSON array,
	// and gives a link to them. The same again is harmless.
	Put(ctx context.Context, k tributary.DatasetKey, records []byte) (link string, err error)
}

// progress is how far the delivery of a shard's batch got that was not
// delivered whole.
type progress struct {
	confirmed map[tributary.Position]bool
	stuck     time.Time // since when nothing is confirmed; zero: something was
	refused   time.Time // since when a person is needed; zero: none is
	revision  int64     // of the stream that refused
}

const (
	firstPause = 50 * time.Millisecond // after a record's first failure
	// mostStuck is for how long a batch is kept in memory of which nothing can
	// be sent.
	mostStuck = 5 * time.Second
)

// errOff is a stream that was turned off.
var errOff = errors.New("streaming is turned off")

// Deliver sends a batch. It returns when all of it is confirmed, or when
// nothing was for a while; what was confirmed is then left out of the next
// delivery.
func (s *Sink) Deliver(ctx context.Context, l tributary.Lease, batch []tributary.Entry) error {
	stream, err := s.stream(ctx, l.Shard.Stream)
	if err != nil {
		return err
	}
	if stream.Failure != "" {
		return errOff
	}
	p := s.progress(&l, batch)
	records, unsendable := s.records(batch, p.confirmed)
	d := &delivery{Sink: s, stream: stream, client: s.Client(stream.Target), progress: p, queue: newQueue(records, firstPause)}
	if err := d.run(ctx); err != nil {
		return d.judge(ctx, err)
	}
	if unsendable != nil {
		s.count(stream.Target, codeOf(unsendable), 1)
		return d.fail(ctx, unsendable.Error())
	}
	s.forget(l.Shard)
	return nil
}

// stream reads the stream of an id.
func (s *Sink) stream(ctx context.Context, id tributary.StreamID) (tributary.Stream, error) {
	s.mu.Lock()
	name, known := s.names[id]
	s.mu.Unlock()
	if known {
		stream, err := s.Streams.Stream(ctx, name)
		if err == nil && stream.ID != id {
			err = gone(id)
		}
		return stream, err
	}
	all, err := s.Streams.Streams(ctx, "", math.MaxInt)
	if err != nil {
		return tributary.Stream{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = map[tributary.StreamID]tributary.StreamName{}
	found := tributary.Stream{}
	for i := range all {
		s.names[all[i].ID] = all[i].Name
		if all[i].ID == id {
			found = all[i]
		}
	}
	if found.ID == 0 {
		return found, gone(id)
	}
	return found, nil
}

func gone(id tributary.StreamID) error {
	return tributary.Errorf(tributary.NotFound, "deliver", "stream %d is gone", id)
}

// progress gives how far a shard's delivery got. What is below the batch was
// told to the lease.
func (s *Sink) progress(l *tributary.Lease, batch []tributary.Entry) *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shards == nil {
		s.shards = map[tributary.Shard]*progress{}
	}
	p := s.shards[l.Shard]
	if p == nil {
		p = &progress{confirmed: map[tributary.Position]bool{}}
		s.shards[l.Shard] = p
	}
	for at := range p.confirmed {
		if at < batch[0].Position {
			delete(p.confirmed, at)
		}
	}
	return p
}

func (s *Sink) forget(shard tributary.Shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.shards, shard)
}

func (s *Sink) count(to tributary.Target, code string, records int) {
	if s.Failed != nil {
		s.Failed(to, code, records)
	}
}

// judge decides what an error of a delivery means: the stream is turned off if
// it lasted that a person is needed.
func (d *delivery) judge(ctx context.Context, err error) error {
	why, p := reason(d.stream.Target, err), d.progress
	if why == "" {
		p.refused = time.Time{}
		return err
	}
	if p.refused.IsZero() || p.revision != d.stream.Revision {
		p.refused, p.revision = time.Now(), d.stream.Revision
	}
	if time.Since(p.refused) < cmp.Or(d.Patience, 30*time.Second) {
		return err
	}
	return d.fail(ctx, why)
}

// fail turns the stream off.
func (d *delivery) fail(ctx context.Context, why string) error {
	why += ". Then set StreamingStatus to ENABLED: what was not sent is kept, and is sent then."
	if d.Log != nil {
		d.Log.Error("streaming turns itself off", "stream", d.stream.Name, "reason", why)
	}
	if err := d.Fail(ctx, d.stream, why); err != nil {
		return err
	}
	return errOff
}
