package e2e

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
)

// sessionTokens sends sync session tokens that are not good for the dataset,
// and one that is, twice.
func (w *wrong) sessionTokens(t *testing.T) {
	text := "SyncSessionToken not valid for these inputs"
	ofAnother := w.a.list(t, w.a.dataset("another")).SyncSessionToken
	for name, token := range map[string]string{
		"Forged":            "forged",
		"Flipped":           flip(w.token, len(w.token)/2),
		"FlippedFirst":      flip(w.token, 0),
		"Truncated":         w.token[:len(w.token)-1],
		"Half":              w.token[:len(w.token)/2],
		"Longer":            w.token + "A",
		"Twice":             w.token + w.token,
		"Huge":              strings.Repeat("A", 100_000),
		"OfAnotherDataset":  ofAnother,
		"OfAnotherIdentity": w.b.list(t, w.b.dataset("notes")).SyncSessionToken,
		"OfAnotherPool":     w.other.list(t, w.other.dataset("notes")).SyncSessionToken,
		"OfCredentials":     w.a.token,
		"NUL":               "\x00",
		"Spaces":            " " + w.token,
	} {
		t.Run(name, func(t *testing.T) {
			a := w.a.do(t, syncService, "POST", w.notes.path(), encode(t, update{token, []patch{replace("color", "green", 2)}}))
			wantFault(t, a, 400, "InvalidParameterException", text)
		})
	}
	t.Run("Replayed", func(t *testing.T) {
		d := w.a.dataset("replayed")
		token := w.a.list(t, d).SyncSessionToken
		for n := range int64(3) {
			w.a.rest(t, "POST", d.path(), update{token, []patch{replace("k", "v", n)}}, nil)
		}
	})
	t.Run("OfDeveloper", func(t *testing.T) {
		// A token is bound to the dataset, not to who listed it.
		d := w.a.dataset("developer")
		token := w.dev.list(t, d).SyncSessionToken
		w.a.rest(t, "POST", d.path(), update{token, []patch{replace("k", "v", 0)}}, nil)
	})
}

// flip changes one character of a token.
func flip(token string, at int) string {
	c := byte('A')
	if token[at] == c {
		c = 'B'
	}
	return token[:at] + string(c) + token[at+1:]
}

// signatures sends requests that are signed wrongly, or not at all. Each is
// made by changing a request that is signed well.
func (w *wrong) signatures(t *testing.T) {
	path := w.notes.path() + "/records"
	sign := func(at time.Time, region, service string) *http.Request {
		r, err := w.a.requestAt(at, region, service, "GET", path, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	good := func() *http.Request { return sign(time.Now(), region, syncService) }
	edit := func(f func(*http.Request)) *http.Request {
		r := good()
		f(r)
		return r
	}
	authorization := func(old, replacement string) *http.Request {
		return edit(func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, replacement, 1))
		})
	}
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
		code    string
		text    string
	}{
		{"Missing", edit(func(r *http.Request) { r.Header.Del("Authorization") }), 403, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"Basic", edit(func(r *http.Request) { r.SetBasicAuth("user", "password") }), 400, "IncompleteSignatureException", ""},
		{"Empty", edit(func(r *http.Request) { r.Header.Set("Authorization", "") }), 403, "MissingAuthenticationTokenException", ""},
		{"Twice", edit(func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }), 400, "IncompleteSignatureException", ""},
		{"NoSignature", authorization("Signature=", "Autograph="), 400, "IncompleteSignatureException", "'Signature'"},
		{"NoCredential", authorization("Credential=", "Debit="), 400, "IncompleteSignatureException", "'Credential'"},
		{"ShortScope", authorization("/aws4_request", ""), 400, "IncompleteSignatureException", "5 slash-delimited"},
		{"OtherAlgorithm", authorization("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), 400, "IncompleteSignatureException", ""},
		{"WrongSignature", authorization("Signature=", "Signature=00"), 403, "InvalidSignatureException", "does not match"},
		{"HostNotSigned", authorization("SignedHeaders=host;", "SignedHeaders="), 403, "InvalidSignatureException", ""},
		{"UnknownKey", authorization("Credential=ASIA", "Credential=ASIB"), 403, "UnrecognizedClientException", ""},
		{"OtherHost", edit(func(r *http.Request) { r.Host = "cognito-sync.us-east-1.amazonaws.com" }), 403, "InvalidSignatureException", ""},
		{"OtherPath", edit(func(r *http.Request) { r.URL.Path = w.a.dataset("other").path() + "/records"; r.URL.RawPath = "" }), 403, "InvalidSignatureException", ""},
		{"OtherQuery", edit(func(r *http.Request) { r.URL.RawQuery = "lastSyncCount=1" }), 403, "InvalidSignatureException", ""},
		{"GetAsDelete", edit(func(r *http.Request) { r.Method = "DELETE"; r.URL.Path = w.notes.path() }), 403, "InvalidSignatureException", "does not match"},
		{"OtherRegion", sign(time.Now(), "eu-west-1", syncService), 403, "InvalidSignatureException", "valid region"},
		{"OtherService", sign(time.Now(), region, "s3"), 403, "InvalidSignatureException", "correct service"},
		{"Late", sign(time.Now().Add(-6*time.Minute), region, syncService), 403, "InvalidSignatureException", "Signature expired"},
		{"Early", sign(time.Now().Add(6*time.Minute), region, syncService), 403, "InvalidSignatureException", "not yet current"},
		{"OtherDate", edit(func(r *http.Request) { r.Header.Set("X-Amz-Date", "20200101T000000Z") }), 403, "InvalidSignatureException", ""},
		{"BrokenDate", edit(func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }), 400, "IncompleteSignatureException", "ISO-8601"},
		{"NoDate", edit(func(r *http.Request) { r.Header.Del("X-Amz-Date") }), 400, "IncompleteSignatureException", "X-Amz-Date"},
		{"LongAuthorization", edit(func(r *http.Request) { r.Header.Set("Authorization", strings.Repeat("A", 20_000)) }), 400, "IncompleteSignatureException", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := w.a.send(c.request)
			if err != nil {
				t.Fatal(err)
			}
			wantFault(t, a, c.status, c.code, c.text)
		})
	}
	t.Run("FourMinutes", func(t *testing.T) {
		if a, err := w.a.send(sign(time.Now().Add(-4*time.Minute), region, syncService)); err != nil || a.status != 200 {
			t.Errorf("%v, status %d: %s", err, a.status, a.body)
		}
	})
	t.Run("KinesisScope", func(t *testing.T) {
		a, err := w.a.send(sign(time.Now(), region, kinesisService))
		if err != nil {
			t.Fatal(err)
		}
		wantFault11(t, a, "UnknownOperationException", "")
	})
	t.Run("OtherBody", func(t *testing.T) {
		r, err := w.a.request(syncService, "POST", w.notes.path(), encode(t, update{w.token, []patch{replace("color", "green", 2)}}))
		if err != nil {
			t.Fatal(err)
		}
		body := encode(t, update{w.token, []patch{replace("color", "black", 2)}})
		r.Body = io.NopCloser(bytes.NewReader(body))
		a, err := w.a.send(r)
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 403, "InvalidSignatureException", "")
	})
	t.Run("Presigned", func(t *testing.T) { w.presigned(t) })
}

// presigned uses a link to a list for what it is good for, and for what not.
func (w *wrong) presigned(t *testing.T) {
	presign := func(at time.Time) *http.Request {
		r, err := http.NewRequest("GET", w.s.url+w.notes.path()+"/records", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v4.NewSigner(w.a.creds).Presign(r, nil, syncService, region, time.Minute, at); err != nil {
			t.Fatal(err)
		}
		return r
	}
	send := func(r *http.Request) answer {
		a, err := w.a.send(r)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := send(presign(time.Now())); a.status != 200 {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	wantFault(t, send(presign(time.Now().Add(-2*time.Minute))), 403, "InvalidSignatureException", "Signature expired")
	r := presign(time.Now())
	r.Method, r.URL.Path = "DELETE", w.notes.path()
	wantFault(t, send(r), 403, "InvalidSignatureException", "")
	r = presign(time.Now())
	r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Amz-Expires=60", "X-Amz-Expires=6000", 1)
	wantFault(t, send(r), 403, "InvalidSignatureException", "")
}

// credentials uses an identity's credentials that were tampered with.
func (w *wrong) credentials(t *testing.T) {
	for _, c := range []struct {
		name, id, secret, token string
		code                    string
	}{
		{"NoToken", w.a.id, w.a.secret, "", "UnrecognizedClientException"},
		{"ForgedToken", w.a.id, w.a.secret, "forged", "UnrecognizedClientException"},
		{"FlippedToken", w.a.id, w.a.secret, flip(w.a.token, len(w.a.token)/2), "UnrecognizedClientException"},
		{"TruncatedToken", w.a.id, w.a.secret, w.a.token[:len(w.a.token)-4], "UnrecognizedClientException"},
		{"TokenOfAnother", w.a.id, w.a.secret, w.b.token, "UnrecognizedClientException"},
		{"SessionTokenOfSync", w.a.id, w.a.secret, w.token, "UnrecognizedClientException"},
		{"SecretOfAnother", w.a.id, w.b.secret, w.a.token, "InvalidSignatureException"},
		{"UnknownKey", "AKIAAAAAAAAAAAAAAAAA", "secret", "", "UnrecognizedClientException"},
		{"DeveloperWrongSecret", w.s.key().id, "secret", "", "InvalidSignatureException"},
		{"DeveloperWithGuestToken", w.s.key().id, w.s.key().secret, w.a.token, "UnrecognizedClientException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			who := newCaller(w.s.url, c.id, c.secret, c.token)
			wantFault(t, who.do(t, syncService, "GET", w.notes.path()+"/records", nil), 403, c.code, "")
		})
	}
	t.Run("TokenNotSigned", func(t *testing.T) {
		who := *w.a.caller
		who.creds = credentials.NewStaticCredentials(w.a.id, w.a.secret, "")
		r, err := who.request(syncService, "GET", w.notes.path()+"/records", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Security-Token", w.a.token)
		a, err := who.send(r)
		if err != nil {
			t.Fatal(err)
		}
		wantFault(t, a, 403, "InvalidSignatureException", "")
	})
}
