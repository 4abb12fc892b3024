package cognitosync_test

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"tributary"
	"tributary/front/cognitosync"
)

func developerOf(account string) tributary.Principal { return tributary.Principal{Account: account} }

// TestFaults wants a name and a status for every Kind.
func TestFaults(t *testing.T) {
	for _, kind := range tributary.Kinds() {
		f := cognitosync.FaultOf("UpdateRecords", tributary.Errorf(kind, "test", "text"))
		if f.Code == "" || f.Status < 400 {
			t.Errorf("%s is answered with %+v", kind, f)
		}
		if kind != tributary.Internal && f.Message != "text" {
			t.Errorf("%s says %q", kind, f.Message)
		}
	}
	if f := cognitosync.FaultOf("UpdateRecords", errors.New("secret")); f.Message != "Internal error" || f.Status != 500 {
		t.Errorf("an unknown error is answered with %+v", f)
	}
	if f := cognitosync.FaultOf("SetIdentityPoolConfiguration", tributary.Errorf(tributary.Stale, "", "")); f.Code != "ConcurrentModificationException" {
		t.Errorf("a stale configuration is answered with %+v", f)
	}
}

// FuzzUpdateRecords holds the decoder by hand to the library: what it takes,
// both read alike.
func FuzzUpdateRecords(f *testing.F) {
	f.Add([]byte(`{"SyncSessionToken":"t","DeviceId":"d","RecordPatches":[{"Op":"replace","Key":"k","Value":"v","SyncCount":12,"DeviceLastModifiedDate":1524113410.528}]}`))
	f.Add([]byte(`{"RecordPatches":[{"Op":"replace","Op":"remove"}]}`))
	f.Add([]byte(`{"RecordPatches":[{"SyncCount":01},{"SyncCount":1.0},{"SyncCount":1e3}]}`))
	f.Add([]byte(` { "RecordPatches" : [ ] , "SyncSessionToken" : "\u0041" } x`))
	f.Add([]byte(`{"RecordPatches":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		byHand, byLibrary, declined, err := cognitosync.DecodeBoth(body)
		if declined {
			return
		}
		if err != nil {
			t.Fatalf("taken by hand, the library says %v", err)
		}
		if byHand != byLibrary {
			t.Fatalf("by hand %s, by the library %s", byHand, byLibrary)
		}
	})
}

// FuzzRecord holds the encoder to the standard library.
func FuzzRecord(f *testing.F) {
	f.Add("key", "value\x00\u2028\"", int64(7), int64(1790000000123), false)
	f.Fuzz(func(t *testing.T, key, value string, count, at int64, removed bool) {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return
		}
		var out struct {
			Key       string
			Value     *string
			SyncCount int64
		}
		r := tributary.Record{Key: key, Value: value, SyncCount: count, LastModified: tributary.Millis(at), Removed: removed}
		if err := json.Unmarshal(cognitosync.AppendRecord(r), &out); err != nil {
			t.Fatal(err)
		}
		if out.Key != key || out.SyncCount != count || (out.Value == nil) != removed || out.Value != nil && *out.Value != value {
			t.Fatalf("%+v became %+v", r, out)
		}
	})
}
