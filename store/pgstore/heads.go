package pgstore

import (
	"sync"

	"tributary"
	"tributary/store/codec"
)

// heads remembers datasets as they were read, each under its version: the
// commit of a change needs the records that it was computed from. A version
// names one content for ever, so that what is remembered is never wrong.
type heads struct {
	most int64 // bytes

	mu    sync.Mutex // guards what follows
	kept  map[headID]codec.Dataset
	bytes int64
}

type headID struct {
	identity tributary.IdentityID
	dataset  tributary.DatasetName
}

func idOf(k tributary.DatasetKey) headID { return headID{k.Identity, k.Dataset} }

func cost(d *codec.Dataset) int64 {
	return 400 + int64(len(d.Records))*112 + int64(codec.Size(d.Records))
}

// remember keeps a dataset. What no change has made names no content: there may
// be a row that says so, or none.
func (h *heads) remember(d codec.Dataset) {
	if d.Head.Change == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept == nil {
		h.kept = map[headID]codec.Dataset{}
	}
	id := idOf(d.Head.Key)
	h.forget(id)
	h.kept[id] = d
	h.bytes += cost(&d)
	for other := range h.kept {
		if h.bytes <= h.most {
			break
		}
		if other != id {
			h.forget(other)
		}
	}
}

func (h *heads) forget(id headID) {
	if d, ok := h.kept[id]; ok {
		h.bytes -= cost(&d)
		delete(h.kept, id)
	}
}

// at gives a dataset at a version, if it is remembered.
func (h *heads) at(k tributary.DatasetKey, v tributary.Version) (codec.Dataset, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.kept[idOf(k)]
	return d, ok && d.Head.Version == v
}

// pools remembers pools as they were read, each with its revision.
type pools struct {
	mu   sync.Mutex
	kept map[tributary.PoolID]*tributary.Pool
}

const maxPools = 10_000

func (p *pools) at(id tributary.PoolID, revision int64) *tributary.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.kept[id]; have != nil && have.Revision == revision {
		return have
	}
	return nil
}

func (p *pools) remember(pool *tributary.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil || len(p.kept) >= maxPools {
		p.kept = map[tributary.PoolID]*tributary.Pool{}
	}
	p.kept[pool.ID] = pool
}
