package views

import (
	"flag"
	"reflect"
	"slices"
	"testing"

	"dfs/ids"
)

var seedFlag = flag.Uint64("seed", 0, "replay one seed of the random tests")

func TestDurableRoundTrip(t *testing.T) {
	base := View{
		ID: 7, Floor: 99, Members: []Member{{1, 2}, {3, 4}}, Nodes: []Peer{{1, "a:1"}, {3, "b:2"}},
		Ended: &Trim{View: 5, Upto: [][]uint64{{8}}},
	}
	next := View{ID: 8, Floor: 99, Members: []Member{{1, 2}}, Nodes: []Peer{{1, "a:1"}}}
	want := Durable{View: base, Promised: Ballot{5, 3}, Accepted: &Proposal{
		Ballot: Ballot{4, 1}, View: next, Base: base, Trim: &Trim{View: 7, Upto: [][]uint64{{1, 2}}},
	}}
	got, err := DecodeDurable(want.Encode())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func FuzzMessage(f *testing.F) {
	view := View{ID: 1, Members: []Member{{1, 1}}, Nodes: []Peer{{1, "a"}, {2, "b"}}}
	for _, m := range []message{
		{kind: stateMsg, state: state{member: Member{2, 1}, attempt: 3, links: []ids.NodeID{1, 2}}},
		{kind: prepareMsg, ballot: Ballot{7, 2}},
		{kind: promiseMsg, ballot: Ballot{1, 1}, report: report{member: Member{2, 1}, view: view, received: [][]uint64{{1, 2}}}},
		{kind: proposeMsg, proposal: &Proposal{Ballot: Ballot{7, 2}, View: View{ID: 2, Members: []Member{{1, 1}, {2, 1}}}, Base: view}},
		{kind: decidedMsg, ballot: Ballot{7, 2}, source: 2, end: []ids.Version{4}},
		{kind: installedMsg, view: 2, instance: 1},
	} {
		f.Add(m.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		core := New(Config{Self: Member{1, 1}, Nodes: []Peer{{1, ""}, {2, ""}}, Ends: func() Ends { return Ends{} }})
		core.Start(0)
		core.PeerUp(2)
		hello := message{kind: stateMsg, state: state{member: Member{2, 1}, attempt: 1, links: []ids.NodeID{1, 2}}}
		if _, err := core.Message(2, hello.encode()); err != nil {
			t.Fatal(err)
		}
		_, _ = core.Message(2, b)
		_, _ = DecodeDurable(b)
	})
}

// formed returns a cluster of three in which everyone is in the first view.
func formed(t *testing.T) *cluster {
	c := newCluster(t, 1, 3, 0)
	c.heal()
	c.settle()
	return c
}

// V2: a view that was left is not entered again, though the link that broke is back at once.
func TestWedgedStaysWedged(t *testing.T) {
	c := formed(t)
	before := c.nodes[0].view.ID
	c.breakLink(c.nodes[0], c.nodes[1])
	c.makeLink(c.nodes[0], c.nodes[1])
	for _, n := range c.nodes[:2] {
		if n.core.Active() || n.open {
			t.Errorf("V2: node %d goes on in view %d", n.id, n.view.ID)
		}
	}
	c.settle()
	for _, n := range c.nodes {
		if n.view.ID <= before {
			t.Errorf("V2: node %d is in view %d again", n.id, n.view.ID)
		}
	}
}

// V6: two of three go on without the third, one alone does not; the third is taken in again.
func TestMajority(t *testing.T) {
	c := formed(t)
	a, b, d := c.nodes[0], c.nodes[1], c.nodes[2]
	c.breakLink(a, b)
	c.breakLink(a, d)
	before := b.view.ID
	for i := 0; !b.open || !d.open || b.view.ID == before; i++ {
		if i > 100_000 {
			t.Fatal("two of three do not go on")
		}
		c.step()
	}
	if a.core.Active() || a.view.ID != before {
		t.Errorf("V6: one of three goes on in view %d", a.view.ID)
	}
	if len(b.view.Members) != 2 {
		t.Errorf("V6: the view of two has members %v", b.view.Members)
	}
	c.heal()
	c.settle()
	if len(a.view.Members) != 3 {
		t.Errorf("the node that came back is not taken in: %v", a.view.Members)
	}
}

// V4: a proposal of a ballot that this node does not follow is refused, though it once promised to.
func TestOldBallot(t *testing.T) {
	c := formed(t)
	c.breakLink(c.nodes[1], c.nodes[2])
	n := c.nodes[1]
	view := n.durable.View
	p := &Proposal{Ballot: n.core.durable.Promised, Base: view, View: View{ID: view.ID + 1, Members: view.Members, Nodes: view.Nodes}}
	m := message{kind: proposeMsg, proposal: p}
	if got, err := n.core.Message(1, m.encode()); err != nil || len(got) != 0 {
		t.Errorf("V4: a proposal of a ballot that nobody follows had %d effects, %v", len(got), err)
	}
}

// V3: a view ends at the least that any of its survivors has received, however much others have.
func TestTrim(t *testing.T) {
	c := begun(t) // they have received 4, 3 and 2
	before := c.nodes[0].view.ID
	c.do(c.nodes[0], c.nodes[0].core.Break())
	c.settle()
	if trim := c.trims[before]; trim == nil || trim.Upto[0][0] != 2 {
		t.Errorf("V3: view %d ends at %+v, want 2", before, trim)
	}
}

// V3: a survivor delivers the end of its view also when others have installed the next one without it, and that is what the
// ballot goes on from: it may be the only one that has the data.
func TestEndOfTheViewBefore(t *testing.T) {
	end := &Trim{View: 7, Upto: [][]uint64{{3, 4}}}
	mine := View{ID: 7, Members: []Member{{1, 1}, {2, 1}}, Nodes: []Peer{{Node: 1}, {Node: 2}, {Node: 3}}}
	theirs := View{ID: 8, Members: []Member{{2, 2}, {3, 2}}, Nodes: mine.Nodes, Ended: end}
	c := New(Config{Self: Member{1, 1}, Durable: Durable{View: mine}, Ends: func() Ends { return Ends{} }})
	c.holds = true
	p := &Proposal{Ballot: Ballot{9, 2}, Base: theirs}
	for _, s := range []Member{{1, 1}, {2, 3}, {3, 2}} {
		c.lead.basis = append(c.lead.basis, state{member: s})
		c.lead.reports = map[ids.NodeID]*report{1: {member: Member{1, 1}, view: mine, survivor: true}, 2: {member: Member{2, 3}, view: theirs}, 3: {member: Member{3, 2}, view: theirs}}
	}
	if !c.nextView(p) || p.View.Ended != end {
		t.Fatalf("V3: view %+v does not know how view 7 ended", p.View)
	}
	c.phase, c.ballot, c.durable.Accepted = accepted, p.Ballot, p
	c.onDecided(message{kind: decidedMsg, ballot: p.Ballot})
	if e := c.effects[len(c.effects)-1]; e.Kind != DeliverTrim || e.Trim != end {
		t.Errorf("V3: a survivor of view 7 is to deliver %+v, which ended at %+v", e.Trim, end)
	}
}

// V7: a node that was left out and one that has lost its disk do not go on together: what the third has, which only
// these two had with it, would be lost.
func TestLostDisk(t *testing.T) {
	c := formed(t)
	a, b, d := c.nodes[0], c.nodes[1], c.nodes[2]
	c.breakLink(a, b)
	c.breakLink(a, d)
	for i := 0; !b.open || !d.open || len(b.view.Members) != 2; i++ {
		if i > 100_000 {
			t.Fatal("two of three do not go on")
		}
		c.step()
	}
	d.durable = Durable{}
	c.cut(d, 0)
	c.crash(d)
	c.makeLink(a, d)
	for range 20_000 {
		c.step()
		if a.core.Active() || d.core.Active() {
			t.Fatalf("V7: view %d without the one that knows", a.view.ID)
		}
	}
	c.heal()
	c.settle()
}

// V1: nodes that remember different configurations wait for the same leader: one that has installed the latest view. Here node 3
// was alone, let in node 1 and installed the view of both; node 1, which is new in the place of another, did not hear of it.
func TestLeaderKnowsMost(t *testing.T) {
	for self, nodes := range map[ids.NodeID][]Peer{1: {{Node: 1}, {Node: 2}, {Node: 3}}, 3: {{Node: 1}, {Node: 3}}} {
		c := New(Config{Self: Member{self, 2}, Nodes: nodes})
		c.states[1] = state{member: Member{1, 2}, current: 8, links: []ids.NodeID{1, 3}}
		c.states[3] = state{member: Member{3, 2}, installed: 9, links: []ids.NodeID{1, 3}}
		c.up[1], c.up[3] = true, true
		if leader := c.leaderOf(c.clique()); leader != 3 {
			t.Errorf("V1: node %d expects node %d to lead, want node 3, which knows the latest view", self, leader)
		}
	}
}

// V1: who was away counts in whoever has come meanwhile, as the others do. Node 1 came in place of a lost one while node 3 was away.
func TestCliqueOfThoseWhoCame(t *testing.T) {
	c := New(Config{Self: Member{3, 1}, Durable: Durable{View: View{ID: 19, Members: []Member{{2, 1}, {3, 1}}, Nodes: []Peer{{Node: 2}, {Node: 3}}}}})
	all := []ids.NodeID{1, 2, 3}
	for _, n := range all {
		c.up[n], c.states[n] = true, state{member: Member{n, 1}, installed: 21, links: all}
	}
	c.states[3] = state{member: Member{3, 1}, installed: 19, current: 21, links: all}
	if got := c.clique(); !slices.Equal(got, all) || c.leaderOf(got) != 1 {
		t.Errorf("V1: node 3 counts in %v and expects node %d to lead, want all and node 1", got, c.leaderOf(got))
	}
}

// V4: a promise is persisted before anyone learns of it, and no lower ballot is promised to after it.
func TestPromise(t *testing.T) {
	c := formed(t)
	a, n := c.nodes[0], c.nodes[1]
	c.breakLink(n, c.nodes[2])
	c.do(a, a.core.Break())
	for k := [2]int{1, 2}; len(c.links[k]) > 0; { // node 1 says that it is in no view any more
		c.act(action{"deliver", 0, 1})
	}
	answers := func(b Ballot) []Effect {
		m := message{kind: prepareMsg, ballot: b}
		effects, err := n.core.Message(1, m.encode())
		if err != nil {
			t.Fatal(err)
		}
		return effects
	}
	high := Ballot{n.core.durable.Promised.Round + 9, 1}
	got := answers(high)
	persisted := slices.IndexFunc(got, func(e Effect) bool { return e.Kind == Persist && e.Durable.Promised == high })
	promised := slices.IndexFunc(got, func(e Effect) bool {
		m, err := decodeMessage(e.Message)
		return e.Kind == Send && err == nil && m.kind == promiseMsg
	})
	if persisted < 0 || promised < persisted {
		t.Errorf("V4: to a ballot %v node 2 persists at effect %d and promises at %d", high, persisted, promised)
	}
	if got := answers(Ballot{high.Round - 1, 1}); len(got) != 0 {
		t.Errorf("V4: a lower ballot than the promised one has %d effects", len(got))
	}
}

// A node that has caught up enters when the last member has a link to it, whoever says so last; and when the view opens.
func TestEntersWithTheLastLink(t *testing.T) {
	all := []ids.NodeID{1, 2, 3}
	outsider := state{member: Member{Node: 3, Incarnation: 1}, attempt: 1, current: 5, links: all}
	for what, say := range map[string]func(c *Core){
		"the member is last":   func(c *Core) { c.onState(3, outsider); c.onState(2, member(2, all)) },
		"the outsider is last": func(c *Core) { c.onState(2, member(2, all)); c.onState(3, outsider) },
		"the view opens then": func(c *Core) {
			c.opened = false
			c.onState(2, member(2, all))
			c.onState(3, outsider)
			for _, m := range c.durable.View.Members {
				c.installed[m.Node] = message{kind: installedMsg, view: 5, instance: 1}
			}
			c.open()
		},
	} {
		c := New(Config{Self: Member{Node: 1, Incarnation: 1}, Durable: Durable{View: View{
			ID: 5, Members: []Member{{1, 1}, {2, 1}}, Nodes: []Peer{{Node: 1}, {Node: 2}, {Node: 3}},
		}}})
		c.phase, c.opened, c.spent = active, true, []uint64{0, 0}
		c.up[2], c.up[3] = true, true
		c.tell()
		c.onState(2, member(2, []ids.NodeID{1, 2}))
		c.onState(3, outsider)
		if c.phase != active {
			t.Fatalf("%s: the view ends for a node that a member cannot reach", what)
		}
		delete(c.states, 3)
		if say(c); c.phase == active {
			t.Errorf("%s: node 3 is not taken in", what)
		}
	}
}

// member is the state of a member of view 5.
func member(node ids.NodeID, links []ids.NodeID) state {
	return state{member: Member{Node: node, Incarnation: 1}, attempt: 1, installed: 5, active: true, links: links}
}

// A view may open without regard to what its members have forgotten only if the one before was open everywhere, and all of its
// members are there.
func TestUnsure(t *testing.T) {
	nodes := []Peer{{Node: 1}, {Node: 2}, {Node: 3}}
	all, two := []Member{{1, 1}, {2, 1}, {3, 1}}, []Member{{1, 1}, {2, 2}}
	for what, c := range map[string]struct {
		base, next     []Member
		survives, open bool
		first, unsure  bool
	}{
		"one is back, another is away for long": {base: two, next: two, survives: true, open: true},
		"one is left out":                       {base: all, next: two, survives: true, open: true, unsure: true},
		"the last view never opened":            {base: two, next: two, survives: true, unsure: true},
		"all have restarted":                    {base: all, next: all},
		"some have restarted":                   {base: all, next: two, unsure: true},
		"the first view":                        {next: all, first: true},
	} {
		l := leader{
			basis:    []state{{member: Member{1, 1}}, {member: Member{2, 1}}},
			reports:  map[ids.NodeID]*report{1: {survivor: c.survives, view: View{ID: 4}, ends: Ends{Open: c.open}}, 2: {view: View{ID: 4}}},
			proposal: &Proposal{Base: View{ID: 4, Members: c.base, Nodes: nodes}, View: View{ID: 5, Members: c.next, Nodes: nodes}},
		}
		if c.first {
			l.proposal.Base.ID = 0
		}
		if got := l.unsure(); got != c.unsure {
			t.Errorf("%s: unsure is %v", what, got)
		}
	}
}

// V7: who knows of no view has lost its disk or is new, and is no witness that a view never opened.
func TestLastOpened(t *testing.T) {
	base := View{ID: 5}
	for n := ids.NodeID(1); n <= 3; n++ {
		base.Nodes, base.Members = append(base.Nodes, Peer{Node: n}), append(base.Members, Member{Node: n, Incarnation: 1})
	}
	for _, c := range []struct {
		other ids.ViewID // of a member, beside one that has installed view 5
		want  ids.ViewID
	}{{5, 5}, {4, 4}, {0, 5}} {
		l := &leader{reports: map[ids.NodeID]*report{1: {view: base}, 3: {view: View{ID: c.other}}}}
		if got := l.lastOpened(&base); got != c.want {
			t.Errorf("V7: beside a member in view %d view %d may have been open, want %d", c.other, got, c.want)
		}
	}
}
