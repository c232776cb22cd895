package views

import (
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"dfs/ids"
)

var (
	depthFlag  = flag.Int("depth", 40, "how many things may happen in the search of TestExplore")
	statesFlag = flag.Int("states", 30_000, "how many states the search may visit")
)

// action is one thing that may happen in a state: a message arrives, a fetch ends, something breaks or is mended.
type action struct {
	what string // deliver, fetch, break, crash, link
	a, b int    // nodes
}

func (a action) String() string { return fmt.Sprintf("%s %d %d", a.what, a.a+1, a.b+1) }

// explored is a state and how it came about.
type explored struct {
	c     *cluster
	path  []action
	fails int
}

// clone returns a copy that shares only what is never changed: messages, views, proposals and reports.
func (c *cluster) clone() *cluster {
	d := *c
	d.rng = rand.New(rand.NewPCG(1, 1))
	d.links, d.up, d.trims, d.views = maps.Clone(c.links), maps.Clone(c.up), maps.Clone(c.trims), maps.Clone(c.views)
	d.sent, d.body, d.safe, d.left = maps.Clone(c.sent), maps.Clone(c.body), slices.Clone(c.safe), maps.Clone(c.left)
	for k, q := range d.links {
		d.links[k] = slices.Clip(q)
	}
	d.nodes = nil
	for _, n := range c.nodes {
		m, core := *n, *n.core
		m.log, m.has = slices.Clone(n.log), maps.Clone(n.has)
		core.up, core.states, core.installed = maps.Clone(core.up), maps.Clone(core.states), maps.Clone(core.installed)
		l := &core.lead
		l.reports, l.accepted, l.ready = maps.Clone(l.reports), maps.Clone(l.accepted), maps.Clone(l.ready)
		m.core = &core
		core.cfg.Ends = d.ends(&m)
		d.nodes = append(d.nodes, &m)
	}
	return &d
}

// do does one action.
func (c *cluster) act(a action) {
	n, o := c.nodes[a.a], c.nodes[a.b]
	switch a.what {
	case "deliver":
		k := [2]int{int(n.id), int(o.id)}
		q := c.links[k]
		c.links[k] = q[1:]
		effects, err := o.core.Message(n.id, q[0])
		if err != nil {
			c.t.Fatal(err)
		}
		c.do(o, effects)
	case "fetch":
		c.fetch(n)
	case "break":
		c.breakLink(n, o)
	case "crash":
		c.crash(n)
	case "link":
		c.makeLink(n, o)
	}
}

// failures is how many links break or nodes crash; then one link is mended.
const failures = 2

// actions returns what may happen next, after so many failures.
func (c *cluster) actions(fails int) (out []action) {
	for i, n := range c.nodes {
		for j, o := range c.nodes {
			if len(c.links[[2]int{int(n.id), int(o.id)}]) > 0 {
				out = append(out, action{"deliver", i, j})
			}
			if i >= j {
				continue
			}
			if up := c.up[c.key(n, o)]; !up && fails == failures {
				out = append(out, action{"link", i, j})
			} else if up && fails < failures {
				out = append(out, action{"break", i, j})
			}
		}
		if n.fetching != nil {
			out = append(out, action{"fetch", i, i})
		}
		if fails < failures {
			out = append(out, action{"crash", i, i})
		}
	}
	return out
}

// hash names a state: all that cores, logs and links hold.
func (c *cluster) hash(fails int) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, fails, c.sent, c.up)
	for _, n := range c.nodes {
		core := n.core
		fmt.Fprint(h, n.inc, n.durable.Encode(), n.log, n.synced, n.received, n.trimmed, n.open, n.view.ID, core.attempt, core.phase,
			core.ballot, core.opened, core.holds, core.recv, core.current, core.source, core.goesOn, core.up, core.states, core.spent)
		if f := n.fetching; f != nil {
			fmt.Fprint(h, f.Kind, f.To, f.Number)
		}
		for _, o := range c.nodes { // maps are printed in the order of their keys
			if m, ok := core.installed[o.id]; ok {
				fmt.Fprint(h, o.id, m.view, m.instance)
			}
			fmt.Fprint(h, len(c.links[[2]int{int(n.id), int(o.id)}]), c.links[[2]int{int(n.id), int(o.id)}])
		}
		l := &core.lead
		fmt.Fprint(h, l.ballot, l.basis, l.accepted, l.decided, l.ready, len(l.reports), l.proposal != nil)
		for _, s := range l.basis {
			if r := l.reports[s.member.Node]; r != nil {
				m := message{kind: promiseMsg, report: *r}
				h.Write(m.encode())
			}
		}
	}
	return h.Sum64()
}

// begun is a cluster of three in an open view in which messages were sent, and received by some more than by others.
func begun(t *testing.T) *cluster {
	c := formed(t)
	v := c.nodes[0].view.ID
	c.sent[v], c.next = 4, 4
	for i := 1; i <= 4; i++ {
		c.body[ids.MakeVersion(v, uint64(i))] = i
	}
	for i, n := range c.nodes {
		n.received = 4 - i
	}
	c.deliver(c.nodes[0], 2)
	c.deliver(c.nodes[1], 1)
	c.links = map[[2]int][][]byte{}
	return c
}

// problem says what does not hold in a state, beyond what the cluster checks at each effect (V1, V3, V5, V6).
func (c *cluster) problem() string {
	for i, a := range c.nodes {
		for _, b := range c.nodes[:i] {
			if a.view.ID == b.view.ID && !reflect.DeepEqual(a.view, b.view) {
				return fmt.Sprintf("V1: view %d is %+v and %+v", a.view.ID, a.view, b.view)
			}
			short, long := a.log, b.log
			if len(short) > len(long) {
				short, long = long, short
			}
			if a.open && b.open && a.view.ID == b.view.ID && !slices.Equal(short, long[:len(short)]) {
				return fmt.Sprintf("V5: in open view %d the logs are %v and %v", a.view.ID, a.log, b.log)
			}
		}
	}
	return ""
}

// V1, V3, V5, V6: of a cluster of three in a view in which messages are under way, all states that any order of messages and up to two
// failures and a link that is mended lead to, breadth first, up to a bound.
func TestExplore(t *testing.T) {
	start := begun(t)
	seen := map[uint64]bool{start.hash(0): true}
	frontier, newest := []explored{{c: start}}, ids.ViewID(0)
	depth := 0
	for ; depth < *depthFlag && len(frontier) > 0 && len(seen) < *statesFlag; depth++ {
		var next []explored
		for _, e := range frontier {
			for _, a := range e.c.actions(e.fails) {
				c := e.c.clone()
				c.act(a)
				fails := e.fails
				if a.what != "deliver" && a.what != "fetch" {
					fails++
				}
				if h := c.hash(fails); seen[h] || len(seen) >= *statesFlag {
					continue
				} else {
					seen[h] = true
				}
				path := append(slices.Clone(e.path), a)
				if problem := c.problem(); problem != "" {
					t.Fatalf("%s after %v", problem, path)
				}
				for v := range c.views {
					newest = max(newest, v)
				}
				next = append(next, explored{c, path, fails})
			}
		}
		frontier = next
	}
	t.Logf("%d states, up to %d things that happened, up to view %d", len(seen), depth, newest)
}
