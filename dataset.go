package tributary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// DatasetName names a dataset of an identity.
type DatasetName string

const maxDatasetNameLength = 128

// CheckDatasetName tells whether a client may write a dataset of this name.
func CheckDatasetName(name DatasetName) error {
	valid := func(c byte) bool { return isWord(c) || c == '.' || c == ':' || c == '-' }
	if len(name.own()) > maxDatasetNameLength || !consists(string(name), valid) {
		return Errorf(Invalid, "check datasetName",
			"1 validation error detected: Value '%s' at 'datasetName' failed to satisfy constraint: Member must have length between 1 and %d and satisfy regular expression pattern: %s",
			clip(string(name)), maxDatasetNameLength, "[a-zA-Z0-9_.:-]+")
	}
	return nil
}

// own is the name without the identities that merges added to it.
func (n DatasetName) own() DatasetName {
	for {
		// An id holds one colon and no dot, and its region is before the colon.
		dot := strings.LastIndexByte(string(n), '.')
		if dot < 1 || len(n) <= maxDatasetNameLength || CheckIdentityID(IdentityID(n[dot+1:])) != nil {
			return n
		}
		n = n[:dot]
	}
}

// DatasetKey names one dataset in the world.
type DatasetKey struct {
	Pool     PoolID
	Identity IdentityID
	Dataset  DatasetName
}

func (k DatasetKey) String() string {
	return fmt.Sprintf("%s/%s/%s", k.Pool, k.Identity, k.Dataset)
}

// ChangeID tells one Change from another of the same dataset and base, so that
// a commit whose answer was lost can be recognised.
type ChangeID uint64

// Version is the state that a Change was computed from.
type Version struct {
	SyncCount int64
	Change    ChangeID // the last change applied; 0 if there was none
}

// Dataset is a dataset's head: all that is known of it without its records.
// The zero value is a dataset that was never written.
type Dataset struct {
	Key     DatasetKey
	Exists  bool  // false: never written, or deleted
	Version       // of the last change
	Marker  int64 // of the last deletion; 0: never deleted
	Floor   int64 // tombstones up to this sync count have been forgotten

	// Origin is the identity and the name that the dataset came from by a merge,
	// divided by a slash; "" if it is the identity's own. It stays for ever,
	// deletions included.
	Origin string

	Created        Millis
	LastModified   Millis
	LastModifiedBy string

	Records    int64 // live
	Tombstones int64 // kept
	// TombstoneBytes are those of the tombstones' keys.
	TombstoneBytes int64
	Bytes          int64 // UTF-8 bytes of live keys and values
}

// Record is a key and its value in a dataset, or the tombstone of one.
type Record struct {
	Key                string
	Value              string // "" in a tombstone
	Removed            bool   // a tombstone
	SyncCount          int64  // the dataset's count when the record was last written
	LastModified       Millis // server's time
	LastModifiedBy     string
	DeviceLastModified Millis // client's time, never used for a decision
}

// Bytes is what a live record counts towards its dataset's size.
func (r *Record) Bytes() int64 {
	if r.Removed {
		return 0
	}
	return int64(len(r.Key) + len(r.Value))
}

// Patch is what a client asks for one record.
type Patch struct {
	Key                string
	Value              string
	Remove             bool
	SyncCount          int64  // of the record as the client last saw it; 0 if it never did
	DeviceLastModified Millis // 0 if the client sent none
}

// View is what a sync is computed from, as it was at one moment.
type View struct {
	Pool     Pool
	Identity Identity
	Dataset  Dataset
	// Records are those of the keys asked for that the dataset holds, tombstones
	// included, in the order of their keys' bytes.
	Records []Record
}

// Range selects records in (sync count, key) order.
type Range struct {
	After   Cursor // records above it
	Through int64  // sync counts up to and including this one
	// LiveOnly leaves tombstones out, TombstonesOnly live records.
	LiveOnly, TombstonesOnly bool
	Limit                    int // at most so many; 0: all
	// Complete refuses the range as Stale if tombstones that it would have
	// shown have been forgotten: whoever lists what has changed must not miss a
	// removal.
	Complete bool
}

// Cursor is a place in the (sync count, key) order of a dataset's records.
type Cursor struct {
	SyncCount int64
	Key       string // records of SyncCount up to this key lie at or below the cursor
	// Whole says that every record of SyncCount lies at or below the cursor.
	Whole bool
}

// Less tells whether the cursor lies below a record, which a listing that
// continues at the cursor would therefore show.
func (c Cursor) Less(r *Record) bool {
	if r.SyncCount != c.SyncCount {
		return r.SyncCount > c.SyncCount
	}
	return !c.Whole && r.Key > c.Key
}

// AfterCount is the cursor above all records of a sync count.
func AfterCount(n int64) Cursor { return Cursor{SyncCount: n, Whole: true} }

// Misses tells whether tombstones forgotten up to a floor may be missing from a
// range that must be complete.
func (g *Range) Misses(floor int64) bool {
	return g.Complete && (g.After.SyncCount < floor || g.After.SyncCount == floor && !g.After.Whole && floor > 0)
}

// Match tells whether the range selects a record, the limit aside.
func (g *Range) Match(r *Record) bool {
	if r.SyncCount > g.Through || !g.After.Less(r) {
		return false
	}
	return !(g.LiveOnly && r.Removed) && !(g.TombstonesOnly && !r.Removed)
}

// Select picks the range out of all of a dataset's records.
func (g *Range) Select(all []Record) []Record {
	out := make([]Record, 0, len(all))
	for i := range all {
		if g.Match(&all[i]) {
			out = append(out, all[i])
		}
	}
	slices.SortFunc(out, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.SyncCount, b.SyncCount), cmp.Compare(a.Key, b.Key))
	})
	if g.Limit > 0 && len(out) > g.Limit {
		out = out[:g.Limit]
	}
	return out
}
