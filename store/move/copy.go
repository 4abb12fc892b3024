package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"slices"
	"sort"
	"strings"
	"sync"

	"tributary"
	"tributary/store/codec"
)

// fewKinds are those of which there is little enough to be read as a whole in
// each round.
func fewKinds() []tributary.ItemKind {
	return []tributary.ItemKind{tributary.ItemStore, tributary.ItemStream, tributary.ItemShard, tributary.ItemPool,
		tributary.ItemUsage, tributary.ItemLease, tributary.ItemAccessKey, tributary.ItemSealingKey}
}

var hashSeed = maphash.MakeSeed()

// scanAll reads all items of a kind of which there are few.
func scanAll(ctx context.Context, s tributary.Transfer, kind tributary.ItemKind) ([]tributary.Item, error) {
	var all []tributary.Item
	for after := ""; ; {
		page, err := s.Scan(ctx, kind, after, most)
		all = append(all, page...)
		if size := len(page); err != nil || size == 0 || bytesOf(page) < most/2 {
			return all, err
		}
		after = page[len(page)-1].Key
	}
}

func bytesOf(page []tributary.Item) (n int) {
	for i := range page {
		n += len(page[i].Key) + len(page[i].Value)
	}
	return n
}

// scanFew reads all kinds of which there are few, at the same time.
func scanFew(ctx context.Context, s tributary.Transfer) ([][]tributary.Item, error) {
	kinds := fewKinds()
	out, errs := make([][]tributary.Item, len(kinds)), make([]error, len(kinds))
	var reading sync.WaitGroup
	for n, kind := range kinds {
		reading.Go(func() { out[n], errs[n] = scanAll(ctx, s, kind) })
	}
	reading.Wait()
	return out, errors.Join(errs...)
}

// copyAll copies what is there.
func (r *run) copyAll(ctx context.Context) error {
	r.step(Copying)
	if err := r.copyFew(ctx); err != nil {
		return err
	}
	for _, kind := range manyKinds() {
		for after, more := "", true; more; {
			var err error
			if after, more, err = r.stream(ctx, span{kind: kind, after: after, page: r.pageBytes()}); err != nil {
				return err
			}
			if more { // the journal is long
				if err := r.catchUp(ctx, nil); err != nil {
					return err
				}
			}
		}
	}
	for id, e := range r.ends {
		r.expect(tributary.ItemEntry, int64(codec.HeldBy(r.restores, id, e.trimmed, e.last).Len()))
	}
	return r.copyEntries(ctx, nil)
}

// span is a part of a kind's items.
type span struct {
	kind  tributary.ItemKind
	after string
	// through is the key of the last item; "": all, unless the journal grows
	// long meanwhile.
	through string
	page    int                               // bytes
	seen    func(page []tributary.Item) error // is told of what is copied; nil: nobody is
}

// stream copies a span, pages being written while the next is read. It tells
// how far it came, and whether there is more because it ended early.
func (r *run) stream(ctx context.Context, of span) (last string, more bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pages := make(chan []tributary.Item)
	var writers sync.WaitGroup
	workers := r.Workers
	if workers == 0 {
		workers = 4
	}
	for range workers {
		writers.Go(func() {
			for page := range pages {
				if err := r.Target.Import(ctx, page); err != nil {
					cancel(err)
				} else {
					r.copied(page)
				}
			}
		})
	}
	last, more, err = r.feed(ctx, pages, of)
	close(pages)
	writers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return last, more, err
}

// feed reads the pages of a span.
func (r *run) feed(ctx context.Context, pages chan<- []tributary.Item, of span) (last string, more bool, err error) {
	for last = of.after; of.through == "" || last < of.through; {
		if of.through == "" && r.journal.size() > mostNoted {
			return last, true, nil
		}
		page, err := r.source.Scan(ctx, of.kind, last, of.page)
		if err != nil {
			return last, false, err
		}
		if of.through != "" {
			page = page[:sort.Search(len(page), func(i int) bool { return page[i].Key > of.through })]
		}
		if len(page) == 0 {
			break
		}
		last = page[len(page)-1].Key
		if of.seen != nil {
			if err := of.seen(page); err != nil {
				return last, false, err
			}
		}
		select {
		case pages <- page:
		case <-ctx.Done():
			return last, false, ctx.Err()
		}
	}
	return last, false, nil
}

// copied counts what was copied, and learns from it what is to come.
func (r *run) copied(page []tributary.Item) {
	var datasets int64
	for i := range page {
		if page[i].Kind == tributary.ItemIdentity {
			who, _ := codec.DecodeIdentity("", string(page[i].Value)) // an estimate
			datasets += who.Datasets
		}
	}
	if datasets > 0 {
		r.expect(tributary.ItemDataset, datasets)
	}
	r.count(page)
}

// keysAtOnce is how many items of a kind are read by their keys at once.
func keysAtOnce(kind tributary.ItemKind) int {
	if kind == tributary.ItemDataset { // which are large
		return 100
	}
	return 500
}

// catchUp copies again what was written since the last round. t collects what
// it was, if it is not nil.
func (r *run) catchUp(ctx context.Context, t written) (err error) {
	if err := r.copyFew(ctx); err != nil {
		return err
	}
	if err := r.copyEntries(ctx, t); err != nil {
		return err
	}
	items, emptied := r.journal.take()
	defer func() {
		if err != nil {
			r.journal.restore(items, emptied)
		}
	}()
	for _, id := range emptied {
		for _, kind := range []tributary.ItemKind{tributary.ItemDevice, tributary.ItemDataset} {
			had, err := r.keysAt(ctx, r.Target, kind, id)
			if err != nil {
				return err
			}
			items[kind] = append(items[kind], had...)
		}
	}
	for _, kind := range manyKinds() {
		slices.Sort(items[kind])
		items[kind] = slices.Compact(items[kind])
		if t != nil {
			t[kind] = items[kind]
		}
		if err := r.again(ctx, kind, items[kind]); err != nil {
			return err
		}
	}
	return nil
}

// keysAt lists the keys of an identity's items of a kind.
func (r *run) keysAt(ctx context.Context, s tributary.Transfer, kind tributary.ItemKind, identity string) ([]string, error) {
	prefix := identity + "\x00"
	var keys []string
	for after := prefix; ; {
		page, err := s.Scan(ctx, kind, after, r.pageBytes())
		if err != nil || len(page) == 0 {
			return keys, err
		}
		for i := range page {
			if after = page[i].Key; !strings.HasPrefix(after, prefix) {
				return keys, nil
			}
			keys = append(keys, after)
		}
	}
}

// again copies items by their keys.
func (r *run) again(ctx context.Context, kind tributary.ItemKind, keys []string) error {
	for chunk := range slices.Chunk(keys, keysAtOnce(kind)) {
		items, err := r.source.Fetch(ctx, kind, chunk)
		if err != nil {
			return err
		}
		if err := r.Target.Import(ctx, items); err != nil {
			return err
		}
		r.mu.Lock()
		r.progress.Again += int64(len(items))
		r.mu.Unlock()
	}
	return nil
}

// copyFew copies what has changed of the kinds of which there is little.
func (r *run) copyFew(ctx context.Context) error {
	lists, err := scanFew(ctx, r.source)
	if err != nil {
		return err
	}
	for n, kind := range fewKinds() {
		switch kind {
		case tributary.ItemStore:
			err = r.learnRestores(lists[n])
		case tributary.ItemShard:
			err = r.learnEnds(lists[n])
		}
		if err != nil {
			return err
		}
		if err := r.copyChanged(ctx, kind, lists[n]); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) learnRestores(figures []tributary.Item) error {
	for i := range figures {
		if figures[i].Key == tributary.Restores {
			r.restores = nil
			return json.Unmarshal(figures[i].Value, &r.restores)
		}
	}
	return nil
}

func (r *run) learnEnds(shards []tributary.Item) error {
	r.ends = map[tributary.Shard]ends{}
	for i := range shards {
		id, err := codec.ShardOfKey(shards[i].Key)
		if err != nil {
			return err
		}
		e, err := codec.DecodeShardEnds(string(shards[i].Value))
		if err != nil {
			return err
		}
		r.ends[id] = ends{e.Trimmed, e.Last}
	}
	if r.began == nil {
		r.began = r.ends
	}
	return nil
}

// copyChanged writes the items that the target does not have as they are, those
// that are gone first: a name may have moved from one to another.
func (r *run) copyChanged(ctx context.Context, kind tributary.ItemKind, all []tributary.Item) error {
	had := r.few[kind]
	now := make(map[string]uint64, len(all))
	var changed, gone []tributary.Item
	for i := range all {
		now[all[i].Key] = maphash.Bytes(hashSeed, all[i].Value)
		if was, known := had[all[i].Key]; !known || was != now[all[i].Key] {
			changed = append(changed, all[i])
		}
	}
	for key := range had {
		if _, there := now[key]; !there {
			gone = append(gone, tributary.Item{Kind: kind, Key: key})
		}
	}
	r.few[kind] = unsure(had, now)
	for chunk := range slices.Chunk(append(gone, changed...), 1000) {
		if err := r.Target.Import(ctx, chunk); err != nil {
			return err
		}
	}
	r.few[kind] = now
	if had == nil {
		r.count(all)
	}
	return nil
}

// unsure are the items that the target may have, whatever of an import was
// done: their hashes are those of nothing.
func unsure(had, now map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(had)+len(now))
	for _, of := range []map[string]uint64{had, now} {
		for key := range of {
			out[key] = 0
		}
	}
	return out
}

// copyEntries copies what the logs hold above what was copied.
func (r *run) copyEntries(ctx context.Context, t written) error {
	for id, e := range r.ends {
		from := max(r.marks[id], e.trimmed)
		if from >= e.last {
			continue
		}
		// Of a few entries a small page is read: what comes after them is of
		// another shard.
		const each = 512
		few := min(int(e.last-from), r.pageBytes())
		of := span{
			kind: tributary.ItemEntry, after: string(tributary.PositionOf(id, from)), through: string(tributary.PositionOf(id, e.last)),
			page: min((few+8)*each, r.pageBytes()),
			seen: func(page []tributary.Item) error { return r.noteWritten(page, t) },
		}
		last, _, err := r.stream(ctx, of)
		if err != nil {
			return err
		}
		_, n, err := tributary.Position(last).Split()
		if err != nil {
			return err
		}
		r.marks[id] = n
	}
	return nil
}

// noteWritten notes what the entries that came since the move began are of: of a
// commit of another node nothing else tells.
func (r *run) noteWritten(page []tributary.Item, t written) error {
	for i := range page {
		if t != nil {
			t[tributary.ItemEntry] = append(t[tributary.ItemEntry], page[i].Key)
		}
		id, n, err := tributary.Position(page[i].Key).Split()
		if err != nil {
			return err
		}
		if n <= r.began[id].last {
			continue
		}
		e, err := codec.DecodeEntry(string(page[i].Value))
		if err != nil {
			return err
		}
		if e.Kind == tributary.EntryChange {
			n := noteOf(e.Change)
			r.journal.begin(n)
			r.journal.end(n)
		}
	}
	return nil
}

// differ tells the first difference of two lists of items: Internal.
func differ(want, have []tributary.Item) error {
	for i := range max(len(want), len(have)) {
		var w, h tributary.Item
		if i < len(want) {
			w = want[i]
		}
		if i < len(have) {
			h = have[i]
		}
		if w.Key != h.Key || !bytes.Equal(w.Value, h.Value) || (w.Value == nil) != (h.Value == nil) {
			return differs(w, h)
		}
	}
	return nil
}

// differs says how a copy is not what it should be, without showing anybody's
// data.
func differs(w, h tributary.Item) error {
	const op = "verify copy"
	switch {
	case h.Value == nil || w.Value != nil && w.Key < h.Key:
		return tributary.Errorf(tributary.Internal, op, "the target lacks the %s %q", w.Kind, w.Key)
	case w.Value == nil || h.Key < w.Key:
		return tributary.Errorf(tributary.Internal, op, "the target has the %s %q, the source does not", h.Kind, h.Key)
	}
	return tributary.Errorf(tributary.Internal, op, "the target's %s %q is not the source's: %d and %d bytes", w.Kind, w.Key, len(h.Value), len(w.Value))
}
