package cognitoidentity_test

import (
	"slices"
	"strings"
	"testing"
)

const nobody = "eu-west-1:00000000-0000-4000-8000-000000000000"

// id calls GetId.
func (k *kit) id(pool string, logins obj) string {
	k.Helper()
	var out struct{ IdentityId string }
	k.call(nil, "GetId", obj{"IdentityPoolId": pool, "Logins": logins}, &out)
	return out.IdentityId
}

func TestGetID(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	ann := k.id(pool, obj{google: "ann"})
	if again := k.id(pool, obj{google: "ann"}); again != ann {
		t.Errorf("ann is %s, and then %s", ann, again)
	}
	if bob := k.id(pool, obj{google: "bob"}); bob == ann {
		t.Error("bob is ann")
	}
	if guest := k.id(pool, obj{}); guest == ann {
		t.Error("a guest is ann")
	}
	in := func(logins obj) obj {
		return obj{"IdentityPoolId": pool, "AccountId": "123456789012345", "Logins": logins}
	}
	k.call(nil, "GetId", in(nil), nil) // an account that nobody has
	k.refused(nil, "GetId", in(obj{"graph.facebook.com": "x"}), "NotAuthorizedException", "Token is not from a supported provider of this identity pool.")
	k.refused(nil, "GetId", in(obj{google: "expired"}), "NotAuthorizedException", "Invalid login token. Token expired: 1 >= 2")
	k.refused(nil, "GetId", in(obj{google: "down"}), "ExternalServiceException", "accounts.google.com does not answer")
	k.refused(nil, "GetId", obj{"IdentityPoolId": nobody}, "ResourceNotFoundException", "IdentityPool '"+nobody+"' not found.")
}

func TestGetCredentials(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	ann, guest := k.id(pool, obj{google: "ann"}), k.id(pool, nil)
	const role, other = "arn:aws:iam::123456789012:role/users", "arn:aws:iam::123456789012:role/admins"
	k.call(&k.developer, "SetIdentityPoolRoles", obj{"IdentityPoolId": pool, "Roles": obj{"authenticated": role}}, nil)
	k.call(&k.developer, "SetPrincipalTagAttributeMap", obj{"IdentityPoolId": pool, "IdentityProviderName": google, "UseDefaults": true}, nil)
	var out struct {
		IdentityId  string
		Credentials struct{ AccessKeyId, SecretKey, SessionToken string }
	}
	in := obj{"IdentityId": ann, "Logins": obj{google: "ann"}, "CustomRoleArn": role}
	k.call(nil, "GetCredentialsForIdentity", in, &out)
	if out.IdentityId != ann || out.Credentials.SessionToken == "" {
		t.Errorf("credentials %+v", out)
	}
	if g := k.grant; string(g.Identity.ID) != ann || g.Role != role || g.Tags["username"] != "ann" || g.Tags["client"] != "app" {
		t.Errorf("issued for %+v", g)
	}
	in["CustomRoleArn"] = other
	k.refused(nil, "GetCredentialsForIdentity", in, "NotAuthorizedException", other)
	delete(in, "CustomRoleArn")
	in["Logins"] = obj{google: "bob"}
	k.refused(nil, "GetCredentialsForIdentity", in, "NotAuthorizedException", "Logins don't match.")
	in["Logins"] = obj{google: "down"}
	k.refused(nil, "GetCredentialsForIdentity", in, "ExternalServiceException", "")
	k.refused(nil, "GetCredentialsForIdentity", obj{"IdentityId": ann}, "NotAuthorizedException", "Access to Identity '"+ann+"' is forbidden.")
	k.refused(nil, "GetCredentialsForIdentity", obj{"IdentityId": guest}, "InvalidIdentityPoolConfigurationException", "Check assigned IAM roles")
	k.refused(nil, "GetCredentialsForIdentity", obj{"IdentityId": nobody, "Logins": obj{google: "ann"}}, "ResourceNotFoundException", "")
	// A guest who signs in as ann is ann.
	k.call(nil, "GetCredentialsForIdentity", obj{"IdentityId": guest, "Logins": obj{google: "ann"}}, &out)
	if out.IdentityId != ann {
		t.Errorf("the guest became %s, not %s", out.IdentityId, ann)
	}
}

// TestTwoUsersOfAProvider: ResourceConflictException, as in the models of all
// that sign in.
func TestTwoUsersOfAProvider(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(obj{"SupportedLoginProviders": obj{google: "app", "graph.facebook.com": "app"}})
	ann := k.id(pool, obj{google: "ann"})
	k.id(pool, obj{google: "bob", "graph.facebook.com": "bobby"})
	both := obj{google: "ann", "graph.facebook.com": "bobby"}
	k.refused(nil, "GetId", obj{"IdentityPoolId": pool, "Logins": both}, "ResourceConflictException", "another user of accounts.google.com")
	for _, operation := range []string{"GetCredentialsForIdentity", "GetOpenIdToken"} {
		k.refused(nil, operation, obj{"IdentityId": ann, "Logins": both}, "ResourceConflictException", "another user of accounts.google.com")
	}
}

func TestGetOpenIDToken(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	ann, guest := k.id(pool, obj{google: "ann"}), k.id(pool, nil)
	if got, want := k.call(nil, "GetOpenIdToken", obj{"IdentityId": guest}, nil), `{"IdentityId":"`+guest+`","Token":"token 0"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if token := k.last(); string(token.Identity) != guest || string(token.Pool) != pool || !slices.Equal(token.Methods, []string{"unauthenticated"}) {
		t.Errorf("a guest's token %+v", token)
	}
	k.call(nil, "GetOpenIdToken", obj{"IdentityId": ann, "Logins": obj{google: "ann"}}, nil)
	if token := k.last(); !slices.Equal(token.Methods, []string{"authenticated", google, google + ":" + pool + ":ann"}) || token.Until.Sub(k.now).Minutes() != 10 {
		t.Errorf("ann's token %+v", token)
	}
	k.refused(nil, "GetOpenIdToken", obj{"IdentityId": ann}, "NotAuthorizedException", "is forbidden.")
	k.refused(nil, "GetOpenIdToken", obj{"IdentityId": ann, "Logins": obj{google: "down"}}, "ExternalServiceException", "")
	k.refused(nil, "GetOpenIdToken", obj{"IdentityId": nobody}, "ResourceNotFoundException", "Identity '"+nobody+"' not found.")
	enhanced := k.newPool(obj{"AllowClassicFlow": false})
	k.refused(nil, "GetOpenIdToken", obj{"IdentityId": k.id(enhanced, nil)}, "InvalidParameterException", "Basic (classic) flow is not enabled, please use enhanced flow.")
	k.service.Tokens = nil
	if status, text := k.send(nil, "GetOpenIdToken", obj{"IdentityId": guest}); status != 503 || !strings.Contains(text, "does not issue OpenID tokens") {
		t.Errorf("a server without tokens: %d %s", status, text)
	}
}

func TestUnlinkIdentity(t *testing.T) {
	k := newKit(t)
	const facebook = "graph.facebook.com"
	pool := k.newPool(obj{"SupportedLoginProviders": obj{google: "app", facebook: "app"}})
	both := obj{google: "ann", facebook: "anny"}
	ann := k.id(pool, both)
	in := func(logins obj, remove ...string) obj {
		return obj{"IdentityId": ann, "Logins": logins, "LoginsToRemove": append([]string{}, remove...)}
	}
	k.refused(nil, "UnlinkIdentity", in(obj{google: "bob"}, google), "NotAuthorizedException", "Logins don't match.")
	k.refused(nil, "UnlinkIdentity", in(obj{google: "expired"}, google), "NotAuthorizedException", "expired")
	k.refused(nil, "UnlinkIdentity", in(obj{google: "down"}, google), "ExternalServiceException", "")
	if got := k.call(nil, "UnlinkIdentity", in(both), nil); got != "{}" {
		t.Errorf("nothing removed: %s", got)
	}
	k.call(nil, "UnlinkIdentity", in(both, facebook), nil)
	var one struct{ Logins []string }
	k.call(&k.developer, "DescribeIdentity", obj{"IdentityId": ann}, &one)
	if !slices.Equal(one.Logins, []string{google}) {
		t.Errorf("logins %q are left", one.Logins)
	}
	k.call(nil, "UnlinkIdentity", in(obj{google: "ann"}, google), nil)
	k.refused(nil, "GetCredentialsForIdentity", obj{"IdentityId": ann}, "NotAuthorizedException", "is forbidden.")
	gone := in(obj{google: "ann"}, google)
	gone["IdentityId"] = nobody
	k.refused(nil, "UnlinkIdentity", gone, "ResourceNotFoundException", "")
}

// TestIdentities: those that are deleted or merged, and logins of one name.
func TestIdentities(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	ann, guest, gone := k.id(pool, obj{google: "ann"}), k.id(pool, nil), k.id(pool, nil)
	k.call(nil, "GetCredentialsForIdentity", obj{"IdentityId": guest, "Logins": obj{google: "ann"}}, nil) // merges the guest into ann
	k.call(&k.developer, "DeleteIdentities", obj{"IdentityIdsToDelete": []string{gone}}, nil)
	list := func(hide bool, most int) (ids []string) {
		for token, more := any(nil), true; more; {
			var out struct {
				Identities []struct{ IdentityId string }
				NextToken  string
			}
			k.call(&k.developer, "ListIdentities", obj{"IdentityPoolId": pool, "MaxResults": most, "HideDisabled": hide, "NextToken": token}, &out)
			for _, i := range out.Identities {
				ids = append(ids, i.IdentityId)
			}
			token, more = out.NextToken, out.NextToken != ""
		}
		return ids
	}
	for _, most := range []int{1, 60} {
		if got, want := list(false, most), slices.Sorted(slices.Values([]string{ann, guest})); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %q, want %q", most, got, want)
		}
		if got := list(true, most); !slices.Equal(got, []string{ann}) {
			t.Errorf("pages of %d, hidden: %q, want %q", most, got, ann)
		}
	}
	k.refused(&k.developer, "DescribeIdentity", obj{"IdentityId": gone}, "ResourceNotFoundException", "Identity '"+gone+"' not found.")
	k.refused(&k.developer, "ListIdentities", obj{"IdentityPoolId": nobody, "MaxResults": 1}, "ResourceNotFoundException", "")
	for _, user := range []string{"one", "two"} {
		k.call(&k.developer, "GetOpenIdTokenForDeveloperIdentity", obj{"IdentityPoolId": pool, "IdentityId": ann, "Logins": obj{"login.app": user}}, nil)
	}
	var one struct{ Logins []string }
	k.call(&k.developer, "DescribeIdentity", obj{"IdentityId": ann}, &one)
	if !slices.Equal(one.Logins, []string{google, "login.app"}) {
		t.Errorf("logins %q", one.Logins)
	}
}

func TestDeleteIdentities(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	a, b := k.id(pool, nil), k.id(pool, nil)
	if got := k.call(&k.developer, "DeleteIdentities", obj{"IdentityIdsToDelete": []string{a, nobody, a}}, nil); got != `{"UnprocessedIdentityIds":[{"IdentityId":"`+nobody+`","ErrorCode":"AccessDenied"}]}` {
		t.Errorf("one is not there: %s", got)
	}
	if got := k.call(&k.developer, "DeleteIdentities", obj{"IdentityIdsToDelete": []string{b}}, nil); got != `{"UnprocessedIdentityIds":[]}` {
		t.Errorf("all are there: %s", got)
	}
	k.refused(nil, "GetCredentialsForIdentity", obj{"IdentityId": b}, "NotAuthorizedException", "")
	if k.log.Len() > 0 {
		t.Errorf("logged: %s", &k.log)
	}
	c := k.id(pool, nil)
	k.service.Store = fakeFullStore{k.service.Store}
	if got := k.call(&k.developer, "DeleteIdentities", obj{"IdentityIdsToDelete": []string{c}}, nil); got != `{"UnprocessedIdentityIds":[{"IdentityId":"`+c+`","ErrorCode":"InternalServerError"}]}` {
		t.Errorf("a full disk: %s", got)
	}
	if !strings.Contains(k.log.String(), "the disk is full") || !strings.Contains(k.log.String(), c) {
		t.Errorf("logged: %q", &k.log)
	}
}
