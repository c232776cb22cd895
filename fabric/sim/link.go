package sim

import (
	"dfs/fabric"
	"dfs/ids"
)

// conn is one connection of a link. Its ends are told Up and Down through their inboxes.
type conn struct {
	number uint64
	broken bool // what is sent on it now is lost
}

// link joins two nodes, running or not.
type link struct {
	pair
	ends       [2]*end // of a and of b
	conn       *conn   // the connection that is not broken, or nil
	attempting bool    // an attempt to connect is scheduled
	cut        bool
	cuts       uint64 // counts Cut, so that the end of an earlier one's patience is no matter
}

// end is one node's end of a link: what it sends, and what is on the way to it.
type end struct {
	link    *link
	id      ids.NodeID
	peer    ids.NodeID
	other   *end
	owner   *Endpoint    // nil if the node does not run
	conn    *conn        // the connection as the owner was told; nil after Down
	fence   fabric.Fence // of the owner's writes (F5)
	out     *packet      // queued, not flushed; may be nil
	waiting bool         // is in the owner's list of ends to flush

	in      fifo[item]
	armed   bool // an event for the head of in is scheduled
	clogged bool // data from the peer waits
	heard   uint64
}

// item is something that reaches a node: the news of a connection, or data.
type item struct {
	at   Nanos
	conn *conn
	up   bool    // with no packet: Up, or else Down
	data *packet // nil: news
	err  error   // of Down
}

func newLink(x, y ids.NodeID) *link {
	l := &link{pair: pair{min(x, y), max(x, y)}}
	l.ends[0] = &end{link: l, id: l.a, peer: l.b}
	l.ends[1] = &end{link: l, id: l.b, peer: l.a}
	l.ends[0].other, l.ends[1].other = l.ends[1], l.ends[0]
	return l
}

func (l *link) end(id ids.NodeID) *end {
	if id == l.a {
		return l.ends[0]
	}
	return l.ends[1]
}

// open reports whether a handshake would get through.
func (n *Network) open(l *link) bool {
	for _, e := range l.ends {
		if e.owner == nil || e.clogged || n.paused[e.id] {
			return false
		}
	}
	return !l.cut
}

// maybeConnect schedules an attempt to connect, if one could succeed.
func (n *Network) maybeConnect(l *link) {
	if l.conn != nil || l.attempting || !n.open(l) {
		return
	}
	l.attempting = true
	at := n.now
	if !n.cfg.Zero {
		at += n.between(n.cfg.MinRetry, n.cfg.MaxRetry)
	}
	n.schedule(event{at: at, link: l})
}

// connect makes the connection that was attempted, if nothing prevents it. If something does, the end of that
// makes another attempt.
func (n *Network) connect(l *link) {
	l.attempting = false
	if l.conn != nil || !n.open(l) {
		return
	}
	n.conns++
	l.conn = &conn{number: n.conns}
	n.mix(2<<32 | n.conns)
	for _, e := range l.ends {
		n.send(e, item{conn: l.conn, up: true})
	}
}

// disconnect breaks a link's connection. If keep is set, a random part of what is in flight still arrives.
func (n *Network) disconnect(l *link, keep bool, err error) {
	c := l.conn
	if c == nil {
		return
	}
	c.broken, l.conn = true, nil
	for _, e := range l.ends {
		if e.owner == nil {
			continue
		}
		kept := 0
		if keep {
			kept = n.rng.IntN(e.inFlight(c) + 1)
		}
		e.lose(c, kept)
		n.send(e, item{conn: c, err: err})
	}
	n.maybeConnect(l)
}

// inFlight counts the packets of a connection on their way to e.
func (e *end) inFlight(c *conn) (k int) {
	for _, it := range e.in.all() {
		if it.conn == c && it.data != nil {
			k++
		}
	}
	return k
}

// lose drops what a connection has in flight to e but for its first packets. Those no longer look at the
// sender's memory, which the sender may change once it is told.
func (e *end) lose(c *conn, keep int) {
	all, k := e.in.all(), 0
	for _, it := range all {
		if it.conn == c && it.data != nil {
			if keep--; keep < 0 {
				continue
			}
			it.data.detach()
		}
		all[k] = it
		k++
	}
	e.in.truncate(k)
}

// send puts an item on its way to e, after all that is on its way already (F1): one that is faster waits behind
// the slower ones.
func (n *Network) send(e *end, it item) {
	it.at = n.now + n.delay()
	e.in.push(it)
	n.arm(e)
}

// held reports whether the head of the inbox must wait for the end of a fault.
func (n *Network) held(e *end) bool {
	it := e.in.first()
	return n.paused[e.id] || it.data != nil && !it.conn.broken && (e.clogged || e.link.cut)
}

// arm schedules the delivery of the head of an inbox. Only one event an inbox is scheduled at a time.
func (n *Network) arm(e *end) {
	if e.armed || e.in.len() == 0 || n.held(e) {
		return
	}
	e.armed = true
	n.schedule(event{at: max(n.now, e.in.first().at), in: e})
}

// deliver hands the head of an inbox to its node.
func (n *Network) deliver(e *end) {
	e.armed = false
	defer n.arm(e)
	// A fault may have begun, or the inbox been emptied, since this was scheduled.
	if e.in.len() == 0 || e.in.first().at > n.now || n.held(e) {
		return
	}
	it, ep := e.in.pop(), e.owner
	n.mix(3<<48 | uint64(e.peer)<<24 | uint64(e.id))
	n.mix(it.conn.number)
	switch {
	case it.data != nil && (e.clogged || e.link.cut):
		e.lose(it.conn, 0) // broken, or it would be held: nothing of it comes through any more (Y4)
	case it.data != nil:
		ep.take(e.peer, it.data)
		n.recycle(it.data)
	case it.up:
		e.conn = it.conn
		e.fence.Connected()
		if ep.events.Up != nil {
			ep.events.Up(e.peer)
		}
	default:
		e.conn, e.out = nil, nil // what was queued must not go over the next connection (F5)
		e.fence.Disconnected()
		if ep.events.Down != nil {
			ep.events.Down(e.peer, it.err)
		}
	}
}
