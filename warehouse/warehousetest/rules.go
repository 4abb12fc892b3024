package warehousetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tributary"
	"tributary/warehouse"
)

// PublishedQuery is AWS's, as printed, for an identity and a dataset.
func PublishedQuery(identity tributary.IdentityID, dataset tributary.DatasetName) string {
	return strings.NewReplacer("IDENTITY_ID", string(identity), "DATASET_NAME", string(dataset)).Replace(
		`SELECT distinct temp.*, value FROM
(select distinct identityid, datasetname, key,
 max(synccount) over (partition by identityid, datasetname, key) as max_synccount
 FROM cognito_raw_data) as temp
INNER JOIN cognito_raw_data raw_data ON
(temp.identityid = raw_data.identityid and temp.datasetname = raw_data.datasetname and temp.key = raw_data.key and temp.max_synccount = raw_data.synccount)
WHERE raw_data.identityid = 'IDENTITY_ID'
AND raw_data.datasetname = 'DATASET_NAME'
AND op <> 'remove'
ORDER by datasetname, key`)
}

// asPublished runs the published query and gives keys and values in its order.
func asPublished(t *testing.T, w warehouse.Warehouse, who int) []string {
	t.Helper()
	r := query(t, w, PublishedQuery(identity(who), "d"))
	want := "identityid datasetname key max_synccount value"
	if got := strings.ToLower(strings.Join(r.Columns, " ")); got != want {
		t.Errorf("the published query has columns %s, want %s", got, want)
	}
	var rows []string
	for _, v := range r.Rows {
		rows = append(rows, fmt.Sprintf("%s=%s@%d", text(v[2]), text(v[4]), number(v[3])))
	}
	return rows
}

// testPublished: the published query runs as printed, in its order.
func testPublished(t *testing.T, o Options) {
	w := o.Open(t)
	f := newFeed(t, w, 0)
	check := func(want ...string) {
		t.Helper()
		if got := asPublished(t, w, 1); !slices.Equal(got, want) {
			t.Errorf("the published query gives %v, want %v", got, want)
		}
	}
	check()
	f.send(update(1, 1, 1, set("b", "1"), set("a", "1"), set("c", "1")), update(2, 1, 1, set("z", "1")))
	check("a=1@1", "b=1@1", "c=1@1")
	f.send(update(1, 2, 2, set("c", "2"), unset("a"), set("d", "it's")))
	check("b=1@1", "c=2@2", "d=it's@2")
	f.send(remove(1, 3, 3))
	check()
	f.send(update(1, 4, 4, set("b", "4")))
	check("b=4@4")
}

// testRemoval: a removal gives the rows that it promises.
func testRemoval(t *testing.T, o Options) {
	w := o.Open(t)
	f, m := newFeed(t, w, 0), newModel()
	m.apply(f.send(
		update(1, 1, 1, set("a", "1"), set("b", "1"), set("c", "1")), update(1, 2, 2, unset("b")),
		event(tributary.EntryChange, tributary.Replace, 1, "other", 1, 1, set("a", "1")),
		remove(1, 3, 3), remove(2, 5, 5))...)
	m.compare(t, w)
	r := query(t, w, `SELECT identityId, key, value, op, syncCount, lastModifiedDate, deviceLastModifiedDate, eventSyncCount, position
		FROM cognito_raw_data WHERE operation = 'remove' ORDER BY identityId, key`)
	var got []string
	for _, v := range r.Rows {
		key := "NULL"
		if v[1] != nil {
			key = text(v[1])
		}
		got = append(got, fmt.Sprint(text(v[0])[17:18], key, v[2], v[3], v[4], (millis(v[5])-noon)/1000, v[6], v[7]))
		if p := tributary.Position(text(v[8])); p != tributary.PositionOf(f.lease.Shard, 4) && p != tributary.PositionOf(f.lease.Shard, 5) {
			t.Errorf("position %q", p)
		}
	}
	want := []string{"1a<nil>remove3 3 <nil> 3", "1c<nil>remove3 3 <nil> 3", "2NULL<nil>remove5 5 <nil> 5"}
	if !slices.Equal(got, want) {
		t.Errorf("removal rows\n%q, want\n%q", got, want)
	}
}

// scenario is a story of one dataset whose events may arrive in any order.
type scenario struct {
	name   string
	events func(who int) []tributary.Entry
	// restarts says that counts do, where the published query cannot agree.
	restarts bool
}

func scenarios() []scenario {
	at := func(key, value string, count int64) rec { return rec{key: key, value: value, count: count, at: count} }
	return []scenario{
		{"Recreated", func(who int) []tributary.Entry {
			return []tributary.Entry{
				update(who, 1, 1, set("a", "1"), set("b", "1")), update(who, 2, 2, set("a", "2"), unset("b")),
				remove(who, 3, 3), update(who, 4, 4, set("a", "4")), update(who, 5, 5, set("b", "5")),
			}
		}, false},
		{"RemovedLast", func(who int) []tributary.Entry {
			return []tributary.Entry{
				update(who, 1, 1, set("a", "1")), update(who, 2, 2, unset("a")), update(who, 3, 3, set("a", "3"), set("b", "3")),
				update(who, 4, 4, set("c", "4")), remove(who, 5, 5),
			}
		}, false},
		{"Snapshots", func(who int) []tributary.Entry {
			return []tributary.Entry{
				update(who, 1, 1, set("a", "1"), set("b", "1")), snapshot(who, 1, 8, at("a", "1", 1), at("b", "1", 1)),
				remove(who, 2, 2), update(who, 3, 3, set("b", "3")), snapshot(who, 3, 9, at("b", "3", 3)),
			}
		}, false},
		{"Restarted", func(who int) []tributary.Entry {
			return []tributary.Entry{
				update(who, 1, 1, set("a", "1"), set("b", "1")), update(who, 2, 2, set("a", "2")), remove(who, 3, 3),
				update(who, 1, 11, set("a", "11")), update(who, 2, 12, set("c", "12")),
			}
		}, true},
		{"RestartedTwice", func(who int) []tributary.Entry {
			return []tributary.Entry{
				update(who, 30, 1, set("a", "1"), set("b", "1")), remove(who, 51, 2), update(who, 1, 11, set("a", "11")),
				remove(who, 4, 12), update(who, 2, 21, set("b", "21")),
			}
		}, true},
		{"Repeated", func(who int) []tributary.Entry {
			return []tributary.Entry{
				update(who, 1, 1, set("a", "1")), update(who, 1, 1, set("a", "1")), remove(who, 2, 2), remove(who, 2, 2),
				update(who, 3, 3, set("a", "3")),
			}
		}, false},
		{"ClockWentBack", func(who int) []tributary.Entry {
			return []tributary.Entry{
				update(who, 1, 10, set("a", "1")), update(who, 2, 5, set("a", "2")), update(who, 3, 7, unset("b")),
				update(who, 2, 20, set("b", "2")), remove(who, 3, 20),
			}
		}, true},
		{"Long", func(who int) []tributary.Entry {
			return []tributary.Entry{
				update(who, 1, 1, set("a", "1"), set("b", "1")), remove(who, 2, 2), update(who, 3, 3, set("a", "3")),
				snapshot(who, 3, 7, at("a", "3", 3)), remove(who, 4, 4), update(who, 5, 5, set("b", "5")),
			}
		}, false},
	}
}

// testPermutations: whatever the order of arrival and however it is cut into
// batches, the same current state comes out. Each order is an identity of its
// own, so that one warehouse holds them all.
func testPermutations(t *testing.T, o Options) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			if len(s.events(0)) > 5 && !o.Thorough {
				t.Skip("takes long")
			}
			w := o.Open(t)
			f, m := newFeed(t, w, 0), newModel()
			n := len(s.events(0))
			orders := permutations(n)
			for cut := range 1 << (n - 1) {
				deliverOrders(f, m, s, orders, cut)
			}
			m.compare(t, w)
			checkOrders(t, w, s, len(orders)<<(n-1))
		})
	}
}

// deliverOrders delivers a scenario in every order, cut behind its i-th event
// if bit i-1 of cut is set.
func deliverOrders(f *feed, m *model, s scenario, orders [][]int, cut int) {
	var batch []tributary.Entry
	for i := range len(orders[0]) {
		for n, order := range orders {
			batch = append(batch, s.events(cut*len(orders) + n)[order[i]])
		}
		if cut>>i&1 == 1 {
			m.apply(f.send(batch...)...)
			batch = nil
		}
	}
	m.apply(f.send(batch...)...)
}

// checkOrders holds every identity's current state against that of the events
// in their own order.
func checkOrders(t *testing.T, w warehouse.Warehouse, s scenario, identities int) {
	proper := newModel()
	proper.apply(s.events(0)...)
	want := make(map[live]string)
	for k, v := range proper.current() {
		for n := range identities {
			want[live{string(identity(n)), k.dataset, k.key}] = v
		}
	}
	got := readCurrent(t, w)
	same(t, "current state", got, want)
	if s.restarts {
		return
	}
	same(t, "published state", published(readRaw(t, w)), want)
	for _, n := range []int{0, identities / 3, identities - 1} {
		if rows := asPublished(t, w, n); len(rows) != len(proper.current()) {
			t.Errorf("identity %d: the published query gives %v", n, rows)
		}
	}
}

// permutations gives all orders of n things.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(p), at, n-1))
		}
	}
	return all
}
