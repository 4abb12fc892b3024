package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"tributary/auth"
	"tributary/awswire"
)

// noOrigins is the word for it in --cors-origins.
const noOrigins = "none"

// openToPages lets pages of other origins use a front of AWS's wires.
func (c *serveCmd) openToPages(front http.Handler) http.Handler {
	if len(c.CORSOrigins) == 0 || c.CORSOrigins[0] == noOrigins {
		return front
	}
	return &awswire.CORS{Service: front, Origins: c.CORSOrigins}
}

// limits are how often others than developers may ask.
func (s *server) limits() *auth.Limits {
	return &auth.Limits{Identity: s.cfg.IdentityRate, Pool: s.cfg.PoolRate, Public: s.cfg.PublicRate, Proxies: s.cfg.Proxies, Log: s.log}
}

// checkDoor refuses what cannot be meant for who may ask, and how often.
func (c *serveCmd) checkDoor() error {
	for _, n := range []struct {
		flag       string
		have, most int
	}{
		{"--max-connections", c.MaxConnections, 1 << 20},
		{"--identity-rate", c.IdentityRate, 1_000_000},
		{"--pool-rate", c.PoolRate, 1_000_000},
		{"--public-rate", c.PublicRate, 1_000_000},
		{"--proxies", c.Proxies, 16},
	} {
		if n.have < 0 || n.have > n.most {
			return fmt.Errorf("%s is %d, it must be between 0 and %d", n.flag, n.have, n.most)
		}
	}
	return checkOrigins(c.CORSOrigins)
}

// tellDoor says in the log what is open that most would rather have closed, and
// who is asked in the place of a login provider.
func (s *server) tellDoor(context.Context) error {
	if s.tls == nil && !isLoopback(s.cfg.Listen) && !strings.HasPrefix(s.cfg.PublicURL, "https://") {
		s.log.Warn("requests are signed, not encrypted: others on the network can read them. Say --tls-cert, or have a proxy with TLS in front and say --public-url https://…", "listen", s.cfg.Listen)
	}
	for _, provider := range slices.Sorted(maps.Keys(s.cfg.LoginEndpoints)) {
		endpoint := s.cfg.LoginEndpoints[provider]
		s.log.Info("a login provider is asked at another address than its own", "provider", provider, "endpoint", endpoint)
		if u, err := url.Parse(endpoint); err == nil && u.Scheme == "http" && !isLoopback(u.Host) {
			s.log.Warn("logins can be forged by whoever sits between this server and a login provider: its endpoint has no TLS", "provider", provider, "endpoint", endpoint)
		}
	}
	return nil
}

// isLoopback tells whether a host, with a port or without, is this machine and
// nothing else.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

func checkOrigins(origins []string) error {
	for _, o := range origins {
		if o == "*" || o == noOrigins {
			if len(origins) > 1 {
				return fmt.Errorf("--cors-origins names %s and others: it stands alone", o)
			}
			continue
		}
		if !isOrigin(o) {
			return fmt.Errorf("--cors-origins has %q, it must be * or none or as browsers say it, like https://app.example.org or http://localhost:3000: in lower case, in ASCII (xn--…), without a * (name each origin), without a path, and without the scheme's usual port", o)
		}
	}
	return nil
}

// isOrigin tells whether a browser could spell an origin so. Other schemes than
// those of the web are of apps that show pages of their own. A * in it would be
// compared as it stands, and match nothing.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	usual := map[string]string{"http": "80", "https": "443"}
	odd := func(c rune) bool { return c == '*' || c >= utf8.RuneSelf }
	return err == nil && u.Scheme != "" && u.Hostname() != "" && text == strings.ToLower(u.Scheme+"://"+u.Host) &&
		!strings.ContainsFunc(text, odd) && !strings.HasSuffix(text, ":") && (u.Port() == "" || u.Port() != usual[u.Scheme])
}
