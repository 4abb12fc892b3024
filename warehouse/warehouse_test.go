package warehouse_test

import (
	"fmt"
	"slices"
	"testing"

	"tributary"
	"tributary/warehouse"
)

func TestAbove(t *testing.T) {
	shard := tributary.Shard{Stream: 3, Number: 1}
	rising := []tributary.Position{
		"", "9", "10", "49590338271490256608559692538361571095921575989136588898", "149590338271490256608559692538361571095921575989136588898",
	}
	own := []tributary.Position{"", tributary.PositionOf(shard, 0), tributary.PositionOf(shard, 9), tributary.PositionOf(shard, 10), tributary.PositionOf(shard, 1<<63)}
	for _, list := range [][]tributary.Position{rising, own} {
		for i, p := range list {
			for j, q := range list {
				if got := warehouse.Above(p, q); got != (i > j) {
					t.Errorf("Above(%q, %q) = %v", p, q, got)
				}
			}
		}
	}
}

func TestTables(t *testing.T) {
	for _, table := range warehouse.Tables() {
		seen := make(map[string]bool)
		for _, c := range table.Columns {
			if c.Name == "" || c.Doc == "" || seen[c.Name] {
				t.Errorf("%s: column %+v", table.Name, c)
			}
			seen[c.Name] = true
		}
		if table.Doc == "" || len(seen) == 0 {
			t.Errorf("%s is not described", table.Name)
		}
	}
}

func TestEffective(t *testing.T) {
	l := warehouse.QueryLimits{Rows: 7}.Effective()
	if l.Rows != 7 || l.Time <= 0 || l.Bytes <= 0 {
		t.Errorf("%+v", l)
	}
}

func change(op tributary.Op, count int64, at tributary.Millis, keys ...string) *tributary.Change {
	c := &tributary.Change{Op: op, SyncCount: count, At: at}
	for _, k := range keys {
		c.Records = append(c.Records, tributary.Record{Key: k, Value: fmt.Sprint(count), SyncCount: count, LastModified: at})
	}
	return c
}

func TestFollows(t *testing.T) {
	head := warehouse.Stamp{SyncCount: 5, At: 50}
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprint(i))
	}
	for name, test := range map[string]struct {
		c    *tributary.Change
		want bool
	}{
		"Newer":     {change(tributary.Replace, 6, 60, "a", "b"), true},
		"SameDate":  {change(tributary.Replace, 6, 50, "a"), true},
		"Many":      {change(tributary.Replace, 6, 60, many...), true},
		"Empty":     {change(tributary.Replace, 6, 60), true},
		"SameCount": {change(tributary.Replace, 5, 60, "a"), false},
		"Older":     {change(tributary.Replace, 4, 60, "a"), false},
		"ClockBack": {change(tributary.Replace, 6, 49, "a"), false},
		"Removal":   {change(tributary.Remove, 6, 60), false},
		"KeyTwice":  {change(tributary.Replace, 6, 60, "a", "b", "a"), false},
		"ManyTwice": {change(tributary.Replace, 6, 60, append(many, "7")...), false},
	} {
		if got := warehouse.Follows(test.c, head); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// apply merges changes into a dataset that an engine would have stored between
// any two of them.
func apply(d *warehouse.Dataset, changes ...*tributary.Change) {
	for _, c := range changes {
		d.Apply(&tributary.Entry{Change: c})
		d.Settle(func(_ string, v *warehouse.Version) { v.Stored = true })
	}
}

func live(d *warehouse.Dataset) []string {
	var all []string
	for key, versions := range d.Records {
		current := 0
		for _, v := range versions {
			if v.Current {
				current++
				if !v.Removed {
					all = append(all, fmt.Sprintf("%s%d", key, v.SyncCount))
				}
			}
		}
		if current != 1 {
			all = append(all, fmt.Sprintf("%s has %d current versions", key, current))
		}
	}
	slices.Sort(all)
	return all
}

func TestDataset(t *testing.T) {
	var d warehouse.Dataset
	step := func(want []string, rows, late, gone, moved int, c *tributary.Change) {
		t.Helper()
		d.Rows, d.Late, d.Gone, d.Moved = nil, nil, nil, nil
		apply(&d, c)
		if got := live(&d); !slices.Equal(got, want) {
			t.Errorf("live %v, want %v", got, want)
		}
		if len(d.Rows) != rows || len(d.Late) != late || len(d.Gone) != gone || len(d.Moved) != moved {
			t.Errorf("%d rows, %d late, %d gone, %d moved", len(d.Rows), len(d.Late), len(d.Gone), len(d.Moved))
		}
	}
	step([]string{"a1", "b1"}, 2, 0, 0, 0, change(tributary.Replace, 1, 10, "a", "b"))
	step([]string{"a2", "b1"}, 1, 0, 1, 0, change(tributary.Replace, 2, 20, "a"))
	step([]string{"a2", "b1"}, 0, 1, 0, 0, change(tributary.Replace, 1, 10, "a")) // late: the raw table knows
	step([]string{"a2", "b1"}, 0, 0, 0, 0, change(tributary.Replace, 2, 20, "a")) // a duplicate for sure
	// A lower count at a later date is kept in case a removal comes in between.
	step([]string{"a2", "b1"}, 1, 0, 0, 0, change(tributary.Replace, 1, 50, "a"))
	step([]string{"a1"}, 2, 0, 2, 1, change(tributary.Remove, 3, 30))
	step([]string{"a1"}, 0, 0, 0, 0, change(tributary.Remove, 3, 30))
	step([]string{"a1"}, 0, 1, 0, 0, change(tributary.Remove, 2, 25))
	// Late, and of a key that the removal did not know.
	step([]string{"a1"}, 2, 0, 0, 0, change(tributary.Replace, 2, 21, "c"))
	step([]string{"a1", "c2"}, 1, 0, 0, 1, change(tributary.Replace, 2, 51, "c"))
	step(nil, 2, 0, 4, 0, change(tributary.Remove, 9, 90))
	step(nil, 1, 0, 0, 0, change(tributary.Remove, 10, 100))
	if want := []warehouse.Stamp{{SyncCount: 10, At: 100}}; !slices.Equal(d.Removals, want) || d.Head != want[0] {
		t.Errorf("removals %v, head %v", d.Removals, d.Head)
	}
}
