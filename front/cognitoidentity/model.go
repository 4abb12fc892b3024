package cognitoidentity

import "tributary"

// The types of the service model, API 2014-06-30.
var (
	poolID       = text{min: 1, max: 55, pattern: pattern(`[\w-]+:[0-9a-f-]+`)}
	identityID   = poolID
	poolName     = text{min: 1, max: 128, pattern: pattern(`[\w\s+=,.@-]+`)}
	accountID    = text{min: 1, max: 15, pattern: pattern(`\d+`)}
	arn          = text{min: 20, max: 2048}
	providerName = text{min: 1, max: 128}
	providerID   = text{min: 1, max: 128, pattern: pattern(`[\w.;_/-]+`)}
	logins       = dict{key: providerName, value: text{min: 1, max: 50_000, secret: true}, max: 10}
	nextToken    = text{min: 1, max: 65_535, pattern: pattern(`[\S]+`)}
	queryLimit   = number{1, 60}

	developerProvider = text{min: 1, max: 128, pattern: pattern(`[\w._-]+`)}
	developerUser     = text{min: 1, max: 1024}

	tagKey        = text{min: 1, max: 128}
	tags          = dict{key: tagKey, value: text{max: 256}}
	principalTags = dict{key: tagKey, value: text{min: 1, max: 256}, max: 50}

	cognitoIdentityProvider = structure{
		optional("ProviderName", text{min: 1, max: 128, pattern: pattern(`[\w._:/-]+`)}),
		optional("ClientId", text{min: 1, max: 128, pattern: pattern(`[\w_]+`)}),
		optional("ServerSideTokenCheck", flag{}),
	}
	newPool = structure{
		required("IdentityPoolName", poolName),
		required("AllowUnauthenticatedIdentities", flag{}),
		optional("SupportedLoginProviders", dict{key: providerName, value: providerID, max: 10}),
		optional("DeveloperProviderName", developerProvider),
		optional("OpenIdConnectProviderARNs", list{of: arn}),
		optional("CognitoIdentityProviders", list{of: cognitoIdentityProvider}),
		optional("SamlProviderARNs", list{of: arn}),
		optional("IdentityPoolTags", tags),
	}

	mappingRule = structure{
		required("Claim", text{min: 1, max: 64, pattern: pattern(`[\p{L}\p{M}\p{S}\p{N}\p{P}]+`)}),
		required("MatchType", choice{tributary.MatchEquals, tributary.MatchContains, tributary.MatchStartsWith, tributary.MatchNotEqual}),
		required("Value", text{min: 1, max: 128}),
		required("RoleARN", arn),
	}
	roleMapping = structure{
		required("Type", choice{typeToken, typeRules}),
		optional("AmbiguousRoleResolution", choice{authenticatedRole, deny}),
		optional("RulesConfiguration", structure{required("Rules", list{of: mappingRule, min: 1, max: 400})}),
	}
	roles        = dict{key: text{min: 1, max: 128, pattern: pattern(`(un)?authenticated`)}, value: arn, max: 2}
	roleMappings = dict{key: providerName, value: roleMapping, max: 10}
)

// operation is an operation of the service model.
type operation struct {
	name   string
	public bool // needs no signature
	in     structure
	// kinds have an exception in the operation's model, beside those that all
	// operations have.
	kinds  []tributary.Kind
	handle handler
}

func (f *front) operations() []operation {
	const (
		conflict = tributary.Exists
		limit    = tributary.Limit
		changed  = tributary.Stale
		provider = tributary.Trigger
		taken    = tributary.Taken
		wrong    = tributary.Misconfigured
	)
	of := func(kinds ...tributary.Kind) []tributary.Kind { return kinds }
	thePool, theIdentity := required("IdentityPoolId", poolID), required("IdentityId", identityID)
	theProvider := required("DeveloperProviderName", developerProvider)
	page := structure{required("MaxResults", queryLimit), optional("NextToken", nextToken)}
	tagged := required("ResourceArn", arn)
	mapped := structure{thePool, required("IdentityProviderName", providerName)}
	return []operation{
		{"CreateIdentityPool", false, newPool, of(conflict, limit), handle(f.createPool)},
		{"DescribeIdentityPool", false, structure{thePool}, nil, handle(f.describePool)},
		{"UpdateIdentityPool", false, newPool.with(thePool), of(conflict, changed, limit), handle(f.updatePool)},
		{"DeleteIdentityPool", false, structure{thePool}, nil, handle(f.deletePool)},
		{"ListIdentityPools", false, page, nil, handle(f.listPools)},
		{"ListIdentities", false, page.with(thePool), nil, handle(f.listIdentities)},
		{"DescribeIdentity", false, structure{theIdentity}, nil, handle(f.describeIdentity)},
		{"DeleteIdentities", false, structure{required("IdentityIdsToDelete", list{of: identityID, min: 1, max: 60})}, nil, handle(f.deleteIdentities)},
		{"GetId", true, structure{thePool, optional("AccountId", accountID), optional("Logins", logins)}, of(conflict, limit, provider), handle(f.getID)},
		{"GetCredentialsForIdentity", true, structure{theIdentity, optional("Logins", logins), optional("CustomRoleArn", arn)}, of(conflict, wrong, provider), handle(f.getCredentials)},
		{"GetOpenIdToken", true, structure{theIdentity, optional("Logins", logins)}, of(conflict, provider), handle(f.getOpenIDToken)},
		{"UnlinkIdentity", true, structure{theIdentity, required("Logins", logins), required("LoginsToRemove", list{of: providerName})}, of(conflict, provider), handle(f.unlinkIdentity)},
		{"GetOpenIdTokenForDeveloperIdentity", false, structure{thePool, optional("IdentityId", identityID), required("Logins", logins),
			optional("PrincipalTags", principalTags), optional("TokenDuration", number{1, 86_400})}, of(conflict, taken), handle(f.getDeveloperToken)},
		{"LookupDeveloperIdentity", false, structure{thePool, optional("IdentityId", identityID), optional("DeveloperUserIdentifier", developerUser),
			optional("MaxResults", queryLimit), optional("NextToken", nextToken)}, of(conflict), handle(f.lookupDeveloper)},
		{"MergeDeveloperIdentities", false, structure{required("SourceUserIdentifier", developerUser), required("DestinationUserIdentifier", developerUser),
			theProvider, thePool}, of(conflict), handle(f.mergeDevelopers)},
		{"UnlinkDeveloperIdentity", false, structure{theIdentity, thePool, theProvider, required("DeveloperUserIdentifier", developerUser)}, of(conflict), handle(f.unlinkDeveloper)},
		{"GetIdentityPoolRoles", false, structure{thePool}, of(conflict), handle(f.getRoles)},
		{"SetIdentityPoolRoles", false, structure{thePool, required("Roles", roles), optional("RoleMappings", roleMappings)}, of(conflict, changed), handle(f.setRoles)},
		{"GetPrincipalTagAttributeMap", false, mapped, nil, handle(f.getTagMap)},
		{"SetPrincipalTagAttributeMap", false, mapped.with(optional("PrincipalTags", principalTags)), nil, handle(f.setTagMap)},
		{"TagResource", false, structure{tagged, required("Tags", tags)}, nil, handle(f.tag)},
		{"UntagResource", false, structure{tagged, required("TagKeys", list{of: tagKey})}, nil, handle(f.untag)},
		{"ListTagsForResource", false, structure{tagged}, nil, handle(f.listTags)},
	}
}

// with is the structure with one member more.
func (s structure) with(m member) structure { return append(s[:len(s):len(s)], m) }
