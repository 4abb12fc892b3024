//go:build cgo

package duckdb

import (
	"context"
	"errors"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"tributary"
	"tributary/warehouse"
)

// Deliver takes a batch in one transaction; see [warehouse.Warehouse].
func (w *Warehouse) Deliver(ctx context.Context, l tributary.Lease, batch []tributary.Entry) error {
	if len(batch) == 0 {
		return nil
	}
	return w.withLoader(ctx, "deliver", func() error {
		err := w.deliver(ctx, l, batch)
		if outOfMemory(err) && w.stopQueries(errMemoryNeeded()) && !fatal(err) {
			err = w.deliver(ctx, l, batch)
		}
		return err
	})
}

// outOfMemory tells whether there was too little memory. A commit's error has
// another type, and says so in its text alone.
func outOfMemory(err error) bool {
	var theirs *duckdb.Error
	if !errors.As(err, &theirs) {
		return false
	}
	return theirs.Type == duckdb.ErrorTypeOutOfMemory || strings.Contains(theirs.Msg, "to allocate") || strings.Contains(theirs.Msg, "not allocate")
}

func errMemoryNeeded() error {
	return tributary.Errorf(tributary.Limit, "", "the query was stopped: its memory was needed to load new data")
}

func (w *Warehouse) deliver(ctx context.Context, l tributary.Lease, batch []tributary.Entry) error {
	err := w.transact(ctx, func() error {
		if w.known == nil {
			k, err := w.load(ctx)
			if err != nil {
				return err
			}
			w.known = k
		}
		fresh, err := w.advance(ctx, l, batch)
		if err != nil {
			return err
		}
		return w.merge(ctx, l.Shard, fresh)
	})
	if err != nil {
		w.known = nil
	}
	return err
}

// advance moves the checkpoint, which nothing else in the transaction may
// precede, and gives the entries above the old one.
func (w *Warehouse) advance(ctx context.Context, l tributary.Lease, batch []tributary.Entry) ([]tributary.Entry, error) {
	old, found := w.known.shards[l.Shard]
	if !found {
		_, err := w.loader.ExecContext(ctx, `INSERT INTO warehouse_checkpoint VALUES (?, ?, 0, '')`, uint64(l.Shard.Stream), uint64(l.Shard.Number))
		if err != nil {
			return nil, err
		}
	}
	for len(batch) > 0 && !warehouse.Above(batch[0].Position, old.position) {
		batch = batch[1:]
	}
	next := checkpoint{l.Epoch, old.position}
	if len(batch) > 0 {
		next.position = batch[len(batch)-1].Position
	}
	done, err := w.loader.ExecContext(ctx,
		`UPDATE warehouse_checkpoint SET epoch = ?, position = ?
		WHERE stream = ? AND shard = ? AND epoch <= ? AND position = ?
		AND (SELECT generation FROM warehouse_meta) = ?`,
		next.epoch, string(next.position), uint64(l.Shard.Stream), uint64(l.Shard.Number), l.Epoch, string(old.position), w.generation)
	if err != nil {
		return nil, err
	}
	if moved, err := done.RowsAffected(); err != nil {
		return nil, err
	} else if moved != 1 {
		return nil, tributary.Errorf(tributary.Stale, "", "shard %s: lease epoch %d has passed, or someone else loads this warehouse", l.Shard, l.Epoch)
	}
	w.known.shards[l.Shard] = next
	return batch, nil
}

// arrival is an entry on its way in, with its dataset's hash.
type arrival struct {
	*tributary.Entry
	dataset hash
}

// merge puts entries into the tables.
func (w *Warehouse) merge(ctx context.Context, s tributary.Shard, entries []tributary.Entry) error {
	arrivals := make([]arrival, 0, len(entries))
	datasets := make([]hash, 0, len(entries))
	for i := range entries {
		if e := &entries[i]; e.Kind != tributary.EntryForeign {
			d := w.known.dataset(e.Change.Key)
			arrivals, datasets = append(arrivals, arrival{e, d}), append(datasets, d)
		}
	}
	if err := w.findHeads(ctx, datasets); err != nil {
		return err
	}
	plain, other := w.sort(arrivals)
	if len(other) > 0 {
		if err := w.mergeOther(ctx, s, other); err != nil {
			return err
		}
	}
	if err := w.appendPlain(ctx, s, plain); err != nil {
		return err
	}
	if w.known.tailRows >= w.config.FoldRows {
		return w.fold(ctx)
	}
	return nil
}

// sort tells the entries of datasets to which nothing happens but changes, each
// newer than all that went before, from the others. Order is kept.
func (w *Warehouse) sort(arrivals []arrival) (plain, other []arrival) {
	unusual := make(map[hash]bool)
	heads := make(map[hash]warehouse.Stamp, len(arrivals))
	for _, a := range arrivals {
		had, again := heads[a.dataset]
		if !again {
			had = w.known.heads[a.dataset]
		}
		if a.Kind != tributary.EntryChange || !warehouse.Follows(a.Change, had) {
			unusual[a.dataset] = true
		}
		for i := range a.Change.Records {
			had = had.Join(warehouse.RecordStamp(&a.Change.Records[i]))
		}
		heads[a.dataset] = had
	}
	if len(unusual) == 0 {
		return arrivals, nil
	}
	for _, a := range arrivals {
		if unusual[a.dataset] {
			other = append(other, a)
		} else {
			plain = append(plain, a)
		}
	}
	return plain, other
}

// appendPlain appends rows to the tail.
func (w *Warehouse) appendPlain(ctx context.Context, s tributary.Shard, plain []arrival) error {
	if len(plain) == 0 {
		return nil
	}
	k := w.known
	return w.appendRows(ctx, stored, warehouse.RawTable, func(a *appending) error {
		raw := newRawRows(a, s)
		for _, p := range plain {
			var top warehouse.Stamp
			for i := range p.Change.Records {
				row := warehouse.RecordRow(p.Entry, &p.Change.Records[i])
				if err := raw.row(&row, k.next); err != nil {
					return err
				}
				k.noteRow(p.dataset, row.Key, k.next)
				top = top.Join(row.Stamp)
				k.next++
			}
			k.noteHead(p.dataset, top)
		}
		return nil
	})
}
