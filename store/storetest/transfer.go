package storetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tributary"
)

// Movable is a store that can be copied to another engine.
type Movable interface {
	tributary.Store
	tributary.Transfer
}

// MovableOpener gives a fresh, empty store that is opened for a transfer, and
// closes it in a cleanup of t.
type MovableOpener func(t testing.TB) Movable

// RunTransfer tests that what is copied from one store to another is equal, and
// goes on as if nothing had happened. The engines may be the same.
func RunTransfer(t *testing.T, source, target MovableOpener, o Options) {
	o = o.filled()
	for _, c := range []struct {
		name string
		run  func(k *moveKit)
	}{
		{"Pages", movePages},
		{"Fetch", moveFetch},
		{"Difference", moveDifference},
		{"Deletions", moveDeletions},
		{"Links", moveLinks},
		{"Records", moveRecords},
		{"States", moveStates},
		{"Clear", moveClear},
		{"Full", moveFull},
		{"Moved", moveMoved},
		{"Restored", moveRestored},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(&moveKit{kit: &kit{T: t, o: o}, source: source(t), target: target(t), another: source})
		})
	}
	t.Run("Program", func(t *testing.T) {
		for seed := range o.Seeds {
			open := func(t testing.TB) tributary.Store {
				return movesOn(t, source(t), target(t), o.Steps/4+seed*o.Steps/(3*o.Seeds))
			}
			if Compare(t, open, openModel, Program{Seed: uint64(seed), Steps: o.Steps}); t.Failed() {
				break
			}
		}
	})
}

// movesOn is a store that is copied before its n-th write, which goes to the
// copy, as all that follows.
func movesOn(t testing.TB, source, target Movable, n int) tributary.Store {
	f := &Faulty{Store: source}
	f.Hook = func(string) (bool, error) {
		if n--; n == 0 {
			if err := CopyStore(t.Context(), source, target); err != nil {
				t.Errorf("copy: %v", err)
			}
			f.Store = target
		}
		return true, nil
	}
	return f
}

// AllItems reads all items of a store that nobody writes to, kind by kind, in
// pages of about maxBytes.
func AllItems(ctx context.Context, s tributary.Transfer, maxBytes int) ([]tributary.Item, error) {
	var all []tributary.Item
	for _, kind := range tributary.ItemKinds() {
		after := ""
		for {
			page, err := s.Scan(ctx, kind, after, maxBytes)
			if err != nil {
				return nil, err
			}
			if len(page) == 0 {
				break
			}
			for i := range page {
				if page[i].Key <= after || page[i].Kind != kind || page[i].Value == nil {
					return nil, fmt.Errorf("above %q of %s is %s %q", after, kind, page[i].Kind, page[i].Key)
				}
				after = page[i].Key
			}
			all = append(all, page...)
		}
	}
	return all, nil
}

// CopyStore copies a store to which nobody writes, and gives it up.
func CopyStore(ctx context.Context, source, target Movable) error {
	const most = 2000 // bytes: a few items
	var ordinary tributary.TransferState
	filling := tributary.TransferState{Phase: tributary.Filling, Move: "test", Peer: "the source", Since: epoch}
	filled, moved := filling, filling
	filled.Phase, moved.Phase = tributary.Filled, tributary.Moved
	if err := target.SetState(ctx, ordinary, filling); err != nil {
		return err
	}
	all, err := AllItems(ctx, source, most)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(all, 7) {
		if err := target.Import(ctx, chunk); err != nil {
			return err
		}
	}
	if err := target.SetState(ctx, filling, filled); err != nil {
		return err
	}
	copied, err := AllItems(ctx, target, most)
	if err != nil {
		return err
	}
	if diff := itemsDiffer(all, copied); diff != "" {
		return fmt.Errorf("the copy differs: %s", diff)
	}
	return cmp.Or(source.SetState(ctx, ordinary, moved), target.SetState(ctx, filled, ordinary))
}

// itemsDiffer tells the first difference of two stores.
func itemsDiffer(a, b []tributary.Item) string {
	for i := range max(len(a), len(b)) {
		var x, y tributary.Item
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x.Kind != y.Kind || x.Key != y.Key || !bytes.Equal(x.Value, y.Value) {
			return fmt.Sprintf("%s %q %q, %s %q %q", x.Kind, x.Key, x.Value, y.Kind, y.Key, y.Value)
		}
	}
	return ""
}

type moveKit struct {
	*kit
	source, target Movable
	another        MovableOpener // of the source's engine
}

// play runs a program on the source.
func (k *moveKit) play(seed uint64, steps int) {
	k.Helper()
	Program{Seed: seed, Steps: steps, again: true}.Run(k.Context(), k.source)
}

func (k *moveKit) items(s tributary.Transfer, maxBytes int) []tributary.Item {
	k.Helper()
	return got(AllItems(k.Context(), s, maxBytes))(k.kit)
}

var (
	isOrdinary tributary.TransferState
	isFilling  = tributary.TransferState{Phase: tributary.Filling, Move: "one", Peer: "there", Since: epoch}
	isFilled   = tributary.TransferState{Phase: tributary.Filled, Move: "one", Peer: "there", Since: epoch}
	isMoved    = tributary.TransferState{Phase: tributary.Moved, Move: "one", Peer: "there", Since: epoch}
	isAnother  = tributary.TransferState{Phase: tributary.Filling, Move: "two", Peer: "there", Since: epoch}
)

func (k *moveKit) step(s tributary.Transfer, from, to tributary.TransferState) {
	k.Helper()
	k.ok(s.SetState(k.Context(), from, to))
	if now := got(s.State(k.Context()))(k.kit); now != to {
		k.Fatalf("the state is %+v, want %+v", now, to)
	}
}

// movePages: pages of every size give the same, of every kind something.
func movePages(k *moveKit) {
	k.play(1, k.o.Steps)
	k.ok(k.source.PutAccessKey(k.Context(), tributary.AccessKey{ID: "one more", Created: epoch}))
	k.ok(k.source.PutSealingKey(k.Context(), tributary.SealingKey{ID: 7, Created: epoch, Sealed: []byte("s")}))
	k.ok(k.source.PutSealingKey(k.Context(), tributary.SealingKey{ID: 8, Created: epoch, Sealed: []byte("t")}))
	got(k.source.SwapLease(k.Context(), tributary.Lease{Group: "one more"}))(k.kit)
	want := k.items(k.source, 1<<30)
	found := map[tributary.ItemKind]int{}
	for i := range want {
		found[want[i].Kind]++
	}
	for _, kind := range tributary.ItemKinds() {
		if found[kind] == 0 {
			k.Errorf("the program left no %s", kind)
		}
	}
	for _, most := range []int{0, 100, 1000, 10_000} {
		if diff := itemsDiffer(want, k.items(k.source, most)); diff != "" {
			k.Errorf("in pages of %d: %s", most, diff)
		}
	}
	if page := got(k.source.Scan(k.Context(), tributary.ItemDataset, "", 1))(k.kit); len(page) != 1 {
		k.Errorf("a page of 1 byte has %d items", len(page))
	}
}

func moveFetch(k *moveKit) {
	k.play(2, k.o.Steps)
	k.ok(k.source.PutSealingKey(k.Context(), tributary.SealingKey{ID: 7, Created: epoch, Sealed: []byte("s")}))
	all := k.items(k.source, 1<<20)
	for _, kind := range tributary.ItemKinds() {
		var want []tributary.Item
		for i := range all {
			if all[i].Kind == kind {
				want = append(want, all[i])
			}
		}
		slices.Reverse(want) // the order is the caller's
		want = append(want, tributary.Item{Kind: kind, Key: absentKey(kind)})
		var keys []string
		for i := range want {
			keys = append(keys, want[i].Key)
		}
		if diff := itemsDiffer(want, got(k.source.Fetch(k.Context(), kind, keys))(k.kit)); diff != "" {
			k.Errorf("fetched: %s", diff)
		}
	}
}

// absentKey is the key of an item that no store has.
func absentKey(kind tributary.ItemKind) string {
	nowhere := tributary.Shard{Stream: 1 << 52, Number: 7}
	switch kind {
	case tributary.ItemStream:
		return tributary.StreamItemKey(nowhere.Stream)
	case tributary.ItemShard:
		return tributary.ShardItemKey(nowhere)
	case tributary.ItemLease:
		return tributary.LeaseItemKey("nobody", nowhere)
	case tributary.ItemSealingKey:
		return tributary.SealingItemKey(1 << 20)
	case tributary.ItemDevice:
		return tributary.DeviceItemKey("a:1", "nothing")
	case tributary.ItemDataset:
		return tributary.DatasetItemKey("a:1", "nothing")
	case tributary.ItemEntry:
		return string(tributary.PositionOf(nowhere, 1))
	}
	return "nothing"
}

// moveDifference: the copy follows the source by what has changed of it.
func moveDifference(k *moveKit) {
	ctx := k.Context()
	k.step(k.target, isOrdinary, isFilling)
	var have []tributary.Item
	for seed := range uint64(4) {
		k.play(seed, k.o.Steps/4)
		if seed%2 == 0 {
			k.ok(k.source.PutAccessKey(ctx, tributary.AccessKey{ID: "now and then", Created: epoch, Sealed: []byte("s")}))
		} else {
			k.ok(k.source.DeleteAccessKey(ctx, "now and then"))
		}
		k.ok(k.source.PutSealingKey(ctx, tributary.SealingKey{ID: uint32(seed % 3), Revision: int64(seed / 3), Created: epoch, Sealed: []byte("s")}))
		want := k.items(k.source, 1<<20)
		for chunk := range slices.Chunk(difference(have, want), 50) {
			k.ok(k.target.Import(ctx, chunk))
		}
		have = k.items(k.target, 1<<20)
		if diff := itemsDiffer(want, have); diff != "" {
			k.Fatalf("round %d: %s", seed, diff)
		}
	}
	k.step(k.target, isFilling, isFilled)
	k.step(k.source, isOrdinary, isMoved)
	k.step(k.target, isFilled, isOrdinary)
	k.same("id", k.target.ID(), k.source.ID())
	want, gotten := got(Dump(ctx, k.source))(k.kit), got(Dump(ctx, k.target))(k.kit)
	k.same("dump", fmt.Sprintf("%q", gotten), fmt.Sprintf("%q", want))
	CheckConsistent(k.T, k.target, Checks{Lost: true, Usage: true})
}

// difference are the items that make one store of another, deletions first
// within a kind, as names may move from one item to another.
func difference(from, to []tributary.Item) []tributary.Item {
	type name struct {
		kind tributary.ItemKind
		key  string
	}
	have := map[name][]byte{}
	for _, i := range from {
		have[name{i.Kind, i.Key}] = i.Value
	}
	var out []tributary.Item
	for _, i := range to {
		n := name{i.Kind, i.Key}
		if was, known := have[n]; !known || !bytes.Equal(was, i.Value) {
			out = append(out, i)
		}
		delete(have, n)
	}
	for n := range have {
		out = append(out, tributary.Item{Kind: n.kind, Key: n.key})
	}
	slices.SortFunc(out, func(a, b tributary.Item) int {
		deleted := func(i tributary.Item) int {
			if i.Value == nil {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(deleted(a), deleted(b)), cmp.Compare(a.Key, b.Key))
	})
	return out
}

// moveDeletions: a store out of which all was deleted has nothing left.
func moveDeletions(k *moveKit) {
	k.play(3, k.o.Steps)
	k.ok(k.source.PutSealingKey(k.Context(), tributary.SealingKey{ID: 1, Created: epoch, Sealed: []byte("s")}))
	k.step(k.target, isOrdinary, isFilling)
	empty := k.items(k.target, 1<<20)
	all := k.items(k.source, 1<<20)
	k.ok(k.target.Import(k.Context(), all))
	var gone []tributary.Item
	for _, i := range all {
		if i.Kind != tributary.ItemStore {
			gone = append(gone, tributary.Item{Kind: i.Kind, Key: i.Key})
		}
	}
	k.ok(k.target.Import(k.Context(), gone))
	left := slices.DeleteFunc(k.items(k.target, 1<<20), func(i tributary.Item) bool { return i.Kind == tributary.ItemStore })
	empty = slices.DeleteFunc(empty, func(i tributary.Item) bool { return i.Kind == tributary.ItemStore })
	if diff := itemsDiffer(empty, left); diff != "" {
		k.Fatalf("left: %s", diff)
	}
}

// moveLinks: a login that went to another identity stays there, whichever of
// the two is imported first.
func moveLinks(k *moveKit) {
	k.s = k.source
	login := tributary.Login{Provider: "p", User: "u"}
	k.pool(poolA)
	from := k.identity(ann, poolA, login)
	k.step(k.target, isOrdinary, isFilling)
	k.ok(k.target.Import(k.Context(), k.items(k.source, 1<<20)))
	from.Logins = nil
	k.ok(k.s.PutIdentity(k.Context(), from))
	k.identity(bob, poolA, login)
	for _, id := range []tributary.IdentityID{bob, ann} {
		k.ok(k.target.Import(k.Context(), got(k.source.Fetch(k.Context(), tributary.ItemIdentity, []string{string(id)}))(k.kit)))
	}
	if diff := itemsDiffer(k.items(k.source, 1<<20), k.items(k.target, 1<<20)); diff != "" {
		k.Fatal(diff)
	}
}

// moveRecords: of a large dataset that was deleted nothing is left in the one
// that came after.
func moveRecords(k *moveKit) {
	k.s = k.source
	key := k.world()
	k.step(k.target, isOrdinary, isFilling)
	for _, name := range []string{"one", "two"} {
		for n := range 3 {
			k.sync(key, put(fmt.Sprint(name, n), strings.Repeat(big, 30)))
		}
		k.ok(k.target.Import(k.Context(), k.items(k.source, 1<<20)))
		if diff := itemsDiffer(k.items(k.source, 1<<20), k.items(k.target, 1<<20)); diff != "" {
			k.Fatal(diff)
		}
		k.drop(key)
	}
}

// moveStates: no step but those that are promised.
func moveStates(k *moveKit) {
	ctx := k.Context()
	item := []tributary.Item{{Kind: tributary.ItemPool, Key: string(poolA), Value: []byte(`{"ID":"` + poolA + `","Revision":1}`)}}
	k.kind(k.target.Import(ctx, item), tributary.Invalid)
	for _, to := range []tributary.TransferState{isOrdinary, isFilled, {Phase: tributary.Filling}, {Move: "one"}} {
		k.kind(k.target.SetState(ctx, isOrdinary, to), tributary.Invalid)
	}
	k.kind(k.target.SetState(ctx, isFilling, isFilled), tributary.Stale)
	k.step(k.target, isOrdinary, isFilling)
	k.ok(k.target.Import(ctx, item))
	_, err := k.target.Pool(ctx, poolA)
	k.kind(err, tributary.Unavailable)
	k.kind(k.target.PutPool(ctx, tributary.Pool{ID: poolB}), tributary.Unavailable)
	k.kind(k.target.Ready(ctx), tributary.Unavailable)
	for _, to := range []tributary.TransferState{isFilling, isOrdinary, isMoved, {Phase: tributary.Filled, Move: "two"}} {
		k.kind(k.target.SetState(ctx, isFilling, to), tributary.Invalid)
	}
	k.step(k.target, isFilling, isFilled)
	k.kind(k.target.Import(ctx, item), tributary.Invalid)
	k.kind(k.target.PutPool(ctx, tributary.Pool{ID: poolB}), tributary.Unavailable)
	k.step(k.target, isFilled, isFilling) // of the same move: nothing is lost
	if have := got(k.target.Fetch(ctx, tributary.ItemPool, []string{string(poolA)}))(k.kit); have[0].Value == nil {
		k.Fatalf("the store was emptied")
	}
	k.ok(k.target.Import(ctx, item))
}

// moveClear: another move begins with nothing.
func moveClear(k *moveKit) {
	k.play(1, k.o.Steps)
	k.step(k.target, isOrdinary, isFilling)
	empty := k.items(k.target, 1<<20)
	k.ok(k.target.Import(k.Context(), k.items(k.source, 1<<20)))
	k.step(k.target, isFilling, isFilled)
	k.step(k.target, isFilled, isAnother)
	if diff := itemsDiffer(empty, k.items(k.target, 1<<20)); diff != "" {
		k.Fatalf("after another move began: %s", diff)
	}
}

// moveFull: a store that holds anything is not emptied by accident.
func moveFull(k *moveKit) {
	ctx := k.Context()
	k.ok(k.target.PutAccessKey(ctx, tributary.AccessKey{ID: "a"}))
	k.kind(k.target.SetState(ctx, isOrdinary, isFilling), tributary.Exists)
	if now := got(k.target.State(ctx))(k.kit); now != isOrdinary {
		k.Fatalf("the state is %+v", now)
	}
	if keys := got(k.target.AccessKeys(ctx))(k.kit); len(keys) != 1 {
		k.Fatalf("the store holds %d access keys", len(keys))
	}
	k.ok(k.target.PutAccessKey(ctx, tributary.AccessKey{ID: "b"}))
}

// moveMoved: a store that was given up is read, and never written.
func moveMoved(k *moveKit) {
	k.s = k.source
	ctx := k.Context()
	key := k.world()
	s := k.stream("s", 1)
	k.sync(key, put("a", "1"))
	k.ok(k.source.PutAccessKey(ctx, tributary.AccessKey{ID: developerKey}))
	k.ok(k.source.PutDevice(ctx, device(ann, "there")))
	late, snapshot := k.draft(key, put("b", "1")), k.view(key)
	k.step(k.source, isOrdinary, isMoved)
	_, put := k.source.PutStream(ctx, newStream("t", 1))
	_, appended := k.source.Append(ctx, s.ID, []tributary.Entry{{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p"}}})
	_, leased := k.source.SwapLease(ctx, tributary.Lease{Group: "g", Shard: tributary.Shard{Stream: s.ID}})
	_, marked := k.source.Append(ctx, s.ID, nil, tributary.Lease{Group: "g"})
	for n, err := range []error{
		marked, k.source.PutDevice(ctx, device(ann, "new")), k.source.DeleteDevice(ctx, ann, "there"), k.source.PutPool(ctx, tributary.Pool{ID: poolB}), k.source.PutIdentity(ctx, tributary.Identity{ID: bob, Pool: poolA}), put, appended, leased,
		k.source.PutAccessKey(ctx, tributary.AccessKey{ID: "a"}), k.source.DeleteAccessKey(ctx, developerKey), k.source.PutSealingKey(ctx, tributary.SealingKey{ID: 1}), k.source.CountSessions(ctx, map[tributary.PoolID]int64{poolA: 1}),
		k.source.DeleteStream(ctx, s.Name), k.source.Ready(ctx),
	} {
		if !isKind(err, tributary.Unavailable) {
			k.Errorf("write %d into a store that was moved: %v", n, err)
		}
	}
	// A commit's condition may be all that fails.
	k.kind(k.source.Commit(ctx, late), tributary.Unavailable, tributary.Stale)
	if now := k.view(key); viewText(&now) != viewText(&snapshot) {
		k.Fatalf("the store that was moved shows %s, want %s", viewText(&now), viewText(&snapshot))
	}
	k.step(k.source, isMoved, isOrdinary)
	k.ok(k.source.Commit(ctx, late))
	k.ok(k.source.Ready(ctx))
}
