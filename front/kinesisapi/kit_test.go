package kinesisapi_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/awswire"
	"tributary/front/kinesisapi"
	"tributary/internal/enginetest"
)

const (
	account = "123456789012"
	region  = "eu-west-1"
	pool    = tributary.PoolID("eu-west-1:00000000-0000-4000-8000-00000000000a")
	ann     = tributary.IdentityID("eu-west-1:11111111-1111-4111-8111-111111111111")
	bob     = tributary.IdentityID("eu-west-1:22222222-2222-4222-8222-222222222222")

	epoch = tributary.Millis(1_790_000_000_000)
)

// clock is the time of a test, which stands still until it is moved.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time           { return time.UnixMilli(c.at.Load()) }
func (c *clock) millis() tributary.Millis { return tributary.Millis(c.at.Load()) }
func (c *clock) move(by time.Duration)    { c.at.Add(by.Milliseconds()) }

// Keys of callers, by access key id.
var (
	developer = awswire.Credentials{AccessKeyID: "AKIADEVELOPER", SecretKey: "secret"}
	identity  = awswire.Credentials{AccessKeyID: "ASIAIDENTITY", SecretKey: "secret"}
)

func lookup(_ context.Context, id, _ string) (string, tributary.Principal, error) {
	if id == identity.AccessKeyID {
		return identity.SecretKey, tributary.Principal{Pool: pool, Identity: ann}, nil
	}
	return developer.SecretKey, dev(), nil
}

func dev() tributary.Principal {
	return tributary.Principal{Account: account, AccessKey: developer.AccessKeyID}
}

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// kit is a front over a store.
type kit struct {
	testing.TB
	clock  *clock
	store  tributary.Store
	svc    *tributary.Service
	cfg    kinesisapi.Config
	front  http.Handler
	signer *awswire.Signer
}

// newKit makes a front that does not wait, unless edit says so.
func newKit(t testing.TB, edit ...func(*kinesisapi.Config)) *kit {
	t.Helper()
	k := &kit{TB: t, clock: &clock{}}
	k.clock.at.Store(int64(epoch))
	store := enginetest.Open(t, enginetest.Config{Now: k.clock.now})
	sealer, err := tributary.NewSealer(bytes.Repeat([]byte{7}, tributary.MasterKeyLength))
	k.ok(err)
	k.store = store
	k.svc = &tributary.Service{Store: store, Sealer: sealer, Account: account, Now: k.clock.now}
	verifier := &awswire.Verifier[tributary.Principal]{Lookup: lookup, Now: k.clock.now}
	k.cfg = kinesisapi.Config{
		Service: k.svc, Log: store, Sealer: sealer, Authenticate: verifier.Authenticate,
		Region: region, Hold: -1, Now: k.clock.now,
	}
	for _, f := range edit {
		f(&k.cfg)
	}
	k.front = kinesisapi.New(k.cfg)
	k.signer = &awswire.Signer{Credentials: developer, Region: region, Service: "kinesis"}
	return k
}

// in is the kit for a fuzz target.
func (k *kit) in(t *testing.T) *kit {
	out := *k
	out.TB = t
	return &out
}

func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// send calls an operation with a body that is JSON or becomes JSON.
func (k *kit) send(op string, in any) *httptest.ResponseRecorder {
	k.Helper()
	return k.sendCtx(k.Context(), op, in)
}

func (k *kit) sendCtx(ctx context.Context, op string, in any) *httptest.ResponseRecorder {
	k.Helper()
	body, raw := in.(string)
	if !raw {
		b, err := json.Marshal(in)
		k.ok(err)
		body = string(b)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
	k.signer.Sign(r, []byte(body), k.clock.now())
	w := httptest.NewRecorder()
	k.front.ServeHTTP(w, r)
	return w
}

// call is send for an operation that succeeds.
func call[T any](k *kit, op string, in any, opts ...json.Options) T {
	k.Helper()
	w := k.send(op, in)
	var out T
	if w.Code != http.StatusOK {
		k.Fatalf("%s %v: %d %s", op, in, w.Code, w.Body)
	}
	k.ok(json.Unmarshal(w.Body.Bytes(), &out, opts...))
	return out
}

// refused has an operation fail.
func (k *kit) refused(op string, in any, code, text string) {
	k.Helper()
	w := k.send(op, in)
	var out struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	k.ok(json.Unmarshal(w.Body.Bytes(), &out))
	if w.Code/100 != 4 || out.Type != code || !strings.Contains(out.Message, text) {
		k.Errorf("%s %v: %d %s, want %s: %s", op, in, w.Code, w.Body, code, text)
	}
}

// obj is a request.
type obj map[string]any

// The answers, as a client knows them.
type (
	shard struct {
		ShardID      string `json:"ShardId"`
		Parent       string `json:"ParentShardId"`
		Adjacent     string `json:"AdjacentParentShardId"`
		HashKeyRange struct{ StartingHashKey, EndingHashKey string }
		Numbers      struct{ StartingSequenceNumber, EndingSequenceNumber string } `json:"SequenceNumberRange"`
	}
	shards struct {
		Shards    []shard
		NextToken *string
	}
	iteratorOutput struct{ ShardIterator string }
	record         struct {
		SequenceNumber tributary.Position
		Arrived        awswire.Timestamp `json:"ApproximateArrivalTimestamp"`
		Data           []byte
		PartitionKey   string
	}
	records struct {
		Records  []record
		Next     *string `json:"NextShardIterator"`
		Behind   int64   `json:"MillisBehindLatest"`
		Children []struct {
			ShardID      string `json:"ShardId"`
			ParentShards []string
			HashKeyRange struct{ StartingHashKey, EndingHashKey string }
		} `json:"ChildShards"`
	}
)

// stream makes a stream with a pool that writes to it and two identities.
func (k *kit) stream(name tributary.StreamName, n int) tributary.Stream {
	k.Helper()
	ctx := k.Context()
	st, err := k.svc.CreateStream(ctx, dev(), name, n, 0)
	k.ok(err)
	if _, err := k.svc.Pool(ctx, dev(), pool); tributary.KindOf(err) == tributary.NotFound {
		_, err = k.svc.CreatePool(ctx, dev(), tributary.Pool{ID: pool, Name: "p", AllowUnauthenticated: true})
		k.ok(err)
		for _, id := range []tributary.IdentityID{ann, bob} {
			_, err = k.svc.CreateIdentity(ctx, dev(), tributary.Identity{ID: id, Pool: pool})
			k.ok(err)
		}
	}
	_, err = k.svc.ChangePool(ctx, dev(), pool, func(p *tributary.Pool) error {
		return k.svc.SetStream(ctx, p, name, "", true)
	})
	k.ok(err)
	return st
}

// write makes one sync that sets a key.
func (k *kit) write(id tributary.IdentityID, dataset tributary.DatasetName, key, value string) {
	k.Helper()
	ctx := k.Context()
	at := tributary.DatasetKey{Pool: pool, Identity: id, Dataset: dataset}
	list, err := k.svc.ListRecords(ctx, dev(), at, tributary.ListQuery{})
	k.ok(err)
	_, err = k.svc.UpdateRecords(ctx, dev(), at, tributary.Update{
		SessionToken: list.SessionToken,
		Patches:      []tributary.Patch{{Key: key, Value: value, SyncCount: list.SyncCount}},
	})
	k.ok(err)
}

// iterator gets an iterator of a shard.
func (k *kit) iterator(name tributary.StreamName, shard string, more obj) string {
	k.Helper()
	in := obj{"StreamName": name, "ShardId": shard}
	for key, v := range more {
		in[key] = v
	}
	it := call[iteratorOutput](k, "GetShardIterator", in).ShardIterator
	if it == "" || len(it) > 512 {
		k.Fatalf("iterator of %d characters", len(it))
	}
	return it
}

func (k *kit) records(iterator string, limit int) records {
	k.Helper()
	in := obj{"ShardIterator": iterator}
	if limit > 0 {
		in["Limit"] = limit
	}
	return call[records](k, "GetRecords", in, json.RejectUnknownMembers(true))
}

// horizon is the request for an iterator at the horizon.
func horizon() obj { return obj{"ShardIteratorType": "TRIM_HORIZON"} }

// counts gives the records' counts in their shard.
func (k *kit) counts(r records) []uint64 {
	k.Helper()
	out := []uint64{}
	for _, one := range r.Records {
		_, n, err := one.SequenceNumber.Split()
		k.ok(err)
		out = append(out, n)
	}
	return out
}
