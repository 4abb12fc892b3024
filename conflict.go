package tributary

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// conflicts remembers which keys of a dataset were refused, until the dataset
// is listed next: that list shows them whatever the client says that it has
// seen. Without it a client that believes to be up to date, and holds a change
// with an outdated sync count, would never be told the count to present, and
// meet the same conflict for ever: some clients never go back, and a list from
// 0 leaves tombstones out. The memory is a help and no promise: it is bounded,
// ends with the process, and whoever was not helped conflicts once more and is
// helped then.
type conflicts struct {
	mu   sync.Mutex
	keys map[DatasetKey][]string
}

const (
	mostConflicted     = 4096 // datasets remembered
	mostConflictedKeys = 1024 // of one dataset
)

// note remembers the keys of patches that conflict.
func (c *conflicts) note(v *View, patches []Patch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= mostConflicted {
		c.keys = map[DatasetKey][]string{}
	}
	noted := c.keys[v.Dataset.Key]
	for i := range patches {
		if v.conflict(&patches[i]) != nil && len(noted) < mostConflictedKeys && !slices.Contains(noted, patches[i].Key) {
			noted = append(noted, patches[i].Key)
		}
	}
	c.keys[v.Dataset.Key] = noted
}

// take gives the keys of a dataset and forgets them.
func (c *conflicts) take(k DatasetKey) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := c.keys[k]
	delete(c.keys, k)
	return keys
}

// remind adds the records of refused keys to a listing that would leave them
// out.
func (s *Service) remind(ctx context.Context, l *Listing, k DatasetKey, shown Range) error {
	keys := s.conflicts.take(k)
	if len(keys) == 0 {
		return nil
	}
	v, err := s.Store.View(ctx, k, keys)
	if err != nil {
		return err
	}
	shown.Limit = 0
	for i := range v.Records {
		if r := &v.Records[i]; r.SyncCount <= shown.Through && !shown.Match(r) {
			l.Records = append(l.Records, *r)
		}
	}
	slices.SortFunc(l.Records, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.SyncCount, b.SyncCount), cmp.Compare(a.Key, b.Key))
	})
	return nil
}
