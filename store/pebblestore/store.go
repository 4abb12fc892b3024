// Package pebblestore is the embedded engine: a tributary.Store on Pebble, in
// the process, in one folder.
//
// A commit takes the identity's lock, then the shard's, applies its batch
// without waiting for the disk, and waits for the disk outside of the locks,
// so that concurrent syncs share an fsync and positions stay in order. What is
// applied but not yet on disk is visible to the engine alone: reads wait for
// the shard's durable watermark.
package pebblestore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
)

// Format is the version of the layout in keys.go and encode.go. A store of
// another version is not opened.
const Format = 2

// syncInterval is the least time between two fsyncs of the log under load: more
// writes then share one. An fsync costs a third of a sync's CPU time and
// rewrites the log's last page.
const syncInterval = 250 * time.Microsecond

// untilSync is how long the next fsync waits. One writer alone, who writes when
// it has been answered, need not.
func (s *Store) untilSync() time.Duration {
	if s.unsynced.Swap(0) < 2 {
		return 0
	}
	return syncInterval
}

// Config says where and how to open a store. Dir is required.
type Config struct {
	Dir    string
	FS     vfs.FS // nil: the disk
	Shards int    // of the default log when the store is created; 0: 4
	// CacheSize and MemTableSize are Pebble's, in bytes; 0: 64 MiB and 64 MiB.
	CacheSize, MemTableSize int64
	// HeadCacheSize bounds the memory of the cache of datasets, in bytes; 0: 32 MiB.
	HeadCacheSize int64
	// Transfer opens a store in whatever state it is, to be moved. Without it a
	// store that is being filled or was moved is not opened.
	Transfer bool
	// MinFree is the free space of the disk, in bytes, below which writes are
	// refused while reads, deletes and trimming go on. 0: do not look.
	MinFree uint64
	Log     *slog.Logger
	// Failed is called once, when a write of the log failed and nothing can be
	// promised any more. The process should stop; a restart reopens the store
	// at what is durable.
	Failed func(error)
	Now    func() time.Time

	faults faults
}

// faults breaks the store on purpose, so that tests can show that they notice.
type faults struct {
	dropSync       bool // acknowledge without waiting for the disk
	earlyWatermark bool // show a change before it is durable
	splitBatch     bool // commit log entry and data in two batches
	splitMark      bool // write entries and their leases in two batches
}

// Store is an open store. Its methods are those of tributary.Store.
type Store struct {
	db   *pebble.DB
	cfg  Config
	id   string
	dead chan struct{} // closed when the store has failed or was closed

	failure  atomic.Pointer[tributary.Error]
	standby  atomic.Pointer[tributary.Error] // set while the store does not serve
	retired  atomic.Pointer[tributary.Error] // set when the store was moved: it takes no writes
	closed   atomic.Bool
	unsynced atomic.Int64 // writes to be synced since the last fsync
	room     room

	stripes [stripes]stripe

	// routing guards pools, streams and shards. A commit holds it for reading
	// from its check of the route until its batch is applied.
	routing sync.RWMutex
	pools   map[tributary.PoolID]*tributary.Pool
	streams map[tributary.StreamID]*tributary.Stream
	shards  map[tributary.Shard]*shardLog

	restores []tributary.Restored // oldest first; changed under all stripes and routing alone
	backup   sync.Mutex           // held while a backup is taken

	stateMu sync.RWMutex
	state   tributary.TransferState // guarded by stateMu

	// leases guards the read-modify-write of leases. It is taken before all
	// others, and held until what was written is durable.
	leases sync.Mutex
	// records guards the read-modify-write of access keys, sealing keys, sessions
	// and logins. It is taken last.
	records sync.Mutex
}

var _ tributary.Store = (*Store)(nil)

// Open opens the store in a folder, which it makes if need be.
//
// Errors: Unavailable if another process has it open, Invalid if it was
// written in another format, is being filled or was moved.
func Open(cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		cfg: cfg, dead: make(chan struct{}),
		pools:   map[tributary.PoolID]*tributary.Pool{},
		streams: map[tributary.StreamID]*tributary.Stream{},
		shards:  map[tributary.Shard]*shardLog{},
	}
	fs := cfg.FS
	if fs == nil {
		fs = vfs.Default
	}
	s.room = room{fs: fs, dir: cfg.Dir, least: cfg.MinFree, now: cfg.Now}
	s.initStripes()
	err := mkdirAll(fs, cfg.Dir)
	var lock *pebble.Lock
	if err == nil {
		lock, err = pebble.LockDirectory(cfg.Dir, fs)
	}
	if err != nil {
		return nil, &tributary.Error{Kind: tributary.Unavailable, Op: "open store", Msg: notLocked(cfg.Dir, "stop it first", err), Err: err}
	}
	s.room.lock = lock
	err = sweepBackup(fs, cfg.Dir)
	if err == nil {
		err = s.open(fs)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// open opens or creates what is in the folder, which is locked.
func (s *Store) open(fs vfs.FS) error {
	fresh, err := begin(fs, s.cfg.Dir)
	if err != nil {
		return internal("open store", err)
	}
	opts := s.options(fs)
	opts.Lock = s.room.lock
	if s.db, err = pebble.Open(s.cfg.Dir, opts); err != nil {
		return &tributary.Error{Kind: tributary.Internal, Op: "open store", Err: err}
	}
	opts.Cache.Unref()
	serves, err := s.enter()
	if err == nil && serves {
		err = s.load()
	}
	if err == nil && fresh {
		err = internal("open store", finish(fs, s.cfg.Dir))
	}
	if err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

func (s *Store) options(fs vfs.FS) *pebble.Options {
	or := func(have, otherwise int64) int64 {
		if have > 0 {
			return have
		}
		return otherwise
	}
	opts := &pebble.Options{
		FS:                          fs,
		Cache:                       pebble.NewCache(or(s.cfg.CacheSize, 64<<20)),
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(or(s.cfg.MemTableSize, 64<<20)),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		Logger:                      pebbleLog{s},
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
		WALMinSyncInterval:          s.untilSync,
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].FilterType = pebble.TableFilter
		opts.Levels[i].BlockSize = 16 << 10 // a twentieth less on disk than the usual 4 KiB
	}
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		return pebble.UniformDBCompressionSettings(sstable.ZstdCompression)
	})
	return opts
}

// pebbleLog hands Pebble's words to our log. Fatalf does not return: Pebble
// has met a state in which it cannot go on.
type pebbleLog struct{ s *Store }

func (l pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.cfg.Log.Error("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf("pebble: "+format, args...))
	select {} // whoever calls may hold Pebble's locks; the process is ending
}

// load reads what is kept in memory: pools, streams, the ends of the logs.
func (s *Store) load() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	var err error
	if s.restores, err = loadRestored(s.db); err != nil {
		return err
	}
	if err := scan(s.db, []byte{tablePool}, func(_ []byte, value []byte) error {
		p := &tributary.Pool{}
		if err := json.Unmarshal(value, p); err != nil {
			return err
		}
		s.pools[p.ID] = p
		return nil
	}); err != nil {
		return internal("load pools", err)
	}
	if err := scan(s.db, []byte{tableStream}, func(_ []byte, value []byte) error {
		st := &tributary.Stream{}
		if err := json.Unmarshal(value, st); err != nil {
			return err
		}
		s.streams[st.ID] = st
		return nil
	}); err != nil {
		return internal("load streams", err)
	}
	for _, st := range s.streams {
		for _, r := range st.Shards {
			if err := s.loadShard(tributary.Shard{Stream: st.ID, Number: r.Number}); err != nil {
				return internal("load shard", err)
			}
		}
	}
	return s.loadUsage()
}

// checkFormat refuses a store of another format, and marks a new one.
func (s *Store) checkFormat() error {
	value, err := s.get(metaFormat)
	if err != nil {
		return internal("read format", err)
	}
	if value != "" {
		if n := binary.BigEndian.Uint32([]byte(value)) &^ inTransfer; n != Format {
			return tributary.Errorf(tributary.Invalid, "open store", "the store in %s has format %d, this program reads format %d", s.cfg.Dir, n, Format)
		}
		s.id, err = s.get(metaID)
		return internal("read id", err)
	}
	s.id = rand.Text()
	shards := s.cfg.Shards
	if shards == 0 {
		shards = 4
	}
	log := tributary.Stream{ID: tributary.DefaultStream, Revision: 1, Kind: tributary.Embedded, Shards: tributary.EvenShards(shards),
		Retention: tributary.DefaultRetention, Created: s.now()}
	b := s.db.NewBatch()
	defer b.Close()
	set(b, metaFormat, binary.BigEndian.AppendUint32(nil, Format))
	set(b, metaID, []byte(s.id))
	if err := setJSON(b, streamKey(log.ID), log); err != nil {
		return err
	}
	return s.write(b)
}

// Close closes the store. Nobody may be using it. A second call does nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var err error
	if s.refusal() == nil {
		err = s.flushUsage()
	}
	s.fail(errClosed)
	return errors.Join(err, s.db.Close(), s.room.lock.Close())
}

var errClosed = errors.New("the store is closed")

// fail stops the store for good: the watermark stays where it is, and every
// waiter and every later call gets Unavailable. It tells whether the store was
// alive until now.
func (s *Store) fail(cause error) bool {
	e := &tributary.Error{Kind: tributary.Unavailable, Op: "store", Msg: "The store is not available", Err: cause}
	if !s.failure.CompareAndSwap(nil, e) {
		return false
	}
	close(s.dead)
	if s.cfg.Failed != nil && !errors.Is(cause, errClosed) {
		s.cfg.Failed(cause)
	}
	return true
}

// failed gives the failure of a store that has failed.
func (s *Store) failed() error {
	if e := s.failure.Load(); e != nil {
		return e
	}
	return nil
}

// alive tells why the store does not serve: it has failed, or is being filled.
func (s *Store) alive() error {
	if err := s.failed(); err != nil {
		return err
	}
	if e := s.standby.Load(); e != nil {
		return e
	}
	return nil
}

// ID is the store's random name.
func (s *Store) ID() string { return s.id }

// Ready tells why a write would be refused now.
func (s *Store) Ready(context.Context) error { return s.writable() }

func (s *Store) writable() error {
	if err := s.refusal(); err != nil {
		return err
	}
	return s.room.check()
}

// room watches the free space of the disk.
type room struct {
	fs    vfs.FS
	dir   string
	least uint64
	now   func() time.Time
	lock  *pebble.Lock

	looked atomic.Int64 // when, in Unix seconds
	full   atomic.Bool
}

// check refuses a write if too little of the disk is free. It looks at most
// once a second.
func (r *room) check() error {
	if r.least == 0 {
		return nil
	}
	now := r.now().Unix()
	if last := r.looked.Load(); last != now && r.looked.CompareAndSwap(last, now) {
		if usage, err := r.fs.GetDiskUsage(r.dir); err == nil {
			r.full.Store(usage.AvailBytes < r.least)
		}
	}
	if !r.full.Load() {
		return nil
	}
	return tributary.Errorf(tributary.Unavailable, "check disk", "The server's disk has less than %d MiB free: writes are refused, reads and deletes go on", r.least>>20)
}

func (s *Store) now() tributary.Millis { return tributary.MillisOf(s.cfg.Now()) }

// get reads a value, "" if there is none. The copy is ours: what Pebble lends
// must not be kept.
func (s *Store) get(key []byte) (string, error) { return getFrom(s.db, key) }

func getFrom(r pebble.Reader, key []byte) (string, error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text := string(value)
	return text, closer.Close()
}

// scan calls f for every key of a prefix. Key and value are lent.
func scan(r pebble.Reader, prefix []byte, f func(key, value []byte) error) error {
	return scanRange(r, prefix, after(prefix), f)
}

// errStop ends a scan early.
var errStop = errors.New("stop")

func scanRange(r pebble.Reader, from, to []byte, f func(key, value []byte) error) (err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := f(it.Key(), value); errors.Is(err, errStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return it.Error()
}

// set adds a write to a batch, which fails only on a batch that was closed.
func set(b *pebble.Batch, key, value []byte) {
	if err := b.Set(key, value, nil); err != nil {
		panic(err)
	}
}

func remove(b *pebble.Batch, key []byte) {
	if err := b.Delete(key, nil); err != nil {
		panic(err)
	}
}

func removeAll(b *pebble.Batch, prefix []byte) {
	if err := b.DeleteRange(prefix, after(prefix), nil); err != nil {
		panic(err)
	}
}

func setJSON(b *pebble.Batch, key []byte, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return internal("encode", err)
	}
	set(b, key, value)
	return nil
}

// write commits a batch that is not a Change, durably.
func (s *Store) write(b *pebble.Batch) error {
	// Not Commit with pebble.Sync, which never returns when the log cannot be
	// written.
	if err := s.apply(b); err != nil || s.cfg.faults.dropSync {
		return err
	}
	return s.syncWait(b)
}

// syncWait waits until a batch is on disk. After a failure it gives an error
// even if this batch's own wait was answered well: nothing more may be shown.
func (s *Store) syncWait(b *pebble.Batch) error {
	s.unsynced.Add(1)
	err := b.SyncWait()
	if err != nil {
		s.fail(err)
	}
	return s.failed()
}

func internal(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *tributary.Error
	if errors.As(err, &e) {
		return err
	}
	return &tributary.Error{Kind: tributary.Internal, Op: op, Err: err}
}
