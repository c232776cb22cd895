package shards

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"dfs/errs"
	"dfs/fabric"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/multicast"
	"dfs/namespace"
	"dfs/objects"
	"dfs/record"
	"dfs/sst"
	"dfs/versionlog"
	"dfs/views"
)

// silentFabric is linked to a peer that never says anything.
type silentFabric struct {
	fabric.Fabric
	severed []ids.NodeID
	pings   int
	heard   uint64
	sent    [][]byte // by this node, but for pings and what is for views
}

func (f *silentFabric) Register(fabric.RegionID, []byte) {}
func (f *silentFabric) Deregister(fabric.RegionID)       {}
func (f *silentFabric) Source([]byte) func()             { return func() {} }
func (f *silentFabric) Flush()                           {}
func (f *silentFabric) Sever(peer ids.NodeID, why error) { f.severed = append(f.severed, peer) }
func (f *silentFabric) Heard(ids.NodeID) uint64          { return f.heard }
func (f *silentFabric) Send(_ ids.NodeID, msg []byte) {
	switch msg[0] {
	case forPing:
		f.pings++
	case forViews:
	default:
		f.sent = append(f.sent, msg)
	}
}

// alone returns a node that only the test steps, with its clock, among so many configured nodes.
func alone(t *testing.T, f fabric.Fabric, nodes int) (n *Node, now *time.Duration) {
	return inLife(t, 1, f, nodes)
}

// inLife is alone in one of the lives of the node.
func inLife(t *testing.T, life uint32, f fabric.Fabric, nodes int) (n *Node, now *time.Duration) {
	t.Helper()
	now = new(time.Duration)
	cfg := Config{
		Self: views.Member{Node: 1, Incarnation: life}, Shards: 1, Log: &memLog{}, Index: index.New(index.NewMem(), index.Config{}),
		SaveState: func(views.Durable) error { return nil }, Sync: func() {}, Work: func(fn func()) { fn() },
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
	for began := *now; *now < began+2*n.cfg.SuspectAfter; n.Step() {
		*now += n.cfg.Heartbeat
		f.heard++
	}
	if len(f.severed) > 0 {
		t.Error("node 2 is given up while bytes come from it")
	}
	for began := *now; *now < began+n.cfg.SuspectAfter; n.Step() {
		*now += n.cfg.Heartbeat
	}
	if len(f.severed) != 1 || f.severed[0] != 2 {
		t.Errorf("after %v of silence nodes %v are given up, want node 2", n.cfg.SuspectAfter, f.severed)
	}
}

// serve steps a node that is alone in its cluster until it serves.
func serve(t *testing.T, n *Node, now *time.Duration) {
	t.Helper()
	for i := 0; n.view == nil || !n.view.open || !n.leased(); i++ {
		if i > 100 {
			t.Fatal("a node alone does not serve")
		}
		*now += n.cfg.Heartbeat
		n.Step()
	}
}

// G2, G4: what a view leaves at its end is not read before the next view is open, and not delivered in it again.
func TestBetweenViews(t *testing.T) {
	n, now := alone(t, &silentFabric{}, 1)
	serve(t, n, now)
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
	n.activate(next, false)
	if len(n.orders[0].stalled) > 0 {
		t.Error("G4: what the last view could not deliver is delivered in the next")
	}
}

// A step applies no more than is done well within a heartbeat, and at the end of a view, which brings all at once, others hear
// in between that this node lives.
func TestSignsOfLife(t *testing.T) {
	f := &silentFabric{}
	n, now := alone(t, f, 1)
	serve(t, n, now)
	n.Events().Up(2)
	n.Step()
	for i := range 4*applyAtOnce - 1 {
		op := namespace.Create{Parent: ids.RootIno, Name: strconv.Itoa(i), Mode: 0o100644}.Encode()
		call, _, err := n.TrySubmit(ids.Namespace, op)
		if err != nil || call == nil {
			t.Fatal("an operation is refused", err)
		}
	}
	before := n.subs[ids.Namespace].Applied
	if !n.Step() {
		t.Error("there is nothing more to do after the first batch")
	}
	if did := n.subs[ids.Namespace].Applied - before; did != applyAtOnce {
		t.Errorf("a step applies %d operations", did)
	}
	f.pings = 0
	view := n.view.ID
	if !n.deliverTrim(&views.Trim{View: view, Upto: n.wedge()}) {
		t.Fatal("the view does not end")
	}
	if did := n.subs[ids.Namespace].Applied - before; did != 4*applyAtOnce-1 {
		t.Errorf("%d operations are applied", did)
	}
	if f.pings != 2 {
		t.Errorf("%d signs of life while %d operations were applied", f.pings, 3*applyAtOnce-1)
	}
}

// fullLog is a log that has no room for a while.
type fullLog struct {
	*memLog
	full bool
}

func (l *fullLog) Append(recs []record.Record) ([]versionlog.LSN, error) {
	if l.full {
		return nil, errs.New(errs.NoSpace, "no room")
	}
	return l.memLog.Append(recs)
}

// G10: a node that is alone vouches for what it shows no longer than others would.
func TestVouchesBriefly(t *testing.T) {
	n, now := alone(t, &silentFabric{}, 1)
	serve(t, n, now)
	if d := n.Vouched(); d != n.cfg.LeaseFor {
		t.Errorf("G10: a node alone vouches for %v, want %v", d, n.cfg.LeaseFor)
	}
}

// G4, G9: what ends a view is not logged again by a node that has got it from others meanwhile; but data that only its rings have is.
func TestFetchedBeforeTheEnd(t *testing.T) {
	n, now := alone(t, &silentFabric{}, 1)
	serve(t, n, now)
	log := &fullLog{memLog: n.cfg.Log.(*memLog), full: true}
	n.cfg.Log = log
	for range 2 {
		if call, _, err := n.TrySubmit(1, objects.Append{Ino: 7}.Encode(), []byte("precious")); err != nil || call == nil {
			t.Fatal("an operation is refused", err)
		}
	}
	for range 3 {
		n.Step()
	}
	o := n.orders[0]
	if len(o.stalled) != 2 {
		t.Fatalf("%d operations wait for room", len(o.stalled))
	}
	log.full = false
	if err := n.ingest(o, []record.Record{o.stalled[0].Record.Hollowed()}); err != nil { // as if it came from another node
		t.Fatal(err)
	}
	if !n.lacksAny(&n.homes) {
		t.Fatal("nothing lacks of a record that came without its data")
	}
	if !n.deliverTrim(&views.Trim{View: n.view.ID, Upto: n.wedge()}) {
		t.Fatal("the view does not end: ", n.Err())
	}
	var kinds []record.Kind
	for _, r := range log.recs {
		kinds = append(kinds, r.Kind())
	}
	if !slices.Equal(kinds, []record.Kind{record.Op, record.Copy, record.Op}) || n.lacksAny(&n.homes) {
		t.Errorf("G9: the log has records of kinds %v, data lacks: %v", kinds, n.lacksAny(&n.homes))
	}
	if at, ok := n.copyHere(log.lsns[0]); !ok || at != log.lsns[1] {
		t.Errorf("G9: the data of the first is at %d, %v", at, ok)
	}
}

// G4: an own operation that was delivered, but found no room in the log here, goes into the next view when this one ended without this
// node and nobody has it.
func TestNoRoomAtTheEnd(t *testing.T) {
	n, now := alone(t, &silentFabric{}, 1)
	serve(t, n, now)
	log := &fullLog{memLog: n.cfg.Log.(*memLog), full: true}
	n.cfg.Log = log
	var calls []*Call
	submit := func(name string) {
		t.Helper()
		call, _, err := n.TrySubmit(ids.Namespace, namespace.Create{Parent: ids.RootIno, Name: name, Mode: 0o100644}.Encode())
		if err != nil || call == nil {
			t.Fatal("an operation is refused", err)
		}
		calls = append(calls, call)
	}
	submit("stalled")
	for range 3 {
		n.Step()
	}
	if len(n.orders[0].stalled) != 1 {
		t.Fatalf("%d operations wait for room", len(n.orders[0].stalled))
	}
	submit("waits") // and is not even published
	next := n.view.View
	next.ID++
	n.wedge()
	n.activate(next, false)
	log.full = false
	n.open()
	for range 5 {
		n.Step()
	}
	for i, c := range calls {
		if !c.Ready() || c.result.Version != ids.MakeVersion(next.ID, uint64(i+1)) {
			t.Errorf("G4: operation %d is over: %v, as version %v", i, c.Ready(), c.result.Version)
		}
	}
}

// Whoever said goodbye is not waited for, though a heartbeat of it from before is seen only then.
func TestGoodbye(t *testing.T) {
	n, now := alone(t, &silentFabric{}, 3)
	n.activate(views.View{ID: 2, Members: []views.Member{{Node: 1, Incarnation: 1}, {Node: 2, Incarnation: 1}}, Nodes: n.cfg.Nodes}, false)
	v := n.view
	mem := make([]uint64, v.table.Layout().Words())
	v.table = sst.New(v.table.Layout(), 0, mem)
	theirs := mem[len(v.table.Row()):]
	beat := func() {
		theirs[v.table.Layout().Heartbeat()]++
		if err := v.table.Snapshot(v.snap); err != nil {
			t.Fatal(err)
		}
		n.hear(v)
	}
	*now = time.Hour
	left := views.View{ID: 3, Members: v.Members[:1], Nodes: n.cfg.Nodes}
	if beat(); n.openAfter(&activeView{View: left}) != *now+n.cfg.LeaseFor {
		t.Fatal("G2: a member that was answered is not waited for")
	}
	n.onGoodbye(2)
	if beat(); n.openAfter(&activeView{View: left}) > 0 {
		t.Error("who has said goodbye is waited for")
	}
}

// G2: who has started lately does not remember whom it answered, and waits if somebody may be left out who was.
func TestForgottenAnswers(t *testing.T) {
	n, now := alone(t, &silentFabric{}, 5)
	*now = time.Millisecond
	v := &activeView{View: views.View{ID: 3, Members: []views.Member{{Node: 1, Incarnation: 1}}, Nodes: n.cfg.Nodes}}
	if n.openAfter(v) > *now {
		t.Error("a node that is back waits for one that is away for long")
	}
	if v.unsure = true; n.openAfter(v) != n.cfg.LeaseFor {
		t.Error("G2: a node that is back does not wait")
	}
}
