// Package pgstore is the engine for many nodes: a tributary.Store on a
// PostgreSQL-wire database. It keeps nothing on the node that another node
// needs.
//
// A sync is two round trips: its view, and its commit. Concurrent views share
// a query, concurrent commits a transaction, in a few groups at a time; see
// group.go and commit.go. Positions are given under the row lock of the shard,
// which is the last thing a commit takes, so that they are without gaps and
// readers never skip a slow transaction.
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tributary"
)

// Config says which database, and how it is used. URL is required.
type Config struct {
	URL    string // postgres://user:password@host:port/database?…
	Shards int    // of the default log when the store is made; 0: 4
	// Connections is the most that are open at once; 0: 16.
	Connections int
	// Groups is how many transactions of grouped commits run at once; 0: one.
	// One at a time is the fastest where measured: groups are larger then.
	Groups int
	// HeadCacheSize bounds the memory for datasets in use, in bytes; 0: 32 MiB.
	HeadCacheSize int64
	// Transfer opens a store in whatever state it is, to be moved. Without it a
	// store that is being filled or was moved is not opened.
	Transfer bool
	Now      func() time.Time
}

// Store is the engine. Open gives one.
type Store struct {
	cfg    Config
	id     string
	db     *pgxpool.Pool
	closed atomic.Bool
	// standby is set while the store does not serve, filling while it takes
	// imports: the state as it is stored.
	standby atomic.Pointer[tributary.Error]
	filling atomic.Pointer[string]
	done    chan struct{} // closed by Close
	stop    context.CancelFunc

	reads   *grouper[viewCall]
	commits []*grouper[commitCall]
	working sync.WaitGroup
	calls   sync.RWMutex // held for reading while a call is put into a queue

	pools pools
	maps  streamMaps
	heads heads
	ends  ends
}

var _ tributary.Store = (*Store)(nil)

const (
	statementTimeout = "10s"
	lockTimeout      = "5s"
	connectTimeout   = 2 * time.Second // for each host
	readyTimeout     = 5 * time.Second
	readers          = 1 // queries of grouped views at once: more make the groups smaller

	// For each other node, up to mostSharing of them, a node's groups begin so
	// much farther apart.
	viewGap     = time.Millisecond
	commitGap   = 1500 * time.Microsecond
	mostSharing = 2
)

// parse reads a URL and sets what every connection needs.
func parse(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, tributary.Errorf(tributary.Invalid, "open store", "the database's URL cannot be read: %v", err)
	}
	c := cfg.ConnConfig
	c.ConnectTimeout, c.DialFunc = connectTimeout, dialNet
	cfg.PingTimeout = pingTimeout
	for name, value := range map[string]string{
		"application_name": "tributary", "statement_timeout": statementTimeout, "lock_timeout": lockTimeout,
		"idle_in_transaction_session_timeout": statementTimeout,
	} {
		if _, set := c.RuntimeParams[name]; !set {
			c.RuntimeParams[name] = value
		}
	}
	// A commit looks at its route last, and must see what was committed by then.
	c.RuntimeParams["default_transaction_isolation"] = "read committed"
	return cfg, nil
}

// Place tells where a URL's database is: its name for people, without the
// password, and the address of its first host, "" if that is no network address.
func Place(url string) (name, address string, err error) {
	cfg, err := parse(url)
	if err != nil {
		return "", "", err
	}
	c := cfg.ConnConfig
	hosts := []string{net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))}
	for _, f := range c.Fallbacks {
		if host := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	if !strings.HasPrefix(c.Host, "/") {
		address = hosts[0]
	}
	name = fmt.Sprintf("postgres://%s@%s/%s", c.User, strings.Join(hosts, ","), c.Database)
	if schema := c.RuntimeParams["search_path"]; schema != "" {
		name += " schema " + schema
	}
	return name, address, nil
}

// sessionSettings are for PostgreSQL; other engines need not know them.
var sessionSettings = []string{
	// The planner plans a statement once and for good, or small groups would
	// be planned each time, which costs as much as running them. It must not
	// choose to read a whole table that was small then: all here is found by
	// index. Where none is, the plan seems dear enough to be compiled, which
	// takes a hundred times as long as the query.
	`SET plan_cache_mode = force_generic_plan`, `SET jit = off`,
	`SET enable_seqscan = off`, `SET enable_hashjoin = off`, `SET enable_mergejoin = off`,
	// What is acknowledged is durable, whatever the server's default.
	`SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`,
}

func prepare(ctx context.Context, conn *pgx.Conn) error {
	for _, setting := range sessionSettings {
		if _, err := conn.Exec(ctx, setting); err != nil && code(err) == "" {
			return err
		}
	}
	return nil
}

func dial(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	return conn, wrap("connect", err)
}

// Open connects, and brings the schema to this program's version.
//
// Errors: Invalid if the URL cannot be read, the schema is newer, or the store
// is being filled or was moved; Unavailable if the database does not answer.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	or := func(have, otherwise int) int {
		if have > 0 {
			return have
		}
		return otherwise
	}
	cfg.Shards, cfg.Connections, cfg.Groups = or(cfg.Shards, 4), or(cfg.Connections, 16), or(cfg.Groups, 1)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.HeadCacheSize == 0 {
		cfg.HeadCacheSize = 32 << 20
	}
	if err := Migrate(ctx, cfg.URL, cfg.Shards); err != nil {
		return nil, err
	}
	pool, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	pool.MaxConns = int32(cfg.Connections)
	pool.BeforeConnect, pool.AfterConnect = neverCancel, prepare
	s := &Store{cfg: cfg, done: make(chan struct{})}
	if s.db, err = pgxpool.NewWithConfig(ctx, pool); err != nil {
		return nil, wrap("open store", err)
	}
	if err := s.enter(ctx); err != nil {
		s.db.Close()
		return nil, err
	}
	s.start(ctx)
	return s, nil
}

// start makes the queues and those who work on them.
func (s *Store) start(ctx context.Context) {
	s.heads.most = s.cfg.HeadCacheSize
	s.reads = newGrouper[viewCall]()
	for range readers {
		s.working.Go(func() { s.reads.work("view", s.viewAll) })
	}
	for range s.cfg.Groups {
		g := newGrouper[commitCall]()
		s.commits = append(s.commits, g)
		s.working.Go(func() { g.work("commit", s.commitAll) })
	}
	s.ends.init()
	// The store lives until Close, not as long as the call that opened it.
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.working.Go(func() { s.watch(ctx) })
}

// Close ends the work and closes the connections. A second call does nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.done)
	s.stop()
	s.calls.Lock() // whoever was putting a call into a queue has done so
	close(s.reads.queue)
	for _, g := range s.commits {
		close(g.queue)
	}
	s.calls.Unlock()
	s.working.Wait()
	s.db.Close()
	return nil
}

// ShareWith tells the store how many nodes use the database, this one included.
func (s *Store) ShareWith(nodes int) {
	more := min(max(nodes-1, 0), mostSharing)
	s.reads.gap.Store(int64(more) * int64(viewGap))
	for _, g := range s.commits {
		g.gap.Store(int64(more) * int64(commitGap))
	}
}

// ID is the store's random name.
func (s *Store) ID() string { return s.id }

// alive tells why the store does not serve: it is closed, or being filled.
func (s *Store) alive() error {
	if err := s.opened(); err != nil {
		return err
	}
	if e := s.standby.Load(); e != nil {
		return e
	}
	return nil
}

func (s *Store) opened() error {
	if s.closed.Load() {
		return &tributary.Error{Kind: tributary.Unavailable, Op: "store", Msg: "The store is not available", Err: errors.New("the store is closed")}
	}
	return nil
}

// Ready tells why a write would be refused now.
func (s *Store) Ready(ctx context.Context) error {
	const op = "ready"
	if err := s.alive(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var readOnly string
	if err := s.db.QueryRow(ctx, `SHOW transaction_read_only`).Scan(&readOnly); err != nil {
		return wrap(op, err)
	}
	var serving int
	if err := s.db.QueryRow(ctx, `SELECT count(*) FROM meta WHERE name = 'id'`).Scan(&serving); err != nil {
		return wrap(op, err)
	}
	if serving == 0 {
		return moved(op)
	}
	if readOnly == "on" {
		return tributary.Errorf(tributary.Unavailable, op, "The database is read only")
	}
	return nil
}

func (s *Store) now() tributary.Millis { return tributary.MillisOf(s.cfg.Now()) }

// tx runs f in a transaction, again if the database asks for it. Unavailable
// if the store was moved.
func (s *Store) tx(ctx context.Context, op string, f func(pgx.Tx) error) error {
	if err := s.alive(); err != nil {
		return err
	}
	return retry(ctx, op, func() error {
		begun := false
		err := pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{BeginQuery: beginServing}, func(tx pgx.Tx) error {
			begun = true
			return f(tx)
		})
		if !begun && code(err) == divisionByZero {
			return moved(op)
		}
		return err
	})
}

func moved(op string) error {
	return tributary.Errorf(tributary.Unavailable, op, "The store was moved to another")
}
