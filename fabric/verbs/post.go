package verbs

import (
	"encoding/binary"
	"fmt"

	"dfs/fabric"
)

// Kinds of op.
const (
	opBytes   = 1
	opWords   = 2
	opMessage = 3
)

// op is something queued for a peer.
type op struct {
	kind       int
	region     fabric.RegionID
	off        int
	src        []byte // the caller's, or nil: then
	start, end int    // in link.own
	done       int    // bytes posted
}

func (l *link) payload(o *op) []byte {
	if o.src != nil {
		return o.src
	}
	return l.own[o.start:o.end]
}

// tooFull reports whether more is queued than a link may hold. The link is dead then, lest something arrive after
// a gap (F5).
func (l *link) tooFull() bool {
	if !l.full && len(l.own) > l.f.cfg.MaxQueued {
		l.full = true
		go l.f.breakControl(l.p, fmt.Errorf("the peer is too slow: %d bytes wait for it", len(l.own)))
	}
	return l.full || l.dead != nil
}

func (l *link) queue(o op, n int) []byte {
	o.start = len(l.own)
	l.own = append(l.own, make([]byte, n)...)
	o.end = len(l.own)
	l.pending = append(l.pending, o)
	return l.own[o.start:]
}

func (l *link) queueWrite(id fabric.RegionID, off int, src []byte) {
	if len(src) <= copyMax {
		copy(l.queue(op{kind: opBytes, region: id, off: off}, len(src)), src)
		return
	}
	l.pending = append(l.pending, op{kind: opBytes, region: id, off: off, src: src})
}

// queueWords replaces words for the same place if they are the last thing queued.
func (l *link) queueWords(id fabric.RegionID, off int, words []uint64) {
	var b []byte
	if k := len(l.pending) - 1; k >= l.head && l.pending[k].kind == opWords && l.pending[k].done == 0 && l.passed+uint64(k-l.head) >= l.ask.before &&
		l.pending[k].region == id && l.pending[k].off == off && l.pending[k].end-l.pending[k].start == 8*len(words) {
		b = l.own[l.pending[k].start:l.pending[k].end]
	} else {
		b = l.queue(op{kind: opWords, region: id, off: off}, 8*len(words))
	}
	for i, w := range words {
		binary.NativeEndian.PutUint64(b[8*i:], w) // as it lies in the peer's memory
	}
}

func (l *link) queueMessage(msg []byte) {
	copy(l.queue(op{kind: opMessage}, len(msg)), msg)
}

// pump posts what is queued, as far as there is room (Q1, Q2). The last write of what it posts wakes the peer.
func (l *link) pump() {
	for l.dead == nil {
		for l.step() {
		}
		if len(l.reqs) == 0 {
			break
		}
		if last := &l.reqs[len(l.reqs)-1]; last.op == opWrite {
			last.op, last.imm = opWriteImm, immWake<<immKind|l.giveCredits()
			l.credits--
		}
		if l.backlog() {
			l.signal(&l.reqs[len(l.reqs)-1])
		}
		l.post()
	}
	if l.dead == nil && l.owed >= l.f.cfg.sizes.receives/2 && l.credits > 0 && l.posted-l.freed < uint64(len(l.ring)-1) {
		l.put(request{op: opSend, imm: immCredits<<immKind | l.giveCredits()}, 0)
		l.signal(&l.reqs[len(l.reqs)-1])
		l.credits--
		l.post()
	}
	if l.dead == nil && l.backlog() && !l.sendArmed {
		l.sendArmed = true
		l.check(l.pair.arm(sendQueue))
		if before := l.freed; l.dead == nil {
			if l.pollSends(); l.freed != before {
				l.pump()
			}
		}
	}
}

func (l *link) backlog() bool { return l.discards > 0 || l.head < len(l.pending) || len(l.notes) > 0 }

func (l *link) giveCredits() uint32 {
	n := min(l.owed, maxCredits)
	l.owed -= n
	return uint32(n)
}

// post hands the requests to the adapter.
func (l *link) post() {
	l.check(l.pair.post(l.reqs))
	l.reqs = l.reqs[:0]
}

// put numbers a request and remembers what it holds.
func (l *link) put(r request, size int) {
	r.id = l.posted
	l.bytes += uint64(size)
	l.ring[l.posted%uint64(len(l.ring))] = held{l.stage.tail, l.bytes}
	l.posted++
	// Some of what holds a quarter of anything is signalled, lest all be held by what never is.
	if l.posted-l.signalled >= uint64(len(l.ring)/4) || l.stage.tail-l.marked.stage >= uint64(len(l.stage.mem)/4) || l.bytes-l.marked.bytes >= window/4 {
		l.signal(&r)
	}
	l.f.sent.Add(uint64(size))
	l.reqs = append(l.reqs, r)
}

// signal lets the completion of the last request put be told.
func (l *link) signal(r *request) {
	r.flags |= flagSignalled
	l.signalled, l.marked = l.posted, held{l.stage.tail, l.bytes}
}

// room reports whether one more request may be posted (Q2).
func (l *link) room() bool {
	onTheWay := l.bytes
	if l.freed > 0 {
		onTheWay -= l.ring[(l.freed-1)%uint64(len(l.ring))].bytes
	}
	return l.credits > sparedCredits && l.posted-l.freed < uint64(len(l.ring)-sparedSlots) && onTheWay < window
}

// step adds one request, or takes something from the queue that needs none. It reports false if there is nothing to
// do or no room.
func (l *link) step() bool {
	if !l.room() {
		return false
	}
	var o *op
	if l.head < len(l.pending) {
		o = &l.pending[l.head]
	}
	if l.discards > 0 && (o == nil || o.kind == opMessage) { // before whatever could tell of them (F4)
		l.notes = note{kind: noteDiscarded, id: fabric.RegionID(l.discards)}.append(l.notes)
		l.discards = 0
	}
	switch {
	case len(l.notes) > 0:
		n := min(len(l.notes), l.remoteChunk/noteSize*noteSize)
		if !l.send(l.notes[:n], immNotes<<immKind) {
			return false
		}
		l.notes = append(l.notes[:0], l.notes[n:]...)
	case o == nil:
		return false
	case o.kind == opMessage:
		rest := l.payload(o)[o.done:]
		n := min(len(rest), l.remoteChunk)
		imm := uint32(immMessage << immKind)
		if n == len(rest) {
			imm |= immLast
		}
		if !l.send(rest[:n], imm) {
			return false
		}
		l.progress(o, n)
	default:
		return l.stepWrite(o)
	}
	return true
}

// send adds a SEND of a copy of b.
func (l *link) send(b []byte, imm uint32) bool {
	r := request{op: opSend, imm: imm, size: uint32(len(b))}
	if !l.stage.fill(&r, b, l.pair.inline()) {
		return false
	}
	r.imm |= l.giveCredits()
	l.credits--
	l.put(r, len(b))
	return true
}

// stepWrite adds one write of a piece of o.
func (l *link) stepWrite(o *op) bool {
	b := l.payload(o)
	target, ok := l.directory[o.region]
	if !ok && !l.isAbsent(o.region) {
		return l.wanted(o.region)
	}
	if !ok {
		delete(l.rows, o.region)
	}
	if !ok || o.off < 0 || uint64(o.off) > target.size || uint64(len(b)) > target.size-uint64(o.off) {
		l.discards++ // F4
		l.progress(o, len(b)-o.done)
		return true
	}
	row := l.row(o, len(b))
	if row != nil {
		if o.done = row.same(b, o.done); o.done == len(b) {
			l.progress(o, 0)
			return true
		}
	}
	rest := b[o.done:]
	at := o.off + o.done
	n := min(len(rest), pieceMax, len(l.stage.mem)/4)
	if row != nil {
		n = row.changed(b, o.done, min(len(rest), 8*l.f.dev.words(), 64-at%64)) // Q3
	}
	r := request{op: opWrite, remote: target.addr + uint64(at), rkey: target.key, size: uint32(n)}
	if k, ok := l.sourced(rest[:n]); ok && o.src != nil {
		r.local, r.lkey = k.addr, k.local
	} else if !l.stage.fill(&r, rest[:n], l.pair.inline()) {
		return false
	}
	if row != nil {
		row.posted(rest[:n], o.done)
	}
	l.put(r, n)
	l.progress(o, n)
	return true
}

// isAbsent reports whether the peer has said that it has no such region, after the op at the head was queued.
func (l *link) isAbsent(id fabric.RegionID) bool {
	return l.ask.absent && l.ask.region == id && l.passed < l.ask.before
}

// wanted asks for a region, once. It reports whether there is now a note to send.
func (l *link) wanted(id fabric.RegionID) bool {
	if l.ask.waiting {
		return false
	}
	l.ask = question{region: id, before: l.passed + uint64(len(l.pending)-l.head), waiting: true}
	l.notes = note{kind: noteWanted, id: id}.append(l.notes)
	return true
}

// progress takes note that n more bytes of the first op are posted, and forgets it when that is all.
func (l *link) progress(o *op, n int) {
	if o.done += n; o.done < o.end-o.start || o.done < len(o.src) {
		return
	}
	*o = op{}
	l.head++
	l.passed++
	switch {
	case l.head == len(l.pending):
		l.pending, l.head = l.pending[:0], 0
		if l.own = l.own[:0]; cap(l.own) > 4<<20 {
			l.own = nil
		}
	case l.head >= 1024 && l.head >= len(l.pending)/2:
		l.compact()
	}
}

// compact gives memory of what is posted back while the queue does not run empty.
func (l *link) compact() {
	rest := append([]op(nil), l.pending[l.head:]...)
	own := make([]byte, 0, len(l.own)/2)
	for i := range rest {
		start := len(own)
		own = append(own, l.own[rest[i].start:rest[i].end]...)
		rest[i].start, rest[i].end = start, len(own)
	}
	l.pending, l.head, l.own = rest, 0, own
}
