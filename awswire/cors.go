package awswire

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// CORS lets pages of other origins use a service: it answers a browser's
// preflights, which are never signed, and marks every answer as one that the
// page may read. No answer depends on cookies, so that a page can do no more
// than whoever has its keys could.
type CORS struct {
	Service http.Handler
	Origins []string // as browsers spell them; "*", alone, is any. There are no patterns
}

const (
	corsMethods = "GET, POST, DELETE, PUT"
	// corsHeaders are those that AWS's SDKs for browsers send.
	corsHeaders = "authorization, content-type, x-amz-date, x-amz-security-token, x-amz-user-agent, x-amz-target, x-amz-content-sha256, x-amz-client-context, amz-sdk-invocation-id, amz-sdk-request"
	// corsExposed are those of an answer that a page may read: without the type
	// of an error it would see an unknown one.
	corsExposed = "x-amzn-RequestId, x-amzn-ErrorType, x-amzn-ErrorMessage, Date, Retry-After"
	corsMaxAge  = "7200" // seconds; no browser remembers a preflight for much longer
)

// ServeHTTP answers a preflight, and hands on all else.
func (c *CORS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	h := w.Header()
	everyone := slices.Contains(c.Origins, "*")
	if !everyone {
		h.Add("Vary", "Origin")
	}
	asked := r.Header.Get("Access-Control-Request-Method")
	preflight := r.Method == http.MethodOptions && origin != "" && asked != ""
	switch {
	case origin == "":
	case everyone:
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(c.Origins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
	case preflight:
		x := exchange{w: w, id: newRequestID()}
		x.fault(&Fault{"AccessDeniedException", http.StatusForbidden, fmt.Sprintf("Pages of the origin %.256q may not use this server", origin)})
		return
	}
	if preflight {
		allow(h, r.Header.Get("Access-Control-Request-Headers"))
		return
	}
	if origin != "" {
		h.Set("Access-Control-Expose-Headers", corsExposed)
	}
	c.Service.ServeHTTP(w, r)
}

// allow tells what a page may send: besides what SDKs are known to, the headers
// that it asks for, as each SDK comes to send others than the one before.
func allow(h http.Header, asked string) {
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	h.Set("Content-Length", "0")
	headers := corsHeaders
	if areNames(asked) {
		headers += ", " + asked
	}
	h.Set("Access-Control-Allow-Headers", headers)
}

// areNames tells whether a text is a list of header names, and not too long.
func areNames(list string) bool {
	const most = 1 << 10
	if len(list) > most {
		return false
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.Trim(name, " \t")
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return !nameRune(c) }) {
			return false
		}
	}
	return true
}

// nameRune tells whether a rune may be in a header's name: a tchar of RFC 9110.
func nameRune(c rune) bool {
	return c < 0x80 && unreserved(byte(c)) || strings.ContainsRune("!#$%&'*+^`|", c)
}
