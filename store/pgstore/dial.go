package pgstore

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A connection whose other end is gone without a word is given up after about
// silence: the kernel tells, from data that is not acknowledged, or from probes
// where nothing is under way.
const (
	silence     = 5 * time.Second
	pingTimeout = 2 * time.Second // before a connection is used again
)

// dialNet opens a connection that notices silence.
func dialNet(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3},
		Control: func(_, _ string, c syscall.RawConn) error {
			const tcpUserTimeout = 0x12
			if runtime.GOOS != "linux" {
				return nil // the probes must do
			}
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silence.Milliseconds()))
			})
		},
	}
	return d.DialContext(ctx, network, address)
}

// neverCancel keeps pgx from asking the database to cancel what it does for a
// connection that is given up at a deadline: a commit that waits for a standby
// would end its wait, and be seen by everybody without being on the standby.
// The database ends what takes too long by itself, but for that wait.
func neverCancel(_ context.Context, cfg *pgx.ConnConfig) error {
	var open atomic.Bool
	dial, after := cfg.DialFunc, cfg.AfterConnect
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if open.Load() { // only a request to cancel dials again
			return nil, errors.New("the statement is not cancelled")
		}
		return dial(ctx, network, address)
	}
	cfg.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		open.Store(true)
		if after == nil {
			return nil
		}
		return after(ctx, conn)
	}
	return nil
}
