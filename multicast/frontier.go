package multicast

import (
	"fmt"

	"dfs/hlc"
	"dfs/sst"
)

// TimeFrontier returns the time up to which this node has logged and applied everything: no message
// with a timestamp at or before it will be delivered here any more (M8). It never decreases.
func (g *Group) TimeFrontier() hlc.Timestamp {
	least := hlc.Latest
	for i := range g.members {
		m := &g.members[i]
		t := m.frontier
		// What is in the queue may be older than the promise, which is about what comes after it. Its
		// stamps ascend, and a null has none and holds up nothing (M6).
		if m.q.logged < m.q.last {
			t = min(t, m.q.at(m.q.logged).time-1)
		}
		least = min(least, t)
	}
	g.timeFrontier = max(g.timeFrontier, g.loggedTime, least)
	return g.timeFrontier
}

// PromiseFrontier promises that this member stamps nothing at or before now any more (M8). A wedged
// member promises nothing (M4).
func (g *Group) PromiseFrontier(now hlc.Timestamp) {
	if g.wedged {
		return
	}
	g.clock.Observe(now)
	if g.promise(g.clock.Last()) {
		g.table.Touch()
	}
}

// promise raises the own Frontier to t, which the clock has passed, and reports whether that was higher.
// It goes with the next push.
func (g *Group) promise(t hlc.Timestamp) bool {
	own := &g.members[g.place]
	if t <= own.frontier {
		return false
	}
	own.frontier = t
	return g.table.SetQuiet(g.col.frontier, uint64(t))
}

// WantFrontier asks all members to promise t at once, and does so itself. t should not be far ahead of
// the physical clock (Config.MaxAhead). TimeFrontier reaches t when all have heard of it and what they had sent is
// applied here.
func (g *Group) WantFrontier(t hlc.Timestamp) {
	if g.wedged || t <= g.timeFrontier {
		return
	}
	if old := g.table.Get(g.col.wantFrontier); uint64(t) > old {
		g.table.Set(g.col.wantFrontier, uint64(t))
	}
	g.clock.Observe(t)
	g.promise(t)
}

// watchTime takes note of the promises of others, and makes those that they ask for. If the row is to
// be pushed anyhow, the own promise travels along.
func (g *Group) watchTime(s *sst.Snapshot, now hlc.Timestamp) {
	own, wanted := &g.members[g.place], hlc.Timestamp(0)
	for i := range g.members {
		if m := &g.members[i]; i != g.place {
			m.frontier = max(m.frontier, hlc.Timestamp(s.Get(m.rank, g.col.frontier)))
			wanted = max(wanted, hlc.Timestamp(s.Get(m.rank, g.col.wantFrontier)))
		}
	}
	if wanted > own.frontier {
		g.clock.Observe(wanted)
		g.PromiseFrontier(now)
	} else if g.table.DirtyForAll() {
		g.clock.Observe(now)
		g.promise(g.clock.Last())
	}
}

// SetPersisted says that all messages up to seq, which are logged, are durable here.
func (g *Group) SetPersisted(seq Seq) {
	if seq > g.logged {
		panic(fmt.Sprintf("multicast: M10: persisted up to %d, logged up to %d", seq, g.logged))
	}
	old := Seq(g.table.Get(g.col.persisted))
	if !g.table.SetQuiet(g.col.persisted, uint64(seq)) {
		return
	}
	for i := range g.members {
		if m := &g.members[i]; m.wants > old {
			g.table.TouchFor(m.rank)
		}
	}
}

// PersistedByAll returns the last message that is durable at every member, as of the last Step.
func (g *Group) PersistedByAll() Seq {
	return min(g.persistedElsewhere, Seq(g.table.Get(g.col.persisted)))
}

// WantPersisted asks all members to persist the messages up to seq soon.
func (g *Group) WantPersisted(seq Seq) {
	if uint64(seq) > g.table.Get(g.col.wantPersisted) {
		g.table.Set(g.col.wantPersisted, uint64(seq))
	}
}

// WillWantPersisted is WantPersisted for messages about to be sent: it travels with the push that tells of
// them, so that who has them knows at once that it should persist them.
func (g *Group) WillWantPersisted(seq Seq) {
	if uint64(seq) > g.table.Get(g.col.wantPersisted) {
		g.table.SetQuiet(g.col.wantPersisted, uint64(seq))
	}
}

// SyncNow reports that some member waits for messages that are logged here but not persisted: sync the
// log, then call SetPersisted. Messages only: a null is in no log, so nobody waits for one (M6).
func (g *Group) SyncNow() bool {
	persisted := g.table.Get(g.col.persisted)
	return uint64(g.logged) > persisted && max(uint64(g.wantedSeq), g.table.Get(g.col.wantPersisted)) > persisted
}

// watchPersistence takes note of what others have persisted and want. It goes on in a wedged group.
func (g *Group) watchPersistence(s *sst.Snapshot) {
	least := Seq(none)
	for i := range g.members {
		m := &g.members[i]
		if i == g.place {
			continue
		}
		least = min(least, Seq(s.Get(m.rank, g.col.persisted)))
		wants := Seq(s.Get(m.rank, g.col.wantPersisted))
		if wants > m.wants && Seq(g.table.Get(g.col.persisted)) > m.wants {
			g.table.TouchFor(m.rank) // it went beyond what this member wanted, so quietly
		}
		m.wants = wants
		g.wantedSeq = max(g.wantedSeq, wants)
	}
	g.persistedElsewhere = least
}
