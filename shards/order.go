package shards

import (
	"iter"
	"slices"
	"sync/atomic"

	"dfs/hlc"
	"dfs/ids"
	"dfs/multicast"
	"dfs/record"
	"dfs/versionlog"
)

// order is one group, that is one total order, as this node keeps it over all views.
type order struct {
	id     ids.Group
	layout GroupLayout

	// Owned by Step.
	mc           *multicast.Group
	rings        [][]byte             // by rank
	release      func()               // ends the own ring's being a source
	last         ids.Version          // last delivered and applied
	unsynced     queue[mark]          // appended, not yet known to be durable
	timeOfOldest hlc.Timestamp        // when the oldest of these was appended, or later
	unsent       []record.Record      // own operations that may not have been delivered in the last view
	undurable    queue[moment]        // applied here, not known to be durable everywhere
	stalled      []multicast.Delivery // could not be logged, to be tried again
	stalledAt    hlc.Timestamp        // when that was tried last
	vector       []uint64

	// Guarded by Node.mu.
	outbox  *multicast.Outbox // nil while there is no open view
	counter uint64            // of the last operation submitted
	calls   queue[*Call]      // submitted, not delivered; in order

	// Read by anyone. Positions carry their view in the high bits, as a version does.
	acked    atomic.Uint64 // beyond every message that this node acknowledged
	reached  atomic.Uint64 // everything before is applied
	now      atomic.Int64  // timestamp of the newest applied message
	frontier atomic.Int64  // no message at or before will be delivered any more
	durable  atomic.Uint64 // version persisted by every member
	safe     atomic.Int64  // what was applied up to this moment is persisted by every member
}

// mark remembers where in the log a message ends.
type mark struct {
	end versionlog.LSN
	ver ids.Version
}

// moment is a version and its timestamp.
type moment struct {
	ver ids.Version
	at  hlc.Timestamp
}

// setDurable notes that every member has persisted what is applied up to v.
func (o *order) setDurable(v ids.Version) {
	if uint64(v) <= o.durable.Load() {
		return
	}
	o.durable.Store(uint64(v))
	for o.undurable.len() > 0 && o.undurable.front().ver <= v {
		o.safe.Store(int64(o.undurable.pop().at))
	}
	if o.undurable.len() == 0 {
		o.safe.Store(max(o.safe.Load(), o.now.Load()))
	}
}

// unchanging reports whether what is known of t can never change any more: nothing at or before will come, and nothing at or
// before can be lost.
func (o *order) unchanging(t hlc.Timestamp) bool {
	frontier, safe := o.frontier.Load(), o.safe.Load()
	return int64(t) <= frontier && (int64(t) <= safe || safe == o.now.Load())
}

// origin is how far the operations of one node were applied (exactly once, G4).
type origin struct {
	incarnation uint32
	counter     uint64
}

// newOrder returns the order as a node has it that just started: what the others have applied meanwhile it
// learns with its first view, so until then there is something that is not applied here (G2).
func newOrder(id ids.Group, l GroupLayout) *order {
	o := &order{id: id, layout: l}
	o.acked.Store(1)
	return o
}

// orders reports whether operations of sub are in this order.
func (o *order) orders(sub ids.Subgroup) bool { return slices.Contains(o.layout.Subgroups, sub) }

func (o *order) timeNow() hlc.Timestamp { return hlc.Timestamp(o.now.Load()) }

// queue is a first-in first-out list that reuses its memory.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(v T) { q.items = append(q.items, v) }

func (q *queue[T]) front() *T { return &q.items[q.head] }

func (q *queue[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > 1024 && q.head*2 > len(q.items) {
		kept := copy(q.items, q.items[q.head:])
		clear(q.items[kept:])
		q.items, q.head = q.items[:kept], 0
	}
	return v
}

func (q *queue[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, v := range q.items[q.head:] {
			if !yield(v) {
				return
			}
		}
	}
}
