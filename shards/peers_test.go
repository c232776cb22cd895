package shards

import (
	"testing"
	"time"

	"dfs/fabric"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/multicast"
	"dfs/views"
)

// silentFabric is linked to a peer that never says anything.
type silentFabric struct {
	fabric.Fabric
	severed []ids.NodeID
}

func (f *silentFabric) Register(fabric.RegionID, []byte) {}
func (f *silentFabric) Deregister(fabric.RegionID)       {}
func (f *silentFabric) Send(ids.NodeID, []byte)          {}
func (f *silentFabric) Flush()                           {}
func (f *silentFabric) Sever(peer ids.NodeID, why error) { f.severed = append(f.severed, peer) }

// alone returns a node that only the test steps, with its clock, among so many configured nodes.
func alone(t *testing.T, f fabric.Fabric, nodes int) (n *Node, now *time.Duration) {
	t.Helper()
	now = new(time.Duration)
	cfg := Config{
		Self: views.Member{Node: 1, Incarnation: 1}, Shards: 1, Log: &memLog{}, Index: index.New(index.NewMem(), index.Config{}),
		SaveState: func(views.Durable) error { return nil },
		Physical:  func() hlc.Timestamp { return hlc.Timestamp(time.Hour + *now) },
		Monotonic: func() time.Duration { return *now },
	}
	for i := range nodes {
		cfg.Nodes = append(cfg.Nodes, views.Peer{Node: ids.NodeID(i + 1)})
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.Start(f)
	return n, now
}

// A peer that gives no sign of life is given up, but what passed while this node was held up is not counted.
func TestSilence(t *testing.T) {
	f := &silentFabric{}
	n, now := alone(t, f, 2)
	n.Events().Up(2)
	n.Step()
	*now += 5 * n.cfg.SuspectAfter
	n.Step()
	if len(f.severed) > 0 {
		t.Error("node 2 is given up by a node that was held up itself")
	}
	for began := *now; *now < began+n.cfg.SuspectAfter; n.Step() {
		*now += n.cfg.Heartbeat
	}
	if len(f.severed) != 1 || f.severed[0] != 2 {
		t.Errorf("after %v of silence nodes %v are given up, want node 2", n.cfg.SuspectAfter, f.severed)
	}
}

// G2, G4: what a view leaves at its end is not read before the next view is open, and not delivered in it again.
func TestBetweenViews(t *testing.T) {
	n, now := alone(t, &silentFabric{}, 1)
	for i := 0; n.view == nil || !n.view.open || !n.leased(); i++ {
		if i > 100 {
			t.Fatal("a node alone does not serve")
		}
		*now += n.cfg.Heartbeat
		n.Step()
	}
	next := n.view.View
	received := n.wedge()
	if !n.deliverTrim(&views.Trim{View: next.ID, Upto: received}) {
		t.Fatal("the view does not end")
	}
	if n.leased() {
		t.Error("G2: the present is read while what ends the view is applied")
	}
	next.ID++
	n.orders[0].stalled = []multicast.Delivery{{}} // it found no room, and was fetched later
	n.activate(next)
	if len(n.orders[0].stalled) > 0 {
		t.Error("G4: what the last view could not deliver is delivered in the next")
	}
}
