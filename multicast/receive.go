package multicast

import (
	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
	"dfs/sst"
)

// checkRow checks what member m says of this group beyond what the table knows to check (M11).
func (g *Group) checkRow(s *sst.Snapshot, place int, m *member, now hlc.Timestamp) error {
	n := uint64(len(g.members))
	delivered := s.Get(m.rank, g.col.delivered)
	// To pass a position a member must know the slots of all before it, its own and this one's.
	if own := g.members[g.place].received*n + uint64(g.place); delivered > own {
		return errs.New(errs.Corrupt, "delivered up to position %d, this member used them up to %d", delivered, own)
	}
	if its := s.Get(m.rank, g.col.sent)*n + uint64(place); delivered > its {
		return errs.New(errs.Corrupt, "delivered up to position %d and used its own up to %d", delivered, its)
	}
	for _, c := range [...]sst.Column{g.col.frontier, g.col.wantFrontier} {
		if t := hlc.Timestamp(s.Get(m.rank, c)); t > now+g.cfg.MaxAhead {
			return errs.New(errs.Corrupt, "its time %v is too far ahead of %v", t, now)
		}
	}
	return nil
}

// receive takes over what member m has published as of the snapshot, and acknowledges it in the own row.
//
// Only records of slots below Sent are taken, though Tail may be fresher and cover more: so what one
// step takes is what its push acknowledges, and Arrived can name it.
func (g *Group) receive(s *sst.Snapshot, place int, m *member, now hlc.Timestamp) error {
	sent, tail := s.Get(m.rank, g.col.sent), s.Get(m.rank, g.col.tail)
	if sent == m.received {
		return nil
	}
	if tail%record.Align != 0 || tail-m.released > uint64(len(m.ring)) {
		return errs.New(errs.Corrupt, "published %d bytes of a ring of %d, only %d are given back (M1)", tail, len(m.ring), m.released)
	}
	next := m.received
	for m.parsed < tail {
		r, err := g.parse(m, tail)
		if err != nil {
			return err
		}
		if r.Kind() == record.Pad {
			m.parsed += uint64(r.Size())
			continue
		}
		index, err := g.checkRecord(r, place, m, next, now)
		if err != nil {
			return err
		}
		if index >= sent {
			break
		}
		m.parsed += uint64(len(r))
		m.stamp = r.Timestamp()
		m.q.push(entry{index: index, end: m.parsed, time: m.stamp, size: uint32(len(r))})
		next = index + 1
	}
	m.received = sent
	if m.arrived == m.q.last {
		// Only nulls: nobody waits to hear of them (M6).
		g.table.SetQuiet(g.col.received[place], sent)
		return nil
	}
	g.acked = max(g.acked, Slot((next-1)*uint64(len(g.members))+uint64(place)+1))
	g.table.Set(g.col.received[place], sent)
	return nil
}

// parse verifies the record at the place up to which m's ring was read.
func (g *Group) parse(m *member, tail uint64) (record.Record, error) {
	ring := uint64(len(m.ring))
	off := m.parsed & (ring - 1)
	r, err := record.Parse(m.ring[off:min(off+tail-m.parsed, ring)])
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "ring at byte %d", m.parsed)
	}
	size := uint64(r.Size())
	switch kind := r.Kind(); {
	case kind == record.Pad && (off+size != ring || m.parsed+size > tail):
		return nil, errs.New(errs.Corrupt, "ring at byte %d: a pad of %d bytes does not end the ring of %d", m.parsed, size, ring)
	case kind != record.Pad && kind != record.Op || r.Hollow():
		return nil, errs.New(errs.Corrupt, "ring at byte %d: a record of kind %d", m.parsed, kind)
	case kind == record.Op && size > ring/maxShare:
		return nil, errs.New(errs.Corrupt, "ring at byte %d: a message of %d bytes in a ring of %d", m.parsed, size, ring)
	}
	return r, nil
}

// checkRecord returns the slot of a record of m, which must be one from next on, and checks its stamp
// against what m sent and promised before (M8).
func (g *Group) checkRecord(r record.Record, place int, m *member, next uint64, now hlc.Timestamp) (index uint64, err error) {
	n, pos, t := uint64(len(g.members)), r.Position(), r.Timestamp()
	index = pos / n
	switch {
	case pos%n != uint64(place) || index < next || index > sst.MaxSlots:
		return 0, errs.New(errs.Corrupt, "ring at byte %d: position %d, want one of place %d of %d from slot %d on",
			m.parsed, pos, place, n, next)
	case t <= m.stamp || t <= m.frontier:
		return 0, errs.New(errs.Corrupt, "ring at byte %d: stamp %v after stamp %v and frontier %v (M8)",
			m.parsed, t, m.stamp, m.frontier)
	case t > now+g.cfg.MaxAhead:
		return 0, errs.New(errs.Corrupt, "ring at byte %d: stamp %v is too far ahead of %v", m.parsed, t, now)
	}
	return index, nil
}

// Published calls fn with each own message that the last Step gave a slot, before its Writes make it known. It is to be
// called before Logged.
func (g *Group) Published(fn func(r record.Record)) {
	own := &g.members[g.place]
	for j := own.arrived; j < own.q.last; j++ {
		fn(own.record(own.q.at(j)))
	}
}

// Arrived calls fn with each message of other members that the last Step counted as received, and
// so acknowledges with the next push of the row. It is to be called before Logged.
func (g *Group) Arrived(fn func(sender ids.Rank, r record.Record)) {
	for i := range g.members {
		if m := &g.members[i]; i != g.place {
			for j := m.arrived; j < m.q.last; j++ {
				fn(m.rank, m.record(m.q.at(j)))
			}
		}
	}
}
