package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// patches sends patches with counts that are wrong, and some that are only
// unusual.
func (w *wrong) patches(t *testing.T) {
	fail := func(name string, status int, code, text string, p ...patch) {
		t.Run(name, func(t *testing.T) {
			a := w.a.do(t, syncService, "POST", w.notes.path(), encode(t, update{w.token, p}))
			wantFault(t, a, status, code, text)
		})
	}
	fail("Stale", 409, "ResourceConflictException", "Current SyncCount for: color is: 2 not: 1", replace("color", "green", 1))
	fail("Zero", 409, "ResourceConflictException", "Current SyncCount for: color is: 2 not: 0", replace("color", "green", 0))
	fail("Beyond", 409, "ResourceConflictException", "Current SyncCount for: color is: 2 not: 3", replace("color", "green", 3))
	fail("Huge", 409, "ResourceConflictException", "Current SyncCount for: color is: 2 not: 9223372036854775807", replace("color", "green", math.MaxInt64))
	fail("Negative", 400, "InvalidParameterException", "", replace("color", "green", -1))
	fail("MostNegative", 400, "InvalidParameterException", "", replace("color", "green", math.MinInt64))
	fail("OneOfTwo", 409, "ResourceConflictException", "color", replace("size", "11", 1), replace("color", "green", 1))
	fail("StaleRemove", 409, "ResourceConflictException", "", remove("color", 1))
	fail("EmptyKey", 400, "InvalidParameterException", "", replace("", "x", 0))
	fail("KeyOf1025", 400, "InvalidParameterException", "1024", replace(strings.Repeat("k", 1025), "x", 0))
	fail("KeyOf1025Emoji", 400, "InvalidParameterException", "1024", replace(strings.Repeat("😀", 1025), "x", 0))

	t.Run("HugeForNewKey", func(t *testing.T) {
		d := w.a.dataset("unusual")
		w.a.sync(t, d, replace("new", "x", math.MaxInt64))
		if l := w.a.list(t, d); l.DatasetSyncCount != 1 || l.Records[0].SyncCount != 1 {
			t.Errorf("%+v", l)
		}
	})
	t.Run("NoPatches", func(t *testing.T) {
		var out struct{ Records []record }
		w.a.rest(t, "POST", w.notes.path(), update{w.token, []patch{}}, &out)
		if out.Records == nil || len(out.Records) != 0 {
			t.Errorf("records %v", out.Records)
		}
	})
}

// limits writes what is just allowed, and then a little more.
func (w *wrong) limits(t *testing.T) {
	g := w.dev.newGuest(t, w.a.pool)
	send := func(t *testing.T, d dataset, p ...patch) answer {
		t.Helper()
		return g.do(t, syncService, "POST", d.path(), encode(t, update{g.list(t, d).SyncSessionToken, p}))
	}
	const longest = 1_048_575 // of a value
	t.Run("Keys", func(t *testing.T) {
		d := g.dataset("keys")
		long, wide := strings.Repeat("k", 1024), strings.Repeat("😀", 1024)
		g.sync(t, d, replace(long, "long", 0), replace(wide, "wide", 0))
		for _, r := range g.list(t, d).Records {
			if r.Key != long && r.Key != wide {
				t.Errorf("key %q", clip(r.Key))
			}
		}
	})
	t.Run("Value", func(t *testing.T) {
		d := g.dataset("value")
		value := strings.Repeat("v", longest)
		g.sync(t, d, replace("k", value, 0))
		if l := g.list(t, d); len(l.Records) != 1 || *l.Records[0].Value != value {
			t.Errorf("%d records", len(l.Records))
		}
		wantFault(t, send(t, d, replace("l", "", 1)), 400, "LimitExceededException", "")
	})
	t.Run("EscapedValue", func(t *testing.T) {
		// The most that a body can be while its value is allowed.
		d := g.dataset("escaped")
		g.sync(t, d, replace("k", strings.Repeat("\x01", longest), 0))
	})
	t.Run("ValueTooLong", func(t *testing.T) {
		a := send(t, g.dataset("too-long"), replace("k", strings.Repeat("v", longest+1), 0))
		wantFault(t, a, 400, "LimitExceededException", "")
		a = send(t, g.dataset("too-long"), replace("k", strings.Repeat("v", longest+2), 0))
		wantFault(t, a, 400, "LimitExceededException", "")
	})
	t.Run("DatasetTooLarge", func(t *testing.T) {
		half := strings.Repeat("h", 600_000)
		a := send(t, g.dataset("too-large"), replace("a", half, 0), replace("b", half, 0))
		wantFault(t, a, 400, "LimitExceededException", "")
		if l := g.list(t, g.dataset("too-large")); l.DatasetExists {
			t.Errorf("the refused dataset exists: %+v", l)
		}
	})
	t.Run("Records", func(t *testing.T) {
		d := g.dataset("records")
		patches := make([]patch, 1024)
		for i := range patches {
			patches[i] = replace(fmt.Sprintf("key-%d", i), "v", 0)
		}
		g.sync(t, d, patches...)
		if l := g.list(t, d); len(l.Records) != 1024 {
			t.Errorf("%d records", len(l.Records))
		}
		wantFault(t, send(t, d, replace("one more", "v", 0)), 400, "LimitExceededException", "")
		wantFault(t, send(t, g.dataset("many"), append(patches, replace("one more", "v", 0))...), 400, "LimitExceededException", "")
		// A full dataset can still change.
		g.sync(t, d, remove("key-0", 1), replace("one more", "v", 0))
	})
	t.Run("Datasets", func(t *testing.T) {
		many := w.dev.newGuest(t, w.a.pool)
		for i := range 20 {
			many.sync(t, many.dataset(fmt.Sprintf("set-%d", i)), replace("k", "v", 0))
		}
		d := many.dataset("one-more")
		a := many.do(t, syncService, "POST", d.path(), encode(t, update{many.list(t, d).SyncSessionToken, []patch{replace("k", "v", 0)}}))
		wantFault(t, a, 400, "LimitExceededException", "20")
		many.rest(t, "DELETE", many.dataset("set-0").path(), nil, nil)
		many.sync(t, d, replace("k", "v", 0))
	})
}
