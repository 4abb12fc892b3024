package tributary

import "context"

// Sink is where a pump delivers entries.
type Sink interface {
	// Deliver takes a batch of one shard's entries, in order, under the lease
	// by which they were read. It returns only when they are durable; the same
	// batch again is harmless. Stale if the lease's epoch has passed.
	Deliver(ctx context.Context, l Lease, batch []Entry) error
}
