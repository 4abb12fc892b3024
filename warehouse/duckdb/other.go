//go:build cgo

package duckdb

import (
	"context"
	"database/sql"
	"slices"

	"tributary"
	"tributary/warehouse"
)

// atOnce is how many datasets are merged at a time: all that is kept of them is
// in memory meanwhile.
const atOnce = 2000

// merging is a dataset on its way through the merge.
type merging struct {
	warehouse.Dataset
	hash     hash
	removals []warehouse.Stamp // as stored
	arrivals []arrival
}

// mergeOther merges entries that need the rules in full: removals, snapshots,
// whatever is late or repeated. The tail is empty before and after.
func (w *Warehouse) mergeOther(ctx context.Context, s tributary.Shard, other []arrival) error {
	if err := w.foldTail(ctx); err != nil {
		return err
	}
	for part := range slices.Chunk(w.group(other), atOnce) {
		if err := w.mergePart(ctx, s, part); err != nil {
			return err
		}
	}
	return w.settle(ctx)
}

// group collects the entries of each dataset.
func (w *Warehouse) group(other []arrival) []*merging {
	var all []*merging
	found := make(map[hash]*merging)
	for _, a := range other {
		m := found[a.dataset]
		if m == nil {
			m = &merging{hash: a.dataset}
			m.Key, m.Head = a.Change.Key, w.known.heads[a.dataset]
			found[a.dataset] = m
			all = append(all, m)
		}
		m.arrivals = append(m.arrivals, a)
	}
	return all
}

func (w *Warehouse) mergePart(ctx context.Context, s tributary.Shard, part []*merging) error {
	if err := w.recall(ctx, part); err != nil {
		return err
	}
	for _, m := range part {
		m.removals = slices.Clone(m.Removals)
		for _, a := range m.arrivals {
			m.Apply(a.Entry)
		}
		w.known.noteHead(m.hash, m.Head)
	}
	if err := w.appendNew(ctx, s, part); err != nil {
		return err
	}
	if err := w.appendLate(ctx, s, part); err != nil {
		return err
	}
	if err := w.writeState(ctx, part); err != nil {
		return err
	}
	return w.writeRemovals(ctx, part)
}

// recall reads what is kept of the datasets.
func (w *Warehouse) recall(ctx context.Context, part []*merging) error {
	byHash := make(map[hash]*merging, len(part))
	hashes := make([]hash, 0, len(part))
	for _, m := range part {
		byHash[m.hash] = m
		hashes = append(hashes, m.hash)
	}
	if err := w.ask(ctx, hashes); err != nil {
		return err
	}
	err := w.each(ctx, func(rows *sql.Rows) error {
		var d hash
		var key string
		v := warehouse.Version{Stored: true}
		if err := rows.Scan(&d.high, &d.low, &key, &v.SyncCount, &v.At, &v.Removed, &v.Current); err != nil {
			return err
		}
		m := byHash[d]
		if m.Records == nil {
			m.Records = make(map[string][]warehouse.Version)
		}
		m.Records[key] = append(m.Records[key], v)
		return nil
	}, `SELECT s.dh, s.dl, s.key, s.syncCount, epoch_ms(s.lastModifiedDate), s.removed, s.isCurrent
		FROM asked AS a JOIN warehouse_state AS s ON s.dh = a.dh AND s.dl = a.dl`)
	if err != nil {
		return err
	}
	return w.each(ctx, func(rows *sql.Rows) error {
		var d hash
		var r warehouse.Stamp
		if err := rows.Scan(&d.high, &d.low, &r.SyncCount, &r.At); err != nil {
			return err
		}
		byHash[d].Removals = append(byHash[d].Removals, r)
		return nil
	}, `SELECT r.dh, r.dl, r.syncCount, r.atMillis FROM asked AS a JOIN warehouse_removals AS r ON r.dh = a.dh AND r.dl = a.dl`)
}

func (w *Warehouse) appendNew(ctx context.Context, s tributary.Shard, part []*merging) error {
	return w.appendRows(ctx, stored, warehouse.RawTable, func(a *appending) error {
		return w.appendRaw(newRawRows(a, s), part, func(m *merging) []warehouse.Row { return m.Rows })
	})
}

func (w *Warehouse) appendRaw(raw *rawRows, part []*merging, of func(*merging) []warehouse.Row) error {
	for _, m := range part {
		for i := range of(m) {
			if err := raw.row(&of(m)[i], w.known.next); err != nil {
				return err
			}
			w.known.next++
		}
	}
	return nil
}

// The rows of late that the raw table has already. A removal that finds nothing
// to remove is there if any row of it is.
const (
	repeatedRows = `DELETE FROM late AS l USING cognito_raw_data AS r
		WHERE l.key IS NOT NULL AND r.identityId = l.identityId AND r.datasetName = l.datasetName AND r.key = l.key
		AND r.syncCount = l.syncCount AND r.lastModifiedDate = l.lastModifiedDate`
	repeatedRemovals = `DELETE FROM late AS l USING cognito_raw_data AS r
		WHERE l.key IS NULL AND r.identityId = l.identityId AND r.datasetName = l.datasetName AND r.operation = 'remove'
		AND r.eventSyncCount = l.eventSyncCount AND r.eventLastModifiedDate = l.eventLastModifiedDate`
)

// appendLate adds the late rows that are not in the raw table.
func (w *Warehouse) appendLate(ctx context.Context, s tributary.Shard, part []*merging) error {
	if !slices.ContainsFunc(part, func(m *merging) bool { return len(m.Late) > 0 }) {
		return nil
	}
	err := w.appendRows(ctx, temporary, "late", func(a *appending) error {
		return w.appendRaw(newRawRows(a, s), part, func(m *merging) []warehouse.Row { return m.Late })
	})
	if err != nil {
		return err
	}
	return w.execAll(ctx, repeatedRows, repeatedRemovals,
		`INSERT INTO cognito_raw_data FROM late`, `DELETE FROM late`)
}

// writeState stores the difference that the merge made to the versions.
func (w *Warehouse) writeState(ctx context.Context, part []*merging) error {
	type fresh struct {
		m   *merging
		key string
		v   *warehouse.Version
	}
	var all []fresh
	marks := 0
	for _, m := range part {
		m.Settle(func(key string, v *warehouse.Version) { all = append(all, fresh{m, key, v}) })
		marks += len(m.Gone) + len(m.Moved)
	}
	if marks > 0 {
		if err := w.applyMarks(ctx, part); err != nil {
			return err
		}
	}
	return w.appendRows(ctx, stored, "warehouse_state", func(a *appending) error {
		for _, f := range all {
			if err := w.appendVersion(a, f.m, f.key, f.v); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *Warehouse) appendVersion(a *appending, m *merging, key string, v *warehouse.Version) error {
	h := w.known.key(m.hash, key)
	var value any
	if !v.Removed {
		value = v.Value
	}
	return a.add(len(key)+len(v.Value)+100, h.high, h.low, m.hash.high, m.hash.low,
		string(m.Key.Pool), string(m.Key.Identity), string(m.Key.Dataset), key, value,
		v.SyncCount, deviceTime(v), v.At.Time(), v.Removed, v.Current)
}

// applyMarks takes versions out of warehouse_state, or changes which is current.
func (w *Warehouse) applyMarks(ctx context.Context, part []*merging) error {
	err := w.appendRows(ctx, temporary, "marks", func(a *appending) error {
		for _, m := range part {
			for i, mark := range slices.Concat(m.Gone, m.Moved) {
				h := w.known.key(m.hash, mark.Key)
				gone := i < len(m.Gone)
				if err := a.add(0, h.high, h.low, mark.SyncCount, int64(mark.At), gone, mark.Current); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	const same = ` s.kh = m.kh AND s.kl = m.kl AND s.syncCount = m.syncCount AND epoch_ms(s.lastModifiedDate) = m.atMillis`
	return w.execAll(ctx,
		`DELETE FROM warehouse_state AS s USING marks AS m WHERE m.gone AND`+same,
		`UPDATE warehouse_state AS s SET isCurrent = m.isCurrent FROM marks AS m WHERE NOT m.gone AND`+same,
		`DELETE FROM marks`)
}

// writeRemovals stores the removals of datasets that had more of them.
func (w *Warehouse) writeRemovals(ctx context.Context, part []*merging) error {
	var changed []*merging
	var hashes []hash
	for _, m := range part {
		if !slices.Equal(m.removals, m.Removals) {
			changed, hashes = append(changed, m), append(hashes, m.hash)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := w.ask(ctx, hashes); err != nil {
		return err
	}
	err := w.execAll(ctx, `DELETE FROM warehouse_removals AS r USING asked AS a WHERE r.dh = a.dh AND r.dl = a.dl`)
	if err != nil {
		return err
	}
	return w.appendRows(ctx, stored, "warehouse_removals", func(a *appending) error {
		for _, m := range changed {
			for _, r := range m.Removals {
				err := a.add(0, m.hash.high, m.hash.low, string(m.Key.Pool), string(m.Key.Identity), string(m.Key.Dataset), r.SyncCount, int64(r.At))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}
