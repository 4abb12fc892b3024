package warehouse

import (
	"context"
	"time"

	"tributary"
)

// Warehouse is a sink that keeps its own checkpoint and can be asked. All
// methods are safe for concurrent use; a running query does not hold up
// Deliver, nor the other way round.
//
// Deliver applies each entry exactly once: raw rows, current state and
// checkpoint commit in one transaction, in which the checkpoint's row is moved
// first. Entries at or below the checkpoint are skipped, foreign entries only
// move it. Positions are compared as the decimal numbers that they are.
//
// Deliver's Kinds: Stale if the lease's epoch is below one that the warehouse
// has seen for the shard, or if the checkpoint was moved by someone else
// meanwhile; Unavailable if the warehouse cannot take entries now. After any
// error nothing of the batch is in the warehouse, except that after
// Unavailable all of it may be: delivering it again is harmless.
type Warehouse interface {
	tributary.Sink
	tributary.Checkpointer
	// Query runs one SELECT on a consistent state. Invalid if it is not exactly
	// one SELECT or does not compile, Denied if it reaches for what queries may
	// not use, Limit if it exceeds the time or the memory it may take.
	Query(ctx context.Context, sql string, l QueryLimits) (*Result, error)
	Close() error
}

// QueryLimits is what a query may take. The zero value stands for defaults.
type QueryLimits struct {
	Time  time.Duration // until the last row; 30 s if 0
	Rows  int           // of the result; 10,000 if 0
	Bytes int64         // of the result's values; 32 MiB if 0
}

// Effective fills what is not set with the defaults.
func (l QueryLimits) Effective() QueryLimits {
	if l.Time <= 0 {
		l.Time = 30 * time.Second
	}
	if l.Rows <= 0 {
		l.Rows = 10_000
	}
	if l.Bytes <= 0 {
		l.Bytes = 32 << 20
	}
	return l
}

// Result is a query's answer.
type Result struct {
	Columns []string
	Types   []string // names of the columns' types, as the engine calls them
	// Rows hold string, int64, float64, bool, time.Time in UTC, or nil. What
	// none of these can hold is given as its text.
	Rows [][]any
	// Cut says that the result had more rows, or more bytes, than the limits allow.
	Cut bool
}

// Above tells whether position p lies above q. Sequence numbers, Kinesis' own
// included, are decimal numbers without leading zeros; "" lies below all.
func Above(p, q tributary.Position) bool {
	if len(p) != len(q) {
		return len(p) > len(q)
	}
	return p > q
}
