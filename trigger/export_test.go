package trigger

import "tributary"

// Encode, Decode and OffLimits are for tests.
var (
	Encode    = encode
	Decode    = decode
	OffLimits = offLimits
)

// Busy takes n of a pool's calls.
func (c *Caller) Busy(p tributary.PoolID, n int) {
	for range n {
		c.begin(p)
	}
}

// Free gives one back.
func (c *Caller) Free(p tributary.PoolID) { c.end(p) }

// Endpoint is where functions are called; nil: at AWS's own.
func (l *Lambda) Endpoint() *string { return l.client.Options().BaseEndpoint }

const (
	MostCalls     = mostCalls
	LargestAnswer = largestAnswer
)
