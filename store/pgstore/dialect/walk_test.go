package dialect

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/cockroachdb/cockroachdb-parser/pkg/sql/parser"
	_ "github.com/cockroachdb/cockroachdb-parser/pkg/sql/plpgsql/parser" // without it, the parser panics over DO
	"github.com/cockroachdb/cockroachdb-parser/pkg/sql/sem/tree"
	sqltypes "github.com/cockroachdb/cockroachdb-parser/pkg/sql/types"
)

// schema is what the statements may name.
type schema map[string]*table

type table struct {
	columns map[string]bool
	key     []string
}

// checker collects what is wrong with one statement.
type checker struct {
	schema   schema
	aliases  map[string]bool // tables and columns that the statement itself names
	modified []string
	errs     []error
}

// check holds a statement to the lists. A CREATE TABLE joins the schema.
func (s schema) check(sql string) error {
	parsed, err := parser.ParseOne(sql)
	if err != nil {
		return fmt.Errorf("CockroachDB cannot parse it: %w", err)
	}
	c := &checker{schema: s, aliases: map[string]bool{}}
	c.want(statements, "statement", parsed.AST.StatementTag())
	if create, ok := parsed.AST.(*tree.CreateTable); ok {
		c.create(create)
	}
	root := reflect.ValueOf(parsed.AST)
	c.each(root, c.declare)
	c.each(root, c.visit)
	return errors.Join(c.errs...)
}

func (c *checker) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) want(list map[string]bool, what, name string) {
	if !list[name] {
		c.fail("%s %s is not in the list", what, name)
	}
}

// each visits all nodes below a value. What a visitor has dealt with by itself
// it gives false for.
func (c *checker) each(v reflect.Value, visit func(any) bool) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			c.each(v.Elem(), visit)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			c.each(v.Index(i), visit)
		}
	case reflect.Struct:
		if v.CanAddr() && v.Addr().CanInterface() && !visit(v.Addr().Interface()) {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() || v.Type().Field(i).Anonymous {
				c.each(v.Field(i), visit)
			}
		}
	}
}

// declare notes the names that a statement gives.
func (c *checker) declare(node any) bool {
	switch n := node.(type) {
	case *tree.AliasClause:
		c.aliases[string(n.Alias)] = true
		for _, col := range n.Cols {
			c.aliases[string(col.Name)] = true
		}
	case *tree.SelectExpr:
		c.aliases[string(n.As)] = true
	}
	return true
}

// visit holds a node to the lists.
func (c *checker) visit(node any) bool {
	if _, leaf := node.(*sqltypes.T); !leaf {
		t := reflect.TypeOf(node).Elem()
		if t.PkgPath() == reflect.TypeFor[tree.Select]().PkgPath() && t.Name() != "" && t.Kind() == reflect.Struct {
			c.want(syntax, "syntax", t.Name())
		}
	}
	switch n := node.(type) {
	case *sqltypes.T:
		c.want(types, "type", n.SQLString())
		return false
	case *tree.NumVal, *tree.StrVal, *tree.Placeholder:
		return false
	case *tree.FuncExpr:
		c.function(n)
		return false
	case *tree.ComparisonExpr:
		op := n.Operator.String()
		if n.Operator.Symbol.HasSubOperator() {
			op = n.SubOperator.String() + " " + op
		}
		c.want(operators, "operator", op)
	case *tree.BinaryExpr:
		c.want(operators, "operator", n.Operator.Symbol.String())
	case *tree.TableName:
		c.table(n)
	case *tree.UnresolvedName:
		if !n.Star {
			c.column(n.Parts[0])
		}
		return false
	case *tree.LockingItem:
		c.want(locks, "lock", n.Strength.String())
		if n.WaitPolicy != tree.LockWaitBlock || len(n.Targets) > 0 {
			c.fail("a lock that does not wait, or OF a table, is not in the list")
		}
	default:
		c.visitStatement(node)
		c.visitClause(node)
	}
	return true
}

// visitClause refuses clauses that the parser has as fields.
func (c *checker) visitClause(node any) {
	refuse := func(is bool, what string) {
		if is {
			c.fail("%s is not in the list", what)
		}
	}
	switch n := node.(type) {
	case *tree.SelectClause:
		refuse(n.Distinct || n.DistinctOn != nil, "DISTINCT")
		refuse(n.Having != nil || n.Window != nil, "HAVING, or a named WINDOW,")
	case *tree.UnionClause:
		refuse(n.Type != tree.UnionOp || !n.All, "a union but UNION ALL")
	case *tree.AsOfClause:
		refuse(n.Expr != nil, "AS OF")
	case *tree.AliasedTableExpr:
		refuse(n.IndexFlags != nil, "an index hint")
	case *tree.JoinTableExpr:
		refuse(n.JoinType != "" && n.JoinType != tree.AstLeft || n.Hint != "", "a join but JOIN and LEFT JOIN")
	case *tree.Limit:
		refuse(n.Offset != nil && n.Offset.String() != "0" || n.LimitAll, "OFFSET")
	case *tree.With:
		refuse(n.Recursive, "WITH RECURSIVE")
	case *tree.CTE:
		refuse(n.Mtr != tree.CTEMaterializeDefault, "MATERIALIZED")
	case *tree.Order:
		refuse(n.Direction != tree.DefaultDirection || n.NullsOrder != tree.DefaultNullsOrder, "an order but the ascending")
	case *tree.Update:
		refuse(n.OrderBy != nil || n.Limit != nil, "UPDATE … ORDER BY")
	case *tree.Delete:
		refuse(n.OrderBy != nil || n.Limit != nil || n.Batch != nil, "DELETE … ORDER BY")
	case *tree.OnConflict:
		refuse(n.Constraint != "" || n.ArbiterPredicate != nil || n.Where != nil, "ON CONFLICT but with columns")
	}
}

func (c *checker) visitStatement(node any) {
	switch n := node.(type) {
	case *tree.Insert:
		c.modify(n.Table, nil)
	case *tree.Update:
		c.modify(n.Table, n.Exprs)
	case *tree.Delete:
		c.modify(n.Table, nil)
	case *tree.SetVar:
		c.want(settings, "setting", n.Name)
	case *tree.ShowVar:
		c.want(settings, "setting", n.Name)
	case *tree.TransactionModes:
		if n.Isolation != tree.UnspecifiedIsolation && n.Isolation != tree.RepeatableReadIsolation || n.Deferrable != tree.UnspecifiedDeferrableMode {
			c.fail("a transaction of this kind is not in the list")
		}
	case *tree.StorageParam:
		c.want(storageParams, "storage parameter", n.Key)
	case *tree.ColumnTableDef:
		if n.IsSerial || n.GeneratedIdentity.IsGeneratedAsIdentity || n.DefaultExpr.Expr != nil || n.OnUpdateExpr.Expr != nil ||
			n.Computed.Computed || n.References.Table != nil || len(n.CheckExprs) > 0 {
			c.fail("column %s: a column is given, never made by the database; and what it refers to is for the program to keep", n.Name)
		}
	case *tree.CreateTable:
		if n.Persistence != tree.PersistencePermanent || n.AsSource != nil || n.Locality != nil || n.PartitionByTable != nil {
			c.fail("a table of this kind is not in the list")
		}
	}
}

func (c *checker) function(f *tree.FuncExpr) {
	c.want(functions, "function", f.Func.String())
	c.each(reflect.ValueOf(f.Exprs), c.visit)
	c.each(reflect.ValueOf(f.WindowDef), c.visit)
	if f.Filter != nil || len(f.OrderBy) > 0 || f.Type != 0 {
		c.fail("function %s: FILTER, DISTINCT and ORDER BY of arguments are not in the list", f.Func.String())
	}
}

func (c *checker) table(t *tree.TableName) {
	if t.SchemaName != "" || t.CatalogName != "" {
		c.fail("table %s: the connection's search path says which schema", t.String())
	}
	if c.schema[t.Table()] == nil && !c.aliases[t.Table()] {
		c.fail("table %s is neither of the schema nor of the statement", t.Table())
	}
}

func (c *checker) column(name string) {
	if c.aliases[name] {
		return
	}
	for _, t := range c.schema {
		if t.columns[name] {
			return
		}
	}
	c.fail("column %s is neither of the schema nor of the statement", name)
}

// modify notes a table that is written to: once in a statement, as CockroachDB
// wants it; and its key stays, as Citus wants it.
func (c *checker) modify(target tree.TableExpr, exprs tree.UpdateExprs) {
	if aliased, ok := target.(*tree.AliasedTableExpr); ok {
		target = aliased.Expr
	}
	name, ok := target.(*tree.TableName)
	if !ok || c.schema[name.Table()] == nil {
		c.fail("what is written to must be a table: %s", tree.AsString(target))
		return
	}
	if slices.Contains(c.modified, name.Table()) {
		c.fail("table %s is modified twice in one statement", name.Table())
	}
	c.modified = append(c.modified, name.Table())
	for _, e := range exprs {
		for _, column := range e.Names {
			// A table that may be distributed keeps a row's key; meta is none.
			if name.Table() != "meta" && slices.Contains(c.schema[name.Table()].key, string(column)) {
				c.fail("table %s: column %s of its key is changed", name.Table(), column)
			}
		}
	}
}

// create adds a table to the schema.
func (c *checker) create(n *tree.CreateTable) {
	t := &table{columns: map[string]bool{}}
	for _, def := range n.Defs {
		switch d := def.(type) {
		case *tree.ColumnTableDef:
			t.columns[string(d.Name)] = true
			if d.PrimaryKey.IsPrimaryKey {
				t.key = []string{string(d.Name)}
			}
		case *tree.UniqueConstraintTableDef:
			if d.PrimaryKey {
				for _, e := range d.Columns {
					t.key = append(t.key, string(e.Column))
				}
			}
		}
	}
	if len(t.key) == 0 {
		c.fail("table %s has no primary key", n.Table.Table())
	}
	if t.columns["identity_id"] && t.key[:1][0] != "identity_id" && !strings.HasPrefix(n.Table.Table(), "logins") {
		c.fail("table %s holds data of identities, its key must be led by identity_id: %v", n.Table.Table(), t.key)
	}
	c.schema[n.Table.Table()] = t
}
