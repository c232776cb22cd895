package sim

import (
	"fmt"
	"testing"

	"dfs/fabric"
	"dfs/fabric/fabrictest"
	"dfs/ids"
)

func testNet(cfg Config) fabrictest.Open {
	return func(t *testing.T, n int, events func(ids.NodeID) fabric.Events) *fabrictest.Net {
		network := New(cfg)
		tn := &fabrictest.Net{Nodes: map[ids.NodeID]fabric.Fabric{}, Step: network.Step, Break: network.Break}
		for id := ids.NodeID(1); id <= ids.NodeID(n); id++ {
			tn.Nodes[id] = network.Endpoint(id, events(id))
		}
		tn.Stall = func(id ids.NodeID) func() {
			network.Pause(id)
			return func() { network.Resume(id) }
		}
		return tn
	}
}

func TestConformance(t *testing.T) {
	for _, cfg := range []Config{
		{Zero: true},
		{Seed: 1},
		{Seed: 2, Tear: 1},
		{Seed: 3, Tear: 0.3, MinDelay: 0, MaxDelay: 5_000_000},
	} {
		t.Run(fmt.Sprintf("Zero=%v,Tear=%v,MaxDelay=%v", cfg.Zero, cfg.Tear, cfg.MaxDelay), func(t *testing.T) {
			fabrictest.Run(t, testNet(cfg))
		})
	}
}
