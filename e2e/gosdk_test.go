package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	credentials2 "github.com/aws/aws-sdk-go-v2/credentials"
	identity2 "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	identitytypes "github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"
	kinesis2 "github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	aws1 "github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	identity1 "github.com/aws/aws-sdk-go/service/cognitoidentity"
	"github.com/aws/aws-sdk-go/service/cognitosync"
	kinesis1 "github.com/aws/aws-sdk-go/service/kinesis"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// sessionV1 is a session of AWS's SDK for Go 1 that takes nothing from this machine.
func sessionV1(t *testing.T, url, id, secret, token string) *session.Session {
	t.Helper()
	t.Setenv("AWS_CA_BUNDLE", "")
	t.Setenv("AWS_SDK_LOAD_CONFIG", "")
	s, err := session.NewSessionWithOptions(session.Options{
		SharedConfigState: session.SharedConfigDisable,
		Config: aws1.Config{Endpoint: aws1.String(url), Region: aws1.String(region),
			Credentials: credentials.NewStaticCredentials(id, secret, token)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// requestError is an error of the first SDK, which tells its own status.
type requestError interface {
	awserr.Error
	StatusCode() int
	RequestID() string
}

// wantErrorV1 checks that an error is of the SDK's type E, with a status and a
// text in its message.
func wantErrorV1[E requestError](t *testing.T, err error, status int, text string) {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Errorf("error %T: %v; expected %T", err, err, e)
		return
	}
	if e.StatusCode() != status || !strings.Contains(e.Message(), text) || e.RequestID() == "" {
		t.Errorf("%T: status %d, request %q: %q; expected %d: %q", e, e.StatusCode(), e.RequestID(), e.Message(), status, text)
	}
}

// must gives a result, or ends the test.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		return v
	}
}

// syncV1 is the sync client of one caller, on one dataset.
type syncV1 struct {
	*testing.T
	client *cognitosync.CognitoSync
	d      dataset
}

func (c *syncV1) list(since int64) *cognitosync.ListRecordsOutput {
	c.Helper()
	return must[*cognitosync.ListRecordsOutput](c.T)(c.client.ListRecords(&cognitosync.ListRecordsInput{
		IdentityPoolId: &c.d.pool, IdentityId: &c.d.identity, DatasetName: &c.d.name, LastSyncCount: &since}))
}

func (c *syncV1) update(token *string, patches ...*cognitosync.RecordPatch) (*cognitosync.UpdateRecordsOutput, error) {
	return c.client.UpdateRecords(&cognitosync.UpdateRecordsInput{
		IdentityPoolId: &c.d.pool, IdentityId: &c.d.identity, DatasetName: &c.d.name, SyncSessionToken: token, RecordPatches: patches})
}

func patchV1(op, key string, value *string, count int64) *cognitosync.RecordPatch {
	device := time.UnixMilli(1524113410528)
	return &cognitosync.RecordPatch{Op: &op, Key: &key, Value: value, SyncCount: &count, DeviceLastModifiedDate: &device}
}

func showV1(records []*cognitosync.Record) string {
	var out []string
	for _, r := range records {
		value := "nothing"
		if r.Value != nil {
			value = *r.Value
		}
		out = append(out, fmt.Sprintf("%s=%s at %d", aws1.StringValue(r.Key), value, aws1.Int64Value(r.SyncCount)))
	}
	return strings.Join(out, ", ")
}

// TestGoSDKv1 walks through the services with AWS's SDK for Go 1.
func TestGoSDKv1(t *testing.T) {
	s := startServer(t)
	k := s.key()
	dev := sessionV1(t, s.url, k.id, k.secret, "")
	const stream = "go-sdk-v1"

	ids := identity1.New(dev)
	pool := must[*identity1.IdentityPool](t)(ids.CreateIdentityPool(&identity1.CreateIdentityPoolInput{
		IdentityPoolName: aws1.String("go sdk"), AllowUnauthenticatedIdentities: aws1.Bool(true)}))
	id := must[*identity1.GetIdOutput](t)(ids.GetId(&identity1.GetIdInput{IdentityPoolId: pool.IdentityPoolId}))
	c := must[*identity1.GetCredentialsForIdentityOutput](t)(ids.GetCredentialsForIdentity(&identity1.GetCredentialsForIdentityInput{IdentityId: id.IdentityId})).Credentials
	if left := time.Until(*c.Expiration); left < 50*time.Minute || left > 70*time.Minute {
		t.Errorf("the credentials are good for %v", left)
	}
	guest := sessionV1(t, s.url, *c.AccessKeyId, *c.SecretKey, *c.SessionToken)
	d := dataset{*pool.IdentityPoolId, *id.IdentityId, "notes"}

	kin := kinesis1.New(dev)
	must[*kinesis1.CreateStreamOutput](t)(kin.CreateStream(&kinesis1.CreateStreamInput{StreamName: aws1.String(stream), ShardCount: aws1.Int64(1)}))
	if err := kin.WaitUntilStreamExists(&kinesis1.DescribeStreamInput{StreamName: aws1.String(stream)}); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		run  func(*testing.T)
	}{
		{"Configuration", func(t *testing.T) { testGoConfigurationV1(t, cognitosync.New(dev), d.pool, stream) }},
		{"Records", func(t *testing.T) { testGoRecordsV1(t, &syncV1{t, cognitosync.New(guest), d}) }},
		{"Errors", func(t *testing.T) { testGoSyncErrorsV1(t, &syncV1{t, cognitosync.New(guest), d}, ids) }},
		{"IdentityErrors", func(t *testing.T) { testGoIdentityErrorsV1(t, ids, identity1.New(guest)) }},
		{"Datasets", func(t *testing.T) { testGoDatasetsV1(t, &syncV1{t, cognitosync.New(dev), d}) }},
		{"Kinesis", func(t *testing.T) { testGoKinesisV1(t, kin, stream, d) }},
	}
	for _, step := range steps {
		if !t.Run(step.name, step.run) {
			return // the next step stands on this one
		}
	}
}

func testGoConfigurationV1(t *testing.T, client *cognitosync.CognitoSync, pool, stream string) {
	want := &cognitosync.CognitoStreams{StreamName: &stream, RoleArn: aws1.String("arn:aws:iam::" + account + ":role/streams"), StreamingStatus: aws1.String("ENABLED")}
	set := must[*cognitosync.SetIdentityPoolConfigurationOutput](t)(client.SetIdentityPoolConfiguration(
		&cognitosync.SetIdentityPoolConfigurationInput{IdentityPoolId: &pool, CognitoStreams: want}))
	got := must[*cognitosync.GetIdentityPoolConfigurationOutput](t)(client.GetIdentityPoolConfiguration(
		&cognitosync.GetIdentityPoolConfigurationInput{IdentityPoolId: &pool}))
	if set.CognitoStreams.String() != want.String() || got.CognitoStreams.String() != want.String() || *got.IdentityPoolId != pool {
		t.Errorf("set gave %v, get %v", set, got)
	}
	_, err := client.SetIdentityPoolConfiguration(&cognitosync.SetIdentityPoolConfigurationInput{IdentityPoolId: &pool,
		CognitoStreams: &cognitosync.CognitoStreams{StreamName: aws1.String("none"), RoleArn: want.RoleArn, StreamingStatus: want.StreamingStatus}})
	wantErrorV1[*cognitosync.InvalidParameterException](t, err, 400, "none")
}

func testGoRecordsV1(t *testing.T, c *syncV1) {
	empty := c.list(0)
	if *empty.DatasetExists || *empty.DatasetSyncCount != 0 || empty.Records == nil || empty.NextToken != nil {
		t.Errorf("a dataset never written: %v", empty)
	}
	before := time.Now().Add(-time.Minute)
	first := must[*cognitosync.UpdateRecordsOutput](t)(c.update(empty.SyncSessionToken,
		patchV1("replace", "color", aws1.String("blue"), 0), patchV1("replace", "size 📏", aws1.String(""), 0)))
	if show := showV1(first.Records); show != "color=blue at 1, size 📏= at 1" {
		t.Errorf("records %s", show)
	}
	r := first.Records[0]
	if !r.DeviceLastModifiedDate.Equal(time.UnixMilli(1524113410528)) && !r.DeviceLastModifiedDate.Equal(time.Unix(1524113410, 0)) {
		t.Errorf("device date %v", r.DeviceLastModifiedDate)
	}
	if r.LastModifiedDate.Before(before) || r.LastModifiedDate.After(time.Now().Add(time.Minute)) {
		t.Errorf("date %v", r.LastModifiedDate)
	}
	must[*cognitosync.UpdateRecordsOutput](t)(c.update(c.list(1).SyncSessionToken, patchV1("remove", "color", nil, 1)))
	l := c.list(1)
	if show := showV1(l.Records); show != "color=nothing at 2" || *l.DatasetSyncCount != 2 || !*l.DatasetExists || *l.Count != 1 {
		t.Errorf("records %s of %v", show, l)
	}
}

func testGoSyncErrorsV1(t *testing.T, c *syncV1, ids *identity1.CognitoIdentity) {
	token := c.list(0).SyncSessionToken
	_, err := c.update(token, patchV1("replace", "size 📏", aws1.String("11"), 0))
	wantErrorV1[*cognitosync.ResourceConflictException](t, err, 409, "Current SyncCount for: size 📏 is: 1 not: 0")
	_, err = c.update(aws1.String("none"), patchV1("replace", "new", aws1.String("1"), 0))
	wantErrorV1[*cognitosync.InvalidParameterException](t, err, 400, "SyncSessionToken not valid for these inputs")
	_, err = c.update(token, patchV1("replace", "new", aws1.String(strings.Repeat("x", 1<<20)), 0))
	wantErrorV1[*cognitosync.LimitExceededException](t, err, 400, "")
	_, err = c.client.DescribeDataset(&cognitosync.DescribeDatasetInput{IdentityPoolId: &c.d.pool, IdentityId: &c.d.identity, DatasetName: aws1.String("none")})
	wantErrorV1[*cognitosync.ResourceNotFoundException](t, err, 404, "none")
	other := must[*identity1.GetIdOutput](t)(ids.GetId(&identity1.GetIdInput{IdentityPoolId: &c.d.pool}))
	_, err = c.client.ListDatasets(&cognitosync.ListDatasetsInput{IdentityPoolId: &c.d.pool, IdentityId: other.IdentityId})
	wantErrorV1[*cognitosync.NotAuthorizedException](t, err, 403, "")
	_, err = c.client.DescribeIdentityPoolUsage(&cognitosync.DescribeIdentityPoolUsageInput{IdentityPoolId: &c.d.pool})
	wantErrorV1[*cognitosync.NotAuthorizedException](t, err, 403, "")
	_, err = c.client.BulkPublish(&cognitosync.BulkPublishInput{IdentityPoolId: aws1.String("nonsense")})
	if err == nil {
		t.Error("BulkPublish of nonsense succeeded")
	}
}

func testGoIdentityErrorsV1(t *testing.T, ids, guest *identity1.CognitoIdentity) {
	none := aws1.String(region + ":00000000-0000-4000-8000-000000000000")
	_, err := ids.GetId(&identity1.GetIdInput{IdentityPoolId: none})
	wantErrorV1[*identity1.ResourceNotFoundException](t, err, 400, "IdentityPool '"+*none+"' not found.")
	_, err = ids.GetCredentialsForIdentity(&identity1.GetCredentialsForIdentityInput{IdentityId: none})
	wantErrorV1[*identity1.ResourceNotFoundException](t, err, 400, "Identity '"+*none+"' not found.")
	_, err = guest.ListIdentityPools(&identity1.ListIdentityPoolsInput{MaxResults: aws1.Int64(10)})
	wantErrorV1[*identity1.NotAuthorizedException](t, err, 400, "")
	closed := must[*identity1.IdentityPool](t)(ids.CreateIdentityPool(&identity1.CreateIdentityPoolInput{
		IdentityPoolName: aws1.String("closed"), AllowUnauthenticatedIdentities: aws1.Bool(false)}))
	_, err = ids.GetId(&identity1.GetIdInput{IdentityPoolId: closed.IdentityPoolId})
	wantErrorV1[*identity1.NotAuthorizedException](t, err, 400, "Unauthenticated access is not supported for this identity pool.")
}

func testGoDatasetsV1(t *testing.T, c *syncV1) {
	l := must[*cognitosync.ListDatasetsOutput](t)(c.client.ListDatasets(&cognitosync.ListDatasetsInput{IdentityPoolId: &c.d.pool, IdentityId: &c.d.identity}))
	if len(l.Datasets) != 1 || *l.Count != 1 || *l.Datasets[0].DatasetName != "notes" || *l.Datasets[0].NumRecords != 1 || l.NextToken != nil {
		t.Errorf("datasets %v", l)
	}
	u := must[*cognitosync.DescribeIdentityUsageOutput](t)(c.client.DescribeIdentityUsage(
		&cognitosync.DescribeIdentityUsageInput{IdentityPoolId: &c.d.pool, IdentityId: &c.d.identity})).IdentityUsage
	if *u.DatasetCount != 1 || *u.DataStorage != *l.Datasets[0].DataStorage {
		t.Errorf("usage %v of %v", u, l)
	}
	gone := must[*cognitosync.DeleteDatasetOutput](t)(c.client.DeleteDataset(
		&cognitosync.DeleteDatasetInput{IdentityPoolId: &c.d.pool, IdentityId: &c.d.identity, DatasetName: &c.d.name}))
	if *gone.Dataset.DatasetName != "notes" {
		t.Errorf("deleted %v", gone)
	}
	_, err := c.client.DeleteDataset(&cognitosync.DeleteDatasetInput{IdentityPoolId: &c.d.pool, IdentityId: &c.d.identity, DatasetName: &c.d.name})
	wantErrorV1[*cognitosync.ResourceNotFoundException](t, err, 404, "notes")
	if after := c.list(2); *after.DatasetExists || !*after.DatasetDeletedAfterRequestedSyncCount {
		t.Errorf("a deleted dataset: %v", after)
	}
}

func testGoKinesisV1(t *testing.T, client *kinesis1.Kinesis, stream string, d dataset) {
	shards := must[*kinesis1.ListShardsOutput](t)(client.ListShards(&kinesis1.ListShardsInput{StreamName: &stream})).Shards
	if len(shards) != 1 {
		t.Fatalf("shards %v", shards)
	}
	it := must[*kinesis1.GetShardIteratorOutput](t)(client.GetShardIterator(&kinesis1.GetShardIteratorInput{
		StreamName: &stream, ShardId: shards[0].ShardId, ShardIteratorType: aws1.String(kinesis1.ShardIteratorTypeTrimHorizon)})).ShardIterator
	page := must[*kinesis1.GetRecordsOutput](t)(client.GetRecords(&kinesis1.GetRecordsInput{ShardIterator: it, Limit: aws1.Int64(2)}))
	records := page.Records
	if len(records) != 2 || *page.MillisBehindLatest == 0 {
		t.Fatalf("a page of 2: %v", page)
	}
	page = must[*kinesis1.GetRecordsOutput](t)(client.GetRecords(&kinesis1.GetRecordsInput{ShardIterator: page.NextShardIterator}))
	records = append(records, page.Records...)
	var have []string
	for _, r := range records {
		var e event
		decode(t, r.Data, &e)
		have = append(have, fmt.Sprintf("%s %d with %d records", e.Operation, e.SyncCount, len(e.KinesisSyncRecords)))
		if *r.PartitionKey != d.identity || e.IdentityID != d.identity || time.Since(*r.ApproximateArrivalTimestamp).Abs() > time.Minute {
			t.Errorf("record %v", r)
		}
	}
	if want := []string{"replace 1 with 2 records", "replace 2 with 1 records", "remove 3 with 0 records"}; !slices.Equal(have, want) {
		t.Errorf("events %q, expected %q", have, want)
	}
	_, err := client.DescribeStream(&kinesis1.DescribeStreamInput{StreamName: aws1.String("none")})
	wantErrorV1[*kinesis1.ResourceNotFoundException](t, err, 400, "Stream none under account "+account+" not found.")
	_, err = client.CreateStream(&kinesis1.CreateStreamInput{StreamName: &stream, ShardCount: aws1.Int64(1)})
	wantErrorV1[*kinesis1.ResourceInUseException](t, err, 400, stream)
	_, err = client.GetRecords(&kinesis1.GetRecordsInput{ShardIterator: aws1.String("nonsense")})
	wantErrorV1[*kinesis1.InvalidArgumentException](t, err, 400, "")
}

// configV2 is a configuration of AWS's SDK for Go 2 that takes nothing from this machine.
func configV2(t *testing.T, url, id, secret, token string) aws.Config {
	t.Helper()
	t.Setenv("AWS_CA_BUNDLE", "")
	c, err := config.LoadDefaultConfig(t.Context(), config.WithSharedConfigFiles([]string{}), config.WithSharedCredentialsFiles([]string{}),
		config.WithRegion(region), config.WithBaseEndpoint(url), config.WithCredentialsProvider(credentials2.NewStaticCredentialsProvider(id, secret, token)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantErrorV2 checks that an error is of the SDK's type E, with status 400 and
// a text.
func wantErrorV2[E error](t *testing.T, err error, text string) {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Errorf("error %T: %v; expected %T", err, err, e)
		return
	}
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.HTTPStatusCode() != 400 || !strings.Contains(e.Error(), text) {
		t.Errorf("%v; expected status 400: %q", err, text)
	}
}

// TestGoSDKv2Identity walks through pools and identities with AWS's SDK for Go 2.
func TestGoSDKv2Identity(t *testing.T) {
	s := startServer(t)
	k := s.key()
	ctx := t.Context()
	dev := identity2.NewFromConfig(configV2(t, s.url, k.id, k.secret, ""))
	var pools []string
	for i := range 5 {
		pool := must[*identity2.CreateIdentityPoolOutput](t)(dev.CreateIdentityPool(ctx, &identity2.CreateIdentityPoolInput{
			IdentityPoolName: aws.String(fmt.Sprintf("pool %d", i)), AllowUnauthenticatedIdentities: i == 0}))
		pools = append(pools, *pool.IdentityPoolId)
	}
	var listed []string
	for p := identity2.NewListIdentityPoolsPaginator(dev, &identity2.ListIdentityPoolsInput{MaxResults: aws.Int32(2)}); p.HasMorePages(); {
		page := must[*identity2.ListIdentityPoolsOutput](t)(p.NextPage(ctx))
		for _, x := range page.IdentityPools {
			listed = append(listed, *x.IdentityPoolId)
		}
	}
	slices.Sort(listed)
	if want := slices.Sorted(slices.Values(pools)); !slices.Equal(listed, want) {
		t.Errorf("pools %q, expected %q", listed, want)
	}
	id := must[*identity2.GetIdOutput](t)(dev.GetId(ctx, &identity2.GetIdInput{IdentityPoolId: &pools[0]})).IdentityId
	c := must[*identity2.GetCredentialsForIdentityOutput](t)(dev.GetCredentialsForIdentity(ctx, &identity2.GetCredentialsForIdentityInput{IdentityId: id}))
	if *c.IdentityId != *id || time.Until(*c.Credentials.Expiration) < 50*time.Minute {
		t.Errorf("credentials of %s until %v", *c.IdentityId, c.Credentials.Expiration)
	}
	one := must[*identity2.DescribeIdentityOutput](t)(dev.DescribeIdentity(ctx, &identity2.DescribeIdentityInput{IdentityId: id}))
	all := must[*identity2.ListIdentitiesOutput](t)(dev.ListIdentities(ctx, &identity2.ListIdentitiesInput{IdentityPoolId: &pools[0], MaxResults: aws.Int32(60)}))
	if len(all.Identities) != 1 || *all.Identities[0].IdentityId != *id || !one.CreationDate.Equal(*all.Identities[0].CreationDate) {
		t.Errorf("identity %v, list %v", one, all)
	}
	guest := identity2.NewFromConfig(configV2(t, s.url, *c.Credentials.AccessKeyId, *c.Credentials.SecretKey, *c.Credentials.SessionToken))
	testGoIdentityErrorsV2(t, dev, guest, pools[1])
	must[*identity2.DeleteIdentityPoolOutput](t)(dev.DeleteIdentityPool(ctx, &identity2.DeleteIdentityPoolInput{IdentityPoolId: &pools[1]}))
	_, err := dev.DescribeIdentityPool(ctx, &identity2.DescribeIdentityPoolInput{IdentityPoolId: &pools[1]})
	wantErrorV2[*identitytypes.ResourceNotFoundException](t, err, "IdentityPool '"+pools[1]+"' not found.")
}

func testGoIdentityErrorsV2(t *testing.T, dev, guest *identity2.Client, closed string) {
	t.Helper()
	ctx := t.Context()
	_, err := dev.GetId(ctx, &identity2.GetIdInput{IdentityPoolId: &closed})
	wantErrorV2[*identitytypes.NotAuthorizedException](t, err, "Unauthenticated access is not supported for this identity pool.")
	_, err = guest.ListIdentityPools(ctx, &identity2.ListIdentityPoolsInput{MaxResults: aws.Int32(10)})
	wantErrorV2[*identitytypes.NotAuthorizedException](t, err, "")
	_, err = dev.ListIdentityPools(ctx, &identity2.ListIdentityPoolsInput{MaxResults: aws.Int32(61)})
	wantErrorV2[*identitytypes.InvalidParameterException](t, err, "maxResults")
	_, err = dev.GetCredentialsForIdentity(ctx, &identity2.GetCredentialsForIdentityInput{IdentityId: aws.String(region + ":00000000-0000-4000-8000-000000000000")})
	wantErrorV2[*identitytypes.ResourceNotFoundException](t, err, "not found.")
}

// TestGoSDKv2Kinesis reads a stream of several shards with AWS's SDK for Go 2.
func TestGoSDKv2Kinesis(t *testing.T) {
	s := startServer(t)
	k := s.key()
	ctx := t.Context()
	client := kinesis2.NewFromConfig(configV2(t, s.url, k.id, k.secret, ""))
	const stream = "go-sdk-v2"
	must[*kinesis2.CreateStreamOutput](t)(client.CreateStream(ctx, &kinesis2.CreateStreamInput{StreamName: aws.String(stream), ShardCount: aws.Int32(3)}))
	if err := kinesis2.NewStreamExistsWaiter(client).Wait(ctx, &kinesis2.DescribeStreamInput{StreamName: aws.String(stream)}, time.Minute); err != nil {
		t.Fatal(err)
	}
	dev := s.developer()
	pool := dev.newPool(t, "go-sdk-v2")
	dev.newStreamFor(t, pool, stream)
	var want []string
	for range 6 {
		g := dev.newGuest(t, pool)
		for n := range int64(3) {
			g.sync(t, g.dataset("notes"), replace("k", fmt.Sprint(n), n))
			want = append(want, fmt.Sprintf("%s %d", g.identity, n+1))
		}
	}
	sum := must[*kinesis2.DescribeStreamSummaryOutput](t)(client.DescribeStreamSummary(ctx, &kinesis2.DescribeStreamSummaryInput{StreamName: aws.String(stream)})).StreamDescriptionSummary
	if sum.StreamStatus != kinesistypes.StreamStatusActive || *sum.OpenShardCount != 3 {
		t.Errorf("summary %+v", sum)
	}
	var have []string
	for in := (&kinesis2.ListShardsInput{StreamARN: sum.StreamARN, MaxResults: aws.Int32(2)}); in != nil; {
		page := must[*kinesis2.ListShardsOutput](t)(client.ListShards(ctx, in))
		for _, shard := range page.Shards {
			have = append(have, readShardV2(t, client, *sum.StreamARN, *shard.ShardId)...)
		}
		in = nil
		if page.NextToken != nil {
			in = &kinesis2.ListShardsInput{NextToken: page.NextToken, MaxResults: aws.Int32(2)}
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("events %q, expected %q", have, want)
	}
	testGoKinesisErrorsV2(t, client, stream)
}

// newStreamFor sends a pool's changes to a stream that is there already.
func (c *caller) newStreamFor(t *testing.T, pool, stream string) {
	t.Helper()
	c.rest(t, "POST", "/identitypools/"+pool+"/configuration", object{"CognitoStreams": object{
		"StreamName": stream, "RoleArn": "arn:aws:iam::" + account + ":role/streams", "StreamingStatus": "ENABLED"}}, nil)
}

// readShardV2 reads a shard in pages of two, then once more from each place
// that an iterator can begin at.
func readShardV2(t *testing.T, client *kinesis2.Client, arn, shard string) []string {
	t.Helper()
	from := func(in kinesis2.GetShardIteratorInput) []kinesistypes.Record {
		in.StreamARN, in.ShardId = &arn, &shard
		return readAllV2(t.Context(), t, client, &in)
	}
	all := from(kinesis2.GetShardIteratorInput{ShardIteratorType: kinesistypes.ShardIteratorTypeTrimHorizon})
	var out []string
	for _, r := range all {
		var e event
		if err := json.Unmarshal(r.Data, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", e.IdentityID, e.SyncCount))
	}
	if n := len(from(kinesis2.GetShardIteratorInput{ShardIteratorType: kinesistypes.ShardIteratorTypeLatest})); n != 0 {
		t.Errorf("%s: LATEST shows %d records", shard, n)
	}
	for _, c := range []struct {
		name string
		in   kinesis2.GetShardIteratorInput
		want int // how many of the first records are not shown
	}{
		{"AT_SEQUENCE_NUMBER", kinesis2.GetShardIteratorInput{ShardIteratorType: kinesistypes.ShardIteratorTypeAtSequenceNumber}, 1},
		{"AFTER_SEQUENCE_NUMBER", kinesis2.GetShardIteratorInput{ShardIteratorType: kinesistypes.ShardIteratorTypeAfterSequenceNumber}, 2},
		{"AT_TIMESTAMP", kinesis2.GetShardIteratorInput{ShardIteratorType: kinesistypes.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(time.Now().Add(-time.Hour))}, 0},
	} {
		if len(all) < 2 {
			break // no guest fell into this shard
		}
		if c.in.Timestamp == nil {
			c.in.StartingSequenceNumber = all[1].SequenceNumber
		}
		have, want := from(c.in), all[c.want:]
		if !slices.EqualFunc(have, want, func(a, b kinesistypes.Record) bool {
			return *a.SequenceNumber == *b.SequenceNumber && *a.PartitionKey == *b.PartitionKey && bytes.Equal(a.Data, b.Data)
		}) {
			t.Errorf("%s, %s: %d records, expected %d", shard, c.name, len(have), len(want))
		}
	}
	return out
}

func readAllV2(ctx context.Context, t *testing.T, client *kinesis2.Client, in *kinesis2.GetShardIteratorInput) []kinesistypes.Record {
	t.Helper()
	it := must[*kinesis2.GetShardIteratorOutput](t)(client.GetShardIterator(ctx, in)).ShardIterator
	var all []kinesistypes.Record
	for {
		page := must[*kinesis2.GetRecordsOutput](t)(client.GetRecords(ctx, &kinesis2.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(2)}))
		all = append(all, page.Records...)
		if *page.MillisBehindLatest == 0 {
			return all
		}
		it = page.NextShardIterator
	}
}

func testGoKinesisErrorsV2(t *testing.T, client *kinesis2.Client, stream string) {
	t.Helper()
	ctx := t.Context()
	_, err := client.CreateStream(ctx, &kinesis2.CreateStreamInput{StreamName: &stream})
	wantErrorV2[*kinesistypes.ResourceInUseException](t, err, stream)
	_, err = client.GetShardIterator(ctx, &kinesis2.GetShardIteratorInput{StreamName: &stream, ShardId: aws.String("shardId-000000000009"), ShardIteratorType: "LATEST"})
	wantErrorV2[*kinesistypes.ResourceNotFoundException](t, err, "shardId-000000000009")
	_, err = client.GetShardIterator(ctx, &kinesis2.GetShardIteratorInput{StreamName: &stream, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: "NONE"})
	wantErrorV2[*kinesistypes.InvalidArgumentException](t, err, "NONE")
	must[*kinesis2.DeleteStreamOutput](t)(client.DeleteStream(ctx, &kinesis2.DeleteStreamInput{StreamName: aws.String("go-sdk-v2")}))
	_, err = client.DescribeStreamSummary(ctx, &kinesis2.DescribeStreamSummaryInput{StreamName: &stream})
	wantErrorV2[*kinesistypes.ResourceNotFoundException](t, err, "Stream "+stream+" under account "+account+" not found.")
}
