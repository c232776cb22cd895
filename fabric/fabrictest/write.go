package fabrictest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"dfs/fabric"
	"dfs/ids"
)

// F1: a counter written after bytes is seen after them, whatever the sizes.
func testBytesBeforeCounter(t *testing.T, o Open) {
	const size, rounds = 1 << 20, 400
	rng := rand.New(rand.NewPCG(1, 1))
	src := randomBytes(rng, size)
	mem := fabric.Alloc(64 + size)
	counter := &fabric.Words(mem)[0]
	checked := 0 // only the callback uses it
	var bad atomic.Pointer[string]
	check := func() {
		if n := int(atomic.LoadUint64(counter)); n > checked {
			if !bytes.Equal(mem[64+checked:64+n], src[checked:n]) {
				text := fmt.Sprintf("F1: the counter says %d, but bytes from %d on are not there", n, checked)
				bad.CompareAndSwap(nil, &text)
			}
			checked = n
		}
	}
	b := open(t, o, 2, func(n *node) {
		if n.id == 2 {
			n.onWake = check
		}
	})
	b.nodes[2].Register(7, mem)
	b.barrierBack()
	sent := 0
	for range rounds {
		n := min(1+rng.IntN(1<<rng.IntN(17)), size-sent)
		b.nodes[1].Write(2, 7, 64+sent, src[sent:sent+n])
		sent += n
		b.nodes[1].WriteWords(2, 7, 0, []uint64{uint64(sent)})
		if rng.IntN(3) > 0 {
			b.nodes[1].Flush()
		}
	}
	b.nodes[1].Flush()
	b.wait("the last counter", func() bool { return int(atomic.LoadUint64(counter)) == sent })
	if text := bad.Load(); text != nil {
		t.Fatal(*text)
	}
}

// F2: words are stored one by one in ascending order: reading from the top down, none is older than
// the one above it.
func testWordsAscending(t *testing.T, o Open) {
	const width, rounds = 24, 1000
	b := open(t, o, 2, nil)
	mem := fabric.Alloc(8 * width)
	words := fabric.Words(mem)
	b.nodes[2].Register(1, mem)
	b.barrierBack()
	check := func() bool {
		above := uint64(0)
		for i := width - 1; i >= 0; i-- {
			v := atomic.LoadUint64(&words[i])
			if v < above {
				t.Errorf("F2: word %d is %d, and the word above it was %d before", i, v, above)
			}
			above = v
		}
		return above == rounds || t.Failed()
	}
	var wg sync.WaitGroup
	if b.net.Step == nil { // somebody who looks at any time, not only when woken
		wg.Go(func() {
			for !check() {
				runtime.Gosched()
			}
		})
	}
	row := make([]uint64, width)
	for i := uint64(1); i <= rounds; i++ {
		for k := range row {
			row[k] = i
		}
		b.nodes[1].WriteWords(2, 1, 0, row)
		b.nodes[1].Flush()
		if i%16 == 0 && b.net.Step != nil {
			b.net.Step()
			check()
		}
	}
	b.wait("the last row", check)
	wg.Wait()
}

// Large, tiny, empty and oddly placed writes arrive as they were sent, and nothing around them changes.
func testSizesAndOffsets(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	const size = 12 << 20
	mem := fabric.Alloc(size)
	b.nodes[2].Register(1, mem)
	b.barrierBack()
	rng := rand.New(rand.NewPCG(2, 2))
	want := make([]byte, size)
	for _, w := range []struct{ off, n int }{
		{0, 1}, {3, 0}, {5, 7}, {63, 2}, {100, 511}, {1001, 512}, {2003, 513}, {5001, 4095}, {9999, 4096}, {15000, 4097},
		{20001, 65536}, {100001, 131072 - 24}, {300000, 131073}, {1 << 20, 8<<20 + 13}, {size - 1, 1}, {size, 0},
	} {
		src := randomBytes(rng, w.n)
		copy(want[w.off:], src)
		b.nodes[1].Write(2, 1, w.off, src)
		if rng.IntN(2) == 0 {
			b.nodes[1].Flush()
		}
	}
	b.barrier(1, 2)
	if !bytes.Equal(mem, want) {
		t.Fatalf("memory differs from byte %d on", firstDifference(mem, want))
	}
	if d := b.nodes[2].Stats().Discarded; d != 0 {
		t.Errorf("%d writes were discarded", d)
	}
}

// Words may be reused at once; of words for one place the last are what remains, and words in between are
// not lost when something else was queued since.
func testWordsReplaced(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	mem := fabric.Alloc(4096)
	words := fabric.Words(mem)
	b.nodes[2].Register(1, mem)
	b.barrierBack()
	row := []uint64{0, 0}
	for i := uint64(1); i <= 100; i++ {
		row[0], row[1] = i, 2*i
		b.nodes[1].WriteWords(2, 1, 128, row)
	}
	row[0], row[1] = 7, 8
	b.nodes[1].WriteWords(2, 1, 256, row)
	b.nodes[1].WriteWords(2, 1, 256, row[:1]) // shorter: not the same place
	row[0], row[1] = 9, 10
	b.nodes[1].Write(2, 1, 512, []byte("between"))
	b.nodes[1].WriteWords(2, 1, 264, row)
	row[0], row[1] = 0, 0
	b.barrier(1, 2)
	for i, want := range map[int]uint64{16: 100, 17: 200, 32: 7, 33: 9, 34: 10} {
		if got := atomic.LoadUint64(&words[i]); got != want {
			t.Errorf("word %d is %d, want %d", i, got, want)
		}
	}
}

// Many regions at once, each with its own bytes.
func testManyRegions(t *testing.T, o Open) {
	b := open(t, o, 2, nil)
	const regions = 300
	mems := make([][]byte, regions)
	for i := range mems {
		mems[i] = fabric.Alloc(1024)
		b.nodes[2].Register(fabric.RegionID(1<<40+i*3), mems[i])
	}
	b.barrierBack()
	for round := range 3 {
		for i := range mems {
			b.nodes[1].Write(2, fabric.RegionID(1<<40+i*3), 8*round, fmt.Appendf(nil, "%8d", i*10+round))
		}
		b.nodes[1].Flush()
	}
	b.barrier(1, 2)
	for i, mem := range mems {
		if want := fmt.Sprintf("%8d%8d%8d", i*10, i*10+1, i*10+2); string(mem[:24]) != want {
			t.Fatalf("region %d holds %q, want %q", i, mem[:24], want)
		}
	}
}

// Three nodes write into each other's memory at once; each finds what was meant for it.
func testEveryoneToEveryone(t *testing.T, o Open) {
	const nodes, rounds, area = 3, 300, 1 << 16
	b := open(t, o, nodes, nil)
	mems := map[ids.NodeID][]byte{}
	for id, nd := range b.nodes {
		mems[id] = fabric.Alloc(area * (nodes + 1))
		nd.Register(5, mems[id])
	}
	b.barrierAll()
	want := map[ids.NodeID][]byte{}
	for id := range b.nodes {
		want[id] = make([]byte, area*(nodes+1))
	}
	rng := rand.New(rand.NewPCG(3, 3))
	var keep [][]byte
	for range rounds {
		from, to := ids.NodeID(1+rng.IntN(nodes)), ids.NodeID(1+rng.IntN(nodes))
		if from == to {
			continue
		}
		src := randomBytes(rng, 1+rng.IntN(9000))
		keep = append(keep, src)
		off := int(from)*area + rng.IntN(area-len(src))
		copy(want[to][off:], src)
		b.nodes[from].Write(to, 5, off, src)
		if rng.IntN(4) == 0 {
			b.nodes[from].Flush()
		}
	}
	b.barrierAll()
	for id := range b.nodes {
		if !bytes.Equal(mems[id], want[id]) {
			t.Errorf("memory of node %d differs from byte %d on", id, firstDifference(mems[id], want[id]))
		}
	}
	runtime.KeepAlive(keep)
}

// barrierBack waits until node 1 knows that node 2 is ready, as a node would before it writes.
func (b *bench) barrierBack() {
	b.t.Helper()
	b.barrier(2, 1)
}

func (b *bench) barrierAll() {
	b.t.Helper()
	for from := range b.nodes {
		for to := range b.nodes {
			if from != to {
				b.barrier(from, to)
			}
		}
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	p := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
	}
	return p[:n]
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}
