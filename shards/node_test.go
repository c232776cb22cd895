package shards

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"dfs/errs"
	"dfs/fabric/tcp"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/namespace"
	"dfs/objects"
	"dfs/versionlog"
	"dfs/views"
)

// member is a node of a test cluster over loopback.
type member struct {
	node    *Node
	fab     *tcp.Fabric
	log     *memLog
	durable views.Durable
	inc     uint32
	addr    string
	door    net.Listener // of the first start: held, lest another takes the port for a connection
	stop    context.CancelFunc
	ended   chan error
}

type testCluster struct {
	t       testing.TB
	members []*member
	soft    time.Duration

	replicas int
	onApply  func(node *Node, sub ids.Subgroup, op []byte) // or nil
}

func newTestCluster(t testing.TB, n int) *testCluster { return newReplicatedCluster(t, n, 0) }

func newReplicatedCluster(t testing.TB, n, replicas int) *testCluster {
	c := &testCluster{t: t, replicas: replicas}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.members = append(c.members, &member{log: &memLog{}, addr: l.Addr().String(), door: l})
	}
	for i := range c.members {
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.members {
			c.kill(i)
		}
	})
	return c
}

func (c *testCluster) start(i int) {
	m := c.members[i]
	m.inc++
	var nodes []views.Peer
	peers := map[ids.NodeID]string{}
	for j, o := range c.members {
		nodes = append(nodes, views.Peer{Node: ids.NodeID(j + 1)})
		if j != i {
			peers[ids.NodeID(j+1)] = o.addr
		}
	}
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", i+1)
	}
	node, err := New(Config{
		Self: views.Member{Node: ids.NodeID(i + 1), Incarnation: m.inc}, Nodes: nodes, Shards: 2,
		Log: m.log, Index: index.New(index.NewMem(), index.Config{}), Durable: m.durable,
		SaveState: func(d views.Durable) error { m.durable = d; return nil },
		Physical:  func() hlc.Timestamp { return hlc.FromTime(time.Now()) },
		Logger:    logger, RingBytes: 1 << 20, Soft: c.soft, Replicas: c.replicas,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	l := m.door
	if m.door = nil; l == nil {
		if l, err = net.Listen("tcp", m.addr); err != nil {
			c.t.Fatal(err)
		}
	}
	fab, err := tcp.New(tcp.Config{Self: ids.NodeID(i + 1), Peers: peers, Listener: l, Events: node.Events(), Logger: logger})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.node, m.fab, m.stop, m.ended = node, fab, stop, make(chan error, 1)
	if c.onApply != nil {
		node.OnApply(func(sub ids.Subgroup, _ ids.NodeID, op []byte) { c.onApply(node, sub, op) })
	}
	node.Start(fab)
	fab.Start()
	go func() { m.ended <- node.Run(ctx) }()
}

// kill ends a node without a word; what is in its log stays.
func (c *testCluster) kill(i int) {
	m := c.members[i]
	if m.stop == nil {
		return
	}
	m.stop()
	if err := <-m.ended; err != nil {
		c.t.Errorf("node %d: %v", i+1, err)
	}
	m.fab.Close()
	m.stop = nil
}

func (c *testCluster) must(r Result, err error) Result {
	c.t.Helper()
	if err != nil || r.Kind != errs.OK {
		c.t.Fatalf("%v, %v", r.Kind, err)
	}
	return r
}

func (c *testCluster) do(i int, sub ids.Subgroup, op []byte, data ...[]byte) Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	call, err := c.members[i].node.Submit(ctx, sub, op, data...)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.must(call.Wait(ctx))
}

func (c *testCluster) digests(i int) string {
	c.t.Helper()
	out := ""
	for sub := range ids.Subgroup(3) {
		r, err := c.members[i].node.Now(context.Background(), sub)
		if err != nil {
			c.t.Fatal(err)
		}
		if sub == ids.Namespace {
			out += fmt.Sprintf("%x ", namespace.Digest(r))
		} else {
			out += fmt.Sprintf("%x ", objects.Digest(r))
		}
	}
	return out
}

// G1, G2: what one node did is what every node reads at once; G3: and the past stays.
func TestThreeNodes(t *testing.T) {
	c := newTestCluster(t, 3)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	for k := range 30 {
		r := c.do(k%3, ids.Namespace, namespace.Create{Parent: ids.RootIno, Name: fmt.Sprint("f", k), Mode: 0o100644, Exclusive: true}.Encode())
		made, err := namespace.DecodeCreateResult(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		ino := made.Ino
		c.do((k+1)%3, c.members[0].node.DataShard(ino), objects.Write{Ino: ino, Off: 0}.Encode(), make([]byte, 5000))
		for i := range 3 {
			if a, b := c.digests(i), c.digests((i+1)%3); a != b {
				t.Fatalf("G1: digests differ: %s and %s", a, b)
			}
		}
	}
	if err := c.members[1].node.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// G5: who is told of an operation can see what it did; nobody who must see it was answered before.
func TestOnApply(t *testing.T) {
	c := newTestCluster(t, 3)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	told := 0
	c.onApply = func(node *Node, sub ids.Subgroup, op []byte) {
		o, err := objects.Decode(op)
		if w, ok := o.(objects.Write); sub != ids.Namespace && err == nil && ok {
			told++
			if a, _ := objects.Stat(node.cfg.Index.At(sub, hlc.Latest), w.Ino); a.Size < w.Off+100 {
				t.Errorf("G5: told of a write up to %d when the file had %d bytes", w.Off+100, a.Size)
			}
			if node.NowReady() {
				t.Error("G5: somebody could read what a write did before this node was told of it")
			}
		}
	}
	c.kill(2)
	c.start(2)
	if _, err := c.members[2].node.Now(t.Context(), ids.Namespace); err != nil {
		t.Fatal(err)
	}
	const writes = 50
	for k := range writes {
		c.do(k%2, c.members[0].node.DataShard(9), objects.Write{Ino: 9, Off: int64(k * 100)}.Encode(), make([]byte, 100))
	}
	if _, err := c.members[2].node.Now(t.Context(), ids.Namespace); err != nil {
		t.Fatal(err)
	}
	if c.kill(2); told != writes {
		t.Errorf("G5: told of %d writes, want %d", told, writes)
	}
}

// G4, G7: operations submitted while members come and go are applied once, in order, at every replica.
func TestRestarts(t *testing.T) {
	c := newTestCluster(t, 3)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	const count = 2000
	wg.Go(func() { // node 1 is never killed
		var calls []*Call
		for k := range count {
			call, err := c.members[0].node.Submit(ctx, ids.Namespace,
				namespace.Create{Parent: ids.RootIno, Name: fmt.Sprint("g", k), Mode: 0o100644, Exclusive: true}.Encode())
			if err != nil {
				t.Error(err)
				return
			}
			calls = append(calls, call)
			if k%100 == 0 {
				if _, err := call.Wait(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		}
		for k, call := range calls {
			if r, err := call.Wait(ctx); err != nil || r.Kind != errs.OK {
				t.Errorf("create %d: %v, %v", k, r.Kind, err)
				return
			}
		}
	})
	for k := range 6 {
		i := 1 + k%2
		c.kill(i)
		c.start(i)
		c.do(i, ids.Namespace, namespace.Create{Parent: ids.RootIno, Name: fmt.Sprint("k", k), Mode: 0o100644, Exclusive: true}.Encode())
	}
	wg.Wait()
	a, b, d := c.digests(0), c.digests(1), c.digests(2)
	if a != b || a != d {
		t.Fatalf("G1: digests differ: %s, %s, %s", a, b, d)
	}
	r, err := c.members[2].node.Now(ctx, ids.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	namespace.List(r, ids.RootIno, "", func(string, ids.Ino, namespace.Type) bool { seen++; return true })
	if seen != count+6 {
		t.Fatalf("%d entries, want %d", seen, count+6)
	}
}

// Damaged data is repaired from another replica when it is read; if no other has a good copy, that is an error.
func TestRepair(t *testing.T) {
	c := newTestCluster(t, 3)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	write := objects.Write{Ino: 77, Off: 0}.Encode()
	call, err := c.members[0].node.Submit(context.Background(), ShardOf(77, 2), write, []byte("precious"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.digests(1)
	m := c.members[1]
	lsn := m.log.lsns[len(m.log.lsns)-1]
	m.log.mu.Lock()
	m.log.bad = map[versionlog.LSN]bool{lsn: true}
	m.log.mu.Unlock()
	p := make([]byte, 8)
	if err := m.node.ReadData(uint64(lsn), 0, p); err != nil || string(p) != "precious" {
		t.Fatalf("%q, %v", p, err)
	}
	if len(m.log.bad) != 0 {
		t.Error("the data was not repaired")
	}
}

// With Soft set, calls fail when a majority is missing for long, and go on when it is back.
func TestSoft(t *testing.T) {
	ctx := context.Background()
	c := newTestCluster(t, 3)
	c.soft = 300 * time.Millisecond
	c.kill(0)
	c.start(0)
	// taken submits an operation until there is a view in which it is done: on a busy machine that may take longer.
	taken := func(op []byte) {
		for {
			call, err := c.members[0].node.Submit(ctx, ids.Namespace, op)
			if err == nil {
				_, err = call.Wait(ctx)
			}
			if err == nil {
				return
			}
			if errs.KindOf(err) != errs.IO {
				t.Fatal(err)
			}
		}
	}
	taken(namespace.Init{}.Encode())
	c.kill(1)
	c.kill(2)
	create := namespace.Create{Parent: ids.RootIno, Name: "f", Mode: 0o100644}.Encode()
	var err error
	for err == nil {
		var call *Call
		if call, err = c.members[0].node.Submit(ctx, ids.Namespace, create); err == nil {
			_, err = call.Wait(ctx)
		}
	}
	if errs.KindOf(err) != errs.IO {
		t.Errorf("a call without a majority: %v", err)
	}
	for err = nil; err == nil; { // until the lease is over
		_, err = c.members[0].node.Now(ctx, ids.Namespace)
	}
	if errs.KindOf(err) != errs.IO {
		t.Errorf("a read without a majority: %v", err)
	}
	c.start(1)
	taken(create)
}

// G6: a sync that failed stops the replica; nothing is said to be persisted, then or later.
func TestFailedSync(t *testing.T) {
	c := newTestCluster(t, 1)
	c.do(0, ids.Namespace, namespace.Init{}.Encode())
	m := c.members[0]
	if err := m.node.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.log.mu.Lock()
	m.log.fail = errs.New(errs.IO, "the disk is broken")
	m.log.mu.Unlock()
	c.do(0, ids.Namespace, namespace.Create{Parent: ids.RootIno, Name: "f", Mode: 0o100644}.Encode())
	if err := m.node.Sync(context.Background()); err == nil {
		t.Error("G6: Sync returned well though the disk failed")
	}
	if err := <-m.ended; errs.KindOf(err) != errs.IO {
		t.Errorf("G6: Run ended with %v", err)
	}
	if _, err := m.node.Submit(context.Background(), ids.Namespace, namespace.Init{}.Encode()); err == nil {
		t.Error("G6: the replica takes operations")
	}
	m.ended <- nil
}
