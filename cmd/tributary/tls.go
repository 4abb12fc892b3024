package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"time"
)

// certificate is that of two files. They are read again when they have changed,
// as a certificate is good for weeks and a server runs for months.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu        sync.Mutex
	used      *tls.Certificate
	looked    time.Time
	complaint string // about the files as they are; it was logged
}

// lookEvery is the least time between two looks at the files, each of which a
// handshake has to wait for.
const lookEvery = 2 * time.Second

func (c *certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s and --tls-key %s must be a certificate chain and its key, in PEM: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

// get gives the certificate for a handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= lookEvery {
		c.look()
		c.looked = now
	}
	return c.used, nil
}

// look takes over what is in the files, if that is a certificate. Half of two
// files that are being replaced is none.
func (c *certificate) look() {
	fresh, err := c.load()
	if err != nil {
		if text := err.Error(); text != c.complaint {
			c.complaint = text
			c.log.Error("the TLS certificate cannot be read again, the old one stays", "until", c.used.Leaf.NotAfter, "err", err)
		}
		return
	}
	c.complaint = ""
	if !slices.EqualFunc(fresh.Certificate, c.used.Certificate, bytes.Equal) {
		c.log.Info("the TLS certificate was replaced", "until", fresh.Leaf.NotAfter)
		c.used = fresh
	}
}

// openTLS reads the certificate, if there is to be one.
func (s *server) openTLS(context.Context) error {
	if s.cfg.TLSCert == "" {
		return nil
	}
	c := &certificate{certFile: s.cfg.TLSCert, keyFile: s.cfg.TLSKey, log: s.log, now: time.Now}
	var err error
	if c.used, err = c.load(); err != nil {
		return err
	}
	if until := c.used.Leaf.NotAfter; until.Before(c.now()) {
		s.log.Warn("the TLS certificate has expired", "until", until)
	}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	if node, err := url.Parse(s.cfg.NodeURL); s.cfg.Store != "" && (err != nil || c.used.Leaf.VerifyHostname(node.Hostname()) != nil) {
		s.log.Warn("other nodes cannot forward queries to this one: its TLS certificate is not for --node-url", "node-url", s.cfg.NodeURL)
	}
	return nil
}

// bundleHint is how AWS's clients are told to trust a certificate that signs
// itself and is not of these CAs, nil being the system's; "" if they need not be
// told.
func (s *server) bundleHint(roots *x509.CertPool) string {
	if s.tls == nil {
		return ""
	}
	shown, err := s.tls.GetCertificate(nil)
	if err != nil {
		return ""
	}
	_, err = shown.Leaf.Verify(x509.VerifyOptions{Roots: roots})
	if errors.As(err, new(x509.UnknownAuthorityError)) && bytes.Equal(shown.Leaf.RawIssuer, shown.Leaf.RawSubject) {
		return bundleVariable + "=" + absolute(s.cfg.TLSCert) + " "
	}
	return ""
}

// scheme is how the server's URLs begin.
func (s *server) scheme() string {
	if s.tls != nil {
		return "https://"
	}
	return "http://"
}

// serveHTTP serves until the listener is closed.
func (s *server) serveHTTP() error {
	if s.tls != nil {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

func (c *serveCmd) checkTLS() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key are of use together only: say both, or neither")
	}
	return nil
}
