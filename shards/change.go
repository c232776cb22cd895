package shards

import (
	"context"
	"slices"

	"dfs/errs"
	"dfs/ids"
	"dfs/views"
)

// Change is a change of the configured nodes that was asked for.
type Change struct {
	fn    func([]views.Peer) []views.Peer
	done  chan struct{} // closed when it is over
	err   error
	gone  <-chan struct{} // closed when nobody waits any more; nil: never
	asked ids.ViewID      // the view that was to be changed, 0 before
	want  []views.Peer
}

func (c *Change) finish(err error) {
	c.err = err
	close(c.done)
}

// Ready reports whether Wait would not wait.
func (c *Change) Ready() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Wait waits for the end of the change, as Reconfigure does.
func (c *Change) Wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return errs.Wrap(errs.Interrupted, ctx.Err(), "waiting for a change of the configuration")
	}
}

// Reconfigure changes the configured nodes of the cluster by one change of views: change gets those of the view that this
// node is in, by number, and returns what they shall be, perhaps more than once. It waits for a view, and until nodes that it adds have
// caught up and have links to all members, so that the change of views takes them in. It fails with
// errs.Unavailable if another change or a failure was first, and with errs.Interrupted if ctx ends first, after which it
// may still come about.
func (n *Node) Reconfigure(ctx context.Context, fn func([]views.Peer) []views.Peer) error {
	c, err := n.askReconfigure(fn, ctx.Done())
	if err != nil {
		return err
	}
	return c.Wait(ctx)
}

// AskReconfigure is Reconfigure that does not wait.
func (n *Node) AskReconfigure(fn func([]views.Peer) []views.Peer) (*Change, error) {
	return n.askReconfigure(fn, nil)
}

func (n *Node) askReconfigure(fn func([]views.Peer) []views.Peer, gone <-chan struct{}) (*Change, error) {
	c := &Change{fn: fn, done: make(chan struct{}), gone: gone}
	n.mu.Lock()
	err := n.usableLocked()
	n.mu.Unlock()
	if err == nil {
		n.post(event{kind: changeAsked, change: c})
	}
	return c, err
}

// endChanges begins the changes that can begin and answers those that are over.
func (n *Node) endChanges() {
	if len(n.changes) == 0 || !n.core.Active() {
		return
	}
	view := n.core.View()
	ended := false // for the first change that can begin
	kept := n.changes[:0]
	for _, c := range n.changes {
		switch {
		case c.asked == 0 && c.abandoned():
		case c.asked == 0 && !ended:
			c.want = c.fn(slices.Clone(view.Nodes))
			if slices.Equal(c.want, view.Nodes) {
				c.finish(nil)
				continue
			}
			if kept = append(kept, c); n.mayEnter(&view, c.want) {
				c.asked, ended = view.ID, true
				n.log.Info("changing the configuration", "nodes", c.want)
				n.carryOut(n.core.Change(c.want))
			}
		case c.asked == 0 || c.asked == view.ID:
			kept = append(kept, c)
		case slices.Equal(c.want, view.Nodes):
			c.finish(nil)
		default:
			c.finish(errs.New(errs.Unavailable, "the configuration was not changed: something else was first"))
		}
	}
	n.changes = kept
}

// mayEnter reports whether a change of views would take in those of the nodes that are new.
func (n *Node) mayEnter(view *views.View, nodes []views.Peer) bool {
	return !slices.ContainsFunc(nodes, func(p views.Peer) bool { return !view.Configured(p.Node) && !n.core.MayEnter(p.Node) })
}

// abandoned reports whether whoever wanted the change has given up.
func (c *Change) abandoned() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}
