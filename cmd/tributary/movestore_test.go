package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary"
	"tributary/internal/pgtest"
)

// TestMigrateStore moves a running server's store to a database and back, while
// clients write. Nothing that was acknowledged is lost, nobody is refused for
// more than 5 seconds, tokens stay good, and the warehouse goes on.
func TestMigrateStore(t *testing.T) {
	f := &family{T: t, store: pgtest.Start(t).Fresh(t), data: t.TempDir(),
		key: tributary.DatasetKey{Pool: "us-east-1:11111111-2222-4333-8444-555555555555", Identity: "us-east-1:22222222-2222-4333-8444-555555555555", Dataset: "d"}}
	c := usualSettings(f.data)
	s, err := newServer(t.Context(), &c, slog.New(slog.DiscardHandler))
	f.check(err)
	stop := runServer(t, s)
	f.write(s)
	f.rows(s, 1)
	token, err := s.service.ListRecords(t.Context(), tributary.Principal{Account: "000000000000"}, f.key, tributary.ListQuery{})
	f.check(err)

	f.move(s, f.store)
	_, err = s.service.UpdateRecords(t.Context(), tributary.Principal{Account: "000000000000"}, f.key, tributary.Update{SessionToken: token.SessionToken})
	f.check(err) // a token of before
	another, stopAnother := f.node(func(c *serveCmd) { c.Warehouse = "none" })
	f.write(another)
	f.rows(another, f.written)
	if code, _, stderr := tool(t, nil, "migrate-store", "--to", "embedded", "--server", s.url(), "--data", f.data); code != 1 || !strings.Contains(stderr, "Other nodes use the database") {
		t.Errorf("with another node: %d %s", code, stderr)
	}
	stopAnother()
	stop()
	if _, err := newServer(t.Context(), &c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "was moved to postgres://") {
		t.Errorf("the old store: %v", err)
	}
	if code, out, stderr := tool(t, nil, "check", "--data", f.data); code != 1 || !strings.Contains(stderr, "was moved to postgres://") || !strings.Contains(stderr, "check looks at embedded stores") {
		t.Errorf("check of the old store: %d %s%s", code, out, stderr)
	}

	s, stop = f.node(func(c *serveCmd) { c.Data = f.data })
	f.rows(s, f.written)
	f.move(s, embeddedTarget)
	f.rows(s, f.written)
	stop()
	again, err := newServer(t.Context(), &c, slog.New(slog.DiscardHandler))
	f.check(err)
	stop = runServer(t, again)
	f.write(again)
	f.rows(again, f.written)
	stop()
	if code, out, stderr := tool(t, nil, "check", "--data", f.data); code != 0 {
		t.Errorf("check: %d %s%s", code, out, stderr)
	}
	if code, out, stderr := tool(t, nil, "migrate-store", "--to", f.store, "--offline", "--data", f.data); code != 0 || !strings.Contains(out, "start servers with postgres://") {
		t.Fatalf("offline: %d %s%s", code, out, stderr)
	}
	s, stop = f.node(func(c *serveCmd) { c.Data = f.data })
	f.rows(s, f.written)
	if code, out, stderr := tool(t, nil, "migrate-store", "--to", f.store, "--server", s.url(), "--data", f.data); code != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("once more: %d %s%s", code, out, stderr)
	}
	stop()
	for _, to := range []string{"", "mysql://x", filepath.Join(f.data, "x")} {
		if code, _, stderr := tool(t, nil, "migrate-store", "--to", to); code != 2 || !strings.Contains(stderr, "it must be postgres://") {
			t.Errorf("--to %q: %d %s", to, code, stderr)
		}
	}
}

// move moves a server's store while a client writes.
func (f *family) move(s *server, to string) {
	f.Helper()
	done := make(chan struct{})
	var writing sync.WaitGroup
	var longest time.Duration
	writing.Go(func() {
		var refused time.Time
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			err := f.tryWrite(s)
			switch {
			case err == nil:
				if !refused.IsZero() {
					longest = max(longest, time.Since(refused))
				}
				refused = time.Time{}
			case tributary.KindOf(err) != tributary.Unavailable:
				f.Errorf("a write during the move: %v", err)
			case refused.IsZero():
				refused = time.Now()
			}
		}
	})
	code, out, stderr := tool(f.T, nil, "migrate-store", "--to", to, "--server", s.url(), "--data", f.data)
	close(done)
	writing.Wait()
	if code != 0 || !strings.Contains(out, "The server goes on with") {
		f.Fatalf("migrate-store: %d %s%s", code, out, stderr)
	}
	if longest > 5*time.Second {
		f.Errorf("writes were refused for %v", longest)
	}
	f.write(s)
	f.rows(s, f.written)
}
