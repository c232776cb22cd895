package node

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"dfs/advice"
	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
)

// grant gives the node at the other end what it wants.
func (a *admission) grant(ctx context.Context, nc net.Conn) {
	answer := identity.Answer{Format: identity.Format}
	id, err := a.creds.Identify(nc)
	if err == nil {
		err = a.hear(ctx, nc, id)
	}
	if err != nil {
		a.log.Warn("refused what a node wants", "peer", id, "reason", err)
		answer = identity.Failed(err)
	}
	_ = nc.SetWriteDeadline(time.Now().Add(joinRead))
	_ = identity.WriteMessage(nc, answer) // who gets no answer asks the next one
}

// hear reads what a node wants, and does it.
func (a *admission) hear(ctx context.Context, nc net.Conn, id ids.NodeID) error {
	_ = nc.SetReadDeadline(time.Now().Add(joinRead))
	wish, err := identity.ReadWish(nc)
	if err == nil {
		err = wish.Check()
	}
	if err != nil {
		return err
	}
	if wish.Belong {
		if a.belongs(id) || a.expects(id) {
			return nil
		}
		return errs.New(errs.AccessDenied, "node %d was removed from the cluster, says node %d", id, a.creds.Name.Node)
	}
	ctx, cancel := context.WithTimeout(ctx, joinChange)
	defer cancel()
	if err := a.remove(ctx, id); err != nil && !errors.Is(err, errs.NotFound) {
		return err
	}
	a.log.Info("a node has left", "left", id)
	return nil
}

// expects reports whether a node was let in and has not come yet.
func (a *admission) expects(node ids.NodeID) bool {
	return slices.ContainsFunc(a.expected(), func(p identity.Peer) bool { return p.Node == node })
}

// remove takes a node out of the configuration, or of those that are expected.
// It fails with errs.NotFound if it is neither.
func (a *admission) remove(ctx context.Context, node ids.NodeID) error {
	expected := a.expects(node)
	if err := a.closeClaims(ctx, func(c openClaim) bool { return c.Node == node }); err != nil {
		return err
	}
	err := a.takeOut(ctx, node)
	if expected && errors.Is(err, errs.NotFound) {
		return nil
	}
	return err
}

// takeOut takes a node out of the configuration.
// It fails with errs.NotFound if the node is not in it.
func (a *admission) takeOut(ctx context.Context, node ids.NodeID) error {
	var refused error
	err := a.change(ctx, func(now []identity.Peer) []identity.Peer {
		refused = nil
		is := func(p identity.Peer) bool { return p.Node == node }
		switch {
		case !slices.ContainsFunc(now, is):
			refused = errs.New(errs.NotFound, "the cluster has no node %d", node)
		case len(now) == 1:
			refused = errs.New(errs.NotPermitted, "node %d is the last one: without it there is no cluster", node)
		}
		rest := slices.DeleteFunc(slices.Clone(now), is)
		if refused == nil {
			refused = a.enough(rest)
		}
		if refused != nil {
			return now
		}
		return rest
	})
	if err == nil {
		err = refused
	}
	return err
}

// enough fails if fewer than a majority of the nodes run, so that a cluster of these could not go on. Asking for it
// all the same would only interrupt the one that there is.
func (a *admission) enough(nodes []identity.Peer) error {
	var there, missing []ids.NodeID
	for _, p := range nodes {
		if a.runs(p.Node) {
			there = append(there, p.Node)
		} else {
			missing = append(missing, p.Node)
		}
	}
	if len(there) > len(nodes)/2 {
		return nil
	}
	err := errs.New(errs.Unavailable, "of the nodes that there would be then, %v run and %v do not: too few to go on", there, missing)
	return advice.Add(err, "start the others first, or take those that are dead out: dfs node remove ID")
}

// moveNode changes the address of a node; errs.NotFound if it is not in the configuration.
func moveNode(ctx context.Context, change changeConfig, to identity.Peer) error {
	var refused error
	err := change(ctx, func(now []identity.Peer) []identity.Peer {
		refused = nil
		i := slices.IndexFunc(now, func(p identity.Peer) bool { return p.Node == to.Node })
		if i < 0 {
			refused = errs.New(errs.NotFound, "the cluster has no node %d", to.Node)
			return now
		}
		if who := slices.IndexFunc(now, func(p identity.Peer) bool { return p.Addr == to.Addr }); who >= 0 && who != i {
			refused = errs.New(errs.Exists, "node %d of the cluster listens on %s", now[who].Node, to.Addr)
			return now
		}
		now = slices.Clone(now)
		now[i] = to
		return now
	})
	if err == nil {
		err = refused
	}
	return err
}
