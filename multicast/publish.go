package multicast

import (
	"fmt"

	"dfs/hlc"
	"dfs/record"
)

// Collect, with the outbox, takes over what was committed for the next Step to publish, and gives back
// what the last Step found free of the ring. It reports whether there is more room than before.
func (g *Group) Collect() (room bool) {
	g.ready = g.outbox.take(g.ready)
	o, own := &g.outbox, &g.members[g.place]
	room = o.finished != g.freed
	o.freed, o.finished = own.released, g.freed
	return room
}

// frees reports whether reporting all deliveries as logged would free own messages.
func (g *Group) frees() bool {
	own := &g.members[g.place]
	return own.q.first < own.q.next && own.q.at(own.q.first).index*uint64(len(g.members))+uint64(g.place) < g.elsewhere
}

// free finds which of the own messages every member has delivered and logged (M1).
func (g *Group) free() {
	own, n := &g.members[g.place], uint64(len(g.members))
	for own.q.first < own.q.logged {
		e := own.q.at(own.q.first)
		if e.index*n+uint64(g.place) >= g.elsewhere {
			return
		}
		own.released = e.end
		own.q.first++
		g.freed++
	}
}

// wanted returns how many slots this member must have used up by the null rule (M5).
func (g *Group) wanted() uint64 {
	want := uint64(0)
	for i := range g.members {
		switch sent := g.members[i].received; {
		case i > g.place:
			want = max(want, sent)
		case i < g.place && sent > 0:
			want = max(want, sent-1)
		}
	}
	return want
}

// publish gives slots to all messages that wait, then gives up what slots the null rule asks for.
func (g *Group) publish(now hlc.Timestamp) {
	own, n := &g.members[g.place], uint64(len(g.members))
	ring, sent := uint64(len(own.ring)), own.received
	for _, p := range g.ready {
		off := p.start & (ring - 1)
		if p.pad > 0 {
			at := ring - uint64(p.pad)
			record.BuildPad(own.ring[at:], record.Header{})
			g.write(at, record.HeaderSize)
		}
		stamp := g.clock.Now(now)
		if stamp <= own.stamp || stamp <= own.frontier {
			panic(fmt.Sprintf("multicast: M8: stamp %d after stamp %d and frontier %d", stamp, own.stamp, own.frontier))
		}
		own.stamp = stamp
		record.Record(own.ring[off:off+uint64(p.size)]).Stamp(stamp, sent*n+uint64(g.place))
		g.write(off, uint64(p.size))
		g.tail = p.start + uint64(p.size)
		own.q.push(entry{index: sent, end: g.tail, time: stamp, size: p.size})
		sent++
	}
	if len(g.ready) > 0 {
		g.acked = max(g.acked, Slot((sent-1)*n+uint64(g.place)+1))
		g.ready = g.ready[:0]
		g.table.Set(g.col.tail, g.tail)
		g.promise(own.stamp)
	}
	own.received = max(sent, g.wanted())
	g.table.Set(g.col.sent, own.received)
	g.table.Set(g.col.received[g.place], own.received)
}

// write adds bytes of the own ring to the step's writes. Ranges that touch become one, and the ring
// wraps at most once in a step, so there are at most two.
func (g *Group) write(off, size uint64) {
	w := g.effects.Writes
	if last := len(w) - 1; last >= 0 && w[last].Off+w[last].Len == int(off) {
		w[last].Len += int(size)
		return
	}
	g.effects.Writes = append(w, Range{Off: int(off), Len: int(size)})
}
