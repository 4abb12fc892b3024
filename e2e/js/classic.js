// aws-sdk 2 in the classic (basic) flow: CognitoIdentityCredentials with a RoleArn
// gets a token from Cognito Identity, and credentials from STS.
'use strict';
const assert = require('node:assert/strict');
const AWS = require('aws-sdk');
const { settings, run } = require('./cases.js');

const common = { endpoint: settings.endpoint, region: settings.region, maxRetries: 0 };
const identity = new AWS.CognitoIdentity({ ...common, credentials: new AWS.Credentials(settings.developer) });
const role = (name) => `arn:aws:iam::${settings.account}:role/${name}`;

async function fails(promise, code, status, message) {
  const e = await promise.then(() => assert.fail(`expected ${code}`), (e) => e);
  assert.equal(e.code, code);
  assert.equal(e.statusCode, status);
  assert.match(e.message, message);
  assert.ok(e.requestId, 'no request id');
}

// credentials gets some for a user; none of the options: for a guest.
async function credentials(options) {
  const provider = new AWS.CognitoIdentityCredentials({ IdentityPoolId: pool, ...options }, common);
  await provider.getPromise();
  return provider;
}

// syncs writes and lists the identity's own notes.
async function syncs(provider) {
  const sync = new AWS.CognitoSync({ ...common, credentials: provider });
  const set = { IdentityPoolId: pool, IdentityId: provider.identityId, DatasetName: 'notes' };
  const { SyncSessionToken, DatasetSyncCount } = await sync.listRecords(set).promise();
  const RecordPatches = [{ Op: 'replace', Key: 'n', Value: `${DatasetSyncCount}`, SyncCount: DatasetSyncCount }];
  await sync.updateRecords({ ...set, SyncSessionToken, RecordPatches }).promise();
  assert.equal((await sync.listRecords(set).promise()).Count, 1);
}

const whoIs = (provider) => new AWS.STS({ ...common, credentials: provider }).getCallerIdentity({}).promise();

let pool, guest;

run({
  async Pool() {
    const made = await identity.createIdentityPool({ IdentityPoolName: 'classic', AllowUnauthenticatedIdentities: true, DeveloperProviderName: 'login.app' }).promise();
    pool = made.IdentityPoolId;
    await identity.setIdentityPoolRoles({ IdentityPoolId: pool, Roles: { authenticated: role('user'), unauthenticated: role('path/guest') } }).promise();
  },

  async Guest() {
    guest = await credentials({ RoleArn: role('path/guest') });
    assert.match(guest.identityId, /^us-east-1:[0-9a-f-]{36}$/);
    assert.ok(guest.expireTime > new Date(Date.now() + 45 * 60_000));
    assert.equal(guest.data.AssumedRoleUser.Arn, `arn:aws:sts::${settings.account}:assumed-role/guest/web-identity`);
    assert.equal(guest.data.SubjectFromWebIdentityToken, guest.identityId);
    assert.equal(guest.data.Audience, pool);
    await syncs(guest);
    const who = await whoIs(guest);
    assert.deepEqual([who.Arn, who.UserId, who.Account], [guest.data.AssumedRoleUser.Arn, guest.data.AssumedRoleUser.AssumedRoleId, settings.account]);
    await guest.refreshPromise();
    await syncs(guest);
    await fails(credentials({ RoleArn: role('user') }), 'AccessDenied', 403, /^Not authorized to perform sts:AssumeRoleWithWebIdentity$/);
  },

  async User() {
    const { IdentityId, Token } = await identity.getOpenIdTokenForDeveloperIdentity({ IdentityPoolId: pool, IdentityId: guest.identityId, Logins: { 'login.app': 'ann' } }).promise();
    const user = await credentials({ IdentityId, Logins: { 'cognito-identity.amazonaws.com': Token }, RoleArn: role('user'), RoleSessionName: 'ann@phone' });
    assert.equal(user.identityId, guest.identityId);
    assert.equal((await whoIs(user)).Arn, `arn:aws:sts::${settings.account}:assumed-role/user/ann@phone`);
    await syncs(user);
  },

  async SessionPolicy() {
    const { IdentityId } = await identity.getId({ IdentityPoolId: pool }).promise();
    const { Token } = await identity.getOpenIdToken({ IdentityId }).promise();
    const sts = new AWS.STS(common);
    const ask = { RoleArn: role('path/guest'), RoleSessionName: 'reader', WebIdentityToken: Token, DurationSeconds: 900 };
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'cognito-sync:List*', Resource: '*' }] });
    const out = await sts.assumeRoleWithWebIdentity({ ...ask, Policy }).promise();
    assert.ok(out.PackedPolicySize > 0 && out.Credentials.Expiration < new Date(Date.now() + 901_000));
    const reader = sts.credentialsFrom(out, new AWS.Credentials('', ''));
    reader.identityId = IdentityId;
    await fails(syncs(reader), 'AccessDeniedException', 403, /assumed-role\/guest\/reader is not authorized to perform: cognito-sync:UpdateRecords/);
    await fails(sts.assumeRoleWithWebIdentity({ ...ask, Policy: '{' }).promise(), 'MalformedPolicyDocument', 400, /not JSON/);
    await fails(sts.assumeRoleWithWebIdentity({ ...ask, WebIdentityToken: 'a.b.c' }).promise(), 'InvalidIdentityToken', 400, /GetOpenIdToken/);
    await fails(sts.assumeRoleWithWebIdentity({ ...ask, DurationSeconds: 899 }).promise(), 'ValidationError', 400, /durationSeconds/);
    const developer = new AWS.STS({ ...common, credentials: new AWS.Credentials(settings.developer) });
    await fails(developer.getSessionToken({}).promise(), 'InvalidAction', 400, /AssumeRoleWithWebIdentity and GetCallerIdentity/);
  },

  async Disabled() {
    const shown = await identity.describeIdentityPool({ IdentityPoolId: pool }).promise();
    await identity.updateIdentityPool({ ...shown, AllowClassicFlow: false }).promise();
    await fails(credentials({ RoleArn: role('path/guest') }), 'InvalidParameterException', 400, /^Basic \(classic\) flow is not enabled/);
  },
});
