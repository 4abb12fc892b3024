package awswire_test

import (
	"bytes"
	"testing"
	"time"

	"tributary/awswire"
)

func BenchmarkVerify(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	now := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newRequest(b, "POST", "/identitypools/"+pool+"/identities/"+pool+"/datasets/settings", string(body))
	r.Header.Set("Content-Type", "application/json")
	awswire.Sign(r, body, someone(), "us-east-1", "cognito-sync", now)
	r, body = parseRequest(b, sent(b, r))
	v := verifier(someone(), now)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := v.Verify(r, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	now := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newRequest(b, "POST", "/identitypools/"+pool+"/identities/"+pool+"/datasets/settings", string(body))
	r.Header.Set("Content-Type", "application/json")
	s := awswire.Signer{Credentials: someone(), Region: "us-east-1", Service: "cognito-sync"}
	b.ReportAllocs()
	for b.Loop() {
		s.Sign(r, body, now)
	}
}
