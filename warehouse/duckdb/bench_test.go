//go:build cgo && unix

package duckdb_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tributary"
	"tributary/warehouse/duckdb"
)

// load makes changes like the speed bars' workload: 5 records of 12 bytes of
// key and 80 of value each, over so many keys drawn at random.
type load struct {
	*rand.Rand
	counts []int64 // of each dataset
	next   uint64
	now    tributary.Millis
	values []string
}

func newLoad(keys int) *load {
	l := &load{Rand: rand.New(rand.NewPCG(1, 2)), counts: make([]int64, keys/5), now: 1_700_000_000_000}
	for range 1 << 14 {
		b := make([]byte, 60)
		for i := range b {
			b[i] = byte(l.Uint32())
		}
		l.values = append(l.values, base64.StdEncoding.EncodeToString(b))
	}
	return l
}

var shard = tributary.Shard{Stream: 7}

// change makes the next change of a dataset.
func (l *load) change(dataset int) tributary.Entry {
	l.counts[dataset]++
	l.next++
	if l.next%15 == 0 {
		l.now++
	}
	c := &tributary.Change{
		Key: tributary.DatasetKey{
			Pool:     "eu-west-1:01234567-0123-0123-0123-0123456789ab",
			Identity: tributary.IdentityID(fmt.Sprintf("eu-west-1:%08d-0123-0123-0123-0123456789ab", dataset/40)),
			Dataset:  tributary.DatasetName(fmt.Sprintf("dataset-%02d", dataset%40)),
		},
		SyncCount: l.counts[dataset], At: l.now,
	}
	for i := range 5 {
		c.Records = append(c.Records, tributary.Record{
			Key: fmt.Sprintf("profile-%04d", i), Value: l.values[l.IntN(len(l.values))],
			SyncCount: c.SyncCount, LastModified: l.now, DeviceLastModified: l.now - tributary.Millis(l.IntN(1000)),
		})
	}
	return tributary.Entry{Position: tributary.PositionOf(shard, l.next), Arrived: l.now, Change: c}
}

// batch makes changes of datasets drawn at random.
func (l *load) batch(rows int) []tributary.Entry {
	batch := make([]tributary.Entry, 0, rows/5)
	for range rows / 5 {
		batch = append(batch, l.change(l.IntN(len(l.counts))))
	}
	return batch
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDeliver measures batches of some sizes on warehouses of some sizes:
// one operation is one batch.
func BenchmarkDeliver(b *testing.B) {
	for _, size := range []struct{ raw, keys int }{
		{100_000, 50_000}, {1_000_000, 50_000}, {5_000_000, 50_000}, {1_000_000, 1_000_000}, {5_000_000, 1_000_000},
	} {
		b.Run(fmt.Sprintf("raw=%d/keys=%d", size.raw, size.keys), func(b *testing.B) {
			w, l := loaded(b, size.raw, size.keys)
			lease := tributary.Lease{Shard: shard, Epoch: 1}
			for _, rows := range []int{10, 1000, 10_000, 50_000} {
				b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
					var spent, worst time.Duration
					for b.Loop() {
						b.StopTimer()
						batch := l.batch(rows)
						b.StartTimer()
						before, start := cpu(), b.Elapsed()
						if err := w.Deliver(b.Context(), lease, batch); err != nil {
							b.Fatal(err)
						}
						spent += cpu() - before
						worst = max(worst, b.Elapsed()-start)
					}
					total := float64(b.N * rows)
					b.ReportMetric(total/b.Elapsed().Seconds(), "rows/s")
					b.ReportMetric(float64(spent.Nanoseconds())/1000/total, "cpu-µs/row")
					b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
				})
			}
		})
	}
}

// loaded is a warehouse with all keys in it, and about so many raw rows.
func loaded(b *testing.B, raw, keys int) (*duckdb.Warehouse, *load) {
	b.Helper()
	w, err := duckdb.Open(b.Context(), duckdb.Config{Path: filepath.Join(b.TempDir(), "w.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.Close(); err != nil {
			b.Error(err)
		}
	})
	l := newLoad(keys)
	var first []tributary.Entry
	for d := range l.counts {
		first = append(first, l.change(d))
	}
	lease := tributary.Lease{Shard: shard, Epoch: 1}
	for len(first) > 0 {
		n := min(len(first), 10_000)
		if err := w.Deliver(b.Context(), lease, first[:n]); err != nil {
			b.Fatal(err)
		}
		first = first[n:]
	}
	for rows := keys; rows < raw; rows += 50_000 {
		if err := w.Deliver(b.Context(), lease, l.batch(50_000)); err != nil {
			b.Fatal(err)
		}
	}
	return w, l
}

// BenchmarkOther measures batches that need the rules in full.
func BenchmarkOther(b *testing.B) {
	for _, size := range []struct{ raw, keys int }{{1_000_000, 50_000}, {5_000_000, 1_000_000}} {
		b.Run(fmt.Sprintf("raw=%d/keys=%d", size.raw, size.keys), func(b *testing.B) {
			w, l := loaded(b, size.raw, size.keys)
			old := l.batch(10_000)
			kinds := []struct {
				name  string
				batch func() []tributary.Entry
			}{
				{"removal=1", func() []tributary.Entry { return l.removals(1) }},
				{"removals=1000", func() []tributary.Entry { return l.removals(1000) }},
				{"snapshots=10000", func() []tributary.Entry { return l.again(old, tributary.EntrySnapshot) }},
				{"late=10000", func() []tributary.Entry {
					if err := w.Deliver(b.Context(), tributary.Lease{Shard: shard, Epoch: 1}, l.again(old, tributary.EntryChange)); err != nil {
						b.Fatal(err)
					}
					return l.again(old[:2000], tributary.EntryChange)
				}},
			}
			for _, k := range kinds {
				b.Run(k.name, func(b *testing.B) {
					for b.Loop() {
						b.StopTimer()
						batch := k.batch()
						b.StartTimer()
						if err := w.Deliver(b.Context(), tributary.Lease{Shard: shard, Epoch: 1}, batch); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// removals removes datasets drawn at random.
func (l *load) removals(n int) []tributary.Entry {
	var batch []tributary.Entry
	for range n {
		e := l.change(l.IntN(len(l.counts)))
		e.Change.Op, e.Change.Records = tributary.Remove, nil
		batch = append(batch, e)
	}
	return batch
}

// again gives entries new positions.
func (l *load) again(old []tributary.Entry, kind tributary.EntryKind) []tributary.Entry {
	batch := make([]tributary.Entry, len(old))
	for i, e := range old {
		l.next++
		e.Position, e.Kind = tributary.PositionOf(shard, l.next), kind
		batch[i] = e
	}
	return batch
}
