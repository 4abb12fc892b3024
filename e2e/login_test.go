package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
)

// provider is an OpenID Connect provider on this machine, the example of
// zitadel/oidc. Its users alice and bob sign in to the app by the code flow.
type provider struct {
	issuer string
	app    oauth2.Config
	keys   *rotatingKeys
}

const providerPassword = "sesame"

func newProvider(t *testing.T) *provider {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	done := server.URL + "/done"
	clients := map[string]*storage.Client{"app": storage.WebClient("app", "secret", done)}
	p := &provider{issuer: server.URL, keys: &rotatingKeys{Storage: storage.NewStorageWithClients(providerUsers(t), clients)}}
	p.keys.rotate(t)
	handler = exampleop.SetupServer(p.issuer, p.keys, nil, false)
	discovered, err := oidc.NewProvider(t.Context(), p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	p.app = oauth2.Config{ClientID: "app", ClientSecret: "secret", Endpoint: discovered.Endpoint(), RedirectURL: done, Scopes: []string{oidc.ScopeOpenID, "email"}}
	return p
}

func providerUsers(t *testing.T) storage.UserStore {
	t.Helper()
	users := map[string]map[string]any{}
	for _, name := range []string{"alice", "bob"} {
		users[name] = map[string]any{"ID": name, "Username": name, "Password": providerPassword, "Email": name + "@example.org", "EmailVerified": true}
	}
	text, err := json.Marshal(users)
	path := filepath.Join(t.TempDir(), "users.json")
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := storage.StoreFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// idToken signs a user in as a browser does, and gives the app's id token.
func (p *provider) idToken(t *testing.T, user string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/done" { // the app takes over
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page := visit(t, func() (*http.Response, error) { return browser.Get(p.app.AuthCodeURL("state")) })
	form := url.Values{"username": {user}, "password": {providerPassword}, "id": {page.Request.URL.Query().Get("authRequestID")}}
	page = visit(t, func() (*http.Response, error) { return browser.PostForm(p.issuer+"/login/username", form) })
	back, err := page.Location()
	if err != nil {
		t.Fatalf("the sign-in ends with %s at %s: %v", page.Status, page.Request.URL, err)
	}
	token, err := p.app.Exchange(t.Context(), back.Query().Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := token.Extra("id_token").(string)
	return text
}

func visit(t *testing.T, get func() (*http.Response, error)) *http.Response {
	t.Helper()
	page, err := get()
	if err != nil {
		t.Fatal(err)
	}
	if err := page.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return page
}

// rotatingKeys is the example's storage with keys that can be replaced, which
// its own cannot.
type rotatingKeys struct {
	*storage.Storage

	mu   sync.Mutex
	keys []providerKey // the last signs
}

type providerKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k providerKey) ID() string                                  { return k.id }
func (k providerKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k providerKey) Key() any                                    { return k.key }

type publishedKey struct{ providerKey }

func (k publishedKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publishedKey) Use() string                        { return "sig" }
func (k publishedKey) Key() any                           { return &k.key.PublicKey }

// rotate adds a key, with which tokens are signed from now on.
func (r *rotatingKeys) rotate(t *testing.T) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, providerKey{fmt.Sprintf("key-%d", len(r.keys)+1), key})
}

// retire withdraws all keys but the last.
func (r *rotatingKeys) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = slices.Clone(r.keys[len(r.keys)-1:])
}

// SigningKey implements op.Storage.
func (r *rotatingKeys) SigningKey(context.Context) (op.SigningKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[len(r.keys)-1], nil
}

// KeySet implements op.Storage.
func (r *rotatingKeys) KeySet(context.Context) ([]op.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []op.Key
	for _, k := range r.keys {
		out = append(out, publishedKey{k})
	}
	return out, nil
}

// TestProvider is the provider itself: its tokens are good by its documents,
// also when its keys are replaced.
func TestProvider(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	verify := func(token string) (*oidc.IDToken, error) {
		discovered, err := oidc.NewProvider(t.Context(), p.issuer)
		if err != nil {
			t.Fatal(err)
		}
		return discovered.Verifier(&oidc.Config{ClientID: "app"}).Verify(t.Context(), token)
	}
	old := p.idToken(t, "alice")
	if token, err := verify(old); err != nil || token.Subject != "alice" {
		t.Fatalf("%+v, %v", token, err)
	}
	p.keys.rotate(t)
	if token, err := verify(p.idToken(t, "bob")); err != nil || token.Subject != "bob" {
		t.Errorf("%+v, %v", token, err)
	}
	if _, err := verify(old); err != nil {
		t.Errorf("a key that is still published: %v", err)
	}
	p.keys.retire()
	if _, err := verify(old); err == nil {
		t.Error("a token of a key that is withdrawn is good")
	}
}
