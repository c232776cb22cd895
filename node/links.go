package node

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"dfs/fabric"
	"dfs/fabric/tcp"
	"dfs/ids"
)

// links remembers how the connections to the other nodes are, for the status and for people who wait.
type links struct {
	mu      sync.Mutex
	peers   []ids.NodeID
	up      map[ids.NodeID]bool
	refused map[ids.NodeID]string // why the peer refuses this node, or this node it
}

func newLinks(peers []ids.NodeID) *links {
	return &links{peers: peers, up: map[ids.NodeID]bool{}, refused: map[ids.NodeID]string{}}
}

// watch puts itself before the events of the engine.
func (l *links) watch(e fabric.Events) fabric.Events {
	up, down := e.Up, e.Down
	e.Up = func(p ids.NodeID) { l.set(p, true); up(p) }
	e.Down = func(p ids.NodeID, err error) { l.set(p, false); down(p, err) }
	return e
}

func (l *links) set(p ids.NodeID, isUp bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up[p] = isUp
	if isUp {
		delete(l.refused, p)
	}
}

func (l *links) refuse(p ids.NodeID, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[p] = reason
}

// connected reports whether there is a connection to the peer.
func (l *links) connected(p ids.NodeID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up[p]
}

// trouble says which nodes are missing, and why where that is known; "" when none is.
func (l *links) trouble() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reasons := slices.Sorted(maps.Values(l.refused)); len(reasons) > 0 {
		return strings.Join(slices.Compact(reasons), "; ")
	}
	var missing []string
	for _, p := range l.peers {
		if !l.up[p] {
			missing = append(missing, fmt.Sprint(p))
		}
	}
	switch len(missing) {
	case 0:
		return ""
	case 1:
		return "not connected to node " + missing[0]
	}
	return "not connected to the nodes " + strings.Join(missing, ", ")
}

// network is a fabric that does nothing until it is started.
type network interface {
	fabric.Fabric
	Start()
}

// connect builds the fabric of the configuration; a node alone has one without peers.
func (n *instance) connect(listener net.Listener, events fabric.Events) (network, error) {
	if listener == nil {
		return alone{}, nil
	}
	return tcp.New(tcp.Config{
		Self: n.cfg.ID, Peers: n.cfg.addresses(), Listener: listener, Events: n.links.watch(events), Logger: n.log,
		Hello: func() []byte { return n.hello().encode() },
		Check: func(peer ids.NodeID, b []byte) error {
			theirs, err := decodeHello(b)
			if err == nil {
				err = n.hello().check(peer, theirs, n.skew())
			}
			if err != nil {
				n.links.refuse(peer, err.Error())
			}
			return err
		},
		Refused: func(peer ids.NodeID, reason string) {
			n.links.refuse(peer, fmt.Sprintf("node %d refuses this one: %s", peer, reason))
		},
	})
}

// alone is the fabric of a node without peers: there is nobody to write to.
type alone struct{}

func (alone) Register(fabric.RegionID, []byte)                      {}
func (alone) Deregister(fabric.RegionID)                            {}
func (alone) Write(ids.NodeID, fabric.RegionID, int, []byte)        {}
func (alone) WriteWords(ids.NodeID, fabric.RegionID, int, []uint64) {}
func (alone) Send(ids.NodeID, []byte)                               {}
func (alone) Sever(ids.NodeID, error)                               {}
func (alone) Start()                                                {}
func (alone) Flush()                                                {}
func (alone) Stats() fabric.Stats                                   { return fabric.Stats{} }
func (alone) Close() error                                          { return nil }
