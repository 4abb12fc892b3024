package tributary_test

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary"
)

// TestReshardProperty splits, merges and scales at random. After each step the
// open shards divide the hash keys among them, and nothing of what was is lost.
func TestReshardProperty(t *testing.T) {
	for seed := range uint64(20 * soak(t)) {
		rng := rand.New(rand.NewPCG(5, seed))
		s := tributary.Stream{ID: 7, Name: "s", Shards: tributary.EvenShards(1 + rng.IntN(8))}
		for step := range 30 {
			before := s.Clone()
			did, err := reshardAtRandom(rng, &s)
			if err == nil {
				err = checkReshard(&before, &s)
			}
			if err != nil {
				t.Fatalf("seed %d, step %d, %s: %v\nbefore %+v\nafter %+v", seed, step, did, err, before.Shards, s.Shards)
			}
		}
	}
}

// open lists a stream's open shards by their hash keys.
func open(s *tributary.Stream) []tributary.ShardRange {
	var out []tributary.ShardRange
	for _, r := range s.Shards {
		if !r.Closed {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b tributary.ShardRange) int { return number(a.Start).Cmp(number(b.Start)) })
	return out
}

func reshardAtRandom(rng *rand.Rand, s *tributary.Stream) (did string, err error) {
	list := open(s)
	i := rng.IntN(len(list))
	switch what := rng.IntN(3); {
	case what == 0 && list[i].Start != list[i].End:
		at := list[i].End // the least that the second shard can have
		if rng.IntN(4) > 0 {
			at = middle(list[i])
		}
		s.Split(list[i].Number, at)
		return fmt.Sprintf("split %d at %s", list[i].Number, at), nil
	case what == 1 && i > 0:
		s.Merge(list[i-1].Number, list[i].Number)
		return fmt.Sprintf("merge %d and %d", list[i-1].Number, list[i].Number), nil
	}
	n := 1 + rng.IntN(9)
	s.Scale(n)
	return fmt.Sprintf("scale to %d", n), checkEven(s, n)
}

// checkEven tells whether the open shards are n of one size.
func checkEven(s *tributary.Stream, n int) error {
	list := open(s)
	if len(list) != n {
		return fmt.Errorf("%d shards are open", len(list))
	}
	for i, want := range tributary.EvenShards(n) {
		if list[i].Start != want.Start || list[i].End != want.End {
			return fmt.Errorf("shard %d goes from %s to %s, want %s to %s", list[i].Number, list[i].Start, list[i].End, want.Start, want.End)
		}
	}
	return nil
}

// middle is the key above half of a shard's.
func middle(r tributary.ShardRange) tributary.HashKey {
	sum := new(big.Int).Add(number(r.Start), number(r.End))
	half := sum.Rsh(sum.Add(sum, big.NewInt(1)), 1)
	key, err := tributary.ParseHashKey(half.String())
	if err != nil {
		panic(err)
	}
	return key
}

// checkReshard tells what is wrong with a shard map, and with how it came from
// the one before.
func checkReshard(before, after *tributary.Stream) error {
	if err := before.CheckNext(after); err != nil {
		return err
	}
	for i, r := range after.Shards {
		if r.Number != uint32(i) {
			return fmt.Errorf("shard %d has number %d", i, r.Number)
		}
		if i < len(before.Shards) && (before.Shards[i].Start != r.Start || before.Shards[i].End != r.End || !slices.Equal(before.Shards[i].Parents, r.Parents)) {
			return fmt.Errorf("shard %d became another", i)
		}
	}
	next := new(big.Int)
	for _, r := range open(after) {
		if number(r.Start).Cmp(next) != 0 || r.End.Less(r.Start) {
			return fmt.Errorf("shard %d goes from %s to %s, the one before it ends below %s", r.Number, r.Start, r.End, next)
		}
		next.Add(number(r.End), big.NewInt(1))
	}
	if next.BitLen() != 129 {
		return fmt.Errorf("the open shards end below %s", next)
	}
	return checkFamilies(after)
}

// checkFamilies: a closed shard has two children of its own, or one that it
// shares with its neighbour; they have its hash keys. An open one has none.
func checkFamilies(s *tributary.Stream) error {
	for _, r := range s.Shards {
		var children []tributary.ShardRange
		for _, c := range s.Shards {
			if slices.Contains(c.Parents, r.Number) {
				if c.Number <= r.Number {
					return fmt.Errorf("shard %d is a child of %d", c.Number, r.Number)
				}
				children = append(children, c)
			}
		}
		switch {
		case !r.Closed && len(children) == 0:
		case r.Closed && len(children) == 2:
			low, high := children[0], children[1]
			if len(low.Parents) != 1 || len(high.Parents) != 1 || low.Start != r.Start || high.End != r.End {
				return fmt.Errorf("shard %d was split into %+v and %+v", r.Number, low, high)
			}
		case r.Closed && len(children) == 1:
			c := children[0]
			if len(c.Parents) != 2 || c.Parents[0] == c.Parents[1] || c.Start != s.Shards[c.Parents[0]].Start || c.End != s.Shards[c.Parents[1]].End {
				return fmt.Errorf("shard %d was merged into %+v", r.Number, c)
			}
		default:
			return fmt.Errorf("shard %d has %d children, closed: %t", r.Number, len(children), r.Closed)
		}
	}
	return nil
}

// TestScaleKeeps: what is in its place already is not touched.
func TestScaleKeeps(t *testing.T) {
	s := tributary.Stream{Shards: tributary.EvenShards(4)}
	s.Scale(4)
	want(t, "shards scaled to as many", len(s.Shards), 4)
	s.Split(0, middle(s.Shards[0]))
	s.Scale(4)
	want(t, "a shard that was even", s.Shards[1].Closed, false)
	want(t, "shards", len(s.Shards), 7)
}

func TestParseHashKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	for range 2000 {
		h := tributary.HashKey{Hi: rng.Uint64() >> rng.IntN(65), Lo: rng.Uint64() >> rng.IntN(65)}
		got, err := tributary.ParseHashKey(h.String())
		if err != nil || got != h {
			t.Fatalf("%s is read as %s, %v", h, got, err)
		}
	}
	for _, bad := range []string{"", "-1", "+1", "01", "1.0", "0x1", "1_0", " 1", "340282366920938463463374607431768211456", strings.Repeat("9", 1000)} {
		_, err := tributary.ParseHashKey(bad)
		wantKind(t, err, tributary.Invalid)
	}
}

func TestSplitShard(t *testing.T) {
	k := newKit(t)
	s := k.stream("s")
	split := func(number uint32, at string) error {
		key, err := tributary.ParseHashKey(at)
		k.ok(err)
		return k.SplitShard(k.ctx, developer, "s", number, key)
	}
	const end = "170141183460469231731687303715884105727" // of shard 0
	for _, at := range []string{"0", "1", end, highestHashKey} {
		k.text(split(0, at), tributary.Invalid, "NewStartingHashKey "+at+" used in SplitShard() on shard shardId-000000000000 in stream s under account 123456789012 is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey "+end+".")
	}
	k.text(split(2, "7"), tributary.NotFound, "Could not find shard shardId-000000000002 in stream s under account 123456789012.")
	k.ok(split(0, "2"))
	k.text(split(0, "7"), tributary.Invalid, "Shard shardId-000000000000 in stream s under account 123456789012 has already been merged or split, and thus is not eligible for merging or splitting.")
	after, err := k.Stream(k.ctx, developer, "s")
	k.ok(err)
	k.ok(checkReshard(&s, &after))
	want(t, "the child's last key", after.Shards[2].End.String(), "1")
	k.text(k.SplitShard(k.ctx, developer, "none", 0, tributary.HashKey{}), tributary.NotFound, "Stream none under account 123456789012 not found.")
}

func TestMergeShards(t *testing.T) {
	k := newKit(t)
	s, err := k.CreateStream(k.ctx, developer, "s", 3, 0)
	k.ok(err)
	merge := func(low, high uint32) error { return k.MergeShards(k.ctx, developer, "s", low, high) }
	for _, pair := range [][2]uint32{{0, 2}, {1, 0}, {0, 0}, {2, 0}} {
		k.text(merge(pair[0], pair[1]), tributary.Invalid, fmt.Sprintf("Shards shardId-00000000000%d and shardId-00000000000%d in stream s under account 123456789012 are not an adjacent pair of shards eligible for merging", pair[0], pair[1]))
	}
	k.kind(merge(3, 0), tributary.NotFound)
	k.kind(merge(2, 3), tributary.NotFound)
	k.ok(merge(0, 1))
	k.kind(merge(1, 2), tributary.Invalid)
	k.ok(merge(3, 2))
	after, err := k.Stream(k.ctx, developer, "s")
	k.ok(err)
	k.ok(checkReshard(&s, &after))
	want(t, "open shards", after.OpenShards(), 1)
}

func TestUpdateShardCount(t *testing.T) {
	k := newKit(t)
	s, err := k.CreateStream(k.ctx, developer, "s", 3, 0)
	k.ok(err)
	scale := func(n, before int) {
		t.Helper()
		got, err := k.UpdateShardCount(k.ctx, developer, "s", n)
		k.ok(err)
		want(t, "shards before", got, before)
	}
	refused := func(n int, kind tributary.Kind, text string) {
		t.Helper()
		_, err := k.UpdateShardCount(k.ctx, developer, "s", n)
		k.text(err, kind, text)
	}
	refused(0, tributary.Invalid, "TargetShardCount is 0, it must be at least 1")
	refused(7, tributary.Invalid, "Stream s under account 123456789012 cannot be scaled to more than double its current open shard count. Current open shard count: 3. Target shard count: 7.")
	refused(1, tributary.Invalid, "Stream s under account 123456789012 cannot be scaled to less than half its current open shard count. Current open shard count: 3. Target shard count: 1.")
	scale(6, 3)
	scale(3, 6)
	scale(2, 3)
	scale(1, 2)
	for n := 1; n < 1024; n *= 2 {
		scale(2*n, n)
	}
	refused(2048, tributary.Limit, "This request would exceed the shard limit of stream s under account 123456789012. Current open shard count: 1024. Limit: 1024. Number of additional shards that would have resulted from this request: 1024.")
	after, err := k.Stream(k.ctx, developer, "s")
	k.ok(err)
	k.ok(checkReshard(&s, &after))
	last := after.Shards[len(after.Shards)-1]
	k.kind(k.SplitShard(k.ctx, developer, "s", last.Number, middle(last)), tributary.Limit)
	scale(1024, 1024)
	scale(512, 1024)
}

// TestShardsEver reshards until the map has as many shards as it may hold.
func TestShardsEver(t *testing.T) {
	k := newKit(t)
	_, err := k.CreateStream(k.ctx, developer, "s", 1024, 0)
	k.ok(err)
	for i := 0; err == nil && i < 20; i++ {
		if _, err = k.UpdateShardCount(k.ctx, developer, "s", 512); err == nil {
			_, err = k.UpdateShardCount(k.ctx, developer, "s", 1024)
		}
	}
	k.kind(err, tributary.Limit)
	st, err := k.Stream(k.ctx, developer, "s")
	k.ok(err)
	if n := len(st.Shards); n > 10_000 || n < 8000 {
		t.Errorf("%d shards", n)
	}
}

// swift is a store in which another writer comes first, as often as it is told.
type swift struct {
	tributary.Store
	first func()
}

func (s *swift) PutStream(ctx context.Context, st tributary.Stream) (tributary.Stream, error) {
	if f := s.first; f != nil {
		f()
	}
	return s.Store.PutStream(ctx, st)
}

// TestReshardBesideOthers: of two who change a stream neither loses anything.
func TestReshardBesideOthers(t *testing.T) {
	k := newKit(t)
	k.stream("s")
	store := &swift{Store: k.Store}
	k.Store = store
	other := func() {
		st, err := store.Store.Stream(k.ctx, "s")
		k.ok(err)
		st.Retention += time.Hour
		_, err = store.Store.PutStream(k.ctx, st)
		k.ok(err)
	}
	store.first = func() { store.first = nil; other() }
	k.ok(k.MergeShards(k.ctx, developer, "s", 0, 1))
	st, err := k.Stream(k.ctx, developer, "s")
	k.ok(err)
	want(t, "retention", st.Retention, 25*time.Hour)
	want(t, "open shards", st.OpenShards(), 1)
	store.first = other
	k.kind(k.TagStream(k.ctx, developer, "s", map[string]string{"a": "b"}), tributary.Busy)
}

func TestRetentionPeriod(t *testing.T) {
	k := newKit(t)
	k.stream("s")
	more := func(hours int) error { return k.IncreaseRetention(k.ctx, developer, "s", hours) }
	less := func(hours int) error { return k.DecreaseRetention(k.ctx, developer, "s", hours) }
	k.ok(more(24))
	k.ok(more(8760))
	k.text(more(8761), tributary.Invalid, "Maximum allowed retention period is 8760 hours. Requested retention period (8761 hours) is too long.")
	k.text(more(100), tributary.Invalid, "Requested retention period (100 hours) for stream s can not be shorter than existing retention period (8760 hours). Use DecreaseRetentionPeriod API.")
	k.ok(less(100))
	k.text(less(101), tributary.Invalid, "Requested retention period (101 hours) for stream s can not be longer than existing retention period (100 hours). Use IncreaseRetentionPeriod API.")
	k.text(less(23), tributary.Invalid, "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short.")
	k.ok(less(24))
	st, err := k.Stream(k.ctx, developer, "s")
	k.ok(err)
	want(t, "retention", st.Retention, 24*time.Hour)
}

func TestTags(t *testing.T) {
	k := newKit(t)
	k.stream("s")
	tags := func() string {
		st, err := k.Stream(k.ctx, developer, "s")
		k.ok(err)
		return fmt.Sprint(st.Tags)
	}
	add := func(tags map[string]string) error { return k.TagStream(k.ctx, developer, "s", tags) }
	k.ok(add(map[string]string{"a": "1", "é 9": "_./=+-%@:", "empty": ""}))
	k.ok(add(map[string]string{"a": "2"}))
	k.ok(k.UntagStream(k.ctx, developer, "s", []string{"empty", "none"}))
	want(t, "tags", tags(), "map[a:2 é 9:_./=+-%@:]")
	for text, bad := range map[string]map[string]string{
		"The key of a tag has 0 characters, it must have 1 to 128.":                                                        {"": "x"},
		"The key of a tag has 129 characters, it must have 1 to 128.":                                                      {strings.Repeat("é", 129): "x"},
		"The value of tag a has 257 characters, it may have 256.":                                                          {"a": strings.Repeat("é", 257)},
		"The tag AWS:a begins with aws:, which is reserved.":                                                               {"AWS:a": ""},
		"Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @ :.": {"a": "!"},
	} {
		k.text(add(bad), tributary.Invalid, text)
	}
	k.ok(add(map[string]string{strings.Repeat("é", 128): strings.Repeat("é", 256)}))
	many := map[string]string{}
	for i := range 47 {
		many[fmt.Sprint("t", i)] = ""
	}
	k.ok(add(many)) // now there are 50
	k.text(add(map[string]string{"one": "more"}), tributary.Invalid, "51 tags are too many: there can be 50.")
	k.ok(add(map[string]string{"a": "3"}))
}

func TestConsumers(t *testing.T) {
	k := newKit(t)
	k.stream("s")
	register := func(name string) (tributary.Consumer, error) {
		return k.RegisterConsumer(k.ctx, developer, "s", name, map[string]string{"a": "b"})
	}
	for i := range 20 {
		c, err := register(fmt.Sprint("c", 19-i))
		k.ok(err)
		want(t, "created", c.Created, startOfTime)
	}
	_, err := register("c7")
	k.text(err, tributary.Exists, "Consumer c7 under stream s already exists for account 123456789012.")
	_, err = register("c20")
	k.text(err, tributary.Limit, "Stream s under account 123456789012 has 20 consumers, which is the limit.")
	_, err = register("no/name")
	k.kind(err, tributary.Invalid)
	st, err := k.Stream(k.ctx, developer, "s")
	k.ok(err)
	if !slices.IsSortedFunc(st.Consumers, func(a, b tributary.Consumer) int { return strings.Compare(a.Name, b.Name) }) || len(st.Consumers) != 20 {
		t.Errorf("consumers %v", st.Consumers)
	}
	second := int64(startOfTime) / 1000
	key := tributary.ConsumerKey{Stream: "s", Name: "c7", Second: second}
	want(t, "the end of the ARN", key.Resource(), fmt.Sprintf("stream/s/consumer/c7:%d", second))
	k.ok(k.TagConsumer(k.ctx, developer, key, map[string]string{"c": "d"}))
	k.ok(k.UntagConsumer(k.ctx, developer, key, []string{"a"}))
	c, err := k.Consumer(k.ctx, developer, tributary.ConsumerKey{Stream: "s", Name: "c7"})
	k.ok(err)
	want(t, "tags", fmt.Sprint(c.Tags), "map[c:d]")
	for _, none := range []tributary.ConsumerKey{{Stream: "s", Name: "c77"}, {Stream: "s", Name: "c7", Second: second + 1}} {
		_, err := k.Consumer(k.ctx, developer, none)
		k.text(err, tributary.NotFound, "Consumer "+none.Name+" of stream s, account 123456789012 not found.")
		k.kind(k.DeregisterConsumer(k.ctx, developer, none), tributary.NotFound)
		k.kind(k.TagConsumer(k.ctx, developer, none, nil), tributary.NotFound)
	}
	k.ok(k.DeregisterConsumer(k.ctx, developer, key))
	_, err = k.Consumer(k.ctx, developer, key)
	k.kind(err, tributary.NotFound)
	k.clock.Add(time.Second)
	_, err = register("c7")
	k.ok(err)
	_, err = k.Consumer(k.ctx, developer, key) // the earlier one
	k.kind(err, tributary.NotFound)
}

// TestStreamNothingShared: what was given and read is the caller's own.
func TestStreamNothingShared(t *testing.T) {
	k := newKit(t)
	k.stream("s")
	tags := map[string]string{"a": "b"}
	_, err := k.RegisterConsumer(k.ctx, developer, "s", "c", tags)
	k.ok(err)
	tags["a"] = "changed"
	st, err := k.Stream(k.ctx, developer, "s")
	k.ok(err)
	st.Consumers[0].Tags["a"] = "changed"
	c, err := k.Consumer(k.ctx, developer, tributary.ConsumerKey{Stream: "s", Name: "c"})
	k.ok(err)
	want(t, "the tag", c.Tags["a"], "b")
}

// TestAuditStreamStays: the audit log may be read in every way, and is changed
// in none.
func TestAuditStreamStays(t *testing.T) {
	k := newKit(t)
	st, err := k.Store.PutStream(k.ctx, tributary.Stream{Name: tributary.AuditStream, Kind: tributary.Embedded, Shards: tributary.EvenShards(2)})
	k.ok(err)
	for _, err := range k.changeStream(developer, &st) {
		k.text(err, tributary.Invalid, "tributary-audit is the server's audit log, which can be read only")
	}
	_, err = k.RegisterConsumer(k.ctx, developer, st.Name, "c", nil)
	k.ok(err)
}

// changeStream calls all that changes a stream and nothing else.
func (k *kit) changeStream(p tributary.Principal, st *tributary.Stream) []error {
	_, scaled := k.UpdateShardCount(k.ctx, p, st.Name, 2)
	_, put := k.AppendRecords(k.ctx, p, st, []tributary.ForeignRecord{{PartitionKey: "k"}})
	return []error{
		scaled, put,
		k.SplitShard(k.ctx, p, st.Name, 0, tributary.HashKey{Lo: 2}),
		k.MergeShards(k.ctx, p, st.Name, 0, 1),
		k.IncreaseRetention(k.ctx, p, st.Name, 48),
		k.DecreaseRetention(k.ctx, p, st.Name, 24),
		k.SetMaxRecord(k.ctx, p, st.Name, 1<<20),
		k.TagStream(k.ctx, p, st.Name, map[string]string{"a": "b"}),
		k.UntagStream(k.ctx, p, st.Name, []string{"a"}),
	}
}

// TestStreamAccess: a policy is asked about the stream, or the consumer.
func TestStreamAccess(t *testing.T) {
	k := newKit(t)
	k.stream("s")
	st := k.stream("t")
	for _, name := range []tributary.StreamName{"s", "t"} {
		_, err := k.RegisterConsumer(k.ctx, developer, name, "c", nil)
		k.ok(err)
	}
	policy, err := tributary.ParsePolicy(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kinesis:*","Resource":["arn:aws:kinesis:*:*:stream/s","arn:aws:kinesis:*:*:stream/s/consumer/c:*"]}}`)
	k.ok(err)
	limited := developer
	limited.Policy = policy
	limited.Call = &tributary.Call{Action: "kinesis:Anything"}
	for i, err := range k.changeStream(limited, &st) {
		if tributary.KindOf(err) != tributary.Forbidden || limited.Call.Resource != "arn:aws:kinesis:eu-west-1:123456789012:stream/t" {
			t.Errorf("change %d of stream t: %v, asked about %s", i, err, limited.Call.Resource)
		}
	}
	for i, err := range k.changeStream(asIdentity(poolA, ann), &st) {
		if tributary.KindOf(err) != tributary.Denied {
			t.Errorf("change %d by an identity: %v", i, err)
		}
	}
	k.ok(k.MergeShards(k.ctx, limited, "s", 0, 1))

	consumer := func(stream tributary.StreamName, name string, want tributary.Kind, resource string) {
		t.Helper()
		key := tributary.ConsumerKey{Stream: stream, Name: name}
		_, read := k.Consumer(k.ctx, limited, key)
		for i, err := range []error{read, k.TagConsumer(k.ctx, limited, key, map[string]string{"a": "b"}), k.UntagConsumer(k.ctx, limited, key, nil), k.DeregisterConsumer(k.ctx, limited, key)} {
			if (want != 0 || err != nil) && tributary.KindOf(err) != want || limited.Call.Resource != "arn:aws:kinesis:eu-west-1:123456789012:"+resource {
				t.Errorf("%d: %v, asked about %s", i, err, limited.Call.Resource)
			}
		}
	}
	consumer("s", "c", 0, "stream/s/consumer/c:1700000000")
	consumer("s", "c", tributary.NotFound, "stream/s/consumer/c:0") // allowed, and gone by now
	consumer("s", "d", tributary.Forbidden, "stream/s/consumer/d:0")
	consumer("t", "c", tributary.Forbidden, "stream/t/consumer/c:1700000000")
	consumer("none", "c", tributary.Forbidden, "stream/none/consumer/c:0")
	_, err = k.RegisterConsumer(k.ctx, limited, "t", "e", nil)
	k.kind(err, tributary.Forbidden)
}

func TestAppendRecords(t *testing.T) {
	k := newKit(t)
	st := k.stream("s")
	records := []tributary.ForeignRecord{
		{PartitionKey: "a", HashKey: tributary.HashKey{}, Data: []byte("1")},
		{PartitionKey: "b", HashKey: tributary.HashKey{Hi: 1 << 63}, Data: []byte("2")},
		{PartitionKey: "a", HashKey: tributary.HashKey{Lo: 1}, Data: []byte("3")},
	}
	got, err := k.AppendRecords(k.ctx, developer, &st, records)
	k.ok(err)
	for i, at := range []struct {
		shard uint32
		n     uint64
	}{{0, 1}, {1, 1}, {0, 2}} {
		want(t, "position", got[i], tributary.PositionOf(tributary.Shard{Stream: st.ID, Number: at.shard}, at.n))
	}
	k.ok(k.MergeShards(k.ctx, developer, "s", 0, 1))
	got, err = k.AppendRecords(k.ctx, developer, &st, records[:1]) // of the stream as it was
	k.ok(err)
	want(t, "position", got[0], tributary.PositionOf(tributary.Shard{Stream: st.ID, Number: 2}, 1))
	k.ok(k.DeleteStream(k.ctx, developer, "s"))
	k.stream("s")
	_, err = k.AppendRecords(k.ctx, developer, &st, records)
	k.text(err, tributary.NotFound, "Stream s under account 123456789012 not found.")
}

func TestNewStream(t *testing.T) {
	k := newKit(t)
	st, err := k.NewStream(k.ctx, developer, 1, tributary.Stream{Name: "s", Tags: map[string]string{"a": "b"}, MaxRecord: 2 << 20})
	k.ok(err)
	want(t, "the stream", fmt.Sprint(st.Tags, st.MaxRecord), "map[a:b] 2097152")
	for _, bad := range []tributary.Stream{{Name: "t", Tags: map[string]string{"": ""}}, {Name: "t", MaxRecord: 1}, {Name: "t", MaxRecord: 10<<20 + 1}} {
		_, err := k.NewStream(k.ctx, developer, 1, bad)
		k.kind(err, tributary.Invalid)
	}
	k.kind(k.SetMaxRecord(k.ctx, developer, "s", 1<<20-1), tributary.Invalid)
	k.kind(k.SetMaxRecord(k.ctx, developer, "s", 10<<20+1), tributary.Invalid)
	k.ok(k.SetMaxRecord(k.ctx, developer, "s", 10<<20))
}
