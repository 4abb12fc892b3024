package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// tenant is somebody who asks.
type tenant struct {
	name string
	guest
	login    string // OpenID token that proves who it is; "" if it has none
	withheld string // one that would lead to what is asked for, and rightly so
	user     string // at the developer provider
	tampered bool   // its credentials may fit no signature
}

// holding is what belongs to somebody: a dataset of a common name, and one whose
// name is as secret as what is in it.
type holding struct {
	name string
	dataset
	user    string // its identity's, at the developer provider
	secret  dataset
	stream  string            // where its changes go; "" if nowhere
	page    string            // NextToken of a list of the common dataset
	session map[string]string // sync session tokens, by dataset
}

// common is the name of a dataset that everybody has.
const common = "notes"

// attempts are what all groups have tried.
type attempts struct {
	cases int
	taken []string // requests that may have written something, since the last look
}

// tenants is a server with the data of many, and those who are after it.
type tenants struct {
	*testing.T
	s        *server
	dev      *caller
	random   *rand.Rand
	stranger *caller // sends for all
	pool     string  // of most
	far      string  // another, without guests
	lost     string  // one that is deleted
	strict   string  // one whose role denies a dataset to its own identities
	holdings []*holding
	values   []secret // nobody may see them
	names    []secret // nobody may see them who does not say them
	link     string   // to a record of the neighbour's
	iterator string   // of a developer
	before   map[string]string
	tally    *attempts

	neighbour, distant *holding // whose identities are alive
	askers             []*tenant
	nobody             *tenant
	visitor            *tenant // a guest of the pool
	user               *tenant // of the pool
	another            *tenant // of another pool
	loser, unlinked    *tenant // disabled
	deleted            *tenant
	poolless           *tenant // whose pool is deleted
	strictUser         *tenant // whose role denies it its own data
	onePool            *tenant // a developer whose key is for another pool
	impostor           *tenant // the neighbour of another server
	foreign            *holding
	foreignLink        string
}

func newTenants(t *testing.T) *tenants {
	s := startServer(t, "--identity-rate", "0", "--public-rate", "0", "--stream-inline-limit", "1KiB")
	w := &tenants{T: t, s: s, dev: s.developer(), random: random(t), stranger: newCaller(s.url, "", "", ""), tally: &attempts{}}
	w.makePools()
	w.makeHoldings()
	w.makeAskers()
	w.makeKeys()
	w.makeLost()
	w.settle()
	w.makeOtherServer()
	w.before = w.look()
	return w
}

// in is the world for the use of a subtest.
func (w *tenants) in(t *testing.T) *tenants {
	sub := *w
	sub.T = t
	return &sub
}

// secretText makes a text that nobody guesses.
func (w *tenants) secretText(prefix string) string {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(w.random.Uint32())
	}
	return prefix + hex.EncodeToString(b)
}

// newTenantPool makes a pool with a developer provider.
func (w *tenants) newTenantPool(name string, guests bool) string {
	w.Helper()
	var out struct{ IdentityPoolId string }
	w.dev.call(w.T, identityService, "CreateIdentityPool", object{"IdentityPoolName": name, "AllowUnauthenticatedIdentities": guests, "DeveloperProviderName": developerProvider}, &out)
	return out.IdentityPoolId
}

func (w *tenants) makePools() {
	w.Helper()
	w.pool, w.far, w.lost, w.strict = w.newTenantPool("near", true), w.newTenantPool("far", false), w.newTenantPool("lost", true), w.newTenantPool("strict", true)
	w.dev.newStream(w.T, w.pool, "near", 1)
	w.dev.newStream(w.T, w.far, "far", 1)
	w.setRole(w.pool, "everything", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	w.setRole(w.strict, "strict", `{"Statement":[{"Effect":"Allow","Action":"cognito-sync:*","Resource":"arn:aws:cognito-sync:*:*:identitypool/*/dataset/open*"}]}`)
}

// setRole gives the identities of a pool a role with a policy.
func (w *tenants) setRole(pool, name, policy string) {
	w.Helper()
	w.dev.call(w.T, identityService, "SetIdentityPoolRoles", object{"IdentityPoolId": pool, "Roles": object{"authenticated": role(name), "unauthenticated": role(name)}}, nil)
	w.own("POST", "pools/"+url.PathEscape(pool), object{"RolePolicies": object{role(name): policy}}, nil)
}

// own calls an operation of our own, which must succeed.
func (w *tenants) own(method, path string, in, out any) {
	w.Helper()
	var body []byte
	if in != nil {
		body = encode(w.T, in)
	}
	a := w.dev.do(w.T, ownService, method, "/_tributary/v1/"+path, body)
	if a.status != http.StatusOK {
		w.Fatalf("%s: status %d: %s", path, a.status, a.body)
	}
	decode(w.T, a.body, out)
}

// ownService is the signing name of our own operations.
const ownService = "tributary"

// newUser makes a user of a pool's developer provider, who has signed in.
func (w *tenants) newUser(name, pool string) *tenant {
	w.Helper()
	user := w.secretText(name + "-")
	id, login := w.tokenOf(w.dev, pool, "", user, 3600)
	u := w.signIn(w.dev, name, pool, id, login)
	u.user = user
	return u
}

// tokenOf gives the OpenID token of a user, whom it links to an identity.
func (w *tenants) tokenOf(dev *caller, pool, identity, user string, seconds int) (id, token string) {
	w.Helper()
	in := object{"IdentityPoolId": pool, "Logins": object{developerProvider: user}, "TokenDuration": seconds}
	if identity != "" {
		in["IdentityId"] = identity
	}
	var out struct{ IdentityId, Token string }
	dev.call(w.T, identityService, "GetOpenIdTokenForDeveloperIdentity", in, &out)
	return out.IdentityId, out.Token
}

// signIn gives an identity credentials of a server.
func (w *tenants) signIn(at *caller, name, pool, identity, login string) *tenant {
	w.Helper()
	in := object{"IdentityId": identity}
	if login != "" {
		in["Logins"] = object{ownProvider: login}
	}
	var out struct {
		Credentials struct{ AccessKeyId, SecretKey, SessionToken string }
	}
	at.call(w.T, identityService, "GetCredentialsForIdentity", in, &out)
	c := out.Credentials
	return &tenant{name: name, login: login, guest: guest{
		caller: newCaller(w.s.url, c.AccessKeyId, c.SecretKey, c.SessionToken), pool: pool, identity: identity,
		id: c.AccessKeyId, secret: c.SecretKey, token: c.SessionToken}}
}

// hold gives an identity data that is secret. A developer writes it.
func (w *tenants) hold(of *tenant, stream string) *holding {
	w.Helper()
	h := &holding{name: of.name, dataset: of.dataset(common), secret: of.dataset(w.secretText("diary-")), user: of.user, stream: stream, session: map[string]string{}}
	for _, d := range []dataset{h.dataset, h.secret} {
		key, small, large := w.secretText("key-"), w.secretText("small-"), w.secretText("large-")
		w.dev.sync(w.T, d, replace(key, small, 0), replace("other", "", 0))
		w.dev.sync(w.T, d, replace("large", large+strings.Repeat(".", 1<<10), 0))
		w.values = append(w.values, newSecret(key), newSecret(small), newSecret(large))
		h.session[d.name] = w.dev.list(w.T, d).SyncSessionToken
	}
	h.page = w.firstPage(w.dev, h.dataset)
	w.names = append(w.names, newSecret(h.secret.name), newSecret(h.identity), newSecret(of.user))
	w.holdings = append(w.holdings, h)
	return h
}

// firstPage gives the token with which the list of a dataset goes on.
func (w *tenants) firstPage(who *caller, d dataset) string {
	w.Helper()
	var first listing
	who.rest(w.T, "GET", d.path()+"/records?maxResults=1", nil, &first)
	if first.NextToken == nil {
		w.Fatalf("%s has one page", d.name)
	}
	return *first.NextToken
}

// makeHoldings makes victims who may use their data themselves.
func (w *tenants) makeHoldings() {
	w.neighbour = w.hold(w.newUser("neighbour", w.pool), "near")
	w.distant = w.hold(w.newUser("far-victim", w.far), "far")
	heir := w.newUser("heir", w.pool)
	w.loser = w.newUser("merged-loser", w.pool)
	w.hold(heir, "near")
	w.hold(w.loser, "near")
	w.dev.call(w.T, identityService, "MergeDeveloperIdentities", object{"IdentityPoolId": w.pool, "DeveloperProviderName": developerProvider,
		"SourceUserIdentifier": w.loser.user, "DestinationUserIdentifier": heir.user}, nil)
	w.names = append(w.names, newSecret(common+"."+w.loser.identity))
	w.loser.login, w.loser.withheld = "", w.loser.login // of the heir now
}

// makeAskers makes those who have rights, elsewhere.
func (w *tenants) makeAskers() {
	w.nobody = &tenant{name: "nobody", guest: guest{caller: &caller{url: w.s.url}}}
	w.visitor = &tenant{name: "guest-of-the-pool", guest: w.dev.newGuest(w.T, w.pool)}
	w.user = w.newUser("user-of-the-pool", w.pool)
	w.another = w.newUser("identity-of-another-pool", w.newTenantPool("another", true))
	for _, live := range w.living() {
		live.sync(w.T, live.dataset(common), replace("mine", "own", 0), replace("second", "own", 0))
	}
	w.strictUser = w.newUser("user-whose-role-denies-it", w.strict)
	w.hold(w.strictUser, "")
	w.strictUser.login, w.strictUser.withheld = "", w.strictUser.login
	w.askers = append(w.askers, w.nobody, w.visitor, w.user, w.another, w.loser, w.strictUser)
}

// newKey makes a developer's access key. It is not used yet: servers remember a
// key for a second.
func (w *tenants) newKey(name, policy string) *tenant {
	w.Helper()
	var out struct{ AccessKeyId, SecretAccessKey string }
	w.own("POST", "access-keys", object{"Name": name, "Policy": policy}, &out)
	return &tenant{name: name, guest: guest{caller: newCaller(w.s.url, out.AccessKeyId, out.SecretAccessKey, ""), id: out.AccessKeyId, secret: out.SecretAccessKey}}
}

// makeKeys makes developers who may not do this, or nothing any more.
func (w *tenants) makeKeys() {
	_, onePool, _, _ := documentedPolicies(w.T, w.another.pool)
	w.onePool = w.newKey("developer-of-another-pool", onePool)
	disabled, deleted := w.newKey("disabled-key", ""), w.newKey("deleted-key", "")
	for _, k := range []*tenant{disabled, deleted} {
		w.own("POST", "access-keys/"+k.id, object{"Disabled": true}, nil)
	}
	w.own("DELETE", "access-keys/"+deleted.id, nil, nil)
	w.askers = append(w.askers, w.onePool, disabled, deleted)
}

// living are the askers with data of their own.
func (w *tenants) living() []*tenant { return []*tenant{w.visitor, w.user, w.another} }

// makeLost makes those whose identity, or pool, or last login is gone.
func (w *tenants) makeLost() {
	w.deleted, w.unlinked = w.newUser("deleted-identity", w.pool), w.newUser("unlinked-identity", w.pool)
	w.poolless = w.newUser("identity-of-a-deleted-pool", w.lost)
	w.hold(w.deleted, "near")
	w.hold(w.unlinked, "near")
	w.hold(w.poolless, "")
	w.askers = append(w.askers, w.deleted, w.unlinked, w.poolless)
	w.dev.call(w.T, identityService, "DeleteIdentities", object{"IdentityIdsToDelete": []string{w.deleted.identity}}, nil)
	w.dev.call(w.T, identityService, "UnlinkDeveloperIdentity", object{"IdentityPoolId": w.pool, "IdentityId": w.unlinked.identity,
		"DeveloperProviderName": developerProvider, "DeveloperUserIdentifier": w.unlinked.user}, nil)
	w.dev.call(w.T, identityService, "DeleteIdentityPool", object{"IdentityPoolId": w.lost}, nil)
}

// settle waits until what is deleted is gone, and takes what a developer can
// read of the stream.
func (w *tenants) settle() {
	w.Helper()
	const often = time.Minute // a sweep comes after 15 s at the latest
	eventually(w.T, often, func() error {
		removed := map[string]int{}
		for _, e := range w.dev.readStream(w.T, "near") {
			if e.Operation == "remove" {
				removed[e.IdentityID]++
			}
			if e.KinesisSyncRecordsURL != "" && e.IdentityID == w.neighbour.identity {
				w.link = e.KinesisSyncRecordsURL
			}
		}
		if removed[w.loser.identity] < 2 || removed[w.deleted.identity] < 2 {
			return errors.New("data of who was merged or deleted is still there")
		}
		return nil
	})
	var out struct{ ShardIterator string }
	w.dev.call(w.T, kinesisService, "GetShardIterator", object{"StreamName": "near", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}, &out)
	w.iterator = out.ShardIterator
}

// makeOtherServer makes askers that another server knows: it has a pool and an
// identity of the neighbour's ids, and says that it is this server.
func (w *tenants) makeOtherServer() {
	other := startServer(w.T, "--warehouse", "none", "--public-url", w.s.url, "--stream-inline-limit", "1KiB")
	victim := *w.neighbour
	there := *w
	there.dev = other.developer()
	there.own("POST", "pools", object{"PoolId": victim.pool, "Name": "near", "AllowUnauthenticated": true}, nil)
	there.own("POST", "pools/"+url.PathEscape(victim.pool)+"/identities", object{"IdentityId": victim.identity}, nil)
	w.impostor = w.signIn(there.dev, "neighbour-of-another-server", victim.pool, victim.identity, "")
	there.dev.call(w.T, identityService, "UpdateIdentityPool", object{"IdentityPoolId": victim.pool, "IdentityPoolName": "near", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": developerProvider}, nil)
	_, w.impostor.login = w.tokenOf(there.dev, victim.pool, victim.identity, victim.user, 3600)
	key := other.key()
	developer := &tenant{name: "developer-of-another-server", guest: guest{caller: newCaller(w.s.url, key.id, key.secret, ""), id: key.id, secret: key.secret}}
	w.askers = append(w.askers, w.impostor, developer)
	w.takeForeign(there.dev, victim)
}

// takeForeign takes tokens and a link that another server has sealed for data
// of the neighbour's names.
func (w *tenants) takeForeign(dev *caller, h holding) {
	w.Helper()
	dev.newStream(w.T, h.pool, "near", 1)
	dev.sync(w.T, h.dataset, replace("a", "1", 0), replace("b", "2", 0), replace("large", strings.Repeat(".", 2<<10), 0))
	h.session, h.page = map[string]string{common: dev.list(w.T, h.dataset).SyncSessionToken}, w.firstPage(dev, h.dataset)
	w.foreign, w.foreignLink = &h, dev.readStream(w.T, "near")[0].KinesisSyncRecordsURL
}

// plain gives an answer's text so that equal ones are equal: names in order, and
// without the token that each list has anew.
func plainText(a answer) string {
	var body object
	from := json.NewDecoder(bytes.NewReader(a.body))
	from.UseNumber()
	if err := from.Decode(&body); err != nil {
		return fmt.Sprint(a.status, " ", string(a.body))
	}
	delete(body, "SyncSessionToken")
	text, err := json.Marshal(body)
	return fmt.Sprint(a.status, " ", string(text), err)
}

// look reads all that must stay as it is, with the developer's key.
func (w *tenants) look() map[string]string {
	w.Helper()
	seen := map[string]string{}
	get := func(service, path string) {
		seen[path] = plainText(w.dev.do(w.T, service, "GET", path, nil))
	}
	rpc := func(operation string, in object) {
		a, err := w.dev.rpc(identityService, operation, encode(w.T, in))
		if err != nil {
			w.Fatal(err)
		}
		seen[operation+string(encode(w.T, in))] = plainText(a)
	}
	for _, h := range w.holdings {
		get(syncService, identityPath(h.pool, h.identity))
		get(syncService, identityPath(h.pool, h.identity)+"/datasets")
		for _, d := range []dataset{h.dataset, h.secret} {
			get(syncService, d.path())
			get(syncService, d.path()+"/records")
		}
		rpc("DescribeIdentity", object{"IdentityId": h.identity})
		rpc("LookupDeveloperIdentity", object{"IdentityPoolId": h.pool, "DeveloperUserIdentifier": h.user})
	}
	for _, pool := range []string{w.pool, w.far, w.lost, w.strict} {
		get(syncService, "/identitypools/"+url.PathEscape(pool)+"/configuration")
		get(ownService, "/_tributary/v1/pools/"+url.PathEscape(pool))
		rpc("DescribeIdentityPool", object{"IdentityPoolId": pool})
		rpc("GetIdentityPoolRoles", object{"IdentityPoolId": pool})
		rpc("GetPrincipalTagAttributeMap", object{"IdentityPoolId": pool, "IdentityProviderName": developerProvider})
	}
	rpc("ListIdentities", object{"IdentityPoolId": w.far, "MaxResults": 60})
	rpc("ListIdentityPools", object{"MaxResults": 60})
	get(ownService, "/_tributary/v1/access-keys")
	w.lookAtStreams(seen)
	return seen
}

func (w *tenants) lookAtStreams(seen map[string]string) {
	a, err := w.dev.rpc(kinesisService, "ListStreams", []byte("{}"))
	if err != nil {
		w.Fatal(err)
	}
	seen["streams"] = string(a.body)
	for _, stream := range []string{"near", "far"} {
		for _, e := range w.dev.readStream(w.T, stream) {
			e.KinesisSyncRecordsURL = "" // signed anew each time
			for _, h := range w.holdings {
				if e.IdentityID == h.identity {
					seen["events of "+stream] += string(encode(w.T, e)) + e.sequence + "\n"
				}
			}
		}
	}
}

// untouched compares with what was before anybody asked.
func (w *tenants) untouched() {
	w.Helper()
	now := w.look()
	for what, before := range w.before {
		if now[what] != before {
			w.Errorf("%s\nwas %s\nis  %s", what, clip(before), clip(now[what]))
		}
	}
	if w.Failed() && len(w.tally.taken) > 0 {
		w.Logf("what may have written:\n%s", strings.Join(w.tally.taken, "\n"))
	}
	w.tally.taken = nil
	maps.Copy(w.before, now) // the next group is to tell of its own only
}

// leaked finds what the asker must not see in an answer, "" if there is nothing.
// What it said itself it knows.
func (w *tenants) leaked(who *tenant, a answer, said string) string {
	text := string(a.body)
	for name, values := range a.header {
		text += "\n" + name + ": " + strings.Join(values, ", ")
	}
	for _, value := range w.values {
		if value.in(text) {
			return value.text
		}
	}
	for _, name := range w.names {
		if name.in(text) && name.text != who.identity && !strings.Contains(said, name.text) {
			return name.text
		}
	}
	return ""
}

// secret is a text, and the forms in which it may hide: as it is, escaped, or
// inside of base64.
type secret struct {
	text  string
	forms []string
}

func newSecret(text string) secret {
	s := secret{text, []string{text, url.PathEscape(text), url.QueryEscape(text)}}
	for skip := range 3 { // where a group of three bytes may begin
		part := []byte(text[skip:])
		part = part[:len(part)/3*3]
		s.forms = append(s.forms, base64.StdEncoding.EncodeToString(part), base64.URLEncoding.EncodeToString(part))
	}
	slices.Sort(s.forms)
	s.forms = slices.Compact(s.forms)
	return s
}

func (s *secret) in(text string) bool {
	return slices.ContainsFunc(s.forms, func(form string) bool { return strings.Contains(text, form) })
}

// unescaped undoes percent-encoding, however often it was done.
func unescaped(s string) string {
	for range 4 {
		plain, err := url.PathUnescape(s)
		if err != nil || plain == s {
			break
		}
		s = plain
	}
	return s
}

// one picks one of many.
func pick[T any](w *tenants, of []T) T { return of[w.random.IntN(len(of))] }
