package tributary_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary"
)

// fakeLogins takes "user" for a good token and "bad" for a bad one.
type fakeLogins struct{}

func (fakeLogins) VerifyLogin(_ context.Context, _ *tributary.Pool, provider, token string) (tributary.VerifiedLogin, error) {
	if token == "bad" {
		return tributary.VerifiedLogin{}, tributary.Errorf(tributary.Denied, "fake", "Invalid login token.")
	}
	return tributary.VerifiedLogin{Login: tributary.Login{Provider: provider, User: token}, Claims: map[string]any{"sub": token}}, nil
}

// fakeTokens signs nothing.
type fakeTokens struct {
	mu     sync.Mutex
	issued map[string]tributary.OpenIDToken
}

func (f *fakeTokens) IssueToken(_ context.Context, t tributary.OpenIDToken) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.issued == nil {
		f.issued = map[string]tributary.OpenIDToken{}
	}
	name := fmt.Sprint("token-", len(f.issued))
	f.issued[name] = t
	return name, nil
}

func (f *fakeTokens) OpenToken(_ context.Context, token string) (tributary.OpenIDToken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.issued[token]
	if !ok {
		return t, tributary.Errorf(tributary.Denied, "fake", "Invalid login token.")
	}
	return t, nil
}

type signInKit struct {
	*kit
	tokens *fakeTokens
}

func newSignInKit(t *testing.T) *signInKit {
	k := &signInKit{kit: newKit(t), tokens: &fakeTokens{}}
	k.Logins, k.Tokens = fakeLogins{}, k.tokens
	k.pool(tributary.Pool{ID: poolA, Name: "a pool", AllowUnauthenticated: true, DeveloperProvider: "login.app"})
	k.pool(tributary.Pool{ID: poolB, Name: "no guests", DeveloperProvider: "login.app"})
	return k
}

// logins writes "google:ann facebook:bob" as a request does.
func logins(text string) map[string]string {
	out := map[string]string{}
	for _, l := range strings.Fields(text) {
		provider, token, _ := strings.Cut(l, ":")
		out[provider] = token
	}
	return out
}

func (k *signInKit) getID(text string) tributary.IdentityID {
	k.t.Helper()
	i, err := k.GetID(k.ctx, tributary.SignIn{Pool: poolA, Logins: logins(text)})
	k.ok(err)
	return i.ID
}

func (k *signInKit) signIn(id tributary.IdentityID, text string) (tributary.Grant, error) {
	return k.SignIn(k.ctx, tributary.SignIn{Identity: id, Logins: logins(text)})
}

// is wants a sign-in to give an identity with these logins.
func (k *signInKit) is(id tributary.IdentityID, text string, want tributary.IdentityID, has string) {
	k.t.Helper()
	g, err := k.signIn(id, text)
	k.ok(err)
	if g.Identity.ID != want {
		k.t.Fatalf("%s with %q is %s, want %s", id, text, g.Identity.ID, want)
	}
	stored, err := k.Store.Identity(k.ctx, want)
	k.ok(err)
	var list []string
	for _, l := range stored.Logins {
		list = append(list, l.Provider+":"+l.User)
	}
	slices.Sort(list)
	if got := strings.Join(list, " "); got != has {
		k.t.Fatalf("the identity has logins %q, want %q", got, has)
	}
}

func TestGetID(t *testing.T) {
	k := newSignInKit(t)
	one := k.getID("google:ann")
	want(t, "the same login", k.getID("google:ann"), one)
	if other := k.getID("google:bob"); other == one {
		t.Error("two users are one")
	}
	if a, b := k.getID(""), k.getID(""); a == b || a == one {
		t.Error("two guests are one")
	}
	want(t, "a login more", k.getID("google:ann facebook:ann"), one)
	want(t, "that alone", k.getID("facebook:ann"), one)
	_, err := k.GetID(k.ctx, tributary.SignIn{Pool: poolB})
	k.text(err, tributary.Denied, "Unauthenticated access is not supported for this identity pool.")
	inB, err := k.GetID(k.ctx, tributary.SignIn{Pool: poolB, Logins: logins("google:ann")})
	k.ok(err)
	if inB.ID == one {
		t.Error("two pools share an identity")
	}
	_, err = k.GetID(k.ctx, tributary.SignIn{Pool: poolA, Logins: logins("google:ann facebook:bad")})
	k.text(err, tributary.Denied, "Invalid login token.")
	k.Logins = nil
	_, err = k.GetID(k.ctx, tributary.SignIn{Pool: poolA, Logins: logins("google:ann")})
	k.text(err, tributary.Denied, "Token is not from a supported provider of this identity pool.")
}

// TestGetIDAtOnce: many devices of a new user come at the same moment.
func TestGetIDAtOnce(t *testing.T) {
	k := newSignInKit(t)
	ids := make([]tributary.IdentityID, 16)
	var all sync.WaitGroup
	for n := range ids {
		all.Go(func() {
			i, err := k.GetID(k.ctx, tributary.SignIn{Pool: poolA, Logins: logins("google:ann")})
			if err != nil {
				t.Error(err)
			}
			ids[n] = i.ID
		})
	}
	all.Wait()
	if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
		t.Errorf("one user is %d identities", len(slices.Compact(ids)))
	}
}

func TestSignIn(t *testing.T) {
	k := newSignInKit(t)
	guest := k.getID("")
	k.is(guest, "", guest, "")
	k.is(guest, "google:ann", guest, "google:ann") // a guest becomes a user
	_, err := k.signIn(guest, "")
	k.text(err, tributary.Denied, "Access to Identity '"+string(guest)+"' is forbidden.")
	_, err = k.signIn(guest, "google:bob")
	k.text(err, tributary.Denied, "Logins don't match. Please include at least one valid login for this identity or identity pool.")
	k.is(guest, "google:ann facebook:ann", guest, "facebook:ann google:ann")
	_, err = k.signIn(guest, "google:bob facebook:ann")
	k.text(err, tributary.Exists, "Identity '"+string(guest)+"' is linked to another user of google already.")
	_, err = k.signIn("eu-west-1:0", "google:ann")
	k.text(err, tributary.NotFound, "Identity 'eu-west-1:0' not found.")
	// Another guest is the same user: it is merged, and its id leads there.
	second := k.getID("")
	k.is(second, "facebook:ann", guest, "facebook:ann google:ann")
	k.is(second, "google:ann", guest, "facebook:ann google:ann")
	_, err = k.signIn(second, "google:bob")
	k.kind(err, tributary.Denied)
	_, err = k.signIn(second, "")
	k.kind(err, tributary.Denied)
	// Two users who turn out to be one: who asks stays.
	carl, dora := k.getID("google:carl"), k.getID("amazon:dora")
	k.is(dora, "google:carl amazon:dora", dora, "amazon:dora google:carl")
	want(t, "who carl is", k.getID("google:carl"), dora)
	if i, err := k.Store.Identity(k.ctx, carl); err != nil || !i.Disabled || i.MergedInto != dora || i.Unfinished {
		t.Errorf("the other is %+v, %v", i, err)
	}
}

func TestMostLogins(t *testing.T) {
	k := newSignInKit(t)
	i := k.getID("google:ann")
	for n := range 19 {
		_, _, err := k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Identity: i, Logins: map[string]string{"login.app": fmt.Sprint(n)}}})
		k.ok(err)
	}
	_, _, err := k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Identity: i, Logins: map[string]string{"login.app": "x"}}})
	k.kind(err, tributary.Limit)
}

func TestUnlink(t *testing.T) {
	k := newSignInKit(t)
	i := k.getID("google:ann facebook:ann")
	unlink := func(text string, remove ...string) error {
		return k.Unlink(k.ctx, tributary.SignIn{Identity: i, Logins: logins(text)}, remove)
	}
	k.kind(unlink("google:bob", "google"), tributary.Denied)
	k.kind(unlink("", "google"), tributary.Denied)
	k.ok(unlink("google:ann", "facebook"))
	if other := k.getID("facebook:ann"); other == i {
		t.Error("a login that was taken off leads to the identity")
	}
	// Without any login it is nobody's: no guest's, above all.
	k.ok(unlink("google:ann", "google"))
	_, err := k.signIn(i, "")
	k.kind(err, tributary.Denied)
	_, err = k.signIn(i, "google:ann")
	k.kind(err, tributary.Denied)
	// But developers look after its data, and can give it to a user again.
	notes := tributary.DatasetKey{Pool: poolA, Identity: i, Dataset: "notes"}
	k.update(notes, tributary.Patch{Key: "a", Value: "1"})
	_, _, err = k.ListDatasets(k.ctx, asIdentity(poolA, i), poolA, i, "", 0)
	k.kind(err, tributary.Denied)
	g, _, err := k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Identity: i, Logins: logins("login.app:ann")}})
	k.ok(err)
	if g.ID != i || g.Disabled {
		t.Errorf("linked again it is %+v", g)
	}
}

// TestUnlinkedTokens: our own tokens of an identity end with its last login.
func TestUnlinkedTokens(t *testing.T) {
	k := newSignInKit(t)
	i, token, err := k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Logins: logins("login.app:ann")}})
	k.ok(err)
	k.ok(k.UnlinkDeveloper(k.ctx, developer, poolA, i.ID, "login.app", "ann"))
	for _, more := range []string{"", " google:ann"} { // neither alone nor to bring in another login
		in := tributary.SignIn{Pool: poolA, Identity: i.ID, Logins: logins(tributary.OwnProvider + ":" + token + more)}
		_, err := k.SignIn(k.ctx, in)
		k.text(err, tributary.Denied, "Access to Identity '"+string(i.ID)+"' is forbidden.")
		_, _, err = k.Token(k.ctx, in)
		k.kind(err, tributary.Denied)
		_, err = k.GetID(k.ctx, in)
		k.kind(err, tributary.Denied)
	}
}

func TestToken(t *testing.T) {
	k := newSignInKit(t)
	guest := k.getID("")
	_, token, err := k.Token(k.ctx, tributary.SignIn{Identity: guest})
	k.ok(err)
	of := k.tokens.issued[token]
	want(t, "a guest's methods", strings.Join(of.Methods, " "), "unauthenticated")
	want(t, "its life", of.Until.Sub(k.clock.Now()), 10*time.Minute)
	// A guest's token is no login.
	_, err = k.signIn(guest, tributary.OwnProvider+":"+token)
	k.kind(err, tributary.Denied)
	_, token, err = k.Token(k.ctx, tributary.SignIn{Identity: guest, Logins: logins("google:ann")})
	k.ok(err)
	want(t, "a user's methods", strings.Join(k.tokens.issued[token].Methods, " "), "authenticated google google:"+string(poolA)+":ann")
	_, err = k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { p.AllowClassicFlow = new(false); return nil })
	k.ok(err)
	_, _, err = k.Token(k.ctx, tributary.SignIn{Identity: guest, Logins: logins("google:ann")})
	k.text(err, tributary.Invalid, "Basic (classic) flow is not enabled, please use enhanced flow.")
}

func TestDeveloperIdentities(t *testing.T) {
	k := newSignInKit(t)
	token := func(id tributary.IdentityID, text string) (tributary.Identity, string, error) {
		return k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{
			SignIn: tributary.SignIn{Pool: poolA, Identity: id, Logins: logins(text)}, Tags: map[string]string{"team": "red"}, Life: time.Hour})
	}
	guest := k.getID("")
	i, own, err := token(guest, "login.app:ann")
	k.ok(err)
	want(t, "the guest", i.ID, guest)
	want(t, "the token's life", k.tokens.issued[own].Until.Sub(k.clock.Now()), time.Hour)
	g, err := k.signIn(guest, tributary.OwnProvider+":"+own)
	k.ok(err)
	want(t, "the tag", g.Tags["team"], "red")
	// The token of one pool is none in another, nor of another identity.
	_, err = k.GetID(k.ctx, tributary.SignIn{Pool: poolB, Logins: map[string]string{tributary.OwnProvider: own}})
	k.kind(err, tributary.Denied)
	stranger := k.getID("google:bob")
	_, err = k.signIn(stranger, tributary.OwnProvider+":"+own)
	k.kind(err, tributary.Denied)
	again, _, err := token("", "login.app:ann")
	k.ok(err)
	want(t, "the user again", again.ID, guest)
	_, _, err = token(stranger, "login.app:ann")
	k.text(err, tributary.Taken, "The developer user identifier is already registered with another identity.")
	_, _, err = token("", "google:ann")
	k.kind(err, tributary.Invalid)
	_, _, err = k.DeveloperToken(k.ctx, asIdentity(poolA, guest), tributary.DeveloperSignIn{SignIn: tributary.SignIn{Pool: poolA, Logins: logins("login.app:ann")}})
	k.kind(err, tributary.Denied)

	other, _, err := token("", "login.app:bea")
	k.ok(err)
	lookup := func(id tributary.IdentityID, user string) (string, error) {
		out, err := k.LookupDeveloper(k.ctx, developer, tributary.DeveloperQuery{Pool: poolA, Identity: id, User: user, Most: 10})
		return fmt.Sprint(out.Identity, out.Users), err
	}
	for text, ask := range map[string][2]string{
		fmt.Sprint(guest, []string{"ann"}):    {string(guest), ""},
		fmt.Sprint(other.ID, []string{"bea"}): {"", "bea"},
	} {
		got, err := lookup(tributary.IdentityID(ask[0]), ask[1])
		k.ok(err)
		want(t, "lookup", got, text)
	}
	_, err = lookup(guest, "bea")
	k.kind(err, tributary.Exists)
	_, err = lookup("", "nobody")
	k.kind(err, tributary.NotFound)
	_, err = lookup("", "")
	k.kind(err, tributary.Invalid)

	merged, err := k.MergeDevelopers(k.ctx, developer, poolA, "login.app", "bea", "ann")
	k.ok(err)
	want(t, "who stays", merged, guest)
	got, err := lookup(guest, "")
	k.ok(err)
	want(t, "the users", got, fmt.Sprint(guest, []string{"ann", "bea"}))
	page := tributary.DeveloperQuery{Pool: poolA, Identity: guest, Most: 1}
	first, err := k.LookupDeveloper(k.ctx, developer, page)
	k.ok(err)
	want(t, "a page", fmt.Sprint(first.Identity, first.Users), fmt.Sprint(guest, []string{"ann"}))
	page.NextToken = first.NextToken
	last, err := k.LookupDeveloper(k.ctx, developer, page)
	k.ok(err)
	want(t, "the last page", fmt.Sprint(last.Users, last.NextToken), fmt.Sprint([]string{"bea"}, ""))
	k.kind(k.UnlinkDeveloper(k.ctx, developer, poolA, guest, "login.app", "carl"), tributary.Exists)
	k.kind(k.UnlinkDeveloper(k.ctx, developer, poolA, guest, "another.app", "ann"), tributary.Invalid)
	k.ok(k.UnlinkDeveloper(k.ctx, developer, poolA, guest, "login.app", "bea"))
	_, err = lookup("", "bea")
	k.kind(err, tributary.NotFound)
}

// TestPoliciesAreAsked asks policies of keys and of roles.
func TestPoliciesAreAsked(t *testing.T) {
	k := newSignInKit(t)
	k.identity(poolA, ann)
	const role = "arn:aws:iam::123456789012:role/path/app-user"
	policy := func(statements string) string { return `{"Version":"2012-10-17","Statement":[` + statements + `]}` }
	_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error {
		return p.SetSignIn(nil, map[string]string{role: policy(`{"Effect":"Allow","Action":["cognito-sync:ListRecords","cognito-sync:ListDatasets"],"Resource":"arn:aws:cognito-sync:eu-west-1:123456789012:identitypool/${cognito-identity.amazonaws.com:aud}/identity/${cognito-identity.amazonaws.com:sub}/dataset/${aws:PrincipalTag/team}*"},{"Effect":"Allow","Action":"cognito-sync:ListDatasets","Resource":"*"}`)}, account)
	})
	k.ok(err)
	as := func(action string, team string) tributary.Principal {
		p := asIdentity(poolA, ann)
		p.Session = &tributary.Session{Role: role, Tags: map[string]string{"team": team}}
		p.Call = &tributary.Call{Action: action}
		return p
	}
	list := func(p tributary.Principal, name tributary.DatasetName) error {
		_, err := k.ListRecords(k.ctx, p, key(name), tributary.ListQuery{})
		return err
	}
	k.ok(list(as("cognito-sync:ListRecords", "red"), "red-notes"))
	const data = "arn:aws:cognito-sync:eu-west-1:123456789012:identitypool/" + string(poolA) + "/identity/" + string(ann)
	k.text(list(as("cognito-sync:ListRecords", "red"), "blue-notes"), tributary.Forbidden,
		"User: arn:aws:sts::123456789012:assumed-role/app-user/CognitoIdentityCredentials is not authorized to perform: cognito-sync:ListRecords on resource: "+data+"/dataset/blue-notes")
	k.kind(list(as("cognito-sync:ListRecords", ""), "blue-notes"), tributary.Forbidden)
	_, err = k.UpdateRecords(k.ctx, as("cognito-sync:UpdateRecords", "red"), key("red-notes"), tributary.Update{SessionToken: k.list(key("red-notes"), 0).SessionToken})
	k.kind(err, tributary.Forbidden)
	p := as("cognito-sync:ListDatasets", "red")
	_, _, err = k.ListDatasets(k.ctx, p, poolA, ann, "", 0)
	k.ok(err)
	want(t, "what ListDatasets is on", p.Call.Resource, data+"/dataset/null")
	// A role without a policy may do what an identity may, and no role at all too.
	p = as("cognito-sync:ListRecords", "red")
	p.Session.Role = role + "2"
	k.ok(list(p, "blue-notes"))
	// Another's data stays another's, whatever the policy.
	p = as("cognito-sync:ListRecords", "red")
	p.Identity = bob
	k.kind(list(p, "red-notes"), tributary.Denied)

	limited, err := tributary.ParsePolicy(policy(`{"Effect":"Allow","Action":"cognito-sync:*","Resource":"arn:aws:cognito-sync:*:*:identitypool/` + string(poolA) + `*"}`))
	k.ok(err)
	key := func(action string) tributary.Principal {
		p := developer
		p.Policy, p.Call = limited, &tributary.Call{Action: action}
		return p
	}
	k.ok(list(key("cognito-sync:ListRecords"), "blue-notes"))
	_, err = k.Pool(k.ctx, key("cognito-sync:GetIdentityPoolConfiguration"), poolA)
	k.ok(err)
	_, err = k.Pool(k.ctx, key("cognito-identity:DescribeIdentityPool"), poolA)
	k.text(err, tributary.Forbidden, "User: arn:aws:iam::123456789012:user/AKIA is not authorized to perform: cognito-identity:DescribeIdentityPool on resource: arn:aws:cognito-identity:eu-west-1:123456789012:identitypool/"+string(poolA))
	_, err = k.Pool(k.ctx, key("cognito-sync:GetIdentityPoolConfiguration"), poolB)
	k.kind(err, tributary.Forbidden)
	_, err = k.Streams(k.ctx, key("kinesis:ListStreams"), "", 1)
	k.kind(err, tributary.Forbidden)
	_, err = k.DeleteIdentities(k.ctx, key("cognito-identity:DeleteIdentities"), []tributary.IdentityID{ann})
	k.kind(err, tributary.Forbidden)
}
