package auth_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tributary"
	"tributary/auth"
)

var _ tributary.Logins = (*auth.Logins)(nil)

const (
	malformed    = "Invalid login token. Not a valid OpenId Connect identity token."
	unverified   = "Invalid login token. Couldn't verify signed token."
	unknownLogin = "Token is not from a supported provider of this identity pool."
)

func TestOpenIDTokens(t *testing.T) {
	for name, key := range map[string]jose.JSONWebKey{"RSA": rsaKey("k"), "EC": ecKey("k"), "Ed25519": edKey("k"), "PS512": ps512(rsaKey("k"))} {
		t.Run(name, func(t *testing.T) {
			k := newLoginKit(t, key)
			v := k.accepted(provider, k.token(map[string]any{"email": "a@b.test", "level": 3, "admin": true, "groups": []string{"x", "y"}}))
			want := map[string]any{"iss": k.issuer.name, "sub": "user-1", "aud": "app-1", "iat": 1.79e9, "exp": 1.79e9 + 3600,
				"email": "a@b.test", "level": 3.0, "admin": true, "groups": []any{"x", "y"}}
			if v.User != "user-1" || !reflect.DeepEqual(v.Claims, want) {
				t.Errorf("%+v, want the claims %v", v, want)
			}
			k.accepted(provider, k.token(nil))
			if d, j := k.issuer.requests(); d != 1 || j != 1 {
				t.Errorf("%d and %d requests for two logins", d, j)
			}
		})
	}
}

func ps512(k jose.JSONWebKey) jose.JSONWebKey {
	k.Algorithm = string(jose.PS512)
	return k
}

// TestOpenIDTokensThatPass is the tokens that are odd and good.
func TestOpenIDTokensThatPass(t *testing.T) {
	k := newLoginKit(t)
	k.pool.LoginProviders[provider] = " app-1;app-2 , app-3"
	now := k.now()
	for name, changes := range map[string]map[string]any{
		"of the second app":            {"aud": "app-2"},
		"of the third app":             {"aud": "app-3"},
		"audiences in a list":          {"aud": []string{"app-1"}},
		"several apps of ours":         {"aud": []string{"app-1", "app-3"}},
		"asked for by ours":            {"aud": []string{"project", "app-2"}, "azp": "app-2"},
		"asked for by an Android app":  {"azp": "android"},
		"a second before its end":      {"exp": now.Add(time.Second).Unix()},
		"in its last moment":           {"exp": now.Unix()},
		"times with fractions":         {"exp": 1.8e9 + .5, "iat": 1.79e9 - .5},
		"from a clock that is ahead":   {"iat": now.Add(4 * time.Minute).Unix(), "nbf": now.Add(4 * time.Minute).Unix()},
		"without iat":                  {"iat": nil},
		"a nonce, which nobody checks": {"nonce": "n"},
		"token_use is a user pool's":   {"token_use": "other"},
		"nested claims":                {"address": map[string]any{"a": []any{1, nil}}},
		"a long name":                  {"sub": strings.Repeat("ü", 255)},
	} {
		t.Run(name, func(t *testing.T) {
			k.TB = t
			k.accepted(provider, k.token(changes))
		})
	}
}

func TestOpenIDTokensRefused(t *testing.T) {
	k := newLoginKit(t)
	now := k.now()
	missing := func(claim string) string { return "Invalid login token. Missing a required claim: " + claim }
	for name, c := range map[string]struct {
		changes map[string]any
		text    string
	}{
		"another app's":        {map[string]any{"aud": "app-2"}, unknownLogin},
		"an empty audience":    {map[string]any{"aud": ""}, missing("aud")},
		"no audience":          {map[string]any{"aud": nil}, missing("aud")},
		"audiences, one bad":   {map[string]any{"aud": []any{"app-1", 7}}, "Invalid login token. It is not valid yet, or its claims are malformed."},
		"for strangers too":    {map[string]any{"aud": []string{"app-1", "x"}}, unknownLogin},
		"asked for by another": {map[string]any{"aud": []string{"app-1", "x"}, "azp": "x"}, unknownLogin},
		"only asked for by us": {map[string]any{"aud": []string{"x"}, "azp": "app-1"}, unknownLogin},
		"no user":              {map[string]any{"sub": nil}, missing("sub")},
		"an empty user":        {map[string]any{"sub": ""}, missing("sub")},
		"a number as user":     {map[string]any{"sub": 1}, "Invalid login token. It is not valid yet, or its claims are malformed."},
		"a long user":          {map[string]any{"sub": strings.Repeat("x", 256)}, "Invalid login token. The user's name is empty, longer than 255 characters or has control characters."},
		"a user with NUL":      {map[string]any{"sub": "a\x00b"}, "Invalid login token. The user's name is empty, longer than 255 characters or has control characters."},
		"no end":               {map[string]any{"exp": nil}, missing("exp")},
		"expired":              {map[string]any{"exp": now.Unix() - 1}, "Invalid login token. Token expired: 1790000000 >= 1789999999"},
		"expired long ago":     {map[string]any{"exp": 0}, "Invalid login token. Token expired: 1790000000 >= 0"},
		"not before later":     {map[string]any{"nbf": now.Add(6 * time.Minute).Unix()}, "Invalid login token. It is not valid yet, or its claims are malformed."},
		"issued later":         {map[string]any{"iat": now.Add(6 * time.Minute).Unix()}, "Invalid login token. It is not valid yet."},
		"another issuer":       {map[string]any{"iss": "https://login.test"}, "Invalid login token. Issuer doesn't match providerName"},
		"no issuer":            {map[string]any{"iss": nil}, missing("iss")},
		"a list of issuers":    {map[string]any{"iss": []string{k.issuer.name}}, "Invalid login token. It is not valid yet, or its claims are malformed."},
	} {
		t.Run(name, func(t *testing.T) {
			k.TB = t
			k.refused(tributary.Denied, c.text, provider, k.token(c.changes))
		})
	}
}

// TestForgeries is tokens that the issuer has not signed.
func TestForgeries(t *testing.T) {
	key := rsaKey("key-1")
	k := newLoginKit(t, key)
	claims := k.issuer.claims(k.now(), nil)
	good := k.token(nil)
	parts := strings.Split(good, ".")
	raw := base64.RawURLEncoding.EncodeToString
	public := key.Public()
	own := ecKey("key-1")
	embedded, err := json.Marshal(own.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ token, text string }{
		"no algorithm":            {raw([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", malformed},
		"no algorithm, signed":    {raw([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2], malformed},
		"the public key's secret": {sign(shared(public, x509.MarshalPKCS1PublicKey(public.Key.(*rsa.PublicKey))), claims), malformed},
		"the public key as PEM":   {sign(shared(public, publicPEM(t, public)), claims), malformed},
		"a stranger's key":        {sign(rsaKey("key-1"), claims), unverified},
		"another algorithm's":     {sign(ecKey("key-1"), claims), unverified},
		"the key's, not its own":  {sign(ps512(key), claims), unverified},
		"an unknown key":          {sign(rsaKey("key-2"), claims), unverified},
		"a key of its own":        {raw([]byte(`{"alg":"ES256","kid":"key-1","jwk":`+string(embedded)+`}`)) + "." + parts[1] + "." + parts[2], unverified},
		"a key elsewhere":         {raw([]byte(`{"alg":"RS256","kid":"key-1","jku":"`+k.issuer.name+`/evil"}`)) + "." + parts[1] + "." + parts[2], unverified},
		"a critical extension":    {raw([]byte(`{"alg":"RS256","kid":"key-1","crit":["exp"],"exp":1}`)) + "." + parts[1] + "." + parts[2], unverified},
		"other claims":            {parts[0] + "." + raw(k.issuer.claims(k.now(), map[string]any{"sub": "admin"})) + "." + parts[2], unverified},
		"no signature":            {parts[0] + "." + parts[1] + ".", unverified},
		"no payload":              {parts[0] + ".." + parts[2], unverified},
		"four parts":              {good + ".", malformed},
		"two parts":               {parts[0] + "." + parts[1], malformed},
		"spaces":                  {good[:20] + " " + good[20:], malformed},
		"JSON":                    {fmt.Sprintf(`{"protected":"%s","payload":"%s","signature":"%s","x":".."}`, parts[0], parts[1], parts[2]), malformed},
		"no token at all":         {"hello", malformed},
		"not base64":              {"a.b.c", malformed},
		"twice a claim":           {sign(key, []byte(strings.Replace(string(claims), "{", `{"sub":"admin",`, 1))), "Invalid login token. Its claims are malformed."},
		"broken UTF-8":            {sign(key, []byte(strings.Replace(string(claims), "user-1", "\xff", 1))), "Invalid login token. Its claims are malformed."},
		"claims in capitals":      {sign(key, []byte(strings.Replace(string(claims), `"sub"`, `"SUB"`, 1))), "Invalid login token. Missing a required claim: sub"},
		"no claims":               {sign(key, []byte(`null`)), "Invalid login token. Missing a required claim: exp"},
		"no JSON":                 {sign(key, []byte(`x`)), "Invalid login token. It is not valid yet, or its claims are malformed."},
	} {
		t.Run(name, func(t *testing.T) {
			k.TB = t
			k.advance(time.Minute)
			k.refused(tributary.Denied, c.text, provider, c.token)
		})
	}
	k.TB = t
	k.accepted(provider, good)
	if k.issuer.seen["/evil"] != 0 {
		t.Error("a token chose where its key is")
	}
}

// shared makes a key with a secret that is public.
func shared(k jose.JSONWebKey, secret []byte) jose.JSONWebKey {
	return jose.JSONWebKey{Key: secret, KeyID: k.KeyID, Algorithm: string(jose.HS256)}
}

func publicPEM(t *testing.T, k jose.JSONWebKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(k.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestTokenLength(t *testing.T) {
	k := newLoginKit(t)
	const text = "1 validation error detected: Value at 'logins' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length between 1 and 50000]"
	k.refused(tributary.Invalid, text, provider, "")
	k.refused(tributary.Invalid, text, provider, strings.Repeat("x", 50_001))
	k.refused(tributary.Denied, malformed, provider, strings.Repeat("ü", 50_000))
	k.accepted(provider, k.token(map[string]any{"blob": strings.Repeat("x", 36_000)}))
}

// TestProviders is which providers a pool takes, and what it says of others.
func TestProviders(t *testing.T) {
	const (
		userPool = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC"
		own      = "id.example.org/realms/a"
		saml     = "arn:aws:iam::123456789012:saml-provider/corp"
		arn      = "arn:aws:iam::123456789012:oidc-provider/"
	)
	k := newLoginKit(t)
	for _, p := range []string{userPool, own, "appleid.apple.com", "accounts.google.com", "empty.test"} {
		k.logins.Endpoints[p] = k.issuer.name + "/" // a slash makes no difference
	}
	k.pool = &tributary.Pool{
		LoginProviders: map[string]string{"appleid.apple.com": "app-1", "accounts.google.com": "app-0", "api.twitter.com": "a;b", "www.digits.com": "a",
			"empty.test": " ;", "nodot": "app-1", "user@host.test": "app-1", "host.test/?q": "app-1", "host.test/#f": "app-1", "": "app-1"},
		CognitoProviders: []tributary.CognitoProvider{{Name: userPool, ClientID: "app-0"}, {Name: userPool, ClientID: "app-1"}, {Name: userPool}, {Name: "cognito-idp.none"}},
		OpenIDProviders:  []string{arn + own, arn + "other.test", arn + "accounts.google.com", "nonsense"},
		OpenIDClients:    map[string][]string{arn + own: {"app-0", "app-1"}, arn + "accounts.google.com": {"app-1"}},
		SAMLProviders:    []string{saml},
	}
	for _, p := range []string{userPool, own, "appleid.apple.com", "accounts.google.com"} {
		k.issuer.name = "https://" + p // each is asked at the same address
		k.accepted(p, k.token(nil))
	}
	k.issuer.name = "https://" + userPool
	k.accepted(userPool, k.token(map[string]any{"token_use": "id"}))
	k.refused(tributary.Denied, "Invalid login token. Not an id token of the user pool.", userPool, k.token(map[string]any{"token_use": "access"}))
	for _, aud := range []any{"app-9", []string{""}} {
		k.refused(tributary.Denied, unknownLogin, userPool, k.token(map[string]any{"aud": aud}))
	}
	k.issuer.name = "https://accounts.google.com"
	k.accepted("accounts.google.com", k.token(map[string]any{"aud": "app-0"}))
	noApp := "The identity pool takes tokens of %s for no app: configure the client ids (audiences) that its tokens may be for."
	for p, text := range map[string]string{
		"cognito-idp.none": fmt.Sprintf(noApp, "cognito-idp.none"),
		"empty.test":       fmt.Sprintf(noApp, "empty.test"),
		"other.test":       fmt.Sprintf(noApp, "other.test"),
		saml:               "SAML providers are not supported by this server: " + saml + ".",
		"api.twitter.com":  "Login provider api.twitter.com is not supported by this server.",
		"www.digits.com":   "Login provider www.digits.com is not supported by this server.",
	} {
		k.refused(tributary.Denied, text, p, k.token(nil))
	}
	for _, p := range []string{"", "nodot", "user@host.test", "host.test/?q", "host.test/#f"} {
		k.refused(tributary.Denied, "Login provider "+p+" is no host with a dot in its name and a path at most: its address must be configured (--login-endpoints).", p, k.token(nil))
	}
	k.logins.Endpoints["nodot"], k.issuer.name = k.logins.Endpoints[own], "https://nodot"
	k.accepted("nodot", k.token(nil))
	for _, p := range []string{provider, "graph.facebook.com",
		"www.amazon.com", "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other", "ACCOUNTS.google.com", "id.example.org", arn + own} {
		k.refused(tributary.Denied, unknownLogin, p, k.token(nil))
	}
}

// TestTwoNames lets the issuers that use two names do so, and no other.
func TestTwoNames(t *testing.T) {
	for p, c := range map[string]struct{ stated, claimed, other string }{
		"accounts.google.com": {"https://accounts.google.com", "accounts.google.com", "http://accounts.google.com"},
		"graph.facebook.com":  {"https://www.facebook.com", "https://limited.facebook.com", "https://facebook.com"},
		provider:              {"https://login.test/", "https://login.test/", "https://login.test"},
	} {
		k := newLoginKit(t)
		k.logins.Endpoints[p], k.pool.LoginProviders[p] = k.logins.Endpoints[provider], "app-1"
		k.issuer.name = c.stated
		k.accepted(p, k.token(nil))
		k.accepted(p, k.token(map[string]any{"iss": c.claimed}))
		for _, wrong := range []string{c.other, "", strings.TrimPrefix(c.claimed, "https:")} {
			if wrong == c.claimed {
				continue
			}
			text := "Invalid login token. Issuer doesn't match providerName"
			if wrong == "" {
				text = "Invalid login token. Missing a required claim: iss"
			}
			k.refused(tributary.Denied, text, p, k.token(map[string]any{"iss": wrong}))
		}
	}
}

// TestEndpointsTrustNobodyElse: an endpoint changes where a provider is asked, not
// who it is. The issuer that is found there is the provider's own or the endpoint.
func TestEndpointsTrustNobodyElse(t *testing.T) {
	for _, stated := range []string{"https://evil.test", "https://login.test.evil.test", "https://login.test/realm", "http://login.test", "https://other.test", "https://accounts.google.com"} {
		k := newLoginKit(t)
		k.issuer.name = stated
		k.refused(tributary.Trigger, "Login provider login.test answers with what cannot be understood.", provider, k.token(nil))
		if said := k.log.String(); !strings.Contains(said, stated) || !strings.Contains(said, "must be https://login.test, or this URL") {
			t.Errorf("%s: the log says %s", stated, said)
		}
	}
	// The address itself is the name of one provider alone.
	k := newLoginKit(t)
	k.accepted(provider, k.token(nil))
	k = newLoginKit(t)
	k.logins.Endpoints["other.test"] = k.logins.Endpoints[provider] + "/"
	k.refused(tributary.Trigger, "Login provider login.test answers with what cannot be understood.", provider, k.token(nil))
	// Two providers at one address: each has its own name, whoever was first.
	const other = "other.test"
	for _, first := range []string{provider, other} {
		k := newLoginKit(t)
		k.logins.Endpoints[other], k.pool.LoginProviders[other] = k.logins.Endpoints[provider], "app-1"
		k.issuer.name = "https://login.test"
		token := k.token(nil)
		if first == provider {
			k.accepted(provider, token)
		}
		k.refused(tributary.Trigger, "Login provider other.test answers with what cannot be understood.", other, token)
		k.accepted(provider, token)
	}
}
