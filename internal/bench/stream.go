package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// event is a change that was answered or read, and when.
type event struct {
	dataset int // its index in the population
	count   int64
	at      time.Time
}

// reader reads one shard of the stream.
type reader struct {
	*client
	iterator string
	known    map[string]int // datasets by identity and name
	seen     []event
	total    *atomic.Int64 // seen by all readers
}

// openReaders places a reader at the end of each shard.
func openReaders(ctx context.Context, t *target, p *population) ([]*reader, error) {
	known := make(map[string]int, len(p.datasets))
	for _, d := range p.datasets {
		known[d.identity+"/"+d.name] = d.index
	}
	var listed struct {
		Shards []struct {
			ShardID string `json:"ShardId"`
		}
	}
	if err := t.ask(ctx, kinesisName, kinesis("ListShards"), map[string]any{"StreamName": streamName}, &listed); err != nil {
		return nil, err
	}
	var list []*reader
	total := new(atomic.Int64)
	for _, s := range listed.Shards {
		c, err := dial(ctx, t.endpoint, kinesisName)
		if err != nil {
			return list, err
		}
		r := &reader{client: c, known: known, total: total}
		list = append(list, r)
		in := map[string]any{"StreamName": streamName, "ShardId": s.ShardID, "ShardIteratorType": "LATEST"}
		var out struct{ ShardIterator string }
		if err := c.exchange(kinesis("GetShardIterator"), in, &out); err != nil {
			return list, err
		}
		r.iterator = out.ShardIterator
	}
	return list, nil
}

// follow reads until ctx is done. Calls begin no more often than every pause.
func (r *reader) follow(ctx context.Context, pause time.Duration) error {
	for ctx.Err() == nil {
		next := now().Add(pause)
		if err := r.read(); err != nil {
			if ctx.Err() != nil {
				return nil // the connection was broken off
			}
			return err
		}
		if !sleepUntil(ctx, next) {
			return nil
		}
	}
	return nil
}

// read makes one call. An event is held when the whole answer is decoded.
func (r *reader) read() error {
	var out struct {
		Records []struct {
			Data []byte
		}
		NextShardIterator string
	}
	const most = 10_000
	if err := r.exchange(kinesis("GetRecords"), map[string]any{"ShardIterator": r.iterator, "Limit": most}, &out); err != nil {
		return err
	}
	if r.iterator = out.NextShardIterator; r.iterator == "" {
		return fmt.Errorf("a shard of the stream ended")
	}
	first := len(r.seen)
	for _, record := range out.Records {
		var e struct {
			IdentityID  string `json:"identityId"`
			DatasetName string `json:"datasetName"`
			SyncCount   int64  `json:"syncCount"`
		}
		if err := json.Unmarshal(record.Data, &e); err != nil {
			return fmt.Errorf("a record of the stream: %w", err)
		}
		if i, ok := r.known[e.IdentityID+"/"+e.DatasetName]; ok {
			r.seen = append(r.seen, event{dataset: i, count: e.SyncCount})
		}
	}
	at := now()
	for i := range r.seen[first:] {
		r.seen[first+i].at = at
	}
	r.total.Add(int64(len(r.seen) - first))
	return nil
}

// lookEvery is how often it is looked whether all has arrived.
const lookEvery = 20 * time.Millisecond

// visible is P5.
func (r *runner) visible(ctx context.Context, t *target, p *population, rate float64) error {
	f, err := r.follow(ctx, t, p, phaseVisible, rate)
	r.report.Visible = f
	return err
}

// follow has writers at a rate, readers in a loop, and gives the time from the
// answer to a sync until a reader holds its event. Readers are at the first
// node of several.
func (r *runner) follow(ctx context.Context, t *target, p *population, phase string, rate float64) (*Followed, error) {
	readers, err := openReaders(ctx, t, p)
	defer func() {
		for _, rd := range readers {
			rd.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var reading sync.WaitGroup
	for _, rd := range readers {
		reading.Go(func() {
			if err := rd.follow(ctx, r.plan.poll); err != nil {
				stop(err)
			}
		})
	}
	var wrote []event
	_, err = r.measure(ctx, t, phase, load{rate: rate, time: r.plan.visible}, func(w *worker) error {
		d := p.lock(w.draw)
		defer d.unlock()
		if err := w.rewrite(d); err != nil {
			return err
		}
		w.wrote = append(w.wrote, event{dataset: d.index, count: d.count, at: now()})
		return nil
	}, func(w *worker) { wrote = append(wrote, w.wrote...) })
	if err == nil {
		err = awaitEvents(ctx, readers, int64(len(wrote)), r.plan.patience)
	}
	stop(nil)
	for _, rd := range readers {
		rd.close() // one may be waiting for an answer
	}
	reading.Wait()
	if err != nil {
		return nil, err
	}
	return r.followed(wrote, readers), nil
}

// awaitEvents waits until the readers have seen so many events. That some are
// missing is found later.
func awaitEvents(ctx context.Context, readers []*reader, n int64, patience time.Duration) error {
	until := now().Add(patience)
	for len(readers) > 0 && readers[0].total.Load() < n && now().Before(until) {
		if !sleepUntil(ctx, now().Add(lookEvery)) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// followed compares what was written with what was read.
func (r *runner) followed(wrote []event, readers []*reader) *Followed {
	seen := make([][]event, len(readers))
	for i, rd := range readers {
		seen[i] = rd.seen
	}
	f := compare(wrote, seen)
	if f.Missing > 0 || f.Twice > 0 || f.Disordered > 0 || f.Unknown > 0 {
		r.wrong("of %d changes, the readers of the stream missed %d; %d came twice, %d in the wrong order, %d were never written",
			f.Events, f.Missing, f.Twice, f.Disordered, f.Unknown)
	}
	return &f
}

// Followed is how changes arrived at readers.
type Followed struct {
	Events     int // that were written
	Missing    int
	Twice      int
	Disordered int // that came after a later one of their dataset
	Unknown    int // that nobody has written
	Millis     Latency
}

// compare joins what was written with what the readers saw, each in its order.
func compare(wrote []event, seen [][]event) Followed {
	type change struct {
		dataset int
		count   int64
	}
	f := Followed{Events: len(wrote)}
	answered := make(map[change]time.Time, len(wrote))
	for _, e := range wrote {
		answered[change{e.dataset, e.count}] = e.at
	}
	got := make(map[change]bool, len(wrote))
	last := map[int]int64{}
	var took []time.Duration
	for _, events := range seen {
		for _, e := range events {
			c := change{e.dataset, e.count}
			at, written := answered[c]
			switch {
			case !written:
				f.Unknown++
			case got[c]:
				f.Twice++
			case e.count < last[e.dataset]:
				f.Disordered++
			}
			if written && !got[c] {
				// A reader may hold an event before its writer holds the answer.
				took = append(took, max(0, e.at.Sub(at)))
				got[c] = true
			}
			last[e.dataset] = max(last[e.dataset], e.count)
		}
	}
	f.Missing = len(wrote) - len(got)
	f.Millis = latencyOf(took)
	return f
}
