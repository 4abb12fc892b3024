package storetest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"tributary"
	"tributary/store/storetest"
)

// liar is a store that shows something else than it holds.
type liar struct {
	tributary.Store
	dataset  func(*tributary.Dataset)
	record   func([]tributary.Record) []tributary.Record
	identity func(*tributary.Identity)
	entries  func([]tributary.Entry) []tributary.Entry
	snapshot func([]tributary.Snapshot) []tributary.Snapshot
	login    tributary.IdentityID
	bytes    int64
}

func (l *liar) Datasets(ctx context.Context, i tributary.IdentityID, after tributary.DatasetName, n int) ([]tributary.Dataset, error) {
	list, err := l.Store.Datasets(ctx, i, after, n)
	for i := range list {
		if l.dataset != nil {
			l.dataset(&list[i])
		}
	}
	return list, err
}

func (l *liar) View(ctx context.Context, key tributary.DatasetKey, names []string) (tributary.View, error) {
	v, err := l.Store.View(ctx, key, names)
	if l.dataset != nil {
		l.dataset(&v.Dataset)
	}
	if l.record != nil {
		v.Records = l.record(v.Records)
	}
	return v, err
}

func (l *liar) Records(ctx context.Context, key tributary.DatasetKey, r tributary.Range) ([]tributary.Record, error) {
	list, err := l.Store.Records(ctx, key, r)
	if l.record != nil {
		list = l.record(list)
	}
	return list, err
}

func (l *liar) Snapshots(ctx context.Context, p tributary.PoolID, after tributary.DatasetKey, n int) ([]tributary.Snapshot, error) {
	list, err := l.Store.Snapshots(ctx, p, after, n)
	for i := range list {
		if l.dataset != nil {
			l.dataset(&list[i].Dataset)
		}
		if l.record != nil {
			list[i].Records = l.record(list[i].Records)
		}
	}
	if l.snapshot != nil && len(list) > 0 {
		list = l.snapshot(list)
	}
	return list, err
}

func (l *liar) Identities(ctx context.Context, p tributary.PoolID, after tributary.IdentityID, n int) ([]tributary.Identity, error) {
	list, err := l.Store.Identities(ctx, p, after, n)
	for i := range list {
		if l.identity != nil {
			l.identity(&list[i])
		}
	}
	return list, err
}

func (l *liar) Read(ctx context.Context, s tributary.Shard, after tributary.Position, n int) ([]tributary.Entry, error) {
	list, err := l.Store.Read(ctx, s, after, n)
	if l.entries != nil && len(list) > 0 {
		list = l.entries(list)
	}
	return list, err
}

func (l *liar) FindLogin(ctx context.Context, p tributary.PoolID, login tributary.Login) (tributary.IdentityID, error) {
	if l.login != "" {
		return l.login, nil
	}
	return l.Store.FindLogin(ctx, p, login)
}

func (l *liar) PoolUsage(ctx context.Context, p tributary.PoolID) (tributary.Usage, error) {
	u, err := l.Store.PoolUsage(ctx, p)
	u.Bytes += l.bytes
	return u, err
}

// fill makes a store with a dataset of three changes in the default log.
func fill(t *testing.T, s tributary.Store) {
	t.Helper()
	must(t, s.PutPool(t.Context(), tributary.Pool{ID: pool}))
	login := tributary.Login{Provider: "p", User: "u"}
	must(t, s.PutIdentity(t.Context(), tributary.Identity{ID: identity, Pool: pool, Logins: []tributary.Login{login}}))
	for _, value := range []string{"one", "two", "three"} {
		must(t, sync(t.Context(), s, value))
	}
}

func TestVerify(t *testing.T) {
	cases := []struct {
		name string
		liar liar
		want string
	}{
		{"Fine", liar{}, ""},
		{"HeadCount", liar{dataset: func(d *tributary.Dataset) { d.SyncCount++ }}, "its log ends at 3"},
		{"HeadChange", liar{dataset: func(d *tributary.Dataset) { d.Change++ }}, "its log ends at 3"},
		{"HeadBytes", liar{dataset: func(d *tributary.Dataset) { d.Bytes++ }}, "it has 1, 0 of 0, 8"},
		{"HeadRecords", liar{dataset: func(d *tributary.Dataset) { d.Records++ }}, "it has 1, 0 of 0, 8"},
		{"HeadTombstoneBytes", liar{dataset: func(d *tributary.Dataset) { d.TombstoneBytes++ }}, "it has 1, 0 of 0, 8"},
		{"RecordLost", liar{record: func([]tributary.Record) []tributary.Record { return nil }}, "lost"},
		{"RecordValue", liar{record: func(list []tributary.Record) []tributary.Record {
			for i := range list {
				list[i].Value = "seven"
			}
			return list
		}}, "by the log"},
		{"RecordTwice", liar{record: func(list []tributary.Record) []tributary.Record { return append(list, list...) }}, "it has 2, 0 of 0, 16"},
		{"IdentityBytes", liar{identity: func(i *tributary.Identity) { i.Usage.Bytes++ }}, "it has 1 of 8"},
		{"IdentityDatasets", liar{identity: func(i *tributary.Identity) { i.Datasets++ }}, "it has 1 of 8"},
		{"LogEnd", liar{entries: func(list []tributary.Entry) []tributary.Entry {
			return slices.DeleteFunc(list, func(e tributary.Entry) bool { return e.Change.SyncCount == 3 })
		}}, "its log ends at 2"},
		{"LogGap", liar{entries: func(list []tributary.Entry) []tributary.Entry { return list[1:] }}, "goes from sync count 0 to 2"},
		{"LogRepeats", liar{entries: func(list []tributary.Entry) []tributary.Entry { return append(list, list[len(list)-1]) }}, "has an entry at"},
		{"LogValue", liar{entries: func(list []tributary.Entry) []tributary.Entry {
			list[len(list)-1].Change.Records[0].Value = "seven"
			return list
		}}, "by the log"},
		{"LogPoolBytes", liar{entries: func(list []tributary.Entry) []tributary.Entry {
			list[0].Change.PoolBytes++
			return list
		}}, "by the log pool"},
		{"SnapshotLost", liar{snapshot: func([]tributary.Snapshot) []tributary.Snapshot { return nil }}, `the snapshot is ""`},
		{"SnapshotOfNothing", liar{snapshot: func(list []tributary.Snapshot) []tributary.Snapshot {
			other := list[0]
			other.Dataset.Key.Dataset = "gone"
			return append(list, other)
		}}, "which is not listed"},
		{"SnapshotRecords", liar{snapshot: func(list []tributary.Snapshot) []tributary.Snapshot {
			list[0].Records = nil
			return list
		}}, "listed is"},
		{"Login", liar{login: "nobody"}, "finds"},
		{"PoolUsage", liar{bytes: 1}, "stay at"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			model := &storetest.Model{}
			fill(t, model)
			c.liar.Store = model
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			wantFinding(t, storetest.Verify(ctx, &c.liar, storetest.Checks{Usage: c.name == "PoolUsage"}), c.want)
		})
	}
}

// TestVerifyWindow: what is left of a trimmed log explains what it can.
func TestVerifyWindow(t *testing.T) {
	for n := range uint64(4) {
		model := &storetest.Model{}
		fill(t, model)
		must(t, model.Trim(t.Context(), defaultShard, tributary.PositionOf(defaultShard, n)))
		storetest.CheckConsistent(t, model, storetest.Checks{Usage: true})
		wrong := &liar{Store: model, record: func(list []tributary.Record) []tributary.Record {
			for i := range list {
				list[i].Value = "seven"
			}
			return list
		}}
		want := "by the log"
		if n == 3 {
			want = "" // nothing is left to tell
		}
		wantFinding(t, storetest.Verify(t.Context(), wrong, storetest.Checks{}), want)
	}
}

// TestVerifyPrograms: whatever a program does, Verify understands it.
func TestVerifyPrograms(t *testing.T) {
	for seed := range uint64(20) {
		s := openModel(t)
		storetest.Program{Seed: seed, Steps: 150}.Run(t.Context(), s)
		storetest.CheckConsistent(t, s, storetest.Checks{Lost: true})
	}
}
