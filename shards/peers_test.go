package shards

import (
	"testing"
	"time"

	"dfs/fabric"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/views"
)

// silentFabric is linked to a peer that never says anything.
type silentFabric struct {
	fabric.Fabric
	severed []ids.NodeID
}

func (f *silentFabric) Register(fabric.RegionID, []byte) {}
func (f *silentFabric) Send(ids.NodeID, []byte)          {}
func (f *silentFabric) Flush()                           {}
func (f *silentFabric) Sever(peer ids.NodeID, why error) { f.severed = append(f.severed, peer) }

// A peer that gives no sign of life is given up, but what passed while this node was held up is not counted.
func TestSilence(t *testing.T) {
	var now time.Duration
	f := &silentFabric{}
	n, err := New(Config{
		Self: views.Member{Node: 1, Incarnation: 1}, Nodes: []views.Peer{{Node: 1}, {Node: 2}}, Shards: 1,
		Log: &memLog{}, Index: index.New(index.NewMem(), index.Config{}),
		SaveState: func(views.Durable) error { return nil },
		Physical:  func() hlc.Timestamp { return hlc.Timestamp(time.Hour + now) },
		Monotonic: func() time.Duration { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Start(f)
	n.Events().Up(2)
	n.Step()
	now += 5 * n.cfg.SuspectAfter
	n.Step()
	if len(f.severed) > 0 {
		t.Error("node 2 is given up by a node that was held up itself")
	}
	for began := now; now < began+n.cfg.SuspectAfter; n.Step() {
		now += n.cfg.Heartbeat
	}
	if len(f.severed) != 1 || f.severed[0] != 2 {
		t.Errorf("after %v of silence nodes %v are given up, want node 2", n.cfg.SuspectAfter, f.severed)
	}
}
