package awswire

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// The headers of every answer, spelled as AWS spells them: iOS looks for the
// exact name of the first, so they are not brought into Go's canonical form.
const (
	errorTypeHeader = "x-amzn-ErrorType"
	requestIDHeader = "x-amzn-RequestId"
)

// exchange writes one answer.
type exchange struct {
	w         http.ResponseWriter
	protocol  Protocol
	format    format
	namespace string // of XML
	id        string
	status    int
}

// Stream is an operation's output that is written as it comes, of any length.
// An answer that fails after its begin is cut off, so that nobody takes it for
// the whole.
type Stream struct {
	ContentType string
	// Write writes it.
	Write func(ctx context.Context, w io.Writer) error
	// Close is called at the end, however it went, also if nothing was written.
	Close func() error
}

// stream writes an answer of unknown length.
func (x *exchange) stream(ctx context.Context, s *Stream) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	h := x.w.Header()
	h[requestIDHeader] = []string{x.id}
	h.Set("Content-Type", s.ContentType)
	x.status = http.StatusOK
	x.w.WriteHeader(x.status)
	return s.Write(ctx, x.w)
}

func (x *exchange) encode(operation string, out any) ([]byte, error) {
	if x.protocol == Query {
		return queryAnswer(x.namespace, operation, x.id, out)
	}
	return x.format.marshal(out)
}

func (x *exchange) fault(f *Fault) {
	if x.status != 0 {
		return // a panic after the answer
	}
	x.w.Header()[errorTypeHeader] = []string{f.Code}
	if f.Status == http.StatusServiceUnavailable || f.Status == http.StatusTooManyRequests {
		x.w.Header().Set("Retry-After", "1") // seconds
	}
	status := f.Status
	if x.protocol == JSON11 && status > http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusRequestEntityTooLarge {
		status = http.StatusBadRequest // AWS JSON answers 400 to all faults of the caller
	}
	if x.protocol == Query && status == http.StatusTooManyRequests {
		status = http.StatusBadRequest // which is how AWS throttles there
	}
	x.write(status, x.envelope(f))
}

// envelope writes a fault.
func (x *exchange) envelope(f *Fault) []byte {
	if x.protocol == Query {
		body, _ := queryFault(x.namespace, x.id, f) // of texts alone, which cannot fail
		return body
	}
	envelope := faultShape{Message: strings.ToValidUTF8(f.Message, "\uFFFD")}
	if x.protocol == JSON11 {
		envelope.Type = f.Code
	}
	body, _ := x.format.marshal(envelope) // of texts alone, which cannot fail
	return body
}

// faultShape is a fault as JSON and CBOR show it.
type faultShape struct {
	Type    string `json:"__type,omitzero"`
	Message string `json:"message"`
}

func (x *exchange) write(status int, body []byte) {
	h := x.w.Header()
	h[requestIDHeader] = []string{x.id}
	h["Content-Type"] = x.format.contentType(x.protocol)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.status = status
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a caller that has gone cannot be told
}

var contentTypes = [...][]string{RESTJSON: {"application/json"}, JSON11: {"application/x-amz-json-1.1"}, Query: {"text/xml"}}

// newRequestID makes a UUID. It names a request and proves nothing.
func newRequestID() string {
	const hex = "0123456789abcdef"
	hi, lo := rand.Uint64(), rand.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 1<<63
	var b [36]byte
	i := 0
	for shift := 124; shift >= 0; shift -= 4 {
		n := lo
		if shift >= 64 {
			n = hi
		}
		if i == 8 || i == 13 || i == 18 || i == 23 {
			b[i] = '-'
			i++
		}
		b[i] = hex[n>>(shift%64)&15]
		i++
	}
	return string(b[:])
}
