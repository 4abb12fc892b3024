package tributary

import (
	"context"
	"fmt"
	"time"
)

// outboxShards is into how many shards the log of a stream at Kinesis is
// divided: they are sent independently of each other.
const outboxShards = 4

// SetStream sets where a pool's changes go, for use in the edit of
// [Service.ChangePool]. An empty name keeps the one it has. A name is that of
// an embedded stream if there is one, else of one at Kinesis if the server has
// that.
//
// Errors: Invalid if there is no such stream.
func (s *Service) SetStream(ctx context.Context, pool *Pool, name StreamName, role string, enabled bool) error {
	const op = "set stream"
	c := &pool.Stream
	if name == "" {
		name = c.Name
	}
	if err := CheckStreamName(name); err != nil {
		return err
	}
	if name == AuditStream {
		return errAuditStream(op)
	}
	if role == "" {
		role = c.RoleARN
	}
	next := StreamConfig{Name: name, ID: c.ID, RoleARN: role, Enabled: enabled}
	if name == c.Name {
		next.noteGap(c, MillisOf(s.now()))
	}
	// A stream that is gone can still be switched off.
	if enabled || name != c.Name || role != c.RoleARN {
		stream, err := s.resolve(ctx, pool, name, role)
		if err != nil {
			return err
		}
		next.ID = stream.ID
		if enabled && stream.Failure != "" {
			if err := s.turnOn(ctx, stream, pool.ID); err != nil {
				return err
			}
		}
	}
	*c = next
	return nil
}

// noteGap notes for how long a person has, or had, streaming off.
func (c *StreamConfig) noteGap(before *StreamConfig, now Millis) {
	c.Off, c.GapFrom, c.GapUntil = before.Off, before.GapFrom, before.GapUntil
	switch {
	case c.Enabled && before.Off != 0:
		c.GapFrom, c.GapUntil, c.Off = before.Off, now, 0
	case !c.Enabled && (before.Enabled || before.Kept):
		c.Off = now
	}
}

// resolve finds the stream of a name, or makes the log of one at Kinesis.
func (s *Service) resolve(ctx context.Context, pool *Pool, name StreamName, role string) (Stream, error) {
	const op = "set stream"
	stream, err := s.Store.Stream(ctx, name)
	if KindOf(err) != NotFound {
		return stream, err
	}
	if !s.Kinesis {
		return Stream{}, Errorf(Invalid, op, "Stream %s does not exist. Create it first", name)
	}
	if role == "" {
		return Stream{}, Errorf(Invalid, op, "Stream %s is not embedded, and to write to one at Kinesis RoleArn is needed", name)
	}
	to := Target{Name: name, Region: pool.ID.Region(), RoleARN: role}
	stream, err = s.Store.Stream(ctx, to.StreamName())
	if KindOf(err) != NotFound {
		return stream, err
	}
	stream, err = s.Store.PutStream(ctx, Stream{Name: to.StreamName(), Kind: Kinesis, Target: to, Shards: EvenShards(outboxShards), Created: MillisOf(s.now())})
	if KindOf(err) == Stale { // another made it meanwhile
		return s.Store.Stream(ctx, to.StreamName())
	}
	return stream, err
}

// FailStream stops what is sent to a stream at Kinesis, which cannot go on: the
// streaming of its pools is off, with the reason, and their changes are kept.
func (s *Service) FailStream(ctx context.Context, name StreamName, reason string) error {
	for range commitTries {
		stream, err := s.Store.Stream(ctx, name)
		if err != nil {
			return err
		}
		stream.Failure = reason
		if _, err = s.Store.PutStream(ctx, stream); err == nil {
			return s.eachPool(ctx, stream.ID, "", func(c *StreamConfig) { c.Enabled, c.Kept, c.DisabledReason = false, true, reason })
		}
		if KindOf(err) != Stale {
			return err
		}
	}
	return busy("stop streaming")
}

// turnOn lets a stream go on that failed, and the pools with it that use it
// too: all of its log is sent, whosever it is.
func (s *Service) turnOn(ctx context.Context, stream Stream, but PoolID) error {
	stream.Failure = ""
	if _, err := s.Store.PutStream(ctx, stream); err != nil {
		return err
	}
	return s.eachPool(ctx, stream.ID, but, func(c *StreamConfig) { c.Enabled, c.Kept, c.DisabledReason = true, false, "" })
}

// turnOff ends the streaming of pools whose stream is about to be deleted.
func (s *Service) turnOff(ctx context.Context, stream Stream) error {
	at := s.now().UTC().Format(time.RFC3339)
	return s.eachPool(ctx, stream.ID, "", func(c *StreamConfig) {
		c.Enabled, c.Kept, c.DisabledReason = false, false, fmt.Sprintf("Stream %s was deleted at %s", c.Name, at)
	})
}

// eachPool changes the setting of every pool that writes to a stream, but one.
func (s *Service) eachPool(ctx context.Context, stream StreamID, but PoolID, edit func(*StreamConfig)) error {
	pools, err := s.Store.Pools(ctx, "", 1<<30)
	if err != nil {
		return err
	}
	for _, pool := range pools {
		if pool.Route() != stream || pool.ID == but {
			continue
		}
		if err := s.editStream(ctx, pool, stream, edit); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) editStream(ctx context.Context, pool Pool, stream StreamID, edit func(*StreamConfig)) error {
	for range commitTries {
		edit(&pool.Stream)
		err := s.Store.PutPool(ctx, pool)
		if KindOf(err) != Stale {
			return err
		}
		if pool, err = s.Store.Pool(ctx, pool.ID); KindOf(err) == NotFound {
			return nil
		} else if err != nil {
			return err
		}
		if pool.Route() != stream { // it was moved elsewhere
			return nil
		}
	}
	return busy("set stream")
}
