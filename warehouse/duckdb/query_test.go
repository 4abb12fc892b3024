//go:build cgo

package duckdb_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/warehouse"
	"tributary/warehouse/duckdb"
	"tributary/warehouse/warehousetest"
)

// few has two changes of two records in it.
func few(t *testing.T, c duckdb.Config) *duckdb.Warehouse {
	t.Helper()
	w, l := open(t, c), newLoad(10)
	deliver(t, w, []tributary.Entry{l.change(0), l.change(1)})
	return w
}

func deliver(t *testing.T, w warehouse.Warehouse, batch []tributary.Entry) {
	t.Helper()
	if err := w.Deliver(t.Context(), tributary.Lease{Shard: shard, Epoch: 1}, batch); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, w warehouse.Warehouse, sql string) [][]any {
	t.Helper()
	r, err := w.Query(t.Context(), sql, warehouse.QueryLimits{})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return r.Rows
}

// TestReach: no query gets out of the database, or changes anything.
func TestReach(t *testing.T) {
	folder := t.TempDir()
	secret := filepath.Join(folder, "secret.csv")
	if err := os.WriteFile(secret, []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := few(t, duckdb.Config{Path: filepath.Join(folder, "w.db")})
	before := ask(t, w, "SELECT count(*), sum(syncCount) FROM cognito_raw_data")
	for _, sql := range []string{
		"SELECT * FROM read_text('SECRET')", "SELECT * FROM read_csv('SECRET')", "SELECT * FROM read_csv_auto('SECRET')", "SELECT * FROM 'SECRET'",
		`SELECT * FROM "SECRET"`, "SELECT * FROM read_blob('SECRET')", "SELECT * FROM glob('/*')", "SELECT * FROM read_json('SECRET')",
		"SELECT * FROM read_parquet('SECRET')", "SELECT * FROM sniff_csv('SECRET')", "SELECT * FROM read_duckdb('SECRET')",
		"SELECT * FROM main.read_text('SECRET')", `SELECT * FROM "READ_TEXT"('SECRET')`, "FROM read_text('SECRET')", "SELECT * FROM query('FROM read_text(''SECRET'')')",
		"SELECT (SELECT content FROM read_text('SECRET'))", "WITH x AS (SELECT * FROM read_text('SECRET')) SELECT * FROM x",
		"SELECT * FROM cognito_raw_data WHERE key IN (SELECT content FROM read_text('SECRET'))",
		"SELECT * FROM query_table('SECRET')", "SELECT * FROM 'https://example.com/x.csv'", "SELECT * FROM read_parquet('s3://b/x.parquet')",
		"COPY cognito_raw_data TO 'SECRET.out'", "COPY (SELECT 1) TO 'SECRET.out'", "COPY cognito_raw_data FROM 'SECRET'",
		"EXPORT DATABASE 'SECRET.dir'", "IMPORT DATABASE 'SECRET'", "ATTACH 'SECRET.db' AS other", "DETACH w", "INSTALL httpfs", "LOAD httpfs",
		"SET memory_limit = '10GB'", "SET enable_external_access = true", "RESET memory_limit", "PRAGMA database_list", "PRAGMA enable_profiling",
		"PRAGMA threads = 9", "CALL pragma_version()", "CHECKPOINT", "FORCE CHECKPOINT", "VACUUM", "USE memory", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1",
		"SELECT * FROM force_checkpoint()", "SELECT * FROM checkpoint()", "SELECT * FROM enable_logging()", "SELECT * FROM enable_profiling()",
		"SELECT * FROM truncate_duckdb_logs()", "SELECT write_log('x')", "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
		"SELECT getenv('HOME')", "SELECT nextval('x')", "SELECT 1; SELECT * FROM read_text('SECRET')", "SELECT 1;;SELECT 2", "SELECT 1 -- \n; DROP TABLE cognito_raw_data",
		"/* SELECT 1 */ DROP TABLE cognito_raw_data", "SELECT 1 /* ; */ ; DELETE FROM cognito_raw_data", "PREPARE x AS SELECT 1", "EXECUTE x",
		"CREATE MACRO f() AS 1", "CREATE TEMP TABLE x AS SELECT 1", "CREATE SECRET (TYPE s3)", "INSERT INTO cognito_raw_data SELECT * FROM cognito_raw_data",
		"WITH x AS (INSERT INTO cognito_raw_data SELECT * FROM cognito_raw_data RETURNING *) SELECT * FROM x", "MERGE INTO cognito_raw_data USING cognito_raw_data ON false WHEN MATCHED THEN DELETE",
		"TRUNCATE cognito_raw_data", "ALTER TABLE cognito_raw_data DROP value", "COMMENT ON TABLE cognito_raw_data IS 'x'", "SELECT ?", "SELECT $1", "SELECT 1\x00; DROP TABLE cognito_raw_data",
		"SELECT repeat('x', 4000000000)", "SELECT lpad('x', 4000000000, 'y')", "SELECT printf('%4000000000d', 1)", "SELECT printf('%*d', 4000000000, 1)",
		"SELECT format('{:>4000000000}', 'x')", "SELECT length(format('{:{}}', 'x', 2000000000))", "SELECT length(format('{{{:.{}f}', 1.0, 2000000000))",
		"SELECT length(format('{0:>{1}}', 'x', 2000000000))", "SELECT '{:{}}'.format('x', 2000000000)", "SELECT length(printf('%.*f', 2000000000, 1.0))", "SELECT length(printf('%1$*2$d', 1, 2000000000))",
		"SELECT range(4000000000)", "SELECT sleep_ms(100000)", "SELECT list_resize([1], 4000000000)", "SELECT 'x'.repeat(4000000000)",
	} {
		sql = strings.ReplaceAll(sql, "SECRET", secret)
		r, err := w.Query(t.Context(), sql, warehouse.QueryLimits{Time: 5 * time.Second})
		if kind := tributary.KindOf(err); err == nil || kind != tributary.Invalid && kind != tributary.Denied {
			t.Errorf("%s: %v, %v", sql, r, err)
		}
	}
	if files, err := filepath.Glob(secret + ".*"); err != nil || len(files) > 0 {
		t.Errorf("files written: %v, %v", files, err)
	}
	if after := ask(t, w, "SELECT count(*), sum(syncCount) FROM cognito_raw_data"); !slices.Equal(after[0], before[0]) {
		t.Errorf("%v rows, before %v", after, before)
	}
}

// TestLocked: should a statement slip through, DuckDB's own settings still keep
// it from files and settings.
func TestLocked(t *testing.T) {
	folder := t.TempDir()
	secret := filepath.Join(folder, "secret.csv")
	if err := os.WriteFile(secret, []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := few(t, duckdb.Config{Path: filepath.Join(folder, "w.db")})
	for _, sql := range []string{
		"SELECT * FROM read_text('SECRET')", "SELECT * FROM read_csv('SECRET')", "SELECT * FROM glob('/*')", "SELECT * FROM 'SECRET'",
		"COPY (SELECT 1) TO 'SECRET.out'", "ATTACH 'SECRET.db' AS other", "EXPORT DATABASE 'SECRET.dir'",
		"INSTALL httpfs", "LOAD httpfs", "SET enable_external_access = true", "SET lock_configuration = false", "SET memory_limit = '10GB'", "SET threads = 9",
	} {
		sql = strings.ReplaceAll(sql, "SECRET", secret)
		if err := w.Unchecked(t.Context(), sql); err == nil {
			t.Errorf("%s went through", sql)
		}
	}
}

// TestAdmitted: what may be asked, and that it is run as it is written.
func TestAdmitted(t *testing.T) {
	w := few(t, duckdb.Config{})
	for sql, want := range map[string]string{
		"SELECT 1 AS a, 2 AS a":                    "[[1 2]]",
		"SELECT 1;":                                "[[1]]",
		"SELECT ';' AS x -- ; SELECT 2":            "[[;]]",
		"/* a; b */ SELECT 'it''s' AS x":           "[[it's]]",
		"FROM cognito_raw_data SELECT count(*)":    "[[10]]",
		"VALUES (2), (1)":                          "[[2] [1]]",
		"SELECT DISTINCT op FROM cognito_raw_data": "[[replace]]",
		"SELECT DISTINCT KEY k FROM COGNITO_RAW_DATA ORDER BY Key DESC LIMIT 2":                                            "[[profile-0004] [profile-0003]]",
		"SELECT DISTINCT r.key FROM cognito_raw_data r JOIN cognito_raw_data s ON r.key = s.key ORDER BY r.key":            "[[profile-0000] [profile-0001] [profile-0002] [profile-0003] [profile-0004]]",
		"SELECT DISTINCT r.key FROM cognito_raw_data r JOIN cognito_raw_data s ON r.key = s.key ORDER BY key DESC LIMIT 1": "[[profile-0004]]",
		"SELECT DISTINCT ON (datasetname) key FROM cognito_raw_data ORDER BY datasetname, key DESC":                        "[[profile-0004] [profile-0004]]",
		"SELECT x FROM (SELECT 1 x UNION ALL SELECT 3 UNION ALL SELECT 2) ORDER BY x DESC":                                 "[[3] [2] [1]]",
		"SELECT 1::TINYINT, 2::UBIGINT, 1.5, 1.25::DECIMAL(9,2), true, NULL, 'x', 170141183460469231731687303715884105727": "[[1 2 1.5 1.25 true <nil> x 170141183460469231731687303715884105727]]",
		"SELECT [1, 2] AS l, {'a': 1} AS s, DATE '2024-02-03' AS d, '\\x01'::BLOB AS b":                                    `[[[1,2] {"a":1} 2024-02-03 00:00:00 +0000 UTC 01]]`,
		"SELECT count(*) FROM range(1000000)":                                                                              "[[1000000]]",
		"SELECT lpad('7', 3, '0'), printf('%03d', 7)":                                                                      "[[007 007]]",
		"SELECT format('{{{}}} {:>3}{}', 'x', 7, 8)":                                                                       "[[{x}   78]]",
		"SELECT count(*) > 10 FROM duckdb_settings()":                                                                      "[[true]]",
		"SELECT count(*) FROM duckdb_secrets()":                                                                            "[[0]]",
		"SELECT unnest([3, 1])":                                                                                            "[[3] [1]]",
		"SELECT length(chr(0) || 'x')":                                                                                     "[[2]]",
		"WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT max(n) FROM t":                 "[[3]]",
		"SELECT current_setting('lock_configuration')":                                                                     "[[true]]",
	} {
		if got := fmt.Sprint(ask(t, w, sql)); got != want {
			t.Errorf("%s\ngives %s\nwant  %s", sql, got, want)
		}
	}
	r, err := w.Query(t.Context(), "SELECT 1 AS a, 'x' AS A, 2 AS a", warehouse.QueryLimits{})
	if err != nil || fmt.Sprint(r.Columns, r.Types) != "[a A a] [INTEGER VARCHAR INTEGER]" {
		t.Errorf("columns %v, %v", r, err)
	}
	rows := ask(t, w, "SELECT (n * 7919) % 10007 AS x FROM range(9000) AS t(n) ORDER BY x DESC")
	if len(rows) != 9000 || !slices.IsSortedFunc(rows, func(a, b []any) int { return int(b[0].(int64) - a[0].(int64)) }) {
		t.Errorf("%d rows, or out of order", len(rows))
	}
}

// TestQueryErrors names what was wrong with the caller's statement, and does
// not show ours.
func TestQueryErrors(t *testing.T) {
	w := few(t, duckdb.Config{})
	for sql, want := range map[string]string{
		"SELECT 'abc'::INT":                "Conversion Error: Could not convert string 'abc' to INT32",
		"SELECT kye FROM cognito_raw_data": "kye",
		"EXPLAIN SELECT 1":                 "SHOW TABLES or DESCRIBE",
		"SELECT 1; SELECT 2":               "this is 2",
	} {
		_, err := w.Query(t.Context(), sql, warehouse.QueryLimits{})
		msg := tributary.Message(err)
		if tributary.KindOf(err) != tributary.Invalid || !strings.Contains(msg, want) || strings.Contains(msg, "query(") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// endless has no end that a test would see.
const endless = "SELECT count(*) FROM range(1000000000000) AS t(n) WHERE hash(n) = 7"

// TestLimits: time, memory and cancellation end a query, and free what it had.
func TestLimits(t *testing.T) {
	w := few(t, duckdb.Config{MemoryLimit: "64MB", Queries: 1})
	kind := func(err error, want tributary.Kind) {
		t.Helper()
		if err == nil || tributary.KindOf(err) != want {
			t.Errorf("error %v, want kind %v", err, want)
		}
	}
	start := time.Now()
	_, err := w.Query(t.Context(), endless, warehouse.QueryLimits{Time: 50 * time.Millisecond})
	kind(err, tributary.Limit)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("a limit of 50ms took %v", took)
	}
	if !strings.Contains(tributary.Message(err), "50ms") {
		t.Errorf("message %q", tributary.Message(err))
	}
	_, err = w.Query(t.Context(), "SELECT list(n) FROM range(100000000) t(n)", warehouse.QueryLimits{})
	kind(err, tributary.Limit)
	_, err = w.Query(t.Context(), "SELECT md5(n::VARCHAR) x FROM range(5000000) t(n) ORDER BY x", warehouse.QueryLimits{Rows: 4_000_000})
	kind(err, tributary.Limit)
	ctx, cancel := context.WithCancel(t.Context())
	started := time.AfterFunc(50*time.Millisecond, cancel)
	defer started.Stop()
	_, err = w.Query(ctx, endless, warehouse.QueryLimits{})
	kind(err, tributary.Unavailable)
	// The one slot is free again, and so is the memory.
	if rows := ask(t, w, "SELECT count(*) FROM (SELECT DISTINCT n FROM range(200000) t(n))"); rows[0][0] != int64(200000) {
		t.Errorf("afterwards: %v", rows)
	}
}

// TestSpill: what does not fit in memory may go to disk, but not without end.
func TestSpill(t *testing.T) {
	w := few(t, duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db"), MemoryLimit: "64MB"})
	const sorted = "SELECT count(*) FROM (SELECT md5(n::VARCHAR) AS x FROM range(%d) AS t(n) ORDER BY x LIMIT %d OFFSET 1)"
	if rows := ask(t, w, fmt.Sprintf(sorted, 1_500_000, 1_400_000)); rows[0][0] != int64(1_400_000) {
		t.Errorf("sorted %v", rows)
	}
	if rows := ask(t, w, "SELECT current_setting('max_temp_directory_size')"); rows[0][0] != "953.6 MiB" {
		t.Errorf("at most %v on disk", rows)
	}
}

// TestSideBySide: a running query neither holds up deliveries nor sees them.
func TestSideBySide(t *testing.T) {
	w, l := open(t, duckdb.Config{Path: filepath.Join(t.TempDir(), "w.db"), FoldRows: 500, Queries: 1}), newLoad(1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := w.Query(ctx, endless, warehouse.QueryLimits{})
		ended <- err
	}()
	for range 20 {
		deliver(t, w, l.batch(1000))
	}
	select {
	case err := <-ended:
		t.Errorf("the query ended: %v", err)
	default:
	}
	cancel()
	if err := <-ended; tributary.KindOf(err) != tributary.Unavailable {
		t.Error(err)
	}
	if rows := ask(t, w, "SELECT count(*) FROM cognito_raw_data"); rows[0][0] != int64(20_000) {
		t.Errorf("%v rows", rows)
	}
}

// TestLoaderFirst: when memory runs short it is the query that has to go.
func TestLoaderFirst(t *testing.T) {
	w, l := open(t, duckdb.Config{MemoryLimit: "100MB"}), newLoad(1000)
	const hungry = "SELECT count(*) FROM range(1000000000000) AS a(n) JOIN (SELECT DISTINCT m FROM range(1200000) AS b(m)) ON hash(n) = m"
	ended := make(chan error, 1)
	go func() {
		_, err := w.Query(context.WithoutCancel(t.Context()), hungry, warehouse.QueryLimits{Time: time.Hour})
		ended <- err
	}()
	for range 60 {
		deliver(t, w, l.batch(5000))
		select {
		case err := <-ended:
			if tributary.KindOf(err) != tributary.Limit {
				t.Errorf("the query ended with %v", err)
			}
			return
		default:
		}
	}
	t.Error("the query was never stopped")
}

// TestCloseEndsQueries: Close does not wait for a query's own end.
func TestCloseEndsQueries(t *testing.T) {
	w := few(t, duckdb.Config{})
	ended := make(chan error)
	go func() {
		_, err := w.Query(context.WithoutCancel(t.Context()), endless, warehouse.QueryLimits{Time: time.Hour})
		ended <- err
	}()
	// The loader's connection, that query's and this one's.
	for ask(t, w, "SELECT count FROM duckdb_connection_count()")[0][0].(int64) < 3 {
		runtime.Gosched()
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("the query ended with %v", err)
	}
	for what, err := range map[string]error{
		"Deliver":    w.Deliver(t.Context(), tributary.Lease{Shard: shard, Epoch: 1}, newLoad(10).batch(10)),
		"Query":      func() error { _, err := w.Query(t.Context(), "SELECT 1", warehouse.QueryLimits{}); return err }(),
		"Checkpoint": func() error { _, err := w.Checkpoint(t.Context(), shard); return err }(),
	} {
		if tributary.KindOf(err) != tributary.Unavailable {
			t.Errorf("%s of a closed warehouse: %v", what, err)
		}
	}
}

// TestPublishedIsNeeded: the rewriting is still needed. Should DuckDB learn to
// run the published query, it can go.
func TestPublishedIsNeeded(t *testing.T) {
	w := few(t, duckdb.Config{})
	sql := warehousetest.PublishedQuery("x", "y")
	if err := w.Unchecked(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "Ambiguous") {
		t.Errorf("as printed: %v", err)
	}
	ask(t, w, sql)
}
