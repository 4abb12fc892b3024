package pebblestore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
	"tributary/store/codec"
)

// A restore is a new incarnation: see [tributary.Restored]. The blocks above
// which positions and sync counts go on are made of the time of the restore,
// since one backup may be restored twice, with a run in between.

const (
	// beginning is when the blocks began: 2026-01-01, so that they fit into
	// numbers of 63 bits for 69 years.
	beginning = tributary.Millis(1_767_225_600_000)
	// positionsPerMilli is how many entries of a shard a millisecond may have.
	positionsPerMilli = 1 << 22
	// countsPerMilli is how many syncs of a dataset a millisecond may have. The
	// counts stay below 2^45, far below the 2^53 that JavaScript can count to.
	countsPerMilli = 16
	// leastRaise is by how much a count rises whatever the clock says.
	leastRaise = 1 << 20
)

// baseAt is the block of positions that begins at a time, above the last one
// of the backup.
func baseAt(at tributary.Millis, last uint64) uint64 {
	const block = 1000 * positionsPerMilli
	return max(uint64(max(at-beginning, 0))*positionsPerMilli, (last/block+1)*block)
}

func countAt(at tributary.Millis) int64 {
	return max(int64(at-beginning)*countsPerMilli, leastRaise)
}

func restoredKey(at tributary.Millis) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableRestored}, uint64(at))
}

// loadRestored reads the restores that a store went through, oldest first.
func loadRestored(from pebble.Reader) (out []tributary.Restored, err error) {
	err = scan(from, []byte{tableRestored}, func(_, value []byte) error {
		var r tributary.Restored
		err := json.Unmarshal(value, &r)
		out = append(out, r)
		return err
	})
	return out, internal("load restores", err)
}

// Restores gives the restores that the store went through, oldest first.
func (s *Store) Restores() []tributary.Restored {
	s.routing.RLock()
	defer s.routing.RUnlock()
	return slices.Clone(s.restores)
}

// latest is the last restore, nil if there was none.
func latest(restores []tributary.Restored) *tributary.Restored {
	if len(restores) == 0 {
		return nil
	}
	return &restores[len(restores)-1]
}

// unwritten is a dataset that is not in the store.
func (s *Store) unwritten(key tributary.DatasetKey) *dataset {
	return &dataset{Dataset: codec.Dataset{Head: latest(s.restores).Unwritten(key)}}
}

// gap is what a restore left out at the end of a log: counts above from, up to
// and including to. For a search by time they arrived with the last entry.
type gap struct {
	from, to uint64
	arrived  tributary.Millis
}

// goOn has a log go on above the latest restore's block. Nobody uses it yet.
func (s *Store) goOn(l *shardLog) {
	if _, to := latest(s.restores).Gap(l.id); to > 0 {
		l.gap = gap{l.last, max(l.last, to), l.arrived}
		l.last = l.gap.to
	}
}

// lastEntry is the count of the last entry, or of the last one trimmed. The
// log is locked, or still.
func (l *shardLog) lastEntry() uint64 {
	if l.last == l.gap.to {
		return l.gap.from
	}
	return l.last
}

// skip gives the count below which nothing is to come: n, or the end of the gap
// that it lies in.
func (g gap) skip(n uint64) uint64 {
	if n >= g.from && n < g.to {
		return g.to
	}
	return n
}

// renewal makes a store that was unpacked from a backup a new incarnation.
type renewal struct {
	*Store
	ctx   context.Context
	r     tributary.Restored
	batch *pebble.Batch
	tally Tally
}

// Tally is what a store holds.
type Tally struct {
	Pools, Streams, Identities int64
	Datasets                   int64 // that exist
	Entries                    int64 // of the logs
}

const renewalBatch = 1 << 20 // bytes

// renew begins the new incarnation. Nobody uses the store. It is not durable in
// steps: a renewal that was cut short is begun anew from the backup.
func (s *Store) renew(ctx context.Context, backup tributary.Millis) (tributary.Restored, Tally, error) {
	at := max(s.now(), backup+1)
	count := countAt(at)
	if r := latest(s.restores); r != nil {
		at, count = max(at, r.At+1), max(count, r.Count+leastRaise)
	}
	w := &renewal{Store: s, ctx: ctx, batch: s.db.NewBatch(), r: tributary.Restored{Backup: backup, At: at, Count: count}}
	defer func() { _ = w.batch.Close() }()
	for _, step := range []func() error{w.shards, w.datasets, w.leases, w.count} {
		if err := step(); err != nil {
			return tributary.Restored{}, Tally{}, internal("renew", err)
		}
	}
	if err := setJSON(w.batch, restoredKey(at), w.r); err != nil {
		return tributary.Restored{}, Tally{}, err
	}
	return w.r, w.tally, s.write(w.batch)
}

// shards finds where every shard goes on, and lets no stream's id come again.
func (w *renewal) shards() error {
	last, err := w.get(metaLastStream)
	if err != nil {
		return err
	}
	w.r.Streams = max(tributary.StreamID(w.r.At), tributary.DefaultStream)
	if last != "" {
		w.r.Streams = max(w.r.Streams, tributary.StreamID(binary.BigEndian.Uint64([]byte(last))))
	}
	set(w.batch, metaLastStream, binary.BigEndian.AppendUint64(nil, uint64(w.r.Streams)))
	ids, err := w.Shards(w.ctx)
	if err != nil {
		return err
	}
	for _, log := range w.Store.shards {
		w.r.Base = max(w.r.Base, baseAt(w.r.At, log.last))
	}
	for _, id := range ids {
		log := w.Store.shards[id]
		s := tributary.RestoredShard{Shard: id, Last: log.lastEntry(), Base: w.r.Base}
		for _, r := range w.streams[id.Stream].Shards {
			if r.Number == id.Number && r.Closed {
				s.Base = 0
			}
		}
		w.r.Shards = append(w.r.Shards, s)
	}
	return nil
}

// datasets raises the count of every dataset, and its floor: whoever lists it
// from a count of the lost time, or of before, gets all of it. The marker of
// one that was deleted tells the same.
func (w *renewal) datasets() error {
	return scan(w.db, []byte{tableHead}, func(key, value []byte) error {
		of, err := headKeyOf(key)
		if err != nil {
			return err
		}
		d, err := decodeDataset(of, string(value))
		if err != nil {
			return fmt.Errorf("dataset %s: %w", of, err)
		}
		if d.Head.SyncCount < w.r.Count {
			d.Head.SyncCount = w.r.Count
		} else {
			d.Head.SyncCount += leastRaise // the clock was set back
		}
		if d.Head.Exists {
			d.Head.Floor = d.Head.SyncCount
			w.tally.Datasets++
		} else {
			d.Head.Marker = d.Head.SyncCount
		}
		set(w.batch, key, appendDataset(nil, d))
		if w.batch.Len() < renewalBatch {
			return w.ctx.Err()
		}
		err = w.db.Apply(w.batch, pebble.NoSync)
		w.batch.Reset()
		return err
	})
}

// leases are given up. Sinks have seen epochs of the lost time, and refuse
// those below.
func (w *renewal) leases() error {
	return scan(w.db, []byte{tableLease}, func(key, value []byte) error {
		var l tributary.Lease
		if err := json.Unmarshal(value, &l); err != nil {
			return fmt.Errorf("lease %q: %w", key, err)
		}
		l = l.Release()
		l.Epoch = max(l.Epoch, int64(w.r.At))
		l.Revision++
		return setJSON(w.batch, append([]byte(nil), key...), l)
	})
}

// count counts what there is.
func (w *renewal) count() error {
	w.tally.Pools, w.tally.Streams = int64(len(w.pools)), int64(len(w.streams))-1
	for table, n := range map[byte]*int64{tableIdentity: &w.tally.Identities, tableLog: &w.tally.Entries} {
		if err := scan(w.db, []byte{table}, func(_, _ []byte) error {
			*n++
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
