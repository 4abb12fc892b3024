package bench

import (
	"context"
	"encoding/json" // the ceiling is what the standard library gives
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// nullRequest is the body of UpdateRecords.
type nullRequest struct {
	SyncSessionToken string
	RecordPatches    []nullPatch
}

type nullPatch struct {
	Op, Key, Value         string
	SyncCount              int64
	DeviceLastModifiedDate float64
}

// NullServer serves until ctx is done: net/http and encoding/json, decoding
// and echoing what it gets. It checks and stores nothing. Its greeting names
// its address.
func NullServer(ctx context.Context, stdout io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 10 * time.Second}
	release := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer release()
	if _, err := fmt.Fprintln(stdout, "null server "+readyText+l.Addr().String()); err != nil {
		return err
	}
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func echo(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > mostBody {
		http.Error(w, "the request has no length", http.StatusLengthRequired)
		return
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	var in nullRequest
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err == nil {
		body, err = json.Marshal(&in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header()["Content-Type"] = jsonType
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a client that has gone cannot be told
}
