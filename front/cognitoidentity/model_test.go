package cognitoidentity_test

import (
	"bufio"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary"
	"tributary/front/cognitoidentity"
)

// model is the service model of testdata/model.txt.
type model struct {
	operations map[string]modelOperation
	types      map[string][]string // the words after the name, the kind first
}

type modelOperation struct {
	public     bool
	input      string
	exceptions []string
}

func readModel(t *testing.T) *model {
	t.Helper()
	f, err := os.Open("testdata/model.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	m := &model{operations: map[string]modelOperation{}, types: map[string][]string{}}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		switch words := strings.Split(lines.Text(), " "); words[0] {
		case "", "#":
		case "operation":
			m.operations[words[1]] = modelOperation{words[2] == "public", words[3], words[4:]}
		default:
			m.types[words[1]] = slices.Concat(words[:1], words[2:])
		}
	}
	return m
}

// bounds are the least and the most of a type; max is -1 if there is no most.
func (m *model) bounds(t *testing.T, name string) (least, most int) {
	t.Helper()
	read := func(s string, otherwise int) int {
		if s == "-" {
			return otherwise
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w := m.types[name]
	return read(w[1], 0), read(w[2], -1)
}

// samples are texts that the patterns of the model allow and can be made longer
// with their last character.
var samples = map[string]string{`[\w-]+:[0-9a-f-]+`: "eu-west-1:0", `\d+`: "1", `(un)?authenticated`: "authenticated"}

// text is a text of n characters of a type.
func (m *model) text(name string, n int) string {
	s := "é" // lengths are of characters
	if n > 10_000 {
		s = "x" // bodies have bounds too
	}
	if w := m.types[name]; len(w) > 3 {
		if s = samples[w[3]]; s == "" {
			s = "x"
		}
	}
	runes := []rune(s)
	if n < len(runes) {
		return string(runes[:n])
	}
	return s + strings.Repeat(string(runes[len(runes)-1]), n-len(runes))
}

// good is a value of a type, with all of its members.
func (m *model) good(t *testing.T, name string) any {
	t.Helper()
	switch w := m.types[name]; w[0] {
	case "string":
		least, _ := m.bounds(t, name)
		if len(w) > 3 && len(samples[w[3]]) > least {
			return samples[w[3]]
		}
		return m.text(name, max(least, 1))
	case "enum":
		return w[1]
	case "number":
		return 1.0
	case "boolean":
		return true
	case "list":
		return []any{m.good(t, w[3])}
	case "map":
		return obj{m.good(t, w[3]).(string): m.good(t, w[4])}
	case "structure":
		out := obj{}
		for _, member := range w[1:] {
			field, of, _ := strings.Cut(member, ":")
			out[strings.TrimSuffix(field, "*")] = m.good(t, of)
		}
		return out
	default:
		t.Fatalf("%s is a %s", name, w[0])
		return nil
	}
}

// variant is a value that keeps to the model, or breaks it at a place.
type variant struct {
	value any
	at    string // "" if it keeps to it
	why   string
}

// variants are the values at the borders of a type, and just beyond.
func (m *model) variants(t *testing.T, name, at string) []variant {
	t.Helper()
	w := m.types[name]
	switch w[0] {
	case "string":
		return m.texts(t, name, at)
	case "enum":
		out := []variant{{"x", at, "enum value set"}}
		for _, v := range w[1:] {
			out = append(out, variant{value: v})
		}
		return out
	case "number":
		least, most := m.bounds(t, name)
		return []variant{{value: least}, {value: most}, {least - 1, at, "value greater than or equal to"}, {most + 1, at, "value less than or equal to"}}
	case "list":
		return m.lists(t, name, at)
	case "map":
		return m.maps(t, name, at)
	case "structure":
		return m.structures(t, name, at)
	}
	return nil
}

func (m *model) texts(t *testing.T, name, at string) []variant {
	t.Helper()
	least, most := m.bounds(t, name)
	w := m.types[name]
	const mostSent = 50_000 // public operations take bodies of 64 KiB
	if len(w) > 3 && w[3] == `(un)?authenticated` {
		return []variant{{value: "unauthenticated"}, {"Authenticated", at, "pattern"}, {"authenticatedx", at, "pattern"}}
	}
	var out []variant
	if most <= mostSent {
		out = append(out, variant{value: m.text(name, most)}, variant{m.text(name, most+1), at, "length less than or equal to"})
	}
	if least > 0 {
		out = append(out, variant{m.text(name, least-1), at, "length greater than or equal to"})
	}
	if len(w) > 3 && w[3] != `[\p{L}\p{M}\p{S}\p{N}\p{P}]+` && w[3] != `[\S]+` {
		out = append(out, variant{m.good(t, name).(string) + "é", at, "pattern"})
	} else if len(w) > 3 {
		out = append(out, variant{"x y", at, "pattern"})
	}
	return out
}

func (m *model) lists(t *testing.T, name, at string) []variant {
	t.Helper()
	least, most := m.bounds(t, name)
	of := m.types[name][3]
	many := func(n int) []any { return slices.Repeat([]any{m.good(t, of)}, n) }
	out := []variant{{[]any{nil}, at + ".1.member", "must not be null"}}
	if most > 0 {
		out = append(out, variant{value: many(most)}, variant{many(most + 1), at, "length less than or equal to"})
	}
	if least > 0 {
		out = append(out, variant{[]any{}, at, "length greater than or equal to"})
	}
	for _, v := range m.variants(t, of, at+".2.member") {
		out = append(out, variant{[]any{m.good(t, of), v.value}, v.at, v.why})
	}
	return out
}

func (m *model) maps(t *testing.T, name, at string) []variant {
	t.Helper()
	_, most := m.bounds(t, name)
	key, of := m.types[name][3], m.types[name][4]
	var out []variant
	if most > 2 {
		many := func(n int) obj {
			o := obj{}
			for i := range n {
				o[strconv.Itoa(i)] = m.good(t, of)
			}
			return o
		}
		out = append(out, variant{value: many(most)}, variant{many(most + 1), at, "length less than or equal to"})
	}
	for _, v := range m.variants(t, key, at) {
		out = append(out, variant{obj{v.value.(string): m.good(t, of)}, v.at, v.why})
	}
	k := m.good(t, key).(string)
	for _, v := range append(m.variants(t, of, at+"."+k+".member"), variant{nil, at + "." + k + ".member", "must not be null"}) {
		out = append(out, variant{obj{k: v.value}, v.at, v.why})
	}
	return out
}

func (m *model) structures(t *testing.T, name, at string) []variant {
	t.Helper()
	if at != "" {
		at += "."
	}
	good := m.good(t, name).(obj)
	with := func(field string, v any) obj {
		o := maps.Clone(good)
		o[field] = v
		return o
	}
	var out []variant
	for _, member := range m.types[name][1:] {
		field, of, _ := strings.Cut(member, ":")
		field, needed := strings.CutSuffix(field, "*")
		place := at + strings.ToLower(field[:1]) + field[1:]
		absent := maps.Clone(good)
		delete(absent, field)
		v := variant{value: absent}
		if needed {
			v.at, v.why = place, "must not be null"
		}
		out = append(out, v, variant{with(field, nil), v.at, v.why})
		for _, v := range m.variants(t, of, place) {
			out = append(out, variant{with(field, v.value), v.at, v.why})
		}
	}
	return out
}

// TestModel sends every operation what the service model just allows and what it
// just does not.
func TestModel(t *testing.T) {
	k := newKit(t)
	m := readModel(t)
	for name, public := range cognitoidentity.Operations() {
		o, ok := m.operations[name]
		if !ok || o.public != public {
			t.Errorf("%s: public %v, in the model %+v", name, public, o)
			continue
		}
		for _, v := range m.structures(t, o.input, "") {
			as := &k.developer
			if public {
				as = nil
			}
			status, text := k.send(as, name, v.value)
			told := strings.Contains(text, " detected: Value")
			switch here := "at '" + v.at + "' failed to satisfy constraint: "; {
			case status >= 500:
				t.Errorf("%s of %.300v: %d %s", name, v.value, status, text)
			case v.at == "" && told:
				t.Errorf("%s refuses what is good, %.300v: %s", name, v.value, text)
			case v.at != "" && (!told || !strings.Contains(text, "InvalidParameterException") || !strings.Contains(text, here) || !strings.Contains(text, v.why)):
				t.Errorf("%s of %.300v at %s: got %d %.500s, want %q", name, v.value, v.at, status, text, v.why)
			case strings.Count(text, here) != strings.Count(text, "failed to satisfy"):
				t.Errorf("%s of %.300v: more than %s is refused: %.500s", name, v.value, v.at, text)
			}
		}
	}
	if have, want := len(cognitoidentity.Operations()), len(m.operations); have != want || want != 23 {
		t.Errorf("%d operations of %d", have, want)
	}
}

// TestManyViolations: all are told, secrets are not.
func TestManyViolations(t *testing.T) {
	k := newKit(t)
	long := strings.Repeat("secret", 10_000)
	_, text := k.send(nil, "GetId", obj{"AccountId": "x", "Logins": obj{google: long}})
	want := `3 validation errors detected: Value null at 'identityPoolId' failed to satisfy constraint: Member must not be null; ` +
		`Value 'x' at 'accountId' failed to satisfy constraint: Member must satisfy regular expression pattern: \\d+; ` +
		`Value at 'logins.accounts.google.com.member' failed to satisfy constraint: Member must have length less than or equal to 50000`
	if !strings.Contains(text, want) || strings.Contains(text, "secret") {
		t.Errorf("got %.1000s, want %s", text, want)
	}
	if _, text := k.send(nil, "UnlinkIdentity", obj{"IdentityId": "a:0", "Logins": obj{}, "LoginsToRemove": slices.Repeat([]string{""}, 10_000)}); len(text) > 2000 {
		t.Errorf("10,000 violations are told in %d bytes", len(text))
	}
	for _, body := range []string{"[]", `"x"`, "{", `{"IdentityPoolId":1}`, `{"IdentityPoolId":"a:0","IdentityPoolId":"b:0"}`, `{"IdentityPoolId":"a:0","Logins":[]}`} {
		k.refused(nil, "GetId", body, "SerializationException", "")
	}
	k.refused(&k.developer, "ListIdentityPools", `{"MaxResults":1.5}`, "SerializationException", "")
	k.refused(&k.developer, "ListIdentityPools", ``, "InvalidParameterException", "Value null at 'maxResults'")
}

// TestFaults holds every Kind to its name and status on the wire, in an
// operation whose model has the exception.
func TestFaults(t *testing.T) {
	golden := map[tributary.Kind]struct {
		operation, code string
		status          int
		text            string
	}{
		tributary.Internal:      {"GetId", "InternalErrorException", 500, "Internal error"},
		tributary.Invalid:       {"GetId", "InvalidParameterException", 400, "text"},
		tributary.NotFound:      {"GetId", "ResourceNotFoundException", 400, "text"},
		tributary.Exists:        {"GetId", "ResourceConflictException", 400, "text"},
		tributary.Stale:         {"UpdateIdentityPool", "ConcurrentModificationException", 400, "text"},
		tributary.Denied:        {"GetId", "NotAuthorizedException", 400, "text"},
		tributary.Limit:         {"GetId", "LimitExceededException", 400, "text"},
		tributary.Throttled:     {"GetId", "TooManyRequestsException", 429, "text"},
		tributary.Busy:          {"GetId", "TooManyRequestsException", 429, "text"},
		tributary.Trigger:       {"GetId", "ExternalServiceException", 400, "text"},
		tributary.Unavailable:   {"GetId", "ServiceUnavailableException", 503, "text"},
		tributary.Taken:         {"GetOpenIdTokenForDeveloperIdentity", "DeveloperUserAlreadyRegisteredException", 400, "text"},
		tributary.Misconfigured: {"GetCredentialsForIdentity", "InvalidIdentityPoolConfigurationException", 400, "text"},
		tributary.Forbidden:     {"GetId", "AccessDeniedException", 400, "text"},
	}
	for _, kind := range tributary.Kinds() {
		want := golden[kind]
		if f := cognitoidentity.FaultOf(want.operation, tributary.Errorf(kind, "test", "text")); f.Code != want.code || f.Status != want.status || f.Message != want.text {
			t.Errorf("%s is answered with %+v, want %+v", kind, *f, want)
		}
	}
	if f := cognitoidentity.FaultOf("GetId", errors.New("secret")); f.Code != "InternalErrorException" || f.Message != "Internal error" {
		t.Errorf("an unknown error is answered with %+v", f)
	}
}

// TestModelledFaults: no operation answers an exception that its model lacks,
// but those that no model has, and what must not be taken for anything else.
func TestModelledFaults(t *testing.T) {
	m := readModel(t)
	for name, o := range m.operations {
		for _, kind := range tributary.Kinds() {
			f := cognitoidentity.FaultOf(name, tributary.Errorf(kind, "test", "text"))
			code := strings.TrimSuffix(f.Code, "Exception")
			if slices.Contains(o.exceptions, code) || kind == tributary.Unavailable || kind == tributary.Forbidden ||
				kind == tributary.Denied || kind == tributary.NotFound {
				continue
			}
			t.Errorf("%s: %s is answered with %s, in the model are %v", name, kind, f.Code, o.exceptions)
		}
	}
	retried := cognitoidentity.FaultOf("TagResource", tributary.Errorf(tributary.Stale, "test", "text"))
	if retried.Code != "TooManyRequestsException" || retried.Message != "text" {
		t.Errorf("a change at the same time is answered with %+v", retried)
	}
	if f := cognitoidentity.FaultOf("GetOpenIdTokenForDeveloperIdentity", tributary.Errorf(tributary.Trigger, "test", "text")); f.Status != 500 || f.Message != "text" {
		t.Errorf("a provider that does not answer: %+v", f)
	}
}
