package awswire_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tributary/awswire"
)

func TestSignReplaces(t *testing.T) {
	r := newRequest(t, "GET", "/a", "")
	r.Header.Set("User-Agent", "x")
	awswire.Sign(r, nil, someone(), "us-east-1", "x", noon(t).Add(-time.Hour))
	c := someone()
	c.SessionToken = ""
	awswire.Sign(r, nil, c, "us-east-1", "x", noon(t).In(time.FixedZone("", 3600)))
	for name, want := range map[string]string{
		"X-Amz-Date": "20240301T120000Z", "X-Amz-Security-Token": "",
		"Authorization": "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20240301/us-east-1/x/aws4_request, SignedHeaders=host;x-amz-date, Signature=",
	} {
		if got := strings.Join(r.Header.Values(name), "\n"); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if _, _, err := verifier(c, noon(t)).Verify(r, nil); err != nil {
		t.Error(err)
	}
}

func TestSignBareRequest(t *testing.T) {
	r := &http.Request{URL: &url.URL{Scheme: "http", Host: "h", Path: "/"}}
	awswire.Sign(r, nil, someone(), "us-east-1", "x", noon(t))
	if _, _, err := verifier(someone(), noon(t)).Verify(r, nil); err != nil {
		t.Error(err)
	}
}

// TestSignerFollows has one Signer over midnight, and with other credentials.
func TestSignerFollows(t *testing.T) {
	s := awswire.Signer{Credentials: someone(), Region: "us-east-1", Service: "x"}
	for range 3 {
		for _, at := range []time.Time{noon(t), noon(t).Add(12 * time.Hour)} {
			r, want := newRequest(t, "GET", "/a", ""), newRequest(t, "GET", "/a", "")
			s.Sign(r, nil, at)
			awswire.Sign(want, nil, s.Credentials, s.Region, s.Service, at)
			if r.Header.Get("Authorization") != want.Header.Get("Authorization") {
				t.Errorf("%v, want %v", r.Header, want.Header)
			}
		}
		s.SecretKey += "x"
	}
}

func TestPresign(t *testing.T) {
	r := newRequest(t, "GET", "/a%3Ab/c?old=1&X-Amz-Signature=00&X-Amz-Date=x&=2&a+b%zz", "")
	r.Host = "elsewhere.example.com"
	link := awswire.Presign(r, someone(), "us-east-1", "x", noon(t), 90*time.Second)
	want := host + "/a%3Ab/c?old=1&=2&a%20b%25zz=&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE%2F20240301%2Fus-east-1%2Fx%2Faws4_request" +
		"&X-Amz-Date=20240301T120000Z&X-Amz-Expires=90&X-Amz-Security-Token=tokenEXAMPLE&X-Amz-SignedHeaders=host&X-Amz-Signature="
	if !strings.HasPrefix(link, want) {
		t.Fatalf("%s\nwant\n%s", link, want)
	}
	if r.URL.RawQuery != "old=1&X-Amz-Signature=00&X-Amz-Date=x&=2&a+b%zz" {
		t.Error("the request was changed")
	}
	target := strings.TrimPrefix(link, host)
	for _, c := range []struct {
		name, from, to string
		now            time.Duration
		code, message  string
	}{
		{name: "Now"},
		{name: "Last", now: 90 * time.Second},
		{name: "Early", now: -5 * time.Minute},
		{name: "Expired", now: 91 * time.Second, code: "InvalidSignatureException",
			message: "Signature expired: 20240301T120000Z is now earlier than 20240301T120001Z (20240301T120131Z - 90 sec.)"},
		{name: "TooEarly", now: -301 * time.Second, code: "InvalidSignatureException", message: "Signature not yet current"},
		{name: "Longer", from: "Expires=90", to: "Expires=91", code: "InvalidSignatureException", message: "does not match"},
		{name: "TooLong", from: "Expires=90", to: "Expires=604801", code: "IncompleteSignatureException", message: "must be less than 604800 seconds"},
		{name: "Zero", from: "Expires=90", to: "Expires=0", code: "IncompleteSignatureException", message: "positive"},
		{name: "NoNumber", from: "Expires=90", to: "Expires=-1", code: "IncompleteSignatureException", message: "should be a number"},
		{name: "Token", from: "=tokenEXAMPLE", to: "=", code: "UnrecognizedClientException"},
		{name: "Host", from: "host&", to: "x&", code: "InvalidSignatureException", message: "'Host' or ':authority'"},
		{name: "NoDate", from: "X-Amz-Date", to: "X-Amz-Day", code: "IncompleteSignatureException", message: "must include 'X-Amz-Date'."},
		{name: "NoAlgorithm", from: "X-Amz-Algorithm=", to: "X=", code: "IncompleteSignatureException", message: "must include 'X-Amz-Algorithm'."},
		{name: "OtherAlgorithm", from: "SHA256", to: "SHA1", code: "IncompleteSignatureException", message: "Unsupported AWS 'algorithm'"},
		{name: "NoSignature", from: "X-Amz-Signature=", to: "X=", code: "IncompleteSignatureException", message: "must include 'X-Amz-Signature'."},
		{name: "Twice", from: "?", to: "?X-Amz-Signature=00&", code: "IncompleteSignatureException", message: "'X-Amz-Signature' once"},
		{name: "Other", from: "old=1", to: "old=2", code: "InvalidSignatureException", message: "does not match"},
		{name: "Path", from: "%3A", to: ":", code: "InvalidSignatureException", message: "does not match"},
		{name: "NewlineInNames", from: "SignedHeaders=host", to: "SignedHeaders=host%0Aa", code: "IncompleteSignatureException", message: "SignedHeaders must be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(target, c.from, c.to, 1)
			_, scope, err := verifier(someone(), noon(t).Add(c.now)).Verify(newRequest(t, "GET", changed, "any"), []byte("any"))
			if c.code != "" {
				wantFault(t, err, c.code, c.message)
			} else if err != nil || !scope.Presigned {
				t.Errorf("%+v, %v", scope, err)
			}
		})
	}
}

// TestPresignCutsLifetime has links that live as long, and as short, as they may.
func TestPresignCutsLifetime(t *testing.T) {
	for expires, want := range map[time.Duration]string{
		-time.Hour: "1", 0: "1", 1500 * time.Millisecond: "1", 168 * time.Hour: "604800", 169 * time.Hour: "604800",
	} {
		u, err := url.Parse(awswire.Presign(newRequest(t, "GET", "", ""), someone(), "us-east-1", "x", noon(t), expires))
		if err != nil || u.Query().Get("X-Amz-Expires") != want {
			t.Errorf("%v: %v, %v", expires, u, err)
		}
	}
}

// TestPresignPayload has a presigned body, which may be signed or not.
func TestPresignPayload(t *testing.T) {
	hash := "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e" // of Param1=value1
	for _, c := range []struct {
		name, payload, declared, body string
		ok                            bool
	}{
		{"Signed", hash, "", "Param1=value1", true},
		{"SignedOther", hash, "", "Param1=value2", false},
		{"SignedDeclared", hash, hash, "Param1=value1", true},
		{"SignedDeclaredOther", hash, hash, "Param1=value2", false},
		{"SignedDeclaredUnsigned", hash, "UNSIGNED-PAYLOAD", "Param1=value1", false},
		{"Unsigned", "UNSIGNED-PAYLOAD", "", "any", true},
		{"UnsignedDeclared", "UNSIGNED-PAYLOAD", "UNSIGNED-PAYLOAD", "any", true},
		{"UnsignedDeclaredHash", "UNSIGNED-PAYLOAD", hash, "Param1=value1", false},
		{"Streaming", "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "any", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			link := awswire.PresignAs(newRequest(t, "POST", "/", ""), someone(), "us-east-1", "x", noon(t), time.Hour, "host", c.payload)
			r := newRequest(t, "POST", strings.TrimPrefix(link, host), "")
			if c.declared != "" {
				r.Header.Set("X-Amz-Content-Sha256", c.declared)
			}
			_, _, err := verifier(someone(), noon(t)).Verify(r, []byte(c.body))
			if !c.ok {
				wantFault(t, err, "InvalidSignatureException", "")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
