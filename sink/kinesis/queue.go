package kinesis

import (
	"math/rand/v2"
	"time"

	"tributary"
)

// The limits of PutRecords: of a call, and of a record with its key. Kinesis
// takes more on streams that are set so.
const (
	mostRecords   = 500
	mostCallBytes = 5 << 20
	maxRecord     = 1 << 20
)

// record is an entry as Kinesis gets it.
type record struct {
	position  tributary.Position
	key, hash string // of the partition; hash: explicit, or ""
	data      []byte
	// large is the change whose records go to the bucket before data can be
	// made; nil: data is there.
	large *tributary.Change
}

func (r *record) size() int { return len(r.key) + len(r.data) }

// queue is the records of a batch that are not confirmed yet.
type queue struct {
	lines []*line // with records, in the order of their first
	left  int     // records
	retry time.Duration
}

// line is the records of one partition key, in their order.
type line struct {
	waiting  []*record
	flying   bool // the first is on its way
	failures int  // of the first
	ready    time.Time
}

func newQueue(records []*record, retry time.Duration) *queue {
	q := &queue{left: len(records), retry: retry}
	byKey := map[string]*line{}
	for _, r := range records {
		l := byKey[r.key]
		if l == nil {
			l = &line{}
			byKey[r.key] = l
			q.lines = append(q.lines, l)
		}
		l.waiting = append(l.waiting, r)
	}
	return q
}

// take gives the records of the next call, none if there is nothing to send
// now: the first of each line of which none is on its way. One whose records go
// to the bucket travels alone, so that a slow bucket delays no other.
func (q *queue) take(now time.Time) []*line {
	var call []*line
	bytes, kept := 0, q.lines[:0]
	for _, l := range q.lines {
		if len(l.waiting) == 0 {
			continue
		}
		kept = append(kept, l)
		first := l.waiting[0]
		alone := len(call) > 0 && (call[0].waiting[0].large != nil || first.large != nil)
		if l.flying || l.ready.After(now) || alone || len(call) == mostRecords || bytes+first.size() > mostCallBytes {
			continue
		}
		bytes += first.size()
		call = append(call, l)
		l.flying = true
	}
	clear(q.lines[len(kept):])
	q.lines = kept
	return call
}

// settle takes in what became of a call: which records were confirmed. The
// others may be taken again after a while.
func (q *queue) settle(call []*line, confirmed func(i int) bool, now time.Time) (done []*record) {
	for i, l := range call {
		l.flying = false
		if !confirmed(i) {
			l.failures++
			l.ready = now.Add(q.pause(l.failures))
			continue
		}
		done = append(done, l.waiting[0])
		l.waiting, l.failures, l.ready = l.waiting[1:], 0, time.Time{}
		q.left--
	}
	return done
}

// next is when something can be taken that cannot be now; zero if nothing waits
// for a time.
func (q *queue) next() (at time.Time) {
	for _, l := range q.lines {
		if len(l.waiting) > 0 && !l.flying && (at.IsZero() || l.ready.Before(at)) {
			at = l.ready
		}
	}
	return at
}

// pause is how long a record rests after so many failures: twice as long each
// time, up to 5 s, with jitter, so that what failed together comes apart.
func (q *queue) pause(failures int) time.Duration {
	const most = 5 * time.Second
	d := min(most, q.retry<<min(failures-1, 16))
	return d/2 + rand.N(d/2+1)
}
