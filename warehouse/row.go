package warehouse

import "tributary"

// Row is a row of the raw table, whatever the engine.
type Row struct {
	Dataset   tributary.DatasetKey
	Operation tributary.Op // on the dataset
	Key       string
	NoKey     bool         // the key is NULL: a removal that found no record
	Op        tributary.Op // on the record; Remove: the value is NULL
	Value     string
	Stamp
	DeviceLastModified tributary.Millis
	NoDevice           bool // the device's date is NULL: a dataset's removal

	Position tributary.Position
	Event    Stamp // the dataset's count and the date of the event
}

// Dates that every engine can hold; others are held as the nearest of these.
const (
	earliest tributary.Millis = -62_135_596_800_000 // 0001-01-01
	latest   tributary.Millis = 253_402_300_799_999 // 9999-12-31
)

func date(m tributary.Millis) tributary.Millis { return min(max(m, earliest), latest) }

// RecordStamp is the stamp of a record's row.
func RecordStamp(r *tributary.Record) Stamp {
	return Stamp{SyncCount: r.SyncCount, At: date(r.LastModified)}
}

// EventStamp is the stamp of a change as a whole.
func EventStamp(c *tributary.Change) Stamp {
	return Stamp{SyncCount: c.SyncCount, At: date(c.At)}
}

// RecordRow is the row of one record that an entry touched.
func RecordRow(e *tributary.Entry, r *tributary.Record) Row {
	row := Row{
		Dataset: e.Change.Key, Operation: e.Change.Op, Key: r.Key,
		Op: tributary.Replace, Value: r.Value, Stamp: RecordStamp(r),
		DeviceLastModified: date(r.DeviceLastModified),
		Position:           e.Position, Event: EventStamp(e.Change),
	}
	if r.Removed {
		row.Op, row.Value = tributary.Remove, ""
	}
	return row
}

// RemovalRow is the row by which the removal of a dataset removes a key.
func RemovalRow(dataset tributary.DatasetKey, p tributary.Position, removal Stamp, key string) Row {
	return Row{
		Dataset: dataset, Operation: tributary.Remove, Key: key, Op: tributary.Remove,
		Stamp: removal, NoDevice: true, Position: p, Event: removal,
	}
}

// emptyRemovalRow is the row of a removal that removed no key.
func emptyRemovalRow(dataset tributary.DatasetKey, p tributary.Position, removal Stamp) Row {
	row := RemovalRow(dataset, p, removal, "")
	row.NoKey = true
	return row
}
