// aws-sdk 2: the three services, and the credentials provider for guests.
'use strict';
const assert = require('node:assert/strict');
const AWS = require('aws-sdk');
const { settings, run } = require('./cases.js');

const common = { endpoint: settings.endpoint, region: settings.region, maxRetries: 0 };
const asDeveloper = { ...common, credentials: new AWS.Credentials(settings.developer) };
const identity = new AWS.CognitoIdentity(asDeveloper);
const sync = new AWS.CognitoSync(asDeveloper);
const kinesis = new AWS.Kinesis(asDeveloper);
const streamName = 'sdk2-stream';

// fails checks how a call is refused.
async function fails(request, code, status, message) {
  const e = await request.promise().then(() => assert.fail(`expected ${code}`), (e) => e);
  assert.equal(e.code, code);
  assert.equal(e.statusCode, status);
  assert.match(e.message, message);
  assert.ok(e.requestId, 'no request id');
}

let pool, id, guest;

run({
  async Pool() {
    const made = await identity.createIdentityPool({ IdentityPoolName: 'sdk 2', AllowUnauthenticatedIdentities: true, IdentityPoolTags: { a: 'b' } }).promise();
    pool = made.IdentityPoolId;
    const shown = await identity.describeIdentityPool({ IdentityPoolId: pool }).promise();
    assert.equal(shown.IdentityPoolName, 'sdk 2');
    assert.deepEqual(shown.IdentityPoolTags, { a: 'b' });
    await fails(identity.describeIdentityPool({ IdentityPoolId: 'us-east-1:00000000-0000-0000-0000-000000000000' }), 'ResourceNotFoundException', 400, /not found/);
    await fails(identity.createIdentityPool({ IdentityPoolName: '<>', AllowUnauthenticatedIdentities: true }), 'InvalidParameterException', 400, /./);
  },

  async Stream() {
    await kinesis.createStream({ StreamName: streamName, ShardCount: 1 }).promise();
    const set = await sync.setIdentityPoolConfiguration({
      IdentityPoolId: pool,
      CognitoStreams: { StreamName: streamName, RoleArn: `arn:aws:iam::${settings.account}:role/streams`, StreamingStatus: 'ENABLED' },
    }).promise();
    assert.equal(set.CognitoStreams.StreamName, streamName);
    await fails(kinesis.describeStream({ StreamName: 'none' }), 'ResourceNotFoundException', 400, /none/);
  },

  async GuestCredentials() {
    const provider = new AWS.CognitoIdentityCredentials({ IdentityPoolId: pool }, common);
    await provider.getPromise();
    id = { IdentityPoolId: pool, IdentityId: provider.identityId };
    assert.match(provider.identityId, /^us-east-1:[0-9a-f-]{36}$/);
    assert.ok(provider.sessionToken && provider.expireTime > new Date(Date.now() + 45 * 60_000));
    guest = new AWS.CognitoSync({ ...common, credentials: provider });
    await provider.refreshPromise();
    assert.equal(provider.identityId, id.IdentityId);
  },

  async Sync() {
    const set = { ...id, DatasetName: 'notes' };
    const before = await guest.listRecords(set).promise();
    assert.equal(before.DatasetExists, false);
    assert.deepEqual(before.Records, []);
    assert.equal(before.DatasetSyncCount, 0);
    const device = new Date(1_700_000_000_000);
    const out = await guest.updateRecords({
      ...set, SyncSessionToken: before.SyncSessionToken,
      RecordPatches: [
        { Op: 'replace', Key: 'color', Value: 'blåu "x" 😀', SyncCount: 0, DeviceLastModifiedDate: device },
        { Op: 'replace', Key: 'size', Value: '10', SyncCount: 0 },
      ],
    }).promise();
    assert.deepEqual(out.Records.map((r) => [r.Key, r.Value, r.SyncCount]), [['color', 'blåu "x" 😀', 1], ['size', '10', 1]]);
    assert.equal(out.Records[0].DeviceLastModifiedDate.getTime(), device.getTime());
    assert.ok(Math.abs(out.Records[0].LastModifiedDate.getTime() - Date.now()) < 60_000);
    assert.equal(out.Records[0].LastModifiedBy, id.IdentityId);
    const after = await sync.listRecords(set).promise();
    assert.equal(after.DatasetSyncCount, 1);
    assert.equal(after.Count, 2);
    assert.equal(after.DatasetDeletedAfterRequestedSyncCount, false);
  },

  async Errors() {
    const set = { ...id, DatasetName: 'notes' };
    const { SyncSessionToken } = await guest.listRecords(set).promise();
    const patch = (SyncCount) => ({ ...set, SyncSessionToken, RecordPatches: [{ Op: 'replace', Key: 'color', Value: 'red', SyncCount }] });
    await fails(guest.updateRecords(patch(0)), 'ResourceConflictException', 409, /^Current SyncCount for: color is: 1 not: 0$/);
    await fails(guest.updateRecords({ ...patch(1), SyncSessionToken: 'forged' }), 'InvalidParameterException', 400, /^SyncSessionToken not valid for these inputs$/);
    await fails(guest.updateRecords({ ...patch(1), DatasetName: 'other' }), 'InvalidParameterException', 400, /SyncSessionToken/);
    const stranger = (await identity.getId({ IdentityPoolId: pool }).promise()).IdentityId;
    await fails(guest.listRecords({ ...set, IdentityId: stranger }), 'NotAuthorizedException', 403, /./);
    await fails(guest.describeDataset({ ...id, DatasetName: 'none' }), 'ResourceNotFoundException', 404, /none/);
    await fails(guest.listIdentityPoolUsage({}), 'NotAuthorizedException', 403, /./);
  },

  async Datasets() {
    const { Dataset } = await guest.describeDataset({ ...id, DatasetName: 'notes' }).promise();
    assert.equal(Dataset.NumRecords, 2);
    assert.ok(Dataset.CreationDate instanceof Date);
    const { Datasets, Count } = await guest.listDatasets(id).promise();
    assert.deepEqual([Datasets.length, Count], [1, 1]);
    const { IdentityUsage } = await guest.describeIdentityUsage(id).promise();
    assert.equal(IdentityUsage.DatasetCount, 1);
    assert.equal(IdentityUsage.DataStorage, Dataset.DataStorage);
  },

  async Kinesis() {
    const { Shards } = await kinesis.listShards({ StreamName: streamName }).promise();
    const { ShardIterator } = await kinesis.getShardIterator({ StreamName: streamName, ShardId: Shards[0].ShardId, ShardIteratorType: 'TRIM_HORIZON' }).promise();
    const page = await kinesis.getRecords({ ShardIterator }).promise();
    assert.equal(page.Records.length, 1);
    assert.equal(page.Records[0].PartitionKey, id.IdentityId);
    assert.ok(page.Records[0].ApproximateArrivalTimestamp instanceof Date);
    const event = JSON.parse(page.Records[0].Data.toString());
    assert.equal(event.dataSetName, 'notes');
    assert.equal(event.kinesisSyncRecords[0].value, 'blåu "x" 😀');
    assert.equal(event.kinesisSyncRecords[0].deviceLastModifiedDate, 1_700_000_000_000);
    await fails(kinesis.getRecords({ ShardIterator: 'nonsense' }), 'InvalidArgumentException', 400, /./);
    const put = await kinesis.putRecord({ StreamName: streamName, Data: 'x', PartitionKey: 'y' }).promise();
    const next = await kinesis.getRecords({ ShardIterator: page.NextShardIterator }).promise();
    assert.equal(next.Records[0].SequenceNumber, put.SequenceNumber);
    assert.equal(next.Records[0].Data.toString(), 'x');
    await fails(kinesis.startStreamEncryption({ StreamName: streamName, EncryptionType: 'KMS', KeyId: 'x' }), 'InvalidArgumentException', 400, /not offered/);
  },

  async Delete() {
    const set = { ...id, DatasetName: 'notes' };
    const { Dataset } = await guest.deleteDataset(set).promise();
    assert.equal(Dataset.NumRecords, 2);
    await fails(guest.deleteDataset(set), 'ResourceNotFoundException', 404, /notes/);
    const list = await guest.listRecords({ ...set, LastSyncCount: 1 }).promise();
    assert.deepEqual([list.DatasetExists, list.DatasetSyncCount, list.DatasetDeletedAfterRequestedSyncCount], [false, 2, true]);
  },
});
