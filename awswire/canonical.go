package awswire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	algorithm       = "AWS4-HMAC-SHA256"
	terminator      = "aws4_request"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	stampLayout     = "20060102T150405Z" // ISO 8601 basic, always UTC
	hexDigits       = "0123456789ABCDEF"
)

// canonicalForm names one of the canonical requests that can be made of a
// request: signers differ in how they treat path and payload.
type canonicalForm struct {
	path    string // as received, or normalised
	query   string // as received
	signed  string // header names in lower case, joined by ';'
	payload []byte // the last line: a hash in hex, or unsignedPayload
}

// scratch is the memory of one signature, kept for the next.
type scratch struct {
	canonical []byte
	query     []byte
	params    []param
	names     []string
	toSign    []byte
	signature []byte
	bodyHash  [2 * sha256.Size]byte
}

// param is one query parameter in scratch.query: name [start,eq), value [eq,end).
type param struct{ start, eq, end int }

// maxKept is the capacity above which a buffer is not kept, so that one huge
// request does not hold its memory for ever.
const maxKept = 64 << 10

func getScratch(p *sync.Pool) *scratch {
	if s, ok := p.Get().(*scratch); ok {
		return s
	}
	return new(scratch)
}

func putScratch(p *sync.Pool, s *scratch) {
	if cap(s.canonical) > maxKept || cap(s.query) > maxKept || cap(s.params) > maxKept/32 {
		return
	}
	clear(s.names) // they may be parts of a request's headers
	p.Put(s)
}

// hashBody returns the hash of body in hex, valid until the next call.
func (s *scratch) hashBody(body []byte) []byte {
	sum := sha256.Sum256(body)
	hex.Encode(s.bodyHash[:], sum[:])
	return s.bodyHash[:]
}

// canonicalRequest returns r in the given form, valid until the next call.
func (s *scratch) canonicalRequest(r *http.Request, f canonicalForm) []byte {
	b := s.canonical[:0]
	if r.Method == "" {
		b = append(b, http.MethodGet...)
	}
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, f.path)
	b = append(b, '\n')
	b = s.appendQuery(b, f.query)
	b = append(b, '\n')
	for rest := f.signed; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ";")
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, f.signed...)
	b = append(b, '\n')
	b = append(b, f.payload...)
	s.canonical = b
	return b
}

// stringToSign returns what the signing key is applied to, valid until the
// next call.
func (s *scratch) stringToSign(stamp, scope string, canonical []byte) []byte {
	sum := sha256.Sum256(canonical)
	b := append(s.toSign[:0], algorithm+"\n"...)
	b = append(b, stamp...)
	b = append(b, '\n')
	b = append(b, scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, sum[:])
	s.toSign = b
	return b
}

// appendPath appends the canonical form of a path: as received, and encoded
// once more. S3 alone, which is not served here, does it otherwise.
func appendPath(b []byte, path string) []byte {
	if path == "" {
		return append(b, '/')
	}
	for i := range len(path) {
		if c := path[i]; c == '/' {
			b = append(b, c)
		} else {
			b = appendEncoded(b, c)
		}
	}
	return b
}

// appendPathForms appends the paths whose canonical forms a verifier accepts:
// the path as received and, where it has empty or dot segments, the path
// without them. AWS SDKs differ in whether they normalise before they sign, and
// two that do differ in the slash they leave where a final dot segment was.
//
// Accepting the second form means that who holds a signed request can put empty
// or dot segments into its path, for the request's principal, method, query and
// body as signed. That gains nothing as long as the router, too, takes the path as
// received: it finds no operation at such a path, or the resource that is really
// called "." — never the resource that the dots point to.
func appendPathForms(forms []string, path string) []string {
	forms = append(forms, path)
	dotAtEnd := strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..")
	if !dotAtEnd && !strings.Contains(path, "//") && !strings.Contains(path, "/./") && !strings.Contains(path, "/../") {
		return forms
	}
	normal := normalizePath(path)
	forms = append(forms, normal)
	if dotAtEnd && len(normal) > 1 {
		forms = append(forms, strings.TrimSuffix(normal, "/"))
	}
	return forms
}

// normalizePath removes dot segments as RFC 3986 does, and empty segments.
func normalizePath(path string) string {
	var kept []string
	last := ""
	for segment := range strings.SplitSeq(path, "/") {
		last = segment
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	out := "/" + strings.Join(kept, "/")
	if len(kept) > 0 && (last == "" || last == "." || last == "..") {
		out += "/"
	}
	return out
}

// appendQuery appends the parameters of query, without X-Amz-Signature, sorted
// by encoded name and then by encoded value. '+' is a space, as it is to whoever
// reads the parameter afterwards.
func (s *scratch) appendQuery(b []byte, query string) []byte {
	if query == "" {
		return b
	}
	s.query, s.params = s.query[:0], s.params[:0]
	for rest := query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" || name == paramSignature {
			continue
		}
		var p param
		p.start = len(s.query)
		s.query = appendReencoded(s.query, name)
		p.eq = len(s.query)
		s.query = appendReencoded(s.query, value)
		p.end = len(s.query)
		s.params = append(s.params, p)
	}
	slices.SortFunc(s.params, func(x, y param) int {
		if c := bytes.Compare(s.query[x.start:x.eq], s.query[y.start:y.eq]); c != 0 {
			return c
		}
		return bytes.Compare(s.query[x.eq:x.end], s.query[y.eq:y.end])
	})
	for i, p := range s.params {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, s.query[p.start:p.eq]...)
		b = append(b, '=')
		b = append(b, s.query[p.eq:p.end]...)
	}
	return b
}

// appendReencoded decodes a query name or value and encodes it AWS's way. A '%'
// that begins no escape stands for itself; Verify has refused it before.
func appendReencoded(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if v, ok := escaped(s, i); ok {
				c = v
				i += 2
			}
		}
		b = appendEncoded(b, c)
	}
	return b
}

// wellEscaped reports whether every '%' of s begins an escape.
func wellEscaped(s string) bool {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return true
		}
		if _, ok := escaped(s, i); !ok {
			return false
		}
		s = s[i+3:]
	}
}

// escaped decodes the escape that begins at s[i].
func escaped(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, ok := unhex(s[i+1])
	lo, ok2 := unhex(s[i+2])
	return hi<<4 | lo, ok && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func appendEncoded(b []byte, c byte) []byte {
	if unreserved(c) {
		return append(b, c)
	}
	return append(b, '%', hexDigits[c>>4], hexDigits[c&15])
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// appendHeader appends the values of a header as SigV4 sees them. net/http has
// taken Host out of the headers, and knows a client's Content-Length only as a
// number. A header that is not there has an empty value.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	if name == "host" || name == authorityHeader {
		host := r.Host
		if host == "" && r.URL != nil {
			host = r.URL.Host
		}
		return appendFolded(b, host)
	}
	values := headerValues(r.Header, name)
	if len(values) == 0 && name == "content-length" && r.ContentLength >= 0 {
		return strconv.AppendInt(b, r.ContentLength, 10)
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFolded(b, v)
	}
	return b
}

// headerValues finds a header by its lower-case name without allocating.
func headerValues(h http.Header, name string) []string {
	var key [64]byte
	if len(name) > len(key) {
		return h[textproto.CanonicalMIMEHeaderKey(name)]
	}
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		key[i] = c
		upper = c == '-'
	}
	return h[string(key[:len(name)])]
}

// appendFolded appends v trimmed, with each run of white space as one space.
func appendFolded(b []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	if !strings.Contains(v, "  ") && strings.IndexByte(v, '\t') < 0 {
		return append(b, v...)
	}
	inSpace := false
	for i := range len(v) {
		space := v[i] == ' ' || v[i] == '\t'
		switch {
		case !space:
			b = append(b, v[i])
		case !inSpace:
			b = append(b, ' ')
		}
		inSpace = space
	}
	return b
}
