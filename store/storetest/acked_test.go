package storetest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"tributary"
	"tributary/store/storetest"
)

// bent is a store that does something else than a test's commit asks for.
type bent struct {
	tributary.Store
	commit func(context.Context, tributary.Store, *tributary.Change) error
	read   func([]tributary.Entry) []tributary.Entry
}

func (b *bent) Commit(ctx context.Context, c *tributary.Change) error {
	if b.commit == nil {
		return b.Store.Commit(ctx, c)
	}
	return b.commit(ctx, b.Store, c)
}

func (b *bent) Read(ctx context.Context, s tributary.Shard, after tributary.Position, maxBytes int) ([]tributary.Entry, error) {
	list, err := b.Store.Read(ctx, s, after, maxBytes)
	if b.read != nil && len(list) > 0 {
		list = b.read(list)
	}
	return list, err
}

var defaultShard = tributary.Shard{Stream: tributary.DefaultStream}

// TestAcked breaks promises on the way of a few syncs, one at a time.
func TestAcked(t *testing.T) {
	third := func(c *tributary.Change) bool { return c.SyncCount == 3 }
	cases := []struct {
		name string
		bent bent
		// after happens behind the books' back.
		after func(context.Context, tributary.Store) error
		want  string // of the finding; "" for none
	}{
		{name: "Fine"},
		{name: "FailedNotApplied", bent: bent{commit: func(ctx context.Context, s tributary.Store, c *tributary.Change) error {
			if third(c) {
				return errFault
			}
			return s.Commit(ctx, c)
		}}},
		{name: "FailedButApplied", bent: bent{commit: func(ctx context.Context, s tributary.Store, c *tributary.Change) error {
			if err := s.Commit(ctx, c); err != nil || !third(c) {
				return err
			}
			return errFault
		}}},
		{name: "Lost", want: "not in the log", bent: bent{commit: func(ctx context.Context, s tributary.Store, c *tributary.Change) error {
			if third(c) {
				return nil
			}
			return s.Commit(ctx, c)
		}}},
		{name: "RefusedButApplied", want: "was refused", bent: bent{commit: func(ctx context.Context, s tributary.Store, c *tributary.Change) error {
			if err := s.Commit(ctx, c); err != nil || !third(c) {
				return err
			}
			return tributary.Errorf(tributary.Stale, "test", "")
		}}},
		{name: "Altered", want: "asked for was", bent: bent{commit: func(ctx context.Context, s tributary.Store, c *tributary.Change) error {
			other := *c
			other.By = "nobody"
			return s.Commit(ctx, &other)
		}}},
		{name: "NeverAsked", want: "never asked for", after: func(ctx context.Context, s tributary.Store) error { return sync(ctx, s, "behind") }},
		{name: "Repeated", want: "is again what is at", bent: bent{read: func(list []tributary.Entry) []tributary.Entry {
			return append(list[:1:1], list...)
		}}},
		{name: "OutOfOrder", want: "after it was acknowledged", bent: bent{read: func(list []tributary.Entry) []tributary.Entry {
			if len(list) > 1 {
				list[0].Change, list[1].Change = list[1].Change, list[0].Change
			}
			return list
		}}},
		{name: "TrimmedUnasked", want: "are gone", after: func(ctx context.Context, s tributary.Store) error {
			return s.Trim(ctx, defaultShard, tributary.PositionOf(defaultShard, 2))
		}},
		{name: "AppendedUnasked", want: "more often", after: func(ctx context.Context, s tributary.Store) error {
			_, err := s.Append(ctx, tributary.DefaultStream, foreignEntries())
			return err
		}},
		{name: "AppendLost", want: "acknowledged at", bent: bent{read: func(list []tributary.Entry) []tributary.Entry {
			if list[len(list)-1].Kind == tributary.EntryForeign {
				list = list[:len(list)-1]
			}
			return list
		}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			model := &storetest.Model{}
			c.bent.Store = model
			books := &storetest.Acked{}
			s := books.Watch(&c.bent)
			must(t, s.PutPool(t.Context(), tributary.Pool{ID: pool}))
			must(t, s.PutIdentity(t.Context(), tributary.Identity{ID: identity, Pool: pool}))
			for range 4 {
				_ = sync(t.Context(), s, "value") // as the case has it
			}
			_, err := s.Append(t.Context(), tributary.DefaultStream, foreignEntries())
			must(t, err)
			if c.after != nil {
				must(t, c.after(t.Context(), model))
			}
			wantFinding(t, books.Check(t.Context(), &c.bent), c.want)
		})
	}
}

// halved is a store that does one half of an append with leases.
type halved struct {
	tributary.Store
	entries, marks bool // which
}

func (h *halved) Append(ctx context.Context, stream tributary.StreamID, entries []tributary.Entry, marks ...tributary.Lease) ([]tributary.Position, error) {
	if !h.entries {
		entries = nil
	}
	if !h.marks {
		marks = nil
	}
	_, err := h.Store.Append(ctx, stream, entries, marks...)
	return nil, errors.Join(err, errFault)
}

// TestAckedMarks: a lease without the entries of its append is found, and
// entries without their lease.
func TestAckedMarks(t *testing.T) {
	for _, c := range []struct {
		h    halved
		want string
	}{{halved{nil, true, true}, ""}, {halved{nil, false, false}, ""}, {halved{nil, true, false}, "whose lease is at 0"}, {halved{nil, false, true}, "without the entries"}} {
		c.h.Store = &storetest.Model{}
		books := &storetest.Acked{}
		_, err := books.Watch(&c.h).Append(t.Context(), tributary.DefaultStream, foreignEntries(), tributary.Lease{Group: "marks"})
		if tributary.KindOf(err) != tributary.Unavailable {
			t.Fatal(err)
		}
		wantFinding(t, books.Check(t.Context(), c.h.Store), c.want)
	}
}

func foreignEntries() []tributary.Entry {
	return []tributary.Entry{{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p", Data: []byte("x")}}}
}

func wantFinding(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil {
		t.Errorf("found, though all is well: %v", err)
	}
	if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("found %v, want %q", err, want)
	}
}

// TestAckedAgain: a commit whose answer was lost is asked for again, and what
// was trimmed by request is not missed.
func TestAckedAgain(t *testing.T) {
	model := &storetest.Model{}
	answers := []error{errFault, nil}
	books := &storetest.Acked{}
	s := books.Watch(&storetest.Faulty{Store: model, Hook: func(op string) (bool, error) {
		if op != "Commit" || len(answers) == 0 {
			return true, nil
		}
		err := answers[0]
		answers = answers[1:]
		return true, err
	}})
	must(t, s.PutPool(t.Context(), tributary.Pool{ID: pool}))
	must(t, s.PutIdentity(t.Context(), tributary.Identity{ID: identity, Pool: pool}))
	c, err := draft(t.Context(), s, "value")
	must(t, err)
	if err := s.Commit(t.Context(), c); tributary.KindOf(err) != tributary.Unavailable {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), c); tributary.KindOf(err) != tributary.Stale {
		t.Fatal(err)
	}
	wantFinding(t, books.Check(t.Context(), model), "")
	must(t, s.Trim(t.Context(), defaultShard, tributary.PositionOf(defaultShard, 1)))
	must(t, sync(t.Context(), s, "next"))
	wantFinding(t, books.Check(t.Context(), model), "")
}

// TestAckedOutlivesTheLog loses an acknowledged commit after the log was
// trimmed and a stream deleted: the dataset still tells.
func TestAckedOutlivesTheLog(t *testing.T) {
	model := &storetest.Model{}
	lose := false
	b := &bent{Store: model, commit: func(ctx context.Context, s tributary.Store, c *tributary.Change) error {
		if lose {
			return nil
		}
		return s.Commit(ctx, c)
	}}
	books := &storetest.Acked{}
	s := books.Watch(b)
	must(t, s.PutPool(t.Context(), tributary.Pool{ID: pool}))
	must(t, s.PutIdentity(t.Context(), tributary.Identity{ID: identity, Pool: pool}))
	must(t, sync(t.Context(), s, "kept"))
	must(t, s.Trim(t.Context(), defaultShard, tributary.PositionOf(defaultShard, 1)))
	_, err := s.PutStream(t.Context(), tributary.Stream{Name: "s", Kind: tributary.Embedded, Shards: tributary.EvenShards(1)})
	must(t, err)
	must(t, s.DeleteStream(t.Context(), "s"))
	if err := s.DeleteIdentity(t.Context(), identity); tributary.KindOf(err) != tributary.Exists {
		t.Fatal(err) // it has data, and stays in the books
	}
	wantFinding(t, books.Check(t.Context(), model), "")
	lose = true
	must(t, sync(t.Context(), s, "lost"))
	wantFinding(t, books.Check(t.Context(), model), "acknowledged was 2")
}
