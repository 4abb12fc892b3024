package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// query runs a SELECT by the command, which must succeed, and gives the rows
// without their header.
func (s *server) query(sql string) [][]string {
	s.t.Helper()
	r := s.runQuery(sql)
	if r.code != 0 || r.stderr != "" {
		s.t.Fatalf("query %s: %v", sql, r)
	}
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil || len(rows) == 0 {
		s.t.Fatalf("query %s: %v: %v", sql, err, r)
	}
	return rows[1:]
}

func (s *server) runQuery(sql string) result {
	s.t.Helper()
	file := s.credentials
	if file == "" {
		file = s.data + "/credentials"
	}
	return s.run("query", "--server", s.url, "--credentials", file, "--format", "csv", "--max-rows", "1000000", sql)
}

// awaitWarehouse waits until the server answers queries. Nodes over a database
// refuse them while the warehouse is on its way to one of them: at the start, and
// until the lease of one that was killed has expired.
func (s *server) awaitWarehouse() {
	s.t.Helper()
	eventually(s.t, time.Minute, func() error {
		if r := s.runQuery("SELECT 1"); r.code != 0 {
			return fmt.Errorf("a query: %v", r)
		}
		return nil
	})
}

// awaitRows waits until a pool's raw rows are as many as they should be.
func (s *server) awaitRows(pool string, want int, within time.Duration) {
	s.t.Helper()
	if onPostgres() {
		s.awaitWarehouse()
	}
	eventually(s.t, within, func() error {
		rows := s.query("SELECT count(*) FROM cognito_raw_data WHERE identityPoolId = '" + pool + "'")
		if have := rows[0][0]; have != strconv.Itoa(want) {
			return fmt.Errorf("the warehouse has %s rows of the pool, expected %d", have, want)
		}
		return nil
	})
}

func (d dataset) where() string {
	return fmt.Sprintf("identityPoolId = '%s' AND identityId = '%s' AND datasetName = '%s'", d.pool, d.identity, d.name)
}

func TestQuery(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	dev := s.developer()
	g := dev.newGuest(t, dev.newPool(t, "query"))
	g.sync(t, g.dataset("notes"), replace("color", `blue, "light"`, 0), replace("size", "10", 0))
	s.awaitRows(g.pool, 2, 10*time.Second)

	t.Run("Refused", func(t *testing.T) { testRefusedQueries(t, s) })
	t.Run("CSV", func(t *testing.T) {
		rows := s.query("SELECT key, value FROM cognito_current_state ORDER BY key")
		if fmt.Sprint(rows) != `[[color blue, "light"] [size 10]]` {
			t.Errorf("rows %q", rows)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		r := s.run("query", "--server", s.url, "--data", s.data, "--format", "json", "SELECT key, value, syncCount FROM cognito_raw_data ORDER BY key")
		var rows []object
		if err := json.Unmarshal([]byte(r.stdout), &rows); err != nil || r.code != 0 {
			t.Fatalf("%v: %v", err, r)
		}
		if len(rows) != 2 || rows[0]["value"] != `blue, "light"` || rows[1]["syncCount"] != 1.0 {
			t.Errorf("rows %v", rows)
		}
	})
	t.Run("Table", func(t *testing.T) {
		r := s.run("query", "--server", s.url, "--data", s.data, "SELECT key FROM cognito_current_state ORDER BY key")
		if r.code != 0 || r.stdout != "key\ncolor\nsize\n" {
			t.Errorf("%v", r)
		}
	})
	t.Run("Cut", func(t *testing.T) {
		r := s.run("query", "--server", s.url, "--data", s.data, "--max-rows", "1", "SELECT key FROM cognito_current_state ORDER BY key")
		if r.code != 0 || r.stdout != "key\ncolor\n" || !strings.Contains(r.stderr, "only the first 1 rows are shown; see --max-rows") {
			t.Errorf("%v", r)
		}
		r = s.run("query", "--server", s.url, "--data", s.data, "--format", "csv", "--max-rows", "1", "SELECT key FROM cognito_current_state ORDER BY key")
		if r.code != 1 || r.stdout != "key\ncolor\n" || !strings.Contains(r.stderr, "only the first 1 rows are shown; see --max-rows") {
			t.Errorf("%v", r)
		}
	})
	t.Run("CutBySize", func(t *testing.T) {
		r := s.run("query", "--server", s.url, "--data", s.data, "--format", "csv", "SELECT (SELECT string_agg('0123456789', '') FROM range(100000)) FROM range(100)")
		if r.code != 1 || len(r.stdout) < 30<<20 || len(r.stdout) > 34<<20 || !strings.Contains(r.stderr, "larger than 32MiB") {
			t.Errorf("exit code %d, %d bytes: %s", r.code, len(r.stdout), r.stderr)
		}
	})
	t.Run("Guest", func(t *testing.T) {
		body := encode(t, object{"SQL": "SELECT 1"})
		a := g.do(t, "tributary", "POST", "/_tributary/v1/query", body)
		wantFault(t, a, 403, "NotAuthorizedException", "These credentials are not valid")
	})
}

// testRefusedQueries tries what is no plain SELECT.
func testRefusedQueries(t *testing.T, s *server) {
	file := s.data + "/credentials"
	for name, sql := range map[string]string{
		"Insert":     "INSERT INTO cognito_raw_data (key) VALUES ('x')",
		"Update":     "UPDATE cognito_raw_data SET value = 'x'",
		"Delete":     "DELETE FROM cognito_raw_data",
		"Drop":       "DROP TABLE cognito_raw_data",
		"Create":     "CREATE TABLE mine (a INT)",
		"CopyTo":     "COPY cognito_raw_data TO '" + s.data + "/copy.csv'",
		"CopyFrom":   "COPY cognito_raw_data FROM '" + file + "'",
		"Attach":     "ATTACH '" + s.data + "/other.duckdb' AS other",
		"Install":    "INSTALL httpfs",
		"Load":       "LOAD httpfs",
		"Set":        "SET enable_external_access = true",
		"Pragma":     "PRAGMA database_list",
		"Two":        "SELECT 1; SELECT 2",
		"Hidden":     "SELECT 1; DROP TABLE cognito_raw_data",
		"ReadText":   "SELECT * FROM read_text('" + file + "')",
		"ReadCSV":    "SELECT * FROM read_csv('" + file + "')",
		"FileAsName": "SELECT * FROM '" + file + "'",
		"Glob":       "SELECT * FROM glob('/etc/*')",
		"Getenv":     "SELECT getenv('HOME')",
		"Broken":     "SELECT FROM WHERE",
		"Unknown":    "SELECT * FROM nothing_here",
		"Empty":      " ",
	} {
		t.Run(name, func(t *testing.T) {
			r := s.run("query", "--server", s.url, "--data", s.data, sql)
			refused := strings.HasPrefix(r.stderr, "tributary: InvalidParameterException: ") || strings.HasPrefix(r.stderr, "tributary: NotAuthorizedException: queries may not ")
			if r.code != 1 || r.stdout != "" || !refused {
				t.Errorf("%v", r)
			}
			t.Log(r.stderr)
		})
	}
	if rows := s.query("SELECT count(*) FROM cognito_raw_data"); rows[0][0] != "2" {
		t.Errorf("the table has %s rows now", rows[0][0])
	}
}
