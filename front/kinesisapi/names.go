package kinesisapi

import (
	"context"
	"strconv"
	"strings"

	"tributary"
)

// streamRef is how a request names a stream: by name, by ARN, or by both.
type streamRef struct {
	StreamName string
	StreamARN  string
}

// arn is the address of a stream of ours.
func (s *server) arn(name tributary.StreamName) string { return s.arnOf("stream/" + string(name)) }

func (s *server) arnOf(resource string) string {
	return "arn:aws:kinesis:" + s.Region + ":" + s.Account + ":" + resource
}

// name gives the name of the stream that a request means.
//
// Errors: Invalid; NotFound if it is one of another account.
func (s *server) name(op string, ref streamRef) (tributary.StreamName, error) {
	name := ref.StreamName
	switch {
	case ref.StreamARN != "":
		account, named, ok := splitARN(ref.StreamARN)
		if !ok {
			return "", invalid(op, "1 validation error detected: Value '%.256s' at 'streamARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+", ref.StreamARN)
		}
		if name != "" && name != named {
			return "", invalid(op, "StreamName %.128s and StreamARN %.256s are of different streams.", name, ref.StreamARN)
		}
		if account != s.Account {
			return "", noStream(op, tributary.StreamName(named), account)
		}
		name = named
	case name == "":
		return "", invalid(op, "Either StreamName or StreamARN must be provided.")
	}
	return tributary.StreamName(name), tributary.CheckStreamName(tributary.StreamName(name))
}

// splitARN takes arn:aws:kinesis:region:account:stream/name apart. Any region
// and partition will do: a client is configured for one, the server serves all.
func splitARN(arn string) (account, name string, ok bool) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" || !strings.HasPrefix(part[1], "aws") || part[2] != "kinesis" {
		return "", "", false
	}
	name, ok = strings.CutPrefix(part[5], "stream/")
	return part[4], name, ok && name != ""
}

func noStream(op string, name tributary.StreamName, account string) error {
	return tributary.Errorf(tributary.NotFound, op, "Stream %.128s under account %.12s not found.", name, account)
}

// stream reads the stream that a request means.
func (s *server) stream(ctx context.Context, p tributary.Principal, op string, ref streamRef) (tributary.Stream, error) {
	name, err := s.name(op, ref)
	if err != nil {
		return tributary.Stream{}, err
	}
	return s.Service.Stream(ctx, p, name)
}

// incarnation reads a stream that a token or an iterator was made for. One
// that was deleted since is not found, whatever has its name now.
func (s *server) incarnation(ctx context.Context, p tributary.Principal, op string, name tributary.StreamName, id tributary.StreamID) (tributary.Stream, error) {
	st, err := s.Service.Stream(ctx, p, name)
	if err == nil && st.ID != id {
		err = noStream(op, name, s.Account)
	}
	return st, err
}

const shardPrefix = "shardId-"

// parseShardID reads a shard's id. As on AWS the zeros may be left away.
func parseShardID(id string) (uint32, bool) {
	digits, ok := strings.CutPrefix(id, shardPrefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && len(digits) <= 12
}

// after reads an ExclusiveStartShardId: the number of the first shard that may
// be listed.
func after(op, id string) (uint64, error) {
	if id == "" {
		return 0, nil
	}
	n, ok := parseShardID(id)
	if !ok {
		return 0, invalid(op, "%.128s is no id of a shard.", id)
	}
	return uint64(n) + 1, nil
}

// shard finds a shard of a stream by its id.
func (s *server) shard(op string, st *tributary.Stream, id string) (*tributary.ShardRange, error) {
	n, ok := parseShardID(id)
	if !ok {
		return nil, s.noSuchShard(op, st.Name, id)
	}
	if r := shardRange(st, n); r != nil {
		return r, nil
	}
	return nil, s.noShard(op, st, n)
}

// noSuchShard refuses an id that no shard can have.
func (s *server) noSuchShard(op string, name tributary.StreamName, id string) error {
	return tributary.Errorf(tributary.NotFound, op, "Could not find shard %.128s in stream %s under account %s.", id, name, s.Account)
}

func (s *server) noShard(op string, st *tributary.Stream, n uint32) error {
	return tributary.Errorf(tributary.NotFound, op, "Shard %s in stream %s under account %s does not exist", tributary.ShardID(n), st.Name, s.Account)
}

// shardRange finds a shard by its number, nil if there is none.
func shardRange(st *tributary.Stream, n uint32) *tributary.ShardRange {
	for i := range st.Shards {
		if st.Shards[i].Number == n {
			return &st.Shards[i]
		}
	}
	return nil
}
