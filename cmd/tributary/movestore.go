package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tributary/front/api"
	"tributary/store/move"
)

type migrateStoreCmd struct {
	serverFlags
	Offline bool   `help:"Move the store of a stopped server, or finish a move that ended with it: --data names its folder, --store its database if it has one."`
	Store   string `help:"With --offline: the database that is moved to --data." placeholder:"postgres://…"`
	To      string `required:"" help:"Where to: postgres://… or embedded, the store in the server's data folder. Set it by the environment if it holds a password." placeholder:"STORE"`
}

// Help says what happens.
func (*migrateStoreCmd) Help() string {
	return `Moves the store of a running server to a database, or back. The server serves
all the time: everything is copied and compared, what is written meanwhile is
copied again, and at the end writes are refused (503 with Retry-After) for a
moment, about 5 seconds at most in each of five tries at most, until the server
goes on with the new store. Keys,
tokens, sync counts, sequence numbers and checkpoints stay what they were.

Afterwards start servers with --store, or without it after a move back; the old
store says so. From a database only one node may run meanwhile. A move that was
cut short is finished, or begun anew, by the same command.`
}

// Validate refuses what cannot work.
func (c *migrateStoreCmd) Validate() error {
	if c.To != embeddedTarget && !isDatabase(c.To) {
		return fmt.Errorf("--to is neither a database nor the data folder's store: it must be %s or %s", databaseForm, embeddedTarget)
	}
	if c.Offline && c.Data == "" {
		return errors.New("--offline needs --data DIR of the stopped server")
	}
	return cmp.Or(checkStore("--to", strings.TrimPrefix(c.To, embeddedTarget)), checkStore("--store", c.Store), c.serverFlags.Validate())
}

// Run begins the move and tells how far it is until it has ended.
func (c *migrateStoreCmd) Run(e *env) error {
	if c.Offline {
		return c.offline(e)
	}
	var m api.Move
	if err := c.call(e.ctx, e.lookup, "POST", "store/move", map[string]any{"To": c.To}, &m); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(e.stdout, "moving %s to %s\n", m.From, m.To)
	last := ""
	for m.State == api.MoveRunning {
		if line := progress(&m); line != last {
			last = line
			_, _ = fmt.Fprintln(e.stdout, line)
		}
		select {
		case <-e.ctx.Done():
			return errors.New("the move goes on in the server; run the command again to see how far it is")
		case <-time.After(200 * time.Millisecond):
		}
		if err := c.call(e.ctx, e.lookup, "GET", "store/move", nil, &m); err != nil {
			return err
		}
	}
	return outcomeOf(e.stdout, &m)
}

// offline moves a store that no server has open.
func (c *migrateStoreCmd) offline(e *env) (err error) {
	s := &server{cfg: &serveCmd{Data: c.Data, MinFree: "0", StoreConnections: 8}, log: commandLog(e), fail: make(chan error, 1)}
	store := strings.TrimPrefix(c.To, embeddedTarget)
	source, err := s.openForMove(e.ctx, c.Store)
	if err != nil {
		return plain(err)
	}
	movable := move.Wrap(source)
	defer func() { err = errors.Join(err, movable.Close()) }()
	target, err := s.openForMove(e.ctx, store)
	if err != nil {
		return plain(err)
	}
	m := api.Move{From: s.cfg.storeName(c.Store), To: s.cfg.storeName(store), State: api.MoveDone, Began: time.Now()}
	_, _ = fmt.Fprintf(e.stdout, "moving %s to %s\n", m.From, m.To)
	mover := &move.Mover{Source: movable, Target: target, From: m.From, To: m.To, Log: s.log, Overwrite: true}
	err = mover.Run(e.ctx)
	if movable.Engine() != target {
		return errors.Join(err, target.Close())
	}
	_, _ = fmt.Fprintf(e.stdout, "moved; start servers with %s from now on\n", m.To)
	return err
}

// progress is how far a move is, in a line.
func progress(m *api.Move) string {
	parts := []string{m.Step}
	for _, k := range m.Items {
		switch {
		case k.Total > 0:
			parts = append(parts, fmt.Sprintf("%s %d of %d", k.Kind, k.Done, k.Total))
		case k.Done > 0:
			parts = append(parts, fmt.Sprintf("%s %d", k.Kind, k.Done))
		}
	}
	if m.Again > 0 {
		parts = append(parts, fmt.Sprintf("again %d", m.Again))
	}
	return strings.Join(parts, "  ")
}

func outcomeOf(w io.Writer, m *api.Move) error {
	if m.State != api.MoveDone {
		return fmt.Errorf("%s was not moved: %s", m.From, m.Error)
	}
	if m.From == m.To {
		_, err := fmt.Fprintf(w, "nothing to do: the server's store is %s\n", m.To)
		return err
	}
	var items, bytes int64
	for _, k := range m.Items {
		items, bytes = items+k.Done, bytes+k.Bytes
	}
	_, err := fmt.Fprintf(w, "moved in %.1f s: %d items of %d bytes; writes were refused for %.2f s\nThe server goes on with %s. Start it with that one from now on.\n",
		m.Ended.Sub(m.Began).Seconds(), items, bytes, m.FrozenSeconds, m.To)
	return err
}
