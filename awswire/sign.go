package awswire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Credentials sign requests. SessionToken is empty for long-lived keys.
type Credentials struct{ AccessKeyID, SecretKey, SessionToken string }

// Sign adds the header form of a SigV4 signature to r, whose body is body:
// X-Amz-Date, X-Amz-Security-Token if there is one, and Authorization, in place
// of any that were there. It signs the path as it will be sent, and every header
// except those that transports and proxies change; header keys must be in
// canonical form. An X-Amz-Content-Sha256 header that r has is taken at its word.
func Sign(r *http.Request, body []byte, c Credentials, region, service string, now time.Time) {
	s := Signer{Credentials: c, Region: region, Service: service}
	s.Sign(r, body, now)
}

// Signer signs many requests with the same credentials. It keeps the signing key
// and its buffers, and may be used by several goroutines; the exported fields
// must not change while it is.
type Signer struct {
	Credentials
	Region, Service string

	mu  sync.Mutex // guards id and key
	id  keyID
	key *signingKey

	scratch sync.Pool // of *scratch
}

// Sign does what the function Sign does.
func (s *Signer) Sign(r *http.Request, body []byte, now time.Time) {
	stamp := now.UTC().Format(stampLayout)
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	delete(r.Header, "Authorization")
	delete(r.Header, "X-Amz-Security-Token")
	r.Header["X-Amz-Date"] = []string{stamp}
	if s.SessionToken != "" {
		r.Header["X-Amz-Security-Token"] = []string{s.SessionToken}
	}

	m := getScratch(&s.scratch)
	defer putScratch(&s.scratch, m)
	f := canonicalForm{signed: m.signedNames(r)}
	f.path, f.query = rawTarget(r)
	if declared := r.Header["X-Amz-Content-Sha256"]; len(declared) > 0 {
		f.payload = []byte(declared[0])
	} else {
		f.payload = m.hashBody(body)
	}

	scope := stamp[:8] + "/" + s.Region + "/" + s.Service + "/" + terminator
	toSign := m.stringToSign(stamp, scope, m.canonicalRequest(r, f))
	b := append(m.canonical[:0], algorithm+" Credential="...)
	b = append(b, s.AccessKeyID...)
	b = append(b, '/')
	b = append(b, scope...)
	b = append(b, ", SignedHeaders="...)
	b = append(b, f.signed...)
	b = append(b, ", Signature="...)
	b = s.signingKey(stamp[:8]).appendSignature(b, toSign)
	m.canonical = b
	r.Header["Authorization"] = []string{string(b)}
}

func (s *Signer) signingKey(date string) *signingKey {
	id := keyID{s.SecretKey, date, s.Region, s.Service}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key == nil || s.id != id {
		s.id, s.key = id, deriveKey(id)
	}
	return s.key
}

// signedNames returns the SignedHeaders list of a request about to be sent.
func (m *scratch) signedNames(r *http.Request) string {
	names := append(m.names[:0], "host")
	if r.ContentLength > 0 {
		names = append(names, "content-length")
	}
	for key := range r.Header {
		if name := lowerKey(key); !leftUnsigned(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	m.names = names
	return strings.Join(names, ";")
}

// lowerKey spares the common headers an allocation.
func lowerKey(key string) string {
	switch key {
	case "Content-Type":
		return "content-type"
	case "User-Agent":
		return "user-agent"
	case "X-Amz-Date":
		return "x-amz-date"
	case "X-Amz-Security-Token":
		return "x-amz-security-token"
	case "X-Amz-Target":
		return "x-amz-target"
	}
	return strings.ToLower(key)
}

// leftUnsigned names the headers that something between signer and verifier may
// add, change or drop, and the two that signedNames takes from elsewhere.
func leftUnsigned(name string) bool {
	switch name {
	case "host", "content-length",
		"authorization", "accept-encoding", "connection", "expect", "keep-alive",
		"proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id":
		return true
	}
	return false
}

// The query form's parameters.
const (
	paramAlgorithm  = "X-Amz-Algorithm"
	paramCredential = "X-Amz-Credential"
	paramDate       = "X-Amz-Date"
	paramExpires    = "X-Amz-Expires"
	paramSigned     = "X-Amz-SignedHeaders"
	paramToken      = "X-Amz-Security-Token"
	paramSignature  = "X-Amz-Signature"
)

// maxLifetime is the longest that AWS lets a presigned request live.
const maxLifetime = 7 * 24 * time.Hour

// Presign returns r.URL with the query form of a SigV4 signature added, in place
// of any that was there. Only the host is signed, and no payload, so that the
// link is good for any client. It is valid for expires from now, cut to the 1
// second to 7 days that SigV4 allows.
func Presign(r *http.Request, c Credentials, region, service string, now time.Time, expires time.Duration) string {
	return presign(r, c, keyID{region: region, service: service}, now, expires, canonicalForm{
		path: r.URL.EscapedPath(), signed: "host", payload: []byte(unsignedPayload),
	})
}

// presign makes f's query, and the secret and date of id.
func presign(r *http.Request, c Credentials, id keyID, now time.Time, expires time.Duration, f canonicalForm) string {
	stamp := now.UTC().Format(stampLayout)
	id.secret, id.date = c.SecretKey, stamp[:8]
	scope := id.date + "/" + id.region + "/" + id.service + "/" + terminator
	seconds := int64(min(max(expires, time.Second), maxLifetime) / time.Second)

	q := appendOtherParams(nil, r.URL.RawQuery)
	q = append(q, paramAlgorithm+"="+algorithm...)
	q = appendParam(q, paramCredential, c.AccessKeyID+"/"+scope)
	q = appendParam(q, paramDate, stamp)
	q = appendParam(q, paramExpires, strconv.FormatInt(seconds, 10))
	if c.SessionToken != "" {
		q = appendParam(q, paramToken, c.SessionToken)
	}
	q = appendParam(q, paramSigned, f.signed)
	f.query = string(q)

	sent := *r
	if r.URL.Host != "" {
		sent.Host = r.URL.Host // what the link's user will send, whatever r.Host is
	}
	var m scratch
	toSign := m.stringToSign(stamp, scope, m.canonicalRequest(&sent, f))
	q = append(q, "&"+paramSignature+"="...)
	u := *r.URL
	u.RawQuery = string(deriveKey(id).appendSignature(q, toSign))
	return u.String()
}

// appendOtherParams appends the parameters that are not of a signature, each
// with a '&' behind it and escaped anew: a link that cannot be parsed again
// would be of no use.
func appendOtherParams(b []byte, query string) []byte {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case paramAlgorithm, paramCredential, paramDate, paramExpires, paramSigned, paramToken, paramSignature:
			continue
		}
		b = appendReencoded(b, name)
		b = append(b, '=')
		b = appendReencoded(b, value)
		b = append(b, '&')
	}
	return b
}

func appendParam(b []byte, name, value string) []byte {
	b = append(b, '&')
	b = append(b, name...)
	b = append(b, '=')
	for i := range len(value) {
		b = appendEncoded(b, value[i])
	}
	return b
}

// keyID is what a signing key is derived from. As the secret is part of it, a
// secret that has been replaced finds no key.
type keyID struct{ secret, date, region, service string }

func (id keyID) clone() keyID {
	return keyID{strings.Clone(id.secret), strings.Clone(id.date), strings.Clone(id.region), strings.Clone(id.service)}
}

// signingKey signs with a key derived for one day, region and service.
type signingKey struct {
	mu  sync.Mutex // guards mac and sum
	mac hash.Hash
	sum [sha256.Size]byte
}

func deriveKey(id keyID) *signingKey {
	key := []byte("AWS4" + id.secret)
	for _, part := range [...]string{id.date, id.region, id.service, terminator} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return &signingKey{mac: hmac.New(sha256.New, key)}
}

// appendSignature appends the signature of msg in hex.
func (k *signingKey) appendSignature(b, msg []byte) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mac.Reset() // after the first, the keyed state is restored, not computed
	k.mac.Write(msg)
	return hex.AppendEncode(b, k.mac.Sum(k.sum[:0]))
}

// maxKeys bounds a keyCache.
const maxKeys = 4096

// keyCache keeps the signing keys last used, in two generations: when the younger
// is full it becomes the older, and the older is forgotten.
type keyCache struct {
	mu           sync.RWMutex // guards both
	young, older map[keyID]*signingKey
}

// get returns nil if the key is not there.
func (c *keyCache) get(id keyID) *signingKey {
	c.mu.RLock()
	key, young := c.young[id]
	if !young {
		key = c.older[id]
	}
	c.mu.RUnlock()
	if key != nil && !young {
		c.put(id, key)
	}
	return key
}

func (c *keyCache) put(id keyID, key *signingKey) {
	id = id.clone() // its parts would keep a whole header alive
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= maxKeys/2 {
		c.older, c.young = c.young, nil
	}
	if c.young == nil {
		c.young = make(map[keyID]*signingKey)
	}
	c.young[id] = key
}
