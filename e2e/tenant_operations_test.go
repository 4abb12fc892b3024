package e2e

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// operation is one of a wire: how somebody asks for what is another's by it.
type operation struct {
	name, service string
	ask           func(w *tenants, who *tenant, h *holding) ask
	want          verdict
}

// syncOperations are those of Cognito Sync, by method and path.
var syncOperations = []struct{ name, method, path string }{
	{"UpdateRecords", "POST", datasetPath},
	{"ListRecords", "GET", datasetPath + "/records"},
	{"ListDatasets", "GET", identityPathOf + "/datasets"},
	{"DescribeDataset", "GET", datasetPath},
	{"DeleteDataset", "DELETE", datasetPath},
	{"DescribeIdentityUsage", "GET", identityPathOf},
	{"DescribeIdentityPoolUsage", "GET", poolPath},
	{"ListIdentityPoolUsage", "GET", "/identitypools"},
	{"GetIdentityPoolConfiguration", "GET", poolPath + "/configuration"},
	{"SetIdentityPoolConfiguration", "POST", poolPath + "/configuration"},
	{"GetCognitoEvents", "GET", poolPath + "/events"},
	{"SetCognitoEvents", "POST", poolPath + "/events"},
	{"BulkPublish", "POST", poolPath + "/bulkpublish"},
	{"GetBulkPublishDetails", "POST", poolPath + "/getBulkPublishDetails"},
	{"RegisterDevice", "POST", poolPath + "/identity/{identity}/device"},
	{"SubscribeToDataset", "POST", datasetPath + "/subscriptions/device"},
	{"UnsubscribeFromDataset", "DELETE", datasetPath + "/subscriptions/device"},
}

const (
	poolPath       = "/identitypools/{pool}"
	identityPathOf = poolPath + "/identities/{identity}"
	datasetPath    = identityPathOf + "/datasets/{dataset}"
)

// notServed are operations that this server has not: all are told so.
var notServed = map[string]bool{"BulkPublish": true, "GetBulkPublishDetails": true,
	"RegisterDevice": true, "SubscribeToDataset": true, "UnsubscribeFromDataset": true, "SubscribeToShard": true}

// fill puts names into a path as they are.
func fill(path, pool, identity, dataset string) string {
	return strings.NewReplacer("{pool}", pool, "{identity}", identity, "{dataset}", dataset).Replace(path)
}

// pathOf names a dataset in the usual way.
func pathOf(path string, d dataset) string {
	return fill(path, url.PathEscape(d.pool), url.PathEscape(d.identity), url.PathEscape(d.name))
}

// planted is the key and the name of all that somebody tries to write.
const planted = "planted"

// syncBody is a body that the operation would take, if it were allowed.
func (w *tenants) syncBody(operation, session string) []byte {
	switch operation {
	case "UpdateRecords":
		return encode(w.T, update{session, []patch{replace(planted, "by somebody else", 0)}})
	case "SetIdentityPoolConfiguration":
		return encode(w.T, object{"CognitoStreams": object{"StreamName": "near", "RoleArn": role("streams"), "StreamingStatus": "DISABLED"}})
	case "SetCognitoEvents":
		return encode(w.T, object{"Events": object{"SyncTrigger": "https://192.0.2.1/" + planted}})
	}
	return nil
}

// target is one of the two datasets of a victim.
func (w *tenants) target(h *holding) dataset { return pick(w, []dataset{h.dataset, h.secret}) }

func syncWire() []operation {
	var out []operation
	for _, o := range syncOperations {
		out = append(out, operation{o.name, syncService, func(w *tenants, _ *tenant, h *holding) ask {
			d := w.target(h)
			return ask{service: syncService, method: o.method, path: pathOf(o.path, d), body: w.syncBody(o.name, h.session[d.name])}
		}, wantOf(o.name)})
	}
	return out
}

func wantOf(operation string) verdict {
	if notServed[operation] {
		return refused
	}
	return denied
}

// identityBodies are bodies of the operations of Cognito Identity, which name
// a victim.
var identityBodies = map[string]func(who *tenant, h *holding) object{
	"CreateIdentityPool": func(*tenant, *holding) object {
		return object{"IdentityPoolName": planted, "AllowUnauthenticatedIdentities": true}
	},
	"DescribeIdentityPool": ofPool(nil),
	"UpdateIdentityPool":   ofPool(object{"IdentityPoolName": planted, "AllowUnauthenticatedIdentities": true}),
	"DeleteIdentityPool":   ofPool(nil),
	"ListIdentityPools":    func(*tenant, *holding) object { return object{"MaxResults": 60} },
	"ListIdentities":       ofPool(object{"MaxResults": 60}),
	"DescribeIdentity":     func(_ *tenant, h *holding) object { return object{"IdentityId": h.identity} },
	"DeleteIdentities":     func(_ *tenant, h *holding) object { return object{"IdentityIdsToDelete": []string{h.identity}} },
	"GetId":                func(who *tenant, h *holding) object { return who.withLogins(object{"IdentityPoolId": h.pool}) },
	"GetCredentialsForIdentity": func(who *tenant, h *holding) object {
		return who.withLogins(object{"IdentityId": h.identity})
	},
	"GetOpenIdToken": func(who *tenant, h *holding) object { return who.withLogins(object{"IdentityId": h.identity}) },
	"UnlinkIdentity": func(who *tenant, h *holding) object {
		in := who.withLogins(object{"IdentityId": h.identity, "LoginsToRemove": []string{developerProvider}})
		if in["Logins"] == nil {
			in["Logins"] = object{developerProvider: h.user}
		}
		return in
	},
	"GetOpenIdTokenForDeveloperIdentity": func(_ *tenant, h *holding) object {
		return object{"IdentityPoolId": h.pool, "IdentityId": h.identity, "Logins": object{developerProvider: h.user}}
	},
	"LookupDeveloperIdentity": func(_ *tenant, h *holding) object {
		return object{"IdentityPoolId": h.pool, "IdentityId": h.identity, "MaxResults": 60}
	},
	"MergeDeveloperIdentities": func(who *tenant, h *holding) object {
		return object{"IdentityPoolId": h.pool, "DeveloperProviderName": developerProvider, "SourceUserIdentifier": h.user, "DestinationUserIdentifier": "x" + who.user}
	},
	"UnlinkDeveloperIdentity": func(_ *tenant, h *holding) object {
		return object{"IdentityPoolId": h.pool, "IdentityId": h.identity, "DeveloperProviderName": developerProvider, "DeveloperUserIdentifier": h.user}
	},
	"GetIdentityPoolRoles":        ofPool(nil),
	"SetIdentityPoolRoles":        ofPool(object{"Roles": object{"authenticated": role(planted)}}),
	"GetPrincipalTagAttributeMap": ofPool(object{"IdentityProviderName": developerProvider}),
	"SetPrincipalTagAttributeMap": ofPool(object{"IdentityProviderName": developerProvider, "PrincipalTags": object{planted: "sub"}}),
	"TagResource":                 ofARN(object{"Tags": object{planted: "1"}}),
	"UntagResource":               ofARN(object{"TagKeys": []string{"a"}}),
	"ListTagsForResource":         ofARN(nil),
}

// ofPool makes bodies that name a victim's pool.
func ofPool(more object) func(*tenant, *holding) object {
	return func(_ *tenant, h *holding) object { return withMember(more, "IdentityPoolId", h.pool) }
}

func ofARN(more object) func(*tenant, *holding) object {
	return func(_ *tenant, h *holding) object {
		return withMember(more, "ResourceArn", "arn:aws:cognito-identity:"+region+":"+account+":identitypool/"+h.pool)
	}
}

func withMember(more object, name, value string) object {
	out := object{name: value}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// withLogins adds the token that an asker has.
func (who *tenant) withLogins(in object) object {
	if who.login != "" {
		in["Logins"] = object{ownProvider: who.login}
	}
	return in
}

func identityWire() []operation {
	public := map[string]verdict{"GetId": ownOnly, "GetCredentialsForIdentity": refused, "GetOpenIdToken": refused, "UnlinkIdentity": refused}
	var out []operation
	for _, name := range slices.Sorted(maps.Keys(identityBodies)) { // the same order for the same seed
		body := identityBodies[name]
		want := public[name] // denied if it is not public
		out = append(out, operation{name, identityService, func(w *tenants, who *tenant, h *holding) ask {
			return rpcAsk(identityService, name, encode(w.T, body(who, h)))
		}, want})
	}
	return out
}

// call is the request of an operation that X-Amz-Target names.
func rpcAsk(service, operation string, body []byte) ask {
	return ask{service: service, method: http.MethodPost, path: "/", target: targets[service] + "." + operation, body: body}
}

func kinesisWire() []operation {
	stream := func(more object) func(*tenants, *holding) object {
		return func(_ *tenants, h *holding) object { return withMember(more, "StreamName", h.streamOr("near")) }
	}
	const shard = "shardId-000000000000"
	bodies := map[string]func(*tenants, *holding) object{
		"CreateStream":                  func(*tenants, *holding) object { return object{"StreamName": planted, "ShardCount": 1} },
		"DeleteStream":                  stream(nil),
		"DescribeStream":                stream(nil),
		"DescribeStreamSummary":         stream(nil),
		"GetShardIterator":              stream(object{"ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}),
		"GetRecords":                    func(w *tenants, _ *holding) object { return object{"ShardIterator": w.iterator} },
		"ListShards":                    stream(nil),
		"ListStreams":                   func(*tenants, *holding) object { return object{} },
		"PutRecord":                     stream(object{"Data": "AAAA", "PartitionKey": planted}),
		"PutRecords":                    stream(object{"Records": []object{{"Data": "AAAA", "PartitionKey": planted}}}),
		"UpdateShardCount":              stream(object{"TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}),
		"SplitShard":                    stream(object{"ShardToSplit": shard, "NewStartingHashKey": "1000"}),
		"AddTagsToStream":               stream(object{"Tags": object{planted: planted}}),
		"IncreaseStreamRetentionPeriod": stream(object{"RetentionPeriodHours": 48}),
		"SubscribeToShard":              stream(object{"ShardId": shard}),
	}
	var out []operation
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		body := bodies[name]
		out = append(out, operation{name, kinesisService, func(w *tenants, _ *tenant, h *holding) ask {
			return rpcAsk(kinesisService, name, encode(w.T, body(w, h)))
		}, wantOf(name)})
	}
	return out
}

func (h *holding) streamOr(other string) string {
	if h.stream == "" {
		return other
	}
	return h.stream
}

func ownWire() []operation {
	const prefix = "/_tributary/v1/"
	var out []operation
	for _, o := range []struct {
		name, method, path string
		body               object
	}{
		{"CreatePool", "POST", "pools", object{"Name": planted}},
		{"DescribePool", "GET", "pools/{pool}", nil},
		{"SetPool", "POST", "pools/{pool}", object{"Datasets": 1}},
		{"CreateIdentity", "POST", "pools/{pool}/identities", object{"IdentityId": region + ":99999999-1111-2222-3333-444444444444"}},
		{"GetWebhookKey", "GET", "pools/{pool}/webhook-key?url=https%3A%2F%2Fhook.example.org", nil},
		{"MoveStore", "POST", "store/move", object{"To": "postgres://127.0.0.1:1/none"}},
		{"DescribeStoreMove", "GET", "store/move", nil},
		{"ListAudit", "GET", "audit", nil},
		{"Query", "POST", "query", object{"SQL": "SELECT * FROM cognito_raw_data"}},
		{"Backup", "POST", "backup", nil},
		{"CreateAccessKey", "POST", "access-keys", object{"Name": planted}},
		{"ListAccessKeys", "GET", "access-keys", nil},
		{"RotateAccessKey", "POST", "access-keys/{key}/rotate", object{}},
		{"UpdateAccessKey", "POST", "access-keys/{key}", object{"Name": planted}},
		{"DeleteAccessKey", "DELETE", "access-keys/{key}", nil},
	} {
		out = append(out, operation{o.name, ownService, func(w *tenants, _ *tenant, h *holding) ask {
			path := strings.Replace(o.path, "{key}", w.s.key().id, 1)
			a := ask{service: ownService, method: o.method, path: prefix + pathOf(path, h.dataset)}
			if o.body != nil {
				a.body = encode(w.T, o.body)
			}
			return a
		}, denied})
	}
	return out
}

// otherPaths are the payload of a link without its signature, and what is there
// for everybody.
func otherPaths() []operation {
	at := func(name, service, method string, path func(*tenants) string, want verdict) operation {
		return operation{name, service, func(w *tenants, _ *tenant, _ *holding) ask {
			return ask{service: service, method: method, path: path(w)}
		}, want}
	}
	payload := func(w *tenants) string { return w.linkPath() }
	out := []operation{
		{"RenewPayloadLink", ownService, func(w *tenants, _ *tenant, _ *holding) ask {
			return ask{service: ownService, method: "POST", path: "/_tributary/v1/payload-links", body: encode(w.T, object{"Link": w.link})}
		}, denied},
		at("GetPayload", ownService, "GET", payload, denied),
		at("HeadPayload", ownService, "HEAD", payload, denied),
		at("PostPayload", ownService, "POST", payload, refused),
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/jwks_uri", "/healthz", "/readyz", "/metrics"} {
		out = append(out, at(path, ownService, "GET", func(*tenants) string { return path }, ownOnly))
	}
	return out
}

// linkPath is the path of the link to a record of the neighbour's.
func (w *tenants) linkPath() string {
	u, err := url.Parse(w.link)
	if err != nil || u.Path == "" {
		w.Fatalf("%v in %q", err, w.link)
	}
	return u.Path
}

// everyOperation: everybody asks for what is not theirs by each of them, two
// victims each time.
func (w *tenants) everyOperation() {
	for _, wire := range [][]operation{syncWire(), identityWire(), kinesisWire(), ownWire(), otherPaths()} {
		for _, o := range wire {
			for _, who := range w.askers {
				for range 2 * soak(w.T) {
					w.askBy(o, who, pick(w, w.holdings))
				}
			}
		}
	}
	w.ownClosed()
}

// askBy asks for what belongs to a victim by an operation.
func (w *tenants) askBy(o operation, who *tenant, h *holding) {
	w.Helper()
	w.try(attempt{name: o.service + " " + o.name + " of " + h.name, who: who, ask: o.ask(w, who, h), want: o.want, gone: who.identity == h.identity && who != w.impostor})
}

// ownClosed: who is disabled, deleted or refused by a policy asks for what was
// its own.
func (w *tenants) ownClosed() {
	for _, who := range w.askers {
		for _, h := range w.holdings {
			if who.identity != h.identity || who == w.impostor {
				continue
			}
			for _, o := range syncWire() {
				w.askBy(o, who, h)
			}
		}
	}
}

// controls make sure that the cases could succeed: who may, gets what it asks
// for in the same words.
func (w *tenants) controls() {
	for _, who := range w.living() {
		own := &holding{name: who.name, dataset: who.dataset(common), secret: who.dataset(common), user: who.user, session: map[string]string{common: w.sessionOf(who)}}
		for _, o := range syncWire()[:4] { // all that leave the data there
			a := w.try(attempt{name: "own " + o.name, who: who, ask: o.ask(w, who, own), want: ownOnly})
			if a.status != http.StatusOK {
				w.Errorf("%s of its own, by %s: status %d: %s", o.name, who.name, a.status, a.body)
			}
		}
	}
	if a, err := w.stranger.send(w.get(w.link)); err != nil || a.status != http.StatusOK || w.leaked(w.nobody, a, "") == "" {
		w.Errorf("the link: %v, status %d, no secret is found in %s", err, a.status, clip(string(a.body)))
	}
	a, err := w.dev.rpc(kinesisService, "GetRecords", encode(w.T, object{"ShardIterator": w.iterator}))
	if err != nil || w.leaked(w.nobody, a, "") == "" {
		w.Errorf("the stream: %v, status %d, no secret is found in it", err, a.status)
	}
}

// sessionOf gives the sync session token of an asker's own data.
func (w *tenants) sessionOf(who *tenant) string {
	w.Helper()
	return who.list(w.T, who.dataset(common)).SyncSessionToken
}

// get is a request without a signature.
func (w *tenants) get(address string) *http.Request {
	w.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		w.Fatal(err)
	}
	return r
}
