package tributary

import (
	"cmp"
	"context"
	"slices"
)

// Resharding is one conditional write of the stream's shard map: the parents
// are closed and their children open in the same moment, so that a change finds
// either the one or the other. What a parent took before is read before what its
// children take, which keeps the order of every identity.

// mostShards is how many shards a stream may ever have had: closed ones stay in
// its map.
const mostShards = 10_000

// split closes a shard and divides its hash keys among two new ones, the second
// of which begins at a key.
func (s *Stream) split(shard *ShardRange, at HashKey) {
	shard.Closed = true
	low := ShardRange{Number: s.nextNumber(), Parents: []uint32{shard.Number}, Start: shard.Start, End: at.before()}
	high := ShardRange{Number: low.Number + 1, Parents: []uint32{shard.Number}, Start: at, End: shard.End}
	s.Shards = append(s.Shards, low, high)
}

// merge closes two neighbours and makes one shard of them.
func (s *Stream) merge(low, high *ShardRange) {
	low.Closed, high.Closed = true, true
	s.Shards = append(s.Shards, ShardRange{Number: s.nextNumber(), Parents: []uint32{low.Number, high.Number}, Start: low.Start, End: high.End})
}

// scale divides the hash keys evenly among n shards, by splits and merges as
// they are made one by one: a shard has two parents at most, and those have no
// other child. Shards that lie between two steps are closed when they are made.
func (s *Stream) scale(n int) {
	even := EvenShards(n)
	for i := range even {
		if shard := s.openAt(even[i].Start); shard.Start != even[i].Start {
			s.split(shard, even[i].Start)
		}
	}
	for i := range even {
		for {
			low := s.openAt(even[i].Start)
			if low.End == even[i].End {
				break
			}
			s.merge(low, s.openAt(low.End.after()))
		}
	}
}

// openAt is the open shard that holds a hash key: there always is one.
func (s *Stream) openAt(h HashKey) *ShardRange {
	shard, _ := s.ShardFor(h)
	return s.shard(shard.Number)
}

// shard finds a shard by its number, nil if there is none.
func (s *Stream) shard(number uint32) *ShardRange {
	i, found := slices.BinarySearchFunc(s.Shards, number, func(r ShardRange, n uint32) int { return cmp.Compare(r.Number, n) })
	if !found {
		return nil
	}
	return &s.Shards[i]
}

func (s *Stream) nextNumber() uint32 { return s.Shards[len(s.Shards)-1].Number + 1 }

// OpenShards is how many shards take entries.
func (s *Stream) OpenShards() int {
	n := 0
	for i := range s.Shards {
		if !s.Shards[i].Closed {
			n++
		}
	}
	return n
}

// SplitShard divides a shard in two, the second of which begins at a hash key.
//
// Errors: Denied, NotFound; Invalid for a shard that is closed, or a key that is
// not well inside of it; Limit.
func (s *Service) SplitShard(ctx context.Context, p Principal, name StreamName, number uint32, at HashKey) error {
	const op = "split shard"
	_, err := s.changeStream(ctx, p, op, name, func(st *Stream) error {
		shard, err := s.openShard(op, st, number)
		if err != nil {
			return err
		}
		if !shard.Start.after().Less(at) || !at.Less(shard.End) {
			return Errorf(Invalid, op, "NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				at, ShardID(number), name, s.Account, shard.Start, shard.End)
		}
		before := st.OpenShards()
		st.split(shard, at)
		return s.checkShards(op, st, before)
	})
	return err
}

// MergeShards makes one shard of two whose hash keys adjoin, the lower one first.
//
// Errors: Denied, NotFound; Invalid for shards that are closed or do not adjoin.
func (s *Service) MergeShards(ctx context.Context, p Principal, name StreamName, low, high uint32) error {
	const op = "merge shards"
	_, err := s.changeStream(ctx, p, op, name, func(st *Stream) error {
		first, err := s.openShard(op, st, low)
		if err != nil {
			return err
		}
		second, err := s.openShard(op, st, high)
		if err != nil {
			return err
		}
		if first.End == maxHashKey || first.End.after() != second.Start {
			return Errorf(Invalid, op, "Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
				ShardID(low), ShardID(high), name, s.Account)
		}
		before := st.OpenShards()
		st.merge(first, second)
		return s.checkShards(op, st, before)
	})
	return err
}

// UpdateShardCount divides a stream evenly among as many shards, at most twice
// and at least half as many as are open, and gives how many those were. Shards
// that have their place in it already stay.
//
// Errors: Denied, NotFound, Invalid, Limit.
func (s *Service) UpdateShardCount(ctx context.Context, p Principal, name StreamName, target int) (before int, err error) {
	const op = "update shard count"
	_, err = s.changeStream(ctx, p, op, name, func(st *Stream) error {
		before = st.OpenShards()
		switch {
		case target < 1:
			return Errorf(Invalid, op, "TargetShardCount is %d, it must be at least 1", target)
		case target > 2*before:
			return s.outOfScale(op, name, target, before, "more than double")
		case 2*target < before:
			return s.outOfScale(op, name, target, before, "less than half")
		}
		st.scale(target)
		return s.checkShards(op, st, before)
	})
	return before, err
}

func (s *Service) outOfScale(op string, name StreamName, target, before int, how string) error {
	return Errorf(Invalid, op, "Stream %s under account %s cannot be scaled to %s its current open shard count. Current open shard count: %d. Target shard count: %d.",
		name, s.Account, how, before, target)
}

func (s *Service) openShard(op string, st *Stream, number uint32) (*ShardRange, error) {
	shard := st.shard(number)
	if shard == nil {
		return nil, Errorf(NotFound, op, "Could not find shard %s in stream %s under account %s.", ShardID(number), st.Name, s.Account)
	}
	if shard.Closed {
		return nil, Errorf(Invalid, op, "Shard %s in stream %s under account %s has already been merged or split, and thus is not eligible for merging or splitting.",
			ShardID(number), st.Name, s.Account)
	}
	return shard, nil
}

// checkShards bounds the shards of a stream after a reshard.
func (s *Service) checkShards(op string, st *Stream, before int) error {
	if open := st.OpenShards(); open > maxShards && open > before {
		return Errorf(Limit, op, "This request would exceed the shard limit of stream %s under account %s. Current open shard count: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d.",
			st.Name, s.Account, before, maxShards, open-before)
	}
	if len(st.Shards) > mostShards {
		return Errorf(Limit, op, "Stream %s under account %s would have had more than %d shards, closed ones included. Create a new stream", st.Name, s.Account, mostShards)
	}
	return nil
}
