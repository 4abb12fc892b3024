// Two devices of one identity, with aws-sdk 2: both change the same key while
// they are offline, and then both sync.
'use strict';
const assert = require('node:assert/strict');
const AWS = require('aws-sdk');
const { settings, run } = require('./cases.js');

const common = { endpoint: settings.endpoint, region: settings.region, maxRetries: 0 };
const identity = new AWS.CognitoIdentity({ ...common, credentials: new AWS.Credentials(settings.developer) });

// Device keeps records and, beside them, what was changed here since.
class Device {
  constructor(set, credentials) {
    this.set = set;
    this.sync = new AWS.CognitoSync({ ...common, credentials });
    this.records = new Map(); // key to { value, count }
    this.dirty = new Map(); // key to value, null if removed
    this.count = 0;
  }

  // put changes a value offline.
  put(key, value) { this.dirty.set(key, value); }

  async pull() {
    const list = await this.sync.listRecords({ ...this.set, LastSyncCount: this.count }).promise();
    for (const r of list.Records) this.records.set(r.Key, { value: r.Value ?? null, count: r.SyncCount });
    this.count = list.DatasetSyncCount;
    this.token = list.SyncSessionToken;
    return list.Records.filter((r) => this.dirty.has(r.Key)).map((r) => r.Key);
  }

  async push() {
    const patches = [...this.dirty].map(([Key, Value]) => ({
      Op: Value === null ? 'remove' : 'replace', Key, ...(Value === null ? {} : { Value }), SyncCount: this.records.get(Key)?.count ?? 0,
    }));
    const { Records } = await this.sync.updateRecords({ ...this.set, SyncSessionToken: this.token, RecordPatches: patches }).promise();
    for (const r of Records) this.records.set(r.Key, { value: r.Value ?? null, count: r.SyncCount });
    this.count = Math.max(...Records.map((r) => r.SyncCount));
    this.dirty.clear();
  }

  values() { return Object.fromEntries([...this.records].filter(([, r]) => r.value !== null).map(([k, r]) => [k, r.value]).sort()); }
}

let one, two;

run({
  async Begin() {
    const { IdentityPoolId } = await identity.createIdentityPool({ IdentityPoolName: 'devices', AllowUnauthenticatedIdentities: true }).promise();
    const provider = new AWS.CognitoIdentityCredentials({ IdentityPoolId }, common);
    await provider.getPromise();
    const set = { IdentityPoolId, IdentityId: provider.identityId, DatasetName: 'notes' };
    one = new Device(set, provider);
    two = new Device(set, provider);
    await one.pull();
    one.put('color', 'blue');
    one.put('size', '10');
    one.put('old', 'x');
    await one.push();
    await two.pull();
    await one.pull();
    assert.deepEqual(two.values(), { color: 'blue', old: 'x', size: '10' });
  },

  async Conflict() {
    one.put('color', 'red'); // both are offline
    one.put('old', null);
    two.put('color', 'green');
    two.put('size', '11');
    await one.push();
    const e = await two.push().then(() => assert.fail('expected a conflict'), (e) => e);
    assert.equal(e.code, 'ResourceConflictException');
    assert.equal(e.statusCode, 409);
    assert.equal(e.message, 'Current SyncCount for: color is: 2 not: 1');
  },

  async NothingOfTheRefused() {
    await one.pull();
    assert.deepEqual(one.values(), { color: 'red', size: '10' });
  },

  async Resolve() {
    assert.deepEqual(await two.pull(), ['color']);
    two.put('color', `${two.records.get('color').value} and green`);
    await two.push();
    await one.pull();
    const end = { color: 'red and green', size: '11' };
    assert.deepEqual(one.values(), end);
    assert.deepEqual(two.values(), end);
    assert.equal(one.count, 3);
    assert.equal(two.count, 3);
  },

  async RemovedAndChanged() {
    one.put('size', null);
    two.put('size', '12');
    await one.push();
    await assert.rejects(two.push(), { code: 'ResourceConflictException', message: 'Current SyncCount for: size is: 4 not: 3' });
    assert.deepEqual(await two.pull(), ['size']);
    await two.push();
    await one.pull();
    assert.deepEqual(one.values(), two.values());
    assert.equal(one.values().size, '12');
  },
});
