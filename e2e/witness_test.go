package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// witness reads while others write, and remembers the highest sync count that
// it was shown of each dataset. What was shown must survive a kill.
type witness struct {
	caller  *caller
	stopped func() bool // the server is being killed

	mu   sync.Mutex
	seen map[dataset]int64
}

func (w *witness) see(d dataset, count int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[d] = max(w.seen[d], count)
}

// list lists datasets until the server is gone.
func (w *witness) list(t *testing.T, datasets []dataset) {
	for i := 0; ; i++ {
		d := datasets[i%len(datasets)]
		r, err := w.caller.request(syncService, "GET", d.path()+"/records?maxResults=1", nil)
		if err != nil {
			t.Error(err)
			return
		}
		var l listing
		a, err := w.caller.send(r)
		if !w.understands(t, "ListRecords", a, err, &l) {
			return
		}
		w.see(d, l.DatasetSyncCount)
	}
}

// follow reads what comes into a shard until the server is gone.
func (w *witness) follow(t *testing.T, iterator string) {
	for {
		var page streamPage
		a, err := w.caller.rpc(kinesisService, "GetRecords", fmt.Appendf(nil, `{"ShardIterator":%q}`, iterator))
		if !w.understands(t, "GetRecords", a, err, &page) {
			return
		}
		for _, r := range page.Records {
			var e event
			if err := json.Unmarshal(r.Data, &e); err != nil {
				t.Error(err)
				return
			}
			w.see(dataset{e.IdentityPoolID, e.IdentityID, e.DatasetName}, e.SyncCount)
		}
		iterator = page.NextShardIterator
	}
}

// understands reads an answer. It is false when there is none.
func (w *witness) understands(t *testing.T, what string, a answer, err error, out any) bool {
	if err != nil && w.stopped() {
		return false
	}
	if err == nil && a.status == 200 {
		err = json.Unmarshal(a.body, out)
	}
	if err != nil || a.status != 200 {
		t.Error(errorOf(what, a, err))
		return false
	}
	return true
}

// watch begins to read, in the background.
func (k *killTest) watch(running *sync.WaitGroup) *witness {
	w := &witness{caller: k.dev, stopped: k.killed.Load, seen: map[dataset]int64{}}
	var datasets []dataset
	for d := range k.datasets {
		datasets = append(datasets, d)
	}
	slices.SortFunc(datasets, func(a, b dataset) int { return strings.Compare(a.name, b.name) })
	running.Go(func() { w.list(k.T, datasets) })
	for shard := range 4 {
		var out struct{ ShardIterator string }
		k.dev.call(k.T, kinesisService, "GetShardIterator", object{
			"StreamName": k.stream, "ShardId": fmt.Sprintf("shardId-%012d", shard), "ShardIteratorType": "LATEST",
		}, &out)
		running.Go(func() { w.follow(k.T, out.ShardIterator) })
	}
	return w
}

// checkSeen checks that what was shown to the witness is still there.
func (k *killTest) checkSeen(w *witness) {
	for d, count := range w.seen {
		if have := k.dev.list(k.T, d).DatasetSyncCount; have < count {
			k.Errorf("%s: sync count %d was shown before the kill, now it is %d", d.path(), count, have)
		}
	}
}
