package sim

import (
	"fmt"
	"maps"
	"slices"

	"dfs/errs"
	"dfs/fabric"
	"dfs/ids"
)

// mustLink returns the link of two nodes that have run at the same time.
func (n *Network) mustLink(a, b ids.NodeID) *link {
	l := n.link(a, b)
	if l == nil {
		panic(fmt.Sprintf("fabric/sim: nodes %d and %d have never met", a, b))
	}
	return l
}

// Clog makes what from sends to to wait.
func (n *Network) Clog(from, to ids.NodeID) { n.mustLink(from, to).end(to).clogged = true }

// Unclog ends Clog.
func (n *Network) Unclog(from, to ids.NodeID) {
	l := n.mustLink(from, to)
	l.end(to).clogged = false
	n.relieve(l)
}

// Cut makes what two nodes send each other wait. If Heal does not come within patience, the connection breaks
// at both ends and all that waits is lost; with no patience, at once.
func (n *Network) Cut(a, b ids.NodeID, patience Nanos) {
	l := n.mustLink(a, b)
	l.cut = true
	l.cuts++
	cut := l.cuts
	lost := func() {
		if l.cut && l.cuts == cut {
			n.disconnect(l, false, errs.New(errs.IO, "connection of nodes %d and %d timed out", l.a, l.b))
		}
	}
	if patience <= 0 {
		lost()
		return
	}
	n.At(n.now+patience, lost)
}

// Heal ends Cut.
func (n *Network) Heal(a, b ids.NodeID) {
	l := n.mustLink(a, b)
	l.cut = false
	n.relieve(l)
}

// Break breaks the connection of two nodes, if there is one. It is made again later.
func (n *Network) Break(a, b ids.NodeID) {
	n.disconnect(n.mustLink(a, b), true, errs.New(errs.IO, "connection of nodes %d and %d was reset", a, b))
}

// Connected reports whether two nodes have a connection that is not broken. The nodes may not have been
// told yet.
func (n *Network) Connected(a, b ids.NodeID) bool {
	l := n.link(a, b)
	return l != nil && l.conn != nil
}

// Pause keeps everything from a node. What runs on it by itself is the simulator's to stop.
func (n *Network) Pause(id ids.NodeID) { n.paused[id] = true }

// Paused reports whether a node is paused.
func (n *Network) Paused(id ids.NodeID) bool { return n.paused[id] }

// Resume ends Pause.
func (n *Network) Resume(id ids.NodeID) {
	delete(n.paused, id)
	for _, peer := range n.ids() {
		if l := n.link(id, peer); peer != id && l != nil {
			n.relieve(l)
		}
	}
}

// relieve lets go on what waited for the end of a fault.
func (n *Network) relieve(l *link) {
	for _, e := range l.ends {
		n.arm(e)
	}
	n.maybeConnect(l)
}

// Crash stops a node: its connections break, nothing reaches it any more, and calls on its endpoint have no
// effect.
func (n *Network) Crash(id ids.NodeID) {
	ep := n.nodes[id]
	if ep == nil {
		return
	}
	delete(n.nodes, id)
	ep.crashed, ep.regions = true, nil
	for _, peer := range slices.Sorted(maps.Keys(ep.ends)) {
		e := ep.ends[peer]
		e.owner = nil
		n.disconnect(e.link, true, errs.New(errs.IO, "node %d is gone", id))
		e.in.clear()
		e.conn, e.out, e.waiting, e.fence = nil, nil, false, fabric.Fence{}
	}
}
