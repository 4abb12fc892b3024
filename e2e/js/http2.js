// The Kinesis client of @aws-sdk 3 as it comes: it speaks HTTP/2, over plain
// TCP as well, without asking first.
'use strict';
const assert = require('node:assert/strict');
const K = require('@aws-sdk/client-kinesis');
const { settings, run } = require('./cases.js');

run({
  async ListStreams() {
    const kinesis = new K.KinesisClient({ endpoint: settings.endpoint, region: settings.region, maxAttempts: 1, credentials: settings.developer });
    const { HasMoreStreams } = await kinesis.send(new K.ListStreamsCommand({}));
    assert.equal(HasMoreStreams, false);
    kinesis.destroy();
  },
});
