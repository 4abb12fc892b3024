package auth_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tributary"
	"tributary/auth"
)

// direct hands requests to a handler in this process.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// FuzzVerifyLogin gives tokens as they are, and payloads that the issuer has
// signed. Nothing panics, errors are of the promised kinds, and what was not
// signed is never taken.
func FuzzVerifyLogin(f *testing.F) {
	key := ecKey("1")
	i := newIssuer("http://issuer.test", key)
	now := time.Unix(1_790_000_000, 0)
	logins := &auth.Logins{
		Endpoints: map[string]string{provider: i.name, "graph.facebook.com": i.name},
		Client:    &http.Client{Transport: direct{i}},
		Now:       func() time.Time { return now },
	}
	pool := &tributary.Pool{LoginProviders: map[string]string{provider: "app-1", "graph.facebook.com": "app-1"}}
	good := sign(key, i.claims(now, nil))
	for _, seed := range []string{good, string(i.claims(now, nil)), "", ".", "..", "{}", `{"exp":1e999}`, `{"aud":[[]],"exp":"1"}`,
		base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"1"}`)) + "..", strings.Replace(good, ".", "=.", 1),
		`{"iss":"http://issuer.test","sub":"u","aud":"app-1","exp":1790000001,"_claim_names":{"a":"b"},"_claim_sources":null}`} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, s string, signed bool) {
		token := s
		if signed {
			token = sign(key, []byte(s))
		}
		for p := range pool.LoginProviders {
			v, err := logins.VerifyLogin(t.Context(), pool, p, token)
			switch kind := tributary.KindOf(err); {
			case err == nil && (v.User == "" || v.Provider != p):
				t.Fatalf("%+v", v)
			case err == nil && !signed:
				if _, err := verifiedBy(token, key); err != nil {
					t.Fatalf("taken: %q", token)
				}
			case err != nil && kind != tributary.Denied && kind != tributary.Invalid && kind != tributary.Trigger:
				t.Fatal(err)
			}
		}
	})
}

// verifiedBy checks a signature without the code that is tested.
func verifiedBy(token string, key jose.JSONWebKey) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, err
	}
	return jws.Verify(key.Public())
}
