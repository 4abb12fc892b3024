// Package trigger calls out before a sync is stored: to a function of AWS Lambda,
// or to a webhook, with the event and the rules of Amazon Cognito Events.
package trigger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"tributary"
)

const (
	patience      = 5 * time.Second // AWS's limit, which cannot be changed there
	mostCalls     = 100             // under way at once, of one pool
	largestAnswer = 6 << 20         // bytes: Lambda's own limit
	quiet         = time.Minute     // between two log lines about one pool
	longestName   = 2048            // bytes of a function's ARN or address
)

// Outcomes of a call, for [Caller.Observe].
const (
	OK        = "ok"
	Failed    = "error"
	TimedOut  = "timeout"
	Throttled = "throttled"
)

// Caller calls functions. It is a [tributary.Functions].
type Caller struct {
	Lambda  *Lambda // nil: functions of AWS Lambda are refused
	Webhook Webhook
	Log     *slog.Logger     // nil: no log
	Now     func() time.Time // nil: time.Now
	// Patience is how long a call may take; 0: 5 s, as at AWS.
	Patience time.Duration
	// Observe, if set, hears of every call: of its kind ("lambda" or "webhook"),
	// how it ended and how long it took.
	Observe func(kind, outcome string, took time.Duration)

	mu    sync.Mutex
	pools map[tributary.PoolID]*load
}

// load is what a pool's function has to do.
type load struct {
	calls  int // under way
	failed int // since the last log line
	logged time.Time
}

// failure is a call that gave nothing to store.
type failure struct {
	outcome string
	what    string // for the client: "The function ..." goes before it
	detail  string // for the client alone: may show data
	err     error  // for the log, free of data
}

func (f *failure) Error() string { return f.what }

// isLambda tells a function of AWS Lambda from a webhook.
func isLambda(function string) bool { return strings.HasPrefix(function, "arn:") }

// Check tells why a function cannot be called from here. Invalid.
func (c *Caller) Check(function string) error {
	const op = "check function"
	if len(function) > longestName {
		return tributary.Errorf(tributary.Invalid, op, "The function's name has %d bytes, the most is %d", len(function), longestName)
	}
	why := ""
	switch {
	case !isLambda(function):
		why = checkAddress(function)
	case regionOf(function) == "":
		why = "it must be the ARN of a function of AWS Lambda, such as arn:aws:lambda:us-east-1:123456789012:function:sync, or an https URL"
	case c.Lambda == nil:
		why = "this server calls no functions of AWS Lambda (it was started without --lambda); an https URL is called as a webhook"
	}
	if why != "" {
		return tributary.Errorf(tributary.Invalid, op, "The function %.128q cannot be called: %s", function, why)
	}
	return nil
}

// BeforeSync calls a function, and gives the records of its answer in the order
// of their keys. Errors are as [tributary.Functions] has them.
func (c *Caller) BeforeSync(ctx context.Context, function string, e *tributary.SyncEvent) ([]tributary.EventRecord, error) {
	kind := "webhook"
	if isLambda(function) {
		kind = "lambda"
	}
	begun := c.now()
	records, f := c.call(ctx, function, e)
	outcome := OK
	if f != nil {
		outcome = f.outcome
	}
	took := c.now().Sub(begun)
	if c.Observe != nil {
		c.Observe(kind, outcome, took)
	}
	if f == nil {
		return records, nil
	}
	if ctx.Err() == nil { // else the client has gone away, which is not the function's fault
		c.tell(function, e.Key.Pool, f, took)
	}
	return nil, f.asError()
}

func (f *failure) asError() error {
	cause := f.err
	switch f.outcome {
	case TimedOut:
		cause = tributary.ErrTriggerTimeout
	case Throttled:
		cause = tributary.ErrTriggerThrottled
	}
	return &tributary.Error{Kind: tributary.Trigger, Op: "call function", Msg: "The function " + f.what + f.detail, Err: cause}
}

// call is BeforeSync in time, and not too often at once.
func (c *Caller) call(ctx context.Context, function string, e *tributary.SyncEvent) ([]tributary.EventRecord, *failure) {
	if !c.begin(e.Key.Pool) {
		return nil, &failure{outcome: Throttled, what: fmt.Sprintf("is called more than %d times at once. Try again", mostCalls)}
	}
	defer c.end(e.Key.Pool)
	limit := c.Patience
	if limit == 0 {
		limit = patience
	}
	inTime, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := c.send(inTime, function, e)
	if err == nil {
		err = inTime.Err() // a connection that is closed in the middle can end like a whole answer
	}
	if err == nil {
		records, err := decode(answer, e)
		if err != nil {
			return nil, &failure{outcome: Failed, what: "gave an answer that is not valid", detail: ": " + err.Error()}
		}
		return records, nil
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		return nil, f
	}
	if inTime.Err() != nil && ctx.Err() == nil {
		return nil, &failure{outcome: TimedOut, what: fmt.Sprintf("did not answer within %v", limit), err: err}
	}
	return nil, &failure{outcome: Failed, what: "could not be called", err: err}
}

func (c *Caller) send(ctx context.Context, function string, e *tributary.SyncEvent) ([]byte, error) {
	event, err := encode(e)
	if err != nil {
		return nil, err
	}
	switch {
	case !isLambda(function):
		return c.Webhook.call(ctx, e.Key.Pool, function, event)
	case c.Lambda == nil:
		return nil, errors.New("the server was started without --lambda")
	}
	return c.Lambda.call(ctx, function, event)
}

// begin counts a call, unless too many are under way.
func (c *Caller) begin(p tributary.PoolID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.pools[p]
	if l == nil {
		if c.pools == nil {
			c.pools = map[tributary.PoolID]*load{}
		}
		l = &load{}
		c.pools[p] = l
	}
	if l.calls == mostCalls {
		return false
	}
	l.calls++
	return true
}

func (c *Caller) end(p tributary.PoolID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[p].calls--
}

// tell logs a failure, at most once a minute for a pool: each of its syncs may
// fail.
func (c *Caller) tell(function string, p tributary.PoolID, f *failure, took time.Duration) {
	c.mu.Lock()
	l := c.pools[p]
	l.failed++
	n := l.failed
	if now := c.now(); now.Sub(l.logged) < quiet {
		n = 0
	} else {
		l.failed, l.logged = 0, now
	}
	c.mu.Unlock()
	if n > 0 && c.Log != nil {
		c.Log.Warn("a pool's function failed", "pool", p, "function", withoutQuery(function), "outcome", f.outcome, "what", f.what, "took", took, "failures", n, "err", f.err)
	}
}

// withoutQuery leaves out of an address what may be a secret.
func withoutQuery(function string) string {
	u, err := url.Parse(function)
	if err != nil || u.Host == "" {
		return function
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

func (c *Caller) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}
