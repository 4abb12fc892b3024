package auth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tributary"
	"tributary/auth"
)

// fakeIssuer publishes keys as an OpenID Connect issuer does, and signs tokens.
type fakeIssuer struct {
	name string // as it calls itself

	mu       sync.Mutex
	keys     []jose.JSONWebKey // private ones; the first signs
	discover http.HandlerFunc  // nil: as it should be
	jwks     http.HandlerFunc
	seen     map[string]int // requests by path
}

const (
	discoveryPath = "/.well-known/openid-configuration"
	jwksPath      = "/keys"
)

func newIssuer(name string, keys ...jose.JSONWebKey) *fakeIssuer {
	return &fakeIssuer{name: name, keys: keys, seen: map[string]int{}}
}

// serve starts it on a port of this machine, under whose address it names itself.
func (i *fakeIssuer) serve(t testing.TB) *fakeIssuer {
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	i.name = s.URL
	return i
}

func (i *fakeIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.seen[r.URL.Path]++
	name, keys, special := i.name, slices.Clone(i.keys), i.discover
	if r.URL.Path == jwksPath {
		special = i.jwks
	}
	i.mu.Unlock()
	switch {
	case special != nil:
		special(w, r)
	case r.URL.Path == discoveryPath:
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		write(w, map[string]any{"issuer": name, "jwks_uri": scheme + r.Host + jwksPath})
	case r.URL.Path == jwksPath:
		write(w, publicKeys(keys))
	default:
		http.NotFound(w, r)
	}
}

func publicKeys(keys []jose.JSONWebKey) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return set
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

// rotate puts keys in the place of those that are there.
func (i *fakeIssuer) rotate(keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// answer sets what the two documents are answered with, nil for what they
// should be.
func (i *fakeIssuer) answer(discover, jwks http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.discover, i.jwks = discover, jwks
}

// requests tells how often the documents were asked for.
func (i *fakeIssuer) requests() (discovery, jwks int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.seen[discoveryPath], i.seen[jwksPath]
}

func rsaKey(kid string) jose.JSONWebKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	return newKey(kid, jose.RS256, k, err)
}

func ecKey(kid string) jose.JSONWebKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return newKey(kid, jose.ES256, k, err)
}

func edKey(kid string) jose.JSONWebKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	return newKey(kid, jose.EdDSA, k, err)
}

func newKey(kid string, alg jose.SignatureAlgorithm, k crypto.PrivateKey, err error) jose.JSONWebKey {
	if err != nil {
		panic(err)
	}
	return jose.JSONWebKey{Key: k, KeyID: kid, Algorithm: string(alg), Use: "sig"}
}

// sign makes a compact token, its header with the key's id.
func sign(key jose.JSONWebKey, payload []byte) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}

// claims are those of a good token, with the changes; nil takes a claim away.
func (i *fakeIssuer) claims(now time.Time, changes map[string]any) []byte {
	c := map[string]any{"iss": i.name, "sub": "user-1", "aud": "app-1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return text
}

// loginKit verifies logins of a provider login.test, which an issuer on this
// machine stands for.
type loginKit struct {
	testing.TB
	issuer *fakeIssuer
	logins *auth.Logins
	pool   *tributary.Pool
	log    bytes.Buffer

	mu    sync.Mutex
	clock time.Time
}

const provider = "login.test"

func newLoginKit(t testing.TB, keys ...jose.JSONWebKey) *loginKit {
	t.Helper()
	if len(keys) == 0 {
		keys = []jose.JSONWebKey{ecKey("key-1")}
	}
	k := &loginKit{TB: t, issuer: newIssuer("", keys...).serve(t), clock: time.Unix(1_790_000_000, 0)}
	k.pool = &tributary.Pool{LoginProviders: map[string]string{provider: "app-1"}}
	k.logins = &auth.Logins{
		Endpoints: map[string]string{provider: k.issuer.name},
		Now:       k.now,
		Log:       slog.New(slog.NewTextHandler(&k.log, nil)),
	}
	return k
}

func (k *loginKit) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.clock
}

func (k *loginKit) advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock = k.clock.Add(d)
}

// token makes a token that is good, but for the changes.
func (k *loginKit) token(changes map[string]any) string {
	k.issuer.mu.Lock()
	key := k.issuer.keys[0]
	k.issuer.mu.Unlock()
	return sign(key, k.issuer.claims(k.now(), changes))
}

func (k *loginKit) accepted(provider, token string) tributary.VerifiedLogin {
	k.Helper()
	v, err := k.logins.VerifyLogin(k.Context(), k.pool, provider, token)
	if err != nil {
		k.Fatalf("refused: %v", err)
	}
	if v.Provider != provider {
		k.Fatalf("a login of %q, want %q", v.Provider, provider)
	}
	return v
}

// refused wants the error to be of a kind and its text to be as given. Neither
// the error nor the log may hold any of the token.
func (k *loginKit) refused(kind tributary.Kind, text, provider, token string) {
	k.Helper()
	v, err := k.logins.VerifyLogin(k.Context(), k.pool, provider, token)
	if err == nil || tributary.KindOf(err) != kind || tributary.Message(err) != text {
		k.Errorf("%+v, %v\nwant %s: %s", v, err, kind, text)
		return
	}
	for _, part := range append(strings.Split(token, "."), token) {
		if len(part) > 8 && strings.Contains(err.Error()+k.log.String(), part) {
			k.Errorf("the token is in %v or in the log %s", err, k.log.String())
		}
	}
}
