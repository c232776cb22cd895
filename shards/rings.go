package shards

import (
	"dfs/ids"
	"dfs/multicast"
	"dfs/record"
)

// write sends new bytes of the own ring to every other member, without the data that a member does not keep (G9): what
// lies at its place there is never looked at.
func (n *Node) write(v *activeView, o *order, ranges []multicast.Range) {
	if len(ranges) == 0 {
		return
	}
	region, ring := ringRegion(v.ID, o.id, v.rank), o.rings[v.rank]
	n.parts = n.parts[:0]
	if !v.homes.everywhere {
		for _, w := range ranges {
			n.parts = appendParts(n.parts, ring, w)
		}
	}
	for r, m := range v.Members {
		switch {
		case ids.Rank(r) == v.rank:
		case v.homes.everywhere:
			for _, w := range ranges {
				n.fab.Write(m.Node, region, w.Off, ring[w.Off:w.Off+w.Len])
			}
		default:
			wanted(n.parts, func(sub ids.Subgroup) bool { return v.homes.keeps(m.Node, sub) }, func(off, end int) {
				n.fab.Write(m.Node, region, off, ring[off:end])
			})
		}
	}
}

// part is a run of bytes of the own ring: the data of a record, or what is between such.
type part struct {
	off, end int
	data     bool
	sub      ids.Subgroup // whose data
}

// appendParts takes apart a range of the own ring, which is whole records, or ends with the header of a pad.
func appendParts(parts []part, ring []byte, w multicast.Range) []part {
	from, end := w.Off, w.Off+w.Len
	for off := w.Off; off < end; {
		r := record.Record(ring[off:])
		if r.Kind() == record.Pad {
			break
		}
		next := off + record.Size(len(r.Op()), r.DataLen())
		if r.DataLen() > 0 {
			at := off + r.DataOffset()
			parts = append(parts, part{off: from, end: at}, part{off: at, end: next, data: true, sub: r.Subgroup()})
			from = next
		}
		off = next
	}
	if from < end {
		parts = append(parts, part{off: from, end: end})
	}
	return parts
}

// wanted calls write with the runs of parts that a member gets, which keeps what keeps says.
func wanted(parts []part, keeps func(ids.Subgroup) bool, write func(off, end int)) {
	from, end := 0, 0
	for _, p := range parts {
		if p.data && !keeps(p.sub) {
			continue
		}
		if p.off != end && from < end {
			write(from, end)
			from = p.off
		} else if p.off != end {
			from = p.off
		}
		end = p.end
	}
	if from < end {
		write(from, end)
	}
}

// stored returns the record as this node's log is to have it: without the data if that is kept by others.
func (n *Node) stored(h *homes, r record.Record) record.Record {
	if h.everywhere || r.DataLen() == 0 || h.keeps(n.cfg.Self.Node, r.Subgroup()) {
		return r
	}
	return r.Hollowed()
}
