package pebblestore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"tributary"
	"tributary/store/pebblestore"
)

const (
	scannedPool     = tributary.PoolID("us-east-1:00000000-0000-4000-8000-000000000001")
	scannedDatasets = 100_000
)

// scanned is a store of 20,000 identities with five datasets of ten records.
func scanned(b *testing.B) *pebblestore.Store {
	const each, writers = 5, 64
	s := open(b, pebblestore.Config{Dir: b.TempDir(), HeadCacheSize: 1 << 20})
	b.Cleanup(func() { _ = s.Close() })
	all := make([]tributary.Identity, scannedDatasets/each)
	for n := range all {
		all[n] = tributary.Identity{ID: tributary.IdentityID(fmt.Sprintf("us-east-1:%08x", uint32(n)*2654435761)), Pool: scannedPool}
	}
	if err := errors.Join(s.PutPool(b.Context(), tributary.Pool{ID: scannedPool}), s.PutIdentity(b.Context(), all...)); err != nil {
		b.Fatal(err)
	}
	var patches []tributary.Patch
	for n := range 10 {
		patches = append(patches, tributary.Patch{Key: fmt.Sprint("key", n), Value: strings.Repeat("v", 20+n)})
	}
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := w; n < scannedDatasets; n += writers {
				key := tributary.DatasetKey{Pool: scannedPool, Identity: all[n/each].ID, Dataset: tributary.DatasetName(fmt.Sprint("dataset", n%each))}
				if err := first(b, s, key, patches); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	return s
}

// first commits a dataset's first change, again if another dataset of the
// identity was made at the same time.
func first(b *testing.B, s *pebblestore.Store, key tributary.DatasetKey, patches []tributary.Patch) error {
	for {
		v, err := s.View(b.Context(), key, nil)
		if err != nil {
			return err
		}
		c, err := v.Apply(patches, tributary.Writer{ID: 1, By: string(key.Identity), Now: 1_790_000_000_000})
		if err == nil {
			err = s.Commit(b.Context(), c)
		}
		if tributary.KindOf(err) != tributary.Stale {
			return err
		}
	}
}

// BenchmarkSnapshots reads 100,000 datasets with their records, as a bulk
// publish does: by a bare scan of keys and values, by one that decodes them, by
// pages of snapshots, and by the listings of identities, datasets and records.
func BenchmarkSnapshots(b *testing.B) {
	s := scanned(b)
	for name, read := range map[string]func(*testing.B, *pebblestore.Store) (int, error){
		"1Bare":     func(_ *testing.B, s *pebblestore.Store) (int, error) { return s.BareScan(false) },
		"2Decoded":  func(_ *testing.B, s *pebblestore.Store) (int, error) { return s.BareScan(true) },
		"3Pages":    byPages,
		"4Listings": byListings,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if n, err := read(b, s); n != scannedDatasets || err != nil {
					b.Fatalf("%d datasets, %v", n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/scannedDatasets, "ns/dataset")
		})
	}
}

func byPages(b *testing.B, s *pebblestore.Store) (n int, err error) {
	var after tributary.DatasetKey
	for {
		page, err := s.Snapshots(b.Context(), scannedPool, after, 1<<20)
		if err != nil || len(page) == 0 {
			return n, err
		}
		n, after = n+len(page), page[len(page)-1].Dataset.Key
	}
}

func byListings(b *testing.B, s *pebblestore.Store) (n int, err error) {
	var after tributary.IdentityID
	for {
		list, err := s.Identities(b.Context(), scannedPool, after, 1000)
		if err != nil || len(list) == 0 {
			return n, err
		}
		for i := range list {
			after = list[i].ID
			heads, err := s.Datasets(b.Context(), after, "", 1000)
			for _, d := range heads {
				_, recordsErr := s.Records(b.Context(), d.Key, tributary.Range{Through: d.SyncCount, LiveOnly: true})
				err = errors.Join(err, recordsErr)
			}
			if n += len(heads); err != nil {
				return n, err
			}
		}
	}
}
