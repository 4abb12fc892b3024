package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"tributary"
	"tributary/front/api"
	"tributary/warehouse"
	"tributary/warehouse/duckdb"
)

// hosted is the embedded warehouse on this node: open, or why it is not.
type hosted struct {
	mu      sync.RWMutex
	open    warehouse.Warehouse // nil: not here
	missing error
}

func (h *hosted) set(w warehouse.Warehouse, missing error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open, h.missing = w, missing
}

func (h *hosted) get() (warehouse.Warehouse, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.open, h.missing
}

var errElsewhere = tributary.Errorf(tributary.Unavailable, "query", "The embedded warehouse is between two nodes: try again")

// openWarehouse opens the warehouse of an embedded store. That of many nodes is
// opened by the one that has its lease.
func (s *server) openWarehouse(ctx context.Context) error {
	if s.cfg.Warehouse == "none" {
		s.warehouse.set(nil, tributary.Errorf(tributary.Unavailable, "query", "The server was started with --warehouse none"))
		return nil
	}
	if s.membership.Load().store != "" && duckdb.Available {
		s.warehouse.set(nil, errElsewhere)
		return nil
	}
	w, err := s.openFile(ctx)
	if err != nil && duckdb.Available {
		return err
	}
	s.warehouse.set(w, err)
	return nil
}

// warehouseFile is where the embedded warehouse is.
func (c *serveCmd) warehouseFile() string {
	if c.WarehouseFile != "" {
		return c.WarehouseFile
	}
	return filepath.Join(c.Data, "warehouse.duckdb")
}

func (s *server) openFile(ctx context.Context) (warehouse.Warehouse, error) {
	w, err := duckdb.Open(ctx, duckdb.Config{
		Path: s.cfg.warehouseFile(), Store: s.store.ID(), MemoryLimit: fmt.Sprintf("%dMiB", s.cfg.WarehouseMemory>>20),
	})
	if err != nil {
		return nil, err // not a nil *duckdb.Warehouse, which is no nil Warehouse
	}
	return w, nil
}

// host opens the embedded warehouse and fills it, while this node has its
// lease.
func (s *server) host(ctx context.Context) (err error) {
	w, err := s.openFile(ctx)
	if err != nil {
		s.warehouse.set(nil, err)
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := s.refuseLoss(ctx, w); err != nil {
		if _, before := s.warehouse.get(); before == nil || tributary.Message(before) != tributary.Message(err) {
			s.log.Warn("the embedded warehouse waits for its node", "err", err)
		}
		s.warehouse.set(nil, err)
		return nil // the job is tried again
	}
	if err := s.noteHost(ctx); err != nil {
		return err
	}
	s.warehouse.set(w, nil)
	defer s.warehouse.set(nil, errElsewhere)
	s.log.Info("this node has the embedded warehouse now", "file", s.cfg.warehouseFile())
	return s.pump(w).Run(ctx)
}

// refuseLoss refuses to go on with a file that lacks what the file of another
// node has, and the log has no more.
func (s *server) refuseLoss(ctx context.Context, w tributary.Checkpointer) error {
	if s.cfg.WarehouseLoss {
		return nil
	}
	leases, err := s.store.Leases(ctx, warehouseGroup)
	if err != nil {
		return err
	}
	for _, l := range leases {
		horizon, err := s.store.Find(ctx, l.Shard, 0)
		if tributary.KindOf(err) == tributary.NotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		have, err := w.Checkpoint(ctx, l.Shard)
		if err != nil {
			return err
		}
		if have < min(l.Checkpoint, horizon) { // positions of one shard: text order is their order
			return tributary.Errorf(tributary.Unavailable, "open warehouse",
				"The embedded warehouse is in the file of %s; %s lacks entries that are no longer in the log. Start that node, or bring its file here, or go on without these entries by --warehouse-loss", s.lastHost(ctx), s.cfg.warehouseFile())
		}
	}
	return nil
}

// noteHost notes that this node has the embedded warehouse, for those who miss
// it later.
func (s *server) noteHost(ctx context.Context) error {
	noted, err := s.hostNote(ctx)
	if err == nil {
		_, err = s.store.SwapLease(ctx, noted.Take(s.membership.Load().node.Name))
	}
	return err
}

// hostNote is the note of the node that had the embedded warehouse last.
func (s *server) hostNote(ctx context.Context) (tributary.Lease, error) {
	all, err := s.store.Leases(ctx, warehouseFileGroup)
	if err != nil || len(all) == 0 {
		return tributary.Lease{Group: warehouseFileGroup}, err
	}
	return all[0], nil
}

// lastHost names the node that had the embedded warehouse last, for people.
func (s *server) lastHost(ctx context.Context) string {
	noted, err := s.hostNote(ctx)
	if err != nil || noted.Owner == "" {
		return "another node"
	}
	at := urlOfNode(noted.Owner)
	if at == urlOfNode(s.membership.Load().node.Name) {
		return "an earlier run of this node (" + at + ")"
	}
	return "the node " + at
}

// mostResult is how many bytes the values of a query's result may have.
const mostResult = 32 << 20

// query runs a SELECT for the own API.
func (s *server) query(ctx context.Context, sql string, maxRows int, timeout time.Duration) (*api.Table, error) {
	w, missing := s.warehouse.get()
	if w == nil {
		return nil, missing
	}
	r, err := w.Query(ctx, sql, warehouse.QueryLimits{Rows: maxRows, Bytes: mostResult, Time: timeout})
	if err != nil {
		return nil, err
	}
	return &api.Table{Columns: r.Columns, Types: r.Types, Rows: r.Rows, Cut: r.Cut}, nil
}

func (s *server) greetWarehouse() string {
	w, missing := s.warehouse.get()
	switch {
	case w != nil:
		return s.cfg.warehouseFile()
	case errors.Is(missing, errElsewhere):
		return s.cfg.warehouseFile() + ", unless another node has it"
	}
	return "none: " + tributary.Message(missing)
}
