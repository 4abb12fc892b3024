package tributary_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tributary"
)

// functions are pools' functions that tests write.
type functions struct {
	answer func(ctx context.Context, e *tributary.SyncEvent) ([]tributary.EventRecord, error)
	events []*tributary.SyncEvent
}

func (f *functions) Check(function string) error {
	if function == "bad" {
		return tributary.Errorf(tributary.Invalid, "check function", "The function cannot be called")
	}
	return nil
}

func (f *functions) BeforeSync(ctx context.Context, _ string, e *tributary.SyncEvent) ([]tributary.EventRecord, error) {
	f.events = append(f.events, e)
	return f.answer(ctx, e)
}

const hook = "https://hook.test/sync"

// withFunction gives the pool of a kit a function.
func (k *kit) withFunction(answer func(ctx context.Context, e *tributary.SyncEvent) ([]tributary.EventRecord, error)) *functions {
	k.t.Helper()
	f := &functions{answer: answer}
	k.Functions = f
	k.ok(k.SetEvents(k.ctx, developer, poolA, map[string]string{tributary.SyncTrigger: hook}))
	return f
}

// says is a function with an answer of one kind.
func says(records ...tributary.EventRecord) func(context.Context, *tributary.SyncEvent) ([]tributary.EventRecord, error) {
	return func(context.Context, *tributary.SyncEvent) ([]tributary.EventRecord, error) { return records, nil }
}

// echo is a function that changes nothing.
func echo(_ context.Context, e *tributary.SyncEvent) ([]tributary.EventRecord, error) {
	return e.Records, nil
}

func to(key, value string) tributary.EventRecord { return tributary.EventRecord{Key: key, New: &value} }

func gone(key string) tributary.EventRecord {
	return tributary.EventRecord{Key: key, Op: tributary.Remove}
}

// asAnn updates with Ann's credentials, with the counts of a client that has
// seen everything.
func (k *kit) asAnn(d tributary.DatasetKey, patches ...tributary.Patch) ([]tributary.Record, error) {
	k.t.Helper()
	l := k.list(d, 0)
	for i := range patches {
		patches[i].SyncCount = l.SyncCount
	}
	return k.UpdateRecords(k.ctx, asIdentity(poolA, ann), d, tributary.Update{SessionToken: l.SessionToken, Patches: patches})
}

func unset(key string) tributary.Patch { return tributary.Patch{Key: key, Remove: true} }

// showEvent writes records as "key: old>new op".
func showEvent(e *tributary.SyncEvent) []string {
	text := func(v *string) string {
		if v == nil {
			return "-"
		}
		return *v
	}
	out := make([]string, len(e.Records))
	for i, r := range e.Records {
		out[i] = fmt.Sprintf("%s: %s>%s %s", r.Key, text(r.Old), text(r.New), r.Op)
	}
	return out
}

// TestTriggerEvent: a function sees all of the dataset and what the client wants
// of it; tombstones are not there.
func TestTriggerEvent(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.set(d, "old", "1")
	k.set(d, "same", "2")
	k.set(d, "was", "3")
	k.remove(d, "was")
	k.set(d, "bye", "4")
	f := k.withFunction(echo)
	got, err := k.asAnn(d, set("new", "5"), set("old", "6"), unset("bye"), unset("never"), set("was", ""))
	k.ok(err)
	want := []string{"bye: 4>- remove", "never: ->- remove", "new: ->5 replace", "old: 1>6 replace", "same: 2>2 replace", "was: -> replace"}
	if have := showEvent(f.events[0]); !slices.Equal(have, want) || f.events[0].Key != d {
		t.Errorf("the event of %v is %q, want %q", f.events[0].Key, have, want)
	}
	wantRecords(t, "an echo", got, "new=5@6", "old=6@6", "bye-@6", "never-@6", "was=@6")
}

// TestTriggerAnswers is what comes of answers, in the client's answer, in the
// dataset and in the change.
func TestTriggerAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  []tributary.EventRecord
		patches []tributary.Patch
		told    []string // by UpdateRecords
		written []string // by the change; nil: there is none
	}{
		{"Changed", []tributary.EventRecord{to("a", "A"), to("b", "2")}, []tributary.Patch{set("a", "x")}, []string{"a=A@4"}, []string{"a=A@4"}},
		{"Besides", []tributary.EventRecord{to("a", "x"), to("b", "B")}, []tributary.Patch{set("a", "x")}, []string{"a=x@4", "b=B@4"}, []string{"a=x@4", "b=B@4"}},
		{"Added", []tributary.EventRecord{to("a", "x"), to("b", "2"), to("new", "n")}, []tributary.Patch{set("a", "x")}, []string{"a=x@4", "new=n@4"}, []string{"a=x@4", "new=n@4"}},
		{"AddedWhereRemoved", []tributary.EventRecord{to("a", "x"), to("c", "n")}, []tributary.Patch{set("a", "x")}, []string{"a=x@4", "c=n@4"}, []string{"a=x@4", "c=n@4"}},
		{"RemovedByOp", []tributary.EventRecord{{Key: "a", New: new("x"), Op: tributary.Remove}, to("b", "2")}, []tributary.Patch{set("a", "x")}, []string{"a-@4"}, []string{"a-@4"}},
		{"RemovedByNull", []tributary.EventRecord{{Key: "a"}, {Key: "b"}}, []tributary.Patch{set("a", "x")}, []string{"a-@4", "b-@4"}, []string{"a-@4", "b-@4"}},
		{"RestoredByReplace", []tributary.EventRecord{to("a", "1")}, []tributary.Patch{unset("a")}, []string{"a=1@4"}, []string{"a=1@4"}},
		{"RemovedWhatIsNotThere", []tributary.EventRecord{to("a", "x"), gone("c"), gone("z")}, []tributary.Patch{set("a", "x")}, []string{"a=x@4"}, []string{"a=x@4"}},
		{"IgnoredOne", []tributary.EventRecord{to("a", "x")}, []tributary.Patch{set("b", "y"), set("a", "x")}, []string{"a=x@4", "b=2@2"}, []string{"a=x@4"}},
		{"IgnoredNew", []tributary.EventRecord{to("a", "x")}, []tributary.Patch{set("a", "x"), set("n", "y"), set("c", "z")}, []string{"a=x@4", "n-@3", "c-@3"}, []string{"a=x@4"}},
		{"IgnoredAll", []tributary.EventRecord{}, []tributary.Patch{set("a", "x"), set("n", "y")}, []string{"a=1@1", "n-@3"}, nil},
		{"IgnoredAllButEcho", []tributary.EventRecord{to("b", "2")}, []tributary.Patch{set("a", "x")}, []string{"a=1@1"}, nil},
		{"Touched", []tributary.EventRecord{to("a", "1"), to("b", "2")}, []tributary.Patch{set("a", "1")}, []string{"a=1@4"}, []string{"a=1@4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newFilledKit(t, tributary.Limits{})
			d := key("d")
			k.update(d, set("a", "1"))
			k.update(d, set("b", "2"), set("c", "3"))
			k.remove(d, "c")
			k.withFunction(says(tt.answer...))
			before := len(k.changes())
			got, err := k.asAnn(d, tt.patches...)
			k.ok(err)
			wantRecords(t, "the answer", got, tt.told...)
			changes := k.changes()[before:]
			if tt.written == nil {
				want(t, "changes", len(changes), 0)
				return
			}
			want(t, "changes", len(changes), 1)
			wantRecords(t, "the change", changes[0].Records, tt.written...)
			want(t, "the writer", changes[0].By, string(ann))
			for _, r := range got {
				held := k.list(d, 0).Records
				i := slices.IndexFunc(held, func(h tributary.Record) bool { return h.Key == r.Key })
				if (i < 0) != (r.Key == "n") || i >= 0 && held[i] != r {
					t.Errorf("the client was told %+v, the dataset holds %+v", r, held)
				}
			}
		})
	}
}

// TestTriggerNewDataset: a dataset comes into being only if something is stored.
func TestTriggerNewDataset(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	f := k.withFunction(says())
	got, err := k.asAnn(key("d"), set("a", "1"))
	k.ok(err)
	wantRecords(t, "the answer", got, "a-@0")
	want(t, "it exists", k.list(key("d"), 0).Exists, false)
	f.answer = echo
	got, err = k.asAnn(key("d"), set("a", "1"))
	k.ok(err)
	wantRecords(t, "the answer", got, "a=1@1")
}

// TestTriggerIsAskedByIdentities: not by developers, nor for what could not be
// stored, nor by DeleteDataset.
func TestTriggerIsAskedByIdentities(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{ValueBytes: 10, Records: 2})
	d := key("d")
	f := k.withFunction(echo)
	k.update(d, set("a", "1"))
	_, err := k.UpdateRecords(k.ctx, asIdentity(poolA, ann), d, tributary.Update{SessionToken: k.list(d, 0).SessionToken, Patches: []tributary.Patch{set("a", "2")}})
	k.text(err, tributary.Stale, "Current SyncCount for: a is: 1 not: 0")
	_, err = k.asAnn(d, set("a", "more than ten"))
	k.kind(err, tributary.Limit)
	_, err = k.asAnn(d, set("b", ""), set("c", ""))
	k.kind(err, tributary.Limit)
	_, err = k.asAnn(d)
	k.ok(err)
	k.delete(d)
	_, err = k.DeleteDataset(k.ctx, asIdentity(poolA, ann), d)
	k.kind(err, tributary.NotFound)
	want(t, "calls", len(f.events), 0)
	_, err = k.asAnn(d, set("a", "1"))
	k.ok(err)
	want(t, "calls", len(f.events), 1)
	k.ok(k.SetEvents(k.ctx, developer, poolA, map[string]string{tributary.SyncTrigger: ""}))
	_, err = k.asAnn(d, set("a", "2"))
	k.ok(err)
	want(t, "calls without a function", len(f.events), 1)
}

// TestTriggerBreaksARule: what a function gives is held to the rules of a client's
// patches, and is the function's fault. Nothing is stored.
func TestTriggerBreaksARule(t *testing.T) {
	for name, answer := range map[string][]tributary.EventRecord{
		"no key":            {to("", "1")},
		"a long key":        {to(strings.Repeat("k", 1025), "1")},
		"a large value":     {to("b", strings.Repeat("v", 101))},
		"too many records":  {to("b", "1"), to("c", "1"), to("d", "1"), to("e", "1")},
		"too large dataset": {to("b", strings.Repeat("v", 90)), to("c", strings.Repeat("v", 90))},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFilledKit(t, tributary.Limits{ValueBytes: 100, DatasetBytes: 150, Records: 4})
			k.update(key("d"), set("a", "1"))
			k.withFunction(says(append(answer, to("a", "2"))...))
			_, err := k.asAnn(key("d"), set("a", "2"))
			k.kind(err, tributary.Trigger)
			if text := tributary.Message(err); !strings.HasPrefix(text, "The function's answer cannot be stored: ") {
				t.Errorf("the message is %q", text)
			}
			wantRecords(t, "afterwards", k.list(key("d"), 0).Records, "a=1@1")
		})
	}
}

// TestTriggerFails: nothing is stored, and the client hears why.
func TestTriggerFails(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	cause := &tributary.Error{Kind: tributary.Trigger, Msg: "The function did not answer", Err: tributary.ErrTriggerTimeout}
	k.withFunction(func(context.Context, *tributary.SyncEvent) ([]tributary.EventRecord, error) { return nil, cause })
	_, err := k.asAnn(key("d"), set("a", "1"))
	k.text(err, tributary.Trigger, cause.Msg)
	if !errors.Is(err, tributary.ErrTriggerTimeout) || k.list(key("d"), 0).Exists {
		t.Errorf("%v; exists: %t", err, k.list(key("d"), 0).Exists)
	}
	k.Functions = nil
	_, err = k.asAnn(key("d"), set("a", "1"))
	k.kind(err, tributary.Trigger)
}

// TestTriggerRaced: if somebody writes while the function is called, it is called
// again with what the dataset is by then, three times at most.
func TestTriggerRaced(t *testing.T) {
	for _, tt := range []struct {
		races, calls int
		kind         tributary.Kind
	}{{1, 2, 0}, {2, 3, 0}, {3, 3, tributary.Busy}} {
		t.Run(fmt.Sprint(tt.races), func(t *testing.T) {
			k := newFilledKit(t, tributary.Limits{})
			d := key("d")
			f := k.withFunction(nil)
			f.answer = func(ctx context.Context, e *tributary.SyncEvent) ([]tributary.EventRecord, error) {
				if n := len(f.events); n <= tt.races {
					k.set(d, "other", fmt.Sprint(n))
				}
				return echo(ctx, e)
			}
			got, err := k.asAnn(d, set("a", "1"))
			want(t, "calls", len(f.events), tt.calls)
			if tt.kind != 0 {
				k.kind(err, tt.kind)
				return
			}
			k.ok(err)
			wantRecords(t, "the answer", got, fmt.Sprintf("a=1@%d", tt.races+1))
			if have := showEvent(f.events[tt.races]); !slices.Contains(have, fmt.Sprintf("other: %d>%d replace", tt.races, tt.races)) {
				t.Errorf("the last event is %q", have)
			}
		})
	}
}

// lateStore lets something happen between a view and the next read of records, and
// before a commit.
type lateStore struct {
	tributary.Store
	beforeRecords, beforeCommit func()
}

func (s *lateStore) Records(ctx context.Context, k tributary.DatasetKey, r tributary.Range) ([]tributary.Record, error) {
	if f := s.beforeRecords; f != nil && r.LiveOnly {
		s.beforeRecords = nil
		f()
	}
	return s.Store.Records(ctx, k, r)
}

func (s *lateStore) Commit(ctx context.Context, c *tributary.Change) error {
	if f := s.beforeCommit; f != nil && c.By == string(ann) {
		s.beforeCommit = nil
		f()
	}
	return s.Store.Commit(ctx, c)
}

// TestTriggerSeesOneMoment: a function never sees a dataset between two changes,
// and its answer is never applied to another state than it was given.
func TestTriggerSeesOneMoment(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.update(d, set("a", "1"), set("b", "1"))
	f := k.withFunction(echo)
	late := &lateStore{Store: k.Store}
	late.beforeRecords = func() { k.set(d, "a", "2") }
	k.Store = late
	_, err := k.asAnn(d, set("c", "1"))
	k.ok(err)
	want(t, "calls", len(f.events), 1)
	if have := showEvent(f.events[0]); !slices.Equal(have, []string{"a: 2>2 replace", "b: 1>1 replace", "c: ->1 replace"}) {
		t.Errorf("the event is %q", have)
	}
	late.beforeCommit = func() { k.set(d, "b", "3") }
	_, err = k.asAnn(d, set("c", "2"))
	k.ok(err)
	want(t, "calls", len(f.events), 3)
	wantRecords(t, "afterwards", k.list(d, 0).Records, "a=2@2", "b=3@4", "c=2@5")
}

// TestTriggerPatches: whatever a function answers, the dataset becomes what it
// says of the records that it names, and stays what it was in the others; an echo
// is what the client asked for.
func TestTriggerPatches(t *testing.T) {
	for seed := range uint64(500 * soak(t)) {
		rng := rand.New(rand.NewPCG(seed, 5))
		keys := []string{"a", "b", "c", "d", "e", "f"}
		value := func() string { return fmt.Sprint(rng.IntN(3)) }
		v := tributary.View{Dataset: tributary.Dataset{Key: key("d"), Exists: true, Version: tributary.Version{SyncCount: 9}}}
		var live []tributary.Record
		was := map[string]string{}
		for i, name := range keys {
			r := tributary.Record{Key: name, Value: value(), SyncCount: int64(i + 1)}
			switch rng.IntN(3) {
			case 0:
				continue
			case 1:
				r.Removed, r.Value = true, ""
				v.Dataset.Tombstones++
				v.Dataset.TombstoneBytes += int64(len(name))
			default:
				live, was[name] = append(live, r), r.Value
				v.Dataset.Records++
				v.Dataset.Bytes += r.Bytes()
			}
			v.Records = append(v.Records, r)
		}
		var client []tributary.Patch
		asked := map[string]bool{}
		for _, n := range rng.Perm(len(keys))[:rng.IntN(len(keys))] {
			client, asked[keys[n]] = append(client, tributary.Patch{Key: keys[n], Value: value(), Remove: rng.IntN(3) == 0, SyncCount: 9}), true
		}
		e := v.Event(live, client)
		same := e.Patches(client, e.Records, 9)
		if !slices.EqualFunc(same, client, func(a, b tributary.Patch) bool {
			return a.Key == b.Key && a.Remove == b.Remove && (a.Remove || a.Value == b.Value)
		}) {
			t.Fatalf("seed %d: an echo of %+v is %+v", seed, client, same)
		}
		var answer []tributary.EventRecord
		wanted, touched := maps.Clone(was), map[string]bool{}
		for _, name := range keys {
			if rng.IntN(4) == 0 {
				continue
			}
			r := to(name, value())
			had, has := was[name]
			touched[name] = asked[name] || !has || *r.New != had
			wanted[name] = *r.New
			if rng.IntN(3) == 0 {
				if r = gone(name); rng.IntN(2) == 0 {
					r = tributary.EventRecord{Key: name}
				}
				touched[name] = asked[name] || has
				delete(wanted, name)
			}
			answer = append(answer, r)
		}
		c, err := v.Apply(e.Patches(client, answer, 9), tributary.Writer{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		now := map[string]string{}
		for _, r := range c.Updated(v.Records) {
			if !r.Removed {
				now[r.Key] = r.Value
			}
		}
		for _, r := range c.Records {
			if !touched[r.Key] {
				t.Fatalf("seed %d: %s was written for nothing", seed, r.Key)
			}
			delete(touched, r.Key)
		}
		maps.DeleteFunc(touched, func(_ string, was bool) bool { return !was })
		if !maps.Equal(now, wanted) || len(touched) > 0 || c.Next.Records != int64(len(now)) {
			t.Fatalf("seed %d: of %v by %+v became %v, want %v; not written: %v", seed, was, answer, now, wanted, touched)
		}
	}
}

// TestSetEvents: what is not named stays, "" removes, others than developers may
// not.
func TestSetEvents(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	set := func(events map[string]string) error { return k.SetEvents(k.ctx, developer, poolA, events) }
	has := func(want map[string]string) {
		t.Helper()
		have, err := k.Events(k.ctx, developer, poolA)
		k.ok(err)
		if !maps.Equal(have, want) {
			t.Fatalf("the events are %v, want %v", have, want)
		}
	}
	k.kind(set(map[string]string{"SyncTrigger": hook}), tributary.Invalid) // no functions are called
	k.Functions = &functions{}
	has(nil)
	k.ok(set(map[string]string{"SyncTrigger": hook}))
	has(map[string]string{"SyncTrigger": hook})
	k.ok(set(nil))
	k.kind(set(map[string]string{"SyncTrigger": "bad"}), tributary.Invalid)
	k.kind(set(map[string]string{"Other": hook}), tributary.Invalid)
	k.kind(set(map[string]string{"SyncTrigger": "", "Other": ""}), tributary.Invalid)
	has(map[string]string{"SyncTrigger": hook})
	k.ok(set(map[string]string{"SyncTrigger": ""}))
	has(nil)
	k.ok(set(map[string]string{"SyncTrigger": ""}))
	k.kind(k.SetEvents(k.ctx, asIdentity(poolA, ann), poolA, nil), tributary.Denied)
	_, err := k.Events(k.ctx, asIdentity(poolA, ann), poolA)
	k.kind(err, tributary.Denied)
	k.kind(k.SetEvents(k.ctx, developer, "eu-west-1:0", nil), tributary.NotFound)
}

// TestWebhookKey: every pool and address has a key of its own, which stays.
func TestWebhookKey(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.withFunction(echo)
	seen := map[string]bool{}
	for _, of := range []struct {
		pool    tributary.PoolID
		address string
	}{{poolA, hook}, {poolA, hook + "?2"}, {poolB, hook}} {
		address, key, err := k.WebhookKey(k.ctx, developer, of.pool, of.address)
		k.ok(err)
		if seen[string(key)] || len(key) != 32 || address != of.address {
			t.Errorf("%v: the key of %s is %x", of, address, key)
		}
		seen[string(key)] = true
	}
	address, key, err := k.WebhookKey(k.ctx, developer, poolA, "")
	k.ok(err)
	if address != hook || !seen[string(key)] {
		t.Errorf("the key of %s is %x", address, key)
	}
	_, _, err = k.WebhookKey(k.ctx, developer, poolB, "")
	k.kind(err, tributary.Invalid)
	_, _, err = k.WebhookKey(k.ctx, developer, poolA, "arn:aws:lambda:eu-west-1:123456789012:function:f")
	k.kind(err, tributary.Invalid)
	_, _, err = k.WebhookKey(k.ctx, asIdentity(poolA, ann), poolA, hook)
	k.kind(err, tributary.Denied)
}

// meddler is a function that leaves little as it was, without growing the dataset.
type meddler struct{ functions }

func meddle() *meddler {
	m := &meddler{}
	m.answer = func(_ context.Context, e *tributary.SyncEvent) ([]tributary.EventRecord, error) {
		var out []tributary.EventRecord
		for _, r := range e.Records {
			switch {
			case r.New == nil:
			case strings.HasSuffix(*r.New, "3"):
				continue
			case strings.HasSuffix(*r.New, "7"):
				r.Op = tributary.Remove
			default:
				r.New = new(strings.ToUpper(*r.New))
			}
			out = append(out, r)
		}
		return out, nil
	}
	return m
}

// TestClientsConvergeThroughATrigger: what a function changes, removes and ignores
// reaches every client, and leaves none of them stuck.
func TestClientsConvergeThroughATrigger(t *testing.T) {
	for name, m := range models() {
		for _, p := range []program{{meddled: true}, {meddled: true, races: true}, {meddled: true, wild: true, races: true}} {
			t.Run(fmt.Sprintf("%s/%t/%t", name, p.races, p.wild), func(t *testing.T) {
				for i := range 60 * soak(t) {
					runProgram(t, name, p, m(uint64(i)), uint64(i))
				}
			})
		}
	}
}
