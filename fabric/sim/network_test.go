package sim

import (
	"fmt"
	"slices"
	"testing"

	"dfs/fabric"
	"dfs/ids"
)

// recorder is a node that writes down what it is told.
type recorder struct {
	*Endpoint
	log  []string
	mem  []byte
	wake int
}

// world is a network of n recorders, each with 1 KiB as region 1, all connected.
func world(t testing.TB, n int, cfg Config) (*Network, map[ids.NodeID]*recorder) {
	network, nodes := New(cfg), map[ids.NodeID]*recorder{}
	for id := ids.NodeID(1); id <= ids.NodeID(n); id++ {
		nodes[id] = &recorder{}
		nodes[id].start(network, id)
	}
	settle(network)
	for a := range nodes {
		for b := range nodes {
			if a != b && !network.Connected(a, b) {
				t.Fatalf("nodes %d and %d are not connected", a, b)
			}
		}
		nodes[a].log = nil
	}
	return network, nodes
}

func (r *recorder) start(n *Network, id ids.NodeID) {
	add := func(what string, peer ids.NodeID) { r.log = append(r.log, fmt.Sprint(what, " ", peer)) }
	r.mem = fabric.Alloc(1024)
	r.Endpoint = n.Endpoint(id, fabric.Events{
		Up:      func(peer ids.NodeID) { add("up", peer) },
		Down:    func(peer ids.NodeID, _ error) { add("down", peer) },
		Message: func(peer ids.NodeID, msg []byte) { add(string(msg), peer) },
		Wake:    func() { r.wake++ },
	})
	r.Register(1, r.mem)
}

func (r *recorder) say(peer ids.NodeID, what string) {
	r.Send(peer, []byte(what))
	r.Flush()
}

func (r *recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(r.log, want) {
		t.Fatalf("node %d was told %q, want %q", r.id, r.log, want)
	}
	r.log = nil
}

// settle takes events until there are none.
func settle(n *Network) {
	for n.Step() {
	}
}

// Clogging one direction leaves the other open, and loses nothing.
func TestClog(t *testing.T) {
	n, nodes := world(t, 3, Config{Seed: 1})
	n.Clog(1, 2)
	nodes[1].say(2, "a")
	nodes[1].say(3, "b")
	nodes[2].say(1, "c")
	settle(n)
	nodes[1].expect(t, "c 2")
	nodes[2].expect(t)
	nodes[3].expect(t, "b 1")
	nodes[1].say(2, "d")
	n.Unclog(1, 2)
	settle(n)
	nodes[2].expect(t, "a 1", "d 1")
}

// A cut that heals in time is but a delay; one that does not breaks the connection, and all that waited
// is lost.
func TestCut(t *testing.T) {
	n, nodes := world(t, 2, Config{Seed: 2})
	n.Cut(1, 2, 1_000_000_000)
	nodes[1].say(2, "a")
	healAt := n.Now() + 500_000_000
	n.At(healAt, func() { n.Heal(1, 2) })
	n.At(healAt+1, func() { n.Cut(1, 2, 1_000_000_000) }) // the first cut's patience is no matter
	n.At(healAt+999_000_000, func() { n.Heal(1, 2) })
	settle(n)
	nodes[1].expect(t)
	nodes[2].expect(t, "a 1")

	n.Cut(1, 2, 1_000)
	nodes[1].say(2, "lost")
	settle(n)
	nodes[1].expect(t, "down 2")
	nodes[2].expect(t, "down 1")
	if n.Connected(1, 2) {
		t.Error("connected over a cut")
	}
	n.Heal(1, 2)
	settle(n)
	nodes[1].expect(t, "up 2")
	nodes[2].expect(t, "up 1")
	n.Cut(1, 2, 0)
	n.Heal(1, 2)
	settle(n)
	nodes[1].expect(t, "down 2", "up 2")
}

// A paused node is told nothing, not even Down, until it goes on; then everything in order.
func TestPause(t *testing.T) {
	n, nodes := world(t, 3, Config{Seed: 3})
	n.Pause(2)
	nodes[1].say(2, "a")
	settle(n)
	n.Break(1, 2)
	settle(n)
	nodes[2].expect(t)
	nodes[1].expect(t, "down 2")
	if !n.Paused(2) {
		t.Error("not paused")
	}
	nodes[3].say(2, "b")
	n.Resume(2)
	settle(n)
	got := slices.Clone(nodes[2].log)
	slices.Sort(got)
	if want := []string{"b 3", "down 1", "up 1"}; !slices.Equal(got, want) && !slices.Equal(got, append([]string{"a 1"}, want...)) {
		t.Errorf("node 2 was told %q", nodes[2].log)
	}
	nodes[1].expect(t, "up 2")
}

// A node that crashed is gone with its memory; when it runs again, its peers reach it in new regions.
func TestCrash(t *testing.T) {
	n, nodes := world(t, 3, Config{Seed: 4})
	nodes[1].WriteWords(2, 1, 0, []uint64{1})
	nodes[1].Flush()
	settle(n)
	dead := nodes[2].Endpoint
	n.Crash(2)
	n.Crash(2) // again: no effect
	settle(n)
	nodes[1].expect(t, "down 2")
	nodes[3].expect(t, "down 2")
	nodes[2].expect(t)
	dead.Send(1, []byte("from the grave"))
	dead.Write(1, 1, 0, []byte("from the grave"))
	dead.Register(9, nodes[2].mem)
	dead.Flush()
	settle(n)
	nodes[1].expect(t)

	nodes[2].start(n, 2)
	settle(n)
	nodes[1].expect(t, "up 2")
	slices.Sort(nodes[2].log)
	nodes[2].expect(t, "up 1", "up 3")
	nodes[2].Register(2, fabric.Alloc(64))
	nodes[1].WriteWords(2, 1, 0, []uint64{2}) // F5: begun over the old connection
	nodes[1].WriteWords(2, 2, 0, []uint64{2})
	nodes[1].Flush()
	settle(n)
	if v := fabric.Words(nodes[2].mem)[0]; v != 0 {
		t.Errorf("F5: memory of the node that runs again has %d", v)
	}
	if nodes[2].wake != 2 {
		t.Errorf("woken %d times, want twice", nodes[2].wake)
	}
	defer func() {
		if recover() == nil {
			t.Error("a node was started twice")
		}
	}()
	n.Endpoint(1, fabric.Events{})
}

// Y4: what a broken connection still delivers is a prefix, even if a clog comes and goes meanwhile.
func TestBreakBehindClog(t *testing.T) {
	for seed := range uint64(200) {
		n, nodes := world(t, 2, Config{Seed: seed})
		for i := range 8 {
			nodes[1].say(2, fmt.Sprint(i))
		}
		n.Break(1, 2)
		n.At(n.Now()+n.rng.Int64N(50_000), func() { n.Clog(1, 2) })
		n.At(n.Now()+50_000+n.rng.Int64N(50_000), func() { n.Unclog(1, 2) })
		settle(n)
		for i, what := range nodes[2].log[:len(nodes[2].log)-2] {
			if what != fmt.Sprint(i, " ", 1) {
				t.Fatalf("Y4: seed %d: %q", seed, nodes[2].log)
			}
		}
	}
}

// Torn packets show a write in part, and words one by one, upwards.
func TestTear(t *testing.T) {
	n, nodes := world(t, 2, Config{Seed: 5, Tear: 1})
	part, src := 0, []byte("abcdefgh")
	for range 20 {
		clear(nodes[2].mem)
		nodes[1].Write(2, 1, 100, src)
		nodes[1].WriteWords(2, 1, 0, []uint64{1, 2, 3})
		nodes[1].Flush()
		for n.Step() {
			mem := nodes[2].mem
			k := 0
			for k < len(src) && mem[100+k] == src[k] {
				k++
			}
			w := fabric.Words(mem)
			if w[0] != 0 && k < len(src) || w[1] != 0 && w[0] != 1 || w[2] != 0 && w[1] != 2 {
				t.Fatalf("F1, F2: %q, words %d", mem[100:100+len(src)], w[:3])
			}
			if k > 0 && k < len(src) || w[0] == 1 && w[2] == 0 {
				part++
			}
		}
	}
	if part < 20 {
		t.Errorf("only %d partial states were seen", part)
	}
}

// Y2, Y3: events of one time run in the order scheduled, those of the past now; Next tells what comes.
func TestAt(t *testing.T) {
	n := New(Config{Seed: 6})
	var order []int
	for i, at := range []Nanos{30, 10, 20, 10, 30} {
		n.At(at, func() { order = append(order, i) })
	}
	n.At(20, func() { n.At(5, func() { order = append(order, int(n.Now())) }) })
	if at, ok := n.Next(); !ok || at != 10 {
		t.Errorf("Next: %d, %v", at, ok)
	}
	settle(n)
	if want := []int{1, 3, 2, 20, 0, 4}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if _, ok := n.Next(); ok || n.Now() != 30 {
		t.Errorf("at the end it is %d, and there is more: %v", n.Now(), ok)
	}
	before := n.Hash()
	n.Note(1)
	if n.Hash() == before {
		t.Error("Note changed nothing")
	}
}

// The queue pops in order whatever was pushed.
func TestEventQueue(t *testing.T) {
	var q eventQueue
	rng := New(Config{Seed: 7}).rng
	for range 1000 {
		q.push(event{at: rng.Int64N(50)})
	}
	last := event{at: -1}
	for len(q.heap) > 0 {
		e := q.pop()
		if !last.before(&e) {
			t.Fatalf("Y2: (%d, %d) after (%d, %d)", e.at, e.seq, last.at, last.seq)
		}
		last = e
	}
}

// In Zero mode nothing takes time, and sending allocates nothing.
func TestZero(t *testing.T) {
	n, nodes := world(t, 2, Config{Zero: true})
	row, src := make([]uint64, 8), make([]byte, 300)
	if allocs := testing.AllocsPerRun(200, func() {
		nodes[1].Write(2, 1, 64, src)
		nodes[1].WriteWords(2, 1, 0, row)
		nodes[1].Flush()
		settle(n)
	}); allocs != 0 {
		t.Errorf("%v allocations a round", allocs)
	}
	if n.Now() != 0 {
		t.Errorf("it is %d", n.Now())
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, cfg := range []Config{{Zero: true}, {Seed: 1}} {
		b.Run(fmt.Sprintf("Zero=%v", cfg.Zero), func(b *testing.B) {
			n, nodes := world(b, 2, cfg)
			row := make([]uint64, 8)
			for b.Loop() {
				for id := ids.NodeID(1); id <= 2; id++ {
					peer := 3 - id
					nodes[id].WriteWords(peer, 1, 0, row)
					nodes[id].Flush()
					settle(n)
				}
			}
		})
	}
}
