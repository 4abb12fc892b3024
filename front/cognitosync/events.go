package cognitosync

import (
	"context"

	"tributary"
)

type eventsOut struct{ Events map[string]string }

func (f *front) events(ctx context.Context, p principal, in *datasetKey) (*eventsOut, error) {
	events, err := f.service.Events(ctx, p, in.Pool)
	if err != nil {
		return nil, err
	}
	return &eventsOut{events}, nil
}

type setEventsIn struct {
	datasetKey `json:"-"`
	Events     *map[string]string
}

// setEventsOut is nothing: the operation has no output.
type setEventsOut struct{}

func (f *front) setEvents(ctx context.Context, p principal, in *setEventsIn) (*setEventsOut, error) {
	if in.Events == nil {
		return nil, tributary.Errorf(tributary.Invalid, "read events", "1 validation error detected: Value null at 'events' failed to satisfy constraint: Member must not be null")
	}
	if err := f.service.SetEvents(ctx, p, in.Pool, *in.Events); err != nil {
		return nil, err
	}
	return &setEventsOut{}, nil
}
