package tributary

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Roles are the IAM roles that a pool's identities get.
type Roles struct {
	Authenticated   string // ARNs; "" if none was ever set
	Unauthenticated string
	// Mappings choose another role for the users of a provider, by the name that
	// AWS gives it there: that of its logins, for a user pool with ":" and the
	// client's id, for an OpenID provider also its ARN.
	Mappings map[string]RoleMapping
	// Policies are the roles' IAM policies, by ARN. A role without one allows
	// all that an identity may do at all.
	Policies map[string]string
}

// RoleMapping chooses a role by what a login's token says.
type RoleMapping struct {
	Rules []RoleRule // nil: the token names the role itself
	// DenyAmbiguous refuses a login for which no role is found; else it gets the
	// authenticated role.
	DenyAmbiguous bool
}

// RoleRule gives a role to whom its claim matches.
type RoleRule struct {
	Claim, Match, Value, RoleARN string
}

// How a rule compares a claim with its value.
const (
	MatchEquals     = "Equals"
	MatchContains   = "Contains"
	MatchStartsWith = "StartsWith"
	MatchNotEqual   = "NotEqual"
)

// TagMap is which claims of a provider's tokens become principal tags.
type TagMap struct {
	UseDefaults bool
	Tags        map[string]string // tag to claim
}

func (r *Roles) clone() Roles {
	out := *r
	out.Mappings, out.Policies = maps.Clone(r.Mappings), maps.Clone(r.Policies)
	for name, m := range out.Mappings {
		m.Rules = slices.Clone(m.Rules)
		out.Mappings[name] = m
	}
	return out
}

// SetRoles sets a pool's roles, for use in the edit of [Service.ChangePool]. Their
// policies stay.
//
// Errors: Invalid if one is no role's ARN.
func (p *Pool) SetRoles(authenticated, unauthenticated string, mappings map[string]RoleMapping) error {
	arns := []string{authenticated, unauthenticated}
	for _, m := range mappings {
		for i := range m.Rules {
			arns = append(arns, m.Rules[i].RoleARN)
		}
	}
	for _, arn := range arns {
		if arn != "" && !roleARNPattern.MatchString(arn) {
			return Errorf(Invalid, "set roles", "%s is no ARN of a role, such as arn:aws:iam::000000000000:role/app-user", clip(arn))
		}
	}
	p.Roles.Authenticated, p.Roles.Unauthenticated, p.Roles.Mappings = authenticated, unauthenticated, mappings
	return nil
}

// matches tells whether the rule gives its role to a user with such claims. A
// claim that the token lacks matches nothing.
func (r *RoleRule) matches(claims map[string]any) bool {
	have := claimTexts(claims[r.Claim])
	if len(have) == 0 {
		return false
	}
	any := func(f func(string) bool) bool { return slices.ContainsFunc(have, f) }
	switch r.Match {
	case MatchEquals:
		return any(func(s string) bool { return s == r.Value })
	case MatchContains:
		return any(func(s string) bool { return strings.Contains(s, r.Value) })
	case MatchStartsWith:
		return any(func(s string) bool { return strings.HasPrefix(s, r.Value) })
	case MatchNotEqual:
		return !any(func(s string) bool { return s == r.Value })
	}
	return false
}

// The claims of a user pool's token that name roles.
const (
	rolesClaim     = "cognito:roles"
	preferredClaim = "cognito:preferred_role"
)

// pick gives the role that the mapping chooses, "" if it finds none. custom is
// the role that the caller asks for, "" if it asks for none.
func (m *RoleMapping) pick(claims map[string]any, custom string) string {
	if m.Rules != nil {
		for i := range m.Rules {
			if r := &m.Rules[i]; r.matches(claims) && (custom == "" || custom == r.RoleARN) {
				return r.RoleARN
			}
		}
		return ""
	}
	roles := claimTexts(claims[rolesClaim])
	preferred, _ := claims[preferredClaim].(string)
	switch {
	case custom != "" && (slices.Contains(roles, custom) || custom == preferred):
		return custom
	case custom != "":
		return ""
	case preferred != "":
		return preferred
	case len(roles) == 1:
		return roles[0]
	}
	return ""
}

// Role chooses the role of an identity that comes with these logins. custom is
// the role that it asks for, "" if it asks for none. The role is "" if the
// pool has none.
//
// Errors: Denied if no role may be given; Misconfigured if the pool has roles,
// but not this one.
func (p *Pool) Role(logins []VerifiedLogin, custom string) (string, error) {
	const op = "choose role"
	if len(logins) == 0 {
		if custom != "" {
			return "", Errorf(Denied, op, "CustomRoleArn is for authenticated identities only")
		}
		if p.Roles.Unauthenticated == "" && p.Roles.Authenticated != "" {
			return "", Errorf(Misconfigured, op, "Invalid identity pool configuration. Check assigned IAM roles for this pool.")
		}
		return p.Roles.Unauthenticated, nil
	}
	denied := false
	for i := range logins {
		m, ok := p.mapping(&logins[i])
		if !ok {
			continue
		}
		if role := m.pick(logins[i].Claims, custom); role != "" {
			return role, nil
		}
		denied = denied || m.DenyAmbiguous
	}
	switch {
	case custom != "" && custom != p.Roles.Authenticated:
		return "", Errorf(Denied, op, "The role %s may not be assumed with these logins.", clip(custom))
	case denied:
		return "", Errorf(Denied, op, "No role of this identity pool matches these logins.")
	case p.Roles.Authenticated == "" && p.Roles.Unauthenticated != "":
		return "", Errorf(Misconfigured, op, "Invalid identity pool configuration. Check assigned IAM roles for this pool.")
	}
	return p.Roles.Authenticated, nil
}

// mappedRoles lists all roles that a pool with mappings for these logins gives
// their user; nil if it has no such mapping.
func (p *Pool) mappedRoles(logins []VerifiedLogin) []string {
	var asked []string
	found := false
	for i := range logins {
		if m, ok := p.mapping(&logins[i]); ok {
			found, asked = true, append(asked, m.roles(logins[i].Claims)...)
		}
	}
	if !found {
		return nil
	}
	out := []string{}
	for _, role := range append(asked, p.Roles.Authenticated) {
		if given, _ := p.Role(logins, role); given == role && role != "" && !slices.Contains(out, role) {
			out = append(out, role)
		}
	}
	return out
}

// roles lists the roles that the mapping may choose.
func (m *RoleMapping) roles(claims map[string]any) []string {
	if m.Rules == nil {
		return append(slices.Clone(claimTexts(claims[rolesClaim])), claimTexts(claims[preferredClaim])...)
	}
	out := make([]string, len(m.Rules))
	for i := range m.Rules {
		out[i] = m.Rules[i].RoleARN
	}
	return out
}

// mapping finds a login's mapping. A user pool's is named with its client's id,
// which is the token's audience.
func (p *Pool) mapping(l *VerifiedLogin) (RoleMapping, bool) {
	names := []string{l.Provider}
	for _, client := range claimTexts(l.Claims["aud"]) {
		names = append(names, l.Provider+":"+client)
	}
	for _, arn := range p.OpenIDProviders {
		if _, name, _ := strings.Cut(arn, ":oidc-provider/"); name == l.Provider {
			names = append(names, arn)
		}
	}
	for _, name := range names {
		if m, ok := p.Roles.Mappings[name]; ok {
			return m, true
		}
	}
	return RoleMapping{}, false
}

// Names lists the ARNs of all roles that are named here, in their order. With
// tokens, the tokens of a provider may name others.
func (r *Roles) Names() (arns []string, tokens bool) {
	arns = []string{r.Authenticated, r.Unauthenticated}
	for _, m := range r.Mappings {
		tokens = tokens || m.Rules == nil
		for i := range m.Rules {
			arns = append(arns, m.Rules[i].RoleARN)
		}
	}
	slices.Sort(arns)
	return slices.DeleteFunc(slices.Compact(arns), func(arn string) bool { return arn == "" }), tokens
}

// claimTexts gives a claim's value or values as texts, none if it has none.
func claimTexts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{map[bool]string{true: "true", false: "false"}[v]}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	case []string:
		return v
	}
	return nil
}

// defaultTags is what UseDefaults maps: the user and the audience.
var defaultTags = map[string]string{"username": "sub", "client": "aud"}

// Claims gives the claim that each principal tag is taken from.
func (m *TagMap) Claims() map[string]string {
	if m.UseDefaults {
		return maps.Clone(defaultTags)
	}
	return m.Tags
}

// SetTagMap sets which claims of a provider become principal tags, for use in
// the edit of [Service.ChangePool]. A map of nothing is none.
func (p *Pool) SetTagMap(provider string, m TagMap) {
	if !m.UseDefaults && len(m.Tags) == 0 {
		delete(p.PrincipalTags, provider)
		return
	}
	if p.PrincipalTags == nil {
		p.PrincipalTags = map[string]TagMap{}
	}
	p.PrincipalTags[provider] = m
}

// Apply gives the principal tags of a user with such claims.
func (m *TagMap) Apply(claims map[string]any) map[string]string {
	out := map[string]string{}
	for tag, claim := range m.Claims() {
		if have := claimTexts(claims[claim]); len(have) > 0 {
			out[tag] = have[0]
		}
	}
	return out
}

func cloneTagMaps(in map[string]TagMap) map[string]TagMap {
	out := maps.Clone(in)
	for name, m := range out {
		m.Tags = maps.Clone(m.Tags)
		out[name] = m
	}
	return out
}

const (
	maxPolicies  = 50 // of roles, in one pool
	maxClientIDs = 100
)

var (
	roleARNPattern     = regexp.MustCompile(`^arn:aws[\w-]*:iam::\d{12}:role/.{1,512}$`)
	providerARNPattern = regexp.MustCompile(`^arn:aws[\w-]*:iam::\d{12}:oidc-provider/.{1,255}$`)
)

// SetSignIn changes the client ids of OpenID providers and the policies of
// roles, by their ARNs, of a pool on a server of this account. An empty value
// removes one. Provider and role may come later.
//
// Errors: Invalid.
func (p *Pool) SetSignIn(clients map[string][]string, rolePolicies map[string]string, account string) error {
	const op = "set pool"
	next := p.Clone()
	for arn, ids := range clients {
		if !providerARNPattern.MatchString(arn) {
			return Errorf(Invalid, op, "OpenIDClients has %q, which is no ARN of an OpenID provider, such as arn:aws:iam::000000000000:oidc-provider/accounts.example.org", clip(arn))
		}
		if len(ids) > maxClientIDs {
			return Errorf(Invalid, op, "OpenIDClients has %d client ids of %s, it must have at most %d", len(ids), clip(arn), maxClientIDs)
		}
		if next.OpenIDClients == nil {
			next.OpenIDClients = map[string][]string{}
		}
		if next.OpenIDClients[arn] = ids; len(ids) == 0 {
			delete(next.OpenIDClients, arn)
		}
	}
	for arn, document := range rolePolicies {
		if !roleARNPattern.MatchString(arn) {
			return Errorf(Invalid, op, "RolePolicies has %q, which is no ARN of a role, such as arn:aws:iam::000000000000:role/app-user", clip(arn))
		}
		if next.Roles.Policies == nil {
			next.Roles.Policies = map[string]string{}
		}
		if next.Roles.Policies[arn] = document; document == "" {
			delete(next.Roles.Policies, arn)
		} else if err := CheckPolicy(document, account, HeldByRole); err != nil {
			return err
		}
	}
	if n := len(next.Roles.Policies); n > maxPolicies {
		return Errorf(Limit, op, "The pool would have %d role policies, the limit is %d", n, maxPolicies)
	}
	p.OpenIDClients, p.Roles = next.OpenIDClients, next.Roles
	return nil
}
