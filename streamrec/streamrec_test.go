package streamrec_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"tributary"
	"tributary/streamrec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var key = tributary.DatasetKey{
	Pool:     "eu-west-1:00000000-0000-4000-8000-00000000000a",
	Identity: "eu-west-1:11111111-1111-4111-8111-111111111111",
	Dataset:  "settings",
}

const at tributary.Millis = 1_424_801_824_343

// samples are the shapes that a record has, by the name of their golden files.
func samples() map[string]tributary.Change {
	live := func(k, v string, n int64) tributary.Record {
		return tributary.Record{Key: k, Value: v, SyncCount: n, LastModified: at + tributary.Millis(n), DeviceLastModified: at - 7}
	}
	return map[string]tributary.Change{
		"inline":         {Key: key, SyncCount: 2, At: at, Records: []tributary.Record{live("colour", "blue", 2), live("né\n\"", "€\u2028</a>\\\x00", 2)}},
		"s3url":          {Key: key, SyncCount: 2, At: at, Records: []tributary.Record{live("colour", "blue", 2)}},
		"record-remove":  {Key: key, SyncCount: 3, At: at, Records: []tributary.Record{{Key: "colour", Removed: true, SyncCount: 3, LastModified: at, DeviceLastModified: at}, live("empty", "", 3)}},
		"dataset-remove": {Key: key, Op: tributary.Remove, SyncCount: 4, At: at},
		"snapshot":       {Key: key, SyncCount: 9, At: at, Records: []tributary.Record{live("a", "1", 3), live("b", "2", 9)}},
	}
}

func TestGolden(t *testing.T) {
	for name, c := range samples() {
		t.Run(name, func(t *testing.T) {
			link := ""
			if name == "s3url" {
				link = "https://sync.example.com/_tributary/payload/2/0/49?X-Amz-Expires=60&X-Amz-Signature=00"
			}
			one := streamrec.Append([]byte("kept"), &c, link)
			if !bytes.HasPrefix(one, []byte("kept")) {
				t.Fatalf("what was there is gone: %s", one)
			}
			got := jsontext.Value(bytes.TrimPrefix(one, []byte("kept")))
			if err := got.Indent(); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", append(got, '\n'))
		})
	}
	records := samples()["inline"].Records
	golden(t, "records.json", append(streamrec.AppendRecords(nil, records), '\n'))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	for name, c := range samples() {
		got, link, err := streamrec.Decode(streamrec.Append(nil, &c, ""))
		if err != nil || link != "" || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: %+v, %q, %v, want %+v", name, got, link, err, c)
		}
		got, link, err = streamrec.Decode(streamrec.Append(nil, &c, "https://x/"))
		if err != nil || link != "https://x/" || got.Records != nil || got.Key != c.Key || got.SyncCount != c.SyncCount || got.At != c.At || got.Op != c.Op {
			t.Errorf("%s: %+v, %q, %v", name, got, link, err)
		}
		records, err := streamrec.DecodeRecords(streamrec.AppendRecords(nil, c.Records))
		if err != nil || !reflect.DeepEqual(records, c.Records) {
			t.Errorf("%s: %+v, %v", name, records, err)
		}
	}
}

// TestDecode has records of other writers.
func TestDecode(t *testing.T) {
	const ids = `"identityPoolId":"p","identityId":"i",`
	k := tributary.DatasetKey{Pool: "p", Identity: "i", Dataset: "d"}
	for _, c := range []struct {
		name, in string
		want     tributary.Change
		link     string
		err      string
	}{
		{name: "Documented", in: `{` + ids + `"dataSetName":"d","operation":"replace","syncCount":3}`, want: tributary.Change{Key: k, SyncCount: 3}},
		{name: "Real", in: `{` + ids + `"datasetName":"d","operation":"replace"}`, want: tributary.Change{Key: k}},
		{name: "Disagreeing", in: `{` + ids + `"dataSetName":"other","datasetName":"d","operation":"replace"}`, want: tributary.Change{Key: k}},
		{name: "Unknown", in: `{` + ids + `"datasetName":"d","operation":"remove","new":{"a":[1]},"lastModifiedDate":5}`, want: tributary.Change{Key: k, Op: tributary.Remove, At: 5}},
		{name: "Nulls", in: `{` + ids + `"datasetName":"d","operation":null,"lastModifiedDate":null,"kinesisSyncRecords":null,"kinesisSyncRecordsURL":null,"payloadType":null}`, want: tributary.Change{Key: k, Op: tributary.Remove}},
		{name: "NoDates", in: `{` + ids + `"datasetName":"d","operation":"replace","kinesisSyncRecords":[{"key":"a","value":"b","syncCount":1,"op":"replace","lastModifiedBy":"x"}]}`,
			want: tributary.Change{Key: k, Records: []tributary.Record{{Key: "a", Value: "b", SyncCount: 1}}}},
		{name: "NoOperation", in: `{` + ids + `"datasetName":"d","kinesisSyncRecords":[{"key":"a","value":"b"},{"key":"c"},{"key":"d","op":"replace"},{"key":"e","value":"x","op":"remove"}]}`,
			want: tributary.Change{Key: k, Records: []tributary.Record{{Key: "a", Value: "b"}, {Key: "c", Removed: true}, {Key: "d"}, {Key: "e", Removed: true}}}},
		{name: "Link", in: `{` + ids + `"datasetName":"d","operation":"replace","kinesisSyncRecordsURL":"u"}`, want: tributary.Change{Key: k}, link: "u"},
		{name: "LinkNoOperation", in: `{` + ids + `"datasetName":"d","kinesisSyncRecordsURL":"u"}`, want: tributary.Change{Key: k}, link: "u"},
		{name: "LinkAndInline", in: `{` + ids + `"datasetName":"d","operation":"replace","kinesisSyncRecords":[],"kinesisSyncRecordsURL":"u","payloadType":"Inline"}`, want: tributary.Change{Key: k}},
		{name: "LinkMissing", in: `{` + ids + `"datasetName":"d","operation":"replace","payloadType":"S3Url"}`, err: "there is no kinesisSyncRecordsURL"},
		{name: "PayloadType", in: `{` + ids + `"datasetName":"d","payloadType":"Tape"}`, err: `unknown payloadType "Tape"`},
		{name: "Operation", in: `{` + ids + `"datasetName":"d","operation":"upsert"}`, err: `unknown operation "upsert"`},
		{name: "Op", in: `{` + ids + `"datasetName":"d","kinesisSyncRecords":[{"op":"x"}]}`, err: `unknown op "x"`},
		{name: "NoIdentity", in: `{"identityPoolId":"p","datasetName":"d"}`, err: "is missing"},
		{name: "Empty", in: ``, err: "no Cognito Streams record"},
		{name: "Other", in: `[]`, err: "no Cognito Streams record"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, link, err := streamrec.Decode([]byte(c.in))
			if c.err != "" {
				if tributary.KindOf(err) != tributary.Invalid || !strings.Contains(tributary.Message(err), c.err) {
					t.Fatalf("%v, want %s", err, c.err)
				}
				return
			}
			if err != nil || link != c.link || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %q, %v, want %+v, %q", got, link, err, c.want, c.link)
			}
		})
	}
}

func TestDecodeRecordsRefuses(t *testing.T) {
	for _, in := range []string{"", "{}", `[{"op":"x"}]`, `[1]`} {
		if _, err := streamrec.DecodeRecords([]byte(in)); tributary.KindOf(err) != tributary.Invalid {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestInline(t *testing.T) {
	c := samples()["inline"]
	size := len(streamrec.Append(nil, &c, ""))
	for limit, want := range map[int]bool{size: true, size - 1: false, 1: false, streamrec.DefaultInlineLimit: true} {
		out, ok := streamrec.AppendInline([]byte("kept"), &c, limit)
		if ok != want || ok && len(out) != size+4 || !ok && string(out) != "kept" {
			t.Errorf("%d of %d: %s, %v", limit, size, out, ok)
		}
	}
}

// FuzzEncode compares with the library, and reads back what was written.
func FuzzEncode(f *testing.F) {
	f.Add("key", "value", "https://x/?a=b&c", int64(1), int64(at), false)
	f.Add("\x1f\x20\x7f\u0080\"\\", "12345678\"", "", int64(math.MinInt64), int64(math.MaxInt64), true)
	f.Add("1234567\x1f", "\xff\xed\xa0\x80\U0001f600", "", int64(0), int64(0), false)
	f.Fuzz(func(t *testing.T, k, v, link string, n, date int64, removed bool) {
		c := tributary.Change{Key: key, SyncCount: n, At: tributary.Millis(date)}
		c.Key.Dataset = tributary.DatasetName("x" + k)
		r := tributary.Record{Key: k, SyncCount: n, LastModified: tributary.Millis(date), DeviceLastModified: tributary.Millis(-n), Removed: removed}
		if !removed {
			r.Value = v
		}
		c.Records = []tributary.Record{r, r}
		got := streamrec.Append(nil, &c, "")
		if want := library(t, &c); !bytes.Equal(got, want) {
			t.Fatalf("%s, want %s", got, want)
		}
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return
		}
		if back, _, err := streamrec.Decode(got); err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("%+v, %v, want %+v", back, err, c)
		}
		if _, at, err := streamrec.Decode(streamrec.Append(nil, &c, link)); utf8.ValidString(link) && (err != nil || at != link) {
			t.Fatalf("%q, %v, want %q", at, err, link)
		}
	})
}

// library encodes an Inline record with the JSON library.
func library(t *testing.T, c *tributary.Change) []byte {
	type record struct {
		Key                    string  `json:"key"`
		Value                  *string `json:"value"`
		SyncCount              int64   `json:"syncCount"`
		LastModifiedDate       int64   `json:"lastModifiedDate"`
		DeviceLastModifiedDate int64   `json:"deviceLastModifiedDate"`
		Op                     string  `json:"op"`
	}
	out := struct {
		Pool     string   `json:"identityPoolId"`
		Identity string   `json:"identityId"`
		Name     string   `json:"dataSetName"`
		RealName string   `json:"datasetName"`
		Op       string   `json:"operation"`
		Records  []record `json:"kinesisSyncRecords"`
		At       int64    `json:"lastModifiedDate"`
		URL      *string  `json:"kinesisSyncRecordsURL"`
		Type     string   `json:"payloadType"`
		Count    int64    `json:"syncCount"`
	}{string(c.Key.Pool), string(c.Key.Identity), string(c.Key.Dataset), string(c.Key.Dataset), c.Op.String(), nil, int64(c.At), nil, "Inline", c.SyncCount}
	for _, r := range c.Records {
		one := record{r.Key, &r.Value, r.SyncCount, int64(r.LastModified), int64(r.DeviceLastModified), "replace"}
		if r.Removed {
			one.Value, one.Op = nil, "remove"
		}
		out.Records = append(out.Records, one)
	}
	b, err := json.Marshal(out, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzDecode reads anything, and what it can read it can write and read again.
func FuzzDecode(f *testing.F) {
	for _, c := range samples() {
		f.Add(streamrec.Append(nil, &c, ""))
		f.Add(streamrec.Append(nil, &c, "u"))
		f.Add(streamrec.AppendRecords(nil, c.Records))
	}
	f.Add([]byte(`{"identityPoolId":"p","identityId":"i","dataSetName":"d"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if c, link, err := streamrec.Decode(in); err == nil {
			again, at, err := streamrec.Decode(streamrec.Append(nil, &c, link))
			if err != nil || at != link || !reflect.DeepEqual(again, c) {
				t.Errorf("%+v, %q, %v, want %+v, %q", again, at, err, c, link)
			}
		}
		if records, err := streamrec.DecodeRecords(in); err == nil {
			again, err := streamrec.DecodeRecords(streamrec.AppendRecords(nil, records))
			if err != nil || !reflect.DeepEqual(again, records) {
				t.Errorf("%+v, %v, want %+v", again, err, records)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	c := tributary.Change{Key: key, SyncCount: 7, At: at}
	for range 5 {
		c.Records = append(c.Records, tributary.Record{Key: "key-of-12-by", Value: strings.Repeat("abcdefgh", 10), SyncCount: 7, LastModified: at, DeviceLastModified: at})
	}
	dst := streamrec.Append(nil, &c, "")
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = streamrec.Append(dst[:0], &c, "")
	}
}

func BenchmarkDecode(b *testing.B) {
	c := samples()["snapshot"]
	in := streamrec.Append(nil, &c, "")
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, _, err := streamrec.Decode(in); err != nil {
			b.Fatal(err)
		}
	}
}
