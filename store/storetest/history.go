package storetest

import (
	"maps"
	"slices"

	"tributary"
)

// history is what the logs tell of one dataset.
type history struct {
	key   tributary.DatasetKey
	logs  map[tributary.StreamID][]told // in the order of their positions
	found bool                          // the dataset exists
}

// told is an entry and where it was.
type told struct {
	shard tributary.Shard
	kind  tributary.EntryKind
	*tributary.Change
}

func (h *history) add(shard tributary.Shard, e *tributary.Entry) {
	h.logs[shard.Stream] = append(h.logs[shard.Stream], told{shard, e.Kind, e.Change})
}

// replay is the dataset as the entries so far make it.
type replay struct {
	count   int64
	last    tributary.ChangeID
	shard   tributary.Shard // of the last change
	exists  bool
	at      tributary.Millis // of the last change
	records map[string]tributary.Record
	seen    map[int64]tributary.Millis // counts that the logs hold, and their times
	from    int64                      // the count from which none is missing
}

// check replays the dataset's entries and compares what comes out with its
// head and records. The head of a dataset whose identity is gone is empty.
func (h *history) check(a *audit, head *tributary.Dataset, records []tributary.Record) {
	p := &replay{}
	inOneLog := len(h.logs) == 1
	for id, more := h.next(p); more; id, more = h.next(p) {
		e := h.logs[id][0]
		h.logs[id] = h.logs[id][1:]
		if e.kind == tributary.EntryChange {
			p.step(a, e)
		} else if inOneLog && a.complete() { // else its place among the changes is not known
			p.compare(a, e.Change)
		}
	}
	if *head == (tributary.Dataset{Key: head.Key}) {
		// Never written, or all of it went with its identity.
		if p.exists && a.complete() {
			a.report("the log ends with dataset %s alive at %d, the store has never heard of it", h.key, p.count)
		}
		return
	}
	p.end(a, head, records)
}

// next chooses the log that tells what happened next. Order across streams is
// not in their positions: times give it, or the sync counts among equal times.
func (h *history) next(p *replay) (tributary.StreamID, bool) {
	var best tributary.StreamID
	for _, id := range slices.Sorted(maps.Keys(h.logs)) {
		if len(h.logs[id]) == 0 {
			continue
		}
		if best == 0 || sooner(p, h.logs[id][0], h.logs[best][0]) {
			best = id
		}
	}
	return best, best != 0
}

func sooner(p *replay, a, b told) bool {
	if a.At != b.At {
		return a.At < b.At
	}
	return p.rank(a) < p.rank(b)
}

// rank is low for what may well come next.
func (p *replay) rank(e told) int64 {
	const another = 1 << 40 // a new life of the dataset, or a fault
	ahead := e.SyncCount - p.count
	switch snapshot := e.kind == tributary.EntrySnapshot; {
	case snapshot && ahead <= 0:
		return 0
	case snapshot:
		return 2*ahead + 1
	case ahead > 0:
		return 2 * ahead
	}
	return another
}

func (p *replay) step(a *audit, c told) {
	begun := p.seen != nil
	p.count = a.checks.raised(p.count, c.SyncCount-1)
	switch reborn := a.checks.first(c.SyncCount) && !p.exists; {
	case reborn:
		*p = replay{from: 1}
	case c.SyncCount == p.count+1 && begun:
	default:
		if !a.mayMiss(p.shard, c.shard) {
			a.report("the log of dataset %s goes from sync count %d to %d", c.Key, p.count, c.SyncCount)
		}
		if p.from = c.SyncCount; c.SyncCount <= p.count {
			*p = replay{from: c.SyncCount}
		}
	}
	if p.seen == nil {
		p.seen, p.records = map[int64]tributary.Millis{}, map[string]tributary.Record{}
	}
	p.count, p.last, p.at, p.shard, p.exists = c.SyncCount, c.ID, c.At, c.shard, c.Op == tributary.Replace
	if c.Op == tributary.Remove {
		clear(p.records)
		clear(p.seen)
		if len(c.Records) > 0 {
			a.report("the removal of %s holds %d records", c.Key, len(c.Records))
		}
	}
	p.seen[c.SyncCount] = c.At
	for _, r := range c.Records {
		if r.SyncCount != c.SyncCount {
			a.report("change %d of %s holds record %q of count %d", c.SyncCount, c.Key, r.Key, r.SyncCount)
		}
		p.records[r.Key] = r
	}
}

// compare checks a snapshot, which holds some or all of the live records of
// the dataset at its count.
func (p *replay) compare(a *audit, c *tributary.Change) {
	if c.SyncCount != p.count || !p.exists {
		a.report("a snapshot of %s is of count %d, the dataset was at %d", c.Key, c.SyncCount, p.count)
		return
	}
	for _, r := range c.Records {
		if p.records[r.Key] != r || r.Removed {
			a.report("a snapshot of %s at %d holds %s, the dataset held %+v", c.Key, c.SyncCount, recordText(&r), p.records[r.Key])
		}
	}
}

// end compares the end of the replay with the store. Where logs are gone the
// dataset may have had another life since what is left of them.
func (p *replay) end(a *audit, head *tributary.Dataset, records []tributary.Record) {
	if !head.Exists && head.Marker != head.SyncCount {
		a.report("dataset %s was deleted at %d and its marker is %d", head.Key, head.SyncCount, head.Marker)
	}
	p.count = a.checks.raised(p.count, head.SyncCount)
	sameChange := p.count == head.SyncCount && p.last == head.Change && p.exists == head.Exists
	if !sameChange && (a.complete() || p.count == head.SyncCount && p.at == head.LastModified) {
		a.report("dataset %s is %s, its log ends at %d with change %x, exists=%t", head.Key, headText(head), p.count, p.last, p.exists)
		return
	}
	stored := map[string]tributary.Record{}
	for _, r := range records {
		stored[r.Key] = r
		at, seen := p.seen[r.SyncCount]
		if told := seen && at == r.LastModified; (told || a.complete()) && p.records[r.Key] != r {
			want := p.records[r.Key]
			a.report("dataset %s holds %s, by the log %s", head.Key, recordText(&r), recordText(&want))
		}
	}
	if !sameChange {
		return
	}
	for _, want := range p.records {
		_, there := stored[want.Key]
		forgotten := want.Removed && want.SyncCount <= head.Floor
		if known := want.SyncCount >= p.from && want.LastModified >= head.Created; known && !there && !forgotten {
			a.report("dataset %s lost %s", head.Key, recordText(&want))
		}
	}
}
