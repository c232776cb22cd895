package sim

import (
	"fmt"
	"hash/crc32"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"

	"dfs/fabric"
	"dfs/ids"
)

// Nanos is a virtual time or a span of it, in nanoseconds from the start of the simulation.
type Nanos = int64

// Config says how a network behaves. The zero value has sensible delays.
type Config struct {
	// Seed makes the run.
	Seed uint64
	// Zero delivers everything without delay, in the order flushed, and keeps no trace hash: for
	// benchmarks of what uses the network.
	Zero bool
	// MinDelay and MaxDelay bound the time a packet travels. One packet in 64 takes up to ten times
	// as long. Defaults 5 us and 50 us.
	MinDelay, MaxDelay Nanos
	// MinRetry and MaxRetry bound the time until a broken connection is made again. Defaults 1 ms
	// and 20 ms.
	MinRetry, MaxRetry Nanos
	// Tear is the share of packets, from 0 to 1, that arrive in pieces.
	Tear float64
}

func (c Config) withDefaults() Config {
	if c.MaxDelay == 0 {
		c.MinDelay, c.MaxDelay = 5_000, 50_000
	}
	if c.MaxRetry == 0 {
		c.MinRetry, c.MaxRetry = 1_000_000, 20_000_000
	}
	if c.MinDelay < 0 || c.MaxDelay < c.MinDelay || c.MinRetry < 0 || c.MaxRetry < c.MinRetry {
		panic(fmt.Sprintf("fabric/sim: delays must not be negative nor the other way round: %+v", c))
	}
	return c
}

// Network is a simulated network. It and all its endpoints belong to one goroutine.
type Network struct {
	cfg    Config
	rng    *rand.Rand
	now    Nanos
	events eventQueue
	nodes  map[ids.NodeID]*Endpoint
	paused map[ids.NodeID]bool
	links  map[pair]*link
	conns  uint64    // connections made so far
	free   []*packet // for reuse
	hash   uint64
}

// pair names a link; a < b.
type pair struct{ a, b ids.NodeID }

// New returns a network with no nodes.
func New(cfg Config) *Network {
	return &Network{
		cfg: cfg.withDefaults(), rng: rand.New(rand.NewPCG(cfg.Seed, 0xfab)),
		nodes: map[ids.NodeID]*Endpoint{}, paused: map[ids.NodeID]bool{}, links: map[pair]*link{},
	}
}

// Now returns the virtual time.
func (n *Network) Now() Nanos { return n.now }

// Next returns the time of the next event; ok is false if there is none.
func (n *Network) Next() (at Nanos, ok bool) {
	if len(n.events.heap) == 0 {
		return 0, false
	}
	return n.events.heap[0].at, true
}

// Step takes the next event. It returns false if there is none.
func (n *Network) Step() bool {
	if len(n.events.heap) == 0 {
		return false
	}
	e := n.events.pop()
	n.now = e.at
	switch {
	case e.fn != nil:
		n.mix(1)
		e.fn()
	case e.in != nil:
		n.deliver(e.in)
	default:
		n.connect(e.link)
	}
	return true
}

// At schedules fn for a time; if that is past, for now.
func (n *Network) At(at Nanos, fn func()) { n.schedule(event{at: max(at, n.now), fn: fn}) }

// Hash returns a hash over everything that has happened: equal runs have equal hashes (Y1).
func (n *Network) Hash() uint64 { return n.hash }

// Note adds what else the simulator wants to be the same in equal runs to the hash.
func (n *Network) Note(v uint64) { n.mix(v) }

// Endpoint starts a node, or starts it again after Crash or Close: with no memory registered and nothing
// of what was on its way.
func (n *Network) Endpoint(id ids.NodeID, events fabric.Events) *Endpoint {
	if n.nodes[id] != nil {
		panic(fmt.Sprintf("fabric/sim: node %d runs already", id))
	}
	ep := &Endpoint{net: n, id: id, events: events, regions: map[fabric.RegionID][]byte{}, ends: map[ids.NodeID]*end{}}
	for _, peer := range n.ids() {
		l := n.link(id, peer)
		if l == nil {
			l = newLink(id, peer)
			n.links[l.pair] = l
		}
		near := l.end(id)
		near.owner, ep.ends[peer] = ep, near
		far := l.end(peer)
		far.owner, n.nodes[peer].ends[id] = n.nodes[peer], far
	}
	n.nodes[id] = ep
	for _, peer := range n.ids() {
		if peer != id {
			n.maybeConnect(n.link(id, peer))
		}
	}
	return ep
}

// ids returns the nodes that run, in order: nothing may depend on the order of a map (Y1).
func (n *Network) ids() []ids.NodeID { return slices.Sorted(maps.Keys(n.nodes)) }

func (n *Network) link(a, b ids.NodeID) *link { return n.links[pair{min(a, b), max(a, b)}] }

// delay draws how long a packet travels.
func (n *Network) delay() Nanos {
	if n.cfg.Zero {
		return 0
	}
	d := n.between(n.cfg.MinDelay, n.cfg.MaxDelay)
	if n.rng.IntN(64) == 0 {
		d *= 1 + n.rng.Int64N(10)
	}
	return d
}

func (n *Network) between(low, high Nanos) Nanos { return low + n.rng.Int64N(high-low+1) }

// mix adds a value to the trace hash, with the time.
func (n *Network) mix(v uint64) {
	if !n.cfg.Zero {
		n.hash = (bits.RotateLeft64(n.hash, 5) ^ v ^ uint64(n.now)<<20) * 0x9e3779b97f4a7c15
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (n *Network) mixBytes(p []byte) {
	if !n.cfg.Zero {
		n.mix(uint64(len(p))<<32 | uint64(crc32.Checksum(p, castagnoli)))
	}
}

func (n *Network) schedule(e event) { n.events.push(e) }
