package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
)

// forgery is something like a token, and what was done to it.
type forgery struct{ name, text string }

// forgeries damage a token in all ways, some of them at random places.
func (w *tenants) forgeries(token string) []forgery {
	n := len(token)
	out := []forgery{
		{"nonsense", "nonsense"}, {"longer", token + "A"}, {"much longer", token + strings.Repeat("A", 10_000)}, {"twice", token + token}, {"padded", token + "="},
		{"reversed halves", token[n/2:] + token[:n/2]}, {"zeros", strings.Repeat("A", n)}, {"newline", token[:n/2] + "%0A" + token[n/2:]},
		{"upper case", strings.ToUpper(token)}, {"without its head", token[1:]}, {"without its tail", token[:n-1]}, {"version 1", "AQ" + token[2:]},
	}
	for range 6 * soak(w.T) {
		at := w.random.IntN(n-2) + 1
		out = append(out, forgery{fmt.Sprintf("cut at %d", at), token[:at]}, forgery{fmt.Sprintf("changed at %d", at), flip(token, at)}, w.bitFlipped(token))
	}
	return out
}

// bitFlipped changes one bit of what a token encodes.
func (w *tenants) bitFlipped(token string) forgery {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return forgery{"changed in its middle", flip(token, len(token)/2)}
	}
	bit := w.random.IntN(8 * len(b))
	b[bit/8] ^= 1 << (bit % 8)
	return forgery{fmt.Sprintf("bit %d flipped", bit), base64.RawURLEncoding.EncodeToString(b)}
}

// with is an asker with other credentials of which some are not its own.
func (who *tenant) with(name, id, secret, token string) *tenant {
	out := *who
	out.name, out.tampered = who.name+" with "+name, true
	out.caller = newCaller(who.url, id, secret, token)
	return &out
}

// tamperedCredentials: keys, secrets and session tokens that do not belong
// together open nothing, not even what belongs to one of their owners.
func (w *tenants) tamperedCredentials() {
	for _, who := range w.living() {
		for _, f := range w.forgeries(who.token) {
			w.mustNotOpen(who.with(f.name, who.id, who.secret, f.text), who)
		}
		for _, other := range append(w.living(), w.loser, w.impostor) {
			if other != who {
				w.mustNotOpen(who.with("the token of "+other.name, who.id, who.secret, other.token), who, other)
				w.mustNotOpen(who.with("key and token of "+other.name, other.id, who.secret, other.token), who, other)
				w.mustNotOpen(who.with("the key of "+other.name, other.id, who.secret, who.token), who, other)
				w.mustNotOpen(who.with("the secret of "+other.name, who.id, other.secret, who.token), who, other)
			}
		}
		for _, f := range []forgery{
			{"no token", ""}, {"a sync session token", w.neighbour.session[common]}, {"a page token", w.neighbour.page}, {"an iterator", w.iterator}, {"a login", w.user.login},
		} {
			w.mustNotOpen(who.with(f.name, who.id, who.secret, f.text), who)
		}
		key := w.s.key()
		w.mustNotOpen(who.with("the key id of a developer", key.id, who.secret, ""), who)
		w.mustNotOpen(who.with("the key id of a developer and its token", key.id, who.secret, who.token), who)
		w.mustNotOpen(who.with("the key id of links", "TRIBUTARYPAYLOAD", who.secret, ""), who)
	}
}

// mustNotOpen asks for own data of some, and for a victim's.
func (w *tenants) mustNotOpen(who *tenant, owners ...*tenant) {
	w.Helper()
	targets := []dataset{pick(w, w.holdings).dataset, w.neighbour.dataset}
	for _, o := range owners {
		targets = append(targets, o.dataset(common))
	}
	for _, d := range targets {
		w.try(attempt{name: "ListRecords", who: who, want: denied, ask: ask{service: syncService, method: "GET", path: d.path() + "/records"}})
	}
	rpc := rpcAsk(identityService, "ListIdentities", encode(w.T, object{"IdentityPoolId": w.pool, "MaxResults": 60}))
	w.try(attempt{name: "ListIdentities", who: who, want: denied, ask: rpc})
}

// sessionTokens: a sync session token is good for one dataset of one identity
// of one server.
func (w *tenants) sessionTokens() {
	for _, who := range w.living() {
		own := w.sessionOf(who)
		tokens := append(w.forgeries(own),
			forgery{"of another dataset", who.list(w.T, who.dataset("another")).SyncSessionToken},
			forgery{"of another server", w.foreign.session[common]}, forgery{"a page token", w.firstPage(who.caller, who.dataset(common))},
			forgery{"credentials", who.token}, forgery{"an iterator", w.iterator})
		for _, h := range w.holdings {
			tokens = append(tokens, forgery{"of " + h.name, h.session[common]}, forgery{"of the diary of " + h.name, h.session[h.secret.name]})
		}
		for _, other := range w.living() {
			if other != who {
				tokens = append(tokens, forgery{"of " + other.name, w.sessionOf(other)})
			}
		}
		for _, f := range tokens {
			w.updateWith(who, f)
		}
	}
}

// updateWith writes with a session token that is not good, to the asker's own
// dataset and to one of a victim.
func (w *tenants) updateWith(who *tenant, f forgery) {
	w.Helper()
	body := encode(w.T, update{f.text, []patch{replace(w.secretText(planted), "x", 0)}}) // a new key meets no conflict
	for d, want := range map[dataset]verdict{who.dataset(common): refused, w.neighbour.dataset: denied} {
		w.try(attempt{name: "UpdateRecords with a token " + f.name, who: who, want: want, ask: ask{service: syncService, method: "POST", path: d.path(), body: body}})
	}
}

// pageTokens: so is a NextToken of ListRecords. That of ListDatasets is no more
// than a name, and shows own data whatever it says.
func (w *tenants) pageTokens() {
	for _, who := range w.living() {
		who.sync(w.T, who.dataset("another"), replace("a", "1", 0), replace("b", "2", 0))
		tokens := append(w.forgeries(w.firstPage(who.caller, who.dataset(common))),
			forgery{"of another dataset", w.firstPage(who.caller, who.dataset("another"))}, forgery{"of another server", w.foreign.page},
			forgery{"a session token", w.sessionOf(who)}, forgery{"credentials", who.token}, forgery{"an iterator", w.iterator})
		for _, h := range w.holdings {
			tokens = append(tokens, forgery{"of " + h.name, h.page})
			w.pageOfNames(who, h)
		}
		for _, f := range tokens {
			for d, want := range map[dataset]verdict{who.dataset(common): refused, w.neighbour.dataset: denied} {
				w.try(attempt{name: "ListRecords with a token " + f.name, who: who, want: want,
					ask: ask{service: syncService, method: "GET", path: d.path() + "/records?nextToken=" + url.QueryEscape(f.text)}})
			}
		}
		who.rest(w.T, "DELETE", who.dataset("another").path(), nil, nil)
	}
}

func (w *tenants) pageOfNames(who *tenant, h *holding) {
	for _, name := range []string{h.secret.name, h.secret.name[:8], h.identity + "\x00" + h.secret.name, "\x00", "", "../" + h.identity, h.pool + "\x00" + h.identity} {
		token := url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(name)))
		for query, want := range map[string]verdict{identityPath(who.pool, who.identity): ownOnly, identityPath(h.pool, h.identity): denied} {
			w.try(attempt{name: "ListDatasets after a name of " + h.name, who: who, want: want, ask: ask{service: syncService, method: "GET", path: query + "/datasets?nextToken=" + token}})
		}
	}
}

// logins: an OpenID token of ours proves one identity of one pool of one server,
// and only if a developer asked for it.
func (w *tenants) logins() {
	var ofGuest struct{ Token string }
	w.dev.call(w.T, identityService, "GetOpenIdToken", object{"IdentityId": w.visitor.identity}, &ofGuest)
	for _, who := range []*tenant{w.user, w.another} {
		tokens := append(w.forgeries(who.login), w.forgedLogins(who)...)
		tokens = append(tokens, forgery{"of another server", w.impostor.login}, forgery{"of a deleted identity", w.deleted.login}, forgery{"of a guest", ofGuest.Token},
			forgery{"of an unlinked identity", w.unlinked.login}, forgery{"credentials", who.token})
		for _, f := range tokens {
			w.logInWith(who, f, who.identity, who.pool)
			w.logInWith(who, f, w.neighbour.identity, w.pool)
		}
		for _, h := range w.holdings { // one that is good, for somebody else
			w.logInWith(who, forgery{"its own login", who.login}, h.identity, w.far)
		}
	}
}

// forgedLogins are tokens that say something else than what was signed.
func (w *tenants) forgedLogins(who *tenant) []forgery {
	part := strings.Split(who.login, ".")
	head, claims := decodePart(w, part[0]), decodePart(w, part[1])
	edited := func(m object, name string, value any) string {
		out := object{}
		for k, v := range m {
			out[k] = v
		}
		out[name] = value
		return base64.RawURLEncoding.EncodeToString(encode(w.T, out))
	}
	join := func(head, claims, signature string) string { return head + "." + claims + "." + signature }
	out := []forgery{
		{"of the victim's name", join(part[0], edited(claims, "sub", w.neighbour.identity), part[2])},
		{"of the victim's pool", join(part[0], edited(claims, "aud", w.far), part[2])},
		{"of both pools", join(part[0], edited(claims, "aud", []string{who.pool, w.far}), part[2])},
		{"of no algorithm", join(edited(head, "alg", "none"), edited(claims, "sub", w.neighbour.identity), "")},
		{"of another key's name", join(edited(head, "kid", "tributary-0"), part[1], part[2])},
		{"with a key of its own", join(edited(head, "jwk", object{"kty": "oct", "k": "AAAA"}), part[1], part[2])},
		{"without its signature", join(part[0], part[1], "")},
	}
	document, err := w.stranger.send(w.get(w.s.url + "/.well-known/jwks_uri"))
	if err != nil || document.status != http.StatusOK {
		w.Fatalf("%v, status %d", err, document.status)
	}
	for _, algorithm := range []string{"HS256", "HS512"} { // signed with what is public
		signed := edited(head, "alg", algorithm) + "." + edited(claims, "sub", w.neighbour.identity)
		mac := hmac.New(sha512.New, document.body)
		if algorithm == "HS256" {
			mac = hmac.New(sha256.New, document.body)
		}
		mac.Write([]byte(signed))
		out = append(out, forgery{"of " + algorithm, signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))})
	}
	return out
}

func decodePart(w *tenants, part string) (out object) {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// logInWith shows a token for an identity, and for a pool.
func (w *tenants) logInWith(who *tenant, f forgery, identity, pool string) {
	w.Helper()
	logins := object{ownProvider: f.text}
	for operation, in := range map[string]object{
		"GetId":                     {"IdentityPoolId": pool, "Logins": logins},
		"GetCredentialsForIdentity": {"IdentityId": identity, "Logins": logins},
		"GetOpenIdToken":            {"IdentityId": identity, "Logins": logins},
		"UnlinkIdentity":            {"IdentityId": identity, "Logins": logins, "LoginsToRemove": []string{developerProvider}},
	} {
		w.try(attempt{name: operation + " with a token " + f.name, who: who, want: refused, ask: rpcAsk(identityService, operation, encode(w.T, in))})
	}
}

// expiredLogin: a token is good until it expires, and then no more.
func (w *tenants) expiredLogin() {
	_, login := w.tokenOf(w.dev, w.pool, "", w.user.user, 1)
	in := encode(w.T, object{"IdentityId": w.user.identity, "Logins": object{ownProvider: login}})
	eventually(w.T, 10*time.Second, func() error {
		a, err := w.dev.rpc(identityService, "GetOpenIdToken", in)
		if err == nil && a.status == http.StatusOK {
			return errors.New("a token of one second is still good")
		}
		return err
	})
	for _, who := range w.askers {
		w.logInWith(who, forgery{"that has expired", login}, w.user.identity, w.pool)
	}
}

// links: a payload link opens one entry, as it was signed.
func (w *tenants) links() {
	good, err := url.Parse(w.link)
	if err != nil {
		w.Fatal(err)
	}
	for _, f := range w.forgeries(good.Query().Get("X-Amz-Signature")) {
		w.followLink("signature "+f.name, editQuery(*good, "X-Amz-Signature", f.text))
	}
	for name, value := range map[string]string{"X-Amz-Expires": "604801", "X-Amz-Date": "20200101T000000Z", "X-Amz-Credential": strings.Replace(good.Query().Get("X-Amz-Credential"), "TRIBUTARYPAYLOAD", w.user.id, 1),
		"X-Amz-SignedHeaders": "", "X-Amz-Algorithm": "none", "X-Amz-Security-Token": w.user.token} {
		w.followLink(name+" changed", editQuery(*good, name, value))
	}
	w.followLink("of another server", w.foreignLink)
	w.followLink("without its query", good.Scheme+"://"+good.Host+good.Path)
	for _, path := range []string{bump(good.Path, 1), bump(good.Path, 9), good.Path + "/", good.Path + "0", strings.Replace(good.Path, "payload/", "payload//", 1), good.Path + "/../" + "x"} {
		other := *good
		other.Path = path
		w.followLink("to "+path, other.String())
	}
	w.signedLinks(good)
}

// bump changes the n-th digit from the end of a path.
func bump(path string, n int) string {
	at := len(path) - n
	return path[:at] + string('0'+(path[at]-'0'+1)%10) + path[at+1:]
}

func editQuery(u url.URL, name, value string) string {
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func (w *tenants) followLink(name, address string) {
	w.Helper()
	for _, method := range []string{"GET", "HEAD"} {
		path := strings.TrimPrefix(address, w.s.url)
		w.try(attempt{name: "link " + name, who: w.nobody, want: refused, ask: ask{service: ownService, method: method, path: path}})
	}
}

// signedLinks are links that askers sign with what they have.
func (w *tenants) signedLinks(good *url.URL) {
	for _, who := range w.askers {
		if who.creds == nil {
			continue
		}
		for _, service := range []string{ownService, syncService, "s3"} {
			r := w.get(good.Scheme + "://" + good.Host + good.Path)
			if _, err := v4.NewSigner(who.creds).Presign(r, nil, service, region, time.Minute, time.Now()); err != nil {
				w.Fatal(err)
			}
			w.followLink("signed by "+who.name, r.URL.String())
			w.try(attempt{name: "payload", who: who, want: refused, ask: ask{service: service, method: "GET", path: good.Path}})
		}
	}
}

// replays take a request that a victim has signed, and change it.
func (w *tenants) replays() {
	victim := w.user // another user is after its data
	thief := w.another
	own := victim.dataset(common)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	to := func(path string) func(*http.Request) {
		return func(r *http.Request) { r.URL.Path, r.URL.RawPath = unescaped(path), path }
	}
	authorization := func(old, replacement string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, replacement, 1))
		}
	}
	for name, edit := range map[string]func(*http.Request){
		"another list":          to(victim.dataset("another").path() + "/records"),
		"a neighbour's list":    to(w.neighbour.path() + "/records"),
		"the description":       to(own.path()),
		"the datasets":          to(identityPath(victim.pool, victim.identity) + "/datasets"),
		"our own operations":    to("/_tributary/v1/audit"),
		"delete":                func(r *http.Request) { r.Method = "DELETE"; to(own.path())(r) },
		"write":                 func(r *http.Request) { r.Method = "POST"; to(own.path())(r) },
		"more in the query":     func(r *http.Request) { r.URL.RawQuery = "lastSyncCount=1" },
		"another host":          func(r *http.Request) { r.Host = "cognito-sync.us-east-1.amazonaws.com" },
		"another day":           header("X-Amz-Date", time.Now().Add(time.Minute).UTC().Format("20060102T150405Z")),
		"no date":               func(r *http.Request) { r.Header.Del("X-Amz-Date") },
		"a target":              header("X-Amz-Target", "Kinesis_20131202.ListStreams"),
		"the thief's token":     header("X-Amz-Security-Token", thief.token),
		"no token":              func(r *http.Request) { r.Header.Del("X-Amz-Security-Token") },
		"the thief's key":       authorization(victim.id, thief.id),
		"another region":        authorization(region, "eu-west-1"),
		"another service":       authorization(syncService, ownService),
		"no headers signed":     authorization("SignedHeaders=host;x-amz-date;x-amz-security-token", "SignedHeaders="),
		"the token unsigned":    authorization(";x-amz-security-token", ""),
		"two signatures":        func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) },
		"a body that is signed": func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") },
	} {
		w.try(attempt{name: "replay for " + name, who: victim, edit: edit, want: refused, ask: ask{service: syncService, method: "GET", path: own.path() + "/records"}})
	}
	w.replacedBody(victim)
	w.presignedReplays(victim)
}

// replacedBody sends another body than was signed.
func (w *tenants) replacedBody(victim *tenant) {
	own := victim.dataset(common)
	good := encode(w.T, update{w.sessionOf(victim), []patch{replace("mine", "own", 1)}})
	for range 5 * soak(w.T) {
		edit := func(r *http.Request) {
			body := bytes.Replace(good, []byte("mine"), []byte(planted), 1)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		w.try(attempt{name: "another body than was signed", who: victim, edit: edit, want: denied, ask: ask{service: syncService, method: "POST", path: own.path(), body: good}})
	}
}

// presignedReplays change a presigned list.
func (w *tenants) presignedReplays(victim *tenant) {
	r := w.get(w.s.url + victim.dataset(common).path() + "/records")
	if _, err := v4.NewSigner(victim.creds).Presign(r, nil, syncService, region, time.Minute, time.Now()); err != nil {
		w.Fatal(err)
	}
	good := *r.URL
	elsewhere := good
	elsewhere.Path, elsewhere.RawPath = victim.dataset(common).path(), ""
	elsewhere.Path = unescaped(elsewhere.Path)
	for name, address := range map[string]string{
		"another path":    elsewhere.String(),
		"longer":          editQuery(good, "X-Amz-Expires", "3600"),
		"more":            editQuery(good, "lastSyncCount", "1"),
		"another token":   editQuery(good, "X-Amz-Security-Token", w.another.token),
		"another key":     editQuery(good, "X-Amz-Credential", strings.Replace(good.Query().Get("X-Amz-Credential"), victim.id, w.another.id, 1)),
		"another service": editQuery(good, "X-Amz-Credential", strings.Replace(good.Query().Get("X-Amz-Credential"), syncService, ownService, 1)),
	} {
		w.try(attempt{name: "presigned for " + name, who: w.nobody, want: refused, ask: ask{service: syncService, method: "GET", path: strings.TrimPrefix(address, w.s.url)}})
	}
	for _, method := range []string{"DELETE", "POST", "HEAD"} {
		w.try(attempt{name: "presigned for " + method, who: w.nobody, want: refused, ask: ask{service: syncService, method: method, path: strings.TrimPrefix(good.String(), w.s.url)}})
	}
}
