// Package audit keeps what developers do: who, what, when, from where, and how
// it ended. The log is an embedded stream of the store, so that it is as durable
// as the data, moves and is backed up with it, is the same on all nodes, and
// can be read by any Kinesis client.
package audit

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
)

// Entry is one thing that a developer did, or several of the same.
type Entry struct {
	At        time.Time `json:"at"` // of the last of them
	AccessKey string    `json:"accessKey"`
	Address   string    `json:"address"`           // where the request came from
	Action    string    `json:"action"`            // such as cognito-identity:CreateIdentityPool
	Resource  string    `json:"resource,omitzero"` // ARN or "*"; "" if access was not asked for
	Outcome   string    `json:"outcome"`           // "ok", or the error's code
	Request   string    `json:"request,omitzero"`  // the request's id, of a single one
	Count     int64     `json:"count"`
}

// Ok is the outcome of what was done.
const Ok = "ok"

// Log writes and reads the audit log. Store is required.
type Log struct {
	Store tributary.Store
	Log   *slog.Logger     // nil: no log
	Now   func() time.Time // nil: time.Now

	mu     sync.Mutex // guards what follows
	counts map[Entry]*Entry
	stream tributary.StreamID // 0: not known yet
}

const (
	flushEvery = time.Second
	// mostCounted is how many different things are counted between two flushes.
	// Beyond it resources are summed up by pool, and beyond twice as many by action.
	mostCounted = 1000
	retention   = 365 * 24 * time.Hour // the longest that a stream has
)

func (l *Log) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// Note counts something that is done often, such as a read or a sync. It is
// written within a second, and lost if the process is killed before.
func (l *Log) Note(e Entry) {
	at := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[Entry]*Entry{}
	}
	key := Entry{AccessKey: e.AccessKey, Address: e.Address, Action: e.Action, Resource: e.Resource, Outcome: e.Outcome}
	if len(l.counts) >= mostCounted && l.counts[key] == nil {
		key.Resource = poolOf(key.Resource)
	}
	if len(l.counts) >= 2*mostCounted && l.counts[key] == nil {
		key.Resource, key.Address = "", ""
	}
	sum := l.counts[key]
	if sum == nil {
		sum = new(key)
		l.counts[key] = sum
	}
	sum.At = at
	sum.Count++
}

// poolOf cuts the ARN of an identity's data down to that of its pool.
func poolOf(resource string) string {
	pool, _, found := strings.Cut(resource, "/identity/")
	if !found {
		return resource
	}
	return pool + "/*"
}

// Write writes one entry, and returns when it is durable.
func (l *Log) Write(ctx context.Context, e Entry) error {
	e.At, e.Count = l.now(), 1
	return l.append(ctx, []Entry{e})
}

// Run writes what was counted until ctx is done.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.Flush(context.WithoutCancel(ctx)) // the store is still open
		case <-tick.C:
			if err := l.Flush(ctx); err != nil && ctx.Err() == nil && l.Log != nil {
				l.Log.Error("the audit log cannot be written, will try again", "err", err)
			}
		}
	}
}

// Flush writes what was counted. What cannot be written is kept.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	counted := l.counts
	l.counts = nil
	l.mu.Unlock()
	if len(counted) == 0 {
		return nil
	}
	list := make([]Entry, 0, len(counted))
	for _, sum := range counted {
		list = append(list, *sum)
	}
	slices.SortFunc(list, func(a, b Entry) int { return a.At.Compare(b.At) })
	err := l.append(ctx, list)
	if err != nil {
		l.giveBack(counted)
	}
	return err
}

// giveBack puts together what was counted before and since.
func (l *Log) giveBack(counted map[Entry]*Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, since := range l.counts {
		if before := counted[key]; before != nil {
			before.At, before.Count = since.At, before.Count+since.Count
		} else if len(counted) < 4*mostCounted {
			counted[key] = since
		}
	}
	l.counts = maps.Clone(counted)
}

func (l *Log) append(ctx context.Context, list []Entry) error {
	entries := make([]tributary.Entry, len(list))
	for i := range list {
		data, err := json.Marshal(&list[i])
		if err != nil {
			return &tributary.Error{Kind: tributary.Internal, Op: "write audit log", Err: err}
		}
		key := list[i].AccessKey
		entries[i] = tributary.Entry{Kind: tributary.EntryForeign, Arrived: tributary.MillisOf(list[i].At),
			Foreign: &tributary.ForeignRecord{PartitionKey: key, HashKey: tributary.HashOf(key), Data: data}}
	}
	for range 2 { // a restore may have given the stream another id
		id, err := l.find(ctx)
		if err != nil {
			return err
		}
		if _, err = l.Store.Append(ctx, id, entries); tributary.KindOf(err) != tributary.NotFound {
			return err
		}
		l.forget()
	}
	return tributary.Errorf(tributary.Unavailable, "write audit log", "The stream of the audit log comes and goes")
}

func (l *Log) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream = 0
}

// find gives the log's stream, and makes it the first time.
func (l *Log) find(ctx context.Context) (tributary.StreamID, error) {
	l.mu.Lock()
	id := l.stream
	l.mu.Unlock()
	if id != 0 {
		return id, nil
	}
	s, err := l.Store.Stream(ctx, tributary.AuditStream)
	if tributary.KindOf(err) == tributary.NotFound {
		s, err = l.Store.PutStream(ctx, tributary.Stream{Name: tributary.AuditStream, Kind: tributary.Embedded,
			Shards: tributary.EvenShards(1), Retention: retention, Created: tributary.MillisOf(l.now())})
		if tributary.KindOf(err) == tributary.Stale { // another node was faster
			s, err = l.Store.Stream(ctx, tributary.AuditStream)
		}
	}
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream = s.ID
	return s.ID, nil
}

// Read gives up to limit entries after a place, "" for the first ones of at or
// later, and the place of the last.
func (l *Log) Read(ctx context.Context, at time.Time, after string, limit int) ([]Entry, string, error) {
	const op = "read audit log"
	s, err := l.Store.Stream(ctx, tributary.AuditStream)
	if tributary.KindOf(err) == tributary.NotFound {
		return nil, "", nil // nothing was ever written
	}
	if err != nil {
		return nil, "", err
	}
	shard := tributary.Shard{Stream: s.ID}
	pos := tributary.Position(after)
	if after == "" {
		if pos, err = l.Store.Find(ctx, shard, tributary.MillisOf(at)); err != nil {
			return nil, "", err
		}
	}
	var out []Entry
	for len(out) < limit {
		batch, err := l.Store.Read(ctx, shard, pos, 64<<10)
		if tributary.KindOf(err) == tributary.Invalid {
			return nil, "", tributary.Errorf(tributary.Invalid, op, "NextToken is not valid")
		}
		if err != nil || len(batch) == 0 {
			return out, string(pos), err
		}
		for i := range batch {
			if len(out) == limit {
				break
			}
			pos = batch[i].Position
			if batch[i].Kind != tributary.EntryForeign {
				continue
			}
			var e Entry
			if err := json.Unmarshal(batch[i].Foreign.Data, &e); err != nil {
				return nil, "", &tributary.Error{Kind: tributary.Internal, Op: op, Err: err}
			}
			out = append(out, e)
		}
	}
	return out, string(pos), nil
}
