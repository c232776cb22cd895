package fabrictest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"dfs/fabric"
	"dfs/ids"
)

// F4: writes that find no region, or do not fit it, have no effect but the counter, and those
// after them are stored.
func testNoRegion(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	mem := fabric.Alloc(4096)
	b.nodes[2].Register(1, mem)
	b.barrierBack()
	big := randomBytes(rand.New(rand.NewPCG(6, 6)), 200000)
	b.nodes[1].Write(2, 99, 0, []byte("no such region"))
	b.nodes[1].Write(2, 99, 0, big)
	b.nodes[1].Write(2, 1, 4090, []byte("over the end"))
	b.nodes[1].Write(2, 1, 0, big)
	b.nodes[1].Write(2, 1, 5000, []byte("x"))
	b.nodes[1].Write(2, 1, math.MaxInt, []byte("x"))
	b.nodes[1].WriteWords(2, 1, 4096, []uint64{1})
	b.nodes[1].WriteWords(2, 1, 4088, []uint64{1, 2})
	b.nodes[1].WriteWords(2, 98, 8, []uint64{1})
	b.nodes[1].WriteWords(2, 1, math.MaxInt-7, []uint64{1})
	b.barrier(1, 2)
	if d := b.nodes[2].Stats().Discarded; d != 10 {
		t.Errorf("F4: %d writes were counted as discarded, want 10", d)
	}
	if !bytes.Equal(mem, make([]byte, len(mem))) {
		t.Errorf("F4: memory changed at byte %d", firstDifference(mem, make([]byte, len(mem))))
	}
	b.nodes[1].Write(2, 1, 4092, []byte("fits"))
	b.barrier(1, 2)
	if string(mem[4092:]) != "fits" {
		t.Error("a write that fits, after some that did not, was not stored")
	}
}

// F4: after Deregister nothing lands, in the middle of a stream of writes; the same name may then be
// registered for other memory.
func testDeregister(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	for round := range 20 {
		id := fabric.RegionID(100 + round)
		mem := fabric.Alloc(1 << 18)
		counter := &fabric.Words(mem)[0]
		b.nodes[2].Register(id, mem)
		b.barrierBack()
		rng := rand.New(rand.NewPCG(7, uint64(round)))
		src := randomBytes(rng, len(mem)-64)
		const writes = 30
		write := func(from, to uint64) {
			for i := from; i <= to; i++ {
				b.nodes[1].WriteWords(2, id, 0, []uint64{i})
				b.nodes[1].Write(2, id, 64, src[:len(src)>>rng.IntN(12)])
				b.nodes[1].Flush()
			}
		}
		write(1, 10)
		b.wait("some of the stream", func() bool { return atomic.LoadUint64(counter) >= uint64(1+round%10) })
		write(11, writes)
		b.nodes[2].Deregister(id)
		before := bytes.Clone(mem)
		other := fabric.Alloc(1 << 18)
		if round%2 == 0 {
			b.nodes[2].Register(id, other)
		}
		b.barrier(1, 2)
		if !bytes.Equal(mem, before) {
			t.Fatalf("F4: round %d: memory changed after Deregister, at byte %d", round, firstDifference(mem, before))
		}
		b.nodes[2].Deregister(id)
	}
	b.nodes[2].Deregister(12345) // never registered: no effect
}

// F3: each Up has one Down, in turns, on both ends, whatever breaks when.
func testDownOnce(t *testing.T, o Open) {
	b := open(t, o, 3, nil)
	src := randomBytes(rand.New(rand.NewPCG(8, 8)), 300000)
	for round := range 12 {
		for id, nd := range b.nodes {
			for peer := range b.nodes {
				if peer != id {
					nd.Send(peer, fmt.Append(nil, round))
					nd.Write(peer, fabric.RegionID(round), 0, src)
				}
			}
			nd.Flush()
		}
		x := ids.NodeID(1 + round%3)
		b.reconnect(x, x%3+1)
	}
	for _, nd := range b.nodes {
		nd.mu.Lock()
		up := map[ids.NodeID]bool{}
		for i, e := range nd.events {
			switch {
			case e.kind == "up" && up[e.peer], e.kind == "down" && !up[e.peer], e.kind == "message" && !up[e.peer]:
				t.Errorf("F3: node %d, event %d: %s of node %d while connected is %v", nd.id, i, e.kind, e.peer, up[e.peer])
			case e.kind == "down" && len(e.msg) == 0:
				t.Errorf("node %d, event %d: down of node %d says no reason", nd.id, i, e.peer)
			}
			if e.kind != "message" {
				up[e.peer] = e.kind == "up"
			}
		}
		nd.mu.Unlock()
	}
}

// F3: a connection that is given up goes down at both ends, and another one comes.
func testSever(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	for round := range 3 {
		b.nodes[1].Sever(2, fmt.Errorf("given up in round %d", round))
		for id, nd := range b.nodes {
			peer := 3 - id
			b.wait("down", func() bool { return nd.count("down", peer) > round })
			b.wait("another connection", func() bool { return nd.count("up", peer) > round+1 })
		}
	}
	b.nodes[1].Sever(77, fmt.Errorf("no such node"))
}

// F3, F5: what was sent before a break takes no effect after Down, at once or ever.
func testNothingAfterDown(t *testing.T, o Open) {
	mem := fabric.Alloc(1 << 20)
	counter := &fabric.Words(mem)[0]
	atDown := make(chan uint64, 1)
	b := open(t, o, 2, func(n *node) {
		if n.id == 2 {
			n.on = func(e event) {
				if e.kind == "down" {
					atDown <- atomic.LoadUint64(counter)
				}
			}
		}
	})
	b.nodes[2].Register(1, mem)
	b.barrierBack()
	src := randomBytes(rand.New(rand.NewPCG(9, 9)), 100000)
	const rounds = 200
	for i := uint64(1); i <= rounds; i++ {
		b.nodes[1].Write(2, 1, 64, src)
		b.nodes[1].WriteWords(2, 1, 0, []uint64{i})
		b.nodes[1].Flush()
	}
	b.reconnect(1, 2)
	b.nodes[1].WriteWords(2, 1, 0, []uint64{rounds + 1})
	b.barrier(1, 2)
	if was, is := <-atDown, atomic.LoadUint64(counter); was != is {
		t.Errorf("F3: the counter was %d at Down and is %d now", was, is)
	}
}

// F5: over a break, a region holds a prefix of what was written into it; a region of the next epoch
// starts afresh.
func testPrefixOverReconnect(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	const epochs, size = 8, 1 << 16
	mems := make([][]byte, epochs)
	for i := range mems {
		mems[i] = fabric.Alloc(64 + size)
		b.nodes[2].Register(fabric.RegionID(i), mems[i])
	}
	b.barrierBack()
	rng := rand.New(rand.NewPCG(10, 10))
	src := randomBytes(rng, size)
	stream := func(epoch, from, to int) {
		for at := from; at < to; {
			n := min(1+rng.IntN(2000), to-at)
			b.nodes[1].Write(2, fabric.RegionID(epoch), 64+at, src[at:at+n])
			at += n
			b.nodes[1].WriteWords(2, fabric.RegionID(epoch), 0, []uint64{uint64(at)})
			b.nodes[1].Flush()
		}
	}
	for epoch := range epochs {
		stream(epoch, 0, size/2)
		b.reconnect(1, 2)
		dropped := b.nodes[1].Stats().Dropped
		stream(epoch, size/2, size)
		b.barrier(1, 2)
		counter := int(fabric.Words(mems[epoch])[0])
		if counter > size/2 {
			t.Fatalf("F5: epoch %d went on over a new connection: counter %d", epoch, counter)
		}
		if !bytes.Equal(mems[epoch][64:64+counter], src[:counter]) {
			t.Fatalf("F1: epoch %d: the counter is ahead of the bytes", epoch)
		}
		if b.nodes[1].Stats().Dropped == dropped {
			t.Error("F5: dropped writes were not counted")
		}
	}
}

// After Close no callback runs, the peers notice, and what is sent is dropped.
func testClose(t *testing.T, o Open) {
	var closed atomic.Bool
	b := open(t, o, 3, func(n *node) {
		if n.id == 1 {
			n.on = func(e event) {
				if closed.Load() {
					t.Errorf("%s after Close", e.kind)
				}
			}
		}
	})
	mem := fabric.Alloc(1 << 20)
	b.nodes[1].Register(1, mem)
	b.barrierAll()
	src := randomBytes(rand.New(rand.NewPCG(11, 11)), 1<<20)
	for i := range 10 {
		b.nodes[2].Write(1, 1, 0, src)
		b.nodes[2].Send(1, fmt.Append(nil, i))
		b.nodes[2].Flush()
	}
	if err := b.nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	closed.Store(true)
	before := bytes.Clone(mem)
	b.wait("the peers to notice", func() bool { return !b.nodes[2].connected(1) && !b.nodes[3].connected(1) })
	b.barrier(2, 3)
	if !bytes.Equal(mem, before) {
		t.Error("memory changed after Close")
	}
	b.nodes[1].Send(2, []byte("too late"))
	b.nodes[1].Write(2, 1, 0, []byte("too late"))
	b.nodes[1].Flush()
	if err := b.nodes[1].Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// What is sent to a node that is no peer, or not connected, is dropped and counted.
func testNotConnected(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	n := b.nodes[1]
	before := n.Stats().Dropped
	n.Send(77, []byte("nobody"))
	n.Write(77, 1, 0, []byte("nobody"))
	n.WriteWords(77, 1, 0, []uint64{1})
	n.Flush()
	if d := n.Stats().Dropped - before; d != 3 {
		t.Errorf("%d dropped, want 3", d)
	}
	_ = b.nodes[2].Close()
	b.wait("node 1 to notice", func() bool { return !n.connected(2) })
	before = n.Stats().Dropped
	n.Send(2, []byte("nobody"))
	n.WriteWords(2, 1, 0, []uint64{1})
	n.Flush()
	if d := n.Stats().Dropped - before; d != 2 {
		t.Errorf("%d dropped after the peer left, want 2", d)
	}
}
