package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// bundleVariable names a file of CAs to AWS's clients.
const bundleVariable = "AWS_CA_BUNDLE"

// client is one that trusts the system's CAs, and those of AWS_CA_BUNDLE.
func (f *serverFlags) client(lookup func(string) (string, bool)) (*http.Client, error) {
	file, _ := lookup(bundleVariable)
	if f.trusting != nil || file == "" {
		return cmp.Or(f.trusting, http.DefaultClient), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", bundleVariable, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %s has no certificate, it must hold those of CAs, in PEM", bundleVariable, file)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	f.trusting = &http.Client{Transport: transport}
	return f.trusting, nil
}

// connectionError says why there is no answer, and what helps.
func (f *serverFlags) connectionError(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // without the operation's path
	}
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return f.otherScheme("does not speak TLS", "http")
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("%s cannot be trusted: %w (SSL_CERT_FILE or %s can name a file with its CA's certificate, or its own if that signs itself)", f.Server, err, bundleVariable)
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return fmt.Errorf("%s cannot be trusted: %w", f.Server, err)
	}
	return fmt.Errorf("%s cannot be reached: %w (is the server running?)", f.Server, err)
}

// otherScheme refuses a server's address that has the wrong scheme.
func (f *serverFlags) otherScheme(why, scheme string) error {
	_, rest, _ := strings.Cut(f.Server, "://")
	return settingError{fmt.Errorf("%s %s: --server must be %s://%s", f.Server, why, scheme, rest)}
}

// settingError is an error that the value of a flag causes, which its text
// names.
type settingError struct{ error }
