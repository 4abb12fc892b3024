// Runs the cases of a script one after the other, as they build on each other,
// and prints a line of JSON for each: {"name", "error"}.
'use strict';

exports.settings = {
  endpoint: process.env.ENDPOINT,
  region: 'us-east-1',
  developer: { accessKeyId: process.env.KEY_ID, secretAccessKey: process.env.KEY_SECRET },
  account: process.env.ACCOUNT,
};

exports.run = async (cases) => {
  for (const [name, body] of Object.entries(cases)) {
    let error = null;
    try {
      await body();
    } catch (e) {
      error = e.stack || String(e);
    }
    console.log(JSON.stringify({ name, error }));
    if (error) process.exit(1);
  }
};

// poll calls f until it does not throw any more.
exports.poll = async (f) => {
  for (const end = Date.now() + 10_000; ; ) {
    try {
      return await f();
    } catch (e) {
      if (Date.now() > end) throw e;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
};
