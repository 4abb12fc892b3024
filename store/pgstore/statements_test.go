package pgstore_test

import (
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/store/pgstore"
)

var update = flag.Bool("update", false, "rewrite the lists of statements in dialect/testdata")

// The lists of all SQL of this package. The tests beside them hold them to what
// other engines run.
const (
	sentFile      = "dialect/testdata/statements.sql" // as PostgreSQL gets it
	cockroachFile = "dialect/testdata/cockroach.sql"  // the schema as CockroachDB gets it
	between       = ";\n\n"
	howTo         = "go test ./store/pgstore -run 'TestStore$|TestTransfer|TestLostAnswer|TestCockroachSchema' -update lists anew, then see dialect"
)

// fromDriver is what pgx sends of its own accord.
var fromDriver = []string{"begin", "begin isolation level repeatable read read only", "commit", "rollback"}

func readStatements(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !(*update && errors.Is(err, fs.ErrNotExist)) {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(text), between), func(s string) bool { return s == "" })
}

func writeStatements(t testing.TB, file string, list []string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(list, between)+between), 0o644); err != nil {
		t.Fatal(err)
	}
}

// check wants what was sent in the list. With -update it is put there.
func (w *wire) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 || len(w.errs) > 0 {
		t.Fatalf("%d statements were seen on the wire: %v", len(w.seen), errors.Join(w.errs...))
	}
	listed := readStatements(t, sentFile)
	if *update {
		sources := literals(t)
		listed = slices.DeleteFunc(listed, func(s string) bool { return !isFrom(sources, s) })
		listed = append(listed, slices.Collect(maps.Keys(w.seen))...)
		slices.Sort(listed)
		writeStatements(t, sentFile, slices.Compact(listed))
		return
	}
	for s := range w.seen {
		if !slices.Contains(listed, s) {
			t.Errorf("the store sent a statement that is not in %s; %s:\n%s", sentFile, howTo, s)
		}
	}
}

var isSQL = regexp.MustCompile(`^\s*(WITH|SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|SET|SHOW|LOCK|LISTEN|NOTIFY|DO|CALL|COPY|TRUNCATE|BEGIN;)\s`)

// literals gives the texts in the package's source that statements, or parts of
// them, begin with.
func literals(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && isSQL.MatchString(text) {
					for step := range strings.SplitSeq(text, ";\n") {
						out = append(out, strings.TrimSpace(step))
					}
				}
			}
			return true
		})
	}
	if len(out) < 50 {
		t.Fatalf("only %d statements found in the source: the search is wrong", len(out))
	}
	return out
}

func isFrom(sources []string, statement string) bool {
	return slices.Contains(fromDriver, statement) ||
		slices.ContainsFunc(sources, func(s string) bool { return strings.HasPrefix(statement, s) })
}

// TestStatementsAreListed wants every SQL text of the source in the list, and
// nothing there that is gone from the source.
func TestStatementsAreListed(t *testing.T) {
	if *update {
		t.Skip("the list is being rewritten")
	}
	listed, sources := readStatements(t, sentFile), literals(t)
	for _, s := range sources {
		if !slices.ContainsFunc(listed, func(l string) bool { return strings.Contains(l, s) }) {
			t.Errorf("no test sent this, or %s is old; %s:\n%s", sentFile, howTo, s)
		}
	}
	for _, l := range listed {
		if !isFrom(sources, l) {
			t.Errorf("%s has what the source has not; %s:\n%s", sentFile, howTo, l)
		}
	}
}

// TestCockroachSchema keeps the list of the schema's steps as CockroachDB gets
// them.
func TestCockroachSchema(t *testing.T) {
	steps := pgstore.SchemaSteps("CockroachDB CCL v25.2.0 (x86_64-pc-linux-gnu)")
	if *update {
		writeStatements(t, cockroachFile, steps)
	}
	if listed := readStatements(t, cockroachFile); !slices.Equal(listed, steps) {
		t.Errorf("%s is old; %s", cockroachFile, howTo)
	}
	listed := readStatements(t, sentFile)
	for i, s := range pgstore.SchemaSteps("PostgreSQL 15.8 on x86_64-pc-linux-gnu") {
		if !slices.Contains(listed, s) {
			t.Errorf("PostgreSQL was not sent\n%s", s)
		}
		if strings.Contains(steps[i], "COLLATE") {
			t.Errorf("CockroachDB is sent a collation:\n%s", steps[i])
		}
	}
}
