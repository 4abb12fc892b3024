// aws-sdk 2 and amazon-cognito-js through a sync trigger: the function of a game,
// which FUNCTION names.
'use strict';
const assert = require('node:assert/strict');
const { settings, run } = require('./cases.js');
const AWS = require('aws-sdk');

class LocalStorage {
  constructor() { this.items = new Map(); }
  get length() { return this.items.size; }
  key(i) { return [...this.items.keys()][i] ?? null; }
  getItem(k) { return this.items.has(k) ? this.items.get(k) : null; }
  setItem(k, v) { this.items.set(k, String(v)); }
  removeItem(k) { this.items.delete(k); }
}
globalThis.window = {};
require('amazon-cognito-js'); // adds itself to AWS

const common = { endpoint: settings.endpoint, region: settings.region, maxRetries: 0 };
AWS.config.update({ region: settings.region, cognitosync: { endpoint: settings.endpoint, maxRetries: 0 } });
const developer = new AWS.CognitoSync({ ...common, credentials: new AWS.Credentials(settings.developer) });

const call = (on, name, ...args) => new Promise((done, fail) => on[name](...args, (e, v) => (e ? fail(e) : done(v))));

async function open(params) {
  AWS.config.credentials = new AWS.CognitoIdentityCredentials({ ...params }, common);
  await AWS.config.credentials.getPromise();
  window.localStorage = new LocalStorage();
  return call(new AWS.CognitoSyncManager(), 'openOrCreateDataset', 'game');
}

const synchronize = (dataset) => new Promise((done, fail) => {
  dataset.synchronize({ onSuccess: done, onFailure: fail, onConflict: () => fail(new Error('a conflict')) });
});

// all is what a dataset holds; the library keeps removed records as empty texts.
const all = async (dataset) => Object.fromEntries(Object.entries(await call(dataset, 'getAll')).filter(([, v]) => v !== ''));

let params, one, two, guest;

// update sends a patch with a client's credentials.
async function update(as, key, value) {
  const set = { ...params, DatasetName: 'other' };
  const { SyncSessionToken, DatasetSyncCount } = await as.listRecords(set).promise();
  return as.updateRecords({ ...set, SyncSessionToken, RecordPatches: [{ Op: 'replace', Key: key, Value: value, SyncCount: DatasetSyncCount }] }).promise();
}

async function fails(value, code, status) {
  const e = await update(guest, 'fail', value).then(() => assert.fail(`expected ${code}`), (e) => e);
  assert.deepEqual([e.code, e.statusCode], [code, status], e.message);
  const { DatasetExists } = await guest.listRecords({ ...params, DatasetName: 'other' }).promise();
  assert.equal(DatasetExists, false);
}

run({
  async Begin() {
    const identity = new AWS.CognitoIdentity({ ...common, credentials: new AWS.Credentials(settings.developer) });
    const { IdentityPoolId } = await identity.createIdentityPool({ IdentityPoolName: 'trigger', AllowUnauthenticatedIdentities: true }).promise();
    await developer.setCognitoEvents({ IdentityPoolId, Events: { SyncTrigger: process.env.FUNCTION } }).promise();
    const { Events } = await developer.getCognitoEvents({ IdentityPoolId }).promise();
    assert.deepEqual(Events, { SyncTrigger: process.env.FUNCTION });
    const { IdentityId } = await identity.getId({ IdentityPoolId }).promise();
    params = { IdentityPoolId, IdentityId };
    one = await open(params);
    two = await open(params);
    guest = new AWS.CognitoSync({ ...common, credentials: AWS.config.credentials });
  },

  async Changed() {
    await call(one, 'put', 'name', 'Ann');
    await call(one, 'put', 'level', '1');
    await synchronize(one);
    assert.deepEqual(await all(one), { name: 'ANN', level: '1' });
    await synchronize(two);
    assert.deepEqual(await all(two), { name: 'ANN', level: '1' });
  },

  async Added() {
    await call(two, 'put', 'level', '2');
    await synchronize(two);
    assert.deepEqual(await all(two), { name: 'ANN', level: '2', badge: 'for level 2' });
    await synchronize(one);
    assert.deepEqual(await all(one), await all(two));
  },

  async Removed() {
    await call(one, 'put', 'cheat', '1');
    await call(one, 'put', 'level', '3');
    await synchronize(one);
    assert.deepEqual(await all(one), { name: 'ANN', level: '3', badge: 'for level 3' });
  },

  async Ignored() {
    await call(one, 'put', 'title', 'Queen');
    await call(one, 'put', 'name', 'Bea');
    await synchronize(one);
    assert.deepEqual(await all(one), { name: 'BEA', level: '3', badge: 'for level 3' });
  },

  async IgnoredAlone() { // an empty answer would leave the library waiting for ever
    await call(one, 'put', 'title', 'King');
    await synchronize(one);
    assert.deepEqual(await all(one), { name: 'BEA', level: '3', badge: 'for level 3' });
    await synchronize(two);
    assert.deepEqual(await all(two), await all(one));
  },

  async Fails() {
    await fails('error', 'InvalidLambdaFunctionOutputException', 400);
    await fails('output', 'InvalidLambdaFunctionOutputException', 400);
    await fails('dataset', 'InvalidLambdaFunctionOutputException', 400);
    await fails('throttle', 'LambdaThrottledException', 429);
    const begun = Date.now();
    await fails('slow', 'LambdaSocketTimeoutException', 400);
    assert.ok(Date.now() - begun >= 5000, 'before 5 s');
  },

  async Developer() { // is not asked about
    const { Records } = await update(developer, 'fail', 'error');
    assert.deepEqual(Records.map((r) => [r.Key, r.Value]), [['fail', 'error']]);
  },
});
