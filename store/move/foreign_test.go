package move_test

import (
	"context"
	"fmt"
	"testing"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/move"
	"tributary/store/storetest"
)

// TestForeignNode moves a store out of a database while a node that does not
// take part writes to it: one that was taken for dead, and wakes. What it was
// answered for is in the target; once the source was given up it is refused.
func TestForeignNode(t *testing.T) {
	pg := pgPlace(pgtest.Start(t))
	for _, at := range []string{string(move.Catching), string(move.Cutting), "moved"} {
		t.Run(at, func(t *testing.T) {
			from := pg(t)
			p := &power{}
			source, other := from.must(t), from.must(t)
			s := move.Wrap(&faulty{Engine: source, power: p})
			w := small(t, s)
			rnd, ctx := seeded(), context.WithoutCancel(t.Context())
			wrote := 0
			awake := newWorld(t, w.books.Watch(other))
			awake.ids.Store(1 << 20)
			write := func() {
				wrote++
				for _, name := range []tributary.DatasetName{"d", tributary.DatasetName(fmt.Sprint("new", wrote))} {
					if !awake.sync(rnd, "w:1", name) {
						t.Error("the other node was refused before the source was given up")
					}
				}
			}
			// As in the last moment in which it can.
			p.before = func(op string) bool {
				if op == at && wrote < 2 {
					write()
				}
				return false
			}
			v, err := other.View(ctx, tributary.DatasetKey{Pool: pool, Identity: "w:2", Dataset: "late"}, nil)
			w.fatal(err)
			late, err := v.Apply([]tributary.Patch{{Key: "k", Value: "v"}}, tributary.Writer{ID: 1 << 30, Now: 1})
			w.fatal(err)
			target := pebblePlace(t).must(t)
			m := &move.Mover{Source: s, Target: target, Report: func(p move.Progress) {
				if string(p.Step) == at && wrote == 0 {
					write()
					end := mustFind(t, s, "w:1")
					shard, _, _ := end.Split()
					w.ok("trim", s.Trim(ctx, shard, end))
				}
			}}
			w.fatal(m.Run(ctx))
			if wrote == 0 {
				t.Fatal("nothing was written")
			}
			if err := other.Commit(ctx, late); err == nil {
				t.Error("the other node commits into a store that was moved")
			}
			w.settled(s)
			storetest.CheckConsistent(t, target, storetest.Checks{Lost: true, Usage: true})
		})
	}
}
