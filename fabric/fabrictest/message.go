package fabrictest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"dfs/fabric"
)

// F1: messages come in the order sent, and none before what was written ahead of it.
func testMessageOrder(t *testing.T, o Open) {
	const rounds = 500
	mem := fabric.Alloc(64)
	word := &fabric.Words(mem)[0]
	var got atomic.Uint64
	b := open(t, o, 2, func(n *node) {
		if n.id != 2 {
			return
		}
		n.on = func(e event) {
			if e.kind != "message" {
				return
			}
			i := binary.LittleEndian.Uint64(e.msg)
			if v := atomic.LoadUint64(word); v < i {
				t.Errorf("F1: message %d came when the word was %d", i, v)
			}
			if last := got.Swap(i); last+1 != i {
				t.Errorf("F1: message %d came after %d", i, last)
			}
		}
	})
	b.nodes[2].Register(1, mem)
	b.barrierBack()
	var msg [8]byte
	for i := uint64(1); i <= rounds; i++ {
		b.nodes[1].WriteWords(2, 1, 0, []uint64{i})
		binary.LittleEndian.PutUint64(msg[:], i) // msg is reused at once
		b.nodes[1].Send(2, msg[:])
		if i%3 == 0 {
			b.nodes[1].Flush()
		}
	}
	b.nodes[1].Flush()
	b.wait("the last message", func() bool { return got.Load() == rounds })
}

// Messages of every size arrive whole.
func testMessageSizes(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	rng := rand.New(rand.NewPCG(4, 4))
	var want [][]byte
	for _, n := range []int{0, 1, 23, 24, 25, 4096, 65536, 131072, 1 << 20, fabric.MaxMessage, 3} {
		msg := randomBytes(rng, n)
		want = append(want, bytes.Clone(msg))
		b.nodes[1].Send(2, msg)
		clear(msg)
		b.nodes[1].Flush()
	}
	b.wait("all messages", func() bool { return b.nodes[2].count("message", 1) == len(want) })
	for i, msg := range b.nodes[2].messages(1) {
		if !bytes.Equal(msg, want[i]) {
			t.Errorf("message %d of %d bytes differs from what was sent, %d bytes", i, len(msg), len(want[i]))
		}
	}
}

// A receiver that takes nothing does not hold up the goroutine that sends to it, nor what is sent to others.
// When it goes on, all arrives.
func testSlowReceiver(t *testing.T, o Open) {
	const size, rounds = 1 << 20, 48
	b := open(t, o, 3, nil)
	mem2, mem3 := fabric.Alloc(64+size), fabric.Alloc(64)
	b.nodes[2].Register(1, mem2)
	b.nodes[3].Register(1, mem3)
	b.barrierAll()
	resume := b.net.Stall(2)
	src := randomBytes(rand.New(rand.NewPCG(5, 5)), size)
	messages := b.nodes[2].count("message", 1)
	for i := uint64(1); i <= rounds; i++ {
		b.nodes[1].Write(2, 1, 64, src)
		b.nodes[1].WriteWords(2, 1, 0, []uint64{i})
		b.nodes[1].Send(2, fmt.Append(nil, i))
		b.nodes[1].WriteWords(3, 1, 0, []uint64{i})
		b.nodes[1].Flush()
	}
	third := &fabric.Words(mem3)[0]
	b.wait("node 3, while node 2 takes nothing", func() bool { return atomic.LoadUint64(third) == rounds })
	if n := b.nodes[2].count("message", 1) - messages; n == rounds {
		t.Fatal("node 2 was not slow at all")
	}
	resume()
	second := &fabric.Words(mem2)[0]
	b.wait("node 2 to catch up", func() bool {
		return atomic.LoadUint64(second) == rounds && b.nodes[2].count("message", 1) == messages+rounds
	})
	if !bytes.Equal(mem2[64:], src) {
		t.Fatalf("memory differs from byte %d on", firstDifference(mem2[64:], src))
	}
}
