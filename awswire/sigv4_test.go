package awswire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/awswire"
)

const (
	pool = "us-east-1%3A00000000-0000-0000-0000-000000000001"
	host = "http://sync.example.com"
)

func someone() awswire.Credentials {
	return awswire.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretKey: "secretEXAMPLE", SessionToken: "tokenEXAMPLE"}
}

func noon(t testing.TB) time.Time { return parseStamp(t, "20240301T120000Z") }

func wantFault(t *testing.T, err error, code, text string) {
	t.Helper()
	var f *awswire.Fault
	switch {
	case !errors.As(err, &f):
		t.Errorf("error %v, want %s", err, code)
	case f.Code != code || !strings.Contains(f.Message, text):
		t.Errorf("%v, want %s with %q", err, code, text)
	case f.Status != map[string]int{
		"IncompleteSignatureException": 400, "MalformedQueryString": 400, "ExpiredTokenException": 400,
		"InvalidSignatureException": 403, "MissingAuthenticationTokenException": 403, "UnrecognizedClientException": 403,
	}[code]:
		t.Errorf("%s has status %d", code, f.Status)
	}
}

func newRequest(t testing.TB, method, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, host+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sent is r as it looks on the wire.
func sent(t testing.TB, r *http.Request) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

// signedText is an UpdateRecords as the wire has it, with every kind of signed
// part.
func signedText(t testing.TB) string {
	body := `{"SyncSessionToken":"t","RecordPatches":[]}`
	r := newRequest(t, "POST", "/identitypools/"+pool+"/datasets/a%2Fb?lastSyncCount=0&b=x+y", body)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Service.Operation")
	r.Header.Add("X-Note", "one")
	r.Header.Add("X-Note", "two  three")
	awswire.Sign(r, []byte(body), someone(), "us-east-1", "cognito-sync", noon(t))
	return sent(t, r)
}

func TestVerifyOwnSignature(t *testing.T) {
	v := verifier(someone(), noon(t))
	for range 3 { // derived, then from the cache
		r, body := parseRequest(t, signedText(t))
		principal, scope, err := v.Verify(r, body)
		if want := (awswire.Scope{AccessKeyID: "ASIAEXAMPLE", Region: "us-east-1", Service: "cognito-sync"}); err != nil || principal != "me" || scope != want {
			t.Fatalf("%q, %+v, %v", principal, scope, err)
		}
	}
}

// TestVerifyTampered changes every signed part of a request, one at a time.
func TestVerifyTampered(t *testing.T) {
	text := signedText(t)
	for _, c := range []struct{ name, from, to string }{
		{"Method", "POST", "PUT"},
		{"Path", "/datasets/", "/dataset/"},
		{"PathSlash", "/a%2Fb", "/a/b"},
		{"PathColon", "us-east-1%3A", "us-east-1:"},
		{"PathCase", "us-east-1%3A", "us-east-1%3a"},
		{"PathDecodedMore", "us-east-1%3A", "us-east-1%253A"},
		{"PathDots", "/a%2Fb?", "/a%2Fb/..?"},
		{"QueryValue", "lastSyncCount=0", "lastSyncCount=1"},
		{"QueryName", "lastSyncCount=0", "lastsynccount=0"},
		{"QueryMore", "lastSyncCount=0", "lastSyncCount=0&c=d"},
		{"QueryLess", "lastSyncCount=0&", ""},
		{"QueryPlus", "b=x+y", "b=x%2By"},
		{"Host", "Host: sync.example.com", "Host: sync.example.com:80"},
		{"ContentType", "x-amz-json-1.1", "x-amz-json-1.0"},
		{"ContentLength", "Content-Length: 43", "Content-Length: 42"},
		{"Target", "Service.Operation", "Service.Operations"},
		{"HeaderOrder", "X-Note: one\nX-Note: two  three", "X-Note: two  three\nX-Note: one"},
		{"HeaderMore", "X-Note: one\n", "X-Note: one\nX-Note: one\n"},
		{"HeaderLess", "X-Note: one\n", ""},
		{"Date", "X-Amz-Date: 20240301T120000Z", "X-Amz-Date: 20240301T120001Z"},
		{"Body", `"RecordPatches":[]`, `"RecordPatches":{}`},
		{"Region", "/us-east-1/", "/us-east-2/"},
		{"Service", "/cognito-sync/", "/kinesis/"},
		{"SignedHeaders", ";x-note,", ","},
		{"SignedHeadersMore", ";x-note,", ";x-note;x-other,"},
		{"SignatureShort", "Signature=", "Signature=0"},
		{"SignatureZero", text[strings.Index(text, "Signature=")+10:][:8], "00000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(text, c.from, c.to, 1)
			if changed == text {
				t.Fatalf("no %q in\n%s", c.from, text)
			}
			r, body := parseRequest(t, changed)
			p, _, err := verifier(someone(), noon(t)).Verify(r, body)
			wantFault(t, err, "InvalidSignatureException", "The request signature we calculated does not match")
			if p != "" {
				t.Errorf("principal %q with an error", p)
			}
		})
	}
}

// TestVerifyEqual makes changes that mean nothing, which proxies and SDKs make.
func TestVerifyEqual(t *testing.T) {
	text := signedText(t)
	for _, c := range []struct{ name, from, to string }{
		{"QueryOrder", "lastSyncCount=0&b=x+y", "b=x+y&lastSyncCount=0"},
		{"QuerySpace", "b=x+y", "b=x%20y"},
		{"QueryEscapes", "lastSyncCount", "last%53ync%43ount"},
		{"QueryEmptyPair", "?last", "?&last"},
		{"HeaderSpace", "X-Note: two  three", "X-Note:  \t two \t three \t"},
		{"UnsignedHeader", "User-Agent: ", "X-Forwarded-For: 10.0.0.1\nUser-Agent: Other "},
		{"AuthorizationSpaces", ", SignedHeaders=", ",SignedHeaders="},
		{"NamesCase", "SignedHeaders=content-length", "SignedHeaders=Content-Length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(text, c.from, c.to, 1)
			if changed == text {
				t.Fatalf("no %q in\n%s", c.from, text)
			}
			r, body := parseRequest(t, changed)
			if _, _, err := verifier(someone(), noon(t)).Verify(r, body); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestVerifyRefuses goes through what is refused whatever the key.
func TestVerifyRefuses(t *testing.T) {
	const (
		incomplete = "IncompleteSignatureException"
		invalid    = "InvalidSignatureException"
	)
	text := signedText(t)
	auth := text[strings.Index(text, "Authorization: "):]
	auth = auth[:strings.Index(auth, "\n")]
	for _, c := range []struct{ name, from, to, code, message string }{
		{"Unsigned", auth + "\n", "", "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"EmptyAuthorization", auth, "Authorization:", "MissingAuthenticationTokenException", ""},
		{"OtherScheme", auth, "Authorization: Bearer abc", incomplete, "Invalid key=value pair (missing equal-sign) in Authorization header"},
		{"OtherAlgorithm", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA1 ", incomplete, "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'."},
		{"NoSpace", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256", incomplete, "Unsupported AWS 'algorithm'"},
		{"NoCredential", "Credential=", "Other=", incomplete, "Authorization header requires 'Credential' parameter."},
		{"NoSignedHeaders", "SignedHeaders=", "Other=", incomplete, "Authorization header requires 'SignedHeaders' parameter."},
		{"NoSignature", "Signature=", "Other=", incomplete, "Authorization header requires 'Signature' parameter."},
		{"TwoSignatures", ", Signature=", ", Signature=00, Signature=", incomplete, "one 'Signature'"},
		{"BarePair", ", Signature=", ", x, Signature=", incomplete, "missing equal-sign"},
		{"LongAuthorization", "Signature=", "X=" + strings.Repeat("x", 9000) + ", Signature=", incomplete, "too long"},
		{"NoDate", "X-Amz-Date: 20240301T120000Z\n", "", incomplete, "requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		{"BadDate", "X-Amz-Date: 20240301T120000Z", "X-Amz-Date: 2024-03-01T12:00", incomplete, "Date must be in ISO-8601 'basic format'. Got '2024-03-01T12:00'."},
		{"FractionalDate", "X-Amz-Date: 20240301T120000Z", "X-Amz-Date: 20240301T120000.1Z", incomplete, "Date must be in ISO-8601"},
		{"NoSuchDate", "X-Amz-Date: 20240301", "X-Amz-Date: 20240231", incomplete, "Date must be in ISO-8601"},
		{"FewElements", "/aws4_request", "", incomplete, "Credential must have exactly 5 slash-delimited elements"},
		{"ManyElements", "/aws4_request", "/aws4_request/", incomplete, "Credential must have exactly 5 slash-delimited elements"},
		{"NoAccessKey", "Credential=ASIAEXAMPLE", "Credential=", incomplete, "Credential must have exactly 5 slash-delimited elements"},
		{"Terminator", "/aws4_request", "/aws5_request", invalid, "valid terminator: 'aws4_request', not 'aws5_request'"},
		{"OtherDay", "ASIAEXAMPLE/20240301", "ASIAEXAMPLE/20240229", invalid, "Date in Credential scope does not match"},
		{"NoRegion", "/us-east-1/", "//", invalid, "valid region, not ''"},
		{"OtherRegion", "/us-east-1/", "/mars-1/", invalid, "valid region, not 'mars-1'"},
		{"NoService", "/cognito-sync/", "//", invalid, "correct service"},
		{"HostUnsigned", ";host", "", invalid, "'Host' or ':authority' must be a 'SignedHeader'"},
		{"TokenUnsigned", ";x-amz-security-token", "", invalid, "'X-Amz-Security-Token' must be a 'SignedHeader'"},
		{"BadName", ";host", ";host;a:b", incomplete, "SignedHeaders must be"},
		{"NamesOrder", "content-length;content-type;", "content-type;content-length;", incomplete, "ascending order"},
		{"NameTwice", ";host", ";host;host", incomplete, "twice"},
		{"NameTwiceByCase", ";host", ";Host;host", incomplete, "twice"},
		{"NoName", ";host", ";;host", incomplete, "ascending"},
		{"NoNameAtTheEnd", ";x-note,", ";x-note;,", incomplete, "ascending"},
		{"TargetUnsigned", ";x-amz-target", "", invalid, "'X-Amz-Target' must be a 'SignedHeader'"},
		{"ManyNames", ";host", ";host" + strings.Repeat(";a", 64), incomplete, "Too many SignedHeaders"},
		{"TwoAuthorizations", auth, auth + "\n" + auth, incomplete, "once"},
		{"TwoDates", "X-Amz-Date:", "X-Amz-Date: 20240301T120000Z\nX-Amz-Date:", incomplete, "once"},
		{"TwoTokens", "X-Amz-Security-Token:", "X-Amz-Security-Token: x\nX-Amz-Security-Token:", incomplete, "once"},
		{"TwoHashes", "X-Note: one", "X-Amz-Content-Sha256: x\nX-Amz-Content-Sha256: x", incomplete, "once"},
		{"BothForms", "lastSyncCount=0", "X-Amz-Signature=00", incomplete, "Only one auth mechanism allowed"},
		{"OtherHash", "X-Note: one", "X-Amz-Content-Sha256: " + strings.Repeat("0", 64), invalid, "'x-amz-content-sha256' header does not match"},
		{"UnsignedPayload", "X-Note: one", "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD", invalid, "must be signed"},
		{"StreamingPayload", "X-Note: one", "X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", invalid, "must be signed"},
		{"BadEscape", "b=x+y", "b=%zz", "MalformedQueryString", "syntax error"},
		{"CutEscape", "b=x+y", "b=x%2", "MalformedQueryString", "syntax error"},
		{"ManyParams", "b=x+y", strings.Repeat("&", 1000), "MalformedQueryString", "Too many"},
		{"UnknownKey", "Credential=ASIAEXAMPLE", "Credential=ASIAOTHER", "UnrecognizedClientException", "The security token included in the request is invalid."},
		{"UnknownToken", "tokenEXAMPLE", "tokenOTHER", "UnrecognizedClientException", "The security token included in the request is invalid."},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(text, c.from, c.to, 1)
			if changed == text {
				t.Fatalf("no %q in\n%s", c.from, text)
			}
			r, body := parseRequest(t, changed)
			v := verifier(someone(), noon(t))
			v.Region = func(region string) bool { return region == "us-east-1" }
			p, scope, err := v.Verify(r, body)
			wantFault(t, err, c.code, c.message)
			if p != "" || scope != (awswire.Scope{}) {
				t.Errorf("%q, %+v with an error", p, scope)
			}
		})
	}
}

func TestVerifySecret(t *testing.T) {
	r, body := parseRequest(t, signedText(t))
	secret := "secretOTHER"
	v := &awswire.Verifier[int]{
		Lookup: func(context.Context, string, string) (string, int, error) { return secret, 1, nil },
		Now:    func() time.Time { return noon(t) },
	}
	_, _, err := v.Verify(r, body)
	wantFault(t, err, "InvalidSignatureException", "The Canonical String for this request should have been\n'POST\n/identitypools/us-east-1%253A")
	wantFault(t, err, "InvalidSignatureException", "The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20240301T120000Z\n20240301/us-east-1/cognito-sync/aws4_request\n")
	if strings.Contains(err.Error(), secret) {
		t.Error("the error names the secret")
	}
	secret = someone().SecretKey
	if _, _, err := v.Verify(r, body); err != nil {
		t.Error(err)
	}
	secret = "secretNEW" // the key of the old one is in the cache
	_, _, err = v.Verify(r, body)
	wantFault(t, err, "InvalidSignatureException", "does not match")
}

func TestVerifyLookupFault(t *testing.T) {
	r, body := parseRequest(t, signedText(t))
	expired := &awswire.Fault{Code: "ExpiredTokenException", Status: 400, Message: "The security token included in the request is expired"}
	v := &awswire.Verifier[int]{
		Lookup: func(context.Context, string, string) (string, int, error) {
			return "", 0, fmt.Errorf("look: %w", expired)
		},
		Now: func() time.Time { return noon(t) },
	}
	_, _, err := v.Verify(r, body)
	wantFault(t, err, "ExpiredTokenException", "The security token included in the request is expired")

	outage := errors.New("the disk is gone")
	v.Lookup = func(context.Context, string, string) (string, int, error) { return "", 0, outage }
	if _, scope, err := v.Verify(r, body); err != outage || scope != (awswire.Scope{}) { // not: an unknown key
		t.Errorf("%+v, %v", scope, err)
	}
}

func TestVerifySkew(t *testing.T) {
	text := signedText(t)
	for _, c := range []struct {
		name    string
		now     time.Duration
		message string
	}{
		{"Late", 5 * time.Minute, ""},
		{"TooLate", 5*time.Minute + time.Second, "Signature expired: 20240301T120000Z is now earlier than 20240301T120001Z (20240301T120501Z - 5 min.)"},
		{"Early", -5 * time.Minute, ""},
		{"TooEarly", -5*time.Minute - time.Second, "Signature not yet current: 20240301T120000Z is still later than 20240301T115959Z (20240301T115459Z + 5 min.)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, body := parseRequest(t, text)
			_, _, err := verifier(someone(), noon(t).Add(c.now)).Verify(r, body)
			if c.message != "" {
				wantFault(t, err, "InvalidSignatureException", c.message)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestVerifyDateHeader signs with Date alone, which SigV4 allows.
func TestVerifyDateHeader(t *testing.T) {
	r, _ := parseRequest(t, "GET / HTTP/1.1\nHost: h\nDate: Fri, 01 Mar 2024 12:00:00 GMT\n")
	c := someone()
	c.SessionToken = ""
	awswire.Sign(r, nil, c, "us-east-1", "x", noon(t))
	r.Header.Del("X-Amz-Date") // its line stays in the list of signed headers, and empty
	_, _, err := verifier(c, noon(t)).Verify(r, nil)
	wantFault(t, err, "InvalidSignatureException", "x-amz-date:\n\ndate;host;x-amz-date\n")
	r.Header.Add("Date", "x")
	_, _, err = verifier(c, noon(t)).Verify(r, nil)
	wantFault(t, err, "IncompleteSignatureException", "once")

	r, _ = parseRequest(t, "GET / HTTP/1.1\nHost: example.amazonaws.com\nDate: Sun, 30 Aug 2015 12:36:00 GMT\n"+
		"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "+
		"SignedHeaders=host, Signature=fa74fb782574d48baea5d44afde6391c3308ac0522e5e438ded9273c0adabadf\n")
	c = awswire.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	if _, _, err = verifier(c, parseStamp(t, "20150830T123600Z")).Verify(r, nil); err != nil {
		t.Error(err)
	}
}

func TestScopeOf(t *testing.T) {
	want := awswire.Scope{AccessKeyID: "ASIAEXAMPLE", Region: "us-east-1", Service: "cognito-sync"}
	r, _ := parseRequest(t, signedText(t))
	if got, ok := awswire.ScopeOf(r); !ok || got != want {
		t.Errorf("header: %+v, %t", got, ok)
	}
	link := awswire.Presign(newRequest(t, "GET", "/a", ""), someone(), "us-east-1", "cognito-sync", noon(t), time.Hour)
	want.Presigned = true
	if got, ok := awswire.ScopeOf(newRequest(t, "GET", strings.TrimPrefix(link, host), "")); !ok || got != want {
		t.Errorf("query: %+v, %t", got, ok)
	}
	for _, target := range []string{"/", "/?X-Amz-Credential=a/b", "/?X-Amz-Credential=%zz&X-Amz-Credential=a%2Fb%2Fc%2Fd%2Fe"} {
		if got, ok := awswire.ScopeOf(newRequest(t, "GET", target, "")); ok {
			t.Errorf("%s: %+v", target, got)
		}
	}
	for _, auth := range []string{"", "Bearer x", "AWS4-HMAC-SHA256 Credential=a/b"} {
		r := newRequest(t, "GET", "/", "")
		r.Header.Set("Authorization", auth)
		if got, ok := awswire.ScopeOf(r); ok {
			t.Errorf("%s: %+v", auth, got)
		}
	}
}

// TestVerifyConcurrent is for the race detector, and for the bound on the cache.
func TestVerifyConcurrent(t *testing.T) {
	v := verifier(someone(), noon(t))
	var group sync.WaitGroup
	for g := range 4 {
		s := awswire.Signer{Credentials: someone(), Region: "us-east-1", Service: "x"}
		group.Go(func() {
			for i := range 1500 {
				r := newRequest(t, "GET", "/", "")
				s.Sign(r, nil, noon(t))
				if _, _, err := v.Verify(r, nil); err != nil {
					t.Error(err)
				}
				r = newRequest(t, "GET", "/", "")
				awswire.Sign(r, nil, someone(), fmt.Sprintf("r%d-%d", g, i), "x", noon(t))
				if _, _, err := v.Verify(r, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n, most := awswire.CachedKeys(v); n > most || n < most/2 {
		t.Errorf("%d keys cached, bound %d", n, most)
	}
}

// TestVerifyCachesTheVerified keeps strangers out of the cache.
func TestVerifyCachesTheVerified(t *testing.T) {
	v := verifier(someone(), noon(t))
	c := someone()
	c.SecretKey = "guess"
	r := newRequest(t, "GET", "/", "")
	awswire.Sign(r, nil, c, "us-east-1", "x", noon(t))
	_, _, err := v.Verify(r, nil)
	wantFault(t, err, "InvalidSignatureException", "does not match")
	if n, _ := awswire.CachedKeys(v); n != 0 {
		t.Errorf("%d keys cached", n)
	}
}
