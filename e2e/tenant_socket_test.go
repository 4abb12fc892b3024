package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// smuggled is a request with another one in it, which some server between could
// take for its own.
type smuggled struct {
	name string
	// write joins the outer request, of which it gets the line and the signed
	// headers, and the inner one.
	write func(line, headers, inner string) string
}

func smuggledRequests() []smuggled {
	framed := func(name, framing string) smuggled {
		return smuggled{name, func(line, headers, inner string) string {
			return line + headers + strings.ReplaceAll(framing, "LENGTH", fmt.Sprint(len(inner))) + "\r\n" + inner
		}}
	}
	chunked := func(name, framing string) smuggled {
		return smuggled{name, func(line, headers, inner string) string {
			inner = "0\r\n\r\n" + inner
			return line + headers + strings.ReplaceAll(framing, "LENGTH", fmt.Sprint(len(inner))) + "\r\n" + inner
		}}
	}
	return []smuggled{
		framed("two lengths, the first is 0", "Content-Length: 0\r\nContent-Length: LENGTH\r\n"),
		framed("two lengths, the last is 0", "Content-Length: LENGTH\r\nContent-Length: 0\r\n"),
		framed("two lengths in one", "Content-Length: 0, LENGTH\r\n"),
		framed("length with a sign", "Content-Length: +0\r\n"),
		framed("length and a space before the colon", "Content-Length: 0\r\nContent-Length : LENGTH\r\n"),
		framed("length on a second line", "Content-Length:\r\n 0\r\nX: LENGTH\r\n"),
		framed("body of a GET", "Content-Length: LENGTH\r\n"),
		framed("no length", ""),
		framed("length in hexadecimal", "Content-Length: 0x0\r\n"),
		framed("line feeds", "Content-Length: 0\nX: y\n"),
		framed("carriage return in a value", "X: y\rContent-Length: LENGTH\r\nContent-Length: 0\r\n"),
		framed("upgrade", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 0\r\n"),
		framed("expectation", "Expect: 100-continue\r\nContent-Length: 0\r\n"),
		framed("another host", "Host: localhost\r\nContent-Length: 0\r\n"),
		framed("another method", "X-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n"),
		chunked("chunks and a length", "Content-Length: LENGTH\r\nTransfer-Encoding: chunked\r\n"),
		chunked("chunks and the length 0", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
		chunked("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
		chunked("chunks and identity", "Transfer-Encoding: chunked, identity\r\nContent-Length: LENGTH\r\n"),
		chunked("identity and chunks", "Transfer-Encoding: identity, chunked\r\nContent-Length: LENGTH\r\n"),
		chunked("unknown encoding", "Transfer-Encoding: xchunked\r\nContent-Length: LENGTH\r\n"),
		chunked("a tab before chunks", "Transfer-Encoding:\tchunked\r\nContent-Length: LENGTH\r\n"),
		chunked("a space before the colon", "Transfer-Encoding : chunked\r\nContent-Length: LENGTH\r\n"),
		chunked("a vertical tab", "Transfer-Encoding: \x0bchunked\r\nContent-Length: LENGTH\r\n"),
		chunked("upper case", "TRANSFER-ENCODING: CHUNKED\r\nContent-Length: LENGTH\r\n"),
		chunked("quoted", "Transfer-Encoding: \"chunked\"\r\nContent-Length: LENGTH\r\n"),
		{"trailers", func(line, headers, inner string) string {
			return line + headers + "Transfer-Encoding: chunked\r\nTrailer: X-Amz-Target\r\n\r\n0\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\n\r\n" + inner
		}},
		{"chunk's extension", func(line, headers, inner string) string {
			return line + headers + "Transfer-Encoding: chunked\r\n\r\n0;a=\"\r\n\r\n" + inner + "\"\r\n\r\n"
		}},
		{"old version", func(line, headers, inner string) string {
			return strings.Replace(line, "HTTP/1.1", "HTTP/1.0", 1) + headers + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner
		}},
		{"two versions", func(line, headers, inner string) string {
			return strings.Replace(line, " HTTP/1.1", " HTTP/1.1 HTTP/1.1", 1) + headers + "\r\n" + inner
		}},
		{"path in front of the line", func(line, headers, inner string) string {
			victim, _, _ := strings.Cut(inner, " HTTP/1.1")
			return victim + " " + line + headers + "\r\n"
		}},
		{"address of another host", func(line, headers, inner string) string {
			victim, _, _ := strings.Cut(strings.TrimPrefix(inner, "GET "), " HTTP/1.1")
			return "GET http://localhost" + victim + " HTTP/1.1\r\n" + headers + "\r\n"
		}},
		{"one after the other", func(line, headers, inner string) string { return line + headers + "Content-Length: 0\r\n\r\n" + inner }},
	}
}

// sockets sends an own request with one for a victim's data in it. However the
// bytes are read, each request must be judged by its own signature.
func (w *tenants) sockets() {
	for range soak(w.T) {
		for _, s := range smuggledRequests() {
			for _, who := range w.living() {
				h := pick(w, w.holdings)
				w.smuggle(s, who, who.dataset(common).path()+"/records", w.inner(who, h, false))
				w.smuggle(s, who, who.dataset(common).path()+"/records", w.inner(who, h, true))
			}
		}
	}
}

// inner is a request for a victim's data: unsigned, or signed by who asks.
func (w *tenants) inner(who *tenant, h *holding, signed bool) string {
	a := ask{service: syncService, method: "GET", path: w.target(h).path() + "/records"}
	if !signed {
		return "GET " + a.path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	}
	r, err := who.request(a)
	if err != nil {
		w.Fatal(err)
	}
	return "GET " + a.path + " HTTP/1.1\r\n" + signedHeaders(r) + "Connection: close\r\n\r\n"
}

func signedHeaders(r *http.Request) string {
	text := "Host: " + r.URL.Host + "\r\n"
	for name, values := range r.Header {
		text += name + ": " + values[0] + "\r\n"
	}
	return text
}

var serverFailure = regexp.MustCompile(`(?m)^HTTP/1\.[01] 50[0234]`) // 501 and 505 are for encodings and versions

// smuggle sends one request in another, and looks at all that comes back.
func (w *tenants) smuggle(s smuggled, who *tenant, path, inner string) {
	w.Helper()
	w.tally.cases++
	r, err := who.request(ask{service: syncService, method: "GET", path: path})
	if err != nil {
		w.Fatal(err)
	}
	sent := s.write("GET "+path+" HTTP/1.1\r\n", signedHeaders(r), inner)
	c, err := (&wrong{T: w.T, s: w.s}).dial()
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, sent) // the server may have answered before it has read all
	_ = c.CloseWrite()
	all, _ := io.ReadAll(c) // until the server has had enough
	if secret := w.leaked(who, answer{body: all}, sent+unescaped(sent)); secret != "" {
		w.Errorf("%s, asked by %s: the answers hold %s\nprintf '%%b' %q | nc %s\n%s", s.name, who.name, secret, sent, r.URL.Host, clip(string(all)))
	}
	if serverFailure.Match(all) {
		w.Errorf("%s, asked by %s: the server failed\nprintf '%%b' %q | nc %s\n%s", s.name, who.name, sent, r.URL.Host, clip(string(all)))
	}
}
