package trigger

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"
)

// arnPattern is the ARN of a function, or of one of its versions or aliases.
var arnPattern = regexp.MustCompile(`^arn:aws[a-z-]*:lambda:([a-z0-9-]+):\d{12}:function:[a-zA-Z0-9_-]{1,64}(:[a-zA-Z0-9$_-]{1,128})?$`)

// regionOf is the region in a function's ARN, "" if it is none.
func regionOf(arn string) string {
	parts := arnPattern.FindStringSubmatch(arn)
	if parts == nil {
		return ""
	}
	return parts[1]
}

// Lambda calls functions through the Invoke operation of AWS Lambda.
type Lambda struct{ client *lambda.Client }

// NewLambda makes a Lambda with the credentials and settings of a config. A
// function is called in the region of its ARN, at the endpoint, or if that is ""
// at AWS's. A call is never tried again by itself: the function may have done
// something.
func NewLambda(cfg aws.Config, endpoint string) *Lambda {
	return &Lambda{lambda.NewFromConfig(cfg, func(o *lambda.Options) {
		o.HTTPClient = &http.Client{Transport: ownBody{bounded{&http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DialContext: (&net.Dialer{Timeout: patience}).DialContext,
			MaxIdleConnsPerHost: mostCalls, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		}}}}
		o.Retryer = aws.NopRetryer{}
		o.BaseEndpoint = nil // AWS_ENDPOINT_URL may well lead to this very server
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})}
}

// ownBody is a transport that sends a copy of the body. The SDK closes its own as
// soon as the head of the answer is there; the transport, which may still look
// whether more of it comes, would take that for a failed write, and close the
// connection under the answer.
type ownBody struct{ http.RoundTripper }

// RoundTrip sends a request.
func (o ownBody) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	copied := r.Clone(r.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	return o.RoundTripper.RoundTrip(copied)
}

// call invokes a function and gives its answer.
func (l *Lambda) call(ctx context.Context, arn string, event []byte) ([]byte, error) {
	out, err := l.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &arn, Payload: event}, func(o *lambda.Options) { o.Region = regionOf(arn) })
	if err != nil {
		return nil, lambdaFailure(err)
	}
	if out.FunctionError != nil {
		return nil, &failure{outcome: Failed, what: "failed with an error of its own"}
	}
	return out.Payload, nil
}

// lambdaFailure tells what the error of an Invoke means for the sync.
func lambdaFailure(err error) error {
	var answered smithy.APIError
	switch {
	case errors.Is(err, errTooLarge):
		return tooLarge()
	case !errors.As(err, &answered):
		return err
	case answered.ErrorCode() == "TooManyRequestsException":
		return &failure{outcome: Throttled, what: "is called more often than AWS Lambda allows. Try again", err: err}
	}
	return &failure{outcome: Failed, what: "could not be called: AWS Lambda answers " + answered.ErrorCode(), err: err}
}
