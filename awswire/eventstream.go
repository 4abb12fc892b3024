package awswire

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
)

// EventStream is an operation's output that goes on while there are events, as
// application/vnd.amazon.eventstream. An operation that returns one has checked
// its caller and its input: what it refuses is an ordinary fault. Each message
// is flushed, its payload is in the format of the request's body.
type EventStream struct {
	// Initial is the operation's output beside the events, which goes first.
	Initial any
	// Send sends events, each with its type and its content, one after the other.
	// When it returns the stream ends: if with an error, and the client is still
	// there, then with the exception that the service's table of faults has for
	// it. ctx ends when the client has gone. send fails if the client has gone or
	// the content cannot be encoded; Send should then return that error.
	Send func(ctx context.Context, send func(event string, content any) error) error
	// Close, if set, is called at the end, however it went, also if Send was not.
	Close func()
	// Patience is how long a message may wait for its client to read; then the
	// stream is cut off. 0: a minute.
	Patience time.Duration
}

// events writes an event stream. A message that cannot be written ends ctx, and
// the connection or its stream with it.
func (x *exchange) events(ctx context.Context, s *EventStream, faultOf func(error) *Fault) {
	if s.Close != nil {
		defer s.Close()
	}
	h := x.w.Header()
	h[requestIDHeader] = []string{x.id}
	h.Set("Content-Type", "application/vnd.amazon.eventstream")
	x.status = http.StatusOK
	x.w.WriteHeader(x.status)
	w := &eventWriter{
		ResponseController: http.NewResponseController(x.w), exchange: x,
		patience: s.Patience, encoder: eventstream.NewEncoder(),
	}
	if w.patience == 0 {
		w.patience = time.Minute
	}
	defer w.hurry() // for the end of the answer, which the server writes
	err := w.event("initial-response", s.Initial)
	if err == nil {
		err = s.Send(ctx, w.event)
	}
	if err != nil && ctx.Err() == nil {
		w.exception(faultOf(err))
	}
}

// eventWriter writes the messages of an event stream.
type eventWriter struct {
	*http.ResponseController
	*exchange
	patience time.Duration
	encoder  *eventstream.Encoder
}

// event sends an event.
func (w *eventWriter) event(name string, content any) error {
	payload, err := w.format.marshal(content)
	if err != nil {
		return err
	}
	return w.message(payload, eventstreamapi.EventMessageType, eventstreamapi.EventTypeHeader, name)
}

// exception sends a fault, after which nothing comes.
func (w *eventWriter) exception(f *Fault) {
	// A client that has gone cannot be told.
	_ = w.message(w.envelope(f), eventstreamapi.ExceptionMessageType, eventstreamapi.ExceptionTypeHeader, f.Code)
}

// message writes a message whole.
func (w *eventWriter) message(payload []byte, kind, header, name string) error {
	m := eventstream.Message{Payload: payload}
	m.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(kind))
	m.Headers.Set(header, eventstream.StringValue(name))
	m.Headers.Set(eventstreamapi.ContentTypeHeader, eventstream.StringValue(w.format.contentType(w.protocol)[0]))
	w.hurry()
	err := w.encoder.Encode(w.w, m) // in one piece, or nothing of it
	if err == nil {
		err = w.Flush()
	}
	// HTTP/2 ends a stream at its deadline, also between two messages.
	w.deadline(time.Time{})
	return err
}

// hurry gives what is written next its time.
func (w *eventWriter) hurry() { w.deadline(time.Now().Add(w.patience)) }

func (w *eventWriter) deadline(at time.Time) {
	_ = w.SetWriteDeadline(at) // fails in tests without a connection
}
