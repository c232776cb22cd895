package shards

import (
	"context"

	"dfs/errs"
	"dfs/ids"
	"dfs/multicast"
	"dfs/record"
)

// MaxData is the most data that one operation may carry, in bytes. It leaves room in a control message
// when the operation is fetched by a node that missed it.
const MaxData = 2 << 20

// Submit copies an operation and its data into this node's ring and returns; the operation is on its way
// to every replica. Operations of one node are delivered in the order in which Submit returned them,
// over all subgroups of a group. It waits only for room in the ring or for a view. An error means
// that nothing was submitted: errs.Interrupted, errs.NoSpace, errs.TooLarge, errs.Unavailable.
func (n *Node) Submit(ctx context.Context, sub ids.Subgroup, op []byte, data ...[]byte) (*Call, error) {
	for {
		call, room, err := n.TrySubmit(sub, op, data...)
		if room == nil {
			return call, err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return nil, errs.Wrap(errs.Interrupted, ctx.Err(), "waiting to submit an operation")
		}
	}
}

// TrySubmit is Submit that does not wait: if room is not nil, nothing was submitted, and trying again makes
// sense once room is closed.
func (n *Node) TrySubmit(sub ids.Subgroup, op []byte, data ...[]byte) (call *Call, room <-chan struct{}, err error) {
	size := 0
	for _, d := range data {
		size += len(d)
	}
	if size > MaxData || len(op) > record.MaxOp {
		return nil, nil, errs.New(errs.TooLarge, "operation of %d bytes with %d bytes of data", len(op), size)
	}
	if size > 0 && (n.low.Load() || n.cfg.Full(size)) {
		return nil, nil, errs.New(errs.NoSpace, "the disk of a node is nearly full: delete files or add space")
	}
	o, err := n.orderOf(sub)
	if err != nil {
		return nil, nil, err
	}
	n.mu.Lock()
	if err := n.usableLocked(); err != nil {
		n.mu.Unlock()
		return nil, nil, err
	}
	var slot multicast.Reservation
	out, ok := o.outbox, false
	if out != nil {
		slot, ok = out.Reserve(len(op), size)
	}
	if !ok {
		room := n.room
		n.mu.Unlock()
		return nil, room, nil
	}
	o.counter++
	call = &Call{counter: o.counter, done: make(chan struct{})}
	o.calls.push(call)
	n.building++
	n.mu.Unlock()

	record.Build(slot.Buf, record.Header{
		Origin: n.cfg.Self.Node, Incarnation: n.cfg.Self.Incarnation, Counter: call.counter, Subgroup: sub, Kind: record.Op,
	}, op, data...)

	n.mu.Lock()
	out.Commit(slot)
	if n.building--; n.building == 0 {
		n.built.Broadcast()
	}
	n.mu.Unlock()
	n.notify()
	return call, nil, nil
}

func (n *Node) usableLocked() error {
	if n.closed {
		return errs.New(errs.Unavailable, "the node was stopped")
	}
	if err := n.Err(); err != nil {
		return errs.Wrap(errs.IO, err, "this replica has stopped")
	}
	if n.hopeless {
		return errs.New(errs.IO, "no majority of the nodes for more than %v", n.cfg.Soft)
	}
	return nil
}

func (n *Node) orderOf(sub ids.Subgroup) (*order, error) {
	for _, o := range n.orders {
		if o.orders(sub) {
			return o, nil
		}
	}
	return nil, errs.New(errs.Invalid, "no subgroup %d", sub)
}

// openRoomLocked wakes everyone who waits to submit.
func (n *Node) openRoomLocked() {
	if !n.closed {
		close(n.room)
		n.room = make(chan struct{})
	}
}
