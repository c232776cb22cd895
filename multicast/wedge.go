package multicast

import (
	"fmt"
	"math"
	"slices"

	"dfs/errs"
	"dfs/record"
)

// Wedge, with the outbox, ends receiving, publishing, delivering and promising (M4), and refuses all
// reservations to come. What was delivered may still be logged and persisted.
func (g *Group) Wedge() {
	g.wedged = true
	g.outbox.closed = true
}

// Wedged reports whether the group is wedged.
func (g *Group) Wedged() bool { return g.wedged }

// ReceivedVector appends to dst how many slots of each member, by place, were received here.
func (g *Group) ReceivedVector(dst []uint64) []uint64 {
	for i := range g.members {
		dst = append(dst, g.members[i].received)
	}
	return dst
}

// Trim delivers, in order and all at once, what remains of a wedged group: the messages in slots below
// trim[i] of the member at place i, where trim is the minimum of Received over the members that agreed on it. Whether others
// have received them does not matter any more; that the trim was agreed on and recorded before is the
// caller's duty. A member that was not asked may lack slots below the trim: it delivers up to the first of them, which
// is a beginning of what the others deliver. The deliveries are valid until the next Step or Trim. It fails with errs.Corrupt if the trim is
// not one of this group: short of what was delivered (M12). A second Trim must be the
// same and delivers nothing.
func (g *Group) Trim(trim []uint64) ([]Delivery, error) {
	switch {
	case !g.wedged:
		panic("multicast: M4: trim of a group that is not wedged")
	case g.trimmed != nil && !slices.Equal(g.trimmed, trim):
		return nil, errs.New(errs.Corrupt, "trim %v after trim %v", trim, g.trimmed)
	case len(trim) != len(g.members):
		return nil, errs.New(errs.Corrupt, "trim %v for %d members", trim, len(g.members))
	}
	for i := range g.members {
		if m := &g.members[i]; trim[i] < m.done {
			return nil, errs.New(errs.Corrupt, "trim %v has %d slots of member %d; %d were passed here", trim, trim[i], m.rank, m.done)
		}
	}
	g.trimmed = slices.Clone(trim)
	g.effects.Deliveries = g.effects.Deliveries[:0]
	n, known := uint64(len(g.members)), uint64(none)
	for i := range g.members {
		m := &g.members[i]
		m.stable, m.limit = trim[i], trim[i]
		if m.received < trim[i] {
			known = min(known, m.received*n+uint64(i)) // the first that is not here
		}
	}
	g.deliver(known, math.MaxInt, math.MaxInt)
	return g.effects.Deliveries, nil
}

// Unsent, with the outbox, returns the own messages that were not delivered, in the order of their
// reservations, in ring memory; all reservations must be committed. They fit an empty ring of the same size.
// After Trim nobody delivers them, and they are to be sent again. Without a Trim, when the others go on without this node, the
// published ones may or may not have been delivered.
func (g *Group) Unsent() []record.Record {
	o, own := &g.outbox, &g.members[g.place]
	if !g.wedged || o.open != 0 {
		panic(fmt.Sprintf("multicast: M9: messages taken back with %d reservations open, wedged %v", o.open, g.wedged))
	}
	g.ready = o.take(g.ready)
	unsent := make([]record.Record, 0, int(own.q.last-own.q.next)+len(g.ready))
	for i := own.q.next; i < own.q.last; i++ {
		unsent = append(unsent, own.record(own.q.at(i)))
	}
	for _, p := range g.ready {
		off := p.start & uint64(len(own.ring)-1)
		unsent = append(unsent, own.ring[off:off+uint64(p.size)])
	}
	return unsent
}
