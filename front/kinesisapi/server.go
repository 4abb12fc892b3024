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
	Hold time.Duration
	// Limits has the server refuse what is faster than Amazon's shards are.
	Limits bool
	Logger *slog.Logger // nil: no log
	Begin  awswire.Begin[tributary.Principal]
	// Observe, if set, hears of every answered request.
	Observe func(service, operation string, status int, took time.Duration)
	Now     func() time.Time // nil: time.Now
}

const (
	defaultHold = 200 * time.Millisecond
	// maxBody holds what PutRecords may bring: 10 MiB, in base64, and what stands
	// around 500 records.
	maxBody = 16 << 20
)

// mostFilling is how many answers of GetRecords grow at once: each has up to 14
// MB, and as much again while it is moved to larger memory.
const mostFilling = 8

// server is the front: a Config with every default in its place.
type server struct {
	Config
	filling chan struct{} // a place for each answer that grows
	limits  *limits       // nil: none
}

// Name is the service's signing name.
const Name = "kinesis"

// New makes the front.
func New(cfg Config) http.Handler {
	s := newServer(cfg)
	return &awswire.Service[tributary.Principal]{
		Name:         Name,
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
	s := &server{Config: cfg, filling: make(chan struct{}, mostFilling)}
	if cfg.Limits {
		s.limits = newLimits()
	}
	return s
}

func (s *server) now() tributary.Millis { return tributary.MillisOf(s.Now()) }

// operation is an entry of the table.
type operation = awswire.Operation[tributary.Principal]

// operations is the whole API: what it does not serve it names, so that a
// client is told so.
func (s *server) operations() []operation {
	table := []operation{
		developers("AddTagsToStream", s.addTags),
		developers("CreateStream", s.createStream),
		developers("DecreaseStreamRetentionPeriod", s.decreaseRetention),
		developers("DeleteStream", s.deleteStream),
		developers("DeregisterStreamConsumer", s.deregisterConsumer),
		developers("DescribeStream", s.describeStream),
		developers("DescribeStreamConsumer", s.describeConsumer),
		developers("DescribeStreamSummary", s.describeStreamSummary),
		developers("GetRecords", s.getRecords),
		developers("GetShardIterator", s.getShardIterator),
		developers("IncreaseStreamRetentionPeriod", s.increaseRetention),
		developers("ListShards", s.listShards),
		developers("ListStreamConsumers", s.listConsumers),
		developers("ListStreams", s.listStreams),
		developers("ListTagsForResource", s.listResourceTags),
		developers("ListTagsForStream", s.listTags),
		developers("MergeShards", s.mergeShards),
		developers("PutRecord", s.putRecord),
		developers("PutRecords", s.putRecords),
		developers("RegisterStreamConsumer", s.registerConsumer),
		developers("RemoveTagsFromStream", s.removeTags),
		developers("SplitShard", s.splitShard),
		developers("TagResource", s.tagResource),
		developers("UntagResource", s.untagResource),
		developers("UpdateMaxRecordSize", s.updateMaxRecordSize),
		developers("UpdateShardCount", s.updateShardCount),
		awswire.Unsupported[tributary.Principal]("SubscribeToShard", "", ""),
	}
	for name, why := range notOffered {
		table = append(table, refuse(name, why))
	}
	return table
}

// Why operations are not offered.
const (
	noEncryption = "streams are not encrypted by themselves: keep the server's data on an encrypted disk"
	noMonitoring = "metrics of streams are at the server's /metrics"
	noPolicies   = "streams have no policies of their own: access keys have"
	noAccount    = "an account has neither limits nor settings of its own"
	noChannels   = "there are no channels"
	noQueues     = "there are no queues"
)

// notOffered are the operations that no stream here has a use for, and why.
var notOffered = map[string]string{
	"AcknowledgeDeadLetterQueueRecords":      noQueues,
	"AcknowledgeQueueRecords":                noQueues,
	"CreateChannel":                          noChannels,
	"CreateQueue":                            noQueues,
	"DeleteChannel":                          noChannels,
	"DeleteQueue":                            noQueues,
	"DeleteResourcePolicy":                   noPolicies,
	"DescribeAccountSettings":                noAccount,
	"DescribeChannel":                        noChannels,
	"DescribeLimits":                         noAccount,
	"DescribeQueue":                          noQueues,
	"DisableEnhancedMonitoring":              noMonitoring,
	"EnableEnhancedMonitoring":               noMonitoring,
	"GetResourcePolicy":                      noPolicies,
	"ListChannels":                           noChannels,
	"ListQueues":                             noQueues,
	"PutResourcePolicy":                      noPolicies,
	"ReceiveDeadLetterQueueRecords":          noQueues,
	"ReceiveQueueRecords":                    noQueues,
	"RestoreDeadLetterQueueRecords":          noQueues,
	"StartStreamEncryption":                  noEncryption,
	"StopStreamEncryption":                   noEncryption,
	"UpdateAccountSettings":                  noAccount,
	"UpdateChannel":                          noChannels,
	"UpdateDeadLetterQueueRecordsVisibility": noQueues,
	"UpdateQueue":                            noQueues,
	"UpdateQueueRecordsVisibility":           noQueues,
	"UpdateStreamMode":                       "every stream is PROVISIONED: UpdateShardCount changes its shards",
	"UpdateStreamRecordDistributionStrategy": "records go to the shard of their partition key",
	"UpdateStreamWarmThroughput":             "no stream needs to be warmed up",
}

// refuse makes an operation that is not offered, which developers are told why.
func refuse(name, why string) operation {
	return developers(name, func(context.Context, tributary.Principal, *empty) (*empty, error) {
		return nil, invalid(name, "%s is not offered: %s.", name, why)
	})
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
