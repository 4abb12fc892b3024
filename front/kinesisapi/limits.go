package kinesisapi

import (
	"sync"

	"tributary"
)

// limits are Amazon's limits on rates, as this server counts them. nil has none.
type limits struct {
	mu      sync.Mutex
	buckets map[bucketKey]*bucket
	most    int // buckets before full ones are forgotten
}

func newLimits() *limits {
	return &limits{buckets: map[bucketKey]*bucket{}, most: mostBuckets}
}

// A bucketKey is what is counted, and of which shard: the zero Shard for what is
// counted for the account.
type bucketKey struct {
	rate  rate
	shard tributary.Shard
}

// rate is how much there may be a second, and at once.
type rate uint8

const (
	readCalls rate = iota
	readBytes
	writeRecords
	writeBytes
	iteratorCalls
	describeCalls
	summaryCalls
	listCalls
)

// perSecond is each rate's limit.
var perSecond = [...]float64{
	readCalls: 5, readBytes: 2 << 20, writeRecords: 1000, writeBytes: 1 << 20,
	iteratorCalls: 5, describeCalls: 10, summaryCalls: 20, listCalls: 5,
}

// bucket holds what may still be taken. It fills up within a second, and may be
// overdrawn: then nothing is given until it has filled up again that far.
type bucket struct {
	left float64
	at   tributary.Millis
}

// mostBuckets is how many are remembered before full ones are first forgotten.
const mostBuckets = 10_000

// bucket gives a bucket as it is now. The limits are locked.
func (l *limits) bucket(k bucketKey, now tributary.Millis) *bucket {
	b := l.buckets[k]
	if b == nil {
		if len(l.buckets) >= l.most {
			l.forget(now)
		}
		b = &bucket{left: perSecond[k.rate], at: now}
		l.buckets[k] = b
	}
	b.fill(perSecond[k.rate], now)
	return b
}

func (b *bucket) fill(most float64, now tributary.Millis) {
	if now > b.at { // a clock that goes back fills nothing
		b.left = min(most, b.left+most*float64(now-b.at)/1000)
		b.at = now
	}
}

func (l *limits) forget(now tributary.Millis) {
	for k, b := range l.buckets {
		if b.fill(perSecond[k.rate], now); b.left == perSecond[k.rate] {
			delete(l.buckets, k)
		}
	}
	l.most = max(mostBuckets, 2*len(l.buckets)) // else a search for each that comes
}

// call counts a call, if there may be one.
func (l *limits) call(r rate, shard tributary.Shard, now tributary.Millis) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(bucketKey{r, shard}, now)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// write counts a record, if its shard may take one of so many bytes.
func (l *limits) write(shard tributary.Shard, size int, now tributary.Millis) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	records, bytes := l.bucket(bucketKey{writeRecords, shard}, now), l.bucket(bucketKey{writeBytes, shard}, now)
	// A record above the limit passes when nothing else did.
	if records.left < 1 || bytes.left < min(float64(size), perSecond[writeBytes]) {
		return false
	}
	records.left--
	bytes.left -= float64(size)
	return true
}

// read counts a call that reads a shard, if there may be one.
func (l *limits) read(shard tributary.Shard, now tributary.Millis) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	overdrawn := l.bucket(bucketKey{readBytes, shard}, now).left <= 0
	l.mu.Unlock()
	return !overdrawn && l.call(readCalls, shard, now)
}

// gave counts what a call read: 10 MiB keep the next ones away for seconds.
func (l *limits) gave(shard tributary.Shard, size int, now tributary.Millis) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket(bucketKey{readBytes, shard}, now).left -= float64(size)
}

// throttled refuses what is too fast for a shard.
func (s *server) throttled(op string, st *tributary.Stream, number uint32) error {
	return tributary.Errorf(tributary.Throttled, op, "Rate exceeded for shard %s in stream %s under account %s.", tributary.ShardID(number), st.Name, s.Account)
}

// account is what is counted for all of an account's streams.
var account tributary.Shard

// limitCalls refuses an operation that is called too often.
func (s *server) limitCalls(op string, r rate) error {
	if s.limits.call(r, account, s.now()) {
		return nil
	}
	return tributary.Errorf(tributary.Limit, op, "Rate exceeded for account %s: %s may be called %.0f times a second.", s.Account, op, perSecond[r])
}
