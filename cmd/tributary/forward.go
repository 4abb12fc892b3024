package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"tributary/front/api"
)

// forwarder sends queries to the node that has the embedded warehouse, as they
// were signed: that node checks the signature, and nothing needs to be trusted
// between the two. What cannot be sent is answered here.
type forwarder struct {
	here   http.Handler
	holder func(context.Context) string // URL of the node, "" if it is this one or none
	proxy  httputil.ReverseProxy
}

// forwardedHeader says that a request was forwarded. It is not forwarded again.
const forwardedHeader = "Tributary-Forwarded"

func newForwarder(here http.Handler, holder func(context.Context) string) *forwarder {
	f := &forwarder{here: here, holder: holder}
	f.proxy = httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			out, _ := r.In.Context().Value(outwardKey{}).(*outward)
			r.Out.URL.Scheme, r.Out.URL.Host = out.to.Scheme, out.to.Host
			r.Out.Host = r.In.Host // part of what was signed
			r.Out.Header.Set(forwardedHeader, "1")
		},
		// Nothing of the environment: what is signed goes to that node alone.
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			ResponseHeaderTimeout: 11 * time.Minute, // more than any query may take
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			if out, ok := r.Context().Value(outwardKey{}).(*outward); ok {
				r.Body = io.NopCloser(bytes.NewReader(out.body)) // the one that was sent may still be read
			}
			f.here.ServeHTTP(w, r)
		},
	}
	return f
}

// outward is a request on its way to another node.
type outward struct {
	to   *url.URL
	body []byte
}

type outwardKey struct{}

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := f.target(r)
	if to == nil {
		f.here.ServeHTTP(w, r)
		return
	}
	const most = 1<<20 + 1 // what a query is refused from; see front/api
	body, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil || len(body) == most {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		f.here.ServeHTTP(w, r)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), outwardKey{}, &outward{to, body}))
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.proxy.ServeHTTP(w, r)
}

// target is where a request is to be sent, nil if it is to be answered here.
func (f *forwarder) target(r *http.Request) *url.URL {
	if r.URL.Path != api.QueryPath || r.Header.Get(forwardedHeader) != "" {
		return nil
	}
	holder := f.holder(r.Context())
	if holder == "" {
		return nil
	}
	u, err := url.Parse(holder)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") {
		return nil
	}
	return u
}
