package storetest

import (
	"fmt"
	"slices"
	"strings"

	"tributary"
)

func commitCases() []testCase {
	return []testCase{
		{"Visible", commitVisible},
		{"Removal", commitRemoval},
		{"IdentityRevision", commitIdentityRevision},
		{"OtherDatasets", commitOtherDatasets},
		{"DisabledIdentity", commitDisabled},
		{"DeletedPool", commitDeletedPool},
		{"NoRecords", commitNoRecords},
		{"NothingShared", commitNothingShared},
	}
}

func staleCases() []testCase {
	return []testCase{
		{"Twice", commitTwice},
		{"StaleBase", staleBase},
		{"StaleBaseChange", staleBaseChange},
		{"StaleAfterRemoval", staleAfterRemoval},
		{"StaleIdentity", staleIdentity},
		{"StaleByNewDataset", staleByNewDataset},
		{"StaleRoute", staleRoute},
		{"StaleClosedShard", staleClosedShard},
		{"NoIdentity", commitNoIdentity},
		{"OtherPool", commitOtherPool},
	}
}

func commitVisible(k *kit) {
	key := k.world()
	before := got(k.s.Identity(k.Context(), ann))(k)
	c := k.sync(key, put("b", "1"), remove("c"), put("a", big))
	v := k.view(key, "a", "b", "c")
	k.same("head", headText(&v.Dataset), headText(&c.Next))
	sorted := slices.Clone(c.Records)
	slices.SortFunc(sorted, func(a, b tributary.Record) int { return strings.Compare(a.Key, b.Key) })
	k.same("viewed records", recordsText(v.Records), recordsText(sorted))
	k.same("listed records", recordsText(k.everything(key)), recordsText(sorted))
	k.same("datasets", texts(got(k.s.Datasets(k.Context(), ann, "", 9))(k), headText), headText(&c.Next))
	k.same("log", texts(k.defaultLog(), entryText), storedChange(c))
	before.Revision, before.Datasets = before.Revision+1, 1
	before.Usage = tributary.Usage{Bytes: c.Next.Bytes, LastModified: c.At}
	k.same("identity", identityText(&v.Identity), identityText(&before))
}

func commitRemoval(k *kit) {
	key := k.world()
	k.sync(key, put("a", "1"), put("b", big))
	c := k.drop(key)
	v := k.view(key, "a", "b")
	k.same("head", headText(&v.Dataset), headText(&c.Next))
	e := k.defaultLog()[1]
	k.same("log", entryText(&e), storedChange(c))
	if e.Change.Op != tributary.Remove || len(e.Change.Records) != 0 || e.Change.SyncCount != 2 {
		k.Fatalf("the removal is logged as %s", entryText(&e))
	}
	if v.Identity.Datasets != 0 || v.Identity.Usage.Bytes != 0 {
		k.Fatalf("the identity is %s", identityText(&v.Identity))
	}
}

// commitIdentityRevision: the revision rises when the identity gains or loses
// a dataset, and only then.
func commitIdentityRevision(k *kit) {
	key := k.world()
	want := int64(1)
	check := func(what string, risen int64) {
		k.Helper()
		want += risen
		if i := got(k.s.Identity(k.Context(), ann))(k); i.Revision != want {
			k.Fatalf("after %s the identity's revision is %d, want %d", what, i.Revision, want)
		}
	}
	k.sync(key, put("a", "1"))
	check("a dataset's creation", 1)
	k.sync(key, put("a", "2"), put("b", "1"))
	check("an update", 0)
	k.sync(key, remove("a"), remove("b"))
	check("the removal of all its records", 0)
	k.sync(keyOf(ann, "other"), put("a", big))
	check("another dataset's creation", 1)
	k.drop(key)
	check("a dataset's removal", 1)
	k.sync(key, put("a", "1"))
	check("its creation again", 1)
	k.sync(key, put("a", "1"))
	check("an update", 0)
}

func commitOtherDatasets(k *kit) {
	key, other := k.world(), keyOf(ann, "other")
	k.identity(bob, poolA)
	k.sync(key, put("a", "1"))
	k.sync(other, put("a", "1"))
	first, second := k.draft(key, put("a", "2")), k.draft(other, put("a", "2"))
	k.sync(keyOf(bob, "notes"), put("a", "1"))
	p := got(k.s.Pool(k.Context(), poolA))(k)
	p.Name = "renamed"
	k.ok(k.s.PutPool(k.Context(), p))
	k.commit(second)
	k.commit(first)
}

func commitDisabled(k *kit) {
	key := k.world()
	k.sync(key, put("a", "1"))
	i := got(k.s.Identity(k.Context(), ann))(k)
	i.Disabled = true
	k.ok(k.s.PutIdentity(k.Context(), i))
	k.sync(key, put("a", "2"))
	k.drop(key)
	if i := got(k.s.Identity(k.Context(), ann))(k); !i.Disabled || i.Datasets != 0 {
		k.Fatalf("the disabled identity is %s", identityText(&i))
	}
}

func commitDeletedPool(k *kit) {
	key := k.world()
	k.sync(key, put("a", "1"))
	c := k.draftDrop(key)
	p := got(k.s.Pool(k.Context(), poolA))(k)
	p.Deleted = true
	k.ok(k.s.PutPool(k.Context(), p))
	k.commit(c)
	if v := k.view(key); !v.Pool.Deleted || v.Dataset.Exists {
		k.Fatalf("the view is %s", viewText(&v))
	}
}

func commitNoRecords(k *kit) {
	key := k.world()
	c := k.sync(key)
	k.sync(key)
	if v := k.view(key); !v.Dataset.Exists || v.Dataset.SyncCount != 2 || v.Identity.Datasets != 1 {
		k.Fatalf("the view is %s", viewText(&v))
	}
	e := k.defaultLog()[0]
	k.same("log", entryText(&e), storedChange(c))
	k.drop(key)
}

func commitNothingShared(k *kit) {
	key := k.world()
	c := k.draft(key, put("a", "1"), remove("b"))
	records, logged := recordsText(c.Records), storedChange(c)
	head := c.Next
	k.commit(c)
	c.Records[0].Value, c.Records[1].Key, c.By, c.Next.Bytes = "spoilt", "spoilt", "spoilt", 77
	for range 2 {
		v, list, entries := k.view(key, "a", "b"), k.everything(key), k.defaultLog()
		k.same("viewed records", recordsText(v.Records), records)
		k.same("listed records", recordsText(list), records)
		k.same("head", headText(&v.Dataset), headText(&head))
		k.same("log", texts(entries, entryText), logged)
		v.Records[0].Value, list[0].Value = "spoilt", "spoilt"
		entries[0].Change.Records[0].Value, entries[0].Change.By = "spoilt", "spoilt"
	}
}

// refused commits a change that must be Stale and must leave no trace.
func (k *kit) refused(c *tributary.Change) {
	k.Helper()
	before := k.everythingText()
	k.kind(k.s.Commit(k.Context(), c), tributary.Stale)
	k.same("store after a stale commit", k.everythingText(), before)
}

func (k *kit) everythingText() string {
	k.Helper()
	return strings.Join(got(Dump(k.Context(), k.s))(k), "\n")
}

func commitTwice(k *kit) {
	key := k.world()
	c := k.sync(key, put("a", "1"))
	k.refused(c)
	c = k.sync(key, put("a", "2"))
	k.refused(c)
	c = k.drop(key)
	k.refused(c)
	if n := len(k.defaultLog()); n != 3 {
		k.Fatalf("the log has %d entries, want 3", n)
	}
}

func staleBase(k *kit) {
	key := k.world()
	first, second := k.draft(key, put("a", "1")), k.draft(key, put("b", "2"))
	k.commit(first)
	k.refused(second)
	first, second = k.draft(key, put("a", "3")), k.draft(key, put("b", big))
	removal := k.draftDrop(key)
	k.commit(first)
	k.refused(second)
	k.refused(removal)
	for _, count := range []int64{0, 1, 3} {
		c := k.draft(key, put("a", "4"))
		c.Condition.Base.SyncCount = count
		k.refused(c)
	}
}

// staleBaseChange: the count is right, the change is another: as after a
// restore, when a client's server state is from the lost time.
func staleBaseChange(k *kit) {
	key := k.world()
	c := k.draft(key, put("a", "1"))
	c.Condition.Base.Change = 5
	k.refused(c)
	k.sync(key, put("a", "1"))
	for _, id := range []tributary.ChangeID{0, 1, 1<<64 - 1} {
		c = k.draft(key, put("a", "2"))
		c.Condition.Base.Change = id
		k.refused(c)
	}
}

func staleAfterRemoval(k *kit) {
	key := k.world()
	k.sync(key, put("a", "1"))
	update, removal := k.draft(key, put("a", "2")), k.draftDrop(key)
	k.drop(key)
	k.refused(update)
	k.refused(removal)
	update = k.draft(key, put("a", "2"))
	k.sync(key, put("b", "1"))
	k.refused(update)
}

func staleIdentity(k *kit) {
	key := k.world()
	k.sync(key, put("a", "1"))
	c := k.draft(key, put("a", "2"))
	i := got(k.s.Identity(k.Context(), ann))(k)
	i.Disabled = true
	k.ok(k.s.PutIdentity(k.Context(), i))
	k.refused(c)
	for _, revision := range []int64{0, 1, 9} {
		c = k.draft(key, put("a", "2"))
		c.Condition.Identity = revision
		k.refused(c)
	}
	// Deleted and made again it is at an early revision once more.
	k.drop(key)
	c = k.draft(key, put("a", "3"))
	k.ok(k.s.DeleteIdentity(k.Context(), ann))
	k.refused(c)
	k.identity(ann, poolA)
	k.refused(c)
}

func staleByNewDataset(k *kit) {
	key, other := k.world(), keyOf(ann, "other")
	one, two := k.draft(key, put("a", "1")), k.draft(other, put("a", "1"))
	k.commit(one)
	k.refused(two)
	k.sync(other, put("a", "1"))
	update := k.draft(key, put("a", "2"))
	k.drop(other)
	k.refused(update)
}

func staleRoute(k *kit) {
	key := k.world()
	s, other := k.stream("s", 2), k.stream("t", 2)
	k.sync(key, put("a", "1"))
	for n, to := range []tributary.Stream{s, other, {}, other} {
		c := k.draft(key, put("a", fmt.Sprint(n)))
		k.route(poolA, to)
		k.refused(c)
		k.sync(key, put("a", fmt.Sprint(n)))
	}
	// Disabling keeps the name and moves the changes.
	c := k.draft(key, put("a", "5"))
	p := got(k.s.Pool(k.Context(), poolA))(k)
	p.Stream.Enabled = false
	k.ok(k.s.PutPool(k.Context(), p))
	k.refused(c)
	for _, id := range []tributary.StreamID{0, s.ID, other.ID, 1 << 50} {
		c = k.draft(key, put("a", "6"))
		c.Condition.Stream = id
		k.refused(c)
	}
}

// staleClosedShard: without an open shard for the identity nothing is taken.
func staleClosedShard(k *kit) {
	key := k.world()
	s := k.stream("s", 1)
	k.route(poolA, s)
	k.sync(key, put("a", "1"))
	c := k.draft(key, put("a", "2"))
	s.Shards[0].Closed = true
	s = got(k.s.PutStream(k.Context(), s))(k)
	k.refused(c)
	successor := tributary.EvenShards(1)[0]
	successor.Number, successor.Parents = 1, []uint32{0}
	s.Shards = append(s.Shards, successor)
	got(k.s.PutStream(k.Context(), s))(k)
	k.commit(c)
}

// commitNoIdentity: a revision of 0 is that of an identity that is not there.
func commitNoIdentity(k *kit) {
	key := k.world()
	for _, revision := range []int64{0, 1} {
		for _, pool := range []tributary.PoolID{poolA, poolB} {
			c := k.draft(key, put("a", "1"))
			c.Key.Identity, c.Key.Pool = bob, pool
			c.Next.Key, c.Condition.Identity = c.Key, revision
			k.refused(c)
		}
	}
}

func commitOtherPool(k *kit) {
	key := k.world()
	k.pool(poolB)
	k.sync(key, put("a", "1"))
	c := k.draft(key, put("a", "2"))
	c.Key.Pool = poolB
	c.Next.Key = c.Key
	k.refused(c)
	c = k.draft(keyOf(ann, "other"), put("a", "2"))
	c.Key.Pool = poolB
	c.Next.Key = c.Key
	k.refused(c)
}
