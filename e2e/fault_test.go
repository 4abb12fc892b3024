package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// wantFault checks that an answer is a well-formed AWS error of REST-JSON, of
// this status and code, whose message contains a text.
func wantFault(t *testing.T, a answer, status int, code, text string) {
	t.Helper()
	got, message := checkFault(t, a)
	if a.status != status || got != code || !strings.Contains(message, text) {
		t.Errorf("status %d, %s: %q; expected %d, %s: %q", a.status, got, message, status, code, text)
	}
}

// wantFault11 is wantFault for JSON 1.1, whose body also names the code.
func wantFault11(t *testing.T, a answer, code, text string) {
	t.Helper()
	wantFault(t, a, 400, code, text)
	var body struct {
		Type string `json:"__type"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.Type != code {
		t.Errorf("__type is not %s: %s", code, clip(string(a.body)))
	}
}

// checkFault checks the form of an AWS error and takes it apart.
func checkFault(t *testing.T, a answer) (code, message string) {
	t.Helper()
	var body struct {
		Message *string `json:"message"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.Message == nil || *body.Message == "" {
		t.Fatalf("status %d: the body is no AWS error: %v: %q", a.status, err, clip(string(a.body)))
	}
	code = a.header.Get("X-Amzn-Errortype")
	if a.status < 400 || code == "" || a.header.Get("X-Amzn-Requestid") == "" || !strings.Contains(a.header.Get("Content-Type"), "json") {
		t.Errorf("status %d, headers %v: no AWS error", a.status, a.header)
	}
	return code, *body.Message
}
