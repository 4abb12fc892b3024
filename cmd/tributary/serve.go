package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tributary"
	"tributary/audit"
	"tributary/auth"
	"tributary/awswire"
	"tributary/front/api"
	"tributary/front/cognitoidentity"
	"tributary/front/cognitosync"
	"tributary/front/kinesisapi"
	"tributary/front/ops"
	"tributary/front/payload"
	"tributary/front/sts"
	"tributary/sink/kinesis"
	"tributary/sink/s3"
	"tributary/store/move"
	"tributary/store/pebblestore"
	"tributary/store/pgstore"
)

type serveCmd struct {
	Listen    string `default:"127.0.0.1:8080" help:"Address to listen on." placeholder:"HOST:PORT"`
	Data      string `default:"data" help:"Folder for everything that is kept." placeholder:"DIR"`
	PublicURL string `help:"URL by which readers reach the server, for links. Default: the listen address." placeholder:"URL"`

	TLSCert string `help:"File with the certificate chain to serve TLS with, in PEM. It is read again when it changes. Default: no TLS." placeholder:"FILE"`
	TLSKey  string `help:"File with the key of --tls-cert." placeholder:"FILE"`

	CORSOrigins    []string `default:"*" help:"Origins whose pages may use the AWS services, such as https://app.example.org, each by its whole name. *: any; none: none." placeholder:"ORIGIN"`
	MaxConnections int      `default:"0" help:"Connections open at once. 0: as many as the limit of open files leaves." placeholder:"N"`
	IdentityRate   int      `default:"100" help:"Requests per second of one identity; twice as many at once. 0: no limit." placeholder:"N"`
	PoolRate       int      `default:"0" help:"Requests per second of all identities of a pool. 0: no limit." placeholder:"N"`
	PublicRate     int      `default:"100" help:"Requests per second that need no signature, of one client address. 0: no limit." placeholder:"N"`
	Proxies        int      `default:"0" help:"Proxies in front of the server that add to X-Forwarded-For." placeholder:"N"`

	Region  string   `default:"us-east-1" help:"Region of new pools."`
	Regions []string `help:"Regions that requests may be signed for. Default: any." placeholder:"REGION"`
	Account string   `default:"000000000000" help:"The developers' account: 12 digits."`

	Store            string `help:"Database of many nodes, PostgreSQL or one that speaks its protocol. Default: a store of its own in the data folder. Set it by the environment: it holds a password." placeholder:"postgres://…"`
	NodeURL          string `help:"URL by which the other nodes reach this one. Default: the address that it listens on, or by which it reaches the database." placeholder:"URL"`
	StoreConnections int    `default:"16" help:"Connections to the database at most." placeholder:"N"`

	LoginEndpoints map[string]string `help:"Where to reach a login provider instead of its own address, such as accounts.google.com=https://proxy.example.org. The issuer that is found there must be the provider's own or this URL. Several are divided by commas." placeholder:"PROVIDER=URL" mapsep:","`

	Lambda string `help:"Where functions of AWS Lambda that pools have as sync triggers are called: aws, or the URL of what speaks Lambda's Invoke API. Credentials are those of the AWS SDKs' settings. Default: nowhere, webhooks only." placeholder:"aws|URL"`

	MasterKeyFile string `help:"File with the master key. Default: master.key in the data folder, created at the first start." placeholder:"FILE"`
	Shards        *int   `help:"Shards of the default log. Counts when the store is created. Default: 4." placeholder:"N"`
	MinFree       string `default:"auto" help:"Free space of the disk below which writes are refused: a size or a percentage. auto: 1GiB or 5%, whichever is less." placeholder:"SIZE"`

	Warehouse       string   `enum:"duckdb,none" default:"duckdb" help:"Where the changes are kept for queries: duckdb or none."`
	WarehouseFile   string   `help:"File of the embedded warehouse. On a disk that several nodes share, any of them can take it over. Default: warehouse.duckdb in the data folder." placeholder:"FILE"`
	WarehouseLoss   bool     `help:"Take the embedded warehouse over even if entries that this node's file lacks are no longer in the log."`
	WarehouseMemory byteSize `default:"512MiB" help:"Memory that the warehouse may use." placeholder:"SIZE"`

	kinesisFlags

	StreamInlineLimit byteSize `default:"50KiB" help:"Size of a stream record from which on it carries a link instead of its records." placeholder:"SIZE"`
	KinesisLimits     bool     `help:"Refuse what is faster than Amazon's shards are: 5 GetRecords and 2 MiB read, 1,000 records and 1 MiB put per second and shard."`
	StrictSyncCount   bool     `help:"Refuse a LastSyncCount above the dataset's, as AWS does, instead of listing everything."`

	Cache       byteSize      `default:"64MiB" help:"Memory for the store's blocks." placeholder:"SIZE"`
	MemTable    byteSize      `default:"64MiB" help:"Memory for writes that are not in a table yet." placeholder:"SIZE"`
	HeadCache   byteSize      `default:"32MiB" help:"Memory for datasets in use." placeholder:"SIZE"`
	MemoryLimit byteSize      `default:"256MiB" help:"Go heap from which on garbage is collected eagerly." placeholder:"SIZE"`
	Drain       time.Duration `default:"30s" help:"Time for requests under way to end at a stop."`
	DebugListen string        `help:"Address for Go's profiling pages. Default: none." placeholder:"HOST:PORT"`
	LogLevel    slog.Level    `default:"info" help:"debug, info, warn or error."`
}

// Run serves until the first signal.
func (c *serveCmd) Run(e *env) error {
	s, err := newServer(e.ctx, c, slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: c.LogLevel})))
	if err != nil {
		return err
	}
	s.greet(e.stdout)
	return s.run(e.ctx)
}

// server is everything that runs, in the order in which it is opened.
type server struct {
	cfg  *serveCmd
	log  *slog.Logger
	fail chan error // the store has failed: stop

	listener  net.Listener
	debug     net.Listener // nil: no profiling pages
	tls       *tls.Config  // nil: no TLS
	sealer    *tributary.Sealer
	rotation  *tributary.Rotation
	store     tributary.Store
	auth      *auth.Auth
	newKey    *awswire.Credentials // created by this start
	fileKey   fileKey
	service   *tributary.Service
	tokens    *auth.Tokens
	audit     *audit.Log
	movable   *move.Store // the store, as that which can be moved
	moving    moving
	warehouse hosted
	roles     *kinesis.Clients // nil: all streams are embedded
	bucket    *s3.Bucket       // nil: large updates stay in their stream record
	ops       *ops.Ops
	http      *http.Server

	connections *connections
	membership  atomic.Pointer[membership]
	background  []func(context.Context) error
}

// newServer opens everything, in named steps. What was opened is closed again
// if a later step fails.
func newServer(ctx context.Context, c *serveCmd, log *slog.Logger) (*server, error) {
	s := &server{cfg: c, log: log, fail: make(chan error, 1)}
	s.moving.init()
	for _, step := range []func(context.Context) error{s.limitMemory, s.openTLS, s.listen, s.tellDoor, s.limitConnections, s.listenDebug, s.openStore, s.joinNodes, s.openAuth, s.checkKeys, s.openSealing, s.openSignIn, s.openKinesis, s.openWarehouse, s.tellLost, s.buildFronts, s.openTriggers, s.buildBackground} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// limitMemory tunes the garbage collection. The heap is small beside the
// store's own memory: collecting it less often is worth a fifth of the speed.
// The limit is the guard.
func (s *server) limitMemory(context.Context) error {
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(int64(s.cfg.MemoryLimit))
	return nil
}

func (s *server) listen(ctx context.Context) (err error) {
	if s.listener, err = listenOn(ctx, "--listen", s.cfg.Listen); err != nil {
		return err
	}
	if _, every := s.address(); every && s.cfg.PublicURL == "" {
		s.log.Warn("links in stream records work on this machine only: --public-url is not set", "links", s.url())
	}
	return nil
}

func (s *server) listenDebug(ctx context.Context) (err error) {
	if s.cfg.DebugListen != "" {
		s.debug, err = listenOn(ctx, "--debug-listen", s.cfg.DebugListen)
	}
	return err
}

// listenOn listens on the address that a flag names.
func listenOn(ctx context.Context, flag, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch _, port, _ := net.SplitHostPort(address); {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %s is in use: choose another with %s", port, flag)
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return l, nil
}

// address is where clients on this machine reach the server, and whether it
// listens on every address: that one is no address to connect to.
func (s *server) address() (address string, every bool) {
	a, ok := s.listener.Addr().(*net.TCPAddr)
	if !ok || !a.IP.IsUnspecified() {
		return s.listener.Addr().String(), false
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.Port)), true
}

func (s *server) url() string {
	address, _ := s.address()
	return s.scheme() + address
}

func (s *server) openStore(ctx context.Context) (err error) {
	if s.cfg.Store == "" {
		err = s.openEmbedded()
	} else {
		err = s.openDatabase(ctx)
	}
	if err != nil {
		return plain(err)
	}
	if s.cfg.Shards != nil {
		err = s.compareShards(ctx, *s.cfg.Shards)
	}
	return err
}

// shards is how many shards a new store's default log gets; 0: as many as the
// store makes by itself.
func (c *serveCmd) shards() int {
	if c.Shards == nil {
		return 0
	}
	return *c.Shards
}

func (s *server) openDatabase(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil { // for the keys
		return err
	}
	db, err := pgstore.Open(ctx, s.cfg.databaseConfig(s.cfg.Store))
	if err != nil {
		return unreachable(s.cfg.Store, err)
	}
	s.serveFrom(db)
	return nil
}

func (c *serveCmd) databaseConfig(url string) pgstore.Config {
	return pgstore.Config{URL: url, Shards: c.shards(), Connections: c.StoreConnections, HeadCacheSize: int64(c.HeadCache)}
}

func (s *server) openEmbedded() error {
	cfg, err := s.embeddedConfig()
	if err != nil {
		return err
	}
	db, err := pebblestore.Open(cfg)
	if err == nil {
		s.serveFrom(db)
	}
	return err
}

func (s *server) embeddedConfig() (pebblestore.Config, error) {
	dir := filepath.Join(s.cfg.Data, "store")
	disk, err := diskSize(dir)
	if err != nil {
		return pebblestore.Config{}, err
	}
	least, err := minFree(s.cfg.MinFree, disk)
	return pebblestore.Config{
		Dir: dir, Shards: s.cfg.shards(), MinFree: least, Log: s.log,
		CacheSize: int64(s.cfg.Cache), MemTableSize: int64(s.cfg.MemTable), HeadCacheSize: int64(s.cfg.HeadCache),
		Failed: func(cause error) {
			s.log.Error("the store has failed, stopping; a restart goes on at what is durable", "err", cause)
			select {
			case s.fail <- cause:
			default:
			}
		},
	}, err
}

// serveFrom makes an engine the server's store.
func (s *server) serveFrom(e move.Engine) {
	s.movable = move.Wrap(e)
	s.store = s.movable
}

// said is an error whose message for people says it all.
type said struct{ error }

func (e said) Error() string { return tributary.Message(e.error) }

func (e said) Unwrap() error { return e.error }

// plain leaves of an error what is meant for people, if anything is.
func plain(err error) error {
	if tributary.Message(err) == "" {
		return err
	}
	return said{err}
}

// compareShards says so if the default log has another number of shards than
// was asked for: it was made with it.
func (s *server) compareShards(ctx context.Context, asked int) error {
	all, err := s.store.Shards(ctx)
	have := len(slices.DeleteFunc(all, func(shard tributary.Shard) bool { return shard.Stream != tributary.DefaultStream }))
	if err == nil && have != asked {
		s.log.Warn("--shards is used for new stores only: the default log of this one stays as it is", "asked", asked, "shards", have)
	}
	return err
}

const credentialsName = "credentials"

func (s *server) openAuth(ctx context.Context) error {
	keys, err := s.store.AccessKeys(ctx)
	if err != nil {
		return err
	}
	master, err := masterKey(s.cfg.MasterKeyFile, s.cfg.Data, len(keys), s.cfg.Store != "")
	if err != nil {
		return err
	}
	if s.sealer, err = tributary.NewSealer(master); err != nil {
		return err
	}
	s.auth = &auth.Auth{Keys: s.store, Sealer: s.sealer, Account: s.cfg.Account}
	if len(s.cfg.Regions) > 0 {
		s.auth.Region = func(region string) bool { return slices.Contains(s.cfg.Regions, region) }
	}
	s.service = &tributary.Service{
		Store: s.store, Sealer: s.sealer, Region: s.cfg.Region, Account: s.cfg.Account,
		StrictSyncCount: s.cfg.StrictSyncCount, Log: s.log,
	}
	if len(keys) == 0 {
		err = s.firstKey(ctx)
	}
	return err
}

// checkKeys refuses a master key that opens no access key: that of another
// store, or of another node that made its own.
func (s *server) checkKeys(ctx context.Context) error {
	keys, err := s.store.AccessKeys(ctx)
	s.fileKey = lookAtFile(filepath.Join(s.cfg.Data, credentialsName), keys, s.auth, tributary.MillisOf(time.Now()))
	if err != nil || slices.ContainsFunc(keys, func(k tributary.AccessKey) bool { return s.auth.Check(k) == nil }) {
		return err
	}
	return fmt.Errorf(`the master key opens none of the store's access keys: every node and every start needs the one that the store began with.
If it is lost for good, make a key with "tributary access-key create --offline --new-master-key %s"`, s.keyFlags())
}

// openSealing takes over the keys that all nodes seal tokens under.
func (s *server) openSealing(ctx context.Context) error {
	s.rotation = &tributary.Rotation{Keys: s.store, Sealer: s.sealer, Log: s.log}
	return s.rotation.Look(ctx)
}

func (s *server) publicURL() string {
	if s.cfg.PublicURL != "" {
		return strings.TrimSuffix(s.cfg.PublicURL, "/")
	}
	return s.url()
}

func (s *server) buildFronts(context.Context) error {
	s.ops = ops.New(s.store.Ready)
	s.ops.WatchLag(s.store, warehouseGroup)
	s.ops.WatchKinesis(s.store, kinesisGroup)
	links := &payload.Links{Sealer: s.sealer, PublicURL: s.publicURL(), Region: s.cfg.Region}
	limits, observe := s.limits(), s.ops.Observe
	payloadHandler := &payload.Handler{Log: s.store, Sealer: s.sealer, Logger: s.log, Observe: observe}
	authenticate, begin := limits.Wrap(s.auth.Authenticate), s.begin(limits)
	f := &fronts{
		sync:     s.cfg.openToPages(cognitosync.New(cognitosync.Config{Service: s.service, Authenticate: authenticate, Begin: begin, Log: s.log, Observe: observe})),
		identity: s.cfg.openToPages(cognitoidentity.New(cognitoidentity.Config{Service: s.service, Authenticate: authenticate, Begin: begin, Admit: limits.Admit, Issue: s.auth.Issue, Log: s.log, Observe: observe})),
		kinesis: s.cfg.openToPages(kinesisapi.New(kinesisapi.Config{Service: s.service, Log: s.store, Sealer: s.sealer, Authenticate: authenticate, Begin: begin, Link: links.Link,
			InlineLimit: int(s.cfg.StreamInlineLimit), Region: s.cfg.Region, Account: s.cfg.Account, Limits: s.cfg.KinesisLimits, Logger: s.log, Observe: observe})),
		sts:     s.cfg.openToPages(sts.New(sts.Config{Service: s.service, Authenticate: authenticate, Begin: begin, Admit: limits.Admit, Issue: s.auth.Issue, Log: s.log, Observe: observe})),
		api:     newForwarder(api.New(api.Config{Service: s.service, Authenticate: authenticate, Begin: begin, AccessKeys: &auth.Developers{Auth: s.auth}, Audit: s.audit.Read, Payloads: &payloads{handler: payloadHandler, links: links, streams: s.store, bucket: s.bucket}, Query: s.query, Backup: s.backup, Move: s.startMove, Moved: s.moving.state, Log: s.log, Observe: observe}), s.warehouseNode),
		openID:  s.cfg.openToPages(s.tokens),
		payload: payloadHandler,
		ops:     s.ops,
	}
	s.http = s.httpServer(f)
	return nil
}

func (s *server) httpServer(h http.Handler) *http.Server {
	// The JavaScript SDK's Kinesis client speaks HTTP/2 with prior knowledge,
	// without TLS too.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	const read, write = time.Minute, writeTimeout // write runs from the begin of the request: a minute is left after the slowest body
	return &http.Server{
		Protocols: protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100, WriteByteTimeout: write},
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: read, WriteTimeout: write, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), TLSConfig: s.tls, ConnState: s.connections.state,
	}
}

// writeTimeout is how long an answer may take.
const writeTimeout = 2 * time.Minute

// run serves until ctx is done or the store fails. Then the fronts drain, the
// pumps finish their batch and give up their leases, and the store closes last.
func (s *server) run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { s.work(background) })
	served := make(chan error, 1)
	go func() { served <- s.serveHTTP() }()
	s.serveDebug(background)
	var err error
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
	case err = <-s.fail:
		// Nothing can be promised any more, and closing the store could wait
		// for the disk for ever.
		return fmt.Errorf("the store has failed: %w", err)
	case err = <-served:
	}
	drain, cancel := context.WithTimeout(background, s.cfg.Drain)
	defer cancel()
	if drainErr := s.http.Shutdown(drain); drainErr != nil {
		s.log.Warn("requests were cut off", "err", drainErr)
		err = errors.Join(err, s.http.Close())
	}
	stop()
	running.Wait()
	if err = errors.Join(err, s.close()); err == nil {
		s.log.Info("stopped")
	}
	return err
}

func (s *server) serveDebug(ctx context.Context) {
	if s.debug == nil {
		return
	}
	h := &http.Server{Handler: ops.Profiling(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = h.Close() })
	go func() {
		if err := h.Serve(s.debug); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("profiling pages are not served", "err", err)
		}
	}()
}

// close closes what is open, the store last.
func (s *server) close() error {
	var err error
	if w, _ := s.warehouse.get(); w != nil {
		err = w.Close()
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	if s.listener != nil {
		_ = s.listener.Close() // a second time, most often
	}
	if s.debug != nil {
		_ = s.debug.Close()
	}
	return err
}
