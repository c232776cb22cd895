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
	"dfs/shards"
	"dfs/views"
)

// usherPause is how long after bringing in a node has failed that is tried again.
const usherPause = 200 * time.Millisecond

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
	return n.late(ctx, err)
}

// late says of what ended with ctx, because others did not answer, what it waited for.
func (n *instance) late(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, errs.Interrupted) {
		err := errs.New(errs.Unavailable, "the nodes have not agreed in time: %s", n.waitingFor())
		return advice.Add(err, "a majority of the nodes must run; see: dfs status")
	}
	return err
}

// inOrder has the engine apply an operation on claims.
func (n *instance) inOrder(ctx context.Context, op namespace.Op) (errs.Kind, []byte, error) {
	var r shards.Result
	call, err := n.engine.Submit(ctx, ids.Namespace, op.Encode())
	if err == nil {
		r, err = call.Wait(ctx)
	}
	if err == nil {
		err = n.engine.Sync(ctx)
	}
	return r.Kind, r.Body, n.late(ctx, err)
}

// heed takes note of claims: their nodes are connected with, and brought in. The engine calls it while it steps.
func (n *instance) heed(sub ids.Subgroup, _ ids.NodeID, op []byte) {
	if sub == ids.Namespace && namespace.ChangesClaims(op) && n.admission != nil {
		n.background.Go(func() {
			n.connectPeers()
			n.kick()
		})
	}
}

// kick has usherAll look whether there is somebody to bring in.
func (n *instance) kick() {
	select {
	case n.news <- struct{}{}:
	default:
	}
}

// follow takes note of the configuration of a view. The engine calls it while it steps, so it does not wait.
func (n *instance) follow(v views.View) {
	n.adopt(v.Nodes)
	n.connectPeers()
	n.releaseLocks(v)
	n.leads.Store(v.Members[0].Node == n.cfg.ID)
	n.kick()
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

// adopt makes nodes the configuration.
func (n *instance) adopt(nodes []views.Peer) {
	peers := make([]identity.Peer, len(nodes))
	for i, p := range nodes {
		peers[i] = identity.Peer(p)
	}
	n.roster.set(peers)
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

// usherAll brings expected nodes into the configuration as they come, until ctx ends. The first member of the view does it.
func (n *instance) usherAll(ctx context.Context) {
	under := map[ids.NodeID]bool{} // being brought in
	over := make(chan ids.NodeID, MaxNodes)
	for {
		select {
		case <-ctx.Done():
			return
		case node := <-over:
			delete(under, node)
		case <-n.news:
		}
		if !n.leads.Load() {
			continue
		}
		if err := n.admission.tidy(ctx); err != nil {
			n.log.Info("who has come is expected still", "reason", err)
		}
		for _, p := range n.admission.expected() {
			if under[p.Node] || !n.links.connected(p.Node) {
				continue
			}
			under[p.Node] = true
			n.background.Go(func() {
				if err := n.admission.usher(ctx, p); err != nil && ctx.Err() == nil {
					n.log.Info("a node that was let in is not there yet", "peer", p.Node, "reason", err)
					<-time.After(usherPause)
				}
				over <- p.Node
			})
		}
	}
}
