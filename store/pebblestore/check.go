package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/store/codec"
)

// CheckReport is what [Check] walked and found.
type CheckReport struct {
	Tables     int   // Pebble's files, every block of which was read
	TableBytes int64 // their size
	Keys       int64 // in all tables of the layout
	Tally
	Records  int64         // live, and tombstones
	Restores int           // that the store went through
	Took     time.Duration // in all

	Faults []string // the first of them
	Found  int      // how many there are
}

// mostFaults is how many are told: more would hide the first.
const mostFaults = 100

func (r *CheckReport) fault(key []byte, format string, args ...any) {
	if r.Found++; len(r.Faults) < mostFaults {
		text, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n") // Pebble's details follow
		if key != nil {
			text = fmt.Sprintf("key %q: %s", key, text)
		}
		r.Faults = append(r.Faults, strings.ToValidUTF8(text, "\uFFFD"))
	}
}

// Check walks a store that no server uses: every block of every table against
// its checksum, and every key and value against the rules by which they were
// written. It changes nothing.
//
// Errors: NotFound if there is no store, Unavailable if a server uses it,
// Invalid if it is of another format, was moved, or is being filled. What is
// wrong with the store is no error, but in the report, also if it cannot be
// opened for it.
func Check(ctx context.Context, cfg Config) (report CheckReport, err error) {
	const op = "check"
	began := time.Now()
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if _, err := cfg.FS.Stat(cfg.Dir); err != nil {
		return report, &tributary.Error{Kind: tributary.NotFound, Op: op, Msg: fmt.Sprintf("there is no store in %s", cfg.Dir), Err: err}
	}
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.FS)
	if err != nil {
		return report, &tributary.Error{Kind: tributary.Unavailable, Op: op, Msg: notLocked(cfg.Dir, "stop it first", err), Err: err}
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if _, err := cfg.FS.Stat(cfg.FS.PathJoin(cfg.Dir, unfinished)); err == nil {
		return report, tributary.Errorf(tributary.NotFound, op, "the store in %s was never finished: the next start of the server makes it anew", cfg.Dir)
	}
	opts := (&Store{cfg: cfg}).options(cfg.FS)
	opts.Lock, opts.ReadOnly, opts.Logger = lock, true, checkLog{}
	opts.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}} // the walk tells
	c := &checker{ctx: ctx, CheckReport: &report}
	c.db, err = pebble.Open(cfg.Dir, opts)
	opts.Cache.Unref()
	if err != nil {
		c.fault(nil, "the store cannot be opened: %v", err)
		report.Took = time.Since(began)
		return report, nil
	}
	err = errors.Join(c.run(cfg.FS, cfg.Dir, opts), c.db.Close())
	report.Took = time.Since(began)
	return report, err
}

// checkLog has Pebble's fatal errors, which it met in the walk itself, end the
// walk.
type checkLog struct{}

func (checkLog) Infof(string, ...any)  {}
func (checkLog) Errorf(string, ...any) {}

func (checkLog) Fatalf(format string, args ...any) { panic(fatal{fmt.Errorf(format, args...)}) }

type fatal struct{ error }

// checker walks a store.
type checker struct {
	*CheckReport
	ctx      context.Context
	db       *pebble.DB
	restores []tributary.Restored
	pools    map[tributary.PoolID]*poolFacts
	streams  map[tributary.StreamID]*tributary.Stream
	shards   map[tributary.Shard]*shardFacts
}

// poolFacts are what a walk finds out of a pool.
type poolFacts struct {
	figures int64 // bytes, by the shards' figures and what the logs hold beyond them
	held    int64 // bytes, by its identities
}

func (c *checker) run(fs vfs.FS, dir string, opts *pebble.Options) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(fatal)
			if !ok {
				panic(p)
			}
			c.fault(nil, "the walk could not go on: %v", f.error)
		}
	}()
	if err := c.checkFormat(dir); err != nil {
		return err
	}
	if err := c.checkTables(fs, dir, opts); err != nil {
		return err
	}
	c.pools, c.streams, c.shards = map[tributary.PoolID]*poolFacts{}, map[tributary.StreamID]*tributary.Stream{}, map[tributary.Shard]*shardFacts{}
	for _, step := range []func() error{
		c.checkLetters, c.checkMeta, c.checkRestores, c.checkStreams, c.checkPools, c.checkHorizons, c.checkLogs, c.checkEnds,
		c.checkUsage, c.checkLeases, c.checkAccessKeys, c.checkSealingKeys, c.checkIdentities, c.checkMembers, c.checkOpen, c.checkLogins, c.checkFigures,
	} {
		err := step()
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if err != nil {
			c.fault(nil, "the store cannot be read: %v", err)
		}
	}
	return nil
}

func (c *checker) checkFormat(dir string) error {
	value, err := getFrom(c.db, metaFormat)
	if err != nil || len(value) != 4 {
		return nil // the walk tells
	}
	n := binary.BigEndian.Uint32([]byte(value))
	if n&inTransfer != 0 {
		if err := c.checkState(dir); err != nil {
			return err
		}
	}
	if n &^= inTransfer; n != Format {
		return tributary.Errorf(tributary.Invalid, "check", "the store has format %d, this program reads format %d", n, Format)
	}
	return nil
}

// checkState refuses a store that was moved, or is being filled.
func (c *checker) checkState(dir string) error {
	t, err := readState(c.db)
	if err != nil {
		return nil // the walk tells
	}
	if t.Phase == tributary.Moved {
		return tributary.Errorf(tributary.Invalid, "check", "the store in %s was moved to %s at %s: check looks at embedded stores, a database has its own tools", dir, t.Peer, t.Since.Time().Format(time.RFC3339))
	}
	return t.Refusal(dir)
}

// checkTables reads every block of every table, and looks whether the tables
// agree with each other.
func (c *checker) checkTables(fs vfs.FS, dir string, opts *pebble.Options) error {
	levels, err := c.db.SSTables()
	if err != nil {
		c.fault(nil, "the tables cannot be listed: %v", err)
		return nil
	}
	opts.EnsureDefaults()
	seen := map[string]bool{}
	for _, level := range levels {
		for i := range level {
			name := fmt.Sprintf("%06d.sst", uint64(level[i].BackingSSTNum))
			if seen[name] {
				continue // a part of a table that was seen
			}
			seen[name] = true
			c.Tables++
			size, err := checkTable(c.ctx, fs, fs.PathJoin(dir, name), opts.MakeReaderOptions())
			if c.ctx.Err() != nil {
				return c.ctx.Err()
			}
			if c.TableBytes += size; err != nil {
				c.fault(nil, "table %s: %v", name, err)
			}
		}
	}
	if err := c.db.CheckLevels(nil); err != nil {
		c.fault(nil, "the tables' levels: %v", err)
	}
	return nil
}

func checkTable(ctx context.Context, fs vfs.FS, path string, opts sstable.ReaderOptions) (size int64, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return 0, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return 0, errors.Join(err, f.Close())
	}
	size = readable.Size()
	r, err := sstable.NewReader(ctx, readable, opts) // which closes what it cannot read
	if err != nil {
		return size, err
	}
	return size, errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// walk calls f for every key of a table of the layout. What f returns is a
// fault of the key. The value is f's own, the key is lent.
func (c *checker) walk(table byte, f func(key []byte, value string) error) error {
	n := 0
	return scan(c.db, []byte{table}, func(key, value []byte) error {
		c.Keys++
		if n++; n%1024 == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if err := f(key, string(value)); err != nil {
			c.fault(key, "%v", err)
		}
		return nil
	})
}

// layout is every table's letter.
const layout = string(rune(tableMeta)) + string(rune(tablePool)) + string(rune(tableIdentity)) + string(rune(tableMember)) + string(rune(tableLogin)) + string(rune(tableOpen)) +
	string(rune(tableHead)) + string(rune(tableRecord)) + string(rune(tableIndex)) + string(rune(tableStream)) + string(rune(tableLog)) +
	string(rune(tableHorizon)) + string(rune(tableFolded)) + string(rune(tableUsage)) + string(rune(tableSessions)) + string(rune(tableLease)) +
	string(rune(tableKey)) + string(rune(tableSealing)) + string(rune(tableDevice)) + string(rune(tableRestored))

// checkLetters finds keys of no table, by a look at every letter.
func (c *checker) checkLetters() error {
	known := map[byte]bool{}
	for i := range len(layout) {
		known[layout[i]] = true
	}
	for letter := range 256 {
		if known[byte(letter)] {
			continue
		}
		if err := scan(c.db, []byte{byte(letter)}, func(key, _ []byte) error {
			c.Keys++
			c.fault(key, "no table has such keys")
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) checkMeta() error {
	found := map[string]bool{}
	err := c.walk(tableMeta, func(key []byte, value string) error {
		found[string(key)] = true
		switch string(key) {
		case string(metaFormat):
			return wantLength(value, 4)
		case string(metaLastStream):
			return wantLength(value, 8)
		case string(metaID):
			if value != "" {
				return nil
			}
		}
		return codec.ErrCorrupt
	})
	for _, key := range [][]byte{metaFormat, metaID} {
		if !found[string(key)] {
			c.fault(key, "it is missing")
		}
	}
	return err
}

func wantLength(value string, n int) error {
	if len(value) != n {
		return fmt.Errorf("%w: it has %d bytes, not %d", codec.ErrCorrupt, len(value), n)
	}
	return nil
}

func (c *checker) checkRestores() error {
	return c.walk(tableRestored, func(key []byte, value string) error {
		var r tributary.Restored
		if err := json.Unmarshal([]byte(value), &r); err != nil {
			return err
		}
		c.restores = append(c.restores, r)
		c.Restores++
		if string(restoredKey(r.At)) != string(key) {
			return fmt.Errorf("it is of a restore at %d", r.At)
		}
		return nil
	})
}

func (c *checker) checkPools() error {
	return c.walk(tablePool, func(key []byte, value string) error {
		var p tributary.Pool
		if err := json.Unmarshal([]byte(value), &p); err != nil {
			return err
		}
		c.Pools++
		c.pools[tributary.PoolID(key[1:])] = &poolFacts{}
		switch {
		case string(p.ID) != string(key[1:]):
			return fmt.Errorf("it holds pool %s", p.ID)
		case p.Revision < 1:
			return fmt.Errorf("it has revision %d", p.Revision)
		case c.streams[p.Route()] == nil:
			return fmt.Errorf("the pool writes to stream %d, which does not exist", p.Route())
		}
		return nil
	})
}

func (c *checker) checkAccessKeys() error {
	return c.walk(tableKey, func(key []byte, value string) error {
		var k tributary.AccessKey
		if err := json.Unmarshal([]byte(value), &k); err != nil {
			return err
		}
		if k.ID != string(key[1:]) || len(k.Sealed) == 0 {
			return fmt.Errorf("it holds access key %q, sealed in %d bytes", k.ID, len(k.Sealed))
		}
		return tributary.CheckAccessKey(&k)
	})
}

func (c *checker) checkSealingKeys() error {
	return c.walk(tableSealing, func(key []byte, value string) error {
		var k tributary.SealingKey
		if err := json.Unmarshal([]byte(value), &k); err != nil {
			return err
		}
		if !bytes.Equal(sealingKey(k.ID), key) || len(k.Sealed) == 0 {
			return fmt.Errorf("it holds sealing key %d, sealed in %d bytes", k.ID, len(k.Sealed))
		}
		return nil
	})
}

// checkFigures compares the pools' figures with what their identities hold.
func (c *checker) checkFigures() error {
	for id, p := range c.pools {
		if p.figures != p.held {
			c.fault(textKey(tablePool, string(id)), "by its figures the pool holds %d bytes, its identities hold %d", p.figures, p.held)
		}
	}
	return nil
}
