package kinesisapi

import (
	"context"
	"time"

	"tributary"
	"tributary/awswire"
)

const (
	defaultPage = 100
	maxPage     = 10_000
	// onDemandShards is what AWS begins an on-demand stream with.
	onDemandShards = 4
)

// streamMode is the wire's StreamModeDetails.
type streamMode struct{ StreamMode string }

// provisioned is the mode of every stream here: its shards stay as they are
// until somebody changes them.
const provisioned = "PROVISIONED"

type listStreamsInput struct {
	Limit                    *int
	ExclusiveStartStreamName string
	NextToken                string
}

type listStreamsOutput struct {
	StreamNames     []tributary.StreamName
	HasMoreStreams  bool
	StreamSummaries []streamSummary
	NextToken       string `json:",omitzero"`
}

type streamSummary struct {
	StreamName              tributary.StreamName
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       streamMode
	StreamCreationTimestamp awswire.Timestamp
}

func (s *server) summary(st *tributary.Stream) streamSummary {
	return streamSummary{
		StreamName: st.Name, StreamARN: s.arn(st.Name), StreamStatus: "ACTIVE",
		StreamModeDetails: streamMode{provisioned}, StreamCreationTimestamp: awswire.Timestamp(st.Created),
	}
}

func (s *server) listStreams(ctx context.Context, p tributary.Principal, in *listStreamsInput) (*listStreamsOutput, error) {
	const op = "ListStreams"
	if err := s.limitCalls(op, listCalls); err != nil {
		return nil, err
	}
	most, err := bounded(op, "limit", in.Limit, defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	above := tributary.StreamName(in.ExclusiveStartStreamName)
	if in.NextToken != "" {
		pg, err := s.open(op, in.NextToken)
		if err != nil {
			return nil, err
		}
		above = pg.After
	}
	list, err := s.Service.Streams(ctx, p, above, most+1)
	if err != nil {
		return nil, err
	}
	out := &listStreamsOutput{StreamNames: []tributary.StreamName{}, HasMoreStreams: len(list) > most}
	if out.HasMoreStreams {
		list = list[:most]
		out.NextToken = s.seal(op, page{After: list[most-1].Name})
	}
	for i := range list {
		out.StreamNames = append(out.StreamNames, list[i].Name)
		out.StreamSummaries = append(out.StreamSummaries, s.summary(&list[i]))
	}
	return out, nil
}

// description is what both descriptions of a stream share.
type description struct {
	streamSummary
	RetentionPeriodHours int64
	EnhancedMonitoring   []monitoring
	EncryptionType       string
}

type monitoring struct{ ShardLevelMetrics []string }

func (s *server) description(st *tributary.Stream) description {
	return description{
		streamSummary:        s.summary(st),
		RetentionPeriodHours: int64(st.Retention / time.Hour),
		EnhancedMonitoring:   []monitoring{{ShardLevelMetrics: []string{}}},
		EncryptionType:       "NONE",
	}
}

type describeStreamInput struct {
	streamRef
	Limit                 *int
	ExclusiveStartShardID string `json:"ExclusiveStartShardId"`
}

type describeStreamOutput struct {
	StreamDescription struct {
		description
		Shards        []shard
		HasMoreShards bool
	}
}

func (s *server) describeStream(ctx context.Context, p tributary.Principal, in *describeStreamInput) (*describeStreamOutput, error) {
	const op = "DescribeStream"
	if err := s.limitCalls(op, describeCalls); err != nil {
		return nil, err
	}
	most, err := bounded(op, "limit", in.Limit, defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	from, err := after(op, in.ExclusiveStartShardID)
	if err != nil {
		return nil, err
	}
	st, err := s.stream(ctx, p, op, in.streamRef)
	if err != nil {
		return nil, err
	}
	var out describeStreamOutput
	d := &out.StreamDescription
	d.description = s.description(&st)
	d.Shards, d.HasMoreShards = shardPage(&st, from, most, everyShard)
	return &out, nil
}

type describeStreamSummaryOutput struct {
	StreamDescriptionSummary struct {
		description
		OpenShardCount     int
		ConsumerCount      int
		MaxRecordSizeInKiB int
	}
}

func (s *server) describeStreamSummary(ctx context.Context, p tributary.Principal, in *streamRef) (*describeStreamSummaryOutput, error) {
	const op = "DescribeStreamSummary"
	if err := s.limitCalls(op, summaryCalls); err != nil {
		return nil, err
	}
	st, err := s.stream(ctx, p, op, *in)
	if err != nil {
		return nil, err
	}
	var out describeStreamSummaryOutput
	d := &out.StreamDescriptionSummary
	d.description = s.description(&st)
	d.OpenShardCount, d.ConsumerCount, d.MaxRecordSizeInKiB = st.OpenShards(), len(st.Consumers), maxRecordOf(&st)>>10
	return &out, nil
}

type createStreamInput struct {
	StreamName                 string
	ShardCount                 *int
	StreamModeDetails          *streamMode
	Tags                       map[string]string
	MaxRecordSizeInKiB         *int
	RecordDistributionStrategy string
}

// empty is the answer of an operation that has nothing to say.
type empty struct{}

func (s *server) createStream(ctx context.Context, p tributary.Principal, in *createStreamInput) (*empty, error) {
	const op = "CreateStream"
	shards := 1
	if mode := in.StreamModeDetails; mode != nil {
		switch mode.StreamMode {
		case provisioned:
		case "ON_DEMAND":
			shards = onDemandShards
		default:
			return nil, invalid(op, "1 validation error detected: Value '%.64s' at 'streamModeDetails.streamMode' failed to satisfy constraint: Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]", mode.StreamMode)
		}
	}
	if in.ShardCount != nil {
		shards = *in.ShardCount
	}
	if way := in.RecordDistributionStrategy; way != "" && way != "USER_PARTITION_KEY" {
		return nil, invalid(op, "RecordDistributionStrategy is %.64s, it must be USER_PARTITION_KEY: records go to the shard of their partition key", way)
	}
	most, err := maxRecordSize(op, in.MaxRecordSizeInKiB)
	if err != nil {
		return nil, err
	}
	_, err = s.Service.NewStream(ctx, p, shards, tributary.Stream{Name: tributary.StreamName(in.StreamName), Tags: in.Tags, MaxRecord: most})
	return &empty{}, err
}

type deleteStreamInput struct {
	streamRef
	EnforceConsumerDeletion bool
}

func (s *server) deleteStream(ctx context.Context, p tributary.Principal, in *deleteStreamInput) (*empty, error) {
	const op = "DeleteStream"
	st, err := s.stream(ctx, p, op, in.streamRef)
	if err != nil {
		return nil, err
	}
	if n := len(st.Consumers); n > 0 && !in.EnforceConsumerDeletion {
		return nil, tributary.Errorf(tributary.Exists, op, "Stream %s under account %s has registered consumers (%d). Deregister them, or set EnforceConsumerDeletion.", st.Name, s.Account, n)
	}
	return &empty{}, s.Service.DeleteStream(ctx, p, st.Name)
}
