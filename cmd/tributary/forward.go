package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

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

type targetKey struct{}

func newForwarder(here http.Handler, holder func(context.Context) string) *forwarder {
	f := &forwarder{here: here, holder: holder}
	f.proxy = httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			to, _ := r.In.Context().Value(targetKey{}).(*url.URL)
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			r.Out.Host = r.In.Host // part of what was signed
			r.Out.Header.Set(forwardedHeader, "1")
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			if body, ok := r.Body.(*kept); ok {
				body.again()
			}
			f.here.ServeHTTP(w, r)
		},
	}
	return f
}

// kept is a body that can be read once more.
type kept struct {
	text []byte
	*bytes.Reader
}

func (k *kept) again()       { k.Reader = bytes.NewReader(k.text) }
func (k *kept) Close() error { return nil }

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := f.target(r)
	if to == nil {
		f.here.ServeHTTP(w, r)
		return
	}
	const most = 1<<20 + 1 // what a query is refused from; see front/api
	text, err := io.ReadAll(io.LimitReader(r.Body, most))
	body := &kept{text: text}
	body.again()
	if err != nil || len(text) == most {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(body, r.Body), r.Body}
		f.here.ServeHTTP(w, r)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), targetKey{}, to))
	r.Body = body
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
