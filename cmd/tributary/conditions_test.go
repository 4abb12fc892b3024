package main

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
)

// TestRequestOfACall: what proxies say counts where there are some, and only
// against a request.
func TestRequestOfACall(t *testing.T) {
	const public = "https://sync.example.org"
	for _, c := range []struct {
		name            string
		proxies         int
		public          string
		tls             bool
		forwarded, says []string // X-Forwarded-For, X-Forwarded-Proto
		client          string
		secure          bool
	}{
		{"Plain", 0, "", false, nil, nil, "192.0.2.1", false},
		{"TLS", 0, "", true, nil, nil, "192.0.2.1", true},
		{"PublicURLAlone", 0, public, false, nil, nil, "192.0.2.1", false},
		{"HeadersOfAClient", 0, public, false, []string{"203.0.113.7"}, []string{"https"}, "192.0.2.1", false},
		{"Proxy", 1, public, false, []string{"203.0.113.7"}, []string{"https"}, "203.0.113.7", true},
		{"ProxyWithoutProto", 1, public, false, []string{"203.0.113.7"}, nil, "203.0.113.7", true},
		{"ProxyAskedInPlain", 1, public, false, []string{"203.0.113.7"}, []string{"http"}, "203.0.113.7", false},
		{"ProxyAskedInPlainAsksByTLS", 1, public, true, []string{"203.0.113.7"}, []string{"http"}, "203.0.113.7", false},
		{"ProxyInPlain", 1, "http://sync.example.org", false, []string{"203.0.113.7"}, []string{"https"}, "203.0.113.7", false},
		{"ProxyThatNoURLSpeaksOf", 1, "", true, []string{"203.0.113.7"}, []string{"https"}, "203.0.113.7", false},
		{"ForgedBeforeAProxyThatAdds", 1, public, false, []string{"10.0.0.1, 203.0.113.7"}, []string{"https, http"}, "203.0.113.7", false},
		{"ForgedInALineOfItsOwn", 1, public, false, []string{"10.0.0.1", "203.0.113.7"}, []string{"https", "http"}, "203.0.113.7", false},
		{"TwoProxies", 2, public, false, []string{"203.0.113.7, 10.0.0.1"}, []string{"HTTPS, https"}, "203.0.113.7", true},
		{"PastTheProxy", 1, public, false, nil, []string{"https"}, "192.0.2.1", false},
		{"PastTheProxyByTLS", 1, public, true, nil, nil, "192.0.2.1", true},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = "192.0.2.1:1234"
		r.Header = http.Header{"X-Forwarded-For": c.forwarded, "X-Forwarded-Proto": c.says, "User-Agent": {"x"}}
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		s := &server{cfg: &serveCmd{PublicURL: c.public}}
		p, _ := s.begin(&auth.Limits{Proxies: c.proxies})(tributary.Principal{Identity: "i"}, r, "a:b", "r")
		got := p.Call.Request
		if got.Client() != netip.MustParseAddr(c.client) || got.Secure() != c.secure || got.Header("User-Agent") != "x" {
			t.Errorf("%s: client %s, secure %t, want %s, %t", c.name, got.Client(), got.Secure(), c.client, c.secure)
		}
	}
}

// TestConditionsOfRequests: a running server keeps out whom a key's policy does,
// by what the request is.
func TestConditionsOfRequests(t *testing.T) {
	const policy = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kinesis:*", "Resource": "*"},
		{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
		{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": ["127.0.0.1", "203.0.113.0/24"]}}}]}`
	certificate := newPair(t)
	certificate.write(certificate.issue("a", time.Now().Add(time.Hour)))
	proxied := func(client, proto string) http.Header {
		return http.Header{"X-Forwarded-For": {client}, "X-Forwarded-Proto": {proto}}
	}
	for _, c := range []struct {
		name      string
		edit      func(*serveCmd)
		good, bad []http.Header
	}{
		{"Plain", func(*serveCmd) {}, nil, []http.Header{{}, proxied("203.0.113.7", "https")}},
		{"TLS", func(c *serveCmd) { c.TLSCert, c.TLSKey = certificate.cert, certificate.key }, []http.Header{{}}, nil},
		{"Proxy", func(c *serveCmd) { c.Proxies, c.PublicURL = 1, "https://sync.example.org" },
			[]http.Header{proxied("203.0.113.7", "https")},
			[]http.Header{proxied("203.0.113.7", "http"), proxied("192.0.2.1", "https"), {}}},
	} {
		s := startServer(t, func(to *serveCmd) { to.Warehouse = "none"; c.edit(to) })
		key, err := readCredentials(filepath.Join(s.cfg.Data, credentialsName))
		if err != nil {
			t.Fatal(err)
		}
		stored, secret, err := (&auth.Developers{Auth: s.auth}).Create(t.Context(), "", policy)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(as awswire.Credentials, h http.Header) (int, string) {
			r, err := http.NewRequestWithContext(t.Context(), "POST", s.url()+"/", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = h.Clone()
			r.Header.Set("X-Amz-Target", "Kinesis_20131202.ListStreams")
			awswire.Sign(r, []byte("{}"), as, "us-east-1", "kinesis", time.Now())
			res, err := certificate.trust().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			var answer struct {
				Type string `json:"__type"`
			}
			if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
				t.Fatal(err)
			}
			return res.StatusCode, answer.Type
		}
		bounded := awswire.Credentials{AccessKeyID: stored.ID, SecretKey: secret}
		for _, h := range c.good {
			if status, kind := ask(bounded, h); status != 200 {
				t.Errorf("%s with %v: %d %s", c.name, h, status, kind)
			}
		}
		for _, h := range c.bad {
			if status, kind := ask(bounded, h); status != 400 || kind != "AccessDeniedException" {
				t.Errorf("%s with %v: %d %s", c.name, h, status, kind)
			}
			if status, kind := ask(key, h); status != 200 {
				t.Errorf("%s without a policy with %v: %d %s", c.name, h, status, kind)
			}
		}
	}
}
