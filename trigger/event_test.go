package trigger_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tributary"
	"tributary/trigger"
)

const (
	pool = tributary.PoolID("eu-west-1:00000000-0000-4000-8000-00000000000a")
	ann  = tributary.IdentityID("eu-west-1:11111111-1111-4111-8111-111111111111")
)

// sync is an event with a record of each kind.
func sync() *tributary.SyncEvent {
	return &tributary.SyncEvent{Key: tributary.DatasetKey{Pool: pool, Identity: ann, Dataset: "profile"}, Records: []tributary.EventRecord{
		{Key: "bye", Old: new("1"), Op: tributary.Remove},
		{Key: "name", Old: new("Ann"), New: new("<Änn> \"\u2028")},
		{Key: "new", New: new("")},
		{Key: "same", Old: new("2"), New: new("2")},
	}}
}

// golden is the JSON of that event.
const golden = `{"version":2,"eventType":"SyncTrigger","region":"eu-west-1","identityPoolId":"` + string(pool) + `","identityId":"` + string(ann) +
	`","datasetName":"profile","datasetRecords":{` +
	`"bye":{"oldValue":"1","newValue":null,"op":"remove"},` +
	`"name":{"oldValue":"Ann","newValue":"<Änn> \"` + "\u2028" + `","op":"replace"},` +
	`"new":{"oldValue":null,"newValue":"","op":"replace"},` +
	`"same":{"oldValue":"2","newValue":"2","op":"replace"}}}`

// TestEncode holds the event to AWS's JSON.
func TestEncode(t *testing.T) {
	b, err := trigger.Encode(sync())
	if err != nil || string(b) != golden {
		t.Errorf("%v: the event is\n%s\nwant\n%s", err, b, golden)
	}
	if !json.Valid(b) {
		t.Error("it is no JSON")
	}
}

// show writes an answer as "key=value op".
func show(records []tributary.EventRecord) []string {
	out := make([]string, len(records))
	for i, r := range records {
		value := "null"
		if r.New != nil {
			value = *r.New
		}
		out[i] = fmt.Sprintf("%s=%s %s", r.Key, value, r.Op)
	}
	return out
}

// TestDecode is how answers are read.
func TestDecode(t *testing.T) {
	echo := show(sync().Records)
	changed := func(from, to string) string {
		if !strings.Contains(golden, from) {
			t.Fatalf("%s is not there", from)
		}
		return strings.Replace(golden, from, to, 1)
	}
	for _, c := range []struct {
		name, answer string
		want         []string
		err          string
	}{
		{"an echo", golden, echo, ""},
		{"the records alone", "{" + golden[strings.Index(golden, `"datasetRecords"`):], echo, ""},
		{"a member of its own", changed(`{"version"`, `{"more":[1],"version"`), echo, ""},
		{"no records", `{"datasetRecords":{}}`, nil, ""},
		{"values of all kinds", ` {"datasetRecords":{"b":{"newValue":"1"},"a":{"op":"remove","newValue":"2"},"c":{"op":"replace"},"d":{"op":null,"newValue":null,"oldValue":7,"more":1}}} `,
			[]string{"a=2 remove", "b=1 replace", "c=null replace", "d=null replace"}, ""},

		{"nothing", ``, nil, "it cannot be read"},
		{"null", `null`, nil, "it has no datasetRecords"},
		{"an empty object", `{}`, nil, "it has no datasetRecords"},
		{"records null", `{"datasetRecords":null}`, nil, "it has no datasetRecords"},
		{"text", `"ok"`, nil, "it cannot be read"},
		{"a list", `[]`, nil, "it cannot be read"},
		{"half of it", golden[:len(golden)-1], nil, "it cannot be read"},
		{"more than it", golden + "{}", nil, "it cannot be read"},
		{"a key twice", `{"datasetRecords":{"a":{},"a":{}}}`, nil, "it cannot be read"},
		{"broken UTF-8", "{\"datasetRecords\":{\"\xff\":{}}}", nil, "it cannot be read"},
		{"half a character", `{"datasetRecords":{"a":{"newValue":"\ud800"}}}`, nil, "it cannot be read"},
		{"a number", `{"datasetRecords":{"a":{"newValue":1}}}`, nil, "it cannot be read"},
		{"an object", `{"datasetRecords":{"a":{"newValue":{}}}}`, nil, "it cannot be read"},
		{"a record that is null", `{"datasetRecords":{"a":null}}`, nil, `the record "a" is null`},
		{"an unknown op", `{"datasetRecords":{"a":{"newValue":"1","op":"Replace"}}}`, nil, `has the op "Replace", it must be replace or remove`},
		{"another version", changed(`"version":2`, `"version":3`), nil, "it has changed version to 3"},
		{"another event", changed("SyncTrigger", "Other"), nil, `it has changed eventType to "Other"`},
		{"another region", changed(`"region":"eu`, `"region":"us`), nil, `it has changed region to "us-west-1"`},
		{"another pool", changed("0a", "0b"), nil, "it has changed identityPoolId"},
		{"another identity", changed("1111-1", "1111-2"), nil, "it has changed identityId"},
		{"another dataset", changed("profile", "other"), nil, `it has changed datasetName to "other"`},
	} {
		got, err := trigger.Decode([]byte(c.answer), sync())
		if c.err == "" && (err != nil || !slices.Equal(show(got), c.want)) {
			t.Errorf("%s: %v, %q, want %q", c.name, err, show(got), c.want)
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, %q, want the error %q", c.name, err, show(got), c.err)
		}
	}
}

// FuzzDecode: an answer that is taken has each key once, in order, and is the same
// when it is sent back as an event.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte(`{"datasetRecords":{"b":{"newValue":"1"},"a":{"op":"remove"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := trigger.Decode(body, sync())
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(got, func(a, b tributary.EventRecord) int {
			if a.Key == b.Key {
				t.Fatalf("%q is there twice", a.Key)
			}
			return strings.Compare(a.Key, b.Key)
		}) {
			t.Fatalf("out of order: %q", show(got))
		}
		e := sync()
		e.Records = got
		again, err := trigger.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		same, err := trigger.Decode(again, e)
		if err != nil || !slices.Equal(show(same), show(got)) {
			t.Fatalf("%v: %q became %q", err, show(got), show(same))
		}
	})
}
