package move

import (
	"strings"
	"sync"

	"tributary"
)

// manyKinds are the kinds of item that are noted when they are written: there
// are too many to be read in each round. Entries are only ever added at the end.
func manyKinds() []tributary.ItemKind {
	return []tributary.ItemKind{tributary.ItemIdentity, tributary.ItemDevice, tributary.ItemDataset}
}

// note is what a write touches of them.
type note struct {
	identity tributary.IdentityID
	device   string // item key; "" if none
	dataset  string // item key; "" if none
	all      bool   // every dataset and device of the identity may go
}

// noteOf copies what it takes from a change: that points into a request.
func noteOf(c *tributary.Change) note {
	id := tributary.IdentityID(strings.Clone(string(c.Key.Identity)))
	return note{identity: id, dataset: tributary.DatasetItemKey(id, c.Key.Dataset)}
}

// written are keys of items by their kind.
type written map[tributary.ItemKind][]string

// journal holds what was written since it was last taken out, and how many
// writes of each are under way: those may still become visible.
type journal struct {
	mu      sync.Mutex // guards what follows
	items   map[tributary.ItemKind]map[string]int
	emptied map[string]int // identities
}

func newJournal() *journal {
	j := &journal{items: map[tributary.ItemKind]map[string]int{}, emptied: map[string]int{}}
	for _, kind := range manyKinds() {
		j.items[kind] = map[string]int{}
	}
	return j
}

func (j *journal) begin(n note) { j.add(n, +1) }
func (j *journal) end(n note)   { j.add(n, -1) }

func (j *journal) add(n note, by int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for kind, key := range map[tributary.ItemKind]string{tributary.ItemIdentity: string(n.identity), tributary.ItemDevice: n.device, tributary.ItemDataset: n.dataset} {
		if key != "" {
			j.items[kind][key] += by
		}
	}
	if n.all {
		j.emptied[string(n.identity)] += by
	}
}

// take gives all that is noted. What is still being written stays in.
func (j *journal) take() (items written, emptied []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	items = written{}
	for kind, noted := range j.items {
		items[kind] = takeFrom(noted)
	}
	return items, takeFrom(j.emptied)
}

func takeFrom(noted map[string]int) []string {
	out := make([]string, 0, len(noted))
	for key, writing := range noted {
		out = append(out, key)
		if writing == 0 {
			delete(noted, key)
		}
	}
	return out
}

// restore puts back what was taken, and not copied.
func (j *journal) restore(items written, emptied []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for kind, keys := range items {
		for _, key := range keys {
			j.items[kind][key] += 0
		}
	}
	for _, key := range emptied {
		j.emptied[key] += 0
	}
}

func (j *journal) size() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, noted := range j.items {
		n += len(noted)
	}
	return n
}

// has tells whether an item will be copied again.
func (j *journal) has(kind tributary.ItemKind, key string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, noted := j.items[kind][key]
	if !noted && kind != tributary.ItemIdentity {
		identity, _, _ := strings.Cut(key, "\x00")
		_, noted = j.emptied[identity]
	}
	return noted
}
