package sim

import (
	"bytes"
	"fmt"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
	"dfs/record"
)

// opID names an operation by who submitted it.
type opID struct {
	node    ids.NodeID
	life    uint32
	counter uint64
}

func (o opID) String() string {
	return fmt.Sprintf("operation %d of node %d.%d", o.counter, o.node, o.life)
}

// entry is an operation at its place in the order, as the first replica had it that appended it.
type entry struct {
	id      opID
	version ids.Version
	time    hlc.Timestamp
	sub     ids.Subgroup
	op      []byte
	data    []byte
	kind    errs.Kind // what the model answered
	body    []byte
}

// is reports whether a record is the entry.
func (e *entry) is(r record.Record) bool {
	h := r.Header()
	return e.version == h.Version && e.time == h.Timestamp && e.id == opID{h.Origin, h.Incarnation, h.Counter} && e.sub == h.Subgroup &&
		bytes.Equal(e.op, r.Op()) && hasData(r, e.data)
}

// hasData reports whether a record is one of these data, here or elsewhere.
func hasData(r record.Record, data []byte) bool {
	if r.Hollow() {
		return r.DataLen() == len(data) && r.VerifyPart(0, data)
	}
	return bytes.Equal(r.Data(), data)
}

// order is the referee of W1, W2, W4 and W6: the one sequence that all logs are prefixes of.
type order struct {
	w       *world
	entries []entry
	place   map[opID]int
	data    map[opID][]byte // as it was submitted
	last    map[ids.NodeID]opID
	model   *model
	modeled int        // entries that the model has applied
	safe    int        // entries before this were said to be persisted everywhere: no failure may take them
	shown   int        // entries before this were delivered in an open view; what ends one is not seen before the next
	over    ids.ViewID // views before this one were given up, with what only others had of them
	cuts    []int      // where power failures have cut the order, one after the other
}

func newOrder(w *world) *order {
	return &order{w: w, place: map[opID]int{}, data: map[opID][]byte{}, last: map[ids.NodeID]opID{}, model: newModel()}
}

// appended notes that machine m has r in its log, at the next place.
func (o *order) appended(m *machine, r record.Record) {
	if v := r.Header().Version.View(); o.lost(m.pos, r) {
		if !m.wedged {
			o.mayLose(m, v)
		}
		m.diverged = true // nobody who goes on has this
	}
	if m.diverged {
		return
	}
	o.found(m, m.pos, r)
	if v := r.Header().Version.View(); v == m.ringView && m.pos > 0 && o.entries[m.pos-1].version.View() < v {
		o.safe = max(o.safe, m.pos) // all members had synced this before the view opened
	}
	m.pos++
	if !m.wedged {
		o.shown = max(o.shown, m.pos)
		if v := r.Header().Version.View(); v == m.ringView {
			o.w.serving = max(o.w.serving, v)
		}
	}
}

// mayLose checks that what was delivered in an open view may be lost: that a majority of the nodes does not remember where
// it ended, as it takes one to go on without it; or that those who do, and are there, are not keepers of all shards.
func (o *order) mayLose(m *machine, v ids.ViewID) {
	view := o.w.views[v]
	if know := o.w.memories(v); 2*len(know) >= len(view.Nodes) && !o.w.dataAway(m, v, know) {
		o.w.fail("W4: what view %d delivered is lost, as node %d shows, though nodes %v of %d remember it", v, m.id, know, len(view.Nodes))
	}
}

// found notes that machine m has r in its log at a place.
func (o *order) found(m *machine, place int, r record.Record) {
	h := r.Header()
	id := opID{h.Origin, h.Incarnation, h.Counter}
	if place < len(o.entries) && o.superseded(m, place, h.Version) {
		o.over = max(o.over, m.ringView)
		o.lose(m, place)
	}
	if place < len(o.entries) {
		if e := &o.entries[place]; !e.is(r) {
			o.w.fail("W1: at place %d node %d has %v at %v, %v; elsewhere it is %v at %v, %v",
				place, m.id, id, h.Version, int64(h.Timestamp), e.id, e.version, int64(e.time))
		}
		return
	}
	if n := len(o.entries); n > 0 {
		if prev := &o.entries[n-1]; h.Version <= prev.version || h.Timestamp <= prev.time {
			o.w.fail("W1: node %d appends %v at %v, %d after %v at %v, %d", m.id, id, h.Version, h.Timestamp, prev.id, prev.version, prev.time)
		}
	}
	if last, ok := o.last[id.node]; id.life < last.life || id.life == last.life && id.counter != last.counter+1 ||
		id.life > last.life && id.counter != 1 {
		o.w.fail("W2: node %d appends %v after %v (%v)", m.id, id, last, ok)
	}
	if t := o.w.reads.answered; h.Timestamp <= t {
		o.w.fail("W8: node %d appends %v, version %v, at %d, but %d was answered about; over %d, ring %d", m.id, id, h.Version, h.Timestamp, t, o.over, m.ringView)
	}
	if !hasData(r, o.data[id]) {
		o.w.fail("W1: node %d appends %v with data that was not submitted", m.id, id)
	}
	o.last[id.node] = id
	o.place[id] = len(o.entries)
	o.entries = append(o.entries, entry{
		id: id, version: h.Version, time: h.Timestamp, sub: h.Subgroup,
		op: bytes.Clone(r.Op()), data: o.data[id],
	})
}

// timeAt returns the timestamp of the last entry before a place.
func (o *order) timeAt(place int) hlc.Timestamp {
	if place == 0 {
		return 0
	}
	return o.entries[place-1].time
}

// upTo returns how many entries are at or before t.
func (o *order) upTo(t hlc.Timestamp) int {
	n := len(o.entries)
	for n > 0 && o.entries[n-1].time > t {
		n--
	}
	return n
}

// ofVersion returns how many entries there are up to a version.
func (o *order) ofVersion(v ids.Version) int {
	n := len(o.entries)
	for n > 0 && o.entries[n-1].version > v {
		n--
	}
	return n
}

// run brings the model to a place.
func (o *order) run(place int) {
	for ; o.modeled < place; o.modeled++ {
		e := &o.entries[o.modeled]
		w := o.model.writer(e.sub, e.time)
		if e.sub == ids.Namespace {
			e.kind, e.body = namespace.Apply(w, e.time, e.op)
		} else {
			e.kind, e.body = objects.Apply(w, e.time, e.op, objects.DataRef{LSN: uint64(o.modeled + 1), Len: len(e.data)})
		}
	}
}

// crashed finds out what nobody has any more after m crashed, and takes it off the end of the order (W4).
func (o *order) crashed(m *machine) {
	if m.pos < m.claimed {
		o.w.fail("W4: the disk of node %d has %d operations after a crash, %d were said to be persisted", m.id, m.pos, m.claimed)
	}
	held := 0
	for _, m := range o.w.machines {
		has := m.pos
		// What anyone delivered in a view lies in the rings of all who are in it (W3). Of views before it a member has no
		// more than its log: that was complete when it entered (V1).
		for m.node != nil && has < len(o.entries) && o.entries[has].version.View() == m.ringView {
			has++
		}
		held = max(held, has)
	}
	o.lose(m, held)
}

// superseded reports whether a member of a later view appends another entry at a place: those who are in it did not have what
// was there.
func (o *order) superseded(m *machine, place int, v ids.Version) bool {
	return m.node != nil && m.ringView > 0 && v.View() == m.ringView && o.entries[place].version.View() < v.View()
}

// cut checks that m may be told to forget what it has from a place on. Others may have it still, and come back with it.
func (o *order) cut(m *machine, place int) {
	if place < o.safe {
		o.w.fail("W4: node %d is to cut its log at %d, %d operations were persisted everywhere", m.id, place, o.safe)
	}
	for i := place; i < min(m.pos, o.shown); i++ {
		o.mayLose(m, o.entries[i].version.View())
	}
}

// goesOn takes off what a machine lacks that shows the state of a later view.
func (o *order) goesOn(m *machine) {
	if m.pos < len(o.entries) && o.entries[m.pos].version.View() < m.ringView && !m.diverged {
		o.over = max(o.over, m.ringView)
		o.lose(m, m.pos)
	}
}

// lost reports whether a record that a log has at a place is not of the order any more: a later view went on without it.
func (o *order) lost(place int, r record.Record) bool {
	v := r.Header().Version
	if place < len(o.entries) {
		return !o.entries[place].is(r) && o.entries[place].version.View() > v.View()
	}
	return v.View() < o.over || place > 0 && o.entries[len(o.entries)-1].version.View() > v.View()
}

// lose takes off what nobody has any more, or nobody who goes on.
func (o *order) lose(m *machine, held int) {
	if held == len(o.entries) {
		return
	}
	for _, m := range o.w.machines {
		m.claimed = min(m.claimed, held)
		if m.pos > held {
			m.pos, m.diverged = held, true
		}
	}
	if held < o.safe {
		o.w.fail("W4: %d operations are left anywhere, %d were persisted everywhere", held, o.safe)
	}
	first := o.entries[held]
	for i, e := range o.entries[held:max(held, o.shown)] {
		if i == 0 || e.version.View() != o.entries[held+i-1].version.View() {
			o.mayLose(m, e.version.View())
		}
	}
	o.shown = min(o.shown, held)
	o.w.note(m.id, "lost", uint64(held), uint64(len(o.entries)))
	o.cuts = append(o.cuts, held)
	clear(o.last)
	for _, e := range o.entries[held:] {
		delete(o.place, e.id)
	}
	o.entries = o.entries[:held]
	for _, e := range o.entries {
		o.last[e.id.node] = e.id
	}
	if o.modeled > held {
		o.modeled = held
		o.model.cut(first.time)
	}
	o.w.reads.forget(held, first.time)
}

// left returns a place less what was cut off since there were so many cuts.
func (o *order) left(place, cuts int) int {
	for _, cut := range o.cuts[cuts:] {
		place = min(place, cut)
	}
	return place
}

// result checks what a call answered (W6).
func (o *order) result(m *machine, id opID, kind errs.Kind, body []byte, t hlc.Timestamp, v ids.Version) {
	if m.diverged || m.dying {
		return
	}
	place, ok := o.place[id]
	if !ok || place >= m.pos {
		o.w.fail("W6: the call of %v is over, but node %d has not delivered it", id, m.id)
		return
	}
	o.run(place + 1)
	if e := &o.entries[place]; e.kind != kind || e.time != t || e.version != v || !bytes.Equal(e.body, body) {
		o.w.fail("W6: %v answered %v, %x at %v, %d; the model says %v, %x at %v, %d", id, kind, body, v, t, e.kind, e.body, e.version, e.time)
	}
	o.w.reads.over(place + 1)
}
