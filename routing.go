package tributary

import (
	"context"
	"fmt"
	"math"
	"strings"
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
// Nothing happens if the stream was changed since it was read: it may go on now.
func (s *Service) FailStream(ctx context.Context, stream Stream, reason string) error {
	stream.Failure = reason
	if _, err := s.Store.PutStream(ctx, stream); err != nil {
		if KindOf(err) == Stale {
			return nil
		}
		return err
	}
	return s.showFailure(ctx, stream.Name, "")
}

// turnOn lets a stream go on that failed, and the pools with it that use it
// too: all of its log is sent, whosever it is.
func (s *Service) turnOn(ctx context.Context, stream Stream, but PoolID) error {
	stream.Failure = ""
	if _, err := s.Store.PutStream(ctx, stream); err != nil {
		return err
	}
	return s.showFailure(ctx, stream.Name, but)
}

// ShowFailures makes the pools of all streams at Kinesis say whether these are
// off: an end of the process may have come between the two.
func (s *Service) ShowFailures(ctx context.Context) error {
	streams, err := s.Store.Streams(ctx, "", math.MaxInt)
	if err != nil {
		return err
	}
	for i := range streams {
		if streams[i].Kind != Kinesis {
			continue
		}
		if err := s.showFailure(ctx, streams[i].Name, ""); err != nil {
			return err
		}
	}
	return nil
}

// showFailure makes the pools of a stream, but one, say whether it is off.
func (s *Service) showFailure(ctx context.Context, name StreamName, but PoolID) error {
	for range commitTries {
		stream, err := s.Store.Stream(ctx, name)
		if err != nil {
			return err
		}
		if err := s.eachPool(ctx, stream.ID, but, func(c *StreamConfig) { c.follow(&stream) }); err != nil {
			return err
		}
		// What came meanwhile may have been shown to some pools, and this to others.
		again, err := s.Store.Stream(ctx, name)
		if err != nil || again.Revision == stream.Revision {
			return err
		}
	}
	return busy("show failure")
}

// follow takes over whether the stream is off, and why.
func (c *StreamConfig) follow(stream *Stream) {
	off := stream.Failure != ""
	switch {
	case off && !strings.HasPrefix(c.DisabledReason, stream.Failure): // what follows it is a gap
		c.DisabledReason = stream.Failure
	case !off && c.Kept:
		c.DisabledReason = ""
	}
	c.Enabled, c.Kept = !off, off
}

// Gap is entries of a stream's log that a sink never gets.
type Gap struct {
	Stream      StreamID
	Group       string // lease group of the sink
	Entries     uint64 // counted by positions: after a restore it may say more
	From, Until Millis // when the first and the last arrived
	Continues   bool   // one that the sink has not got to yet
}

// Add makes a gap hold another one of the same stream and group.
func (g *Gap) Add(other *Gap) {
	g.Continues = g.Continues || other.Continues
	if other.Entries == 0 {
		return
	}
	if g.Entries == 0 || other.From < g.From {
		g.From = other.From
	}
	g.Until = max(g.Until, other.Until)
	g.Entries += other.Entries
}

// NoteGap notes a gap in what a stream at Kinesis gets, with the pools that
// write to it.
func (s *Service) NoteGap(ctx context.Context, g Gap) error {
	return s.eachPool(ctx, g.Stream, "", func(c *StreamConfig) {
		from := g.From
		if g.Continues && c.GapFrom != 0 {
			from = min(from, c.GapFrom)
		}
		c.GapFrom, c.GapUntil = from, g.Until
		failure, _, _ := strings.Cut(c.DisabledReason, gapText)
		if failure = strings.TrimSpace(failure); failure != "" {
			failure += " "
		}
		at := func(m Millis) string { return m.Time().Format(time.RFC3339) }
		c.DisabledReason = failure + gapText + fmt.Sprintf(" between %s and %s were dropped: the backlog was over its limit", at(from), at(g.Until))
	})
}

// gapText begins what a DisabledReason says of a gap.
const gapText = "Changes that were made"

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
		before := pool.Stream
		if edit(&pool.Stream); pool.Stream == before {
			return nil
		}
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
