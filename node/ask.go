package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"dfs/errs"
	"dfs/identity"
	"dfs/ids"
)

// inquirePeriod is how often a node that is not connected to another asks it why.
const inquirePeriod = 5 * time.Second

// lastWords is how long what a node said at its end gets to reach the others, before its links are closed: after its
// goodbye they need not wait for the end of its lease.
const lastWords = 50 * time.Millisecond

// askToBeRemoved asks the others to take this node out of the configuration: who is out is not told of it, so another
// one must say that it is done. A change of views that the end of this node caused may be first, hence the rounds.
func (n *instance) askToBeRemoved(ctx context.Context) (err error) {
	const rounds = 5
	for range rounds {
		err = n.askOthers(ctx, identity.Wish{Format: identity.Format, Leave: true})
		if errs.KindOf(err) != errs.Unavailable || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// askOthers asks the others, one after the other, until one does what this node wants.
func (n *instance) askOthers(ctx context.Context, wish identity.Wish) error {
	others := n.roster.others()
	var all []error
	for _, id := range slices.Sorted(maps.Keys(others)) {
		err := n.askOne(ctx, id, others[id], wish)
		if err == nil {
			return nil
		}
		all = append(all, errs.Wrap(errs.KindOf(err), err, "ask node %d", id))
	}
	return errors.Join(all...)
}

// askOne asks a node for something. errs.Unavailable if it cannot be reached.
func (n *instance) askOne(ctx context.Context, id ids.NodeID, address string, wish identity.Wish) error {
	ctx, cancel := context.WithTimeout(ctx, joinChange)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "connect")
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	secured, err := n.creds.DialAsk(ctx, nc, id)
	if err != nil {
		return errs.Wrap(errs.KindOf(err), err, "secure the connection")
	}
	if err := identity.WriteMessage(secured, wish); err != nil {
		return err
	}
	answer, err := identity.ReadAnswer(secured)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return errs.Wrap(errs.AccessDenied, err, "node %d does not accept this node's certificate, its log says why", id)
	}
	if err != nil {
		return err
	}
	return answer.Err()
}

// inquire finds out, until ctx ends, why others do not call: of two nodes the lower dials, and it does not dial one that
// was removed.
func (n *instance) inquire(ctx context.Context) {
	tick := time.NewTicker(inquirePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.inquireOnce(ctx)
		}
	}
}

func (n *instance) inquireOnce(ctx context.Context) {
	others := n.roster.others()
	for _, id := range slices.Sorted(maps.Keys(others)) {
		if id > n.cfg.ID || n.links.connected(id) {
			continue
		}
		err := n.askOne(ctx, id, others[id], identity.Wish{Format: identity.Format, Belong: true})
		if errs.KindOf(err) != errs.AccessDenied {
			continue // it belongs, or the other is not there
		}
		if n.links.refuse(id, fmt.Sprintf("node %d refuses this one: %v", id, err)) {
			n.log.Warn("no connection", "peer", id, "reason", err)
		}
	}
}
