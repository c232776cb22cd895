package node

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"dfs/errs"
	"dfs/fabric"
	"dfs/fabric/tcp"
	"dfs/identity"
	"dfs/ids"

	"golang.org/x/sys/unix"
)

// links remembers how the connections to the other nodes are, for the status and for people who wait.
type links struct {
	peers func() map[ids.NodeID]string // the other nodes of the cluster now

	mu      sync.Mutex
	up      map[ids.NodeID]bool
	refused map[ids.NodeID]string // why the peer refuses this node, or this node it
}

func newLinks(peers func() map[ids.NodeID]string) *links {
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

// forget drops what is known of a node that does not belong to the cluster any more.
func (l *links) forget(p ids.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.up, p)
	delete(l.refused, p)
}

// refuse notes why there is no connection, and reports whether that is news.
func (l *links) refuse(p ids.NodeID, reason string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := l.refused[p] != reason
	l.refused[p] = reason
	return news
}

// connected reports whether there is a connection to the peer.
func (l *links) connected(p ids.NodeID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up[p]
}

// trouble says which nodes are missing, and why where that is known; "" when none is.
func (l *links) trouble() string {
	peers := l.peers()
	l.mu.Lock()
	defer l.mu.Unlock()
	if reasons := slices.Sorted(maps.Values(l.refused)); len(reasons) > 0 {
		return strings.Join(slices.Compact(reasons), "; ")
	}
	var missing []string
	for _, p := range slices.Sorted(maps.Keys(peers)) {
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
	AddPeer(id ids.NodeID, addr string) error
	RemovePeer(id ids.NodeID)
}

// connect builds the fabric of the configuration; a node alone has one without peers.
func (n *instance) connect(listener net.Listener, events fabric.Events) (network, error) {
	if listener == nil {
		return alone{}, nil
	}
	n.peers = n.wanted()
	up := events.Up
	events.Up = func(p ids.NodeID) { up(p); n.kick() }
	cfg := tcp.Config{
		Self: n.cfg.ID, Peers: n.peers, Listener: listener, Events: n.links.watch(events), Logger: n.log,
		Hello: func() []byte { return n.hello().encode() },
		Check: func(peer ids.NodeID, b []byte) error {
			theirs, err := decodeHello(b)
			if err == nil {
				ours := n.hello()
				if peer < n.cfg.ID {
					theirs = theirs.dialled(ours)
				}
				err = ours.check(peer, theirs, n.skew())
			}
			if err != nil {
				n.links.refuse(peer, err.Error())
			}
			return err
		},
		Refused: func(peer ids.NodeID, reason string) {
			n.links.refuse(peer, fmt.Sprintf("node %d refuses this one: %s", peer, reason))
		},
	}
	n.secure(&cfg)
	return n.transport(cfg)
}

// secure has the links encrypted where the cluster has an authority, and lets others join.
func (n *instance) secure(cfg *tcp.Config) {
	if n.creds == nil {
		return
	}
	n.creds.Accept = n.roster.accept
	cfg.Divert = func(nc net.Conn) func(context.Context) {
		switch {
		case identity.Joining(nc):
			return func(ctx context.Context) { n.admission.serve(ctx, nc) }
		case identity.Asking(nc):
			return func(ctx context.Context) { n.admission.grant(ctx, nc) }
		}
		return nil
	}
	if !n.data.whose.Insecure {
		cfg.Secure, cfg.Identify = n.creds.Secure, n.creds.Identify
		return
	}
	// Links are plain, but who joins still finds TLS on the same port.
	cfg.Secure = func(ctx context.Context, nc net.Conn, peer ids.NodeID) (net.Conn, error) {
		if peer != 0 || !startsTLS(nc) {
			return nc, nil
		}
		tc, err := n.creds.Secure(ctx, nc, 0)
		if err == nil && !identity.Joining(tc) && !identity.Asking(tc) {
			err = errs.New(errs.Invalid, "the links of this cluster are not encrypted, those of the other node are")
		}
		return tc, err
	}
}

// startsTLS looks, without taking it, at the first byte that comes: TLS begins with 22, a greeting with a letter.
func startsTLS(nc net.Conn) bool {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return false
	}
	first := make([]byte, 1)
	err = raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), first, unix.MSG_PEEK)
		return err != unix.EAGAIN
	})
	const handshake = 22
	return err == nil && first[0] == handshake
}

// alone is the fabric of a node without peers: there is nobody to write to.
type alone struct{}

func (alone) Register(fabric.RegionID, []byte)                      {}
func (alone) Deregister(fabric.RegionID)                            {}
func (alone) Source([]byte) func()                                  { return func() {} }
func (alone) Write(ids.NodeID, fabric.RegionID, int, []byte)        {}
func (alone) WriteWords(ids.NodeID, fabric.RegionID, int, []uint64) {}
func (alone) Send(ids.NodeID, []byte)                               {}
func (alone) Sever(ids.NodeID, error)                               {}
func (alone) Heard(ids.NodeID) uint64                               { return 0 }
func (alone) Start()                                                {}
func (alone) AddPeer(ids.NodeID, string) error                      { return nil }
func (alone) RemovePeer(ids.NodeID)                                 {}
func (alone) Flush()                                                {}
func (alone) Stats() fabric.Stats                                   { return fabric.Stats{} }
func (alone) Close() error                                          { return nil }
