// Package tributary is the vocabulary and the rules of the system: user data
// sync with the wire of Amazon Cognito Sync, and one ordered stream of all its
// changes.
//
// # The story of one sync
//
// A front decodes a request into patches and calls [Service.UpdateRecords].
// The service asks the store for a [View]: the identity, the dataset's head
// and the records that the patches name. [View.Apply], a pure function,
// turns head and patches into a [Change]. [Datasets.Commit] applies the Change
// if nothing it was computed from has moved: records, head and log entry in
// one atomic step, acknowledged when durable. If something has moved the
// answer is Stale, and the service reads again.
//
// On its own time a pump reads the log from its checkpoint and hands the
// entries to a sink, such as the warehouse. Data flows one way.
//
// # Invariants
//
//   - I1 Acknowledged means durable.
//   - I2 Records, head and log entry commit together or not at all.
//   - I3 Nothing leaves before it is durable: no read shows what a power cut
//     could still take back.
//   - I4 Positions are gap-free per shard, all changes of an identity are in
//     one open shard at a time, and per dataset the sync count rises with the
//     position.
//   - I5 Every consumer resumes from its own checkpoint; nothing is skipped.
//   - I7 A sync never waits for a stream's reader.
//   - I8 An identity reaches its own data only.
//   - I9 What is deleted is deleted in the stream and the warehouse too.
//   - I10 From any client state, the clients' own sequence converges.
//
// # Words
//
// Pool, identity, dataset, record: as on AWS. Head: what is known of a dataset
// without its records. Patch: what a client asks for. Change: what happened.
// Entry: what the log holds, a Change most of the time. Stream: a named log.
// Shard: a part of it, with its own positions. Tombstone: a record that was
// removed and whose sync count is still known. Marker: the sync count at which
// a dataset was deleted. Floor: the sync count up to which tombstones have
// been forgotten.
package tributary
