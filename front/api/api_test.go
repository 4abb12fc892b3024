package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/auth"
	"tributary/awswire"
	"tributary/front/api"
	"tributary/internal/enginetest"
)

const (
	pool    = "us-east-1:00000000-0000-4000-8000-000000000001"
	ann     = "us-east-1:00000000-0000-4000-8000-00000000000a"
	account = "123456789012"
)

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// kit is the front on a server, over a store.
type kit struct {
	*testing.T
	server           *httptest.Server
	developer, guest awswire.Credentials
	asked            string   // of the warehouse
	done             []string // the calls, each with its resource
	details          []string // of the last call
	log              *audit.Log
	payloads         payloads
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t}
	store := enginetest.Open(t, enginetest.Config{})
	sealer, err := tributary.NewSealer(make([]byte, tributary.MasterKeyLength))
	k.ok(err)
	a := &auth.Auth{Keys: store, Sealer: sealer, Account: account}
	k.log = &audit.Log{Store: store}
	service := &tributary.Service{Store: store, Sealer: sealer, Account: account, Region: "us-east-1"}
	k.server = httptest.NewServer(api.New(api.Config{Service: service, Authenticate: a.Authenticate, Query: k.query, Backup: k.backup, AccessKeys: &auth.Developers{Auth: a}, Audit: k.log.Read, Payloads: &k.payloads, Begin: k.begin}))
	t.Cleanup(k.server.Close)
	k.developer, err = a.NewAccessKey(t.Context())
	k.ok(err)
	k.guest, _, err = a.Issue(tributary.Grant{Identity: tributary.Identity{ID: ann, Pool: pool}})
	k.ok(err)
	return k
}

// begin names calls as the server does.
func (k *kit) begin(p tributary.Principal, _ *http.Request, action, _ string) (tributary.Principal, func(*awswire.Fault)) {
	p.Call = &tributary.Call{Action: action}
	return p, func(*awswire.Fault) {
		k.done, k.details = append(k.done, p.Call.Action+" "+p.Call.Resource), p.Call.Details
	}
}

// backup answers as the store does.
func (k *kit) backup(context.Context) (*awswire.Stream, error) {
	return &awswire.Stream{ContentType: "application/x-tar", Close: func() error { return nil }, Write: func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "the archive")
		return err
	}}, nil
}

// query answers as the warehouse does.
func (k *kit) query(_ context.Context, sql string, maxRows int, timeout time.Duration) (*api.Table, error) {
	k.asked = fmt.Sprint(sql, " ", maxRows, " ", timeout)
	switch sql {
	case "slow":
		return nil, tributary.Errorf(tributary.Limit, "query", "The query took too long")
	case "NaN":
		return &api.Table{Rows: [][]any{{math.NaN()}}}, nil
	}
	return &api.Table{Columns: []string{"n"}, Types: []string{"BIGINT"}, Rows: [][]any{{1}, {nil}}, Cut: true}, nil
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// send signs and sends a request.
func (k *kit) send(as awswire.Credentials, method, path, body string) (status int, code, answer string) {
	k.Helper()
	r, err := http.NewRequestWithContext(k.Context(), method, k.server.URL+api.Prefix+path, strings.NewReader(body))
	k.ok(err)
	awswire.Sign(r, []byte(body), as, "us-east-1", api.Name, time.Now())
	res, err := http.DefaultClient.Do(r)
	k.ok(err)
	text, err := io.ReadAll(res.Body)
	k.ok(err)
	k.ok(res.Body.Close())
	return res.StatusCode, res.Header.Get("x-amzn-ErrorType"), string(text)
}

// TestOperations walks the operations in order: each sees what those before
// have done.
func TestOperations(t *testing.T) {
	k := newKit(t)
	const (
		defaults = `"Limits":{"ValueBytes":1048576,"DatasetBytes":1048576,"Records":1024,"Datasets":20}`
		invalid  = "InvalidParameterException"
		denied   = "NotAuthorizedException"
		thePool  = "pools/" + pool
		provider = "arn:aws:iam::" + account + ":oidc-provider/login.example.org"
		role     = "arn:aws:iam::" + account + ":role/user"
	)
	shape := func(guests bool, limits string) string {
		return fmt.Sprintf(`{"PoolId":"%s","Name":"n","AllowUnauthenticated":%t,%s}`, pool, guests, limits)
	}
	for _, c := range []struct {
		name               string
		as                 awswire.Credentials
		method, path, body string
		status             int
		code, answer       string // the answer has
	}{
		{"Create", k.developer, "POST", "pools", `{"PoolId":"` + pool + `","Name":"n","AllowUnauthenticated":true}`, 200, "", shape(true, defaults)},
		{"CreateAgain", k.developer, "POST", "pools", `{"PoolId":"` + pool + `","Name":"n"}`, 409, "ResourceConflictException", ""},
		{"CreateNegative", k.developer, "POST", "pools", `{"Name":"n","Limits":{"Records":-1}}`, 400, invalid, "between 0, which is AWS's limit, and 1099511627776"},
		{"CreateTooMuch", k.developer, "POST", "pools", `{"Name":"n","Limits":{"Datasets":1099511627777}}`, 400, invalid, "1099511627776"},
		{"CreateBadId", k.developer, "POST", "pools", `{"PoolId":"x","Name":"n"}`, 400, invalid, ""},
		{"CreateAsGuest", k.guest, "POST", "pools", `{"Name":"n"}`, 403, denied, ""},
		{"Describe", k.developer, "GET", thePool, "", 200, "", shape(true, defaults)},
		{"DescribeNothing", k.developer, "GET", "pools/us-east-1:ff", "", 404, "ResourceNotFoundException", "IdentityPool 'us-east-1:ff' not found."},
		{"DescribeAsGuest", k.guest, "GET", thePool, "", 403, denied, ""},

		{"Set", k.developer, "POST", thePool, `{"ValueBytes":10,"Records":1099511627776}`, 200, "", shape(true, `"Limits":{"ValueBytes":10,"DatasetBytes":1048576,"Records":1099511627776,"Datasets":20}`)},
		{"SetAbsentStays", k.developer, "POST", thePool, `{"AllowUnauthenticated":false,"Datasets":7}`, 200, "", shape(false, `"Limits":{"ValueBytes":10,"DatasetBytes":1048576,"Records":1099511627776,"Datasets":7}`)},
		{"SetNullStays", k.developer, "POST", thePool, `{"ValueBytes":null}`, 200, "", `"ValueBytes":10,`},
		{"SetNothing", k.developer, "POST", thePool, ``, 200, "", `"ValueBytes":10,`},
		{"SetNegative", k.developer, "POST", thePool, `{"ValueBytes":-1}`, 400, invalid, "between 0"},
		{"SetTooMuch", k.developer, "POST", thePool, `{"Records":1099511627777}`, 400, invalid, "1099511627776"},
		{"SetBeyondInt64", k.developer, "POST", thePool, `{"Records":9223372036854775808}`, 400, "SerializationException", ""},
		{"SetOtherShape", k.developer, "POST", thePool, `{"Limits":{"Records":1}}`, 400, "SerializationException", "Limits"},
		{"SetTypo", k.developer, "POST", thePool, `{"Record":1}`, 400, "SerializationException", "Record"},
		{"SetAsGuest", k.guest, "POST", thePool, `{"Records":1}`, 403, denied, ""},
		{"SetUnchanged", k.developer, "GET", thePool, "", 200, "", `"Records":1099511627776,`},
		{"SetDefaults", k.developer, "POST", thePool, `{"ValueBytes":0,"Records":0,"Datasets":0}`, 200, "", defaults},

		{"SetSignIn", k.developer, "POST", thePool, `{"OpenIDClients":{"` + provider + `":["app"]},"RolePolicies":{"` + role + `":"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}"}}`, 200, "",
			`"OpenIDClients":{"` + provider + `":["app"]},"RolePolicies":{"` + role + `":"{`},
		{"SetNoAction", k.developer, "POST", thePool, `{"RolePolicies":{"` + role + `":"{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"kinesis:GetRecord\",\"Resource\":\"*\"}}"}}`, 400, invalid, "kinesis:GetRecord matches no action; did you mean kinesis:GetRecords?"},
		{"SetOtherAccount", k.developer, "POST", thePool, `{"RolePolicies":{"` + role + `":"{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"arn:aws:kinesis:*:999999999999:*\"}}"}}`, 400, invalid, "its account is \\\"999999999999\\\", it must be this server's, " + account},
		{"SetSignInOff", k.developer, "POST", thePool, `{"OpenIDClients":{"` + provider + `":[]},"RolePolicies":{"` + role + `":""}}`, 200, "", defaults + "}"},

		{"Identity", k.developer, "POST", thePool + "/identities", `{"IdentityId":"` + ann + `"}`, 200, "", `{"PoolId":"` + pool + `","IdentityId":"` + ann + `"}`},
		{"IdentityAgain", k.developer, "POST", thePool + "/identities", `{"IdentityId":"` + ann + `"}`, 409, "ResourceConflictException", ""},
		{"IdentityAsGuest", k.guest, "POST", thePool + "/identities", ``, 403, denied, ""},

		{"WebhookKey", k.developer, "GET", thePool + "/webhook-key?url=https%3A%2F%2Fhook.test%2F%3Fx%3D1", "", 200, "", `{"PoolId":"` + pool + `","URL":"https://hook.test/?x=1","Key":"whsec_`},
		{"WebhookKeyOfNone", k.developer, "GET", thePool + "/webhook-key", "", 400, invalid, "The identity pool has no webhook"},
		{"WebhookKeyAsGuest", k.guest, "GET", thePool + "/webhook-key?url=https%3A%2F%2Fhook.test", "", 403, denied, ""},

		{"Query", k.developer, "POST", "query", `{"SQL":"q"}`, 200, "", `{"Columns":["n"],"Types":["BIGINT"],"Rows":[[1],[null]],"Cut":true}`},
		{"QueryRefused", k.developer, "POST", "query", `{"SQL":"slow"}`, 400, "LimitExceededException", "too long"},
		{"QueryBroken", k.developer, "POST", "query", `{"SQL":"NaN"}`, 500, "InternalErrorException", "Internal error"},
		{"QueryRows", k.developer, "POST", "query", `{"SQL":"q","MaxRows":1000001}`, 400, invalid, "MaxRows must be between 1 and 1000000"},
		{"QueryNoRows", k.developer, "POST", "query", `{"SQL":"q","MaxRows":-1}`, 400, invalid, "MaxRows"},
		{"QueryTime", k.developer, "POST", "query", `{"SQL":"q","TimeoutSeconds":601}`, 400, invalid, "TimeoutSeconds between 1 and 600"},
		{"QueryNoTime", k.developer, "POST", "query", `{"SQL":"q","TimeoutSeconds":-1}`, 400, invalid, "TimeoutSeconds"},
		{"QueryAsGuest", k.guest, "POST", "query", `{"SQL":"q"}`, 403, denied, "These credentials are not valid"},
		{"Backup", k.developer, "POST", "backup", "", 200, "", "the archive"},
		{"BackupTypo", k.developer, "POST", "backup", `{"x":1}`, 400, "SerializationException", "x"},
		{"BackupAsGuest", k.guest, "POST", "backup", "", 403, denied, "These credentials are not valid"},
		{"Unknown", k.developer, "GET", "nothing", "", 404, "UnknownOperationException", "/nothing"},
		{"WrongSecret", awswire.Credentials{AccessKeyID: k.developer.AccessKeyID, SecretKey: "x"}, "GET", thePool, "", 403, "InvalidSignatureException", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, code, answer := k.send(c.as, c.method, c.path, c.body)
			if status != c.status || code != c.code || !strings.Contains(answer, c.answer) {
				t.Errorf("got %d %s %s, want %d %s %s", status, code, answer, c.status, c.code, c.answer)
			}
		})
	}
}

// TestQueryBounds has what the warehouse is asked for.
func TestQueryBounds(t *testing.T) {
	k := newKit(t)
	for body, want := range map[string]string{
		`{"SQL":"q"}`: "q 10000 30s", `{"SQL":"q","MaxRows":1000000,"TimeoutSeconds":600}`: "q 1000000 10m0s", `{"SQL":"q","MaxRows":1,"TimeoutSeconds":1}`: "q 1 1s",
	} {
		if status, _, answer := k.send(k.developer, "POST", "query", body); status != 200 || k.asked != want {
			t.Errorf("%s: %d %s, asked for %q, want %q", body, status, answer, k.asked, want)
		}
	}
}

// TestFaults holds every Kind to its name and status on the wire.
func TestFaults(t *testing.T) {
	golden := map[tributary.Kind]awswire.Fault{
		tributary.Internal:      {Code: "InternalErrorException", Status: 500, Message: "Internal error"},
		tributary.Invalid:       {Code: "InvalidParameterException", Status: 400, Message: "text"},
		tributary.NotFound:      {Code: "ResourceNotFoundException", Status: 404, Message: "text"},
		tributary.Exists:        {Code: "ResourceConflictException", Status: 409, Message: "text"},
		tributary.Stale:         {Code: "ConcurrentModificationException", Status: 409, Message: "text"},
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
		if f := api.FaultOf("x", tributary.Errorf(kind, "test", "text")); *f != golden[kind] {
			t.Errorf("%s is answered with %+v, want %+v", kind, *f, golden[kind])
		}
	}
	if f := api.FaultOf("x", errors.New("secret")); *f != golden[tributary.Internal] {
		t.Errorf("an unknown error is answered with %+v", f)
	}
}
