package fabrictest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dfs/fabric"
	"dfs/ids"
)

// Net is a network of nodes under test, all of them peers of each other.
type Net struct {
	// Nodes are the nodes' fabrics. They connect by themselves.
	Nodes map[ids.NodeID]fabric.Fabric
	// Step does the next thing that is due, and reports false if there is nothing to do. It is nil
	// if the network works by itself.
	Step func() bool
	// Break cuts the connection between two nodes, what is in flight included. It is made anew later.
	Break func(a, b ids.NodeID)
	// Stall keeps a node from taking what its peers send, until resume is called.
	Stall func(node ids.NodeID) (resume func())
}

// Open makes a network of the nodes 1 to n, whose callbacks are events(id).
type Open func(t *testing.T, n int, events func(id ids.NodeID) fabric.Events) *Net

// patience is how long a network that works by itself may take for any one thing.
const patience = 2 * time.Minute

// event is one callback of one peer, as it was seen.
type event struct {
	kind string // up, down, message
	peer ids.NodeID
	msg  []byte
}

// node records what one fabric tells its owner.
type node struct {
	fabric.Fabric
	id    ids.NodeID
	wakes atomic.Uint64

	mu     sync.Mutex
	events []event
	// on, if set, sees each event as it comes, from the callback.
	on func(e event)
	// onWake, if set, is called from Wake.
	onWake func()
}

// bench is one test's network with its recorders.
type bench struct {
	t       *testing.T
	net     *Net
	nodes   map[ids.NodeID]*node
	changed chan struct{}
}

// open makes a network of n nodes and waits until all are connected. prepare, if not nil, may set
// hooks of a node before anything happens.
func open(t *testing.T, open Open, n int, prepare func(n *node)) *bench {
	t.Helper()
	b := &bench{t: t, nodes: map[ids.NodeID]*node{}, changed: make(chan struct{}, 1)}
	for id := ids.NodeID(1); id <= ids.NodeID(n); id++ {
		b.nodes[id] = &node{id: id}
		if prepare != nil {
			prepare(b.nodes[id])
		}
	}
	b.net = open(t, n, func(id ids.NodeID) fabric.Events { return b.record(b.nodes[id]) })
	for id, nd := range b.nodes {
		nd.Fabric = b.net.Nodes[id]
	}
	t.Cleanup(func() {
		for _, nd := range b.nodes {
			_ = nd.Close()
		}
	})
	b.wait("all nodes to be connected", func() bool {
		for _, nd := range b.nodes {
			for peer := range b.nodes {
				if peer != nd.id && !nd.connected(peer) {
					return false
				}
			}
		}
		return true
	})
	return b
}

func (b *bench) record(nd *node) fabric.Events {
	add := func(e event) {
		nd.mu.Lock()
		nd.events = append(nd.events, e)
		on := nd.on
		nd.mu.Unlock()
		if on != nil {
			on(e)
		}
		b.touch()
	}
	return fabric.Events{
		Up:      func(peer ids.NodeID) { add(event{kind: "up", peer: peer}) },
		Down:    func(peer ids.NodeID, err error) { add(event{kind: "down", peer: peer, msg: fmt.Append(nil, err)}) },
		Message: func(peer ids.NodeID, msg []byte) { add(event{kind: "message", peer: peer, msg: msg}) },
		Wake: func() {
			nd.wakes.Add(1)
			if nd.onWake != nil {
				nd.onWake()
			}
			b.touch()
		},
	}
}

// touch lets wait look again.
func (b *bench) touch() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// wait lets the network work until done reports true.
func (b *bench) wait(what string, done func() bool) {
	b.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for !done() {
		if b.net.Step != nil {
			if !b.net.Step() {
				b.t.Fatalf("waiting for %s: nothing more happens", what)
			}
			continue
		}
		select {
		case <-b.changed:
		case <-timeout.C:
			b.t.Fatalf("waiting for %s: not after %v", what, patience)
		}
	}
}

// barrier waits until everything that node a sent to node b so far has arrived (F1).
func (b *bench) barrier(from, to ids.NodeID) {
	b.t.Helper()
	before := b.nodes[to].count("message", from)
	b.nodes[from].Send(to, []byte("barrier"))
	b.nodes[from].Flush()
	b.wait(fmt.Sprintf("a message from %d to %d", from, to), func() bool { return b.nodes[to].count("message", from) > before })
}

// reconnect breaks the connection of two nodes and waits until both have it again.
func (b *bench) reconnect(x, y ids.NodeID) {
	b.t.Helper()
	ups := [2]int{b.nodes[x].count("up", y), b.nodes[y].count("up", x)}
	b.net.Break(x, y)
	b.wait("the connection to come back", func() bool {
		return b.nodes[x].count("up", y) > ups[0] && b.nodes[y].count("up", x) > ups[1] &&
			b.nodes[x].connected(y) && b.nodes[y].connected(x)
	})
}

// count returns how many events of the kind and peer there were.
func (n *node) count(kind string, peer ids.NodeID) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := 0
	for _, e := range n.events {
		if e.kind == kind && e.peer == peer {
			k++
		}
	}
	return k
}

// connected reports whether the last thing heard of the connection was that it is up.
func (n *node) connected(peer ids.NodeID) bool {
	return n.count("up", peer) > n.count("down", peer)
}

// messages returns the messages from a peer in the order they came.
func (n *node) messages(peer ids.NodeID) (all [][]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.kind == "message" && e.peer == peer {
			all = append(all, e.msg)
		}
	}
	return all
}
