package e2e

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// phone is a client that replays a flow on one connection. What it sends and
// reads are bytes, as Go's own client and server bring header names into one form.
type phone struct {
	t         *testing.T
	client    *mobileClient
	conn      net.Conn
	answers   *bufio.Reader
	variables map[string]string
}

func newPhone(t *testing.T, url string, client *mobileClient, variables map[string]string) *phone {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &phone{t, client, conn, bufio.NewReader(conn), variables}
}

// mobileAnswer is an answer with its headers as they are spelled.
type mobileAnswer struct {
	status  int
	headers map[string]string
	body    []byte
}

// send sends a request, signed if it has the header Authorization, and reads
// the answer.
func (p *phone) send(x *mobileExchange) mobileAnswer {
	p.t.Helper()
	p.variables["date"] = time.Now().Add(x.clock).UTC().Format("20060102T150405Z")
	headers := p.client.syncHeaders
	if x.ofIdentity() {
		headers = p.client.identityHeaders
	}
	target, body := p.fillTarget(x), p.fill(x.place, x.body)
	var filled []string
	for _, h := range slices.Concat(headers, x.headers) {
		if h != "Authorization: {authorization}" {
			filled = append(filled, p.fill(x.place, h))
		}
	}
	if slices.Contains(headers, "Authorization: {authorization}") {
		filled = append(filled, "Authorization: "+p.sign(x.method, target, filled, body))
	}
	if body != "" {
		filled = append(filled, "Content-Length: "+strconv.Itoa(len(body)))
	}
	request := x.method + " " + target + " HTTP/1.1\r\n" + strings.Join(filled, "\r\n") + "\r\n\r\n" + body
	if _, err := io.WriteString(p.conn, request); err != nil {
		p.t.Fatalf("%s %v", x.place, err)
	}
	a, err := readMobileAnswer(p.answers)
	if err != nil {
		p.t.Fatalf("%s %s: %v", x.place, x.title, err)
	}
	return a
}

var placeholder = regexp.MustCompile(`\{[a-z-]+\}`)

// fill puts a text's variables in.
func (p *phone) fill(place, text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		value, ok := p.variables[name[1:len(name)-1]]
		if !ok {
			p.t.Fatalf("%s nothing was kept as %s", place, name)
		}
		return value
	})
}

// fillTarget puts a target's variables in, escaped in its query.
func (p *phone) fillTarget(x *mobileExchange) string {
	where, query, found := strings.Cut(x.target, "?")
	where = p.fill(x.place, where)
	if !found {
		return where
	}
	return where + "?" + placeholder.ReplaceAllStringFunc(query, func(name string) string {
		return escapeAll(p.fill(x.place, name), "")
	})
}

// escapeAll escapes all but what RFC 3986 calls unreserved, and what is to be kept.
func escapeAll(text, keep string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~"+keep, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// sign makes the header Authorization as both clients do: the path, which is
// escaped already, is escaped once more, and the query is sorted as it is sent.
// They differ in which headers they sign.
func (p *phone) sign(method, target string, headers []string, body string) string {
	where, query, _ := strings.Cut(target, "?")
	parameters := strings.Split(query, "&")
	slices.Sort(parameters)
	names, canonical := p.signedHeaders(headers)
	request := strings.Join([]string{method, escapeAll(where, "/"), strings.Join(parameters, "&"), canonical, names, hashOf(body)}, "\n")
	date := p.variables["date"]
	scope := date[:8] + "/" + region + "/" + syncService + "/aws4_request"
	key := []byte("AWS4" + p.variables["secret-key"])
	for _, part := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hashOf(request)) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", p.variables["access-key"], scope, names, key)
}

func (p *phone) signedHeaders(headers []string) (names, canonical string) {
	var signed []string
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		name = strings.ToLower(name)
		if slices.ContainsFunc(p.client.signed, func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok }) {
			signed = append(signed, name+":"+value+"\n")
		}
	}
	slices.Sort(signed)
	for _, s := range signed {
		name, _, _ := strings.Cut(s, ":")
		names += ";" + name
	}
	return strings.TrimPrefix(names, ";"), strings.Join(signed, "")
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// readMobileAnswer reads an answer, which must tell its length.
func readMobileAnswer(from *bufio.Reader) (a mobileAnswer, err error) {
	a.headers = map[string]string{}
	line, err := from.ReadString('\n')
	if err != nil {
		return a, err
	}
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &a.status); err != nil {
		return a, fmt.Errorf("%q: %w", line, err)
	}
	for {
		if line, err = from.ReadString('\n'); err != nil {
			return a, err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ": ")
		a.headers[name] = value
	}
	length, err := strconv.Atoi(a.headers["Content-Length"])
	if err != nil {
		return a, fmt.Errorf("Content-Length: %w", err)
	}
	a.body = make([]byte, length)
	_, err = io.ReadFull(from, a.body)
	return a, err
}
