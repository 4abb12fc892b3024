package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json/jsontext"
)

type queryCmd struct {
	serverFlags
	Format  string `enum:"table,csv,json" default:"table" help:"table, csv or json."`
	MaxRows int    `default:"10000" help:"Rows to print at most."`
	Timeout int    `default:"30" help:"Seconds that the query may take."`

	SQL []string `arg:"" name:"sql" help:"One SELECT, in quotes, for example: \"SELECT * FROM cognito_current_state\""`
}

// Help says what a result may not be.
func (*queryCmd) Help() string {
	return `The tables are cognito_current_state, a row for each record as it is now, and
cognito_raw_data, a row for each change.

A table shows the begin of long values; csv and json show the whole.

A result is cut after --max-rows, or before its values would be larger than
32 MiB. A message on stderr says so, and for csv and json the exit code is 1.`
}

// Validate refuses what cannot work.
func (c *queryCmd) Validate() error {
	if len(c.SQL) != 1 {
		return fmt.Errorf("the statement must be one argument, there are %d: put it in quotes, as in: tributary query %q", len(c.SQL), strings.Join(c.SQL, " "))
	}
	if c.MaxRows < 1 {
		return fmt.Errorf("--max-rows is %d, it must be at least 1", c.MaxRows)
	}
	if c.Timeout < 1 {
		return fmt.Errorf("--timeout is %d, it must be at least 1", c.Timeout)
	}
	return c.serverFlags.Validate()
}

// Run sends the query and prints its rows.
func (c *queryCmd) Run(e *env) error {
	in := map[string]any{"SQL": c.SQL[0], "MaxRows": c.MaxRows, "TimeoutSeconds": c.Timeout}
	var t table
	if err := c.call(e.ctx, e.lookup, "POST", "query", in, &t); err != nil {
		return err
	}
	if err := printTable(e.stdout, &t, c.Format); err != nil {
		return err
	}
	if !t.Cut {
		return nil
	}
	cut := c.cut(len(t.Rows))
	if c.Format != "table" {
		return cut // whoever reads it must not take it for the whole
	}
	_, _ = fmt.Fprintf(e.stderr, "tributary: %v\n", cut)
	return nil
}

// cut says by which limit a result was cut after some rows.
func (c *queryCmd) cut(rows int) error {
	if rows < c.MaxRows {
		return fmt.Errorf("only the first %d rows are shown: with more the result would be larger than %v; select fewer columns, or the rows in several queries", rows, byteSize(mostResult))
	}
	return fmt.Errorf("only the first %d rows are shown; see --max-rows", rows)
}

// table is api.Table with its values as they came: a number keeps its digits.
type table struct {
	Columns []string
	Rows    [][]jsontext.Value
	Cut     bool
}

func printTable(w io.Writer, t *table, format string) error {
	switch format {
	case "csv":
		return printCSV(w, t)
	case "json":
		return printJSON(w, t)
	}
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, strings.Join(t.Columns, "\t"))
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = shorten(printable(cell(v, "NULL")), 60)
		}
		_, _ = fmt.Fprintln(tab, strings.Join(cells, "\t"))
	}
	return tab.Flush()
}

// printable keeps a value from breaking the table, or the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, s)
}

// shorten keeps a table's columns on the screen: it leaves at most so many
// characters.
func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// cell is a value as text.
func cell(v jsontext.Value, null string) string {
	switch v.Kind() {
	case 'n':
		return null
	case '"':
		text, err := jsontext.AppendUnquote(nil, v)
		if err == nil {
			return string(text)
		}
	}
	return v.String()
}

func printCSV(w io.Writer, t *table) error {
	out := csv.NewWriter(w)
	_ = out.Write(t.Columns) // the writer keeps its first error
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cell(v, "")
		}
		_ = out.Write(cells)
	}
	out.Flush()
	return out.Error()
}

// printJSON prints an array of objects, members in the order of the columns.
func printJSON(w io.Writer, t *table) error {
	out := jsontext.NewEncoder(w, jsontext.Multiline(true), jsontext.AllowDuplicateNames(true))
	tokens := []jsontext.Token{jsontext.BeginArray}
	for _, row := range t.Rows {
		tokens = append(tokens, jsontext.BeginObject)
		for i, v := range row {
			if err := writeTokens(out, append(tokens, jsontext.String(t.Columns[i]))); err != nil {
				return err
			}
			if err := out.WriteValue(v); err != nil {
				return err
			}
			tokens = tokens[:0]
		}
		tokens = append(tokens, jsontext.EndObject)
	}
	return writeTokens(out, append(tokens, jsontext.EndArray))
}

func writeTokens(out *jsontext.Encoder, tokens []jsontext.Token) error {
	for _, t := range tokens {
		if err := out.WriteToken(t); err != nil {
			return err
		}
	}
	return nil
}
