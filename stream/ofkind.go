package stream

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"tributary"
)

// OfKind is the part of a source that belongs to streams of one kind. One that
// was turned off by a failure is waited for: nothing of it is read before it is
// turned on again. All fields are required.
type OfKind struct {
	Source
	Streams tributary.Streams
	Kind    tributary.StreamKind

	mu      sync.Mutex
	looked  time.Time // when the streams were read last; zero: never
	streams map[tributary.StreamID]tributary.Stream
}

// lookAgain is how old may be what is known of the streams.
const lookAgain = time.Second

// Shards lists the shards of these streams.
func (o *OfKind) Shards(ctx context.Context) ([]tributary.Shard, error) {
	shards, err := o.Source.Shards(ctx)
	if err != nil {
		return nil, err
	}
	streams, err := o.look(ctx)
	return slices.DeleteFunc(shards, func(s tributary.Shard) bool {
		_, ours := streams[s.Stream]
		return !ours
	}), err
}

// Wait returns when the shard's stream is on and has an entry above the
// position.
func (o *OfKind) Wait(ctx context.Context, s tributary.Shard, after tributary.Position) error {
	for {
		if err := o.Source.Wait(ctx, s, after); err != nil {
			return err
		}
		// Only now: it may have been turned off meanwhile.
		streams, err := o.look(ctx)
		if stream, there := streams[s.Stream]; err != nil || !there || stream.Failure == "" {
			return err
		}
		if !sleep(ctx, lookAgain) {
			return &tributary.Error{Kind: tributary.Unavailable, Op: "wait", Err: ctx.Err()}
		}
	}
}

// look gives the streams of the kind.
func (o *OfKind) look(ctx context.Context) (map[tributary.StreamID]tributary.Stream, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.looked.IsZero() && time.Since(o.looked) < lookAgain {
		return o.streams, nil
	}
	at := time.Now()
	all, err := o.Streams.Streams(ctx, "", math.MaxInt)
	if err != nil {
		return nil, err
	}
	o.looked, o.streams = at, map[tributary.StreamID]tributary.Stream{}
	for _, s := range all {
		if s.Kind == o.Kind {
			o.streams[s.ID] = s
		}
	}
	return o.streams, nil
}
