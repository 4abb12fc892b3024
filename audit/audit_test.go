package audit_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/internal/enginetest"
	"tributary/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

var epoch = time.UnixMilli(1_790_000_000_000).UTC()

// kit is a log over a store whose writes fail while broken is set, after during.
type kit struct {
	*testing.T
	*audit.Log
	clock  time.Time
	broken bool
	during func()
}

func newKit(t *testing.T) *kit {
	k := &kit{T: t, clock: epoch, during: func() {}}
	now := func() time.Time { return k.clock }
	store := &storetest.Faulty{Store: enginetest.Open(t, enginetest.Config{Now: now}), Hook: func(string) (bool, error) {
		if k.broken {
			k.during()
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
	for _, e := range k.all(audit.Query{Since: since, Limit: 3}) {
		out = append(out, fmt.Sprintf("%s %s %s %s %d", e.AccessKey, e.Action, e.Resource, e.Outcome, e.Count))
	}
	return strings.Join(out, "\n")
}

// all reads all that a query asks for, in pages of its limit.
func (k *kit) all(q audit.Query) []audit.Entry {
	k.Helper()
	for out := []audit.Entry(nil); ; {
		page, err := k.Read(k.Context(), q)
		k.ok(err)
		if len(page.Entries) > q.Limit {
			k.Fatalf("a page of at most %d has %d entries", q.Limit, len(page.Entries))
		}
		out = append(out, page.Entries...)
		if !page.More {
			return out
		}
		q.After = page.Next
	}
}

func (k *kit) same(what, got string, want ...string) {
	k.Helper()
	if w := strings.Join(want, "\n"); got != w {
		k.Errorf("%s:\n%s\nwant\n%s", what, got, w)
	}
}

func act(action, resource string) audit.Act {
	return audit.Act{AccessKey: "AKIA", Address: netip.MustParseAddr("10.0.0.1"), Action: action, Resource: resource, Outcome: audit.Ok}
}

func TestLog(t *testing.T) {
	k := newKit(t)
	k.same("before anything happened", k.list(epoch))
	k.ok(k.Write(t.Context(), act("a:CreateIdentityPool", "*"), "r-1", nil))
	for range 3 {
		k.clock = k.clock.Add(time.Millisecond)
		k.Note(act("a:ListRecords", "arn:x"))
	}
	refused := act("a:ListRecords", "arn:x")
	refused.Outcome = "AccessDeniedException"
	k.clock = k.clock.Add(time.Millisecond)
	k.Note(refused)
	k.same("what was counted is not written yet", k.list(epoch), "AKIA a:CreateIdentityPool * ok 1")
	k.ok(k.Flush(t.Context()))
	k.ok(k.Flush(t.Context()))
	k.same("the log", k.list(epoch), "AKIA a:CreateIdentityPool * ok 1", "AKIA a:ListRecords arn:x ok 3", "AKIA a:ListRecords arn:x AccessDeniedException 1")
	k.clock = k.clock.Add(time.Hour)
	k.ok(k.Write(t.Context(), act("a:DeleteIdentityPool", "arn:p"), "r-2", nil))
	k.same("since an hour", k.list(k.clock.Add(-time.Minute)), "AKIA a:DeleteIdentityPool arn:p ok 1")
	if _, err := k.Read(t.Context(), audit.Query{After: "nonsense", Limit: 1}); tributary.KindOf(err) != tributary.Invalid {
		t.Errorf("a wrong token: %v", err)
	}
	// Another process writes to the same stream.
	k.ok((&audit.Log{Store: k.Store, Now: k.Now}).Write(t.Context(), act("a:Other", "*"), "r-3", nil))
	if list := k.list(epoch); strings.Count(list, "\n") != 4 {
		t.Errorf("the log of two is\n%s", list)
	}
}

// TestOutage: what cannot be written is written later, counted together.
func TestOutage(t *testing.T) {
	k := newKit(t)
	k.Note(act("a:ListRecords", "arn:x"))
	k.broken = true
	if err := k.Flush(t.Context()); tributary.KindOf(err) != tributary.Unavailable {
		t.Fatal(err)
	}
	if err := k.Write(t.Context(), act("a:Create", "*"), "r", nil); tributary.KindOf(err) != tributary.Unavailable {
		t.Fatal(err)
	}
	k.Note(act("a:ListRecords", "arn:x"))
	k.Note(act("a:ListRecords", "arn:y"))
	k.broken = false
	k.ok(k.Flush(t.Context()))
	list := k.list(epoch)
	if strings.Count(list, "\n") != 1 || !strings.Contains(list, "arn:x ok 2") || !strings.Contains(list, "arn:y ok 1") {
		t.Errorf("the log is\n%s", list)
	}
}

// figures are how many entries the log has, and how many acts they stand for.
func (k *kit) figures() (entries int, acts int64) {
	k.Helper()
	list := k.all(audit.Query{Limit: 1000})
	for _, e := range list {
		acts += e.Count
	}
	return len(list), acts
}

func dataARN(pool, identity int) string {
	return fmt.Sprintf("arn:aws:cognito-sync:r:a:identitypool/%d/identity/%d", pool, identity)
}

// address is one of many.
func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// TestMany: however many things happen in a second, few entries are kept, and
// nothing goes uncounted.
func TestMany(t *testing.T) {
	k := newKit(t)
	const all = 20_000
	for n := range all {
		k.Note(act("a:ListRecords", dataARN(n%5, n)))
	}
	for n := range all {
		a := act("a:ListRecords", fmt.Sprintf("arn:%d", n))
		a.Address = address(n)
		k.Note(a)
	}
	k.ok(k.Flush(t.Context()))
	list := k.all(audit.Query{Limit: 1000})
	counts := map[string]int64{}
	for _, e := range list {
		counts[e.Address+" "+e.Resource] = e.Count
	}
	for n := range 100 { // one by one
		if counts["10.0.0.1 "+dataARN(n%5, n)] != 1 {
			t.Errorf("the identity %d has %d", n, counts["10.0.0.1 "+dataARN(n%5, n)])
		}
	}
	for n := range 5 {
		if got := counts[fmt.Sprintf("10.0.0.1 arn:aws:cognito-sync:r:a:identitypool/%d/*", n)]; got != (all-100)/5 {
			t.Errorf("the rest of the pool %d has %d, want %d", n, got, (all-100)/5)
		}
	}
	if rest := counts[" "]; len(list) != 201 || rest != all-95 {
		t.Errorf("%d entries, of which that of the rest has %d; want 201 and %d", len(list), rest, all-95)
	}
}

// TestLongOutage: through an outage of many flushes, with more different things
// than are kept, no count is lost, and few are kept.
func TestLongOutage(t *testing.T) {
	k := newKit(t)
	k.broken = true
	all, keys := 0, 3
	k.during = func() {
		for range 2 {
			k.Note(act("a:ListRecords", "arn:often"))
			all++
		}
	}
	for second := range 50 {
		for n := range 300 {
			for key := range keys {
				a := act("a:ListRecords", dataARN(n%2, second*1000+n))
				a.AccessKey, a.Address = fmt.Sprint("AKIA", key), address(second*1000+n)
				if n%3 == 0 {
					a.Action, a.Resource = "a:DescribeStream", fmt.Sprintf("arn:stream/%d-%d", second, n)
				}
				k.Note(a)
				all++
			}
		}
		if err := k.Flush(t.Context()); tributary.KindOf(err) != tributary.Unavailable {
			t.Fatal(err)
		}
	}
	k.broken = false
	k.ok(k.Flush(t.Context()))
	if entries, acts := k.figures(); acts != int64(all) || entries > 220 {
		t.Errorf("%d acts are counted in %d entries, want %d in at most 220", acts, entries, all)
	}
}

// TestCountsWhileFlushing: what is counted while a flush is under way is in the
// next, also if the first one failed.
func TestCountsWhileFlushing(t *testing.T) {
	k := newKit(t)
	k.Note(act("a:ListRecords", "arn:0")) // makes the stream
	k.ok(k.Flush(t.Context()))
	const all, writers = 5000, 4
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range all {
				k.Note(act("a:ListRecords", dataARN(w, n)))
			}
		})
	}
	noted := make(chan struct{})
	go func() { group.Wait(); close(noted) }()
	for done, fail := false, false; !done; fail = !fail {
		select {
		case <-noted:
			done = true
		default:
		}
		k.broken = fail
		if err := k.Flush(t.Context()); err != nil && !fail {
			t.Fatal(err)
		}
	}
	k.broken = false
	k.ok(k.Flush(t.Context()))
	if _, acts := k.figures(); acts != all*writers+1 {
		t.Errorf("%d acts are counted, want %d", acts, all*writers+1)
	}
}

// TestTexts: whatever a caller puts into a resource's name is written, and does
// not keep other entries from being.
func TestTexts(t *testing.T) {
	k := newKit(t)
	k.Note(act("a:Bad", "arn:\xff\x00\n"))
	k.Note(act("a:Long", strings.Repeat("é", 5000)+"x"))
	k.Note(act("a:Good", "arn:x"))
	k.ok(k.Flush(t.Context()))
	k.ok(k.Write(t.Context(), act("a:Detailed", "arn:\xff"), "r-1", []string{"Name: \xfe", "no Policy"}))
	list := k.all(audit.Query{Limit: 10})
	byAction := map[string]audit.Entry{}
	for _, e := range list {
		byAction[e.Action] = e
	}
	if e := byAction["a:Bad"]; e.Resource != "arn:\uFFFD\x00\n" {
		t.Errorf("%+v", e)
	}
	if e := byAction["a:Long"]; e.Resource != strings.Repeat("é", 1024) {
		t.Errorf("%d bytes of a long name are kept", len(e.Resource))
	}
	want := audit.Entry{At: epoch, AccessKey: "AKIA", Address: "10.0.0.1", Action: "a:Detailed", Resource: "arn:\uFFFD", Outcome: audit.Ok, Request: "r-1", Count: 1,
		Details: []string{"Name: \uFFFD", "no Policy"}}
	if e := byAction["a:Detailed"]; len(list) != 4 || !reflect.DeepEqual(e, want) {
		t.Errorf("%+v, want %+v", e, want)
	}
}

// TestQuery: filters give the entries that they name, in pages of every size.
func TestQuery(t *testing.T) {
	k := newKit(t)
	n := 0
	for _, key := range []string{"AKIA1", "AKIA12", "AKIA2"} {
		for _, action := range []string{"cognito-identity:DeleteIdentities", "cognito-sync:DeleteDataset", "kinesis:CreateStream"} {
			a := act(action, fmt.Sprint("arn:", n))
			a.AccessKey = key
			k.ok(k.Write(t.Context(), a, "", nil))
			n++
		}
	}
	for _, c := range []struct{ key, action, want string }{
		{"", "", "012345678"}, {"AKIA1", "", "012"}, {"AKIA3", "", ""}, {"AKIA", "", ""},
		{"", "cognito-sync:DeleteDataset", "147"}, {"", "COGNITO-sync:deletedataset", "147"}, {"", "cognito-*:*", "013467"}, {"", "*:Delete*", "013467"},
		{"", "Delete*", "013467"}, {"", "DeleteDataset", "147"}, {"", "Delete", ""}, {"", "cognito-sync:Delete", ""}, {"", "sync:*", ""}, {"", "kinesis:CreateStrea?", "258"},
		{"", "*", "012345678"}, {"AKIA12", "*Stream", "5"}, {"AKIA2", "*:*", "678"},
	} {
		for limit := 1; limit <= 10; limit++ {
			got := ""
			for _, e := range k.all(audit.Query{AccessKey: c.key, Action: c.action, Limit: limit}) {
				got += strings.TrimPrefix(e.Resource, "arn:")
			}
			if got != c.want {
				t.Errorf("%q %q in pages of %d: %s, want %s", c.key, c.action, limit, got, c.want)
			}
		}
	}
	for _, q := range []audit.Query{{AccessKey: "AKIA 1"}, {AccessKey: strings.Repeat("A", 129)}, {Action: "a:b:c"}, {Action: "Delete["}, {Action: `\*`}, {Action: ":"}, {Action: "a/b"}, {Action: strings.Repeat("a", 65)}} {
		q.Limit = 1
		if _, err := k.Read(t.Context(), q); tributary.KindOf(err) != tributary.Invalid || !strings.Contains(tributary.Message(err), "it must be") {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestRareEntries: a page looks at a part of the log, and is empty although
// there are more where nothing there is asked for.
func TestRareEntries(t *testing.T) {
	k := newKit(t)
	rare := act("a:Rare", "arn:x")
	rare.AccessKey = "AKIARARE"
	k.ok(k.Write(t.Context(), act("a:First", "*"), "", nil)) // makes the stream
	s, err := k.Store.Stream(t.Context(), tributary.AuditStream)
	k.ok(err)
	e := tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "AKIA", HashKey: tributary.HashOf("AKIA"), Data: []byte(`{"action":"a:Often"}`)}}
	_, err = k.Store.Append(t.Context(), s.ID, slices.Repeat([]tributary.Entry{e}, 10_000))
	k.ok(err)
	k.ok(k.Write(t.Context(), rare, "", nil))
	for n, q := range []audit.Query{{AccessKey: "AKIARARE", Limit: 5}, {Action: "a:Rare", Limit: 5}} {
		first, err := k.Read(t.Context(), q)
		k.ok(err)
		if len(first.Entries) != 0 || !first.More || first.Next == "" {
			t.Errorf("the first page is %+v", first)
		}
		q.After = first.Next
		next, err := k.Read(t.Context(), q)
		k.ok(err)
		if len(next.Entries) != 1+n || next.More {
			t.Errorf("the next page is %+v", next)
		}
		q.After = next.Next
		k.ok(k.Write(t.Context(), rare, "", nil))
		if later, err := k.Read(t.Context(), q); err != nil || len(later.Entries) != 1 {
			t.Errorf("what came later: %+v, %v", later, err)
		}
	}
}
