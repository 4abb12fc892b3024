package e2e

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	identity2 "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	identitytypes "github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"
	"github.com/aws/smithy-go/middleware"
)

const (
	developerProvider = "login.app"
	ownProvider       = "cognito-identity.amazonaws.com"
)

// called are the operations that a client has called.
type called struct {
	mu    sync.Mutex
	names map[string]bool
}

func (c *called) watch(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("called",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			c.mu.Lock()
			c.names[awsmiddleware.GetOperationName(ctx)] = true
			c.mu.Unlock()
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
}

// identityWalk is a developer with a pool of his own.
type identityWalk struct {
	*testing.T
	client *identity2.Client
	pool   string
}

func role(name string) string { return "arn:aws:iam::" + account + ":role/" + name }

// TestIdentityOperations calls every operation of Cognito Identity with AWS's
// SDK for Go 2.
func TestIdentityOperations(t *testing.T) {
	s := startServer(t)
	k := s.key()
	config := configV2(t, s.url, k.id, k.secret, "")
	seen := &called{names: map[string]bool{}}
	config.APIOptions = append(config.APIOptions, seen.watch)
	w := &identityWalk{T: t, client: identity2.NewFromConfig(config)}
	w.pool = *must[*identity2.CreateIdentityPoolOutput](t)(w.client.CreateIdentityPool(t.Context(), &identity2.CreateIdentityPoolInput{
		IdentityPoolName: aws.String("all"), AllowUnauthenticatedIdentities: true, DeveloperProviderName: aws.String(developerProvider),
		IdentityPoolTags: map[string]string{"a": "1"}})).IdentityPoolId
	for _, step := range []struct {
		name string
		run  func(*identityWalk)
	}{
		{"Pools", (*identityWalk).pools},
		{"Tags", (*identityWalk).tags},
		{"Roles", (*identityWalk).roles},
		{"PrincipalTags", (*identityWalk).principalTags},
		{"Guests", (*identityWalk).guests},
		{"Developers", (*identityWalk).developers},
		{"Unlink", (*identityWalk).unlink},
		{"Delete", (*identityWalk).delete},
	} {
		t.Run(step.name, func(t *testing.T) {
			sub := *w
			sub.T = t
			step.run(&sub)
		})
	}
	must[*identity2.DeleteIdentityPoolOutput](t)(w.client.DeleteIdentityPool(t.Context(), &identity2.DeleteIdentityPoolInput{IdentityPoolId: &w.pool}))
	operations := reflect.TypeFor[*identity2.Client]()
	for i := range operations.NumMethod() {
		if name := operations.Method(i).Name; name != "Options" && !seen.names[name] {
			t.Errorf("%s was not called", name)
		}
	}
}

func (w *identityWalk) pools() {
	ctx, dev := w.Context(), w.client
	set := must[*identity2.UpdateIdentityPoolOutput](w.T)(dev.UpdateIdentityPool(ctx, &identity2.UpdateIdentityPoolInput{
		IdentityPoolId: &w.pool, IdentityPoolName: aws.String("all of it"), AllowUnauthenticatedIdentities: true, DeveloperProviderName: aws.String(developerProvider),
		SupportedLoginProviders: map[string]string{"accounts.google.com": "app"}, IdentityPoolTags: map[string]string{"a": "1"}}))
	shown := must[*identity2.DescribeIdentityPoolOutput](w.T)(dev.DescribeIdentityPool(ctx, &identity2.DescribeIdentityPoolInput{IdentityPoolId: &w.pool}))
	if *shown.IdentityPoolName != "all of it" || *set.IdentityPoolName != "all of it" || shown.SupportedLoginProviders["accounts.google.com"] != "app" {
		w.Errorf("set %+v, shown %+v", set, shown)
	}
	all := must[*identity2.ListIdentityPoolsOutput](w.T)(dev.ListIdentityPools(ctx, &identity2.ListIdentityPoolsInput{MaxResults: aws.Int32(60)})).IdentityPools
	if len(all) != 1 || *all[0].IdentityPoolId != w.pool {
		w.Errorf("pools %+v", all)
	}
}

func (w *identityWalk) tags() {
	ctx, dev := w.Context(), w.client
	arn := aws.String("arn:aws:cognito-identity:" + region + ":" + account + ":identitypool/" + w.pool)
	must[*identity2.TagResourceOutput](w.T)(dev.TagResource(ctx, &identity2.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"b": "2", "c": ""}}))
	must[*identity2.UntagResourceOutput](w.T)(dev.UntagResource(ctx, &identity2.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a"}}))
	have := must[*identity2.ListTagsForResourceOutput](w.T)(dev.ListTagsForResource(ctx, &identity2.ListTagsForResourceInput{ResourceArn: arn})).Tags
	shown := must[*identity2.DescribeIdentityPoolOutput](w.T)(dev.DescribeIdentityPool(ctx, &identity2.DescribeIdentityPoolInput{IdentityPoolId: &w.pool})).IdentityPoolTags
	if want := map[string]string{"b": "2", "c": ""}; !maps.Equal(have, want) || !maps.Equal(shown, want) {
		w.Errorf("tags %v, of the pool %v", have, shown)
	}
	_, err := dev.TagResource(ctx, &identity2.TagResourceInput{ResourceArn: aws.String("arn:aws:cognito-identity:" + region + ":000000000000:identitypool/" + w.pool), Tags: have})
	wantErrorV2[*identitytypes.ResourceNotFoundException](w.T, err, "not found.")
	_, err = dev.UntagResource(ctx, &identity2.UntagResourceInput{ResourceArn: aws.String("arn:aws:s3:::a-bucket-of-mine"), TagKeys: []string{"a"}})
	wantErrorV2[*identitytypes.InvalidParameterException](w.T, err, "arn:aws:s3:::a-bucket-of-mine")
}

func (w *identityWalk) roles() {
	ctx, dev := w.Context(), w.client
	roles := map[string]string{"authenticated": role("users"), "unauthenticated": role("guests")}
	mappings := map[string]identitytypes.RoleMapping{
		"accounts.google.com": {Type: identitytypes.RoleMappingTypeRules, AmbiguousRoleResolution: identitytypes.AmbiguousRoleResolutionTypeDeny,
			RulesConfiguration: &identitytypes.RulesConfigurationType{Rules: []identitytypes.MappingRule{
				{Claim: aws.String("isAdmin"), MatchType: identitytypes.MappingRuleMatchTypeEquals, Value: aws.String("true"), RoleARN: aws.String(role("admins"))},
				{Claim: aws.String("email"), MatchType: identitytypes.MappingRuleMatchTypeContains, Value: aws.String("@"), RoleARN: aws.String(role("users"))}}}},
		"cognito-idp.us-east-1.amazonaws.com/us-east-1_1:app": {Type: identitytypes.RoleMappingTypeToken, AmbiguousRoleResolution: identitytypes.AmbiguousRoleResolutionTypeAuthenticatedRole},
	}
	get := func() *identity2.GetIdentityPoolRolesOutput {
		w.Helper()
		return must[*identity2.GetIdentityPoolRolesOutput](w.T)(dev.GetIdentityPoolRoles(ctx, &identity2.GetIdentityPoolRolesInput{IdentityPoolId: &w.pool}))
	}
	must[*identity2.SetIdentityPoolRolesOutput](w.T)(dev.SetIdentityPoolRoles(ctx, &identity2.SetIdentityPoolRolesInput{IdentityPoolId: &w.pool, Roles: roles, RoleMappings: mappings}))
	if have := get(); !maps.Equal(have.Roles, roles) || !reflect.DeepEqual(have.RoleMappings, mappings) {
		w.Errorf("roles %+v", have)
	}
	must[*identity2.SetIdentityPoolRolesOutput](w.T)(dev.SetIdentityPoolRoles(ctx, &identity2.SetIdentityPoolRolesInput{IdentityPoolId: &w.pool, Roles: roles}))
	if have := get(); !maps.Equal(have.Roles, roles) || len(have.RoleMappings) != 0 {
		w.Errorf("replaced by %+v", have)
	}
	_, err := dev.SetIdentityPoolRoles(ctx, &identity2.SetIdentityPoolRolesInput{IdentityPoolId: &w.pool, Roles: roles,
		RoleMappings: map[string]identitytypes.RoleMapping{"accounts.google.com": {Type: identitytypes.RoleMappingTypeToken}}})
	wantErrorV2[*identitytypes.InvalidParameterException](w.T, err, "AmbiguousRoleResolution is required")
}

func (w *identityWalk) principalTags() {
	ctx, dev := w.Context(), w.client
	provider := aws.String("accounts.google.com")
	custom := map[string]string{"team": "hd"}
	set := must[*identity2.SetPrincipalTagAttributeMapOutput](w.T)(dev.SetPrincipalTagAttributeMap(ctx, &identity2.SetPrincipalTagAttributeMapInput{
		IdentityPoolId: &w.pool, IdentityProviderName: provider, UseDefaults: aws.Bool(false), PrincipalTags: custom}))
	have := must[*identity2.GetPrincipalTagAttributeMapOutput](w.T)(dev.GetPrincipalTagAttributeMap(ctx, &identity2.GetPrincipalTagAttributeMapInput{
		IdentityPoolId: &w.pool, IdentityProviderName: provider}))
	if !maps.Equal(set.PrincipalTags, custom) || !maps.Equal(have.PrincipalTags, custom) || *have.UseDefaults || *have.IdentityProviderName != *provider {
		w.Errorf("set %+v, got %+v", set, have)
	}
	set = must[*identity2.SetPrincipalTagAttributeMapOutput](w.T)(dev.SetPrincipalTagAttributeMap(ctx, &identity2.SetPrincipalTagAttributeMapInput{
		IdentityPoolId: &w.pool, IdentityProviderName: provider, UseDefaults: aws.Bool(true)}))
	if !maps.Equal(set.PrincipalTags, map[string]string{"username": "sub", "client": "aud"}) || !*set.UseDefaults {
		w.Errorf("defaults %+v", set)
	}
}

func (w *identityWalk) guest() *string {
	w.Helper()
	return must[*identity2.GetIdOutput](w.T)(w.client.GetId(w.Context(), &identity2.GetIdInput{IdentityPoolId: &w.pool, AccountId: aws.String(account)})).IdentityId
}

func (w *identityWalk) guests() {
	ctx, dev := w.Context(), w.client
	guest := w.guest()
	token := must[*identity2.GetOpenIdTokenOutput](w.T)(dev.GetOpenIdToken(ctx, &identity2.GetOpenIdTokenInput{IdentityId: guest}))
	if *token.IdentityId != *guest || *token.Token == "" {
		w.Errorf("token %+v", token)
	}
	_, err := dev.GetCredentialsForIdentity(ctx, &identity2.GetCredentialsForIdentityInput{IdentityId: guest, CustomRoleArn: aws.String(role("admins"))})
	wantErrorV2[*identitytypes.NotAuthorizedException](w.T, err, "CustomRoleArn")
	_, err = dev.GetId(ctx, &identity2.GetIdInput{IdentityPoolId: &w.pool, Logins: map[string]string{"graph.facebook.com": "x"}})
	wantErrorV2[*identitytypes.NotAuthorizedException](w.T, err, "Token is not from a supported provider of this identity pool.")
}

// user signs a user of the developer provider in, as an identity if there is one.
func (w *identityWalk) user(name string, as *string) *identity2.GetOpenIdTokenForDeveloperIdentityOutput {
	w.Helper()
	return must[*identity2.GetOpenIdTokenForDeveloperIdentityOutput](w.T)(w.client.GetOpenIdTokenForDeveloperIdentity(w.Context(), &identity2.GetOpenIdTokenForDeveloperIdentityInput{
		IdentityPoolId: &w.pool, IdentityId: as, Logins: map[string]string{developerProvider: name}, TokenDuration: aws.Int64(600), PrincipalTags: map[string]string{"team": "red"}}))
}

// developers: a user whom his developer signs in syncs, is found, and takes over
// a guest's and another user's identity.
func (w *identityWalk) developers() {
	ctx, dev := w.Context(), w.client
	ann, guest := w.user("ann", nil), w.guest()
	logins := map[string]string{ownProvider: *ann.Token}
	if again := must[*identity2.GetIdOutput](w.T)(dev.GetId(ctx, &identity2.GetIdInput{IdentityPoolId: &w.pool, Logins: logins})); *again.IdentityId != *ann.IdentityId {
		w.Errorf("the token is of %s, not %s", *again.IdentityId, *ann.IdentityId)
	}
	out := must[*identity2.GetCredentialsForIdentityOutput](w.T)(dev.GetCredentialsForIdentity(ctx, &identity2.GetCredentialsForIdentityInput{
		IdentityId: guest, Logins: logins, CustomRoleArn: aws.String(role("users"))}))
	if *out.IdentityId != *ann.IdentityId || time.Until(*out.Credentials.Expiration) < 50*time.Minute {
		w.Errorf("the guest became %s, not %s", *out.IdentityId, *ann.IdentityId)
	}
	_, err := dev.GetOpenIdTokenForDeveloperIdentity(ctx, &identity2.GetOpenIdTokenForDeveloperIdentityInput{
		IdentityPoolId: &w.pool, IdentityId: w.guest(), Logins: map[string]string{developerProvider: "ann"}})
	wantErrorV2[*identitytypes.DeveloperUserAlreadyRegisteredException](w.T, err, "already registered")
	bob := w.user("bob", nil)
	w.user("robert", bob.IdentityId)
	merged := must[*identity2.MergeDeveloperIdentitiesOutput](w.T)(dev.MergeDeveloperIdentities(ctx, &identity2.MergeDeveloperIdentitiesInput{
		IdentityPoolId: &w.pool, DeveloperProviderName: aws.String(developerProvider), SourceUserIdentifier: aws.String("bob"), DestinationUserIdentifier: aws.String("ann")}))
	if *merged.IdentityId != *ann.IdentityId {
		w.Errorf("merged to %s, not %s", *merged.IdentityId, *ann.IdentityId)
	}
	var users []string
	for in := (&identity2.LookupDeveloperIdentityInput{IdentityPoolId: &w.pool, IdentityId: ann.IdentityId, MaxResults: aws.Int32(2)}); in != nil; {
		page := must[*identity2.LookupDeveloperIdentityOutput](w.T)(dev.LookupDeveloperIdentity(ctx, in))
		users = append(users, page.DeveloperUserIdentifierList...)
		if in.NextToken = page.NextToken; in.NextToken == nil {
			in = nil
		}
	}
	if !slices.Equal(users, []string{"ann", "bob", "robert"}) {
		w.Errorf("users %q", users)
	}
	w.unlinkDeveloper("robert", ann.IdentityId)
	_, err = dev.LookupDeveloperIdentity(ctx, &identity2.LookupDeveloperIdentityInput{IdentityPoolId: &w.pool, DeveloperUserIdentifier: aws.String("robert")})
	wantErrorV2[*identitytypes.ResourceNotFoundException](w.T, err, "robert")
}

func (w *identityWalk) unlinkDeveloper(user string, id *string) {
	w.Helper()
	must[*identity2.UnlinkDeveloperIdentityOutput](w.T)(w.client.UnlinkDeveloperIdentity(w.Context(), &identity2.UnlinkDeveloperIdentityInput{
		IdentityPoolId: &w.pool, IdentityId: id, DeveloperProviderName: aws.String(developerProvider), DeveloperUserIdentifier: &user}))
}

// unlink: who has taken off the last login does not get in any more.
func (w *identityWalk) unlink() {
	ctx, dev := w.Context(), w.client
	cid := w.user("cid", nil)
	logins := map[string]string{ownProvider: *cid.Token}
	must[*identity2.UnlinkIdentityOutput](w.T)(dev.UnlinkIdentity(ctx, &identity2.UnlinkIdentityInput{IdentityId: cid.IdentityId, Logins: logins, LoginsToRemove: []string{developerProvider}}))
	shown := must[*identity2.DescribeIdentityOutput](w.T)(dev.DescribeIdentity(ctx, &identity2.DescribeIdentityInput{IdentityId: cid.IdentityId}))
	if len(shown.Logins) != 0 {
		w.Errorf("logins %q are left", shown.Logins)
	}
	_, err := dev.GetCredentialsForIdentity(ctx, &identity2.GetCredentialsForIdentityInput{IdentityId: cid.IdentityId})
	wantErrorV2[*identitytypes.NotAuthorizedException](w.T, err, "is forbidden.")
}

func (w *identityWalk) delete() {
	ctx, dev := w.Context(), w.client
	guest, none := w.guest(), region+":00000000-0000-4000-8000-000000000000"
	out := must[*identity2.DeleteIdentitiesOutput](w.T)(dev.DeleteIdentities(ctx, &identity2.DeleteIdentitiesInput{IdentityIdsToDelete: []string{*guest, none}}))
	if len(out.UnprocessedIdentityIds) != 1 || *out.UnprocessedIdentityIds[0].IdentityId != none || out.UnprocessedIdentityIds[0].ErrorCode != identitytypes.ErrorCodeAccessDenied {
		w.Errorf("unprocessed %+v", out.UnprocessedIdentityIds)
	}
	_, err := dev.DescribeIdentity(ctx, &identity2.DescribeIdentityInput{IdentityId: guest})
	wantErrorV2[*identitytypes.ResourceNotFoundException](w.T, err, "Identity '"+*guest+"' not found.")
	list := must[*identity2.ListIdentitiesOutput](w.T)(dev.ListIdentities(ctx, &identity2.ListIdentitiesInput{IdentityPoolId: &w.pool, MaxResults: aws.Int32(60)}))
	for _, i := range list.Identities {
		if *i.IdentityId == *guest {
			w.Errorf("%s is listed", *guest)
		}
	}
}
