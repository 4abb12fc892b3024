package e2e

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wrong is the world of the tests of wrong input: two identities of a pool,
// one of another pool, and data that must be there at the end as it was.
type wrong struct {
	*testing.T
	s          *server
	dev        *caller
	a, b       guest // of one pool
	other      guest // of another pool
	notes      dataset
	token      string // of a's notes
	unknown    string // a pool id that nobody has
	before     listing
	notesOfB   listing
	notesOther listing
}

func newWrong(t *testing.T) *wrong {
	s := startServer(t, "--regions", region, "--identity-rate", "0")
	dev := s.developer()
	pool := dev.newPool(t, "wrong input")
	w := &wrong{T: t, s: s, dev: dev, a: dev.newGuest(t, pool), b: dev.newGuest(t, pool), other: dev.newGuest(t, dev.newPool(t, "another")),
		unknown: region + ":00000000-1111-2222-3333-444444444444"}
	w.notes = w.a.dataset("notes")
	w.a.sync(t, w.notes, replace("color", "blue", 0), replace("size", "10", 0))
	w.a.sync(t, w.notes, replace("color", "red", 1))
	w.b.sync(t, w.b.dataset("notes"), replace("secret", "of b", 0))
	w.other.sync(t, w.other.dataset("notes"), replace("secret", "of another pool", 0))
	w.before, w.notesOfB, w.notesOther = w.a.list(t, w.notes), w.b.list(t, w.b.dataset("notes")), w.other.list(t, w.other.dataset("notes"))
	w.token = w.before.SyncSessionToken
	return w
}

// TestWrongInput sends what no client should send. Every answer must be a
// proper AWS error, and the server must stay healthy and lose nothing.
func TestWrongInput(t *testing.T) {
	t.Parallel()
	w := newWrong(t)
	t.Run("Ids", func(t *testing.T) { w.ids(t) })
	t.Run("Paths", func(t *testing.T) { w.paths(t) })
	t.Run("Bodies", func(t *testing.T) { w.bodies(t) })
	t.Run("Queries", func(t *testing.T) { w.queries(t) })
	t.Run("Patches", func(t *testing.T) { w.patches(t) })
	t.Run("Limits", func(t *testing.T) { w.limits(t) })
	t.Run("SessionTokens", func(t *testing.T) { w.sessionTokens(t) })
	t.Run("Signatures", func(t *testing.T) { w.signatures(t) })
	t.Run("Credentials", func(t *testing.T) { w.credentials(t) })
	t.Run("JSON11", func(t *testing.T) { w.json11(t) })
	t.Run("Sockets", func(t *testing.T) { w.sockets(t) })
	t.Run("HTTP2", func(t *testing.T) { w.http2(t) })
	t.Run("NothingLost", func(t *testing.T) { w.nothingLost(t) })
}

// http2 sends it once more over HTTP/2, which tells path and host another way.
func (w *wrong) http2(t *testing.T) {
	again := *w
	for _, c := range []**caller{&again.dev, &again.a.caller, &again.b.caller, &again.other.caller} {
		*c = (*c).overHTTP2()
	}
	t.Run("Spoken", func(t *testing.T) {
		r, err := again.a.request(syncService, "GET", w.notes.path(), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := again.a.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = answer.Body.Close(); answer.ProtoMajor != 2 || answer.StatusCode != http.StatusOK {
			t.Errorf("%s, status %d", answer.Proto, answer.StatusCode)
		}
	})
	t.Run("Ids", func(t *testing.T) { again.ids(t) })
	t.Run("Paths", func(t *testing.T) { again.paths(t) })
	t.Run("Bodies", func(t *testing.T) { again.bodies(t) })
	t.Run("Queries", func(t *testing.T) { again.queries(t) })
	t.Run("Signatures", func(t *testing.T) { again.signatures(t) })
	t.Run("JSON11", func(t *testing.T) { again.json11(t) })
	t.Run("Left", func(t *testing.T) { again.leaveStreams(t) })
	w.s.healthy()
}

// leaveStreams begins requests whose bodies never come, and gives them up, on
// one connection.
func (w *wrong) leaveStreams(t *testing.T) {
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		body, feed := io.Pipe()
		r, err := w.a.request(syncService, "POST", w.notes.path(), []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(ctx)
		r.Body, r.ContentLength = body, -1
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if answer, err := w.a.client.Do(r); err == nil {
				_ = answer.Body.Close()
			}
		}()
		_, _ = feed.Write([]byte("{")) // now the request is under way
		cancel()
		<-gone
	}
	w.a.list(t, w.notes)
}

// nothingLost compares the data with what it was, before and after a restart.
func (w *wrong) nothingLost(t *testing.T) {
	for range 2 {
		w.s.healthy()
		for _, c := range []*caller{w.dev, w.a.caller, w.b.caller, w.other.caller} {
			c.url = w.s.url
		}
		same(t, w.before, w.a.list(t, w.notes))
		same(t, w.notesOfB, w.b.list(t, w.b.dataset("notes")))
		same(t, w.notesOther, w.other.list(t, w.other.dataset("notes")))
		w.s.restart()
	}
}

// same compares what two listings show, their tokens aside.
func same(t *testing.T, want, have listing) {
	t.Helper()
	want.SyncSessionToken, have.SyncSessionToken = "", ""
	if a, b := encode(t, want), encode(t, have); string(a) != string(b) {
		t.Errorf("have %s\nwant %s", b, a)
	}
}

func (w *wrong) ids(t *testing.T) {
	stranger := region + ":99999999-1111-2222-3333-444444444444"
	body := encode(t, update{w.token, []patch{replace("x", "y", 0)}})
	for _, c := range []struct {
		name         string
		who          *caller
		method, path string
		body         []byte
		status       int
		code         string
	}{
		{"UnknownPool", w.dev, "GET", "/identitypools/" + w.unknown, nil, 404, "ResourceNotFoundException"},
		{"UnknownPoolConfiguration", w.dev, "GET", "/identitypools/" + w.unknown + "/configuration", nil, 404, "ResourceNotFoundException"},
		{"UnknownPoolList", w.dev, "GET", dataset{w.unknown, w.a.identity, "notes"}.path() + "/records", nil, 404, "ResourceNotFoundException"},
		{"UnknownIdentity", w.dev, "GET", dataset{w.a.pool, stranger, "notes"}.path() + "/records", nil, 404, "ResourceNotFoundException"},
		{"UnknownDataset", w.dev, "GET", w.a.dataset("none").path(), nil, 404, "ResourceNotFoundException"},
		{"DeleteUnknownDataset", w.a.caller, "DELETE", w.a.dataset("none").path(), nil, 404, "ResourceNotFoundException"},
		{"IdentityOfAnotherPool", w.dev, "GET", dataset{w.a.pool, w.other.identity, "notes"}.path() + "/records", nil, 404, "ResourceNotFoundException"},
		{"IdentityOfAnotherPoolDatasets", w.dev, "GET", identityPath(w.a.pool, w.other.identity) + "/datasets", nil, 404, "ResourceNotFoundException"},
		{"IdentityOfAnotherPoolUsage", w.dev, "GET", identityPath(w.a.pool, w.other.identity), nil, 404, "ResourceNotFoundException"},
		{"IdentityOfAnotherPoolDelete", w.dev, "DELETE", dataset{w.a.pool, w.other.identity, "notes"}.path(), nil, 404, "ResourceNotFoundException"},
		{"GuestReadsAnother", w.a.caller, "GET", w.b.dataset("notes").path() + "/records", nil, 403, "NotAuthorizedException"},
		{"GuestDescribesAnother", w.a.caller, "GET", w.b.dataset("notes").path(), nil, 403, "NotAuthorizedException"},
		{"GuestListsAnother", w.a.caller, "GET", identityPath(w.b.pool, w.b.identity) + "/datasets", nil, 403, "NotAuthorizedException"},
		{"GuestUsageOfAnother", w.a.caller, "GET", identityPath(w.b.pool, w.b.identity), nil, 403, "NotAuthorizedException"},
		{"GuestWritesAnother", w.a.caller, "POST", w.b.dataset("notes").path(), body, 403, "NotAuthorizedException"},
		{"GuestDeletesAnother", w.a.caller, "DELETE", w.b.dataset("notes").path(), nil, 403, "NotAuthorizedException"},
		{"GuestOfAnotherPool", w.other.caller, "GET", w.notes.path() + "/records", nil, 403, "NotAuthorizedException"},
		{"GuestInAnotherPool", w.a.caller, "GET", dataset{w.other.pool, w.a.identity, "notes"}.path() + "/records", nil, 403, "NotAuthorizedException"},
		{"GuestPoolUsage", w.a.caller, "GET", "/identitypools/" + w.a.pool, nil, 403, "NotAuthorizedException"},
		{"GuestPools", w.a.caller, "GET", "/identitypools", nil, 403, "NotAuthorizedException"},
		{"GuestConfiguration", w.a.caller, "GET", "/identitypools/" + w.a.pool + "/configuration", nil, 403, "NotAuthorizedException"},
		{"GuestSetsConfiguration", w.a.caller, "POST", "/identitypools/" + w.a.pool + "/configuration", []byte("{}"), 403, "NotAuthorizedException"},
		{"PoolUpperCase", w.dev, "GET", "/identitypools/" + strings.ToUpper(w.a.pool), nil, 400, "InvalidParameterException"},
		{"PoolTooLong", w.dev, "GET", "/identitypools/" + region + ":" + strings.Repeat("0", 60), nil, 400, "InvalidParameterException"},
		{"PoolNoColon", w.dev, "GET", "/identitypools/nonsense", nil, 400, "InvalidParameterException"},
		{"DatasetTooLong", w.dev, "GET", w.a.dataset(strings.Repeat("d", 129)).path(), nil, 400, "InvalidParameterException"},
		{"DatasetSpace", w.dev, "GET", w.a.dataset("my notes").path(), nil, 400, "InvalidParameterException"},
		{"DatasetEmoji", w.dev, "GET", w.a.dataset("📝").path(), nil, 400, "InvalidParameterException"},
		{"NoOperation", w.dev, "GET", "/nothing", nil, 404, "UnknownOperationException"},
		{"NoMethod", w.dev, "PUT", w.notes.path(), nil, 404, "UnknownOperationException"},
		{"Root", w.dev, "GET", "/", nil, 404, "UnknownOperationException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantFault(t, c.who.do(t, syncService, c.method, c.path, c.body), c.status, c.code, "")
		})
	}
}

// paths plays tricks with the path. None may reach another identity's data.
func (w *wrong) paths(t *testing.T) {
	pool, a, b := "/identitypools/"+w.a.pool, "/identities/"+w.a.identity, "/identities/"+w.b.identity
	for name, path := range map[string]string{
		"SlashInDataset":        pool + a + "/datasets/no%2Ftes/records",
		"SlashToAnother":        pool + a + "/datasets/x%2F..%2F..%2F" + w.b.identity + "%2Fdatasets%2Fnotes/records",
		"SlashInIdentity":       pool + "/identities/" + w.a.identity + "%2F..%2F" + w.b.identity + "/datasets/notes/records",
		"SlashLower":            pool + a + "/datasets/no%2ftes",
		"SlashTwice":            pool + a + "/datasets/no%252Ftes",
		"SlashForSlash":         "/%2Fidentitypools%2F" + w.a.pool,
		"DotDot":                pool + a + "/../" + w.b.identity + "/datasets/notes/records",
		"DotDotAfter":           pool + a + "/datasets/../../" + w.b.identity + "/datasets/notes/records",
		"DotDotEscaped":         pool + a + "/%2e%2e/" + w.b.identity + "/datasets/notes/records",
		"DotDotDataset":         pool + b + "/datasets/x/../notes",
		"Dot":                   pool + b + "/./datasets/notes",
		"DotDotTwice":           pool + a + "/%252e%252e/" + w.b.identity + "/datasets",
		"EmptySegment":          pool + "//identities/" + w.b.identity + "/datasets",
		"EmptyFirst":            "//identitypools/" + w.a.pool + b + "/datasets",
		"EmptyIdentity":         pool + "/identities//datasets/notes",
		"EmptyDataset":          pool + b + "/datasets//records",
		"EmptyLast":             pool + b + "/datasets/notes/",
		"NULInDataset":          pool + a + "/datasets/notes%00",
		"NULInIdentity":         pool + "/identities/" + w.b.identity + "%00" + w.a.identity + "/datasets",
		"NewlineInDataset":      pool + a + "/datasets/notes%0A",
		"BrokenUTF8":            pool + a + "/datasets/%ff%fe",
		"Semicolon":             pool + a + ";/identities/" + w.b.identity + "/datasets",
		"Backslash":             pool + a + "/datasets/..%5c..%5c" + w.b.identity,
		"AnotherInQuery":        pool + b + "/datasets?IdentityId=" + w.a.identity,
		"Long":                  pool + a + "/datasets/" + strings.Repeat("d", 8<<10),
		"Longer":                pool + a + "/datasets/" + strings.Repeat("d", 50<<10),
		"ManySegments":          strings.Repeat("/a", 8<<10),
		"PercentEncodedSegment": "/identitypool%73/" + w.a.pool + b + "/datasets",
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{"GET", "DELETE"} {
				answer := w.a.do(t, syncService, method, path, nil)
				checkFault(t, answer)
				if answer.status != 400 && answer.status != 403 && answer.status != 404 || strings.Contains(string(answer.body), "of b") {
					t.Errorf("%s: status %d: %s", method, answer.status, clip(string(answer.body)))
				}
			}
		})
	}
}

func (w *wrong) bodies(t *testing.T) {
	token := string(encode(t, w.token))
	patched := func(patches string) string {
		return `{"SyncSessionToken":` + token + `,"RecordPatches":` + patches + `}`
	}
	for name, c := range map[string]struct{ body, code string }{
		"NoJSON":            {"nonsense", "SerializationException"},
		"HalfJSON":          {patched(`[{"Op":"replace","Key":"x"`)[:60], "SerializationException"},
		"TwoValues":         {"{}{}", "SerializationException"},
		"Array":             {"[]", "SerializationException"},
		"Number":            {"7", "SerializationException"},
		"Null":              {"null", "InvalidParameterException"},
		"EmptyObject":       {"{}", "InvalidParameterException"},
		"PatchesText":       {patched(`"x"`), "SerializationException"},
		"PatchesNumbers":    {patched(`[1,2]`), "SerializationException"},
		"KeyNumber":         {patched(`[{"Op":"replace","Key":7,"Value":"v","SyncCount":0}]`), "SerializationException"},
		"ValueObject":       {patched(`[{"Op":"replace","Key":"x","Value":{},"SyncCount":0}]`), "SerializationException"},
		"CountText":         {patched(`[{"Op":"replace","Key":"x","Value":"v","SyncCount":"zero"}]`), "SerializationException"},
		"CountFraction":     {patched(`[{"Op":"replace","Key":"x","Value":"v","SyncCount":1.5}]`), "SerializationException"},
		"CountBeyondInt64":  {patched(`[{"Op":"replace","Key":"x","Value":"v","SyncCount":9223372036854775808}]`), "SerializationException"},
		"CountFarBeyond":    {patched(`[{"Op":"replace","Key":"x","Value":"v","SyncCount":1e300}]`), "SerializationException"},
		"CountBelowInt64":   {patched(`[{"Op":"replace","Key":"x","Value":"v","SyncCount":-9223372036854775809}]`), "SerializationException"},
		"DateText":          {patched(`[{"Op":"replace","Key":"x","Value":"v","SyncCount":0,"DeviceLastModifiedDate":"soon"}]`), "SerializationException"},
		"DateFarBeyond":     {patched(`[{"Op":"replace","Key":"x","Value":"v","SyncCount":0,"DeviceLastModifiedDate":1e300}]`), "SerializationException"},
		"OpUnknown":         {patched(`[{"Op":"append","Key":"x","Value":"v","SyncCount":0}]`), "InvalidParameterException"},
		"OpUpperCase":       {patched(`[{"Op":"REPLACE","Key":"x","Value":"v","SyncCount":0}]`), "InvalidParameterException"},
		"OpMissing":         {patched(`[{"Key":"x","Value":"v","SyncCount":0}]`), "InvalidParameterException"},
		"KeyMissing":        {patched(`[{"Op":"replace","Value":"v","SyncCount":0}]`), "InvalidParameterException"},
		"CountMissing":      {patched(`[{"Op":"replace","Key":"x","Value":"v"}]`), "InvalidParameterException"},
		"PatchNull":         {patched(`[null]`), "InvalidParameterException"},
		"DuplicateToken":    {`{"SyncSessionToken":` + token + `,"SyncSessionToken":` + token + `,"RecordPatches":[{"Op":"replace","Key":"x","Value":"v","SyncCount":0}]}`, "SerializationException"},
		"DuplicateKey":      {patched(`[{"Op":"replace","Key":"x","Key":"y","Value":"v","SyncCount":0}]`), "SerializationException"},
		"DuplicatePatches":  {`{"SyncSessionToken":` + token + `,"RecordPatches":[],"RecordPatches":[{"Op":"replace","Key":"x","Value":"v","SyncCount":0}]}`, "SerializationException"},
		"BrokenUTF8Key":     {patched("[{\"Op\":\"replace\",\"Key\":\"\xff\",\"Value\":\"v\",\"SyncCount\":0}]"), "SerializationException"},
		"BrokenUTF8Value":   {patched("[{\"Op\":\"replace\",\"Key\":\"x\",\"Value\":\"\xc3\x28\",\"SyncCount\":0}]"), "SerializationException"},
		"LoneSurrogate":     {patched(`[{"Op":"replace","Key":"x","Value":"\ud800","SyncCount":0}]`), "SerializationException"},
		"RawControl":        {patched("[{\"Op\":\"replace\",\"Key\":\"x\",\"Value\":\"\x01\",\"SyncCount\":0}]"), "SerializationException"},
		"Deep":              {strings.Repeat("[", 200_000), "SerializationException"},
		"DeepMember":        {`{"Unknown":` + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + "}", "SerializationException"},
		"SameKeyTwice":      {patched(`[{"Op":"replace","Key":"x","Value":"1","SyncCount":0},{"Op":"replace","Key":"x","Value":"2","SyncCount":0}]`), "InvalidParameterException"},
		"DeviceIdTooLong":   {`{"SyncSessionToken":` + token + `,"DeviceId":"` + strings.Repeat("d", 257) + `","RecordPatches":[{"Op":"replace","Key":"x","Value":"v","SyncCount":0}]}`, "InvalidParameterException"},
		"ByteOrderMark":     {"\xef\xbb\xbf{}", "SerializationException"},
		"TokenNumber":       {`{"SyncSessionToken":7}`, "SerializationException"},
		"XML":               {"<UpdateRecords/>", "SerializationException"},
		"NoBodyAtAll":       {"", "InvalidParameterException"},
		"OnlySpaces":        {"   ", "SerializationException"},
		"StrayCommaPatches": {patched(`[{"Op":"replace","Key":"x","Value":"v","SyncCount":0},]`), "SerializationException"},
	} {
		t.Run(name, func(t *testing.T) {
			wantFault(t, w.a.do(t, syncService, "POST", w.notes.path(), []byte(c.body)), 400, c.code, "")
		})
	}
}

func (w *wrong) queries(t *testing.T) {
	for _, query := range []string{
		"lastSyncCount=-1", "lastSyncCount=x", "lastSyncCount=1.5", "lastSyncCount=9223372036854775808", "lastSyncCount=%00",
		"maxResults=0", "maxResults=-1", "maxResults=x", "maxResults=99999999999999999999",
		"nextToken=forged", "nextToken=" + w.token, "nextToken=%ff%fe",
	} {
		t.Run(query, func(t *testing.T) {
			a := w.a.do(t, syncService, "GET", w.notes.path()+"/records?"+query, nil)
			wantFault(t, a, 400, "InvalidParameterException", "")
		})
	}
	t.Run("HugeCountListsAll", func(t *testing.T) {
		var l listing
		w.a.rest(t, "GET", w.notes.path()+"/records?lastSyncCount=9223372036854775807", nil, &l)
		same(t, w.before, l)
	})
	t.Run("BrokenEscape", func(t *testing.T) {
		r, err := w.a.request(syncService, "GET", w.notes.path()+"/records", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = "lastSyncCount=%zz"
		a, err := w.a.send(r)
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 400, "MalformedQueryString", "")
	})
}

func (w *wrong) json11(t *testing.T) {
	for _, c := range []struct {
		name, service, operation string
		body                     string
		code                     string
	}{
		{"UnknownOperation", identityService, "Nonsense", "{}", "UnknownOperationException"},
		{"UnknownKinesisOperation", kinesisService, "Nonsense", "{}", "UnknownOperationException"},
		{"NoJSON", identityService, "DescribeIdentityPool", "nonsense", "SerializationException"},
		{"WrongType", identityService, "DescribeIdentityPool", `{"IdentityPoolId":7}`, "SerializationException"},
		{"Duplicate", identityService, "DescribeIdentityPool", `{"IdentityPoolId":"a","IdentityPoolId":"b"}`, "SerializationException"},
		{"BadPool", identityService, "DescribeIdentityPool", `{"IdentityPoolId":"nonsense"}`, "InvalidParameterException"},
		{"UnknownPool", identityService, "DescribeIdentityPool", `{"IdentityPoolId":"` + w.unknown + `"}`, "ResourceNotFoundException"},
		{"GetIdUnknownPool", identityService, "GetId", `{"IdentityPoolId":"` + w.unknown + `"}`, "ResourceNotFoundException"},
		{"CredentialsUnknown", identityService, "GetCredentialsForIdentity", `{"IdentityId":"` + w.unknown + `"}`, "ResourceNotFoundException"},
		{"NoMaxResults", identityService, "ListIdentityPools", "{}", "InvalidParameterException"},
		{"MaxResults61", identityService, "ListIdentityPools", `{"MaxResults":61}`, "InvalidParameterException"},
		{"NoName", identityService, "CreateIdentityPool", `{"AllowUnauthenticatedIdentities":true}`, "InvalidParameterException"},
		{"HostileName", identityService, "CreateIdentityPool", `{"IdentityPoolName":"<script>","AllowUnauthenticatedIdentities":true}`, "InvalidParameterException"},
		{"UnknownStream", kinesisService, "DescribeStream", `{"StreamName":"none"}`, "ResourceNotFoundException"},
		{"BadStream", kinesisService, "DescribeStream", `{"StreamName":"../x"}`, "InvalidArgumentException"},
		{"NoStream", kinesisService, "DescribeStream", `{}`, "InvalidArgumentException"},
		{"ForgedIterator", kinesisService, "GetRecords", `{"ShardIterator":"forged"}`, "InvalidArgumentException"},
		{"Limit0", kinesisService, "GetRecords", `{"ShardIterator":"forged","Limit":0}`, "InvalidArgumentException"},
		{"ShardCountHuge", kinesisService, "CreateStream", `{"StreamName":"huge","ShardCount":2147483647}`, ""},
		{"ShardCountNegative", kinesisService, "CreateStream", `{"StreamName":"negative","ShardCount":-1}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := w.dev.rpc(c.service, c.operation, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.code == "" {
				c.code, _ = checkFault(t, a)
			}
			wantFault11(t, a, c.code, "")
		})
	}
	t.Run("GuestReadsStreams", func(t *testing.T) {
		a, err := w.a.rpc(kinesisService, "ListStreams", []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		wantFault11(t, a, "AccessDeniedException", "not authorized")
	})
	t.Run("GuestCreatesPool", func(t *testing.T) {
		a, err := w.a.rpc(identityService, "CreateIdentityPool", []byte(`{"IdentityPoolName":"mine","AllowUnauthenticatedIdentities":true}`))
		if err != nil {
			t.Fatal(err)
		}
		wantFault11(t, a, "NotAuthorizedException", "")
	})
	t.Run("GetMethod", func(t *testing.T) {
		header := http.Header{"X-Amz-Target": {"Kinesis_20131202.ListStreams"}}
		r, err := w.dev.requestAt(time.Now(), region, kinesisService, "GET", "/", nil, header)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.dev.send(r)
		if err != nil {
			t.Fatal(err)
		}
		wantFault11(t, a, "UnknownOperationException", "")
	})
}
