// Package cognitoidentity is the front with the wire of Amazon Cognito
// Identity: AWS JSON 1.1, signing name cognito-identity.
package cognitoidentity

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/awswire"
)

// Name is the service's signing name.
const Name = "cognito-identity"

const (
	target  = "AWSCognitoIdentityService"
	maxBody = 1 << 20 // ten logins of 50,000 characters, and their frame
)

// Config says what the front stands on.
type Config struct {
	Service      *tributary.Service
	Authenticate func(*http.Request, awswire.ReadBody) (tributary.Principal, error)
	// Admit, if set, may refuse a request that needs no signature.
	Admit func(*http.Request) error
	// Issue makes temporary credentials of an identity that has signed in.
	Issue   func(tributary.Grant) (awswire.Credentials, time.Time, error)
	Log     *slog.Logger // nil: no log
	Begin   awswire.Begin[principal]
	Observe func(service, operation string, status int, took time.Duration)
}

type front struct {
	service *tributary.Service
	issue   func(tributary.Grant) (awswire.Credentials, time.Time, error)
	log     *slog.Logger
}

type (
	principal = tributary.Principal
	handler   = func(context.Context, principal, awswire.Input) (any, error)
)

// New makes the front.
func New(c Config) http.Handler {
	f := &front{service: c.Service, issue: c.Issue, log: c.Log}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	operations := f.operations()
	table := make([]awswire.Operation[principal], len(operations))
	kinds := map[string][]tributary.Kind{}
	for i, o := range operations {
		table[i] = awswire.Operation[principal]{Name: o.name, Public: o.public, Handle: o.checked()}
		kinds[o.name] = o.kinds
	}
	return &awswire.Service[principal]{
		Name: Name, Target: target, Protocol: awswire.JSON11, Operations: table, Authenticate: c.Authenticate, Admit: c.Admit, Begin: c.Begin,
		Fault:   func(operation string, err error) *awswire.Fault { return fault(kinds[operation], err) },
		MaxBody: maxBody, Log: c.Log, Observe: c.Observe,
	}
}

// handle is the handler of a typed operation.
func handle[In, Out any](f func(context.Context, principal, *In) (*Out, error)) handler {
	return awswire.Handler(f)
}

// checked is the operation's handler behind what its model demands of the input.
// The body is read once without types: only so is what is absent told from what
// is empty.
func (o *operation) checked() handler {
	return func(ctx context.Context, p principal, in awswire.Input) (any, error) {
		var body any = map[string]any{}
		if len(in.Body) > 0 {
			if err := json.Unmarshal(in.Body, &body); err != nil {
				return nil, awswire.NotDecoded(err)
			}
			if _, ok := body.(map[string]any); !ok {
				return nil, awswire.NotDecoded(errors.New("the body is no object"))
			}
		}
		if err := checkInput(o.in, body); err != nil {
			return nil, err
		}
		return o.handle(ctx, p, in)
	}
}

// faults is what each Kind is called on this wire. All but faults of ours are
// answered with status 400.
var faults = [...]string{
	tributary.Internal:      "InternalErrorException",
	tributary.Invalid:       "InvalidParameterException",
	tributary.NotFound:      "ResourceNotFoundException",
	tributary.Exists:        "ResourceConflictException",
	tributary.Stale:         "ConcurrentModificationException",
	tributary.Denied:        "NotAuthorizedException",
	tributary.Limit:         "LimitExceededException",
	tributary.Throttled:     "TooManyRequestsException",
	tributary.Busy:          "TooManyRequestsException",
	tributary.Trigger:       "ExternalServiceException",
	tributary.Unavailable:   "ServiceUnavailableException",
	tributary.Taken:         "DeveloperUserAlreadyRegisteredException",
	tributary.Misconfigured: "InvalidIdentityPoolConfigurationException",
	tributary.Forbidden:     "AccessDeniedException",
}

// instead is what a Kind passes for in an operation whose model lacks its
// exception. Kinds that are not in it are answered by all operations.
var instead = map[tributary.Kind]tributary.Kind{
	tributary.Stale:         tributary.Busy, // which SDKs try again
	tributary.Taken:         tributary.Exists,
	tributary.Limit:         tributary.Exists,
	tributary.Exists:        tributary.Invalid,
	tributary.Misconfigured: tributary.Invalid,
	tributary.Trigger:       tributary.Internal,
}

// fault is an error in the terms of an operation that has exceptions for kinds.
func fault(kinds []tributary.Kind, err error) *awswire.Fault {
	kind, message := tributary.KindOf(err), tributary.Message(err)
	if kind == tributary.Internal {
		message = "Internal error"
	}
	for next, ok := instead[kind]; ok && !slices.Contains(kinds, kind); next, ok = instead[kind] {
		kind = next
	}
	f := &awswire.Fault{Code: faults[kind], Status: http.StatusBadRequest, Message: message}
	switch kind {
	case tributary.Internal:
		f.Status = http.StatusInternalServerError
	case tributary.Throttled, tributary.Busy:
		f.Status = http.StatusTooManyRequests // answered as 400, with Retry-After
	case tributary.Unavailable:
		f.Status = http.StatusServiceUnavailable
	}
	return f
}
