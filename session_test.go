package tributary_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tributary"
)

const (
	foreignToken = "SyncSessionToken not valid for these inputs"
	foreignPage  = "NextToken is not valid for this dataset"
)

// push writes one record under a session token.
func (k *kit) push(d tributary.DatasetKey, token, name string) error {
	_, err := k.UpdateRecords(k.ctx, developer, d, tributary.Update{
		SessionToken: token, Patches: []tributary.Patch{{Key: name, Value: "v"}},
	})
	return err
}

func TestSessionLivesForAnHour(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	token := k.list(key("d"), 0).SessionToken
	k.ok(k.push(key("d"), token, "at once"))
	k.ok(k.push(key("d"), token, "again: a session is for more than one update"))
	k.clock.Add(time.Hour)
	k.ok(k.push(key("d"), token, "after an hour"))
	k.clock.Add(time.Millisecond)
	err := k.push(key("d"), token, "too late")
	k.kind(err, tributary.Invalid)
	if text := tributary.Message(err); !strings.Contains(text, "expired") {
		t.Errorf("the message %q does not say why", text)
	}
	k.ok(k.push(key("d"), k.list(key("d"), 0).SessionToken, "with a new one"))
}

func TestSessionIsBoundToItsDataset(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	carl := tributary.IdentityID("eu-west-1:33333333-3333-4333-8333-333333333333")
	k.identity(poolB, carl)
	token := k.list(key("d"), 0).SessionToken
	for name, other := range map[string]tributary.DatasetKey{
		"Dataset":     key("e"),
		"LongerName":  key("dd"),
		"Identity":    {Pool: poolA, Identity: bob, Dataset: "d"},
		"AnotherPool": {Pool: poolB, Identity: carl, Dataset: "d"},
	} {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			k.text(k.push(other, token, "x"), tributary.Invalid, foreignToken)
			want(t, "the count", k.list(other, 0).SyncCount, 0)
		})
	}
}

func TestSessionCannotBeMade(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	token := k.list(d, 0).SessionToken
	for name, text := range map[string]string{
		"Truncated":     token[:len(token)-4],
		"Half":          token[:len(token)/2],
		"Garbage":       "AQAAAA",
		"NotEvenBase64": "{}!",
		"Stranger":      newSealer(t, 9).Seal(tributary.BindTo("session", d), []byte{2}),
		"OfAPage":       k.Sealer.Seal(tributary.BindTo("page", d), []byte{2}),
	} {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			k.text(k.push(d, text, "x"), tributary.Invalid, foreignToken)
		})
	}
	t.Run("Missing", func(t *testing.T) {
		k := k.in(t)
		err := k.push(d, "", "x")
		k.kind(err, tributary.Invalid)
		if text := tributary.Message(err); !strings.Contains(text, "syncSessionToken") {
			t.Errorf("the message %q does not name the field", text)
		}
	})
	t.Run("SealedButEmpty", func(t *testing.T) {
		k := k.in(t)
		for _, inside := range []string{"", "\x80", "\x02\x02", strings.Repeat("\xff", 11)} {
			k.kind(k.push(d, k.Sealer.Seal(tributary.BindTo("session", d), []byte(inside)), "x"), tributary.Invalid)
		}
	})
	want(t, "the count after all this", k.list(d, 0).SyncCount, 0)
}

func TestSessionOfAnotherNodeIsGood(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	other := &tributary.Service{Store: k.Store, Sealer: newSealer(t, 1), Account: account, Now: k.clock.Now}
	l, err := other.ListRecords(k.ctx, developer, key("d"), tributary.ListQuery{})
	k.ok(err)
	k.ok(k.push(key("d"), l.SessionToken, "x"))
}

// fill writes n records, each of a count of its own.
func (k *kit) fill(d tributary.DatasetKey, n int) {
	k.t.Helper()
	for i := range n {
		k.set(d, string(rune('a'+i)), "v")
	}
}

func (k *kit) page(d tributary.DatasetKey, token string, last int64, most int) (tributary.Listing, error) {
	return k.ListRecords(k.ctx, developer, d, tributary.ListQuery{NextToken: token, LastSyncCount: last, MaxResults: most})
}

func TestPageTokenIsBoundToItsDataset(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	carl := tributary.IdentityID("eu-west-1:33333333-3333-4333-8333-333333333333")
	k.identity(poolB, carl)
	others := []tributary.DatasetKey{
		key("e"), {Pool: poolA, Identity: bob, Dataset: "d"}, {Pool: poolB, Identity: carl, Dataset: "d"},
	}
	for _, d := range append(others, key("d")) {
		k.fill(d, 3)
	}
	l, err := k.page(key("d"), "", 0, 1)
	k.ok(err)
	for _, d := range others {
		_, err := k.page(d, l.NextToken, 0, 1)
		k.text(err, tributary.Invalid, foreignPage)
	}
	for range 2 { // a page may be read again
		next, err := k.page(key("d"), l.NextToken, 0, 1)
		k.ok(err)
		wantRecords(t, "the second page", next.Records, "b=v@2")
	}
}

func TestPageTokenCannotBeMade(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	d := key("d")
	k.fill(d, 3)
	l, err := k.page(d, "", 0, 1)
	k.ok(err)
	inside := tributary.PageState{Pinned: 3, After: tributary.Cursor{SyncCount: 1, Key: "a"}}.Encode()
	for name, text := range map[string]string{
		"Truncated":    l.NextToken[:len(l.NextToken)-4],
		"Garbage":      "AQAAAA",
		"Stranger":     newSealer(t, 9).Seal(tributary.BindTo("page", d), inside),
		"OfASession":   l.SessionToken,
		"SealedNoText": k.Sealer.Seal(tributary.BindTo("page", d), nil),
		"SealedHalf":   k.Sealer.Seal(tributary.BindTo("page", d), inside[:2]),
	} {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			_, err := k.page(d, text, 0, 1)
			k.text(err, tributary.Invalid, foreignPage)
		})
	}
}

func somePages() []tributary.PageState {
	return []tributary.PageState{
		{},
		{Pinned: 1, After: tributary.Cursor{SyncCount: 1, Key: "a"}},
		{Pinned: 1<<63 - 1, After: tributary.Cursor{SyncCount: 1 << 40, Key: strings.Repeat("😀", 1024)}, Since: 3, Told: true},
		{Pinned: 300, After: tributary.Cursor{SyncCount: 200, Key: "\x00\xff"}, Told: true},
		{Pinned: -1, After: tributary.Cursor{SyncCount: -5}, Since: 3},
	}
}

func TestPageRoundTrip(t *testing.T) {
	for _, p := range somePages() {
		got, ok := tributary.DecodePage(p.Encode())
		want(t, "decoded", ok, true)
		want(t, "the page", got, p)
	}
}

func TestDecodePageRefusesHalves(t *testing.T) {
	p := somePages()[2]
	p.After.Key = ""
	b := p.Encode()
	for n := range b {
		if got, ok := tributary.DecodePage(b[:n]); ok {
			t.Errorf("the first %d bytes of %d decode to %+v", n, len(b), got)
		}
	}
}

func FuzzPage(f *testing.F) {
	for _, p := range somePages() {
		f.Add(p.Encode())
	}
	f.Add([]byte{})
	f.Add(slices.Repeat([]byte{0xff}, 30))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := tributary.DecodePage(b)
		if !ok {
			return
		}
		if again, ok := tributary.DecodePage(p.Encode()); !ok || again != p {
			t.Fatalf("%x decodes to %+v, which comes back as %+v (%t)", b, p, again, ok)
		}
	})
}
