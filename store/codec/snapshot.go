package codec

import (
	"slices"

	"tributary"
)

// SnapshotSize is about what a dataset weighs in a page of
// [tributary.Datasets.Snapshots].
func SnapshotSize(d *tributary.Dataset) int64 {
	const head, record = 100, 32
	return head + d.Bytes + record*(d.Records+d.Tombstones)
}

// Live removes the tombstones from records, in place.
func Live(records []tributary.Record) []tributary.Record {
	return slices.DeleteFunc(records, func(r tributary.Record) bool { return r.Removed })
}
