package sim

import (
	"bytes"
	"slices"
	"time"

	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
	"dfs/record"
	"dfs/versionlog"
)

// patience is how long a healed cluster may take until everything has come to an end (W9).
const patience = 15 * time.Second

// comeToRest checks what must hold once everything is healed.
func (w *world) comeToRest() {
	w.runUntil(w.now()+300*time.Millisecond, nil)
	w.quiet = true
	w.finish("end of all calls")
	for _, m := range w.present() {
		if !w.changes.newest.Configured(m.id) {
			m.gone = true // it did not come in
			w.changes.goAway(m)
		}
	}
	for _, m := range w.present() {
		m.heal()
	}
	w.runUntil(w.now()+2*heartbeat, nil)
	w.finish("end of the last failures") // a sync may have failed in the moment before its disk was healed
	w.runUntil(w.now()+2*heartbeat, nil) // the view is open everywhere
	for _, m := range w.present() {
		w.lastWords(m)
	}
	w.finish("end of the last calls")
	if w.rng.IntN(3) == 0 {
		w.backInTime()
	}
	w.scrub()
	w.settled()
	for _, m := range w.present() {
		w.tidy(m)
		w.compareAll(m)
		w.keeps(m)
	}
	w.askAgain()
}

// lastWords asks something of everything from a node of an idle cluster, which has to answer without
// waiting for a timer.
func (w *world) lastWords(m *machine) {
	c := newClient(m, 99)
	create := namespace.Create{Parent: ids.RootIno, Name: "last", Mode: 0o100644}.Encode()
	for _, ask := range []trouble{
		{what: "operation", fn: func() { c.submit(ids.Namespace, create, nil, true) }},
		{what: "read", fn: c.now},
		{what: "read of the past", fn: func() { c.past(ids.Namespace, m.physical()) }},
		{what: "sync", fn: c.sync},
		{what: "sync of an operation", fn: func() { c.submit(ids.Namespace, create, nil, true); c.sync() }},
	} {
		w.runUntil(w.now()+time.Duration(w.rng.Int64N(int64(heartbeat))), nil)
		began, limit := w.now(), patience
		if w.delays.link <= 50*time.Microsecond {
			limit = heartbeat / 10
		}
		ask.fn()
		if !w.runUntil(w.now()+limit, func() bool { return len(m.waiting) == 0 }) {
			w.fail("W9: node %d of an idle cluster takes more than %v for a %s", m.id, w.now()-began, ask.what)
		}
	}
}

// backInTime ends all processes and starts them with clocks that are late: what was asked about must stay (W8).
func (w *world) backInTime() {
	asked := pick(w.rng, w.present()...) // the others learn of it from the next view
	newClient(asked, 98).past(ids.Namespace, asked.physical())
	w.finish("end of the question")
	for _, m := range w.present() {
		m.crash(false)
		m.offset = -clockBound
	}
	for _, m := range w.present() {
		m.start()
	}
	w.finish("start with late clocks")
	for _, m := range w.present() {
		newClient(m, 98).submit(ids.Namespace, namespace.Create{Parent: ids.RootIno, Name: "late", Mode: 0o100644}.Encode(), nil, true)
	}
	w.finish("end of calls with late clocks")
}

// settled checks that everything is persisted everywhere after a while, though nobody asks for it.
func (w *world) settled() {
	w.runUntil(w.now()+syncAfter+2*heartbeat, nil)
	for _, m := range w.present() {
		if m.synced != len(w.order.entries) {
			w.fail("W4: node %d has synced %d of %d operations after a while", m.id, m.synced, len(w.order.entries))
		}
		w.reads.persisted("W4", m, m.pos)
	}
}

// tidy checks that a node has let go of the memory of views before: what is left is the table and a ring of each other member.
func (w *world) tidy(m *machine) {
	view := w.views[m.ringView]
	for id := range m.regions {
		if ids.ViewID(id>>32) != view.ID {
			w.fail("W13: node %d is in view %d, and peers may write into region %#x", m.id, view.ID, id)
		}
	}
	if len(m.regions) != len(view.Members) {
		w.fail("W13: node %d has %d regions for a view of %d members", m.id, len(m.regions), len(view.Members))
	}
	for _, o := range w.present() {
		if o != m && !w.net.Connected(m.id, o.id) {
			w.fail("W13: nodes %d and %d have no connection", m.id, o.id)
		}
	}
}

// compareAll compares the whole newest state of a node with the model, and with itself.
func (w *world) compareAll(m *machine) {
	at := w.order.timeAt(len(w.order.entries))
	w.order.run(len(w.order.entries))
	problem := func(text string) { w.fail("W6: node %d: %s", m.id, text) }
	for sub := range ids.Subgroup(dataShards + 1) {
		r := m.index.At(sub, at)
		if a, b := digest(sub, r), digest(sub, w.order.model.at(sub, at)); a != b {
			w.fail("W6: node %d has digest %x of subgroup %d, the model %x", m.id, a, sub, b)
		}
		if sub == ids.Namespace {
			namespace.Check(r, problem)
		} else {
			objects.Check(r, problem)
		}
	}
}

// keeps checks that a node has the data of every operation that it is to keep.
func (w *world) keeps(m *machine) {
	has := map[ids.Version]bool{}
	err := m.log.Scan(0, func(_ versionlog.LSN, r record.Record) error {
		place := w.order.ofVersion(r.Header().Version) - 1
		if !r.Hollow() && place >= 0 && place < len(w.order.entries) && bytes.Equal(r.Data(), w.order.entries[place].data) {
			has[r.Header().Version] = true
		}
		return nil
	})
	if err != nil {
		w.fail("W4: the log of node %d cannot be read: %v", m.id, err)
	}
	view := w.views[m.ringView]
	for _, nodes := range view.Layouts() {
		for _, e := range w.order.entries {
			if len(e.data) > 0 && slices.Contains(w.keepersOf(nodes, e.sub), m.id) {
				w.count.homes++
				if !has[e.version] {
					w.fail("W11: node %d keeps shard %d of nodes %v, but not the data of %v, version %v", m.id, e.sub, nodes, e.id, e.version)
				}
			}
		}
	}
}

// askAgain asks every node what was answered about the past.
func (w *world) askAgain() {
	for _, m := range w.present() {
		c := newClient(m, 100)
		for _, a := range append([]answer(nil), w.reads.past...) {
			c.past(a.sub, a.at)
		}
	}
	w.finish("answer about the past")
}

// finish runs until nobody waits for anything and all replicas have everything.
func (w *world) finish(what string) {
	if !w.runUntil(w.now()+patience, w.resting) {
		for _, m := range w.present() {
			for _, q := range m.waiting {
				w.note(m.id, "waits for "+q.what, uint64(q.since), 0)
			}
			if m.node == nil {
				w.note(m.id, "is down", 0, 0)
				continue
			}
			w.note(m.id, "has", uint64(m.pos), uint64(len(w.order.entries)))
		}
		w.fail("W9: %v after everything was healed there is no %s", patience, what)
	}
}

// resting reports whether all configured machines are in one view, with nothing under way.
func (w *world) resting() bool {
	v := w.changes.newest
	for _, p := range v.Nodes {
		m := w.machines[p.Node-1]
		if m.node == nil || m.wedged || m.ringView != v.ID {
			return false
		}
		if len(m.waiting) > 0 || m.pos != len(w.order.entries) {
			return false
		}
	}
	return v.ID > 0 && len(v.Layouts()) == 1 && len(v.Members) == len(v.Nodes) && w.changes.replaced == nil
}
