// Package cognitoidentity is the front with the wire of Amazon Cognito
// Identity: AWS JSON 1.1, signing name cognito-identity.
package cognitoidentity

import (
	"log/slog"
	"net/http"
	"time"

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
	// Issue makes temporary credentials of an identity.
	Issue   func(tributary.Identity) (awswire.Credentials, time.Time, error)
	Log     *slog.Logger
	Begin   awswire.Begin[principal]
	Observe func(service, operation string, status int, took time.Duration)
}

type front struct {
	service *tributary.Service
	issue   func(tributary.Identity) (awswire.Credentials, time.Time, error)
}

type (
	op        = awswire.Operation[tributary.Principal]
	principal = tributary.Principal
)

// New makes the front.
func New(c Config) http.Handler {
	f := &front{service: c.Service, issue: c.Issue}
	return &awswire.Service[principal]{
		Name: Name, Target: target, Protocol: awswire.JSON11, Operations: f.operations(), Authenticate: c.Authenticate, Admit: c.Admit,
		Begin: c.Begin, Fault: fault, MaxBody: maxBody, Log: c.Log, Observe: c.Observe,
	}
}

func (f *front) operations() []op {
	ops := []op{
		{Name: "CreateIdentityPool", Handle: awswire.Handler(f.createPool)},
		{Name: "DescribeIdentityPool", Handle: awswire.Handler(f.describePool)},
		{Name: "UpdateIdentityPool", Handle: awswire.Handler(f.updatePool)},
		{Name: "DeleteIdentityPool", Handle: awswire.Handler(f.deletePool)},
		{Name: "ListIdentityPools", Handle: awswire.Handler(f.listPools)},
		{Name: "ListIdentities", Handle: awswire.Handler(f.listIdentities)},
		{Name: "DescribeIdentity", Handle: awswire.Handler(f.describeIdentity)},
		{Name: "GetId", Public: true, Handle: awswire.Handler(f.getID)},
		{Name: "GetCredentialsForIdentity", Public: true, Handle: awswire.Handler(f.getCredentials)},
	}
	for _, name := range []string{
		"DeleteIdentities", "GetIdentityPoolRoles", "GetOpenIdTokenForDeveloperIdentity", "GetPrincipalTagAttributeMap",
		"ListTagsForResource", "LookupDeveloperIdentity", "MergeDeveloperIdentities", "SetIdentityPoolRoles", "SetPrincipalTagAttributeMap",
		"TagResource", "UnlinkDeveloperIdentity", "UntagResource",
	} {
		ops = append(ops, awswire.Unsupported[principal](name, "", ""))
	}
	for _, name := range []string{"GetOpenIdToken", "UnlinkIdentity"} {
		o := awswire.Unsupported[principal](name, "", "")
		o.Public = true
		ops = append(ops, o)
	}
	return ops
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

func fault(_ string, err error) *awswire.Fault {
	kind := tributary.KindOf(err)
	f := &awswire.Fault{Code: faults[kind], Status: http.StatusBadRequest, Message: tributary.Message(err)}
	switch kind {
	case tributary.Internal:
		f.Status, f.Message = http.StatusInternalServerError, "Internal error"
	case tributary.Throttled, tributary.Busy:
		f.Status = http.StatusTooManyRequests // answered as 400, with Retry-After
	case tributary.Unavailable:
		f.Status = http.StatusServiceUnavailable
	}
	return f
}
