package pebblestore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tributary"
	"tributary/store/codec"
)

// shardFacts are what a walk finds out of a shard.
type shardFacts struct {
	of      *tributary.ShardRange
	horizon uint64 // count of the last trimmed entry
	last    uint64 // count of the last entry, or the horizon
	end     uint64 // as readers see it: last, or where it goes on after a restore
	folded  uint64
	entries int64
	arrived tributary.Millis
}

func (c *checker) checkStreams() error {
	names := map[tributary.StreamName]tributary.StreamID{}
	err := c.walk(tableStream, func(key []byte, value string) error {
		st := &tributary.Stream{}
		if err := json.Unmarshal([]byte(value), st); err != nil {
			return err
		}
		if string(streamKey(st.ID)) != string(key) {
			return fmt.Errorf("it holds stream %d", st.ID)
		}
		c.streams[st.ID] = st
		for i := range st.Shards {
			c.shards[tributary.Shard{Stream: st.ID, Number: st.Shards[i].Number}] = &shardFacts{of: &st.Shards[i]}
		}
		if other, taken := names[st.Name]; taken {
			return fmt.Errorf("streams %d and %d have the name %q", other, st.ID, st.Name)
		}
		names[st.Name] = st.ID
		return checkShardMap(st)
	})
	if c.streams[tributary.DefaultStream] == nil {
		c.fault(streamKey(tributary.DefaultStream), "the default log is missing")
	}
	c.Streams = int64(max(len(c.streams)-1, 0))
	last, lastErr := getFrom(c.db, metaLastStream)
	for id := range c.streams {
		if id != tributary.DefaultStream && (len(last) != 8 || binary.BigEndian.Uint64([]byte(last)) < uint64(id)) {
			c.fault(metaLastStream, "stream %d is above the last one given", id)
		}
	}
	return errors.Join(err, lastErr)
}

// checkShardMap tells what is wrong with a stream's shards.
func checkShardMap(st *tributary.Stream) error {
	seen := map[uint32]bool{}
	var open []tributary.ShardRange
	for i := range st.Shards {
		r := &st.Shards[i]
		if seen[r.Number] {
			return fmt.Errorf("shard %d is in the map twice", r.Number)
		}
		if r.End.Less(r.Start) {
			return fmt.Errorf("the hash keys of shard %d end before they begin", r.Number)
		}
		for _, parent := range r.Parents {
			if !seen[parent] {
				return fmt.Errorf("parent %d of shard %d is not before it in the map", parent, r.Number)
			}
		}
		seen[r.Number] = true
		if !r.Closed {
			open = append(open, *r)
		}
	}
	slices.SortFunc(open, func(a, b tributary.ShardRange) int {
		if a.Start.Less(b.Start) {
			return -1
		}
		return 1
	})
	for i := 1; i < len(open); i++ {
		if !open[i-1].End.Less(open[i].Start) {
			return fmt.Errorf("shards %d and %d both take hash key %s", open[i-1].Number, open[i].Number, open[i].Start)
		}
	}
	return nil
}

// shardAt reads the shard at the end of a key of some length.
func (c *checker) shardAt(key []byte, length int) (tributary.Shard, *shardFacts, error) {
	const shardLength = 12
	if len(key) != length || length < shardLength {
		return tributary.Shard{}, nil, codec.ErrCorrupt
	}
	id := readShard(key[length-shardLength:])
	s := c.shards[id]
	if s == nil {
		return id, nil, fmt.Errorf("shard %s does not exist", id)
	}
	return id, s, nil
}

const shardKeyLength = 1 + 8 + 4

// checkHorizons reads how far logs were trimmed, and figures folded.
func (c *checker) checkHorizons() error {
	read := func(table byte, into func(*shardFacts) *uint64) error {
		return c.walk(table, func(key []byte, value string) error {
			_, s, err := c.shardAt(key, shardKeyLength)
			if err == nil {
				err = wantLength(value, 8)
			}
			if err == nil {
				*into(s) = binary.BigEndian.Uint64([]byte(value))
			}
			return err
		})
	}
	return errors.Join(read(tableHorizon, func(s *shardFacts) *uint64 {
		return &s.horizon
	}), read(tableFolded, func(s *shardFacts) *uint64 {
		return &s.folded
	}))
}

// checkLogs reads every entry.
func (c *checker) checkLogs() error {
	for id, s := range c.shards {
		s.last = s.horizon
		_, s.end = latest(c.restores).Gap(id)
	}
	err := c.walk(tableLog, func(key []byte, value string) error {
		const countLength = 8
		if len(key) != shardKeyLength+countLength {
			return codec.ErrCorrupt
		}
		id, s, err := c.shardAt(key[:shardKeyLength], shardKeyLength)
		if err != nil {
			return err
		}
		return c.checkEntry(id, s, logCount(key), value)
	})
	for _, s := range c.shards {
		s.end = max(s.end, s.last)
	}
	return err
}

func (c *checker) checkEntry(id tributary.Shard, s *shardFacts, n uint64, value string) error {
	c.Entries++
	before := s.last
	s.last, s.entries = max(n, s.last), s.entries+1
	e, err := codec.DecodeEntry(value)
	switch {
	case err != nil:
		return err
	case e.Kind > tributary.EntryForeign:
		return fmt.Errorf("the entry is of kind %d", e.Kind)
	case n <= before && s.entries == 1:
		return fmt.Errorf("the log was trimmed up to %d", s.horizon)
	case n != before+1 && !c.restoredGap(id, before, n):
		return fmt.Errorf("before it the log ends at %d", before)
	case e.Arrived < s.arrived:
		return fmt.Errorf("it arrived before the one before it: %d, %d", e.Arrived, s.arrived)
	case hashOf(&e).Less(s.of.Start) || s.of.End.Less(hashOf(&e)):
		return fmt.Errorf("its hash key %s is not the shard's", hashOf(&e))
	}
	s.arrived = e.Arrived
	if e.Kind == tributary.EntryChange && n > s.folded {
		if p := c.pools[e.Change.Key.Pool]; p != nil {
			p.figures += e.Change.PoolBytes
		}
	}
	return nil
}

// restoredGap tells whether a restore had a log go on with an entry above
// another one.
func (c *checker) restoredGap(id tributary.Shard, before, n uint64) bool {
	for i := range c.restores {
		if from, to := c.restores[i].Gap(id); to > 0 && n == to+1 && before >= from && before <= to {
			return true
		}
	}
	return false
}

// checkEnds compares the ends of the logs with what else is known of them.
func (c *checker) checkEnds() error {
	for id, s := range c.shards {
		if s.folded > s.end {
			c.fault(shardKey(tableFolded, id), "figures are folded up to %d, the log ends at %d", s.folded, s.end)
		}
		if s.horizon > s.end {
			c.fault(shardKey(tableHorizon, id), "the log is trimmed up to %d, it ends at %d", s.horizon, s.end)
		}
		if s.of.Last == "" {
			if s.of.Closed && s.entries > 0 {
				c.fault(streamKey(id.Stream), "shard %d is closed without a last entry, its log ends at %d", id.Number, s.last)
			}
			continue
		}
		of, n, err := s.of.Last.Split()
		if err != nil || of != id || !s.of.Closed || n > s.last || s.entries > 0 && n != s.last {
			c.fault(streamKey(id.Stream), "shard %d ends at %s (closed: %t), its log at %d", id.Number, s.of.Last, s.of.Closed, s.last)
		}
	}
	return nil
}

// checkUsage reads the pools' figures.
func (c *checker) checkUsage() error {
	err := c.walk(tableUsage, func(key []byte, value string) error {
		if _, _, err := c.shardAt(key, len(key)); err != nil {
			return err
		}
		const ending = 1 + shardKeyLength // a zero byte and the shard
		if len(key) < 1+ending {
			return codec.ErrCorrupt
		}
		p := c.pools[tributary.PoolID(key[1:len(key)-shardKeyLength])]
		if p == nil {
			return errors.New("the pool does not exist")
		}
		r := codec.Reader{Rest: value}
		p.figures += r.Int()
		r.Int()
		return ended(&r)
	})
	return errors.Join(err, c.walk(tableSessions, func(key []byte, value string) error {
		if c.pools[tributary.PoolID(key[1:])] == nil {
			return errors.New("the pool does not exist")
		}
		r := codec.Reader{Rest: value}
		if r.Int() < 0 {
			return errors.New("it is negative")
		}
		return ended(&r)
	}))
}

// ended tells whether a value was read to its end, and not beyond.
func ended(r *codec.Reader) error {
	if r.Err == nil && r.Rest != "" {
		return codec.ErrCorrupt
	}
	return r.Err
}

func (c *checker) checkLeases() error {
	return c.walk(tableLease, func(key []byte, value string) error {
		var l tributary.Lease
		if err := json.Unmarshal([]byte(value), &l); err != nil {
			return err
		}
		if string(leaseKey(l.Group, l.Shard)) != string(key) {
			return fmt.Errorf("it holds the lease of %q on shard %s", l.Group, l.Shard)
		}
		if l.Shard.Stream == 0 && l.Checkpoint == "" {
			return nil // of a group that carries no shard, such as the nodes'
		}
		s := c.shards[l.Shard]
		if s == nil {
			return fmt.Errorf("shard %s does not exist", l.Shard)
		}
		if l.Checkpoint == "" {
			return nil
		}
		of, n, err := l.Checkpoint.Split()
		if err != nil {
			return err
		}
		if of != l.Shard || n > s.end {
			return fmt.Errorf("its checkpoint is %s, the log of shard %s ends at %d", l.Checkpoint, l.Shard, s.end)
		}
		return nil
	})
}
