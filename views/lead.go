package views

import (
	"slices"
	"time"

	"dfs/hlc"
	"dfs/ids"
)

// maxSkew is how far the clocks of two nodes may be apart.
const maxSkew = hlc.Timestamp(500 * time.Millisecond)

// leader is what a node keeps while it leads.
type leader struct {
	ballot   Ballot // zero while it does not lead
	since    time.Duration
	basis    []state // of those that take part, as it was when the ballot began
	reports  map[ids.NodeID]*report
	opened   ids.ViewID // no later view was ever open
	proposal *Proposal
	accepted map[ids.NodeID]bool
	decided  bool
	ready    map[ids.NodeID]logEnd
}

// logEnd is how far a log goes, and its data by the settled layouts of the next view and of the one before.
type logEnd struct{ end, full, had []ids.Version }

func (l *leader) reset() { *l = leader{} }

// takesPart reports whether node was asked for a promise.
func (l *leader) takesPart(node ids.NodeID) bool {
	return slices.ContainsFunc(l.basis, func(s state) bool { return s.member.Node == node })
}

// tryLead begins a ballot if it is this node's turn and nothing is under way that may still succeed.
func (c *Core) tryLead() {
	if c.pending() {
		return
	}
	clique := c.clique()
	if c.leaderOf(clique) != c.cfg.Self.Node || c.early(clique) {
		return
	}
	var basis []state
	round := c.durable.Promised.Round
	for _, n := range clique {
		s := c.states[n]
		round = max(round, s.round)
		basis = append(basis, s)
	}
	l := &c.lead
	same := slices.EqualFunc(l.basis, basis, func(a, b state) bool {
		return a.member == b.member && a.attempt == b.attempt && a.current == b.current && a.installed == b.installed
	})
	if l.ballot != (Ballot{}) && same && (l.decided || c.now-l.since < retryAfter) {
		return
	}
	l.reset()
	l.ballot, l.since, l.basis = Ballot{Round: round + 1, Node: c.cfg.Self.Node}, c.now, basis
	l.reports, l.accepted, l.ready = map[ids.NodeID]*report{}, map[ids.NodeID]bool{}, map[ids.NodeID]logEnd{}
	for _, n := range clique {
		c.send(n, message{kind: prepareMsg, ballot: l.ballot})
	}
}

// early reports whether a ballot of these nodes has no chance, or should wait a moment for those that a whole cluster
// that starts again would lack.
func (c *Core) early(clique []ids.NodeID) bool {
	in := func(n ids.NodeID) bool { return slices.Contains(clique, n) }
	if !c.durable.View.decides(in) {
		return true
	}
	survivors := slices.ContainsFunc(clique, func(n ids.NodeID) bool { return c.states[n].survivor })
	missing := slices.ContainsFunc(c.durable.View.Nodes, func(p Peer) bool { return !in(p.Node) })
	return missing && !survivors && c.now-c.began < c.cfg.Grace
}

// onAnswer counts the answers to this leader's ballot.
func (c *Core) onAnswer(from ids.NodeID, m message) {
	l := &c.lead
	if m.ballot != l.ballot || !l.takesPart(from) {
		return
	}
	switch m.kind {
	case promiseMsg:
		l.reports[from] = &m.report
		if len(l.reports) == len(l.basis) && l.proposal == nil {
			c.propose()
		}
	case acceptedMsg:
		l.accepted[from] = true
		if len(l.accepted) == len(l.basis) && !l.decided {
			l.decided = true
			for _, s := range l.basis {
				c.send(s.member.Node, message{kind: decidedMsg, ballot: l.ballot})
			}
		}
	case readyMsg:
		if l.decided {
			l.ready[from] = logEnd{m.end, m.full, m.had}
			c.compareEnds()
		}
	}
}

// propose proposes what the reports allow (V1, V3).
func (c *Core) propose() {
	l := &c.lead
	base, chosen := c.base()
	l.opened = l.lastOpened(&base)
	if !base.decides(l.takesPart) || !c.remembers(&base) {
		return // more nodes than this one knew of have to decide
	}
	if !slices.ContainsFunc(l.basis, func(s state) bool { return l.knows(s.member.Node) }) {
		return // nobody who is here knows how the base view ended
	}
	p := &Proposal{Base: base}
	if chosen != nil {
		p.View, p.Trim = chosen.View, chosen.Trim
	} else if p.Trim = l.leastReceived(&base); !c.nextView(p) {
		return
	}
	p.Ballot = l.ballot
	l.proposal = p
	for _, s := range l.basis {
		c.send(s.member.Node, message{kind: proposeMsg, proposal: p})
	}
}

// remembers reports whether of any majority that may have decided on something one is here that has not forgotten it
// (V7).
func (c *Core) remembers(base *View) bool {
	count := 0
	for _, p := range base.Nodes {
		if r := c.lead.reports[p.Node]; r != nil && !r.blank(base.ID) {
			count++
		}
	}
	return count > len(base.Nodes)-base.Majority()
}

// base returns the newest view that anyone here knows to be installed somewhere, and the proposal for its successor
// that must be taken up because it may have been decided: that of the highest ballot, as in Paxos.
func (c *Core) base() (base View, chosen *Proposal) {
	for _, s := range c.lead.basis {
		r := c.lead.reports[s.member.Node]
		if r.view.ID > base.ID || base.Nodes == nil {
			base = r.view
		}
		if r.accepted != nil && r.accepted.Base.ID > base.ID {
			base = r.accepted.Base
		}
	}
	for _, s := range c.lead.basis {
		a := c.lead.reports[s.member.Node].accepted
		if a != nil && a.View.ID == base.ID+1 && (chosen == nil || a.Ballot.Compare(chosen.Ballot) > 0) {
			chosen = a
		}
	}
	return base, chosen
}

// lastOpened returns the last view that may have been open: for that all its members had to install it, which are a
// majority. Who knows of no view may have forgotten.
func (l *leader) lastOpened(base *View) ids.ViewID {
	for v := base.ID; v > 0; v-- {
		have := len(base.Nodes)
		for _, p := range base.Nodes {
			r := l.reports[p.Node]
			if r == nil || r.view.ID >= v || r.view.ID == 0 {
				continue
			}
			if have--; v == base.ID && base.Rank(p.Node) >= 0 {
				have = 0 // a member that has not
			}
		}
		if have >= base.Majority() {
			return v
		}
	}
	return 0
}

// knows reports whether a node's log has all that was persisted everywhere: it is a member of the last view that was
// open, or of a later one.
func (l *leader) knows(node ids.NodeID) bool {
	r := l.reports[node]
	return r.view.ID >= l.opened && (r.view.ID == 0 || r.view.Rank(node) >= 0)
}

// leastReceived returns where the base view ends if that was not decided before: at the least that a survivor received.
// What any member delivered before was received by all, so it lies within. It is nil if nobody here has the rings.
func (l *leader) leastReceived(base *View) (least *Trim) {
	for _, s := range l.basis {
		if r := l.reports[s.member.Node]; r.survivor && r.view.ID == base.ID {
			least = lower(least, base.ID, r.received)
		}
	}
	return least
}

// lower returns the element-wise minimum of t and received.
func lower(t *Trim, view ids.ViewID, received [][]uint64) *Trim {
	if t == nil {
		t = &Trim{View: view}
		for _, row := range received {
			t.Upto = append(t.Upto, slices.Clone(row))
		}
		return t
	}
	for g := range min(len(t.Upto), len(received)) {
		for r := range min(len(t.Upto[g]), len(received[g])) {
			t.Upto[g][r] = min(t.Upto[g][r], received[g][r])
		}
	}
	return t
}

// nextView fills in a view of all that have what the base view had, or nearly; of the others only if it takes
// them. It reports whether there is one: at least a majority of the configured nodes.
func (c *Core) nextView(p *Proposal) bool {
	l := &c.lead
	v := &p.View
	*v = View{ID: p.Base.ID + 1, Nodes: p.Base.Nodes, Settled: p.Base.settled(), Ended: p.Base.Ended}
	if p.Trim != nil {
		v.Ended = p.Trim
	}
	present, survivors := 0, false
	var now hlc.Timestamp
	for _, s := range l.basis {
		r := l.reports[s.member.Node]
		if r.change != nil && r.view.ID == p.Base.ID && p.Base.ID > 0 {
			v.Nodes = r.change
		}
		if p.Base.Rank(s.member.Node) >= 0 {
			present++
		}
		survivors = survivors || r.survivor && r.view.ID == p.Base.ID
		v.Floor, now = max(v.Floor, r.ends.Floor), max(now, r.ends.Now)
	}
	if !survivors && present < len(p.Base.Members) {
		// Who is missing may have answered about moments that only the rings of those who restarted knew of.
		v.Floor = max(v.Floor, now+maxSkew)
	}
	ok := c.fill(v, p.Base.ID)
	if !ok && !slices.Equal(v.Nodes, p.Base.Nodes) {
		v.Nodes = p.Base.Nodes // the change would leave too few
		ok = c.fill(v, p.Base.ID)
	}
	if c.settles(v, &p.Base) {
		v.Settled = v.NodeIDs()
	}
	return ok
}

// fill chooses the members and reports whether they are enough: a majority, and of each shard a keeper.
func (c *Core) fill(v *View, base ids.ViewID) bool {
	is := func(n ids.NodeID) bool { return v.Rank(n) >= 0 }
	for _, all := range []bool{false, true} {
		v.Members = nil
		for _, s := range c.lead.basis {
			r := c.lead.reports[s.member.Node]
			if v.Configured(s.member.Node) && (all || r.view.ID == base || base > 0 && r.current == base) {
				v.Members = append(v.Members, r.member)
			}
		}
		if v.decides(is) && c.keptBy(v.Settled, is) {
			return true
		}
	}
	return false
}

// compareEnds commits once the logs of all members that are here end at the same place (V5), the furthest one. Who is not
// there fetches what it lacks, or is cut.
func (c *Core) compareEnds() {
	l := &c.lead
	for _, s := range l.basis {
		n := s.member.Node
		if _, ok := l.ready[n]; !ok && (l.knows(n) || l.proposal.View.Rank(n) >= 0) {
			return
		}
	}
	end, source := c.furthest(l.proposal)
	if source == 0 {
		return
	}
	same := true
	for _, m := range l.proposal.View.Members {
		if r, ok := l.ready[m.Node]; ok && (!slices.Equal(r.end, end) || slices.Compare(r.full, end) < 0) {
			same = false
			delete(l.ready, m.Node)
			c.send(m.Node, message{kind: decidedMsg, ballot: l.ballot, source: source})
		}
	}
	in := func(n ids.NodeID) bool { _, ok := l.ready[n]; return ok && l.proposal.View.Rank(n) >= 0 }
	if same && c.keptBy(l.proposal.View.settled(), in) { // else a member is not here that the data is to be with
		c.commit()
	}
}

// furthest returns where the log may go on, and one who knows and whose log ends there: the longest log of those who know
// of which all data is here. It has all that a survivor delivered (but what none of those who kept it has any more), and
// with no survivor all that was persisted everywhere. It is none while data that was persisted is only with nodes that
// are not here.
func (c *Core) furthest(p *Proposal) (end []ids.Version, source ids.NodeID) {
	l := &c.lead
	for _, s := range l.basis {
		n := s.member.Node
		if r := l.ready[n]; l.knows(n) && (source == 0 || slices.Compare(r.end, end) > 0) && c.dataIsHere(p, r.end) {
			end, source = r.end, n
		}
	}
	return end, source
}

// dataIsHere reports whether of each shard somebody who takes part has the data up to end (V8), by the layout of before
// or by the next one.
func (c *Core) dataIsHere(p *Proposal, end []ids.Version) bool {
	had, has := c.keepers(p.Base.settled()), c.keepers(p.View.settled())
	for shard := range has {
		if !slices.ContainsFunc(c.lead.basis, func(s state) bool {
			n := s.member.Node
			r, ok := c.lead.ready[n]
			return ok && (slices.Contains(had[shard], n) && slices.Compare(r.had, end) >= 0 ||
				slices.Contains(has[shard], n) && slices.Compare(r.full, end) >= 0)
		}) {
			return false
		}
	}
	return true
}

// keepers returns which of the nodes keep the data of each shard.
func (c *Core) keepers(nodes []ids.NodeID) [][]ids.NodeID {
	if c.cfg.Keepers == nil {
		return [][]ids.NodeID{nodes}
	}
	return c.cfg.Keepers(nodes)
}

// keptBy reports whether of each shard, by the layout of the nodes, a keeper is one of those for whom in returns true.
func (c *Core) keptBy(nodes []ids.NodeID, in func(ids.NodeID) bool) bool {
	return !slices.ContainsFunc(c.keepers(nodes), func(keep []ids.NodeID) bool { return !slices.ContainsFunc(keep, in) })
}

// settles reports whether all members of v, the successor of base, will be whole by the layout of its configured nodes: they
// were, or gain nothing by it, or are new and fetch before they enter (V8).
func (c *Core) settles(v, base *View) bool {
	had, has, will := c.keepers(base.settled()), c.keepers(base.NodeIDs()), c.keepers(v.NodeIDs())
	for shard, keep := range will {
		for _, n := range keep {
			r := c.lead.reports[n]
			if r == nil || v.Rank(n) < 0 {
				return false
			}
			if r.view.ID == base.ID && base.ID > 0 && !slices.Contains(had[shard], n) && !(r.ends.Whole && slices.Contains(has[shard], n)) {
				return false
			}
		}
	}
	return true
}

// commit has the members install the view.
func (c *Core) commit() {
	l := &c.lead
	attempts := make([]uint64, len(l.proposal.View.Members))
	for _, s := range l.basis {
		if r := l.proposal.View.Rank(s.member.Node); r >= 0 {
			attempts[r] = s.attempt
		}
	}
	for r, m := range l.proposal.View.Members {
		if attempts[r] > 0 {
			c.send(m.Node, message{kind: commitMsg, ballot: l.ballot, attempts: attempts, unsure: l.unsure()})
		}
	}
}

// unsure reports whether somebody who is not in the next view may still take itself to be in an earlier one. Once a view is
// open at all its members that can be none but one of them.
func (l *leader) unsure() bool {
	base, next := &l.proposal.Base, &l.proposal.View
	survivors, open := false, false
	for _, s := range l.basis {
		if r := l.reports[s.member.Node]; r.view.ID == base.ID && r.survivor {
			survivors, open = true, open || r.ends.Open
		}
	}
	if !open {
		return base.ID > 0 && (survivors || len(next.Members) < len(next.Nodes))
	}
	return slices.ContainsFunc(base.Members, func(m Member) bool { return next.Rank(m.Node) < 0 })
}
