package awswire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Protocol is how a service names its operations and writes its answers.
type Protocol uint8

// The protocols.
const (
	RESTJSON Protocol = iota // method and path name the operation
	JSON11                   // POST /, the header X-Amz-Target names the operation; also in CBOR
	Query                    // a form's Action names the operation, answers are XML
)

// Service is one AWS service: a table of operations. It serves HTTP.
type Service[P any] struct {
	Name       string // as in the credential scope of a signature
	Target     string // the prefix of X-Amz-Target up to the dot; JSON11 only
	Protocol   Protocol
	Namespace  string // of the answers' XML; Query only
	Operations []Operation[P]
	// Authenticate proves who calls, as [Verifier.Authenticate] does. It is not
	// asked for public operations.
	Authenticate func(r *http.Request, read ReadBody) (P, error)
	// Admit, if set, may refuse a request to a public operation before its body is
	// read.
	Admit func(r *http.Request) error
	// Fault puts an operation's error in the service's terms.
	Fault func(operation string, err error) *Fault
	// MaxBody bounds request bodies, in bytes. Those of public operations, of GETs
	// and of the Query protocol may have 64 KiB.
	MaxBody int64
	Log     *slog.Logger // nil: no log
	Begin   Begin[P]     // nil: nobody hears of calls
	// Observe, if set, hears of every answered request.
	Observe func(service, operation string, status int, took time.Duration)

	once   sync.Once
	room   *semaphore.Weighted // bytes of large bodies
	outage atomic.Int64        // when one was logged, in nanoseconds
}

// Begin hears of every call of a known caller before its operation runs, by the
// action's name in policies, such as cognito-sync:ListRecords, and the request's
// id. It gives the caller as the operation is to see it, and what is to be told
// how the call ended: nil for success.
type Begin[P any] func(p P, r *http.Request, action, request string) (P, func(*Fault))

// Operation is one entry of a service's table.
type Operation[P any] struct {
	Name   string
	Method string // REST-JSON only
	Path   string // REST-JSON only, such as /identitypools/{IdentityPoolId}
	Public bool   // needs no signature
	Handle func(ctx context.Context, p P, in Input) (any, error)

	action string // its name in policies
}

// Input is a request as its operation sees it.
type Input struct {
	Body   []byte
	Params Params
	format format
}

// Binder is an operation's input that takes values from path and query.
type Binder interface{ Bind(Params) error }

// Decoder is an operation's input that decodes its own body, if it is JSON.
type Decoder interface{ DecodeBody([]byte) error }

// Appender is an operation's output that encodes itself as JSON.
type Appender interface{ AppendJSON([]byte) []byte }

// Handler turns a typed operation into a table's entry: the body is decoded
// into In, path and query are bound, Out is encoded.
func Handler[P, In, Out any](f func(ctx context.Context, p P, in *In) (*Out, error)) func(context.Context, P, Input) (any, error) {
	return handler(f, false)
}

// StrictHandler is Handler for an operation that refuses what it does not know,
// as AWS's services do not.
func StrictHandler[P, In, Out any](f func(ctx context.Context, p P, in *In) (*Out, error)) func(context.Context, P, Input) (any, error) {
	return handler(f, true)
}

func handler[P, In, Out any](f func(ctx context.Context, p P, in *In) (*Out, error), strict bool) func(context.Context, P, Input) (any, error) {
	return func(ctx context.Context, p P, in Input) (any, error) {
		v := new(In)
		if err := in.decode(v, strict); err != nil {
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

func (in Input) decode(v any, strict bool) error {
	if len(in.Body) == 0 {
		return nil
	}
	if err := in.format.unmarshal(in.Body, v, strict); err != nil {
		return NotDecoded(err)
	}
	return nil
}

// prepare makes what the first request and all later ones need.
func (s *Service[P]) prepare() {
	s.room = semaphore.NewWeighted(largeBodies * s.MaxBody)
	for i := range s.Operations {
		s.Operations[i].action = s.Name + ":" + s.Operations[i].Name
	}
}

// ServeHTTP finds the operation, checks the signature, and answers.
func (s *Service[P]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := exchange{w: w, protocol: s.Protocol, format: s.formatOf(r), namespace: s.Namespace, id: newRequestID()}
	name, end := "", func(*Fault) {}
	defer func() {
		p := recover()
		cutOff := p == http.ErrAbortHandler || p != nil && x.status != 0 // nobody may take what there is for the whole
		if p != nil && p != http.ErrAbortHandler {
			s.log().Error("panic", "service", s.Name, "operation", name, "request", x.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			fault := &Fault{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: "Internal failure"}
			end(fault)
			x.fault(fault)
		}
		if s.Observe != nil {
			s.Observe(s.Name, name, x.status, time.Since(start))
		}
		if cutOff {
			panic(http.ErrAbortHandler)
		}
	}()
	op, params, fault := s.match(r)
	if fault != nil {
		x.fault(fault)
		return
	}
	name = op.Name
	out, err := s.call(r, op, params, x.id, &end)
	if stream, ok := out.(*Stream); ok && err == nil {
		end(nil)
		if err := x.stream(r.Context(), stream); err != nil {
			s.log().Error("answer cut off", "service", s.Name, "operation", name, "request", x.id, "err", err)
			panic(http.ErrAbortHandler)
		}
		return
	}
	if stream, ok := out.(*EventStream); ok && err == nil {
		end(nil)
		x.events(r.Context(), stream, func(err error) *Fault { return s.faultOf(name, x.id, err) })
		return
	}
	var body []byte
	if err == nil {
		body, err = x.encode(name, out)
	}
	if err != nil {
		fault = s.faultOf(name, x.id, err)
	}
	end(fault)
	if fault != nil {
		x.fault(fault)
		return
	}
	x.write(http.StatusOK, body)
}

// call gives the operation's output. end becomes what is to be told how it ended.
func (s *Service[P]) call(r *http.Request, op *Operation[P], params Params, request string, end *func(*Fault)) (any, error) {
	in := s.intake(op)
	defer in.release()
	p, body, err := s.authenticate(r, op, in)
	if err != nil {
		return nil, err
	}
	if op.Method == http.MethodGet || s.Protocol == Query {
		body = nil // some clients send one, which says nothing; a form is in params
	}
	if s.Begin != nil && !op.Public {
		p, *end = s.Begin(p, r, op.action, request)
	}
	return op.Handle(r.Context(), p, Input{Body: body, Params: params, format: s.formatOf(r)})
}

// authenticate reads the body, and tells who sent it.
func (s *Service[P]) authenticate(r *http.Request, op *Operation[P], in *intake) (p P, body []byte, err error) {
	if op.Public {
		if s.Admit != nil {
			err = s.Admit(r)
		}
		if err == nil {
			body, err = in.read(r)
		}
		return p, body, err
	}
	p, err = s.Authenticate(r, func(scope Scope) ([]byte, error) {
		if fault := s.checkScope(r, scope); fault != nil {
			return nil, fault
		}
		body, err = in.read(r)
		return body, err
	})
	if f := (*Fault)(nil); s.Protocol == Query && errors.As(err, &f) {
		err = queryCode(f)
	}
	return p, body, err
}

// checkScope refuses signatures for something else. A link may stand for no
// more than a read: its body need not be signed.
func (s *Service[P]) checkScope(r *http.Request, scope Scope) *Fault {
	if scope.Service != s.Name {
		return invalid(fmt.Sprintf("Credential should be scoped to correct service: '%s'. ", s.Name))
	}
	if scope.Presigned && (r.Method != http.MethodGet || r.ContentLength != 0) {
		return invalid("Only a GET without a body may be signed in its query.")
	}
	return nil
}

func (s *Service[P]) faultOf(op, request string, err error) *Fault {
	var f *Fault
	if !errors.As(err, &f) {
		f = s.Fault(op, err)
	}
	gone := errors.Is(err, context.Canceled) // the caller
	if f.Status >= http.StatusInternalServerError && !gone && (f.Status != http.StatusServiceUnavailable || s.outageIsNews()) {
		s.log().Error("request failed", "service", s.Name, "operation", op, "request", request, "err", err)
	}
	return f
}

// outageIsNews tells whether none was logged for a while: in an outage every
// request says the same.
func (s *Service[P]) outageIsNews() bool {
	const quiet = 10 * time.Second
	now, last := time.Now().UnixNano(), s.outage.Load()
	return now-last >= int64(quiet) && s.outage.CompareAndSwap(last, now)
}

func (s *Service[P]) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// match finds the operation that a request names.
func (s *Service[P]) match(r *http.Request) (*Operation[P], Params, *Fault) {
	if s.Protocol == Query {
		return s.matchQuery(r)
	}
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
