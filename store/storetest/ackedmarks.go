package storetest

import (
	"context"
	"slices"

	"tributary"
)

// markName tells the revisions of a lease apart.
type markName struct {
	group    string
	shard    tributary.Shard
	revision int64 // that the append writes
}

// marked is an append with a lease that was not refused.
type marked struct {
	stream tributary.StreamID
	texts  []string // of its entries, which no other append has
}

func markNameOf(l *tributary.Lease) markName { return markName{l.Group, l.Shard, l.Revision + 1} }

// mark notes an append with leases of markGroup, and gives what forgets it.
func (a *Acked) mark(stream tributary.StreamID, entries []tributary.Entry, marks []tributary.Lease) (forget func()) {
	m := &marked{stream: stream}
	for i := range entries {
		m.texts = append(m.texts, entryText(&entries[i]))
	}
	marks = slices.DeleteFunc(slices.Clone(marks), func(l tributary.Lease) bool { return l.Group != markGroup })
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.marks == nil {
		a.marks = map[markName][]*marked{}
	}
	for i := range marks {
		name := markNameOf(&marks[i])
		a.marks[name] = append(slices.Clone(a.marks[name]), m)
	}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for i := range marks {
			name := markNameOf(&marks[i])
			a.marks[name] = slices.DeleteFunc(slices.Clone(a.marks[name]), func(other *marked) bool { return other == m })
		}
	}
}

// checkMarks wants the entries of an append to be there iff its leases are.
func (c *reckoning) checkMarks(ctx context.Context, s tributary.Store) error {
	stored := map[tributary.Shard]int64{}
	leases, err := s.Leases(ctx, markGroup)
	for _, l := range leases {
		stored[l.Shard] = l.Revision
	}
	for name, appends := range c.books.marks {
		var found *marked
		for _, m := range appends {
			there := 0
			for _, text := range m.texts {
				if c.texts[text] {
					there++
				}
			}
			if there > 0 {
				found = m
			}
			if there > 0 && there < len(m.texts) && !c.books.forgot(m.stream) {
				c.report("of entries that were appended at once there are some: %q", m.texts)
			}
		}
		written := stored[name.shard] >= name.revision
		if found != nil && !written {
			c.report("entries are there whose lease is at %d, it was to be %d: %q", stored[name.shard], name.revision, found.texts)
		}
		forgotten := slices.ContainsFunc(appends, func(m *marked) bool { return c.books.forgot(m.stream) })
		if found == nil && written && len(appends) > 0 && !forgotten {
			c.report("a lease is at %d without the entries of its revision %d: %q", stored[name.shard], name.revision, appends[0].texts)
		}
	}
	return err
}
