package warehousetest

import (
	"fmt"
	"testing"

	"tributary"
	"tributary/warehouse"
)

// model is the warehouse as plain as can be: it keeps every row and every
// removal, and looks through all of them for every answer.
type model struct {
	raw      map[rowID]rawRow
	of       map[live]map[rowID]bool // the rows of each dataset
	removals map[tributary.DatasetKey]map[warehouse.Stamp]bool
}

func newModel() *model {
	return &model{make(map[rowID]rawRow), make(map[live]map[rowID]bool), make(map[tributary.DatasetKey]map[warehouse.Stamp]bool)}
}

func (m *model) apply(entries ...tributary.Entry) {
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Kind == tributary.EntryForeign:
		case e.Change.Op == tributary.Remove:
			m.remove(e.Change)
		default:
			for j := range e.Change.Records {
				m.put(e.Change, &e.Change.Records[j])
			}
		}
	}
}

func (m *model) put(c *tributary.Change, r *tributary.Record) {
	row := rawRow{
		rowID:     rowID{string(c.Key.Identity), string(c.Key.Dataset), r.Key, false, warehouse.Stamp{SyncCount: r.SyncCount, At: r.LastModified}},
		operation: "replace", op: "replace", value: r.Value, device: r.DeviceLastModified,
		event: warehouse.Stamp{SyncCount: c.SyncCount, At: c.At},
	}
	if r.Removed {
		row.op, row.value = "remove", ""
	}
	if _, again := m.raw[row.rowID]; again {
		return
	}
	superseded := m.covered(row)
	m.add(row)
	// A removal that came before it has to remove it, unless something newer did.
	if newest, gone := m.removed(c.Key, row.Stamp); gone && !r.Removed && !superseded {
		m.removeKey(c.Key, newest, r.Key)
	}
}

// covered tells whether another row of the key is newer by count and date.
func (m *model) covered(row rawRow) bool {
	for id := range m.of[live{identity: row.identity, dataset: row.dataset}] {
		if id != row.rowID && !id.noKey && id.key == row.key && id.Covers(row.Stamp) {
			return true
		}
	}
	return false
}

// removed gives the newest removal that covers a stamp.
func (m *model) removed(d tributary.DatasetKey, s warehouse.Stamp) (newest warehouse.Stamp, gone bool) {
	for r := range m.removals[d] {
		later := r.SyncCount > newest.SyncCount || r.SyncCount == newest.SyncCount && r.At > newest.At
		if r.Covers(s) && (!gone || later) {
			newest, gone = r, true
		}
	}
	return newest, gone
}

func (m *model) removeKey(d tributary.DatasetKey, r warehouse.Stamp, key string) {
	row := rawRow{
		rowID:     rowID{string(d.Identity), string(d.Dataset), key, false, r},
		operation: "remove", op: "remove", event: r,
	}
	m.add(row)
}

func (m *model) add(row rawRow) {
	d := live{identity: row.identity, dataset: row.dataset}
	if m.of[d] == nil {
		m.of[d] = make(map[rowID]bool)
	}
	m.of[d][row.rowID] = true
	m.raw[row.rowID] = row
}

func (m *model) remove(c *tributary.Change) {
	r := warehouse.Stamp{SyncCount: c.SyncCount, At: c.At}
	if m.removals[c.Key][r] {
		return
	}
	_, superseded := m.removed(c.Key, r)
	if m.removals[c.Key] == nil {
		m.removals[c.Key] = make(map[warehouse.Stamp]bool)
	}
	m.removals[c.Key][r] = true
	found := false
	for id, row := range m.snapshotOf(c.Key) {
		if !superseded && !id.noKey && row.op == "replace" && r.Covers(row.Stamp) && !m.covered(row) {
			m.removeKey(c.Key, r, id.key)
			found = true
		}
	}
	if !found {
		row := rawRow{rowID: rowID{string(c.Key.Identity), string(c.Key.Dataset), "", true, r}, operation: "remove", op: "remove", event: r}
		m.add(row)
	}
}

// snapshotOf copies a dataset's rows, so that they can be walked while rows are added.
func (m *model) snapshotOf(d tributary.DatasetKey) map[rowID]rawRow {
	rows := make(map[rowID]rawRow)
	for id := range m.of[live{identity: string(d.Identity), dataset: string(d.Dataset)}] {
		rows[id] = m.raw[id]
	}
	return rows
}

// current gives the live records: of each key the row of the highest count,
// then date, among those that no removal covers, if it replaces.
func (m *model) current() map[live]string {
	best := make(map[live]rawRow)
	for id, row := range m.raw {
		d := tributary.DatasetKey{Pool: pool, Identity: tributary.IdentityID(id.identity), Dataset: tributary.DatasetName(id.dataset)}
		if _, gone := m.removed(d, row.Stamp); gone || id.noKey {
			continue
		}
		k := live{id.identity, id.dataset, id.key}
		b, found := best[k]
		if !found || row.SyncCount > b.SyncCount || row.SyncCount == b.SyncCount && row.At > b.At {
			best[k] = row
		}
	}
	all := make(map[live]string)
	for k, row := range best {
		if row.op == "replace" {
			all[k] = fmt.Sprintf("%s (%d at %+d)", row.value, row.SyncCount, row.At-noon)
		}
	}
	return all
}

// datasets gives the last removal of each dataset.
func (m *model) datasets() map[live]warehouse.Stamp {
	all := make(map[live]warehouse.Stamp)
	for d, removals := range m.removals {
		k := live{identity: string(d.Identity), dataset: string(d.Dataset)}
		for r := range removals {
			if last := all[k]; r.At >= last.At {
				all[k] = r
			}
		}
	}
	return all
}

// compare holds a warehouse against the model.
func (m *model) compare(t *testing.T, w warehouse.Warehouse) {
	t.Helper()
	same(t, "raw rows", readRaw(t, w), m.raw)
	same(t, "current state", readCurrent(t, w), m.current())
	removals := make(map[live]warehouse.Stamp)
	for _, v := range query(t, w, `SELECT identityId, datasetName, removalSyncCount, removalDate FROM cognito_datasets`).Rows {
		removals[live{identity: text(v[0]), dataset: text(v[1])}] = warehouse.Stamp{SyncCount: number(v[2]), At: millis(v[3])}
	}
	same(t, "last removals", removals, m.datasets())
}
