package views

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"dfs/hlc"
	"dfs/ids"
)

var seedFlag = flag.Uint64("seed", 0, "replay one seed of the random tests")

// A cluster of cores whose links deliver in order, at random moments. A node's log is modelled by the
// version it ends at; what a view delivered is the sum of a vector.
type cluster struct {
	t     *testing.T
	rng   *rand.Rand
	nodes []*node
	links map[[2]int][][]byte // in flight, by (from, to)
	up    map[[2]int]bool
	trims map[ids.ViewID]*Trim // V3: the one trim delivered for a view
}

type node struct {
	id       int
	core     *Core
	durable  Durable
	end      ids.Version
	inc      uint32
	pending  []Effect // effects not yet carried out
	fetching *Effect
	active   ids.ViewID
	received uint64
	open     bool
}

func (c *cluster) start(i int) {
	n := c.nodes[i]
	n.inc++
	all := []ids.NodeID{1, 2, 3}
	n.pending, n.fetching, n.active, n.open = nil, nil, 0, false
	n.core = New(Config{
		Self: Member{Node: ids.NodeID(i + 1), Incarnation: n.inc}, Nodes: all, Durable: n.durable,
		Ends: func() ([]ids.Version, hlc.Timestamp) { return []ids.Version{n.end}, 0 },
	})
	n.pending = n.core.Start()
}

const clusterSize = 3

func (c *cluster) breakLink(a, b int) {
	if a > b {
		a, b = b, a
	}
	if !c.up[[2]int{a, b}] {
		return
	}
	c.up[[2]int{a, b}] = false
	delete(c.links, [2]int{a, b})
	delete(c.links, [2]int{b, a})
	c.down(a, b)
	c.down(b, a)
}

func (c *cluster) down(at, peer int) {
	n := c.nodes[at]
	n.pending = append(n.pending, n.core.PeerDown(ids.NodeID(peer+1))...)
	c.drain(n)
}

func (c *cluster) makeLink(a, b int) {
	if a > b {
		a, b = b, a
	}
	if a == b || c.up[[2]int{a, b}] {
		return
	}
	c.up[[2]int{a, b}] = true
	for _, p := range [][2]int{{a, b}, {b, a}} {
		n := c.nodes[p[0]]
		n.pending = append(n.pending, n.core.PeerUp(ids.NodeID(p[1]+1))...)
		c.drain(n)
	}
}

func (c *cluster) crash(i int) {
	for j := range c.nodes {
		if j != i {
			a, b := min(i, j), max(i, j)
			if c.up[[2]int{a, b}] {
				c.up[[2]int{a, b}] = false
				delete(c.links, [2]int{a, b})
				delete(c.links, [2]int{b, a})
				c.down(j, i)
			}
		}
	}
	c.start(i)
}

// drain carries out effects in order.
func (c *cluster) drain(n *node) {
	for len(n.pending) > 0 {
		e := n.pending[0]
		n.pending = n.pending[1:]
		switch e.Kind {
		case Send:
			k := [2]int{n.id, int(e.To) - 1}
			c.links[k] = append(c.links[k], e.Message)
		case Wedge:
			n.open = false
			n.pending = append(n.pending, n.core.Wedged([][]uint64{{n.received, 0, 0}})...)
		case Persist:
			n.durable = e.Durable
		case DeliverTrim:
			if old := c.trims[e.Trim.View]; old != nil && !reflect.DeepEqual(old, e.Trim) {
				c.t.Fatalf("V3: view %d ends at %v and at %v", e.Trim.View, old, e.Trim)
			}
			c.trims[e.Trim.View] = e.Trim
			if e.Trim.Upto[0][0] > n.received {
				c.t.Fatalf("V3: node %d is to deliver %d of %d received", n.id+1, e.Trim.Upto[0][0], n.received)
			}
			n.end = max(n.end, ids.MakeVersion(e.Trim.View, e.Trim.Upto[0][0]))
			n.pending = append(n.pending, n.core.Finished(e.Number)...)
		case Fetch:
			n.fetching = &e
		case Activate:
			n.active, n.received = e.View.ID, 0
		case Open:
			n.open = true
		}
	}
}

// step lets one thing happen: a message arrives, a fetch ends, an active node receives or delivers.
func (c *cluster) step() {
	n := c.nodes[c.rng.IntN(len(c.nodes))]
	switch c.rng.IntN(4) {
	case 0:
		if f := n.fetching; f != nil {
			src := c.nodes[f.To-1]
			if num, ok := src.core.Number(); ok && num >= f.Number || src.core.Active() {
				n.fetching = nil
				n.end = max(n.end, src.end)
				n.pending = append(n.pending, n.core.Finished(f.Number)...)
				c.drain(n)
			}
		}
	case 1:
		if n.open { // receive a message; deliver when everyone in the view has it
			n.received++
			low := n.received
			for _, o := range c.nodes {
				if o.active != n.active || !o.open {
					low = 0
				}
				low = min(low, o.received)
			}
			if low > 0 {
				n.end = max(n.end, ids.MakeVersion(n.active, low))
			}
		}
	default:
		from, to := c.rng.IntN(len(c.nodes)), c.rng.IntN(len(c.nodes))
		k := [2]int{from, to}
		if q := c.links[k]; len(q) > 0 {
			c.links[k] = q[1:]
			m := c.nodes[to]
			eff, err := m.core.Message(ids.NodeID(from+1), q[0])
			if err != nil {
				c.t.Fatal(err)
			}
			m.pending = append(m.pending, eff...)
			c.drain(m)
		}
	}
}

// V1 to V5 under random breaks and crashes; once these stop, everyone is in one view again.
func TestAgreement(t *testing.T) {
	seeds := uint64(300)
	first := uint64(1)
	if *seedFlag != 0 {
		first, seeds = *seedFlag, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runAgreement(t, seed) })
	}
}

func runAgreement(t *testing.T, seed uint64) {
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1)), links: map[[2]int][][]byte{}, up: map[[2]int]bool{}, trims: map[ids.ViewID]*Trim{}}
	for i := range clusterSize {
		c.nodes = append(c.nodes, &node{id: i})
	}
	for i := range c.nodes {
		c.start(i)
		c.drain(c.nodes[i])
	}
	var last [clusterSize]ids.Version
	for range 3000 {
		switch c.rng.IntN(150) {
		case 0:
			c.breakLink(c.rng.IntN(clusterSize), c.rng.IntN(clusterSize))
		case 1:
			i := c.rng.IntN(clusterSize)
			c.crash(i)
			c.drain(c.nodes[i])
		case 2, 3, 4, 5, 6, 7, 8, 9:
			c.makeLink(c.rng.IntN(clusterSize), c.rng.IntN(clusterSize))
		default:
			c.step()
		}
		for i, n := range c.nodes {
			if n.end < last[i] {
				t.Fatalf("the log of node %d went back from %v to %v", i+1, last[i], n.end)
			}
			last[i] = n.end
			if n.open {
				for _, o := range c.nodes {
					if o.open && o.active == n.active && o.durable.View.ID != n.durable.View.ID {
						t.Fatalf("V1: open in view %d with views %d and %d", n.active, n.durable.View.ID, o.durable.View.ID)
					}
				}
			}
		}
	}
	for a := range c.nodes {
		for b := range a {
			c.makeLink(a, b)
		}
	}
	for i := 0; !c.settled(); i++ {
		if i > 100_000 {
			for _, n := range c.nodes {
				t.Logf("node %d: phase %d, attempt %d, view %d, end %v, waiting %v", n.id+1, n.core.phase, n.core.attempt, n.durable.View.ID, n.end, n.core.Waiting())
			}
			t.Fatalf("no view after everything healed; replay with -seed %d", seed)
		}
		c.step()
	}
}

func (c *cluster) settled() bool {
	for _, n := range c.nodes {
		if !n.core.Active() || n.active != c.nodes[0].active {
			return false
		}
	}
	return true
}

func TestDurableRoundTrip(t *testing.T) {
	want := Durable{View: View{ID: 7, Floor: 99, Members: []Member{{1, 2}, {3, 4}}}, Trim: &Trim{View: 7, Upto: [][]uint64{{1, 2}}}}
	got, err := DecodeDurable(want.Encode())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func FuzzMessage(f *testing.F) {
	r := message{kind: reportMsg, report: Report{Member: Member{2, 1}, Attempt: 3, Received: [][]uint64{{1, 2}}, End: []ids.Version{4}}}
	f.Add(r.encode())
	p := message{kind: proposeMsg, plan: proposal{number: 1, view: View{ID: 1, Members: []Member{{1, 1}}}, attempts: []uint64{1}}}
	f.Add(p.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		core := New(Config{Self: Member{1, 1}, Nodes: []ids.NodeID{1, 2}, Ends: func() ([]ids.Version, hlc.Timestamp) { return nil, 0 }})
		core.Start()
		core.PeerUp(2)
		_, _ = core.Message(2, b)
		_, _ = DecodeDurable(b)
	})
}

// formed returns a cluster in which everyone is in the first view.
func formed(t *testing.T) *cluster {
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(1, 1)), links: map[[2]int][][]byte{}, up: map[[2]int]bool{}, trims: map[ids.ViewID]*Trim{}}
	for i := range clusterSize {
		c.nodes = append(c.nodes, &node{id: i})
	}
	for i := range c.nodes {
		c.start(i)
		c.drain(c.nodes[i])
	}
	for a := range c.nodes {
		for b := range a {
			c.makeLink(a, b)
		}
	}
	c.settle()
	return c
}

func (c *cluster) settle() {
	c.t.Helper()
	for i := 0; !c.settled(); i++ {
		if i > 100_000 {
			c.t.Fatal("no view")
		}
		c.step()
	}
}

// V2: a view that was left is not entered again, though the link that broke is back at once.
func TestWedgedStaysWedged(t *testing.T) {
	c := formed(t)
	before := c.nodes[0].active
	c.breakLink(0, 1)
	c.makeLink(0, 1)
	for i, n := range c.nodes[:2] {
		if n.core.Active() || n.open {
			t.Errorf("V2: node %d goes on in view %d", i+1, n.active)
		}
	}
	c.settle()
	for i, n := range c.nodes {
		if n.active <= before {
			t.Errorf("V2: node %d is in view %d again", i+1, n.active)
		}
	}
}

// V4: a proposal that rests on an earlier attempt of a member is not obeyed by it.
func TestProposalOfOldAttempt(t *testing.T) {
	c := formed(t)
	c.breakLink(1, 2) // both begin a new attempt
	n := c.nodes[1]
	plan := message{kind: proposeMsg, plan: proposal{
		number: 1 << 40, base: n.durable.View.ID, source: 1, attempts: []uint64{1, n.core.attempt - 1, 1},
		view: View{ID: n.durable.View.ID + 1, Members: n.durable.View.Members},
	}}
	answers := func() int {
		effects, err := n.core.Message(1, plan.encode())
		if err != nil {
			t.Fatal(err)
		}
		return len(effects)
	}
	if got := answers(); got != 0 || n.core.phase != reporting {
		t.Errorf("V4: an old attempt's proposal had %d effects, phase %d", got, n.core.phase)
	}
	plan.plan.attempts[1]++
	if got := answers(); got == 0 || n.core.phase != planned {
		t.Errorf("V4: the present attempt's proposal had no effect, phase %d", n.core.phase)
	}
}
