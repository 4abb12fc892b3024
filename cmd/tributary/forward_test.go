package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tributary/front/api"
)

// TestForward: a query goes to the node that has the warehouse as it was
// signed, once only; if that node is gone it is answered here, whole.
func TestForward(t *testing.T) {
	echo := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, name+" "+r.Host+" "+r.URL.Path+" "+string(body))
		})
	}
	holder := httptest.NewServer(echo("holder"))
	gone := httptest.NewServer(echo("gone"))
	gone.Close()
	for _, c := range []struct {
		name, holder, path, forwarded, want string
	}{
		{"There", holder.URL, api.QueryPath, "", "holder sync.example.org " + api.QueryPath + " the body"},
		{"Gone", gone.URL, api.QueryPath, "", "here sync.example.org " + api.QueryPath + " the body"},
		{"Here", "", api.QueryPath, "", "here sync.example.org " + api.QueryPath + " the body"},
		{"Twice", holder.URL, api.QueryPath, "1", "here sync.example.org " + api.QueryPath + " the body"},
		{"Other", holder.URL, api.Prefix + "pools", "", "here sync.example.org " + api.Prefix + "pools the body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newForwarder(echo("here"), func(context.Context) string { return c.holder })
			for range 20 {
				r := httptest.NewRequest("POST", "http://sync.example.org"+c.path, strings.NewReader("the body"))
				if c.forwarded != "" {
					r.Header.Set(forwardedHeader, c.forwarded)
				}
				w := httptest.NewRecorder()
				if f.ServeHTTP(w, r); w.Body.String() != c.want {
					t.Fatalf("%q, want %q", w.Body, c.want)
				}
			}
		})
	}
	holder.Close()
}
