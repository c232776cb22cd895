package shards

import (
	"errors"
	"time"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/multicast"
	"dfs/sst"
	"dfs/versionlog"
)

// hotFor is how long after a request to persist every delivery is synced at once, and how long after a call of
// Sync here the others are asked to persist what is sent, together with it: whoever calls fsync calls it
// again.
const hotFor = hlc.Timestamp(20 * time.Millisecond)

// Step does everything that can be done now: handles what happened outside, reads the table once,
// receives, acknowledges and publishes, pushes, and then logs and applies what is deliverable. It
// reports whether it should be called again at once.
//
// The acknowledgement goes out before the delivery is worked on: the others need it to deliver, and
// what is acknowledged but not applied makes Now wait (G2).
func (n *Node) Step() (again bool) {
	if n.Err() != nil {
		return false
	}
	n.takeEvents()
	if n.Err() == nil {
		n.tick()
		n.openWhenDue()
	}
	if v := n.view; v != nil && v.open && n.Err() == nil {
		again = n.stepView(v)
	}
	if n.Err() != nil {
		return false // nobody is told anything any more
	}
	n.serveWaiters()
	if v := n.view; v != nil && v.open {
		n.push(v)
		n.syncHot()
	}
	n.fab.Flush()
	return again
}

func (n *Node) takeEvents() {
	n.mu.Lock()
	n.events, n.inbox = n.inbox, n.events[:0]
	n.mu.Unlock()
	for i, e := range n.events {
		if n.Err() != nil && e.kind != statusAsked {
			continue
		}
		switch e.kind {
		case peerUp:
			n.log.Info("link is up", "peer", e.peer)
			n.heardOf(e.peer)
			n.carryOut(n.core.PeerUp(e.peer))
		case peerDown:
			n.log.Warn("link broke", "peer", e.peer, "err", e.err)
			n.forgetFetches(e.peer)
			delete(n.peers.silence, e.peer)
			n.carryOut(n.core.PeerDown(e.peer))
			n.lostSource(e.peer)
			n.lostFetchSource(e.peer)
		case peerMessage:
			n.heardOf(e.peer)
			n.onMessage(e.peer, e.msg)
		case logSynced:
			n.onSynced(e.lsn, e.err)
			n.endFetch()
		case statusAsked:
			e.status <- n.status()
		case repairAsked:
			n.startRepair(e.repair)
		case readAsked:
			n.startRead(e.unit)
		case lackFound:
			n.onLackFound(e.fill, e.found)
		case answerMade:
			if e.place != nil {
				n.served[e.peer] = *e.place
			}
			n.fab.Send(e.peer, e.msg)
		case changeAsked:
			n.changes = append(n.changes, e.change)
			n.endChanges()
		}
		n.events[i] = event{}
	}
}

func (n *Node) stepView(v *activeView) (again bool) {
	now := n.cfg.Physical()
	n.mu.Lock()
	room := false
	for _, o := range n.orders {
		room = o.mc.Collect() || room
		if now < n.asking {
			o.mc.WillWantPersisted(n.seqHere(o) + multicast.Seq(o.calls.len()))
		}
	}
	if room {
		n.openRoomLocked()
	}
	n.mu.Unlock()
	if err := v.table.Snapshot(v.snap); err != nil {
		n.broken(err)
		return true
	}
	if v.snap.Changed() {
		n.hear(v)
	}
	if now < n.beat || now-n.beat >= hlc.Timestamp(n.cfg.Heartbeat) {
		n.heartbeat(v, now)
	}
	for _, o := range n.orders {
		eff, err := o.mc.Step(v.snap, now)
		if err != nil {
			n.broken(err)
			return true
		}
		o.acked.Store(uint64(ids.MakeVersion(v.ID, o.received(len(v.Members)))))
		n.announce(o)
		n.write(v, o, eff.Writes)
		n.push(v)
		n.deliver(o, eff.Deliveries)
		again = again || eff.More && len(o.stalled) == 0 // a full log is tried again by the heartbeat
		n.advance(v, o)
	}
	return again
}

// received returns the position beyond everything received.
func (o *order) received(members int) uint64 {
	o.vector = o.mc.ReceivedVector(o.vector[:0])
	pos := uint64(0)
	for r, slots := range o.vector {
		if slots > 0 {
			pos = max(pos, (slots-1)*uint64(members)+uint64(r)+1)
		}
	}
	return pos
}

// advance publishes how far this order is.
func (n *Node) advance(v *activeView, o *order) {
	o.reached.Store(uint64(ids.MakeVersion(v.ID, v.table.Get(v.table.Layout().Delivered(o.id)))))
	o.frontier.Store(max(o.frontier.Load(), int64(o.mc.TimeFrontier())))
	if seq := o.mc.PersistedByAll(); seq > 0 {
		o.setDurable(ids.MakeVersion(v.ID, uint64(seq)))
	}
}

// heartbeat promises the present and pushes everything that nobody waited for.
func (n *Node) heartbeat(v *activeView, now hlc.Timestamp) {
	n.beat = now
	for _, o := range n.orders {
		o.mc.PromiseFrontier(now)
	}
	n.setLow(v)
	beat := v.table.Layout().Heartbeat()
	number := v.table.Get(beat) + 1
	v.sent[number%uint64(len(v.sent))] = n.cfg.Monotonic() // before anyone can answer it
	v.table.Set(beat, number)
}

// push sends the own row to every other member that it has news for.
func (n *Node) push(v *activeView) {
	if !v.table.Dirty() {
		return
	}
	for r, m := range v.Members {
		if ids.Rank(r) != v.rank && v.table.DirtyFor(ids.Rank(r)) {
			n.fab.WriteWords(m.Node, tableRegion(v.ID), v.table.RowOffset(), v.table.Row())
		}
	}
	v.table.Pushed()
	n.fab.Flush()
}

// broken gives up the view because a member wrote what makes no sense.
func (n *Node) broken(err error) {
	var row *sst.RowError
	var mem *multicast.MemberError
	switch {
	case errors.As(err, &row):
		n.log.Error("a member's row is corrupt", "peer", n.view.Members[row.Rank].Node, "err", err)
	case errors.As(err, &mem):
		n.log.Error("a member's message is corrupt", "peer", n.view.Members[mem.Rank].Node, "err", err)
	}
	n.carryOut(n.core.Break())
}

// syncHot asks for a sync if something is logged and someone waits for it, or nobody has for a while.
func (n *Node) syncHot() {
	now := n.cfg.Physical()
	for _, o := range n.orders {
		if o.mc.SyncNow() {
			n.hot = now + hotFor
		}
		if o.unsynced.len() > 0 && (now < n.hot || now-o.timeOfOldest >= hlc.Timestamp(n.cfg.SyncAfter)) {
			n.requestSync()
		}
	}
}

// startWaiting notes that the oldest record which is not durable waits for a sync from now on.
func (n *Node) startWaiting(o *order) {
	o.timeOfOldest = n.cfg.Physical()
	if n.alarm != nil {
		n.alarm.Reset(n.cfg.SyncAfter)
	}
}

// requestSync asks for a sync if none is under way. When one ends, the step that hears of it asks for the next.
func (n *Node) requestSync() {
	if !n.syncing {
		n.syncing = true
		n.cfg.Sync()
	}
}

// onSynced notes what became durable. A failed sync ends this replica: the kernel may have dropped the
// pages, so trying again proves nothing.
func (n *Node) onSynced(lsn versionlog.LSN, err error) {
	n.syncing = false
	n.durable = max(n.durable, lsn)
	if err != nil {
		n.fail(errs.Wrap(errs.KindOf(err), err, "syncing the log"))
		return
	}
	for _, o := range n.orders {
		var ver ids.Version
		for o.unsynced.len() > 0 && o.unsynced.front().end <= lsn {
			ver = o.unsynced.pop().ver
		}
		if o.unsynced.len() > 0 {
			n.startWaiting(o)
		}
		if ver != 0 && n.view != nil && n.view.open && ver.View() == n.view.ID {
			o.mc.SetPersisted(multicast.Seq(ver.Seq()))
		}
	}
	if n.wantWhole {
		n.wantWhole = false
		n.filledView()
	}
}
