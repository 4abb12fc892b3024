package e2e

import (
	"encoding/xml"
	"net/http"
	"net/url"
)

const stsService = "sts"

// assume is a request for a role, as a form or in the query.
func (w *tenants) assume(token, roleARN, policy string, more url.Values) ask {
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleSessionName": {"app"}, "RoleArn": {roleARN}, "WebIdentityToken": {token}}
	if policy != "" {
		form.Set("Policy", policy)
	}
	for name, values := range more {
		form[name] = append(form[name], values...)
	}
	if len(token) < 4000 && w.random.IntN(2) == 0 {
		return ask{service: stsService, method: http.MethodGet, path: "/?" + form.Encode()}
	}
	return ask{service: stsService, method: http.MethodPost, path: "/", body: []byte(form.Encode()),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
}

// assumedRoles: a token gives a role of its own pool to its own identity, and
// credentials of STS open no more than others.
func (w *tenants) assumedRoles() {
	for _, who := range w.askers {
		w.try(attempt{name: "GetCallerIdentity", who: who, want: ownOnly, ask: ask{service: stsService, method: "GET", path: "/?Action=GetCallerIdentity&Version=2011-06-15"}})
	}
	tokens := append(w.forgeries(w.user.login), w.forgedLogins(w.user)...)
	tokens = append(tokens, forgery{"of another server", w.impostor.login}, forgery{"of a deleted identity", w.deleted.login},
		forgery{"of an unlinked identity", w.unlinked.login}, forgery{"of a merged loser", w.loser.withheld}, forgery{"of a deleted pool", w.poolless.login}, forgery{"that is none", w.user.token})
	for _, f := range tokens {
		w.try(attempt{name: "role with a token " + f.name, who: w.nobody, want: refused, ask: w.assume(f.text, role("everything"), "", nil)})
	}
	for _, of := range []string{role("strict"), role(planted), role("everything") + "/x", "arn:aws:iam::000000000000:role/everything", role("everything") + "\x00"} {
		w.try(attempt{name: "the role " + of, who: w.nobody, want: refused, ask: w.assume(w.user.login, of, "", nil)})
	}
	for name, more := range map[string]url.Values{"two tokens": {"WebIdentityToken": {w.impostor.login}}, "two roles": {"RoleArn": {role("strict")}}, "an identity": {"IdentityId": {w.neighbour.identity}}} {
		w.try(attempt{name: "role with " + name, who: w.nobody, want: ownOnly, ask: w.assume(w.user.login, role("everything"), "", more)})
	}
	everything := `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	w.useRole(w.assumed(w.user, w.user.login, "everything", everything))
	w.useRole(w.assumed(w.strictUser, w.strictUser.withheld, "strict", everything))
}

// assumed is an asker with credentials of a role that it may have.
func (w *tenants) assumed(who *tenant, login, name, policy string) *tenant {
	w.Helper()
	a, err := w.request(w.nobody, w.assume(login, role(name), policy, nil))
	var out struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string } `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if err == nil {
		err = xml.Unmarshal(a.body, &out)
	}
	c := out.Credentials
	if err != nil || c.SessionToken == "" {
		w.Fatalf("%v, status %d: %s", err, a.status, a.body)
	}
	return &tenant{name: who.name + "-in-a-role", login: who.login, user: who.user, guest: guest{
		caller: newCaller(w.s.url, c.AccessKeyId, c.SecretAccessKey, c.SessionToken), pool: who.pool, identity: who.identity,
		id: c.AccessKeyId, secret: c.SecretAccessKey, token: c.SessionToken}}
}

// request sends what is no attempt.
func (w *tenants) request(who *tenant, a ask) (answer, error) {
	r, err := who.request(a)
	if err != nil {
		return answer{}, err
	}
	return w.stranger.send(r)
}

// useRole asks for the data of all victims.
func (w *tenants) useRole(who *tenant) {
	for _, h := range w.holdings {
		for _, o := range append(syncWire(), kinesisWire()...) {
			w.askBy(o, who, h)
		}
	}
}
