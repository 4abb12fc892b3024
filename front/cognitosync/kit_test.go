package cognitosync_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
	"tributary/front/cognitosync"
	"tributary/internal/enginetest"
)

const (
	pool    = tributary.PoolID("us-east-1:00000000-0000-4000-8000-000000000001")
	ann     = tributary.IdentityID("us-east-1:00000000-0000-4000-8000-00000000000a")
	bob     = tributary.IdentityID("us-east-1:00000000-0000-4000-8000-00000000000b")
	account = "123456789012"
)

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// kit is the front over a store, with a developer's and a guest's
// credentials and a clock.
type kit struct {
	*testing.T
	front     http.Handler
	service   *tributary.Service
	developer awswire.Credentials
	guest     awswire.Credentials // ann's

	mu    sync.Mutex
	clock time.Time
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t, clock: time.UnixMilli(1_790_000_000_123)}
	store := enginetest.Open(t, enginetest.Config{Now: k.now})
	sealer, err := tributary.NewSealer(make([]byte, tributary.MasterKeyLength))
	k.ok(err)
	a := &auth.Auth{Keys: store, Sealer: sealer, Account: account, Now: k.now}
	k.service = &tributary.Service{Store: store, Sealer: sealer, Account: account, Now: k.now}
	k.front = cognitosync.New(cognitosync.Config{Service: k.service, Authenticate: a.Authenticate})
	k.developer, err = a.NewAccessKey(t.Context())
	k.ok(err)
	me := tributary.Principal{Account: account}
	_, err = k.service.CreatePool(t.Context(), me, tributary.Pool{ID: pool, Name: "test", AllowUnauthenticated: true})
	k.ok(err)
	for _, id := range []tributary.IdentityID{ann, bob} {
		_, err = k.service.CreateIdentity(t.Context(), me, tributary.Identity{ID: id, Pool: pool})
		k.ok(err)
	}
	k.guest, _, err = a.Issue(tributary.Grant{Identity: tributary.Identity{ID: ann, Pool: pool}})
	k.ok(err)
	return k
}

func (k *kit) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.clock
}

func (k *kit) pass(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock = k.clock.Add(d)
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	code   string
	body   string
}

// send signs and sends a request; the path goes out as it is.
func (k *kit) send(as awswire.Credentials, method, path, body string) answer {
	k.Helper()
	r := httptest.NewRequest(method, "http://sync.test"+path, strings.NewReader(body))
	r.RequestURI = path
	awswire.Sign(r, []byte(body), as, "us-east-1", cognitosync.Name, k.now())
	return k.serve(r)
}

func (k *kit) serve(r *http.Request) answer {
	k.Helper()
	w := httptest.NewRecorder()
	k.front.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	k.ok(err)
	header := func(name string) string { return strings.Join(w.Header()[name], ",") } // by its exact spelling
	a := answer{w.Code, header("x-amzn-ErrorType"), string(text)}
	if header("x-amzn-RequestId") == "" || !json.Valid(text) {
		k.Errorf("%s %s: no request id, or no JSON: %q", r.Method, r.RequestURI, text)
	}
	return a
}

// message is what an error says.
func (a answer) message() string {
	var m struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal([]byte(a.body), &m)
	return m.Message
}

func poolPath() string { return "/identitypools/" + url.QueryEscape(string(pool)) }

func identityPath(id tributary.IdentityID) string {
	return poolPath() + "/identities/" + url.QueryEscape(string(id))
}

func datasetPath(id tributary.IdentityID, name string) string {
	return identityPath(id) + "/datasets/" + url.QueryEscape(name)
}

// token lists a dataset for its session token.
func (k *kit) token(as awswire.Credentials, id tributary.IdentityID, name string) string {
	k.Helper()
	a := k.send(as, "GET", datasetPath(id, name)+"/records", "")
	if a.status != http.StatusOK {
		k.Fatalf("list: %+v", a)
	}
	var out struct{ SyncSessionToken string }
	k.ok(json.Unmarshal([]byte(a.body), &out))
	return out.SyncSessionToken
}

// update sends patches, given as JSON.
func (k *kit) update(as awswire.Credentials, id tributary.IdentityID, name, patches string) answer {
	k.Helper()
	return k.send(as, "POST", datasetPath(id, name), `{"SyncSessionToken":"`+k.token(as, id, name)+`","RecordPatches":`+patches+`}`)
}

// want fails the test unless the answer is the one expected. Tokens are left out.
func (k *kit) want(a answer, status int, body string) {
	k.Helper()
	if got := withoutToken(a.body); a.status != status || got != body {
		k.Errorf("status %d, body\n%s\nwant status %d, body\n%s", a.status, got, status, body)
	}
}

func withoutToken(body string) string {
	const member = `,"SyncSessionToken":"`
	before, rest, found := strings.Cut(body, member)
	if !found {
		return body
	}
	_, after, _ := strings.Cut(rest, `"`)
	return before + after
}

// refused fails the test unless the answer is an error.
func (k *kit) refused(a answer, status int, code, message string) {
	k.Helper()
	if a.status != status || a.code != code || !strings.Contains(a.message(), message) {
		k.Errorf("got %d %s %q, want %d %s %q", a.status, a.code, a.message(), status, code, message)
	}
}
