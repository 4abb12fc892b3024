package cognitoidentity

import (
	"context"

	"tributary"
)

// How a role mapping chooses a role, and what it does if it finds none.
const (
	typeToken         = "Token"
	typeRules         = "Rules"
	authenticatedRole = "AuthenticatedRole"
	deny              = "Deny"
)

// The keys of a pool's roles.
const (
	authenticated   = "authenticated"
	unauthenticated = "unauthenticated"
)

// rolesShape is a pool's roles on the wire, as input and as output.
type rolesShape struct {
	poolRef
	Roles        map[string]string
	RoleMappings map[string]mappingShape `json:",omitempty"`
}

type mappingShape struct {
	Type                    string
	AmbiguousRoleResolution string      `json:",omitzero"`
	RulesConfiguration      *rulesShape `json:",omitzero"`
}

type rulesShape struct{ Rules []ruleShape }

type ruleShape struct {
	Claim, MatchType, Value string
	RoleARN                 string
}

// read gives what the wire says of a provider's mapping.
func (in *mappingShape) read(provider string) (tributary.RoleMapping, error) {
	m := tributary.RoleMapping{DenyAmbiguous: in.AmbiguousRoleResolution == deny}
	wrong := func(text string) error {
		return tributary.Errorf(tributary.Invalid, "read role mapping", "The role mapping of %.128s is of the type %s: %s", provider, in.Type, text)
	}
	switch {
	case in.AmbiguousRoleResolution == "":
		return m, wrong("AmbiguousRoleResolution is required")
	case in.Type == typeRules && in.RulesConfiguration == nil:
		return m, wrong("RulesConfiguration is required")
	case in.Type == typeToken && in.RulesConfiguration != nil:
		return m, wrong("RulesConfiguration is not allowed")
	case in.Type == typeToken:
		return m, nil
	}
	for _, r := range in.RulesConfiguration.Rules {
		m.Rules = append(m.Rules, tributary.RoleRule{Claim: r.Claim, Match: r.MatchType, Value: r.Value, RoleARN: r.RoleARN})
	}
	return m, nil
}

func showMapping(m *tributary.RoleMapping) mappingShape {
	out := mappingShape{Type: typeToken, AmbiguousRoleResolution: authenticatedRole}
	if m.DenyAmbiguous {
		out.AmbiguousRoleResolution = deny
	}
	if m.Rules == nil {
		return out
	}
	out.Type, out.RulesConfiguration = typeRules, &rulesShape{}
	for _, r := range m.Rules {
		out.RulesConfiguration.Rules = append(out.RulesConfiguration.Rules, ruleShape{r.Claim, r.Match, r.Value, r.RoleARN})
	}
	return out
}

func (f *front) setRoles(ctx context.Context, p principal, in *rolesShape) (*empty, error) {
	mappings := map[string]tributary.RoleMapping{}
	for provider, m := range in.RoleMappings {
		mapping, err := m.read(provider)
		if err != nil {
			return nil, err
		}
		mappings[provider] = mapping
	}
	_, err := f.service.ChangePool(ctx, p, in.id(), func(pool *tributary.Pool) error {
		return pool.SetRoles(in.Roles[authenticated], in.Roles[unauthenticated], mappings)
	})
	return &empty{}, err
}

func (f *front) getRoles(ctx context.Context, p principal, in *poolRef) (*rolesShape, error) {
	pool, err := f.service.Pool(ctx, p, in.id())
	if err != nil {
		return nil, err
	}
	out := &rolesShape{poolRef: *in, Roles: map[string]string{}, RoleMappings: map[string]mappingShape{}}
	for key, role := range map[string]string{authenticated: pool.Roles.Authenticated, unauthenticated: pool.Roles.Unauthenticated} {
		if role != "" {
			out.Roles[key] = role
		}
	}
	for provider, m := range pool.Roles.Mappings {
		out.RoleMappings[provider] = showMapping(&m)
	}
	return out, nil
}

// tagMapRef names a provider of a pool.
type tagMapRef struct {
	poolRef
	IdentityProviderName string
}

// tagMapShape is which claims of a provider become principal tags, as input and
// as output.
type tagMapShape struct {
	tagMapRef
	UseDefaults   bool
	PrincipalTags map[string]string
}

func (f *front) setTagMap(ctx context.Context, p principal, in *tagMapShape) (*tagMapShape, error) {
	pool, err := f.service.ChangePool(ctx, p, in.id(), func(pool *tributary.Pool) error {
		pool.SetTagMap(in.IdentityProviderName, tributary.TagMap{UseDefaults: in.UseDefaults, Tags: in.PrincipalTags})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showTagMap(in.tagMapRef, &pool), nil
}

func (f *front) getTagMap(ctx context.Context, p principal, in *tagMapRef) (*tagMapShape, error) {
	pool, err := f.service.Pool(ctx, p, in.id())
	if err != nil {
		return nil, err
	}
	return showTagMap(*in, &pool), nil
}

func showTagMap(ref tagMapRef, pool *tributary.Pool) *tagMapShape {
	m := pool.PrincipalTags[ref.IdentityProviderName]
	return &tagMapShape{ref, m.UseDefaults, m.Claims()}
}
