package shards

import (
	"context"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/views"
)

// Status is how a node stands at one moment.
type Status struct {
	View    views.View
	Open    bool         // operations flow
	Leased  bool         // the present may be read
	Full    []ids.NodeID // members whose disks have no room for new data
	Waiting []ids.NodeID // members that are missing for a view
	Fetches ids.NodeID   // the member whose log this node is fetching, or 0
	Linked  []ids.NodeID // members that there is a link to, this node included
	Born    hlc.Timestamp
	Groups  []GroupStatus
	Subs    []SubgroupStatus // by subgroup
}

// GroupStatus is one order as this node sees it.
type GroupStatus struct {
	Group     ids.Group
	Subgroups []ids.Subgroup
	Version   ids.Version   // last applied here
	Time      hlc.Timestamp // its timestamp
	Durable   ids.Version   // persisted by every member
	Frontier  hlc.Timestamp // no message at or before will come any more
	Pending   int           // operations submitted here and not applied
	RingBytes int           // size of this node's ring
	RingUsed  int           // bytes of it that are waiting for some member
	Stalled   bool          // the log has no room
}

// SubgroupStatus is one state machine.
type SubgroupStatus struct {
	Keepers []ids.NodeID // members of the view that have its data
	Gaining []ids.NodeID // members to which its data is moving
	Applied uint64       // operations applied since the node started, recovery included
	Version ids.Version  // of the last of them, 0 if there was none
}

// Status asks the stepping goroutine for the node's state. It fails with errs.Interrupted or
// errs.Unavailable.
func (n *Node) Status(ctx context.Context) (Status, error) {
	out := make(chan Status, 1)
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return Status{}, errs.New(errs.Unavailable, "the node was stopped")
	}
	n.mu.Unlock()
	n.post(event{kind: statusAsked, status: out})
	select {
	case s := <-out:
		return s, nil
	case <-ctx.Done():
		return Status{}, errs.Wrap(errs.Interrupted, ctx.Err(), "asking for the status")
	}
}

// status makes the answer, in Step.
func (n *Node) status() Status {
	s := Status{View: n.core.View(), Waiting: n.core.Waiting(), Born: n.born(), Linked: n.core.Connected()}
	s.Subs = append(s.Subs, n.subs...)
	layouts := s.View.Layouts()
	has, gets := newHomes(layouts[len(layouts)-1:], n.cfg.Shards, n.cfg.Replicas), newHomes(layouts[:1], n.cfg.Shards, n.cfg.Replicas)
	for sub := range s.Subs {
		for _, m := range s.View.Members {
			switch {
			case has.keeps(m.Node, ids.Subgroup(sub)):
				s.Subs[sub].Keepers = append(s.Subs[sub].Keepers, m.Node)
			case gets.keeps(m.Node, ids.Subgroup(sub)):
				s.Subs[sub].Gaining = append(s.Subs[sub].Gaining, m.Node)
			}
		}
	}
	s.Open, s.Leased = n.view != nil && n.view.open, n.leased()
	if s.Open {
		low := n.view.table.Layout().Low()
		for r, m := range n.view.Members {
			if ids.Rank(r) == n.view.rank && n.full || n.view.snap.Get(ids.Rank(r), low)%2 == 1 {
				s.Full = append(s.Full, m.Node)
			}
		}
	}
	if n.fetching != nil {
		s.Fetches = n.fetching.sources[0]
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.orders {
		g := GroupStatus{
			Group: o.id, Subgroups: o.layout.Subgroups, Version: o.last, Time: o.timeNow(),
			Durable: ids.Version(o.durable.Load()), Frontier: hlc.Timestamp(o.frontier.Load()), Pending: o.calls.len(),
			RingBytes: n.cfg.RingBytes, Stalled: len(o.stalled) > 0,
		}
		if o.outbox != nil {
			g.RingUsed = o.outbox.Used()
		}
		s.Groups = append(s.Groups, g)
	}
	return s
}
