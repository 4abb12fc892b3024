package cognitosync_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/awswire"
)

const color = `[{"Op":"replace","Key":"color","Value":"blue","SyncCount":0,"DeviceLastModifiedDate":1577836800}]`

// TestRecords holds the answers of the record operations to the wire.
func TestRecords(t *testing.T) {
	k := newKit(t)
	list := datasetPath(ann, "notes") + "/records"
	k.want(k.send(k.guest, "GET", list+"?lastSyncCount=0&maxResults=1024", ""), 200,
		`{"Records":[],"NextToken":null,"Count":0,"DatasetSyncCount":0,"LastModifiedBy":null,"MergedDatasetNames":null,"DatasetExists":false,"DatasetDeletedAfterRequestedSyncCount":false}`)
	const record = `{"Key":"color","Value":"blue","SyncCount":1,"LastModifiedDate":1790000000.123,"LastModifiedBy":"us-east-1:00000000-0000-4000-8000-00000000000a","DeviceLastModifiedDate":1577836800}`
	k.want(k.update(k.guest, ann, "notes", color), 200, `{"Records":[`+record+`]}`)
	k.want(k.send(k.guest, "GET", list, ""), 200,
		`{"Records":[`+record+`],"NextToken":null,"Count":1,"DatasetSyncCount":1,"LastModifiedBy":"us-east-1:00000000-0000-4000-8000-00000000000a","MergedDatasetNames":null,"DatasetExists":true,"DatasetDeletedAfterRequestedSyncCount":false}`)
	k.want(k.update(k.developer, ann, "notes", `[{"Op":"remove","Key":"color","SyncCount":1}]`), 200,
		`{"Records":[{"Key":"color","Value":null,"SyncCount":2,"LastModifiedDate":1790000000.123,"LastModifiedBy":"123456789012","DeviceLastModifiedDate":1790000000.123}]}`)
	k.want(k.update(k.guest, ann, "notes", `[]`), 200, `{"Records":[]}`)
	k.refused(k.update(k.guest, ann, "notes", color), 409, "ResourceConflictException", "Current SyncCount for: color is: 2 not: 0")
	device := `{"SyncSessionToken":"` + k.token(k.guest, ann, "notes") + `","DeviceId":"phone","RecordPatches":[{"Op":"replace","Key":"é\n","Value":"\u0000\"","SyncCount":0}]}`
	k.want(k.send(k.guest, "POST", datasetPath(ann, "notes"), device), 200,
		`{"Records":[{"Key":"é\n","Value":"\u0000\"","SyncCount":3,"LastModifiedDate":1790000000.123,"LastModifiedBy":"phone","DeviceLastModifiedDate":1790000000.123}]}`)
}

// TestPaging walks pages that answer the count of the first.
func TestPaging(t *testing.T) {
	k := newKit(t)
	var patches []string
	for n := range 5 {
		patches = append(patches, fmt.Sprintf(`{"Op":"replace","Key":"k%d","Value":"v","SyncCount":0}`, n))
	}
	if a := k.update(k.developer, ann, "d", "["+strings.Join(patches, ",")+"]"); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	seen, token := 0, ""
	for range 3 {
		a := k.send(k.developer, "GET", datasetPath(ann, "d")+"/records?lastSyncCount=0&maxResults=2"+token, "")
		seen += strings.Count(a.body, `"Key"`)
		if _, rest, found := strings.Cut(a.body, `"NextToken":"`); found {
			next, _, _ := strings.Cut(rest, `"`)
			token = "&nextToken=" + next
		} else if !strings.Contains(a.body, `"NextToken":null`) {
			t.Errorf("no NextToken in %s", a.body)
		}
	}
	if seen != 5 {
		t.Errorf("3 pages of 2 showed %d records, want 5", seen)
	}
	k.refused(k.send(k.developer, "GET", datasetPath(ann, "e")+"/records?maxResults=2"+token, ""), 400, "InvalidParameterException", "NextToken")
}

// TestDatasets holds the answers of the dataset operations to the wire.
func TestDatasets(t *testing.T) {
	k := newKit(t)
	for _, name := range []string{"a", "B", "c"} {
		if a := k.update(k.developer, ann, name, color); a.status != 200 {
			t.Fatalf("%+v", a)
		}
	}
	shape := func(name string) string {
		return `{"IdentityId":"us-east-1:00000000-0000-4000-8000-00000000000a","DatasetName":"` + name + `","CreationDate":1790000000.123,"LastModifiedDate":1790000000.123,"LastModifiedBy":"123456789012","DataStorage":9,"NumRecords":1}`
	}
	k.want(k.send(k.guest, "GET", identityPath(ann)+"/datasets", ""), 200, `{"Datasets":[`+shape("B")+`,`+shape("a")+`,`+shape("c")+`],"Count":3,"NextToken":null}`)
	k.want(k.send(k.guest, "GET", identityPath(ann)+"/datasets?maxResults=2", ""), 200, `{"Datasets":[`+shape("B")+`,`+shape("a")+`],"Count":2,"NextToken":"YQ=="}`)
	k.want(k.send(k.guest, "GET", identityPath(ann)+"/datasets?maxResults=2&nextToken=YQ%3D%3D", ""), 200, `{"Datasets":[`+shape("c")+`],"Count":1,"NextToken":null}`)
	k.want(k.send(k.guest, "GET", datasetPath(ann, "a"), ""), 200, `{"Dataset":`+shape("a")+`}`)
	k.want(k.send(k.guest, "DELETE", datasetPath(ann, "a"), ""), 200, `{"Dataset":`+shape("a")+`}`)
	k.refused(k.send(k.guest, "GET", datasetPath(ann, "a"), ""), 404, "ResourceNotFoundException", "Dataset 'a' not found.")
	k.refused(k.send(k.guest, "DELETE", datasetPath(ann, "a"), ""), 404, "ResourceNotFoundException", "")
	k.want(k.send(k.guest, "GET", identityPath(ann), ""), 200,
		`{"IdentityUsage":{"IdentityId":"us-east-1:00000000-0000-4000-8000-00000000000a","IdentityPoolId":"us-east-1:00000000-0000-4000-8000-000000000001","LastModifiedDate":1790000000.123,"DatasetCount":2,"DataStorage":18}}`)
}

// TestPools holds the answers of the pool operations to the wire.
func TestPools(t *testing.T) {
	k := newKit(t)
	if a := k.update(k.developer, ann, "a", color); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	k.ok(k.service.FlushSessions(t.Context()))
	const usage = `{"IdentityPoolId":"us-east-1:00000000-0000-4000-8000-000000000001","SyncSessionsCount":1,"DataStorage":9,"LastModifiedDate":1790000000.123}`
	k.want(k.send(k.developer, "GET", poolPath(), ""), 200, `{"IdentityPoolUsage":`+usage+`}`)
	k.want(k.send(k.developer, "GET", "/identitypools", ""), 200, `{"IdentityPoolUsages":[`+usage+`],"MaxResults":60,"Count":1,"NextToken":null}`)
	const id = `{"IdentityPoolId":"us-east-1:00000000-0000-4000-8000-000000000001"`
	k.want(k.send(k.developer, "GET", poolPath()+"/configuration", ""), 200, id+`}`)
	set := func(body string) answer { return k.send(k.developer, "POST", poolPath()+"/configuration", body) }
	k.refused(set(`{"CognitoStreams":{"StreamName":"s"}}`), 400, "InvalidParameterException", "Stream s does not exist")
	me := k.service.Account
	_, err := k.service.CreateStream(t.Context(), developerOf(me), "s", 1, 0)
	k.ok(err)
	on := id + `,"CognitoStreams":{"StreamName":"s","RoleArn":null,"StreamingStatus":"ENABLED"}}`
	k.want(set(`{"CognitoStreams":{"StreamName":"s"}}`), 200, on)
	k.want(set(`{}`), 200, on)
	k.want(set(`{"PushSync":{"ApplicationArns":["arn:aws:sns:us-east-1:123456789012:app/GCM/x"],"RoleArn":"arn:aws:iam::123456789012:role/r"},"CognitoStreams":{"StreamingStatus":"DISABLED"}}`), 200,
		id+`,"PushSync":{"ApplicationArns":["arn:aws:sns:us-east-1:123456789012:app/GCM/x"],"RoleArn":"arn:aws:iam::123456789012:role/r"},"CognitoStreams":{"StreamName":"s","RoleArn":null,"StreamingStatus":"DISABLED"}}`)
	_, err = k.service.CreateStream(t.Context(), developerOf(me), "t", 1, 0)
	k.ok(err)
	for _, c := range []struct{ in, want string }{ // without a status: as it is, and a new stream is on
		{`{"StreamName":"s"}`, `{"StreamName":"s","RoleArn":null,"StreamingStatus":"DISABLED"}`},
		{`{"RoleArn":"arn:aws:iam::123456789012:role/r"}`, `{"StreamName":"s","RoleArn":"arn:aws:iam::123456789012:role/r","StreamingStatus":"DISABLED"}`},
		{`{"StreamName":"t"}`, `{"StreamName":"t","RoleArn":"arn:aws:iam::123456789012:role/r","StreamingStatus":"ENABLED"}`},
		{`{"StreamName":"t"}`, `{"StreamName":"t","RoleArn":"arn:aws:iam::123456789012:role/r","StreamingStatus":"ENABLED"}`},
		{`{"StreamName":"s","StreamingStatus":"DISABLED"}`, `{"StreamName":"s","RoleArn":"arn:aws:iam::123456789012:role/r","StreamingStatus":"DISABLED"}`},
		{`{"StreamingStatus":"ENABLED"}`, `{"StreamName":"s","RoleArn":"arn:aws:iam::123456789012:role/r","StreamingStatus":"ENABLED"}`},
	} {
		if a := set(`{"CognitoStreams":` + c.in + `}`); a.status != 200 || !strings.HasSuffix(a.body, `"CognitoStreams":`+c.want+`}`) {
			t.Errorf("%s gives %d %s, want %s", c.in, a.status, a.body, c.want)
		}
	}
	k.refused(set(`{"CognitoStreams":{"StreamName":"s","StreamingStatus":"MAYBE"}}`), 400, "InvalidParameterException", "enum value set: [ENABLED, DISABLED]")
	k.refused(set(`{"CognitoStreams":{"StreamName":"s","RoleArn":"arn:aws:iam::1:user/x"}}`), 400, "InvalidParameterException", "roleArn")
	k.refused(set(`{"PushSync":{"ApplicationArns":["x"]}}`), 400, "InvalidParameterException", "applicationArns")
	k.ok(k.service.DeleteStream(t.Context(), developerOf(me), "s"))
	if a := k.send(k.developer, "GET", poolPath()+"/configuration", ""); !strings.Contains(a.body, `"StreamingStatus":"DISABLED"`) {
		t.Errorf("the stream is gone, the configuration is %s", a.body)
	}
}

// ghosts is a store that lists a pool which is gone when one looks for it.
type ghosts struct{ tributary.Store }

func (g ghosts) Pools(ctx context.Context, above tributary.PoolID, limit int) ([]tributary.Pool, error) {
	pools, err := g.Store.Pools(ctx, above, limit)
	if above == "" {
		pools = append([]tributary.Pool{{ID: "us-east-1:00000000-0000-4000-8000-000000000000"}}, pools...)
	}
	return pools, err
}

// TestPoolsThatVanish has a pool deleted between its listing and its figures.
func TestPoolsThatVanish(t *testing.T) {
	k := newKit(t)
	k.service.Store = ghosts{k.service.Store}
	a := k.send(k.developer, "GET", "/identitypools", "")
	if a.status != 200 || !strings.Contains(a.body, `"Count":1,`) || !strings.Contains(a.body, string(pool)) {
		t.Errorf("%+v", a)
	}
	k.refused(k.send(k.developer, "GET", "/identitypools/us-east-1%3A00000000-0000-4000-8000-000000000000", ""), 404, "ResourceNotFoundException", "")
}

// TestIgnored has what clients send and nobody reads: a body with a GET, and
// the session token of a list.
func TestIgnored(t *testing.T) {
	k := newKit(t)
	if a := k.update(k.developer, ann, "a", color); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	for _, path := range []string{
		datasetPath(ann, "a") + "/records", datasetPath(ann, "a"), identityPath(ann) + "/datasets", identityPath(ann),
		poolPath(), poolPath() + "/configuration", "/identitypools",
	} {
		plain := k.send(k.developer, "GET", path, "")
		if plain.status != 200 {
			t.Errorf("%s: %+v", path, plain)
		}
		for _, body := range []string{"{}", "{", `{"IdentityPoolId":5}`, "\xff"} {
			if a := k.send(k.developer, "GET", path, body); a.status != 200 || withoutToken(a.body) != withoutToken(plain.body) {
				t.Errorf("%s with %q: %+v", path, body, a)
			}
		}
	}
	for _, token := range []string{"forged", k.token(k.developer, ann, "b")} {
		if a := k.send(k.developer, "GET", datasetPath(ann, "a")+"/records?syncSessionToken="+token, ""); a.status != 200 || !strings.Contains(a.body, `"Count":1`) {
			t.Errorf("%+v", a)
		}
	}
}

// TestDeviceDates has dates that clients give, and those they do not: 0 is none.
func TestDeviceDates(t *testing.T) {
	k := newKit(t)
	for i, c := range []struct{ in, want string }{
		{`,"DeviceLastModifiedDate":1577836800.5`, "1577836800.500"}, {`,"DeviceLastModifiedDate":-1`, "-1"}, {"", "1790000000.123"}, {`,"DeviceLastModifiedDate":0`, "1790000000.123"},
	} {
		a := k.update(k.guest, ann, "a", fmt.Sprintf(`[{"Op":"replace","Key":"k%d","Value":"v","SyncCount":0%s}]`, i, c.in))
		if a.status != 200 || !strings.Contains(a.body, `"DeviceLastModifiedDate":`+c.want+`}`) {
			t.Errorf("%s: %+v, want %s", c.in, a, c.want)
		}
	}
}

// TestLargestValue has the longest value of the service model, beside the
// shortest key all that a dataset holds, and one byte more.
func TestLargestValue(t *testing.T) {
	k := newKit(t)
	patch := func(size int) string {
		return `[{"Op":"replace","Key":"k","Value":"` + strings.Repeat("v", size) + `","SyncCount":0}]`
	}
	k.refused(k.update(k.guest, ann, "a", patch(1_048_576)), 400, "LimitExceededException", "1048576")
	if a := k.update(k.guest, ann, "a", patch(1_048_575)); a.status != 200 {
		t.Errorf("%d %.300s", a.status, a.body)
	}
}

// TestUnsupported wants AWS's shape and the operation's name.
func TestUnsupported(t *testing.T) {
	k := newKit(t)
	for path, operation := range map[string]string{
		"POST " + poolPath() + "/bulkpublish":                  "BulkPublish",
		"POST " + poolPath() + "/getBulkPublishDetails":        "GetBulkPublishDetails",
		"POST " + poolPath() + "/identity/x/device":            "RegisterDevice",
		"POST " + datasetPath(ann, "a") + "/subscriptions/x":   "SubscribeToDataset",
		"DELETE " + datasetPath(ann, "a") + "/subscriptions/x": "UnsubscribeFromDataset",
	} {
		method, rest, _ := strings.Cut(path, " ")
		k.refused(k.send(k.developer, method, rest, ""), 400, "UnsupportedOperationException", operation)
	}
	k.refused(k.send(k.developer, "PUT", poolPath(), ""), 404, "UnknownOperationException", "PUT")
	k.refused(k.send(k.developer, "GET", "/nothing", ""), 404, "UnknownOperationException", "/nothing")
}

// TestRefused walks wrong requests.
func TestRefused(t *testing.T) {
	k := newKit(t)
	long := strings.Repeat("k", 1025)
	token := k.token(k.guest, ann, "a")
	body := func(patches string) string {
		return `{"SyncSessionToken":"` + token + `","RecordPatches":` + patches + `}`
	}
	post := func(text string) answer { return k.send(k.guest, "POST", datasetPath(ann, "a"), text) }
	for _, c := range []struct {
		name          string
		got           answer
		status        int
		code, message string
	}{
		{"no token", post(`{"RecordPatches":[]}`), 400, "InvalidParameterException", "syncSessionToken"},
		{"forged token", post(`{"SyncSessionToken":"xyz","RecordPatches":[]}`), 400, "InvalidParameterException", "SyncSessionToken not valid for these inputs"},
		{"another dataset's token", k.send(k.guest, "POST", datasetPath(ann, "b"), body(color)), 400, "InvalidParameterException", "SyncSessionToken not valid for these inputs"},
		{"no JSON", post(`{`), 400, "SerializationException", "could not be read"},
		{"broken UTF-8", post(body("[{\"Op\":\"replace\",\"Key\":\"\xff\",\"SyncCount\":0}]")), 400, "SerializationException", "UTF-8"},
		{"member twice", post(body(`[{"Op":"replace","Op":"remove","Key":"k","SyncCount":0}]`)), 400, "SerializationException", "duplicate"},
		{"wrong type", post(body(`[{"Op":"replace","Key":5,"SyncCount":0}]`)), 400, "SerializationException", ""},
		{"beyond int64", post(body(`[{"Op":"replace","Key":"k","SyncCount":9223372036854775808}]`)), 400, "SerializationException", ""},
		{"negative count", post(body(`[{"Op":"replace","Key":"k","SyncCount":-1}]`)), 400, "InvalidParameterException", "negative"},
		{"no count", post(body(`[{"Op":"replace","Key":"k"}]`)), 400, "InvalidParameterException", "syncCount"},
		{"unknown op", post(body(`[{"Op":"REPLACE","Key":"k","SyncCount":0}]`)), 400, "InvalidParameterException", "[remove, replace]"},
		{"long op", post(body(`[{"Op":"` + strings.Repeat("é", 100) + `","Key":"k","SyncCount":0}]`)), 400, "InvalidParameterException", "'" + strings.Repeat("é", 64) + "'"},
		{"no key", post(body(`[{"Op":"replace","SyncCount":0}]`)), 400, "InvalidParameterException", "recordPatches.key"},
		{"long key", post(body(`[{"Op":"replace","Key":"` + long + `","SyncCount":0}]`)), 400, "InvalidParameterException", "1024"},
		{"key twice", post(body(`[{"Op":"replace","Key":"k","SyncCount":0},{"Op":"remove","Key":"k","SyncCount":0}]`)), 400, "InvalidParameterException", "twice"},
		{"large value", post(body(`[{"Op":"replace","Key":"k","Value":"` + strings.Repeat("v", 1<<20+1) + `","SyncCount":0}]`)), 400, "LimitExceededException", "1048576"},
		{"large body", post(strings.Repeat(" ", 8<<20+1)), 413, "RequestEntityTooLargeException", "8388608"},
		{"long device", post(`{"SyncSessionToken":"` + token + `","DeviceId":"` + long + `"}`), 400, "InvalidParameterException", "deviceId"},
		{"negative last count", k.send(k.guest, "GET", datasetPath(ann, "a")+"/records?lastSyncCount=-1", ""), 400, "InvalidParameterException", "lastSyncCount"},
		{"no number", k.send(k.guest, "GET", datasetPath(ann, "a")+"/records?maxResults=x", ""), 400, "InvalidParameterException", "maxResults"},
		{"no results", k.send(k.guest, "GET", datasetPath(ann, "a")+"/records?maxResults=0", ""), 400, "InvalidParameterException", "maxResults"},
		{"another identity", k.send(k.guest, "GET", datasetPath(bob, "a")+"/records", ""), 403, "NotAuthorizedException", "These credentials are not valid"},
		{"a developer's operation", k.send(k.guest, "GET", poolPath(), ""), 403, "NotAuthorizedException", ""},
		{"unknown identity", k.send(k.developer, "GET", datasetPath("us-east-1:ffff", "a")+"/records", ""), 404, "ResourceNotFoundException", "Identity 'us-east-1:ffff' not found."},
		{"unknown pool", k.send(k.developer, "GET", strings.Replace(datasetPath(ann, "a"), "000000000001", "000000000002", 1), ""), 404, "ResourceNotFoundException", ""},
		{"upper-case id", k.send(k.developer, "GET", datasetPath("us-east-1:ABC", "a"), ""), 400, "InvalidParameterException", "identityId"},
		{"slash in a name", k.send(k.guest, "GET", identityPath(ann)+"/datasets/a%2Fb", ""), 400, "InvalidParameterException", "datasetName"},
		{"twice escaped", k.send(k.guest, "GET", identityPath(ann)+"/datasets/a%252Fb", ""), 400, "InvalidParameterException", "datasetName"},
		{"zero byte", k.send(k.guest, "GET", identityPath(ann)+"/datasets/a%00", ""), 400, "InvalidParameterException", "datasetName"},
		{"up", k.send(k.guest, "GET", identityPath(ann)+"/datasets/a/../../../identities", ""), 404, "UnknownOperationException", ""},
		{"empty segment", k.send(k.guest, "GET", identityPath(ann)+"/datasets//records", ""), 400, "InvalidParameterException", "datasetName"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.got.status != c.status || c.got.code != c.code || !strings.Contains(c.got.message(), c.message) {
				t.Errorf("got %d %s %.300q, want %d %s %q", c.got.status, c.got.code, c.got.message(), c.status, c.code, c.message)
			}
		})
	}
	if a := k.send(k.guest, "GET", identityPath(ann)+"/datasets", ""); !strings.Contains(a.body, `"Count":0`) {
		t.Errorf("wrong requests left %s", a.body)
	}
}

// TestSignatures walks what must not pass for a signature.
func TestSignatures(t *testing.T) {
	k := newKit(t)
	path := datasetPath(ann, "a")
	request := func(edit func(*http.Request), service string, at time.Time) answer {
		r := httptest.NewRequest("GET", "http://sync.test"+path, nil)
		r.RequestURI = path
		awswire.Sign(r, nil, k.developer, "anywhere-1", service, at)
		edit(r)
		return k.serve(r)
	}
	same := func(*http.Request) {}
	k.refused(request(same, "cognito-sync", k.now()), 404, "ResourceNotFoundException", "") // any region will do
	k.refused(request(same, "kinesis", k.now()), 403, "InvalidSignatureException", "Credential should be scoped to correct service: 'cognito-sync'")
	k.refused(request(same, "cognito-sync", k.now().Add(-6*time.Minute)), 403, "InvalidSignatureException", "Signature expired")
	k.refused(request(same, "cognito-sync", k.now().Add(6*time.Minute)), 403, "InvalidSignatureException", "Signature not yet current")
	k.refused(request(func(r *http.Request) { r.Method = "DELETE" }, "cognito-sync", k.now()), 403, "InvalidSignatureException", "")
	k.refused(request(func(r *http.Request) { r.Host = "other.test" }, "cognito-sync", k.now()), 403, "InvalidSignatureException", "")
	k.refused(request(func(r *http.Request) { r.Header.Del("Authorization") }, "cognito-sync", k.now()), 403, "MissingAuthenticationTokenException", "")
	guest := k.guest
	k.pass(59 * time.Minute)
	k.refused(k.send(guest, "GET", path, ""), 404, "ResourceNotFoundException", "")
	k.pass(2 * time.Minute)
	k.refused(k.send(guest, "GET", path, ""), 403, "ExpiredTokenException", "expired")
	other := map[bool]string{true: "B", false: "A"}[k.guest.SessionToken[40] == 'A']
	guest.SessionToken = k.guest.SessionToken[:40] + other + k.guest.SessionToken[41:]
	k.refused(k.send(guest, "GET", path, ""), 403, "UnrecognizedClientException", "")
	guest = k.guest
	guest.AccessKeyID = k.developer.AccessKeyID
	k.refused(k.send(guest, "GET", path, ""), 403, "UnrecognizedClientException", "")
}
