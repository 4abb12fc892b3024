package awswire_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"tributary/awswire"
)

// TestAdmit: a public operation may be refused before its body is read, with
// when to try again; what is signed is not asked about.
func TestAdmit(t *testing.T) {
	for protocol, want := range map[awswire.Protocol]int{awswire.RESTJSON: 429, awswire.JSON11: 400} {
		s := service(protocol)
		s.Admit = func(*http.Request) error { return &awswire.Fault{Code: "TooManyRequestsException", Status: 429} }
		send := func(operation, path, signed string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("POST", path, unread(t))
			r.ContentLength = 50
			if signed != "" {
				r = httptest.NewRequest("POST", path, nil)
			}
			r.Header.Set("X-Amz-Target", "Test."+operation)
			r.Header.Set("Authorization", signed)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			return w
		}
		if w := send("Echo", "/things/a/echo", ""); w.Code != want || header(w, "x-amzn-ErrorType") != "TooManyRequestsException" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("protocol %d: %d %v", protocol, w.Code, w.Header())
		}
		if w := send("SignedPost", "/signed", "test"); w.Code != 200 {
			t.Errorf("protocol %d: a signed one is answered with %d", protocol, w.Code)
		}
	}
}
