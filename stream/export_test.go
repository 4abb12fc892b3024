package stream

// Share is how many of a number of leases the node is to hold.
func (n *Node) Share(leases int) int { return n.share(leases) }
