package multicast

import (
	"fmt"

	"dfs/hlc"
	"dfs/ids"
	"dfs/sst"
)

// deliverStable delivers what all members have received, up to the cap on a batch (M3).
func (g *Group) deliverStable(s *sst.Snapshot) {
	n := uint64(len(g.members))
	known := uint64(none)
	for i := range g.members {
		m := &g.members[i]
		known = min(known, m.received*n+uint64(i))
		m.stable = m.received
		if m.q.next == m.q.last {
			continue
		}
		for j := range g.members {
			if j != g.place {
				m.stable = min(m.stable, s.Get(g.members[j].rank, g.col.received[i]))
			}
		}
	}
	g.deliver(known, g.cfg.MaxBatch, g.cfg.MaxBatchBytes)
}

// deliver delivers messages in the order of their positions (M2) while they lie below known and below
// stable of their sender. Whole runs of nulls are passed at once: only messages are looked at (M6).
func (g *Group) deliver(known uint64, maxMessages, maxBytes int) {
	n := uint64(len(g.members))
	for i := range g.members {
		g.members[i].findHead(n, uint64(i))
	}
	for bytes := 0; ; {
		place, head := 0, uint64(none)
		for i := range g.members {
			if h := g.members[i].head; h < head {
				place, head = i, h
			}
		}
		m := &g.members[place]
		// A sound member acknowledges a message in the push in which it gives up the slots before it, so
		// what is stable is known; but that is the peers' word, and known is what is seen here.
		if head == none || head >= known || head/n >= m.stable {
			return
		}
		e := m.q.at(m.q.next)
		bytes += int(e.size)
		if len(g.effects.Deliveries) >= maxMessages || bytes > maxBytes && bytes > int(e.size) {
			g.effects.More = true
			return
		}
		g.deliverOne(m, e)
		m.findHead(n, uint64(place))
	}
}

// findHead finds the member's first message that is not delivered. One beyond the trim is none at all.
func (m *member) findHead(n, place uint64) {
	m.head = none
	if m.q.next < m.q.last {
		if index := m.q.at(m.q.next).index; index < m.limit {
			m.head = index*n + place
		}
	}
}

// deliverOne fixes the version and the timestamp of the message (M7, M10).
func (g *Group) deliverOne(m *member, e *entry) {
	if e.index < m.done {
		panic(fmt.Sprintf("multicast: M2: slot %d of member %d after slot %d", e.index, m.rank, m.done))
	}
	t := max(e.time, g.timestamp+1)
	if t <= g.timeFrontier {
		panic(fmt.Sprintf("multicast: M8: timestamp %d at or before the time frontier %d", t, g.timeFrontier))
	}
	g.seq++
	g.timestamp = t
	g.clock.Observe(t)
	e.time, e.seq = t, g.seq
	m.done = e.index + 1
	m.q.next++
	r := m.record(e)
	r.Deliver(ids.MakeVersion(g.cfg.View, uint64(g.seq)), t)
	g.effects.Deliveries = append(g.effects.Deliveries, Delivery{Sender: m.rank, Seq: g.seq, Timestamp: t, Record: r})
}

// Logged says that all deliveries up to seq are logged and applied here. The bytes of their records are
// given back to their senders (M1).
func (g *Group) Logged(seq Seq) {
	if seq < g.logged || seq > g.seq {
		panic(fmt.Sprintf("multicast: M10: logged up to %d after %d, delivered up to %d", seq, g.logged, g.seq))
	}
	n, position := uint64(len(g.members)), uint64(0)
	for i := range g.members {
		m := &g.members[i]
		before := m.released
		for m.q.logged < m.q.next {
			e := m.q.at(m.q.logged)
			if e.seq > seq {
				break
			}
			position = max(position, e.index*n+uint64(i)+1)
			g.loggedTime = max(g.loggedTime, e.time)
			m.q.logged++
			if i != g.place {
				m.q.first, m.released = m.q.logged, e.end
				g.unpushedN++
			}
		}
		if i != g.place {
			g.unpushed += int(m.released - before)
		}
	}
	g.logged = seq
	if position == 0 {
		return
	}
	g.table.SetQuiet(g.col.delivered, position)
	g.free()
	// Nobody waits for these words but a sender that runs out of room, so while nothing else is to be
	// pushed, they go once they are worth it.
	if g.unpushed >= len(g.members[0].ring)/8 || g.unpushedN >= g.cfg.MaxInFlight/8 {
		g.table.Touch()
		g.unpushed, g.unpushedN = 0, 0
	}
}

// Acknowledged returns the position just beyond the last message that was received here: all that any
// member may have delivered by now lies before it, if the row was pushed.
func (g *Group) Acknowledged() Slot { return g.acked }

// Applied returns the position just beyond the last message reported by Logged. Once it reaches what Acknowledged was,
// everything acknowledged then is logged and applied here.
func (g *Group) Applied() Slot { return Slot(g.table.Get(g.col.delivered)) }

// LastLogged returns the last message reported by Logged, and its timestamp, or 0 and Config.After.
func (g *Group) LastLogged() (Seq, hlc.Timestamp) { return g.logged, g.loggedTime }

// LastDelivered returns the last message delivered, and its timestamp, or 0 and Config.After.
func (g *Group) LastDelivered() (Seq, hlc.Timestamp) { return g.seq, g.timestamp }

// WornOut reports that the numbers of this view will run out in some days: another view should be
// installed.
func (g *Group) WornOut() bool { return g.seq > ids.MaxSeq/2 }
