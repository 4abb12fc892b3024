package tributary

import (
	"errors"
	"fmt"
)

// Kind says what a caller can do about an error. Each front maps Kinds to the
// exceptions of its own protocol in one table.
type Kind uint8

// The kinds of error.
const (
	Internal      Kind = iota // a fault of ours; the cause is in the log
	Invalid                   // the request is wrong and will always be
	NotFound                  // what it names does not exist
	Exists                    // what it would create exists
	Stale                     // it was computed from a state that has moved: read again
	Denied                    // the caller may not do this
	Limit                     // a limit of the pool or the server would be exceeded
	Throttled                 // the caller is too fast
	Busy                      // contention: the same request may succeed later
	Trigger                   // the sync trigger failed
	Unavailable               // the store cannot answer now
	Taken                     // a developer's user is linked to another identity
	Misconfigured             // the pool's settings do not allow it
	Forbidden                 // a policy does not allow it
)

var kindNames = [...]string{"internal", "invalid", "not found", "exists", "stale", "denied",
	"limit", "throttled", "busy", "trigger", "unavailable", "taken", "misconfigured", "forbidden"}

// Kinds lists every Kind, for tests that walk the fronts' tables.
func Kinds() []Kind {
	all := make([]Kind, len(kindNames))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error is the error of every room of the house. Msg may reach a client, Err
// never does.
type Error struct {
	Kind Kind
	Op   string // the operation that failed, such as "commit"
	Msg  string // for the caller
	Err  error  // the cause, for the log
}

func (e *Error) Error() string {
	s := e.Op
	if s == "" {
		s = e.Kind.String()
	}
	if e.Msg != "" {
		s += ": " + e.Msg
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error whose text may reach the caller.
func Errorf(kind Kind, op, format string, args ...any) *Error {
	return &Error{Kind: kind, Op: op, Msg: fmt.Sprintf(format, args...)}
}

// KindOf tells the Kind of err: Internal unless an [Error] is in its chain.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Message gives the text of err that may reach a client, or "".
func Message(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return ""
}
