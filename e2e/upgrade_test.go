package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// upgradeFrom is the commit of the version before. It moves on when a version
// is released, or when the database's schema gets another step.
const upgradeFrom = "f790d44"

// oldBinary builds the version before from the repository's history.
func oldBinary(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "old")
	if out, err := exec.Command("git", "-C", "..", "rev-parse", "--verify", "--quiet", upgradeFrom+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("commit %s is not in this clone's history, so that there is no version before: %v %s", upgradeFrom, err, out)
	}
	run := func(dir, name string, args ...string) {
		t.Helper()
		c := exec.Command(name, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
	}
	run("..", "git", "worktree", "add", "--detach", dir, upgradeFrom)
	t.Cleanup(func() { run("..", "git", "worktree", "remove", "--force", dir) })
	run(dir, "go", "build", "-o", filepath.Join(dir, "tributary"), "./cmd/tributary")
	return filepath.Join(dir, "tributary")
}

// TestRollingUpgrade replaces two old nodes over one database by new ones, one
// after the other, goes back with one of them in between, and every client
// syncs all the time, through nodes of both versions. Nobody notices anything.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	ownDatabase(t)
	old := oldBinary(t)
	_, url := newDatabase(t, 9)
	shared := sharedMasterKey(t)
	u := &upgrade{T: t}
	for i := range u.nodes {
		s := newServer(t, "--master-key-file", shared, "--warehouse", "none")
		s.env, s.program = append(s.env, "TRIBUTARY_STORE="+url), old
		s.start()
		u.nodes[i].server = s
		if i == 0 {
			u.dev = s.developer()
		}
		u.nodes[i].up.Store(true)
	}
	pool := u.dev.newPool(t, "upgrade")
	u.dev.newStream(t, pool, "upgrade", 2)
	var done atomic.Bool
	var load sync.WaitGroup
	const clients = 8
	counts := make([]int64, clients)
	for i := range clients {
		d := dataset{pool, u.dev.newGuest(t, pool).identity, "d"}
		load.Go(func() {
			for !done.Load() && !t.Failed() {
				counts[i] = u.sync(d, counts[i], i)
			}
		})
	}
	for _, step := range []struct {
		node    int
		program string
	}{{0, ""}, {0, old}, {0, ""}, {1, ""}} {
		<-time.After(500 * time.Millisecond)
		u.replace(step.node, step.program)
	}
	<-time.After(500 * time.Millisecond)
	done.Store(true)
	load.Wait()
	var syncs int64
	for _, n := range counts {
		syncs += n
	}
	u.dev.url = u.nodes[1].url
	if events := u.dev.readStream(t, "upgrade"); int64(len(events)) != syncs {
		t.Errorf("of %d syncs there are %d events", syncs, len(events))
	}
	if syncs < clients*10 {
		t.Errorf("there were only %d syncs", syncs)
	}
	t.Logf("%d syncs", syncs)
}

// upgrade is two nodes, each in use or not.
type upgrade struct {
	*testing.T
	dev   *caller
	nodes [2]struct {
		*server
		using sync.RWMutex // held for reading by requests under way
		up    atomic.Bool
	}
}

// replace starts a node anew with another program.
func (u *upgrade) replace(i int, program string) {
	u.Helper()
	n := &u.nodes[i]
	n.up.Store(false)
	n.using.Lock()
	defer n.using.Unlock()
	n.stop()
	n.program = program
	n.start()
	n.up.Store(true)
}

// through calls f with the URL of a node that is up, in turn.
func (u *upgrade) through(turn int, f func(dev *caller)) {
	for ; ; turn++ {
		n := &u.nodes[turn%len(u.nodes)]
		if !n.up.Load() || !n.using.TryRLock() {
			continue
		}
		dev := *u.dev
		dev.url = n.url
		f(&dev)
		n.using.RUnlock()
		return
	}
}

// sync reads a dataset at one node and writes it at another.
func (u *upgrade) sync(d dataset, last int64, turn int) int64 {
	var l listing
	u.through(int(last)+turn, func(dev *caller) { l = dev.list(u.T, d) })
	if l.DatasetSyncCount != last {
		u.Errorf("%s has sync count %d after %d was acknowledged", d.path(), l.DatasetSyncCount, last)
	}
	u.through(int(last)+turn+1, func(dev *caller) {
		var out struct{ Records []record }
		dev.rest(u.T, "POST", d.path(), update{l.SyncSessionToken, []patch{replace("k", fmt.Sprint(last), last)}}, &out)
	})
	return last + 1
}
