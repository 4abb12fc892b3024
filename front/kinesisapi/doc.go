// Package kinesisapi is the front through which Kinesis clients use the
// embedded streams: the Kinesis Data Streams API of 2013-12-02 over the log.
//
// Streams are made, resharded, described and deleted, read with shard iterators,
// and take records of developers among the changes. A sequence number is a [tributary.Position]. Iterators and page
// tokens are sealed, so that the server keeps nothing for a reader and any
// node answers. Only developers may call.
//
// Where AWS leaves a choice, or is of little help:
//
//   - A shard's StartingSequenceNumber lies below its first entry, so that
//     AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER with it both read the whole
//     shard, also when it is empty or was trimmed.
//   - GetRecords waits a moment at the tip of a shard, so that a reader that
//     calls it in a loop costs little and still sees an entry at once.
//   - The last entry of a closed shard and the end of the shard, a
//     NextShardIterator of null, come in one answer.
//   - What AWS refuses with ValidationException, which few of its operations
//     declare, is InvalidArgumentException, which all of them do.
package kinesisapi
