package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// network gives every node an address. Where the machine lets the test make
// network namespaces, each node is in one of its own, on a bridge, and can be
// cut off; else the addresses are those of the loopback device.
type network struct {
	t      *testing.T
	prefix string // of the addresses: three of their four numbers
	bridge string // "": there is none
	nodes  []int  // which have a namespace
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t}
	t.Cleanup(n.remove)
	var err error
	for i := range 10 { // other tests may run at the same time
		if err = n.make((os.Getpid() + i) % 250); err == nil {
			return n
		}
		n.remove()
	}
	n.prefix = fmt.Sprintf("127.213.%d", os.Getpid()%250)
	t.Logf("WITHOUT NETWORK FAULTS: nodes and database share the loopback device, because no network namespace can be made: %v", err)
	return n
}

// make makes the bridge and the namespaces of a number from 0 to 249.
func (n *network) make(number int) error {
	bridge := fmt.Sprintf("tributary%d", number)
	if err := ip("link", "add", bridge, "type", "bridge"); err != nil {
		return err
	}
	n.prefix, n.bridge = fmt.Sprintf("10.213.%d", number), bridge
	for _, host := range []int{1, 2, 3} { // the clients', and those of the databases
		if err := ip("address", "add", n.host(host)+"/24", "dev", bridge); err != nil {
			return err
		}
	}
	if err := ip("link", "set", bridge, "up"); err != nil {
		return err
	}
	for i := range nodeCount {
		if err := n.add(i + 1); err != nil {
			return err
		}
	}
	return nil
}

func firstError(err error, steps ...func() error) error {
	for _, step := range steps {
		if err == nil {
			err = step()
		}
	}
	return err
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// remove takes all of it away.
func (n *network) remove() {
	for _, i := range n.nodes {
		_ = ip("link", "delete", n.device(i)) // at once, and its other end with it
		_ = ip("netns", "delete", n.namespace(i))
	}
	if n.bridge != "" {
		_ = ip("link", "delete", n.bridge)
	}
	n.nodes, n.bridge = nil, ""
}

// canCut tells whether nodes can be cut off.
func (n *network) canCut() bool { return n.bridge != "" }

func (n *network) host(i int) string      { return fmt.Sprintf("%s.%d", n.prefix, i) }
func (n *network) nodeHost(i int) string  { return n.host(10 + i) }
func (n *network) all() string            { return n.host(0) + "/24" }
func (n *network) namespace(i int) string { return fmt.Sprintf("%s-%d", n.bridge, i) }
func (n *network) device(i int) string    { return fmt.Sprintf("%s.%d", n.bridge, i) }

// add makes the namespace of a node.
func (n *network) add(i int) error {
	space, device := n.namespace(i), n.device(i)
	if err := ip("netns", "add", space); err != nil {
		return err
	}
	n.nodes = append(n.nodes, i)
	for _, args := range [][]string{
		{"link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", space},
		{"link", "set", device, "master", n.bridge, "up"},
		{"-n", space, "address", "add", n.nodeHost(i) + "/24", "dev", "eth0"},
		{"-n", space, "link", "set", "eth0", "up"},
		{"-n", space, "link", "set", "lo", "up"},
		// It talks with the databases from an address of its own.
		{"-n", space, "address", "add", n.host(20+i) + "/24", "dev", "eth0"},
		{"-n", space, "route", "add", n.host(2) + "/32", "dev", "eth0", "src", n.host(20 + i)},
		{"-n", space, "route", "add", n.host(3) + "/32", "dev", "eth0", "src", n.host(20 + i)},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// within is the command that runs another one as a node.
func (n *network) within(i int) []string {
	if n.bridge == "" {
		return nil
	}
	return []string{"ip", "netns", "exec", n.namespace(i)}
}

// plug connects a node with everybody, or with nobody.
func (n *network) plug(i int, in bool) error {
	state := "down"
	if in {
		state = "up"
	}
	return ip("link", "set", n.device(i), state)
}

// link lets a node and the databases reach each other, or not: what they send
// is lost then, also on open connections, and nobody is told.
func (n *network) link(i int, open bool) error {
	const nobody = "02:00:00:00:00:01" // no device has it
	neighbour := func(address, device string, at ...string) error {
		if open {
			return ip(append(at, "neighbour", "delete", address, "dev", device)...)
		}
		return ip(append(at, "neighbour", "replace", address, "lladdr", nobody, "dev", device, "nud", "permanent")...)
	}
	return firstError(neighbour(n.host(20+i), n.bridge),
		func() error { return neighbour(n.host(2), "eth0", "-n", n.namespace(i)) },
		func() error { return neighbour(n.host(3), "eth0", "-n", n.namespace(i)) })
}
