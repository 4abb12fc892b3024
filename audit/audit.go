// Package audit keeps what developers do: who, what, when, from where, and how
// it ended. The log is an embedded stream of the store, so that it is as durable
// as the data, moves and is backed up with it, is the same on all nodes, and
// can be read by any Kinesis client.
package audit

import (
	"context"
	"log/slog"
	"net/netip"
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
	Address   string    `json:"address,omitzero"`  // where the request came from; "" of many
	Action    string    `json:"action"`            // such as cognito-identity:CreateIdentityPool
	Resource  string    `json:"resource,omitzero"` // ARN, which may end with *, or "*"; "" if access was not asked for, and of many
	Outcome   string    `json:"outcome"`           // "ok", or the error's code
	Request   string    `json:"request,omitzero"`  // the request's id, of a single one
	Count     int64     `json:"count"`
	Details   []string  `json:"details,omitempty"` // what a single one did
}

// Ok is the outcome of what was done.
const Ok = "ok"

// Act is something that a developer did, without what tells two of the same
// apart. What is in it is as in [Entry].
type Act struct {
	AccessKey string
	Address   netip.Addr
	Action    string
	Resource  string
	Outcome   string
}

func (a *Act) entry() Entry {
	e := Entry{AccessKey: a.AccessKey, Action: a.Action, Resource: valid(a.Resource), Outcome: a.Outcome}
	if a.Address.IsValid() {
		e.Address = a.Address.String()
	}
	return e
}

// maxResource is how much of a resource's name is kept, in bytes. Longer ones are
// of requests that were refused.
const maxResource = 2 << 10

// valid is a text that a caller may have made, as one that JSON can hold.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (a *Act) shorten() {
	if len(a.Resource) > maxResource {
		a.Resource = strings.Clone(a.Resource[:maxResource])
	}
}

// Log writes and reads the audit log. Store is required.
type Log struct {
	Store tributary.Store
	Log   *slog.Logger     // nil: no log
	Now   func() time.Time // nil: time.Now

	mu     sync.Mutex // guards what follows
	counts counts
	stream tributary.StreamID // 0: not known yet
}

const retention = 365 * 24 * time.Hour // the longest that a stream has

func (l *Log) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// Write writes one entry, with the id of its request, and returns when it is
// durable.
func (l *Log) Write(ctx context.Context, a Act, request string, details []string) error {
	a.shorten()
	e := a.entry()
	e.At, e.Count, e.Request = l.now(), 1, request
	for _, d := range details {
		e.Details = append(e.Details, valid(d))
	}
	return l.append(ctx, []Entry{e})
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
