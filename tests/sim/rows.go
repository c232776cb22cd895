package sim

import (
	"math/rand/v2"

	"dfs/fabric"
	"dfs/ids"
	"dfs/record"
	"dfs/sst"
	"dfs/views"
)

// rows is the referee of W3 and W5: it sees every row that is pushed.
type rows struct {
	w   *world
	all map[ids.ViewID]*viewRows
	rng *rand.Rand
}

// viewRows is what the members of a view have said last.
type viewRows struct {
	view   views.View
	layout sst.Layout
	rows   [][]uint64 // by rank
}

func newRows(w *world) *rows {
	return &rows{w: w, all: map[ids.ViewID]*viewRows{}, rng: rand.New(rand.NewPCG(w.seed, 0xa11))}
}

// tableView tells the view of a region that holds a table.
func tableView(id fabric.RegionID) (ids.ViewID, bool) {
	return ids.ViewID(id >> 32), id&(1<<31) != 0
}

func (r *rows) view(v ids.ViewID) *viewRows {
	vr := r.all[v]
	if vr == nil {
		view := r.w.views[v]
		n := len(view.Members)
		vr = &viewRows{view: view, layout: sst.Layout{Members: n, Groups: 1}, rows: make([][]uint64, n)}
		for i := range vr.rows {
			vr.rows[i] = make([]uint64, vr.layout.RowWords())
		}
		r.all[v] = vr
	}
	return vr
}

// pushed checks a row that m writes to a peer.
func (r *rows) pushed(m *machine, v ids.ViewID, off int, words []uint64) {
	vr := r.view(v)
	rank := vr.view.Rank(m.id)
	l, row := vr.layout, vr.rows[rank]
	if len(words) != len(row) || off != int(rank)*len(row)*8 {
		r.w.fail("W5: node %d pushes %d words at %d", m.id, len(words), off)
		return
	}
	for i, word := range words {
		if word < row[i] {
			r.w.fail("W5: word %d of node %d in view %d goes from %d to %d", i, m.id, v, row[i], word)
		}
	}
	if row[l.Heartbeat()] == 0 && words[l.Heartbeat()] > 0 {
		r.w.faults.reach(m, pointOpening, 0)
	}
	was := row[l.Persisted(0)]
	copy(row, words)
	if v == m.ringView && row[l.Wedged()] == 1 && !m.wedged {
		m.wedged = true
		r.w.faults.provoke()
	}
	if seq := row[l.Persisted(0)]; seq > was {
		place := r.w.order.ofVersion(ids.MakeVersion(v, seq))
		if place > m.synced {
			r.w.fail("W5: node %d says that %d operations are persisted, it has synced %d", m.id, place, m.synced)
		}
		m.claimed = max(m.claimed, place)
		if r.rng.IntN(40) == 0 {
			r.w.reads.persisted("W5", m, place)
		}
	}
}

// delivers checks that every member has acknowledged a record that m takes out of a ring.
func (r *rows) delivers(m *machine, rec record.Record) {
	v := rec.Header().Version.View()
	if m.wedged || v != m.ringView {
		return // at the end of a view the trim decides, and what was fetched is in no ring
	}
	vr := r.view(v)
	n := uint64(len(vr.rows))
	slot, sender := rec.Position()/n, ids.Rank(rec.Position()%n)
	for rank, peer := range vr.view.Members {
		if got := vr.rows[rank][vr.layout.Received(0, sender)]; peer.Node != m.id && got <= slot {
			r.w.fail("W3: node %d delivers slot %d of member %d; node %d has received %d", m.id, slot, sender, peer.Node, got)
		}
	}
}
