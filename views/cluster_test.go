package views

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"dfs/hlc"
	"dfs/ids"
)

// A cluster of cores whose links deliver in order, at random moments. In a view only its first member sends; a node's
// log is the list of what was delivered, of which a crash takes some of the end that was not synced.
type cluster struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Duration
	nodes []*node
	links map[[2]int][][]byte // in flight, by (from, to)
	up    map[[2]int]bool
	trims map[ids.ViewID]*Trim // V3: the one trim delivered for a view
	views map[ids.ViewID]View  // V1: the one view of a number
	sent  map[ids.ViewID]int   // messages sent in a view
	next  int                  // payload of the next message
	body  map[ids.Version]int  // payloads
	safe  []entry              // V6: persisted by all members of a view
	left  map[memberOf]int     // what a member had received when it left a view

	replicas int // nodes that keep the data of a message; 0: all
	calm     int // one of so many things that happen is a certain fault
	moving   int // views activated while data was moving
}

// memberOf is a node in one of its lives, in a view.
type memberOf struct {
	view ids.ViewID
	Member
}

// shards is how many shards there are; the payload of a message says to which it belongs.
const shards = 4

// keepers is a layout: replicas nodes one after the other.
func (c *cluster) keepers(nodes []ids.NodeID) [][]ids.NodeID {
	out := make([][]ids.NodeID, shards)
	for s := range out {
		for i := range min(c.replicas, len(nodes)) {
			out[s] = append(out[s], nodes[(s+i)%len(nodes)])
		}
	}
	return out
}

// keeps reports whether one of the layouts has a node keep the data of a message.
func (c *cluster) keeps(n *node, payload int, layouts ...[]ids.NodeID) bool {
	return c.replicas == 0 || slices.ContainsFunc(layouts, func(nodes []ids.NodeID) bool {
		return slices.Contains(c.keepers(nodes)[payload%shards], n.id)
	})
}

// whole reports whether a node has all data that the layout gives it.
func (c *cluster) whole(n *node, layouts ...[]ids.NodeID) bool {
	return !slices.ContainsFunc(n.log, func(e entry) bool { return !n.has[e.payload] && c.keeps(n, e.payload, layouts...) })
}

// getData gets some of what a node lacks from those it has links to, and reports whether it then has all that it should.
func (c *cluster) getData(n *node, layouts ...[]ids.NodeID) bool {
	for _, e := range n.log {
		for _, o := range c.nodes {
			if c.keeps(n, e.payload, layouts...) && o.has[e.payload] && c.up[c.key(n, o)] && c.rng.IntN(4) == 0 {
				n.has[e.payload] = true
			}
		}
	}
	return c.whole(n, layouts...)
}

type entry struct {
	version ids.Version
	payload int
}

type node struct {
	id       ids.NodeID
	core     *Core
	durable  Durable
	log      []entry
	synced   int
	inc      uint32
	pending  []Effect // effects not yet carried out
	fetching *Effect
	view     View
	received int
	trimmed  bool
	open     bool
	cuts     int
	has      map[int]bool // payloads whose data is here
	wiped    bool         // it lost its disk, and was in no view since
}

func (n *node) end() []ids.Version {
	if len(n.log) == 0 {
		return []ids.Version{0}
	}
	return []ids.Version{n.log[len(n.log)-1].version}
}

func newCluster(t *testing.T, seed uint64, size, replicas int) *cluster {
	c := &cluster{
		replicas: replicas, calm: 160 << (seed / 10 % 5),
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), links: map[[2]int][][]byte{}, up: map[[2]int]bool{},
		trims: map[ids.ViewID]*Trim{}, views: map[ids.ViewID]View{}, sent: map[ids.ViewID]int{}, body: map[ids.Version]int{}, left: map[memberOf]int{},
	}
	for i := range size {
		c.nodes = append(c.nodes, &node{id: ids.NodeID(i + 1), has: map[int]bool{}})
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	return c
}

func (c *cluster) ends(n *node) func() Ends {
	return func() Ends {
		whole := c.whole(n, n.durable.View.NodeIDs())
		return Ends{End: n.end(), Floor: hlc.Timestamp(c.now), Now: hlc.Timestamp(c.now), Whole: whole}
	}
}

func (c *cluster) peers() []Peer {
	var out []Peer
	for _, n := range c.nodes {
		out = append(out, Peer{Node: n.id})
	}
	return out
}

func (c *cluster) start(n *node) {
	n.inc++
	n.pending, n.fetching, n.view, n.open, n.trimmed = nil, nil, View{}, false, false
	cfg := Config{
		Self: Member{Node: n.id, Incarnation: n.inc}, Nodes: c.peers(), Durable: n.durable, Grace: 50 * time.Millisecond,
		Ends: c.ends(n),
	}
	if c.replicas > 0 {
		cfg.Keepers = c.keepers
		cfg.Full = func(nodes []ids.NodeID) []ids.Version {
			for _, e := range n.log {
				if !n.has[e.payload] && c.keeps(n, e.payload, nodes) {
					return []ids.Version{e.version - 1}
				}
			}
			return n.end()
		}
	}
	n.core = New(cfg)
	c.do(n, n.core.Start(c.now))
}

// do carries out effects in order.
func (c *cluster) do(n *node, effects []Effect) {
	n.pending = append(n.pending, effects...)
	for len(n.pending) > 0 {
		e := n.pending[0]
		n.pending = n.pending[1:]
		switch e.Kind {
		case Send:
			k := [2]int{int(n.id), int(e.To)}
			c.links[k] = append(c.links[k], e.Message)
		case Wedge:
			n.open = false
			v := make([]uint64, len(n.view.Members))
			v[0] = uint64(n.received)
			c.left[memberOf{n.view.ID, Member{n.id, n.inc}}] = n.received
			n.pending = append(n.pending, n.core.Wedged([][]uint64{v})...)
		case Persist:
			b := e.Durable.Encode()
			d, err := DecodeDurable(b)
			if err != nil || !reflect.DeepEqual(d, e.Durable) {
				c.t.Fatalf("%+v is read as %+v, %v", e.Durable, d, err)
			}
			n.durable = d
		case DeliverTrim:
			if e.Trim != nil {
				c.deliverTrim(n, e.Trim)
			}
			n.synced = len(n.log)
			n.pending = append(n.pending, n.core.Finished(e.Number)...)
		case Fetch, CatchUp:
			n.fetching = &e
		case Activate:
			c.activate(n, e.View)
		case Open:
			n.open = true
			c.checkOpen(n)
		}
	}
}

func (c *cluster) deliverTrim(n *node, trim *Trim) {
	if old := c.trims[trim.View]; old != nil && !reflect.DeepEqual(old, trim) {
		c.t.Fatalf("V3: view %d ends at %v and at %v", trim.View, old, trim)
	}
	c.trims[trim.View] = trim
	upto := int(trim.Upto[0][0])
	if trim.View != n.view.ID {
		c.t.Fatalf("V3: node %d in view %d is to deliver %d of %d received in view %d", n.id, n.view.ID, upto, n.received, trim.View)
	}
	have := 0
	for _, e := range n.log {
		if e.version.View() == n.view.ID {
			have = int(e.version.Seq())
		}
	}
	if have > upto {
		c.t.Fatalf("V3: node %d has %d messages of view %d, which ends at %d", n.id, have, n.view.ID, upto)
	}
	if last := min(upto, n.received); last > have { // else it was fetched
		c.deliver(n, last)
	}
	n.trimmed, n.synced = true, len(n.log)
}

// deliver brings a node's log to a message of its view.
func (c *cluster) deliver(n *node, upto int) {
	have := 0
	if v := n.end()[0]; v.View() == n.view.ID {
		have = int(v.Seq())
	}
	if have > upto {
		c.t.Fatalf("V3: node %d has delivered %d messages of view %d, which ends at %d", n.id, have, n.view.ID, upto)
	}
	for i := have + 1; i <= upto; i++ {
		v := ids.MakeVersion(n.view.ID, uint64(i))
		n.log = append(n.log, entry{v, c.body[v]})
		n.has[c.body[v]] = c.keeps(n, c.body[v], n.view.Layouts()...)
	}
}

func (c *cluster) activate(n *node, v View) {
	if old, ok := c.views[v.ID]; ok && !reflect.DeepEqual(old, v) {
		c.t.Fatalf("V1: view %d is %+v and %+v", v.ID, old, v)
	}
	if v.ID <= n.view.ID {
		c.t.Fatalf("V1: node %d goes from view %d to %d", n.id, n.view.ID, v.ID)
	}
	if !v.decides(func(m ids.NodeID) bool { return v.Rank(m) >= 0 }) {
		c.t.Fatalf("V6: view %+v has no majority", v)
	}
	c.views[v.ID] = v
	if len(v.Layouts()) > 1 {
		c.moving++
	}
	n.view, n.received, n.trimmed, n.synced = v, 0, false, len(n.log)
	n.wiped = false
	for i, e := range c.safe {
		if i >= len(n.log) || n.log[i] != e {
			c.t.Fatalf("V6: node %d is in view %d without %v, which was persisted everywhere", n.id, v.ID, e)
		}
	}
	if !c.whole(n, v.settled()) {
		c.t.Fatalf("V8: node %d is in view %d without data that the layout of %v gives it", n.id, v.ID, v.settled())
	}
	if !n.core.keptBy(v.settled(), func(m ids.NodeID) bool { return v.Rank(m) >= 0 }) {
		c.t.Fatalf("V8: no member of view %+v has the data of some shard", v)
	}
}

// checkOpen checks that all members of an open view have the same log.
func (c *cluster) checkOpen(n *node) {
	for _, m := range n.view.Members {
		o := c.nodes[m.Node-1]
		if o.inc != m.Incarnation || o.durable.View.ID < n.view.ID {
			c.t.Fatalf("V5: node %d is in open view %d, node %d is not", n.id, n.view.ID, o.id)
		}
		if o.view.ID == n.view.ID && !slices.Equal(o.log, n.log) && c.sent[n.view.ID] == 0 {
			c.t.Fatalf("V5: view %d opens with logs %v and %v", n.view.ID, n.log, o.log)
		}
	}
}

func (c *cluster) key(a, b *node) [2]int { return [2]int{int(min(a.id, b.id)), int(max(a.id, b.id))} }

func (c *cluster) breakLink(a, b *node) {
	k := c.key(a, b)
	if a == b || !c.up[k] {
		return
	}
	c.up[k] = false
	delete(c.links, [2]int{k[0], k[1]})
	delete(c.links, [2]int{k[1], k[0]})
	c.do(a, a.core.PeerDown(b.id))
	c.do(b, b.core.PeerDown(a.id))
}

func (c *cluster) makeLink(a, b *node) {
	k := c.key(a, b)
	if a == b || c.up[k] {
		return
	}
	c.up[k] = true
	c.do(a, a.core.PeerUp(b.id))
	c.do(b, b.core.PeerUp(a.id))
}

func (c *cluster) crash(n *node) {
	c.cut(n, n.synced+c.rng.IntN(len(n.log)-n.synced+1))
	core := n.core
	n.core = nil
	for _, o := range c.nodes {
		if k := c.key(n, o); c.up[k] {
			c.up[k] = false
			delete(c.links, [2]int{k[0], k[1]})
			delete(c.links, [2]int{k[1], k[0]})
			c.do(o, o.core.PeerDown(n.id))
		}
	}
	n.core = core
	c.start(n)
}

// cut leaves so many entries of a log.
func (c *cluster) cut(n *node, left int) {
	for _, e := range n.log[left:] {
		delete(n.has, e.payload)
	}
	n.log, n.synced = n.log[:left], left
}

func (c *cluster) pick() *node { return c.nodes[c.rng.IntN(len(c.nodes))] }

// step lets one thing happen: a message arrives, a fetch ends, an active node sends, receives, delivers or syncs.
func (c *cluster) step() {
	n := c.pick()
	switch c.rng.IntN(6) {
	case 0:
		c.fetch(n)
	case 1:
		c.live(n)
	case 2:
		c.now += time.Duration(c.rng.IntN(int(2 * time.Millisecond)))
		c.do(n, n.core.Tick(c.now))
	default:
		to := c.pick()
		k := [2]int{int(n.id), int(to.id)}
		if q := c.links[k]; len(q) > 0 {
			c.links[k] = q[1:]
			eff, err := to.core.Message(n.id, q[0])
			if err != nil {
				c.t.Fatal(err)
			}
			c.do(to, eff)
		}
	}
}

// fetch ends a fetch if the source can serve it.
func (c *cluster) fetch(n *node) {
	f := n.fetching
	if f == nil || f.To != n.id && !c.up[c.key(n, c.nodes[f.To-1])] {
		return
	}
	src := c.nodes[f.To-1]
	if num, complete := src.core.Number(); f.Kind == Fetch && src != n && (!complete || num != f.Number) || f.Kind == CatchUp && !src.core.Active() {
		return
	}
	common := 0
	for common < min(len(n.log), len(src.log)) && n.log[common] == src.log[common] {
		common++
	}
	if common < len(n.log) && (f.Kind == Fetch || n.end()[0].View() < src.view.ID) {
		n.cuts++
		if i := slices.IndexFunc(n.log[common:], func(e entry) bool { return slices.Contains(c.safe, e) }); i >= 0 {
			c.t.Fatalf("V6: node %d must cut %v, which was persisted everywhere", n.id, n.log[common+i])
		}
		c.cut(n, common)
		c.crash(n) // it starts again with what is left
		return
	}
	for _, e := range src.log[min(len(n.log), len(src.log)):] {
		n.log = append(n.log, e)
		n.has[e.payload] = src.has[e.payload] && c.keeps(n, e.payload, f.Layouts...)
	}
	n.synced = len(n.log)
	if !c.getData(n, f.Layouts...) {
		return // a keeper is not there now
	}
	n.fetching = nil
	if f.Kind == Fetch {
		c.do(n, n.core.Finished(f.Number))
	} else {
		c.do(n, n.core.CaughtUp())
	}
}

// live lets a member of an open view do something in it.
func (c *cluster) live(n *node) {
	if !n.open {
		return
	}
	v := n.view.ID
	switch c.rng.IntN(4) {
	case 3:
		whole := true
		for _, m := range n.view.Members {
			o := c.nodes[m.Node-1]
			whole = whole && o.inc == m.Incarnation && o.view.ID == v && c.whole(o, n.view.NodeIDs())
		}
		if nodes := n.view.NodeIDs(); !c.getData(n, nodes) || !whole || len(n.view.Members) < len(nodes) {
			return
		}
		if n.view.Rank(n.id) == 0 {
			c.do(n, n.core.Settle())
		}
	case 0:
		if n.view.Rank(n.id) == 0 {
			c.sent[v]++
			c.next++
			c.body[ids.MakeVersion(v, uint64(c.sent[v]))] = c.next
		}
		n.received = min(n.received+1, c.sent[v])
	case 1:
		low := n.received
		for _, m := range n.view.Members {
			if o := c.nodes[m.Node-1]; o.view.ID == v && o.inc == m.Incarnation {
				low = min(low, o.received)
			} else {
				low = min(low, c.left[memberOf{v, m}]) // its last word; nothing if it never had one
			}
		}
		if have := n.end()[0]; low > 0 && (have.View() < v || int(have.Seq()) < low) {
			c.deliver(n, low)
		}
	case 2:
		n.synced = len(n.log)
		c.persisted(n.view)
	}
}

// persisted notes what all members of a view have synced.
func (c *cluster) persisted(v View) {
	least := 1 << 30
	for _, m := range v.Members {
		o := c.nodes[m.Node-1]
		if o.view.ID != v.ID || o.inc != m.Incarnation || !o.open {
			return
		}
		least = min(least, o.synced)
	}
	if log := c.nodes[v.Members[0].Node-1].log; least > len(c.safe) {
		c.safe = slices.Clone(log[:least])
	}
}

func (c *cluster) heal() {
	for i, a := range c.nodes {
		for _, b := range c.nodes[:i] {
			c.makeLink(a, b)
		}
	}
}

// settled reports whether all configured nodes are in one open view.
func (c *cluster) settled() bool {
	var last View
	for _, n := range c.nodes {
		if n.durable.View.ID > last.ID {
			last = n.durable.View
		}
	}
	for _, p := range last.Nodes {
		if n := c.nodes[p.Node-1]; !n.core.Active() || n.view.ID != last.ID {
			return false
		}
	}
	return len(last.Nodes) > 0 && len(last.Members) == len(last.Nodes) && len(last.Layouts()) == 1
}

func (c *cluster) settle() {
	c.t.Helper()
	for i := 0; !c.settled(); i++ {
		if i > 300_000 {
			for _, n := range c.nodes {
				c.t.Logf("node %d: phase %d, attempt %d, ballot %v, view %d %v, accepted %v, current %d, source %d, log %d, waiting %v", n.id,
					n.core.phase, n.core.attempt, n.core.ballot, n.durable.View.ID, n.durable.View.Members, n.durable.Accepted,
					n.core.current, n.core.source, len(n.log), n.core.Waiting())
				c.t.Logf("fetching %+v active %v states %+v", n.fetching, n.core.Active(), n.core.states)
			}
			c.t.Fatal("no view after everything healed")
		}
		c.heal() // whoever cut its log starts again
		c.step()
	}
}

// fault breaks or mends something, or changes the configuration.
func (c *cluster) fault() {
	switch n := c.pick(); c.rng.IntN(c.calm) {
	case 0, 1:
		c.breakLink(n, c.pick())
	case 2:
		c.crash(n)
	case 3:
		for _, o := range c.nodes {
			c.breakLink(n, o)
		}
	case 13:
		if c.replicas > 0 && !c.settled() {
			return // this may be the last one that has its data
		}
		if len(c.nodes) > 2 && !slices.ContainsFunc(c.nodes, func(o *node) bool { return o.wiped || o.durable.View.ID == 0 }) {
			n.wiped = true // V7
			c.cut(n, 0)
			n.durable = Durable{}
			c.crash(n)
		}
	case 4:
		if v := n.core.View(); len(c.nodes) > 3 && v.ID > 0 {
			change := c.peers()
			if len(v.Nodes) == len(c.nodes) {
				change = change[:len(change)-1]
			}
			c.do(n, n.core.Change(change))
		}
	case 5, 6, 7, 8, 9, 10, 11:
		c.makeLink(n, c.pick())
	case 12, 14, 15:
		c.heal()
	default:
		c.step()
	}
}

// V1 to V8 under random breaks, crashes, lost disks and changes; once these stop, everyone is in one view again.
func TestAgreement(t *testing.T) {
	var seeds []uint64
	for seed := range uint64(200) {
		seeds = append(seeds, seed+1)
	}
	seeds = append(seeds, 1592, 1782, 2392) // found: a lost disk was taken to prove that a view never opened
	if *seedFlag != 0 {
		seeds = []uint64{*seedFlag}
	}
	views, cuts, moving := 0, 0, 0
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newCluster(t, seed, 1+int(seed%5), int(seed/5%2)*2)
			for range 20 * c.calm {
				c.fault()
			}
			c.heal()
			c.settle()
			for range 200 {
				c.step()
			}
			views += len(c.views)
			moving += c.moving
			for _, n := range c.nodes {
				cuts += n.cuts
			}
		})
	}
	t.Logf("%d views, %d times one while data was moving, %d logs cut", views, moving, cuts)
}
