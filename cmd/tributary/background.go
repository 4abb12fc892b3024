package main

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"
	"strings"
	"sync"

	"tributary"
	"tributary/stream"
	"tributary/warehouse/duckdb"
)

// The lease groups: who may do what, and how far it got.
const (
	warehouseGroup     = "warehouse"      // carries each shard's entries
	warehouseHostGroup = "warehouse host" // has the file of the embedded warehouse
	retentionGroup     = "retention"
	sweepGroup         = "sweep"
)

// embeddedNode owns the leases of an embedded store. Its folder's lock proves
// that no other process does: one that crashed need not be waited for.
const embeddedNode = "embedded"

// joinNodes makes this process one of the nodes that share the store.
func (s *server) joinNodes(context.Context) error {
	if s.cfg.Store == "" {
		s.node = &stream.Node{Name: embeddedNode}
		return nil
	}
	// Other nodes reach this one by its name; what follows # tells its runs apart.
	s.node = &stream.Node{Name: s.nodeURL() + "#" + rand.Text(), Leases: s.store, Log: s.log}
	return nil
}

// nodeURL is where other nodes reach this one.
func (s *server) nodeURL() string {
	if s.cfg.NodeURL != "" {
		return s.cfg.NodeURL
	}
	address, every := s.address()
	if every {
		_, port, _ := net.SplitHostPort(address)
		address = net.JoinHostPort(s.routeToStore(), port)
	}
	return "http://" + address
}

// routeToStore is this machine's address on the way to the database.
func (s *server) routeToStore() string {
	const here = "127.0.0.1"
	u, err := url.Parse(s.cfg.Store)
	if err != nil || u.Hostname() == "" {
		return here
	}
	port := u.Port()
	if port == "" {
		port = "5432"
	}
	// Nothing is sent: the system chooses the route.
	c, err := net.Dial("udp", net.JoinHostPort(u.Hostname(), port))
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
	s.hosting = &stream.Job{Group: warehouseHostGroup, Node: s.node, Leases: s.store, Work: s.host, Log: s.log}
	if w, _ := s.warehouse.get(); w != nil {
		s.background = append(s.background, s.pump(w).Run)
	} else if s.cfg.Store != "" && s.cfg.Warehouse != "none" && duckdb.Available {
		s.background = append(s.background, s.hosting.Run)
	}
	s.ops.WatchLag(s.store, warehouseGroup)
	retention := &stream.Job{Group: retentionGroup, Node: s.node, Leases: s.store, Log: s.log,
		// A start without the warehouse must not cost it what it has not got yet.
		Work: (&stream.Retention{Store: s.store, Groups: []string{warehouseGroup}, Log: s.log}).Run}
	sweep := &stream.Job{Group: sweepGroup, Node: s.node, Leases: s.store, Log: s.log, Work: s.service.RunSweep}
	s.background = append(s.background, s.rotation.Run, s.service.Run, retention.Run, sweep.Run)
	return nil
}

func (s *server) pump(sink tributary.Sink) *stream.Pump {
	// The embedded warehouse is on one node, so its pump is too.
	return &stream.Pump{Group: warehouseGroup, Node: s.node, Source: s.store, Leases: s.store, Sink: sink, Alone: true, Log: s.log,
		Delivered: s.ops.Delivered(warehouseGroup), Failed: s.ops.Failed(warehouseGroup)}
}

// work does the background work until ctx is done. Only when all of it has
// ended do the other nodes hear that this one is gone.
func (s *server) work(ctx context.Context) {
	all, leave := context.WithCancel(context.WithoutCancel(ctx))
	var node, running sync.WaitGroup
	run := func(group *sync.WaitGroup, ctx context.Context, f func(context.Context) error) {
		group.Go(func() {
			if err := f(ctx); err != nil {
				s.log.Error("background work ended", "err", err)
			}
		})
	}
	run(&node, all, s.node.Run)
	for _, f := range s.background {
		run(&running, ctx, f)
	}
	running.Wait()
	leave()
	node.Wait()
}

// warehouseNode is the URL of the node that has the embedded warehouse, "" if
// it is this one, or none.
func (s *server) warehouseNode(ctx context.Context) string {
	if w, _ := s.warehouse.get(); w != nil || s.cfg.Store == "" {
		return ""
	}
	name, err := s.hosting.Holder(ctx)
	if err != nil || name == s.node.Name {
		return "" // answered here: with an error that says why
	}
	at, _, _ := strings.Cut(name, "#")
	return at
}
