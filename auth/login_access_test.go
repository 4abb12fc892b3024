package auth_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary"
	"tributary/auth"
)

const (
	userToken   = "EAAGm0PX4ZCpsBAuser|token" // what must be escaped in a query included
	rejectedNow = "Invalid login token. The provider does not accept it."
)

// fakeGraph answers as Facebook's Graph API and Amazon's tokeninfo do.
type fakeGraph struct {
	mu      sync.Mutex
	answers map[string]http.HandlerFunc // by path
}

// set replaces an answer and gives the one that was there.
func (g *fakeGraph) set(path string, answer http.HandlerFunc) http.HandlerFunc {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.answers[path]
	g.answers[path] = answer
	return old
}

func (g *fakeGraph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	answer := g.answers[r.URL.Path]
	g.mu.Unlock()
	if answer == nil || r.URL.Query().Get("access_token") != userToken {
		status(http.StatusBadRequest)(w, r)
	} else {
		answer(w, r)
	}
}

// newGraphKit has a pool that takes tokens of Facebook and Amazon.
func newGraphKit(t *testing.T, answers map[string]http.HandlerFunc) (*loginKit, *fakeGraph) {
	k := newLoginKit(t)
	g := &fakeGraph{answers: answers}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	k.logins.Endpoints = map[string]string{"graph.facebook.com": s.URL, "www.amazon.com": s.URL + "/"}
	k.pool.LoginProviders = map[string]string{"graph.facebook.com": "1234", "www.amazon.com": "amzn1.application.a;amzn1.application-oa2-client.b"}
	return k, g
}

func TestFacebook(t *testing.T) {
	k, g := newGraphKit(t, map[string]http.HandlerFunc{
		"/app": text(`{"id":"1234","name":"my app","category":"x"}`),
		"/me": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("fields") != "id" {
				t.Errorf("more is asked than is needed: %s", r.URL.RawQuery)
			}
			text(`{"id":"777"}`)(w, r)
		},
	})
	v := k.accepted("graph.facebook.com", userToken)
	if want := map[string]any{"aud": "1234", "sub": "777", "user_id": "777"}; v.User != "777" || !reflect.DeepEqual(v.Claims, want) {
		t.Errorf("%+v", v)
	}
	k.refused(tributary.Denied, rejectedNow, "graph.facebook.com", "EAAanother")
	k.refused(tributary.Denied, rejectedNow, "graph.facebook.com", "EAA another&access_token="+userToken)

	const cannot = "Login provider graph.facebook.com "
	for _, c := range []struct {
		name    string
		app, me http.HandlerFunc // nil: as above
		kind    tributary.Kind
		text    string
	}{
		{"another app", text(`{"id":"99"}`), nil, tributary.Denied, unknownLogin},
		{"no app", text(`{}`), nil, tributary.Denied, unknownLogin},
		{"no user", nil, text(`{}`), tributary.Denied, "Invalid login token. The user's name is empty, longer than 255 characters or has control characters."},
		{"ended", graphError(400, `{"error":{"code":190}}`), nil, tributary.Denied, rejectedNow},
		{"ended meanwhile", nil, graphError(401, `{"error":{"code":190}}`), tributary.Denied, rejectedNow},
		{"refused without a word", graphError(403, ``), nil, tributary.Denied, rejectedNow},
		{"too many calls", graphError(400, `{"error":{"code":4}}`), nil, tributary.Trigger, cannot + "answers with status 400."},
		{"transient", nil, graphError(403, `{"error":{"code":368,"is_transient":true}}`), tributary.Trigger, cannot + "answers with status 403."},
		{"down", graphError(500, `{"id":"1234"}`), nil, tributary.Trigger, cannot + "answers with status 500."},
		{"busy", graphError(429, ``), nil, tributary.Trigger, cannot + "answers with status 429."},
		{"nonsense", text(`<html>`), nil, tributary.Trigger, cannot + "answers with what cannot be understood."},
		{"a redirect", redirect(func(*http.Request) string { return "/me" }), nil, tributary.Trigger, cannot + "answers with status 302."},
		{"cut", func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, nil, tributary.Trigger, cannot + "cannot be reached."},
	} {
		t.Run(c.name, func(t *testing.T) {
			k.TB = t
			for path, answer := range map[string]http.HandlerFunc{"/app": c.app, "/me": c.me} {
				if answer != nil {
					old := g.set(path, answer)
					defer func() { g.set(path, old) }()
				}
			}
			k.refused(c.kind, c.text, "graph.facebook.com", userToken)
		})
	}
}

func graphError(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// TestFacebookLimitedLogin takes its id tokens, which are signed.
func TestFacebookLimitedLogin(t *testing.T) {
	k := newLoginKit(t)
	k.logins.Endpoints = map[string]string{"graph.facebook.com": k.issuer.name}
	k.pool.LoginProviders = map[string]string{"graph.facebook.com": "1234"}
	k.issuer.name = "https://www.facebook.com"
	for _, iss := range []string{"https://www.facebook.com", "https://limited.facebook.com"} {
		if v := k.accepted("graph.facebook.com", k.token(map[string]any{"iss": iss, "aud": "1234"})); v.User != "user-1" {
			t.Errorf("%+v", v)
		}
	}
	k.refused(tributary.Denied, unknownLogin, "graph.facebook.com", k.token(nil))
}

func TestAmazon(t *testing.T) {
	const answer = `{"iss":"https://www.amazon.com","user_id":"amzn1.account.U","aud":"amzn1.application-oa2-client.b","app_id":"amzn1.application.c","exp":3597,"iat":1311280970}`
	const path = "/auth/o2/tokeninfo"
	k, g := newGraphKit(t, map[string]http.HandlerFunc{path: text(answer)})
	v := k.accepted("www.amazon.com", userToken)
	want := map[string]any{"iss": "https://www.amazon.com", "user_id": "amzn1.account.U", "sub": "amzn1.account.U",
		"aud": "amzn1.application-oa2-client.b", "app_id": "amzn1.application.c", "exp": 3597.0, "iat": 1311280970.0}
	if v.User != "amzn1.account.U" || !reflect.DeepEqual(v.Claims, want) {
		t.Errorf("%+v", v)
	}
	k.refused(tributary.Denied, rejectedNow, "www.amazon.com", "Atza|another")

	const cannot = "Login provider www.amazon.com "
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		kind   tributary.Kind
		text   string
	}{
		"by its app id":      {text(`{"user_id":"U","aud":"x","app_id":"amzn1.application.a","exp":1}`), 0, ""},
		"another app":        {text(`{"user_id":"U","aud":"x","app_id":"y","exp":1}`), tributary.Denied, unknownLogin},
		"no app":             {text(`{"user_id":"U","exp":1}`), tributary.Denied, unknownLogin},
		"expired":            {text(`{"user_id":"U","aud":"amzn1.application.a","exp":-7}`), tributary.Denied, "Invalid login token. Token expired: 1790000000 >= 1789999993"},
		"no time left":       {text(`{"user_id":"U","aud":"amzn1.application.a"}`), tributary.Denied, "Invalid login token. Token expired: 1790000000 >= 1790000000"},
		"no user":            {text(`{"aud":"amzn1.application.a","exp":1}`), tributary.Denied, "Invalid login token. The user's name is empty, longer than 255 characters or has control characters."},
		"null":               {text(`null`), tributary.Denied, unknownLogin},
		"rejected":           {status(400), tributary.Denied, rejectedNow},
		"down":               {status(503), tributary.Trigger, cannot + "answers with status 503."},
		"nonsense":           {text(`[]`), tributary.Trigger, cannot + "answers with what cannot be understood."},
		"more than it takes": {text(string(make([]byte, 1<<20+1))), tributary.Trigger, cannot + "answers with more than 1048576 bytes."},
	} {
		t.Run(name, func(t *testing.T) {
			k.TB = t
			g.set(path, c.answer)
			if c.text == "" {
				k.accepted("www.amazon.com", userToken)
				return
			}
			k.refused(c.kind, c.text, "www.amazon.com", userToken)
		})
	}
}

// TestAccessTokenPatience bounds the time that a provider gets for an access
// token, and that an unreachable one does not bring the token into the error.
func TestAccessTokenPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := &tributary.Pool{LoginProviders: map[string]string{"graph.facebook.com": "1", "www.amazon.com": "1"}}
		for _, p := range []string{"graph.facebook.com", "www.amazon.com"} {
			k := &loginKit{TB: t, pool: pool, logins: &auth.Logins{Client: &http.Client{Transport: &gate{open: make(chan struct{})}}}}
			begun := time.Now()
			k.refused(tributary.Trigger, "Login provider "+p+" does not answer in time.", p, userToken)
			if took := time.Since(begun); took != 5*time.Second {
				t.Errorf("%s: %s", p, took)
			}
		}
	})
	k, _ := newGraphKit(t, nil)
	s := httptest.NewServer(nil)
	s.Close()
	for p, address := range map[string]string{"graph.facebook.com": s.URL, "www.amazon.com": "http://%zz"} {
		k.logins.Endpoints[p] = address
	}
	k.refused(tributary.Trigger, "Login provider graph.facebook.com cannot be reached.", "graph.facebook.com", userToken)
	k.refused(tributary.Trigger, "Login provider www.amazon.com has an address that cannot be used.", "www.amazon.com", userToken)
}
