package tcp

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"dfs/fabric"
	"dfs/fabric/fabrictest"
	"dfs/ids"
)

// hidden makes a connection look like one that is not a TCP socket.
type hidden struct{ net.Conn }

func hide(_ context.Context, nc net.Conn, _ ids.NodeID) (net.Conn, error) { return hidden{nc}, nil }

// cluster starts n fabrics on loopback. edit may change each node's configuration.
func cluster(t testing.TB, n int, edit func(cfg *Config)) map[ids.NodeID]*Fabric {
	t.Helper()
	addrs, listeners := map[ids.NodeID]string{}, map[ids.NodeID]net.Listener{}
	for id := ids.NodeID(1); id <= ids.NodeID(n); id++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[id], addrs[id] = l, l.Addr().String()
	}
	all := map[ids.NodeID]*Fabric{}
	for id, l := range listeners {
		peers := map[ids.NodeID]string{}
		for other, addr := range addrs {
			if other != id {
				peers[other] = addr
			}
		}
		cfg := Config{Self: id, Peers: peers, Listener: l, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond}
		edit(&cfg)
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		all[id] = f
	}
	for _, f := range all {
		f.Start()
		t.Cleanup(func() { _ = f.Close() })
	}
	return all
}

// breakLink cuts f's connection to a peer.
func breakLink(f *Fabric, peer ids.NodeID) {
	p := f.peer(peer)
	p.mu.Lock()
	c := p.conn
	p.mu.Unlock()
	if c != nil {
		c.fail(errors.New("broken by the test"))
	}
}

// testNet gives the suite a network of fabrics, and its faults through their insides.
func testNet(edit func(cfg *Config)) fabrictest.Open {
	return func(t *testing.T, n int, events func(ids.NodeID) fabric.Events) *fabrictest.Net {
		all := cluster(t, n, func(cfg *Config) {
			cfg.Events = events(cfg.Self)
			edit(cfg)
		})
		tn := &fabrictest.Net{Nodes: map[ids.NodeID]fabric.Fabric{}}
		for id, f := range all {
			tn.Nodes[id] = f
		}
		tn.Break = func(a, b ids.NodeID) { breakLink(all[a], b) }
		tn.Stall = func(id ids.NodeID) func() {
			all[id].regions.mu.Lock() // its readers can store nothing
			return all[id].regions.mu.Unlock
		}
		return tn
	}
}

func TestConformance(t *testing.T) {
	fabrictest.Run(t, testNet(func(*Config) {}))
}
