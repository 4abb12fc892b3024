package cognitoidentity_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
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
	service   *tributary.Service
	grant     tributary.Grant // that credentials were issued for last
	log       bytes.Buffer
	developer awswire.Credentials
	now       time.Time
}

const account = "123456789012"

// obj is a JSON object.
type obj = map[string]any

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t, now: time.UnixMilli(1_790_000_000_123)}
	now := func() time.Time { return k.now }
	store := enginetest.Open(t, enginetest.Config{Now: now})
	sealer, err := tributary.NewSealer(make([]byte, tributary.MasterKeyLength))
	k.ok(err)
	k.auth = &auth.Auth{Keys: store, Sealer: sealer, Account: account, Now: now}
	k.service = &tributary.Service{Store: store, Sealer: sealer, Account: account, Region: "eu-west-1", Now: now, Logins: fakeLogins{}, Tokens: &fakeTokens{}}
	k.front = cognitoidentity.New(cognitoidentity.Config{
		Service: k.service, Authenticate: k.auth.Authenticate, Issue: k.issue, Log: slog.New(slog.NewTextHandler(&k.log, nil)),
	})
	k.developer, err = k.auth.NewAccessKey(t.Context())
	k.ok(err)
	return k
}

func (k *kit) issue(g tributary.Grant) (awswire.Credentials, time.Time, error) {
	k.grant = g
	return k.auth.Issue(g)
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// send calls an operation, signed if as is not nil. A text is sent as it is.
func (k *kit) send(as *awswire.Credentials, operation string, in any) (int, string) {
	k.Helper()
	body, ok := in.(string)
	if !ok {
		b, err := json.Marshal(in)
		k.ok(err)
		body = string(b)
	}
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
func (k *kit) call(as *awswire.Credentials, operation string, in, out any) string {
	k.Helper()
	status, text := k.send(as, operation, in)
	if status != http.StatusOK {
		k.Fatalf("%s: %d %s", operation, status, text)
	}
	if out != nil {
		k.ok(json.Unmarshal([]byte(text), out))
	}
	return text
}

// refused calls an operation that must fail, with status 400 as always here.
func (k *kit) refused(as *awswire.Credentials, operation string, in any, code, message string) {
	k.Helper()
	status, text := k.send(as, operation, in)
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
	return k.newPool(obj{"AllowUnauthenticatedIdentities": guests})
}

// newPool makes a pool that a developer signs users in to, and Google.
func (k *kit) newPool(more obj) string {
	k.Helper()
	in := obj{"IdentityPoolName": "my pool", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": "login.app",
		"SupportedLoginProviders": obj{google: "app"}}
	maps.Copy(in, more)
	var out struct{ IdentityPoolId string }
	k.call(&k.developer, "CreateIdentityPool", in, &out)
	return out.IdentityPoolId
}

const google = "accounts.google.com"

// fakeLogins knows the users of Google, whose tokens are their names. The one
// called down stands for a Google that does not answer.
type fakeLogins struct{}

func (fakeLogins) VerifyLogin(_ context.Context, pool *tributary.Pool, provider, token string) (tributary.VerifiedLogin, error) {
	const op = "verify login"
	switch {
	case pool.LoginProviders[provider] == "":
		return tributary.VerifiedLogin{}, tributary.Errorf(tributary.Denied, op, "Token is not from a supported provider of this identity pool.")
	case token == "expired":
		return tributary.VerifiedLogin{}, tributary.Errorf(tributary.Denied, op, "Invalid login token. Token expired: 1 >= 2")
	case token == "down":
		return tributary.VerifiedLogin{}, tributary.Errorf(tributary.Trigger, op, "%s does not answer", provider)
	}
	return tributary.VerifiedLogin{Login: tributary.Login{Provider: provider, User: token}, Claims: map[string]any{"sub": token, "aud": "app"}}, nil
}

// fakeTokens remembers the tokens that it has issued.
type fakeTokens struct{ issued []tributary.OpenIDToken }

func (f *fakeTokens) IssueToken(_ context.Context, t tributary.OpenIDToken) (string, error) {
	f.issued = append(f.issued, t)
	return fmt.Sprintf("token %d", len(f.issued)-1), nil
}

func (f *fakeTokens) OpenToken(_ context.Context, token string) (tributary.OpenIDToken, error) {
	var n int
	if _, err := fmt.Sscanf(token, "token %d", &n); err != nil || n >= len(f.issued) {
		return tributary.OpenIDToken{}, tributary.Errorf(tributary.Denied, "open token", "Invalid login token. Not a valid OpenId Connect identity token.")
	}
	return f.issued[n], nil
}

// last is the token that was issued last.
func (k *kit) last() tributary.OpenIDToken {
	k.Helper()
	issued := k.service.Tokens.(*fakeTokens).issued
	if len(issued) == 0 {
		k.Fatal("no token was issued")
	}
	return issued[len(issued)-1]
}

func TestPools(t *testing.T) {
	k := newKit(t)
	id := k.pool(true)
	if !strings.HasPrefix(id, "eu-west-1:") {
		t.Errorf("the pool is called %s", id)
	}
	full := `{"IdentityPoolId":"` + id + `","IdentityPoolName":"n","AllowUnauthenticatedIdentities":false,"AllowClassicFlow":true,"SupportedLoginProviders":{"accounts.google.com":"x"},"DeveloperProviderName":"login.app","OpenIdConnectProviderARNs":["arn:aws:iam::123456789012:oidc-provider/a"],"CognitoIdentityProviders":[{"ProviderName":"p","ClientId":"c","ServerSideTokenCheck":true}],"SamlProviderARNs":["arn:aws:iam::123456789012:saml-provider/s"],"IdentityPoolTags":{"k":"v"}}`
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
	k.refused(nil, "GetId", `{"IdentityPoolId":"`+pool+`","Logins":{"graph.facebook.com":"t"}}`, "NotAuthorizedException", "Token is not from a supported provider")
	k.refused(nil, "GetCredentialsForIdentity", `{"IdentityId":"eu-west-1:0"}`, "ResourceNotFoundException", "Identity 'eu-west-1:0' not found.")
	k.refused(nil, "GetCredentialsForIdentity", `{"IdentityId":"`+id.IdentityId+`","Logins":{"x":"y"}}`, "NotAuthorizedException", "")
	k.refused(nil, "DescribeIdentity", `{"IdentityId":"`+id.IdentityId+`"}`, "MissingAuthenticationTokenException", "")
	k.refused(&k.developer, "Nothing", `{}`, "UnknownOperationException", "Nothing")
	k.call(&k.developer, "UpdateIdentityPool", `{"IdentityPoolId":"`+pool+`","IdentityPoolName":"n","AllowUnauthenticatedIdentities":false}`, nil)
	k.refused(nil, "GetCredentialsForIdentity", `{"IdentityId":"`+id.IdentityId+`"}`, "NotAuthorizedException", "Unauthenticated access")
}

// TestCallers: identities may call what is public only, for which a signature is
// not asked and does no harm.
func TestCallers(t *testing.T) {
	k := newKit(t)
	m := readModel(t)
	pool := k.newPool(nil)
	guest, _, err := k.auth.Issue(tributary.Grant{Identity: tributary.Identity{ID: tributary.IdentityID(k.id(pool, nil)), Pool: tributary.PoolID(pool)}})
	k.ok(err)
	for name, public := range cognitoidentity.Operations() {
		in := m.good(t, m.operations[name].input).(obj)
		delete(in, "RoleMappings")
		if in["ResourceArn"] != nil {
			in["ResourceArn"] = "arn:aws:cognito-identity:eu-west-1:" + account + ":identitypool/" + pool
		}
		if !public {
			k.refused(&guest, name, in, "NotAuthorizedException", "These credentials are not valid")
			k.refused(nil, name, in, "MissingAuthenticationTokenException", "")
			continue
		}
		_, plain := k.send(nil, name, in)
		if _, signed := k.send(&guest, name, in); signed != plain {
			t.Errorf("%s answers %s, and if it is signed %s", name, plain, signed)
		}
	}
}
