// Package dialect holds the SQL of pgstore to what other engines that speak
// PostgreSQL's protocol run too. The statements are those that the tests of
// pgstore saw on the wire. CockroachDB's own parser reads them; since it reads
// much that CockroachDB then refuses, and since the others have no such parser,
// what they are made of is held to a list besides: see allow_test.go. It is a
// module of its own for the sake of the parser's dependencies.
package dialect

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/cockroachdb-parser/pkg/sql/parser"
)

func read(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for sql := range strings.SplitSeq(string(text), ";\n\n") {
		// What begins a transaction may come in the same message, as text.
		if first, rest, several := strings.Cut(sql, "BEGIN; "); several && first == "" {
			list, sql = append(list, "BEGIN"), rest
		}
		if sql != "" {
			list = append(list, sql)
		}
	}
	if len(list) < 10 {
		t.Fatalf("%s has %d statements: it is not what it was", file, len(list))
	}
	return list
}

// ofColumns tells whether a statement gives columns a collation, which
// CockroachDB refuses. It gets statements of its own instead.
func ofColumns(sql string) bool { return strings.Contains(sql, ` COLLATE "C"`) }

// load makes the schema as CockroachDB gets it.
func load(t *testing.T) schema {
	t.Helper()
	s := schema{}
	for _, sql := range append(read(t, "testdata/cockroach.sql"), "CREATE TABLE IF NOT EXISTS schema_versions (version bigint PRIMARY KEY)") {
		if err := s.check(sql); err != nil {
			t.Errorf("%v:\n%s", err, sql)
		}
	}
	return s
}

// TestStatements holds every statement to the parser and the list.
func TestStatements(t *testing.T) {
	s := load(t)
	sent := read(t, "testdata/statements.sql")
	for _, sql := range mayFail {
		if !slices.Contains(sent, sql) {
			t.Errorf("this is no longer sent: %s", sql)
		}
	}
	for _, sql := range sent {
		if ofColumns(sql) || slices.Contains(mayFail, sql) {
			continue
		}
		if err := s.check(sql); err != nil {
			t.Errorf("%v:\n%s", err, sql)
		}
	}
}

// TestKeys has identities and their data in tables that can be distributed by
// identity, and is sure that these are what the schema calls them.
func TestKeys(t *testing.T) {
	s := load(t)
	for _, name := range []string{"identities", "datasets", "records"} {
		if s[name] == nil || s[name].key[0] != "identity_id" {
			t.Errorf("table %s is not keyed by identity first: %v", name, s[name])
		}
	}
}

// TestCollation tells when CockroachDB no longer needs statements of its own.
func TestCollation(t *testing.T) {
	found := 0
	for _, sql := range read(t, "testdata/statements.sql") {
		if !ofColumns(sql) {
			continue
		}
		found++
		if _, err := parser.ParseOne(sql); err == nil || !strings.Contains(err.Error(), "invalid locale C") {
			t.Errorf("CockroachDB takes columns with a collation by now: %v:\n%s", err, sql)
		}
	}
	if found == 0 {
		t.Error("no column has a collation any more; CockroachDB needs no statements of its own")
	}
}

// TestRefused has the check refuse what it must.
func TestRefused(t *testing.T) {
	s := load(t)
	for sql, why := range map[string]string{
		`LOCK TABLE pools IN EXCLUSIVE MODE`:    "cannot parse",
		`DO $$ BEGIN DELETE FROM pools; END $$`: "statement DO",
		`LISTEN changes`:                        "cannot parse",
		`NOTIFY changes`:                        "cannot parse",
		`CALL f()`:                              "statement CALL",
		`COPY log FROM STDIN`:                   "statement COPY",
		`SET work_mem = 1`:                      "setting work_mem",
		`CREATE FUNCTION f() RETURNS bigint LANGUAGE SQL AS 'SELECT 1'`:    "statement CREATE FUNCTION",
		`CREATE TEMPORARY TABLE t (a bigint PRIMARY KEY)`:                  "table of this kind",
		`CREATE TABLE t (a bigserial PRIMARY KEY)`:                         "never made by the database",
		`CREATE TABLE t (a bigint PRIMARY KEY, b bigint DEFAULT 1)`:        "never made by the database",
		`CREATE TABLE t (a bigint)`:                                        "no primary key",
		`CREATE TABLE t (a bigint PRIMARY KEY, identity_id text NOT NULL)`: "led by identity_id",
		`CREATE TABLE t (a jsonb PRIMARY KEY)`:                             "type JSONB",
		`CREATE TABLE t (a bigint PRIMARY KEY) WITH (ttl = 'on')`:          "storage parameter ttl",
		`CREATE INDEX i ON pools (lower(body))`:                            "function lower",
		`SELECT pg_advisory_xact_lock(1)`:                                  "function pg_advisory_xact_lock",
		`SELECT nextval('s')`:                                              "function nextval",
		`SELECT count(*) FILTER (WHERE open) FROM shards`:                  "FILTER",
		`SELECT now()`:                                          "function now",
		`SELECT ctid FROM pools`:                                "column ctid",
		`SELECT xmin FROM pools`:                                "column xmin",
		`SELECT 1 FROM pg_catalog.pg_class`:                     "search path",
		`SELECT body FROM pools WHERE body LIKE 'a%'`:           "operator LIKE",
		`SELECT body FROM pools WHERE body ~ 'a'`:               "operator ~",
		`SELECT body FROM pools WHERE body > ALL($1)`:           "operator > ALL",
		`SELECT $1::timestamptz`:                                "type TIMESTAMPTZ",
		`SELECT DISTINCT ON (body) body FROM pools`:             "DISTINCT",
		`SELECT body FROM pools FOR UPDATE SKIP LOCKED`:         "does not wait",
		`SELECT body FROM pools FOR NO KEY UPDATE`:              "lock FOR NO KEY UPDATE",
		`SELECT body FROM pools UNION SELECT body FROM streams`: "a union but UNION ALL",
		`UPDATE datasets SET identity_id = $1`:                  "of its key is changed",
		`BEGIN ISOLATION LEVEL SERIALIZABLE`:                    "transaction of this kind",
		`SELECT body FROM pools AS OF SYSTEM TIME '-1s'`:        "AS OF",
		`WITH a AS (UPDATE pools SET route = 1 RETURNING 1), b AS (DELETE FROM pools RETURNING 1) SELECT 1`: "modified twice",
		`WITH a AS (DELETE FROM pools RETURNING 1) INSERT INTO pools (pool_id) VALUES ($1)`:                 "modified twice",
	} {
		if err := s.check(sql); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want something about %s", sql, err, why)
		}
	}
}
