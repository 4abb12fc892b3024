package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// connections is a listener that bounds how many connections are open. At the
// limit a newcomer takes the place of the one that has been idle the longest;
// while none is idle it waits, as it would for a busy machine.
type connections struct {
	*net.TCPListener
	log    *slog.Logger
	room   chan struct{} // holds one for each open connection
	closed chan struct{}
	close  func() // closes closed, once

	waiting atomic.Bool // a newcomer is
	warned  time.Time   // of Accept alone

	mu   sync.Mutex
	open map[*connection]bool
}

// connection is one of those that are counted. It is all that a TCP connection
// is: the HTTP server sends a refusal to the end, before it closes on a client
// that still sends, only where it can close one half.
type connection struct {
	*net.TCPConn
	of   *connections
	idle atomic.Int64 // since when, in Unix nanoseconds; 0: it is not
	once sync.Once
}

func limitConnections(l *net.TCPListener, most int, log *slog.Logger) *connections {
	c := &connections{TCPListener: l, log: log, room: make(chan struct{}, most), closed: make(chan struct{}), open: map[*connection]bool{}}
	c.close = sync.OnceFunc(func() { close(c.closed) })
	return c
}

// Accept gives the next connection when there is room for it.
func (l *connections) Accept() (net.Conn, error) {
	raw, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	select {
	case l.room <- struct{}{}:
	default:
		if !l.await() {
			_ = raw.Close()
			return nil, net.ErrClosed
		}
	}
	c := &connection{TCPConn: raw, of: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = true
	return c, nil
}

// await makes room. It is false if the listener was closed.
func (l *connections) await() bool {
	const quiet = time.Minute
	if now := time.Now(); now.Sub(l.warned) >= quiet {
		l.warned = now
		l.log.Warn("all connections are in use: idle ones are closed for newcomers, and without any they wait", "max-connections", cap(l.room))
	}
	l.waiting.Store(true)
	defer l.waiting.Store(false)
	l.closeIdle()
	select {
	case l.room <- struct{}{}:
		return true
	case <-l.closed:
		return false
	}
}

// closeIdle closes the connection that has been idle the longest, if any is.
func (l *connections) closeIdle() {
	var longest *connection
	l.mu.Lock()
	for c := range l.open {
		if since := c.idle.Load(); since != 0 && (longest == nil || since < longest.idle.Load()) {
			longest = c
		}
	}
	l.mu.Unlock()
	if longest != nil {
		_ = longest.Close()
	}
}

// Close stops listening. Open connections stay.
func (l *connections) Close() error {
	l.close()
	return l.TCPListener.Close()
}

// state hears from the HTTP server what becomes of a connection.
func (l *connections) state(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	c, ok := conn.(*connection)
	switch {
	case !ok:
	case state != http.StateIdle:
		c.idle.Store(0)
	case l.waiting.Load():
		_ = c.Close()
	default:
		c.idle.Store(time.Now().UnixNano())
	}
}

// Close closes the connection and makes room for another.
func (c *connection) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() {
		c.of.mu.Lock()
		delete(c.of.open, c)
		c.of.mu.Unlock()
		<-c.of.room
	})
	return err
}

// limitConnections bounds the connections of the server's listener.
func (s *server) limitConnections(context.Context) error {
	most := s.cfg.MaxConnections
	if most == 0 {
		var files syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
			return fmt.Errorf("the limit of open files cannot be read: %w", err)
		}
		most = connectionsFor(files.Cur)
	}
	if l, ok := s.listener.(*net.TCPListener); ok {
		s.connections = limitConnections(l, most, s.log)
		s.listener = s.connections
	}
	return nil
}

// connectionsFor is how many connections a limit of open files leaves: a store
// that may open no more files fails.
func connectionsFor(files uint64) int {
	const most, kept = 1 << 20, 2048 // more connections than one machine has use for; files for the store
	return int(min(files-min(files/4, kept), most))
}
