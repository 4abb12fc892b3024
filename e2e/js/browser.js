// An app on amazon-cognito-js 1.1.0 as it was published, in a browser. The test
// calls the functions of app.
'use strict';
/* global AWS, settings */

const { endpoint, region, pool } = settings;
AWS.config.update({ region, maxRetries: 0, cognitosync: { endpoint }, cognitoidentity: { endpoint } });

let manager; // of the identity that is signed in

// call makes a promise of a function that takes a callback.
const call = (on, name, ...args) => new Promise((done, fail) => on[name](...args, (e, v) => (e ? fail(e) : done(v))));

// enter becomes an identity and gives its id. A manager is of one identity.
async function enter(params) {
  AWS.config.credentials = new AWS.CognitoIdentityCredentials({ IdentityPoolId: pool, ...params });
  await AWS.config.credentials.getPromise();
  manager = new AWS.CognitoSyncManager();
  return manager.getIdentityId();
}

const seenNothing = () => ({ conflicts: {}, deleted: [], merged: [] });

const open = (name) => call(manager, 'openOrCreateDataset', name);

// attempt synchronizes a dataset once. It adds to seen what it was told, and
// gives what is to be done before the next attempt, nothing if this was the last.
async function attempt(name, winners, seen) {
  const dataset = await open(name);
  let todo;
  // To go on within these calls is a TypeError in this version of the library.
  const later = (what, names, proceed, f) => {
    if (!names.some((n) => seen[what].includes(n))) todo = f; // what did not help is not done again
    seen[what].push(...names);
    proceed(false);
  };
  const ended = new Promise((done, fail) => {
    dataset.synchronize({
      onSuccess: done,
      onFailure: fail,
      onConflict: (set, conflicts, proceed) => {
        for (const c of conflicts) seen.conflicts[c.getKey()] = [c.getLocalRecord().getValue(), c.getRemoteRecord().getValue()];
        const resolved = conflicts.map((c) => (winners[c.getKey()] === 'local' ? c.resolveWithLocalRecord() : c.resolveWithRemoteRecord()));
        set.resolve(resolved, () => proceed(true));
      },
      onDatasetDeleted: (set, gone, proceed) => later('deleted', [gone], proceed, () => call(manager.local, 'purgeDataset', manager.getIdentityId(), gone)),
      onDatasetsMerged: (set, names, proceed) => later('merged', names, proceed, () => takeOver(name, names, winners, seen)),
    });
  });
  await ended.catch((e) => {
    if (!todo) throw e;
  });
  return todo;
}

async function synchronize(name, winners, seen) {
  for (let todo; (todo = await attempt(name, winners, seen)); ) await todo();
}

// takeOver puts what a dataset lacks of those merged into it, which it deletes.
async function takeOver(name, merged, winners, seen) {
  let values = {};
  for (const m of merged) {
    await synchronize(m, winners, seen);
    values = { ...(await app.all(m)), ...values };
    await remove(m);
  }
  await synchronize(name, winners, seen);
  await app.put(name, { ...values, ...(await app.all(name)) });
}

// remove deletes a dataset, here and at the server.
async function remove(name) {
  await open(name);
  await call(manager.local, 'deleteDataset', manager.getIdentityId(), name);
  await synchronize(name, {}, seenNothing());
}

const app = {
  // guest becomes the guest that this browser remembers, or a new one.
  guest: () => enter({}),

  // signIn becomes a user, to whom the guest's data go if there was one.
  async signIn(user) {
    const guest = AWS.config.credentials?.identityId;
    const answer = await fetch('/sign-in', { method: 'POST', body: JSON.stringify({ user, identity: guest }) });
    const { IdentityId, Token } = await answer.json();
    return enter({ IdentityId: guest ?? IdentityId, Logins: { 'cognito-identity.amazonaws.com': Token } });
  },

  signOut() {
    AWS.config.credentials.clearCachedId();
    manager.wipeData();
    AWS.config.credentials = null;
    manager = undefined;
  },

  put: async (name, values) => void (await call(await open(name), 'putAll', values)),
  remove: async (name, key) => void (await call(await open(name), 'remove', key)),
  all: async (name) => call(await open(name), 'getAll'),
  removeDataset: remove,

  // sync synchronizes a dataset and gives what it was told. winners says for
  // each key whose value wins a conflict, local or remote.
  async sync(name, winners = {}) {
    const seen = seenNothing();
    await synchronize(name, winners, seen);
    return seen;
  },

  storage: () => JSON.stringify({ ...localStorage }),

  // ask calls an operation that must fail, and gives what the page sees of it.
  async ask(service, operation, params) {
    const e = await new AWS[service]()[operation](params).promise().then(() => ({}), (e) => e);
    return { code: e.code, message: e.message, status: e.statusCode, request: e.requestId };
  },
};
