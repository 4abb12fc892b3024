package kinesisapi

import (
	"net/http"

	"tributary"
	"tributary/awswire"
)

// exception is what a Kind is called on this wire, and its text if the error
// has none for the caller.
type exception struct {
	code   string
	status int
	text   string
}

// exceptionOf is the table from Kinds to Kinesis' exceptions.
func exceptionOf(k tributary.Kind) exception {
	switch k {
	case tributary.Invalid, tributary.Misconfigured:
		return exception{"InvalidArgumentException", http.StatusBadRequest, "The request has an argument that is not valid."}
	case tributary.NotFound:
		return exception{"ResourceNotFoundException", http.StatusBadRequest, "The requested resource could not be found."}
	case tributary.Exists, tributary.Stale, tributary.Taken:
		return exception{"ResourceInUseException", http.StatusBadRequest, "The resource is in use. Try again."}
	case tributary.Denied, tributary.Forbidden:
		return exception{"AccessDeniedException", http.StatusBadRequest, "You do not have the permissions for this operation."}
	case tributary.Limit:
		return exception{"LimitExceededException", http.StatusBadRequest, "The request exceeds a limit."}
	case tributary.Throttled:
		return exception{"ProvisionedThroughputExceededException", http.StatusBadRequest, "Rate exceeded. Try again."}
	case tributary.Busy, tributary.Unavailable: // which every client tries again by itself
		return exception{"ServiceUnavailable", http.StatusServiceUnavailable, "The service cannot answer at the moment. Try again."}
	case tributary.Internal, tributary.Trigger:
	}
	return exception{"InternalFailure", http.StatusInternalServerError, "The request has failed because of an internal error."}
}

// fault puts an error in Kinesis' terms.
func fault(_ string, err error) *awswire.Fault {
	e := exceptionOf(tributary.KindOf(err))
	text := tributary.Message(err)
	if text == "" {
		text = e.text
	}
	return &awswire.Fault{Code: e.code, Status: e.status, Message: text}
}

// expired is the fault of an iterator or a token that is too old. No Kind
// stands for it: only this wire has such a thing.
func expired(code, text string) *awswire.Fault {
	return &awswire.Fault{Code: code, Status: http.StatusBadRequest, Message: text}
}

// dryRun is the answer to a request that would have succeeded and only asks
// whether it would.
func dryRun() *awswire.Fault {
	return &awswire.Fault{Code: "DryRunOperationException", Status: http.StatusBadRequest, Message: "The request would have succeeded, but the DryRun parameter was specified."}
}

// invalid refuses an argument.
func invalid(op, format string, args ...any) error {
	return tributary.Errorf(tributary.Invalid, op, format, args...)
}

// required refuses a member that is missing.
func required(op, member string) error {
	return invalid(op, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}

// bounded reads an optional number of at least 1.
func bounded(op, member string, n *int, otherwise, most int) (int, error) {
	switch {
	case n == nil:
		return otherwise, nil
	case *n < 1:
		return 0, invalid(op, "1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value greater than or equal to 1", *n, member)
	case *n > most:
		return 0, invalid(op, "1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value less than or equal to %d", *n, member, most)
	}
	return *n, nil
}
