package cognitoidentity_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"tributary"
)

const roleARN = "arn:aws:iam::123456789012:role/"

// same compares JSON.
func (k *kit) same(what, have string, want any) {
	k.Helper()
	var a, b any
	k.ok(json.Unmarshal([]byte(have), &a))
	text, err := json.Marshal(want)
	k.ok(err)
	k.ok(json.Unmarshal(text, &b))
	if !reflect.DeepEqual(a, b) {
		k.Errorf("%s: got %s, want %s", what, have, text)
	}
}

func rule(match string) obj {
	return obj{"Claim": "isAdmin", "MatchType": match, "Value": "true", "RoleARN": roleARN + match}
}

func TestRoles(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	get := func() string {
		t.Helper()
		return k.call(&k.developer, "GetIdentityPoolRoles", obj{"IdentityPoolId": pool}, nil)
	}
	k.same("never set", get(), obj{"IdentityPoolId": pool, "Roles": obj{}})
	k.change(pool, func(p *tributary.Pool) { p.Roles.Policies = map[string]string{roleARN + "users": "{}"} })
	full := obj{
		"IdentityPoolId": pool,
		"Roles":          obj{"authenticated": roleARN + "users", "unauthenticated": roleARN + "guests"},
		"RoleMappings": obj{
			google: obj{"Type": "Rules", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": obj{
				"Rules": []obj{rule("Equals"), rule("Contains"), rule("StartsWith"), rule("NotEqual")}}},
			"cognito-idp.eu-west-1.amazonaws.com/pool:client": obj{"Type": "Token", "AmbiguousRoleResolution": "AuthenticatedRole"},
		},
	}
	if got := k.call(&k.developer, "SetIdentityPoolRoles", full, nil); got != "{}" {
		t.Errorf("answered %s", got)
	}
	k.same("full", get(), full)
	k.call(&k.developer, "UpdateIdentityPool", obj{"IdentityPoolId": pool, "IdentityPoolName": "n", "AllowUnauthenticatedIdentities": true}, nil)
	k.same("after an update of the pool", get(), full)
	plain := obj{"IdentityPoolId": pool, "Roles": obj{"unauthenticated": roleARN + "guests"}}
	k.call(&k.developer, "SetIdentityPoolRoles", plain, nil)
	k.same("replaced", get(), plain)
	if p := k.change(pool, func(*tributary.Pool) {}); p.Roles.Policies[roleARN+"users"] != "{}" {
		t.Errorf("the policies are %v", p.Roles.Policies)
	}
	k.refused(&k.developer, "GetIdentityPoolRoles", obj{"IdentityPoolId": nobody}, "ResourceNotFoundException", "")
	plain["IdentityPoolId"] = nobody
	k.refused(&k.developer, "SetIdentityPoolRoles", plain, "ResourceNotFoundException", "")
}

// change edits a pool as the domain has it.
func (k *kit) change(pool string, edit func(*tributary.Pool)) tributary.Pool {
	k.Helper()
	p, err := k.service.ChangePool(k.Context(), tributary.Principal{Account: account}, tributary.PoolID(pool), func(p *tributary.Pool) error {
		edit(p)
		return nil
	})
	k.ok(err)
	return p
}

func TestRoleMappingsRefused(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	rules := obj{"Rules": []obj{rule("Equals")}}
	for name, c := range map[string]struct {
		mapping obj
		text    string
	}{
		"NoResolution":      {obj{"Type": "Token"}, "of accounts.google.com is of the type Token: AmbiguousRoleResolution is required"},
		"RulesNoResolution": {obj{"Type": "Rules", "RulesConfiguration": rules}, "AmbiguousRoleResolution is required"},
		"NoRules":           {obj{"Type": "Rules", "AmbiguousRoleResolution": "Deny"}, "RulesConfiguration is required"},
		"TokenWithRules":    {obj{"Type": "Token", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": rules}, "RulesConfiguration is not allowed"},
		"UnknownType":       {obj{"Type": "token", "AmbiguousRoleResolution": "Deny"}, "Value 'token' at 'roleMappings.accounts.google.com.member.type' failed to satisfy constraint: Member must satisfy enum value set: [Token, Rules]"},
	} {
		t.Run(name, func(t *testing.T) {
			k.refused(&k.developer, "SetIdentityPoolRoles", obj{"IdentityPoolId": pool, "Roles": obj{}, "RoleMappings": obj{google: c.mapping}},
				"InvalidParameterException", c.text)
		})
	}
	user := obj{"Type": "Rules", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": obj{
		"Rules": []obj{{"Claim": "c", "MatchType": "Equals", "Value": "v", "RoleARN": "arn:aws:iam::123456789012:user/x"}}}}
	k.refused(&k.developer, "SetIdentityPoolRoles", obj{"IdentityPoolId": pool, "Roles": obj{}, "RoleMappings": obj{google: user}},
		"InvalidParameterException", "arn:aws:iam::123456789012:user/x is no ARN of a role")
	k.refused(&k.developer, "SetIdentityPoolRoles", obj{"IdentityPoolId": pool, "Roles": obj{"authenticated": "arn:aws:iam::12345678:role/x"}},
		"InvalidParameterException", "arn:aws:iam::12345678:role/x")
	k.refused(&k.developer, "SetIdentityPoolRoles", obj{"IdentityPoolId": pool, "Roles": obj{"admin": roleARN + "x"}}, "InvalidParameterException",
		"Value 'admin' at 'roles' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: (un)?authenticated]")
}

func TestTagMaps(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	ref := obj{"IdentityPoolId": pool, "IdentityProviderName": google}
	with := func(more obj) obj {
		o := maps.Clone(ref)
		maps.Copy(o, more)
		return o
	}
	check := func(what string, set, want obj) {
		t.Helper()
		if set != nil {
			k.same(what+", set", k.call(&k.developer, "SetPrincipalTagAttributeMap", with(set), nil), with(want))
		}
		k.same(what, k.call(&k.developer, "GetPrincipalTagAttributeMap", ref, nil), with(want))
	}
	none := obj{"UseDefaults": false, "PrincipalTags": obj{}}
	defaults := obj{"UseDefaults": true, "PrincipalTags": obj{"username": "sub", "client": "aud"}}
	custom := obj{"UseDefaults": false, "PrincipalTags": obj{"team": "custom:team"}}
	check("never set", nil, none)
	check("custom", custom, custom)
	check("defaults", obj{"UseDefaults": true}, defaults)
	check("defaults beat tags", obj{"UseDefaults": true, "PrincipalTags": obj{"team": "custom:team"}}, defaults)
	if p := k.change(pool, func(*tributary.Pool) {}); len(p.PrincipalTags) != 1 {
		t.Errorf("stored %v", p.PrincipalTags)
	}
	check("none", obj{}, none)
	if p := k.change(pool, func(*tributary.Pool) {}); len(p.PrincipalTags) != 0 {
		t.Errorf("stored %v", p.PrincipalTags)
	}
	for _, operation := range []string{"GetPrincipalTagAttributeMap", "SetPrincipalTagAttributeMap"} {
		k.refused(&k.developer, operation, obj{"IdentityPoolId": nobody, "IdentityProviderName": google}, "ResourceNotFoundException", "")
	}
}
