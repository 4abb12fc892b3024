package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// userOf is an app's user, with what its provider says of it.
type userOf struct {
	pool   string
	logins object
}

type credentialsOut struct {
	IdentityId  string
	Credentials struct{ AccessKeyId, SecretKey, SessionToken string }
}

// signIn signs in as an app does, from an identity id that it has or none, and
// gives who it is then.
func (u *userOf) signIn(t *testing.T, s *server, identity string) guest {
	t.Helper()
	if identity == "" {
		var id struct{ IdentityId string }
		s.unsigned(t, "GetId", object{"IdentityPoolId": u.pool, "Logins": u.logins}, &id)
		identity = id.IdentityId
	}
	var out credentialsOut
	s.unsigned(t, "GetCredentialsForIdentity", object{"IdentityId": identity, "Logins": u.logins}, &out)
	return guest{caller: newCaller(s.url, out.Credentials.AccessKeyId, out.Credentials.SecretKey, out.Credentials.SessionToken), pool: u.pool, identity: out.IdentityId}
}

// ask calls an operation that needs no signature, as SDKs do: without one.
func (s *server) ask(operation string, in object) (answer, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return answer{}, err
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("X-Amz-Target", targets[identityService]+"."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	return s.developer().send(r)
}

// unsigned is ask, which must succeed.
func (s *server) unsigned(t *testing.T, operation string, in object, out any) {
	t.Helper()
	a, err := s.ask(operation, in)
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("%s: %v, status %d: %s", operation, err, a.status, a.body)
	}
	decode(t, a.body, out)
}

// name is a provider's name in Logins and in ARNs: its address.
func (p *provider) name() string {
	u, err := url.Parse(p.issuer)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// signInServer is a server with a pool that takes a provider's users, set up as
// the README says.
func signInServer(t *testing.T, p *provider) (*server, *caller, string) {
	t.Helper()
	s := startServer(t, "--login-endpoints", p.name()+"="+p.issuer)
	dev := s.developer()
	arn := "arn:aws:iam::" + account + ":oidc-provider/" + p.name()
	var pool struct{ IdentityPoolId string }
	dev.call(t, identityService, "CreateIdentityPool", object{"IdentityPoolName": "app", "AllowUnauthenticatedIdentities": true, "OpenIdConnectProviderARNs": []string{arn}}, &pool)
	if r := s.run("pool", "set", "--server", s.url, "--data", s.data, pool.IdentityPoolId, "--openid-clients", arn+"=app"); r.code != 0 || !strings.Contains(r.stdout, "openid client  "+arn+" app") {
		t.Fatalf("pool set: %v", r)
	}
	return s, dev, pool.IdentityPoolId
}

// TestSignIn signs users of a real provider in: the same user is the same
// identity on every device, a guest keeps its data, a second guest is merged,
// keys rotate, and the token of one provider's app is none for another.
func TestSignIn(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s, dev, pool := signInServer(t, p)
	alice := &userOf{pool, object{p.name(): p.idToken(t, "alice")}}
	phone := dev.newGuest(t, pool)
	phone.sync(t, phone.dataset("notes"), replace("a", "from the phone", 0))
	user := alice.signIn(t, s, phone.identity)
	if user.identity != phone.identity {
		t.Errorf("the guest %s becomes %s", phone.identity, user.identity)
	}
	user.sync(t, user.dataset("notes"), replace("b", "signed in", 1))
	if again := alice.signIn(t, s, ""); again.identity != user.identity {
		t.Errorf("on another device she is %s, not %s", again.identity, user.identity)
	}
	bob := &userOf{pool, object{p.name(): p.idToken(t, "bob")}}
	if other := bob.signIn(t, s, ""); other.identity == user.identity {
		t.Error("bob is alice")
	}
	t.Run("Merge", func(t *testing.T) {
		tablet := dev.newGuest(t, pool)
		tablet.sync(t, tablet.dataset("notes"), replace("a", "from the tablet", 0))
		if merged := alice.signIn(t, s, tablet.identity); merged.identity != user.identity {
			t.Fatalf("the tablet becomes %s, not %s", merged.identity, user.identity)
		}
		name := "notes." + tablet.identity
		var l struct{ MergedDatasetNames []string }
		user.rest(t, http.MethodGet, user.dataset("notes").path()+"/records", nil, &l)
		if len(l.MergedDatasetNames) != 1 || l.MergedDatasetNames[0] != name {
			t.Errorf("merged datasets %q, want %s", l.MergedDatasetNames, name)
		}
		if copied := user.list(t, user.dataset(name)); len(copied.Records) != 1 || *copied.Records[0].Value != "from the tablet" || copied.DatasetSyncCount != 1 {
			t.Errorf("the copy is %+v", copied)
		}
		a := tablet.do(t, syncService, http.MethodGet, tablet.dataset("notes").path()+"/records", nil)
		wantFault(t, a, http.StatusForbidden, "NotAuthorizedException", "is disabled")
		user.rest(t, http.MethodDelete, user.dataset(name).path(), nil, nil)
		l.MergedDatasetNames = nil
		user.rest(t, http.MethodGet, user.dataset("notes").path()+"/records", nil, &l)
		if len(l.MergedDatasetNames) != 0 {
			t.Errorf("a deleted copy is reported: %q", l.MergedDatasetNames)
		}
	})
	t.Run("Rotation", func(t *testing.T) {
		p.keys.rotate(t)
		renewed := &userOf{pool, object{p.name(): p.idToken(t, "alice")}}
		// An unknown key is looked for at most once in ten seconds.
		eventually(t, 20*time.Second, func() error {
			a, err := s.ask("GetId", object{"IdentityPoolId": pool, "Logins": renewed.logins})
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("status %d: %s", a.status, a.body)
			}
			return err
		})
		if again := renewed.signIn(t, s, ""); again.identity != user.identity {
			t.Errorf("with a new key she is %s, not %s", again.identity, user.identity)
		}
	})
	t.Run("OpenIdToken", func(t *testing.T) {
		var out struct{ IdentityId, Token string }
		s.unsigned(t, "GetOpenIdToken", object{"IdentityId": user.identity, "Logins": alice.logins}, &out)
		if out.IdentityId != user.identity || strings.Count(out.Token, ".") != 2 {
			t.Errorf("the token is %+v", out)
		}
	})
	t.Run("Refused", func(t *testing.T) {
		token, _ := alice.logins[p.name()].(string)
		for name, c := range map[string]struct {
			logins object
			text   string
		}{
			"forged":            {object{p.name(): token[:len(token)-6] + "AAAAAA"}, "Invalid login token."},
			"another provider":  {object{"accounts.google.com": token}, "Token is not from a supported provider of this identity pool."},
			"nonsense":          {object{p.name(): "x"}, "Invalid login token."},
			"one good, one bad": {object{p.name(): token, "accounts.google.com": token}, "Token is not from a supported provider"},
		} {
			a, err := s.ask("GetId", object{"IdentityPoolId": pool, "Logins": c.logins})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(name)
			wantFault11(t, a, "NotAuthorizedException", c.text)
		}
	})
	t.Run("Roles", func(t *testing.T) { testSignInRoles(t, s, dev, p, alice) })
}

// testSignInRoles: a rule on a claim gives a role, whose policy then holds.
func testSignInRoles(t *testing.T, s *server, dev *caller, p *provider, alice *userOf) {
	const reader, usual = "arn:aws:iam::" + account + ":role/reader", "arn:aws:iam::" + account + ":role/usual"
	dev.call(t, identityService, "SetIdentityPoolRoles", object{
		"IdentityPoolId": alice.pool, "Roles": object{"authenticated": usual, "unauthenticated": usual},
		"RoleMappings": object{p.name(): object{"Type": "Rules", "AmbiguousRoleResolution": "AuthenticatedRole", "RulesConfiguration": object{
			"Rules": []object{{"Claim": "sub", "MatchType": "StartsWith", "Value": "ali", "RoleARN": reader}}}}},
	}, nil)
	policy := filepath.Join(t.TempDir(), "policy.json")
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["cognito-sync:List*","cognito-sync:Describe*"],
		"Resource":"arn:aws:cognito-sync:*:*:identitypool/${cognito-identity.amazonaws.com:aud}/identity/${cognito-identity.amazonaws.com:sub}/*"}]}`
	if err := os.WriteFile(policy, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := s.run("pool", "set", "--server", s.url, "--data", s.data, alice.pool, "--role-policy", reader+"="+policy); r.code != 0 {
		t.Fatalf("pool set: %v", r)
	}
	user := alice.signIn(t, s, "")
	l := user.list(t, user.dataset("notes"))
	a := user.do(t, syncService, http.MethodPost, user.dataset("notes").path(), encode(t, update{l.SyncSessionToken, []patch{replace("c", "x", 0)}}))
	wantFault(t, a, http.StatusForbidden, "AccessDeniedException",
		"User: arn:aws:sts::"+account+":assumed-role/reader/CognitoIdentityCredentials is not authorized to perform: cognito-sync:UpdateRecords on resource: arn:aws:cognito-sync:us-east-1:"+account+":identitypool/"+alice.pool+"/identity/"+user.identity+"/dataset/notes")
	bob := (&userOf{alice.pool, object{p.name(): p.idToken(t, "bob")}}).signIn(t, s, "")
	bob.sync(t, bob.dataset("notes"), replace("a", "the usual role has no policy", 0))
}

// TestSilentProvider: a provider that does not answer holds up nobody for long.
func TestSilentProvider(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-gone }))
	defer silent.Close()
	defer close(gone)
	s, _, pool := signInServer(t, &provider{issuer: silent.URL})
	const form = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJhIiwic3ViIjoiYiIsImF1ZCI6ImFwcCIsImV4cCI6NDAwMDAwMDAwMH0.AAAA"
	began := time.Now()
	name := strings.TrimPrefix(silent.URL, "http://")
	a, err := s.ask("GetId", object{"IdentityPoolId": pool, "Logins": object{name: form}})
	if took := time.Since(began); err != nil || took > 15*time.Second {
		t.Fatalf("answered after %v: %v", took, err)
	}
	wantFault11(t, a, "ExternalServiceException", "")
}
