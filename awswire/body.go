package awswire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// smallBody is how much is read of any request whose claim stands, and the
	// most of one that needs no claim. More takes room first.
	smallBody = 64 << 10
	// largeBodies of the largest size are held at once, or more that are smaller.
	largeBodies = 8
	// longestWait is how long a large body waits for room: after that its client
	// had better try again, and does so by itself.
	longestWait = 5 * time.Second
)

// intake is a request's body on its way in.
type intake struct {
	room *semaphore.Weighted // bytes of large bodies, of all requests
	most int64
	held int64 // of room
}

// intake prepares to read the body of a request for op. It must be released
// when the operation has done with the body.
func (s *Service[P]) intake(op *Operation[P]) *intake {
	s.once.Do(s.prepare)
	if op.Public || op.Method == http.MethodGet {
		return &intake{room: s.room, most: min(s.MaxBody, smallBody)}
	}
	return &intake{room: s.room, most: s.MaxBody}
}

func (in *intake) release() {
	if in.held > 0 {
		in.room.Release(in.held)
	}
}

func (in *intake) read(r *http.Request) ([]byte, error) {
	switch {
	case r.ContentLength == 0:
		return nil, nil
	case r.ContentLength < 0:
		return in.readUnknown(r)
	case r.ContentLength > in.most:
		return nil, in.tooLarge()
	}
	if err := in.hold(r.Context(), r.ContentLength); err != nil {
		return nil, err
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, endedEarly()
	}
	return body, nil
}

// readUnknown reads a body of unknown length, most often a small one.
func (in *intake) readUnknown(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, smallBody+1))
	if err == nil && len(body) > smallBody && in.most > smallBody {
		if err := in.hold(r.Context(), in.most); err != nil {
			return nil, err
		}
		body, err = io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(body), r.Body), in.most+1))
	}
	switch {
	case err != nil:
		return nil, endedEarly()
	case int64(len(body)) > in.most:
		return nil, in.tooLarge()
	}
	return body, nil
}

// hold waits for room for n bytes.
func (in *intake) hold(ctx context.Context, n int64) error {
	if n <= smallBody {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	if err := in.room.Acquire(ctx, n); err != nil {
		return &Fault{"ServiceUnavailableException", http.StatusServiceUnavailable, "The server is busy with other large requests. Try again."}
	}
	in.held = n
	return nil
}

func (in *intake) tooLarge() *Fault {
	return &Fault{"RequestEntityTooLargeException", http.StatusRequestEntityTooLarge,
		fmt.Sprintf("The request body is larger than the limit of %d bytes", in.most)}
}

func endedEarly() *Fault {
	return &Fault{"IncompleteBody", http.StatusBadRequest, "The request body ended before its announced length"}
}
