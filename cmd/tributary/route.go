package main

import (
	"net/http"
	"strings"
	"time"

	"tributary/auth"
	"tributary/awswire"
	"tributary/front/api"
	"tributary/front/cognitoidentity"
	"tributary/front/cognitosync"
	"tributary/front/payload"
	"tributary/front/sts"
)

// fronts serve one port. A request is told apart by its X-Amz-Target, else by
// its path; the signature's scope must then agree, which each front checks.
type fronts struct {
	sync     http.Handler
	identity http.Handler
	kinesis  http.Handler
	sts      http.Handler
	api      http.Handler
	payload  http.Handler
	openID   http.Handler // documents about our OpenID tokens
	ops      http.Handler
}

// ServeHTTP sends a request to its front.
func (f *fronts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target, _, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	path := r.URL.EscapedPath()
	switch {
	case target == "AWSCognitoIdentityService":
		f.identity.ServeHTTP(w, r)
	case strings.HasPrefix(target, "Kinesis_"):
		f.kinesis.ServeHTTP(w, r)
	case path == api.BackupPath:
		f.api.ServeHTTP(&patient{w}, r)
	case strings.HasPrefix(path, api.Prefix):
		allowQueries(w)
		f.api.ServeHTTP(w, r)
	case strings.HasPrefix(path, payload.Prefix):
		f.payload.ServeHTTP(w, r)
	case path == auth.DiscoveryPath || path == auth.KeysPath:
		f.openID.ServeHTTP(w, r)
	case path == "/healthz" || path == "/readyz" || path == "/metrics":
		f.ops.ServeHTTP(w, r)
	default:
		f.byScope(r).ServeHTTP(w, r)
	}
}

// allowQueries gives an answer more time than the server's write timeout: a
// query may take up to 10 minutes before its first byte.
func allowQueries(w http.ResponseWriter) {
	const longest = 12 * time.Minute
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest)) // fails in tests without a connection
}

// patient is an answer of any length: the server's write timeout holds for each
// piece of it, so that one which is being read is not cut off, and one which is
// not does not stay for ever.
type patient struct{ http.ResponseWriter }

func (p *patient) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout)) // fails in tests without a connection
	return p.ResponseWriter.Write(b)
}

// Unwrap lets a ResponseController find the connection.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// byScope finds the front that a request was signed for: its error is then in
// the shape that its client expects.
func (f *fronts) byScope(r *http.Request) http.Handler {
	scope, _ := awswire.ScopeOf(r)
	switch scope.Service {
	case cognitoidentity.Name:
		return f.identity
	case "kinesis":
		return f.kinesis
	case api.Name:
		return f.api
	case sts.Name:
		return f.sts
	case cognitosync.Name:
		return f.sync
	}
	if isForm(r) {
		return f.sts
	}
	return f.sync // what was not signed
}

// isForm tells whether a request speaks AWS's Query protocol, of which the
// classic flow's most important call is not signed.
func isForm(r *http.Request) bool {
	const form = "application/x-www-form-urlencoded"
	if r.URL.EscapedPath() != "/" || r.Header.Get("X-Amz-Target") != "" {
		return false
	}
	return strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), form) || r.URL.Query().Has("Action")
}
