package shards

import (
	"context"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
	"dfs/multicast"
)

// waiter is someone who waits for a condition that Step brings about.
type waiter struct {
	order *order
	kind  waitKind
	until uint64        // a position, a version or a timestamp, by kind
	calls uint64        // waitPersisted: the last own operation meant
	asked bool          // the other members were asked
	done  chan struct{} // closed when it is over
	now   hlc.Timestamp // what was applied then
	err   error
}

type waitKind int

const (
	waitLease      waitKind = iota // this node may read the present; then everything acknowledged is to be applied
	waitReached                    // everything before until is applied
	waitUnchanging                 // nothing at or before the time until will come or be lost
	waitPersisted                  // own operations up to calls, and all applied when asked, are persisted by every member
)

func (w *waiter) finish(err error) {
	w.err = err
	close(w.done)
}

// register makes Step look after w.
func (n *Node) register(w *waiter) error {
	w.done = make(chan struct{})
	n.mu.Lock()
	if err := n.usableLocked(); err != nil {
		n.mu.Unlock()
		return err
	}
	if w.kind == waitPersisted {
		w.calls = w.order.counter
	}
	n.waiters = append(n.waiters, w)
	n.mu.Unlock()
	n.notify()
	return nil
}

// forget ends the interest in w.
func (n *Node) forget(w *waiter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, o := range n.waiters {
		if o == w {
			n.waiters = append(n.waiters[:i], n.waiters[i+1:]...)
			return
		}
	}
}

// NowReady reports whether Now would not wait.
func (n *Node) NowReady() bool {
	if !n.leased() {
		return false
	}
	for _, o := range n.orders {
		if o.reached.Load() < o.acked.Load() {
			return false
		}
	}
	return true
}

// Now returns the newest state of a subgroup, after everything that this node had acknowledged when it
// was called was applied here, while no view without this node can have begun (G2). What was delivered
// anywhere was acknowledged here before, so no read anywhere is newer. errs.Interrupted if ctx ends first.
func (n *Node) Now(ctx context.Context, sub ids.Subgroup) (index.Reader, error) {
	p, err := n.AskNow(sub)
	if err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}

// At returns the state of a subgroup as of t, once no operation at or before t can come or be lost any more (G3).
// It fails with errs.Future if t has not come, errs.BeforeBeginning if there was nothing yet,
// errs.Interrupted if ctx ends first.
func (n *Node) At(ctx context.Context, sub ids.Subgroup, t hlc.Timestamp) (index.Reader, error) {
	p, err := n.AskAt(sub, t)
	if err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}

// wantLease sends a heartbeat for the others to answer, unless one was sent a moment ago.
func (n *Node) wantLease() {
	if v := n.view; v != nil && v.open {
		last := v.sent[v.table.Get(v.table.Layout().Heartbeat())%uint64(len(v.sent))]
		if n.cfg.Monotonic()-last > n.cfg.Heartbeat/8 {
			n.heartbeat(v, n.cfg.Physical())
		}
	}
}

// answered makes sure that no later life of this node stamps a message at or before t.
func (n *Node) answered(t hlc.Timestamp) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t <= n.floor {
		return nil
	}
	if err := n.cfg.SaveFloor(t); err != nil {
		return errs.Wrap(errs.KindOf(err), err, "remembering that %v was asked for", t)
	}
	n.floor = t
	return nil
}

// Sync returns when every operation that this node submitted before, and every one that it had applied, is
// on persistent storage at every replica.
func (n *Node) Sync(ctx context.Context) error {
	p, err := n.AskSync()
	if err != nil {
		return err
	}
	_, err = p.Wait(ctx)
	return err
}

// History calls fn with every value that a key ever had, newest first, until fn returns false.
func (n *Node) History(sub ids.Subgroup, key []byte, fn func(since hlc.Timestamp, value []byte, deleted bool) bool) {
	n.cfg.Index.History(sub, key, fn)
}

// DataShard returns the subgroup that holds the contents of a file.
func (n *Node) DataShard(ino ids.Ino) ids.Subgroup { return ShardOf(ino, n.cfg.Shards) }

// TimeOf returns when a version of the order that the namespace is in was delivered. It fails with
// errs.NotFound if there is no such version.
func (n *Node) TimeOf(v ids.Version) (hlc.Timestamp, error) {
	o, err := n.orderOf(ids.Namespace)
	if err != nil {
		return 0, err
	}
	t, ok, err := n.cfg.Log.FindVersion(v, o.orders)
	if err == nil && !ok {
		err = errs.New(errs.NotFound, "no version %v", v)
	}
	return t, err
}

// Physical returns the wall clock.
func (n *Node) Physical() hlc.Timestamp { return n.cfg.Physical() }

// DataShards returns the number of data shards; their subgroups are 1 to that number.
func (n *Node) DataShards() int { return n.cfg.Shards }

// Members returns the configured nodes of the cluster as of the last view here.
func (n *Node) Members() []ids.NodeID {
	var out []ids.NodeID
	for _, p := range *n.configured.Load() {
		out = append(out, p.Node)
	}
	return out
}

// Self returns this node's number.
func (n *Node) Self() ids.NodeID { return n.cfg.Self.Node }

// serveWaiters ends the waiting that is over, and asks the other members for what is not.
func (n *Node) serveWaiters() {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept := n.waiters[:0]
	for _, w := range n.waiters {
		if n.overLocked(w) {
			w.now = w.order.timeNow()
			w.finish(nil)
		} else {
			kept = append(kept, w)
		}
	}
	clear(n.waiters[len(kept):])
	n.waiters = kept
}

// overLocked reports whether w has what it waits for.
func (n *Node) overLocked(w *waiter) bool {
	o := w.order
	switch w.kind {
	case waitLease:
		if !n.leased() {
			n.wantLease()
			return false
		}
		w.kind, w.until = waitReached, o.acked.Load()
		return o.reached.Load() >= w.until
	case waitReached:
		return o.reached.Load() >= w.until
	case waitUnchanging:
		t := hlc.Timestamp(w.until)
		if !o.unchanging(t) && n.view != nil && n.view.open {
			if o.frontier.Load() < int64(t) {
				o.mc.WantFrontier(t)
				// What the others promised before may be enough, and then nobody will wake this node.
				o.frontier.Store(max(o.frontier.Load(), int64(o.mc.TimeFrontier())))
			}
			if seq := n.seqHere(o); seq > 0 && o.frontier.Load() >= int64(t) {
				o.mc.WantPersisted(seq)
			}
		}
		return o.unchanging(t)
	}
	return n.persistedLocked(w)
}

// persistedLocked follows a caller of Sync through its stages: its operations are delivered, their version
// is known, every member has persisted it.
func (n *Node) persistedLocked(w *waiter) bool {
	o := w.order
	if !w.asked {
		pending := uint64(0)
		for c := range o.calls.all() {
			if c.counter > w.calls {
				break
			}
			pending++
		}
		if pending == 0 {
			w.asked, w.until = true, uint64(o.last)
		}
		if n.view != nil && n.view.open {
			// The last operation will have about this number; asking now saves a round trip.
			if seq := n.seqHere(o) + multicast.Seq(pending); seq > 0 {
				o.mc.WantPersisted(seq)
				n.hot = n.cfg.Physical() + hotFor
				n.asking = n.hot
			}
		}
	}
	return w.asked && o.durable.Load() >= w.until
}

// seqHere returns the number of the last message applied in the view that this node is in, 0 before
// the first.
func (n *Node) seqHere(o *order) multicast.Seq {
	if n.view == nil || o.last.View() != n.view.ID {
		return 0
	}
	return multicast.Seq(o.last.Seq())
}
