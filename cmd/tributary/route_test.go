package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tributary/awswire"
)

// TestRoutes: which front a request goes to.
func TestRoutes(t *testing.T) {
	front := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	}
	f := &fronts{sync: front("sync"), identity: front("identity"), kinesis: front("kinesis"), sts: front("sts"), api: front("api"),
		payload: front("payload"), openID: front("openid"), ops: front("ops")}
	const form, json = "application/x-www-form-urlencoded; charset=utf-8", "application/x-amz-json-1.1"
	for _, c := range []struct{ want, method, target, operation, content, signedFor string }{
		{"sync", "GET", "/identitypools/x", "", "", ""},
		{"sync", "GET", "/identitypools/x?Action=y", "", "", ""},
		{"sync", "POST", "/identitypools/x", "", form, ""},
		{"sync", "POST", "/", "", json, ""},
		{"sync", "POST", "/", "", form, "cognito-sync"},
		{"identity", "POST", "/", "AWSCognitoIdentityService.GetId", form, ""},
		{"identity", "POST", "/", "", form, "cognito-identity"},
		{"identity", "POST", "/?Action=GetCallerIdentity", "AWSCognitoIdentityService.GetId", json, ""},
		{"kinesis", "POST", "/", "Kinesis_20131202.ListStreams", json, ""},
		{"kinesis", "POST", "/", "", form, "kinesis"},
		{"sts", "POST", "/", "", form, ""},
		{"sts", "POST", "/", "", "APPLICATION/X-WWW-FORM-URLENCODED", ""},
		{"sts", "POST", "/", "", form, "sts"},
		{"sts", "POST", "/", "", json, "sts"},
		{"sts", "POST", "/", "", form, "iam"}, // whose clients can read the answer
		{"sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "", "", ""},
		{"sync", "POST", "/", "Unknown.Operation", form, ""},
		{"sync", "GET", "/?X-Action=y", "", "", ""},
		{"api", "POST", "/_tributary/v1/query", "", form, ""},
		{"openid", "GET", "/.well-known/jwks_uri?Action=x", "", "", ""},
		{"ops", "GET", "/metrics", "", "", ""},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		if c.operation != "" {
			r.Header.Set("X-Amz-Target", c.operation)
		}
		r.Header.Set("Content-Type", c.content)
		if c.signedFor != "" {
			awswire.Sign(r, nil, awswire.Credentials{AccessKeyID: "AKIA", SecretKey: "x"}, "us-east-1", c.signedFor, time.Now())
		}
		w := httptest.NewRecorder()
		if f.ServeHTTP(w, r); w.Body.String() != c.want {
			t.Errorf("%+v goes to %s", c, w.Body)
		}
	}
}
