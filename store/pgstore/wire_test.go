package pgstore_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/pgstore"
	"tributary/store/storetest"
)

// wire stands between a store and its database, and notes the text of every
// statement that the store sends.
type wire struct {
	to    string
	at    net.Listener
	conns sync.WaitGroup
	cut   atomic.Bool // lose the next answer, and the connection with it

	mu   sync.Mutex // guards what follows
	seen map[string]bool
	errs []error
}

// tap opens a wire to a server. It closes when the test ends.
func tap(t testing.TB, server *pgtest.Server) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{to: net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port)), at: l, seen: map[string]bool{}}
	w.conns.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.conns.Wait()
	})
	return w
}

// through gives a database's URL by way of the wire.
func (w *wire) through(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = w.at.Addr().String()
	return u.String()
}

func (w *wire) accept() {
	for {
		client, err := w.at.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.conns.Go(func() { w.carry(client, server) })
	}
}

// carry copies both ways until one side closes, and reads along what the
// client says.
func (w *wire) carry(client, server net.Conn) {
	var both sync.WaitGroup
	heard, said := io.Pipe()
	both.Go(func() {
		w.answer(client, server)
		_ = client.Close()
	})
	both.Go(func() { w.note(heard) })
	_, _ = io.Copy(server, io.TeeReader(client, said))
	_ = said.Close()
	_ = server.Close()
	both.Wait()
}

// answer copies what the server says, up to the answer that is to be lost: all
// that ends with ReadyForQuery.
func (w *wire) answer(client io.Writer, server io.Reader) {
	ready := []byte{'Z', 0, 0, 0, 5, 'I'}
	b := make([]byte, 1<<16)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		if w.cut.Load() {
			if bytes.HasSuffix(b[:n], ready) {
				w.cut.Store(false)
				return
			}
			continue
		}
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
	}
}

// note reads a client's messages.
func (w *wire) note(from *io.PipeReader) {
	defer func() { _, _ = io.Copy(io.Discard, from) }() // the client must go on
	messages := pgproto3.NewBackend(from, io.Discard)
	if _, err := messages.ReceiveStartupMessage(); err != nil {
		return // a test of the address, or a cancel request
	}
	for {
		m, err := messages.Receive()
		if err != nil {
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				w.fail(err)
			}
			return
		}
		switch m := m.(type) {
		case *pgproto3.Parse:
			w.add(m.Query)
		case *pgproto3.Query:
			w.add(m.String)
		}
	}
}

func (w *wire) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, err)
}

func (w *wire) add(statement string) {
	if statement = strings.TrimSpace(statement); strings.HasPrefix(statement, "--") {
		return // pgx looks whether the server is there
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[strings.Clone(statement)] = true
}

// TestLostAnswer loses the answer to a commit that was applied: the store finds
// it in the dataset, so that the caller hears of no error and the change is
// there once.
func TestLostAnswer(t *testing.T) {
	server := pgtest.Start(t)
	wire := tap(t, server)
	s := open(t, pgstore.Config{URL: wire.through(t, server.Fresh(t)), Connections: 1})
	populate(t, s)
	books := &storetest.Acked{}
	watched := books.Watch(s)
	for n := range tributary.ChangeID(3) { // the statements are known to the connection by then
		if _, err := write(t.Context(), watched, key(1), n+1); err != nil {
			t.Fatal(err)
		}
	}
	v, err := s.View(t.Context(), key(1), []string{"k"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Apply([]tributary.Patch{{Key: "k", Value: "lost", SyncCount: v.Dataset.SyncCount}}, tributary.Writer{ID: 4, By: "test", Now: 1})
	if err != nil {
		t.Fatal(err)
	}
	wire.cut.Store(true)
	if err := watched.Commit(t.Context(), c); err != nil {
		t.Errorf("the answer was lost, the change was not: %v", err)
	}
	if wire.cut.Load() {
		t.Error("no answer was lost")
	}
	if count, err := write(t.Context(), watched, key(1), 5); count != 5 || err != nil {
		t.Errorf("the next write has count %d: %v", count, err)
	}
	if err := errors.Join(storetest.Verify(t.Context(), s, storetest.Checks{Lost: true, Usage: true}), books.Check(t.Context(), s)); err != nil {
		t.Error(err)
	}
	wire.check(t)
}
