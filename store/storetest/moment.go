package storetest

import "maps"

// Since gives the books as of now, in which only what was acknowledged in
// earlier ones is acknowledged: what a backup is to be held against that was
// taken in between.
func (a *Acked) Since(earlier *Acked) *Acked {
	out := a.At(func() {})
	for name, entry := range out.changes {
		if had := earlier.changes[name]; had == nil || had.acks == 0 {
			entry.acks, entry.acked, entry.unsure = 0, 0, entry.unsure || entry.acks > 0
		}
	}
	out.appended = maps.Clone(earlier.appended)
	return out
}

// At calls f while nothing is asked or answered, and gives the books as they
// stood: what a store that crashed in f is to be held against.
func (a *Acked) At(f func()) *Acked {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	out := &Acked{
		clock: a.clock, changes: make(map[changeName]*asked, len(a.changes)), gone: maps.Clone(a.gone),
		appended: maps.Clone(a.appended), offered: maps.Clone(a.offered), marks: maps.Clone(a.marks), trimmed: maps.Clone(a.trimmed),
	}
	for name, entry := range a.changes {
		copied := *entry
		out.changes[name] = &copied
	}
	return out
}
