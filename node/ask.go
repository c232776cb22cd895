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

// askToBeRemoved asks the others, one after the other, to take this node out of the configuration: who is out is not
// told of it, so another one must say that it is done.
func (n *instance) askToBeRemoved(ctx context.Context) error {
	others := n.roster.others()
	var all []error
	for _, id := range slices.Sorted(maps.Keys(others)) {
		err := n.askOne(ctx, id, others[id], identity.Wish{Format: identity.Format, Leave: true})
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
