package tributary

import "time"

// Lease is the right of one owner to carry one shard's entries to one group's
// sink, and how far it got.
type Lease struct {
	Group string // the sink, such as "warehouse"
	Shard Shard
	Owner string // "" if nobody holds it
	// Epoch rises each time the lease is taken. A sink refuses an epoch below
	// one that it has seen.
	Epoch      int64
	Expires    Millis
	Checkpoint Position // every entry up to it was delivered
	Revision   int64    // 0 in a lease that is not stored yet
}

// LeaseTime is how long a lease holds without being renewed.
const LeaseTime = 10 * time.Second

// Free tells whether the lease may be taken: nobody holds it, or its holder
// has not renewed it in time.
func (l *Lease) Free(now Millis) bool { return l.Owner == "" || l.Expires < now }

// Take is the lease in the hands of a new owner.
func (l Lease) Take(owner string, now Millis) Lease {
	l.Owner, l.Epoch = owner, l.Epoch+1
	return l.Renew(now, l.Checkpoint)
}

// Renew is the lease held for longer, with its checkpoint moved.
func (l Lease) Renew(now Millis, checkpoint Position) Lease {
	l.Expires, l.Checkpoint = now+Millis(LeaseTime.Milliseconds()), checkpoint
	return l
}

// Release is the lease given back.
func (l Lease) Release() Lease {
	l.Owner, l.Expires = "", 0
	return l
}
