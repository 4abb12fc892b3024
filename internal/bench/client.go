package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"tributary/awswire"
)

// endpoint is where a server is, and as whom it is talked to.
type endpoint struct {
	address string // host and port
	region  string
	key     awswire.Credentials // without an access key id, requests are not signed
}

// client is one keep-alive connection. It speaks just enough HTTP/1.1 for the
// servers that are measured: net/http's own client takes as much of the machine
// as the server it drives. It refuses what it does not expect, and is not for
// use by several goroutines.
type client struct {
	signer  *awswire.Signer // nil: requests are not signed
	request http.Request    // what the signer signs, again and again
	conn    net.Conn
	in      *bufio.Reader
	out     []byte
	body    []byte
	took    time.Duration // from the first byte sent to the last one received
	release func() bool
}

const (
	inBuffer    = 16 << 10
	longestWait = time.Minute // for an answer
	mostBody    = 64 << 20
)

// dial connects to a server, to talk to one of its services. When ctx is done,
// the connection breaks.
func dial(ctx context.Context, e endpoint, service string) (*client, error) {
	conn, err := (&net.Dialer{Timeout: longestWait}).DialContext(ctx, "tcp", e.address)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, in: bufio.NewReaderSize(conn, inBuffer)}
	c.request = http.Request{Host: e.address, Header: http.Header{}}
	c.release = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if e.key.AccessKeyID != "" {
		c.signer = &awswire.Signer{Credentials: e.key, Region: e.region, Service: service}
	}
	return c, nil
}

func (c *client) close() {
	c.release()
	_ = c.conn.Close() // perhaps a second time
}

// call is one request.
type call struct {
	method    string
	target    string // path and query, as they are sent
	operation string // X-Amz-Target; "": the path says it
	body      []byte
	as        *awswire.Signer // nil: the client's own
}

// fault is an answer other than 200.
type fault struct {
	status  int
	code    string
	message string
}

func (f *fault) Error() string { return fmt.Sprintf("answered %d %s: %s", f.status, f.code, f.message) }

// do sends a request and gives the body of its answer, which is good until the
// next call. An answer other than 200 is an error of type *fault.
func (c *client) do(r call) ([]byte, error) {
	c.writeRequest(&r)
	began := now()
	if err := c.conn.SetDeadline(began.Add(longestWait)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, err
	}
	h, err := c.readHead()
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	c.body = grown(c.body, h.length)
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	c.took = now().Sub(began)
	if h.status != http.StatusOK {
		return nil, newFault(h, c.body)
	}
	return c.body, h.check()
}

func grown(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, n+n/4)
	}
	return b[:n]
}

// writeRequest makes the bytes of a request, signed if the client signs.
func (c *client) writeRequest(r *call) {
	h := c.request.Header
	clear(h)
	h["Content-Type"] = jsonType
	if r.operation != "" {
		h["Content-Type"] = targetType
		h["X-Amz-Target"] = []string{r.operation}
	}
	c.request.Method, c.request.RequestURI, c.request.ContentLength = r.method, r.target, int64(len(r.body))
	signer := cmp.Or(r.as, c.signer)
	if signer != nil {
		signer.Sign(&c.request, r.body, now())
	}
	b := append(append(append(c.out[:0], r.method...), ' '), r.target...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), c.request.Host...)
	for name, values := range h {
		b = append(append(b, "\r\n"...), name...)
		b = append(append(b, ": "...), values[0]...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.body)), 10)
	c.out = append(append(b, "\r\n\r\n"...), r.body...)
}

var (
	jsonType   = []string{"application/json"}
	targetType = []string{"application/x-amz-json-1.1"}
)

// head is what counts of the head of an answer.
type head struct {
	status  int
	length  int // -1: not said
	closing bool
	code    string // of the fault
}

// check refuses a good answer after which the connection is of no use: it would
// not be the keep-alive connection that is measured.
func (h *head) check() error {
	if h.closing {
		return errors.New("the server closes the connection")
	}
	return nil
}

func (c *client) readHead() (head, error) {
	h := head{length: -1}
	line, err := c.line()
	if err != nil {
		return h, err
	}
	const version = "HTTP/1.1 "
	if len(line) < len(version)+3 || string(line[:len(version)]) != version {
		return h, fmt.Errorf("%.60q is no status line of HTTP/1.1", line)
	}
	if h.status, err = strconv.Atoi(string(line[len(version) : len(version)+3])); err != nil {
		return h, fmt.Errorf("%.60q is no status line of HTTP/1.1", line)
	}
	for {
		if line, err = c.line(); err != nil {
			return h, err
		}
		if len(line) == 0 {
			break
		}
		if err := h.read(line); err != nil {
			return h, err
		}
	}
	if h.length < 0 {
		return h, errors.New("the answer has no Content-Length")
	}
	return h, nil
}

// line reads a line of the head, without its end. It is good until the next read.
func (c *client) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// read takes what counts from a header line.
func (h *head) read(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return fmt.Errorf("%.60q is no header line", line)
	}
	value = bytes.TrimSpace(value)
	switch len(name) {
	case len("Connection"):
		h.closing = h.closing || bytes.EqualFold(name, []byte("Connection")) && bytes.EqualFold(value, []byte("close"))
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			n, err := strconv.ParseUint(string(value), 10, 63)
			if err != nil || n > mostBody {
				return fmt.Errorf("%.60q is no length of an answer", value)
			}
			h.length = int(n)
		}
	case len("X-Amzn-Errortype"):
		if bytes.EqualFold(name, []byte("X-Amzn-Errortype")) {
			h.code = string(value)
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			return errors.New("the answer is in chunks")
		}
	}
	return nil
}

func newFault(h head, body []byte) error {
	var said struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Message == "" {
		said.Message = string(body[:min(len(body), 200)])
	}
	return &fault{status: h.status, code: h.code, message: said.Message}
}

// exchange sends a request whose body is the JSON of in, and reads the answer's
// into out. Either may be nil.
func (c *client) exchange(r call, in, out any) error {
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return err
		}
		r.body = body
	}
	answer, err := c.do(r)
	if err == nil && out != nil {
		err = json.Unmarshal(answer, out)
	}
	if err != nil {
		return fmt.Errorf("%s %s%s: %w", r.method, r.target, r.operation, err)
	}
	return nil
}
