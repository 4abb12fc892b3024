package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/awswire"
)

// TestDoorSettings: what cannot be meant is a wrong command line.
func TestDoorSettings(t *testing.T) {
	for _, c := range []struct{ flag, value, says string }{
		{"--cors-origins", "*,https://a.example.org", "names * and others: it stands alone"},
		{"--cors-origins", "https://a.example.org,none", "names none and others: it stands alone"},
		{"--cors-origins", "app.example.org", "like https://app.example.org"},
		{"--cors-origins", "https://app.example.org/", "without a path"},
		{"--cors-origins", "https://App.example.org", "in lower case"},
		{"--cors-origins", "https://app.example.org:443", "without the scheme's usual port"},
		{"--cors-origins", "https://", "it must be * or none"},
		{"--cors-origins", "https://*.example.org", "without a * (name each origin)"},
		{"--cors-origins", "https://app.example.org,https://app.*.org", "without a * (name each origin)"},
		{"--cors-origins", "https://bücher.example", "in ASCII (xn--…)"},
		{"--cors-origins", "https://app.example.org:", "without the scheme's usual port"},
		{"--login-endpoints", "login.test=proxy.example.org", "must be like https://accounts.example.org"},
		{"--login-endpoints", "login.test=ftp://proxy.example.org", "http or https"},
		{"--login-endpoints", "login.test=https://user:word@proxy.example.org", "a path at most"},
		{"--login-endpoints", "login.test=https://proxy.example.org/?key=word", "a path at most"},
		{"--login-endpoints", "login.test=https://:443/", "a URL for login.test that cannot be used"},
		{"--login-endpoints", "https://login.test=https://proxy.example.org", "it must be as in Logins"},
		{"--max-connections", "-1", "--max-connections is -1, it must be between 0 and 1048576"},
		{"--identity-rate", "-1", "--identity-rate is -1, it must be between 0 and 1000000"},
		{"--pool-rate", "1000001", "between 0 and 1000000"},
		{"--public-rate", "-5", "--public-rate is -5"},
		{"--proxies", "17", "between 0 and 16"},
	} {
		// Without its certificate a server that takes the setting ends all the same.
		if code, _, stderr := tool(t, nil, "serve", "--tls-cert=none", "--tls-key=none", c.flag+"="+c.value); code != 2 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s %s: exit code %d: %s", c.flag, c.value, code, stderr)
		}
	}
	for _, good := range []string{"*", "none", "http://localhost:3000", "https://a.example.org:8443", "capacitor://localhost", "http://[::1]:3000", "chrome-extension://abcdef"} {
		if err := checkOrigins([]string{good}); err != nil {
			t.Error(err)
		}
	}
}

// TestTellDoor: what is open at the start is said at the start, with what to do.
func TestTellDoor(t *testing.T) {
	const plain, forged = "requests are signed, not encrypted", "can be forged"
	for _, c := range []struct {
		listen, public string
		endpoints      map[string]string
		says           []string // all that is warned of
	}{
		{"127.0.0.1:8080", "", nil, nil},
		{"localhost:8080", "", nil, nil},
		{"[::1]:8080", "", nil, nil},
		{"0.0.0.0:8080", "", nil, []string{plain}},
		{":8080", "", nil, []string{plain}},
		{"192.0.2.1:8080", "http://sync.example.org", nil, []string{plain}},
		{"192.0.2.1:8080", "https://sync.example.org", nil, nil},
		{"127.0.0.1:0", "", map[string]string{"a.test": "https://proxy.example.org/x", "b.test": "http://127.0.0.1:9", "c.test": "http://localhost", "d.test": "http://[::1]:9"}, nil},
		{"127.0.0.1:0", "", map[string]string{"a.test": "http://keycloak:8080/realms/a", "b.test": "https://proxy.example.org"}, []string{forged + ".* provider=a.test endpoint=http://keycloak:8080/realms/a"}},
		{"127.0.0.1:0", "", map[string]string{"a.test": "http://192.0.2.1", "b.test": "http://localhost.example.org"}, []string{forged + ".* provider=a.test", forged + ".* provider=b.test"}},
	} {
		var log bytes.Buffer
		s := &server{cfg: &serveCmd{Listen: c.listen, PublicURL: c.public, LoginEndpoints: c.endpoints}, log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := s.tellDoor(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(log.String(), "level=WARN"); got != len(c.says) {
			t.Errorf("%+v: %d warnings: %s", c, got, log.String())
		}
		for _, want := range c.says {
			if !regexp.MustCompile("level=WARN.*" + want).MatchString(log.String()) {
				t.Errorf("%+v: the log says %s", c, log.String())
			}
		}
		for provider, endpoint := range c.endpoints {
			if !strings.Contains(log.String(), `level=INFO msg="a login provider is asked at another address than its own" provider=`+provider+" endpoint="+endpoint) {
				t.Errorf("%s is not said to be at %s: %s", provider, endpoint, log.String())
			}
		}
	}
	var log bytes.Buffer
	s := &server{cfg: &serveCmd{Listen: ":8080"}, log: slog.New(slog.NewTextHandler(&log, nil)), tls: &tls.Config{}}
	if err := s.tellDoor(t.Context()); err != nil || log.Len() > 0 {
		t.Errorf("with TLS: %v, %s", err, log.String())
	}
}

// answerTo sends a request and gives its answer, whose body is read.
func answerTo(t *testing.T, s *server, method, path string, h http.Header, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = h
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(text)
}

// TestPages: which parts of the port a page of another origin may use.
func TestPages(t *testing.T) {
	const origin = "https://app.example.org"
	for _, c := range []struct {
		origins string
		allowed bool
	}{{"*", true}, {origin, true}, {"https://other.example.org", false}, {noOrigins, false}} {
		s := startServer(t, func(cfg *serveCmd) { cfg.Warehouse, cfg.CORSOrigins = "none", []string{c.origins} })
		open := func(a *http.Response) bool { return len(a.Header["Access-Control-Allow-Origin"]) == 1 }
		for what, request := range map[string]struct {
			method, path, target string
			aws                  bool
		}{
			"sync":             {"GET", "/identitypools/us-east-1%3Ax/identities/y/datasets", "", true},
			"no operation":     {"GET", "/nothing", "", true},
			"identity":         {"POST", "/", "AWSCognitoIdentityService.GetId", true},
			"unknown identity": {"POST", "/", "AWSCognitoIdentityService.Nothing", true},
			"kinesis":          {"POST", "/", "Kinesis_20131202.ListStreams", true},
			"sts":              {"GET", "/?Action=GetCallerIdentity", "", true},
			"our own":          {"POST", "/_tributary/v1/query", "", false},
			"a link":           {"GET", "/_tributary/payload/1/0/1", "", false},
			"metrics":          {"GET", "/metrics", "", false},
			"health":           {"GET", "/healthz", "", false},
		} {
			h := http.Header{"Origin": {origin}}
			if request.target != "" {
				h.Set("X-Amz-Target", request.target)
			}
			if a, _ := answerTo(t, s, request.method, request.path, h, "{}"); open(a) != (c.allowed && request.aws) {
				t.Errorf("origins %s, %s: %d %v", c.origins, what, a.StatusCode, a.Header)
			}
			// The preflight has neither target nor signature.
			h = http.Header{"Origin": {origin}, "Access-Control-Request-Method": {request.method}, "Access-Control-Request-Headers": {"authorization,x-amz-target"}}
			if a, _ := answerTo(t, s, "OPTIONS", request.path, h, ""); open(a) != (c.allowed && request.aws) || open(a) && a.StatusCode != 200 {
				t.Errorf("origins %s, %s, preflight: %d %v", c.origins, what, a.StatusCode, a.Header)
			}
		}
	}
}

// TestRates: who asks too often is told so in each wire's words, with when to
// try again, and others are not held up.
func TestRates(t *testing.T) {
	s := startServer(t, func(c *serveCmd) {
		c.Warehouse, c.IdentityRate, c.PublicRate, c.Proxies = "none", 1, 2, 1
	})
	developer, err := readCredentials(filepath.Join(s.cfg.Data, credentialsName))
	if err != nil {
		t.Fatal(err)
	}
	identity := func(as *awswire.Credentials, from, operation, body string, out any) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService."+operation)
		r.Header.Set("X-Forwarded-For", from)
		if as != nil {
			awswire.Sign(r, []byte(body), *as, "us-east-1", "cognito-identity", time.Now())
		}
		a, text := answerTo(t, s, r.Method, "/", r.Header, body)
		if out != nil {
			if err := json.Unmarshal([]byte(text), out); err != nil || a.StatusCode != 200 {
				t.Fatalf("%s: %d %s", operation, a.StatusCode, text)
			}
		}
		return a, text
	}
	var pool struct{ IdentityPoolId string }
	identity(&developer, "", "CreateIdentityPool", `{"IdentityPoolName":"p","AllowUnauthenticatedIdentities":true}`, &pool)
	var guest struct {
		IdentityId  string
		Credentials struct{ AccessKeyId, SecretKey, SessionToken string }
	}
	get := `{"IdentityPoolId":"` + pool.IdentityPoolId + `"}`
	identity(nil, "192.0.2.1", "GetId", get, &guest)
	identity(nil, "192.0.2.1", "GetCredentialsForIdentity", `{"IdentityId":"`+guest.IdentityId+`"}`, &guest)
	var a *http.Response
	var text string
	for range 100 { // each takes some of the time in which a token comes back
		if a, text = identity(nil, "192.0.2.1", "GetId", get, nil); a.StatusCode != 200 {
			break
		}
	}
	if a.StatusCode != 400 || !strings.Contains(text, "TooManyRequestsException") || !strings.Contains(text, "2 requests per second") || a.Header.Get("Retry-After") != "1" {
		t.Errorf("GetId: %d %v %s", a.StatusCode, a.Header, text)
	}
	identity(nil, "192.0.2.2", "GetId", get, &guest) // for another address
	for range 100 {
		h := http.Header{"X-Forwarded-For": {"192.0.2.4"}, "Content-Type": {"application/x-www-form-urlencoded"}}
		if a, text = answerTo(t, s, "POST", "/", h, "Action=AssumeRoleWithWebIdentity"); !strings.Contains(text, "ValidationError") {
			break
		}
	}
	if a.StatusCode != 400 || !strings.Contains(text, "<Code>Throttling</Code>") || a.Header.Get("Retry-After") != "1" {
		t.Errorf("AssumeRoleWithWebIdentity: %d %v %s", a.StatusCode, a.Header, text)
	}

	list := func(as awswire.Credentials) (*http.Response, string) {
		path := "/identitypools/" + pool.IdentityPoolId + "/identities/" + guest.IdentityId + "/datasets"
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		awswire.Sign(r, nil, as, "us-east-1", "cognito-sync", time.Now())
		return answerTo(t, s, "GET", path, r.Header, "")
	}
	identity(nil, "192.0.2.3", "GetCredentialsForIdentity", `{"IdentityId":"`+guest.IdentityId+`"}`, &guest)
	as := awswire.Credentials{AccessKeyID: guest.Credentials.AccessKeyId, SecretKey: guest.Credentials.SecretKey, SessionToken: guest.Credentials.SessionToken}
	for range 100 {
		if a, text = list(as); a.StatusCode != 200 {
			break
		}
	}
	if a.StatusCode != 429 || a.Header.Get("x-amzn-ErrorType") != "TooManyRequestsException" || a.Header.Get("Retry-After") != "1" {
		t.Errorf("ListDatasets: %d %v %s", a.StatusCode, a.Header, text)
	}
	for range 20 {
		if a, text := list(developer); a.StatusCode != 200 {
			t.Fatalf("a developer: %d %s", a.StatusCode, text)
		}
	}
}
