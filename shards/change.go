package shards

import (
	"context"
	"slices"

	"dfs/errs"
	"dfs/ids"
	"dfs/views"
)

// change is a configuration that someone waits for.
type change struct {
	fn    func([]views.Peer) []views.Peer
	done  chan error
	asked ids.ViewID // the view that was to be changed, 0 before
	want  []views.Peer
}

// Reconfigure changes the configured nodes of the cluster by one change of views: change gets those of the view that this
// node is in, by number, and returns what they shall be. It waits for a view. It fails with
// errs.Unavailable if another change or a failure was first, or if too few of the new nodes have what the cluster
// has, and with errs.Interrupted if ctx ends first, after which it may still come about.
func (n *Node) Reconfigure(ctx context.Context, fn func([]views.Peer) []views.Peer) error {
	c := &change{fn: fn, done: make(chan error, 1)}
	n.mu.Lock()
	err := n.usableLocked()
	n.mu.Unlock()
	if err != nil {
		return err
	}
	n.post(event{kind: changeAsked, change: c})
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return errs.Wrap(errs.Interrupted, ctx.Err(), "waiting for a change of the configuration")
	}
}

// endChanges begins the changes that can begin and answers those that are over.
func (n *Node) endChanges() {
	if !n.core.Active() {
		return
	}
	view := n.core.View()
	kept := n.changes[:0]
	for i, c := range n.changes {
		switch {
		case c.asked == 0 && i == 0:
			c.want = c.fn(slices.Clone(view.Nodes))
			if slices.Equal(c.want, view.Nodes) {
				c.done <- nil
				continue
			}
			c.asked = view.ID
			n.log.Info("changing the configuration", "nodes", c.want)
			n.carryOut(n.core.Change(c.want))
			kept = append(kept, c)
		case c.asked == 0 || c.asked == view.ID:
			kept = append(kept, c)
		case slices.Equal(c.want, view.Nodes):
			c.done <- nil
		default:
			c.done <- errs.New(errs.Unavailable, "the configuration was not changed: something else was first, or a node has not caught up")
		}
	}
	n.changes = kept
}
