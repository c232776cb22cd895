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
	forViews      = 1
	forFetch      = 2
	forReply      = 3
	forPing       = 4 // a sign of life, nothing else
	forGoodbye    = 5 // the sender stops
	forCopy       = 6 // of a record that is damaged at the sender
	forCopied     = 7
	forFill       = 8 // data that is lacking at the sender
	forFilled     = 9
	forReadWanted = 10 // data that is not kept by the sender
	forRead       = 11
	firstByte     = 1 // its length
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
		n.endChanges() // somebody may have caught up
	case forFetch:
		err = n.onFetch(from, body)
	case forReply:
		err = n.onReply(from, body)
	case forPing:
	case forCopy:
		err = n.onCopyWanted(from, body)
	case forCopied:
		err = n.onCopy(body)
	case forFill:
		err = n.onFillWanted(from, body)
	case forFilled:
		err = n.onFilled(from, body)
	case forReadWanted:
		err = n.onReadWanted(from, body)
	case forRead:
		err = n.onRead(from, body)
	case forGoodbye:
		n.onGoodbye(from)
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
			if (e.Trim == nil || n.deliverTrim(e.Trim)) && n.syncNow() {
				effects = append(effects, n.core.Finished(e.Number)...)
				n.serveFetches()
			}
		case views.Fetch:
			n.startFetch([]ids.NodeID{e.To}, e.Number, false, e.Layouts)
		case views.CatchUp:
			n.startFetch(append([]ids.NodeID{e.To}, e.Others...), 0, true, e.Layouts)
		case views.Activate:
			n.activate(e.View, e.Unsure)
		case views.Open:
			n.opening = true
		}
	}
}

// ends is what a report says of the log: the last version of each order, and a moment before which
// the next view must not stamp anything.
func (n *Node) ends() views.Ends {
	ends := views.Ends{End: make([]ids.Version, len(n.orders)), Floor: n.clock.Last(), Now: n.cfg.Physical(), Whole: n.whole}
	for g, o := range n.orders {
		ends.End[g] = o.last
		if v := n.view; v != nil {
			// Others may have answered about moments up to what was promised here.
			ends.Floor = max(ends.Floor, hlc.Timestamp(v.table.Get(v.table.Layout().Frontier(o.id))))
		}
	}
	ends.Open = n.view != nil && n.view.seenOpen()
	n.mu.Lock()
	defer n.mu.Unlock()
	ends.Floor = max(ends.Floor, n.floor)
	return ends
}

// wedge stops the view: nothing is published, received or acknowledged any more (M4).
func (n *Node) wedge() [][]uint64 {
	v := n.view
	v.open, n.opening = false, false
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
	n.requestSync() // beside, while the end of the view is agreed on
	n.log.Info("wedged", "view", v.ID)
	return received
}

// deliverTrim delivers the end of the wedged view. Asked again, it does nothing: the trim is the same (V3).
func (n *Node) deliverTrim(t *views.Trim) bool {
	v := n.view
	if v.trim {
		return true
	}
	n.lease.Store(0) // what is applied now must not be seen before the next view is open
	if t.View != v.ID || len(t.Upto) != len(n.orders) {
		n.fail(errs.New(errs.Corrupt, "view %d is to end with a trim of view %d with %d groups", v.ID, t.View, len(t.Upto)))
		return false
	}
	for g, o := range n.orders {
		ds, err := o.mc.Trim(t.Upto[g])
		if err != nil {
			n.fail(errs.Wrap(errs.Corrupt, err, "ending view %d", v.ID))
			return false
		}
		if ds, err = n.notFetched(o, append(o.stalled, ds...)); err != nil {
			n.fail(err)
			return false
		}
		o.stalled = nil
		n.deliver(o, ds)
		if len(o.stalled) > 0 {
			n.fail(errs.New(errs.NoSpace, "the log is full at the end of view %d", v.ID))
		}
		if n.Err() != nil {
			return false
		}
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
func (n *Node) activate(view views.View, unsure bool) {
	if old := n.view; old != nil {
		n.keepUnsent()
		n.dropRegions(old)
	}
	n.fetching = nil
	n.askAnew()
	size := len(view.Members)
	layout := sst.Layout{Members: size, Groups: len(n.orders)}
	mem := fabric.Alloc(layout.Words() * 8)
	v := &activeView{View: view, rank: view.Rank(n.cfg.Self.Node), unsure: unsure}
	v.table = sst.New(layout, v.rank, fabric.Words(mem))
	v.snap, v.heard = sst.NewSnapshot(layout), make([]uint64, size)
	v.homes = newHomes(view.Layouts(), n.cfg.Shards, n.cfg.Replicas)
	n.homes, n.aims = v.homes, v.homes
	n.lease.Store(int64(v.leasedUntil(n.cfg.LeaseFor)))
	n.announceAll()
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
		o.stalled = nil // it was fetched, or is sent again
		pos := uint64(ids.MakeVersion(view.ID, 0))
		o.acked.Store(pos)
		o.reached.Store(pos)
		for r := range o.rings {
			if ids.Rank(r) != v.rank {
				n.fab.Register(ringRegion(view.ID, o.id, ids.Rank(r)), o.rings[r])
			}
		}
		o.release = n.fab.Source(o.rings[v.rank])
	}
	n.fab.Register(tableRegion(view.ID), mem)
	n.view = v
	n.log.Info("view installed", "view", view.ID, "members", view.Members)
	n.configured.Store(&view.Nodes)
	n.fillInView(v)
	n.cfg.OnView(view)
}

// askAnew has the reads of the present that wait for something of the last view wait for the next one: what they would show
// now must not be seen before that is open.
func (n *Node) askAnew() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.waiters {
		if w.kind == waitReached {
			w.kind = waitLease
		}
	}
}

// keepUnsent keeps the own operations of the view that ends that were not delivered here, or for which the log had no
// room. Those that were delivered elsewhere are found in what is fetched; the others have lost them with their memory.
func (n *Node) keepUnsent() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.orders {
		for _, d := range o.stalled {
			if d.Sender == n.view.rank {
				o.unsent = append(o.unsent, append(record.Record(nil), d.Record...))
			}
		}
		for _, r := range o.mc.Unsent() {
			o.unsent = append(o.unsent, append(record.Record(nil), r...))
		}
	}
}

func (n *Node) dropRegions(v *activeView) {
	n.fab.Deregister(tableRegion(v.ID))
	for _, o := range n.orders {
		for r := range v.Members {
			if ids.Rank(r) != v.rank {
				n.fab.Deregister(ringRegion(v.ID, o.id, ids.Rank(r)))
			}
		}
		o.release()
	}
}

// open lets operations flow: first those that no view delivered, in their order.
func (n *Node) open() {
	n.opening = false
	n.mu.Lock()
	defer n.mu.Unlock()
	own := n.origins[n.cfg.Self.Node]
	for _, o := range n.orders {
		o.setDurable(o.last) // every member synced its log before it installed the view
		o.outbox = o.mc.Outbox()
		for _, r := range o.unsent {
			h := r.Header()
			if own.incarnation == h.Incarnation && h.Counter <= own.counter {
				continue
			}
			slot, ok := o.outbox.Reserve(int(h.OpLen), int(h.DataLen))
			if !ok {
				panic("shards: G4: what was in the last view's ring does not fit the next one's")
			}
			copy(slot.Buf, r)
			o.outbox.Commit(slot)
		}
		o.unsent = nil
	}
	n.view.open, n.hopeless = true, false
	for _, h := range n.held {
		h.call.finish(h.result, nil)
	}
	n.held = nil
	n.beat = 0 // the others wait for a sign of life before they read
	n.openRoomLocked()
	n.notify()
	n.log.Info("view open", "view", n.view.ID)
}
