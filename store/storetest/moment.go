package storetest

import "maps"

// At calls f while nothing is asked or answered, and gives the books as they
// stood: what a store that crashed in f is to be held against.
func (a *Acked) At(f func()) *Acked {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	out := &Acked{
		clock: a.clock, changes: make(map[changeName]*asked, len(a.changes)), gone: maps.Clone(a.gone),
		appended: maps.Clone(a.appended), offered: maps.Clone(a.offered), trimmed: maps.Clone(a.trimmed),
	}
	for name, entry := range a.changes {
		copied := *entry
		out.changes[name] = &copied
	}
	return out
}
