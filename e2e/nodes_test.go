package e2e

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	nodePort  = "7070" // of every node: each has an address of its own
	nodeCount = 3
)

// cluster is nodes over a database that fails over.
type cluster struct {
	t     *testing.T
	net   *network
	db    *pair
	nodes []*node
}

// newCluster starts it, and returns when all nodes are ready.
func newCluster(t *testing.T, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, net: newNetwork(t)}
	c.db = newPair(t, c.net.all(), c.net.host(2), c.net.host(3))
	shared := sharedMasterKey(t)
	for i := range nodeCount {
		n := &node{server: newServer(t), number: i + 1}
		n.within = c.net.within(n.number)
		n.url = "http://" + c.net.nodeHost(n.number) + ":" + nodePort
		n.args = append([]string{"serve", "--listen", c.net.nodeHost(n.number) + ":" + nodePort, "--public-url", n.url, "--account", account,
			"--data", n.data, "--master-key-file", shared, "--shards", "4", "--identity-rate", "0"}, args...)
		n.env = append(n.env, "TRIBUTARY_STORE="+c.db.url())
		n.come()
		c.nodes = append(c.nodes, n)
	}
	if err := c.nodes[0].revive(); err != nil { // which makes the first key
		t.Fatal(err)
	}
	var starting sync.WaitGroup
	for _, n := range c.nodes[1:] {
		starting.Go(func() {
			if err := n.revive(); err != nil {
				t.Error(err)
			}
		})
	}
	if starting.Wait(); t.Failed() {
		t.FailNow()
	}
	return c
}

// sharedMasterKey makes the file that all nodes have.
func sharedMasterKey(t *testing.T) string {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	path := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitReady returns when every node is ready, or one is not in time.
func (c *cluster) awaitReady(within time.Duration) error {
	until := time.Now().Add(within)
	for _, n := range c.nodes {
		if err := poll(time.Until(until), n.ready); err != nil {
			return fmt.Errorf("node %d, %v after all was healed: %w", n.number, within, err)
		}
	}
	return nil
}

// node is one of them. It has an address for all its runs.
type node struct {
	*server
	number int

	mu      sync.Mutex // guards what follows
	present context.Context
	absent  context.CancelFunc // ends present; nil: clients do not reach the node
	changed time.Time          // when it last came or left
}

// patience is how long clients wait for a node that they do not reach.
const patience = 150 * time.Millisecond

// leave says that clients do not reach the node. Those that wait for it give
// up after a while.
func (n *node) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	time.AfterFunc(patience, n.absent)
	n.absent, n.changed = nil, time.Now()
}

// come says that clients reach it again.
func (n *node) come() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.present, n.absent = context.WithCancel(n.t.Context())
	n.changed = time.Now()
}

// reach is for a request to the node that waits for its answer for some time.
func (n *node) reach(within time.Duration) (context.Context, context.CancelFunc) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.absent == nil {
		return context.WithTimeout(n.t.Context(), patience)
	}
	return context.WithTimeout(n.present, within)
}

// wasAway tells whether clients had a reason not to reach it since a time, or
// just before: connections from then may be broken.
func (n *node) wasAway(since time.Time) bool {
	const before = 2 * time.Second
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.absent == nil || n.changed.After(since.Add(-before))
}

// revive starts the node until it stays, as those who run it would: it ends
// where it finds no database.
func (n *node) revive() error {
	n.launchWith(n.args...)
	return poll(time.Minute, func() error {
		if n.hasEnded() {
			n.launchWith(n.args...)
		}
		if readyPattern.MatchString(n.stdout.String()) {
			return nil
		}
		return fmt.Errorf("node %d does not start: %s", n.number, n.stderr)
	})
}

// ready asks the node whether it would take a write.
func (n *node) ready() error {
	ctx, cancel := context.WithTimeout(n.t.Context(), mostAnswer)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return errors.New("/readyz: " + answer.Status)
	}
	return nil
}
