package kinesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"tributary"
)

// notKept is an update that the bucket did not take, which says nothing of the
// stream.
type notKept struct{ err error }

func (e *notKept) Error() string { return "upload to the payload bucket: " + e.err.Error() }

func (e *notKept) Unwrap() error { return e.err }

// codeOf names an error, for the metrics: AWS's code where it has one.
func codeOf(err error) string {
	var api smithy.APIError
	var large *tooLarge
	var bucket *notKept
	switch {
	case errors.As(err, &bucket):
		return "PayloadBucket"
	case errors.As(err, &api):
		return api.ErrorCode()
	case errors.As(err, &large):
		return "RecordTooLarge"
	case errors.Is(err, context.DeadlineExceeded):
		return "Timeout"
	}
	return "Connection"
}

// atSTS tells whether an error is that of assuming the role.
func atSTS(err error) bool {
	for err != nil {
		var op *smithy.OperationError
		if !errors.As(err, &op) {
			return false
		}
		if op.Service() == "STS" {
			return true
		}
		err = op.Unwrap()
	}
	return false
}

// reason is what a person must do before a call to a stream can work, "" if
// time may be enough.
func reason(t tributary.Target, err error) string {
	var api smithy.APIError
	var bucket *notKept
	if errors.As(err, &bucket) || !errors.As(err, &api) {
		return ""
	}
	code, said := api.ErrorCode(), clip(api.ErrorMessage())
	denied := code == "AccessDenied" || code == "AccessDeniedException"
	switch {
	case atSTS(err) && (denied || code == "ValidationError" || code == "RegionDisabledException"):
		return fmt.Sprintf("Role %s cannot be assumed (%s: %s). Its trust policy must allow sts:AssumeRole to the server's own credentials", t.RoleARN, code, said)
	case code == "ResourceNotFoundException":
		return fmt.Sprintf("Stream %s does not exist in %s (%s)", t.Name, t.Region, said)
	case denied:
		return fmt.Sprintf("Role %s may not write to stream %s in %s (%s: %s). Its policy must allow kinesis:PutRecords", t.RoleARN, t.Name, t.Region, code, said)
	case strings.HasPrefix(code, "KMS") && code != "KMSThrottlingException":
		return fmt.Sprintf("Stream %s in %s cannot use its key (%s: %s). The policies of role %s and of the key must allow kms:GenerateDataKey", t.Name, t.Region, code, said, t.RoleARN)
	case code == "InvalidArgumentException" || code == "ValidationException":
		return fmt.Sprintf("Stream %s in %s refuses a record (%s: %s)", t.Name, t.Region, code, said)
	}
	return ""
}

// isCredentials tells whether the credentials of a call were refused: others may
// be taken.
func isCredentials(err error) bool {
	return slices.Contains([]string{"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"}, codeOf(err))
}

// clip shortens what AWS said, for a sentence that goes on.
func clip(s string) string {
	const most = 300
	s = strings.TrimSuffix(s, ".")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
