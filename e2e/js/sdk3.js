// @aws-sdk 3: the three services.
'use strict';
const assert = require('node:assert/strict');
const I = require('@aws-sdk/client-cognito-identity');
const S = require('@aws-sdk/client-cognito-sync');
const K = require('@aws-sdk/client-kinesis');
const { NodeHttpHandler } = require('@smithy/node-http-handler');
const { settings, run, poll } = require('./cases.js');

const common = { endpoint: settings.endpoint, region: settings.region, maxAttempts: 1 };
const identity = new I.CognitoIdentityClient({ ...common, credentials: settings.developer });
const sync = new S.CognitoSyncClient({ ...common, credentials: settings.developer });
// HTTP/2, the default of this client, is for http2.js.
const kinesis = new K.KinesisClient({ ...common, credentials: settings.developer, requestHandler: new NodeHttpHandler() });
const streamName = 'sdk3-stream';

// fails checks how a call is refused: by the class that the SDK has for it.
async function fails(promise, type, status, message) {
  const e = await promise.then(() => assert.fail(`expected ${type.name}`), (e) => e);
  assert.equal(e.name, type.name);
  assert.ok(e instanceof type, `${e.name} is no ${type.name}`);
  assert.equal(e.$metadata.httpStatusCode, status);
  assert.match(e.message, message);
}

let pool, id, guest;

run({
  async Pool() {
    const made = await identity.send(new I.CreateIdentityPoolCommand({ IdentityPoolName: 'sdk 3', AllowUnauthenticatedIdentities: true }));
    pool = made.IdentityPoolId;
    const { IdentityPools } = await identity.send(new I.ListIdentityPoolsCommand({ MaxResults: 60 }));
    assert.ok(IdentityPools.some((p) => p.IdentityPoolId === pool && p.IdentityPoolName === 'sdk 3'));
    const none = 'us-east-1:00000000-0000-0000-0000-000000000000';
    await fails(identity.send(new I.DescribeIdentityPoolCommand({ IdentityPoolId: none })), I.ResourceNotFoundException, 400, /not found/);
  },

  async Stream() {
    await kinesis.send(new K.CreateStreamCommand({ StreamName: streamName, ShardCount: 2 }));
    const out = await sync.send(new S.SetIdentityPoolConfigurationCommand({
      IdentityPoolId: pool,
      CognitoStreams: { StreamName: streamName, RoleArn: `arn:aws:iam::${settings.account}:role/streams`, StreamingStatus: 'ENABLED' },
    }));
    assert.equal(out.CognitoStreams.StreamingStatus, 'ENABLED');
    const { StreamDescriptionSummary } = await kinesis.send(new K.DescribeStreamSummaryCommand({ StreamName: streamName }));
    assert.equal(StreamDescriptionSummary.OpenShardCount, 2);
    await fails(kinesis.send(new K.CreateStreamCommand({ StreamName: streamName, ShardCount: 2 })), K.ResourceInUseException, 400, /./);
  },

  async Guest() {
    const { IdentityId } = await identity.send(new I.GetIdCommand({ IdentityPoolId: pool }));
    const { Credentials } = await identity.send(new I.GetCredentialsForIdentityCommand({ IdentityId }));
    assert.ok(Credentials.Expiration > new Date());
    id = { IdentityPoolId: pool, IdentityId };
    guest = new S.CognitoSyncClient({
      ...common,
      credentials: { accessKeyId: Credentials.AccessKeyId, secretAccessKey: Credentials.SecretKey, sessionToken: Credentials.SessionToken },
    });
    const none = 'us-east-1:00000000-0000-0000-0000-000000000000';
    await fails(identity.send(new I.GetCredentialsForIdentityCommand({ IdentityId: none })), I.ResourceNotFoundException, 400, /./);
  },

  async Sync() {
    const set = { ...id, DatasetName: 'notes' };
    const { SyncSessionToken } = await guest.send(new S.ListRecordsCommand(set));
    const out = await guest.send(new S.UpdateRecordsCommand({
      ...set, SyncSessionToken,
      RecordPatches: [1, 2, 3].map((n) => ({ Op: 'replace', Key: `k${n}`, Value: `v${n}`, SyncCount: 0 })),
    }));
    assert.deepEqual(out.Records.map((r) => [r.Key, r.Value, r.SyncCount]), [['k1', 'v1', 1], ['k2', 'v2', 1], ['k3', 'v3', 1]]);
    assert.ok(out.Records[0].LastModifiedDate instanceof Date);
    await guest.send(new S.UpdateRecordsCommand({ ...set, SyncSessionToken, RecordPatches: [{ Op: 'remove', Key: 'k2', SyncCount: 1 }] }));
    const delta = await guest.send(new S.ListRecordsCommand({ ...set, LastSyncCount: 1 }));
    assert.deepEqual(delta.Records.map((r) => [r.Key, r.Value ?? null, r.SyncCount]), [['k2', null, 2]]);
  },

  async Pages() {
    const keys = [];
    let NextToken;
    do {
      const page = await sync.send(new S.ListRecordsCommand({ ...id, DatasetName: 'notes', MaxResults: 1, NextToken }));
      keys.push(...page.Records.map((r) => r.Key));
      NextToken = page.NextToken;
    } while (NextToken != null);
    assert.deepEqual(keys, ['k1', 'k3', 'k2']); // by sync count; the last is a tombstone
  },

  async Errors() {
    const set = { ...id, DatasetName: 'notes' };
    const { SyncSessionToken } = await guest.send(new S.ListRecordsCommand(set));
    const patch = { Op: 'replace', Key: 'k1', Value: 'x', SyncCount: 0 };
    const update = (more) => guest.send(new S.UpdateRecordsCommand({ ...set, SyncSessionToken, RecordPatches: [patch], ...more }));
    await fails(update({}), S.ResourceConflictException, 409, /^Current SyncCount for: k1 is: 1 not: 0$/);
    await fails(update({ SyncSessionToken: 'forged' }), S.InvalidParameterException, 400, /SyncSessionToken not valid/);
    const many = Array.from({ length: 1025 }, (_, i) => ({ ...patch, Key: `many${i}` }));
    await fails(update({ RecordPatches: many }), S.LimitExceededException, 400, /./);
    await fails(guest.send(new S.DescribeDatasetCommand({ ...id, DatasetName: 'none' })), S.ResourceNotFoundException, 404, /none/);
    const { IdentityId } = await identity.send(new I.GetIdCommand({ IdentityPoolId: pool }));
    await fails(guest.send(new S.ListDatasetsCommand({ ...id, IdentityId })), S.NotAuthorizedException, 403, /./);
    await fails(guest.send(new S.DescribeIdentityPoolUsageCommand(id)), S.NotAuthorizedException, 403, /./);
  },

  async Usage() {
    await poll(async () => {
      const { IdentityPoolUsage } = await sync.send(new S.DescribeIdentityPoolUsageCommand({ IdentityPoolId: pool }));
      assert.equal(IdentityPoolUsage.DataStorage, 8);
    });
    const { IdentityUsage } = await sync.send(new S.DescribeIdentityUsageCommand(id));
    assert.equal(IdentityUsage.DataStorage, 8);
  },

  async Kinesis() {
    const { Shards } = await kinesis.send(new K.ListShardsCommand({ StreamName: streamName }));
    assert.equal(Shards.length, 2);
    const events = [];
    for (const { ShardId } of Shards) {
      const { ShardIterator } = await kinesis.send(new K.GetShardIteratorCommand({ StreamName: streamName, ShardId, ShardIteratorType: 'TRIM_HORIZON' }));
      const { Records } = await kinesis.send(new K.GetRecordsCommand({ ShardIterator }));
      events.push(...Records.map((r) => JSON.parse(Buffer.from(r.Data).toString())));
    }
    assert.deepEqual(events.map((e) => [e.syncCount, e.kinesisSyncRecords.map((r) => r.op)]), [[1, ['replace', 'replace', 'replace']], [2, ['remove']]]);
    await fails(kinesis.send(new K.GetRecordsCommand({ ShardIterator: 'nonsense' })), K.InvalidArgumentException, 400, /./);
  },
});
