package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"tributary/awswire"
)

const (
	patchesPerSync = 5
	valueBytes     = 60 // random, before base64 makes 80 of them
	syncService    = "cognito-sync"
)

// dataset is what the load knows of a dataset. It belongs to who has set busy.
type dataset struct {
	busy     atomic.Bool
	index    int // in its population
	identity string
	name     string
	path     string
	as       *awswire.Signer // who syncs it; nil: the developer
	token    string          // of a sync session
	count    int64           // that the server has confirmed
	patches  int64           // that the server has accepted
	records  int             // that it holds
}

// population is datasets that are drawn from at random.
type population struct{ datasets []*dataset }

// lock draws a dataset that no other worker is working on.
func (p *population) lock(r *rand.Rand) *dataset {
	for {
		if d := p.datasets[r.IntN(len(p.datasets))]; d.busy.CompareAndSwap(false, true) {
			return d
		}
	}
}

func (d *dataset) unlock() { d.busy.Store(false) }

// worker is one connection of the load and what it has measured.
type worker struct {
	*client
	random *rand.ChaCha8
	draw   *rand.Rand
	body   []byte
	want   []byte
	took   []time.Duration
	wrote  []event // if events are being followed
}

// workers opens n connections, spread over endpoints. Each has a random source
// of its own, so that the data is the same for a seed, whatever the order of
// events.
func workers(ctx context.Context, es []endpoint, service string, n int, seed uint64) (list []*worker, closeAll func(), err error) {
	closeAll = func() {
		for _, w := range list {
			w.close()
		}
	}
	for i := range n {
		c, err := dial(ctx, es[i%len(es)], service)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		w := &worker{client: c, random: randomSource(seed, i)}
		w.draw = rand.New(w.random)
		list = append(list, w)
	}
	return list, closeAll, nil
}

// randomSource gives the nth source of a seed.
func randomSource(seed uint64, n int) *rand.ChaCha8 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(n))
	return rand.NewChaCha8(key)
}

// open lists a dataset from its beginning, for a session token and its count.
func (w *worker) open(d *dataset) error {
	var out struct {
		SyncSessionToken string
		DatasetSyncCount int64
	}
	if err := w.exchange(call{method: "GET", target: d.path + "/records?lastSyncCount=0", as: d.as}, nil, &out); err != nil {
		return err
	}
	d.token, d.count = out.SyncSessionToken, out.DatasetSyncCount
	return nil
}

// sync writes n records from a number on, with fresh values. The answer must
// give each the next count.
func (w *worker) sync(d *dataset, from, n int) error {
	w.writeSync(d, from, n)
	answer, err := w.do(call{method: "POST", target: d.path, body: w.body, as: d.as})
	if err == nil {
		err = w.checkRecords(answer, d.count+1, n)
	}
	if err != nil {
		return fmt.Errorf("sync %d of %s: %w", d.count+1, d.path, err)
	}
	d.count++
	d.patches += int64(n)
	d.records = max(d.records, from+n)
	return nil
}

// rewrite is the sync of the bars: all five records of a dataset.
func (w *worker) rewrite(d *dataset) error { return w.sync(d, 0, patchesPerSync) }

// writeSync makes the body of a sync by a client that has seen everything.
func (w *worker) writeSync(d *dataset, from, n int) {
	b := append(append(w.body[:0], `{"SyncSessionToken":"`...), d.token...)
	b = append(b, `","RecordPatches":[`...)
	at := now().UnixMilli()
	var value [valueBytes]byte
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendKey(append(b, `{"Op":"replace","Key":"`...), from+i)
		_, _ = w.random.Read(value[:]) // never fails
		b = base64.StdEncoding.AppendEncode(append(b, `","Value":"`...), value[:])
		b = strconv.AppendInt(append(b, `","SyncCount":`...), d.count, 10)
		b = strconv.AppendInt(append(b, `,"DeviceLastModifiedDate":`...), at/1000, 10)
		b = append(b, '.', byte('0'+at/100%10), byte('0'+at/10%10), byte('0'+at%10), '}')
	}
	w.body = append(b, "]}"...)
}

// appendKey appends the key of a record: 12 bytes.
func appendKey(b []byte, n int) []byte {
	b = append(b, "record-"...)
	for unit := 10_000; unit > 0; unit /= 10 {
		b = append(b, byte('0'+n/unit%10))
	}
	return b
}

// pull lists what has changed since a count. The answer must hold so many
// records, all of them of the dataset's count.
func (w *worker) pull(d *dataset, since int64, records int) error {
	target := append(append(make([]byte, 0, 160), d.path...), "/records?lastSyncCount="...)
	answer, err := w.do(call{method: "GET", target: string(strconv.AppendInt(target, since, 10)), as: d.as})
	if err == nil {
		err = w.checkRecords(answer, d.count, records)
	}
	if err != nil {
		return fmt.Errorf("pull of %s from %d: %w", d.path, since, err)
	}
	return nil
}

// checkRecords demands that an answer holds n records of a count and no
// others. Any compact JSON passes by counting; what does not is looked at in full.
func (w *worker) checkRecords(answer []byte, count int64, n int) error {
	w.want = append(strconv.AppendInt(append(w.want[:0], `"SyncCount":`...), count, 10), ',')
	const anyCount = `"SyncCount":`
	if bytes.Count(answer, w.want) == n && bytes.Count(answer, w.want[:len(anyCount)]) == n {
		return nil
	}
	var out struct {
		Records []struct {
			Key       string
			SyncCount int64
		}
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return err
	}
	if len(out.Records) != n {
		return &mismatch{fmt.Sprintf("the answer holds %d records, not %d", len(out.Records), n)}
	}
	for _, r := range out.Records {
		if r.SyncCount != count {
			return &mismatch{fmt.Sprintf("%s has count %d, not %d", r.Key, r.SyncCount, count)}
		}
	}
	return nil
}

// mismatch is an answer that holds other than it must.
type mismatch struct{ text string }

func (m *mismatch) Error() string { return m.text }

// load says how workers are driven, and until when.
type load struct {
	rate float64       // operations per second over all workers; 0: as fast as they are answered
	time time.Duration // 0: until ops
	ops  int64         // 0: until time
}

// drive repeats an operation on all workers. The first error ends it.
func (l load) drive(ctx context.Context, ws []*worker, op func(*worker) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var left atomic.Int64
	left.Store(l.ops)
	var running sync.WaitGroup
	for _, w := range ws {
		running.Go(func() {
			if err := l.repeat(ctx, w, len(ws), &left, op); err != nil {
				stop(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// repeat drives one worker. In an open loop, what could not be begun in time
// is made up for.
func (l load) repeat(ctx context.Context, w *worker, of int, left *atomic.Int64, op func(*worker) error) error {
	began := now()
	var pause, next time.Duration
	if l.rate > 0 {
		pause = time.Duration(float64(time.Second) * float64(of) / l.rate)
		next = time.Duration(w.draw.Int64N(int64(pause) + 1)) // or all would begin at once
	}
	for ctx.Err() == nil {
		if l.ops > 0 && left.Add(-1) < 0 {
			return nil
		}
		if pause > 0 && !sleepUntil(ctx, began.Add(next)) {
			return nil
		}
		next += pause
		if l.time > 0 && now().Sub(began) >= l.time {
			return nil
		}
		if err := op(w); err != nil {
			return err
		}
		w.took = append(w.took, w.client.took)
	}
	return nil
}

// sleepUntil tells whether ctx still goes on.
func sleepUntil(ctx context.Context, at time.Time) bool {
	d := at.Sub(now())
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// samples takes the measured times of all workers.
func samples(ws []*worker) []time.Duration {
	var all []time.Duration
	for _, w := range ws {
		all = append(all, w.took...)
		w.took = nil
	}
	return all
}
