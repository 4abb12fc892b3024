package awswire

import (
	"net/http"
	"time"
)

// CanonicalRequest lets tests compare one canonical form with a published one.
func CanonicalRequest(r *http.Request, signed, payload string, normalize bool) string {
	var m scratch
	f := canonicalForm{signed: signed, payload: []byte(payload)}
	f.path, f.query = rawTarget(r)
	if normalize {
		f.path = normalizePath(f.path)
	}
	return string(m.canonicalRequest(r, f))
}

// PathForms is the paths that Verify accepts.
func PathForms(path string) []string {
	return appendPathForms(nil, path)
}

// PresignAs presigns as other signers do, with more headers than the host and
// with the payload's hash. The path is the one in r.RequestURI.
func PresignAs(r *http.Request, c Credentials, region, service string, now time.Time, expires time.Duration, signed, payload string) string {
	f := canonicalForm{signed: signed, payload: []byte(payload)}
	f.path, _ = rawTarget(r)
	return presign(r, c, keyID{region: region, service: service}, now, expires, f)
}

// CachedKeys is the number of signing keys that v holds, and their bound.
func CachedKeys[P any](v *Verifier[P]) (n, most int) {
	return len(v.keys.young) + len(v.keys.older), maxKeys
}
