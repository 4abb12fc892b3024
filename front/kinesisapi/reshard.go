package kinesisapi

import (
	"context"

	"tributary"
)

// What changes a stream is one write of the store. The stream is never shown as
// UPDATING: when the answer is there, so is the change.

type updateShardCountInput struct {
	streamRef
	TargetShardCount *int
	ScalingType      string
}

type updateShardCountOutput struct {
	StreamName        tributary.StreamName
	StreamARN         string
	CurrentShardCount int
	TargetShardCount  int
}

func (s *server) updateShardCount(ctx context.Context, p tributary.Principal, in *updateShardCountInput) (*updateShardCountOutput, error) {
	const op = "UpdateShardCount"
	switch {
	case in.TargetShardCount == nil:
		return nil, required(op, "targetShardCount")
	case in.ScalingType == "":
		return nil, required(op, "scalingType")
	case in.ScalingType != "UNIFORM_SCALING":
		return nil, invalid(op, "1 validation error detected: Value '%.64s' at 'scalingType' failed to satisfy constraint: Member must satisfy enum value set: [UNIFORM_SCALING]", in.ScalingType)
	}
	name, err := s.name(op, in.streamRef)
	if err != nil {
		return nil, err
	}
	before, err := s.Service.UpdateShardCount(ctx, p, name, *in.TargetShardCount)
	if err != nil {
		return nil, err
	}
	return &updateShardCountOutput{StreamName: name, StreamARN: s.arn(name), CurrentShardCount: before, TargetShardCount: *in.TargetShardCount}, nil
}

type splitShardInput struct {
	streamRef
	ShardToSplit       string
	NewStartingHashKey string
}

func (s *server) splitShard(ctx context.Context, p tributary.Principal, in *splitShardInput) (*empty, error) {
	const op = "SplitShard"
	name, err := s.name(op, in.streamRef)
	if err != nil {
		return nil, err
	}
	number, err := s.shardNumber(op, name, "shardToSplit", in.ShardToSplit)
	if err != nil {
		return nil, err
	}
	if in.NewStartingHashKey == "" {
		return nil, required(op, "newStartingHashKey")
	}
	at, err := tributary.ParseHashKey(in.NewStartingHashKey)
	if err != nil {
		return nil, invalid(op, "Invalid NewStartingHashKey. NewStartingHashKey must be in the range: [0, 2^128-1]. Specified value was %.128s", in.NewStartingHashKey)
	}
	return &empty{}, s.Service.SplitShard(ctx, p, name, number, at)
}

type mergeShardsInput struct {
	streamRef
	ShardToMerge         string
	AdjacentShardToMerge string
}

func (s *server) mergeShards(ctx context.Context, p tributary.Principal, in *mergeShardsInput) (*empty, error) {
	const op = "MergeShards"
	name, err := s.name(op, in.streamRef)
	if err != nil {
		return nil, err
	}
	low, err := s.shardNumber(op, name, "shardToMerge", in.ShardToMerge)
	if err != nil {
		return nil, err
	}
	high, err := s.shardNumber(op, name, "adjacentShardToMerge", in.AdjacentShardToMerge)
	if err != nil {
		return nil, err
	}
	return &empty{}, s.Service.MergeShards(ctx, p, name, low, high)
}

// shardNumber reads the id of a shard that the stream may have or not.
func (s *server) shardNumber(op string, name tributary.StreamName, member, id string) (uint32, error) {
	if id == "" {
		return 0, required(op, member)
	}
	n, ok := parseShardID(id)
	if !ok {
		return 0, s.noSuchShard(op, name, id)
	}
	return n, nil
}

type retentionInput struct {
	streamRef
	RetentionPeriodHours *int
}

func (s *server) increaseRetention(ctx context.Context, p tributary.Principal, in *retentionInput) (*empty, error) {
	return s.setRetention(ctx, p, "IncreaseStreamRetentionPeriod", in, s.Service.IncreaseRetention)
}

func (s *server) decreaseRetention(ctx context.Context, p tributary.Principal, in *retentionInput) (*empty, error) {
	return s.setRetention(ctx, p, "DecreaseStreamRetentionPeriod", in, s.Service.DecreaseRetention)
}

func (s *server) setRetention(ctx context.Context, p tributary.Principal, op string, in *retentionInput,
	set func(context.Context, tributary.Principal, tributary.StreamName, int) error) (*empty, error) {
	if in.RetentionPeriodHours == nil {
		return nil, required(op, "retentionPeriodHours")
	}
	name, err := s.name(op, in.streamRef)
	if err != nil {
		return nil, err
	}
	return &empty{}, set(ctx, p, name, *in.RetentionPeriodHours)
}

type updateMaxRecordSizeInput struct {
	StreamARN          string
	MaxRecordSizeInKiB *int
}

func (s *server) updateMaxRecordSize(ctx context.Context, p tributary.Principal, in *updateMaxRecordSizeInput) (*empty, error) {
	const op = "UpdateMaxRecordSize"
	most, err := maxRecordSize(op, in.MaxRecordSizeInKiB)
	if err != nil {
		return nil, err
	}
	if most == 0 {
		return nil, required(op, "maxRecordSizeInKiB")
	}
	name, err := s.name(op, streamRef{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	return &empty{}, s.Service.SetMaxRecord(ctx, p, name, most)
}

// maxRecordSize reads an optional size in KiB as bytes, 0 for none.
func maxRecordSize(op string, kib *int) (int, error) {
	switch {
	case kib == nil:
		return 0, nil
	case *kib < tributary.MinMaxRecord>>10:
		return 0, invalid(op, "1 validation error detected: Value '%d' at 'maxRecordSizeInKiB' failed to satisfy constraint: Member must have value greater than or equal to %d", *kib, tributary.MinMaxRecord>>10)
	case *kib > tributary.MaxMaxRecord>>10:
		return 0, invalid(op, "1 validation error detected: Value '%d' at 'maxRecordSizeInKiB' failed to satisfy constraint: Member must have value less than or equal to %d", *kib, tributary.MaxMaxRecord>>10)
	}
	return *kib << 10, nil
}
