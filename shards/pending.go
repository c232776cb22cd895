package shards

import (
	"context"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// Pending is a read or a Sync that was asked for and is answered by Step. AskNow, AskAt and AskSync do not
// wait, so who steps the node may call them.
type Pending struct {
	n     *Node
	waits []*waiter // until all of them are done
	order *order    // to be read, nil for a Sync
	sub   ids.Subgroup
	at    hlc.Timestamp // as of when, 0 for the present
	now   hlc.Timestamp // the present, if there was nothing to wait for
}

// Ready reports whether Wait would not wait.
func (p *Pending) Ready() bool {
	for _, w := range p.waits {
		select {
		case <-w.done:
		default:
			return false
		}
	}
	return true
}

// Wait waits for the answer, which is nil for a Sync. It fails with errs.Interrupted if ctx ends first.
func (p *Pending) Wait(ctx context.Context) (index.Reader, error) {
	for _, w := range p.waits {
		select {
		case <-w.done:
			if w.err != nil {
				return nil, w.err
			}
		case <-ctx.Done():
			for _, w := range p.waits {
				p.n.forget(w)
			}
			return nil, errs.Wrap(errs.Interrupted, ctx.Err(), "waiting for the cluster")
		}
	}
	switch {
	case p.order == nil:
		return nil, nil
	case p.at == 0 && len(p.waits) > 0:
		return p.n.cfg.Index.At(p.sub, p.waits[0].now), nil
	case p.at == 0:
		return p.n.cfg.Index.At(p.sub, p.now), nil
	}
	if err := p.n.answered(p.at); err != nil {
		return nil, err
	}
	return p.n.cfg.Index.At(p.sub, p.at), nil
}

// AskNow is Now that does not wait.
func (n *Node) AskNow(sub ids.Subgroup) (Pending, error) {
	o, err := n.orderOf(sub)
	if err != nil {
		return Pending{}, err
	}
	p := Pending{n: n, order: o, sub: sub}
	if !n.leased() {
		return p, p.on(&waiter{order: o, kind: waitLease})
	}
	if acked := o.acked.Load(); o.reached.Load() < acked {
		return p, p.on(&waiter{order: o, kind: waitReached, until: acked})
	}
	p.now = o.timeNow()
	if !n.leased() { // what was applied meanwhile may be for the next view to show
		err = p.on(&waiter{order: o, kind: waitLease})
	}
	return p, err
}

// AskAt is At that does not wait.
func (n *Node) AskAt(sub ids.Subgroup, t hlc.Timestamp) (Pending, error) {
	o, err := n.orderOf(sub)
	if err != nil {
		return Pending{}, err
	}
	if t > o.timeNow() && t > n.cfg.Physical() {
		return Pending{}, errs.New(errs.Future, "%v has not come yet, it is %v", t, n.cfg.Physical())
	}
	if born := n.born(); born == 0 || t < born {
		return Pending{}, errs.New(errs.BeforeBeginning, "the filesystem began at %v", born)
	}
	p := Pending{n: n, order: o, sub: sub, at: t}
	if !o.unchanging(t) {
		err = p.on(&waiter{order: o, kind: waitUnchanging, until: uint64(t)})
	}
	return p, err
}

// AskSync is Sync that does not wait.
func (n *Node) AskSync() (Pending, error) {
	p := Pending{n: n}
	for _, o := range n.orders {
		if err := p.on(&waiter{order: o, kind: waitPersisted}); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *Pending) on(w *waiter) error {
	p.waits = append(p.waits, w)
	return p.n.register(w)
}
