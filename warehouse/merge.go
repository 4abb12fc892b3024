package warehouse

import (
	"slices"

	"tributary"
)

// Stamp is what decides which of two rows is newer.
type Stamp struct {
	SyncCount int64
	At        tributary.Millis
}

// Covers tells whether s is at least as new as t by count and by date.
func (s Stamp) Covers(t Stamp) bool { return s.SyncCount >= t.SyncCount && s.At >= t.At }

// Join is the lowest stamp that covers both.
func (s Stamp) Join(t Stamp) Stamp {
	return Stamp{SyncCount: max(s.SyncCount, t.SyncCount), At: max(s.At, t.At)}
}

// less orders by count, then by date.
func (s Stamp) less(t Stamp) bool {
	return s.SyncCount < t.SyncCount || s.SyncCount == t.SyncCount && s.At < t.At
}

// Follows tells whether a change is newer, in each of its records, than
// everything that the dataset whose stamps join to head has had, and names no
// key twice. Its rows are then new, and current: nothing else need be looked at.
func Follows(c *tributary.Change, head Stamp) bool {
	if c.Op == tributary.Remove {
		return false
	}
	for i := range c.Records {
		s := RecordStamp(&c.Records[i])
		if s.SyncCount <= head.SyncCount || s.At < head.At {
			return false
		}
	}
	return distinctKeys(c.Records)
}

func distinctKeys(records []tributary.Record) bool {
	const few = 16 // up to here comparing all pairs is the cheaper way
	if len(records) > few {
		seen := make(map[string]struct{}, len(records))
		for i := range records {
			seen[records[i].Key] = struct{}{}
		}
		return len(seen) == len(records)
	}
	for i := range records {
		for j := range i {
			if records[i].Key == records[j].Key {
				return false
			}
		}
	}
	return true
}

// Version is a row of a key that no other row of the key covers, or what a
// removal of the dataset left of it.
type Version struct {
	Stamp
	Removed            bool
	Value              string // not kept of a version that is stored
	DeviceLastModified tributary.Millis
	NoDevice           bool
	Stored             bool // the engine has it
	Current            bool
}

// Mark names a version that the engine has.
type Mark struct {
	Key string
	Stamp
	Current bool
}

// Dataset is what is kept of a dataset, and what entries make of it. An engine
// fills it with what it has stored, applies entries, and stores the difference.
type Dataset struct {
	Key      tributary.DatasetKey
	Head     Stamp   // join of the stamps of everything it ever had
	Removals []Stamp // that no other removal covers
	Records  map[string][]Version

	// Rows are new raw rows. Late are rows that the raw table may have already.
	Rows, Late []Row
	// Gone are stored versions to be forgotten, Moved those that became current
	// or ceased to be.
	Gone, Moved []Mark
	touched     map[string]struct{}
}

// Apply merges an entry that is no foreign one.
func (d *Dataset) Apply(e *tributary.Entry) {
	c := e.Change
	if c.Op == tributary.Remove {
		d.remove(e)
		return
	}
	for i := range c.Records {
		d.put(RecordRow(e, &c.Records[i]))
	}
}

// put merges a record's row.
func (d *Dataset) put(row Row) {
	d.Head = d.Head.Join(row.Stamp)
	have := d.Records[row.Key]
	if slices.ContainsFunc(have, func(v Version) bool { return v.Covers(row.Stamp) }) {
		// A version of the very same stamp came from the very same row.
		if !slices.ContainsFunc(have, func(v Version) bool { return v.Stamp == row.Stamp }) {
			d.late(row)
		}
		return
	}
	d.Rows = append(d.Rows, row)
	v := Version{
		Stamp: row.Stamp, Removed: row.Op == tributary.Remove, Value: row.Value,
		DeviceLastModified: row.DeviceLastModified, NoDevice: row.NoDevice,
	}
	d.add(row.Key, v)
	if r, gone := d.removedBy(row.Stamp); gone && !v.Removed {
		d.kill(row.Key, row.Position, r)
	}
}

// late keeps a row that the raw table may have, once.
func (d *Dataset) late(row Row) {
	same := func(o Row) bool { return o.Stamp == row.Stamp && o.Key == row.Key && o.NoKey == row.NoKey }
	if !slices.ContainsFunc(d.Late, same) {
		d.Late = append(d.Late, row)
	}
}

// remove merges the removal of the dataset.
func (d *Dataset) remove(e *tributary.Entry) {
	r := EventStamp(e.Change)
	d.Head = d.Head.Join(r)
	if slices.ContainsFunc(d.Removals, func(o Stamp) bool { return o.Covers(r) }) {
		if !slices.Contains(d.Removals, r) {
			d.late(emptyRemovalRow(d.Key, e.Position, r))
		}
		return
	}
	d.Removals = append(slices.DeleteFunc(d.Removals, r.Covers), r)
	found := false
	for _, key := range d.sortedKeys() {
		live := func(v Version) bool { return !v.Removed && r.Covers(v.Stamp) }
		if slices.ContainsFunc(d.Records[key], live) {
			d.kill(key, e.Position, r)
			found = true
		}
	}
	if !found {
		d.Rows = append(d.Rows, emptyRemovalRow(d.Key, e.Position, r))
	}
}

// sortedKeys makes the order of a removal's rows the same each time.
func (d *Dataset) sortedKeys() []string {
	keys := make([]string, 0, len(d.Records))
	for key := range d.Records {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// kill leaves of a key's live versions that the removal r covers the removal,
// and gives its row.
func (d *Dataset) kill(key string, p tributary.Position, r Stamp) {
	d.Rows = append(d.Rows, RemovalRow(d.Key, p, r, key))
	d.add(key, Version{Stamp: r, Removed: true, NoDevice: true})
}

// add takes a version in, and the versions that it covers out.
func (d *Dataset) add(key string, v Version) {
	if d.touched == nil {
		d.touched = make(map[string]struct{})
	}
	if d.Records == nil {
		d.Records = make(map[string][]Version)
	}
	d.touched[key] = struct{}{}
	kept := slices.DeleteFunc(d.Records[key], func(old Version) bool {
		if !v.Covers(old.Stamp) {
			return false
		}
		if old.Stored {
			d.Gone = append(d.Gone, Mark{Key: key, Stamp: old.Stamp})
		}
		return true
	})
	d.Records[key] = append(kept, v)
}

// removedBy gives the newest removal that covers a stamp.
func (d *Dataset) removedBy(s Stamp) (newest Stamp, gone bool) {
	for _, r := range d.Removals {
		if r.Covers(s) && (!gone || newest.less(r)) {
			newest, gone = r, true
		}
	}
	return newest, gone
}

// Settle decides which versions are current after all entries were applied.
// It gives the versions to be stored, in the order of their keys, and fills Moved.
func (d *Dataset) Settle(store func(key string, v *Version)) {
	keys := make([]string, 0, len(d.touched))
	for key := range d.touched {
		keys = append(keys, key)
	}
	// A removal may have changed which version of any key is current.
	if len(d.Removals) > 0 {
		keys = d.sortedKeys()
	}
	slices.Sort(keys)
	for _, key := range keys {
		d.settle(key, store)
	}
}

func (d *Dataset) settle(key string, store func(string, *Version)) {
	versions := d.Records[key]
	best := d.current(versions)
	for i := range versions {
		v := &versions[i]
		if v.Stored && v.Current != (i == best) {
			d.Moved = append(d.Moved, Mark{Key: key, Stamp: v.Stamp, Current: i == best})
		}
		v.Current = i == best
		if !v.Stored {
			store(key, v)
		}
	}
}

// current gives the index of the current one of a key's versions: the newest
// that no removal covers, else the newest, which then is a removal.
func (d *Dataset) current(versions []Version) int {
	best, bestLeft := 0, false
	for i := range versions {
		_, gone := d.removedBy(versions[i].Stamp)
		left := !gone
		if i == 0 || left && !bestLeft || left == bestLeft && versions[best].less(versions[i].Stamp) {
			best, bestLeft = i, left
		}
	}
	return best
}
