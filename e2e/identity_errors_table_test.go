package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// The exceptions of Cognito Identity.
const (
	alreadyRegistered = "DeveloperUserAlreadyRegisteredException"
	concurrentChange  = "ConcurrentModificationException"
	externalService   = "ExternalServiceException"
	internalError     = "InternalErrorException"
	invalidParameter  = "InvalidParameterException"
	limitExceeded     = "LimitExceededException"
	misconfigured     = "InvalidIdentityPoolConfigurationException"
	notAuthorized     = "NotAuthorizedException"
	resourceConflict  = "ResourceConflictException"
	resourceNotFound  = "ResourceNotFoundException"
	tooManyRequests   = "TooManyRequestsException"
)

// The names of callers.
const (
	byDeveloper = "developer"
	byGuest     = "guest"
	byHasty     = "hasty"  // a guest of a server that answers one request a second
	byBroken    = "broken" // whose key cannot be read, once the store is broken
)

const (
	downProvider = "www.amazon.com"
	brokenKey    = "AKIABROKEN"
	absent       = region + ":00000000-0000-4000-8000-000000000000" // id of no pool or identity
	poolARN      = "arn:aws:cognito-identity:" + region + ":" + account + ":identitypool/"
)

// errorWorld is what calls need that shall fail in their own way.
type errorWorld struct {
	server   *server
	callers  errorCallers
	provider string // name of one that works

	pool      string // takes guests, and users of the provider and of the developer
	contested string // a pool that is changed
	guest     string
	lost      string // a guest of a pool without a role for guests
	ann, bob  userOfTwo
	crowd     userOfTwo // an identity with as many logins as it may have
}

// userOfTwo is a user of a provider and of the developer.
type userOfTwo struct {
	id    string
	login string // the provider's token; "" if it has none
	own   string // our token for the developer
}

// newErrorWorld starts a server, and another that answers a request a second.
func newErrorWorld(t *testing.T) *errorWorld {
	t.Helper()
	p := newProvider(t)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	s := startServer(t, "--warehouse", "none", "--login-endpoints", p.name()+"="+p.issuer+","+downProvider+"="+down.URL)
	w := &errorWorld{server: s, callers: errorCallers{}, provider: p.name()}
	w.fill(t, p)
	strict := startServer(t, "--warehouse", "none", "--identity-rate", "1", "--public-rate", "1")
	dev := strict.developer()
	g := dev.newGuest(t, dev.newPool(t, "strict"))
	w.callers.add(byHasty, strict.url, g.id, g.secret, g.token)
	return w
}

// fill makes the pools and identities.
func (w *errorWorld) fill(t *testing.T, p *provider) {
	t.Helper()
	dev, k := w.server.developer(), w.server.key()
	w.callers.add(byDeveloper, w.server.url, k.id, k.secret, "")
	w.callers.add(byBroken, w.server.url, brokenKey, "secret", "")
	var pool struct{ IdentityPoolId string }
	dev.call(t, identityService, "CreateIdentityPool", object{"IdentityPoolName": "errors", "AllowUnauthenticatedIdentities": true,
		"DeveloperProviderName": developerProvider, "SupportedLoginProviders": object{w.provider: "app", downProvider: "app"}}, &pool)
	w.pool, w.contested = pool.IdentityPoolId, dev.newPool(t, "contested")
	g := dev.newGuest(t, w.pool)
	w.guest = g.identity
	w.callers.add(byGuest, w.server.url, g.id, g.secret, g.token)
	roles := dev.newPool(t, "roles")
	var lost struct{ IdentityId string }
	dev.call(t, identityService, "GetId", object{"IdentityPoolId": roles}, &lost)
	w.lost = lost.IdentityId
	dev.call(t, identityService, "SetIdentityPoolRoles", object{"IdentityPoolId": roles, "Roles": object{"authenticated": role("users")}}, nil)
	w.ann, w.bob = w.user(t, dev, "ann", p.idToken(t, "alice")), w.user(t, dev, "bob", p.idToken(t, "bob"))
	w.crowd = w.user(t, dev, "one of many", "")
	for n := range 19 {
		dev.call(t, identityService, "GetOpenIdTokenForDeveloperIdentity", object{"IdentityPoolId": w.pool, "IdentityId": w.crowd.id,
			"Logins": object{developerProvider: fmt.Sprint("another ", n)}}, nil)
	}
}

// user signs a user in who is the developer's and, with a token, the provider's.
func (w *errorWorld) user(t *testing.T, dev *caller, name, login string) userOfTwo {
	t.Helper()
	logins := object{developerProvider: name}
	if login != "" {
		logins[w.provider] = login
	}
	var out struct{ IdentityId, Token string }
	dev.call(t, identityService, "GetOpenIdTokenForDeveloperIdentity", object{"IdentityPoolId": w.pool, "Logins": logins}, &out)
	return userOfTwo{out.IdentityId, login, out.Token}
}

// errorOperation is an operation as it would succeed for who may call it.
type errorOperation struct {
	name   string
	public bool
	named  string // the member that names what it is about; "" if there is none
	in     object
}

func (w *errorWorld) operations() []errorOperation {
	const thePool, theIdentity, theARN = "IdentityPoolId", "IdentityId", "ResourceArn"
	pool := func(more object) object { return with(object{thePool: w.pool}, more) }
	identity := func(more object) object { return with(object{theIdentity: w.ann.id}, more) }
	tagged := func(more object) object { return with(object{theARN: poolARN + w.pool}, more) }
	logins, provider := object{ownProvider: w.ann.own}, object{"IdentityProviderName": w.provider}
	developers := object{"DeveloperProviderName": developerProvider}
	settings := object{"IdentityPoolName": "errors", "AllowUnauthenticatedIdentities": true}
	return []errorOperation{
		{"CreateIdentityPool", false, "", settings},
		{"DescribeIdentityPool", false, thePool, pool(nil)},
		{"UpdateIdentityPool", false, thePool, pool(settings)},
		{"DeleteIdentityPool", false, thePool, pool(nil)},
		{"ListIdentityPools", false, "", object{"MaxResults": 1}},
		{"ListIdentities", false, thePool, pool(object{"MaxResults": 1})},
		{"DescribeIdentity", false, theIdentity, identity(nil)},
		{"DeleteIdentities", false, "", object{"IdentityIdsToDelete": []string{absent}}},
		{"GetId", true, thePool, pool(nil)},
		{"GetCredentialsForIdentity", true, theIdentity, identity(object{"Logins": logins})},
		{"GetOpenIdToken", true, theIdentity, identity(object{"Logins": logins})},
		{"UnlinkIdentity", true, theIdentity, identity(object{"Logins": logins, "LoginsToRemove": []string{"none"}})},
		{"GetOpenIdTokenForDeveloperIdentity", false, thePool, pool(object{"Logins": object{developerProvider: "ann"}})},
		{"LookupDeveloperIdentity", false, thePool, pool(object{"DeveloperUserIdentifier": "ann"})},
		{"MergeDeveloperIdentities", false, thePool, pool(with(developers, object{"SourceUserIdentifier": "ann", "DestinationUserIdentifier": "ann"}))},
		{"UnlinkDeveloperIdentity", false, theIdentity, pool(with(developers, identity(object{"DeveloperUserIdentifier": "ann"})))},
		{"GetIdentityPoolRoles", false, thePool, pool(nil)},
		{"SetIdentityPoolRoles", false, thePool, pool(object{"Roles": object{}})},
		{"GetPrincipalTagAttributeMap", false, thePool, pool(provider)},
		{"SetPrincipalTagAttributeMap", false, thePool, pool(provider)},
		{"TagResource", false, theARN, tagged(object{"Tags": object{"a": "1"}})},
		{"UntagResource", false, theARN, tagged(object{"TagKeys": []string{"a"}})},
		{"ListTagsForResource", false, theARN, tagged(nil)},
	}
}

// with is an input with more members, or with others.
func with(in, more object) object {
	out := maps.Clone(in)
	maps.Copy(out, more)
	return out
}

// provoked are the exceptions that both SDKs can be shown.
func (w *errorWorld) provoked() []provoked {
	var out []provoked
	for _, o := range w.operations() {
		out = append(out, o.common()...)
	}
	return append(append(out, w.signIns()...), w.others()...)
}

// failing is a call of the developer.
func failing(operation, exception, text string, in object) provoked {
	return provoked{operation, exception, text, byDeveloper, in, 0}
}

// common are the exceptions that an operation has as others do.
func (o *errorOperation) common() []provoked {
	out := []provoked{{o.name, tooManyRequests, "Rate exceeded: at most 1 requests per second", byHasty, o.in, 3}}
	if !o.public && o.name != "DeleteIdentities" {
		out = append(out, provoked{o.name, notAuthorized, "These credentials are not valid", byGuest, o.in, 0})
	}
	if o.named == "" {
		return out
	}
	malformed, wrong, missing := "x", "Value 'x' at '"+strings.ToLower(o.named[:1])+o.named[1:]+"' failed to satisfy constraint", absent
	if o.named == "ResourceArn" {
		malformed, wrong, missing = "arn:aws:s3:::a-bucket-of-mine", "arn:aws:s3:::a-bucket-of-mine is no ARN of an identity pool", poolARN+absent
	}
	return append(out,
		failing(o.name, invalidParameter, wrong, with(o.in, object{o.named: malformed})),
		failing(o.name, resourceNotFound, "'"+absent+"' not found.", with(o.in, object{o.named: missing})))
}

// signIns are exceptions of the operations that prove who somebody is.
func (w *errorWorld) signIns() []provoked {
	pool, guest := object{"IdentityPoolId": w.pool}, object{"IdentityId": w.guest}
	ann, none := object{"IdentityId": w.ann.id}, object{"LoginsToRemove": []string{"none"}}
	logins := func(logins, of object) object { return with(of, object{"Logins": logins}) }
	down, strange := object{downProvider: "token"}, object{"accounts.google.com": "token"}
	both := object{ownProvider: w.ann.own, w.provider: w.bob.login}
	many := object{ownProvider: w.crowd.own, w.provider: w.bob.login}
	const fails, forbidden, another = "Login provider " + downProvider, "is forbidden.", "is linked to another user of "
	return []provoked{
		failing("GetId", externalService, fails, logins(down, pool)),
		failing("GetCredentialsForIdentity", externalService, fails, logins(down, guest)),
		failing("GetOpenIdToken", externalService, fails, logins(down, guest)),
		failing("UnlinkIdentity", externalService, fails, logins(down, with(ann, none))),
		failing("GetOpenIdTokenForDeveloperIdentity", internalError, fails, logins(with(down, object{developerProvider: "ann"}), pool)),

		failing("GetId", notAuthorized, "Token is not from a supported provider", logins(strange, pool)),
		failing("GetCredentialsForIdentity", notAuthorized, forbidden, ann),
		failing("GetOpenIdToken", notAuthorized, forbidden, ann),
		failing("UnlinkIdentity", notAuthorized, "Logins don't match.", logins(object{ownProvider: w.bob.own}, with(ann, none))),

		failing("GetId", resourceConflict, another, logins(both, pool)),
		failing("GetCredentialsForIdentity", resourceConflict, another, logins(both, ann)),
		failing("GetOpenIdToken", resourceConflict, another, logins(both, ann)),
		failing("GetOpenIdTokenForDeveloperIdentity", resourceConflict, another, logins(object{developerProvider: "ann", w.provider: w.bob.login}, pool)),

		failing("GetId", limitExceeded, "logins, the limit is 20", logins(many, pool)),
		failing("GetCredentialsForIdentity", misconfigured, "Check assigned IAM roles for this pool.", object{"IdentityId": w.lost}),
		failing("GetOpenIdTokenForDeveloperIdentity", alreadyRegistered, "already registered", logins(object{developerProvider: "ann"}, with(pool, guest))),
	}
}

// others are the exceptions of single operations.
func (w *errorWorld) others() []provoked {
	developers := object{"IdentityPoolId": w.pool, "DeveloperProviderName": developerProvider}
	contested := object{"IdentityPoolId": w.contested}
	const together, changed = 8, "changed at the same time"
	return []provoked{
		failing("CreateIdentityPool", invalidParameter, "at 'identityPoolName'", object{"IdentityPoolName": "a/b", "AllowUnauthenticatedIdentities": true}),
		failing("ListIdentityPools", invalidParameter, "at 'maxResults'", object{"MaxResults": 61}),
		failing("DeleteIdentities", invalidParameter, "at 'identityIdsToDelete.1.member'", object{"IdentityIdsToDelete": []string{"x"}}),

		failing("LookupDeveloperIdentity", resourceConflict, "do not belong together",
			object{"IdentityPoolId": w.pool, "IdentityId": w.ann.id, "DeveloperUserIdentifier": "bob"}),
		failing("MergeDeveloperIdentities", resourceConflict, "is linked to another user of ",
			with(developers, object{"SourceUserIdentifier": "ann", "DestinationUserIdentifier": "bob"})),
		failing("UnlinkDeveloperIdentity", resourceConflict, "'bob' is not linked to",
			with(developers, object{"IdentityId": w.ann.id, "DeveloperUserIdentifier": "bob"})),

		{"UpdateIdentityPool", concurrentChange, changed, byDeveloper, with(contested, object{"IdentityPoolName": "contested", "AllowUnauthenticatedIdentities": true}), together},
		{"SetIdentityPoolRoles", concurrentChange, changed, byDeveloper, with(contested, object{"Roles": object{"authenticated": role("users")}}), together},
	}
}

// unprovoked says why the other exceptions cannot be had.
func (w *errorWorld) unprovoked() map[errorPair]string {
	const noLimit = "nothing bounds the number of pools, or what one has: more than 50 tags are an InvalidParameterException"
	out := map[errorPair]string{
		{"CreateIdentityPool", limitExceeded}:      noLimit,
		{"UpdateIdentityPool", limitExceeded}:      noLimit,
		{"CreateIdentityPool", resourceConflict}:   "the server makes the new pool's id at random",
		{"UpdateIdentityPool", resourceConflict}:   "pools share nothing that two could want",
		{"SetIdentityPoolRoles", resourceConflict}: "pools share nothing that two could want",
		{"GetIdentityPoolRoles", resourceConflict}: "what only reads meets no conflict",
		{"UnlinkIdentity", resourceConflict}:       "what only takes logins off links no two users",
		{"ListIdentityPools", resourceNotFound}:    "it names nothing",
	}
	for _, o := range w.operations() {
		if o.name != "GetOpenIdTokenForDeveloperIdentity" && !onPostgres() {
			out[errorPair{o.name, internalError}] = "the embedded store cannot be broken under its server; the run on PostgreSQL provokes it"
		}
	}
	return out
}

// broken are the exceptions of a server whose store is broken.
func (w *errorWorld) broken() []provoked {
	var out []provoked
	for _, o := range w.operations() {
		c := failing(o.name, internalError, "Internal error", o.in)
		if o.name == "DeleteIdentities" { // which tells what is wrong with an identity in its answer
			c.Caller = byBroken
		}
		out = append(out, c)
	}
	return out
}

// breakStore takes tables from the server's database, and writes a key without a
// secret.
func (w *errorWorld) breakStore(t *testing.T) {
	t.Helper()
	const variable = "TRIBUTARY_STORE="
	at := slices.IndexFunc(w.server.env, func(setting string) bool { return strings.HasPrefix(setting, variable) })
	database := strings.TrimPrefix(w.server.env[at], variable)
	if _, err := shared.server.run("psql", "-q", "-c", "DROP TABLE pools, identities; INSERT INTO access_keys VALUES ('"+brokenKey+"', 1, '{}')", database); err != nil {
		t.Fatal(err)
	}
}
