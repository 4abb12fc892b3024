package sts_test

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
	"tributary/front/sts"
	"tributary/internal/enginetest"
)

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

const (
	account = "123456789012"
	pool    = tributary.PoolID("eu-west-1:00000000-0000-4000-8000-00000000000a")
	role    = "arn:aws:iam::123456789012:role/app/guest"
)

// kit is the front over a store, with a guest.
type kit struct {
	testing.TB
	front     http.Handler
	auth      *auth.Auth
	service   *tributary.Service
	developer awswire.Credentials
	guest     tributary.IdentityID
	now       time.Time
	refuse    error // what Admit says
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{TB: t, now: time.UnixMilli(1_790_000_000_123)}
	now := func() time.Time { return k.now }
	store := enginetest.Open(t, enginetest.Config{Now: now})
	sealer, err := tributary.NewSealer(make([]byte, tributary.MasterKeyLength))
	k.ok(err)
	k.auth = &auth.Auth{Keys: store, Sealer: sealer, Account: account, Now: now}
	tokens := &auth.Tokens{Rotation: &tributary.Rotation{Keys: store, Sealer: sealer, Now: now}, Issuer: "https://sync.test", Account: account, Now: now}
	tokens.Begin()
	k.service = &tributary.Service{Store: store, Sealer: sealer, Account: account, Region: "eu-west-1", Now: now, Tokens: tokens}
	k.front = sts.New(sts.Config{Service: k.service, Authenticate: k.auth.Authenticate, Issue: k.auth.Issue, Admit: func(*http.Request) error { return k.refuse }})
	k.developer, err = k.auth.NewAccessKey(t.Context())
	k.ok(err)
	me := tributary.Principal{Account: account}
	_, err = k.service.CreatePool(t.Context(), me, tributary.Pool{
		ID: pool, Name: "a pool", AllowUnauthenticated: true, Roles: tributary.Roles{Unauthenticated: role},
	})
	k.ok(err)
	i, err := k.service.NewGuest(t.Context(), pool)
	k.ok(err)
	k.guest = i.ID
	return k
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// token gives the guest's OpenID token.
func (k *kit) token() string {
	k.Helper()
	_, token, err := k.service.Token(k.Context(), tributary.SignIn{Identity: k.guest})
	k.ok(err)
	return token
}

// form is a call for the guest's role, with changes: name, value, ...; an empty
// value removes.
func (k *kit) form(changes ...string) url.Values {
	k.Helper()
	v := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {"web-identity"}}
	if len(changes) == 0 || changes[0] != "WebIdentityToken" {
		v.Set("WebIdentityToken", k.token())
	}
	for i := 0; i < len(changes); i += 2 {
		if v.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			v.Del(changes[i])
		}
	}
	return v
}

func post(body string) *http.Request {
	r := httptest.NewRequest("POST", "http://sts.test/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

func (k *kit) serve(r *http.Request) (int, string) {
	k.Helper()
	w := httptest.NewRecorder()
	k.front.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); got != "text/xml" {
		k.Errorf("content type %q", got)
	}
	header := func(name string) string { return strings.Join(w.Header()[name], ",") } // by its exact spelling
	if id := header("x-amzn-RequestId"); id == "" || !strings.Contains(w.Body.String(), "<RequestId>"+id+"</RequestId>") {
		k.Errorf("request id %q, which the answer lacks: %s", id, w.Body)
	}
	return w.Code, w.Body.String()
}

// refused wants a fault.
func (k *kit) refused(r *http.Request, status int, code, message string) {
	k.Helper()
	got, text := k.serve(r)
	var e struct {
		XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Error   struct{ Type, Code, Message string }
	}
	k.ok(xml.Unmarshal([]byte(text), &e))
	whose := "Sender"
	if status >= 500 {
		whose = "Receiver"
	}
	if got != status || e.Error.Code != code || e.Error.Type != whose || !strings.Contains(e.Error.Message, message) {
		k.Errorf("got %d %+v, want %d %s %q", got, e.Error, status, code, message)
	}
}

type answer struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
	Result  struct {
		Credentials                                            struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
		AssumedRoleUser                                        struct{ Arn, AssumedRoleId string }
		SubjectFromWebIdentityToken, Audience, Provider, Extra string
		PackedPolicySize                                       *int
	} `xml:"AssumeRoleWithWebIdentityResult"`
}

// assume makes a call that must succeed.
func (k *kit) assume(r *http.Request) (a answer, c awswire.Credentials) {
	k.Helper()
	status, text := k.serve(r)
	if status != http.StatusOK {
		k.Fatalf("%d %s", status, text)
	}
	k.ok(xml.Unmarshal([]byte(text), &a))
	got := a.Result.Credentials
	return a, awswire.Credentials{AccessKeyID: got.AccessKeyId, SecretKey: got.SecretAccessKey, SessionToken: got.SessionToken}
}

func TestAssumeRole(t *testing.T) {
	k := newKit(t)
	a, c := k.assume(post(k.form().Encode()))
	r := a.Result
	if r.Credentials.Expiration != "2026-09-21T15:13:20Z" || !strings.HasPrefix(c.AccessKeyID, "ASIA") {
		t.Errorf("credentials %+v", r.Credentials)
	}
	if r.SubjectFromWebIdentityToken != string(k.guest) || r.Audience != string(pool) || r.Provider != "cognito-identity.amazonaws.com" || r.PackedPolicySize != nil {
		t.Errorf("answer %+v", r)
	}
	if u := r.AssumedRoleUser; u.Arn != "arn:aws:sts::123456789012:assumed-role/guest/web-identity" || !regexp.MustCompile(`^AROA[A-Z2-7]{17}:web-identity$`).MatchString(u.AssumedRoleId) {
		t.Errorf("user %+v", u)
	}
	p := k.who(c)
	if p.Identity != k.guest || p.Pool != pool || p.Session == nil || p.Session.Role != role || p.Session.Name != "web-identity" || p.Session.Policy != nil {
		t.Errorf("the credentials are of %+v", p)
	}
	// By GET, too, for as long as is said.
	get := httptest.NewRequest("GET", "http://sts.test/?"+k.form("DurationSeconds", "43200").Encode(), nil)
	if a, _ = k.assume(get); a.Result.Credentials.Expiration != "2026-09-22T02:13:20Z" {
		t.Errorf("12 hours end at %s", a.Result.Credentials.Expiration)
	}
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"cognito-sync:List*","Resource":"*"}}`
	a, c = k.assume(post(k.form("Policy", policy).Encode()))
	if n := a.Result.PackedPolicySize; n == nil || *n != 5 {
		t.Errorf("packed policy size %v", n)
	}
	if p := k.who(c); p.Session.Policy.Decide(&tributary.Access{Action: "cognito-sync:ListRecords", Resource: "x"}) != tributary.Allowed ||
		p.Session.Policy.Decide(&tributary.Access{Action: "cognito-sync:UpdateRecords", Resource: "x"}) != tributary.ImplicitDeny {
		t.Error("the session's policy is not in force")
	}
}

// who tells whom credentials are of.
func (k *kit) who(c awswire.Credentials) tributary.Principal {
	k.Helper()
	r := post("Action=GetCallerIdentity")
	awswire.Sign(r, []byte("Action=GetCallerIdentity"), c, "eu-west-1", sts.Name, k.now)
	p, err := k.auth.Authenticate(r, func(awswire.Scope) ([]byte, error) { return []byte("Action=GetCallerIdentity"), nil })
	k.ok(err)
	return p
}

func TestRefused(t *testing.T) {
	k := newKit(t)
	for _, c := range []struct {
		change        []string
		status        int
		code, message string
	}{
		{[]string{"Action", ""}, 400, "MissingAction", "AssumeRoleWithWebIdentity and GetCallerIdentity"},
		{[]string{"Action", "AssumeRole"}, 400, "InvalidAction", `"AssumeRole" is not served here: sts has AssumeRoleWithWebIdentity and GetCallerIdentity`},
		{[]string{"Action", "<&>\x00"}, 400, "InvalidAction", `<&>\x00`},
		{[]string{"RoleArn", ""}, 400, "ValidationError", "1 validation error detected: Value null at 'roleArn'"},
		{[]string{"RoleArn", "arn:aws:iam::1:user/x"}, 400, "ValidationError", "'roleArn'"},
		{[]string{"RoleArn", role + "\xff"}, 400, "ValidationError", "'roleArn'"},
		{[]string{"RoleArn", "", "RoleSessionName", ""}, 400, "ValidationError", "2 validation errors detected"},
		{[]string{"RoleSessionName", "a b"}, 400, "ValidationError", "'roleSessionName'"},
		{[]string{"RoleSessionName", "a"}, 400, "ValidationError", "'roleSessionName'"},
		{[]string{"RoleSessionName", strings.Repeat("a", 65)}, 400, "ValidationError", "'roleSessionName'"},
		{[]string{"WebIdentityToken", ""}, 400, "ValidationError", "'webIdentityToken'"},
		{[]string{"WebIdentityToken", strings.Repeat("a", 20_001)}, 400, "ValidationError", "'webIdentityToken'"},
		{[]string{"WebIdentityToken", strings.Repeat("a", 20_000)}, 400, "InvalidIdentityToken", "GetOpenIdToken"},
		{[]string{"WebIdentityToken", strings.Repeat("a", 66_000)}, 413, "RequestEntityTooLargeException", "65536"},
		{[]string{"DurationSeconds", "899"}, 400, "ValidationError", "Value '899' at 'durationSeconds'"},
		{[]string{"DurationSeconds", "0"}, 400, "ValidationError", "Value '0' at 'durationSeconds'"},
		{[]string{"DurationSeconds", "43201"}, 400, "ValidationError", "'durationSeconds'"},
		{[]string{"DurationSeconds", "1h"}, 400, "ValidationError", "DurationSeconds"},
		{[]string{"DurationSeconds", "99999999999999999999"}, 400, "ValidationError", "DurationSeconds"},
		{[]string{"Policy", "{"}, 400, "MalformedPolicyDocument", "not JSON"},
		{[]string{"Policy", "€"}, 400, "ValidationError", "'policy'"},
		{[]string{"Policy", strings.Repeat(" ", 2049)}, 400, "ValidationError", "'policy'"},
		{[]string{"Policy", strings.Repeat("ü", 2048)}, 400, "PackedPolicyTooLarge", "200%"},
		{[]string{"PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"}, 400, "ValidationError", "PolicyArns"},
		{[]string{"RoleArn", "arn:aws:iam::123456789012:role/admin"}, 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
	} {
		body := k.form(c.change...).Encode()
		k.refused(post(body), c.status, c.code, c.message)
		if c.status == http.StatusRequestEntityTooLarge {
			continue // an address has its own limit
		}
		k.refused(httptest.NewRequest("GET", "http://sts.test/?"+body, nil), c.status, c.code, c.message)
	}
	k.refused(httptest.NewRequest("PUT", "http://sts.test/", nil), 400, "InvalidAction", "PUT")
	k.refused(post("\x00%%%&&=;"), 400, "MissingAction", "")
	expired := k.form().Encode()
	k.now = k.now.Add(10 * time.Minute)
	k.refused(post(expired), 400, "ExpiredTokenException", "expired")
	k.refuse = tributary.Errorf(tributary.Throttled, "test", "Rate exceeded")
	k.refused(post(k.form().Encode()), 400, "Throttling", "Rate exceeded")
}

func TestCallerIdentity(t *testing.T) {
	k := newKit(t)
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	as := func(c awswire.Credentials, service string) *http.Request {
		r := post(body)
		awswire.Sign(r, []byte(body), c, "eu-west-1", service, k.now)
		return r
	}
	identity := func(r *http.Request) (arn, account, user string) {
		t.Helper()
		status, text := k.serve(r)
		var a struct {
			Result struct{ Arn, UserId, Account string } `xml:"GetCallerIdentityResult"`
		}
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		k.ok(xml.Unmarshal([]byte(text), &a))
		return a.Result.Arn, a.Result.Account, a.Result.UserId
	}
	key := k.developer.AccessKeyID
	if arn, of, user := identity(as(k.developer, sts.Name)); arn != "arn:aws:iam::123456789012:user/"+key || of != account || user != key {
		t.Errorf("the developer is %s of %s, %s", arn, of, user)
	}
	a, c := k.assume(post(k.form().Encode()))
	if arn, of, user := identity(as(c, sts.Name)); arn != a.Result.AssumedRoleUser.Arn || of != account || user != a.Result.AssumedRoleUser.AssumedRoleId {
		t.Errorf("the guest is %s of %s, %s", arn, of, user)
	}
	plain, _, err := k.auth.Issue(tributary.Grant{Identity: tributary.Identity{ID: k.guest, Pool: pool}})
	k.ok(err)
	if arn, _, _ := identity(as(plain, sts.Name)); arn != "arn:aws:sts::123456789012:assumed-role/none/CognitoIdentityCredentials" {
		t.Errorf("without a role it is %s", arn)
	}
	link := awswire.Presign(httptest.NewRequest("GET", "http://sts.test/?"+body, nil), k.developer, "eu-west-1", sts.Name, k.now, time.Minute)
	if arn, _, _ := identity(httptest.NewRequest("GET", link, nil)); !strings.HasSuffix(arn, key) {
		t.Errorf("by a link it is %s", arn)
	}

	k.refused(post(body), 403, "MissingAuthenticationToken", "")
	k.refused(as(awswire.Credentials{AccessKeyID: "AKIANOBODY", SecretKey: "x"}, sts.Name), 403, "InvalidClientTokenId", "")
	k.refused(as(awswire.Credentials{AccessKeyID: key, SecretKey: "x"}, sts.Name), 403, "SignatureDoesNotMatch", "")
	k.refused(as(k.developer, "cognito-sync"), 403, "SignatureDoesNotMatch", "'sts'")
	changed := as(k.developer, sts.Name)
	changed.Body = post(body + "&x=y").Body
	changed.ContentLength += 4
	k.refused(changed, 403, "SignatureDoesNotMatch", "")
	k.now = k.now.Add(time.Hour)
	k.refused(as(c, sts.Name), 403, "ExpiredToken", "")
	k.ok(k.service.Store.Close())
	k.refused(as(k.developer, sts.Name), 503, "ServiceUnavailable", "")
}

// TestFaults holds every Kind to its name and status on the wire.
func TestFaults(t *testing.T) {
	golden := map[tributary.Kind]awswire.Fault{
		tributary.Internal:      {Code: "InternalFailure", Status: 500, Message: "Internal failure"},
		tributary.Invalid:       {Code: "ValidationError", Status: 400, Message: "text"},
		tributary.NotFound:      {Code: "ValidationError", Status: 400, Message: "text"},
		tributary.Exists:        {Code: "ValidationError", Status: 400, Message: "text"},
		tributary.Stale:         {Code: "Throttling", Status: 429, Message: "text"},
		tributary.Denied:        {Code: "AccessDenied", Status: 403, Message: "text"},
		tributary.Limit:         {Code: "PackedPolicyTooLarge", Status: 400, Message: "text"},
		tributary.Throttled:     {Code: "Throttling", Status: 429, Message: "text"},
		tributary.Busy:          {Code: "Throttling", Status: 429, Message: "text"},
		tributary.Trigger:       {Code: "IDPCommunicationError", Status: 400, Message: "text"},
		tributary.Unavailable:   {Code: "ServiceUnavailable", Status: 503, Message: "text"},
		tributary.Taken:         {Code: "ValidationError", Status: 400, Message: "text"},
		tributary.Misconfigured: {Code: "ValidationError", Status: 400, Message: "text"},
		tributary.Forbidden:     {Code: "AccessDenied", Status: 403, Message: "text"},
	}
	for _, kind := range tributary.Kinds() {
		if f := sts.FaultOf(tributary.Errorf(kind, "test", "text")); *f != golden[kind] {
			t.Errorf("%s is answered with %+v, want %+v", kind, *f, golden[kind])
		}
	}
	if f := sts.FaultOf(errors.New("secret")); *f != golden[tributary.Internal] {
		t.Errorf("an unknown error is answered with %+v", f)
	}
}

// FuzzForm: whatever is sent, the answer is a fault in well-formed XML, and never
// one of ours.
func FuzzForm(f *testing.F) {
	k := newKit(f)
	for _, seed := range []string{
		"", "Action=GetCallerIdentity", "Action=AssumeRoleWithWebIdentity&RoleArn=%ff&Policy=%7B%7D", "Action=%00%3C", "Action=a&Action=b;c=d", "&&=%%%zz+",
		"Action=AssumeRoleWithWebIdentity&RoleArn=" + role + "&RoleSessionName=aa&WebIdentityToken=a.b.c&DurationSeconds=-1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, form string) {
		for _, r := range []*http.Request{post(form), {Method: "GET", URL: &url.URL{Path: "/", RawQuery: form}, Header: http.Header{}}} {
			w := httptest.NewRecorder()
			k.front.ServeHTTP(w, r)
			var e struct {
				XMLName xml.Name `xml:"ErrorResponse"`
				Error   struct{ Code string }
			}
			if err := xml.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code < 400 || w.Code >= 500 || e.Error.Code == "" {
				t.Errorf("%q: %d %s, %v", form, w.Code, w.Body, err)
			}
		}
	})
}
