package shards

import (
	"time"

	"dfs/ids"
	"dfs/record"
)

// OnAcknowledge has fn called with each operation before this node acknowledges it, or publishes it if it is its own, and
// with no operation for each subgroup when what was delivered without this node, or in the last view, may be shown from
// then on. Now, if called after fn began, shows what the operation did; no node shows it before fn returned, and no view without this node
// opens before Vouched has passed (G10). fn is called from the goroutine that steps and must not block. Call it before Start.
func (n *Node) OnAcknowledge(fn func(sub ids.Subgroup, op []byte)) { n.onAck = fn }

// Vouched returns for how long what Now shows is the present though nothing more is heard of the other nodes, but for what
// OnAcknowledge tells. It is never longer than LeaseFor: who is alone today may have others beside it tomorrow, and be left out by
// them.
func (n *Node) Vouched() time.Duration {
	return min(n.cfg.LeaseFor, max(0, time.Duration(n.lease.Load())-n.cfg.Monotonic()))
}

// announce tells of what the push that follows acknowledges or makes known (G10).
func (n *Node) announce(o *order) {
	if n.onAck == nil {
		return
	}
	o.mc.Published(func(r record.Record) { n.onAck(r.Subgroup(), r.Op()) })
	o.mc.Arrived(func(_ ids.Rank, r record.Record) { n.onAck(r.Subgroup(), r.Op()) })
}

// announceAll tells that anything may have changed.
func (n *Node) announceAll() {
	if n.onAck == nil {
		return
	}
	for sub := range n.subs {
		n.onAck(ids.Subgroup(sub), nil)
	}
}
