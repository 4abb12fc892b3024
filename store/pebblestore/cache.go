package pebblestore

import (
	"hash/maphash"
	"sync"

	"tributary"
)

const stripes = 256

// stripe is the lock of a share of the identities, and what is remembered of
// them and their datasets. Everything in it is as last applied, which may not
// be durable yet.
type stripe struct {
	mu         sync.Mutex
	identities map[tributary.IdentityID]*identity
	datasets   map[datasetID]*dataset
	bytes      int64 // cost of the datasets
}

type datasetID struct {
	identity tributary.IdentityID
	dataset  tributary.DatasetName
}

const (
	defaultHeadCache = 32 << 20
	stripeIdentities = 256 // remembered at most, per stripe
)

// cost is about what a remembered dataset takes, in bytes.
func (d *dataset) cost() int64 {
	const head, each = 400, 112
	n := int64(head)
	for _, list := range [][]tributary.Record{d.Records, d.recent.records} {
		for i := range list {
			n += each + int64(len(list[i].Key)+len(list[i].Value))
		}
	}
	return n
}

var stripeSeed = maphash.MakeSeed()

func (s *Store) initStripes() {
	for i := range s.stripes {
		s.stripes[i].forgetAll()
	}
}

func (st *stripe) forgetAll() {
	st.identities, st.datasets, st.bytes = map[tributary.IdentityID]*identity{}, map[datasetID]*dataset{}, 0
}

func stripeOf(id tributary.IdentityID) int {
	return int(maphash.String(stripeSeed, string(id)) % stripes)
}

func (s *Store) stripe(id tributary.IdentityID) *stripe { return &s.stripes[stripeOf(id)] }

// identity reads an identity, nil if there is none. The stripe is locked.
func (s *Store) identity(st *stripe, id tributary.IdentityID) (*identity, error) {
	if i := st.identities[id]; i != nil {
		return i, nil
	}
	value, err := s.get(textKey(tableIdentity, string(id)))
	if err != nil || value == "" {
		return nil, internal("read identity", err)
	}
	i, err := decodeIdentity(id, value)
	if err != nil {
		return nil, internal("read identity "+string(id), err)
	}
	st.rememberIdentity(i)
	return i, nil
}

func (st *stripe) rememberIdentity(i *identity) {
	for id := range st.identities {
		if len(st.identities) < stripeIdentities {
			break
		}
		delete(st.identities, id)
	}
	st.identities[i.ID] = i
}

// dataset reads a dataset, an empty one if it was never written. The stripe is
// locked.
func (s *Store) dataset(st *stripe, key tributary.DatasetKey) (*dataset, error) {
	if d := st.datasets[datasetID{key.Identity, key.Dataset}]; d != nil {
		return d, nil
	}
	value, err := s.get(headKey(key))
	if err != nil {
		return nil, internal("read dataset", err)
	}
	if value == "" {
		return s.unwritten(key), nil
	}
	d, err := decodeDataset(key, value)
	if err != nil {
		return nil, internal("read dataset "+key.String(), err)
	}
	d.recent.since = d.Head.SyncCount // nothing is known of what came before
	s.remember(st, d)
	return d, nil
}

func (s *Store) remember(st *stripe, d *dataset) {
	most := s.cfg.HeadCacheSize
	if most == 0 {
		most = defaultHeadCache
	}
	id := datasetID{d.Head.Key.Identity, d.Head.Key.Dataset}
	st.forget(id)
	st.datasets[id] = d
	st.bytes += d.cost()
	for other := range st.datasets {
		if st.bytes <= most/stripes {
			break
		}
		if other != id {
			st.forget(other)
		}
	}
}

func (st *stripe) forget(id datasetID) {
	if d := st.datasets[id]; d != nil {
		st.bytes -= d.cost()
		delete(st.datasets, id)
	}
}
