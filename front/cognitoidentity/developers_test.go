package cognitoidentity_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"tributary"
)

// fakeFullStore cannot write identities.
type fakeFullStore struct{ tributary.Store }

func (fakeFullStore) PutIdentity(context.Context, ...tributary.Identity) error {
	return tributary.Errorf(tributary.Unavailable, "write identity", "the disk is full")
}

// user signs a user of the developer provider in.
func (k *kit) user(pool, name string) string {
	k.Helper()
	var out struct{ IdentityId string }
	k.call(&k.developer, "GetOpenIdTokenForDeveloperIdentity", obj{"IdentityPoolId": pool, "Logins": obj{"login.app": name}}, &out)
	return out.IdentityId
}

func TestDeveloperToken(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	in := obj{"IdentityPoolId": pool, "Logins": obj{"login.app": "ann"}}
	var out struct{ IdentityId, Token string }
	k.call(&k.developer, "GetOpenIdTokenForDeveloperIdentity", in, &out)
	ann := out.IdentityId
	if token := k.last(); string(token.Identity) != ann || out.Token != "token 0" || token.Until.Sub(k.now) != 15*time.Minute {
		t.Errorf("%+v for %+v", out, token)
	}
	in["PrincipalTags"], in["TokenDuration"] = obj{"team": "red"}, 86400
	k.call(&k.developer, "GetOpenIdTokenForDeveloperIdentity", in, &out)
	if token := k.last(); out.IdentityId != ann || token.Tags["team"] != "red" || token.Until.Sub(k.now) != 24*time.Hour {
		t.Errorf("%+v for %+v", out, token)
	}
	var creds struct{ IdentityId string }
	k.call(nil, "GetCredentialsForIdentity", obj{"IdentityId": ann, "Logins": obj{tributary.OwnProvider: out.Token}}, &creds)
	if creds.IdentityId != ann || k.grant.Tags["team"] != "red" {
		t.Errorf("credentials of %s, for %+v", creds.IdentityId, k.grant)
	}
	k.refused(nil, "GetCredentialsForIdentity", obj{"IdentityId": ann, "Logins": obj{tributary.OwnProvider: "forged"}}, "NotAuthorizedException", "Invalid login token.")
	refused := func(code, text string, more obj) {
		t.Helper()
		in := obj{"IdentityPoolId": pool, "Logins": obj{"login.app": "ann"}}
		for name, v := range more {
			in[name] = v
		}
		k.refused(&k.developer, "GetOpenIdTokenForDeveloperIdentity", in, code, text)
	}
	refused("DeveloperUserAlreadyRegisteredException", "already registered with another identity", obj{"IdentityId": k.id(pool, nil)})
	refused("ResourceNotFoundException", "", obj{"IdentityId": nobody})
	refused("ResourceNotFoundException", "", obj{"IdentityPoolId": nobody})
	refused("InvalidParameterException", "login of the developer provider", obj{"Logins": obj{google: "ann"}})
	refused("InvalidParameterException", "login of the developer provider", obj{"Logins": obj{}})
	refused("NotAuthorizedException", "expired", obj{"Logins": obj{"login.app": "ann", google: "expired"}})
}

func TestLookupDeveloper(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	ann := k.user(pool, "ann")
	k.call(&k.developer, "GetOpenIdTokenForDeveloperIdentity", obj{"IdentityPoolId": pool, "IdentityId": ann, "Logins": obj{"login.app": "anny"}}, nil)
	in := func(more ...any) obj {
		o := obj{"IdentityPoolId": pool}
		for i := 0; i < len(more); i += 2 {
			o[more[i].(string)] = more[i+1]
		}
		return o
	}
	look := func(in obj) string { t.Helper(); return k.call(&k.developer, "LookupDeveloperIdentity", in, nil) }
	want := `{"IdentityId":"` + ann + `","DeveloperUserIdentifierList":["ann","anny"]}`
	if got := look(in("IdentityId", ann)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want = `{"IdentityId":"` + ann + `","DeveloperUserIdentifierList":["anny"]}`
	for _, in := range []obj{in("DeveloperUserIdentifier", "anny"), in("DeveloperUserIdentifier", "anny", "IdentityId", ann)} {
		if got := look(in); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
	var page struct {
		DeveloperUserIdentifierList []string
		NextToken                   string
	}
	k.call(&k.developer, "LookupDeveloperIdentity", in("IdentityId", ann, "MaxResults", 1), &page)
	if next := look(in("IdentityId", ann, "MaxResults", 1, "NextToken", page.NextToken)); next != want || !slices.Equal(page.DeveloperUserIdentifierList, []string{"ann"}) {
		t.Errorf("pages of %+v and %s", page, next)
	}
	bob := k.user(pool, "bob")
	k.refused(&k.developer, "LookupDeveloperIdentity", in("IdentityId", bob, "DeveloperUserIdentifier", "ann"), "ResourceConflictException", "do not belong together")
	k.refused(&k.developer, "LookupDeveloperIdentity", in("DeveloperUserIdentifier", "nobody"), "ResourceNotFoundException", "'nobody' not found")
	k.refused(&k.developer, "LookupDeveloperIdentity", in("IdentityId", nobody), "ResourceNotFoundException", "")
	k.refused(&k.developer, "LookupDeveloperIdentity", in("IdentityId", ann, "NextToken", "*"), "InvalidParameterException", "NextToken")
	k.refused(&k.developer, "LookupDeveloperIdentity", in(), "InvalidParameterException", "Please provide")
}

func TestMergeDevelopers(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	ann, bob := k.user(pool, "ann"), k.user(pool, "bob")
	in := func(source, destination, provider string) obj {
		return obj{"IdentityPoolId": pool, "SourceUserIdentifier": source, "DestinationUserIdentifier": destination, "DeveloperProviderName": provider}
	}
	if got := k.call(&k.developer, "MergeDeveloperIdentities", in("bob", "ann", "login.app"), nil); got != `{"IdentityId":"`+ann+`"}` {
		t.Errorf("merged to %s, not %s", got, ann)
	}
	if again := k.user(pool, "bob"); again != ann {
		t.Errorf("bob is %s, was %s, not %s", again, bob, ann)
	}
	k.refused(&k.developer, "MergeDeveloperIdentities", in("cid", "ann", "login.app"), "ResourceNotFoundException", "'cid' not found")
	k.refused(&k.developer, "MergeDeveloperIdentities", in("bob", "ann", "other.app"), "InvalidParameterException", "other.app")
	for _, user := range []string{"dan", "eve"} {
		k.call(&k.developer, "GetOpenIdTokenForDeveloperIdentity", obj{"IdentityPoolId": pool, "Logins": obj{"login.app": user, google: user}}, nil)
	}
	k.refused(&k.developer, "MergeDeveloperIdentities", in("dan", "eve", "login.app"), "ResourceConflictException", "another user of accounts.google.com")
	many := k.user(pool, "many 0")
	for n := 1; n < 20; n++ {
		k.call(&k.developer, "GetOpenIdTokenForDeveloperIdentity", obj{"IdentityPoolId": pool, "IdentityId": many, "Logins": obj{"login.app": fmt.Sprint("many ", n)}}, nil)
	}
	k.refused(&k.developer, "MergeDeveloperIdentities", in("ann", "many 0", "login.app"), "ResourceConflictException", "the limit is 20")
}

func TestUnlinkDeveloper(t *testing.T) {
	k := newKit(t)
	pool := k.newPool(nil)
	ann := k.user(pool, "ann")
	in := func(id, user, provider string) obj {
		return obj{"IdentityPoolId": pool, "IdentityId": id, "DeveloperUserIdentifier": user, "DeveloperProviderName": provider}
	}
	k.refused(&k.developer, "UnlinkDeveloperIdentity", in(ann, "bob", "login.app"), "ResourceConflictException", "'bob' is not linked")
	k.refused(&k.developer, "UnlinkDeveloperIdentity", in(ann, "ann", "other.app"), "InvalidParameterException", "other.app")
	k.refused(&k.developer, "UnlinkDeveloperIdentity", in(nobody, "ann", "login.app"), "ResourceNotFoundException", "")
	if got := k.call(&k.developer, "UnlinkDeveloperIdentity", in(ann, "ann", "login.app"), nil); got != "{}" {
		t.Errorf("answered %s", got)
	}
	if again := k.user(pool, "ann"); again == ann {
		t.Error("ann has her old identity, from which she was unlinked")
	}
}
