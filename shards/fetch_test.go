package shards

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"dfs/ids"
	"dfs/index"
	"dfs/objects"
	"dfs/record"
	"dfs/versionlog"
)

// request asks a node for its log after a version, as a peer that catches up, and returns what kind of reply that gets.
func request(t *testing.T, n *Node, f *silentFabric, after ids.Version) byte {
	t.Helper()
	le := binary.LittleEndian
	msg := le.AppendUint64(le.AppendUint16(le.AppendUint64(nil, 0), 0), uint64(after))
	f.sent = nil
	err := n.onFetch(2, append(msg, bytes.Repeat([]byte{0xff}, n.wantsBytes())...)) // all data
	if n.Step(); err != nil || len(f.sent) != 1 || f.sent[0][0] != forReply {
		t.Fatalf("request for what is after %v: %v, answered by %x", after, err, f.sent)
	}
	return f.sent[0][firstByte+replyHead-1]
}

// A node that is to cut its log is told so as often as it asks: it may not have heard it.
func TestCutAgain(t *testing.T) {
	f := &silentFabric{}
	n, now := alone(t, f, 1)
	serve(t, n, now)
	lost := ids.MakeVersion(n.view.ID-1, 7)
	for range 3 {
		if kind := request(t, n, f, lost); kind != replyCut {
			t.Fatalf("a node whose log goes on where none does gets a reply of kind %d, want %d", kind, replyCut)
		}
	}
}

// A node whose disk has damaged some data starts all the same, and gives others its log: without that data, which they get
// elsewhere.
func TestDamagedSource(t *testing.T) {
	f := &silentFabric{}
	n, now := alone(t, f, 1)
	serve(t, n, now)
	log := n.cfg.Log.(*memLog)
	for range 3 {
		if _, room, err := n.TrySubmit(1, objects.Append{Ino: 7}.Encode(), []byte("precious")); room != nil || err != nil {
			t.Fatal("an operation is refused", err)
		}
	}
	for range 5 {
		n.Step()
	}
	log.bad = map[versionlog.LSN]bool{log.lsns[1]: true}
	check := func(n *Node) {
		t.Helper()
		if kind := request(t, n, f, 0); kind != replyLast {
			t.Fatalf("the reply is of kind %d", kind)
		}
		recs, err := fetched(f.sent[0][firstByte+replyHead:], 0)
		if err != nil || len(recs) != 3 || recs[0].Hollow() || !recs[1].Hollow() || recs[2].Hollow() {
			t.Fatalf("%d records come, %v", len(recs), err)
		}
	}
	check(n)
	cfg := n.cfg
	cfg.Self.Incarnation, cfg.Index = 2, index.New(index.NewMem(), index.Config{})
	again, err := New(cfg)
	if err != nil {
		t.Fatalf("with damaged data a node does not start: %v", err)
	}
	again.Start(f)
	serve(t, again, now)
	check(again)
}

// What a source sent to an earlier life of a node, over the link of this one, is no answer to a read of this life.
func TestLateAnswer(t *testing.T) {
	data := []byte("data that others keep")
	head := record.Build(make([]byte, record.Size(2, len(data))), record.Header{Kind: record.Op, Version: 7, Subgroup: 1}, []byte("op"), data).Hollowed()
	ask := func(life uint32) (n *Node, w *unitRead, number []byte) {
		f := &silentFabric{}
		n, _ = inLife(t, life, f, 2)
		n.Events().Up(2)
		n.Step()
		w = &unitRead{key: unitKey{7, 0}, head: head, sub: 1, size: len(data), done: make(chan struct{})}
		n.startRead(w)
		if len(f.sent) != 1 || f.sent[0][0] != forReadWanted {
			t.Fatalf("a read of what node 2 keeps sends %x", f.sent)
		}
		return n, w, f.sent[0][firstByte : firstByte+8]
	}
	_, _, late := ask(1)
	n, w, number := ask(2)
	if err := n.onRead(2, append(late[:8:8], make([]byte, len(data))...)); err != nil || w.peer != 2 || w.tried != 1 {
		t.Fatalf("an answer to the life before is taken: %v, then node %d is asked, the %d. time", err, w.peer, w.tried)
	}
	if err := n.onRead(2, append(number[:8:8], data...)); err != nil || string(w.data) != string(data) {
		t.Fatalf("read %q, %v", w.data, err)
	}
}

// askedFabric remembers who was asked for pieces last, and how often anyone was.
type askedFabric struct {
	silentFabric
	peer  ids.NodeID
	count int
}

func (f *askedFabric) Send(to ids.NodeID, msg []byte) {
	if msg[0] == forFetch {
		f.peer, f.count = to, f.count+1
	}
}

// fetcher returns a node that catches up with nodes 2 and 3, of which 2 is asked first.
func fetcher(t *testing.T) (n *Node, f *askedFabric, now *time.Duration) {
	t.Helper()
	f = &askedFabric{}
	n, now = alone(t, f, 3)
	n.startFetch([]ids.NodeID{2, 3}, 0, true, [][]ids.NodeID{{1, 2, 3}})
	return n, f, now
}

// reply answers the present request with nothing.
func (n *Node) replyNothing(t *testing.T, from ids.NodeID, kind byte) {
	t.Helper()
	le := binary.LittleEndian
	msg := le.AppendUint16(le.AppendUint64(nil, 0), 0)
	if err := n.onReply(from, append(le.AppendUint64(msg, uint64(n.orders[0].last)), kind)); err != nil {
		t.Fatal(err)
	}
}

// G9: what came is durable before this node says that it has caught up, and it does not say so when it asked long ago.
func TestCatchesUpAgain(t *testing.T) {
	n, f, now := fetcher(t)
	*now += time.Second
	n.replyNothing(t, 2, replyLast)
	n.Synced(n.cfg.Log.End(), nil)
	n.Step()
	if n.fetching == nil || f.count != 2 {
		t.Fatalf("after a second of fetching: asked %d times", f.count)
	}
	*now += fetchSoon
	n.replyNothing(t, 2, replyLast)
	n.fetching.end = n.cfg.Log.End() + 1
	n.Synced(n.cfg.Log.End(), nil)
	if n.Step(); n.fetching == nil {
		t.Fatal("G9: what came is not durable")
	}
	n.Synced(n.cfg.Log.End()+1, nil)
	if n.Step(); n.fetching != nil {
		t.Error("it does not come to an end")
	}
}

// Sources take turns; one that does not answer, or that there is no link to any more, is passed over.
func TestSourcesTakeTurns(t *testing.T) {
	n, f, now := fetcher(t)
	for range fetchTurn {
		if f.peer != 2 {
			t.Fatalf("node %d is asked after %d pieces", f.peer, f.count-1)
		}
		n.replyNothing(t, 2, replyMore)
	}
	if f.peer != 3 {
		t.Fatal("node 3 is not asked in its turn")
	}
	for began := *now; *now <= began+fetchPatience; n.Step() {
		*now += n.cfg.Heartbeat
	}
	if f.peer != 2 {
		t.Error("node 3 is waited for")
	}
	n.replyNothing(t, 3, replyLast) // too late
	if n.fetching.came {
		t.Error("a reply of one that was given up is taken")
	}
	if n.lostFetchSource(2); f.peer != 3 {
		t.Error("node 2 is waited for, to which there is no link")
	}
	n.lostFetchSource(3)
	if len(n.fetching.sources) != 1 {
		t.Error("there is no source left; that is for the membership to say")
	}
}

// Who asks for records gets the data of the shards that it wants, of others the heads.
func TestSourceSendsWhatIsWanted(t *testing.T) {
	n, _ := alone(t, &askedFabric{}, 3)
	var recs []record.Record
	for sub := range ids.Subgroup(2) {
		h := record.Header{Kind: record.Op, Subgroup: sub, Version: ids.MakeVersion(1, uint64(sub)+1), Timestamp: 5, Origin: 2, Incarnation: 1, Counter: uint64(sub) + 1}
		recs = append(recs, record.Build(make([]byte, record.Size(2, 9)), h, []byte("op"), []byte("some data")))
	}
	if _, err := n.cfg.Log.Append(recs); err != nil {
		t.Fatal(err)
	}
	msg, next, err := n.readPiece(fetchRequest{peer: 2, wants: []byte{1}}, fetchPlace{}, false)
	if err != nil || next.after != ids.MakeVersion(1, 2) {
		t.Fatalf("%+v, %v", next, err)
	}
	got, err := fetched(msg[firstByte+replyHead:], 0)
	if err != nil || len(got) != 2 || !bytes.Equal(got[0].Data(), recs[0].Data()) || !got[1].Hollow() {
		t.Errorf("got %d records, %v", len(got), err)
	}
}

// G9: a node says that it has caught up when that is durable, not before.
func TestCaughtUpWhenDurable(t *testing.T) {
	n, now := alone(t, &silentFabric{}, 1)
	serve(t, n, now)
	n.cfg.Sync = func() {}
	f := &fetch{ahead: true, came: true, end: n.durable + 1, rounds: fetchRounds}
	n.fetching = f
	n.endFetch()
	if n.fetching != f || !n.syncing {
		t.Fatal("what is not durable counts as caught up")
	}
	n.onSynced(f.end, nil)
	n.endFetch()
	if n.fetching != nil {
		t.Error("what is durable does not")
	}
}
