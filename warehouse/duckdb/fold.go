//go:build cgo

package duckdb

import (
	"context"
	"maps"
	"slices"
)

// fold brings warehouse_state up to date with the tail, which is empty afterwards.
func (w *Warehouse) fold(ctx context.Context) error {
	if err := w.foldTail(ctx); err != nil {
		return err
	}
	return w.settle(ctx)
}

// foldTail replaces all versions of each key in the tail by its newest row,
// which covers them.
func (w *Warehouse) foldTail(ctx context.Context) error {
	k := w.known
	if k.tailRows == 0 {
		return nil
	}
	err := w.appendRows(ctx, temporary, "newest", func(a *appending) error {
		for key, p := range k.tail {
			if err := a.add(0, key.high, key.low, p.dataset.high, p.dataset.low, p.row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	clear(k.tail)
	k.tailRows = 0
	err = w.execAll(ctx, `DELETE FROM warehouse_state AS s USING newest AS n WHERE s.kh = n.kh AND s.kl = n.kl`)
	if err != nil {
		return err
	}
	_, err = w.loader.ExecContext(ctx, `INSERT INTO warehouse_state
		SELECT n.kh, n.kl, n.dh, n.dl, r.identityPoolId, r.identityId, r.datasetName, r.key, r.value,
			r.syncCount, r.deviceLastModifiedDate, r.lastModifiedDate, r.op = 'remove', true
		FROM cognito_raw_data AS r JOIN newest AS n ON r.rowNumber = n.rowNumber
		WHERE r.rowNumber > ?`, k.folded)
	if err != nil {
		return err
	}
	return w.execAll(ctx, `DELETE FROM newest`)
}

// settle writes down that warehouse_state has all raw rows there are, and the
// heads that come with it.
func (w *Warehouse) settle(ctx context.Context) error {
	k := w.known
	if err := w.writeHeads(ctx, slices.Collect(maps.Keys(k.dirty))); err != nil {
		return err
	}
	clear(k.dirty)
	if len(k.heads) > maxHeads {
		clear(k.heads)
	}
	k.folded = k.next - 1
	_, err := w.loader.ExecContext(ctx, `UPDATE warehouse_meta SET folded = ?`, k.folded)
	return err
}

func (w *Warehouse) writeHeads(ctx context.Context, datasets []hash) error {
	if len(datasets) == 0 {
		return nil
	}
	if err := w.ask(ctx, datasets); err != nil {
		return err
	}
	err := w.execAll(ctx, `DELETE FROM warehouse_heads AS h USING asked AS a WHERE h.dh = a.dh AND h.dl = a.dl`)
	if err != nil {
		return err
	}
	return w.appendRows(ctx, stored, "warehouse_heads", func(a *appending) error {
		for _, d := range datasets {
			h := w.known.heads[d]
			if err := a.add(0, d.high, d.low, h.SyncCount, int64(h.At)); err != nil {
				return err
			}
		}
		return nil
	})
}
