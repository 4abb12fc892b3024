package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tributary"
	"tributary/auth"
)

func TestRotation(t *testing.T) {
	first, second, third := rsaKey("1"), ecKey("2"), ecKey("3")
	k := newLoginKit(t, first)
	old := k.token(nil)
	k.accepted(provider, old)

	k.advance(time.Second)
	k.issuer.rotate(second, first)
	k.accepted(provider, k.token(nil)) // its key is fetched
	k.accepted(provider, old)

	// A key that is withdrawn is good until the documents are an hour old.
	k.advance(time.Minute)
	k.issuer.rotate(second)
	k.accepted(provider, old)
	k.advance(54 * time.Minute)
	k.accepted(provider, k.token(nil))
	k.advance(6 * time.Minute)
	k.refused(tributary.Denied, unverified, provider, sign(first, k.issuer.claims(k.now(), nil)))
	k.accepted(provider, k.token(nil))

	// A new key under an old name is fetched as well.
	k.advance(time.Minute)
	third.KeyID = second.KeyID
	k.issuer.rotate(third)
	k.accepted(provider, k.token(nil))
}

// TestForgedKeysDoNotHammer wants one look at the issuer in ten seconds,
// however many tokens of unknown keys come.
func TestForgedKeysDoNotHammer(t *testing.T) {
	k := newLoginKit(t)
	k.accepted(provider, k.token(nil))
	requests := func(want int) {
		t.Helper()
		if d, j := k.issuer.requests(); d != want || j != want {
			t.Errorf("%d and %d requests, want %d", d, j, want)
		}
	}
	forge := func() {
		t.Helper()
		for i := range 20 {
			k.refused(tributary.Denied, unverified, provider, sign(ecKey(fmt.Sprint("forged", i)), k.issuer.claims(k.now(), nil)))
		}
	}
	forge()
	requests(1) // the documents are of this very moment
	k.advance(time.Second)
	forge()
	requests(2)
	k.advance(9 * time.Second)
	forge()
	requests(2)
	k.advance(time.Second)
	k.issuer.rotate(ecKey("new"))
	k.accepted(provider, k.token(nil))
	requests(3)
	forge()
	k.accepted(provider, k.token(nil))
	requests(3)
}

// TestFirstTokenIsForged wants no second look at documents that were read for
// the same token.
func TestFirstTokenIsForged(t *testing.T) {
	k := newLoginKit(t)
	k.refused(tributary.Denied, unverified, provider, sign(ecKey("x"), k.issuer.claims(k.now(), nil)))
	k.refused(tributary.Denied, malformed, provider, "x")
	if d, j := k.issuer.requests(); d != 1 || j != 1 {
		t.Errorf("%d and %d requests", d, j)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
}

func redirect(to func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to(r), http.StatusFound) }
}

// TestOutages is issuers that cannot be asked: the caller may try again.
func TestOutages(t *testing.T) {
	const nonsense = "answers with what cannot be understood"
	huge := text(strings.Repeat(" ", 1<<20) + "{}")
	for name, c := range map[string]struct {
		discover, jwks http.HandlerFunc
		what           string
	}{
		"down":               {status(503), nil, "answers with status 503"},
		"not an issuer":      {status(404), nil, "answers with status 404"},
		"keys are down":      {nil, status(500), "answers with status 500"},
		"a huge document":    {huge, nil, "answers with more than 1048576 bytes"},
		"huge keys":          {nil, huge, "answers with more than 1048576 bytes"},
		"no JSON":            {text("<html>"), nil, nonsense},
		"no issuer in it":    {text(`{"jwks_uri":"http://x.test/keys"}`), nil, nonsense},
		"no keys in it":      {text(`{"issuer":"https://login.test"}`), nil, nonsense},
		"keys in a file":     {text(`{"issuer":"https://login.test","jwks_uri":"file:///etc/passwd"}`), nil, nonsense},
		"keys at no address": {text(`{"issuer":"https://login.test","jwks_uri":"http://\u007f"}`), nil, nonsense},
		"two issuers":        {text(`{"issuer":"a","issuer":"b"}`), nil, nonsense},
		"no keys":            {nil, text(`{"keys":[]}`), nonsense},
		"keys are a text":    {nil, text(`{"keys":"x"}`), nonsense},
		"keys that are none": {nil, text(`{"keys":[1,null,{},{"kty":"oct","k":"AAAA"},{"kty":"OKP","crv":"X25519","x":"AAAA"}]}`), nonsense},
		"a private key": {nil, func(w http.ResponseWriter, _ *http.Request) {
			write(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{ecKey("x")}})
		}, nonsense},
		"keys for encryption": {nil, func(w http.ResponseWriter, _ *http.Request) {
			k := ecKey("x")
			k.Use = "enc"
			write(w, publicKeys([]jose.JSONWebKey{k}))
		}, nonsense},
		"a loop": {redirect(func(r *http.Request) string { return r.URL.Path }), nil, "cannot be reached"},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = w.Write([]byte("{"))
		}, nil, "cannot be reached"},
		"slow": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil, "does not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newLoginKit(t)
			if name == "slow" {
				k.logins.Client = &http.Client{Timeout: 50 * time.Millisecond}
			}
			k.issuer.answer(c.discover, c.jwks)
			k.refused(tributary.Trigger, "Login provider login.test "+c.what+".", provider, k.token(nil))
			asked, _ := k.issuer.requests()

			// The failure is remembered for ten seconds, then the issuer is asked again.
			k.issuer.answer(nil, nil)
			k.advance(9 * time.Second)
			k.refused(tributary.Trigger, "Login provider login.test "+c.what+".", provider, k.token(nil))
			if again, _ := k.issuer.requests(); again != asked {
				t.Errorf("asked again after 9 s")
			}
			k.advance(time.Second)
			k.accepted(provider, k.token(nil))
		})
	}
}

func TestUnreachable(t *testing.T) {
	k := newLoginKit(t)
	token := k.token(nil)
	s := httptest.NewServer(nil)
	s.Close()
	k.logins.Endpoints[provider] = s.URL
	k.refused(tributary.Trigger, "Login provider login.test cannot be reached.", provider, token)
}

// TestFailuresAreLogged: a provider that cannot be asked leaves one line in ten
// seconds, whatever the number of logins; another provider has its own.
func TestFailuresAreLogged(t *testing.T) {
	k, _ := newGraphKit(t, nil)
	s := httptest.NewServer(nil)
	s.Close()
	k.logins.Endpoints[provider], k.logins.Endpoints["graph.facebook.com"] = s.URL, s.URL
	k.pool.LoginProviders[provider] = "app-1"
	token := k.token(nil)
	lines := func(want int) {
		t.Helper()
		if n := strings.Count(k.log.String(), "level=WARN"); n != want {
			t.Errorf("%d lines, want %d: %s", n, want, k.log.String())
		}
	}
	both := func() {
		t.Helper()
		for range 5 {
			k.refused(tributary.Trigger, "Login provider login.test cannot be reached.", provider, token)
			k.refused(tributary.Trigger, "Login provider graph.facebook.com cannot be reached.", "graph.facebook.com", userToken)
		}
	}
	both()
	lines(2)
	k.advance(9 * time.Second)
	both()
	lines(2)
	k.advance(time.Second)
	both()
	lines(4)
	for _, want := range []string{`msg="a login provider cannot be asked" provider=login.test err="cannot be reached: dial tcp`, "provider=graph.facebook.com", "connection refused"} {
		if !strings.Contains(k.log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, k.log.String())
		}
	}
	// Who goes before the answer says nothing of the provider.
	k.advance(time.Minute)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := k.logins.VerifyLogin(gone, k.pool, "graph.facebook.com", userToken); err == nil {
		t.Error("taken")
	}
	// What is wrong with a token is no failure of the provider.
	k.refused(tributary.Denied, malformed, provider, "x")
	lines(4)
}

// TestNoQueriesInTheLog: what a redirect of the provider says in a query stays
// between the two.
func TestNoQueriesInTheLog(t *testing.T) {
	for _, to := range []string{"http://127.0.0.1:1/where?session=secret", "http://%zz/?session=secret", "/.well-known/openid-configuration?session=secret"} {
		k := newLoginKit(t)
		k.issuer.answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}, nil)
		k.refused(tributary.Trigger, "Login provider login.test cannot be reached.", provider, k.token(nil))
		if said := k.log.String(); !strings.Contains(said, "cannot be reached: ") || strings.Contains(said, "secret") {
			t.Errorf("%s: the log says %s", to, said)
		}
	}
}

// TestRedirects follows a few: some issuers redirect to where their documents are.
func TestRedirects(t *testing.T) {
	k := newLoginKit(t)
	elsewhere := newIssuer(k.issuer.name, k.issuer.keys...)
	s := httptest.NewServer(elsewhere)
	defer s.Close()
	k.issuer.answer(redirect(func(r *http.Request) string { return s.URL + r.URL.Path }), nil)
	k.accepted(provider, k.token(nil))
}

// TestPublishedKeysThatAreUnknown passes over keys that cannot be used, and
// takes others, as RFC 7517 demands.
func TestPublishedKeysThatAreUnknown(t *testing.T) {
	key := ecKey("key-1")
	key.Use, key.Algorithm = "", ""
	k := newLoginKit(t)
	good, err := key.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	k.issuer.answer(nil, text(`{"keys":[{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},{"kty":"new"},`+string(good)+`],"more":1}`))
	key.Algorithm = string(jose.ES256)
	k.accepted(provider, sign(key, k.issuer.claims(k.now(), nil)))
	key.KeyID = "" // a token that names no key may be of any
	k.accepted(provider, sign(key, k.issuer.claims(k.now(), nil)))
}

// TestStaleKeysStay wants the keys in hand to verify while the issuer is down.
func TestStaleKeysStay(t *testing.T) {
	k := newLoginKit(t)
	k.accepted(provider, k.token(nil))
	k.issuer.answer(status(500), nil)
	for n := range 3 {
		k.advance(time.Hour)
		k.accepted(provider, k.token(nil))
		if got := strings.Count(k.log.String(), "level=WARN"); got != n+1 {
			t.Errorf("%d lines after %d failures: %s", got, n+1, k.log.String())
		}
	}
	if d, _ := k.issuer.requests(); d != 4 {
		t.Errorf("%d looks at the issuer in three hours, want 4", d)
	}
	if !strings.Contains(k.log.String(), "the old ones stay in use") || !strings.Contains(k.log.String(), "status 500") {
		t.Errorf("the log says %q", k.log.String())
	}
	k.accepted(provider, k.token(nil))
	if d, _ := k.issuer.requests(); d != 4 {
		t.Errorf("%d looks, one of them too early", d)
	}
	// A key that is not in hand may be good: nobody can tell now, and the issuer
	// is asked no more often than in good times.
	for range 3 {
		k.refused(tributary.Trigger, "Login provider login.test answers with status 500.", provider, sign(ecKey("new"), k.issuer.claims(k.now(), nil)))
	}
	if d, _ := k.issuer.requests(); d != 5 {
		t.Errorf("%d looks for a key, want 5", d)
	}
	k.issuer.answer(nil, nil)
	k.advance(10 * time.Second)
	k.accepted(provider, k.token(nil))
	if d, _ := k.issuer.requests(); d != 6 {
		t.Errorf("%d looks, want 6", d)
	}
	// A forged key while the issuer is down does not bring the next look forward.
	k.issuer.answer(status(500), nil)
	k.advance(time.Second)
	k.refused(tributary.Trigger, "Login provider login.test answers with status 500.", provider, sign(ecKey("new"), k.issuer.claims(k.now(), nil)))
	k.advance(30 * time.Minute)
	k.accepted(provider, k.token(nil))
	if d, _ := k.issuer.requests(); d != 7 {
		t.Errorf("%d looks, want 7", d)
	}
}

// TestHTTPS is the way without Endpoints: by https, to the host that the login
// names, which must call itself so.
func TestHTTPS(t *testing.T) {
	const host = "example.com"
	i := newIssuer("https://"+host+"/tenant", ecKey("1"))
	i.seen = map[string]int{}
	s := httptest.NewTLSServer(http.StripPrefix("/tenant", i))
	defer s.Close()
	client := s.Client()
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
	// The keys are not below the path.
	i.answer(func(w http.ResponseWriter, _ *http.Request) {
		write(w, map[string]any{"issuer": i.name, "jwks_uri": "https://" + host + "/tenant" + jwksPath})
	}, nil)
	k := newLoginKit(t)
	k.pool.LoginProviders = map[string]string{host + "/tenant": "app-1", host: "app-1"}
	k.logins = &auth.Logins{Client: client, Now: k.now}
	k.issuer = i
	k.accepted(host+"/tenant", k.token(nil))
	if client.CheckRedirect != nil {
		t.Error("the caller's client was changed")
	}

	renew := func() { k.logins = &auth.Logins{Client: client, Now: k.now} }
	refused := func(what string) {
		t.Helper()
		renew()
		k.refused(tributary.Trigger, "Login provider example.com/tenant "+what+".", host+"/tenant", k.token(nil))
	}
	stated := func(issuer, jwks string) {
		i.answer(func(w http.ResponseWriter, _ *http.Request) {
			write(w, map[string]any{"issuer": issuer, "jwks_uri": jwks})
		}, nil)
	}
	good := "https://" + host + "/tenant" + jwksPath
	stated(i.name+"/", good) // as Auth0 does
	renew()
	k.accepted(host+"/tenant", k.token(map[string]any{"iss": i.name + "/"}))
	const nonsense = "answers with what cannot be understood"
	for _, wrong := range []string{"https://" + host, "http://" + host + "/tenant", "https://evil.test", ""} {
		stated(wrong, good)
		refused(nonsense)
	}
	stated(i.name, "http://"+host+"/tenant"+jwksPath)
	refused(nonsense)
	i.answer(redirect(func(r *http.Request) string { return "http://" + host + "/tenant" + discoveryPath }), nil)
	refused("cannot be reached")
}

// gate lets requests through one by one, in a bubble of testing/synctest.
type gate struct {
	http.Handler
	open    chan struct{}
	waiting atomic.Int64
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	select {
	case <-g.open:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Result(), nil
}

// inBubble runs a test on fake time, the issuer behind a gate.
func inBubble(t *testing.T, test func(t *testing.T, k *loginKit, g *gate, verify func(ctx context.Context) error)) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer("http://issuer.test", ecKey("1"))
		g := &gate{Handler: i, open: make(chan struct{})}
		k := &loginKit{TB: t, issuer: i, pool: &tributary.Pool{LoginProviders: map[string]string{provider: "app-1"}}}
		k.logins = &auth.Logins{Endpoints: map[string]string{provider: i.name}, Client: &http.Client{Transport: g}}
		test(t, k, g, func(ctx context.Context) error {
			_, err := k.logins.VerifyLogin(ctx, k.pool, provider, sign(i.keys[0], i.claims(time.Now(), nil)))
			return err
		})
	})
}

// TestFirstUsesShare wants logins that come at once to share one look at the
// issuer, and it to outlive the one that began it.
func TestFirstUsesShare(t *testing.T) {
	inBubble(t, func(t *testing.T, k *loginKit, g *gate, verify func(context.Context) error) {
		first, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for n := range 20 {
			ctx := t.Context()
			if n == 0 {
				ctx = first
			}
			wg.Go(func() {
				if err := verify(ctx); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if n := g.waiting.Load(); n != 1 {
			t.Errorf("%d requests at once", n)
		}
		leave()
		synctest.Wait()
		close(g.open)
		wg.Wait()
		if d, j := k.issuer.requests(); d != 1 || j != 1 {
			t.Errorf("%d and %d requests", d, j)
		}
	})
}

// TestPatience bounds the time that an issuer gets, and what waits for it.
func TestPatience(t *testing.T) {
	inBubble(t, func(t *testing.T, k *loginKit, g *gate, verify func(context.Context) error) {
		begun := time.Now()
		err := verify(t.Context())
		if took := time.Since(begun); took != 5*time.Second || tributary.KindOf(err) != tributary.Trigger || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, %v", took, err)
		}
		begun = time.Now()
		if err := verify(t.Context()); time.Since(begun) != 0 || tributary.KindOf(err) != tributary.Trigger {
			t.Errorf("%s, %v", time.Since(begun), err)
		}
		time.Sleep(10 * time.Second) // fake time
		go func() {
			g.open <- struct{}{}
			time.Sleep(3 * time.Second)
			g.open <- struct{}{}
		}()
		begun = time.Now()
		if err := verify(t.Context()); err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("%s, %v", time.Since(begun), err)
		}

		// An hour later one waits for the issuer, which hangs, and goes on with the
		// keys in hand. The others do not even wait.
		time.Sleep(time.Hour)
		begun = time.Now()
		done := make(chan error, 1)
		go func() { done <- verify(t.Context()) }()
		synctest.Wait()
		for range 5 {
			if err := verify(t.Context()); err != nil || time.Since(begun) != 0 {
				t.Errorf("%s, %v", time.Since(begun), err)
			}
		}
		if err := <-done; err != nil || time.Since(begun) != 5*time.Second {
			t.Errorf("%s, %v", time.Since(begun), err)
		}
		if n := g.waiting.Load(); n != 0 {
			t.Errorf("%d requests are left", n)
		}
	})
}

// TestNewKeyIsShared wants all tokens of a new key to wait for it, not just the
// first.
func TestNewKeyIsShared(t *testing.T) {
	inBubble(t, func(t *testing.T, k *loginKit, g *gate, verify func(context.Context) error) {
		go func() { g.open <- struct{}{}; g.open <- struct{}{} }()
		if err := verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		k.issuer.rotate(ecKey("2"))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := verify(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(g.open)
		wg.Wait()
		if d, j := k.issuer.requests(); d != 2 || j != 2 {
			t.Errorf("%d and %d requests", d, j)
		}
	})
}
