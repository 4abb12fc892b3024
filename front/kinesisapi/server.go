package kinesisapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"tributary"
	"tributary/awswire"
	"tributary/streamrec"
)

// Config is what the front is made of. Service, Log, Sealer and Authenticate
// are required.
type Config struct {
	Service *tributary.Service
	Log     tributary.Log
	Sealer  *tributary.Sealer
	// Authenticate proves who calls.
	Authenticate func(*http.Request, awswire.ReadBody) (tributary.Principal, error)
	// Link makes the address from which a reader gets the records of an entry
	// that is too large to be sent inline. nil, or an answer of "": all entries
	// are sent inline.
	Link func(shard tributary.Shard, pos tributary.Position, expires time.Duration) string
	// InlineLimit is the most bytes of a stream record's JSON that are sent
	// inline; 0: streamrec.DefaultInlineLimit.
	InlineLimit int
	Region      string // in ARNs
	Account     string // in ARNs and texts; "": the service's
	// Hold is how long GetRecords waits for an entry where there is none; 0: 200
	// ms, below 0: not at all.
	Hold   time.Duration
	Logger *slog.Logger // nil: no log
	Begin  awswire.Begin[tributary.Principal]
	// Observe, if set, hears of every answered request.
	Observe func(service, operation string, status int, took time.Duration)
	Now     func() time.Time // nil: time.Now
}

const (
	defaultHold = 200 * time.Millisecond
	// maxBody is ample for the operations that read. PutRecords will need more.
	maxBody = 1 << 20
)

// mostFilling is how many answers of GetRecords grow at once: each has up to 14
// MB, and as much again while it is moved to larger memory.
const mostFilling = 8

// server is the front: a Config with every default in its place.
type server struct {
	Config
	filling chan struct{} // a place for each answer that grows
}

// New makes the front.
func New(cfg Config) http.Handler {
	s := newServer(cfg)
	return &awswire.Service[tributary.Principal]{
		Name:         "kinesis",
		Target:       "Kinesis_20131202",
		Protocol:     awswire.JSON11,
		Operations:   s.operations(),
		Authenticate: cfg.Authenticate,
		Begin:        cfg.Begin,
		Fault:        fault,
		MaxBody:      maxBody,
		Log:          cfg.Logger,
		Observe:      cfg.Observe,
	}
}

func newServer(cfg Config) *server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Account == "" {
		cfg.Account = cfg.Service.Account
	}
	if cfg.Hold == 0 {
		cfg.Hold = defaultHold
	}
	if cfg.InlineLimit == 0 {
		cfg.InlineLimit = streamrec.DefaultInlineLimit
	}
	if cfg.Link == nil {
		cfg.Link = func(tributary.Shard, tributary.Position, time.Duration) string { return "" }
	}
	return &server{Config: cfg, filling: make(chan struct{}, mostFilling)}
}

func (s *server) now() tributary.Millis { return tributary.MillisOf(s.Now()) }

// operation is an entry of the table.
type operation = awswire.Operation[tributary.Principal]

// operations is the whole API: what it does not serve it names, so that a
// client is told so.
func (s *server) operations() []operation {
	table := []operation{
		developers("CreateStream", s.createStream),
		developers("DeleteStream", s.deleteStream),
		developers("DescribeStream", s.describeStream),
		developers("DescribeStreamSummary", s.describeStreamSummary),
		developers("GetRecords", s.getRecords),
		developers("GetShardIterator", s.getShardIterator),
		developers("ListShards", s.listShards),
		developers("ListStreams", s.listStreams),
	}
	for _, name := range [...]string{
		"AddTagsToStream", "DecreaseStreamRetentionPeriod", "DeleteResourcePolicy", "DeregisterStreamConsumer",
		"DescribeAccountSettings", "DescribeLimits", "DescribeStreamConsumer", "DisableEnhancedMonitoring",
		"EnableEnhancedMonitoring", "GetResourcePolicy", "IncreaseStreamRetentionPeriod", "ListStreamConsumers",
		"ListTagsForResource", "ListTagsForStream", "MergeShards", "PutRecord", "PutRecords", "PutResourcePolicy",
		"RegisterStreamConsumer", "RemoveTagsFromStream", "SplitShard", "StartStreamEncryption", "StopStreamEncryption",
		"SubscribeToShard", "TagResource", "UntagResource", "UpdateAccountSettings", "UpdateMaxRecordSize",
		"UpdateShardCount", "UpdateStreamMode", "UpdateStreamWarmThroughput",
	} {
		table = append(table, awswire.Unsupported[tributary.Principal](name, "", ""))
	}
	return table
}

// developers makes an operation that identities are refused.
func developers[In, Out any](name string, f func(context.Context, tributary.Principal, *In) (*Out, error)) operation {
	handle := awswire.Handler(f)
	return operation{Name: name, Handle: func(ctx context.Context, p tributary.Principal, in awswire.Input) (any, error) {
		if !p.Developer() {
			return nil, tributary.Errorf(tributary.Denied, name, "User is not authorized to perform: kinesis:%s", name)
		}
		return handle(ctx, p, in)
	}}
}
