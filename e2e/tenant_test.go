package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTenants is invariant I8: nobody reaches data that is not theirs. Many who
// should not, ask for the data of others by every operation of every wire and
// name it in every way. No answer may hold what is secret, and at the end
// everything must be as it was.
//
//	tenant_world_test.go       who asks, what is asked for, and whether it is untouched
//	tenant_operations_test.go  every operation × everybody who asks
//	tenant_names_test.go       how a victim is named: spellings, mixed names, duplicates, other methods and targets
//	tenant_sealed_test.go      credentials, tokens of sessions, pages and logins, links and signatures, forged and of others
//	tenant_sts_test.go         roles of the classic flow
//	tenant_socket_test.go      requests inside of requests
//
// What expires later than a test can wait for is tested with a clock: credentials
// in auth TestIdentity, signatures in awswire TestVerifySkew, sync sessions in
// TestSessionLivesForAnHour, links in front/payload TestForged, iterators in
// front/kinesisapi TestIteratorLife.
func TestTenants(t *testing.T) {
	t.Parallel()
	w := newTenants(t)
	for _, group := range []struct {
		name string
		run  func(*tenants)
	}{
		{"Controls", (*tenants).controls},
		{"Operations", (*tenants).everyOperation},
		{"Spellings", (*tenants).spellings},
		{"MixedNames", (*tenants).mixedNames},
		{"KeyOfAnotherPool", (*tenants).keyOfAnotherPool},
		{"Duplicates", (*tenants).duplicates},
		{"OtherTargets", (*tenants).otherTargets},
		{"OtherMethods", (*tenants).otherMethods},
		{"Credentials", (*tenants).tamperedCredentials},
		{"SessionTokens", (*tenants).sessionTokens},
		{"PageTokens", (*tenants).pageTokens},
		{"Logins", (*tenants).logins},
		{"ExpiredLogin", (*tenants).expiredLogin},
		{"AssumedRoles", (*tenants).assumedRoles},
		{"Links", (*tenants).links},
		{"Replays", (*tenants).replays},
		{"Sockets", (*tenants).sockets},
	} {
		t.Run(group.name, func(t *testing.T) {
			sub, before, start := w.in(t), w.tally.cases, time.Now()
			group.run(sub)
			t.Logf("%d cases in %v", w.tally.cases-before, time.Since(start).Round(time.Millisecond))
			sub.untouched()
		})
	}
	w.s.healthy()
	if least := 1000 * soak(t); w.tally.cases < least {
		t.Errorf("%d cases, there must be %d", w.tally.cases, least)
	}
}

// verdict is how an attempt must end.
type verdict int

const (
	// denied: refused for who asks, whether there is such data or not.
	denied verdict = iota
	// refused: for any reason.
	refused
	// ownOnly: it may be answered, of the asker's own data.
	ownOnly
)

// ask is a request before it is signed.
type ask struct {
	service, method, path string
	target                string // X-Amz-Target; "": the path names the operation
	header                http.Header
	body                  []byte
}

// attempt is one case: somebody asks for what is not theirs.
type attempt struct {
	name string
	who  *tenant
	ask  ask
	edit func(*http.Request) // of the signed request; nil: it is sent as signed
	want verdict
	// gone allows "not found": who asks owns what is deleted.
	gone bool
}

// request makes the request of an asker, signed if it has credentials.
func (who *tenant) request(a ask) (*http.Request, error) {
	header := http.Header{}
	for name, values := range a.header {
		header[name] = slices.Clone(values)
	}
	if a.target != "" {
		header["X-Amz-Target"] = []string{a.target}
		header["Content-Type"] = []string{"application/x-amz-json-1.1"}
	}
	if who.creds != nil {
		return who.requestAt(time.Now(), region, a.service, a.method, a.path, a.body, header)
	}
	r, err := http.NewRequest(a.method, who.url+a.path, bytes.NewReader(a.body))
	if err == nil {
		r.Header = header
	}
	return r, err
}

// try sends an attempt and judges the answer, which it gives.
func (w *tenants) try(a attempt) answer {
	w.Helper()
	w.tally.cases++
	r, err := a.who.request(a.ask)
	if err != nil {
		w.Fatalf("%s: %v", a.name, err)
	}
	if a.edit != nil {
		a.edit(r)
	}
	line, said := describe(r)
	have, err := w.stranger.send(r)
	if err != nil {
		w.Fatalf("%s: %v\n%s", a.name, err, line)
	}
	if fault := w.judge(&a, have, said); fault != "" {
		w.Errorf("%s, asked by %s: %s\n%s\nstatus %d: %s", a.name, a.who.name, fault, line, have.status, clip(string(have.body)))
	}
	if have.status < 300 && a.ask.method != http.MethodGet {
		w.tally.taken = append(w.tally.taken, line)
	}
	return have
}

// judge tells what is wrong with an answer, "" if nothing is.
func (w *tenants) judge(a *attempt, have answer, said string) string {
	if secret := w.leaked(a.who, have, said); secret != "" {
		return "the answer holds " + secret
	}
	code := faultCode(have)
	switch {
	case have.status >= 500:
		return "the server failed"
	case code == "InvalidSignatureException" && a.edit == nil && a.who.creds != nil && !a.who.tampered:
		return "the case tests nothing: its signature is not good"
	case a.want == ownOnly:
		return w.givesAnother(have)
	case have.status < 400:
		return "it was answered"
	case a.want == refused || a.gone && code == "ResourceNotFoundException":
		return ""
	case !slices.Contains(denials, code) && (a.ask.method != http.MethodHead || have.status != http.StatusForbidden):
		return "it was not refused for who asks, but with " + code
	}
	return ""
}

// denials are the errors for who asks, which say nothing of what is there.
var denials = []string{
	"NotAuthorizedException", "AccessDeniedException", "AccessDenied",
	"MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
}

// faultCode is the error's name on whichever wire, "" if there is none.
func faultCode(a answer) string {
	if names := a.header["X-Amzn-Errortype"]; len(names) > 0 {
		return names[0]
	}
	var plain struct {
		Type string `json:"__type"`
	}
	if json.Unmarshal(a.body, &plain) == nil && plain.Type != "" {
		return plain.Type[strings.LastIndexByte(plain.Type, '#')+1:]
	}
	var coded struct { // as of S3, and of STS
		Code  string
		Error struct{ Code string }
	}
	if xml.Unmarshal(a.body, &coded) == nil {
		return coded.Code + coded.Error.Code
	}
	return ""
}

// givesAnother tells whether an answer is about a victim's identity.
func (w *tenants) givesAnother(a answer) string {
	var out struct{ IdentityId string }
	if a.status >= 300 || json.Unmarshal(a.body, &out) != nil {
		return ""
	}
	for _, h := range w.holdings {
		if out.IdentityId == h.identity {
			return "it gives the identity of " + h.name
		}
	}
	return ""
}

var encodedPattern = regexp.MustCompile(`[\w-]{40,}`)

// shorten leaves out the middle of what is long, such as a token.
func shorten(s string) string {
	if len(s) > 200 {
		return s[:120] + "..." + s[len(s)-40:]
	}
	return s
}

// describe gives a request as a command line that sends it again, and all that
// the asker says in it.
func describe(r *http.Request) (line, said string) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body) // of memory
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	var b, all strings.Builder
	fmt.Fprintf(&b, "curl --path-as-is -X %s '%s'", r.Method, clip(r.URL.String()))
	fmt.Fprintf(&all, "%s %s %s %s", r.URL.RequestURI(), unescaped(r.URL.RequestURI()), body, unescaped(string(body)))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			fmt.Fprintf(&b, " -H '%s: %s'", name, shorten(value))
			all.WriteString(value)
		}
	}
	for _, encoded := range encodedPattern.FindAllString(all.String(), -1) { // such as what a login says
		if b, err := base64.RawURLEncoding.DecodeString(encoded); err == nil {
			all.Write(b)
		}
	}
	if len(body) > 0 {
		fmt.Fprintf(&b, " -d '%s'", shorten(string(body)))
	}
	return b.String(), all.String()
}
