package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// spelling is a way to write a name in a path.
type spelling struct {
	name  string
	write func(string) string
	// same tells that it is the same name; others are not, whoever's it is.
	same bool
}

// everyByte writes all bytes of a name in a format such as %%%02X.
func everyByte(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, format, s[i])
		}
		return b.String()
	}
}

// first writes the first byte of a name, or its colon if it has one, in another
// way.
func rewriteFirst(instead func(byte) string) func(string) string {
	return func(s string) string {
		at := max(strings.IndexByte(s, ':'), 0)
		return s[:at] + instead(s[at]) + s[at+1:]
	}
}

func always(s string) func(byte) string          { return func(byte) string { return s } }
func appended(more string) func(string) string   { return func(s string) string { return s + more } }
func prefixed(before string) func(string) string { return func(s string) string { return before + s } }

func spellings() []spelling {
	overlong2 := func(c byte) string { return fmt.Sprintf("%%%02X%%%02X", 0xC0|c>>6, 0x80|c&0x3F) }
	overlong3 := func(c byte) string { return fmt.Sprintf("%%E0%%%02X%%%02X", 0x80|c>>6, 0x80|c&0x3F) }
	return []spelling{
		{"raw", func(s string) string { return s }, true},
		{"escaped", rewriteFirst(func(c byte) string { return fmt.Sprintf("%%%02X", c) }), true},
		{"escaped lower", rewriteFirst(func(c byte) string { return fmt.Sprintf("%%%02x", c) }), true},
		{"every byte", everyByte("%%%02X"), true},
		{"every byte lower", everyByte("%%%02x"), true},
		{"twice", rewriteFirst(func(c byte) string { return fmt.Sprintf("%%25%02X", c) }), false},
		{"thrice", rewriteFirst(func(c byte) string { return fmt.Sprintf("%%2525%02X", c) }), false},
		{"every byte twice", everyByte("%%25%02x"), false},
		{"percent escaped byte by byte", rewriteFirst(func(c byte) string { return fmt.Sprintf("%%25%%%02X%%%02X", '0'+c>>4, '0'+c&7) }), false},
		{"overlong", rewriteFirst(overlong2), false},
		{"longer than overlong", rewriteFirst(overlong3), false},
		{"full width", rewriteFirst(always("%EF%BC%9A")), false},
		{"small colon", rewriteFirst(always("%EF%B9%95")), false},
		{"escape of IIS", rewriteFirst(func(c byte) string { return fmt.Sprintf("%%25u%04X", c) }), false},
		{"upper case", strings.ToUpper, false},
		{"NUL after", appended("%00"), false},
		{"NUL and more after", appended("%00.txt"), false},
		{"NUL before", prefixed("%00"), false},
		{"newline after", appended("%0A"), false},
		{"carriage return after", appended("%0D"), false},
		{"tab after", appended("%09"), false},
		{"space after", appended("%20"), false},
		{"space before", prefixed("%20"), false},
		{"plus after", appended("+"), false},
		{"dot after", appended("."), false},
		{"dots after", appended(".."), false},
		{"slash after", appended("/"), false},
		{"slash before", prefixed("/"), false},
		{"escaped slash after", appended("%2F"), false},
		{"escaped slash before", prefixed("%2f"), false},
		{"dot segment", prefixed("./"), false},
		{"up and down", prefixed("x/../"), false},
		{"escaped up and down", prefixed("x%2F..%2F"), false},
		{"escaped dots", prefixed("%2e%2e/"), false},
		{"escaped all of it", prefixed("%2e%2e%2f"), false},
		{"dots twice escaped", prefixed("%252e%252e%252f"), false},
		{"backslash", prefixed("..%5C"), false},
		{"parameter after", appended(";a=b"), false},
		{"parameter before", prefixed("a;"), false},
		{"escaped parameter", appended("%3Ba"), false},
		{"escaped question mark", appended("%3Fa=b"), false},
		{"escaped fragment", appended("%23a"), false},
		{"byte order mark", prefixed("%EF%BB%BF"), false},
		{"no width", appended("%E2%80%8B"), false},
		{"soft hyphen", appended("%C2%AD"), false},
		{"broken UTF-8", appended("%FF"), false},
		{"comma after", appended(",x"), false},
		{"star", rewriteFirst(always("*")), false},
		{"backspace", appended("x%08"), false},
		{"quotes", func(s string) string { return "%22" + s + "%22" }, false},
	}
}

// spelled is a path whose names are escaped, but for the part that is spelled.
func spelled(path, part string, d dataset, write func(string) string) string {
	names := map[string]string{"pool": d.pool, "identity": d.identity, "dataset": d.name}
	var pairs []string
	for name, value := range names {
		if name == part || part == "all" {
			pairs = append(pairs, "{"+name+"}", write(value))
		} else {
			pairs = append(pairs, "{"+name+"}", url.PathEscape(value))
		}
	}
	return strings.NewReplacer(pairs...).Replace(path)
}

// spellings: a victim's names are spelled in all ways, and the asker's own: what
// is spelled otherwise is not the same name.
func (w *tenants) spellings() {
	for _, s := range spellings() {
		for _, part := range []string{"pool", "identity", "dataset", "all"} {
			for range 3 * soak(w.T) {
				w.spell(s, part)
			}
			w.spellOwn(s, part)
		}
	}
}

func (w *tenants) spell(s spelling, part string) {
	w.Helper()
	o, h, who := pick(w, syncOperations[:7]), pick(w, w.holdings), pick(w, w.living())
	d := w.target(h)
	a := attempt{name: s.name + " " + part + ": " + o.name + " of " + h.name, who: who, want: refused,
		ask: ask{service: syncService, method: o.method, path: spelled(o.path, part, d, s.write), body: w.syncBody(o.name, h.session[d.name])}}
	if s.same {
		a.want = denied
	}
	w.try(a)
}

// spellOwn lists the asker's own data, which another spelling is not.
func (w *tenants) spellOwn(s spelling, part string) {
	w.Helper()
	who := pick(w, w.living())
	a := attempt{name: s.name + " " + part + " of its own", who: who, want: refused,
		ask: ask{service: syncService, method: http.MethodGet, path: spelled(datasetPath, part, who.dataset(common), s.write)}}
	if s.same {
		a.want = ownOnly
	}
	if have := w.try(a); s.same && have.status != http.StatusOK {
		w.Errorf("%s: status %d: %s", a.name, have.status, have.body)
	}
}

// mixedNames: one name is the victim's and another the asker's own.
func (w *tenants) mixedNames() {
	for range soak(w.T) {
		for _, who := range w.living() {
			for _, h := range w.holdings {
				w.mixedPaths(who, h)
				w.mixedPlaces(who, h)
				w.likeMerged(who, h)
			}
		}
	}
}

// keyOfAnotherPool: a developer whose key is for one pool names it, and in it
// what belongs to identities of others.
func (w *tenants) keyOfAnotherPool() {
	pool := w.another.pool
	w.onePool.rest(w.T, "GET", w.another.dataset(common).path()+"/records", nil, nil) // it is good for that
	for _, h := range w.holdings {
		inside := *h
		inside.pool, inside.secret.pool = pool, pool
		for _, o := range syncWire()[:6] { // those on an identity
			w.try(attempt{name: o.name + " of " + h.name + " in another pool", who: w.onePool, want: refused, ask: o.ask(w, w.onePool, &inside)})
		}
		for _, name := range []string{"LookupDeveloperIdentity", "GetOpenIdTokenForDeveloperIdentity", "UnlinkDeveloperIdentity", "MergeDeveloperIdentities"} {
			w.try(attempt{name: name + " of " + h.name + " in another pool", who: w.onePool, want: refused,
				ask: rpcAsk(identityService, name, encode(w.T, identityBodies[name](w.onePool, &inside)))})
		}
		for _, name := range []string{"DescribeIdentity", "DeleteIdentities"} {
			w.try(attempt{name: name + " of " + h.name, who: w.onePool, want: denied, ask: rpcAsk(identityService, name, encode(w.T, identityBodies[name](w.onePool, h)))})
		}
	}
}

// mixedPaths names own and other things in one path.
func (w *tenants) mixedPaths(who *tenant, h *holding) {
	for _, o := range syncOperations[:7] {
		for _, d := range []dataset{
			{who.pool, h.identity, common},
			{h.pool, who.identity, common},
			{w.pool, h.identity, h.secret.name},
			{w.far, h.identity, h.secret.name},
		} {
			if (d.pool == who.pool && d.identity == who.identity) || !strings.Contains(o.path, "{identity}") {
				continue
			}
			w.try(attempt{name: "mixed path: " + o.name + " of " + h.name, who: who, want: denied,
				ask: ask{service: syncService, method: o.method, path: pathOf(o.path, d), body: w.syncBody(o.name, h.session[common])}})
		}
	}
}

// mixedPlaces names the asker in the path and the victim in query, body and
// header, and the other way round.
func (w *tenants) mixedPlaces(who *tenant, h *holding) {
	own := who.dataset(common)
	query := func(d dataset) string {
		return "?IdentityId=" + url.QueryEscape(d.identity) + "&identityId=" + url.QueryEscape(d.identity) + "&IdentityPoolId=" + url.QueryEscape(d.pool) + "&DatasetName=" + d.name
	}
	for _, c := range []struct {
		name        string
		path, other dataset
		want        verdict
	}{{"victim beside own", own, h.secret, ownOnly}, {"own beside victim", h.secret, own, denied}} {
		body := object{"IdentityId": c.other.identity, "IdentityPoolId": c.other.pool, "DatasetName": c.other.name,
			"SyncSessionToken": w.sessionFor(c.path, who, h), "RecordPatches": []patch{replace(planted, "x", 0)}}
		header := http.Header{"X-Amz-Identity-Id": {c.other.identity}, "X-Original-Url": {c.other.path() + "/records"}, "X-Rewrite-Url": {c.other.path()}, "X-Forwarded-Prefix": {c.other.path()}}
		try := func(name, method, path string, body []byte) {
			w.Helper()
			w.try(attempt{name: c.name + " in " + name + " of " + h.name, who: who, want: c.want, ask: ask{service: syncService, method: method, path: path, body: body, header: header}})
		}
		try("query", "GET", c.path.path()+"/records"+query(c.other), nil)
		try("query", "GET", identityPath(c.path.pool, c.path.identity)+"/datasets"+query(c.other), nil)
		try("body", "POST", c.path.path(), encode(w.T, body))
		try("body of a GET", "GET", c.path.path(), encode(w.T, body))
	}
}

// sessionFor is the session token of the asker's dataset, or of the victim's.
func (w *tenants) sessionFor(d dataset, who *tenant, h *holding) string {
	if d.identity == who.identity {
		return w.sessionOf(who)
	}
	return h.session[d.name]
}

// likeMerged asks for own datasets that are called as if a victim had been
// merged into the asker.
func (w *tenants) likeMerged(who *tenant, h *holding) {
	for _, name := range []string{common + "." + h.identity, h.secret.name + "." + h.identity, h.identity, "." + h.identity, common + "." + h.identity + "." + h.identity} {
		own := who.dataset(name)
		for _, path := range []string{own.path() + "/records", own.path(), who.dataset(common).path() + "/records?lastSyncCount=0"} {
			w.try(attempt{name: "like merged from " + h.name, who: who, want: ownOnly, ask: ask{service: syncService, method: "GET", path: path}})
		}
	}
}

// duplicates name an identity twice in one body, or in one query.
func (w *tenants) duplicates() {
	for range soak(w.T) {
		for _, who := range []*tenant{w.nobody, w.visitor, w.user, w.another} {
			for _, h := range w.holdings {
				w.twiceInBody(who, h)
			}
		}
		for _, who := range w.living() {
			for _, h := range w.holdings {
				w.twiceInQuery(who, h)
			}
		}
	}
}

// twiceInBody: both readings of such a body must be refused.
func (w *tenants) twiceInBody(who *tenant, h *holding) {
	own := who.identity
	if own == "" {
		own = w.user.identity
	}
	logins := ""
	if who.login != "" {
		logins = `,"Logins":{"` + ownProvider + `":"` + who.login + `"}`
	}
	for name, body := range map[string]string{
		"own, victim":          `{"IdentityId":"` + own + `","IdentityId":"` + h.identity + `"` + logins + `}`,
		"victim, own":          `{"IdentityId":"` + h.identity + `","IdentityId":"` + own + `"` + logins + `}`,
		"escaped name":         `{"IdentityId":"` + own + `","Identity\u0049d":"` + h.identity + `"` + logins + `}`,
		"escaped first":        `{"\u0049dentityId":"` + h.identity + `","IdentityId":"` + own + `"` + logins + `}`,
		"two bodies":           `{"IdentityId":"` + own + `"` + logins + `}{"IdentityId":"` + h.identity + `"}`,
		"array":                `[{"IdentityId":"` + h.identity + `"` + logins + `}]`,
		"list of identities":   `{"IdentityId":["` + own + `","` + h.identity + `"]` + logins + `}`,
		"NUL between":          `{"IdentityId":"` + own + `\u0000` + h.identity + `"` + logins + `}`,
		"NUL after":            `{"IdentityId":"` + h.identity + `\u0000"` + logins + `}`,
		"space after":          `{"IdentityId":"` + h.identity + ` "` + logins + `}`,
		"upper case":           `{"IdentityId":"` + strings.ToUpper(h.identity) + `"` + logins + `}`,
		"percent":              `{"IdentityId":"` + url.QueryEscape(h.identity) + `"` + logins + `}`,
		"logins twice":         `{"IdentityId":"` + h.identity + `"` + logins + `,"Logins":{"` + developerProvider + `":"` + h.user + `"}}`,
		"login of a developer": `{"IdentityId":"` + h.identity + `","Logins":{"` + developerProvider + `":"` + h.user + `"}}`,
		"login is the id":      `{"IdentityId":"` + h.identity + `","Logins":{"` + ownProvider + `":"` + h.identity + `"}}`,
		"role of the victim":   `{"IdentityId":"` + h.identity + `","CustomRoleArn":"` + role("everything") + `"` + logins + `}`,
	} {
		for _, operation := range []string{"GetCredentialsForIdentity", "GetOpenIdToken"} {
			w.try(attempt{name: name + ": " + operation + " of " + h.name, who: who, want: refused, ask: rpcAsk(identityService, operation, []byte(body))})
		}
	}
	for name, body := range map[string]string{ // the victim is in a member that is none
		"other case": `{"IdentityId":"` + own + `","identityId":"` + h.identity + `"` + logins + `}`,
		"nested":     `{"IdentityId":"` + own + `","x":{"IdentityId":"` + h.identity + `"}` + logins + `}`,
	} {
		w.try(attempt{name: name + " " + h.name, who: who, want: ownOnly, ask: rpcAsk(identityService, "GetCredentialsForIdentity", []byte(body))})
	}
}

// twiceInQuery: the second of a name may not count, nor the token of another.
func (w *tenants) twiceInQuery(who *tenant, h *holding) {
	list := who.dataset(common).path() + "/records"
	own := w.firstPage(who.caller, who.dataset(common))
	for name, query := range map[string]string{
		"own page first": "?nextToken=" + own + "&nextToken=" + h.page,
		"many sizes":     "?maxResults=1&maxResults=1000&MaxResults=1000",
	} {
		w.try(attempt{name: name, who: who, want: ownOnly, ask: ask{service: syncService, method: "GET", path: list + query}})
	}
	for name, query := range map[string]string{
		"page of the victim first": "?nextToken=" + h.page + "&nextToken=" + own,
		"escaped name":             "?next%54oken=" + h.page,
	} {
		w.try(attempt{name: name, who: who, want: refused, ask: ask{service: syncService, method: "GET", path: list + query}})
	}
}

// otherTargets name one service and mean another: by X-Amz-Target, by the path,
// and by the service that the signature is for.
func (w *tenants) otherTargets() {
	named := []string{"AWSCognitoIdentityService.DescribeIdentity", "AWSCognitoIdentityService.GetCredentialsForIdentity", "AWSCognitoIdentityService.ListIdentities",
		"Kinesis_20131202.GetRecords", "Kinesis_20131202.ListStreams", "awscognitoidentityservice.DescribeIdentity", "AWSCognitoSyncService_20140630.ListRecords",
		"AWSCognitoIdentityService.DescribeIdentity,Kinesis_20131202.ListStreams", "AWSCognitoIdentityService.", "Kinesis_", ".ListRecords"}
	services := []string{syncService, identityService, kinesisService, ownService, "sts", "s3", ""}
	for range soak(w.T) {
		for _, target := range named {
			for _, service := range services {
				w.mixTarget(target, service)
			}
		}
	}
}

// mixTarget sends a target with the path of a victim.
func (w *tenants) mixTarget(target, service string) {
	h, who := pick(w, w.holdings), pick(w, w.askers)
	d := w.target(h)
	path := pick(w, []string{"/", d.path(), d.path() + "/records", "/_tributary/v1/query", "/_tributary/v1/pools/" + url.PathEscape(h.pool), w.linkPath(), "/.well-known/openid-configuration"})
	body := encode(w.T, object{"IdentityId": h.identity, "IdentityPoolId": h.pool, "MaxResults": 60, "ShardIterator": w.iterator, "SQL": "SELECT 1"})
	for _, method := range []string{"POST", "GET", "DELETE"} {
		a := attempt{name: target + " signed for " + service + ", of " + h.name, who: who, want: refused, ask: ask{service: service, method: method, path: path, target: target, body: body}}
		if strings.HasPrefix(path, "/.well-known/") {
			a.want = ownOnly
		}
		a.edit = func(*http.Request) {} // which is signed for another service
		w.try(a)
	}
}

// otherMethods send another method than the operation has, and headers and
// members by which some servers let it be replaced.
func (w *tenants) otherMethods() {
	for range soak(w.T) {
		for _, h := range w.holdings {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "get", "Delete", "PROPFIND", "QUERY", "MOVE"} {
				who, d := pick(w, w.living()), w.target(h)
				path := pick(w, []string{d.path(), d.path() + "/records", identityPath(h.pool, h.identity) + "/datasets", identityPath(h.pool, h.identity)})
				w.try(attempt{name: method + " of " + h.name, who: who, want: refused, ask: ask{service: syncService, method: method, path: path}})
			}
			for _, instead := range []string{"DELETE", "GET", "PUT"} {
				w.overrideMethod(h, instead)
			}
		}
	}
}

// overrideMethod asks to take a request for another one.
func (w *tenants) overrideMethod(h *holding, instead string) {
	who, d := pick(w, w.living()), w.target(h)
	header := http.Header{"X-Http-Method-Override": {instead}, "X-Http-Method": {instead}, "X-Method-Override": {instead}, "X-Original-Method": {instead},
		"X-Original-Url": {d.path()}, "X-Forwarded-Uri": {d.path()}, "X-Forwarded-Host": {"localhost"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Custom-Ip-Authorization": {"127.0.0.1"}, "Forwarded": {"for=127.0.0.1;host=localhost"}}
	for _, c := range []struct {
		path string
		want verdict
	}{{d.path(), denied}, {d.path() + "?_method=" + instead, denied}, {who.dataset(common).path(), ownOnly}} {
		body := encode(w.T, update{w.sessionOf(who), nil})
		w.try(attempt{name: "POST as " + instead + " of " + h.name, who: who, want: c.want, ask: ask{service: syncService, method: "POST", path: c.path, body: body, header: header}})
	}
}
