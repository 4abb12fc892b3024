package tributary_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"tributary"
)

const (
	userRole  = "arn:aws:iam::123456789012:role/user"
	guestRole = "arn:aws:iam::123456789012:role/guest"
	redRole   = "arn:aws:iam::123456789012:role/red"
	blueRole  = "arn:aws:iam::123456789012:role/blue"
)

// proven is a login whose token says these claims.
func proven(provider string, claims map[string]any) tributary.VerifiedLogin {
	return tributary.VerifiedLogin{Login: tributary.Login{Provider: provider, User: "ann"}, Claims: claims}
}

func TestRole(t *testing.T) {
	rules := func(deny bool, list ...tributary.RoleRule) tributary.RoleMapping {
		return tributary.RoleMapping{Rules: list, DenyAmbiguous: deny}
	}
	isRed := tributary.RoleRule{Claim: "team", Match: tributary.MatchEquals, Value: "red", RoleARN: redRole}
	for name, c := range map[string]struct {
		mapping tributary.RoleMapping
		claims  map[string]any
		custom  string
		want    string // "" if refused
	}{
		"equals":                {rules(false, isRed), map[string]any{"team": "red"}, "", redRole},
		"equals another":        {rules(false, isRed), map[string]any{"team": "reddish"}, "", userRole},
		"no rule, denied":       {rules(true, isRed), map[string]any{"team": "green"}, "", ""},
		"one of many":           {rules(false, isRed), map[string]any{"team": []any{"green", "red"}}, "", redRole},
		"claim is missing":      {rules(false, tributary.RoleRule{Claim: "team", Match: tributary.MatchNotEqual, Value: "red", RoleARN: blueRole}), map[string]any{}, "", userRole},
		"not equal":             {rules(false, tributary.RoleRule{Claim: "team", Match: tributary.MatchNotEqual, Value: "red", RoleARN: blueRole}), map[string]any{"team": "x"}, "", blueRole},
		"contains":              {rules(false, tributary.RoleRule{Claim: "mail", Match: tributary.MatchContains, Value: "@b.", RoleARN: blueRole}), map[string]any{"mail": "a@b.c"}, "", blueRole},
		"starts with":           {rules(false, tributary.RoleRule{Claim: "mail", Match: tributary.MatchStartsWith, Value: "a@", RoleARN: blueRole}), map[string]any{"mail": "a@b.c"}, "", blueRole},
		"does not start with":   {rules(false, tributary.RoleRule{Claim: "mail", Match: tributary.MatchStartsWith, Value: "b", RoleARN: blueRole}), map[string]any{"mail": "a@b.c"}, "", userRole},
		"the first rule":        {rules(false, isRed, tributary.RoleRule{Claim: "team", Match: tributary.MatchEquals, Value: "red", RoleARN: blueRole}), map[string]any{"team": "red"}, "", redRole},
		"custom by a rule":      {rules(false, isRed, tributary.RoleRule{Claim: "team", Match: tributary.MatchEquals, Value: "red", RoleARN: blueRole}), map[string]any{"team": "red"}, blueRole, blueRole},
		"token":                 {tributary.RoleMapping{}, map[string]any{"cognito:roles": []any{redRole}}, "", redRole},
		"token prefers":         {tributary.RoleMapping{}, map[string]any{"cognito:roles": []any{redRole, blueRole}, "cognito:preferred_role": blueRole}, "", blueRole},
		"token is ambiguous":    {tributary.RoleMapping{DenyAmbiguous: true}, map[string]any{"cognito:roles": []any{redRole, blueRole}}, "", ""},
		"token, custom":         {tributary.RoleMapping{DenyAmbiguous: true}, map[string]any{"cognito:roles": []any{redRole, blueRole}}, redRole, redRole},
		"token, another custom": {tributary.RoleMapping{}, map[string]any{"cognito:roles": []any{redRole}}, blueRole, ""},
		"custom is the usual":   {tributary.RoleMapping{}, map[string]any{}, userRole, userRole},
	} {
		pool := tributary.Pool{Roles: tributary.Roles{Authenticated: userRole, Unauthenticated: guestRole, Mappings: map[string]tributary.RoleMapping{"p": c.mapping}}}
		role, err := pool.Role([]tributary.VerifiedLogin{proven("p", c.claims)}, c.custom)
		if role != c.want || (err == nil) != (c.want != "") || err != nil && tributary.KindOf(err) != tributary.Denied {
			t.Errorf("%s: %q, %v, want %q", name, role, err, c.want)
		}
	}
}

func TestRoleOfUserPool(t *testing.T) {
	pool := tributary.Pool{Roles: tributary.Roles{Authenticated: userRole, Mappings: map[string]tributary.RoleMapping{
		"cognito-idp.us-east-1.amazonaws.com/x:client": {Rules: []tributary.RoleRule{{Claim: "a", Match: tributary.MatchEquals, Value: "b", RoleARN: redRole}}},
	}}}
	login := proven("cognito-idp.us-east-1.amazonaws.com/x", map[string]any{"aud": "client", "a": "b"})
	if role, err := pool.Role([]tributary.VerifiedLogin{login}, ""); role != redRole || err != nil {
		t.Errorf("%q, %v", role, err)
	}
	login.Claims["aud"] = "another"
	if role, err := pool.Role([]tributary.VerifiedLogin{login}, ""); role != userRole || err != nil {
		t.Errorf("another client: %q, %v", role, err)
	}
}

// TestRoleOfOpenIDProvider: a mapping may be named by the ARN of a provider that
// the pool has.
func TestRoleOfOpenIDProvider(t *testing.T) {
	const host, arn = "login.example.org/realms/app", "arn:aws:iam::123456789012:oidc-provider/login.example.org/realms/app"
	isRed := []tributary.RoleRule{{Claim: "team", Match: tributary.MatchEquals, Value: "red", RoleARN: redRole}}
	isBlue := []tributary.RoleRule{{Claim: "team", Match: tributary.MatchEquals, Value: "red", RoleARN: blueRole}}
	for name, c := range map[string]struct {
		providers []string
		mappings  map[string]tributary.RoleMapping
		login     string
		want      string
	}{
		"by its ARN":          {[]string{arn}, map[string]tributary.RoleMapping{arn: {Rules: isRed}}, host, redRole},
		"by its name":         {[]string{arn}, map[string]tributary.RoleMapping{host: {Rules: isRed}}, host, redRole},
		"by both, the name":   {[]string{arn}, map[string]tributary.RoleMapping{arn: {Rules: isRed}, host: {Rules: isBlue}}, host, blueRole},
		"another provider":    {[]string{arn}, map[string]tributary.RoleMapping{arn: {Rules: isRed}}, "login.example.org", userRole},
		"not one of the pool": {nil, map[string]tributary.RoleMapping{arn: {Rules: isRed}}, host, userRole},
		"one that ends alike": {[]string{arn}, map[string]tributary.RoleMapping{arn: {Rules: isRed}}, "example.org/realms/app", userRole},
		"the other's mapping": {[]string{arn, arn + "2"}, map[string]tributary.RoleMapping{arn + "2": {Rules: isRed}}, host, userRole},
		"the second provider": {[]string{arn + "2", arn}, map[string]tributary.RoleMapping{arn: {Rules: isRed}, arn + "2": {Rules: isBlue}}, host, redRole},
	} {
		pool := tributary.Pool{OpenIDProviders: c.providers, Roles: tributary.Roles{Authenticated: userRole, Mappings: c.mappings}}
		role, err := pool.Role([]tributary.VerifiedLogin{proven(c.login, map[string]any{"team": "red"})}, "")
		if role != c.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", name, role, err, c.want)
		}
	}
}

func TestRoleNames(t *testing.T) {
	rules := tributary.RoleMapping{Rules: []tributary.RoleRule{{RoleARN: redRole}, {RoleARN: userRole}}}
	for name, c := range map[string]struct {
		roles  tributary.Roles
		want   []string
		tokens bool
	}{
		"none":   {tributary.Roles{}, nil, false},
		"two":    {tributary.Roles{Authenticated: userRole, Unauthenticated: guestRole}, []string{guestRole, userRole}, false},
		"rules":  {tributary.Roles{Authenticated: userRole, Mappings: map[string]tributary.RoleMapping{"p": rules}}, []string{redRole, userRole}, false},
		"tokens": {tributary.Roles{Unauthenticated: guestRole, Mappings: map[string]tributary.RoleMapping{"p": rules, "q": {}}}, []string{guestRole, redRole, userRole}, true},
	} {
		if arns, tokens := c.roles.Names(); !slices.Equal(arns, c.want) || tokens != c.tokens {
			t.Errorf("%s: %v, %t", name, arns, tokens)
		}
	}
}

func TestRoleOfGuest(t *testing.T) {
	for name, c := range map[string]struct {
		roles  tributary.Roles
		custom string
		want   string
		kind   tributary.Kind
	}{
		"guest":           {tributary.Roles{Authenticated: userRole, Unauthenticated: guestRole}, "", guestRole, 0},
		"no roles":        {tributary.Roles{}, "", "", 0},
		"no guest role":   {tributary.Roles{Authenticated: userRole}, "", "", tributary.Misconfigured},
		"asks for a role": {tributary.Roles{Unauthenticated: guestRole}, guestRole, "", tributary.Denied},
	} {
		role, err := (&tributary.Pool{Roles: c.roles}).Role(nil, c.custom)
		if role != c.want || (err != nil) != (c.kind != 0) || err != nil && tributary.KindOf(err) != c.kind {
			t.Errorf("%s: %q, %v", name, role, err)
		}
	}
}

func TestPrincipalTags(t *testing.T) {
	claims := map[string]any{"sub": "ann", "aud": "app", "custom:team": "red", "n": 7}
	for name, c := range map[string]struct {
		m    tributary.TagMap
		want map[string]string
	}{
		"defaults":   {tributary.TagMap{UseDefaults: true, Tags: map[string]string{"x": "sub"}}, map[string]string{"username": "ann", "client": "app"}},
		"of its own": {tributary.TagMap{Tags: map[string]string{"team": "custom:team", "none": "missing"}}, map[string]string{"team": "red"}},
		"no text":    {tributary.TagMap{Tags: map[string]string{"n": "n"}}, map[string]string{}},
	} {
		if got := c.m.Apply(claims); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestSetSignIn(t *testing.T) {
	const provider = "arn:aws:iam::123456789012:oidc-provider/id.example.org"
	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"cognito-sync:*","Resource":"*"}]}`
	var p tributary.Pool
	set := func(clients map[string][]string, policies map[string]string) error {
		return p.SetSignIn(clients, policies, account)
	}
	for arn, text := range map[string]string{"id.example.org": `OpenIDClients has "id.example.org", which is no ARN of an OpenID provider`, provider: "OpenIDClients has 101 client ids of " + provider + ", it must have at most "} {
		err := set(map[string][]string{arn: make([]string, 101)}, nil)
		if wantKind(t, err, tributary.Invalid); !strings.HasPrefix(tributary.Message(err), text) {
			t.Errorf("%v, want %s", err, text)
		}
	}
	wantKind(t, set(nil, map[string]string{"user": policy}), tributary.Invalid)
	wantKind(t, set(map[string][]string{provider: {"a"}}, map[string]string{userRole: "{}"}), tributary.Invalid)
	const elsewhere = `{"Statement":{"Effect":"Deny","Action":"*","Resource":"arn:aws:cognito-sync:*:999999999999:identitypool/*"}}`
	wantKind(t, set(map[string][]string{provider: {"a"}}, map[string]string{userRole: elsewhere}), tributary.Invalid)
	want(t, "clients after a refusal", len(p.OpenIDClients), 0)
	p.Roles.Policies = map[string]string{redRole: elsewhere} // from the time when it was taken
	if err := set(map[string][]string{provider: {"a"}}, map[string]string{redRole: ""}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := set(map[string][]string{provider: {"a", "b"}}, map[string]string{userRole: policy}); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "clients", len(p.OpenIDClients[provider]), 2)
	want(t, "policy", p.Roles.Policies[userRole], policy)
	if err := set(map[string][]string{provider: {}}, map[string]string{userRole: ""}); err != nil {
		t.Fatal(err)
	}
	want(t, "clients and policies left", len(p.OpenIDClients)+len(p.Roles.Policies), 0)
}
