// Package archtest holds the tree to ARCHITECTURE.md: who may import whom, and
// the sizes of files and functions.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module       = "tributary"
	mostLines    = 600 // of a file
	mostFunction = 100 // lines of a function
)

// mayImport is which packages of the house a package may import. A pattern
// that ends in /* speaks for all packages directly below. "*" is any.
var mayImport = []struct {
	pkg     string
	imports []string
}{
	{".", nil},
	{"awswire", nil},
	{"streamrec", []string{"."}},
	{"auth", []string{".", "awswire"}},
	{"audit", []string{"."}},
	{"trigger", []string{"."}},
	{"store/storetest", []string{"."}},
	{"store/codec", []string{"."}},
	{"store/move", []string{".", "store/codec"}},
	{"store/*", []string{".", "store/codec"}},
	{"stream", []string{"."}},
	{"sink/kinesis", []string{".", "streamrec"}},
	{"sink/s3", []string{"."}},
	{"warehouse", []string{"."}},
	{"warehouse/*", []string{".", "warehouse"}},
	{"front/cognitosync", []string{".", "awswire"}},
	{"front/cognitoidentity", []string{".", "awswire"}},
	{"front/sts", []string{".", "awswire"}},
	{"front/api", []string{".", "awswire", "audit"}},
	{"front/kinesisapi", []string{".", "awswire", "streamrec"}},
	{"front/payload", []string{".", "awswire", "streamrec"}},
	{"front/ops", []string{"."}},
	{"internal/bench", []string{"awswire", "internal/postgres"}},
	{"internal/archtest", nil},
	{"internal/postgres", nil},
	{"internal/pgtest", []string{"internal/postgres"}},
	{"internal/enginetest", []string{".", "internal/postgres", "store/pebblestore", "store/pgstore"}},
	{"cmd/tributary", []string{"*"}},
}

// onlyIn is where packages of others may be imported.
var onlyIn = map[string][]string{
	"net/http":                                       {"front/*", "awswire", "auth", "trigger", "internal/bench", "cmd/tributary"},
	"github.com/cockroachdb/pebble/v2":               {"store/pebblestore"},
	"github.com/jackc/pgx/v5":                        {"store/pgstore"},
	"github.com/duckdb/duckdb-go/v2":                 {"warehouse/duckdb"},
	"database/sql":                                   {"warehouse/duckdb"},
	"github.com/aws/aws-sdk-go-v2/service/lambda":    {"trigger"},
	"github.com/aws/aws-sdk-go-v2/aws":               {"sink/*", "trigger", "cmd/tributary"},
	"github.com/aws/aws-sdk-go-v2/config":            {"cmd/tributary"},
	"github.com/aws/aws-sdk-go-v2/service/kinesis":   {"sink/kinesis"},
	"github.com/aws/aws-sdk-go-v2/service/s3":        {"sink/s3"},
	"github.com/alecthomas/kong":                     {"cmd/tributary"},
	"github.com/prometheus/client_golang/prometheus": {"front/ops"},
}

// callsOnlyIn is where functions may be called that tie code to its process.
var callsOnlyIn = map[string][]string{
	"context.Background": {"cmd/tributary"},
	"context.TODO":       nil,
	"os.Exit":            {"cmd/tributary"},
	"os.Getenv":          {"cmd/tributary", "internal/enginetest"},
	"os.LookupEnv":       {"cmd/tributary"},
}

type source struct {
	pkg, path string
	file      *ast.File
	fset      *token.FileSet
}

// sources parses all Go files that are part of the product.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && rel != "." || d.Name() == "testdata" || d.Name() == "node_modules" || rel == "e2e" || rel == "data" || rel == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{pkg: filepath.ToSlash(filepath.Dir(rel)), path: filepath.ToSlash(rel), file: f, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d files found: the walk is wrong", len(out))
	}
	return out
}

func matches(pattern, pkg string) bool {
	if shelf, ok := strings.CutSuffix(pattern, "/*"); ok {
		return filepath.ToSlash(filepath.Dir(pkg)) == shelf
	}
	return pattern == "*" || pattern == pkg
}

func allowed(pkg string) (imports []string, known bool) {
	for _, rule := range mayImport {
		if matches(rule.pkg, pkg) {
			return rule.imports, true
		}
	}
	return nil, false
}

// TestImports holds every import to the tables above.
func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		imports, known := allowed(s.pkg)
		if !known {
			t.Errorf("%s: the package is not in the table; see ARCHITECTURE.md", s.path)
		}
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if path == module || strings.HasPrefix(path, module+"/") {
				of := "."
				if path != module {
					of = strings.TrimPrefix(path, module+"/")
				}
				if !slices.ContainsFunc(imports, func(p string) bool { return matches(p, of) }) {
					t.Errorf("%s may not import %s", s.path, of)
				}
			}
			if rooms, limited := onlyIn[path]; limited && !slices.ContainsFunc(rooms, func(p string) bool { return matches(p, s.pkg) }) {
				t.Errorf("%s may not import %s, only %v may", s.path, path, rooms)
			}
			if s.pkg == "." && strings.Contains(path, ".") {
				t.Errorf("%s imports %s: the root package stands on the standard library alone", s.path, path)
			}
		}
	}
}

// TestCalls holds calls that tie code to its process to the command.
func TestCalls(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			rooms, limited := callsOnlyIn[x.Name+"."+sel.Sel.Name]
			if limited && !slices.ContainsFunc(rooms, func(p string) bool { return matches(p, s.pkg) }) {
				t.Errorf("%s uses %s.%s, only %v may", s.fset.Position(n.Pos()), x.Name, sel.Sel.Name, rooms)
			}
			return true
		})
	}
}

// TestSizes keeps files and functions short, packages described, and start-up
// free of hidden work.
func TestSizes(t *testing.T) {
	described := map[string]bool{}
	for _, s := range sources(t) {
		if lines := s.fset.Position(s.file.End()).Line; lines > mostLines {
			t.Errorf("%s has %d lines, the most is %d", s.path, lines, mostLines)
		}
		described[s.pkg] = described[s.pkg] || s.file.Doc != nil
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from, to := s.fset.Position(f.Pos()).Line, s.fset.Position(f.End()).Line
			if to-from+1 > mostFunction {
				t.Errorf("%s: %s has %d lines, the most is %d", s.path, f.Name.Name, to-from+1, mostFunction)
			}
			if f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s has an init", s.path)
			}
		}
	}
	for pkg, ok := range described {
		if !ok {
			t.Errorf("package %s has no comment that says what it is", pkg)
		}
	}
}

// TestDocs wants every exported name described.
func TestDocs(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !wellKnown[d.Name.Name] {
					t.Errorf("%s: %s is not described", s.fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Doc == nil && d.Doc == nil {
						t.Errorf("%s: type %s is not described", s.fset.Position(ts.Pos()), ts.Name.Name)
					}
				}
			}
		}
	}
}

// wellKnown methods are described by the interfaces that they are of.
var wellKnown = map[string]bool{"String": true, "Error": true}

// exportedReceiver tells whether a function is one, or a method of an exported
// type.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}
