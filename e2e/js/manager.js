// amazon-cognito-js 1.1.0 as it was published: two managers of one identity,
// each with a local storage of its own, as in two browsers.
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
AWS.config.update({ region: settings.region, cognitosync: { endpoint: settings.endpoint } });

// call makes a promise of a function that takes a callback.
const call = (on, name, ...args) => new Promise((done, fail) => on[name](...args, (e, v) => (e ? fail(e) : done(v))));

// open makes a manager with a storage of its own and opens the dataset.
async function open(params) {
  AWS.config.credentials = new AWS.CognitoIdentityCredentials({ ...params }, common);
  await AWS.config.credentials.getPromise();
  window.localStorage = new LocalStorage();
  return call(new AWS.CognitoSyncManager(), 'openOrCreateDataset', 'notes');
}

// synchronize syncs a dataset; theirs says whose value wins a conflict.
const synchronize = (dataset, theirs) => new Promise((done, fail) => {
  let conflicts = 0;
  dataset.synchronize({
    onSuccess: () => done(conflicts),
    onFailure: fail,
    onConflict: (set, found, proceed) => {
      conflicts += found.length;
      set.resolve(found.map((c) => (theirs ? c.resolveWithRemoteRecord() : c.resolveWithLocalRecord())), () => proceed(true));
    },
  });
});

let params, one, two;

run({
  async Begin() {
    const identity = new AWS.CognitoIdentity({ ...common, credentials: new AWS.Credentials(settings.developer) });
    const { IdentityPoolId } = await identity.createIdentityPool({ IdentityPoolName: 'manager', AllowUnauthenticatedIdentities: true }).promise();
    const { IdentityId } = await identity.getId({ IdentityPoolId }).promise();
    params = { IdentityPoolId, IdentityId };
    one = await open(params);
    two = await open(params);
  },

  async OneToTwo() {
    await call(one, 'put', 'color', 'blue');
    await call(one, 'put', 'size', '10');
    assert.equal(await synchronize(one), 0);
    assert.equal(await synchronize(two), 0);
    assert.deepEqual(await call(two, 'getAll'), { color: 'blue', size: '10' });
  },

  async Conflict() {
    await call(one, 'put', 'color', 'red');
    await call(two, 'put', 'color', 'green');
    await synchronize(one);
    assert.equal(await synchronize(two, true), 1);
    await synchronize(one);
    assert.equal(await call(one, 'get', 'color'), 'red');
    assert.equal(await call(two, 'get', 'color'), 'red');
  },

  async Remove() {
    await call(two, 'remove', 'size');
    await synchronize(two);
    await synchronize(one);
    // The library keeps a removed record as an empty text.
    assert.deepEqual(await call(one, 'getAll'), { color: 'red', size: '' });
    assert.deepEqual(await call(two, 'getAll'), { color: 'red', size: '' });
    const list = await new AWS.CognitoSync({ ...common, credentials: AWS.config.credentials }).listRecords({ ...params, DatasetName: 'notes' }).promise();
    assert.deepEqual(list.Records.map((r) => [r.Key, r.Value ?? null]), [['color', 'red'], ['size', null]]);
  },
});
