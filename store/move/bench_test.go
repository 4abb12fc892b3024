package move_test

import (
	"fmt"
	"testing"
	"time"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/move"
)

// BenchmarkMove moves a store of small datasets to which nobody writes: 500
// identities per unit of TRIBUTARY_SOAK, with two datasets and four entries each.
func BenchmarkMove(b *testing.B) {
	pg := pgPlace(pgtest.Start(b))
	for _, d := range []struct{ from, to func(testing.TB) *place }{{pebblePlace, pg}, {pg, pebblePlace}} {
		from, to := d.from(b), d.to(b)
		b.Run(from.name+"-"+to.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				var source move.Engine = pebblePlace(b).must(b)
				fill(b, source, 500*soak(b))
				if from.name != "pebble" {
					s := move.Wrap(source)
					if err := (&move.Mover{Source: s, Target: pg(b).must(b)}).Run(b.Context()); err != nil {
						b.Fatal(err)
					}
					source = s.Engine()
				}
				steps := map[move.Step]time.Time{}
				var last move.Progress
				m := &move.Mover{Source: move.Wrap(source), Target: d.to(b).must(b), Report: func(p move.Progress) {
					if _, known := steps[p.Step]; !known {
						steps[p.Step] = time.Now()
					}
					last = p
				}}
				b.StartTimer()
				if err := m.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
				items := 0.0
				for _, k := range last.Kinds {
					items += float64(k.Total)
				}
				copied := steps[move.Catching].Sub(steps[move.Copying])
				b.ReportMetric(items/copied.Seconds(), "copied-items/s")
				b.ReportMetric(items/steps[move.Cutting].Sub(steps[move.Verifying]).Seconds(), "verified-items/s")
				b.ReportMetric(float64(last.Frozen.Milliseconds()), "ms-frozen")
			}
		})
	}
}

func fill(b testing.TB, s tributary.Store, identities int) {
	if err := s.PutPool(b.Context(), tributary.Pool{ID: pool}); err != nil {
		b.Fatal(err)
	}
	for n := range identities {
		id := tributary.IdentityID(fmt.Sprintf("f:%08d", n))
		if err := s.PutIdentity(b.Context(), tributary.Identity{ID: id, Pool: pool}); err != nil {
			b.Fatal(err)
		}
		for sync := range 4 {
			key := tributary.DatasetKey{Pool: pool, Identity: id, Dataset: tributary.DatasetName(fmt.Sprint("d", sync%2))}
			v, err := s.View(b.Context(), key, nil)
			if err != nil {
				b.Fatal(err)
			}
			var patches []tributary.Patch
			for r := range 5 {
				patches = append(patches, tributary.Patch{Key: fmt.Sprint("key", sync, r), Value: "a value of some forty bytes, as apps have it"})
			}
			c, err := v.Apply(patches, tributary.Writer{ID: tributary.ChangeID(1 + n*4 + sync), By: string(id), Now: 1_790_000_000_000})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Commit(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
	}
}
