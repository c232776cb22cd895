package views

import (
	"fmt"
	"slices"
	"time"

	"dfs/errs"
	"dfs/ids"
)

// Config is what a Core is made of.
type Config struct {
	Self    Member
	Nodes   []Peer  // the configured nodes; a persisted view knows better
	Durable Durable // as persisted before, zero for a new node
	// Ends returns where the log ends. Called when a report is made.
	Ends func() Ends
	// Full returns, for each group, a version up to which this node has, durably, all data that the layout of the nodes
	// gives it; at least the end of the log if it lacks nothing. nil: it never lacks any.
	Full func(nodes []ids.NodeID) []ids.Version
	// Keepers returns for each shard which of the nodes keep its data, a function of the set of nodes alone. nil: all keep
	// all, as one shard.
	Keepers func(nodes []ids.NodeID) [][]ids.NodeID
	// Grace is how long the first view after a start waits for configured nodes that are missing, when a
	// majority is there without them; 0 means not at all.
	Grace time.Duration
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
	// DeliverTrim: deliver in the rings of the wedged view what is there of Trim, if it is not nil, in any case sync the
	// log, then call Finished(Number); begin to get the data that is lacking.
	DeliverTrim
	// Fetch from To what the log lacks (nothing, if To is this node), and from anyone the data, sync, then call
	// Finished(Number). A later Fetch or CatchUp replaces it.
	Fetch
	// CatchUp with To, a member of a view that goes on without this node, or with Others, which are too: fetch what their
	// logs have by now, and from anyone the data, sync, then call CaughtUp.
	CatchUp
	// Activate View: make its rings, register them. Nothing is written to peers yet.
	Activate
	// Open: every member has activated the view; writing may begin.
	Open
)

// Effect is one thing for the owner to do; the fields used depend on Kind.
type Effect struct {
	Kind    EffectKind
	To      ids.NodeID
	Others  []ids.NodeID
	Message []byte
	Durable Durable
	Trim    *Trim
	View    View
	Number  uint64
	// Unsure says of a view to activate that somebody who is not in it may still take itself to be in an earlier one, as far as
	// those can tell that take part.
	Unsure bool
	// Layouts: this node is to get all data that these sets of nodes, by their layouts, say it keeps.
	Layouts [][]ids.NodeID
}

// phase is how far this node is with the proposal that it follows.
type phase int

const (
	seeking   phase = iota // no ballot is followed
	promised               // a leader collects reports
	accepted               // a proposal is persisted
	finishing              // delivering or fetching
	ready                  // the log ends where the view ends
	active                 // the view is installed
)

// retryAfter is when a leader whose ballot gets no answer, or a learner that is not taken in, tries again.
const retryAfter = time.Second

// Core is the membership state of one node. All calls come from one goroutine.
type Core struct {
	cfg     Config
	durable Durable
	now     time.Duration
	began   time.Duration

	attempt uint64
	phase   phase
	ballot  Ballot // being followed, unless seeking
	opened  bool
	holds   bool       // the rings of durable.View are still here (a survivor)
	recv    [][]uint64 // what they received
	current ids.ViewID // the view that this node has caught up with from outside
	change  []Peer     // the configuration asked for, for the view after durable.View

	source    ids.NodeID    // whom this node catches up with, 0 for nobody
	goesOn    ids.ViewID    // the view that the source is in
	caughtUp  time.Duration // when it last had
	up        map[ids.NodeID]bool
	states    map[ids.NodeID]state
	spent     []uint64               // by rank, the attempts that led to the installed view: older states are history
	installed map[ids.NodeID]message // the last installedMsg of each peer
	lead      leader
	effects   []Effect
	inbox     []delivery // own messages to itself
}

type delivery struct{ m message }

// New returns a core that has seen nothing; Start makes it act.
func New(cfg Config) *Core {
	c := &Core{
		cfg: cfg, durable: cfg.Durable, up: map[ids.NodeID]bool{cfg.Self.Node: true},
		states: map[ids.NodeID]state{}, installed: map[ids.NodeID]message{},
	}
	if c.durable.View.Nodes == nil {
		c.durable.View.Nodes = sortPeers(cfg.Nodes)
	}
	return c
}

func sortPeers(peers []Peer) []Peer {
	peers = slices.Clone(peers)
	slices.SortFunc(peers, func(a, b Peer) int { return int(int64(a.Node) - int64(b.Node)) })
	return slices.CompactFunc(peers, func(a, b Peer) bool { return a.Node == b.Node })
}

// Start begins the first attempt. now is any clock that does not go back; Tick tells it again.
func (c *Core) Start(now time.Duration) []Effect {
	c.now, c.began = now, now
	c.newAttempt()
	return c.take()
}

// Tick tells the time. Call it several times a second.
func (c *Core) Tick(now time.Duration) []Effect {
	c.now = now
	c.proceed()
	return c.take()
}

// take hands out the effects and handles what this node sent to itself.
func (c *Core) take() []Effect {
	for len(c.inbox) > 0 {
		m := c.inbox[0].m
		c.inbox = c.inbox[1:]
		c.handle(c.cfg.Self.Node, m)
	}
	out := c.effects
	c.effects = nil
	return out
}

func (c *Core) effect(e Effect) { c.effects = append(c.effects, e) }

func (c *Core) persist() { c.effect(Effect{Kind: Persist, Durable: c.durable}) }

// Active reports whether a view is installed and open here.
func (c *Core) Active() bool { return c.phase == active && c.opened }

// View returns the last installed view; its ID is 0 if there never was one.
func (c *Core) View() View { return c.durable.View }

// Waiting returns the configured nodes that are not there while this node is in no view.
func (c *Core) Waiting() []ids.NodeID {
	var out []ids.NodeID
	if c.phase != active {
		for _, p := range c.durable.View.Nodes {
			if !c.up[p.Node] {
				out = append(out, p.Node)
			}
		}
	}
	return out
}

// Connected returns the nodes that this node has a link to, itself included.
func (c *Core) Connected() []ids.NodeID {
	var out []ids.NodeID
	// In any order: they are sorted below.
	for n, up := range c.up {
		if up {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// Incarnation returns which start of a linked node said last how it stands, 0 if none has.
func (c *Core) Incarnation(node ids.NodeID) uint32 { return c.states[node].member.Incarnation }

// Number returns the ballot that this node follows, and whether its log is complete for it: then it may serve
// those that fetch.
func (c *Core) Number() (number uint64, complete bool) {
	return c.ballot.Number(), c.phase >= ready
}

// PeerUp says that a link to peer is there.
func (c *Core) PeerUp(peer ids.NodeID) []Effect { return c.link(peer, true) }

// PeerDown says that the link to peer broke, or that peer is suspected and the link was given up.
func (c *Core) PeerDown(peer ids.NodeID) []Effect { return c.link(peer, false) }

func (c *Core) link(peer ids.NodeID, up bool) []Effect {
	if peer == c.cfg.Self.Node {
		return nil
	}
	c.up[peer] = up
	delete(c.states, peer)
	delete(c.installed, peer)
	if c.source == peer {
		c.source = 0
	}
	switch {
	case c.phase == active && c.durable.View.Rank(peer) >= 0:
		c.stop()
	case c.phase == active:
		c.tell() // a node that is not in this view learns that it goes on
	default:
		c.newAttempt()
	}
	return c.take()
}

// stop leaves the active view (V2). The owner calls Wedged next.
func (c *Core) stop() {
	if c.phase == active {
		c.phase, c.opened = seeking, false
		c.effect(Effect{Kind: Wedge})
	}
}

// Wedged says that the active view is wedged: received is what its rings hold, by group and rank. It
// does not change any more.
func (c *Core) Wedged(received [][]uint64) []Effect {
	if c.phase != seeking {
		panic(fmt.Sprintf("views: V2: wedged in phase %d", c.phase))
	}
	c.holds, c.recv = true, received
	c.newAttempt()
	return c.take()
}

// Break says that this node found the active view broken: it stops, and so will the others.
func (c *Core) Break() []Effect {
	c.stop()
	return c.take()
}

// Change asks for a view in which the configured nodes are nodes instead. Whether it comes the next view tells:
// another change, or a failure, may be first. It has no effect while this node is in no view.
func (c *Core) Change(nodes []Peer) []Effect {
	if c.phase == active {
		c.change = sortPeers(nodes)
		c.stop()
	}
	return c.take()
}

// Settle ends the view so that the next one may rely on the layout of the configured nodes: every member is whole by
// it. It has no effect while this node is in no view, or where there is nothing to settle.
func (c *Core) Settle() []Effect {
	if c.phase == active && len(c.durable.View.Layouts()) > 1 {
		c.stop()
	}
	return c.take()
}

// CaughtUp says that the log is where the source of CatchUp was a moment ago.
func (c *Core) CaughtUp() []Effect {
	if c.phase != active && c.source != 0 {
		c.caughtUp, c.current = c.now, c.goesOn
		c.tell()
	}
	return c.take()
}

// newAttempt voids what this node took part in and says how it stands.
func (c *Core) newAttempt() {
	c.attempt++
	c.phase, c.ballot, c.opened = seeking, Ballot{}, false
	c.lead.reset()
	c.tell()
	c.proceed()
}

// tell says to everyone how this node stands.
func (c *Core) tell() {
	var layouts [][]ids.NodeID
	if c.phase == active {
		layouts = c.durable.View.Layouts()
	}
	s := state{
		member: c.cfg.Self, attempt: c.attempt, installed: c.durable.View.ID, active: c.phase == active,
		survivor: c.holds, current: c.current, round: c.durable.Promised.Round, links: c.Connected(),
		layouts: layouts,
	}
	c.states[c.cfg.Self.Node] = s
	c.broadcast(message{kind: stateMsg, state: s})
}

func (c *Core) broadcast(m message) {
	for _, n := range c.Connected() {
		c.send(n, m)
	}
}

func (c *Core) send(to ids.NodeID, m message) {
	if to == c.cfg.Self.Node {
		c.inbox = append(c.inbox, delivery{m})
	} else if c.up[to] {
		c.effect(Effect{Kind: Send, To: to, Message: m.encode()})
	}
}

// Message handles a message of a peer; it fails with errs.Corrupt if it makes no sense.
func (c *Core) Message(from ids.NodeID, b []byte) ([]Effect, error) {
	m, err := decodeMessage(b)
	if err != nil {
		return nil, err
	}
	if m.kind == stateMsg && m.state.member.Node != from || m.kind == promiseMsg && m.report.member.Node != from {
		return nil, errs.New(errs.Corrupt, "view message of node %d in another's name", from)
	}
	if !c.up[from] {
		return nil, nil // of a link that was given up
	}
	c.handle(from, m)
	return c.take(), nil
}

func (c *Core) handle(from ids.NodeID, m message) {
	switch m.kind {
	case stateMsg:
		if from != c.cfg.Self.Node {
			c.onState(from, m.state)
		}
	case prepareMsg:
		c.onPrepare(from, m.ballot)
	case proposeMsg:
		c.onPropose(m.proposal)
	case decidedMsg:
		c.onDecided(m)
	case commitMsg:
		if c.phase == ready && m.ballot == c.ballot && len(m.attempts) == len(c.durable.Accepted.View.Members) {
			c.install(m.attempts, m.unsure)
		}
	case promiseMsg, acceptedMsg, readyMsg:
		c.onAnswer(from, m)
	case installedMsg:
		c.installed[from] = m
		c.open()
	}
}

// onState follows how a peer stands.
func (c *Core) onState(from ids.NodeID, s state) {
	c.states[from] = s
	if c.phase != active {
		c.proceed()
		return
	}
	if rank := c.durable.View.Rank(from); rank >= 0 && c.left(rank, &s) {
		c.stop()
		return
	}
	c.admit()
}

// left reports whether the member at rank has left the installed view, or never installed it.
func (c *Core) left(rank ids.Rank, s *state) bool {
	return s.member != c.durable.View.Members[rank] || !s.active && s.attempt > c.spent[rank]
}

// admit ends the view for the sake of a node that may enter, if this node leads it. It is called whenever what that
// rests on may have changed.
func (c *Core) admit() {
	view := &c.durable.View
	if view.Members[0].Node != c.cfg.Self.Node {
		return
	}
	for _, p := range view.Nodes {
		if view.Rank(p.Node) < 0 && c.MayEnter(p.Node) {
			c.stop()
			return
		}
	}
}

// MayEnter reports whether a node that is not in the open view has caught up with it, and has links to all of its
// members: a change of views now would take it in.
func (c *Core) MayEnter(node ids.NodeID) bool {
	view := &c.durable.View
	s, known := c.states[node]
	if !c.Active() || !known || s.active || s.current != view.ID {
		return false
	}
	return !slices.ContainsFunc(view.Members, func(m Member) bool {
		peer, ok := c.states[m.Node]
		return !ok || !peer.linked(node) || !s.linked(m.Node)
	})
}
