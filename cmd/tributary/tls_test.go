package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pair is the two files of a certificate.
type pair struct {
	*testing.T
	cert, key string
}

func newPair(t *testing.T) *pair {
	dir := t.TempDir()
	return &pair{t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// issue makes a certificate for 127.0.0.1 of a name, which signs itself.
func (p *pair) issue(name string, until time.Time) (cert, key []byte) {
	p.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.ok(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	p.ok(err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	p.ok(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func (p *pair) ok(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// write replaces both files.
func (p *pair) write(cert, key []byte) {
	p.Helper()
	p.ok(os.WriteFile(p.cert, cert, 0o600))
	p.ok(os.WriteFile(p.key, key, 0o600))
}

// trust is a client that takes only certificates of a file.
func (p *pair) trust() *http.Client {
	text, err := os.ReadFile(p.cert)
	p.ok(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
}

// shown is the name of the certificate that a server shows to a new connection.
func (p *pair) shown(s *server, versions ...uint16) (string, error) {
	p.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true} // it is looked at below
	if len(versions) == 1 {
		cfg.MinVersion, cfg.MaxVersion = versions[0], versions[0]
	}
	c, err := tls.Dial("tcp", s.listener.Addr().String(), cfg)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestTLS replaces the certificate of a server under way: new connections see
// the new one, and what is none is told of once and changes nothing.
func TestTLS(t *testing.T) {
	p := newPair(t)
	until := time.Now().Add(time.Hour)
	p.write(p.issue("first", until))
	log := &safeBuffer{}
	c := usualSettings(t.TempDir())
	c.Warehouse, c.TLSCert, c.TLSKey = "none", p.cert, p.key
	s, err := newServer(t.Context(), &c, slog.New(slog.NewTextHandler(log, nil)))
	p.ok(err)
	// The server's own clock of when to look, so that no test waits for it.
	files := &certificate{certFile: p.cert, keyFile: p.key, log: s.log, used: mustLoad(t, p)}
	var mu sync.Mutex
	clock := time.Now()
	files.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return clock }
	files.looked = clock
	s.http.TLSConfig.GetCertificate = files.get
	runServer(t, s)
	later := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); clock = clock.Add(d) }
	expect := func(want string) {
		t.Helper()
		if name, err := p.shown(s); err != nil || name != want {
			t.Fatalf("the server shows %q, %v, want %q\n%s", name, err, want, log)
		}
	}
	count := func(text string, want int) {
		t.Helper()
		if n := strings.Count(log.String(), text); n != want {
			t.Errorf("%d times %q, want %d:\n%s", n, text, want, log)
		}
	}

	expect("first")
	a, err := p.trust().Get(s.url() + "/healthz")
	p.ok(err)
	_ = a.Body.Close()
	if a.StatusCode != 200 || a.ProtoMajor != 2 || !strings.HasPrefix(s.url(), "https://") {
		t.Errorf("%d over HTTP/%d from %s", a.StatusCode, a.ProtoMajor, s.url())
	}
	p.write(p.issue("second", until))
	expect("first") // it was looked at a moment ago
	later(lookEvery)
	expect("second")
	later(lookEvery)
	expect("second")
	count("was replaced", 1)

	cert, key := p.issue("third", until)
	p.ok(os.WriteFile(p.cert, cert, 0o600)) // and the key is still the other's
	for range 3 {
		later(lookEvery)
		expect("second")
	}
	count("cannot be read again", 1)
	p.ok(os.WriteFile(p.key, []byte("nonsense"), 0o600))
	for range 3 {
		later(lookEvery)
		expect("second")
	}
	count("cannot be read again", 2)
	p.ok(os.WriteFile(p.key, key, 0o600))
	later(lookEvery)
	expect("third")
	count("was replaced", 2)
	if strings.Contains(log.String(), "nonsense") {
		t.Errorf("the log holds the key: %s", log)
	}
}

func mustLoad(t *testing.T, p *pair) *tls.Certificate {
	t.Helper()
	c, err := (&certificate{certFile: p.cert, keyFile: p.key}).load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTLSVersions: nothing older than TLS 1.2, and no HTTP without it.
func TestTLSVersions(t *testing.T) {
	p := newPair(t)
	p.write(p.issue("it", time.Now().Add(time.Hour)))
	s := startServer(t, func(c *serveCmd) { c.Warehouse, c.TLSCert, c.TLSKey = "none", p.cert, p.key })
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		if name, err := p.shown(s, version); (err == nil) != good {
			t.Errorf("%s: %q, %v", tls.VersionName(version), name, err)
		}
	}
	c, err := net.Dial("tcp", s.listener.Addr().String())
	p.ok(err)
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	p.ok(err)
	if text, _ := io.ReadAll(c); !strings.HasPrefix(string(text), "HTTP/1.0 400") {
		t.Errorf("without TLS: %q", text)
	}
}

// TestTLSReplacedUnderWay does it once with the clock that the server has.
func TestTLSReplacedUnderWay(t *testing.T) {
	p := newPair(t)
	p.write(p.issue("first", time.Now().Add(time.Hour)))
	s := startServer(t, func(c *serveCmd) { c.Warehouse, c.TLSCert, c.TLSKey = "none", p.cert, p.key })
	p.write(p.issue("second", time.Now().Add(time.Hour)))
	deadline := time.Now().Add(time.Minute)
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for name := ""; name != "second"; <-every.C {
		var err error
		if name, err = p.shown(s); err != nil || time.Now().After(deadline) {
			t.Fatalf("the server shows %q, %v", name, err)
		}
	}
}

// TestTLSStart: what keeps a server with TLS from starting, and what it warns of.
func TestTLSStart(t *testing.T) {
	p := newPair(t)
	cert, key := p.issue("it", time.Now().Add(time.Hour))
	otherCert, _ := p.issue("other", time.Now().Add(time.Hour))
	for _, c := range []struct {
		name      string
		cert, key []byte
		says      string
	}{
		{"no files", nil, nil, "no such file"},
		{"no certificate", []byte("x"), key, "failed to find any PEM data in certificate input"},
		{"no key", cert, []byte("x"), "failed to find any PEM data in key input"},
		{"another's key", otherCert, key, "private key does not match public key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.cert != nil {
				p.write(c.cert, c.key)
			}
			code, _, stderr := tool(t, nil, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--tls-cert", p.cert, "--tls-key", p.key)
			if code != 1 || !strings.Contains(stderr, "--tls-cert "+p.cert+" and --tls-key "+p.key+" must be a certificate chain and its key") || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d: %s", code, stderr)
			}
		})
	}
	for _, one := range []string{"--tls-cert", "--tls-key"} {
		if code, _, stderr := tool(t, nil, "serve", one, p.cert); code != 2 || !strings.Contains(stderr, "of use together only") {
			t.Errorf("%s alone: exit code %d: %s", one, code, stderr)
		}
	}
	p.write(p.issue("late", time.Now().Add(-time.Hour)))
	var log bytes.Buffer
	cfg := usualSettings(t.TempDir())
	cfg.Warehouse, cfg.TLSCert, cfg.TLSKey = "none", p.cert, p.key
	s, err := newServer(t.Context(), &cfg, slog.New(slog.NewTextHandler(&log, nil)))
	p.ok(err)
	p.ok(s.close())
	if !strings.Contains(log.String(), "has expired") {
		t.Errorf("an expired certificate: %s", log.String())
	}
}
