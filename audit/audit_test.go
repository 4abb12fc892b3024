package audit_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/internal/enginetest"
	"tributary/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

var epoch = time.UnixMilli(1_790_000_000_000).UTC()

// kit is a log over a store whose writes fail while broken is set.
type kit struct {
	*testing.T
	*audit.Log
	clock  time.Time
	broken bool
}

func newKit(t *testing.T) *kit {
	k := &kit{T: t, clock: epoch}
	now := func() time.Time { return k.clock }
	store := &storetest.Faulty{Store: enginetest.Open(t, enginetest.Config{Now: now}), Hook: func(string) (bool, error) {
		if k.broken {
			return false, &tributary.Error{Kind: tributary.Unavailable, Op: "test", Err: errors.New("broken")}
		}
		return true, nil
	}}
	k.Log = &audit.Log{Store: store, Now: now}
	return k
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// list reads all of the log, a few entries at a time, as short texts.
func (k *kit) list(since time.Time) string {
	k.Helper()
	var out []string
	for after := ""; ; {
		page, next, err := k.Read(k.Context(), since, after, 3)
		k.ok(err)
		for _, e := range page {
			out = append(out, fmt.Sprintf("%s %s %s %s %d", e.AccessKey, e.Action, e.Resource, e.Outcome, e.Count))
		}
		if len(page) == 0 {
			return strings.Join(out, "\n")
		}
		after = next
	}
}

func (k *kit) same(what, got string, want ...string) {
	k.Helper()
	if w := strings.Join(want, "\n"); got != w {
		k.Errorf("%s:\n%s\nwant\n%s", what, got, w)
	}
}

func entry(action, resource string) audit.Entry {
	return audit.Entry{AccessKey: "AKIA", Address: "10.0.0.1", Action: action, Resource: resource, Outcome: audit.Ok}
}

func TestLog(t *testing.T) {
	k := newKit(t)
	k.same("before anything happened", k.list(epoch))
	k.ok(k.Write(t.Context(), entry("a:CreateIdentityPool", "*")))
	for range 3 {
		k.clock = k.clock.Add(time.Millisecond)
		k.Note(entry("a:ListRecords", "arn:x"))
	}
	refused := entry("a:ListRecords", "arn:x")
	refused.Outcome = "AccessDeniedException"
	k.clock = k.clock.Add(time.Millisecond)
	k.Note(refused)
	k.same("what was counted is not written yet", k.list(epoch), "AKIA a:CreateIdentityPool * ok 1")
	k.ok(k.Flush(t.Context()))
	k.ok(k.Flush(t.Context()))
	k.same("the log", k.list(epoch), "AKIA a:CreateIdentityPool * ok 1", "AKIA a:ListRecords arn:x ok 3", "AKIA a:ListRecords arn:x AccessDeniedException 1")
	k.clock = k.clock.Add(time.Hour)
	k.ok(k.Write(t.Context(), entry("a:DeleteIdentityPool", "arn:p")))
	k.same("since an hour", k.list(k.clock.Add(-time.Minute)), "AKIA a:DeleteIdentityPool arn:p ok 1")
	if _, _, err := k.Read(t.Context(), epoch, "nonsense", 1); tributary.KindOf(err) != tributary.Invalid {
		t.Errorf("a wrong token: %v", err)
	}
	// Another process writes to the same stream.
	k.ok((&audit.Log{Store: k.Store, Now: k.Now}).Write(t.Context(), entry("a:Other", "*")))
	if list := k.list(epoch); strings.Count(list, "\n") != 4 {
		t.Errorf("the log of two is\n%s", list)
	}
}

// TestOutage: what cannot be written is written later, counted together.
func TestOutage(t *testing.T) {
	k := newKit(t)
	k.Note(entry("a:ListRecords", "arn:x"))
	k.broken = true
	if err := k.Flush(t.Context()); tributary.KindOf(err) != tributary.Unavailable {
		t.Fatal(err)
	}
	if err := k.Write(t.Context(), entry("a:Create", "*")); tributary.KindOf(err) != tributary.Unavailable {
		t.Fatal(err)
	}
	k.Note(entry("a:ListRecords", "arn:x"))
	k.Note(entry("a:ListRecords", "arn:y"))
	k.broken = false
	k.ok(k.Flush(t.Context()))
	list := k.list(epoch)
	if strings.Count(list, "\n") != 1 || !strings.Contains(list, "arn:x ok 2") || !strings.Contains(list, "arn:y ok 1") {
		t.Errorf("the log is\n%s", list)
	}
}

// TestMany: however many things happen in a second, few entries are kept, and
// nothing goes uncounted.
func TestMany(t *testing.T) {
	k := newKit(t)
	const all = 20_000
	for n := range all {
		k.Note(entry("a:ListRecords", fmt.Sprintf("arn:aws:cognito-sync:r:a:identitypool/%d/identity/%d", n%5, n)))
	}
	for n := range all {
		e := entry("a:ListRecords", fmt.Sprintf("arn:%d", n))
		e.Address = fmt.Sprint(n)
		k.Note(e)
	}
	k.ok(k.Flush(t.Context()))
	var entries, counted int64
	for after := ""; ; {
		page, next, err := k.Read(t.Context(), epoch, after, 1000)
		k.ok(err)
		for _, e := range page {
			entries, counted = entries+1, counted+e.Count
		}
		if len(page) == 0 {
			break
		}
		after = next
	}
	if counted != 2*all || entries > 2100 {
		t.Errorf("%d things are counted in %d entries, want %d in at most 2,100", counted, entries, 2*all)
	}
}
