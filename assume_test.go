package tributary_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tributary"
)

func roleARN(name string) string { return "arn:aws:iam::123456789012:role/" + name }

// claimLogins gives a user the claims that stand in the token after a
// question mark: "ann?admin" has cognito:roles with admin.
type claimLogins struct{}

func (claimLogins) VerifyLogin(_ context.Context, _ *tributary.Pool, provider, token string) (tributary.VerifiedLogin, error) {
	user, names, _ := strings.Cut(token, "?")
	var roles []any
	for _, name := range strings.Fields(names) {
		roles = append(roles, roleARN(name))
	}
	return tributary.VerifiedLogin{Login: tributary.Login{Provider: provider, User: user}, Claims: map[string]any{"sub": user, "cognito:roles": roles}}, nil
}

type assumeKit struct{ *signInKit }

func newAssumeKit(t *testing.T) *assumeKit {
	k := &assumeKit{newSignInKit(t)}
	k.Logins = claimLogins{}
	k.setRoles(roleARN("user"), roleARN("guest"), nil)
	return k
}

func (k *assumeKit) setRoles(user, guest string, mappings map[string]tributary.RoleMapping) {
	k.t.Helper()
	_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { return p.SetRoles(user, guest, mappings) })
	k.ok(err)
}

func (k *assumeKit) token(id tributary.IdentityID, logins map[string]string) string {
	k.t.Helper()
	_, token, err := k.Token(k.ctx, tributary.SignIn{Identity: id, Logins: logins})
	k.ok(err)
	return token
}

func (k *assumeKit) assume(token, role string) (tributary.Grant, error) {
	return k.AssumeRole(k.ctx, tributary.AssumeRole{RoleARN: roleARN(role), SessionName: "web", Token: token, Duration: time.Hour})
}

// may wants a token to be good for these of the roles that a test knows.
func (k *assumeKit) may(token, roles string) {
	k.t.Helper()
	var got []string
	for _, role := range []string{"user", "guest", "admin", "editor", "stranger"} {
		g, err := k.assume(token, role)
		if err == nil {
			want(k.t, "the role", g.Role, roleARN(role))
			got = append(got, role)
			continue
		}
		k.text(err, tributary.Denied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	want(k.t, "what may be assumed", strings.Join(got, " "), roles)
}

func TestAssumeRole(t *testing.T) {
	k := newAssumeKit(t)
	guest := k.getID("")
	token := k.token(guest, nil)
	g, err := k.AssumeRole(k.ctx, tributary.AssumeRole{RoleARN: roleARN("guest"), SessionName: "web", Token: token, Duration: 12 * time.Hour})
	k.ok(err)
	want(t, "the identity", g.Identity.ID, guest)
	want(t, "its session", g.Session, "web")
	want(t, "its life", g.Life, 12*time.Hour)
	k.may(token, "guest")
	user := k.token(guest, logins("google:ann"))
	k.may(user, "user")
	k.may(token, "") // a guest no more
	_, err = k.assume("forged", "user")
	k.kind(err, tributary.Denied)
	if !errors.Is(err, tributary.ErrTokenRefused) {
		t.Errorf("a forged token: %v", err)
	}
	_, own, err := k.DeveloperToken(k.ctx, developer, tributary.DeveloperSignIn{
		SignIn: tributary.SignIn{Pool: poolA, Identity: guest, Logins: logins("login.app:ann")}, Tags: map[string]string{"team": "red"}})
	k.ok(err)
	g, err = k.assume(own, "user")
	k.ok(err)
	want(t, "the tag", g.Tags["team"], "red")

	k.setRoles("", "", nil)
	k.may(user, "user guest admin editor stranger") // the app's choice
	k.setRoles("", roleARN("guest"), nil)
	k.may(user, "")
	k.setRoles(roleARN("user"), "", nil)
	k.may(k.token(k.getID(""), nil), "")
}

// TestAssumeMappedRole: a mapping is as strict in the classic flow as in the
// enhanced one, though its claims are not in the token.
func TestAssumeMappedRole(t *testing.T) {
	k := newAssumeKit(t)
	mapped := func(m tributary.RoleMapping) {
		k.setRoles(roleARN("user"), roleARN("guest"), map[string]tributary.RoleMapping{"google": m})
	}
	token := func(text string) string { return k.token(k.getID(""), map[string]string{"google": text}) }
	mapped(tributary.RoleMapping{})
	k.may(token("ann?admin editor"), "user admin editor")
	k.may(token("bob"), "user")
	said := func(token string) string { return strings.Join(k.tokens.issued[token].Roles, " ") }
	want(t, "what a token says", said(token("ann?admin admin")), roleARN("admin")+" "+roleARN("user"))
	k.setRoles("", "", map[string]tributary.RoleMapping{"google": {}})
	want(t, "what it says without an authenticated role", said(token("ann?admin")), roleARN("admin"))
	want(t, "how many roles nobody has", len(k.tokens.issued[token("bob")].Roles), 0)
	mapped(tributary.RoleMapping{DenyAmbiguous: true})
	k.may(token("ann?admin"), "admin")
	k.may(token("bob"), "")
	mapped(tributary.RoleMapping{Rules: []tributary.RoleRule{
		{Claim: "sub", Match: tributary.MatchEquals, Value: "ann", RoleARN: roleARN("admin")},
		{Claim: "sub", Match: tributary.MatchStartsWith, Value: "a", RoleARN: roleARN("editor")},
	}})
	k.may(token("ann"), "user admin editor")
	k.may(token("bob"), "user")
	k.may(k.token(k.getID(""), logins("facebook:ann")), "user")
	k.may(k.token(k.getID(""), nil), "guest")
}

// TestAssumeRoleEnds: a token is good no longer than its identity, and its
// pool's settings, allow it.
func TestAssumeRoleEnds(t *testing.T) {
	k := newAssumeKit(t)
	change := func(edit func(*tributary.Pool)) {
		t.Helper()
		_, err := k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error { edit(p); return nil })
		k.ok(err)
	}
	guest := k.getID("")
	token, user := k.token(guest, nil), k.token(k.getID(""), logins("google:ann"))
	change(func(p *tributary.Pool) { p.AllowUnauthenticated = false })
	k.may(token, "")
	k.may(user, "user")
	change(func(p *tributary.Pool) { p.AllowUnauthenticated, p.AllowClassicFlow = true, new(false) })
	_, err := k.assume(token, "guest")
	k.text(err, tributary.Denied, "Basic (classic) flow is not enabled, please use enhanced flow.")
	change(func(p *tributary.Pool) { p.AllowClassicFlow = new(true) })
	k.may(token, "guest")
	_, err = k.DeleteIdentities(k.ctx, developer, []tributary.IdentityID{guest})
	k.ok(err)
	k.may(token, "")

	bob := k.token(k.getID("google:bob"), logins("google:bob"))
	k.ok(k.Unlink(k.ctx, tributary.SignIn{Identity: k.getID("google:bob"), Logins: logins("google:bob")}, []string{"google"}))
	k.may(bob, "")
	k.ok(k.DeletePool(k.ctx, developer, poolA))
	k.may(user, "")
	forged, err := k.tokens.IssueToken(k.ctx, tributary.OpenIDToken{Pool: poolB, Identity: k.tokens.issued[user].Identity, Methods: []string{"authenticated"}})
	k.ok(err)
	k.may(forged, "") // an identity of another pool
	k.Tokens = nil
	_, err = k.assume(user, "user")
	k.kind(err, tributary.Unavailable)
}

// TestSessionPolicy: a session may do what its role and its own policy allow.
func TestSessionPolicy(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	policy := func(action string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"cognito-sync:` + action + `","Resource":"*"}}`
	}
	session, err := tributary.ParsePolicy(policy("List*"))
	k.ok(err)
	list := func(action string, policy *tributary.Policy) error {
		p := asIdentity(poolA, ann)
		p.Session = &tributary.Session{Role: roleARN("user"), Name: "web", Policy: policy}
		p.Call = &tributary.Call{Action: "cognito-sync:" + action}
		_, err := k.ListRecords(k.ctx, p, key("notes"), tributary.ListQuery{})
		return err
	}
	k.ok(list("ListRecords", session))
	err = list("UpdateRecords", session)
	k.text(err, tributary.Forbidden, "User: arn:aws:sts::123456789012:assumed-role/user/web is not authorized to perform: cognito-sync:UpdateRecords on resource: arn:aws:cognito-sync:eu-west-1:123456789012:identitypool/"+string(poolA)+"/identity/"+string(ann)+"/dataset/notes")
	_, err = k.ChangePool(k.ctx, developer, poolA, func(p *tributary.Pool) error {
		return p.SetSignIn(nil, map[string]string{roleARN("user"): policy("ListDatasets")}, account)
	})
	k.ok(err)
	k.kind(list("ListRecords", session), tributary.Forbidden) // the role's own does not allow it
	k.kind(list("ListRecords", nil), tributary.Forbidden)
	k.ok(list("ListDatasets", session))
}
