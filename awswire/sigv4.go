package awswire

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Scope is what a signature was made for.
type Scope struct {
	AccessKeyID, Region, Service string

	Presigned bool // the signature is in the query, and the body need not be signed
}

// Verifier checks SigV4 signatures, in the header and in the query form. P is the
// caller's principal type. It may be used by several goroutines.
type Verifier[P any] struct {
	// Lookup finds the secret of an access key (sessionToken "" if none was sent)
	// and whom it stands for. The token is not yet known to be the client's. Its
	// errors are handed on as they are: [UnknownKey], or why it cannot tell.
	Lookup func(ctx context.Context, accessKeyID, sessionToken string) (secret string, principal P, err error)
	Region func(region string) bool // nil: any region
	Now    func() time.Time         // nil: time.Now

	keys    keyCache
	scratch sync.Pool // of *scratch
}

// What Verify accepts at most: far more than any client sends, and little enough
// that a stranger cannot make it work hard.
const (
	maxAuthorization = 8 << 10
	maxSignedHeaders = 64
	maxParams        = 1000
	maxSkew          = 5 * time.Minute
)

// ReadBody gives the body of a request that claims to be signed for scope. Its
// error is the answer: it may refuse the scope, or the body.
type ReadBody func(scope Scope) ([]byte, error)

// Verify says who signed r, whose body is body. Every refusal is a *Fault with
// the code, status and text of AWS; errors of Lookup are given as they are. A
// presigned request may have been signed without its body; whether that will do
// for the operation is for the caller to decide by Scope.Presigned.
func (v *Verifier[P]) Verify(r *http.Request, body []byte) (P, Scope, error) {
	var signed Scope
	p, err := v.Authenticate(r, func(scope Scope) ([]byte, error) {
		signed = scope
		return body, nil
	})
	if err != nil {
		return p, Scope{}, err
	}
	return p, signed, nil
}

// Authenticate is Verify for a body that is not read yet. It is asked for when
// everything else stands: the form, the time, and a key that is known. So who
// has no key cannot have it read.
func (v *Verifier[P]) Authenticate(r *http.Request, read ReadBody) (P, error) {
	var nobody P
	c, fault := readClaim(r)
	if fault == nil {
		fault = c.check(r, v.Region, v.now())
	}
	if fault != nil {
		return nobody, fault
	}
	secret, principal, err := v.Lookup(r.Context(), c.AccessKeyID, c.token)
	if err != nil {
		return nobody, err
	}
	body, err := read(c.Scope)
	if err != nil {
		return nobody, err
	}
	m := getScratch(&v.scratch)
	defer putScratch(&v.scratch, m)
	if fault := c.match(m, &v.keys, r, body, secret); fault != nil {
		return nobody, fault
	}
	return principal, nil
}

func (v *Verifier[P]) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}

// ScopeOf reads for whom and what r claims to be signed, without checking
// anything: a server routes a request to a service by its signing name. It is
// false if r is unsigned or its signature cannot be read.
func ScopeOf(r *http.Request) (Scope, bool) {
	if auth := r.Header["Authorization"]; len(auth) > 0 {
		fields, fault := readAuthorization(auth[0])
		if fault != nil {
			return Scope{}, false
		}
		var c claim
		fault = c.setCredential(fields.credential)
		return c.Scope, fault == nil
	}
	_, query := rawTarget(r)
	credential, n := queryParam(query, paramCredential)
	if n != 1 {
		return Scope{}, false
	}
	c := claim{Scope: Scope{Presigned: true}}
	fault := c.setCredential(credential)
	return c.Scope, fault == nil
}

// claim is what a request says about its signature.
type claim struct {
	Scope
	scope     string // as signed: date/region/service/terminator
	date      string // of the scope
	term      string // the scope's terminator
	signed    string // names of the signed headers
	signature string
	token     string
	stamp     string        // the time of signing as signed
	lifetime  time.Duration // of a presigned request
}

func readClaim(r *http.Request) (claim, *Fault) {
	_, query := rawTarget(r)
	if strings.Count(query, "&") >= maxParams {
		return claim{}, malformedQuery("Too many query parameters.")
	}
	if !wellEscaped(query) {
		return claim{}, malformedQuery("The query string contains a syntax error")
	}
	auth, presigned := r.Header["Authorization"], presigned(query)
	switch {
	case len(auth) > 1:
		return claim{}, incomplete("The Authorization header must be sent once.")
	case len(auth) == 1 && presigned:
		return claim{}, incomplete("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter," +
			" Signature query string parameter or the Authorization header should be specified")
	case presigned:
		return queryClaim(query)
	case len(auth) == 1 && auth[0] != "":
		return headerClaim(r.Header, auth[0])
	}
	return claim{}, &Fault{"MissingAuthenticationTokenException", http.StatusForbidden, "Missing Authentication Token"}
}

// headerClaim reads the header form.
func headerClaim(h http.Header, auth string) (claim, *Fault) {
	f, fault := readAuthorization(auth)
	if fault != nil {
		return claim{}, fault
	}
	stamp, fault := readStamp(h)
	if fault != nil {
		return claim{}, fault
	}
	if f.credential == "" || f.signature == "" || f.signed == "" || stamp == "" {
		return claim{}, missingPart(f, stamp, auth)
	}
	token := h["X-Amz-Security-Token"]
	if len(token) > 1 {
		return claim{}, incomplete("The X-Amz-Security-Token header must be sent once.")
	}
	c := claim{signed: f.signed, signature: f.signature, stamp: stamp}
	if len(token) == 1 {
		c.token = token[0]
	}
	fault = c.setCredential(f.credential)
	return c, fault
}

func missingPart(f authorization, stamp, auth string) *Fault {
	text := ""
	for _, p := range [...]struct{ name, value string }{
		{"Credential", f.credential}, {"Signature", f.signature}, {"SignedHeaders", f.signed},
	} {
		if p.value == "" {
			text += "Authorization header requires '" + p.name + "' parameter. "
		}
	}
	if stamp == "" {
		text += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
	}
	return incomplete(text + "(Hashed with SHA-256 and encoded with Base64) Authorization=" + fingerprint(auth))
}

// readStamp returns the time of signing in the form in which it is signed, or ""
// if there is none.
func readStamp(h http.Header) (string, *Fault) {
	stamps, dates := h["X-Amz-Date"], h["Date"]
	switch {
	case len(stamps) > 1 || len(stamps) == 0 && len(dates) > 1:
		return "", incomplete("The date of the request must be sent once.")
	case len(stamps) == 1:
		return stamps[0], nil
	case len(dates) == 0:
		return "", nil
	}
	if t, err := http.ParseTime(dates[0]); err == nil {
		return t.UTC().Format(stampLayout), nil
	}
	return dates[0], nil // ISO 8601, or check will refuse it
}

// authorization is the Authorization header taken apart.
type authorization struct{ credential, signed, signature string }

func readAuthorization(auth string) (authorization, *Fault) {
	var a authorization
	if len(auth) > maxAuthorization {
		return a, incomplete("The Authorization header is too long.")
	}
	rest, ok := strings.CutPrefix(auth, algorithm+" ")
	if !ok {
		if scheme, _, _ := strings.Cut(auth, " "); strings.HasPrefix(scheme, "AWS4-") && scheme != algorithm {
			return a, incomplete("Unsupported AWS 'algorithm': '" + scheme + "'.")
		}
		return a, badPair(auth)
	}
	for rest != "" {
		var field string
		field, rest, _ = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(strings.Trim(field, " \t"), "=")
		if !ok {
			return a, badPair(auth)
		}
		var to *string
		switch name {
		case "Credential":
			to = &a.credential
		case "SignedHeaders":
			to = &a.signed
		case "Signature":
			to = &a.signature
		default:
			continue
		}
		if *to != "" {
			return a, incomplete("Authorization header must have one '" + name + "' parameter.")
		}
		*to = value
	}
	return a, nil
}

func badPair(auth string) *Fault {
	return incomplete("Invalid key=value pair (missing equal-sign) in Authorization header" +
		" (hashed with SHA-256 and encoded with Base64): '" + fingerprint(auth) + "'.")
}

// fingerprint names a header in an error text without repeating it, as it may be
// some other scheme's password.
func fingerprint(auth string) string {
	sum := sha256.Sum256([]byte(auth))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// presigned reports whether query has, or was meant to have, a signature.
func presigned(query string) bool {
	if !strings.Contains(query, "X-Amz-") {
		return false
	}
	for _, name := range [...]string{paramSignature, paramAlgorithm, paramCredential} {
		if _, n := queryParam(query, name); n > 0 {
			return true
		}
	}
	return false
}

// queryClaim reads the query form.
func queryClaim(query string) (claim, *Fault) {
	c := claim{Scope: Scope{Presigned: true}}
	var method, credential, expires string
	for _, p := range [...]struct {
		name string
		to   *string
	}{
		{paramAlgorithm, &method}, {paramCredential, &credential}, {paramSignature, &c.signature},
		{paramSigned, &c.signed}, {paramDate, &c.stamp}, {paramExpires, &expires}, {paramToken, &c.token},
	} {
		value, n := queryParam(query, p.name)
		if n > 1 {
			return claim{}, incomplete("AWS query-string parameters must include '" + p.name + "' once. Re-examine the query-string parameters.")
		}
		if value == "" && p.to != &c.token {
			return claim{}, incomplete("AWS query-string parameters must include '" + p.name + "'. Re-examine the query-string parameters.")
		}
		*p.to = value
	}
	if method != algorithm {
		return claim{}, incomplete("Unsupported AWS 'algorithm': '" + method + "'.")
	}
	seconds, err := strconv.ParseUint(expires, 10, 31)
	switch {
	case err != nil:
		return claim{}, incomplete("X-Amz-Expires should be a number")
	case seconds == 0:
		return claim{}, incomplete("X-Amz-Expires must be positive")
	case seconds > uint64(maxLifetime/time.Second):
		return claim{}, incomplete("X-Amz-Expires must be less than a week (in seconds);" +
			" that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	c.lifetime = time.Duration(seconds) * time.Second
	fault := c.setCredential(credential)
	return c, fault
}

// queryParam returns the first value of a parameter and how many there are.
func queryParam(query, name string) (value string, n int) {
	for rest := query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if k, v, _ := strings.Cut(pair, "="); k == name {
			if n++; n == 1 {
				value = v
			}
		}
	}
	if strings.ContainsAny(value, "%+") {
		b := make([]byte, 0, len(value))
		for i := 0; i < len(value); i++ {
			c := value[i]
			if v, ok := escaped(value, i); c == '%' && ok {
				c = v
				i += 2
			} else if c == '+' {
				c = ' '
			}
			b = append(b, c)
		}
		value = string(b)
	}
	return value, n
}

func (c *claim) setCredential(credential string) *Fault {
	part := [5]string{}
	rest, more := credential, true
	n := 0
	for ; more && n < len(part); n++ {
		part[n], rest, more = strings.Cut(rest, "/")
	}
	if n != len(part) || more || part[0] == "" {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got: '" + credential + "'")
	}
	c.AccessKeyID, c.date, c.Region, c.Service, c.term = part[0], part[1], part[2], part[3], part[4]
	c.scope = credential[len(part[0])+1:]
	return nil
}

// check refuses what no key could make good.
func (c *claim) check(r *http.Request, region func(string) bool, now time.Time) *Fault {
	if fault := c.checkSigned(r.Header); fault != nil {
		return fault
	}
	at, err := time.Parse(stampLayout, c.stamp)
	if err != nil || len(c.stamp) != len(stampLayout) {
		return incomplete("Date must be in ISO-8601 'basic format'. Got '" + c.stamp + "'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	switch {
	case c.term != terminator:
		return invalid("Credential should be scoped with a valid terminator: '" + terminator + "', not '" + c.term + "'. ")
	case c.date != c.stamp[:8]:
		return invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			c.date + "' != '" + c.stamp[:8] + "', from '" + c.stamp + "'.")
	case c.Region == "" || region != nil && !region(c.Region):
		return invalid("Credential should be scoped to a valid region, not '" + c.Region + "'. ")
	case c.Service == "":
		return invalid("Credential should be scoped to correct service, not ''. ")
	}
	return c.checkTime(at, now)
}

// authorityHeader is HTTP/2's name of the host.
const authorityHeader = ":authority"

// checkSigned refuses lists of signed headers that leave out what decides over
// the request, or that are not lists of names and so could make one canonical
// request read as another.
func (c *claim) checkSigned(h http.Header) *Fault {
	if strings.Count(c.signed, ";") >= maxSignedHeaders {
		return incomplete("Too many SignedHeaders.")
	}
	// HTTP/2 clients sign the host under the name that it has there.
	names, authority := strings.CutPrefix(c.signed, authorityHeader)
	if authority && names != "" && names[0] != ';' {
		return incomplete("SignedHeaders must be a list of header names separated by ';'.")
	}
	for i := range len(names) {
		if b := names[i]; !unreserved(b) && b != ';' && !strings.ContainsRune("!#$&'*+^`|", rune(b)) {
			return incomplete("SignedHeaders must be a list of header names separated by ';'.")
		}
	}
	c.signed = strings.ToLower(c.signed)
	if !ascending(c.signed) {
		return incomplete("SignedHeaders must be in ascending order, and none may be listed twice.")
	}
	if !authority && !listed(c.signed, "host") {
		return invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if c.token != "" && !c.Presigned && !listed(c.signed, "x-amz-security-token") {
		return invalid("'X-Amz-Security-Token' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if len(h["X-Amz-Target"]) > 0 && !listed(c.signed, "x-amz-target") {
		return invalid("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

func (c *claim) checkTime(at, now time.Time) *Fault {
	now = now.UTC()
	if at.After(now.Add(maxSkew)) {
		return invalid(fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			c.stamp, now.Add(maxSkew).Format(stampLayout), now.Format(stampLayout)))
	}
	life, text := maxSkew, "5 min."
	if c.Presigned {
		life, text = c.lifetime, strconv.Itoa(int(c.lifetime/time.Second))+" sec."
	}
	if limit := now.Add(-life); at.Before(limit) {
		return invalid(fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %s)",
			c.stamp, limit.Format(stampLayout), now.Format(stampLayout), text))
	}
	return nil
}

// match compares the signature with those that secret gives for the canonical
// forms which the claim allows.
func (c *claim) match(m *scratch, keys *keyCache, r *http.Request, body []byte, secret string) *Fault {
	var paths [3]string
	var payloads [2][]byte
	f := canonicalForm{signed: c.signed}
	f.path, f.query = rawTarget(r)
	allowed, fault := c.appendPayloads(payloads[:0], m.hashBody(body), r.Header["X-Amz-Content-Sha256"])
	if fault != nil {
		return fault
	}
	id := keyID{secret, c.date, c.Region, c.Service}
	key := keys.get(id)
	known := key != nil
	if !known {
		key = deriveKey(id)
	}
	for _, f.path = range appendPathForms(paths[:0], f.path) {
		for _, f.payload = range allowed {
			toSign := m.stringToSign(c.stamp, c.scope, m.canonicalRequest(r, f))
			m.signature = key.appendSignature(m.signature[:0], toSign)
			if !equalHex(m.signature, c.signature) {
				continue
			}
			if !known { // only now, so that strangers cannot crowd the cache
				keys.put(id, key)
			}
			return nil
		}
	}
	f.path, _ = rawTarget(r)
	f.payload = allowed[0]
	return mismatch(m, r, f, c)
}

// equalHex compares in constant time.
func equalHex(want []byte, got string) bool {
	var b [2 * sha256.Size]byte
	return copy(b[:], got) == len(got) && len(got) == len(want) && subtle.ConstantTimeCompare(b[:], want) == 1
}

// appendPayloads appends what may stand in the canonical request for the body.
// AWS SDKs presign with the hash of the body for most services, and without it
// for S3.
func (c *claim) appendPayloads(forms [][]byte, hash []byte, declared []string) ([][]byte, *Fault) {
	switch {
	case len(declared) == 0 && c.Presigned:
		return append(forms, []byte(unsignedPayload), hash), nil
	case len(declared) == 0:
		return append(forms, hash), nil
	case len(declared) > 1:
		return nil, incomplete("The X-Amz-Content-Sha256 header must be sent once.")
	case declared[0] == unsignedPayload && c.Presigned:
		return append(forms, []byte(unsignedPayload)), nil
	case declared[0] == unsignedPayload || strings.HasPrefix(declared[0], "STREAMING-"):
		return nil, invalid("The request's body must be signed: 'X-Amz-Content-Sha256' must not be '" + declared[0] + "'.")
	case declared[0] != string(hash):
		return nil, invalid("The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return append(forms, hash), nil
}

// mismatch tells the client, as AWS does, what it should have signed: whoever
// has built the wrong canonical request can compare.
func mismatch(m *scratch, r *http.Request, f canonicalForm, c *claim) *Fault {
	canonical := m.canonicalRequest(r, f)
	return invalid("The request signature we calculated does not match the signature you provided." +
		" Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\n" +
		"The Canonical String for this request should have been\n'" + string(canonical) + "'\n\n" +
		"The String-to-Sign should have been\n'" + string(m.stringToSign(c.stamp, c.scope, canonical)) + "'\n")
}

// ascending reports whether each name of a list comes after the one before, as
// SigV4 demands: none is empty, and none is there twice.
func ascending(names string) bool {
	last := ""
	for name := range strings.SplitSeq(names, ";") {
		if name <= last {
			return false
		}
		last = name
	}
	return true
}

// listed reports whether a SignedHeaders list has name.
func listed(signed, name string) bool {
	for rest := signed; rest != ""; {
		var have string
		if have, rest, _ = strings.Cut(rest, ";"); have == name {
			return true
		}
	}
	return false
}
