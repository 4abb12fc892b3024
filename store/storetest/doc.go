// Package storetest says what a [tributary.Store] must do, in tests that any
// engine runs unchanged.
//
// [Run] is the suite. [Model] is a store so simple that its answers are taken
// for right; [Program] and [Compare] drive it and an engine with the same
// seeded operations and want equal histories. [Verify] walks a whole store and
// tells where data, heads and log disagree, [Acked] keeps the books of what
// was acknowledged, to be checked after a crash, and [Faulty] makes writes
// fail before or after they are applied.
//
// Where the contracts leave a choice, the suite accepts all of these:
//
//   - Wait returns nil, NotFound or the context's error when the context is
//     done or the shard is gone.
//   - The default log has any number of shards, and stream ids any value.
//   - Arrived is the time of the engine's clock or of the entry.
//   - Leases, AccessKeys and Shards list in any order; Shards may list closed
//     shards without entries.
//   - LastModified in the figures of a pool that took no change is anything.
//
// And it holds engines to these readings:
//
//   - A limit of a listing is above 0; a listing of what does not exist is empty.
//   - A put under an older incarnation's id is Stale.
//   - Append writes all of its entries or none.
//   - The store fills ShardRange.Last when a shard is closed.
//   - Commit looks at nothing but the Condition: it applies to disabled
//     identities and deleted pools too, which is how they are emptied.
//   - Nothing that is given to a store or comes out of it is shared with it.
package storetest
