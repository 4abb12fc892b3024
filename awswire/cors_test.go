package awswire_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tributary/awswire"
)

// page is a page in a browser, as far as the Fetch standard has it ask before
// it sends to another origin, and hides what it was not allowed to read.
type page struct {
	*testing.T
	origin string
	server string
}

func (p *page) send(method, path string, h http.Header) *http.Response {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), method, p.server+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	r.Header = h.Clone()
	r.Header.Set("Origin", p.origin)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = a.Body.Close() })
	return a
}

func list(h http.Header, name string) []string {
	all := strings.Split(strings.ToLower(strings.Join(h[name], ",")), ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

func (p *page) mayRead(a *http.Response) bool {
	allowed := a.Header["Access-Control-Allow-Origin"]
	return len(allowed) == 1 && (allowed[0] == "*" || allowed[0] == p.origin)
}

// fetch gives the answer, or why the browser keeps it from the page.
func (p *page) fetch(method, path string, h http.Header) (*http.Response, error) {
	p.Helper()
	var names []string
	for name := range h {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	asked := p.send("OPTIONS", path, http.Header{"Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {strings.Join(names, ",")}})
	switch {
	case asked.StatusCode < 200 || asked.StatusCode > 299:
		return nil, fmt.Errorf("the preflight is answered with %d", asked.StatusCode)
	case !p.mayRead(asked):
		return nil, fmt.Errorf("origin not allowed")
	case !slices.Contains(list(asked.Header, "Access-Control-Allow-Methods"), strings.ToLower(method)):
		return nil, fmt.Errorf("method not allowed")
	}
	for _, name := range names { // "authorization" is never covered by a wildcard
		if !slices.Contains(list(asked.Header, "Access-Control-Allow-Headers"), name) {
			return nil, fmt.Errorf("header %s not allowed", name)
		}
	}
	a := p.send(method, path, h)
	if !p.mayRead(a) {
		return nil, fmt.Errorf("answer not allowed")
	}
	exposed := list(a.Header, "Access-Control-Expose-Headers")
	for name := range a.Header {
		if !slices.Contains(exposed, strings.ToLower(name)) && name != "Content-Type" && name != "Content-Length" {
			a.Header.Del(name)
		}
	}
	return a, nil
}

func corsServer(t *testing.T, protocol awswire.Protocol, origins ...string) string {
	t.Helper()
	h := httptest.NewServer(&awswire.CORS{Service: service(protocol), Origins: origins})
	t.Cleanup(h.Close)
	return h.URL
}

// TestCORS has a page use a service, with what AWS's SDKs for browsers send:
// good answers, errors, and the earliest refusals can all be read.
func TestCORS(t *testing.T) {
	const origin = "https://app.example.org"
	sdk := func(more ...string) http.Header {
		h := http.Header{}
		for _, name := range append(more, "Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-User-Agent", "X-Amz-Content-Sha256", "Amz-Sdk-Request", "Amz-Sdk-Invocation-Id") {
			h.Set(name, "test")
		}
		return h
	}
	for _, c := range []struct {
		name         string
		origins      []string
		method, path string
		header       http.Header
		status       int
		code         string
	}{
		{"any", []string{"*"}, "GET", "/signed", sdk(), 200, ""},
		{"listed", []string{"https://other.example.org", origin}, "GET", "/signed", sdk(), 200, ""},
		{"an unusual header", []string{"*"}, "POST", "/signed", sdk("X-Amz-Next-Thing"), 200, ""},
		{"no signature", []string{"*"}, "GET", "/signed", http.Header{"X-Amz-Date": {"test"}}, 403, "MissingAuthenticationTokenException"},
		{"no operation", []string{origin}, "DELETE", "/nothing", sdk(), 404, "UnknownOperationException"},
		{"put", []string{"*"}, "PUT", "/signed", sdk(), 404, "UnknownOperationException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := page{t, origin, corsServer(t, awswire.RESTJSON, c.origins...)}
			a, err := p.fetch(c.method, c.path, c.header)
			if err != nil {
				t.Fatal(err)
			}
			if a.StatusCode != c.status || a.Header.Get("X-Amzn-Errortype") != c.code || a.Header.Get("X-Amzn-Requestid") == "" || a.Header.Get("Date") == "" {
				t.Errorf("the page sees %d %v", a.StatusCode, a.Header)
			}
		})
	}
}

// TestCORSRefuses: what a page may not do, and what is left as it was.
func TestCORSRefuses(t *testing.T) {
	p := page{t, "https://evil.example.org", corsServer(t, awswire.RESTJSON, "https://app.example.org")}
	if _, err := p.fetch("GET", "/signed", http.Header{"Authorization": {"test"}}); err == nil || !strings.Contains(err.Error(), "answered with 403") {
		t.Errorf("another origin: %v", err)
	}
	if a := p.send("GET", "/signed", http.Header{"Authorization": {"test"}}); p.mayRead(a) || a.Header.Get("Vary") != "Origin" {
		t.Errorf("another origin without asking: %v", a.Header)
	}
	known := []string{"authorization", "content-type", "x-amz-date", "x-amz-security-token", "x-amz-user-agent", "x-amz-target", "x-amz-content-sha256",
		"x-amz-client-context", "amz-sdk-invocation-id", "amz-sdk-request"}
	for _, names := range []string{"x-a, \x7f", "x a", "x-a,,x-b", "<script>", "x-é", strings.Repeat("x", 2000)} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("OPTIONS", "/", nil)
		r.Header = http.Header{"Origin": {"https://a.example.org"}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {names}}
		(&awswire.CORS{Service: http.NotFoundHandler(), Origins: []string{"*"}}).ServeHTTP(w, r)
		if allowed := w.Header().Get("Access-Control-Allow-Headers"); w.Code != 200 || !slices.Equal(list(w.Header(), "Access-Control-Allow-Headers"), known) {
			t.Errorf("%q: %d %s", names, w.Code, allowed)
		}
	}
	// OPTIONS by itself is no operation, and who is no browser hears nothing of all this.
	for _, method := range []string{"OPTIONS", "GET"} {
		r, err := http.NewRequestWithContext(t.Context(), method, corsServer(t, awswire.JSON11, "*")+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(a.Body)
		_ = a.Body.Close()
		if a.StatusCode != 400 || !strings.Contains(string(text), "UnknownOperationException") || len(a.Header["Access-Control-Allow-Origin"]) != 0 || len(a.Header["Vary"]) != 0 {
			t.Errorf("%s: %d %v %s", method, a.StatusCode, a.Header, text)
		}
	}
}
