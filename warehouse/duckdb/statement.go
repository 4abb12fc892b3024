//go:build cgo

package duckdb

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"tributary"
)

// statement is a SELECT that may be run.
type statement struct {
	text    string
	columns []string
}

// admit decides whether a query may be run. DuckDB's own parser reads it, as
// json_serialize_sql, which takes SELECTs only; what may not be used is looked
// for in the tree.
//
// AWS's query asks for SELECT DISTINCT with an ORDER BY whose names DuckDB's
// binder finds in two tables. So a SELECT DISTINCT that does not compile gets
// another try with its ORDER BY moved to an enclosing SELECT *, where the names
// are those of the result. What compiles as it is, is left as it is.
func admit(ctx context.Context, conn *sql.Conn, text string) (*statement, error) {
	if strings.ContainsRune(text, 0) {
		return nil, invalid("the query holds U+0000; write it as chr(0)")
	}
	tree, err := parse(ctx, conn, text)
	if err != nil {
		return nil, err
	}
	if err := inspect(tree); err != nil {
		return nil, err
	}
	columns, err := columnsOf(ctx, conn, text)
	if err == nil {
		return &statement{text, columns}, nil
	}
	if !moveOrder(tree) {
		return nil, err
	}
	moved, asWritten := &statement{}, err
	if moved.text, err = unparse(ctx, conn, tree); err != nil {
		return nil, err
	}
	if moved.columns, err = columnsOf(ctx, conn, moved.text); err != nil {
		return nil, asWritten
	}
	return moved, nil
}

func invalid(msg string) error { return tributary.Errorf(tributary.Invalid, "", "%s", msg) }

// parse gives the tree of a text that is exactly one SELECT.
func parse(ctx context.Context, conn *sql.Conn, text string) (map[string]any, error) {
	var answer string
	err := conn.QueryRowContext(ctx, `SELECT json_serialize_sql(?::VARCHAR)::VARCHAR`, text).Scan(&answer)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	numbers := json.NewDecoder(strings.NewReader(answer))
	numbers.UseNumber() // a float64 would not hold a 64-bit integer
	if err := numbers.Decode(&tree); err != nil {
		return nil, err
	}
	if tree["error"] == true {
		if tree["error_type"] == "not implemented" {
			return nil, invalid("a query is one SELECT statement, or SHOW TABLES or DESCRIBE")
		}
		message, _ := tree["error_message"].(string)
		return nil, invalid(message)
	}
	if statements, _ := tree["statements"].([]any); len(statements) != 1 {
		return nil, invalid("a query is one SELECT statement, this is " + strconv.Itoa(len(statements)))
	}
	return tree, nil
}

// unparse makes text of a tree.
func unparse(ctx context.Context, conn *sql.Conn, tree map[string]any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(tree); err != nil {
		return "", err
	}
	var text string
	err := conn.QueryRowContext(ctx, `SELECT json_deserialize_sql(?::JSON)`, b.String()).Scan(&text)
	return text, err
}

// columnsOf compiles a statement and gives the names of its result's columns.
func columnsOf(ctx context.Context, conn *sql.Conn, text string) (columns []string, err error) {
	err = conn.Raw(func(c any) error {
		prepared, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		s, ok := prepared.(*duckdb.Stmt)
		if !ok {
			return errors.New("the driver has changed its statements")
		}
		defer s.Close()
		if s.NumInput() > 0 {
			return invalid("a query takes no parameters")
		}
		n, err := s.ColumnCount()
		if err != nil {
			return err
		}
		columns = make([]string, n)
		for i := range columns {
			if columns[i], err = s.ColumnName(i); err != nil {
				return err
			}
		}
		return nil
	})
	return columns, err
}

// moveOrder moves what comes after the DISTINCT of a top-level SELECT DISTINCT
// to a SELECT * around it. False if the tree is no such query.
func moveOrder(tree map[string]any) bool {
	statement, _ := tree["statements"].([]any)[0].(map[string]any)
	node, _ := statement["node"].(map[string]any)
	modifiers, _ := node["modifiers"].([]any)
	if node["type"] != "SELECT_NODE" || len(modifiers) < 2 {
		return false
	}
	first, _ := modifiers[0].(map[string]any)
	on, _ := first["distinct_on_targets"].([]any)
	second, _ := modifiers[1].(map[string]any)
	if first["type"] != "DISTINCT_MODIFIER" || len(on) > 0 || second["type"] != "ORDER_MODIFIER" {
		return false
	}
	node["modifiers"] = modifiers[:1]
	statement["node"] = map[string]any{
		"type": "SELECT_NODE", "modifiers": modifiers[1:], "cte_map": map[string]any{"map": []any{}},
		"select_list": []any{map[string]any{
			"class": "STAR", "type": "STAR", "alias": "", "relation_name": "", "exclude_list": []any{},
			"replace_list": []any{}, "columns": false, "expr": nil, "qualified_exclude_list": []any{}, "rename_list": []any{},
		}},
		"from_table": map[string]any{
			"type": "SUBQUERY", "alias": "", "sample": nil, "column_name_alias": []any{},
			"subquery": map[string]any{"node": node, "named_param_map": []any{}},
		},
		"where_clause": nil, "group_expressions": []any{}, "group_sets": []any{},
		"aggregate_handling": "STANDARD_HANDLING", "having": nil, "sample": nil, "qualify": nil,
	}
	return true
}

// inspect walks a tree for functions that queries may not use.
func inspect(node any) error {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			if err := inspect(child); err != nil {
				return err
			}
		}
	case map[string]any:
		return inspectNode(node)
	}
	return nil
}

func inspectNode(node map[string]any) error {
	function := node
	table := node["type"] == "TABLE_FUNCTION"
	if table {
		function, _ = node["function"].(map[string]any)
	}
	if function["class"] == "FUNCTION" {
		name, _ := function["function_name"].(string)
		if err := admitFunction(strings.ToLower(name), table, function); err != nil {
			return err
		}
		node = function
	}
	for _, child := range node {
		if err := inspect(child); err != nil {
			return err
		}
	}
	return nil
}

// admitFunction judges one call. Of the functions that make tables only those
// are admitted that are known to read nothing but their arguments and the
// catalog: others read files, run texts as SQL, or change what the server logs.
func admitFunction(name string, table bool, call map[string]any) error {
	if table {
		if !slices.Contains(tableFunctions(), name) && !strings.HasPrefix(name, "duckdb_") && !strings.HasPrefix(name, "pragma_") {
			return tributary.Errorf(tributary.Denied, "", "queries may not use the table function %s", name)
		}
		return nil
	}
	switch name {
	case "write_log", "sleep_ms", "setseed", "nextval", "repeat", "list_resize", "array_resize", "bitstring":
		return tributary.Errorf(tributary.Denied, "", "queries may not use the function %s", name)
	case "range", "generate_series":
		return tributary.Errorf(tributary.Denied, "", "%s may stand in FROM only, where it takes no memory", name)
	case "lpad", "rpad", "printf", "format":
		return admitPadding(name, call)
	}
	return nil
}

func tableFunctions() []string {
	return []string{"range", "generate_series", "unnest", "json_each", "json_tree", "summary",
		"histogram", "histogram_values", "pg_timezone_names", "icu_calendar_names"}
}

// admitPadding judges calls whose result may be longer than their arguments.
// DuckDB's memory limit does not count what a function makes of one value, so
// the length must stand in the query, and be small.
func admitPadding(name string, call map[string]any) error {
	arguments, _ := call["children"].([]any)
	at := 1
	if name == "printf" || name == "format" {
		at = 0
	}
	if len(arguments) > at {
		constant, _ := arguments[at].(map[string]any)
		value, _ := constant["value"].(map[string]any)
		switch v := value["value"].(type) {
		case json.Number:
			if n, err := v.Int64(); err == nil && n <= 1000 {
				return nil
			}
		case string:
			if at == 0 && !strings.Contains(v, "*") && !hasLongNumber(v) && !hasNestedField(v) {
				return nil
			}
		}
	}
	return tributary.Errorf(tributary.Denied, "", "%s needs its width as a number up to 1000", name)
}

func hasLongNumber(s string) bool {
	digits := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			digits = 0
		} else if digits++; digits > 3 {
			return true
		}
	}
	return false
}

// hasNestedField tells whether a replacement field takes its width from an
// argument, as {:{}} does. Braces that stand for themselves are doubled.
func hasNestedField(s string) bool {
	inside := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '}':
			inside = false
		case s[i] == '{' && inside:
			return true
		case strings.HasPrefix(s[i:], "{{"):
			i++
		case s[i] == '{':
			inside = true
		}
	}
	return false
}
