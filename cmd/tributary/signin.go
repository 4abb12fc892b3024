package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/auth"
	"tributary/awswire"
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

// auditTimeout is how long a change by a developer waits for the audit log.
const auditTimeout = 5 * time.Second

// begin names a call for policies, and puts what developers do into the audit
// log.
func (s *server) begin(limits *auth.Limits) awswire.Begin[tributary.Principal] {
	return func(p tributary.Principal, r *http.Request, service, operation, request string) (tributary.Principal, func(*awswire.Fault)) {
		p.Call = &tributary.Call{Action: service + ":" + operation}
		if !p.Developer() {
			return p, func(*awswire.Fault) {}
		}
		return p, func(f *awswire.Fault) {
			e := audit.Entry{AccessKey: p.AccessKey, Address: limits.Client(r).String(), Action: p.Call.Action, Resource: p.Call.Resource, Outcome: audit.Ok}
			if f != nil {
				e.Outcome = f.Code
			}
			if f != nil || !isChange(operation) {
				s.audit.Note(e)
				return
			}
			e.Request = request
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditTimeout)
			defer cancel()
			if err := s.audit.Write(ctx, e); err != nil {
				s.log.Error("the audit log lacks a change", "key", e.AccessKey, "action", e.Action, "resource", e.Resource, "request", request, "err", err)
			}
		}
	}
}

// isChange tells whether an operation changes settings. Reads, and syncs, are
// too many for an entry of their own each.
func isChange(operation string) bool {
	if operation == "GetOpenIdTokenForDeveloperIdentity" { // it links and merges
		return true
	}
	for _, prefix := range []string{"Get", "List", "Describe", "Lookup", "Query", "UpdateRecords", "DeleteDataset", "PutRecord", "SubscribeToShard"} {
		if strings.HasPrefix(operation, prefix) {
			return false
		}
	}
	return true
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
