//go:build cgo

package duckdb_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"tributary/warehouse/duckdb"
)

// TestBeyondJSON: values that JSON has no way to write are given as text.
func TestBeyondJSON(t *testing.T) {
	w := few(t, duckdb.Config{})
	for sql, want := range map[string]string{
		"SELECT 'nan'::DOUBLE, 'infinity'::TIMESTAMP, 'inf'::FLOAT, '-inf'::DOUBLE": `[["NaN","infinity","Infinity","-Infinity"]]`,
		"SELECT '-infinity'::TIMESTAMP, 'infinity'::DATE, '-infinity'::DATE":        `[["-infinity","infinity","-infinity"]]`,
		"SELECT 'infinity'::TIMESTAMPTZ, '-infinity'::TIMESTAMP_S":                  `[["infinity","-infinity"]]`,
		"SELECT 'infinity'::TIMESTAMP_MS, '-infinity'::TIMESTAMP_NS":                `[["infinity","-infinity"]]`,
		"SELECT ['nan'::DOUBLE], {'a': '20000-01-01'::DATE}":                        `[["[NaN]","map[a:20000-01-01 00:00:00 +0000 UTC]"]]`,
		"SELECT '9999-12-31 23:59:59.999'::TIMESTAMP, '0001-01-01'::DATE":           `[["9999-12-31T23:59:59.999Z","0001-01-01T00:00:00Z"]]`,
		"SELECT '12:13:14.5'::TIME, '00:00:01+10'::TIMETZ":                          `[["0001-01-01T12:13:14.5Z","14:00:01+00"]]`,
	} {
		got, err := json.Marshal(ask(t, w, sql))
		if err != nil || string(got) != want {
			t.Errorf("%s\ngives %s, %v\nwant  %s", sql, got, err, want)
		}
	}
	// The rest is as DuckDB writes it.
	for _, value := range []string{
		"'20000-01-01'::TIMESTAMP", "'20000-01-02'::DATE", "'20000-01-02 03:04:05.6'::TIMESTAMPTZ",
		"'0044-03-15 (BC)'::DATE", "'0044-03-15 (BC) 12:34:56.789'::TIMESTAMP", "'0001-12-31 (BC) 12:00:00'::TIMESTAMP_S",
	} {
		rows := ask(t, w, fmt.Sprintf("SELECT %s, (%s)::VARCHAR", value, value))
		if rows[0][0] != rows[0][1] {
			t.Errorf("%s is %v, want %v", value, rows[0][0], rows[0][1])
		}
	}
}
