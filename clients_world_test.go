package tributary_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/internal/enginetest"
	"tributary/store/pebblestore"
)

// world is a server with one dataset, and what others do to it.
type world struct {
	t       testing.TB
	rng     *rand.Rand
	service *tributary.Service
	writer  *tributary.Service // takes the clients' updates; the same unless there are two nodes
	key     tributary.DatasetKey
	stores  []tributary.Store
	changes []*tributary.Change // all commits, for a restore to replay
	values  int                 // written so far, so that most are unlike
	devices []*device
	trace   []string // what happened, for a failure's report

	incarnates bool   // a restore is that of a real backup, a new incarnation
	restores   int    // so far
	origin     []byte // backup of the store that changes begin with; nil: an empty one
}

// liveKeys is as many keys as ever live at once: the pool's limit of records,
// so that no client is refused for another reason than those of a sync.
var liveKeys = []string{"a", "b", "c", "d"}

func newWorld(t testing.TB, seed uint64) *world {
	enginetest.Once(t) // restored backups are part of it
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), key: key("d")}
	w.service = w.node()
	w.writer = w.service
	w.openStore()
	return w
}

func (w *world) node() *tributary.Service {
	return &tributary.Service{Sealer: newSealer(w.t, 1), Account: account, Now: newClock().Now}
}

// secondNode has the clients' lists and updates answered by different nodes
// from now on, as a balancer that takes turns may have it.
func (w *world) secondNode() {
	w.writer = w.node()
	w.writer.Store = w.service.Store
}

// recorder keeps what is committed.
type recorder struct {
	tributary.Store
	world *world
}

func (r recorder) Commit(ctx context.Context, c *tributary.Change) error {
	err := r.Store.Commit(ctx, c)
	if err == nil {
		r.world.changes = append(r.world.changes, c)
	}
	return err
}

// openStore gives the service a store with nothing but the pool and Ann.
func (w *world) openStore() {
	w.t.Helper()
	s := openStoreOn(w.t, newClock(), vfs.NewMem())
	ctx := w.t.Context()
	if err := s.PutPool(ctx, tributary.Pool{ID: poolA, Name: "a pool", Limits: tributary.Limits{Records: int64(len(liveKeys))}}); err != nil {
		w.t.Fatal(err)
	}
	if err := s.PutIdentity(ctx, tributary.Identity{ID: ann, Pool: poolA}); err != nil {
		w.t.Fatal(err)
	}
	w.use(s)
}

// use has the service use a store, which the test closes.
func (w *world) use(s tributary.Store) {
	w.stores = append(w.stores, s)
	w.service.Store = recorder{s, w}
	w.writer.Store = w.service.Store
}

// meddle gives the pool a function.
func (w *world) meddle() {
	w.t.Helper()
	w.service.Functions = meddle()
	if err := w.service.SetEvents(w.t.Context(), developer, poolA, map[string]string{tributary.SyncTrigger: hook}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	for _, s := range w.stores {
		if err := s.Close(); err != nil {
			w.t.Errorf("close: %v", err)
		}
	}
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// fail ends the test with all that has happened.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"))
}

func (w *world) value() string {
	if w.rng.IntN(5) == 0 {
		return "the same"
	}
	w.values++
	return fmt.Sprint("v", w.values)
}

func (w *world) someKey() string { return liveKeys[w.rng.IntN(len(liveKeys))] }

// head is the dataset's, whether it exists or not.
func (w *world) head() tributary.Dataset {
	w.t.Helper()
	v, err := w.service.Store.View(w.t.Context(), w.key, nil)
	if err != nil {
		w.fail("view: %v", err)
	}
	return v.Dataset
}

// held is all that the server has, tombstones included.
func (w *world) held() map[string]tributary.Record {
	w.t.Helper()
	head := w.head()
	all, err := w.service.Store.Records(w.t.Context(), w.key, tributary.Range{Through: head.SyncCount})
	if err != nil {
		w.fail("records: %v", err)
	}
	out := map[string]tributary.Record{}
	for _, r := range all {
		out[r.Key] = r
	}
	return out
}

// live is what the server shows.
func (w *world) live() map[string]string {
	out := map[string]string{}
	for _, r := range w.held() {
		if !r.Removed {
			out[r.Key] = r.Value
		}
	}
	return out
}

// others writes as a device that knows everything.
func (w *world) others(patches ...tributary.Patch) {
	w.t.Helper()
	ctx := w.t.Context()
	l, err := w.service.ListRecords(ctx, developer, w.key, tributary.ListQuery{})
	if err != nil {
		w.fail("the others' list: %v", err)
	}
	for i := range patches {
		patches[i].SyncCount = l.SyncCount
	}
	got, err := w.service.UpdateRecords(ctx, developer, w.key, tributary.Update{SessionToken: l.SessionToken, Patches: patches})
	if err != nil {
		w.fail("the others' update: %v", err)
	}
	if len(got) > 8 {
		got = got[:8]
	}
	w.note("others write %v", show(got))
}

func set(key, value string) tributary.Patch { return tributary.Patch{Key: key, Value: value} }

func (w *world) othersSet(key, value string) { w.others(set(key, value)) }
func (w *world) othersRemove(key string)     { w.others(tributary.Patch{Key: key, Remove: true}) }

// othersForget removes so many keys that nobody ever had that all tombstones
// so far are forgotten.
func (w *world) othersForget() {
	most := tributary.Limits{Records: int64(len(liveKeys))}.Tombstones()
	patches := make([]tributary.Patch, most)
	for i := range patches {
		w.values++
		patches[i] = tributary.Patch{Key: fmt.Sprint("junk ", w.values), Remove: true}
	}
	w.others(patches...)
}

func (w *world) othersDelete() {
	if !w.head().Exists {
		return
	}
	if _, err := w.service.DeleteDataset(w.t.Context(), developer, w.key); err != nil {
		w.fail("the others' deletion: %v", err)
	}
	w.note("others delete the dataset @%d", w.head().SyncCount)
}

// restore replaces the store by what it was after so many commits: a backup
// taken then, while clients stay as they are.
func (w *world) restore(commits int) {
	w.t.Helper()
	w.note("restore: %d commits of %d", commits, len(w.changes))
	if w.incarnates {
		w.incarnate(commits)
		return
	}
	replayed := w.changes[:commits]
	w.changes = nil
	w.openStore()
	for _, c := range replayed {
		if err := w.service.Store.Commit(w.t.Context(), c); err != nil {
			w.fail("replay of %+v: %v", c, err)
		}
	}
	for _, d := range w.devices {
		d.told, d.unsure = 0, true
	}
}

// incarnate restores a backup that was taken after so many commits. What
// clients hold of the time after it they cannot tell from what is true.
func (w *world) incarnate(commits int) {
	w.t.Helper()
	ctx := w.t.Context()
	ok := func(err error) {
		w.t.Helper()
		if err != nil {
			w.fail("restore: %v", err)
		}
	}
	if w.origin == nil {
		w.openStore()
	} else {
		fs := vfs.NewMem()
		ok(fs.MkdirAll("x", 0o700))
		_, _, err := pebblestore.Unpack(ctx, fs, "x", bytes.NewReader(w.origin))
		ok(err)
		w.use(openStoreOn(w.t, newClock(), fs))
	}
	for _, c := range w.changes[:commits] {
		ok(w.stores[len(w.stores)-1].Commit(ctx, c))
	}
	w.restores++
	clock := newClock()
	clock.Add(time.Duration(10*365*24+w.restores) * time.Hour) // real ones go on
	fs := vfs.NewMem()
	_, err := pebblestore.Restore(ctx, pebblestore.Config{Dir: "x", FS: fs, Now: clock.Now, MemTableSize: 1 << 18}, bytes.NewReader(w.backup()), nil)
	ok(err)
	w.use(openStoreOn(w.t, newClock(), fs))
	w.changes, w.origin = nil, w.backup()
	for _, d := range w.devices {
		d.unsure = true
	}
}

// backup takes one of the store in use.
func (w *world) backup() []byte {
	w.t.Helper()
	var out bytes.Buffer
	b, err := w.stores[len(w.stores)-1].(*pebblestore.Store).Backup("test")
	if err == nil {
		_, err = b.Write(w.t.Context(), &out)
		err = errors.Join(err, b.Close())
	}
	if err != nil {
		w.fail("backup: %v", err)
	}
	return out.Bytes()
}

// happen does something at random to the server.
func (w *world) happen() {
	switch n := w.rng.IntN(20); {
	case n < 9:
		w.othersSet(w.someKey(), w.value())
	case n < 14:
		w.othersRemove(w.someKey())
	case n < 16:
		w.others(set("a", w.value()), tributary.Patch{Key: "b", Remove: true}, set("c", w.value()))
	case n < 17:
		w.othersForget()
	case n < 18:
		w.othersDelete()
	default:
		w.othersDelete()
		w.othersSet(w.someKey(), w.value())
	}
}

// entry is a record as a client keeps it.
type entry struct {
	value   string
	removed bool
	count   int64
	dirty   bool
}

func (e entry) String() string {
	mark := ""
	if e.dirty {
		mark = "*"
	}
	if e.removed {
		return fmt.Sprintf("-@%d%s", e.count, mark)
	}
	return fmt.Sprintf("%s@%d%s", e.value, e.count, mark)
}

func entryOf(r tributary.Record) entry {
	return entry{value: r.Value, removed: r.Removed, count: r.SyncCount}
}

// same tells whether two entries have the same value, null being one.
func (e entry) same(o entry) bool { return e.removed == o.removed && e.value == o.value }

// device is what the models of the clients have in common: the local store and
// the calls to the server. The rest of its fields are for the tests.
type device struct {
	*world
	name    string
	model   model
	last    int64 // -1: the app has deleted the dataset
	records map[string]entry
	most    int // MaxResults of its lists

	// paged happens between the pages of a list, between after a list and
	// before the push that it leads to, during after the server has applied a push and before the client
	// has its answer.
	paged, between, during func()
	conflicts              []string // those that the app was asked about
	keep                   func(key string) bool

	told   int64           // the highest count that the server ever told it
	lie    int64           // the highest count that it claimed without having been told
	unsure bool            // it did not come by its state by syncing with this server
	blind  map[string]bool // keys that it lost sight of by its own bookkeeping
	purges int             // how often it has dropped something
}

// model is one client's synchronize(), with its own retries.
type model interface {
	synchronize(d *device) error
	// live tells what the app sees of an entry.
	live(e entry) (string, bool)
}

func (w *world) newDevice(name string, m model) *device {
	d := &device{world: w, name: name, model: m, records: map[string]entry{}, most: 1024, blind: map[string]bool{},
		paged: func() {}, between: func() {}, during: func() {}}
	d.keep = func(string) bool { return w.rng.IntN(2) == 0 }
	w.devices = append(w.devices, d)
	return d
}

func (d *device) principal() tributary.Principal { return asIdentity(poolA, ann) }

// updates is what a whole list gives: clients take count and flags from the
// last page.
type updates struct {
	records         []tributary.Record
	count           int64
	exists, deleted bool
	token           string
}

// list asks for all pages. No list may ever fail at its first page; at a later
// one it may have to be begun anew, as when tombstones were forgotten meanwhile.
func (d *device) list() (updates, error) {
	d.t.Helper()
	var u updates
	d.missesDeletions()
	q := tributary.ListQuery{LastSyncCount: d.last, MaxResults: d.most}
	for first := true; first || q.NextToken != ""; first = false {
		l, err := d.service.ListRecords(d.t.Context(), d.principal(), d.key, q)
		if !first && tributary.KindOf(err) == tributary.Invalid {
			d.note("%s cannot list on: %v", d.name, err)
			return u, err
		}
		if err != nil {
			d.fail("%s cannot list since %d: %v", d.name, d.last, err)
		}
		u.records = append(u.records, l.Records...)
		u.count, u.exists, u.deleted, u.token = l.SyncCount, l.Exists, l.DeletedMeanwhile, l.SessionToken
		if q.NextToken = l.NextToken; q.NextToken != "" {
			d.paged()
		}
	}
	d.note("%s lists since %d: count %d, exists %t, deleted %t, %v", d.name, d.last, u.count, u.exists, u.deleted, brief(u.records))
	if d.last > d.told && d.last <= u.count && !u.deleted {
		d.lie = max(d.lie, d.last)
	}
	d.told = max(d.told, u.count)
	return u, nil
}

// missesDeletions notes what a list from 0 will not tell a client that is not
// as fresh as it says.
func (d *device) missesDeletions() {
	if d.last != 0 {
		return
	}
	held := d.held()
	for key, e := range d.records {
		if _, ok := held[key]; !ok && !e.dirty {
			d.blind[key] = true
		}
	}
}

// brief leaves the tombstones of junk out.
func brief(records []tributary.Record) []string {
	return show(slices.DeleteFunc(slices.Clone(records), func(r tributary.Record) bool { return strings.HasPrefix(r.Key, "junk") }))
}

// push sends the dirty records. Nothing but a conflict may refuse them.
func (d *device) push(token string) (sent map[string]entry, got []tributary.Record, err error) {
	d.t.Helper()
	sent = map[string]entry{}
	var patches []tributary.Patch
	for _, key := range slices.Sorted(maps.Keys(d.records)) {
		if e := d.records[key]; e.dirty {
			_, live := d.model.live(e)
			patches = append(patches, tributary.Patch{Key: key, Value: e.value, Remove: !live, SyncCount: e.count})
			sent[key] = e
		}
	}
	if len(patches) == 0 {
		return nil, nil, nil
	}
	got, err = d.writer.UpdateRecords(d.t.Context(), d.principal(), d.key, tributary.Update{SessionToken: token, Patches: patches})
	d.note("%s pushes %v: %v, %v", d.name, sent, brief(got), err)
	if err != nil && tributary.KindOf(err) != tributary.Stale {
		d.fail("%s cannot push: %v", d.name, err)
	}
	if err == nil {
		d.during()
		if highest(got) == d.told+1 {
			d.told++ // nothing lies between the list and the answer
		}
		for key := range sent {
			delete(d.blind, key)
		}
	}
	return sent, got, err
}

func highest(records []tributary.Record) int64 {
	n := int64(0)
	for _, r := range records {
		n = max(n, r.SyncCount)
	}
	return n
}

// store puts what the server sent.
func (d *device) store(r tributary.Record) {
	d.records[r.Key] = entryOf(r)
	delete(d.blind, r.Key)
}

// resolve lets the app decide on conflicts: each with its own record, at the
// count of the other, or with the other.
func (d *device) resolve(conflicts []tributary.Record) {
	for _, r := range conflicts {
		local := d.records[r.Key]
		kept := d.keep(r.Key)
		d.conflicts = append(d.conflicts, fmt.Sprintf("%s: %v or %v", r.Key, local, entryOf(r)))
		d.note("%s resolves %s: keep its own %t", d.name, r.Key, kept)
		d.store(r)
		if kept {
			local.count, local.dirty = r.SyncCount, true
			d.records[r.Key] = local
		}
	}
}

// purge is a dataset dropped and opened again by the app.
func (d *device) purge() {
	if d.last != 0 || len(d.records) > 0 {
		d.purges++
	}
	clear(d.records)
	clear(d.blind)
	d.last, d.lie, d.unsure = 0, 0, false
	d.note("%s purges its copy", d.name)
}

// put, remove and drop are the app's. Like all clients' put, it does nothing
// if the value is what it was.
func (d *device) put(key, value string) {
	if e, ok := d.records[key]; !ok || e.removed || e.value != value {
		d.records[key] = entry{value: value, count: e.count, dirty: true}
		d.note("%s sets %s to %s", d.name, key, value)
	}
}

func (d *device) remove(key string) {
	if e, ok := d.records[key]; ok && !e.removed {
		d.records[key] = entry{removed: true, count: e.count, dirty: true}
		d.note("%s removes %s", d.name, key)
	}
}

func (d *device) drop() {
	clear(d.records)
	clear(d.blind)
	d.last = -1
	d.note("%s deletes its dataset", d.name)
}

func (d *device) synchronize() error {
	err := d.model.synchronize(d)
	d.note("%s: last %d, %v, %v", d.name, d.last, d.records, err)
	return err
}

func (d *device) dirty() bool {
	for _, e := range d.records {
		if e.dirty {
			return true
		}
	}
	return d.last == -1
}

// seen is what the app sees.
func (d *device) seen() map[string]string {
	out := map[string]string{}
	for key, e := range d.records {
		if v, live := d.model.live(e); live {
			out[key] = v
		}
	}
	return out
}
