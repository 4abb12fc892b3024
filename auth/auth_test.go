package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
	"tributary/internal/enginetest"
)

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

type kit struct {
	*testing.T
	auth  *auth.Auth
	store tributary.Store
	clock time.Time
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t, clock: time.Unix(1_790_000_000, 0)}
	now := func() time.Time { return k.clock }
	k.store = enginetest.Open(t, enginetest.Config{Now: now})
	k.auth = &auth.Auth{Keys: k.store, Sealer: sealer(k.T), Account: "123456789012", Now: now}
	return k
}

func sealer(t *testing.T) *tributary.Sealer {
	s, err := tributary.NewSealer(bytes.Repeat([]byte{7}, tributary.MasterKeyLength))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func noBody(awswire.Scope) ([]byte, error) { return nil, nil }

// who signs a request and tells whom it is taken for.
func (k *kit) who(a *auth.Auth, c awswire.Credentials) (tributary.Principal, string) {
	k.Helper()
	r := httptest.NewRequest("GET", "http://auth.test/", nil)
	awswire.Sign(r, nil, c, "us-east-1", "test", k.clock)
	p, err := a.Authenticate(r, noBody)
	var f *awswire.Fault
	if errors.As(err, &f) {
		return p, f.Code
	}
	k.ok(err)
	return p, ""
}

func TestDeveloper(t *testing.T) {
	k := newKit(t)
	key, err := k.auth.NewAccessKey(t.Context())
	k.ok(err)
	if p, code := k.who(k.auth, key); code != "" || !p.Developer() || p.Account != "123456789012" || p.AccessKey != key.AccessKeyID {
		t.Errorf("%+v, %s", p, code)
	}
	stored, err := k.store.AccessKey(t.Context(), key.AccessKeyID)
	k.ok(err)
	if bytes.Contains(stored.Sealed, []byte(key.SecretKey)) {
		t.Error("the secret is in the store")
	}
	wrong := key
	wrong.SecretKey += "x"
	if _, code := k.who(k.auth, wrong); code != "InvalidSignatureException" {
		t.Errorf("a wrong secret: %s", code)
	}
	if _, code := k.who(k.auth, awswire.Credentials{AccessKeyID: "AKIANOBODY", SecretKey: "x"}); code != "UnrecognizedClientException" {
		t.Errorf("an unknown key: %s", code)
	}
	stored.Disabled = true
	k.ok(k.store.PutAccessKey(t.Context(), stored))
	k.clock = k.clock.Add(2 * time.Second) // a key is remembered for a second
	if _, code := k.who(k.auth, key); code != "UnrecognizedClientException" {
		t.Errorf("a disabled key: %s", code)
	}
}

func TestIdentity(t *testing.T) {
	k := newKit(t)
	c, until, err := k.auth.Issue(tributary.Grant{Identity: tributary.Identity{ID: "us-east-1:1", Pool: "us-east-1:2"}})
	k.ok(err)
	if want := k.clock.Add(time.Hour); !until.Equal(want) {
		t.Errorf("good until %s, want %s", until, want)
	}
	want := tributary.Principal{AccessKey: c.AccessKeyID, Pool: "us-east-1:2", Identity: "us-east-1:1"}
	// Another process under the same master key takes them, and so does a restart.
	other := &auth.Auth{Keys: k.store, Sealer: sealer(t), Account: "123456789012", Now: k.auth.Now}
	for name, a := range map[string]*auth.Auth{"own": k.auth, "another process": other} {
		if p, code := k.who(a, c); p != want || code != "" || p.Developer() {
			t.Errorf("%s: %+v, %s", name, p, code)
		}
	}
	stolen := c
	stolen.AccessKeyID = "ASIAOTHER"
	if _, code := k.who(k.auth, stolen); code != "UnrecognizedClientException" {
		t.Errorf("a token of another key: %s", code)
	}
	k.clock = until.Add(-time.Second)
	if _, code := k.who(k.auth, c); code != "" {
		t.Errorf("a second before the end: %s", code)
	}
	k.clock = until
	if _, code := k.who(k.auth, c); code != "ExpiredTokenException" {
		t.Errorf("at the end: %s", code)
	}
}

// TestSession: role and tags of a sign-in come back with the credentials.
func TestSession(t *testing.T) {
	k := newKit(t)
	c, _, err := k.auth.Issue(tributary.Grant{Identity: tributary.Identity{ID: "us-east-1:1", Pool: "us-east-1:2"}, Role: "arn:role", Tags: map[string]string{"team": "red"}})
	k.ok(err)
	p, code := k.who(k.auth, c)
	if code != "" || p.Session == nil || p.Session.Role != "arn:role" || p.Session.Tags["team"] != "red" {
		t.Errorf("%+v, %s", p.Session, code)
	}
}

// TestSessionOfAPolicyOnly: a session may have a policy and no role.
func TestSessionOfAPolicyOnly(t *testing.T) {
	k := newKit(t)
	c, _, err := k.auth.Issue(tributary.Grant{Identity: tributary.Identity{ID: "us-east-1:1", Pool: "us-east-1:2"}, Policy: `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`})
	k.ok(err)
	if p, code := k.who(k.auth, c); code != "" || p.Session == nil || p.Session.Policy == nil {
		t.Errorf("%+v, %s", p.Session, code)
	}
}

// TestManyCredentials: those that were opened before are told from others, and
// are few.
func TestManyCredentials(t *testing.T) {
	k := newKit(t)
	var all []awswire.Credentials
	for n := range 1100 {
		c, _, err := k.auth.Issue(tributary.Grant{Identity: tributary.Identity{ID: tributary.IdentityID(fmt.Sprint("us-east-1:", n)), Pool: "us-east-1:2"}})
		k.ok(err)
		all = append(all, c)
	}
	for range 2 {
		for n, c := range all {
			if p, code := k.who(k.auth, c); code != "" || p.Identity != tributary.IdentityID(fmt.Sprint("us-east-1:", n)) {
				t.Fatalf("%d: %+v, %s", n, p, code)
			}
		}
	}
	mixed := all[len(all)-1]
	mixed.SessionToken = all[len(all)-2].SessionToken
	if _, code := k.who(k.auth, mixed); code != "UnrecognizedClientException" {
		t.Errorf("a token of another's that was opened before: %s", code)
	}
}

// TestAssumedSession: in the classic flow a session has a name, a length and a
// policy too.
func TestAssumedSession(t *testing.T) {
	k := newKit(t)
	c, until, err := k.auth.Issue(tributary.Grant{
		Identity: tributary.Identity{ID: "us-east-1:1", Pool: "us-east-1:2"}, Role: "arn:role", Session: "web", Life: 15 * time.Minute,
		Policy: `{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}`,
	})
	k.ok(err)
	if want := k.clock.Add(15 * time.Minute); !until.Equal(want) {
		t.Errorf("good until %s, want %s", until, want)
	}
	p, code := k.who(k.auth, c)
	if code != "" || p.Session.Name != "web" || p.Session.Role != "arn:role" {
		t.Fatalf("%+v, %s", p.Session, code)
	}
	for action, verdict := range map[string]tributary.Verdict{"a:b": tributary.Allowed, "a:c": tributary.ImplicitDeny} {
		if got := p.Session.Policy.Decide(&tributary.Access{Action: action, Resource: "*"}); got != verdict {
			t.Errorf("%s: %s", action, got)
		}
	}
	k.clock = until
	if _, code := k.who(k.auth, c); code != "ExpiredTokenException" {
		t.Errorf("at the end: %s", code)
	}
}

// TestOutage keeps a store that is down, and a key that cannot be opened, from
// looking like a wrong key.
func TestOutage(t *testing.T) {
	k := newKit(t)
	key, err := k.auth.NewAccessKey(t.Context())
	k.ok(err)
	r := httptest.NewRequest("GET", "http://auth.test/", nil)
	awswire.Sign(r, nil, key, "us-east-1", "test", k.clock)
	refused := func(a *auth.Auth, kind tributary.Kind) {
		t.Helper()
		_, err := a.Authenticate(r, noBody)
		if f := new(awswire.Fault); err == nil || errors.As(err, &f) || tributary.KindOf(err) != kind {
			t.Errorf("%v, want %s", err, kind)
		}
	}
	other, err := tributary.NewSealer(make([]byte, tributary.MasterKeyLength))
	k.ok(err)
	refused(&auth.Auth{Keys: k.store, Sealer: other, Now: k.auth.Now}, tributary.Internal)
	refused(&auth.Auth{Keys: broken{k.store}, Sealer: other, Now: k.auth.Now}, tributary.Internal)
	k.ok(k.store.Close())
	refused(k.auth, tributary.Unavailable)
}

// broken has keys that cannot be read.
type broken struct{ tributary.Store }

func (broken) AccessKey(context.Context, string) (tributary.AccessKey, error) {
	return tributary.AccessKey{}, errors.New("checksum mismatch")
}

func TestRegions(t *testing.T) {
	k := newKit(t)
	k.auth.Region = func(r string) bool { return r == "eu-west-1" }
	key, err := k.auth.NewAccessKey(t.Context())
	k.ok(err)
	if _, code := k.who(k.auth, key); code == "" {
		t.Error("a signature for another region was taken")
	}
}
