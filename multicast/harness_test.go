package multicast

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"dfs/hlc"
	"dfs/ids"
	"dfs/record"
	"dfs/sst"
)

// The harness runs the groups of one view in one goroutine. Between any two of them is a link that carries, in order,
// what the one wrote: ring bytes, copied from the sender's memory only when they arrive, as a fabric
// may do, and rows, which arrive word by word.

// parcel is one write under way: bytes of the sender's ring, or a row.
type parcel struct {
	off  int    // in the ring, or in the table in words
	ring []byte // memory of the sender, nil for a row
	row  []uint64
	done int // bytes or words that have arrived
}

type link struct{ parcels []*parcel }

type openMessage struct {
	r  Reservation
	at uint64 // its number at its origin
}

// actor is one node: a member of the group in this view.
type actor struct {
	id    int      // for all views
	rank  ids.Rank // in this view
	place int      // in this group
	clock *hlc.Clock
	skew  hlc.Timestamp

	table *sst.Table
	snap  *sst.Snapshot
	mem   []uint64
	rings [][]byte
	g     *Group
	links []*link // to each place

	open     []openMessage
	sent     uint64          // messages reserved in all views
	seen     int             // deliveries of this view
	arrived  map[uint64]bool // positions of the messages that Arrived has named
	unlogged []Delivery      // delivered, not logged
	frontier hlc.Timestamp
	dead     bool
}

// event is one delivery, as the first member that made it saw it.
type event struct {
	origin  int
	counter uint64
	time    hlc.Timestamp
}

// world is a view of a cluster, with its referees.
type world struct {
	t      testing.TB
	rng    *rand.Rand
	view   ids.ViewID
	now    hlc.Timestamp
	actors []*actor
	order  []event        // of this view
	last   map[int]uint64 // by origin: the last message delivered, over all views
	latest hlc.Timestamp  // timestamp of the last delivery, over all views
	limits Config         // MaxInFlight, MaxBatch, MaxBatchBytes
	ring   int
	spare  int // members of the view that are not in the group
}

func newWorld(t testing.TB, rng *rand.Rand, n, ring int) *world {
	w := &world{t: t, rng: rng, now: 1_000_000, last: map[int]uint64{}, ring: ring}
	for i := range n {
		w.actors = append(w.actors, &actor{id: i, clock: &hlc.Clock{}})
	}
	return w
}

// install starts the next view with those who are in w.actors.
func (w *world) install() {
	n := len(w.actors)
	w.view++
	w.order = nil
	after := w.latest
	ranks := make([]ids.Rank, 0, n)
	for r := range n + w.spare {
		// The group is the last n of the view's members, or all.
		if r >= w.spare {
			ranks = append(ranks, ids.Rank(r))
		}
	}
	for _, a := range w.actors {
		if a.g != nil {
			after = max(after, hlc.Timestamp(a.table.Get(a.table.Layout().Frontier(1))))
		}
	}
	layout := sst.Layout{Members: n + w.spare, Groups: 2}
	for i, a := range w.actors {
		a.rank, a.place, a.seen, a.open, a.unlogged = ranks[i], i, 0, nil, nil
		a.arrived = map[uint64]bool{}
		a.mem = make([]uint64, layout.Words())
		a.table, a.snap = sst.New(layout, a.rank, a.mem), sst.NewSnapshot(layout)
		a.rings, a.links = nil, nil
		for range n {
			a.rings = append(a.rings, make([]byte, w.ring))
			a.links = append(a.links, &link{})
		}
		g, err := New(Config{
			Table: a.table, Group: 1, View: w.view, Members: ranks, Rings: a.rings, Clock: a.clock, After: after,
			MaxInFlight: w.limits.MaxInFlight, MaxBatch: w.limits.MaxBatch, MaxBatchBytes: w.limits.MaxBatchBytes,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		a.g = g
	}
	w.latest = max(w.latest, after)
}

// text is what the message says: its name and some filler that depends on it.
func text(id int, counter uint64, n int) []byte {
	b := fmt.Appendf(nil, "%d/%d ", id, counter)
	for i := len(b); i < n; i++ {
		b = append(b, byte(i*7+id*31+int(counter)))
	}
	return b
}

// reserve makes the next message of a, with opLen and dataLen bytes, ready to be committed.
func (w *world) reserve(a *actor, opLen, dataLen int) bool {
	op := text(a.id, a.sent+1, opLen)
	if !a.g.Outbox().Fits(len(op), dataLen) {
		return false
	}
	r, ok := a.g.Outbox().Reserve(len(op), dataLen)
	if !ok {
		return false
	}
	a.sent++
	h := record.Header{Kind: record.Op, Origin: ids.NodeID(a.id), Counter: a.sent, Subgroup: 1}
	record.Build(r.Buf, h, op, text(a.id, a.sent, dataLen)[:dataLen])
	a.open = append(a.open, openMessage{r: r, at: a.sent})
	return true
}

// commit finishes one of the open messages.
func (w *world) commit(a *actor, i int) {
	a.g.Outbox().Commit(a.open[i].r)
	a.open = append(a.open[:i], a.open[i+1:]...)
}

// again sends what a could not deliver in the view before, as far as there is room.
func (w *world) again(a *actor, unsent []record.Record) []record.Record {
	for len(unsent) > 0 {
		h := unsent[0].Header()
		r, ok := a.g.Outbox().Reserve(int(h.OpLen), int(h.DataLen))
		if !ok {
			break
		}
		copy(r.Buf, unsent[0])
		a.g.Outbox().Commit(r)
		unsent = unsent[1:]
	}
	return unsent
}

// step is one turn of a's loop; what was delivered is not logged yet.
func (w *world) step(a *actor, heartbeat bool) *Effects {
	a.g.Collect()
	if err := a.table.Snapshot(a.snap); err != nil {
		w.t.Fatalf("node %d: %v", a.id, err)
	}
	before := a.g.ReceivedVector(nil)
	e, err := a.g.Step(a.snap, w.now+a.skew)
	if err != nil {
		w.t.Fatalf("node %d: %v", a.id, err)
	}
	w.checkArrivals(a, before)
	w.send(a, e, heartbeat)
	for _, d := range e.Deliveries {
		w.delivered(a, d, false)
	}
	a.unlogged = append(a.unlogged, e.Deliveries...)
	return e
}

// send puts the effects of a step on the links.
func (w *world) send(a *actor, e *Effects, heartbeat bool) {
	if len(e.Writes) > 2 {
		w.t.Fatalf("node %d: %d ranges in one step", a.id, len(e.Writes))
	}
	for i, l := range a.links {
		if i == a.place {
			continue
		}
		for _, r := range e.Writes {
			l.parcels = append(l.parcels, &parcel{off: r.Off, ring: a.rings[a.place][r.Off : r.Off+r.Len]})
		}
		if a.table.DirtyFor(w.actors[i].rank) || heartbeat {
			l.parcels = append(l.parcels, &parcel{off: a.table.RowOffset() / 8, row: append([]uint64(nil), a.table.Row()...)})
		}
	}
	a.table.Pushed()
}

// underWay reports whether anything that a sent has not arrived.
func (a *actor) underWay() bool {
	for _, l := range a.links {
		if len(l.parcels) > 0 {
			return true
		}
	}
	return false
}

// checkSilence checks what holds when nothing moves.
func (w *world) checkSilence() {
	for _, a := range w.actors {
		if a.table.Dirty() || a.g.Applied() != a.g.Acknowledged() {
			w.t.Fatalf("M5: node %d: in silence, %d is acknowledged and %d applied, dirty %v", a.id, a.g.Acknowledged(), a.g.Applied(), a.table.Dirty())
		}
	}
}

// carry moves up to size bytes or words of the first parcel from a to the member at place to.
func (w *world) carry(a *actor, to, size int) bool {
	l := a.links[to]
	if len(l.parcels) == 0 {
		return false
	}
	p, b := l.parcels[0], w.actors[to]
	if p.ring != nil {
		size = min(size, len(p.ring)-p.done)
		copy(b.rings[a.place][p.off+p.done:], p.ring[p.done:p.done+size])
	} else {
		size = min(size, len(p.row)-p.done)
		copy(b.mem[p.off+p.done:], p.row[p.done:p.done+size])
	}
	if p.done += size; p.done == len(p.ring)+len(p.row) {
		l.parcels = l.parcels[1:]
	}
	return true
}

// carryAll empties every link.
func (w *world) carryAll() (moved bool) {
	for _, a := range w.actors {
		for to := range w.actors {
			for w.carry(a, to, 1<<30) {
				moved = true
			}
		}
	}
	return moved
}

// log reports everything up to the i-th unlogged delivery as logged, after a last look at its bytes: nobody
// may have touched them (M1).
func (w *world) log(a *actor, n int) {
	for _, d := range a.unlogged[:n] {
		w.checkContent(a, d)
	}
	if n > 0 {
		a.g.Logged(a.unlogged[n-1].Seq)
		a.unlogged = a.unlogged[n:]
	}
}

func (w *world) checkContent(a *actor, d Delivery) {
	h := d.Record.Header()
	want := text(int(h.Origin), h.Counter, int(h.OpLen))
	data := text(int(h.Origin), h.Counter, int(h.DataLen))[:h.DataLen]
	if !bytes.Equal(d.Record.Op(), want) || !bytes.Equal(d.Record.Data(), data) || d.Record.VerifyData() != nil {
		w.t.Fatalf("M1: node %d: bytes of message %d/%d are damaged: %q", a.id, h.Origin, h.Counter, d.Record.Op())
	}
}

// checkArrivals is the referee of Arrived: it names the messages that this step acknowledged, and no others.
func (w *world) checkArrivals(a *actor, before []uint64) {
	after := a.g.ReceivedVector(nil)
	a.g.Arrived(func(sender ids.Rank, r record.Record) {
		place := int(sender) - w.spare
		if k := r.Position() / uint64(len(w.actors)); k < before[place] || k >= after[place] {
			w.t.Fatalf("node %d: slot %d of %d arrived while received went from %d to %d", a.id, k, place, before[place], after[place])
		}
		a.arrived[r.Position()] = true
	})
}

// delivered is the referee of what is delivered, by a, now.
func (w *world) delivered(a *actor, d Delivery, trimmed bool) {
	h := d.Record.Header()
	e := event{origin: int(h.Origin), counter: h.Counter, time: d.Timestamp}
	w.checkContent(a, d)
	if int(d.Seq) != a.seen+1 || h.Version != ids.MakeVersion(w.view, uint64(d.Seq)) || h.Timestamp != d.Timestamp {
		w.t.Fatalf("M10: node %d: delivery %d has number %d, version %v, timestamp %d of %d", a.id, a.seen+1, d.Seq, h.Version, h.Timestamp, d.Timestamp)
	}
	if d.Timestamp <= a.frontier {
		w.t.Fatalf("M8: node %d delivers %v, its time frontier was %d", a.id, e, a.frontier)
	}
	if !trimmed {
		k := h.Position / uint64(len(w.actors))
		for _, b := range w.actors {
			if got := b.table.Get(b.table.Layout().Received(1, d.Sender)); got <= k || uint64(b.g.Acknowledged()) <= h.Position {
				w.t.Fatalf("M3: node %d delivers slot %d of member %d, node %d received %d", a.id, k, d.Sender, b.id, got)
			}
			if b.rank != d.Sender && !b.arrived[h.Position] {
				w.t.Fatalf("M3: node %d delivers position %d, node %d was not told of its arrival", a.id, h.Position, b.id)
			}
		}
	}
	if a.seen < len(w.order) {
		if w.order[a.seen] != e {
			w.t.Fatalf("M2: node %d delivers %v as number %d, others %v", a.id, e, d.Seq, w.order[a.seen])
		}
	} else {
		if e.counter != w.last[e.origin]+1 {
			w.t.Fatalf("M9: %v follows message %d of its origin", e, w.last[e.origin])
		}
		if e.time <= w.latest {
			w.t.Fatalf("M7: %v follows timestamp %d", e, w.latest)
		}
		w.last[e.origin], w.latest = e.counter, e.time
		w.order = append(w.order, e)
	}
	a.seen++
}

// frontier asks a for its time frontier. Whatever it returned is checked with every later delivery, and at
// the end of the view against the deliveries of all.
func (w *world) askFrontier(a *actor) hlc.Timestamp {
	f := a.g.TimeFrontier()
	if f < a.frontier {
		w.t.Fatalf("M8: node %d: time frontier went from %d to %d", a.id, a.frontier, f)
	}
	a.frontier = f
	logged := a.seen - len(a.unlogged)
	if logged < len(w.order) && w.order[logged].time <= f {
		w.t.Fatalf("M8: node %d: time frontier %d, but %v is not applied", a.id, f, w.order[logged])
	}
	return f
}

// settle lets everything commit, arrive and be logged until nothing moves; it fails if that does not end.
func (w *world) settle() {
	for _, a := range w.actors {
		for len(a.open) > 0 {
			w.commit(a, 0)
		}
	}
	for round := 0; ; round++ {
		moved := w.carryAll()
		for _, a := range w.actors {
			e := w.step(a, false)
			w.log(a, len(a.unlogged))
			moved = moved || len(e.Deliveries) > 0 || e.More || a.underWay() || a.table.Dirty()
		}
		if !moved {
			w.checkSilence()
			return
		}
		if round > 10_000 {
			w.t.Fatal("M5: the group does not fall silent")
		}
	}
}
