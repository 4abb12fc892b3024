package tributary_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// stuckCase is a short way into a state from which a client must find out.
type stuckCase struct {
	name string
	only string // the one client that gets there; "": all
	life func(w *world, d *device)
}

// end is what every case must come to.
func (d *device) end() {
	d.t.Helper()
	d.settle()
	d.converged()
	d.afterwards()
}

func stuckCases() []stuckCase {
	return []stuckCase{
		// The key's tombstone is above the 0 of a device that never saw the key.
		{"AFreshDeviceWritesARemovedKey", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			w.othersRemove("a")
			w.othersSet("b", "2")
			d.put("a", "mine")
		}},
		{"AFreshDeviceWritesIntoADatasetOfTombstones", "", func(w *world, d *device) {
			w.othersRemove("a")
			d.put("a", "mine")
			d.put("b", "mine")
		}},
		// A conflict of a new key sends Android and .NET back to a list from 0,
		// which must tell of what was removed since they last listed.
		{"ARemovalWhileTheClientFallsBackToZero", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			d.settle()
			d.put("b", "mine")
			d.between = func() {
				d.between = func() {}
				w.othersSet("b", "2")
				w.othersRemove("a")
			}
			_ = d.synchronize()
		}},
		// It resolves the conflict of a, pushes, and takes the count of the
		// answer for its own: b is never asked for again.
		{"AnEditOfARecordThatWasMissed", "JavaScript", func(w *world, d *device) {
			w.others(set("a", "1"), set("b", "1"))
			d.settle()
			d.put("a", "mine")
			w.others(set("a", "2"), set("b", "2"))
			d.keep = func(string) bool { return true }
			d.settle()
			d.put("b", "mine too")
		}},
		// The edit keeps its old count, and the fallback goes to the highest of
		// the dirty records' counts only.
		{"AnEditDuringAPush", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			w.othersSet("b", "1")
			d.settle()
			d.put("a", "2")
			d.during = func() { d.put("a", "3") }
			_ = d.synchronize()
			d.during = func() {}
			d.put("b", "2")
		}},
	}
}

// restoredCases are those of a server that went back to a backup, of states
// that no sync leads to, and of deletions.
func restoredCases() []stuckCase {
	return []stuckCase{
		// The server has a as removed again, the client has it from after that.
		{"ARecordFromTheLostTime", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			w.othersRemove("a")
			w.othersSet("b", "2")
			w.othersSet("a", "3")
			w.othersSet("b", "4")
			d.settle()
			w.restore(3)
			d.settle()
			// Told that the dataset was deleted, an iOS app without a handler pushes
			// all that it has.
			c, ios := d.model.(iosClient)
			if _, ghost := d.seen()["a"]; ghost && !(w.incarnates && ios && !c.purges) {
				d.fail("%s still shows what the server knows as removed: %v", d.name, d.records)
			}
			d.put("a", "mine")
		}},
		{"AnEditFromTheLostTime", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			w.othersRemove("a")
			w.othersSet("a", "3")
			d.settle()
			d.put("a", "mine")
			w.restore(2)
		}},
		// The server has passed the client's count again, in another way.
		{"TheLostTimeIsOvertaken", "", func(w *world, d *device) {
			for range 5 {
				w.othersSet("a", w.value())
				w.othersSet("b", w.value())
			}
			d.settle()
			w.restore(3)
			for range 5 {
				w.othersSet("a", w.value())
				w.othersRemove("b")
			}
			d.put("a", "mine")
			d.put("b", "mine")
		}},
		{"RestoredToBeforeTheDataset", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			d.settle()
			d.put("a", "mine")
			w.restore(0)
		}},
		{"ACountThatNeverWas", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			w.othersSet("b", "2")
			d.last, d.unsure = 2, true
			d.records["a"] = entry{value: "mine", count: 50, dirty: true}
			d.records["b"] = entry{value: "mine", count: 0, dirty: true}
		}},
		{"DeletedOnBothSides", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			d.settle()
			d.drop()
			w.othersDelete()
		}},
		{"DeletedBeforeItWasEverPushed", "", func(w *world, d *device) {
			d.put("a", "1")
			d.drop()
		}},
		{"DeletedAndMadeAgainDuringAPush", "", func(w *world, d *device) {
			w.others(set("a", "1"), set("b", "1"))
			d.settle()
			d.put("a", "mine")
			d.between = func() {
				d.between = func() {}
				w.othersDelete()
				w.othersSet("c", "again")
			}
			_ = d.synchronize()
		}},
		{"AwayUntilItsTombstonesAreForgotten", "", func(w *world, d *device) {
			w.others(set("a", "1"), set("b", "1"))
			d.settle()
			d.put("b", "mine")
			w.othersRemove("a")
			w.othersRemove("b")
			w.othersForget()
			w.othersForget()
		}},
	}
}

// incarnatedCases are the restored ones with a real backup, after which no
// count of the lost time is below the dataset's by accident; and some more.
func incarnatedCases() []stuckCase {
	cases := []stuckCase{
		// After the restore the dataset is made again, and passes the client's
		// count of the lost time.
		{"MadeAgainAfterARestoreToBeforeIt", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			w.othersSet("b", "1")
			d.settle()
			w.restore(0)
			for range 4 {
				w.othersSet("c", w.value())
			}
			d.settleExactly()
		}},
		{"RestoredTwice", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			first := slices.Clone(w.changes)
			w.restore(1)
			w.othersSet("b", "2")
			w.othersSet("a", "2")
			d.settle()
			w.origin, w.changes = nil, first // the same backup
			w.restore(1)
			for range 4 {
				w.othersSet("c", w.value())
			}
			d.settleExactly()
		}},
		{"BehindTheBackup", "", func(w *world, d *device) {
			w.othersSet("a", "1")
			d.settle()
			w.othersSet("b", "2")
			w.othersRemove("a")
			w.restore(3)
			d.settleExactly()
		}},
	}
	for _, c := range restoredCases() {
		c.name += "OfABackup"
		cases = append(cases, c)
	}
	for i := range cases {
		life := cases[i].life
		cases[i].life = func(w *world, d *device) {
			w.incarnates = true
			life(w, d)
		}
	}
	return cases
}

// settleExactly synchronizes a device without edits of its own, which drops what
// it has when the server says so: it then has what the server has. iOS may be at
// 0 whatever it was told, and is not told then.
func (d *device) settleExactly() {
	d.t.Helper()
	d.settle()
	if _, ios := d.model.(iosClient); ios {
		return
	}
	if seen, live := d.seen(), d.live(); !maps.Equal(seen, live) {
		d.fail("%s has %v, the server has %v", d.name, seen, live)
	}
}

// TestNobodyIsStuck walks into the traps one by one, so that a failure of the
// random programs has a name.
func TestNobodyIsStuck(t *testing.T) {
	for _, tt := range slices.Concat(stuckCases(), restoredCases(), incarnatedCases()) {
		for name, m := range models() {
			if tt.only != "" && tt.only != name {
				continue
			}
			for nodes := 1; nodes <= 2; nodes++ {
				for seed := range uint64(3) { // iOS differs by it
					t.Run(fmt.Sprintf("%s/Nodes=%d/%s/%d", tt.name, nodes, name, seed), func(t *testing.T) {
						w := newWorld(t, seed)
						defer w.close()
						if nodes == 2 {
							w.secondNode()
						}
						d := w.newDevice(name, m(seed))
						tt.life(w, d)
						d.end()
					})
					if name != "IOS" {
						break
					}
				}
			}
		}
	}
}

// pairCase is what two devices do to one key while both are offline.
type pairCase struct {
	name          string
	first, second func(d *device)
	theirs, mine  string // of the key afterwards, by who wins; "": removed
}

func pairCases() []pairCase {
	put := func(value string) func(d *device) { return func(d *device) { d.put("a", value) } }
	remove := func(d *device) { d.remove("a") }
	return []pairCase{
		{"EditAndEdit", put("the first's"), put("the second's"), "the first's", "the second's"},
		{"EditAndRemove", put("the first's"), remove, "the first's", ""},
		{"RemoveAndEdit", remove, put("the second's"), "", "the second's"},
	}
}

// TestTwoDevicesOffline has two devices change one key while both are offline.
// The first to come back arrives without ado; the second is asked once, and
// what its app decides is what both have in the end.
func TestTwoDevicesOffline(t *testing.T) {
	for firstName, first := range models() {
		for secondName, second := range models() {
			for _, tt := range pairCases() {
				for _, keep := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%s/%s/Keep=%t", tt.name, firstName, secondName, keep), func(t *testing.T) {
						w := newWorld(t, 1)
						defer w.close()
						a, b := w.newDevice("first "+firstName, first(1)), w.newDevice("second "+secondName, second(1))
						offline(a, b, tt, keep)
					})
				}
			}
		}
	}
}

func offline(a, b *device, tt pairCase, keep bool) {
	a.t.Helper()
	a.put("a", "both have this")
	a.put("b", "untouched")
	a.settle()
	b.settle()
	tt.first(a)
	tt.second(b)
	b.keep = func(string) bool { return keep }
	a.settle()
	if len(a.conflicts) > 0 {
		a.fail("the first to come back is asked about %v", a.conflicts)
	}
	theirs := b.held()["a"]
	asked := fmt.Sprintf("a: %v or %v", b.records["a"], entryOf(theirs))
	b.settle()
	if len(b.conflicts) != 1 || b.conflicts[0] != asked {
		b.fail("the second is asked about %q, want once %q", b.conflicts, asked)
	}
	a.settle()
	result := map[string]string{"a": tt.theirs, "b": "untouched"}
	if keep {
		result["a"] = tt.mine
	}
	if result["a"] == "" {
		delete(result, "a")
	}
	for _, d := range []*device{a, b} {
		if got := d.seen(); !maps.Equal(got, result) {
			d.fail("%s has %v, want %v", d.name, got, result)
		}
	}
	if got := a.live(); !maps.Equal(got, result) {
		a.fail("the server has %v, want %v", got, result)
	}
	a.afterwards()
	b.settle()
	b.converged()
}

// TestHelpForOneIsNoHarmForAnother has two devices with an edit of one record:
// one that is behind and refused, one that is up to date. Whatever the server
// does to help the first, the edit of the second must not get lost unasked. (To
// be asked once too often is the lesser evil.)
func TestHelpForOneIsNoHarmForAnother(t *testing.T) {
	for name, m := range models() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			defer w.close()
			behind, upToDate := w.newDevice("behind", m(1)), w.newDevice("up to date", m(1))
			keep := func(string) bool { return true }
			behind.keep, upToDate.keep = keep, keep
			w.othersSet("a", "1")
			w.othersSet("a", "2")
			upToDate.settle()
			upToDate.last = 2 // iOS may have left it at 0
			behind.last, behind.unsure = 2, true
			behind.records["a"] = entry{value: "from behind", count: 1, dirty: true}
			// It is refused, or else it has won before the other came.
			l := behind.mustList()
			_, _, _ = behind.push(l.token)
			upToDate.put("a", "up to date")
			upToDate.settle()
			if got := w.live()["a"]; got != "up to date" {
				w.fail("the edit of the device that was up to date is lost, the server has %q", got)
			}
			behind.end()
		})
	}
}

func (d *device) mustList() updates {
	d.t.Helper()
	u, err := d.list()
	if err != nil {
		d.fail("list: %v", err)
	}
	return u
}
