package shards

import (
	"maps"
	"math"
	"slices"
	"time"

	"dfs/errs"
	"dfs/ids"
	"dfs/views"
)

// peers is what this node knows of the life of others.
type peers struct {
	ticked  time.Duration                  // when time was last taken note of
	started time.Duration                  // when this node began
	silence map[ids.NodeID]time.Duration   // how long a linked peer has given no sign of life
	heard   map[ids.NodeID]uint64          // bytes that had come from it, of what is on its way (fabric.Heard)
	granted map[views.Member]time.Duration // when a member may last have been told that its heartbeat was heard here
	parted  map[views.Member]bool          // who has said goodbye: what is seen of it afterwards is from before
}

func newPeers(now time.Duration) peers {
	return peers{
		ticked: now, started: now, silence: map[ids.NodeID]time.Duration{}, heard: map[ids.NodeID]uint64{}, granted: map[views.Member]time.Duration{},
		parted: map[views.Member]bool{},
	}
}

// tick does what is due with time. What was missed while this node was held up does not count against the others.
func (n *Node) tick() {
	now := n.cfg.Monotonic()
	passed := now - n.peers.ticked
	if passed < n.cfg.Heartbeat/2 {
		return
	}
	n.peers.ticked = now
	passed = min(passed, n.cfg.Heartbeat)
	n.ping()
	for _, p := range n.core.Connected() {
		if p == n.cfg.Self.Node {
			continue
		}
		// Its heartbeat may be behind a ring of data on a slow network.
		if heard := n.fab.Heard(p); heard != n.peers.heard[p] {
			n.peers.heard[p] = heard
			n.heardOf(p)
			continue
		}
		if n.peers.silence[p] += passed; n.peers.silence[p] >= n.cfg.SuspectAfter {
			n.log.Warn("no sign of life: the link is given up", "peer", p, "after", n.peers.silence[p])
			n.heardOf(p)
			n.fab.Sever(p, errs.New(errs.Unavailable, "no sign of life of node %d for %v", p, n.cfg.SuspectAfter))
		}
	}
	maps.DeleteFunc(n.peers.granted, func(_ views.Member, heard time.Duration) bool { return now > heard+n.cfg.LeaseFor })
	n.carryOut(n.core.Tick(now))
	n.despair(now)
	n.serveFetches()
	n.tickReads()
	n.tickRepairs()
	n.tickFill()
	n.tickFetch()
	n.settleLayout()
	n.endChanges()
}

// ping is the sign of life for those who do not see the heartbeat in the row.
func (n *Node) ping() {
	for _, p := range n.core.Connected() {
		if p != n.cfg.Self.Node && !n.sharesView(p) {
			n.fab.Send(p, []byte{forPing})
		}
	}
}

// despair has calls fail when there was no open view for longer than the owner wants to wait.
func (n *Node) despair(now time.Duration) {
	if n.view == nil || n.view.open {
		n.lastOpen = now
	}
	if n.cfg.Soft == 0 || now-n.lastOpen < n.cfg.Soft {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hopeless {
		return
	}
	n.hopeless = true
	n.log.Warn("calls fail: there is no majority of the nodes", "for", now-n.lastOpen)
	err := n.usableLocked()
	for _, o := range n.orders {
		for call := range o.calls.all() {
			call.finish(Result{}, err)
		}
	}
	for _, h := range n.held {
		h.call.finish(Result{}, err)
	}
	n.held = nil
	for _, w := range n.waiters {
		w.finish(err)
	}
	n.waiters = nil
	n.openRoomLocked()
}

// openWhenDue opens a view that all members have installed once nobody outside can take itself to be in the last one.
func (n *Node) openWhenDue() {
	if !n.opening {
		return
	}
	if wait := n.openAfter(n.view) - n.cfg.Monotonic(); wait <= 0 {
		n.open()
	} else if n.opener != nil {
		n.opener.Reset(wait)
	}
}

// settleLayout tells the others when the data that was to move here is here. When all have theirs, the first member has
// the next view rely on that.
func (n *Node) settleLayout() {
	v := n.view
	if v == nil || !v.open || len(v.Layouts()) == 1 {
		return
	}
	whole := v.table.Layout().Whole()
	if n.whole && v.table.Get(whole) == 0 {
		v.table.Set(whole, 1)
	}
	if v.rank != 0 || !n.whole || len(v.Members) < len(v.Nodes) {
		return
	}
	for r := range v.Members {
		if ids.Rank(r) != v.rank && v.snap.Get(ids.Rank(r), whole) == 0 {
			return
		}
	}
	n.log.Info("all data is where it should be", "nodes", v.NodeIDs())
	n.carryOut(n.core.Settle())
}

// sharesView reports whether rows are exchanged with p.
func (n *Node) sharesView(p ids.NodeID) bool {
	return n.view != nil && n.view.open && n.view.Rank(p) >= 0
}

func (n *Node) heardOf(p ids.NodeID) { n.peers.silence[p] = 0 }

// hear follows the heartbeats of the members, answers them, and reckons up to when the present may be read here.
func (n *Node) hear(v *activeView) {
	l := v.table.Layout()
	now := n.cfg.Monotonic()
	low := v.table.Get(l.Low())%2 == 1
	for r, m := range v.Members {
		r := ids.Rank(r)
		if r == v.rank {
			continue
		}
		if beat := v.snap.Get(r, l.Heartbeat()); beat != v.heard[r] && !n.peers.parted[m] {
			v.heard[r] = beat
			n.heardOf(m.Node)
			n.peers.granted[m] = now
			v.table.Set(l.Echo(r), beat)
		}
		low = low || v.snap.Get(r, l.Low())%2 == 1
	}
	n.low.Store(low)
	n.lease.Store(int64(v.leasedUntil(n.cfg.LeaseFor)))
}

// leasedUntil returns until when no view can begin without this member: so many have answered a heartbeat of it that
// of any majority of the configured nodes one has, and that one lets LeaseFor pass before it opens such a view.
func (v *activeView) leasedUntil(leaseFor time.Duration) time.Duration {
	need := len(v.Nodes) - v.Majority()
	if need == 0 {
		return math.MaxInt64
	}
	l := v.table.Layout()
	own := v.table.Get(l.Heartbeat())
	var until []time.Duration
	for r := range v.Members {
		echo := v.snap.Get(ids.Rank(r), l.Echo(v.rank))
		if ids.Rank(r) != v.rank && echo > 0 && own-echo < uint64(len(v.sent)) {
			until = append(until, v.sent[echo%uint64(len(v.sent))]+leaseFor)
		}
	}
	if len(until) < need {
		return 0
	}
	slices.Sort(until)
	return until[len(until)-need]
}

// seenOpen reports whether all other members were heard in the view: it was open at each of them.
func (v *activeView) seenOpen() bool {
	for r := range v.Members {
		if ids.Rank(r) != v.rank && v.heard[r] == 0 {
			return false
		}
	}
	return true
}

// leased reports whether what is applied here is the present.
func (n *Node) leased() bool { return int64(n.cfg.Monotonic()) < n.lease.Load() }

// openAfter returns when a view may open: when nobody who is left out of it can still take itself to be in the last
// one, unless it has said goodbye or started again. A node that was started lately does not remember whom it answered.
func (n *Node) openAfter(v *activeView) time.Duration {
	var at time.Duration
	for m, heard := range n.peers.granted {
		if v.Rank(m.Node) < 0 && n.core.Incarnation(m.Node) <= m.Incarnation {
			at = max(at, heard+n.cfg.LeaseFor)
		}
	}
	if v.unsure {
		at = max(at, n.peers.started+n.cfg.LeaseFor)
	}
	return at
}

// goodbye gives up the lease and tells the others that they need not wait for its end.
func (n *Node) goodbye() {
	n.lease.Store(0)
	n.announceAll()
	for _, p := range n.core.Connected() {
		n.fab.Send(p, []byte{forGoodbye})
	}
	n.fab.Flush()
}

// onGoodbye takes note that a peer stops. Its link will break at once.
func (n *Node) onGoodbye(p ids.NodeID) {
	if n.view != nil {
		if r := n.view.Rank(p); r >= 0 {
			n.peers.parted[n.view.Members[r]] = true
		}
	}
	maps.DeleteFunc(n.peers.granted, func(m views.Member, _ time.Duration) bool { return m.Node == p })
}

// setLow tells the others whether the disk here has room for new data.
func (n *Node) setLow(v *activeView) {
	if full := n.cfg.Full(0); full != n.full {
		n.full = full
		n.log.Warn("room for new data", "left", !full)
	}
	low := v.table.Layout().Low()
	if word := v.table.Get(low); (word%2 == 1) != n.full {
		v.table.Set(low, word+1)
	}
}
