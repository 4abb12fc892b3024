package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mostAnswer is how long a node may take for an answer, whatever has become of
// the database.
const mostAnswer = 15 * time.Second

// impatience is after how long most requests are given up, and sent again to
// any node. The others wait, to see how long an answer takes.
const impatience = time.Second

// mostRecovery is how long the nodes may take to be ready, and to answer all
// that they were asked, once nothing fails any more.
const mostRecovery = 15 * time.Second

// TestChaos syncs from many clients through three nodes over a database with a
// synchronous standby, while nodes are killed, paused and cut off, and the
// standby is promoted, in an order and at times that the seed draws. What was
// acknowledged must be there, in order and once, wherever it is looked for; and
// a client must get an answer that makes it try again wherever it can get one.
func TestChaos(t *testing.T) {
	t.Parallel()
	ownDatabase(t)
	rng := random(t)
	for range soak(t) {
		seed := rng.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testChaos(t, rand.New(rand.NewPCG(seed, seed)), (*chaosTest).each) })
	}
}

// TestStalledStandby has a standby that takes nothing any more for a while, and
// is promoted then: what the primary could not hand over was not acknowledged,
// and nobody has seen it.
func TestStalledStandby(t *testing.T) {
	t.Parallel()
	ownDatabase(t)
	testChaos(t, random(t), (*chaosTest).stall)
}

func testChaos(t *testing.T, rng *rand.Rand, faults func(*chaosTest) []fault) {
	began := time.Now()
	c := newChaosTest(t, rng)
	c.began = time.Now()
	c.Logf("the cluster took %.1f s to start", time.Since(began).Seconds())
	var load sync.WaitGroup
	for _, writers := range c.clients {
		source := c.source()
		load.Go(func() {
			for n := 0; !c.ending.Load() && !c.Failed(); n++ {
				c.write(writers[n%len(writers)], source)
				<-time.After(5 * time.Millisecond)
			}
		})
	}
	seen := c.follow(&load)
	c.wreak(faults(c))
	if err := c.awaitReady(mostRecovery); err != nil {
		c.Error(err)
	}
	healed := time.Now()
	c.ending.Store(true)
	load.Wait()
	c.Logf("chaos took %.1f s; the last answer came %.1f s after all was healed", healed.Sub(c.began).Seconds(), time.Since(healed).Seconds())
	c.Logf("%d syncs acknowledged or found whole; answers: %v", c.syncs(), c.answers.String())
	if c.Failed() {
		c.FailNow()
	}
	c.checkStore()
	c.checkFollowed(seen, c.checkLog())
	for _, n := range c.nodes {
		c.s, c.dev.url = n.server, n.url
		n.credentials = c.nodes[0].data + "/credentials" // the only one: the others found a key in the store
		n.awaitWarehouse()
		c.checkWarehouse()
	}
}

// chaosTest is a killTest whose clients go to any node, and again after an
// answer that was lost.
type chaosTest struct {
	*killTest
	*cluster
	began   time.Time
	ending  atomic.Bool // no new syncs
	answers tally
	idle    chan *node // those without a fault
}

func newChaosTest(t *testing.T, rng *rand.Rand) *chaosTest {
	t.Helper()
	// On a disk that the nodes share: any of them can take the file over.
	file := filepath.Join(t.TempDir(), "warehouse.duckdb")
	c := &chaosTest{cluster: newCluster(t, "--warehouse-file", file)}
	s := c.nodes[0].server
	k := &killTest{T: t, rng: rng, s: s, dev: s.developer(), stream: "chaos", datasets: map[dataset][]*writer{}}
	c.killTest = k
	k.pool = k.dev.newPool(t, k.stream)
	k.dev.newStream(t, k.pool, k.stream, 4)
	const clients, identities = 12, 8
	for range identities {
		k.guests = append(k.guests, k.dev.newGuest(t, k.pool))
	}
	for i := range clients {
		// One dataset is shared by two clients, which come through different
		// nodes most often; the other is the client's own.
		k.clients = append(k.clients, []*writer{k.newWriter(i/2, i), k.newWriter(clients/2+i, i+clients)})
	}
	k.refresh()
	c.idle = make(chan *node, len(c.nodes))
	for _, i := range rng.Perm(len(c.nodes)) {
		c.idle <- c.nodes[i]
	}
	return c
}

// source is randomness for one goroutine.
func (c *chaosTest) source() *rand.Rand { return rand.New(rand.NewPCG(c.rng.Uint64(), 1)) }

// tally counts answers by their kind.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	worst  time.Duration // for an answer of a node that was there
}

func (a *tally) add(kind string, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts == nil {
		a.counts = map[string]int{}
	}
	a.counts[kind]++
	a.worst = max(a.worst, took)
}

func (a *tally) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("%v, the slowest after %v", a.counts, a.worst.Round(time.Millisecond))
}

// ask sends a request to a node drawn at random, again and again through any
// of them until one gives an answer that is neither an outage nor a refusal
// for now, which it gives. Tries is how often it has asked. It is false if the
// nodes never did.
func (c *chaosTest) ask(source *rand.Rand, from *caller, service, method, path, target string, body []byte) (a answer, tries int, ok bool) {
	header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
	if target != "" {
		header.Set("X-Amz-Target", targets[service]+"."+target)
	}
	what := target
	if what == "" {
		what = method
	}
	var until time.Time // zero: not all is healed
	for ; !c.Failed(); tries++ {
		n := c.nodes[source.IntN(len(c.nodes))]
		within := 2 * mostAnswer
		if source.IntN(4) > 0 {
			within = impatience
		}
		if a, ok := c.askNode(n, within, from, service, method, path, what, header, body); ok {
			return a, tries + 1, true
		}
		if c.ending.Load() && until.IsZero() {
			until = time.Now().Add(mostRecovery)
		} else if !until.IsZero() && time.Now().After(until) {
			c.Errorf("%s: no answer %v after all was healed", what, mostRecovery)
		}
		<-time.After(time.Duration(10+source.IntN(50)) * time.Millisecond) // as a client does
	}
	return a, tries, false
}

// askNode sends a request once. It is false if it should be sent again.
func (c *chaosTest) askNode(n *node, within time.Duration, from *caller, service, method, path, what string, header http.Header, body []byte) (answer, bool) {
	to := *from
	to.url = n.url
	r, err := to.requestAt(time.Now(), region, service, method, path, body, header)
	if err != nil {
		c.Error(err)
		return answer{}, false
	}
	ctx, cancel := n.reach(within)
	defer cancel()
	began := time.Now()
	a, err := to.send(r.WithContext(ctx))
	took, away := time.Since(began), n.wasAway(began)
	at := fmt.Sprintf("%s at node %d, %.1f s after the begin", what, n.number, began.Sub(c.began).Seconds())
	switch {
	case err != nil && away:
		c.answers.add("away", 0)
		return a, false
	case err != nil && within == impatience && errors.Is(ctx.Err(), context.DeadlineExceeded):
		c.answers.add("given up", 0)
		return a, false
	case err != nil:
		c.Errorf("%s: no answer within %v, and nothing kept it from that: %v", at, took, err)
		return a, false
	}
	if away {
		took = 0 // says nothing
	}
	c.answers.add(fmt.Sprint(a.status), took)
	if took > mostAnswer {
		c.Errorf("%s: status %d after %v", at, a.status, took)
	}
	if a.status == http.StatusOK {
		return a, true
	}
	if err := isRefusal(a); err != nil {
		c.Errorf("%s: %v", at, err)
	}
	return a, a.status == http.StatusConflict // for the caller to judge
}

// isRefusal checks an answer that is no success: a client must be able to read
// it, and to see in it that it may try again.
func isRefusal(a answer) error {
	var body struct {
		Message string `json:"message"`
	}
	err := json.Unmarshal(a.body, &body)
	header := func(name string) bool { return a.header.Get(name) != "" }
	switch {
	case err != nil, body.Message == "", !header("X-Amzn-Errortype"), !header("X-Amzn-Requestid"):
		return fmt.Errorf("status %d, headers %v: no AWS error: %s", a.status, a.header, clip(string(a.body)))
	case a.status == http.StatusServiceUnavailable && header("Retry-After"), a.status == http.StatusTooManyRequests, a.status == http.StatusConflict:
		return nil
	}
	return fmt.Errorf("status %d, headers %v: %s", a.status, a.header, clip(string(a.body)))
}

// write does one sync, until it is known what became of it.
func (c *chaosTest) write(w *writer, source *rand.Rand) {
	w.tried++
	body, err := json.Marshal(update{w.token, w.patches(w.tried)})
	if err != nil {
		c.Error(err)
		return
	}
	a, tries, ok := c.ask(source, w.caller, syncService, http.MethodPost, w.data.path(), "", body)
	switch {
	case !ok:
	case a.status == http.StatusConflict && tries == 1:
		c.Errorf("%s, writer %d: sync %d after count %d: %v", w.data.path(), w.id, w.tried, w.last, errorOf("UpdateRecords", a, nil))
	case a.status == http.StatusConflict:
		// An earlier try was applied, although its answer said otherwise, or
		// was lost.
		w.pending = w.tried
		if c.look(w, source); w.ackedNumber() != w.tried && !c.Failed() {
			c.Errorf("%s, writer %d: sync %d is refused, and was not applied: %s", w.data.path(), w.id, w.tried, a.body)
		}
	default:
		var out struct{ Records []record }
		if err := json.Unmarshal(a.body, &out); err != nil || len(out.Records) != killKeys {
			c.Error(errorOf("UpdateRecords", a, err))
			return
		}
		for i, r := range out.Records {
			if r.Key != w.key(i) || r.SyncCount != out.Records[0].SyncCount || r.SyncCount <= w.last {
				c.Errorf("%s, writer %d: sync after count %d: record %d is %+v", w.data.path(), w.id, w.last, i, r)
				return
			}
		}
		w.acknowledge(out.Records[0].SyncCount, w.tried)
		if source.IntN(3) == 0 {
			c.look(w, source)
		}
	}
}

// look lists a writer's records through any node: the last sync that was
// acknowledged must show.
func (c *chaosTest) look(w *writer, source *rand.Rand) {
	a, _, ok := c.ask(source, w.caller, syncService, http.MethodGet, w.data.path()+"/records?lastSyncCount=0", "", nil)
	if !ok {
		return
	}
	var l listing
	err := json.Unmarshal(a.body, &l)
	if err == nil {
		l.Records = slices.DeleteFunc(l.Records, func(r record) bool { return !w.is(r.Key) })
		err = w.settle(l.Records)
	}
	if err == nil && l.DatasetSyncCount < w.last {
		err = fmt.Errorf("sync count %d after %d was acknowledged", l.DatasetSyncCount, w.last)
	}
	if err != nil {
		c.Errorf("%s, %.1f s after the begin: %v", w.data.path(), time.Since(c.began).Seconds(), err)
	}
}

// follow reads the stream while it grows, each shard through any node.
func (c *chaosTest) follow(load *sync.WaitGroup) [][]event {
	seen := make([][]event, 4)
	for shard := range seen {
		source, id := c.source(), fmt.Sprintf("shardId-%012d", shard)
		load.Go(func() { seen[shard] = c.followShard(id, source) })
	}
	return seen
}

func (c *chaosTest) followShard(shard string, source *rand.Rand) (events []event) {
	body := encode(c.T, object{"StreamName": c.stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"})
	var first struct{ ShardIterator string }
	a, _, ok := c.ask(source, c.dev, kinesisService, http.MethodPost, "/", "GetShardIterator", body)
	if ok {
		decode(c.T, a.body, &first)
	}
	for iterator := first.ShardIterator; ok; <-time.After(20 * time.Millisecond) {
		ending := c.ending.Load()
		if a, _, ok = c.ask(source, c.dev, kinesisService, http.MethodPost, "/", "GetRecords", encode(c.T, object{"ShardIterator": iterator})); !ok {
			break
		}
		more, page, err := readPage(shard, a)
		if err != nil {
			c.Error(err)
			break
		}
		events, iterator = append(events, more...), page.NextShardIterator
		if ending && page.MillisBehindLatest == 0 {
			break
		}
	}
	return events
}

// checkFollowed compares what was read during the chaos with the log as it is:
// what was shown stays, at its place. Syncs that were acknowledged last may
// have come after the last read.
func (c *chaosTest) checkFollowed(seen [][]event, log []event) {
	for shard, events := range seen {
		var have []event
		for _, e := range log {
			if e.shard == fmt.Sprintf("shardId-%012d", shard) {
				have = append(have, e)
			}
		}
		if len(events) > len(have) {
			c.Fatalf("shard %d: %d entries were read, now there are %d", shard, len(events), len(have))
		}
		for i := range events {
			was, is := encode(c.T, events[i]), encode(c.T, have[i])
			if events[i].sequence != have[i].sequence || string(was) != string(is) {
				c.Fatalf("shard %d: entry %d was %s: %s\nnow it is %s: %s", shard, i, events[i].sequence, was, have[i].sequence, is)
			}
		}
		c.Logf("shard %d: %d entries, %d of them read during the chaos", shard, len(have), len(events))
	}
}
