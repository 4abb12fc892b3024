// @aws-sdk 3: every operation of Cognito Identity.
'use strict';
const assert = require('node:assert/strict');
const I = require('@aws-sdk/client-cognito-identity');
const { settings, run } = require('./cases.js');

const identity = new I.CognitoIdentityClient({ endpoint: settings.endpoint, region: settings.region, maxAttempts: 1, credentials: settings.developer });
const DeveloperProviderName = 'login.app';
const role = (name) => `arn:aws:iam::${settings.account}:role/${name}`;
const called = new Set();

// send calls an operation by its name.
const send = (name, input) => {
  called.add(name);
  return identity.send(new I[`${name}Command`](input));
};

// fails checks how a call is refused: by the class that the SDK has for it.
async function fails(promise, type, message) {
  const e = await promise.then(() => assert.fail(`expected ${type.name}`), (e) => e);
  assert.ok(e instanceof type, `${e.name} is no ${type.name}: ${e.message}`);
  assert.equal(e.$metadata.httpStatusCode, 400);
  assert.match(e.message, message);
}

let pool; // { IdentityPoolId }

const guest = async () => (await send('GetId', { ...pool, AccountId: settings.account })).IdentityId;
const user = (name, IdentityId) => send('GetOpenIdTokenForDeveloperIdentity', {
  ...pool, IdentityId, Logins: { [DeveloperProviderName]: name }, PrincipalTags: { team: 'red' }, TokenDuration: 600,
});

run({
  async Pools() {
    const made = await send('CreateIdentityPool', { IdentityPoolName: 'all', AllowUnauthenticatedIdentities: true, IdentityPoolTags: { a: '1' } });
    pool = { IdentityPoolId: made.IdentityPoolId };
    const input = { ...pool, IdentityPoolName: 'all of it', AllowUnauthenticatedIdentities: true, DeveloperProviderName, IdentityPoolTags: { a: '1' } };
    const set = await send('UpdateIdentityPool', input);
    const shown = await send('DescribeIdentityPool', pool);
    for (const { $metadata, ...have } of [set, shown]) assert.deepEqual(have, input);
    const { IdentityPools } = await send('ListIdentityPools', { MaxResults: 60 });
    assert.ok(IdentityPools.some((p) => p.IdentityPoolId === pool.IdentityPoolId && p.IdentityPoolName === 'all of it'));
  },

  async Tags() {
    const ResourceArn = `arn:aws:cognito-identity:${settings.region}:${settings.account}:identitypool/${pool.IdentityPoolId}`;
    await send('TagResource', { ResourceArn, Tags: { b: '2', c: '' } });
    await send('UntagResource', { ResourceArn, TagKeys: ['a'] });
    assert.deepEqual((await send('ListTagsForResource', { ResourceArn })).Tags, { b: '2', c: '' });
    await fails(send('TagResource', { ResourceArn: 'arn:aws:s3:::a-bucket-of-mine', Tags: {} }), I.InvalidParameterException, /a-bucket-of-mine/);
  },

  async Roles() {
    const Roles = { authenticated: role('users'), unauthenticated: role('guests') };
    const RoleMappings = {
      'accounts.google.com': {
        Type: 'Rules', AmbiguousRoleResolution: 'Deny',
        RulesConfiguration: { Rules: [{ Claim: 'isAdmin', MatchType: 'NotEqual', Value: 'false', RoleARN: role('admins') }] },
      },
      'cognito-idp.us-east-1.amazonaws.com/us-east-1_1:app': { Type: 'Token', AmbiguousRoleResolution: 'AuthenticatedRole' },
    };
    await send('SetIdentityPoolRoles', { ...pool, Roles, RoleMappings });
    const { $metadata, ...have } = await send('GetIdentityPoolRoles', pool);
    assert.deepEqual(have, { ...pool, Roles, RoleMappings });
    await fails(send('SetIdentityPoolRoles', { ...pool, Roles: { admin: role('x') } }), I.InvalidParameterException, /Map keys must satisfy constraint/);
  },

  async PrincipalTags() {
    const provider = { ...pool, IdentityProviderName: 'accounts.google.com' };
    const { $metadata, ...set } = await send('SetPrincipalTagAttributeMap', { ...provider, UseDefaults: true });
    assert.deepEqual(set, { ...provider, UseDefaults: true, PrincipalTags: { username: 'sub', client: 'aud' } });
    const { PrincipalTags } = await send('GetPrincipalTagAttributeMap', { ...pool, IdentityProviderName: 'other' });
    assert.deepEqual(PrincipalTags, {});
  },

  async Guests() {
    const IdentityId = await guest();
    const { Token } = await send('GetOpenIdToken', { IdentityId });
    assert.equal(Token.split('.').length, 3);
    const { Credentials } = await send('GetCredentialsForIdentity', { IdentityId });
    assert.ok(Credentials.Expiration > new Date());
    await fails(send('GetCredentialsForIdentity', { IdentityId, CustomRoleArn: role('admins') }), I.NotAuthorizedException, /CustomRoleArn/);
  },

  async Developers() {
    const ann = await user('ann');
    const Logins = { 'cognito-identity.amazonaws.com': ann.Token };
    const signedIn = await send('GetCredentialsForIdentity', { IdentityId: await guest(), Logins });
    assert.equal(signedIn.IdentityId, ann.IdentityId);
    await fails(user('ann', await guest()), I.DeveloperUserAlreadyRegisteredException, /already registered/);
    const bob = await user('bob');
    await user('robert', bob.IdentityId);
    const merged = await send('MergeDeveloperIdentities', { ...pool, DeveloperProviderName, SourceUserIdentifier: 'bob', DestinationUserIdentifier: 'ann' });
    assert.equal(merged.IdentityId, ann.IdentityId);
    const { IdentityId } = ann;
    const found = await send('LookupDeveloperIdentity', { ...pool, IdentityId });
    assert.deepEqual(found.DeveloperUserIdentifierList, ['ann', 'bob', 'robert']);
    await send('UnlinkDeveloperIdentity', { ...pool, IdentityId, DeveloperProviderName, DeveloperUserIdentifier: 'robert' });
    await fails(send('LookupDeveloperIdentity', { ...pool, DeveloperUserIdentifier: 'robert' }), I.ResourceNotFoundException, /robert/);
    await send('UnlinkIdentity', { IdentityId, Logins, LoginsToRemove: [DeveloperProviderName] });
    assert.equal((await send('DescribeIdentity', { IdentityId })).Logins, undefined);
    await fails(send('GetOpenIdToken', { IdentityId }), I.NotAuthorizedException, /forbidden/);
  },

  async Delete() {
    const IdentityId = await guest();
    const none = 'us-east-1:00000000-0000-4000-8000-000000000000';
    const { UnprocessedIdentityIds } = await send('DeleteIdentities', { IdentityIdsToDelete: [IdentityId, none] });
    assert.deepEqual(UnprocessedIdentityIds, [{ IdentityId: none, ErrorCode: 'AccessDenied' }]);
    await fails(send('DescribeIdentity', { IdentityId }), I.ResourceNotFoundException, /not found/);
    const { Identities } = await send('ListIdentities', { ...pool, MaxResults: 60 });
    assert.ok(Identities.length > 0 && Identities.every((i) => i.IdentityId !== IdentityId));
    await send('DeleteIdentityPool', pool);
    await fails(send('DescribeIdentityPool', pool), I.ResourceNotFoundException, /not found/);
  },

  async All() {
    const operations = Object.keys(I).filter((name) => /^[A-Z].*Command$/.test(name)).map((name) => name.slice(0, -'Command'.length));
    assert.equal(operations.length, 23);
    assert.deepEqual(operations.filter((name) => !called.has(name)), []);
  },
});
