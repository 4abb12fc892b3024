package main

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/auth"
	"tributary/awswire"
)

// auditTimeout is how long a change by a developer waits for the audit log.
const auditTimeout = 5 * time.Second

// begin names a call for policies, and puts what developers do into the audit
// log.
func (s *server) begin(limits *auth.Limits) awswire.Begin[tributary.Principal] {
	return func(p tributary.Principal, r *http.Request, action, request string) (tributary.Principal, func(*awswire.Fault)) {
		c := &call{Call: tributary.Call{Action: action}, server: s, limits: limits, r: r}
		c.Request = c
		p.Call = &c.Call
		if !p.Developer() {
			return p, func(*awswire.Fault) {}
		}
		return p, func(f *awswire.Fault) {
			act := audit.Act{AccessKey: p.AccessKey, Address: limits.Client(r), Action: action, Resource: p.Call.Resource, Outcome: audit.Ok}
			if f != nil {
				act.Outcome = f.Code
			}
			// A call that failed may have changed something before.
			if !isChange(action) || f != nil && len(p.Call.Details) == 0 {
				s.audit.Note(act)
				return
			}
			s.auditChange(r.Context(), act, request, p.Call.Details)
		}
	}
}

// call is a call with the request that it came by, in one piece since every sync
// makes one.
type call struct {
	tributary.Call
	server *server
	limits *auth.Limits
	r      *http.Request
}

func (c *call) Client() netip.Addr { return c.limits.Client(c.r) }

func (c *call) Header(name string) string { return c.r.Header.Get(name) }

// Secure believes proxies that there are only: what they do is that the public
// URL is https, and what they say may take that back for a request.
func (c *call) Secure() bool {
	if !c.limits.Proxied(c.r) {
		return c.r.TLS != nil
	}
	for _, all := range c.r.Header["X-Forwarded-Proto"] {
		for proto := range strings.SplitSeq(all, ",") {
			if !strings.EqualFold(strings.TrimSpace(proto), "https") {
				return false
			}
		}
	}
	return strings.HasPrefix(c.server.cfg.PublicURL, "https://")
}

// auditChange writes a change to the audit log, or to the server's if that
// cannot be.
func (s *server) auditChange(ctx context.Context, act audit.Act, request string, details []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if err := s.audit.Write(ctx, act, request, details); err != nil {
		s.log.Error("the audit log lacks a change", "key", act.AccessKey, "address", act.Address, "action", act.Action, "resource", act.Resource, "request", request, "details", details, "err", err)
	}
}

// isChange tells whether an action changes settings. Reads, and syncs, are too
// many for an entry of their own each.
func isChange(action string) bool {
	_, operation, _ := strings.Cut(action, ":")
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
