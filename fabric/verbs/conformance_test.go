package verbs

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"dfs/fabric"
	"dfs/fabric/fabrictest"
	"dfs/fabric/tcp"
	"dfs/ids"
)

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
		cfg := Config{TCP: tcp.Config{Self: id, Peers: peers, Listener: l, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond}}
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

// inMemory gives nodes adapters of one network in memory.
func inMemory() func(cfg *Config) {
	network := &adapters{pairs: map[uint32]*memPair{}}
	return func(cfg *Config) {
		dev := &memDevice{net: network}
		cfg.find = func(Config) (device, error) { return dev, nil }
		cfg.Mode = Required
	}
}

// testNet gives the suite a network of fabrics, and its faults through their insides.
func testNet(edit func() func(cfg *Config)) fabrictest.Open {
	return func(t *testing.T, n int, events func(ids.NodeID) fabric.Events) *fabrictest.Net {
		more := edit()
		all := cluster(t, n, func(cfg *Config) {
			cfg.TCP.Events = events(cfg.TCP.Self)
			more(cfg)
		})
		tn := &fabrictest.Net{Nodes: map[ids.NodeID]fabric.Fabric{}}
		for id, f := range all {
			tn.Nodes[id] = f
		}
		tn.Break = func(a, b ids.NodeID) { all[a].breakControl(all[a].peer(b), errors.New("broken by the test")) }
		tn.Stall = func(id ids.NodeID) func() {
			for _, p := range *all[id].peers.Load() {
				p.mu.Lock() // its readers can take nothing
			}
			return sync.OnceFunc(func() {
				for _, p := range *all[id].peers.Load() {
					p.mu.Unlock()
				}
			})
		}
		return tn
	}
}

// The suite over adapters in memory; with small queues everything is often full.
func TestConformance(t *testing.T) {
	fabrictest.Run(t, testNet(inMemory))
}

func TestConformanceSmall(t *testing.T) {
	fabrictest.Run(t, testNet(func() func(*Config) {
		adapters := inMemory()
		return func(cfg *Config) {
			adapters(cfg)
			cfg.sizes = sizes{sends: 4 * sparedSlots, receives: minReceives + 4, chunk: minChunk, stage: 8 << 10}
		}
	}))
}

// Links that agree on TCP are as good.
func TestConformanceOff(t *testing.T) {
	fabrictest.Run(t, testNet(func() func(*Config) {
		adapters := inMemory()
		return func(cfg *Config) {
			adapters(cfg)
			cfg.Mode = Auto
			if cfg.TCP.Self == 1 {
				cfg.Mode = Off
			}
		}
	}))
}

// The suite over this machine's adapter. make lab runs it on software RDMA.
func TestConformanceDevice(t *testing.T) {
	name := os.Getenv("DFS_VERBS")
	if name == "" {
		t.Skip("DFS_VERBS names no adapter")
	}
	fabrictest.Run(t, testNet(func() func(*Config) {
		return func(cfg *Config) { cfg.Mode, cfg.Device = Required, name }
	}))
}
