package cognitoidentity_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
	"tributary/front/cognitoidentity"
	"tributary/internal/enginetest"
)

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// kit is the front over a store.
type kit struct {
	*testing.T
	front     http.Handler
	auth      *auth.Auth
	developer awswire.Credentials
	now       time.Time
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t, now: time.UnixMilli(1_790_000_000_123)}
	now := func() time.Time { return k.now }
	store := enginetest.Open(t, enginetest.Config{Now: now})
	sealer, err := tributary.NewSealer(make([]byte, tributary.MasterKeyLength))
	k.ok(err)
	k.auth = &auth.Auth{Keys: store, Sealer: sealer, Account: "123456789012", Now: now}
	service := &tributary.Service{Store: store, Sealer: sealer, Account: "123456789012", Region: "eu-west-1", Now: now}
	k.front = cognitoidentity.New(cognitoidentity.Config{Service: service, Authenticate: k.auth.Authenticate, Issue: k.auth.Issue})
	k.developer, err = k.auth.NewAccessKey(t.Context())
	k.ok(err)
	return k
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// send calls an operation, signed if as is not nil.
func (k *kit) send(as *awswire.Credentials, operation, body string) (int, string) {
	k.Helper()
	r := httptest.NewRequest("POST", "http://identity.test/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService."+operation)
	if as != nil {
		awswire.Sign(r, []byte(body), *as, "eu-west-1", cognitoidentity.Name, k.now)
	}
	w := httptest.NewRecorder()
	k.front.ServeHTTP(w, r)
	if w.Header().Get("Content-Type") != "application/x-amz-json-1.1" {
		k.Errorf("%s: content type %q", operation, w.Header().Get("Content-Type"))
	}
	return w.Code, w.Body.String()
}

// call calls an operation that must succeed.
func (k *kit) call(as *awswire.Credentials, operation, body string, out any) string {
	k.Helper()
	status, text := k.send(as, operation, body)
	if status != http.StatusOK {
		k.Fatalf("%s: %d %s", operation, status, text)
	}
	if out != nil {
		k.ok(json.Unmarshal([]byte(text), out))
	}
	return text
}

// refused calls an operation that must fail, with status 400 as always here.
func (k *kit) refused(as *awswire.Credentials, operation, body, code, message string) {
	k.Helper()
	status, text := k.send(as, operation, body)
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	k.ok(json.Unmarshal([]byte(text), &e))
	if status != http.StatusBadRequest || e.Type != code || !strings.Contains(e.Message, message) {
		k.Errorf("%s: got %d %s %q, want 400 %s %q", operation, status, e.Type, e.Message, code, message)
	}
}

func (k *kit) pool(guests bool) string {
	k.Helper()
	var out struct{ IdentityPoolId string }
	body, err := json.Marshal(map[string]any{"IdentityPoolName": "my pool", "AllowUnauthenticatedIdentities": guests})
	k.ok(err)
	k.call(&k.developer, "CreateIdentityPool", string(body), &out)
	return out.IdentityPoolId
}

func TestPools(t *testing.T) {
	k := newKit(t)
	id := k.pool(true)
	if !strings.HasPrefix(id, "eu-west-1:") {
		t.Errorf("the pool is called %s", id)
	}
	full := `{"IdentityPoolId":"` + id + `","IdentityPoolName":"n","AllowUnauthenticatedIdentities":false,"AllowClassicFlow":true,"SupportedLoginProviders":{"accounts.google.com":"x"},"DeveloperProviderName":"login.app","OpenIdConnectProviderARNs":["a"],"CognitoIdentityProviders":[{"ProviderName":"p","ClientId":"c","ServerSideTokenCheck":true}],"SamlProviderARNs":["s"],"IdentityPoolTags":{"k":"v"}}`
	if got := k.call(&k.developer, "UpdateIdentityPool", full, nil); got != full {
		t.Errorf("updated to %s, want %s", got, full)
	}
	if got := k.call(&k.developer, "DescribeIdentityPool", `{"IdentityPoolId":"`+id+`"}`, nil); got != full {
		t.Errorf("described as %s, want %s", got, full)
	}
	plain := `{"IdentityPoolId":"` + id + `","IdentityPoolName":"n","AllowUnauthenticatedIdentities":true}`
	if got := k.call(&k.developer, "UpdateIdentityPool", plain, nil); got != plain {
		t.Errorf("what was left out did not revert: %s", got)
	}
	other := k.pool(false)
	var list struct {
		IdentityPools []struct{ IdentityPoolId, IdentityPoolName string }
		NextToken     string
	}
	k.call(&k.developer, "ListIdentityPools", `{"MaxResults":1}`, &list)
	first := list.IdentityPools[0].IdentityPoolId
	next := list.NextToken
	list.NextToken = ""
	k.call(&k.developer, "ListIdentityPools", `{"MaxResults":1,"NextToken":"`+next+`"}`, &list)
	if second := list.IdentityPools[0].IdentityPoolId; list.NextToken != "" || first == second || first+second != min(id, other)+max(id, other) {
		t.Errorf("pages of %s and %s, then %q", first, second, list.NextToken)
	}
	k.call(&k.developer, "DeleteIdentityPool", `{"IdentityPoolId":"`+other+`"}`, nil)
	k.refused(&k.developer, "DescribeIdentityPool", `{"IdentityPoolId":"`+other+`"}`, "ResourceNotFoundException", "IdentityPool '"+other+"' not found.")
	k.refused(&k.developer, "ListIdentityPools", `{}`, "InvalidParameterException", "maxResults")
	k.refused(&k.developer, "ListIdentityPools", `{"MaxResults":61}`, "InvalidParameterException", "maxResults")
	k.refused(&k.developer, "ListIdentityPools", `{"MaxResults":6,"NextToken":"*"}`, "InvalidParameterException", "NextToken")
	k.refused(&k.developer, "CreateIdentityPool", `{"IdentityPoolName":"n"}`, "InvalidParameterException", "allowUnauthenticatedIdentities")
	k.refused(&k.developer, "CreateIdentityPool", `{"IdentityPoolName":"a/b","AllowUnauthenticatedIdentities":true}`, "InvalidParameterException", "identityPoolName")
	k.refused(&k.developer, "CreateIdentityPool", `[`, "SerializationException", "")
}

func TestGuests(t *testing.T) {
	k := newKit(t)
	pool, closed := k.pool(true), k.pool(false)
	var id struct{ IdentityId string }
	k.call(nil, "GetId", `{"IdentityPoolId":"`+pool+`","AccountId":"1"}`, &id)
	var creds struct {
		IdentityId  string
		Credentials struct {
			AccessKeyId, SecretKey, SessionToken string
			Expiration                           float64
		}
	}
	k.call(nil, "GetCredentialsForIdentity", `{"IdentityId":"`+id.IdentityId+`"}`, &creds)
	if c := creds.Credentials; creds.IdentityId != id.IdentityId || !strings.HasPrefix(c.AccessKeyId, "ASIA") || c.Expiration != 1_790_003_600 {
		t.Errorf("credentials %+v", creds)
	}
	guest := awswire.Credentials{AccessKeyID: creds.Credentials.AccessKeyId, SecretKey: creds.Credentials.SecretKey, SessionToken: creds.Credentials.SessionToken}
	k.refused(&guest, "DescribeIdentityPool", `{"IdentityPoolId":"`+pool+`"}`, "NotAuthorizedException", "These credentials are not valid")
	want := `{"IdentityId":"` + id.IdentityId + `","CreationDate":1790000000.123,"LastModifiedDate":1790000000.123}`
	if got := k.call(&k.developer, "DescribeIdentity", `{"IdentityId":"`+id.IdentityId+`"}`, nil); got != want {
		t.Errorf("described as %s, want %s", got, want)
	}
	if got := k.call(&k.developer, "ListIdentities", `{"IdentityPoolId":"`+pool+`","MaxResults":60}`, nil); got != `{"IdentityPoolId":"`+pool+`","Identities":[`+want+`]}` {
		t.Errorf("listed as %s", got)
	}
	k.refused(nil, "GetId", `{"IdentityPoolId":"`+closed+`"}`, "NotAuthorizedException", "Unauthenticated access is not supported for this identity pool.")
	k.refused(nil, "GetId", `{"IdentityPoolId":"eu-west-1:0"}`, "ResourceNotFoundException", "")
	k.refused(nil, "GetId", `{"IdentityPoolId":"nonsense"}`, "InvalidParameterException", "identityPoolId")
	k.refused(nil, "GetId", `{"IdentityPoolId":"`+pool+`","Logins":{"accounts.google.com":"t"}}`, "NotAuthorizedException", "Token is not from a supported provider")
	k.refused(nil, "GetCredentialsForIdentity", `{"IdentityId":"eu-west-1:0"}`, "ResourceNotFoundException", "Identity 'eu-west-1:0' not found.")
	k.refused(nil, "GetCredentialsForIdentity", `{"IdentityId":"`+id.IdentityId+`","Logins":{"x":"y"}}`, "NotAuthorizedException", "")
	k.refused(nil, "DescribeIdentity", `{"IdentityId":"`+id.IdentityId+`"}`, "MissingAuthenticationTokenException", "")
	k.refused(nil, "GetOpenIdToken", `{}`, "UnsupportedOperationException", "GetOpenIdToken")
	k.refused(&k.developer, "SetIdentityPoolRoles", `{}`, "UnsupportedOperationException", "SetIdentityPoolRoles")
	k.refused(&k.developer, "Nothing", `{}`, "UnknownOperationException", "Nothing")
	k.call(&k.developer, "UpdateIdentityPool", `{"IdentityPoolId":"`+pool+`","IdentityPoolName":"n","AllowUnauthenticatedIdentities":false}`, nil)
	k.refused(nil, "GetCredentialsForIdentity", `{"IdentityId":"`+id.IdentityId+`"}`, "NotAuthorizedException", "Unauthenticated access")
}

// TestFaults holds every Kind to its name and status on the wire.
func TestFaults(t *testing.T) {
	golden := map[tributary.Kind]awswire.Fault{
		tributary.Internal:      {Code: "InternalErrorException", Status: 500, Message: "Internal error"},
		tributary.Invalid:       {Code: "InvalidParameterException", Status: 400, Message: "text"},
		tributary.NotFound:      {Code: "ResourceNotFoundException", Status: 400, Message: "text"},
		tributary.Exists:        {Code: "ResourceConflictException", Status: 400, Message: "text"},
		tributary.Stale:         {Code: "ConcurrentModificationException", Status: 400, Message: "text"},
		tributary.Denied:        {Code: "NotAuthorizedException", Status: 400, Message: "text"},
		tributary.Limit:         {Code: "LimitExceededException", Status: 400, Message: "text"},
		tributary.Throttled:     {Code: "TooManyRequestsException", Status: 429, Message: "text"},
		tributary.Busy:          {Code: "TooManyRequestsException", Status: 429, Message: "text"},
		tributary.Trigger:       {Code: "ExternalServiceException", Status: 400, Message: "text"},
		tributary.Unavailable:   {Code: "ServiceUnavailableException", Status: 503, Message: "text"},
		tributary.Taken:         {Code: "DeveloperUserAlreadyRegisteredException", Status: 400, Message: "text"},
		tributary.Misconfigured: {Code: "InvalidIdentityPoolConfigurationException", Status: 400, Message: "text"},
		tributary.Forbidden:     {Code: "AccessDeniedException", Status: 400, Message: "text"},
	}
	for _, kind := range tributary.Kinds() {
		if f := cognitoidentity.FaultOf(tributary.Errorf(kind, "test", "text")); *f != golden[kind] {
			t.Errorf("%s is answered with %+v, want %+v", kind, *f, golden[kind])
		}
	}
	if f := cognitoidentity.FaultOf(errors.New("secret")); *f != golden[tributary.Internal] {
		t.Errorf("an unknown error is answered with %+v", f)
	}
}
