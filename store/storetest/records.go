package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"tributary"
)

func recordCases() []testCase {
	return []testCase{
		{"Ranges", func(k *kit) { recordRanges(k, "small") }},
		{"RangesOfLarge", func(k *kit) { recordRanges(k, strings.Repeat(big, 6)) }},
		{"Grow", recordsGrow},
		{"Recreate", recordsRecreate},
		{"Forget", recordsForget},
		{"Many", recordsMany},
		{"LargeValues", recordsLarge},
		{"HostileKeys", recordsHostile},
		{"NothingBorrowed", recordsBorrowed},
		{"Random", recordsRandom},
	}
}

// shadow is a dataset's records as its changes make them.
type shadow map[string]tributary.Record

func (s shadow) apply(c *tributary.Change) {
	if c.Op == tributary.Remove {
		clear(s)
	}
	for _, r := range c.Forgotten {
		delete(s, r.Key)
	}
	for _, r := range c.Records {
		s[r.Key] = r
	}
}

func (s shadow) list() []tributary.Record {
	list := make([]tributary.Record, 0, len(s))
	for _, r := range s {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b tributary.Record) int { return cmp.Compare(a.Key, b.Key) })
	return list
}

// check compares what View and Records show with the shadow.
func (s shadow) check(k *kit, key tributary.DatasetKey) {
	k.Helper()
	want := s.list()
	v := k.view(key, append(recordKeys(want), "no such key")...)
	k.same("viewed records", recordsText(v.Records), recordsText(want))
	s.checkRange(k, key, tributary.Range{Through: all})
}

func (s shadow) checkRange(k *kit, key tributary.DatasetKey, r tributary.Range) {
	k.Helper()
	want := selected(s.list(), r)
	if list := k.records(key, r); !slices.Equal(list, want) {
		k.Fatalf("records of %s in %+v:\n got %s\nwant %s", key.Dataset, r, recordsText(list), recordsText(want))
	}
}

func recordRanges(k *kit, value string) {
	key, s := k.world(), shadow{}
	names := []string{"a", "a\x00", "ab", "B", "é", "~", "0"}
	for n := range 6 {
		for i, name := range names {
			patches := []tributary.Patch{put(name, value+fmt.Sprint(n))}
			if i%2 == 0 {
				patches = append(patches, put(name+"x", value), put("x"+name, value))
			}
			if (i+n)%3 == 0 {
				patches = append(patches, remove("r"+name), remove("q"+name))
			}
			s.apply(k.sync(key, patches...))
		}
	}
	s.check(k, key)
	head := k.view(key).Dataset
	for from := head.SyncCount - 9; from <= head.SyncCount+1; from++ {
		cursors := []tributary.Cursor{{}, tributary.AfterCount(from), {SyncCount: from}}
		for _, name := range []string{"a", "qa", "r~", "\U0010ffff"} {
			cursors = append(cursors, tributary.Cursor{SyncCount: from, Key: name})
		}
		for _, after := range cursors {
			for _, through := range []int64{0, from - 1, from, from + 2, all} {
				for _, limit := range []int{0, 1, 3} {
					r := tributary.Range{After: after, Through: through, Limit: limit}
					s.checkRange(k, key, r)
					r.LiveOnly = true
					s.checkRange(k, key, r)
					r.LiveOnly, r.TombstonesOnly = false, true
					s.checkRange(k, key, r)
				}
			}
		}
	}
	s.pageThrough(k, key)
}

// pageThrough lists the dataset page by page, as a client does.
func (s shadow) pageThrough(k *kit, key tributary.DatasetKey) {
	k.Helper()
	for _, limit := range []int{1, 7} {
		var listed []tributary.Record
		r := tributary.Range{Through: all, LiveOnly: true, Limit: limit}
		for {
			page := k.records(key, r)
			if len(page) == 0 || len(listed) > len(s) {
				break
			}
			listed = append(listed, page...)
			last := page[len(page)-1]
			r.After = tributary.Cursor{SyncCount: last.SyncCount, Key: last.Key}
		}
		want := selected(s.list(), tributary.Range{Through: all, LiveOnly: true})
		k.same("pages", recordsText(listed), recordsText(want))
	}
}

// recordsGrow takes a dataset up and down through the sizes at which engines
// change how they keep it.
func recordsGrow(k *kit) {
	key, s := k.world(), shadow{}
	value := strings.Repeat("v", 400)
	for range 2 {
		for n := range 24 {
			s.apply(k.sync(key, put(fmt.Sprint("k", n), value), put("always", fmt.Sprint(n))))
			s.check(k, key)
		}
		for n := range 24 {
			if n%2 == 0 {
				s.apply(k.sync(key, remove(fmt.Sprint("k", n)), put("always", fmt.Sprint(n))))
			} else {
				s.apply(k.sync(key, put(fmt.Sprint("k", n), "")))
			}
			s.check(k, key)
		}
	}
	// In one step up, and in one step down.
	for _, size := range []int{3, 5000, 3, 3900, 4096, 4200, 70_000, 1} {
		s.apply(k.sync(key, put("always", strings.Repeat("w", size))))
		s.check(k, key)
	}
}

func recordsRecreate(k *kit) {
	key, s := k.world(), shadow{}
	count := int64(0)
	for _, values := range [][2]string{{"small", "small"}, {"small", big}, {big, "small"}, {big, big}} {
		for _, value := range values {
			for n := range 50 {
				s.apply(k.sync(key, put(fmt.Sprint("k", n), value), put("a", value)))
			}
			s.apply(k.sync(key, remove("k7"), remove("never")))
			s.check(k, key)
			s.apply(k.drop(key))
			s.check(k, key)
			count += 52
			if d := k.view(key).Dataset; d.Marker != count || d.SyncCount != count || d.Exists {
				k.Fatalf("the head is %s, want a marker at %d", headText(&d), count)
			}
		}
		c := k.sync(key, put("k7", "new"))
		s.apply(c)
		s.check(k, key)
		s.checkRange(k, key, tributary.Range{Through: all, TombstonesOnly: true})
		if count++; c.SyncCount != count || k.view(key).Dataset.Created != c.At {
			k.Fatalf("made again the dataset is at %d, want %d", c.SyncCount, count)
		}
		s.apply(k.drop(key))
		count++
	}
}

func recordsForget(k *kit) {
	k.world()
	forgetIn(k, keyOf(ann, "small"), "v")
	forgetIn(k, keyOf(ann, "large"), strings.Repeat(big, 8))
}

// forget makes a change drop the oldest n tombstones that it does not touch.
func forget(c *tributary.Change, oldest []tributary.Record, n int64) {
	for i := 0; i < len(oldest) && int64(len(c.Forgotten)) < n; i++ {
		c.Forget(oldest[i])
	}
}

func forgetIn(k *kit, key tributary.DatasetKey, value string) {
	s := shadow{}
	for n := range 12 {
		s.apply(k.sync(key, put(fmt.Sprint("live", n), value), remove(fmt.Sprint("gone", n))))
	}
	for _, n := range []int64{1, 3, 2} {
		c := k.draft(key, put("live1", value), remove("gone11"))
		oldest := k.records(key, tributary.Range{Through: all, TombstonesOnly: true, Limit: int(n) + 1})
		forget(c, oldest, n)
		if int64(len(c.Forgotten)) != n {
			k.Fatalf("the change forgets %d tombstones, want %d", len(c.Forgotten), n)
		}
		s.apply(k.commit(c))
		s.check(k, key)
		s.checkRange(k, key, tributary.Range{Through: all, TombstonesOnly: true})
		d := k.view(key).Dataset
		k.same("head", headText(&d), headText(&c.Next))
	}
	// Who must not miss a removal is told when one may be missing.
	floor := k.view(key).Dataset.Floor
	for _, after := range []tributary.Cursor{tributary.AfterCount(floor - 1), {SyncCount: floor, Key: "k"}} {
		_, err := k.s.Records(k.Context(), key, tributary.Range{After: after, Through: all, Complete: true})
		k.kind(err, tributary.Stale)
	}
	s.checkRange(k, key, tributary.Range{After: tributary.AfterCount(floor), Through: all, Complete: true})
	// What was forgotten may come back.
	s.apply(k.sync(key, put("gone0", value), remove("gone1")))
	s.check(k, key)
}

func recordsMany(k *kit) {
	key, s := k.world(), shadow{}
	var patches []tributary.Patch
	for n := range 1024 {
		patches = append(patches, put(fmt.Sprintf("key%04d", n*7919%1024), fmt.Sprint("value ", n)))
	}
	s.apply(k.sync(key, patches...))
	s.check(k, key)
	for n := range 5 {
		c := k.sync(key, put(fmt.Sprintf("key%04d", n*100), "changed"))
		s.apply(c)
		list := k.records(key, tributary.Range{After: tributary.AfterCount(c.SyncCount - 1), Through: all})
		if len(list) != 1 || list[0] != c.Records[0] {
			k.Fatalf("the last change of many is listed as %s", recordsText(list))
		}
	}
	for i := range patches {
		patches[i].Remove = i%2 == 0
	}
	s.apply(k.sync(key, patches...))
	s.check(k, key)
	s.pageThrough(k, key)
	s.apply(k.drop(key))
	s.check(k, key)
}

func recordsLarge(k *kit) {
	key, s := k.world(), shadow{}
	for n := range 3 {
		s.apply(k.sync(key, put(fmt.Sprint("k", n), strings.Repeat(fmt.Sprint(n), 1<<20)), put("small", "v")))
	}
	s.check(k, key)
	s.apply(k.sync(key, put("small", "w")))
	s.apply(k.sync(key, put("k1", "")))
	s.apply(k.sync(key, remove("k2")))
	s.check(k, key)
}

// hostileKeys are of any bytes, one near the other.
func hostileKeys() []string {
	keys := []string{"\x00", "\x00\x00", "a", "a\x00", "a\x00b", "a\x00\x00", "a\x01", "ab", "A", "b", "é", "e\u0301", "ÿ", "\u00ff\u00ff",
		"\ufffd", "\uffff", "\U0010ffff", "\U0010ffff\U0010ffff", "\xff", "\xff\xff", "a\xff", "a\xff\x00", "\xfe", " ", "  ", "a ",
		"a/b", "a:b", "%00", "\\x00", "'", "\"", "null", "\n", "\r\n", "\u2028", "0", "00", "-1"}
	for _, n := range []int{127, 128, 255, 256, 1023, 1024} {
		keys = append(keys, strings.Repeat("k", n), strings.Repeat("\x00", n))
	}
	return append(keys, strings.Repeat("\U0001f600", 1024), strings.Repeat("\U0001f600", 1023)+"\U0010ffff")
}

func recordsHostile(k *kit) {
	key, s := k.world(), shadow{}
	keys := hostileKeys()
	for n, name := range keys[1:] {
		s.apply(k.sync(key, put(name, name), put(keys[n/2], name)))
	}
	s.check(k, key)
	for n := 0; n < len(keys); n += 2 {
		s.apply(k.sync(key, remove(keys[n])))
	}
	s.check(k, key)
	var patches []tributary.Patch
	for _, name := range keys {
		patches = append(patches, put(name, ""))
	}
	last := k.sync(key, patches...)
	s.apply(last)
	s.check(k, key)
	for _, name := range keys {
		s.checkRange(k, key, tributary.Range{After: tributary.Cursor{SyncCount: last.SyncCount, Key: name}, Through: all, Limit: 2})
	}
	s.pageThrough(k, key)
	small := keyOf(ann, "small") // the same in a dataset that stays small
	for n, name := range keys[:20] {
		one := shadow{}
		one.apply(k.sync(small, put(name, name), remove(keys[n+1])))
		one.check(k, small)
		k.drop(small)
	}
}

// recordsBorrowed: what a store gave out stays as it was, whatever happens to
// the store afterwards.
func recordsBorrowed(k *kit) {
	key := k.world()
	k.sync(key, put("a", "small"), put("b", "small"))
	k.sync(keyOf(ann, "large"), put("a", strings.Repeat(big, 60)))
	var held []func() string
	var before []string
	hold := func(text func() string) { held, before = append(held, text), append(before, text()) }
	for _, key := range []tributary.DatasetKey{key, keyOf(ann, "large")} {
		v, list := k.view(key, "a", "b"), k.everything(key)
		hold(func() string { return viewText(&v) })
		hold(func() string { return recordsText(list) })
	}
	entries, datasets := k.defaultLog(), got(k.s.Datasets(k.Context(), ann, "", 9))(k)
	hold(func() string { return texts(entries, entryText) })
	hold(func() string { return texts(datasets, headText) })
	for n := range 40 {
		k.sync(key, put("a", fmt.Sprint("XXXX", n)), put("b", big))
		k.sync(keyOf(ann, "large"), put("a", strings.Repeat("X", 100*n)))
	}
	for i, text := range held {
		k.same("what was read before", text(), before[i])
	}
}

func recordsRandom(k *kit) {
	k.pool(poolA)
	for seed := range k.o.Seeds {
		k.Logf("seed %d", seed)
		rnd := rand.New(rand.NewPCG(uint64(seed), 1))
		key, s := keyOf(ann+tributary.IdentityID(fmt.Sprint(seed)), "d"), shadow{}
		k.identity(key.Identity, poolA)
		exists := false
		for step := range k.o.Steps {
			if exists && rnd.IntN(40) == 0 {
				s.apply(k.drop(key))
				exists = false
			} else {
				s.apply(k.randomSync(rnd, key))
				exists = true
			}
			if step%5 == 0 {
				s.check(k, key)
			}
			count := k.view(key).Dataset.SyncCount
			s.checkRange(k, key, tributary.Range{
				After:   tributary.Cursor{SyncCount: rnd.Int64N(count + 1), Key: fmt.Sprint(rnd.IntN(80)), Whole: rnd.IntN(2) == 0},
				Through: count - rnd.Int64N(3), LiveOnly: rnd.IntN(2) == 0, Limit: rnd.IntN(4),
			})
		}
		s.check(k, key)
	}
}

func (k *kit) randomSync(rnd *rand.Rand, key tributary.DatasetKey) *tributary.Change {
	k.Helper()
	picked := map[string]bool{}
	var patches []tributary.Patch
	for range 1 + rnd.IntN(6) {
		name := fmt.Sprint(rnd.IntN(80))
		if picked[name] {
			continue
		}
		picked[name] = true
		if rnd.IntN(3) == 0 {
			patches = append(patches, remove(name))
		} else {
			patches = append(patches, put(name, strings.Repeat(fmt.Sprint(rnd.IntN(10)), rnd.IntN(400))))
		}
	}
	c := k.draft(key, patches...)
	if n := rnd.Int64N(4); n > 0 {
		forget(c, k.records(key, tributary.Range{Through: all, TombstonesOnly: true, Limit: int(n) + len(c.Records)}), n)
	}
	return k.commit(c)
}
