package tcp

import (
	"encoding/binary"

	"dfs/fabric"
)

const (
	// copyMax is the longest write that is copied next to its header: cheaper than a piece of its own.
	copyMax = 512
	// keepBytes and keepPieces are how much memory a batch holds on to without needing it.
	keepBytes  = 1 << 20
	keepPieces = 1 << 12
)

// piece is a run of bytes to send: the caller's memory, or a part of the batch's own.
type piece struct {
	src        []byte // the caller's, nil if the batch's own
	start, end int    // in batch.own
}

// batch is frames queued to be sent together. Headers and all that must be copied lie in one growing
// buffer, so that a run of small frames is one piece.
type batch struct {
	own    []byte
	pieces []piece
	size   int // bytes in all pieces

	// tail is the last frame if it is Words: what the next WriteWords may replace.
	tail   header
	tailAt int // where its payload starts in own; 0 if the last frame is not Words

	// sent and sentIn are how far sending has come: whole pieces, and bytes of the next one.
	sent, sentIn int
}

func (b *batch) empty() bool { return len(b.pieces) == 0 }
func (b *batch) done() bool  { return b.sent == len(b.pieces) }

// extend appends n bytes to the batch's own memory and returns them.
func (b *batch) extend(n int) []byte {
	start := len(b.own)
	if cap(b.own)-start < n {
		grown := make([]byte, start, max(2*cap(b.own), start+n, 4096))
		copy(grown, b.own)
		b.own = grown
	}
	b.own = b.own[:start+n]
	if k := len(b.pieces); k > 0 && b.pieces[k-1].src == nil {
		b.pieces[k-1].end += n // own pieces follow each other without a gap
	} else {
		b.pieces = append(b.pieces, piece{start: start, end: start + n})
	}
	b.size += n
	return b.own[start:]
}

// write queues a Write frame. src is kept, not copied, unless it is short.
func (b *batch) write(id fabric.RegionID, off int, src []byte) {
	h := header{kind: frameWrite, size: len(src), region: id, off: uint64(off)}
	b.tailAt = 0
	if len(src) <= copyMax {
		frame := b.extend(headerSize + len(src))
		h.put(frame)
		copy(frame[headerSize:], src)
		return
	}
	h.put(b.extend(headerSize))
	b.pieces = append(b.pieces, piece{src: src})
	b.size += len(src)
}

// words queues a Words frame, or replaces the last frame if that stores words to the same place.
func (b *batch) words(id fabric.RegionID, off int, words []uint64) {
	h := header{kind: frameWords, size: 8 * len(words), region: id, off: uint64(off)}
	if b.tailAt == 0 || b.tail != h {
		frame := b.extend(headerSize + h.size)
		h.put(frame)
		b.tail, b.tailAt = h, len(b.own)-h.size
	}
	payload := b.own[b.tailAt:]
	for i, w := range words {
		binary.LittleEndian.PutUint64(payload[8*i:], w)
	}
}

// message queues a Message frame.
func (b *batch) message(msg []byte) {
	frame := b.extend(headerSize + len(msg))
	header{kind: frameMessage, size: len(msg)}.put(frame)
	copy(frame[headerSize:], msg)
	b.tailAt = 0
}

// rest returns the i-th of the pieces not yet sent, without the part already sent.
func (b *batch) rest(i int) []byte {
	p := b.pieces[b.sent+i]
	bytes := p.src
	if bytes == nil {
		bytes = b.own[p.start:p.end]
	}
	if i == 0 {
		bytes = bytes[b.sentIn:]
	}
	return bytes
}

// advance takes note that n more bytes were sent.
func (b *batch) advance(n int) {
	for n > 0 {
		left := len(b.rest(0))
		if n < left {
			b.sentIn += n
			return
		}
		n -= left
		b.sent, b.sentIn = b.sent+1, 0
	}
}

// reset empties the batch and keeps its memory for the next one, unless it is a lot and was hardly used.
func (b *batch) reset() {
	clear(b.pieces) // let go of the callers' memory
	own, pieces := b.own[:0], b.pieces[:0]
	if cap(own) > keepBytes && len(b.own) < cap(own)/8 {
		own = nil
	}
	if cap(pieces) > keepPieces && len(b.pieces) < cap(pieces)/8 {
		pieces = nil
	}
	*b = batch{own: own, pieces: pieces}
}
