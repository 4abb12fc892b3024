package api

import (
	"context"
	"time"

	"tributary"
)

// Move is a move of the server's store to another engine, as it stands.
type Move struct {
	From, To string // no passwords
	State    string // RUNNING, DONE or FAILED
	Step     string // of a move that runs
	Items    []MoveItems
	// Again is how many items were copied again because they were written
	// meanwhile.
	Again int64
	// FrozenSeconds is how long writes were refused at the end.
	FrozenSeconds float64
	Error         string `json:",omitzero"` // why it failed
	Began         time.Time
	Ended         time.Time `json:",omitzero"`
}

// MoveItems is how far a move is with one kind of what a store keeps.
type MoveItems struct {
	Kind        string
	Done, Total int64 // Total is about so many, 0 if it is not known
	Bytes       int64
}

// The states of a move.
const (
	MoveRunning = "RUNNING"
	MoveDone    = "DONE"
	MoveFailed  = "FAILED"
)

type moveStoreIn struct{ To string }

func (f *front) moveStore(_ context.Context, p principal, in *moveStoreIn) (*Move, error) {
	if err := f.Service.Allow(p, "move store", "*"); err != nil {
		return nil, err
	}
	m, err := f.Move(in.To)
	if err == nil {
		p.Call.Detail("To", m.To)
	}
	return m, err
}

type nothing struct{}

func (f *front) describeMove(_ context.Context, p principal, _ *nothing) (*Move, error) {
	if err := f.Service.Allow(p, "describe move", "*"); err != nil {
		return nil, err
	}
	m := f.Moved()
	if m == nil {
		return nil, tributary.Errorf(tributary.NotFound, "describe move", "The store was not moved since the server's start")
	}
	return m, nil
}
