package cognitosync_test

import (
	"encoding/json"
	"errors"
	"testing"

	"tributary"
	"tributary/awswire"
	"tributary/front/cognitosync"
)

func developerOf(account string) tributary.Principal { return tributary.Principal{Account: account} }

// TestFaults holds every Kind to its name and status on the wire.
func TestFaults(t *testing.T) {
	golden := map[tributary.Kind]awswire.Fault{
		tributary.Internal:      {Code: "InternalErrorException", Status: 500, Message: "Internal error"},
		tributary.Invalid:       {Code: "InvalidParameterException", Status: 400, Message: "text"},
		tributary.NotFound:      {Code: "ResourceNotFoundException", Status: 404, Message: "text"},
		tributary.Exists:        {Code: "ResourceConflictException", Status: 409, Message: "text"},
		tributary.Stale:         {Code: "ResourceConflictException", Status: 409, Message: "text"},
		tributary.Denied:        {Code: "NotAuthorizedException", Status: 403, Message: "text"},
		tributary.Limit:         {Code: "LimitExceededException", Status: 400, Message: "text"},
		tributary.Throttled:     {Code: "TooManyRequestsException", Status: 429, Message: "text"},
		tributary.Busy:          {Code: "TooManyRequestsException", Status: 429, Message: "text"},
		tributary.Trigger:       {Code: "InvalidLambdaFunctionOutputException", Status: 400, Message: "text"},
		tributary.Unavailable:   {Code: "ServiceUnavailableException", Status: 503, Message: "text"},
		tributary.Taken:         {Code: "ResourceConflictException", Status: 409, Message: "text"},
		tributary.Misconfigured: {Code: "InvalidConfigurationException", Status: 400, Message: "text"},
		tributary.Forbidden:     {Code: "AccessDeniedException", Status: 403, Message: "text"},
	}
	for _, kind := range tributary.Kinds() {
		for _, operation := range []string{"UpdateRecords", "SetIdentityPoolConfiguration"} {
			want := golden[kind]
			if kind == tributary.Stale && operation == "SetIdentityPoolConfiguration" {
				want.Code, want.Status = "ConcurrentModificationException", 400
			}
			if f := cognitosync.FaultOf(operation, tributary.Errorf(kind, "test", "text")); *f != want {
				t.Errorf("%s of %s is answered with %+v, want %+v", kind, operation, *f, want)
			}
		}
	}
	if f := cognitosync.FaultOf("UpdateRecords", errors.New("secret")); *f != golden[tributary.Internal] {
		t.Errorf("an unknown error is answered with %+v", f)
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
	f.Add("\xff", "a\xffb", int64(7), int64(1790000000123), false) // no client can have brought it in
	f.Fuzz(func(t *testing.T, key, value string, count, at int64, removed bool) {
		var out struct {
			Key       string
			Value     *string
			SyncCount int64
		}
		r := tributary.Record{Key: key, Value: value, SyncCount: count, LastModified: tributary.Millis(at), Removed: removed}
		if err := json.Unmarshal(cognitosync.AppendRecord(r), &out); err != nil {
			t.Fatal(err)
		}
		if out.Key != readable(key) || out.SyncCount != count || (out.Value == nil) != removed || out.Value != nil && *out.Value != readable(value) {
			t.Fatalf("%+v became %+v", r, out)
		}
	})
}

// readable is a text as JSON can hold it.
func readable(s string) string { return string([]rune(s)) }
