// @aws-sdk 3: makes the calls to Cognito Identity of the file that is named, and
// prints a line of JSON for how each ends: {"type", "status", "message"}.
'use strict';
const fs = require('node:fs');
const I = require('@aws-sdk/client-cognito-identity');

const { callers, calls, region, mostRounds } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const clients = {};
for (const [name, caller] of Object.entries(callers)) clients[name] = new I.CognitoIdentityClient({ ...caller, region, maxAttempts: 1 });

// send calls once; the type is the class that the SDK has for the error.
const send = ({ Caller, Operation, Input }) => clients[Caller].send(new I[`${Operation}Command`](Input)).then(
  () => ({ type: '' }),
  (e) => ({ type: e.constructor.name, status: e.$metadata?.httpStatusCode, message: e.message }),
);

// untilSeen makes a call as often as it says.
async function untilSeen(call) {
  if (!call.Together) return send(call);
  for (let round = 1; ; round++) {
    const all = await Promise.all(Array.from({ length: call.Together }, () => send(call)));
    const seen = all.find((outcome) => outcome.type === call.Exception);
    if (seen || round === mostRounds) return seen ?? all[0];
  }
}

(async () => {
  for (const call of calls) console.log(JSON.stringify(await untilSeen(call)));
})();
