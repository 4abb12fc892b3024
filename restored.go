package tributary

// Restored is a restore from a backup, which is kept for good. What the store
// gave out between the two is known to readers and clients, and not to the
// store: so positions and sync counts go on above blocks that no earlier run can
// have used.
type Restored struct {
	Backup Millis // when the backup was taken
	At     Millis // when it was restored
	// Count is the sync count above which every dataset goes on, also one that
	// is not in the backup.
	Count int64
	// Base is the count of a log above which shards go on that the backup does
	// not know, of streams that it may.
	Base    uint64
	Streams StreamID // up to this id a stream may have been made before the restore
	Shards  []RestoredShard
}

// RestoredShard tells where the log of a shard goes on.
type RestoredShard struct {
	Shard Shard
	Last  uint64 // count of the last entry of the backup; 0: none
	Base  uint64 // the next entry stands above it; 0: the shard was closed
}

// Gap is what the restore leaves out of a shard's log: the counts above from, up
// to and including to. Both are 0 if it leaves out nothing, as after no restore,
// which is nil.
func (r *Restored) Gap(id Shard) (from, to uint64) {
	if r == nil {
		return 0, 0
	}
	for i := range r.Shards {
		if s := &r.Shards[i]; s.Shard == id && s.Base > 0 {
			return s.Last, s.Base
		} else if s.Shard == id {
			return 0, 0
		}
	}
	if id.Stream <= r.Streams {
		return 0, r.Base
	}
	return 0, 0
}

// Lost tells whether a position lies in what the restore lost: above the
// backup's last entry of its shard, and below where the log went on.
func (r *Restored) Lost(p Position) bool {
	of, n, err := p.Split()
	if err != nil {
		return false
	}
	from, to := r.Gap(of)
	return n > from && n < to
}

// Unwritten is a dataset that the store does not have. After a restore it may
// have been there in the time that was lost: it counts as deleted by the last
// restore, which is nil if there was none.
func (r *Restored) Unwritten(key DatasetKey) Dataset {
	d := Dataset{Key: key}
	if r != nil {
		d.SyncCount, d.Marker = r.Count, r.Count
	}
	return d
}
