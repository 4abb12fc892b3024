package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary"
	"tributary/front/api"
	"tributary/store/move"
	"tributary/store/pebblestore"
	"tributary/store/pgstore"
	"tributary/stream"
)

// embeddedTarget is what the store in the data folder is called as the target
// of a move.
const embeddedTarget = "embedded"

// moving is the last move of the server's store.
type moving struct {
	mu   sync.Mutex
	last *api.Move
	// started takes a move to the background work, ended its new --store.
	started chan func(context.Context)
	ended   chan string
}

func (m *moving) init() {
	m.started, m.ended = make(chan func(context.Context), 1), make(chan string, 1)
}

// state is a copy of what is known of the last move, nil if there is none.
func (m *moving) state() *api.Move {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		return nil
	}
	last := *m.last
	return &last
}

func (m *moving) report(p move.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last.Step, m.last.Again, m.last.FrozenSeconds = string(p.Step), p.Again, p.Frozen.Seconds()
	m.last.Items = make([]api.MoveItems, len(p.Kinds))
	for i, k := range p.Kinds {
		m.last.Items[i] = api.MoveItems{Kind: k.Kind.String(), Done: k.Items, Total: k.Total, Bytes: k.Bytes}
	}
}

// startMove begins to move the store to a database, or to the data folder.
func (s *server) startMove(to string) (*api.Move, error) {
	const op = "move store"
	now := s.membership.Load()
	switch {
	case to == now.store || to == embeddedTarget && now.store == "":
		at := time.Now().UTC()
		return &api.Move{From: s.cfg.storeName(now.store), To: s.cfg.storeName(now.store), State: api.MoveDone, Began: at, Ended: at}, nil // it is there
	case to != embeddedTarget && now.store != "":
		return nil, tributary.Errorf(tributary.Invalid, op, "From a database the store moves to %s, the one in the data folder, only", embeddedTarget)
	case to != embeddedTarget && !isDatabase(to):
		return nil, tributary.Errorf(tributary.Invalid, op, "To must be postgres://… or %s", embeddedTarget)
	}
	s.moving.mu.Lock()
	defer s.moving.mu.Unlock()
	target := s.cfg.storeName(strings.TrimPrefix(to, embeddedTarget))
	if s.moving.last != nil && s.moving.last.State == api.MoveRunning {
		if s.moving.last.To == target {
			now := *s.moving.last
			return &now, nil // whoever asks again wants to see it
		}
		return nil, tributary.Errorf(tributary.Busy, op, "The store is being moved to %s already", s.moving.last.To)
	}
	m := &api.Move{From: s.cfg.storeName(now.store), To: target, State: api.MoveRunning, Step: string(move.Copying), Began: time.Now().UTC()}
	s.moving.last = m
	s.moving.started <- func(ctx context.Context) { s.moveTo(ctx, strings.TrimPrefix(to, embeddedTarget), *m) }
	first := *m
	return &first, nil
}

// moveTo moves the store to a database, or to the data folder if it is "".
func (s *server) moveTo(ctx context.Context, store string, m api.Move) {
	before := s.movable.Engine()
	err := s.tryMove(ctx, store, m)
	if s.movable.Engine() != before { // whatever else went wrong
		s.moving.ended <- store
		return
	}
	s.log.Error("the store was not moved", "to", m.To, "err", err)
	s.moving.end(err)
}

// end says that a move has ended.
func (m *moving) end(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last.State, m.last.Ended = api.MoveDone, time.Now().UTC()
	if err != nil {
		m.last.State, m.last.Error = api.MoveFailed, plain(err).Error()
	}
}

func (s *server) tryMove(ctx context.Context, store string, m api.Move) error {
	now := s.membership.Load()
	job := stream.Job{Group: moveGroup, Node: now.node, Leases: s.store, Work: func(ctx context.Context) error {
		if err := now.node.Join(ctx); err != nil {
			return err
		}
		others := slices.DeleteFunc(now.node.Names(), func(name string) bool { return name == now.node.Name })
		if len(others) > 0 {
			return tributary.Errorf(tributary.Busy, "move store", "Other nodes use the database: %s. Stop them; one that has stopped is forgotten within 10 seconds, then try again", strings.Join(others, ", "))
		}
		target, err := s.openForMove(ctx, store)
		if err != nil {
			return err
		}
		mover := &move.Mover{Source: s.movable, Target: target, From: m.From, To: m.To, Log: s.log, Report: s.moving.report, Overwrite: true}
		if err = mover.Run(ctx); s.movable.Engine() != target {
			err = errors.Join(err, target.Close())
		}
		return err
	}}
	worked, err := job.Once(ctx)
	if err == nil && !worked {
		err = tributary.Errorf(tributary.Busy, "move store", "Another node moves the store, or the nodes do not hear of each other: try again")
	}
	return err
}

// openForMove opens a store as source or target of a move, in whatever state it
// is.
func (s *server) openForMove(ctx context.Context, store string) (move.Engine, error) {
	if store != "" {
		cfg := s.cfg.databaseConfig(store)
		cfg.Transfer = true
		db, err := pgstore.Open(ctx, cfg)
		if err != nil {
			return nil, unreachable(store, err)
		}
		return db, nil
	}
	cfg, err := s.embeddedConfig()
	if err != nil {
		return nil, err
	}
	cfg.Transfer = true
	// A target that fails ends the move, not the server.
	cfg.Failed = func(cause error) { s.log.Error("the store in the data folder has failed", "err", cause) }
	return pebblestore.Open(cfg)
}

// moveGroup is the lease of the node that moves the store out of a database. A
// node that starts meanwhile would write what the move does not see.
const moveGroup = "store move"

// refuseMoving refuses to be a node of a database that is being moved.
func (s *server) refuseMoving(ctx context.Context) error {
	now := s.membership.Load()
	if now.node.Leases == nil {
		return nil
	}
	if err := now.node.Join(ctx); err != nil {
		return err
	}
	job := stream.Job{Group: moveGroup, Node: now.node, Leases: s.store}
	for tries := 0; ; tries++ {
		holder, err := job.Holder(ctx)
		if err != nil || holder == "" {
			return err
		}
		// A node that died while it moved the store is known for dead soon.
		if tries > int(2*tributary.LeaseTime/time.Second) {
			return tributary.Errorf(tributary.Busy, "join nodes", "the store is being moved by the node %s: start this one when that has ended", holder)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		if err := now.node.Join(ctx); err != nil {
			return err
		}
	}
}
