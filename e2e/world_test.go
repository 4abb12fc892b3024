package e2e

import (
	"net/url"
	"testing"
)

// dataset names a dataset on the wire.
type dataset struct{ pool, identity, name string }

func (d dataset) path() string {
	return "/identitypools/" + url.PathEscape(d.pool) + "/identities/" + url.PathEscape(d.identity) + "/datasets/" + url.PathEscape(d.name)
}

func identityPath(pool, identity string) string {
	return "/identitypools/" + url.PathEscape(pool) + "/identities/" + url.PathEscape(identity)
}

// record is a record as ListRecords and UpdateRecords show it.
type record struct {
	Key                    string
	Value                  *string
	SyncCount              int64
	LastModifiedDate       float64
	LastModifiedBy         string
	DeviceLastModifiedDate float64
}

type listing struct {
	Records          []record
	NextToken        *string
	Count            int
	DatasetSyncCount int64
	DatasetExists    bool
	SyncSessionToken string
}

type patch struct {
	Op        string
	Key       string
	Value     *string `json:",omitempty"`
	SyncCount int64
}

func replace(key, value string, count int64) patch {
	return patch{Op: "replace", Key: key, Value: &value, SyncCount: count}
}

func remove(key string, count int64) patch { return patch{Op: "remove", Key: key, SyncCount: count} }

type update struct {
	SyncSessionToken string
	RecordPatches    []patch
}

// newPool makes a pool that allows guests.
func (c *caller) newPool(t *testing.T, name string) string {
	t.Helper()
	var out struct{ IdentityPoolId string }
	c.call(t, identityService, "CreateIdentityPool", object{"IdentityPoolName": name, "AllowUnauthenticatedIdentities": true}, &out)
	return out.IdentityPoolId
}

// newStream makes a stream and sends a pool's changes there.
func (c *caller) newStream(t *testing.T, pool, stream string, shards int) {
	t.Helper()
	c.call(t, kinesisService, "CreateStream", object{"StreamName": stream, "ShardCount": shards}, nil)
	c.rest(t, "POST", "/identitypools/"+url.PathEscape(pool)+"/configuration", object{"CognitoStreams": object{
		"StreamName": stream, "RoleArn": "arn:aws:iam::" + account + ":role/streams", "StreamingStatus": "ENABLED",
	}}, nil)
}

// guest is an identity without a login, and its own credentials.
type guest struct {
	*caller
	pool, identity    string
	id, secret, token string
}

// newGuest makes an identity in a pool.
func (c *caller) newGuest(t *testing.T, pool string) guest {
	t.Helper()
	g := guest{pool: pool}
	var id struct{ IdentityId string }
	c.call(t, identityService, "GetId", object{"IdentityPoolId": pool}, &id)
	g.identity = id.IdentityId
	var out struct {
		Credentials struct {
			AccessKeyId, SecretKey, SessionToken string
			Expiration                           float64
		}
	}
	c.call(t, identityService, "GetCredentialsForIdentity", object{"IdentityId": g.identity}, &out)
	g.id, g.secret, g.token = out.Credentials.AccessKeyId, out.Credentials.SecretKey, out.Credentials.SessionToken
	g.caller = newCaller(c.url, g.id, g.secret, g.token)
	return g
}

// dataset names one of the guest's own datasets.
func (g *guest) dataset(name string) dataset { return dataset{g.pool, g.identity, name} }

// list lists all records of a dataset, tombstones included.
func (c *caller) list(t *testing.T, d dataset) listing {
	t.Helper()
	var out listing
	c.rest(t, "GET", d.path()+"/records?lastSyncCount=0", nil, &out)
	if out.NextToken != nil {
		t.Fatalf("a list without maxResults has a second page")
	}
	return out
}

// sync lists a dataset and sends patches, which must be taken.
func (c *caller) sync(t *testing.T, d dataset, patches ...patch) []record {
	t.Helper()
	var out struct{ Records []record }
	c.rest(t, "POST", d.path(), update{c.list(t, d).SyncSessionToken, patches}, &out)
	if len(out.Records) != len(patches) {
		t.Fatalf("%d patches gave %d records", len(patches), len(out.Records))
	}
	return out.Records
}
