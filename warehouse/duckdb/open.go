//go:build cgo

package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"tributary"
	"tributary/warehouse"
)

// Warehouse is a DuckDB database, with one loader and any number of readers.
type Warehouse struct {
	config Config

	// loading is held by whoever uses the loader and what goes with it: one token.
	loading    chan struct{}
	loader     *sql.Conn
	generation int64
	known      *known // nil: to be read before the next delivery

	slots   chan struct{} // a token for each query that may run
	mu      sync.Mutex    // guards what follows
	db      *sql.DB       // nil: broken
	broken  error         // why the database is to be opened again
	running map[*run]struct{}
	closed  bool
}

var _ warehouse.Warehouse = (*Warehouse)(nil)

// Open opens the warehouse, and makes its tables if there are none. It must be
// closed. A file can be open in one process at a time; opened once more in the
// same process, the earlier Warehouse takes nothing more.
//
// Invalid if the configuration is wrong, if a newer server wrote the file, or
// if it was filled from another store; Unavailable if it cannot be opened.
func Open(ctx context.Context, c Config) (*Warehouse, error) {
	if c.FoldRows <= 0 {
		c.FoldRows = 200_000
	}
	if c.Queries <= 0 {
		c.Queries = 2
	}
	w := &Warehouse{
		config: c, loading: make(chan struct{}, 1), slots: make(chan struct{}, c.Queries), running: make(map[*run]struct{}),
	}
	if err := w.connect(ctx); err != nil {
		return nil, notOpened(c.Path, wrap("open duckdb", err))
	}
	return w, nil
}

// notOpened says what to do about a file that cannot be opened.
func notOpened(path string, err error) error {
	if tributary.Message(err) != "" {
		return err
	}
	return &tributary.Error{Kind: tributary.KindOf(err), Op: "open duckdb", Err: err,
		Msg: fmt.Sprintf("the warehouse %s cannot be opened: if it is damaged, move it away, and a new one is filled from what the log still holds (%v)", path, err)}
}

// connect opens the database. The caller has the loader.
func (w *Warehouse) connect(ctx context.Context) error {
	dsn, err := w.config.dsn()
	if err != nil {
		return err
	}
	connector, err := duckdb.NewConnector(dsn, nil)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	if w.loader, err = db.Conn(ctx); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := w.prepare(ctx); err != nil {
		return errors.Join(err, w.loader.Close(), db.Close())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.db, w.broken = db, nil
	return nil
}

// dsn spells the configuration, as far as it must be known when the file is opened.
func (c *Config) dsn() (string, error) {
	set := url.Values{
		"threads":                      {strconv.Itoa(max(c.Threads, 1))},
		"memory_limit":                 {c.MemoryLimit},
		"checkpoint_threshold":         {"64MB"},
		"max_temp_directory_size":      {"1GB"},
		"autoinstall_known_extensions": {"false"},
		"autoload_known_extensions":    {"false"},
		"allow_community_extensions":   {"false"},
		"allow_persistent_secrets":     {"false"},
	}
	if c.MemoryLimit == "" {
		set.Set("memory_limit", "256MB")
	}
	if c.Path == "" {
		set.Set("temp_directory", "") // nothing on any disk
		return ":memory:?" + set.Encode(), nil
	}
	set.Set("storage_compatibility_version", "latest")
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return "", err
	}
	// The driver takes the path for a URL.
	if strings.ContainsAny(path, "?#%") {
		return "", tributary.Errorf(tributary.Invalid, "", "the warehouse's path must not contain ?, # or %%: %s", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path + "?" + set.Encode(), nil
}

// prepare makes the tables and claims the database.
func (w *Warehouse) prepare(ctx context.Context) error {
	var tables int
	err := w.loader.QueryRowContext(ctx, `SELECT count(*) FROM duckdb_tables() WHERE table_name = 'warehouse_meta' AND NOT temporary`).Scan(&tables)
	if err != nil {
		return err
	}
	err = w.transact(ctx, func() error {
		if tables == 0 {
			if err := w.execAll(ctx, schema()...); err != nil {
				return err
			}
		}
		return w.claim(ctx)
	})
	if err != nil {
		return err
	}
	return w.lock(ctx)
}

// lock takes away all that statements could do outside of the database, and
// then the power to change a setting.
func (w *Warehouse) lock(ctx context.Context) error {
	var locked bool
	err := w.loader.QueryRowContext(ctx, `SELECT current_setting('lock_configuration')`).Scan(&locked)
	if err != nil || locked {
		return err
	}
	return w.execAll(ctx, `SET enable_external_access = false`, `SET lock_configuration = true`)
}

// claim checks the version and the store, and takes the next generation.
func (w *Warehouse) claim(ctx context.Context) error {
	var version int64
	err := w.loader.QueryRowContext(ctx, `SELECT version FROM warehouse_meta`).Scan(&version)
	if err != nil {
		return err
	}
	if version > schemaVersion {
		return tributary.Errorf(tributary.Invalid, "",
			"the warehouse has schema version %d, this server knows %d: it was written by a newer server", version, schemaVersion)
	}
	if err := w.checkStore(ctx); err != nil {
		return err
	}
	if err := w.execAll(ctx, staging, `UPDATE warehouse_meta SET generation = generation + 1`); err != nil {
		return err
	}
	return w.loader.QueryRowContext(ctx, `SELECT generation FROM warehouse_meta`).Scan(&w.generation)
}

// checkStore ties the warehouse to its store. Positions of another store mean
// other entries: what lies below the checkpoints would never come in.
func (w *Warehouse) checkStore(ctx context.Context) error {
	if w.config.Store == "" {
		return nil
	}
	// Files of earlier servers have no such column.
	if err := w.execAll(ctx, `ALTER TABLE warehouse_meta ADD COLUMN IF NOT EXISTS store VARCHAR`); err != nil {
		return err
	}
	var have sql.NullString
	if err := w.loader.QueryRowContext(ctx, `SELECT store FROM warehouse_meta`).Scan(&have); err != nil {
		return err
	}
	if have.Valid && have.String == w.config.Store {
		return nil
	}
	if have.Valid {
		return tributary.Errorf(tributary.Invalid, "",
			"the warehouse at %s was filled from another store (%s, this one is %s): move it away and a new one is filled from the log's horizon, or put the old store back",
			w.config.Path, have.String, w.config.Store)
	}
	_, err := w.loader.ExecContext(ctx, `UPDATE warehouse_meta SET store = ?`, w.config.Store)
	return err
}

// Close ends running queries and closes the database. A delivery under way is
// waited for.
func (w *Warehouse) Close() error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.mu.Unlock()
	if again {
		return nil
	}
	w.stopQueries(errClosed())
	w.loading <- struct{}{}
	defer func() { <-w.loading }()
	if err := w.disconnect(nil); err != nil {
		return wrap("close duckdb", err)
	}
	return nil
}

func errClosed() error {
	return tributary.Errorf(tributary.Unavailable, "", "the warehouse is closed")
}

// Checkpoint gives the position up to which a shard's entries are in.
func (w *Warehouse) Checkpoint(ctx context.Context, s tributary.Shard) (p tributary.Position, err error) {
	return p, w.withLoader(ctx, "read the warehouse's checkpoint", func() error {
		err := w.loader.QueryRowContext(ctx, `SELECT position FROM warehouse_checkpoint WHERE stream = ? AND shard = ?`,
			uint64(s.Stream), uint64(s.Number)).Scan(&p)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
}

// transact runs work in a transaction of the loader's. Its beginning and end
// are not to be broken off: one could not know whether they had happened.
func (w *Warehouse) transact(ctx context.Context, work func() error) error {
	whole := context.WithoutCancel(ctx)
	if err := w.execAll(whole, `BEGIN TRANSACTION`); err != nil {
		return err
	}
	err := work()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = w.execAll(whole, `COMMIT`)
	}
	if err != nil {
		// After a failed COMMIT there is nothing to roll back, and that is well.
		_, _ = w.loader.ExecContext(whole, `ROLLBACK`)
	}
	return err
}

func (w *Warehouse) execAll(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := w.loader.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// wrap says where an error came from. What comes from DuckDB is Unavailable:
// the same may succeed when there is space, memory or the file again.
func wrap(op string, err error) error {
	var ours *tributary.Error
	if errors.As(err, &ours) {
		return &tributary.Error{Kind: ours.Kind, Op: op, Msg: ours.Msg, Err: ours.Err}
	}
	var theirs *duckdb.Error
	switch {
	case errors.As(err, &theirs) && theirs.Type == duckdb.ErrorTypeTransaction && strings.Contains(theirs.Msg, "onflict"):
		return &tributary.Error{Kind: tributary.Stale, Op: op, Err: err}
	case errors.As(err, &theirs) && (theirs.Type == duckdb.ErrorTypeInternal || theirs.Type == duckdb.ErrorTypeBinder || theirs.Type == duckdb.ErrorTypeParser):
		return &tributary.Error{Kind: tributary.Internal, Op: op, Err: err}
	}
	return &tributary.Error{Kind: tributary.Unavailable, Op: op, Err: err}
}
