package awswire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json"

	"tributary/awswire"
)

const (
	cborType = "application/x-amz-cbor-1.1"
	jsonType = "application/x-amz-json-1.1"
)

// The shapes that Kinesis has: embedded structs, names of tags, names of types,
// optional members, times, bytes, lists of structs, maps.
type (
	streamRef struct{ StreamName, StreamARN string }
	position  string
	hashRange struct{ StartingHashKey, EndingHashKey string }
	shard     struct {
		ShardID       string   `json:"ShardId"`
		ParentShardID string   `json:"ParentShardId,omitzero"`
		Ending        position `json:",omitzero"`
		HashKeyRange  *hashRange
	}
	putEntry struct {
		Data            []byte
		PartitionKey    string
		ExplicitHashKey *string
		Arrived         awswire.Timestamp `json:"ApproximateArrivalTimestamp"`
	}
	shapes struct {
		streamRef
		Limit     *int
		Timestamp *awswire.Timestamp
		Created   awswire.Timestamp `json:",omitzero"`
		Behind    int64             `json:"MillisBehindLatest"`
		More      bool
		Records   []putEntry
		Shards    []shard
		Tags      map[string]string
		Next      *string
	}
)

// The parts of CBOR, by hand: major type and number, then what follows.
func head(major byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{major<<5 | 27}, n)
}
func text(s string) []byte { return append(head(3, uint64(len(s))), s...) }
func blob(s string) []byte { return append(head(2, uint64(len(s))), s...) }
func array(items ...[]byte) []byte {
	return append(head(4, uint64(len(items))), bytes.Join(items, nil)...)
}
func dict(items ...[]byte) []byte {
	return append(head(5, uint64(len(items)/2)), bytes.Join(items, nil)...)
}
func of(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// call sends a body to an operation that gives back what it was given.
func call(t testing.TB, contentType string, body []byte, strict bool) (*shapes, *httptest.ResponseRecorder) {
	t.Helper()
	var got *shapes
	echo := func(_ context.Context, _ string, in *shapes) (*shapes, error) {
		got = in
		return in, nil
	}
	handle := awswire.Handler(echo)
	if strict {
		handle = awswire.StrictHandler(echo)
	}
	s := service(awswire.JSON11)
	s.MaxBody = 1 << 20
	s.Operations = []awswire.Operation[string]{{Name: "Put", Handle: handle}}
	r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", "Test.Put")
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "test")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return got, w
}

// TestCBOR has bodies that say the same in CBOR and in JSON.
func TestCBOR(t *testing.T) {
	for _, c := range []struct {
		name string
		cbor []byte
		json string
	}{
		{"nothing", nil, ``},
		{"empty", dict(), `{}`},
		{"of the SDK for Java 2.31", of("bf6a53747265616d4e616d656173675368617264496474736861726449642d3030303030303030303030307153686172644974657261746f72547970656c41545f54494d455354414d506954696d657374616d70c11b000001a013accc38ff"),
			`{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1787036486.712}`},
		{"long text of the SDK for Java 2.31", append(append(of("bf6a53747265616d4e616d65 7f790f9c"), strings.Repeat("s", 0xf9c)...), of("6173 ff ff")...), `{"StreamName":"` + strings.Repeat("s", 0xf9d) + `"}`},
		{"without a tag", dict(text("Created"), of("1b 000001a013accc38")), `{"Created":1787036486.712}`},
		{"time as a double", dict(text("Created"), of("c1 fb 4279ffffffffffff")), `{"Created":1786706395.136}`},
		{"time as a half", dict(text("Created"), of("c1 f9 3e00")), `{"Created":0.002}`},
		{"time before 1970", dict(text("Created"), of("c1 3903e7")), `{"Created":-1}`},
		{"no time", dict(text("Created"), of("f6"), text("Timestamp"), of("f6")), `{"Created":null,"Timestamp":null}`},
		{"undefined", dict(text("Limit"), of("f7"), text("More"), of("f7")), `{"Limit":null}`},
		{"blobs", dict(text("Records"), array(dict(text("Data"), blob("\x00\xff\xfe"), text("PartitionKey"), text("ключ")), dict(text("Data"), blob("")))),
			`{"Records":[{"Data":"AP/+","PartitionKey":"ключ"},{"Data":""}]}`},
		{"chunks", of("bf 7f 62 4f74 63 686572 ff 5f 41 00 ff 67 5265636f726473 9f bf 64 44617461 5f 41 00 40 42 ff01 ff ff ff ff"), `{"Other":"AA==","Records":[{"Data":"AP8B"}]}`},
		{"chunked text", of("bf 6a 53747265616d4e616d65 7f 61 61 60 62 6262 ff ff"), `{"StreamName":"abb"}`},
		{"unknown members", dict(text("Other"), array(dict(), of("f93c00")), text("streamname"), text("x"), of("01"), of("02"), text("StreamName"), text("s")),
			`{"Other":[{},1.0],"streamname":"x","StreamName":"s"}`},
		{"unknown tags", dict(text("StreamName"), append(of("d9 d9f7"), text("s")...), text("Limit"), of("d8 64 05")), `{"StreamName":"s","Limit":5}`},
		{"self-described", append(of("d9 d9f7"), dict(text("More"), of("f5"))...), `{"More":true}`},
		{"widths", dict(text("Limit"), head(0, 7), text("MillisBehindLatest"), of("3b 7fffffffffffffff")), `{"Limit":7,"MillisBehindLatest":-9223372036854775808}`},
		{"maps and lists", dict(text("Tags"), dict(text("a"), text("1"), text("b"), text("")), text("Shards"), array(dict(text("ShardId"), text("x"), text("HashKeyRange"), dict(text("EndingHashKey"), text("9"))))),
			`{"Tags":{"a":"1","b":""},"Shards":[{"ShardId":"x","HashKeyRange":{"EndingHashKey":"9"}}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, w := call(t, jsonType, []byte(c.json), false)
			if want == nil {
				t.Fatalf("in JSON: %s", w.Body)
			}
			got, w := call(t, cborType, c.cbor, false)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%d %q\n got %+v\nwant %+v", w.Code, w.Body, got, want)
			}
			if again, _ := call(t, cborType, w.Body.Bytes(), true); !reflect.DeepEqual(full(again), full(want)) {
				t.Errorf("the answer %x is read as %+v", w.Body, again)
			}
			if name := w.Header().Get("Content-Type"); name != cborType || w.Code != 200 {
				t.Errorf("%d %s", w.Code, name)
			}
		})
	}
}

// full has nil lists and maps as they are on the wire: empty.
func full(s *shapes) *shapes {
	out := *s
	out.Records = append([]putEntry{}, s.Records...)
	for i, r := range out.Records {
		out.Records[i].Data = append([]byte{}, r.Data...)
	}
	out.Shards = append([]shard{}, s.Shards...)
	out.Tags = map[string]string{}
	for k, v := range s.Tags {
		out.Tags[k] = v
	}
	return &out
}

// TestCBORAnswer has the bytes of an answer, as clients rely on them: times
// whole and in milliseconds, blobs as bytes, null for what is not there.
func TestCBORAnswer(t *testing.T) {
	_, w := call(t, cborType, dict(text("StreamName"), text("s"), text("Timestamp"), of("fb 4279ffffffffffff"),
		text("Records"), array(dict(text("Data"), blob("\xff"), text("ApproximateArrivalTimestamp"), of("c1 1a 00000001")))), false)
	want := "aa" + // Created is left out
		"6a53747265616d4e616d65" + "6173" +
		"6953747265616d41524e" + "60" +
		"654c696d6974" + "f6" +
		"6954696d657374616d70" + "c1" + "1b000001a000000000" +
		"724d696c6c6973426568696e644c6174657374" + "00" +
		"644d6f7265" + "f4" +
		"675265636f726473" + "81" + "a4" +
		"6444617461" + "41ff" +
		"6c506172746974696f6e4b6579" + "60" +
		"6f4578706c69636974486173684b6579" + "f6" +
		"781b417070726f78696d6174654172726976616c54696d657374616d70" + "c101" +
		"66536861726473" + "80" +
		"6454616773" + "a0" +
		"644e657874" + "f6"
	if got := hex.EncodeToString(w.Body.Bytes()); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestCBORRefusals has bodies that are refused, each for its own reason.
func TestCBORRefusals(t *testing.T) {
	name := text("StreamName")
	for _, c := range []struct {
		name   string
		body   []byte
		strict bool
		text   string
	}{
		{"JSON", []byte(`{"StreamName":"s"}`), false, "EOF"},
		{"cut off", dict(name, text("s"))[:20], false, "EOF"},
		{"trailing bytes", append(dict(), 0), false, "1 bytes of extraneous data"},
		{"no map", array(), false, "array"},
		{"twice", dict(name, text("a"), name, text("b")), false, `duplicate map key "StreamName"`},
		{"twice, embedded", dict(name, text("a"), text("StreamARN"), text("c"), name, text("a")), false, "duplicate map key"},
		{"twice, unknown", dict(text("x"), text("a"), text("x"), text("b")), false, "duplicate map key"},
		{"twice, in a map", dict(text("Tags"), dict(text("a"), text("1"), text("a"), text("2"))), false, "duplicate map key"},
		{"unknown and strict", dict(text("Other"), text("a")), true, "unknown field"},
		{"other case and strict", dict(text("streamName"), text("a")), true, "unknown field"},
		{"name in bytes", dict(blob("StreamName"), text("s")), false, "map key is of type byte string"},
		{"no text", dict(name, of("01")), false, "StreamName"},
		{"bytes for a text", dict(name, blob("s")), false, "StreamName"},
		{"text for bytes", dict(text("Records"), array(dict(text("Data"), text("AAAA")))), false, "Records of type []uint8"},
		{"broken UTF-8", dict(name, text("\xff")), false, "UTF-8"},
		{"broken UTF-8, chunk", dict(name, of("7f 61 c3 61 bc ff")), false, "UTF-8"},
		{"number too large", dict(text("Limit"), head(0, 1<<63)), false, "Limit"},
		{"large number", dict(text("Limit"), append(of("c2"), blob("\x01\x00\x00\x00\x00\x00\x00\x00\x00")...)), false, "bignum"},
		{"whole number as a float", dict(text("Limit"), of("f9 3c00")), false, "Limit"},
		{"time that is text", dict(text("Created"), text("now")), false, "a time is a number of milliseconds"},
		{"tagged time that is text", dict(text("Created"), append(of("c1"), text("now")...)), false, "tag"},
		{"time under another tag", dict(text("Created"), of("d8 64 05")), false, "tag 100 is not that of a time"},
		{"date in words", dict(text("Created"), append(of("c0"), text("2026-01-01T00:00:00Z")...)), false, "tag 0 is not that of a time"},
		{"far time", dict(text("Created"), of("c1 fb 7e37e43c8800759c")), false, "is not a time in milliseconds"},
		{"time that is no number", dict(text("Created"), of("c1 f9 7e00")), false, "is not a time in milliseconds"},
		{"endless time", dict(text("Created"), of("c1 f9 fc00")), false, "is not a time in milliseconds"},
		{"33 levels", append(append(of("a1"), text("Other")...), append(bytes.Repeat(of("81"), 32), 0)...), false, "exceeded max nested level 32"},
		{"reserved", of("a1 61 78 1c"), false, "invalid additional information 28"},
		{"break", of("ff"), false, "break"},
		{"chunk of another type", dict(name, of("7f 41 61 ff")), false, "wrong element type byte string"},
		{"chunk in a chunk", dict(name, of("7f 7f ff ff")), false, "indefinite-length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, w := call(t, cborType, c.body, c.strict)
			var f struct {
				Type    string `cbor:"__type"`
				Message string `cbor:"message"`
			}
			err := cbor.Unmarshal(w.Body.Bytes(), &f)
			if err != nil || w.Code != 400 || f.Type != "SerializationException" || !strings.Contains(f.Message, c.text) || !strings.HasPrefix(f.Message, "The request body could not be read: ") {
				t.Errorf("%d %+v, %v, want %q", w.Code, f, err, c.text)
			}
		})
	}
}

// TestCBORBombs has bodies of up to 1 MiB that ask for more than they are.
func TestCBORBombs(t *testing.T) {
	const size = 1 << 20
	records := func(items []byte) []byte { return bytes.Join([][]byte{of("a1"), text("Records"), items}, nil) }
	fill := func(b string) []byte { return bytes.Repeat(of(b), size/len(of(b))-64) }
	for name, body := range map[string][]byte{
		"list":              records(head(4, 1<<31-1)),
		"endless list":      records(head(4, 1<<63)),
		"map":               head(5, 1<<31-1),
		"bytes":             records(array(append(append(of("a1"), text("Data")...), head(2, 1<<40)...))),
		"text":              append(append(of("a1"), text("StreamName")...), head(3, 1<<40)...),
		"nested lists":      fill("81"),
		"nested open lists": fill("9f"),
		"nested maps":       fill("a100"),
		"nested tags":       fill("c6"),
		"nested, unknown":   append(append(of("a1"), text("Other")...), fill("9f")...),
		"nulls":             records(append(append(of("9f"), fill("f6")...), 0xff)),
		"empty structs":     records(append(append(of("9f"), fill("a0")...), 0xff)),
		"unknown nulls":     append(append(append(of("a1"), text("Other")...), append(of("9f"), fill("f6")...)...), 0xff),
		"many members":      append(append(of("bf"), fill("6161f6")...), 0xff),
		"open map":          append(of("bf"), fill("1a00000000f6")...),
		"large number":      append(append(of("a1"), text("Limit")...), append(of("c2"), blob(string(fill("01")))...)...),
		"chunks of nothing": append(append(append(of("a1"), text("StreamName")...), append(of("7f"), fill("60")...)...), 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, w := call(t, cborType, body, false)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 16*size {
				t.Errorf("%d bytes are allocated for %d", took, len(body))
			}
			if w.Code != 400 {
				t.Errorf("%d %.200q", w.Code, w.Body)
			}
		})
	}
	keys := head(5, 10_001)
	for i := range uint64(10_001) {
		keys = append(append(keys, text(strconv.FormatUint(i, 10))...), 0)
	}
	if _, w := call(t, cborType, keys, false); !strings.Contains(w.Body.String(), "exceeded max number of key-value pairs 10000") {
		t.Errorf("a map of 10,001: %d %.200q", w.Code, w.Body)
	}
	most := append(append(of("9f"), bytes.Repeat(of("a0"), 10_000)...), 0xff)
	if got, w := call(t, cborType, records(most), false); got == nil || len(got.Records) != 10_000 {
		t.Errorf("a list of 10,000: %.200q", w.Body)
	}
}

// TestFormats has what decides how the answer is written, and its faults.
func TestFormats(t *testing.T) {
	for _, c := range []struct {
		protocol             awswire.Protocol
		contentType, op      string
		body                 string
		status               int
		code, answer, called string
	}{
		{awswire.JSON11, cborType, "Echo", "\xa1\x64Text\x61x", 200, "", "\x64Text\x61x", cborType},
		{awswire.JSON11, "Application/X-AMZ-CBOR-1.1 ; charset=utf-8", "Echo", "\xa1\x64Text\x61x", 200, "", "\x64Text\x61x", cborType},
		{awswire.JSON11, jsonType, "Echo", `{"Text":"x"}`, 200, "", `"Text":"x"`, jsonType},
		{awswire.JSON11, "", "Echo", `{"Text":"x"}`, 200, "", `"Text":"x"`, jsonType},
		{awswire.JSON11, cborType + "0", "Echo", `{"Text":"x"}`, 200, "", `"Text":"x"`, jsonType},
		{awswire.RESTJSON, cborType, "Echo", `{"Text":"x"}`, 200, "", `"Text":"x"`, "application/json"},
		{awswire.JSON11, cborType, "Echo", "\xa1\x64Text\x65error", 500, "InternalErrorException", "\xa2\x66__type\x76InternalErrorException\x67message\x6eInternal error", cborType},
		{awswire.JSON11, cborType, "Echo", "\xa1\x64Text\x65panic", 500, "InternalFailure", "\xa2\x66__type\x6fInternalFailure\x67message\x70Internal failure", cborType},
		{awswire.JSON11, cborType, "Nothing", "\xa0", 400, "UnknownOperationException", "\xa2\x66__type\x78\x19UnknownOperationException\x67message", cborType},
		{awswire.JSON11, cborType, "SignedPost", "\xa0", 400, "MissingAuthenticationTokenException", "\x67message\x78\x1cMissing Authentication Token", cborType},
		{awswire.JSON11, cborType, "Echo", strings.Repeat(" ", 101), 413, "RequestEntityTooLargeException", "\xa2\x66__type", cborType},
		{awswire.JSON11, cborType, "Later", "\xa0", 400, "UnsupportedOperationException", "The operation Later is not supported", cborType},
	} {
		r := httptest.NewRequest("POST", "/things/a/echo", strings.NewReader(c.body))
		r.Header.Set("X-Amz-Target", "Test."+c.op)
		r.Header.Set("Content-Type", c.contentType)
		if c.op == "Later" {
			r.Header.Set("Authorization", "test")
		}
		w := httptest.NewRecorder()
		service(c.protocol).ServeHTTP(w, r)
		code, called := header(w, "x-amzn-ErrorType"), w.Header().Get("Content-Type")
		if w.Code != c.status || code != c.code || called != c.called || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s %s %.20q: %d %s %s %q, want %d %s %s %q", c.contentType, c.op, c.body, w.Code, code, called, w.Body, c.status, c.code, c.called, c.answer)
		}
	}
}

// byHand writes and reads itself in JSON, bothByHand in CBOR too.
type (
	byHand     struct{ text string }
	bothByHand struct{ byHand }
)

func (v *byHand) DecodeBody(b []byte) error {
	v.text = string(b)
	return nil
}
func (v *byHand) AppendJSON(dst []byte) []byte                   { return append(dst, v.text...) }
func (v *bothByHand) MarshalCBOR() ([]byte, error)               { return cbor.Marshal("C" + v.text) }
func (v *bothByHand) UnmarshalCBOR(b []byte) error               { return cbor.Unmarshal(b, &v.text) }
func same[T any](_ context.Context, _ string, in *T) (*T, error) { return in, nil }
func give[T any](v *T) func(context.Context, string, *struct{}) (*T, error) {
	return func(context.Context, string, *struct{}) (*T, error) { return v, nil }
}

// TestFormatsByHand: what is written by hand in JSON alone is refused in CBOR,
// and not taken for a struct without members.
func TestFormatsByHand(t *testing.T) {
	s := service(awswire.JSON11)
	s.Operations = []awswire.Operation[string]{
		{Name: "In", Public: true, Handle: awswire.Handler(same[byHand])},
		{Name: "Out", Public: true, Handle: awswire.Handler(give(&byHand{"1"}))},
		{Name: "Both", Public: true, Handle: awswire.Handler(same[bothByHand])},
	}
	for _, c := range []struct{ op, contentType, body, code, answer string }{
		{"In", jsonType, "5", "", "5"},
		{"In", cborType, "\x05", "UnsupportedMediaTypeException", "send application/x-amz-json-1.1 (SDKs for Java: set AWS_CBOR_DISABLE=1)"},
		{"Out", jsonType, "", "", "1"},
		{"Out", cborType, "", "UnsupportedMediaTypeException", "send application/x-amz-json-1.1 (SDKs for Java: set AWS_CBOR_DISABLE=1)"},
		{"Both", jsonType, "5", "", "5"},
		{"Both", cborType, "\x61x", "", "\x62Cx"},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
		r.Header.Set("X-Amz-Target", "Test."+c.op)
		r.Header.Set("Content-Type", c.contentType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if code := header(w, "x-amzn-ErrorType"); code != c.code || !strings.Contains(w.Body.String(), c.answer) || (w.Code == http.StatusOK) != (c.code == "") {
			t.Errorf("%s %s: %d %s %q", c.op, c.contentType, w.Code, code, w.Body)
		}
	}
}

// FuzzCBOR: what is read is written so that it is read again, in both formats.
func FuzzCBOR(f *testing.F) {
	f.Add(of("bf 6a 53747265616d4e616d65 61 73 69 54696d657374616d70 c1 1b 000001a013accc38 ff"))
	f.Add(dict(text("Records"), array(dict(text("Data"), blob("\xff"), text("PartitionKey"), text("k")))))
	f.Add(dict(text("Tags"), dict(text("a"), text("b")), text("Created"), of("c1 fb 4279ffffffffffff")))
	f.Add(of("bf 6a 53747265616d4e616d65 7f 61 61 60 62 6262 ff ff"))
	f.Add(of("a1 654c696d6974 c2 41 05"))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, w := call(t, cborType, body, false)
		if in == nil {
			return
		}
		if w.Code != http.StatusOK {
			t.Fatalf("%+v cannot be written: %q", in, w.Body)
		}
		if again, _ := call(t, cborType, w.Body.Bytes(), true); again == nil || !reflect.DeepEqual(full(again), full(in)) {
			t.Fatalf("%+v is read as %+v", in, again)
		}
		b, err := json.Marshal(in, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		if _, w := call(t, jsonType, b, true); w.Code != http.StatusOK || !sameJSON(b, w.Body.Bytes()) {
			t.Fatalf("%s becomes %s", b, w.Body)
		}
	})
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
