//go:build cgo

package duckdb

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// plain turns a value of the driver's into one of those that results may hold.
// typ is the name of its column's type.
func plain(v any, typ string) any {
	switch v := v.(type) {
	case nil, string, int64, bool:
		return v
	case float64:
		return finite(v)
	case float32:
		return finite(float64(v))
	case time.Time:
		return moment(v.UTC(), typ)
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint8:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	}
	return otherText(v)
}

// finite gives text for what is no number: JSON has none of these.
func finite(v float64) any {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	return v
}

// moment gives DuckDB's text for times whose year RFC 3339, and so JSON, cannot hold.
func moment(v time.Time, typ string) any {
	switch {
	case infinite(v, 1):
		return "infinity"
	case infinite(v, -1):
		return "-infinity"
	case 1 <= v.Year() && v.Year() <= 9999:
		return v
	}
	year, era := v.Year(), ""
	if year < 1 {
		year, era = 1-year, " (BC)"
	}
	date, clock := fmt.Sprintf("%04d-%s%s", year, v.Format("01-02"), era), v.Format("15:04:05.999999999")
	switch typ {
	case "DATE":
		return date
	case "TIMETZ": // counted from the year 1, and moved to UTC
		return clock + "+00"
	case "TIMESTAMPTZ":
		return date + " " + clock + "+00"
	}
	return date + " " + clock
}

// infinite tells what the driver does not: a type's infinity is the most that
// it can count, in days, seconds, milliseconds, microseconds or nanoseconds.
func infinite(v time.Time, sign int64) bool {
	const days = 24 * 60 * 60
	return v.Equal(time.Unix(sign*math.MaxInt32*days, 0)) || v.Equal(time.Unix(sign*math.MaxInt64, 0)) ||
		v.Equal(time.UnixMilli(sign*math.MaxInt64)) || v.Equal(time.UnixMicro(sign*math.MaxInt64)) ||
		v.Equal(time.Unix(0, sign*math.MaxInt64))
}

// otherText is the text of a value that has no type of Go's own.
func otherText(v any) any {
	switch v := v.(type) {
	case *big.Int:
		if v.IsInt64() {
			return v.Int64()
		}
		return v.String()
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case duckdb.Decimal:
		return v.String()
	case duckdb.UUID:
		return v.String()
	case []byte:
		return fmt.Sprintf("%x", v)
	case []any, map[string]any:
		if text, err := json.Marshal(v); err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(v)
}
