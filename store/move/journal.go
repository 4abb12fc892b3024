package move

import (
	"strings"
	"sync"

	"tributary"
)

// note is what a write touches of the kinds of which there are many. What
// there is little of is compared as a whole in each round; entries are only
// ever added at the end.
type note struct {
	identity tributary.IdentityID
	dataset  string // item key; "" if none
	all      bool   // every dataset of the identity may go
}

// noteOf copies what it takes from a change: that points into a request.
func noteOf(c *tributary.Change) note {
	id := tributary.IdentityID(strings.Clone(string(c.Key.Identity)))
	return note{identity: id, dataset: tributary.DatasetItemKey(id, c.Key.Dataset)}
}

// journal holds what was written since it was last taken out, and how many
// writes of each are under way: those may still become visible.
type journal struct {
	mu         sync.Mutex // guards what follows
	identities map[string]int
	datasets   map[string]int
	emptied    map[string]int // identities
}

func newJournal() *journal {
	return &journal{identities: map[string]int{}, datasets: map[string]int{}, emptied: map[string]int{}}
}

func (j *journal) begin(n note) { j.add(n, +1) }
func (j *journal) end(n note)   { j.add(n, -1) }

func (j *journal) add(n note, by int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.identities[string(n.identity)] += by
	if n.dataset != "" {
		j.datasets[n.dataset] += by
	}
	if n.all {
		j.emptied[string(n.identity)] += by
	}
}

// take gives all that is noted. What is still being written stays in.
func (j *journal) take() (identities, datasets, emptied []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return takeFrom(j.identities), takeFrom(j.datasets), takeFrom(j.emptied)
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
func (j *journal) restore(identities, datasets, emptied []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, of := range []struct {
		noted map[string]int
		keys  []string
	}{{j.identities, identities}, {j.datasets, datasets}, {j.emptied, emptied}} {
		for _, key := range of.keys {
			of.noted[key] += 0
		}
	}
}

func (j *journal) size() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.identities) + len(j.datasets)
}

// has tells whether an item will be copied again.
func (j *journal) has(kind tributary.ItemKind, key string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if kind == tributary.ItemIdentity {
		_, noted := j.identities[key]
		return noted
	}
	_, noted := j.datasets[key]
	if !noted {
		identity, _, _ := strings.Cut(key, "\x00")
		_, noted = j.emptied[identity]
	}
	return noted
}
