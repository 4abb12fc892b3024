// Package cognitosync is the front with the wire of Amazon Cognito Sync, API
// version 2014-06-30: REST-JSON, signing name cognito-sync.
package cognitosync

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"tributary"
	"tributary/awswire"
)

// Name is the service's signing name.
const Name = "cognito-sync"

// maxBody bounds request bodies: a dataset of 1 MiB in which JSON escapes
// every character as \u00xx, and its frame.
const maxBody = 8 << 20

// Config says what the front stands on.
type Config struct {
	Service      *tributary.Service
	Authenticate func(*http.Request, awswire.ReadBody) (tributary.Principal, error)
	Log          *slog.Logger
	Begin        awswire.Begin[principal]
	Observe      func(service, operation string, status int, took time.Duration)
}

type front struct{ service *tributary.Service }

type (
	op        = awswire.Operation[tributary.Principal]
	principal = tributary.Principal
)

const (
	poolPath     = "/identitypools/{IdentityPoolId}"
	identityPath = poolPath + "/identities/{IdentityId}"
	datasetPath  = identityPath + "/datasets/{DatasetName}"
)

// New makes the front.
func New(c Config) http.Handler {
	f := &front{service: c.Service}
	return &awswire.Service[principal]{
		Name: Name, Protocol: awswire.RESTJSON, Operations: f.operations(), Authenticate: c.Authenticate,
		Begin: c.Begin, Fault: fault, MaxBody: maxBody, Log: c.Log, Observe: c.Observe,
	}
}

func (f *front) operations() []op {
	rest := awswire.Unsupported[principal]
	return []op{
		{Name: "UpdateRecords", Method: "POST", Path: datasetPath, Handle: awswire.Handler(f.updateRecords)},
		{Name: "ListRecords", Method: "GET", Path: datasetPath + "/records", Handle: awswire.Handler(f.listRecords)},
		{Name: "ListDatasets", Method: "GET", Path: identityPath + "/datasets", Handle: awswire.Handler(f.listDatasets)},
		{Name: "DescribeDataset", Method: "GET", Path: datasetPath, Handle: awswire.Handler(f.describeDataset)},
		{Name: "DeleteDataset", Method: "DELETE", Path: datasetPath, Handle: awswire.Handler(f.deleteDataset)},
		{Name: "DescribeIdentityUsage", Method: "GET", Path: identityPath, Handle: awswire.Handler(f.describeIdentityUsage)},
		{Name: "DescribeIdentityPoolUsage", Method: "GET", Path: poolPath, Handle: awswire.Handler(f.describePoolUsage)},
		{Name: "ListIdentityPoolUsage", Method: "GET", Path: "/identitypools", Handle: awswire.Handler(f.listPoolUsage)},
		{Name: "GetIdentityPoolConfiguration", Method: "GET", Path: poolPath + "/configuration", Handle: awswire.Handler(f.configuration)},
		{Name: "SetIdentityPoolConfiguration", Method: "POST", Path: poolPath + "/configuration", Handle: awswire.Handler(f.setConfiguration)},
		{Name: "GetCognitoEvents", Method: "GET", Path: poolPath + "/events", Handle: awswire.Handler(f.events)},
		{Name: "SetCognitoEvents", Method: "POST", Path: poolPath + "/events", Handle: awswire.Handler(f.setEvents)},
		rest("BulkPublish", "POST", poolPath+"/bulkpublish"),
		rest("GetBulkPublishDetails", "POST", poolPath+"/getBulkPublishDetails"),
		rest("RegisterDevice", "POST", poolPath+"/identity/{IdentityId}/device"),
		rest("SubscribeToDataset", "POST", datasetPath+"/subscriptions/{DeviceId}"),
		rest("UnsubscribeFromDataset", "DELETE", datasetPath+"/subscriptions/{DeviceId}"),
	}
}

// faults is what each Kind is called on this wire.
var faults = [...]struct {
	code   string
	status int
}{
	tributary.Internal:      {"InternalErrorException", http.StatusInternalServerError},
	tributary.Invalid:       {"InvalidParameterException", http.StatusBadRequest},
	tributary.NotFound:      {"ResourceNotFoundException", http.StatusNotFound},
	tributary.Exists:        {"ResourceConflictException", http.StatusConflict},
	tributary.Stale:         {"ResourceConflictException", http.StatusConflict},
	tributary.Denied:        {"NotAuthorizedException", http.StatusForbidden},
	tributary.Limit:         {"LimitExceededException", http.StatusBadRequest},
	tributary.Throttled:     {"TooManyRequestsException", http.StatusTooManyRequests},
	tributary.Busy:          {"TooManyRequestsException", http.StatusTooManyRequests},
	tributary.Trigger:       {"InvalidLambdaFunctionOutputException", http.StatusBadRequest},
	tributary.Unavailable:   {"ServiceUnavailableException", http.StatusServiceUnavailable},
	tributary.Taken:         {"ResourceConflictException", http.StatusConflict},
	tributary.Misconfigured: {"InvalidConfigurationException", http.StatusBadRequest},
	tributary.Forbidden:     {"AccessDeniedException", http.StatusForbidden},
}

func fault(operation string, err error) *awswire.Fault {
	kind := tributary.KindOf(err)
	f := faults[kind]
	switch {
	case kind == tributary.Stale && operation == "SetIdentityPoolConfiguration":
		f.code, f.status = "ConcurrentModificationException", http.StatusBadRequest
	case errors.Is(err, tributary.ErrTriggerTimeout):
		f.code = "LambdaSocketTimeoutException"
	case errors.Is(err, tributary.ErrTriggerThrottled):
		f.code, f.status = "LambdaThrottledException", http.StatusTooManyRequests
	}
	message := tributary.Message(err)
	if kind == tributary.Internal {
		message = "Internal error"
	}
	return &awswire.Fault{Code: f.code, Status: f.status, Message: message}
}

// datasetKey is the input of operations on one dataset: its path.
type datasetKey struct{ tributary.DatasetKey }

func (k *datasetKey) Bind(p awswire.Params) error {
	k.Pool = tributary.PoolID(p.Path("IdentityPoolId"))
	k.Identity = tributary.IdentityID(p.Path("IdentityId"))
	k.Dataset = tributary.DatasetName(p.Path("DatasetName"))
	return nil
}

// count reads a whole number from the query.
func count(p awswire.Params, name string) (int64, error) {
	text, ok := p.Query(name)
	if !ok || text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, tributary.Errorf(tributary.Invalid, "read query", "%s is %.64q, it must be a whole number that is not negative", name, text)
	}
	return n, nil
}

// maxResults reads the size of a page; 0 if none was asked for.
func maxResults(p awswire.Params) (int, error) {
	n, err := count(p, "maxResults")
	if err != nil {
		return 0, err
	}
	if _, given := p.Query("maxResults"); given && n == 0 {
		return 0, tributary.Errorf(tributary.Invalid, "read query", "maxResults is 0, it must be at least 1")
	}
	return int(min(n, 1<<30)), nil
}

func timestamp(m tributary.Millis) awswire.Timestamp { return awswire.Timestamp(m) }
