package warehousetest

import (
	"strings"
	"testing"

	"tributary"
)

// testValues: what is put in comes out, to the byte.
func testValues(t *testing.T, o Options) {
	w := o.Open(t)
	f := newFeed(t, w, 0)
	texts := []string{
		"", "NULL", "null", "it's", `"double"`, "back\\slash", "semi;colon -- comment /* */", "new\nline", "\r\n\t|,",
		"nul\x00inside", "\x00", "nul at the end\x00", "\x00\x00two", "😀 emoji", "äöü", "e\u0301 é", "\u202e right to left", "\ufeffmark", "\u0001\u001f\u007f",
		"zero\u200bwidth", strings.Repeat("k", 1024), strings.Repeat("😀", 1024), "{\"json\": [1, null]}", "%s $1 ? :x", " leading and trailing ",
		"caseA", "casea", "E'\\x00'", "\uffff\U0010ffff",
	}
	want := make(map[live]string)
	var recs []rec
	for _, s := range texts {
		if s == "" {
			recs = append(recs, set("empty value", ""))
			want[live{key: "empty value"}] = ""
			continue
		}
		recs = append(recs, set(s, s))
		want[live{key: s}] = s
	}
	// Twice, so that each key is told from the others when it comes again.
	f.send(update(1, 1, 1, recs...))
	f.send(update(1, 2, 2, recs...))
	read := func(what, sql string, key, value int) {
		t.Helper()
		got := make(map[live]string)
		r := query(t, f.w, sql)
		for _, v := range r.Rows {
			got[live{key: text(v[key])}] = text(v[value])
		}
		same(t, what, got, want)
		if len(r.Rows) != len(want) {
			t.Errorf("%s: %d rows, want %d", what, len(r.Rows), len(want))
		}
	}
	readAll := func() {
		t.Helper()
		read("current state", "SELECT key, value FROM cognito_current_state WHERE datasetName = 'd'", 0, 1)
		read("raw rows", "SELECT key, value FROM cognito_raw_data WHERE syncCount = 2 AND datasetName = 'd'", 0, 1)
		read("published query", PublishedQuery(identity(1), "d"), 2, 4)
	}
	readAll()
	if w.Reopen != nil {
		f.w = w.Reopen()
		readAll()
	}
	f.send(remove(1, 3, 3))
	clear(want)
	read("current state after the removal", "SELECT key, value FROM cognito_current_state", 0, 1)
	testLarge(t, f)
	testDates(t, f)
}

// testLarge: values of 1 MiB, which nothing cuts.
func testLarge(t *testing.T, f *feed) {
	const mib = 1 << 20
	big := func(c string) string { return strings.Repeat(c, mib/len(c)) }
	f.send(update(2, 1, 1, set("x", big("0123456789abcdef")), set("y", big("äöüß")), set("z", big("\x00\x01\x02\x03"))))
	f.send(update(2, 2, 2, set("x", big("fedcba9876543210"))), update(2, 3, 3, set("w", big("\n"))))
	want := map[string]string{"w": big("\n"), "x": big("fedcba9876543210"), "y": big("äöüß"), "z": big("\x00\x01\x02\x03")}
	r := query(t, f.w, "SELECT key, value FROM cognito_current_state")
	for _, v := range r.Rows {
		if text(v[1]) != want[text(v[0])] {
			t.Errorf("value of %v has %d bytes and is not what was put in", v[0], len(text(v[1])))
		}
	}
	if len(r.Rows) != len(want) {
		t.Errorf("%d large values, want %d", len(r.Rows), len(want))
	}
}

// testDates: the dates are UTC, to the millisecond, and no date blocks a shard.
func testDates(t *testing.T, f *feed) {
	dates := []tributary.Millis{0, 1, -1, 1_700_000_000_123, 253_402_300_799_999, -62_135_596_800_000, 1 << 62, -1 << 62}
	for i, d := range dates {
		e := update(3, int64(i+1), int64(i+1), set("k", "v"))
		e.Change.Records[0].DeviceLastModified = d
		f.send(e)
	}
	r := query(t, f.w, "SELECT deviceLastModifiedDate, lastModifiedDate FROM cognito_raw_data WHERE identityId = '"+string(identity(3))+"' ORDER BY syncCount")
	if len(r.Rows) != len(dates) {
		t.Fatalf("%d rows, want %d", len(r.Rows), len(dates))
	}
	for i, v := range r.Rows {
		want := min(max(dates[i], dates[5]), dates[4])
		if got := millis(v[0]); got != want {
			t.Errorf("date %d came out as %d", dates[i], got)
		}
		if got := millis(v[1]); got != noon+tributary.Millis(1000*(i+1)) {
			t.Errorf("lastModifiedDate is %d", got)
		}
	}
}
