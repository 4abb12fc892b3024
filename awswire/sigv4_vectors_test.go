package awswire_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/awswire"
)

// vector is one case of AWS's test suite.
type vector struct {
	region, service string
	credentials     awswire.Credentials
	at              time.Time
	expires         time.Duration
	flags           string
	section         map[string]string
}

func (v vector) has(flag string) bool { return strings.Contains(v.flags, flag) }

func readVector(t *testing.T, file string) vector {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v := vector{section: make(map[string]string)}
	head, rest, _ := strings.Cut(string(text), "-- ")
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch name {
		case "region":
			v.region = value
		case "service":
			v.service = value
		case "time":
			v.at = parseStamp(t, value)
		case "expires":
			seconds, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			v.expires = time.Duration(seconds) * time.Second
		case "key":
			v.credentials.AccessKeyID = value
		case "secret":
			v.credentials.SecretKey = value
		case "token":
			v.credentials.SessionToken = value
		case "flags":
			v.flags = value
		default:
			t.Fatalf("%s: unknown line %q", file, line)
		}
	}
	for part := range strings.SplitSeq("\n"+rest, "\n-- ") {
		name, body, _ := strings.Cut(strings.TrimPrefix(part, "\n"), " --\n")
		v.section[name] = strings.TrimSuffix(body, "\n")
	}
	return v
}

func parseStamp(t testing.TB, stamp string) time.Time {
	at, err := time.Parse("20060102T150405Z", stamp)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// parseRequest reads a request as net/http's server does. net/http refuses a raw
// space in the request line, which get-space-* have; there the target is
// escaped for the parser and put back afterwards.
func parseRequest(t testing.TB, text string) (*http.Request, []byte) {
	t.Helper()
	if !strings.Contains(text, "\n\n") {
		text += "\n\n"
	}
	line, rest, _ := strings.Cut(text, "\n")
	method, target, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(target, " HTTP/")
	escaped := strings.ReplaceAll(target, " ", "%20")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + escaped + " HTTP/" + version + "\n" + rest)))
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = target
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

// verifier knows one set of credentials, whose principal is "me".
func verifier(c awswire.Credentials, now time.Time) *awswire.Verifier[string] {
	return &awswire.Verifier[string]{
		Lookup: func(_ context.Context, id, token string) (string, string, error) {
			if id != c.AccessKeyID || token != c.SessionToken {
				return "", "", awswire.UnknownKey()
			}
			return c.SecretKey, "me", nil
		},
		Now: func() time.Time { return now },
	}
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/sigv4/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 40 {
		t.Fatalf("%d vectors, want 40", len(files))
	}
	for _, file := range files {
		v := readVector(t, file)
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name+"/Header", func(t *testing.T) { testHeaderForm(t, v) })
		if v.section["query signed"] != "" { // the double-* cases have none
			t.Run(name+"/Query", func(t *testing.T) { testQueryForm(t, v) })
		}
	}
}

func testHeaderForm(t *testing.T, v vector) {
	signed, body := parseRequest(t, v.section["header signed"])
	published := v.section["header canonical"]
	names, payload := lastLines(published)
	if got := awswire.CanonicalRequest(signed, names, payload, v.has("normalize")); got != published {
		t.Errorf("canonical request\n%s\nwant\n%s", got, published)
	}

	r, body2 := parseRequest(t, v.section["request"])
	if v.has("sign-body") {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	r.RequestURI = pathToSign(r.RequestURI, published, v)
	c := v.credentials
	if v.has("omit-token") {
		c.SessionToken = ""
	}
	awswire.Sign(r, body2, c, v.region, v.service, v.at)
	if got, want := r.Header.Get("Authorization"), signed.Header.Get("Authorization"); got != want {
		t.Errorf("Sign gives\n%s\nwant\n%s", got, want)
	}

	principal, scope, err := verifier(v.credentials, v.at.Add(time.Minute)).Verify(signed, body)
	if v.has("omit-token") {
		// post-sts-header-after adds the token after signing. Ours is a server of
		// identity credentials, whose SDKs all sign it.
		wantFault(t, err, "InvalidSignatureException", "'X-Amz-Security-Token' must be a 'SignedHeader'")
		return
	}
	if want := (awswire.Scope{AccessKeyID: c.AccessKeyID, Region: v.region, Service: v.service}); err != nil || principal != "me" || scope != want {
		t.Errorf("Verify: %q, %+v, %v", principal, scope, err)
	}
}

func testQueryForm(t *testing.T, v vector) {
	signed, body := parseRequest(t, v.section["query signed"])
	path, query, _ := strings.Cut(signed.RequestURI, "?")
	if v.has("omit-token") {
		token := "&X-Amz-Security-Token=" + url.QueryEscape(v.credentials.SessionToken)
		signed.RequestURI = path + "?" + strings.Replace(query, token, "", 1)
		v.credentials.SessionToken = ""
	}
	published := v.section["query canonical"]
	names, payload := lastLines(published)
	if got := awswire.CanonicalRequest(signed, names, payload, v.has("normalize")); got != published {
		t.Errorf("canonical request\n%s\nwant\n%s", got, published)
	}

	r, _ := parseRequest(t, v.section["request"])
	r.RequestURI = pathToSign(r.RequestURI, published, v)
	link, err := url.Parse(awswire.PresignAs(r, v.credentials, v.region, v.service, v.at, v.expires, names, payload))
	if err != nil {
		t.Fatal(err)
	}
	want, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	if got := link.Query().Get("X-Amz-Signature"); got != want.Get("X-Amz-Signature") {
		t.Errorf("signature %s, want %s", got, want.Get("X-Amz-Signature"))
	}

	// For post-sts-header-after this is the request without the token that was
	// added after signing: with it, it must be refused.
	c := v.credentials
	principal, scope, err := verifier(c, v.at.Add(v.expires)).Verify(signed, body)
	wantScope := awswire.Scope{AccessKeyID: c.AccessKeyID, Region: v.region, Service: v.service, Presigned: true}
	if err != nil || principal != "me" || scope != wantScope {
		t.Errorf("Verify: %q, %+v, %v", principal, scope, err)
	}
	if v.has("omit-token") {
		signed.RequestURI = path + "?" + query
		c.SessionToken = want.Get("X-Amz-Security-Token")
		_, _, err := verifier(c, v.at).Verify(signed, body)
		wantFault(t, err, "InvalidSignatureException", "The request signature we calculated does not match")
	}
}

// pathToSign is the path as a normalising signer leaves it: Sign itself signs
// what is sent. The paths concerned have no escapes, so that their canonical form
// is also what such a signer holds.
func pathToSign(target, canonical string, v vector) string {
	path, _, _ := strings.Cut(target, "?")
	if v.has("normalize") && (strings.Contains(path, "//") || strings.Contains(path, "/.")) {
		return strings.Split(canonical, "\n")[1]
	}
	return target
}

// lastLines are the names of the signed headers and the payload's hash.
func lastLines(canonical string) (names, payload string) {
	lines := strings.Split(canonical, "\n")
	return lines[len(lines)-2], lines[len(lines)-1]
}

// TestSDKs verifies requests as AWS SDKs signed them.
func TestSDKs(t *testing.T) {
	c := awswire.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretKey: "secretEXAMPLE", SessionToken: "tokenEXAMPLE/+=="}
	v := verifier(c, parseStamp(t, "20240301T102031Z"))
	files, err := filepath.Glob("testdata/sigv4/sdk/*.http")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, body := parseRequest(t, string(text))
			if _, _, err := v.Verify(r, body); err != nil {
				t.Error(err)
			}
		})
	}
}
