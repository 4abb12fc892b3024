package move

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"tributary"
	"tributary/store/codec"
)

// verifyAll compares what was copied with the source, byte by byte. What was
// written meanwhile is left out: it is copied again, and compared when writes
// are refused.
func (r *run) verifyAll(ctx context.Context) error {
	r.step(Verifying)
	for _, kind := range manyKinds() {
		for after, more := "", true; more; {
			var err error
			if after, more, err = r.verify(ctx, span{kind: kind, after: after, page: r.pageBytes()}); err != nil {
				return err
			}
			if more { // the journal is long
				if err := r.round(ctx); err != nil {
					return err
				}
			}
		}
	}
	for id, mark := range r.marks {
		e, exists := r.ends[id]
		if !exists || e.trimmed >= mark {
			continue
		}
		if _, _, err := r.verify(ctx, span{
			kind: tributary.ItemEntry, after: string(tributary.PositionOf(id, e.trimmed)), through: string(tributary.PositionOf(id, mark)),
			page: r.pageBytes(),
		}); err != nil {
			return err
		}
	}
	return nil
}

// cursor reads a span of one store page by page.
type cursor struct {
	store tributary.Transfer
	of    span
	page  []tributary.Item
	ended bool
}

// next gives the item at the cursor, nil after the last.
func (c *cursor) next(ctx context.Context) (*tributary.Item, error) {
	if len(c.page) == 0 && !c.ended {
		page, err := c.store.Scan(ctx, c.of.kind, c.of.after, c.of.page)
		if err != nil {
			return nil, err
		}
		c.page, c.ended = page, len(page) == 0
		if !c.ended {
			c.of.after = page[len(page)-1].Key
		}
	}
	if c.ended || c.of.through != "" && c.page[0].Key > c.of.through {
		c.ended = true
		return nil, nil
	}
	return &c.page[0], nil
}

// verify compares a span of both stores. It ends early, with more to come, when
// much was written meanwhile.
func (r *run) verify(ctx context.Context, of span) (last string, more bool, err error) {
	source, target := &cursor{store: r.source, of: of}, &cursor{store: r.Target, of: of}
	for last = of.after; ; {
		if of.through == "" && r.journal.size() > mostNoted {
			return last, true, nil
		}
		w, err := source.next(ctx)
		if err != nil {
			return last, false, err
		}
		h, err := target.next(ctx)
		if err != nil || w == nil && h == nil {
			return last, false, err
		}
		var key string
		switch {
		case h == nil || w != nil && w.Key < h.Key:
			key = w.Key
		case w == nil || h.Key < w.Key:
			key = h.Key
		default:
			key = w.Key
			if bytes.Equal(w.Value, h.Value) {
				r.count(source.page[:1])
				source.page, target.page, last = source.page[1:], target.page[1:], key
				continue
			}
		}
		if err := r.explain(ctx, of.kind, key); err != nil {
			return last, false, err
		}
		for _, c := range []*cursor{source, target} {
			if !c.ended && c.page[0].Key == key {
				c.page = c.page[1:]
			}
		}
		last = key
	}
}

// explain gives an error if two stores differ in an item without a reason: it
// is not to be copied again, was not trimmed, and still differs.
func (r *run) explain(ctx context.Context, kind tributary.ItemKind, key string) error {
	if kind != tributary.ItemEntry && r.journal.has(kind, key) {
		return nil
	}
	w, err := r.source.Fetch(ctx, kind, []string{key})
	if err != nil {
		return err
	}
	h, err := r.Target.Fetch(ctx, kind, []string{key})
	if err != nil {
		return err
	}
	err = differ(w, h)
	switch {
	case err == nil:
		return nil
	case kind != tributary.ItemEntry && r.journal.has(kind, key):
		return nil // written since the first look
	case kind == tributary.ItemEntry && w[0].Value == nil:
		if trimmed, trimErr := r.trimmed(ctx, key); trimErr != nil || trimmed {
			return trimErr
		}
	}
	return err
}

// trimmed tells whether the source has forgotten an entry.
func (r *run) trimmed(ctx context.Context, key string) (bool, error) {
	id, n, err := tributary.Position(key).Split()
	if err != nil {
		return false, err
	}
	shard, err := r.source.Fetch(ctx, tributary.ItemShard, []string{tributary.ShardItemKey(id)})
	if err != nil || shard[0].Value == nil {
		return err == nil, err
	}
	e, err := codec.DecodeShardEnds(string(shard[0].Value))
	return n <= e.Trimmed, err
}

// verifyTouched compares what a round copied. While writes are refused any
// difference is one too many.
func (r *run) verifyTouched(ctx context.Context, t written, frozen bool) error {
	for _, kind := range append(manyKinds(), tributary.ItemEntry) {
		for chunk := range slices.Chunk(t[kind], keysAtOnce(kind)) {
			if err := r.verifyKeys(ctx, kind, chunk, frozen); err != nil {
				return err
			}
		}
	}
	return nil
}

// verifyFew compares all items of which there are few. Nothing is being written.
func (r *run) verifyFew(ctx context.Context) error {
	var have [][]tributary.Item
	var haveErr error
	var reading sync.WaitGroup
	reading.Go(func() { have, haveErr = scanFew(ctx, r.Target) })
	want, err := scanFew(ctx, r.source)
	reading.Wait()
	if err := errors.Join(err, haveErr); err != nil {
		return err
	}
	for n := range want {
		if err := differ(want[n], have[n]); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) verifyKeys(ctx context.Context, kind tributary.ItemKind, keys []string, frozen bool) error {
	want, err := r.source.Fetch(ctx, kind, keys)
	if err != nil {
		return err
	}
	have, err := r.Target.Fetch(ctx, kind, keys)
	if err != nil {
		return err
	}
	for i := range want {
		err := differ(want[i:i+1], have[i:i+1])
		if err != nil && !frozen {
			err = r.explain(ctx, kind, want[i].Key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// round copies again what was written, and verifies it.
func (r *run) round(ctx context.Context) error {
	t := written{}
	if err := r.catchUp(ctx, t); err != nil {
		return err
	}
	return r.verifyTouched(ctx, t, false)
}
