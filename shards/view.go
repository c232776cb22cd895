package shards

import (
	"dfs/errs"
	"dfs/fabric"
	"dfs/hlc"
	"dfs/ids"
	"dfs/multicast"
	"dfs/record"
	"dfs/sst"
	"dfs/views"
)

// Regions are named by what they hold and their view, so bytes of another view find none.
func tableRegion(v ids.ViewID) fabric.RegionID { return fabric.RegionID(uint64(v)<<32 | 1<<31) }

func ringRegion(v ids.ViewID, g ids.Group, owner ids.Rank) fabric.RegionID {
	return fabric.RegionID(uint64(v)<<32 | uint64(g)<<12 | uint64(owner))
}

// The first byte of a control message says whose it is.
const (
	forViews  = 1
	forFetch  = 2
	forReply  = 3
	firstByte = 1 // its length
)

func (n *Node) onMessage(from ids.NodeID, msg []byte) {
	if len(msg) < firstByte {
		n.log.Error("empty control message", "peer", from)
		return
	}
	body := msg[firstByte:]
	var err error
	switch msg[0] {
	case forViews:
		var effects []views.Effect
		effects, err = n.core.Message(from, body)
		n.carryOut(effects)
	case forFetch:
		err = n.onFetch(from, body)
	case forReply:
		err = n.onReply(from, body)
	default:
		err = errs.New(errs.Corrupt, "control message of unknown kind %d", msg[0])
	}
	if err != nil {
		n.log.Error("control message refused", "peer", from, "err", err)
	}
}

// carryOut does what the membership asks, in order; what that leads to is appended.
func (n *Node) carryOut(effects []views.Effect) {
	for i := 0; i < len(effects) && n.Err() == nil; i++ {
		e := &effects[i]
		switch e.Kind {
		case views.Send:
			n.fab.Send(e.To, append([]byte{forViews}, e.Message...))
		case views.Wedge:
			effects = append(effects, n.core.Wedged(n.wedge())...)
		case views.Persist:
			if err := n.cfg.SaveState(e.Durable); err != nil {
				n.fail(errs.Wrap(errs.KindOf(err), err, "persisting the view"))
				return
			}
		case views.DeliverTrim:
			if n.deliverTrim(e.Trim) && n.syncNow() {
				effects = append(effects, n.core.Finished(e.Number)...)
				n.serveFetches()
			}
		case views.Fetch:
			n.startFetch(e.To, e.Number)
		case views.Activate:
			n.activate(e.View)
		case views.Open:
			n.open()
		}
	}
}

// ends is what a report says of the log: the last version of each order, and a moment before which
// the next view must not stamp anything.
func (n *Node) ends() ([]ids.Version, hlc.Timestamp) {
	ends := make([]ids.Version, len(n.orders))
	for g, o := range n.orders {
		ends[g] = o.last
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return ends, max(n.clock.Last(), n.floor)
}

// wedge stops the view: nothing is published, received or acknowledged any more (M4).
func (n *Node) wedge() [][]uint64 {
	v := n.view
	v.open = false
	n.mu.Lock()
	for _, o := range n.orders {
		o.outbox = nil
	}
	for n.building > 0 {
		n.built.Wait()
	}
	received := make([][]uint64, len(n.orders))
	for g, o := range n.orders {
		o.mc.Wedge()
		received[g] = o.mc.ReceivedVector(nil)
	}
	n.mu.Unlock()
	v.table.Set(v.table.Layout().Wedged(), 1)
	n.push(v)
	n.log.Info("wedged", "view", v.ID)
	return received
}

// deliverTrim delivers the end of the wedged view and keeps what this node sent in vain. Asked again, it
// does nothing: the trim is the same (V3).
func (n *Node) deliverTrim(t *views.Trim) bool {
	v := n.view
	if v.trim {
		return true
	}
	for g, o := range n.orders {
		ds, err := o.mc.Trim(t.Upto[g])
		if err != nil {
			n.fail(errs.Wrap(errs.Corrupt, err, "ending view %d", v.ID))
			return false
		}
		o.stalledAt = 0 // now or never
		n.deliver(o, ds)
		if len(o.stalled) > 0 {
			n.fail(errs.New(errs.NoSpace, "the log is full at the end of view %d", v.ID))
		}
		if n.Err() != nil {
			return false
		}
		n.mu.Lock()
		for _, r := range o.mc.Unsent() {
			o.unsent = append(o.unsent, append(record.Record(nil), r...))
		}
		n.mu.Unlock()
	}
	v.trim = true
	return true
}

// syncNow makes the log durable before it returns. It is for the rare moments between views.
func (n *Node) syncNow() bool {
	lsn, err := n.cfg.Log.Sync()
	n.onSynced(lsn, err)
	return err == nil
}

// activate makes the rings and the table of a view and lets peers write into them.
func (n *Node) activate(view views.View) {
	if old := n.view; old != nil {
		n.dropRegions(old)
	}
	size := len(view.Members)
	layout := sst.Layout{Members: size, Groups: len(n.orders)}
	mem := fabric.Alloc(layout.Words() * 8)
	v := &activeView{View: view, rank: view.Rank(n.cfg.Self.Node)}
	v.table = sst.New(layout, v.rank, fabric.Words(mem))
	v.snap = sst.NewSnapshot(layout)
	after := view.Floor
	for _, o := range n.orders {
		after = max(after, o.timeNow())
	}
	n.clock.Observe(after)
	for _, o := range n.orders {
		o.rings = make([][]byte, size)
		for r := range o.rings {
			o.rings[r] = fabric.Alloc(n.cfg.RingBytes)
		}
		mc, err := multicast.New(multicast.Config{
			Table: v.table, Group: o.id, View: view.ID, Rings: o.rings, Clock: &n.clock, After: after,
		})
		if err != nil {
			n.fail(errs.Wrap(errs.Invalid, err, "making group %d", o.id))
			return
		}
		o.mc = mc
		o.durable.Store(uint64(o.last)) // every member synced its log before the view was committed
		pos := uint64(ids.MakeVersion(view.ID, 0))
		o.acked.Store(pos)
		o.reached.Store(pos)
		for r := range o.rings {
			if ids.Rank(r) != v.rank {
				n.fab.Register(ringRegion(view.ID, o.id, ids.Rank(r)), o.rings[r])
			}
		}
	}
	n.fab.Register(tableRegion(view.ID), mem)
	n.view = v
	n.log.Info("view installed", "view", view.ID, "members", view.Members)
}

func (n *Node) dropRegions(v *activeView) {
	n.fab.Deregister(tableRegion(v.ID))
	for _, o := range n.orders {
		for r := range v.Members {
			if ids.Rank(r) != v.rank {
				n.fab.Deregister(ringRegion(v.ID, o.id, ids.Rank(r)))
			}
		}
	}
}

// open lets operations flow: first those that the last view did not deliver, in their order.
func (n *Node) open() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.orders {
		o.outbox = o.mc.Outbox()
		for _, r := range o.unsent {
			h := r.Header()
			slot, ok := o.outbox.Reserve(int(h.OpLen), int(h.DataLen))
			if !ok {
				panic("shards: G4: what was in the last view's ring does not fit the next one's")
			}
			copy(slot.Buf, r)
			o.outbox.Commit(slot)
		}
		o.unsent = nil
	}
	n.view.open = true
	n.openRoomLocked()
	n.notify()
	n.log.Info("view open", "view", n.view.ID)
}
