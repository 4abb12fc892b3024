package auth_test

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/auth"
)

const issuer = "https://sync.test"

// newTokens makes what a node has; all of a kit share a store.
func (k *kit) newTokens() *auth.Tokens {
	now := func() time.Time { return k.clock }
	t := &auth.Tokens{Rotation: &tributary.Rotation{Keys: k.store, Sealer: sealer(k.T), Now: now}, Issuer: issuer, Account: "123456789012", Now: now}
	t.Begin()
	return t
}

func (k *kit) someToken() tributary.OpenIDToken {
	return tributary.OpenIDToken{Pool: "us-east-1:2", Identity: "us-east-1:1", Methods: []string{"authenticated", "login.app", "login.app:us-east-1:2:ann"},
		Tags: map[string]string{"team": "red"}, Until: k.clock.Add(10 * time.Minute)}
}

// TestOpenIDToken reads a token by its claims, as anybody can with the
// documents that are served, and as this and other nodes do.
func TestOpenIDToken(t *testing.T) {
	k := newKit(t)
	tokens := k.newTokens()
	token, err := tokens.IssueToken(t.Context(), k.someToken())
	k.ok(err)
	get := func(path string) []byte {
		w := httptest.NewRecorder()
		tokens.ServeHTTP(w, httptest.NewRequest("GET", issuer+path, nil))
		if w.Code != 200 {
			t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	var discovery struct {
		Issuer string
		JWKS   string `json:"jwks_uri"`
	}
	k.ok(json.Unmarshal(get(auth.DiscoveryPath), &discovery, json.MatchCaseInsensitiveNames(true)))
	if discovery.Issuer != issuer || discovery.JWKS != issuer+auth.KeysPath {
		t.Errorf("discovery says %+v", discovery)
	}
	var set jose.JSONWebKeySet
	k.ok(json.Unmarshal(get(auth.KeysPath), &set))
	if strings.Contains(string(get(auth.KeysPath)), `"d"`) {
		t.Fatal("a private key is served")
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS512})
	k.ok(err)
	var claims map[string]any
	k.ok(parsed.Claims(set.Key(parsed.Headers[0].KeyID)[0].Key, &claims))
	got, err := json.Marshal(claims, json.Deterministic(true))
	k.ok(err)
	want := `{"amr":["authenticated","login.app","login.app:us-east-1:2:ann"],"aud":"us-east-1:2","exp":1790000600,` +
		`"https://aws.amazon.com/tags":{"principal_tags":{"team":["red"]}},` +
		`"https://cognito-identity.amazonaws.com/identity-pool-arn":"arn:aws:cognito-identity:us-east-1:123456789012:identitypool/us-east-1:2",` +
		`"iat":1790000000,"iss":"https://sync.test","sub":"us-east-1:1"}`
	if string(got) != want {
		t.Errorf("claims\n%s, want\n%s", got, want)
	}
	for name, node := range map[string]*auth.Tokens{"own": tokens, "another node": k.newTokens()} {
		out, err := node.OpenToken(t.Context(), token)
		k.ok(err)
		if out.Identity != "us-east-1:1" || out.Pool != "us-east-1:2" || out.Tags["team"] != "red" || len(out.Methods) != 3 {
			t.Errorf("%s reads %+v", name, out)
		}
	}
	// No role at all is another thing than no mapping.
	for _, roles := range [][]string{nil, {}, {"arn:a", "arn:b"}} {
		mapped := k.someToken()
		mapped.Roles = roles
		token, err := tokens.IssueToken(t.Context(), mapped)
		k.ok(err)
		out, err := tokens.OpenToken(t.Context(), token)
		k.ok(err)
		if (out.Roles == nil) != (roles == nil) || !slices.Equal(out.Roles, roles) {
			t.Errorf("roles %q come back as %q", roles, out.Roles)
		}
	}
}

func TestOpenIDTokenRefused(t *testing.T) {
	k := newKit(t)
	tokens := k.newTokens()
	token, err := tokens.IssueToken(t.Context(), k.someToken())
	k.ok(err)
	refused := func(what, token, text string) {
		t.Helper()
		_, err := tokens.OpenToken(t.Context(), token)
		if tributary.KindOf(err) != tributary.Denied || !strings.Contains(tributary.Message(err), text) || errors.Is(err, tributary.ErrTokenExpired) != (what == "an old one") {
			t.Errorf("%s: %v", what, err)
		}
	}
	head, rest, _ := strings.Cut(token, ".")
	body, signature, _ := strings.Cut(rest, ".")
	refused("nothing", "", "Not a valid OpenId Connect identity token")
	refused("no signature", head+"."+body+".", "Not a valid")
	refused("another body", head+"."+body[:len(body)-4]+"AAAA."+signature, "Not a valid")
	const none = "eyJhbGciOiJub25lIn0" // {"alg":"none"}
	refused("no algorithm", none+"."+body+".", "Not a valid")
	stranger := newKit(t)
	theirs, err := stranger.newTokens().IssueToken(t.Context(), k.someToken())
	k.ok(err)
	refused("another's key of the same name", theirs, "Not a valid")
	other := k.newTokens()
	other.Issuer = "https://elsewhere.test"
	elsewhere, err := other.IssueToken(t.Context(), k.someToken())
	k.ok(err)
	refused("another issuer", elsewhere, "Not a valid")
	k.clock = k.clock.Add(10*time.Minute - time.Second)
	if _, err := tokens.OpenToken(t.Context(), token); err != nil {
		t.Errorf("a second before the end: %v", err)
	}
	k.clock = k.clock.Add(time.Second)
	refused("an old one", token, "Invalid login token. Token expired: 1790000600 >= 1790000600")
}

// TestOpenIDKeysRotate: a new key is served before it is used, and an old one
// as long as its tokens are good.
func TestOpenIDKeysRotate(t *testing.T) {
	k := newKit(t)
	one, other := k.newTokens(), k.newTokens()
	name := func(token string) string {
		parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS512})
		k.ok(err)
		return parsed.Headers[0].KeyID
	}
	issue := func(from *auth.Tokens) string {
		of := k.someToken()
		of.Until = k.clock.Add(24 * time.Hour)
		token, err := from.IssueToken(t.Context(), of)
		k.ok(err)
		return token
	}
	opens := func(token string) bool { _, err := other.OpenToken(t.Context(), token); return err == nil }
	old := issue(one)
	if !opens(old) || name(issue(other)) != name(old) {
		t.Fatal("two nodes have two keys")
	}
	k.clock = k.clock.Add(31 * 24 * time.Hour)
	k.ok(one.Rotation.Look(t.Context()))
	old = issue(one)
	k.clock = k.clock.Add(2 * time.Minute)
	k.ok(one.Rotation.Look(t.Context()))
	fresh := issue(one)
	if name(fresh) == name(old) {
		t.Fatal("the key was not replaced")
	}
	if !opens(fresh) || !opens(old) {
		t.Error("a token of the new key or of the old is refused")
	}
	k.clock = k.clock.Add(23 * time.Hour)
	k.ok(one.Rotation.Look(t.Context()))
	k.ok(other.Rotation.Look(t.Context()))
	if !opens(old) {
		t.Error("a token of the old key is refused within its life")
	}
	k.clock = k.clock.Add(48 * time.Hour)
	k.ok(one.Rotation.Look(t.Context()))
	keys, err := k.store.SealingKeys(t.Context())
	k.ok(err)
	if len(keys) != 1 {
		t.Errorf("%d keys are kept", len(keys))
	}
}
