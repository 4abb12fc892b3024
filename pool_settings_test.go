package tributary_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary"
)

// notSettings are the fields of a pool that nobody sets: by Pool, or by one of its
// structs.
var notSettings = []string{"ID", "Revision", "Bulk", "Created", "Stream.ID", "Stream.DisabledReason", "Stream.Kept", "Stream.Off", "Stream.GapFrom", "Stream.GapUntil"}

// TestPoolSettings: every setting of a pool that is set, and then taken away, is
// noted for the audit log.
func TestPoolSettings(t *testing.T) {
	var walk func(name string, at []int)
	walk = func(name string, at []int) {
		var pool tributary.Pool
		field := reflect.ValueOf(&pool).Elem().FieldByIndex(at)
		if slices.Contains(notSettings, name) {
			return
		}
		if field.Kind() == reflect.Struct {
			for n := range field.NumField() {
				walk(strings.TrimPrefix(name+"."+field.Type().Field(n).Name, "."), append(slices.Clone(at), n))
			}
			return
		}
		fill(t, field)
		for what, details := range map[string][]string{"set": tributary.ChangesOf(&tributary.Pool{}, &pool), "removed": tributary.ChangesOf(&pool, &tributary.Pool{})} {
			if len(details) != 1 || !strings.Contains(details[0], name) {
				t.Errorf("%s %s: the details are %q", name, what, details)
			}
		}
	}
	for n := range reflect.TypeFor[tributary.Pool]().NumField() {
		walk(reflect.TypeFor[tributary.Pool]().Field(n).Name, []int{n})
	}
}

// fill gives a value that is not zero to a field.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Struct:
		for n := range v.NumField() {
			fill(t, v.Field(n))
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key)
		fill(t, value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	default:
		t.Fatalf("no value of a %s", v.Kind())
	}
}

// TestPoolDetails has the details as they read.
func TestPoolDetails(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/"
	before := tributary.Pool{Name: "n", Tags: map[string]string{"a": "1", "b": "2"}, LoginProviders: map[string]string{"accounts.google.com": "app"},
		Roles: tributary.Roles{Authenticated: role + "a"}}
	after := before.Clone()
	after.Tags = map[string]string{"a": "1", "b": "", "c": "3"}
	after.LoginProviders = nil
	after.Roles.Authenticated = ""
	after.Roles.Mappings = map[string]tributary.RoleMapping{
		"p": {Rules: []tributary.RoleRule{{Claim: "dept", Match: "Equals", Value: "x", RoleARN: role + "x"}}, DenyAmbiguous: true}, "q": {},
	}
	after.PrincipalTags = map[string]tributary.TagMap{"p": {Tags: map[string]string{"team": "dept", "site": "loc"}}}
	after.CognitoProviders = []tributary.CognitoProvider{{Name: "cognito-idp/pool", ClientID: "c", ServerSideTokenCheck: new(true)}}
	after.Stream = tributary.StreamConfig{Name: "s", Enabled: true}
	want := []string{
		"CognitoProviders[cognito-idp/pool:c]: ServerSideTokenCheck true", "no LoginProviders[accounts.google.com]", "PrincipalTags[p]: UseDefaults false, site=loc team=dept",
		"no Roles.Authenticated", `Roles.Mappings[p]: dept Equals "x" gives ` + role + "x, else none", "Roles.Mappings[q]: by the token, else Authenticated",
		"Stream.Enabled: true", "Stream.Name: s", `Tags[b]: ""`, `Tags[c]: "3"`,
	}
	if got := tributary.ChangesOf(&before, &after); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDetail: details are one line each, and bounded one by one and together.
func TestDetail(t *testing.T) {
	var c *tributary.Call
	c.Detail("to nobody", "x")
	c = &tributary.Call{}
	c.Detail("Name", "a\r\n\t b\x1b[31m\xff")
	c.Detail("Policy", "")
	c.Detail("Long", strings.Repeat("é", 5000))
	if want := []string{"Name: a b\uFFFD[31m\uFFFD", "no Policy"}; !slices.Equal(c.Details[:2], want) {
		t.Errorf("%q, want %q", c.Details[:2], want)
	}
	if long := c.Details[2]; len(long) > 2051 || len(long) < 2000 || !utf8.ValidString(long) || !strings.HasSuffix(long, "é...") {
		t.Errorf("a long one has %d bytes, and ends in %q", len(long), long[len(long)-10:])
	}
	for range 100 {
		c.Detail("Again", strings.Repeat("x", 1000))
	}
	if all := len(strings.Join(c.Details, "")); all < 14<<10 || all > 17<<10 || slices.Index(c.Details, "and more") != len(c.Details)-1 {
		t.Errorf("all have %d bytes, the last is %.20q", all, c.Details[len(c.Details)-1])
	}
}

// TestSecretsOfProviders: where AWS has a secret beside a key, the secret is not
// noted.
func TestSecretsOfProviders(t *testing.T) {
	pool := tributary.Pool{LoginProviders: map[string]string{"api.twitter.com": "key;hush", "www.digits.com": "key", "accounts.google.com": "a;b"}}
	got := strings.Join(tributary.ChangesOf(&tributary.Pool{}, &pool), "; ")
	want(t, "the details", got, `LoginProviders[accounts.google.com]: "a;b"; LoginProviders[api.twitter.com]: "key" and a secret; LoginProviders[www.digits.com]: "key"`)
}

// TestStreamChanges: what a call does to a stream is noted.
func TestStreamChanges(t *testing.T) {
	k := newKit(t)
	k.stream("s")
	p := developer
	p.Call = &tributary.Call{Action: "kinesis:UpdateShardCount"}
	_, err := k.UpdateShardCount(k.ctx, p, "s", 1)
	k.ok(err)
	k.ok(k.IncreaseRetention(k.ctx, p, "s", 48))
	want(t, "the details", strings.Join(p.Call.Details, "; "), "Shards: 2; Retention: 48h0m0s")
}
