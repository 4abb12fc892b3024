package e2e

import (
	"sync"
	"syscall"
	"time"
)

// leaseTime is how long the nodes hold a lease that they do not renew.
const leaseTime = 10 * time.Second

// fault fails something, and heals it. What it draws is drawn by the time it
// is made, so that a seed gives the same faults.
type fault struct {
	name string
	node bool // it is a node's
	run  func(n *node) error
}

// each is one fault of each kind, and a second kill.
func (c *chaosTest) each() []fault {
	const short = 2 * time.Second
	faults := []fault{c.killing(), c.pausing(), c.failingOver(c.between(0, short)), c.killing()}
	if c.net.canCut() {
		faults = append(faults, c.hiding(), c.unplugging())
	}
	return faults
}

// stall is a standby that holds commits up for longer than anybody waits for
// them, and is promoted.
func (c *chaosTest) stall() []fault {
	return []fault{c.failingOver(mostAnswer + 3*time.Second)}
}

// wreak begins faults at random times and in a random order, most of them while
// others last, and returns when all is healed.
func (c *chaosTest) wreak(faults []fault) {
	c.rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	var running sync.WaitGroup
	for _, f := range faults {
		pause := c.between(200*time.Millisecond, 2*time.Second)
		if <-time.After(pause); c.Failed() {
			break
		}
		var n *node
		if f.node {
			n = <-c.idle
		}
		running.Go(func() {
			at, number := time.Since(c.began), 0
			if n != nil {
				number = n.number
				defer func() { c.idle <- n }()
			}
			if err := f.run(n); err != nil {
				c.Errorf("%s: %v", f.name, err)
			}
			c.Logf("%5.1f s to %5.1f s: %s, node %d", at.Seconds(), time.Since(c.began).Seconds(), f.name, number)
		})
	}
	running.Wait()
}

// between draws a time.
func (c *chaosTest) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rng.Int64N(int64(most-least)))
}

// killing kills a node and starts it again.
func (c *chaosTest) killing() fault {
	down := c.between(0, 2*time.Second)
	return fault{"kill", true, func(n *node) error {
		n.leave()
		n.kill()
		<-time.After(down)
		err := n.revive()
		n.come()
		return err
	}}
}

// pausing stops a node for longer than its leases hold. It goes on where it
// was, with the requests that it had got.
func (c *chaosTest) pausing() fault {
	down := leaseTime + c.between(500*time.Millisecond, 2*time.Second)
	return fault{"pause", true, func(n *node) error {
		n.leave()
		n.signal(syscall.SIGSTOP)
		<-time.After(down)
		n.signal(syscall.SIGCONT)
		n.come()
		return nil
	}}
}

// unplugging cuts a node off from everybody.
func (c *chaosTest) unplugging() fault {
	down := c.between(time.Second, 8*time.Second)
	return fault{"cut from all", true, func(n *node) error {
		n.leave()
		err := c.net.plug(n.number, false)
		<-time.After(down)
		err = firstError(err, func() error { return c.net.plug(n.number, true) })
		n.come()
		return err
	}}
}

// hiding cuts a node off from the databases. Clients still reach it.
func (c *chaosTest) hiding() fault {
	down := c.between(time.Second, mostAnswer+2*time.Second)
	return fault{"cut from the database", true, func(n *node) error {
		err := c.net.link(n.number, false)
		<-time.After(down)
		err = firstError(err, func() error { return c.net.link(n.number, true) })
		return err
	}}
}

// failingOver stops the standby for a while, so that the primary has what the
// standby has not, kills the primary, promotes the standby, and makes a new one.
func (c *chaosTest) failingOver(stall time.Duration) fault {
	outage := c.between(0, 3*time.Second)
	return fault{"promotion", false, func(*node) error {
		c.db.standby.crash()
		<-time.After(stall)
		c.db.primary.crash()
		return firstError(c.db.standby.up(), func() error { return c.db.failOver(outage) }, c.db.rebuild)
	}}
}
