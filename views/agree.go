package views

import (
	"slices"

	"dfs/ids"
)

// propose makes a plan once every member has reported, if this node leads.
func (c *Core) propose() {
	if c.nodes[0] != c.cfg.Self.Node || c.phase == active || len(c.reports) < len(c.nodes) {
		return
	}
	p := proposal{source: c.cfg.Self.Node}
	var longest []ids.Version
	for _, n := range c.nodes {
		r := c.reports[n]
		if !r.Linked {
			return
		}
		p.view.Members = append(p.view.Members, r.Member)
		p.view.Floor = max(p.view.Floor, r.Floor)
		p.attempts = append(p.attempts, r.Attempt)
		p.base = max(p.base, r.Installed)
		if slices.Compare(r.End, longest) > 0 {
			longest, p.source = r.End, n
		}
	}
	p.view.ID = p.base + 1
	c.planTrim(&p)
	c.lead.number++
	p.number = c.lead.number
	c.lead.plan, c.lead.trimmed, c.lead.ready = &p, map[ids.NodeID]bool{}, map[ids.NodeID][]ids.Version{}
	c.broadcast(message{kind: proposeMsg, plan: p})
}

// planTrim decides where the base view ends: a trim that was persisted or proposed before stands;
// else it is the least that a survivor received (V3).
func (c *Core) planTrim(p *proposal) {
	survivors := 0
	var least *Trim
	for _, n := range c.nodes {
		r := c.reports[n]
		if r.Installed != p.base {
			continue
		}
		if r.Trim != nil && r.Trim.View == p.base {
			c.lead.trim = r.Trim
		}
		if r.Survivor {
			survivors++
			p.source = n
			least = lower(least, p.base, r.Received)
		}
	}
	if survivors == 0 {
		// The longest log is complete: nothing was delivered that it lacks. A persisted trim was
		// delivered from rings that are gone.
		return
	}
	if c.lead.trim == nil || c.lead.trim.View != p.base {
		c.lead.trim = least
	}
	p.trim = c.lead.trim
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

// onPropose follows a plan that knows this node's current attempt.
func (c *Core) onPropose(p proposal) {
	rank := p.view.Rank(c.cfg.Self.Node)
	if c.phase == active || rank < 0 || p.attempts[rank] != c.attempt || p.view.Members[rank] != c.cfg.Self ||
		p.number <= c.plan.number || p.view.ID <= c.durable.View.ID {
		return
	}
	c.plan, c.phase = p, planned
	if c.delivers() && c.durable.Trim == nil {
		c.durable.Trim = p.trim
		c.effects = append(c.effects, Effect{Kind: Persist, Durable: c.durable})
	}
	c.send(c.nodes[0], message{kind: trimmedMsg, number: p.number, attempt: c.attempt})
}

// delivers reports whether this node takes the end of the base view out of its own rings.
func (c *Core) delivers() bool {
	return c.holds && c.plan.trim != nil && c.durable.View.ID == c.plan.base
}

// finish brings the log to where the base view ends.
func (c *Core) finish() {
	c.phase = finishing
	e := Effect{Kind: Fetch, To: c.plan.source, Number: c.plan.number}
	switch {
	case c.delivers():
		e = Effect{Kind: DeliverTrim, Trim: c.durable.Trim, Number: c.plan.number}
	case c.plan.source == c.cfg.Self.Node:
		c.finished()
		return
	}
	c.effects = append(c.effects, e)
}

// Finished says that the work of DeliverTrim or Fetch with that number is done and durable.
func (c *Core) Finished(number uint64) []Effect {
	if c.phase != finishing || number != c.plan.number {
		return nil
	}
	c.finished()
	return c.take()
}

func (c *Core) finished() {
	c.phase = ready
	end, _ := c.cfg.Ends()
	c.send(c.nodes[0], message{kind: readyMsg, number: c.plan.number, attempt: c.attempt, end: end})
}

// onAnswer counts the members' answers to this leader's plan.
func (c *Core) onAnswer(from ids.NodeID, m message) {
	l := &c.lead
	if l.plan == nil || m.number != l.plan.number {
		return
	}
	rank := l.plan.view.Rank(from)
	if rank < 0 || l.plan.attempts[rank] != m.attempt {
		return
	}
	next := deliverMsg
	if m.kind == trimmedMsg {
		l.trimmed[from] = true
		if len(l.trimmed) < len(c.nodes) {
			return
		}
	} else {
		l.ready[from] = m.end
		if len(l.ready) < len(c.nodes) || !c.sameEnd() {
			return
		}
		next = commitMsg
	}
	for r, member := range l.plan.view.Members {
		c.send(member.Node, message{kind: next, number: l.plan.number, attempt: l.plan.attempts[r]})
	}
	if next == commitMsg {
		l.plan, l.trim = nil, nil
	}
}

// sameEnd reports whether all logs end at the same place (V5).
func (c *Core) sameEnd() bool {
	first := c.lead.ready[c.nodes[0]]
	for _, n := range c.nodes {
		if !slices.Equal(c.lead.ready[n], first) {
			return false
		}
	}
	return true
}

// install makes the planned view the current one (V1).
func (c *Core) install() {
	c.durable = Durable{View: c.plan.view}
	c.holds, c.recv = false, nil
	c.phase, c.opened = active, false
	c.spent = map[Member]uint64{}
	for r, m := range c.plan.view.Members {
		c.spent[m] = c.plan.attempts[r]
		if c.reports[m.Node].Attempt <= c.plan.attempts[r] {
			delete(c.reports, m.Node)
		}
	}
	c.effects = append(c.effects, Effect{Kind: Persist, Durable: c.durable}, Effect{Kind: Activate, View: c.plan.view})
	c.broadcast(message{kind: installedMsg, view: c.plan.view.ID, instance: c.cfg.Self.Incarnation})
}

// open lets writing begin once every member has activated the view.
func (c *Core) open() {
	if c.phase != active || c.opened {
		return
	}
	for _, m := range c.plan.view.Members {
		if j, ok := c.joined[m.Node]; !ok || j.view != c.plan.view.ID || j.instance != m.Incarnation {
			return
		}
	}
	c.opened = true
	c.effects = append(c.effects, Effect{Kind: Open, View: c.plan.view})
}
