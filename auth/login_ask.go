package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	largestAnswer   = 1 << 20 // bytes of a provider's answer
	mostRedirects   = 3
	mostConnections = 32 // to one host
)

// failure is a provider that could not be asked.
type failure struct {
	what string // it did, for the caller: "answers with status 500"
	err  error  // nil if what says all
}

func (f *failure) Error() string {
	if f.err == nil {
		return f.what
	}
	return f.what + ": " + f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// warn logs what a provider does wrong, without the query of any URL: a redirect
// may have brought a secret in it.
func (l *Logins) warn(text, provider string, err error) {
	if l.Log == nil || !l.isNews(provider) {
		return
	}
	what, _, _ := strings.Cut(err.Error(), "?")
	l.Log.Warn(text, "provider", provider, "err", what)
}

// isNews tells whether nothing was logged of a provider for a while: every login
// meets the same.
func (l *Logins) isNews(provider string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if last, ok := l.warned[provider]; ok && now.Sub(last) < pause {
		return false
	}
	if l.warned == nil || len(l.warned) >= mostProviders {
		l.warned = map[string]time.Time{}
	}
	l.warned[provider] = now
	return true
}

// client gives Client, or one of its own, with its redirects bounded.
func (l *Logins) client() *http.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own != nil {
		return l.own
	}
	l.own = &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		DialContext:            (&net.Dialer{Timeout: patience}).DialContext,
		IdleConnTimeout:        90 * time.Second,
		MaxConnsPerHost:        mostConnections,
		MaxResponseHeaderBytes: 64 << 10,
	}}
	if l.Client != nil {
		copied := *l.Client
		l.own = &copied
	}
	l.own.CheckRedirect = checkRedirect
	return l.own
}

func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > mostRedirects {
		return fmt.Errorf("more than %d redirects", mostRedirects)
	}
	if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
		return errors.New("a redirect from https to " + r.URL.Scheme)
	}
	return nil
}

// readDocument gets a public JSON document into out. Errors are of type
// *failure.
func (l *Logins) readDocument(ctx context.Context, address string, out any) error {
	status, body, err := ask(ctx, l.client().Do, address, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return badStatus(status)
	}
	return decode(body, out)
}

// present asks a provider about an access token that is in the query. The
// transport is used alone: a client would follow redirects, with the token in
// the Referer header, and write the whole address into its errors.
func (l *Logins) present(ctx context.Context, address string, query url.Values) (status int, body []byte, err error) {
	transport := l.client().Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	return ask(ctx, transport.RoundTrip, address, query)
}

// ask sends a GET and reads the answer. Errors are of type *failure.
func ask(ctx context.Context, send func(*http.Request) (*http.Response, error), address string, query url.Values) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, &failure{"has an address that cannot be used", err}
	}
	if query != nil {
		r.URL.RawQuery = query.Encode()
	}
	r.Header.Set("Accept", "application/json")
	resp, err := send(r)
	if err != nil {
		return 0, nil, unreachable(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, largestAnswer+1))
	if err != nil {
		return 0, nil, unreachable(err)
	}
	if len(body) > largestAnswer {
		return 0, nil, &failure{fmt.Sprintf("answers with more than %d bytes", largestAnswer), nil}
	}
	return resp.StatusCode, body, nil
}

func unreachable(err error) error {
	var timeout interface{ Timeout() bool }
	late := errors.As(err, &timeout) && timeout.Timeout()
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // the URL, before it, may end with a query
	}
	if late {
		return &failure{"does not answer in time", err}
	}
	return &failure{"cannot be reached", err}
}

func badStatus(status int) error {
	return &failure{fmt.Sprintf("answers with status %d", status), nil}
}

func decode(body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		return nonsense(err)
	}
	return nil
}

func nonsense(err error) error { return &failure{"answers with what cannot be understood", err} }
