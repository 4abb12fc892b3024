package pgstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"tributary"
)

// migrations are the steps from one version of the schema to the next, the
// first from an empty database. A step that was released is never changed, and
// leaves a schema that the program of the step before can still work with: old
// and new nodes run side by side while they are replaced.
//
// All SQL of this package keeps to what CockroachDB and YugabyteDB run too; the
// tests in dialect hold it to that. Ids are compared by their bytes whatever
// the database's collation; what may hold any byte is bytea. Rows that syncs
// change leave room in their page for the next version, which then needs no new
// entry in an index.
var migrations = []string{`
CREATE TABLE meta (
	name text PRIMARY KEY,
	value text NOT NULL
);
CREATE TABLE pools (
	pool_id text COLLATE "C" PRIMARY KEY,
	revision bigint NOT NULL,
	route bigint NOT NULL,
	body text NOT NULL
);
CREATE TABLE identities (
	identity_id text COLLATE "C" PRIMARY KEY,
	pool_id text COLLATE "C" NOT NULL,
	revision bigint NOT NULL,
	disabled boolean NOT NULL,
	created bigint NOT NULL,
	modified bigint NOT NULL,
	logins bytea NOT NULL,
	datasets bigint NOT NULL,
	bytes bigint NOT NULL,
	data_modified bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX identities_of_pool ON identities (pool_id, identity_id);
CREATE TABLE logins (
	pool_id text COLLATE "C" NOT NULL,
	provider bytea NOT NULL,
	username bytea NOT NULL,
	identity_id text COLLATE "C" NOT NULL,
	PRIMARY KEY (pool_id, provider, username)
);
CREATE TABLE datasets (
	identity_id text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	sync_count bigint NOT NULL,
	change_id bigint NOT NULL,
	live boolean NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (identity_id, name)
) WITH (fillfactor = 70);
CREATE TABLE records (
	identity_id text COLLATE "C" NOT NULL,
	dataset text COLLATE "C" NOT NULL,
	key bytea NOT NULL,
	sync_count bigint NOT NULL,
	removed boolean NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (identity_id, dataset, key)
);
CREATE INDEX records_by_count ON records (identity_id, dataset, sync_count, key);
CREATE TABLE streams (
	stream_id bigint PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	revision bigint NOT NULL,
	body text NOT NULL
);
CREATE TABLE shards (
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	open boolean NOT NULL,
	last bigint NOT NULL,
	trimmed bigint NOT NULL,
	arrived bigint NOT NULL,
	PRIMARY KEY (stream_id, shard)
) WITH (fillfactor = 10);
CREATE TABLE log (
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	position bigint NOT NULL,
	arrived bigint NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (stream_id, shard, position)
);
CREATE TABLE usage (
	pool_id text COLLATE "C" NOT NULL,
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	bytes bigint NOT NULL,
	modified bigint NOT NULL,
	PRIMARY KEY (pool_id, stream_id, shard)
);
CREATE TABLE sessions (
	pool_id text COLLATE "C" PRIMARY KEY,
	sessions bigint NOT NULL
);
CREATE TABLE leases (
	sink bytea NOT NULL,
	stream_id bigint NOT NULL,
	shard bigint NOT NULL,
	revision bigint NOT NULL,
	body text NOT NULL,
	PRIMARY KEY (sink, stream_id, shard)
);
CREATE TABLE access_keys (
	key_id bytea PRIMARY KEY,
	revision bigint NOT NULL,
	body text NOT NULL
)`, `
CREATE TABLE sealing_keys (
	key_id bigint PRIMARY KEY,
	revision bigint NOT NULL,
	body text NOT NULL
)`, `
CREATE TABLE unfinished (
	identity_id text COLLATE "C" PRIMARY KEY
)`, `
CREATE TABLE devices (
	identity_id text COLLATE "C" NOT NULL,
	device_id bytea NOT NULL,
	revision bigint NOT NULL,
	body text NOT NULL,
	PRIMARY KEY (identity_id, device_id)
)`,
}

// Version is the schema's version that this program reads and writes.
func Version() int { return len(migrations) }

// Migration is a step that a database lacks.
type Migration struct {
	Version int
	SQL     string
}

// Pending lists the steps that a database lacks.
//
// Errors: Invalid if its schema is more than one step newer than this program's.
func Pending(ctx context.Context, url string) ([]Migration, error) {
	conn, err := dial(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	return pending(ctx, conn)
}

func pending(ctx context.Context, conn *pgx.Conn) ([]Migration, error) {
	const op = "read schema version"
	var have int
	err := conn.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_versions`).Scan(&have)
	if err != nil && code(err) != undefinedTable {
		return nil, wrap(op, err)
	}
	if have > len(migrations)+1 {
		return nil, tributary.Errorf(tributary.Invalid, op, "the database has schema version %d, this program works with %d and the one after it", have, len(migrations))
	}
	if have >= len(migrations) {
		return nil, nil
	}
	var version string
	if err := conn.QueryRow(ctx, `SELECT version()`).Scan(&version); err != nil {
		return nil, wrap(op, err)
	}
	return steps(have, version), nil
}

// steps gives the migrations above a version of the schema, as an engine with
// this version() takes them. CockroachDB compares texts by their bytes without
// being told, and refuses to be told by a column.
func steps(have int, version string) []Migration {
	var out []Migration
	for v := have + 1; v <= len(migrations); v++ {
		sql := strings.TrimSpace(migrations[v-1])
		if strings.HasPrefix(version, "CockroachDB") {
			sql = strings.ReplaceAll(sql, ` COLLATE "C"`, "")
		}
		out = append(out, Migration{Version: v, SQL: sql})
	}
	return out
}

func (m Migration) statements() []string { return strings.Split(m.SQL, ";\n") }

// Migrate brings a database to this program's version. Several nodes may do so
// at once: each step is one transaction that begins with its row in
// schema_versions, for which the others wait. shards is how many shards the
// default log of a new database gets.
func Migrate(ctx context.Context, url string, shards int) error {
	conn, err := dial(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_versions (version bigint PRIMARY KEY)`); err != nil && !isRace(err) {
		return wrap("make schema_versions", err)
	}
	for {
		steps, err := pending(ctx, conn)
		if err != nil || len(steps) == 0 {
			return err
		}
		op := fmt.Sprintf("migrate to version %d", steps[0].Version)
		err = retry(ctx, op, func() error { return migrate(ctx, conn, steps[0], shards) })
		switch code(err) {
		case uniqueViolation: // another node was first
		case duplicateTable:
			return tributary.Errorf(tributary.Invalid, op, "the database's schema must be empty at first, and holds a table that is not known: %v", err)
		default:
			if err != nil {
				return err
			}
		}
	}
}

func migrate(ctx context.Context, conn *pgx.Conn, m Migration, shards int) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO schema_versions (version) VALUES ($1)`, m.Version); err != nil {
			return err
		}
		for _, step := range m.statements() {
			if _, err := tx.Exec(ctx, step); err != nil {
				return err
			}
		}
		if m.Version > 1 {
			return nil
		}
		return populate(ctx, tx, shards)
	})
}

// populate writes what a new store holds: its id and the default log.
func populate(ctx context.Context, tx pgx.Tx, shards int) error {
	if _, err := tx.Exec(ctx, `INSERT INTO meta (name, value) VALUES ('id', $1), ('last_stream', $2)`,
		rand.Text(), fmt.Sprint(tributary.DefaultStream)); err != nil {
		return err
	}
	log := tributary.Stream{ID: tributary.DefaultStream, Revision: 1, Kind: tributary.Embedded,
		Shards: tributary.EvenShards(shards), Retention: tributary.DefaultRetention}
	if err := insertStream(ctx, tx, &log); err != nil {
		return err
	}
	return insertShards(ctx, tx, &log, nil)
}
