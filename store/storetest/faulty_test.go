package storetest_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"tributary"
	"tributary/store/storetest"
)

const (
	pool     = tributary.PoolID("eu-west-1:0")
	identity = tributary.IdentityID("eu-west-1:1")
)

var errFault = tributary.Errorf(tributary.Unavailable, "test", "fault")

func TestFaultyPassesThrough(t *testing.T) {
	storetest.Run(t, func(t testing.TB) tributary.Store {
		books := &storetest.Acked{}
		return books.Watch(&storetest.Faulty{Store: openModel(t)})
	}, storetest.Options{Seeds: 1, Steps: 40})
}

// state tells what a write changed.
func state(t *testing.T, s tributary.Store) []string {
	t.Helper()
	lines, err := storetest.Dump(t.Context(), s)
	must(t, err)
	u, err := s.PoolUsage(t.Context(), pool)
	must(t, err)
	leases, err := s.Leases(t.Context(), "group")
	must(t, err)
	keys, err := s.AccessKeys(t.Context())
	must(t, err)
	return append(lines, fmt.Sprint(u.Sessions, len(leases), len(keys)))
}

// TestFaulty tries every write failed, failed but applied, and lost.
func TestFaulty(t *testing.T) {
	for _, w := range writes() {
		for _, f := range []struct {
			name  string
			apply bool
			err   error
		}{{"Failed", false, errFault}, {"FailedButApplied", true, errFault}, {"Lost", false, nil}, {"Fine", true, nil}} {
			t.Run(w.name+"/"+f.name, func(t *testing.T) {
				model := &storetest.Model{}
				prepare(t, model)
				before := state(t, model)
				asked := []string{}
				faulty := &storetest.Faulty{Store: model, Hook: func(op string) (bool, error) {
					asked = append(asked, op)
					return f.apply, f.err
				}}
				if err := w.do(t.Context(), faulty); err != f.err {
					t.Errorf("the answer is %v, want %v", err, f.err)
				}
				if !slices.Equal(asked, []string{w.name}) {
					t.Errorf("the hook was asked for %q", asked)
				}
				if applied := !slices.Equal(state(t, model), before); applied != f.apply {
					t.Errorf("applied=%t, want %t", applied, f.apply)
				}
			})
		}
	}
}

func TestFaultyReportsRefusal(t *testing.T) {
	faulty := &storetest.Faulty{Store: &storetest.Model{}, Hook: func(string) (bool, error) { return true, errFault }}
	if err := faulty.DeletePool(t.Context(), pool); tributary.KindOf(err) != tributary.NotFound {
		t.Errorf("the answer is %v, want what the store said", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// prepare makes a store in which every one of the writes has something to do.
func prepare(t *testing.T, s tributary.Store) {
	t.Helper()
	must(t, s.PutPool(t.Context(), tributary.Pool{ID: pool}))
	must(t, s.PutPool(t.Context(), tributary.Pool{ID: pool + "1"}))
	must(t, s.PutIdentity(t.Context(), tributary.Identity{ID: identity, Pool: pool}))
	must(t, s.PutIdentity(t.Context(), tributary.Identity{ID: identity + "1", Pool: pool}))
	must(t, s.PutDevice(t.Context(), tributary.Device{Identity: identity, ID: "gone"}))
	must(t, sync(t.Context(), s, "first"))
	_, err := s.PutStream(t.Context(), tributary.Stream{Name: "gone", Shards: tributary.EvenShards(1)})
	must(t, err)
	must(t, s.PutAccessKey(t.Context(), tributary.AccessKey{ID: "gone"}))
}

// sync commits a change of one record.
func sync(ctx context.Context, s tributary.Store, value string) error {
	c, err := draft(ctx, s, value)
	if err != nil {
		return err
	}
	return s.Commit(ctx, c)
}

func draft(ctx context.Context, s tributary.Store, value string) (*tributary.Change, error) {
	v, err := s.View(ctx, tributary.DatasetKey{Pool: pool, Identity: identity, Dataset: "d"}, []string{"key"})
	if err != nil {
		return nil, err
	}
	n := v.Dataset.SyncCount
	return v.Apply([]tributary.Patch{{Key: "key", Value: value, SyncCount: n}},
		tributary.Writer{ID: tributary.ChangeID(100 + n), By: "test", Now: tributary.Millis(1000 + n)})
}

type write struct {
	name string
	do   func(context.Context, tributary.Store) error
}

func writes() []write {
	first := tributary.PositionOf(tributary.Shard{Stream: tributary.DefaultStream}, 1)
	return []write{
		{"PutPool", func(ctx context.Context, s tributary.Store) error {
			return s.PutPool(ctx, tributary.Pool{ID: pool, Revision: 1, Name: "new"})
		}},
		{"DeletePool", func(ctx context.Context, s tributary.Store) error { return s.DeletePool(ctx, pool+"1") }},
		{"PutIdentity", func(ctx context.Context, s tributary.Store) error {
			return s.PutIdentity(ctx, tributary.Identity{ID: identity + "2", Pool: pool})
		}},
		{"DeleteIdentity", func(ctx context.Context, s tributary.Store) error { return s.DeleteIdentity(ctx, identity+"1") }},
		{"Commit", func(ctx context.Context, s tributary.Store) error { return sync(ctx, s, "second") }},
		{"PutDevice", func(ctx context.Context, s tributary.Store) error {
			return s.PutDevice(ctx, tributary.Device{Identity: identity, ID: "new"})
		}},
		{"DeleteDevice", func(ctx context.Context, s tributary.Store) error { return s.DeleteDevice(ctx, identity, "gone") }},
		{"PutStream", func(ctx context.Context, s tributary.Store) error {
			_, err := s.PutStream(ctx, tributary.Stream{Name: "new", Shards: tributary.EvenShards(1)})
			return err
		}},
		{"DeleteStream", func(ctx context.Context, s tributary.Store) error { return s.DeleteStream(ctx, "gone") }},
		{"Trim", func(ctx context.Context, s tributary.Store) error {
			return s.Trim(ctx, tributary.Shard{Stream: tributary.DefaultStream}, first)
		}},
		{"Append", func(ctx context.Context, s tributary.Store) error {
			_, err := s.Append(ctx, tributary.DefaultStream, []tributary.Entry{
				{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p"}}})
			return err
		}},
		{"SwapLease", func(ctx context.Context, s tributary.Store) error {
			_, err := s.SwapLease(ctx, tributary.Lease{Group: "group"})
			return err
		}},
		{"PutAccessKey", func(ctx context.Context, s tributary.Store) error {
			return s.PutAccessKey(ctx, tributary.AccessKey{ID: "AKIA"})
		}},
		{"DeleteAccessKey", func(ctx context.Context, s tributary.Store) error { return s.DeleteAccessKey(ctx, "gone") }},
		{"CountSessions", func(ctx context.Context, s tributary.Store) error {
			return s.CountSessions(ctx, map[tributary.PoolID]int64{pool: 1})
		}},
	}
}
