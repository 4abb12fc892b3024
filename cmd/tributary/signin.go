package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"tributary"
	"tributary/audit"
	"tributary/auth"
)

// openSignIn makes what proves users, and signs tokens for them.
func (s *server) openSignIn(context.Context) error {
	s.tokens = &auth.Tokens{
		Rotation: &tributary.Rotation{Keys: s.store, Sealer: s.sealer, Log: s.log}, Issuer: s.publicURL(), Account: s.cfg.Account,
	}
	s.tokens.Begin()
	s.service.Tokens = s.tokens
	s.service.Logins = &auth.Logins{Endpoints: s.cfg.LoginEndpoints, Log: s.log}
	s.audit = &audit.Log{Store: s.store, Log: s.log}
	return nil
}

// checkLogins refuses endpoints of login providers that are no URLs, or of what
// is no provider's name.
func (c *serveCmd) checkLogins() error {
	for provider, endpoint := range c.LoginEndpoints {
		if provider == "" || strings.Contains(provider, "://") {
			return fmt.Errorf("--login-endpoints names the provider %q, it must be as in Logins, like accounts.google.com or login.example.org/realms/app", provider)
		}
		u, err := url.Parse(endpoint)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || endpoint != u.Scheme+"://"+u.Host+u.EscapedPath() {
			return fmt.Errorf("--login-endpoints has a URL for %s that cannot be used, it must be like https://accounts.example.org: http or https, a host, and a path at most", provider)
		}
	}
	return nil
}
