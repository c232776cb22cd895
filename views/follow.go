package views

import (
	"slices"

	"dfs/ids"
)

// pending reports whether a linked peer has yet to say how it stands, or to leave its view, or goes on in one and will
// take this node in.
func (c *Core) pending() bool {
	return slices.ContainsFunc(c.Connected(), func(n ids.NodeID) bool {
		s, known := c.states[n]
		return !known || s.active && s.installed >= c.durable.View.ID
	})
}

// clique returns the nodes that should decide on the next view as far as this node knows: configured, by the last view or
// by the accepted one or by a later one that they have installed, or caught up, out of any view, and linked to each other. The largest such set counts, of equal ones
// that with the lowest nodes.
func (c *Core) clique() []ids.NodeID {
	var nodes []ids.NodeID
	next := c.durable.Accepted
	for _, n := range c.Connected() {
		configured := c.durable.View.Configured(n) || next != nil && next.View.Configured(n)
		if s, known := c.states[n]; known && !s.active && (configured || s.installed > c.durable.View.ID || s.current > 0) {
			nodes = append(nodes, n)
		}
	}
	var best []ids.NodeID
	for i := range nodes {
		var set []ids.NodeID
		for _, n := range append(nodes[i:len(nodes):len(nodes)], nodes[:i]...) {
			s := c.states[n]
			if !slices.ContainsFunc(set, func(o ids.NodeID) bool { p := c.states[o]; return !s.linked(o) || !p.linked(n) }) {
				set = append(set, n)
			}
		}
		if len(set) > len(best) {
			best = set
		}
	}
	slices.Sort(best)
	return best
}

// leaderOf returns the lowest node of a clique of those that have installed the latest view, or 0. They know who is configured
// by now; others may remember who was, so that each would wait for another one. Before the first view it is the lowest
// configured node.
func (c *Core) leaderOf(clique []ids.NodeID) ids.NodeID {
	latest := ids.ViewID(0)
	for _, n := range clique {
		latest = max(latest, c.states[n].installed)
	}
	for _, n := range clique {
		if c.states[n].installed == latest && (latest > 0 || c.durable.View.Configured(n)) {
			return n
		}
	}
	return 0
}

// proceed does what this node can do by itself: lead, or catch up.
func (c *Core) proceed() {
	if c.phase == active {
		return
	}
	if c.phase != seeking && c.leftOut() {
		c.phase = seeking
		c.attempt++ // a leader that waits for this node is to know
		c.tell()
	}
	if c.phase == seeking {
		c.catchUp()
	}
	c.tryLead()
}

// leftOut reports whether others are in a newer view, and not because of a proposal that this node is to be a member by.
func (c *Core) leftOut() bool {
	if a := c.durable.Accepted; c.phase >= accepted && slices.Contains(a.View.Members, c.cfg.Self) {
		return false
	}
	// In any order: one is enough.
	for n, s := range c.states {
		if n != c.cfg.Self.Node && s.active && s.installed > c.durable.View.ID {
			return true
		}
	}
	return false
}

// catchUp fetches from a view that goes on without this node.
func (c *Core) catchUp() {
	if c.source != 0 && (c.current != c.goesOn || c.now-c.caughtUp < retryAfter) {
		if s, ok := c.states[c.source]; ok && s.active && s.installed == c.goesOn {
			return
		}
	}
	source, newest := ids.NodeID(0), c.durable.View.ID
	for _, n := range c.Connected() {
		if s, ok := c.states[n]; ok && s.active && s.installed > newest {
			source, newest = n, s.installed
		}
	}
	c.source, c.goesOn = source, newest
	if source != 0 {
		var others []ids.NodeID
		for _, n := range c.Connected() {
			if s := c.states[n]; n != source && s.active && s.installed == newest {
				others = append(others, n)
			}
		}
		c.effect(Effect{Kind: CatchUp, To: source, Others: others, Layouts: c.with(c.states[source].layouts)})
	}
}

// with returns the layouts of a view that this node is to be in: if it is not configured yet, it will be.
func (c *Core) with(layouts [][]ids.NodeID) [][]ids.NodeID {
	if len(layouts) == 0 || slices.Contains(layouts[0], c.cfg.Self.Node) {
		return layouts
	}
	joined := append(slices.Clone(layouts[0]), c.cfg.Self.Node)
	slices.Sort(joined)
	return append([][]ids.NodeID{joined}, layouts[1:]...)
}

// onPrepare promises to follow a ballot if it is the highest one and its leader is the one that this node expects.
func (c *Core) onPrepare(from ids.NodeID, b Ballot) {
	if c.phase == active || b.Node != from || b.Compare(c.durable.Promised) <= 0 || c.leaderOf(c.clique()) != from {
		return
	}
	if c.phase != seeking && c.ballot.Node != from {
		c.attempt++ // whoever led before must not wait for this node, nor count on it
		c.tell()
	}
	c.durable.Promised = b
	c.persist()
	c.phase, c.ballot = promised, b
	r := report{
		member: c.cfg.Self, attempt: c.attempt, view: c.durable.View, survivor: c.holds, accepted: c.durable.Accepted,
		current: c.current, change: c.change, ends: c.cfg.Ends(),
	}
	if c.holds {
		r.received = c.recv
	}
	c.send(from, message{kind: promiseMsg, ballot: b, report: r})
}

// onPropose accepts a proposal of the leader that this node follows (V1).
func (c *Core) onPropose(p *Proposal) {
	if c.phase != promised || p.Ballot != c.ballot || p.View.ID <= c.durable.View.ID {
		return
	}
	c.durable.Accepted = p
	c.persist()
	c.phase = accepted
	c.send(p.Ballot.Node, message{kind: acceptedMsg, ballot: p.Ballot})
}

// onDecided brings the log to where the base view ends: first with what the own rings have, and, when the leader knows all
// ends and this is not the last of them, from the source that it names.
func (c *Core) onDecided(m message) {
	if m.ballot != c.ballot {
		return
	}
	p := c.durable.Accepted
	number, layouts := p.Ballot.Number(), [][]ids.NodeID{p.View.settled()}
	switch {
	case c.phase == accepted && m.source == 0:
		e := Effect{Kind: DeliverTrim, Number: number, Layouts: layouts}
		// The base view may be one that others have installed while this node was away.
		for _, t := range []*Trim{p.Trim, p.Base.Ended} {
			if c.holds && t != nil && t.View == c.durable.View.ID {
				e.Trim = t
			}
		}
		c.phase = finishing
		c.effect(e)
	case c.phase == ready && m.source != 0:
		c.phase, c.source = finishing, 0 // a Fetch takes the place of a CatchUp
		c.effect(Effect{Kind: Fetch, To: m.source, Number: number, Layouts: layouts})
	}
}

// Finished says that the work of DeliverTrim or Fetch with that number is done and durable.
func (c *Core) Finished(number uint64) []Effect {
	if c.phase == finishing && number == c.ballot.Number() {
		c.finished()
	}
	return c.take()
}

func (c *Core) finished() {
	c.phase = ready
	m := message{kind: readyMsg, ballot: c.ballot, end: c.cfg.Ends().End}
	if m.full, m.had = m.end, m.end; c.cfg.Full != nil {
		p := c.durable.Accepted
		m.full, m.had = c.cfg.Full(p.View.settled()), c.cfg.Full(p.Base.settled())
	}
	c.send(c.ballot.Node, m)
}

// install makes the proposed view the current one (V1).
func (c *Core) install(attempts []uint64, unsure bool) {
	p := c.durable.Accepted
	c.durable = Durable{View: p.View, Promised: c.durable.Promised}
	c.holds, c.recv, c.current, c.change, c.source = false, nil, 0, nil, 0
	c.phase, c.opened = active, false
	c.spent = attempts
	c.lead.reset()
	c.persist()
	c.effect(Effect{Kind: Activate, View: p.View, Unsure: unsure})
	c.tell()
	c.broadcast(message{kind: installedMsg, view: p.View.ID, instance: c.cfg.Self.Incarnation})
	for r, m := range p.View.Members {
		if s, ok := c.states[m.Node]; m != c.cfg.Self && (!ok || c.left(ids.Rank(r), &s)) {
			c.stop() // it is decided that the view has a member that is not there any more
			return
		}
	}
}

// open lets writing begin once every member has activated the view.
func (c *Core) open() {
	if c.phase != active || c.opened {
		return
	}
	for _, m := range c.durable.View.Members {
		if j, ok := c.installed[m.Node]; !ok || j.view != c.durable.View.ID || j.instance != m.Incarnation {
			return
		}
	}
	c.opened = true
	c.effect(Effect{Kind: Open, View: c.durable.View})
	c.admit() // who has caught up with this view through another member
}
