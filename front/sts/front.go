// Package sts is the front with the wire of AWS's Security Token Service, as far
// as the classic flow of Cognito Identity needs it: AWS's Query protocol,
// signing name sts.
package sts

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"tributary"
	"tributary/awswire"
)

// Name is the service's signing name.
const Name = "sts"

const (
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	maxBody   = 64 << 10
)

// Config says what the front stands on.
type Config struct {
	Service      *tributary.Service
	Authenticate func(*http.Request, awswire.ReadBody) (tributary.Principal, error)
	// Admit, if set, may refuse a request that needs no signature.
	Admit func(*http.Request) error
	// Issue makes temporary credentials of an identity in a role.
	Issue   func(tributary.Grant) (awswire.Credentials, time.Time, error)
	Log     *slog.Logger // nil: no log
	Begin   awswire.Begin[principal]
	Observe func(service, operation string, status int, took time.Duration)
}

type front struct {
	service *tributary.Service
	issue   func(tributary.Grant) (awswire.Credentials, time.Time, error)
}

type (
	op        = awswire.Operation[tributary.Principal]
	principal = tributary.Principal
)

// New makes the front.
func New(c Config) http.Handler {
	f := &front{service: c.Service, issue: c.Issue}
	return &awswire.Service[principal]{
		Name: Name, Protocol: awswire.Query, Namespace: namespace,
		Operations: []op{
			{Name: "AssumeRoleWithWebIdentity", Public: true, Handle: awswire.Handler(f.assumeRole)},
			{Name: "GetCallerIdentity", Handle: awswire.Handler(f.callerIdentity)},
		},
		Authenticate: c.Authenticate, Admit: c.Admit, Begin: c.Begin, Fault: fault, MaxBody: maxBody, Log: c.Log, Observe: c.Observe,
	}
}

// faults is what each Kind is on this wire.
var faults = [...]struct {
	code   string
	status int
}{
	tributary.Internal:      {"InternalFailure", http.StatusInternalServerError},
	tributary.Invalid:       {"ValidationError", http.StatusBadRequest},
	tributary.NotFound:      {"ValidationError", http.StatusBadRequest},
	tributary.Exists:        {"ValidationError", http.StatusBadRequest},
	tributary.Stale:         {"Throttling", http.StatusTooManyRequests},
	tributary.Denied:        {"AccessDenied", http.StatusForbidden},
	tributary.Limit:         {"PackedPolicyTooLarge", http.StatusBadRequest},
	tributary.Throttled:     {"Throttling", http.StatusTooManyRequests}, // answered as 400, with Retry-After
	tributary.Busy:          {"Throttling", http.StatusTooManyRequests},
	tributary.Trigger:       {"IDPCommunicationError", http.StatusBadRequest},
	tributary.Unavailable:   {"ServiceUnavailable", http.StatusServiceUnavailable},
	tributary.Taken:         {"ValidationError", http.StatusBadRequest},
	tributary.Misconfigured: {"ValidationError", http.StatusBadRequest},
	tributary.Forbidden:     {"AccessDenied", http.StatusForbidden},
}

func fault(_ string, err error) *awswire.Fault {
	kind := tributary.KindOf(err)
	f := &awswire.Fault{Code: faults[kind].code, Status: faults[kind].status, Message: tributary.Message(err)}
	switch {
	case kind == tributary.Internal:
		f.Message = "Internal failure"
	case errors.Is(err, tributary.ErrTokenExpired):
		f.Code, f.Status = "ExpiredTokenException", http.StatusBadRequest
	case errors.Is(err, tributary.ErrTokenRefused):
		f.Code, f.Status = "InvalidIdentityToken", http.StatusBadRequest
	case errors.Is(err, tributary.ErrPolicyRefused):
		f.Code = "MalformedPolicyDocument"
	}
	return f
}
