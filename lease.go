package tributary

import "time"

// Lease is the right of one owner to carry one shard's entries to one group's
// sink, and how far it got. It holds as long as its owner is alive, which other
// leases tell, those of the group [NodesGroup]; so an idle lease is never written.
type Lease struct {
	Group string // the sink, such as "warehouse"
	Shard Shard
	Owner string // "" if nobody holds it
	// Epoch rises each time the lease is taken. A sink refuses an epoch below
	// one that it has seen.
	Epoch      int64
	Checkpoint Position // every entry up to it was delivered
	Revision   int64    // 0 in a lease that is not stored yet
}

// LeaseTime is how long a node that says nothing is taken for alive. What it
// carried is with others 10 seconds after its end at most.
const LeaseTime = 6 * time.Second

// NodesGroup is the group in which every node has one lease, by writing which
// it tells that it is alive. The shards' numbers stand for places.
const NodesGroup = "nodes"

// Take is the lease in the hands of a new owner.
func (l Lease) Take(owner string) Lease {
	l.Owner, l.Epoch = owner, l.Epoch+1
	return l
}

// Release is the lease given back.
func (l Lease) Release() Lease {
	l.Owner = ""
	return l
}
