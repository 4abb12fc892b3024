package kinesisapi

import (
	"context"
	"math"

	"tributary"
	"tributary/awswire"
)

// maxShards bounds a page of ListShards.
const maxShards = 1000

// The shard as it is written on the wire.
type (
	shard struct {
		ShardID               string `json:"ShardId"`
		ParentShardID         string `json:"ParentShardId,omitzero"`
		AdjacentParentShardID string `json:"AdjacentParentShardId,omitzero"`
		HashKeyRange          hashKeyRange
		SequenceNumberRange   sequenceNumberRange
	}
	hashKeyRange        struct{ StartingHashKey, EndingHashKey string }
	sequenceNumberRange struct {
		StartingSequenceNumber tributary.Position
		EndingSequenceNumber   tributary.Position `json:",omitzero"`
	}
)

func hashKeys(r *tributary.ShardRange) hashKeyRange {
	return hashKeyRange{StartingHashKey: r.Start.String(), EndingHashKey: r.End.String()}
}

func shardOf(st *tributary.Stream, r *tributary.ShardRange) shard {
	out := shard{ShardID: tributary.ShardID(r.Number), HashKeyRange: hashKeys(r)}
	if len(r.Parents) > 0 {
		out.ParentShardID = tributary.ShardID(r.Parents[0])
	}
	if len(r.Parents) > 1 {
		out.AdjacentParentShardID = tributary.ShardID(r.Parents[1])
	}
	out.SequenceNumberRange.StartingSequenceNumber = tributary.PositionOf(tributary.Shard{Stream: st.ID, Number: r.Number}, 0)
	if r.Closed {
		out.SequenceNumberRange.EndingSequenceNumber = tributary.PositionOf(tributary.Shard{Stream: st.ID, Number: r.Number}, lastCount(r))
	}
	return out
}

// lastCount is the number of entries that a closed shard ever had.
func lastCount(r *tributary.ShardRange) uint64 {
	if r.Last == "" {
		return 0
	}
	_, n, err := r.Last.Split()
	if err != nil {
		return math.MaxUint64 // not of this server: then nobody can tell, and the shard never ends
	}
	return n
}

func everyShard(*tributary.ShardRange) bool { return true }

// shardPage lists up to most shards with numbers from from on that are
// selected, and tells whether there are more.
func shardPage(st *tributary.Stream, from uint64, most int, selected func(*tributary.ShardRange) bool) ([]shard, bool) {
	out := []shard{}
	for i := range st.Shards {
		r := &st.Shards[i]
		if uint64(r.Number) < from || !selected(r) {
			continue
		}
		if len(out) == most {
			return out, true
		}
		out = append(out, shardOf(st, r))
	}
	return out, false
}

type listShardsInput struct {
	streamRef
	NextToken               string
	ExclusiveStartShardID   string `json:"ExclusiveStartShardId"`
	MaxResults              *int
	StreamCreationTimestamp *awswire.Timestamp
	ShardFilter             *shardFilter
}

type shardFilter struct {
	Type      string
	ShardID   string `json:"ShardId"`
	Timestamp *awswire.Timestamp
}

type listShardsOutput struct {
	Shards    []shard
	NextToken string `json:",omitzero"`
}

func (s *server) listShards(ctx context.Context, p tributary.Principal, in *listShardsInput) (*listShardsOutput, error) {
	const op = "ListShards"
	most, err := bounded(op, "maxResults", in.MaxResults, maxShards, maxPage)
	if err != nil {
		return nil, err
	}
	begin := s.firstShards
	if in.NextToken != "" {
		begin = s.nextShards
	}
	st, pg, err := begin(ctx, p, op, in)
	if err != nil {
		return nil, err
	}
	selected, err := s.selection(ctx, &st, &pg)
	if err != nil {
		return nil, err
	}
	shards, more := shardPage(&st, pg.From, min(most, maxShards), selected)
	out := &listShardsOutput{Shards: shards}
	if more {
		last, _ := parseShardID(shards[len(shards)-1].ShardID)
		pg.From = uint64(last) + 1
		out.NextToken = s.seal(op, pg)
	}
	return out, nil
}

// firstShards begins a listing.
func (s *server) firstShards(ctx context.Context, p tributary.Principal, op string, in *listShardsInput) (tributary.Stream, page, error) {
	from, err := after(op, in.ExclusiveStartShardID)
	if err != nil {
		return tributary.Stream{}, page{}, err
	}
	pg := page{From: from}
	if err := pg.filter(op, in.ShardFilter); err != nil {
		return tributary.Stream{}, page{}, err
	}
	st, err := s.stream(ctx, p, op, in.streamRef)
	if err != nil {
		return tributary.Stream{}, page{}, err
	}
	if err := s.sameCreation(op, &st, in.StreamCreationTimestamp); err != nil {
		return tributary.Stream{}, page{}, err
	}
	pg.Stream, pg.ID = st.Name, st.ID
	return st, pg, nil
}

// sameCreation refuses a stream that was made at another time than the caller
// means. Clients cut the time they were told to whole seconds.
func (s *server) sameCreation(op string, st *tributary.Stream, at *awswire.Timestamp) error {
	if at != nil && int64(*at)/1000 != int64(st.Created)/1000 {
		return noStream(op, st.Name, s.Account)
	}
	return nil
}

// nextShards goes on with a listing. The token holds all that began it.
func (s *server) nextShards(ctx context.Context, p tributary.Principal, op string, in *listShardsInput) (tributary.Stream, page, error) {
	switch {
	case in.StreamName != "":
		return tributary.Stream{}, page{}, invalid(op, "NextToken and StreamName cannot be provided together.")
	case in.StreamARN != "":
		return tributary.Stream{}, page{}, invalid(op, "NextToken and StreamARN cannot be provided together.")
	case in.ExclusiveStartShardID != "" || in.StreamCreationTimestamp != nil || in.ShardFilter != nil:
		return tributary.Stream{}, page{}, invalid(op, "NextToken cannot be provided together with ExclusiveStartShardId, StreamCreationTimestamp or ShardFilter.")
	}
	pg, err := s.open(op, in.NextToken)
	if err != nil {
		return tributary.Stream{}, page{}, err
	}
	st, err := s.incarnation(ctx, p, op, pg.Stream, pg.ID)
	return st, pg, err
}

// The types of ShardFilter that need a look at the log.
const (
	atTrimHorizon   = "AT_TRIM_HORIZON"
	fromTrimHorizon = "FROM_TRIM_HORIZON"
	atTimestamp     = "AT_TIMESTAMP"
	fromTimestamp   = "FROM_TIMESTAMP"
	atLatest        = "AT_LATEST"
)

// filter takes over a ShardFilter.
func (pg *page) filter(op string, f *shardFilter) error {
	if f == nil {
		return nil
	}
	switch f.Type {
	case "AFTER_SHARD_ID":
		if f.ShardID == "" {
			return invalid(op, "ShardFilter of type AFTER_SHARD_ID must have a ShardId.")
		}
		from, err := after(op, f.ShardID)
		pg.From = max(pg.From, from)
		return err
	case atTimestamp, fromTimestamp:
		if f.Timestamp == nil {
			return invalid(op, "ShardFilter of type %s must have a Timestamp.", f.Type)
		}
		pg.At = tributary.Millis(*f.Timestamp)
	case atTrimHorizon, fromTrimHorizon, atLatest:
	default:
		return invalid(op, "1 validation error detected: Value '%.64s' at 'shardFilter.type' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, AT_LATEST, AT_TIMESTAMP, FROM_TIMESTAMP]", f.Type)
	}
	pg.Filter = f.Type
	return nil
}

// selection gives the shards that a page's filter selects.
func (s *server) selection(ctx context.Context, st *tributary.Stream, pg *page) (func(*tributary.ShardRange) bool, error) {
	switch pg.Filter {
	case "":
		return everyShard, nil
	case atLatest:
		return func(r *tributary.ShardRange) bool { return !r.Closed }, nil
	}
	at := pg.At // 0 finds the horizon
	live, err := s.liveSince(ctx, st, at)
	if err != nil {
		return nil, err
	}
	if pg.Filter == fromTimestamp || pg.Filter == fromTrimHorizon {
		return func(r *tributary.ShardRange) bool { return live[r.Number] }, nil
	}
	return func(r *tributary.ShardRange) bool {
		for _, parent := range r.Parents {
			if live[parent] {
				return false // it took over later
			}
		}
		return live[r.Number]
	}, nil
}

// liveSince tells which shards were open at a time or later, as far as it
// matters to a reader: no closing time is kept, so a closed shard counts as
// closed after its last entry that is still there.
//
// A child is live if a parent is, and a parent that was merged is if the other
// parent is. So the live shards without a live parent divide the hash keys
// among them, whatever was trimmed, and a reader that begins with them and goes
// on to their children misses nothing.
func (s *server) liveSince(ctx context.Context, st *tributary.Stream, at tributary.Millis) (map[uint32]bool, error) {
	live := make(map[uint32]bool, len(st.Shards))
	for i := range st.Shards { // parents come before their children
		r := &st.Shards[i]
		holds := !r.Closed
		if r.Closed {
			var err error
			if holds, err = s.holds(ctx, tributary.Shard{Stream: st.ID, Number: r.Number}, r, at); err != nil {
				return nil, err
			}
		}
		inherits := false
		for _, parent := range r.Parents {
			inherits = inherits || live[parent]
		}
		for _, parent := range r.Parents {
			if inherits && shardRange(st, parent) != nil {
				live[parent] = true
			}
		}
		live[r.Number] = holds || inherits
	}
	return live, nil
}

// holds tells whether a closed shard has an entry that arrived at or after a
// time.
func (s *server) holds(ctx context.Context, id tributary.Shard, r *tributary.ShardRange, at tributary.Millis) (bool, error) {
	below, err := s.Log.Find(ctx, id, at)
	if err != nil {
		return false, err
	}
	_, n, err := below.Split()
	return n < lastCount(r), err
}
