package payload

import (
	"context"
	"encoding/xml"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tributary"
	"tributary/awswire"
	"tributary/streamrec"
)

// Handler answers the links. Log and Sealer are required. Sealer and Now must
// not change after the first request.
type Handler struct {
	Log    tributary.Log
	Sealer *tributary.Sealer
	Logger *slog.Logger // nil: no log
	// Observe, if set, hears of every answered request.
	Observe func(service, operation string, status int, took time.Duration)
	Now     func() time.Time // nil: time.Now

	once     sync.Once // guards what follows, which Sealer and Now stand for
	verifier *awswire.Verifier[struct{}]
	broken   error // why there is none
}

// ServeHTTP gives the records that a link leads to. GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := h.Now
	if now == nil {
		now = time.Now
	}
	start := now()
	status, body := h.answer(r)
	if status == http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
	} else {
		w.Header().Set("Content-Type", "application/xml")
	}
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "GET, HEAD")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff") // users wrote what is in it
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a caller that has gone cannot be told
	}
	if h.Observe != nil {
		h.Observe(service, "GetPayload", status, now().Sub(start))
	}
}

func (h *Handler) answer(r *http.Request) (int, []byte) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.", r)
	}
	if err := h.verify(r); err != nil {
		return refuse(http.StatusForbidden, "AccessDenied", err.Error(), r)
	}
	shard, pos, n, ok := parse(r.URL.Path)
	if !ok {
		return missing(r)
	}
	e, err := h.entry(r.Context(), shard, pos, n)
	switch {
	case err == nil && e != nil && e.Change != nil:
		return http.StatusOK, streamrec.AppendRecords(nil, e.Change.Records)
	case err == nil:
		return missing(r)
	case tributary.KindOf(err) == tributary.Unavailable:
		return refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "Please try again.", r)
	}
	if h.Logger != nil {
		h.Logger.Error("payload not read", "shard", shard.String(), "position", string(pos), "err", err)
	}
	return refuse(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.", r)
}

// prepare makes the verifier, which knows the key of the links alone and keeps
// what it derives from it.
func (h *Handler) prepare() {
	secret, err := secretOf(h.Sealer)
	if err != nil {
		h.broken = err
		return
	}
	h.verifier = &awswire.Verifier[struct{}]{Now: h.Now, Lookup: func(_ context.Context, id, token string) (string, struct{}, error) {
		if id != accessKey || token != "" {
			return "", struct{}{}, awswire.UnknownKey()
		}
		return secret, struct{}{}, nil
	}}
}

// verify tells whether a link is one of ours and still good.
func (h *Handler) verify(r *http.Request) error {
	h.once.Do(h.prepare)
	if h.broken != nil {
		return h.broken
	}
	if r.Method == http.MethodHead {
		// Who may GET may ask what they would get. The link is signed for GET.
		get := *r
		get.Method = http.MethodGet
		r = &get
	}
	_, scope, err := h.verifier.Verify(r, nil)
	var f *awswire.Fault
	switch {
	case errors.As(err, &f):
		text, _, _ := strings.Cut(f.Message, "\n") // not what should have been signed
		return errors.New(text)
	case err != nil:
		return err
	case !scope.Presigned || scope.Service != service:
		return errors.New("the link was not signed for this service")
	}
	return nil
}

// parse takes a path apart. The sequence number names the shard as well, and
// both must agree.
func parse(path string) (tributary.Shard, tributary.Position, uint64, bool) {
	rest, ours := strings.CutPrefix(path, Prefix)
	part := strings.Split(rest, "/")
	if !ours || len(part) != 3 {
		return tributary.Shard{}, "", 0, false
	}
	stream, streamErr := strconv.ParseUint(part[0], 10, 64)
	number, numberErr := strconv.ParseUint(part[1], 10, 32)
	pos := tributary.Position(part[2])
	of, n, err := pos.Split()
	shard := tributary.Shard{Stream: tributary.StreamID(stream), Number: uint32(number)}
	return shard, pos, n, streamErr == nil && numberErr == nil && err == nil && of == shard && n > 0
}

// entry reads the entry at a position, nil if it is not there any more.
func (h *Handler) entry(ctx context.Context, shard tributary.Shard, pos tributary.Position, n uint64) (*tributary.Entry, error) {
	entries, err := h.Log.Read(ctx, shard, tributary.PositionOf(shard, n-1), 1)
	switch kind := tributary.KindOf(err); {
	case err != nil && (kind == tributary.NotFound || kind == tributary.Invalid):
		return nil, nil // the stream was deleted, or the store is older than the link
	case err != nil:
		return nil, err
	case len(entries) == 0 || entries[0].Position != pos:
		return nil, nil
	}
	return &entries[0], nil
}

func missing(r *http.Request) (int, []byte) {
	return refuse(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.", r)
}

// refusal is an error as S3 writes it.
type refusal struct {
	XMLName  xml.Name `xml:"Error"`
	Code     string
	Message  string
	Resource string
}

func refuse(status int, code, text string, r *http.Request) (int, []byte) {
	body, err := xml.Marshal(refusal{Code: code, Message: text, Resource: r.URL.Path})
	if err != nil {
		body = nil // a text that is no XML: the status says the most of it
	}
	return status, append([]byte(xml.Header), body...)
}
