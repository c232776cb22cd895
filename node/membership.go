package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
	"dfs/namespace"
	"dfs/views"
)

// Times of bringing in a node that was let in while there was one node only.
const (
	usherPeriod   = 200 * time.Millisecond
	usherPauseMin = 400 * time.Millisecond
	usherPauseMax = 30 * time.Second
)

// changeConfig has the engine change the configuration.
func (n *instance) changeConfig(ctx context.Context, change func([]identity.Peer) []identity.Peer) error {
	err := n.engine.Reconfigure(ctx, func(now []views.Peer) []views.Peer {
		nodes := make([]identity.Peer, len(now))
		for i, p := range now {
			nodes[i] = identity.Peer(p)
		}
		nodes = change(nodes)
		out := make([]views.Peer, len(nodes))
		for i, p := range nodes {
			out[i] = views.Peer(p)
		}
		return out
	})
	if errors.Is(err, errs.Unavailable) {
		// Another change may have been first and this one in it, or just after it.
		if now := n.roster.all(); slices.Equal(change(now), now) {
			return nil
		}
	}
	if ctx.Err() != nil && errors.Is(err, errs.Interrupted) {
		err := errs.New(errs.Unavailable, "the nodes have not agreed in time: %s", n.waitingFor())
		return advice.Add(err, "a majority of the nodes must run; see: dfs status")
	}
	return err
}

// follow takes note of the configuration of a view. The engine calls it while it steps, so it does not wait.
func (n *instance) follow(v views.View) {
	if n.adopt(v.Nodes) {
		n.background.Go(func() {
			if err := n.roster.save(); err != nil {
				n.log.Error("the roster was not stored", "reason", err)
			}
		})
	}
	n.connectPeers()
	n.releaseLocks(v)
}

// releaseLocks has the locks of nodes that are not in a view any more given up: the first member sees to it. A life
// that comes back has its own, so only those up to the last one known fall.
func (n *instance) releaseLocks(v views.View) {
	var gone []views.Member
	for _, m := range n.seen {
		if v.Rank(m.Node) < 0 {
			gone = append(gone, m)
		}
	}
	for _, m := range v.Members {
		n.seen[m.Node] = m
	}
	if v.Members[0].Node != n.cfg.ID {
		return
	}
	for _, m := range gone {
		n.background.Go(func() {
			op := namespace.ReleaseNode{Node: m.Node, Incarnation: m.Incarnation}
			if _, err := n.engine.Submit(context.Background(), ids.Namespace, op.Encode()); err != nil {
				n.log.Warn("the locks of a node that is gone were not released", "gone", m.Node, "reason", err)
			}
		})
	}
}

// adopt makes nodes the configuration, and reports whether the roster has to be stored.
func (n *instance) adopt(nodes []views.Peer) bool {
	peers := make([]identity.Peer, len(nodes))
	for i, p := range nodes {
		peers[i] = identity.Peer(p)
	}
	return n.roster.set(peers)
}

// wanted returns the nodes to be connected with: the others, and those that are expected.
func (n *instance) wanted() map[ids.NodeID]string {
	want := n.roster.others()
	if n.admission != nil {
		for _, p := range n.admission.expected() {
			want[p.Node] = p.Addr
		}
	}
	return want
}

// connectPeers tells the fabric who is to be connected with now.
func (n *instance) connectPeers() {
	n.peersMu.Lock()
	defer n.peersMu.Unlock()
	want := n.wanted()
	for id, addr := range want {
		if had, ok := n.peers[id]; ok && had == addr {
			continue
		}
		if err := n.fab.AddPeer(id, addr); err != nil {
			n.log.Error("cannot connect to a node of the cluster", "peer", id, "address", addr, "reason", err)
		}
	}
	for id := range n.peers {
		if _, ok := want[id]; !ok {
			n.log.Info("a node does not belong to the cluster any more", "peer", id)
			n.fab.RemovePeer(id)
			n.links.forget(id)
		}
	}
	n.peers = maps.Clone(want)
}

// usherAll brings expected nodes into the configuration as they come, until ctx ends. Trying in vain stops the
// others for a moment, so it is tried less and less often.
func (n *instance) usherAll(ctx context.Context) {
	tick := time.NewTicker(usherPeriod)
	defer tick.Stop()
	type wait struct{ until, pause time.Duration }
	waits := map[ids.NodeID]wait{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range n.admission.expected() {
			now := sinceBoot()
			w := waits[p.Node]
			if !n.links.connected(p.Node) {
				delete(waits, p.Node)
				continue
			}
			if w.pause == 0 {
				w = wait{now + usherPauseMin, usherPauseMin} // it has to catch up
			}
			if now >= w.until {
				if err := n.admission.usher(ctx, p); err != nil {
					n.log.Info("a node has not caught up yet", "peer", p.Node, "reason", err)
				}
				w.pause = min(2*w.pause, usherPauseMax)
				w.until = sinceBoot() + w.pause
			}
			waits[p.Node] = w
		}
	}
}
