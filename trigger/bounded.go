package trigger

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// bounded is a transport whose answers end with errTooLarge where they would be
// larger than is taken.
type bounded struct{ http.RoundTripper }

var errTooLarge = errors.New("the answer is too large")

func tooLarge() error {
	return &failure{outcome: Failed, what: fmt.Sprintf("gave an answer of more than %d bytes", largestAnswer)}
}

// RoundTrip sends a request.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = &boundedBody{answer.Body, largestAnswer}
	}
	return answer, err
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
