package awswire

import (
	"net/http"
	"net/url"
	"strings"
)

// rawTarget is the path as it was received, still escaped, and the raw query.
// Go's own r.URL.Path is decoded, which would let %2F reach into another
// segment.
func rawTarget(r *http.Request) (path, query string) {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") {
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	path, query, _ = strings.Cut(target, "?")
	return path, query
}

// Params are the values that a request carries in its path and query.
type Params struct {
	pattern, path string
	query         string
}

// matchPath matches a raw path against a pattern, segment by segment.
func matchPath(pattern, path string) (Params, bool) {
	p := Params{pattern: pattern, path: path}
	for pattern != "" && path != "" {
		var want, have string
		want, pattern = nextSegment(pattern)
		have, path = nextSegment(path)
		if want != have && !strings.HasPrefix(want, "{") {
			return Params{}, false
		}
	}
	return p, pattern == path
}

// nextSegment takes "/a" off "/a/b", whose rest is "/b".
func nextSegment(path string) (segment, rest string) {
	path = strings.TrimPrefix(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// Path gives the unescaped value of a {name} in the path. A broken escape is
// given as received: no id and no name holds a percent sign.
func (p Params) Path(name string) string {
	pattern, path := p.pattern, p.path
	for pattern != "" {
		var want, have string
		want, pattern = nextSegment(pattern)
		have, path = nextSegment(path)
		if len(want) == len(name)+2 && want[1:len(want)-1] == name {
			if plain := unescape(have, url.PathUnescape); plain != have {
				return plain
			}
			return strings.Clone(have) // who keeps it would keep the whole request line
		}
	}
	return ""
}

// Query gives the unescaped value of the first query parameter of a name.
func (p Params) Query(name string) (string, bool) {
	for rest := p.query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		k, v, _ := strings.Cut(pair, "=")
		if k == name || unescape(k, url.QueryUnescape) == name {
			return unescape(v, url.QueryUnescape), true
		}
	}
	return "", false
}

func unescape(s string, f func(string) (string, error)) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	plain, err := f(s)
	if err != nil {
		return s
	}
	return plain
}
