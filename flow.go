package tributary

import "context"

// Sink is where a pump delivers entries.
type Sink interface {
	// Deliver takes a batch of one shard's entries, in order, under the lease
	// by which they were read. It returns only when they are durable; the same
	// batch again is harmless. Stale if the lease's epoch has passed.
	Deliver(ctx context.Context, l Lease, batch []Entry) error
}

// Checkpointer is a sink that keeps its own checkpoint, in the same
// transaction as what it was delivered.
type Checkpointer interface {
	// Checkpoint is the position of the last entry delivered of a shard, "" if
	// there was none.
	Checkpoint(ctx context.Context, s Shard) (Position, error)
}
