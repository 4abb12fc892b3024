package awswire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Protocol is how a service names its operations and writes its answers.
type Protocol uint8

// The protocols.
const (
	RESTJSON Protocol = iota // method and path name the operation
	JSON11                   // POST /, the header X-Amz-Target names the operation
)

// Service is one AWS service: a table of operations. It serves HTTP.
type Service[P any] struct {
	Name       string // as in the credential scope of a signature
	Target     string // the prefix of X-Amz-Target up to the dot; JSON11 only
	Protocol   Protocol
	Operations []Operation[P]
	// Authenticate proves who calls. It is not asked for public operations.
	Authenticate func(r *http.Request, body []byte) (P, Scope, error)
	// Fault puts an operation's error in the service's terms.
	Fault func(operation string, err error) *Fault
	// MaxBody bounds request bodies, in bytes.
	MaxBody int64
	Log     *slog.Logger // nil: no log
	// Observe, if set, hears of every answered request.
	Observe func(service, operation string, status int, took time.Duration)
}

// Operation is one entry of a service's table.
type Operation[P any] struct {
	Name   string
	Method string // REST-JSON only
	Path   string // REST-JSON only, such as /identitypools/{IdentityPoolId}
	Public bool   // needs no signature
	Handle func(ctx context.Context, p P, in Input) (any, error)
}

// Input is a request as its operation sees it.
type Input struct {
	Body   []byte
	Params Params
}

// Binder is an operation's input that takes values from path and query.
type Binder interface{ Bind(Params) error }

// Decoder is an operation's input that decodes its own body.
type Decoder interface{ DecodeBody([]byte) error }

// Appender is an operation's output that encodes itself.
type Appender interface{ AppendJSON([]byte) []byte }

// Handler turns a typed operation into a table's entry: the body is decoded
// into In, path and query are bound, Out is encoded.
func Handler[P, In, Out any](f func(ctx context.Context, p P, in *In) (*Out, error)) func(context.Context, P, Input) (any, error) {
	return func(ctx context.Context, p P, in Input) (any, error) {
		v := new(In)
		if err := decode(in.Body, v); err != nil {
			return nil, err
		}
		if b, ok := any(v).(Binder); ok {
			if err := b.Bind(in.Params); err != nil {
				return nil, err
			}
		}
		out, err := f(ctx, p, v)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

func decode(body []byte, v any) error {
	if len(body) == 0 {
		return nil
	}
	var err error
	if d, ok := v.(Decoder); ok {
		err = d.DecodeBody(body)
	} else {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		return NotDecoded(err)
	}
	return nil
}

// NotDecoded is the fault of a body that is no JSON, or JSON of another shape.
func NotDecoded(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Code: "SerializationException", Status: http.StatusBadRequest, Message: "The request body could not be read: " + err.Error()}
}

// ServeHTTP finds the operation, checks the signature, and answers.
func (s *Service[P]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := exchange{w: w, protocol: s.Protocol, id: newRequestID()}
	name := ""
	defer func() {
		if p := recover(); p != nil {
			s.log().Error("panic", "service", s.Name, "operation", name, "request", x.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			x.fault(&Fault{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: "Internal failure"})
		}
		if s.Observe != nil {
			s.Observe(s.Name, name, x.status, time.Since(start))
		}
	}()
	op, params, fault := s.match(r)
	if fault != nil {
		x.fault(fault)
		return
	}
	name = op.Name
	out, err := s.call(r, op, params)
	if err != nil {
		x.fault(s.faultOf(name, x.id, err))
		return
	}
	x.answer(out)
}

func (s *Service[P]) call(r *http.Request, op *Operation[P], params Params) (any, error) {
	body, err := readBody(r, s.MaxBody)
	if err != nil {
		return nil, err
	}
	var p P
	if !op.Public {
		var scope Scope
		if p, scope, err = s.Authenticate(r, body); err != nil {
			return nil, err
		}
		if scope.Service != s.Name {
			return nil, &Fault{Code: "InvalidSignatureException", Status: http.StatusForbidden,
				Message: fmt.Sprintf("Credential should be scoped to correct service: '%s'. ", s.Name)}
		}
	}
	return op.Handle(r.Context(), p, Input{Body: body, Params: params})
}

func readBody(r *http.Request, most int64) ([]byte, error) {
	tooLarge := &Fault{Code: "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge,
		Message: fmt.Sprintf("The request body is larger than the limit of %d bytes", most)}
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > most {
		return nil, tooLarge
	}
	var body []byte
	var err error
	if r.ContentLength > 0 && r.ContentLength <= 64<<10 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		// The length is not known, or too much to allocate on the caller's word.
		body, err = io.ReadAll(io.LimitReader(r.Body, most+1))
	}
	if err != nil {
		return nil, &Fault{Code: "IncompleteBody", Status: http.StatusBadRequest, Message: "The request body ended before its announced length"}
	}
	if int64(len(body)) > most {
		return nil, tooLarge
	}
	return body, nil
}

func (s *Service[P]) faultOf(op, request string, err error) *Fault {
	var f *Fault
	if !errors.As(err, &f) {
		f = s.Fault(op, err)
	}
	if f.Status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) { // else the caller has gone
		s.log().Error("request failed", "service", s.Name, "operation", op, "request", request, "err", err)
	}
	return f
}

func (s *Service[P]) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// match finds the operation that a request names.
func (s *Service[P]) match(r *http.Request) (*Operation[P], Params, *Fault) {
	if s.Protocol == JSON11 {
		target := r.Header.Get("X-Amz-Target")
		name, ok := strings.CutPrefix(target, s.Target+".")
		for i := range s.Operations {
			if ok && r.Method == http.MethodPost && s.Operations[i].Name == name {
				return &s.Operations[i], Params{}, nil
			}
		}
		return nil, Params{}, &Fault{Code: "UnknownOperationException", Status: http.StatusBadRequest,
			Message: fmt.Sprintf("%s %q is no operation of %s", r.Method, target, s.Name)}
	}
	path, query := rawTarget(r)
	for i := range s.Operations {
		op := &s.Operations[i]
		if op.Method != r.Method {
			continue
		}
		if params, ok := matchPath(op.Path, path); ok {
			params.query = query
			return op, params, nil
		}
	}
	return nil, Params{}, &Fault{Code: "UnknownOperationException", Status: http.StatusNotFound,
		Message: fmt.Sprintf("%s %s is no operation of %s", r.Method, path, s.Name)}
}

// Unsupported is the entry of an operation that AWS has and this server has not.
func Unsupported[P any](name, method, path string) Operation[P] {
	return Operation[P]{Name: name, Method: method, Path: path, Handle: func(context.Context, P, Input) (any, error) {
		return nil, &Fault{Code: "UnsupportedOperationException", Status: http.StatusBadRequest,
			Message: fmt.Sprintf("The operation %s is not supported by this server", name)}
	}}
}

// exchange writes one answer.
type exchange struct {
	w        http.ResponseWriter
	protocol Protocol
	id       string
	status   int
}

func (x *exchange) answer(out any) {
	var body []byte
	var err error
	if a, ok := out.(Appender); ok {
		body = a.AppendJSON(make([]byte, 0, 1024))
	} else if body, err = json.Marshal(out); err != nil {
		panic(err) // an output type that cannot be encoded is a mistake in the table
	}
	x.write(http.StatusOK, body)
}

func (x *exchange) fault(f *Fault) {
	if x.status != 0 {
		return // a panic after the answer
	}
	envelope := map[string]string{"message": strings.ToValidUTF8(f.Message, "\uFFFD")}
	if x.protocol == JSON11 {
		envelope["__type"] = f.Code
	}
	body, err := json.Marshal(envelope, json.Deterministic(true))
	if err != nil {
		body = []byte("{}")
	}
	x.w.Header().Set("X-Amzn-Errortype", f.Code)
	if f.Status == http.StatusServiceUnavailable {
		x.w.Header().Set("Retry-After", "1")
	}
	status := f.Status
	if x.protocol == JSON11 && status > http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusRequestEntityTooLarge {
		status = http.StatusBadRequest // AWS JSON answers 400 to all faults of the caller
	}
	x.write(status, body)
}

func (x *exchange) write(status int, body []byte) {
	h := x.w.Header()
	h["X-Amzn-Requestid"] = []string{x.id}
	h["Content-Type"] = contentTypes[x.protocol]
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.status = status
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a caller that has gone cannot be told
}

var contentTypes = [...][]string{RESTJSON: {"application/json"}, JSON11: {"application/x-amz-json-1.1"}}

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
