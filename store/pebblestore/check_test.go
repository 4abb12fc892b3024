package pebblestore_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/store/pebblestore"
	"tributary/store/storetest"
)

// TestCheckPrograms: whatever a program does, a check is content; also after a
// restore, and a program on top of it.
func TestCheckPrograms(t *testing.T) {
	for seed := range uint64(6 * soak(t)) {
		s := programmed(t, seed, 250)
		cfg, _ := restored(t, backupOf(t, s))
		report, err := pebblestore.Check(t.Context(), cfg)
		if report.Faults = withoutLeases(report.Faults); err != nil || len(report.Faults) > 0 {
			t.Fatalf("seed %d, restored: %v: %s", seed, err, strings.Join(report.Faults, "\n"))
		}
		if seed%6 > 0 { // a program that did not begin with an empty store waits in vain for the figures it foretells
			continue
		}
		r := open(t, cfg)
		storetest.Program{Seed: seed + 1000, Steps: 250}.Run(t.Context(), r)
		storetest.CheckConsistent(t, r, storetest.Checks{Lost: true, Usage: true, Restores: restores(r)})
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		report, err = pebblestore.Check(t.Context(), cfg)
		if report.Faults = withoutLeases(report.Faults); err != nil || len(report.Faults) > 0 {
			t.Fatalf("seed %d: %v: %s", seed, err, strings.Join(report.Faults, "\n"))
		}
	}
}

// withoutLeases leaves out what is said of leases: a program takes some of
// shards that never were.
func withoutLeases(faults []string) (out []string) {
	for _, f := range faults {
		if !strings.HasPrefix(f, `key "e`) {
			out = append(out, f)
		}
	}
	return out
}

// checkable makes a store that has something of everything.
func checkable(t *testing.T) (pebblestore.Config, *pebblestore.Store) {
	cfg := pebblestore.Config{Dir: folder, FS: vfs.NewMem(), Shards: 1}
	s := open(t, cfg)
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	populate(t, s)
	st, err := s.PutStream(ctx, tributary.Stream{Name: "s", Kind: tributary.Embedded, Shards: tributary.EvenShards(1), Retention: tributary.DefaultRetention})
	ok(err)
	login := tributary.Login{Provider: "p", User: "u"}
	ok(s.PutIdentity(ctx, tributary.Identity{ID: other, Pool: pool, Logins: []tributary.Login{login}}))
	for i := range 5 {
		ok(writeOnce(t, s, user, 1, i))
	}
	for i := range 50 {
		ok(writeOnce(t, s, other, 2, i)) // d1 is deleted by the last
	}
	key := tributary.DatasetKey{Pool: pool, Identity: other, Dataset: "split"}
	for id, patches := range [][]tributary.Patch{{{Key: "a", Value: strings.Repeat("v", 5000)}, {Key: "b", Value: "v"}}, {{Key: "b", Remove: true, SyncCount: 1}}} {
		v, err := s.View(ctx, key, []string{"a", "b"})
		ok(err)
		c, err := v.Apply(patches, tributary.Writer{ID: tributary.ChangeID(id + 1), By: "test", Now: 1})
		ok(err)
		ok(s.Commit(ctx, c))
	}
	_, err = s.SwapLease(ctx, tributary.Lease{Group: "g", Shard: tributary.Shard{Stream: st.ID}})
	ok(err)
	_, err = s.SwapLease(ctx, tributary.Lease{Group: "w", Shard: defaultLog, Checkpoint: tributary.PositionOf(defaultLog, 3)})
	ok(err)
	ok(s.Trim(ctx, defaultLog, tributary.PositionOf(defaultLog, 2)))
	ok(s.PutAccessKey(ctx, tributary.AccessKey{ID: "AK", Sealed: []byte("x")}))
	ok(s.PutDevice(ctx, tributary.Device{Identity: user, ID: "not \xff text"}))
	ok(s.PutDevice(ctx, tributary.Device{Identity: other, ID: "d"}))
	ok(s.CountSessions(ctx, map[tributary.PoolID]int64{pool: 1}))
	return cfg, s
}

const other = tributary.IdentityID("us-east-1:00000000-0000-4000-8000-000000000003")

var defaultLog = tributary.Shard{Stream: tributary.DefaultStream}

// be64 is a number as it stands in keys.
func be64(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func logKey(n uint64) string { return "l" + be64(1) + "\x00\x00\x00\x00" + be64(n) }

// edit changes a member of a value that is JSON.
func edit(value, member string, to any) string {
	var m map[string]any
	numbers := json.NewDecoder(strings.NewReader(value))
	numbers.UseNumber() // hash keys are larger than a float64 can hold
	if err := numbers.Decode(&m); err != nil {
		return err.Error()
	}
	m[member] = to
	text, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestCheckFinds breaks each rule once behind the store's back.
func TestCheckFinds(t *testing.T) {
	del := func(prefix string) func(s *pebblestore.Store) error {
		return func(s *pebblestore.Store) error {
			key, _ := s.Stored(prefix)
			return s.Tamper(key, "", false)
		}
	}
	put := func(key, value string) func(s *pebblestore.Store) error {
		return func(s *pebblestore.Store) error { return s.Tamper(key, value, true) }
	}
	change := func(prefix string, f func(value string) string) func(s *pebblestore.Store) error {
		return func(s *pebblestore.Store) error {
			key, value := s.Stored(prefix)
			if value == "" || f(value) == value {
				return fmt.Errorf("%q is %q", key, value)
			}
			return s.Tamper(key, f(value), true)
		}
	}
	move := func(prefix, to string) func(s *pebblestore.Store) error {
		return func(s *pebblestore.Store) error {
			key, value := s.Stored(prefix)
			return errors.Join(s.Tamper(key, "", false), s.Tamper(to, value, true))
		}
	}
	cut := func(value string) string { return value[:len(value)-1] }
	member := func(name string, to any) func(string) string {
		return func(value string) string { return edit(value, name, to) }
	}
	for name, c := range map[string]struct {
		how  func(s *pebblestore.Store) error
		want string
	}{
		"UnknownTable":    {put("Q", "x"), "no table has such keys"},
		"UnknownMeta":     {put("mnew", "x"), "stored value is damaged"},
		"NoID":            {del("mid"), "it is missing"},
		"LastStream":      {put("mlaststream", be64(1)), "is above the last one given"},
		"LastStreamShort": {put("mlaststream", "x"), "it has 1 bytes, not 8"},
		"Pool":            {change("p", cut), "unexpected end of JSON"},
		"PoolID":          {change("p", member("ID", "a:0")), "it holds pool a:0"},
		"PoolRevision":    {change("p", member("Revision", 0)), "it has revision 0"},
		"PoolRoute":       {change("p", member("Stream", map[string]any{"Enabled": true, "ID": 77})), "writes to stream 77, which does not exist"},
		"PoolGone":        {del("p"), "its pool"},
		"Stream":          {change("s", cut), "unexpected end of JSON"},
		"StreamID":        {change("s"+be64(1), member("ID", 5)), "it holds stream 5"},
		"StreamGone":      {del("s" + be64(1)), "the default log is missing"},
		"ShardTwice":      {change("s"+be64(1), member("Shards", []any{map[string]any{"Number": 0}, map[string]any{"Number": 0}})), "is in the map twice"},
		"ShardParent":     {change("s"+be64(1), member("Shards", []any{map[string]any{"Number": 0, "Parents": []int{4}}})), "parent 4 of shard 0"},
		"ShardOverlap":    {change("s"+be64(1), member("Shards", []any{map[string]any{"Number": 0}, map[string]any{"Number": 1}})), "both take hash key 0"},
		"ShardRange":      {change("s"+be64(1), member("Shards", []any{map[string]any{"Number": 0}})), "is not the shard's"},
		"ShardEnd":        {change("s"+be64(1), func(v string) string { return strings.Replace(v, `"Closed":false`, `"Closed":true`, 1) }), "is closed without a last entry"},
		"ShardLast": {change("s"+be64(1), func(v string) string {
			return strings.Replace(strings.Replace(v, `"Closed":false`, `"Closed":true`, 1), `"Last":""`, `"Last":"`+string(tributary.PositionOf(defaultLog, 9))+`"`, 1)
		}), "its log at 57"},
		"Identity":        {change("i", func(v string) string { return v[:4] }), "damaged"},
		"IdentityGone":    {del("i" + string(other)), "what it belongs to does not exist"},
		"MemberGone":      {del("n"), "is not among the identities"},
		"MemberTooMany":   {put("n"+string(pool)+"\x00a:1", ""), `identity "a:1" does not exist`},
		"MemberOther":     {put("na:0\x00"+string(user), ""), "the identity is of pool"},
		"LoginGone":       {del("o"), `its login of p leads to ""`},
		"LoginTooMany":    {put("o"+string(pool)+"\x00\x01pv", string(other)), "has no such login"},
		"LoginNobody":     {put("o"+string(pool)+"\x00\x01pv", "a:9"), `identity "a:9" does not exist`},
		"HeadGone":        {del("d" + string(user)), "it says it has 3 datasets"},
		"Head":            {change("d", func(v string) string { return v[:5] }), "damaged"},
		"HeadOfNobody":    {put("da:1\x00d", "x"), "what it belongs to does not exist"},
		"RecordGone":      {del("r"), "it says it has"},
		"RecordIndexed":   {del("r"), "is not as the index says"},
		"Record":          {change("r", func(v string) string { return v[:1] }), "damaged"},
		"RecordOther":     {move("r", "r"+string(other)+"\x00split\x00aa"), "it holds the record"},
		"RecordOfNothing": {put("r"+string(user)+"\x00no\x00k", "x"), "what it belongs to does not exist"},
		"IndexGone":       {del("x"), "is not in the index"},
		"IndexTooMany":    {put("x"+string(other)+"\x00split\x00"+be64(1)+"nope", ""), "is not as the index says"},
		"IndexTombstone":  {put("x"+string(other)+"\x00split\x00"+be64(1)+"a", "\x01"), "is not as the index says"},
		"IndexOfNothing":  {put("xa:1\x00d\x00"+be64(1)+"k", ""), "what it belongs to does not exist"},
		"Device":          {change("v"+string(other), cut), "unexpected end of JSON"},
		"DeviceID":        {change("v"+string(other), member("ID", "e")), `it holds device "e"`},
		"DeviceOther":     {change("v"+string(other), member("Identity", user)), "it holds device \"d\" of identity " + string(user)},
		"DeviceRevision":  {change("v", member("Revision", 0)), "it has revision 0"},
		"DeviceOfNobody":  {put("va:1\x00d", "{}"), "what it belongs to does not exist"},
		"DeviceOfTheGone": {del("i" + string(user)), "key \"v" + string(user)},
		"LogGap":          {del(logKey(20)), "before it the log ends at 19"},
		"LogBegin":        {del(logKey(3)), "before it the log ends at 2"},
		"LogTrimmed":      {put(logKey(2), ""), "damaged"},
		"LogEntry":        {change(logKey(7), func(v string) string { return v[:6] }), "damaged"},
		"LogKind":         {change(logKey(7), func(v string) string { return "\x07" + v[1:] }), "is of kind 7"},
		"LogArrival":      {change(logKey(7), func(v string) string { return v[:1] + "\x00" + v[7:] }), "it arrived before"},
		"LogOfNothing":    {put("l"+be64(99)+"\x00\x00\x00\x00"+be64(1), "x"), "shard 99/0 does not exist"},
		"LogKey":          {put("lx", "x"), "damaged"},
		"Horizon":         {put("h"+be64(1)+"\x00\x00\x00\x00", be64(4)), "the log was trimmed up to 4"},
		"HorizonAbove":    {put("h"+be64(1)+"\x00\x00\x00\x01", be64(4)), "shard 1/1 does not exist"},
		"Folded":          {put("f"+be64(1)+"\x00\x00\x00\x00", be64(1000)), "figures are folded up to 1000"},
		"FoldedLess":      {put("f"+be64(1)+"\x00\x00\x00\x00", be64(2)), "by its figures the pool holds"},
		"Usage":           {change("u", func(string) string { return "\x02\x00" }), "by its figures the pool holds"},
		"UsageLonger":     {change("u", func(v string) string { return v + "x" }), "damaged"},
		"UsageOfNothing":  {put("ua:0\x00"+be64(1)+"\x00\x00\x00\x00", "\x00\x00"), "the pool does not exist"},
		"Sessions":        {put("ya:0", "\x02"), "the pool does not exist"},
		"SessionsLess":    {put("y"+string(pool), "\x01"), "it is negative"},
		"Lease":           {change("ew", cut), "unexpected end of JSON"},
		"LeaseOther":      {change("ew", member("Group", "v")), `it holds the lease of "v"`},
		"LeaseShard":      {put("ew\x00"+be64(9)+"\x00\x00\x00\x00", `{"Group":"w","Shard":{"Stream":9}}`), "shard 9/0 does not exist"},
		"LeaseCheckpoint": {change("ew", member("Checkpoint", string(tributary.PositionOf(defaultLog, 1000)))), "its checkpoint is"},
		"AccessKey":       {change("k", cut), "unexpected end of JSON"},
		"AccessKeyID":     {change("k", member("ID", "BK")), `it holds access key "BK"`},
		"AccessKeyPolicy": {change("k", member("Policy", "{}")), "it has no Statement"},
		"SealingKey":      {put("g\x00\x00\x00\x01", "{"), "unexpected end of JSON"},
		"SealingKeyID":    {put("g\x00\x00\x00\x01", `{"ID":2,"Sealed":"eA=="}`), "it holds sealing key 2"},
		"Restored":        {put("z"+be64(7), "x"), "invalid character"},
		"RestoredOther":   {put("z"+be64(7), "{}"), "it is of a restore at 0"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, s := checkable(t)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			before := sound(t, cfg)
			if before.Datasets != 6 || before.Entries != 55 || before.Records < 20 || before.Identities != 2 {
				t.Fatalf("%+v", before)
			}
			s = open(t, cfg)
			if err := errors.Join(c.how(s), s.Abandon()); err != nil {
				t.Fatal(err)
			}
			report, err := pebblestore.Check(t.Context(), cfg)
			all := strings.Join(report.Faults, "\n")
			if err != nil || report.Found == 0 || report.Found != len(report.Faults) || !strings.Contains(all, c.want) {
				t.Errorf("%v, %d faults, want %q among\n%s", err, report.Found, c.want, all)
			}
		})
	}
}

// TestCheckHead tells of figures that a head has wrong.
func TestCheckHead(t *testing.T) {
	for at, want := range []string{"sync count", "sync count", "sync count", "", "", "it says it has", "it says it has", "it says it has", "it says it has"} {
		if want == "" {
			continue
		}
		cfg, s := checkable(t)
		key, value := s.Stored("d" + string(user) + "\x00d0")
		// Behind the place of three small numbers, the flags and the change's id
		// stand the figures, as varints.
		b := []byte(value)
		from := 3 + 1 + 8
		for range at {
			_, n := binary.Varint(b[from:])
			from += n
		}
		v, n := binary.Varint(b[from:])
		wrong := v + 9
		if at == 0 {
			wrong = 0
		}
		b = append(append(append([]byte(nil), b[:from]...), binary.AppendVarint(nil, wrong)...), b[from+n:]...)
		if err := errors.Join(s.Tamper(key, string(b), true), s.Abandon()); err != nil {
			t.Fatal(err)
		}
		report, err := pebblestore.Check(t.Context(), cfg)
		if all := strings.Join(report.Faults, "\n"); err != nil || !strings.Contains(all, want) {
			t.Errorf("figure %d is %d, not %d: %v\n%s", at, wrong, v, err, all)
		}
	}
}

// TestCheckBlocks alters single bits of the tables.
func TestCheckBlocks(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, pebblestore.Config{Dir: folder, FS: mem, MemTableSize: 64 << 10})
	populate(t, s)
	for i := range 400 {
		if err := writeOnce(t, s, user, 1, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := pebblestore.Config{Dir: folder, FS: mem}
	if sound(t, cfg).Tables == 0 {
		t.Fatal("there are no tables")
	}
	names, err := mem.List(folder)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		for range 20 {
			at, undo := flip(t, mem, folder+"/"+name, rnd)
			report, err := pebblestore.Check(t.Context(), cfg)
			if err != nil || report.Found == 0 {
				t.Errorf("%s: byte %d was altered: %v, %d faults", name, at, err, report.Found)
			}
			undo()
		}
	}
	sound(t, cfg)
}

// flip alters a bit of a file, the footer aside, which has no data.
func flip(t *testing.T, mem *vfs.MemFS, path string, rnd *rand.Rand) (at int, undo func()) {
	t.Helper()
	f, err := mem.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, info.Size())
	if _, err := f.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	write := func() {
		w, err := mem.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = w.WriteAt(content, 0)
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const footer = 64
	at = rnd.IntN(len(content) - footer)
	bit := byte(1) << rnd.IntN(8)
	content[at] ^= bit
	write()
	return at, func() { content[at] ^= bit; write() }
}

// TestCheckRefuses: what is no store, or in use, cannot be checked.
func TestCheckRefuses(t *testing.T) {
	mem := vfs.NewMem()
	if _, err := pebblestore.Check(t.Context(), pebblestore.Config{Dir: folder, FS: mem}); tributary.KindOf(err) != tributary.NotFound {
		t.Errorf("of no store: %v", err)
	}
	dir := t.TempDir()
	s := open(t, pebblestore.Config{Dir: dir})
	if _, err := pebblestore.Check(t.Context(), pebblestore.Config{Dir: dir}); tributary.KindOf(err) != tributary.Unavailable {
		t.Errorf("of a store in use: %v", err)
	}
	if err := errors.Join(s.SetFormat(pebblestore.Format+1), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := pebblestore.Check(t.Context(), pebblestore.Config{Dir: dir}); tributary.KindOf(err) != tributary.Invalid {
		t.Errorf("of a newer store: %v", err)
	}
}

// TestCheckRefusesMoved: a store that another one has replaced, or that is
// being filled, says so.
func TestCheckRefusesMoved(t *testing.T) {
	for phase, says := range map[tributary.StorePhase]string{
		tributary.Moved:   "was moved to there at 1970-01-01T00:00:01Z: check looks at embedded stores",
		tributary.Filling: "is being filled from there",
	} {
		cfg := pebblestore.Config{Dir: folder, FS: vfs.NewMem(), Transfer: true}
		s := open(t, cfg)
		err := s.SetState(t.Context(), tributary.TransferState{}, tributary.TransferState{Phase: phase, Move: "m", Peer: "there", Since: 1000})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := pebblestore.Check(t.Context(), cfg); tributary.KindOf(err) != tributary.Invalid || !strings.Contains(tributary.Message(err), says) {
			t.Errorf("%s: %v", phase, err)
		}
	}
}
