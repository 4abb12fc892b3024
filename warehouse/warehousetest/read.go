package warehousetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/warehouse"
)

// limits are wide enough for everything that the suite asks.
func limits() warehouse.QueryLimits {
	return warehouse.QueryLimits{Time: time.Minute, Rows: 5_000_000, Bytes: 1 << 30}
}

func query(t *testing.T, w warehouse.Warehouse, sql string) *warehouse.Result {
	t.Helper()
	r, err := w.Query(t.Context(), sql, limits())
	if err != nil {
		t.Fatalf("query %s: %v", sql, err)
	}
	if r.Cut {
		t.Fatalf("query %s was cut", sql)
	}
	return r
}

// rowID tells one raw row from another.
type rowID struct {
	identity, dataset, key string
	noKey                  bool
	warehouse.Stamp
}

// rawRow is a raw row, as far as every order of arrival must agree on it.
type rawRow struct {
	rowID
	operation, op, value string
	device               tributary.Millis // 0: NULL
	event                warehouse.Stamp
}

func (r rawRow) String() string {
	key := fmt.Sprintf("%q", r.key)
	if r.noKey {
		key = "NULL"
	}
	return fmt.Sprintf("%s/%s %s %s/%s %.40q count %d at %+d event %d at %+d", r.identity[10:18], r.dataset, key,
		r.operation, r.op, r.value, r.SyncCount, r.At-noon, r.event.SyncCount, r.event.At-noon)
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func number(v any) int64 {
	n, _ := v.(int64)
	return n
}

func millis(v any) tributary.Millis {
	at, is := v.(time.Time)
	if !is {
		return 0
	}
	return tributary.MillisOf(at)
}

// readRaw reads the raw table. Two equal rows are an error.
func readRaw(t *testing.T, w warehouse.Warehouse) map[rowID]rawRow {
	t.Helper()
	r := query(t, w, `SELECT identityId, datasetName, key, syncCount, lastModifiedDate, operation, op, value,
		deviceLastModifiedDate, eventSyncCount, eventLastModifiedDate FROM cognito_raw_data`)
	all := make(map[rowID]rawRow, len(r.Rows))
	for _, v := range r.Rows {
		row := rawRow{
			rowID:     rowID{text(v[0]), text(v[1]), text(v[2]), v[2] == nil, warehouse.Stamp{SyncCount: number(v[3]), At: millis(v[4])}},
			operation: text(v[5]), op: text(v[6]), value: text(v[7]), device: millis(v[8]),
			event: warehouse.Stamp{SyncCount: number(v[9]), At: millis(v[10])},
		}
		if (v[7] == nil) != (row.op == "remove") {
			t.Errorf("raw row %v has value %v", row, v[7])
		}
		if _, again := all[row.rowID]; again {
			t.Errorf("raw row twice: %v", row)
		}
		all[row.rowID] = row
	}
	return all
}

// live names a live record.
type live struct{ identity, dataset, key string }

// readCurrent reads the current state.
func readCurrent(t *testing.T, w warehouse.Warehouse) map[live]string {
	t.Helper()
	r := query(t, w, `SELECT identityId, datasetName, key, value, syncCount, lastModifiedDate FROM cognito_current_state`)
	all := make(map[live]string, len(r.Rows))
	for _, v := range r.Rows {
		k := live{text(v[0]), text(v[1]), text(v[2])}
		if _, again := all[k]; again {
			t.Errorf("%v is in the current state twice", k)
		}
		all[k] = fmt.Sprintf("%s (%d at %+d)", text(v[3]), number(v[4]), millis(v[5])-noon)
	}
	return all
}

// published computes the published query for all datasets from raw rows: the
// rows of each key's highest count that do not remove.
func published(raw map[rowID]rawRow) map[live]string {
	highest := make(map[live]int64)
	for _, r := range raw {
		k := live{r.identity, r.dataset, r.key}
		if n, found := highest[k]; !r.noKey && (!found || r.SyncCount > n) {
			highest[k] = r.SyncCount
		}
	}
	all := make(map[live]string)
	for _, r := range raw {
		k := live{r.identity, r.dataset, r.key}
		if !r.noKey && r.SyncCount == highest[k] && r.op != "remove" {
			all[k] = fmt.Sprintf("%s (%d at %+d)", r.value, r.SyncCount, r.At-noon)
		}
	}
	return all
}

// same reports up to a few differences between two maps.
func same[K comparable, V comparable](t *testing.T, what string, got, want map[K]V) {
	t.Helper()
	var wrong []string
	for k, v := range want {
		if g, found := got[k]; !found {
			wrong = append(wrong, fmt.Sprintf("missing %v: %v", k, v))
		} else if g != v {
			wrong = append(wrong, fmt.Sprintf("%v is %v, want %v", k, g, v))
		}
	}
	for k, v := range got {
		if _, found := want[k]; !found {
			wrong = append(wrong, fmt.Sprintf("unexpected %v: %v", k, v))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 {
		t.Errorf("%s: %d wrong:\n%s", what, len(wrong), strings.Join(wrong[:min(len(wrong), 8)], "\n"))
	}
}
