package tributary

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

const (
	maxKeyLength  = 1024 // characters of a record's key, by the service model
	recordsPerAsk = 1024 // patches in one request; AWS's limit of records per dataset
)

// CheckPatches tells whether a request's patches could be applied to any
// dataset at all.
func CheckPatches(patches []Patch, limits Limits) error {
	const op = "check recordPatches"
	l := limits.Effective()
	if int64(len(patches)) > max(recordsPerAsk, l.Records) {
		return Errorf(Limit, op, "RecordPatches holds %d patches, the limit is %d", len(patches), max(recordsPerAsk, l.Records))
	}
	for i := range patches {
		if err := checkPatch(&patches[i], l); err != nil {
			return err
		}
	}
	return checkDistinct(patches)
}

func checkPatch(p *Patch, l Limits) error {
	const op = "check recordPatches"
	switch {
	case p.Key == "" || len(p.Key) > maxKeyLength && utf8.RuneCountInString(p.Key) > maxKeyLength:
		return Errorf(Invalid, op, "1 validation error detected: Value at 'recordPatches.key' failed to satisfy constraint: Member must have length between 1 and %d", maxKeyLength)
	case p.SyncCount < 0:
		return Errorf(Invalid, op, "SyncCount of %s is %d, it must not be negative", clip(p.Key), p.SyncCount)
	case int64(len(p.Value)) > l.ValueBytes:
		return Errorf(Limit, op, "Value of %s has %d bytes, the limit is %d", clip(p.Key), len(p.Value), l.ValueBytes)
	}
	return nil
}

// checkDistinct refuses two patches of one key: which would come first?
func checkDistinct(patches []Patch) error {
	const few = 16 // up to here comparing all pairs is the cheaper way
	if len(patches) <= few {
		for i := range patches {
			for j := range patches[:i] {
				if patches[i].Key == patches[j].Key {
					return duplicateKey(patches[i].Key)
				}
			}
		}
		return nil
	}
	seen := make(map[string]struct{}, len(patches))
	for i := range patches {
		if _, again := seen[patches[i].Key]; again {
			return duplicateKey(patches[i].Key)
		}
		seen[patches[i].Key] = struct{}{}
	}
	return nil
}

func duplicateKey(key string) error {
	return Errorf(Invalid, "check recordPatches", "RecordPatches names the key %s twice", clip(key))
}

// Writer is who a change is made by, and when.
type Writer struct {
	ID  ChangeID
	By  string
	Now Millis
}

// Apply computes what the patches do to the dataset in v: all the rules of a
// sync, and nothing else. The patches have passed [CheckPatches], and v holds
// the records that they name.
//
// Errors: Stale with AWS's text if a patch conflicts, Limit if the dataset or
// the identity would grow beyond its limits.
func (v *View) Apply(patches []Patch, w Writer) (*Change, error) {
	head := v.Dataset
	c := v.begin(w, Replace)
	c.Records = make([]Record, 0, len(patches))
	next := &c.Next
	next.Exists = true
	if !head.Exists {
		next.Created = c.At
	}
	for i := range patches {
		p := &patches[i]
		if had := v.conflict(p); had != nil {
			return nil, Errorf(Stale, "apply", "Current SyncCount for: %s is: %d not: %d", p.Key, had.SyncCount, p.SyncCount)
		}
		c.touch(v.record(p.Key), p, w)
	}
	c.PoolBytes = next.Bytes - head.Bytes
	if err := v.checkLimits(next); err != nil {
		return nil, err
	}
	return c, nil
}

// conflict gives the record that a patch conflicts with, nil if there is none:
// the dataset holds the key, live or as a tombstone, and the patch's count is
// below the record's or above the dataset's.
func (v *View) conflict(p *Patch) *Record {
	had := v.record(p.Key)
	if had != nil && (p.SyncCount < had.SyncCount || p.SyncCount > v.Dataset.SyncCount) {
		return had
	}
	return nil
}

// Repeat computes a change that writes again, as they are, the records that
// patches conflict with although their counts are not above since. It is nil if
// there are none.
func (v *View) Repeat(patches []Patch, since int64, w Writer) *Change {
	c := v.begin(w, Replace)
	for i := range patches {
		if had := v.conflict(&patches[i]); had != nil && had.SyncCount <= since {
			again := *had
			again.SyncCount = c.SyncCount
			c.Records = append(c.Records, again)
		}
	}
	if len(c.Records) == 0 {
		return nil
	}
	return c
}

// Delete computes the removal of the dataset in v, which exists.
func (v *View) Delete(w Writer) *Change {
	c := v.begin(w, Remove)
	c.PoolBytes = -v.Dataset.Bytes
	next := &c.Next
	next.Exists, next.Marker = false, c.SyncCount
	next.Records, next.Bytes, next.Floor = 0, 0, 0
	next.Tombstones, next.TombstoneBytes = 0, 0
	return c
}

// Adopt computes the dataset in v, which no change has touched, as a copy of the
// live records of another identity's, which is merged into this one. Limits do
// not hold it up.
func (v *View) Adopt(from *Dataset, live []Record, origin string, w Writer) *Change {
	c := v.begin(w, Replace)
	next := &c.Next
	next.Exists, next.Created, next.Origin = true, from.Created, origin
	c.Records = make([]Record, len(live))
	for i := range live {
		c.Records[i] = live[i]
		c.Records[i].SyncCount = c.SyncCount
		next.count(&c.Records[i], +1)
	}
	c.PoolBytes = next.Bytes
	return c
}

func (v *View) begin(w Writer, op Op) *Change {
	c := &Change{
		ID: w.ID, Key: v.Dataset.Key, Op: op, SyncCount: v.Dataset.SyncCount + 1, By: w.By,
		// A dataset's dates never go back, whatever the clock does: readers of
		// the stream take a date that goes back for counts that began anew.
		At:        max(w.Now, v.Dataset.LastModified),
		Condition: Condition{Base: v.Dataset.Version, Identity: v.Identity.Revision, Stream: v.Pool.Route()},
		Next:      v.Dataset,
	}
	c.Next.Version = Version{SyncCount: c.SyncCount, Change: w.ID}
	c.Next.LastModified, c.Next.LastModifiedBy = c.At, w.By
	return c
}

// record finds a record of the view by key.
func (v *View) record(key string) *Record {
	i, found := slices.BinarySearchFunc(v.Records, key, compareKey)
	if !found {
		return nil
	}
	return &v.Records[i]
}

func compareKey(r Record, key string) int { return cmp.Compare(r.Key, key) }

// touch adds what a patch makes of the record had, nil if there was none.
func (c *Change) touch(had *Record, p *Patch, w Writer) {
	r := Record{
		Key: p.Key, SyncCount: c.SyncCount, LastModified: c.At, LastModifiedBy: w.By,
		DeviceLastModified: p.DeviceLastModified, Removed: p.Remove,
	}
	if !p.Remove {
		r.Value = p.Value
	}
	if r.DeviceLastModified == 0 {
		r.DeviceLastModified = c.At
	}
	if had != nil {
		c.Next.count(had, -1)
	}
	c.Next.count(&r, +1)
	c.Records = append(c.Records, r)
}

// count adds a record to the head's figures, or takes it out.
func (d *Dataset) count(r *Record, by int64) {
	if r.Removed {
		d.Tombstones += by
		d.TombstoneBytes += by * int64(len(r.Key))
		return
	}
	d.Records += by
	d.Bytes += by * r.Bytes()
}

func (v *View) checkLimits(next *Dataset) error {
	const op = "apply"
	l := v.Pool.Limits.Effective()
	switch had := &v.Dataset; {
	// What a lowered limit left too large may still shrink.
	case next.Bytes > l.DatasetBytes && next.Bytes > had.Bytes:
		return Errorf(Limit, op, "Dataset %s would hold %d bytes, the limit is %d", v.Dataset.Key.Dataset, next.Bytes, l.DatasetBytes)
	case next.Records > l.Records && next.Records > had.Records:
		return Errorf(Limit, op, "Dataset %s would hold %d records, the limit is %d", v.Dataset.Key.Dataset, next.Records, l.Records)
	case !had.Exists && v.Identity.Datasets >= l.Datasets:
		return Errorf(Limit, op, "Identity %s holds %d datasets, the limit is %d", v.Identity.ID, v.Identity.Datasets, l.Datasets)
	}
	return nil
}

// Crowded tells whether the change leaves more tombstones than are kept.
func (c *Change) Crowded(l Limits) bool {
	return c.Next.Tombstones > l.Tombstones() || c.Next.TombstoneBytes > l.Effective().DatasetBytes
}

// Forget makes the change drop the dataset's oldest tombstone for good, which
// raises the floor. One that the change itself touches stays.
func (c *Change) Forget(oldest Record) {
	touched := slices.ContainsFunc(c.Records, func(t Record) bool { return t.Key == oldest.Key })
	if touched || !oldest.Removed {
		return
	}
	c.Forgotten = append(c.Forgotten, oldest)
	c.Next.count(&oldest, -1)
	c.Next.Floor = max(c.Next.Floor, oldest.SyncCount)
}

// Updated gives what becomes of records, all of the dataset's in the order of
// their keys, when the change is applied to them. Neither slice is kept or
// changed.
func (c *Change) Updated(records []Record) []Record {
	out := make([]Record, 0, len(records)+len(c.Records))
	if c.Op == Remove {
		return out
	}
	touched := c.Records
	if !slices.IsSortedFunc(touched, recordsByKey) {
		touched = slices.SortedFunc(slices.Values(touched), recordsByKey)
	}
	for i := range records {
		r := &records[i]
		for len(touched) > 0 && touched[0].Key < r.Key {
			out, touched = append(out, touched[0]), touched[1:]
		}
		if len(touched) > 0 && touched[0].Key == r.Key || r.Removed && c.forgets(r.Key) {
			continue
		}
		out = append(out, *r)
	}
	return append(out, touched...)
}

func recordsByKey(a, b Record) int { return cmp.Compare(a.Key, b.Key) }

func (c *Change) forgets(key string) bool {
	return slices.ContainsFunc(c.Forgotten, func(f Record) bool { return f.Key == key })
}
