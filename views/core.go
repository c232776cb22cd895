package views

import (
	"fmt"
	"slices"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
)

// Config is what a Core is made of.
type Config struct {
	Self    Member
	Nodes   []ids.NodeID // the membership, Self's node included
	Durable Durable      // as persisted before, zero for a new node
	// Ends returns the current ends of the log by group and the latest moment answered about. Called
	// when a report is made.
	Ends func() ([]ids.Version, hlc.Timestamp)
}

// EffectKind says what the owner must do. Effects are carried out in order.
type EffectKind int

// The effects.
const (
	// Send Message to To. It may be dropped when the link is down.
	Send EffectKind = iota
	// Wedge the active view, then call Wedged.
	Wedge
	// Persist Durable before carrying out what follows.
	Persist
	// DeliverTrim: deliver Trim in the rings of the wedged view, sync the log, then call Finished(Number).
	DeliverTrim
	// Fetch from To what the log lacks, sync it, then call Finished(Number). A later Fetch replaces it.
	Fetch
	// Activate View: make its rings, register them. Nothing is written to peers yet.
	Activate
	// Open: every member has activated the view; writing may begin.
	Open
)

// Effect is one thing for the owner to do; the fields used depend on Kind.
type Effect struct {
	Kind    EffectKind
	To      ids.NodeID
	Message []byte
	Durable Durable
	Trim    *Trim
	View    View
	Number  uint64
}

// phase is how far this member is with the current plan.
type phase int

const (
	reporting phase = iota // no plan
	planned                // a plan is there, its trim persisted
	finishing              // delivering or fetching
	ready                  // the log ends where the view ends
	active                 // the view is installed
)

// Core is the membership state of one node. All calls come from one goroutine.
type Core struct {
	cfg     Config
	nodes   []ids.NodeID // sorted; nodes[0] leads
	durable Durable
	attempt uint64
	holds   bool       // the rings of durable.View are still here (a survivor)
	recv    [][]uint64 // what they received
	up      map[ids.NodeID]bool
	reports map[ids.NodeID]Report
	spent   map[Member]uint64      // the attempts that led to the installed view: their reports are history
	joined  map[ids.NodeID]message // the last Installed of each peer
	phase   phase
	plan    proposal
	opened  bool
	lead    leader
	effects []Effect
	inbox   []message // own messages to the leader that this node is
}

// leader is what the leading node keeps.
type leader struct {
	number  uint64
	plan    *proposal
	trimmed map[ids.NodeID]bool
	ready   map[ids.NodeID][]ids.Version
	trim    *Trim // proposed in this life for the view trim.View; never replaced (V3)
}

// New returns a core that has seen nothing; Start makes it act.
func New(cfg Config) *Core {
	nodes := slices.Clone(cfg.Nodes)
	slices.Sort(nodes)
	return &Core{
		cfg: cfg, nodes: slices.Compact(nodes), durable: cfg.Durable,
		up:      map[ids.NodeID]bool{cfg.Self.Node: true},
		reports: map[ids.NodeID]Report{}, joined: map[ids.NodeID]message{},
	}
}

// Start begins the first attempt.
func (c *Core) Start() []Effect {
	c.newAttempt()
	return c.take()
}

// take hands out the effects and handles what this node sent to itself.
func (c *Core) take() []Effect {
	for len(c.inbox) > 0 {
		m := c.inbox[0]
		c.inbox = c.inbox[1:]
		c.handle(c.cfg.Self.Node, m)
	}
	out := c.effects
	c.effects = nil
	return out
}

// Active reports whether a view is installed and open here.
func (c *Core) Active() bool { return c.phase == active && c.opened }

// View returns the last installed view; its ID is 0 if there never was one.
func (c *Core) View() View { return c.durable.View }

// Waiting returns the nodes that a next view needs and that are not there, nil while a view is active.
func (c *Core) Waiting() []ids.NodeID {
	var out []ids.NodeID
	if c.phase != active {
		for _, n := range c.nodes {
			if !c.up[n] {
				out = append(out, n)
			}
		}
	}
	return out
}

// Connected returns the members that this node has a link to, itself included.
func (c *Core) Connected() []ids.NodeID {
	var out []ids.NodeID
	for _, n := range c.nodes {
		if c.up[n] {
			out = append(out, n)
		}
	}
	return out
}

// Number returns the proposal that this node follows, and whether its log is complete for it: then it
// may serve those that fetch.
func (c *Core) Number() (number uint64, complete bool) {
	return c.plan.number, c.phase >= ready
}

// PeerUp says that a link to peer is there.
func (c *Core) PeerUp(peer ids.NodeID) []Effect { return c.link(peer, true) }

// PeerDown says that the link to peer broke.
func (c *Core) PeerDown(peer ids.NodeID) []Effect { return c.link(peer, false) }

func (c *Core) link(peer ids.NodeID, up bool) []Effect {
	if !slices.Contains(c.nodes, peer) || peer == c.cfg.Self.Node {
		return nil
	}
	c.up[peer] = up
	if !up {
		delete(c.reports, peer)
		delete(c.joined, peer)
	}
	c.stop()
	return c.take()
}

// stop leaves the active view, or voids the attempt under way (V2, V4).
func (c *Core) stop() {
	if c.phase == active {
		c.phase = reporting
		c.effects = append(c.effects, Effect{Kind: Wedge})
		return // the owner calls Wedged
	}
	c.newAttempt()
}

// Wedged says that the active view is wedged: received is what its rings hold, by group and rank. It
// does not change any more.
func (c *Core) Wedged(received [][]uint64) []Effect {
	if c.phase != reporting {
		panic(fmt.Sprintf("views: V2: wedged in phase %d", c.phase))
	}
	c.holds, c.recv = true, received
	c.newAttempt()
	return c.take()
}

// newAttempt makes a fresh report and tells it to every peer.
func (c *Core) newAttempt() {
	c.attempt++
	c.phase, c.plan, c.opened = reporting, proposal{}, false
	end, floor := c.cfg.Ends()
	r := Report{
		Member: c.cfg.Self, Attempt: c.attempt, Installed: c.durable.View.ID, Survivor: c.holds,
		Trim: c.durable.Trim, End: end, Floor: floor, Linked: len(c.Connected()) == len(c.nodes),
	}
	if c.holds {
		r.Received = c.recv
	}
	c.broadcast(message{kind: reportMsg, report: r})
}

func (c *Core) broadcast(m message) {
	for _, n := range c.nodes {
		c.send(n, m)
	}
}

func (c *Core) send(to ids.NodeID, m message) {
	if to == c.cfg.Self.Node {
		c.inbox = append(c.inbox, m)
	} else if c.up[to] {
		c.effects = append(c.effects, Effect{Kind: Send, To: to, Message: m.encode()})
	}
}

// Message handles a message of a peer; it fails with errs.Corrupt if it makes no sense.
func (c *Core) Message(from ids.NodeID, b []byte) ([]Effect, error) {
	m, err := decodeMessage(b)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(c.nodes, from) || m.kind == reportMsg && m.report.Member.Node != from {
		return nil, errs.New(errs.Corrupt, "view message of a node that is not a member, or in another's name")
	}
	c.handle(from, m)
	return c.take(), nil
}

func (c *Core) handle(from ids.NodeID, m message) {
	leads := from == c.nodes[0]
	switch m.kind {
	case reportMsg:
		c.onReport(from, m.report)
	case proposeMsg:
		if leads {
			c.onPropose(m.plan)
		}
	case trimmedMsg, readyMsg:
		c.onAnswer(from, m)
	case deliverMsg:
		if leads && c.phase == planned && c.meant(m) {
			c.finish()
		}
	case commitMsg:
		if leads && c.phase == ready && c.meant(m) {
			c.install()
		}
	case installedMsg:
		c.joined[from] = m
		c.open()
	}
}

// meant reports whether a message of the leader is for the plan and attempt that this node is in.
func (c *Core) meant(m message) bool { return m.number == c.plan.number && m.attempt == c.attempt }

func (c *Core) onReport(from ids.NodeID, r Report) {
	if old, ok := c.reports[from]; ok && old.Member == r.Member && old.Attempt >= r.Attempt {
		return
	}
	if r.Attempt <= c.spent[r.Member] {
		return // late news: the installed view rests on it
	}
	c.reports[from] = r
	if c.phase == active && from != c.cfg.Self.Node {
		c.stop() // its sender has stopped, or never installed the view
		return
	}
	c.propose()
}

// Break says that this node found the active view broken: it stops, and so will the others.
func (c *Core) Break() []Effect {
	c.stop()
	return c.take()
}
