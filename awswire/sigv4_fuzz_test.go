package awswire_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/awswire"
)

// FuzzCanonicalRequest looks for canonical requests that are not canonical.
func FuzzCanonicalRequest(f *testing.F) {
	f.Add("/a%3Ab//./..", "b=1&a=%zz+", "a  b\t")
	f.Add("", "&&==%", "")
	f.Add("%2F%", "a-b=1&a=2", "é")
	f.Fuzz(func(t *testing.T, path, query, value string) {
		r := &http.Request{RequestURI: "/" + path + "?" + query, URL: new(url.URL), Host: "h", Header: http.Header{"X-Note": {value}}}
		for _, form := range awswire.PathForms("/" + path) {
			if !strings.HasPrefix(form, "/") {
				t.Errorf("path form %q", form)
			}
		}
		lines := strings.Split(awswire.CanonicalRequest(r, "host", "", false), "\n")
		if len(lines) != 7 {
			t.Fatalf("%q", lines)
		}
		for _, line := range lines[1:3] {
			if i := strings.IndexFunc(line, func(c rune) bool {
				return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._~%/&=", c))
			}); i >= 0 {
				t.Errorf("%q", line)
			}
		}
		pairs := strings.Split(lines[2], "&")
		if !slices.IsSortedFunc(pairs, func(x, y string) int {
			xn, xv, _ := strings.Cut(x, "=")
			yn, yv, _ := strings.Cut(y, "=")
			if xn != yn {
				return strings.Compare(xn, yn)
			}
			return strings.Compare(xv, yv)
		}) {
			t.Errorf("%q is not sorted", lines[2])
		}
		awswire.CanonicalRequest(r, "x-note;"+value, "", true)
	})
}

// FuzzVerify signs a request, sends it through net/http's writer and parser, and
// has it verified: in the header form, in the query form, and with a signature
// out of the air.
func FuzzVerify(f *testing.F) {
	f.Add("POST", "/identitypools/us-east-1%3A0/a:b", "lastSyncCount=0", "note", []byte("{}"), "AWS4-HMAC-SHA256 Credential=a/20240301/b/c/aws4_request, SignedHeaders=host, Signature=0")
	f.Add("GET", "//a/../b/./", "b=+&a=%2B&&a", " a  b ", []byte(nil), "Bearer x")
	f.Add("PUT", "/%2F%7E~é", "a=é&é=a", "", []byte("x"), "AWS4-HMAC-SHA256 =,=")
	f.Add("GET", "", "%zz", "é", []byte(""), "")
	now := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	v := verifier(someone(), now)
	f.Fuzz(func(t *testing.T, method, path, query, note string, body []byte, auth string) {
		if strings.ContainsAny(note, "\r\n") {
			t.Skip() // net/http refuses to send it
		}
		newRequest := func() *http.Request {
			r, err := http.NewRequest(method, host+path, bytes.NewReader(body))
			if err != nil || r.URL.Host != strings.TrimPrefix(host, "http://") || r.URL.User != nil {
				t.Skip()
			}
			r.URL.RawQuery = query
			r.Header.Set("X-Note", note)
			return r
		}

		r := newRequest()
		awswire.Sign(r, body, someone(), "us-east-1", "cognito-sync", now)
		verifySent(t, v, r, false)

		r = newRequest()
		link, err := url.Parse(awswire.Presign(r, someone(), "us-east-1", "x", now, time.Hour))
		if err != nil {
			t.Skip()
		}
		r.URL = link
		verifySent(t, v, r, true)

		r = newRequest()
		r.Header.Set("X-Amz-Date", "20240301T120000Z")
		r.Header.Set("Authorization", auth)
		awswire.ScopeOf(r)
		anyone := awswire.Verifier[bool]{
			Lookup: func(context.Context, string, string) (string, bool, error) {
				return "secret unknown to the fuzzer", true, nil
			},
			Now: func() time.Time { return now },
		}
		if ok, _, err := anyone.Verify(r, body); ok || !errors.As(err, new(*awswire.Fault)) {
			t.Errorf("%t, %v", ok, err)
		}
	})
}

// verifySent verifies r as a server would get it, if it can be sent at all.
func verifySent(t *testing.T, v *awswire.Verifier[string], r *http.Request, presigned bool) {
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Skip()
	}
	got, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		t.Skip()
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	p, scope, err := v.Verify(got, body)
	if f := new(awswire.Fault); errors.As(err, &f) && f.Code == "MalformedQueryString" {
		t.Skip() // which no client sends that signs
	}
	if presigned == (got.Header.Get("Authorization") != "") {
		t.Skip() // the fuzzer has found a way to have both
	}
	if err != nil || p != "me" || scope.Presigned != presigned {
		t.Errorf("%+v %v: %v", scope, got, err)
	}
}
