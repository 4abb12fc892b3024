// Package bench is the load generator behind tributary bench: it measures a
// server against the speed bars and says which are met.
//
// Absolute figures of one machine mean little on another, so the load is put
// first on a server that does nothing (NullServer: net/http and encoding/json,
// decoding and echoing the same requests), before and after everything else.
// The mean of the two is the ceiling that syncs and pulls are compared with.
// Servers run as processes of their own, so that their CPU time and the load
// generator's are told apart.
//
// Every answer is checked. A sync that is refused or counted wrongly ends the
// run; changes that a reader of the stream or the warehouse misses, sees twice
// or in the wrong order are listed in Report.Wrong. A bar that is missed is a
// figure like any other.
package bench

import "time"

// now is the clock of all measurements.
func now() time.Time { return time.Now() }
