package main

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tlsServer runs a server with a certificate that signs itself.
func tlsServer(t *testing.T, name string, until time.Time) (*pair, *server) {
	t.Helper()
	p := newPair(t)
	p.write(p.issue(name, until))
	return p, startServer(t, func(c *serveCmd) { c.Warehouse, c.TLSCert, c.TLSKey = "none", p.cert, p.key })
}

// TestOtherScheme: an address with the wrong scheme is refused with the right
// one, and with where it was said.
func TestOtherScheme(t *testing.T) {
	_, s := tlsServer(t, "it", time.Now().Add(time.Hour))
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	address := s.listener.Addr().String()
	key := credentialsFile(t)
	speaks := "http://" + address + " speaks TLS: --server must be https://" + address
	for _, c := range []struct {
		env, server, want string
	}{
		{"", "http://" + address, speaks + "\n"},
		{"AWS_ENDPOINT_URL", "http://" + address, speaks + " (from AWS_ENDPOINT_URL)\n"},
		{"TRIBUTARY_SERVER", "http://" + address, speaks + " (from TRIBUTARY_SERVER)\n"},
		{"", strings.Replace(plain.URL, "http:", "https:", 1), " does not speak TLS: --server must be " + plain.URL + "\n"},
	} {
		args := []string{"query", "--credentials", key, "SELECT 1"}
		env := map[string]string{c.env: c.server}
		if c.env == "" {
			env, args = nil, append(args, "--server", c.server)
		}
		if code, _, stderr := tool(t, env, args...); code != 1 || !strings.HasSuffix(stderr, c.want) {
			t.Errorf("%v: %d %s", c, code, stderr)
		}
	}
}

// TestTrust: whom commands trust, and what helps who is not trusted.
func TestTrust(t *testing.T) {
	p, s := tlsServer(t, "it", time.Now().Add(time.Hour))
	_, late := tlsServer(t, "late", time.Now().Add(-time.Hour))
	list := func(s *server, bundle string) (int, string) {
		t.Helper()
		code, _, stderr := tool(t, map[string]string{"AWS_CA_BUNDLE": bundle}, "access-key", "list", "--server", s.url(), "--data", s.cfg.Data)
		return code, stderr
	}
	if code, stderr := list(s, p.cert); code != 0 {
		t.Errorf("%d %s", code, stderr)
	}
	for _, c := range []struct {
		s             *server
		bundle, wants string
	}{
		{s, "", s.url() + " cannot be trusted: tls: failed to verify certificate: x509: certificate signed by unknown authority (SSL_CERT_FILE or AWS_CA_BUNDLE can name a file"},
		{late, late.cfg.TLSCert, late.url() + " cannot be trusted: tls: failed to verify certificate: x509: certificate has expired"},
		{s, "/nowhere", "AWS_CA_BUNDLE: open /nowhere: no such file"},
		{s, p.key, "AWS_CA_BUNDLE: " + p.key + " has no certificate, it must hold those of CAs, in PEM"},
	} {
		if code, stderr := list(c.s, c.bundle); code != 1 || !strings.Contains(stderr, c.wants) || strings.Contains(stderr, "is the server running") {
			t.Errorf("%q: %d %s", c.bundle, code, stderr)
		}
	}
}

// TestBundleHint: what a start says to try works with a certificate that signs
// itself.
func TestBundleHint(t *testing.T) {
	p, s := tlsServer(t, "it", time.Now().Add(time.Hour))
	var said strings.Builder
	s.greet(&said)
	oneLine(t, said.String(), "  export AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(s.cfg.Data, credentialsName)+" AWS_CA_BUNDLE="+p.cert+" AWS_ENDPOINT_URL="+s.url())
	known := x509.NewCertPool()
	known.AddCert(mustLoad(t, p).Leaf)
	if hint := s.bundleHint(known); hint != "" {
		t.Errorf("for a CA that is known: %s", hint)
	}
	said.Reset()
	startServer(t, func(c *serveCmd) { c.Warehouse = "none" }).greet(&said)
	if strings.Contains(said.String(), "AWS_CA_BUNDLE") {
		t.Errorf("without TLS: %s", said.String())
	}
}
