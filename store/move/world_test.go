package move_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
	"tributary/internal/pgtest"
	"tributary/store/move"
	"tributary/store/pebblestore"
	"tributary/store/pgstore"
	"tributary/store/storetest"
)

// soak is how many times as large the worlds are: TRIBUTARY_SOAK, else 1.
func soak(t testing.TB) int {
	text := os.Getenv("TRIBUTARY_SOAK")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("TRIBUTARY_SOAK is %q, it must be a positive number", text)
	}
	return n
}

// place is where a store lies, open or not.
type place struct {
	name string
	open func(t testing.TB, transfer bool) (move.Engine, error)
}

// must opens the store for a transfer, and closes it when the test ends.
func (p *place) must(t testing.TB) move.Engine {
	t.Helper()
	e, err := p.open(t, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func pebblePlace(testing.TB) *place {
	fs := vfs.NewMem()
	return &place{"pebble", func(_ testing.TB, transfer bool) (move.Engine, error) {
		return pebblestore.Open(pebblestore.Config{Dir: "store", FS: fs, Transfer: transfer})
	}}
}

func pgPlace(server *pgtest.Server) func(testing.TB) *place {
	return func(t testing.TB) *place {
		url := server.Fresh(t)
		return &place{"postgres", func(t testing.TB, transfer bool) (move.Engine, error) {
			return pgstore.Open(t.Context(), pgstore.Config{URL: url, Connections: 12, Transfer: transfer})
		}}
	}
}

// directions are the ways to move.
func directions(t testing.TB) []struct{ from, to func(testing.TB) *place } {
	pg := pgPlace(pgtest.Start(t))
	return []struct{ from, to func(testing.TB) *place }{{pebblePlace, pg}, {pg, pebblePlace}, {pebblePlace, pebblePlace}}
}

const pool = tributary.PoolID("a:0")

// world is a store in full use.
type world struct {
	testing.TB
	s     tributary.Store
	books storetest.Acked
	ids   atomic.Uint64
	stop  chan struct{}
	busy  sync.WaitGroup
	wrote atomic.Int64
	// restores that the store went through.
	restores []storetest.Restore

	mu      sync.Mutex
	refused []time.Time // when writes were
	lease   tributary.Lease
	keys    map[string]tributary.AccessKey // acknowledged
	devices map[string]tributary.Device    // acknowledged, by item key
}

func newWorld(t testing.TB, s tributary.Store) *world {
	w := &world{TB: t, keys: map[string]tributary.AccessKey{}, devices: map[string]tributary.Device{}}
	w.s = w.books.Watch(s)
	return w
}

// home makes the pool in which all happens.
func (w *world) home() {
	p, _ := w.s.Pool(w.Context(), pool)
	p.ID, p.Stream = pool, tributary.StreamConfig{} // follow reads the default log
	w.fatal(w.s.PutPool(w.Context(), p))
}

func (w *world) fatal(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// ok tells whether a write was acknowledged. One that is refused is so because
// the store is being moved, and is tried again a little later.
func (w *world) ok(what string, err error) bool {
	w.Helper()
	switch tributary.KindOf(err) {
	default:
		if err != nil {
			w.Errorf("%s: %v", what, err)
		}
	case tributary.Unavailable:
		w.mu.Lock()
		w.refused = append(w.refused, time.Now())
		w.mu.Unlock()
		if !strings.Contains(err.Error(), "being moved") {
			w.Errorf("%s: %v", what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if err == nil {
		w.wrote.Add(1)
	}
	return err == nil
}

// do runs f again and again until the world ends.
func (w *world) do(f func(rnd *rand.Rand, n int)) {
	w.busy.Go(func() {
		rnd := rand.New(rand.NewPCG(w.ids.Add(1), 0))
		for n := 0; ; n++ {
			select {
			case <-w.stop:
				return
			case <-time.After(500 * time.Microsecond): // a store in memory has no other limit
				f(rnd, n)
			}
		}
	})
}

// end stops all that was begun.
func (w *world) end() {
	close(w.stop)
	w.busy.Wait()
}

func (w *world) identity(id tributary.IdentityID, logins ...tributary.Login) bool {
	if _, err := w.s.Identity(w.Context(), id); err == nil {
		return true
	}
	err := w.s.PutIdentity(w.Context(), tributary.Identity{ID: id, Pool: pool, Logins: logins})
	return tributary.KindOf(err) == tributary.Stale || w.ok("put identity", err) // Stale: another made it meanwhile
}

// sync changes a few records of a dataset, of which sizes take some across the
// limits of a small value.
func (w *world) sync(rnd *rand.Rand, id tributary.IdentityID, name tributary.DatasetName) bool {
	ctx := context.WithoutCancel(w.Context())
	var patches []tributary.Patch
	var keys []string
	for n := range 1 + rnd.IntN(3) {
		size := rnd.IntN(100)
		if rnd.IntN(6) == 0 {
			size = 2500
		}
		key := fmt.Sprint("k", n, rnd.IntN(6))
		keys = append(keys, key)
		patches = append(patches, tributary.Patch{Key: key, Value: strings.Repeat("v", size), Remove: rnd.IntN(5) == 0})
	}
	v, err := w.s.View(ctx, tributary.DatasetKey{Pool: pool, Identity: id, Dataset: name}, keys)
	if err != nil {
		w.Errorf("view: %v", err)
		return false
	}
	for i := range patches {
		for _, r := range v.Records {
			if r.Key == patches[i].Key {
				patches[i].SyncCount = r.SyncCount
			}
		}
	}
	who := tributary.Writer{ID: tributary.ChangeID(w.ids.Add(1) * 0x9e3779b97f4a7c15), By: string(id), Now: tributary.MillisOf(time.Now())}
	var c *tributary.Change
	if v.Dataset.Exists && rnd.IntN(12) == 0 {
		c = v.Delete(who)
	} else if c, err = v.Apply(patches, who); err != nil {
		w.Errorf("apply: %v", err)
		return false
	}
	return w.ok("commit", w.s.Commit(ctx, c))
}

// begin sets everything in motion.
func (w *world) begin() {
	w.stop = make(chan struct{})
	ctx := context.WithoutCancel(w.Context())
	for n := range 4 {
		id := tributary.IdentityID(fmt.Sprint("w:", n))
		w.do(func(rnd *rand.Rand, n int) {
			if w.identity(id) {
				w.sync(rnd, id, tributary.DatasetName(fmt.Sprint("d", rnd.IntN(4))))
			}
		})
	}
	w.do(w.comeAndGo)
	w.do(w.streams)
	w.do(w.accessKeys)
	w.do(w.putDevices)
	w.do(func(_ *rand.Rand, n int) {
		next := w.lease.Take(fmt.Sprint("owner-", n))
		next.Group, next.Shard, next.Checkpoint = "pump", tributary.Shard{Stream: tributary.DefaultStream}, tributary.PositionOf(next.Shard, uint64(n))
		if n%2 == 0 {
			if l, err := w.s.SwapLease(ctx, next); w.ok("swap lease", err) {
				w.lease = l
			}
		} else if _, err := w.s.Append(ctx, tributary.DefaultStream, nil, next); w.ok("mark", err) {
			w.lease = next
			w.lease.Revision++
		}
		w.ok("count sessions", w.s.CountSessions(ctx, map[tributary.PoolID]int64{pool: 1}))
	})
	w.do(func(*rand.Rand, int) { w.follow(ctx) })
}

// comeAndGo makes an identity with data and a login that others had, and
// removes it.
func (w *world) comeAndGo(rnd *rand.Rand, n int) {
	ctx := context.WithoutCancel(w.Context())
	id := tributary.IdentityID(fmt.Sprint("c:", n%7))
	login := tributary.Login{Provider: "q", User: fmt.Sprint(n % 3)}
	for !w.identity(id, login) || !w.device(id, "goes with it") || !w.sync(rnd, id, "d") {
		if w.Failed() {
			return
		}
	}
	for {
		v, err := w.s.View(ctx, tributary.DatasetKey{Pool: pool, Identity: id, Dataset: "d"}, nil)
		if err != nil {
			w.Errorf("view: %v", err)
			return
		}
		if v.Dataset.Exists && !w.ok("remove", w.s.Commit(ctx, v.Delete(tributary.Writer{ID: tributary.ChangeID(w.ids.Add(1) << 40), Now: 1}))) {
			continue
		}
		if w.ok("delete identity", w.s.DeleteIdentity(ctx, id)) || w.Failed() {
			return
		}
	}
}

// streams makes a stream, writes to it, trims it, and deletes it.
func (w *world) streams(_ *rand.Rand, n int) {
	ctx := context.WithoutCancel(w.Context())
	name := tributary.StreamName(fmt.Sprint("s", n%2))
	s, err := w.s.Stream(ctx, name)
	if err != nil {
		s, err = w.s.PutStream(ctx, tributary.Stream{Name: name, Kind: tributary.Embedded, Shards: tributary.EvenShards(2), Retention: time.Hour})
		if !w.ok("put stream", err) {
			return
		}
	}
	for range 3 {
		e := tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p", Data: fmt.Append(nil, w.ids.Add(1))}}
		at, err := w.s.Append(ctx, s.ID, []tributary.Entry{e})
		if !w.ok("append", err) {
			return
		}
		if n%3 == 0 {
			shard, _, _ := at[0].Split()
			w.ok("trim", w.s.Trim(ctx, shard, at[0]))
		}
	}
	w.ok("delete stream", w.s.DeleteStream(ctx, name))
}

// accessKeys makes a key, or deletes it if it is there.
func (w *world) accessKeys(_ *rand.Rand, n int) {
	ctx := context.WithoutCancel(w.Context())
	id := fmt.Sprint("world-", n%5)
	if _, there := w.keys[id]; there {
		if w.ok("delete access key", w.s.DeleteAccessKey(ctx, id)) {
			delete(w.keys, id)
		}
		return
	}
	k := tributary.AccessKey{ID: id, Name: fmt.Sprint("the ", n, "th"), Sealed: []byte("s")}
	if w.ok("put access key", w.s.PutAccessKey(ctx, k)) {
		k.Revision++
		w.keys[id] = k
	}
}

// device makes a device, or changes it.
func (w *world) device(identity tributary.IdentityID, id tributary.DeviceID) bool {
	d, _ := w.s.Device(w.Context(), identity, id)
	d.Identity, d.ID, d.Token = identity, id, fmt.Sprint("token ", w.ids.Add(1))
	if !w.ok("put device", w.s.PutDevice(context.WithoutCancel(w.Context()), d)) {
		return false
	}
	if d.Revision++; strings.HasPrefix(string(identity), "w:") {
		w.devices[tributary.DeviceItemKey(identity, id)] = d
	}
	return true
}

// putDevices changes devices of identities that stay, and deletes some.
func (w *world) putDevices(_ *rand.Rand, n int) {
	identity, id := tributary.IdentityID("w:1"), tributary.DeviceID(fmt.Sprint("d", n%5))
	key := tributary.DeviceItemKey(identity, id)
	if _, there := w.devices[key]; there && n%3 == 0 {
		if w.ok("delete device", w.s.DeleteDevice(context.WithoutCancel(w.Context()), identity, id)) {
			delete(w.devices, key)
		}
		return
	}
	if w.identity(identity) {
		w.device(identity, id)
	}
}

// follow reads the default log as a consumer does: nothing is skipped, nothing
// comes twice, and no read fails.
func (w *world) follow(ctx context.Context) {
	shard := tributary.Shard{Stream: tributary.DefaultStream, Number: 1}
	at, err := w.s.Find(ctx, shard, 0)
	w.check(err)
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		waiting, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		err := w.s.Wait(waiting, shard, at)
		cancel()
		if err != nil && waiting.Err() == nil {
			w.Errorf("wait: %v", err)
			return
		}
		entries, err := w.s.Read(ctx, shard, at, 10_000)
		w.check(err)
		for i := range entries {
			_, before, _ := at.Split()
			leaps := func(r storetest.Restore) bool {
				return before <= r.Base && entries[i].Position == tributary.PositionOf(shard, r.Base+1)
			}
			if want := tributary.PositionOf(shard, before+1); entries[i].Position != want && !slices.ContainsFunc(w.restores, leaps) {
				w.Errorf("after %s comes %s", at, entries[i].Position)
			}
			at = entries[i].Position
		}
	}
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Errorf("read: %v", err)
	}
}

// settled holds the store against all that was acknowledged.
func (w *world) settled(s tributary.Store) {
	w.Helper()
	ctx := context.WithoutCancel(w.Context())
	if err := w.books.Check(ctx, s); err != nil {
		w.Errorf("the books: %v", err)
	}
	storetest.CheckConsistent(w.TB, s, storetest.Checks{Lost: true, Usage: true, Restores: w.restores})
	leases, err := s.Leases(ctx, "pump")
	w.check(err)
	if w.lease.Revision > 0 && (len(leases) != 1 || leases[0] != w.lease) {
		w.Errorf("the lease is %+v, acknowledged was %+v", leases, w.lease)
	}
	devices := map[string]tributary.Device{}
	for _, id := range []tributary.IdentityID{"w:1", "c:0", "c:1"} { // of c there are none
		list, err := s.Devices(ctx, id)
		w.check(err)
		for _, d := range list {
			devices[tributary.DeviceItemKey(d.Identity, d.ID)] = d
		}
	}
	if !reflect.DeepEqual(devices, w.devices) {
		w.Errorf("the devices are %+v, acknowledged were %+v", devices, w.devices)
	}
	keys := map[string]tributary.AccessKey{}
	all, err := s.AccessKeys(ctx)
	w.check(err)
	for _, k := range all {
		if strings.HasPrefix(k.ID, "world-") { // others are of a program
			keys[k.ID] = k
		}
	}
	if !reflect.DeepEqual(keys, w.keys) {
		w.Errorf("the access keys are %+v, acknowledged were %+v", keys, w.keys)
	}
}

// frozen is how long writes were refused.
func (w *world) frozen() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.refused) == 0 {
		return 0
	}
	return w.refused[len(w.refused)-1].Sub(w.refused[0])
}
