package main

import (
	"context"
	"crypto/rand"
	"net"
	"strings"
	"sync"

	"tributary"
	"tributary/store/pgstore"
	"tributary/stream"
	"tributary/warehouse/duckdb"
)

// The lease groups: who may do what, and how far it got.
const (
	warehouseGroup     = "warehouse"      // carries each shard's entries
	warehouseHostGroup = "warehouse host" // has the file of the embedded warehouse
	warehouseFileGroup = "warehouse file" // its owner had that file last; it is never given back
	kinesisGroup       = "kinesis"        // carries each shard's entries of streams at Kinesis
	retentionGroup     = "retention"
	sweepGroup         = "sweep"
)

// embeddedNode owns the leases of an embedded store. Its folder's lock proves
// that no other process does: one that crashed need not be waited for.
const embeddedNode = "embedded"

// membership is this process among the nodes that share its store.
type membership struct {
	store   string // database, or "" for the embedded store
	node    *stream.Node
	hosting *stream.Job // decides which node has the embedded warehouse
}

// joinNodes makes this process one of the nodes that share the store.
func (s *server) joinNodes(ctx context.Context) error {
	s.become(s.cfg.Store)
	return s.refuseMoving(ctx)
}

// become makes this process a node of a database, or the one of its embedded
// store.
func (s *server) become(store string) {
	m := &membership{store: store, node: &stream.Node{Name: embeddedNode}}
	if store != "" {
		// Other nodes reach this one by its name; what follows # tells its runs apart.
		if address, _ := s.listener.Addr().(*net.TCPAddr); s.cfg.NodeURL == "" && address != nil && address.IP.IsLoopback() && !isHere(store) {
			s.log.Warn("nodes on other machines cannot reach this one: it listens on this machine only, and --node-url is not set", "listen", s.cfg.Listen)
		}
		m.node = &stream.Node{Name: s.nodeURL(store) + "#" + rand.Text(), Leases: s.store, Log: s.log}
		if db, ok := s.movable.Engine().(*pgstore.Store); ok {
			m.node.Seen = db.ShareWith
		}
	}
	m.hosting = &stream.Job{Group: warehouseHostGroup, Node: m.node, Leases: s.store, Work: s.host, Log: s.log}
	s.membership.Store(m)
}

// nodeURL is where other nodes reach this one.
func (s *server) nodeURL(store string) string {
	if s.cfg.NodeURL != "" {
		return s.cfg.NodeURL
	}
	address, every := s.address()
	if every {
		_, port, _ := net.SplitHostPort(address)
		address = net.JoinHostPort(routeTo(store), port)
	}
	return s.scheme() + address
}

// isHere tells whether a database is on this machine.
func isHere(store string) bool {
	ip := net.ParseIP(routeTo(store))
	return ip != nil && ip.IsLoopback()
}

// routeTo is this machine's address on the way to a database.
func routeTo(store string) string {
	const here = "127.0.0.1"
	_, address, err := pgstore.Place(store)
	if err != nil || address == "" {
		return here
	}
	// Nothing is sent: the system chooses the route.
	c, err := net.Dial("udp", address)
	if err != nil {
		return here
	}
	defer func() { _ = c.Close() }()
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return here
	}
	return host
}

func (s *server) buildBackground(context.Context) error {
	now := s.membership.Load()
	s.background = nil
	if w, _ := s.warehouse.get(); w != nil {
		s.background = append(s.background, s.pump(w).Run)
	} else if now.store != "" && s.cfg.Warehouse != "none" && duckdb.Available {
		s.background = append(s.background, now.hosting.Run)
	}
	if s.roles != nil {
		s.background = append(s.background, s.kinesisPump().Run)
	}
	// A start without the warehouse, or without Kinesis, must not cost these what
	// they have not got yet.
	trim := &stream.Retention{Store: s.store, Groups: []string{warehouseGroup}, KindGroups: map[tributary.StreamKind][]string{tributary.Kinesis: {kinesisGroup}},
		Backlog: s.cfg.BacklogLimit, Dropped: s.dropped, Log: s.log}
	trim.BacklogBytes, trim.Size = s.backlogBytes(now.store)
	retention := &stream.Job{Group: retentionGroup, Node: now.node, Leases: s.store, Log: s.log, Work: trim.Run}
	sweep := &stream.Job{Group: sweepGroup, Node: now.node, Leases: s.store, Log: s.log, Work: s.service.RunSweep}
	s.background = append(s.background, s.rotation.Run, s.tokens.Rotation.Run, s.audit.Run, s.service.Run, retention.Run, sweep.Run)
	return nil
}

func (s *server) pump(sink tributary.Sink) *stream.Pump {
	// The embedded warehouse is on one node, so its pump is too.
	return &stream.Pump{Group: warehouseGroup, Node: s.membership.Load().node, Source: s.store, Leases: s.store, Sink: sink, Alone: true, Log: s.log,
		Delivered: s.ops.Delivered(warehouseGroup), Failed: s.ops.Failed(warehouseGroup)}
}

// work does the background work until ctx is done, and moves the store when it
// is asked to. After a move the work begins anew, as a node of the new store.
func (s *server) work(ctx context.Context) {
	var moves sync.WaitGroup
	defer moves.Wait()
	for ctx.Err() == nil {
		group, stop := context.WithCancel(ctx)
		var working sync.WaitGroup
		working.Go(func() { s.workAsNode(group) })
		for group.Err() == nil {
			select {
			case <-ctx.Done():
				stop()
			case move := <-s.moving.started:
				moves.Go(func() { move(ctx) })
			case store := <-s.moving.ended:
				stop()
				working.Wait()
				s.changeStore(ctx, store)
			}
		}
		working.Wait()
		stop()
	}
}

// workAsNode does the background work until ctx is done. Only when all of it
// has ended do the other nodes hear that this one is gone.
func (s *server) workAsNode(ctx context.Context) {
	all, leave := context.WithCancel(context.WithoutCancel(ctx))
	var node, running sync.WaitGroup
	run := func(group *sync.WaitGroup, ctx context.Context, f func(context.Context) error) {
		group.Go(func() {
			if err := f(ctx); err != nil {
				s.log.Error("background work ended", "err", err)
			}
		})
	}
	run(&node, all, s.membership.Load().node.Run)
	for _, f := range s.background {
		run(&running, ctx, f)
	}
	running.Wait()
	leave()
	node.Wait()
}

// changeStore makes the server one that serves the store it was moved to.
func (s *server) changeStore(ctx context.Context, store string) {
	if w, _ := s.warehouse.get(); w != nil {
		s.warehouse.set(nil, errElsewhere)
		if err := w.Close(); err != nil {
			s.log.Error("the warehouse cannot be closed", "err", err)
		}
	}
	s.become(store)
	if err := s.openWarehouse(ctx); err != nil {
		s.warehouse.set(nil, err)
		s.log.Error("the warehouse cannot be opened; a restart may help", "err", err)
	}
	_ = s.buildBackground(ctx) // never fails
	s.log.Info("the store was moved: start the server with the new one from now on", "store", s.cfg.storeName(store))
	s.moving.end(nil)
}

// warehouseNode is the URL of the node that has the embedded warehouse, "" if
// it is this one, or none.
func (s *server) warehouseNode(ctx context.Context) string {
	now := s.membership.Load()
	if w, _ := s.warehouse.get(); w != nil || now.store == "" {
		return ""
	}
	name, err := now.hosting.Holder(ctx)
	if err != nil || name == now.node.Name {
		return "" // answered here: with an error that says why
	}
	return urlOfNode(name)
}

// urlOfNode is where the node of a name is reached.
func urlOfNode(name string) string {
	at, _, _ := strings.Cut(name, "#")
	return at
}
