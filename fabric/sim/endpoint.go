package sim

import (
	"fmt"
	"slices"
	"sync/atomic"

	"dfs/fabric"
	"dfs/ids"
)

// Endpoint is one node's fabric.
type Endpoint struct {
	net     *Network
	id      ids.NodeID
	events  fabric.Events
	regions map[fabric.RegionID][]byte
	ends    map[ids.NodeID]*end
	dirty   []*end // with something queued
	crashed bool
	stats   fabric.Stats
}

var _ fabric.Fabric = (*Endpoint)(nil)

// packet is what one Flush sends to one peer.
type packet struct {
	frames []frame
	words  []uint64 // of all frames
	bytes  int
}

// frame is one Write, WriteWords or Send.
type frame struct {
	kind   kind
	region fabric.RegionID
	off    int
	src    []byte // of a Write: the sender's memory; of a Send: the message
	first  int    // of WriteWords: where its words start
	n      int    // and how many they are
	// Of a piece of a torn frame, the whole frame: it has an effect or none (F4).
	wholeOff, wholeSize int
	more                bool // another piece follows
}

type kind uint8

const (
	kindWrite kind = iota
	kindWords
	kindMessage
)

// frameBytes stands for a frame's header in the counters.
const frameBytes = 24

// Register implements fabric.Fabric.
func (ep *Endpoint) Register(id fabric.RegionID, mem []byte) {
	if !fabric.Aligned(mem) || ep.regions[id] != nil {
		panic(fmt.Sprintf("fabric/sim: region %#x at %p is not aligned to 64 bytes (F2), or registered already", id, mem))
	}
	if !ep.crashed {
		ep.regions[id] = mem
	}
}

// Deregister implements fabric.Fabric.
func (ep *Endpoint) Deregister(id fabric.RegionID) { delete(ep.regions, id) }

// Source implements fabric.Fabric.
func (ep *Endpoint) Source([]byte) (release func()) { return func() {} }

// queue returns the packet to add to, or nil if what is sent to peer is dropped.
func (ep *Endpoint) queue(peer ids.NodeID, allowed func(e *end) bool) *packet {
	e := ep.ends[peer]
	if e == nil || ep.crashed || !allowed(e) {
		ep.stats.Dropped++
		return nil
	}
	if !e.waiting {
		e.waiting = true
		ep.dirty = append(ep.dirty, e)
	}
	if e.out == nil {
		e.out = ep.net.packet()
	}
	return e.out
}

// Write implements fabric.Fabric.
func (ep *Endpoint) Write(peer ids.NodeID, region fabric.RegionID, off int, src []byte) {
	p := ep.queue(peer, func(e *end) bool { return e.fence.Allows(region) })
	if p != nil && len(src) > 0 {
		p.add(frame{kind: kindWrite, region: region, off: off, src: src}, len(src))
	}
}

// WriteWords implements fabric.Fabric. Words for the place of the last frame replace that, sometimes.
func (ep *Endpoint) WriteWords(peer ids.NodeID, region fabric.RegionID, off int, words []uint64) {
	if off%8 != 0 {
		panic(fmt.Sprintf("fabric/sim: offset %d is no multiple of 8 (F2)", off))
	}
	p := ep.queue(peer, func(e *end) bool { return e.fence.Allows(region) })
	if p == nil || len(words) == 0 {
		return
	}
	if k := len(p.frames); k > 0 {
		f := &p.frames[k-1]
		same := f.kind == kindWords && f.region == region && f.off == off && f.n == len(words)
		if same && (ep.net.cfg.Zero || ep.net.rng.IntN(4) > 0) {
			copy(p.words[f.first:], words)
			return
		}
	}
	f := frame{kind: kindWords, region: region, off: off, first: len(p.words), n: len(words)}
	p.words = append(p.words, words...)
	p.add(f, 8*len(words))
}

// Send implements fabric.Fabric.
func (ep *Endpoint) Send(peer ids.NodeID, msg []byte) {
	if len(msg) > fabric.MaxMessage {
		panic(fmt.Sprintf("fabric/sim: a message of %d bytes is longer than %d", len(msg), fabric.MaxMessage))
	}
	if p := ep.queue(peer, func(e *end) bool { return e.fence.Open() }); p != nil {
		p.add(frame{kind: kindMessage, src: slices.Clone(msg)}, len(msg))
	}
}

func (p *packet) add(f frame, payload int) {
	p.frames = append(p.frames, f)
	p.bytes += frameBytes + payload
}

// Flush implements fabric.Fabric.
func (ep *Endpoint) Flush() {
	n := ep.net
	for _, e := range ep.dirty {
		p := e.out
		e.waiting, e.out = false, nil
		switch {
		case p == nil || ep.crashed:
		case e.conn == nil || e.conn.broken:
			n.recycle(p) // lost on a connection whose end the node has not been told, or was told since
		default:
			ep.stats.Sent += uint64(p.bytes)
			if n.cfg.Tear > 0 && n.rng.Float64() < n.cfg.Tear {
				n.tear(e, p)
			} else {
				n.send(e.other, item{conn: e.conn, data: p})
			}
		}
	}
	ep.dirty = ep.dirty[:0]
}

// tear sends a packet in pieces: each frame by itself, a Write cut at random, words one by one.
func (n *Network) tear(e *end, p *packet) {
	for _, f := range p.frames {
		pieces := 1
		switch f.kind {
		case kindWords:
			pieces = f.n
		case kindWrite:
			pieces = min(len(f.src), 1+n.rng.IntN(4))
		}
		off, size := f.off, len(f.src)+8*f.n
		for i := range pieces {
			part, piece := n.packet(), f
			piece.wholeOff, piece.wholeSize, piece.more = off, size, i < pieces-1
			switch f.kind {
			case kindWords:
				piece.off, piece.first, piece.n = f.off+8*i, 0, 1
				part.words = append(part.words, p.words[f.first+i])
			case kindWrite:
				if piece.more {
					cut := 1 + n.rng.IntN(len(f.src)-(pieces-1-i))
					piece.src, f.src, f.off = f.src[:cut], f.src[cut:], f.off+cut
				}
			}
			part.add(piece, 0)
			part.bytes = p.bytes / (pieces * len(p.frames)) // near enough for a counter
			n.send(e.other, item{conn: e.conn, data: part})
		}
	}
	n.recycle(p)
}

// take lets a packet take effect: frame by frame in the order sent (F1).
func (ep *Endpoint) take(peer ids.NodeID, p *packet) {
	ep.stats.Received += uint64(p.bytes)
	if e := ep.ends[peer]; e != nil {
		e.heard += uint64(p.bytes)
	}
	landed := false
	for _, f := range p.frames {
		if ep.crashed {
			return // by a callback of a frame before
		}
		n := ep.net
		n.mix(uint64(f.kind)<<56 ^ uint64(f.region)<<8 ^ uint64(f.off))
		n.mixBytes(f.src)
		if f.kind == kindMessage {
			if ep.events.Message != nil {
				ep.events.Message(peer, f.src)
			}
			continue
		}
		off, size := f.wholeOff, f.wholeSize
		if size == 0 { // not torn
			off, size = f.off, len(f.src)+8*f.n
		}
		mem, ok := ep.regions[f.region]
		if !ok || off < 0 || off > len(mem) || size > len(mem)-off {
			if !f.more {
				ep.stats.Discarded++
			}
			continue
		}
		landed = true
		copy(mem[f.off:], f.src)
		words := fabric.Words(mem)[f.off/8:]
		for i, w := range p.words[f.first : f.first+f.n] {
			n.mix(w)
			atomic.StoreUint64(&words[i], w)
		}
	}
	if landed && !ep.crashed && ep.events.Wake != nil {
		ep.events.Wake()
	}
}

// Heard implements fabric.Fabric.
func (ep *Endpoint) Heard(peer ids.NodeID) uint64 {
	if e := ep.ends[peer]; e != nil {
		return e.heard
	}
	return 0
}

// Sever implements fabric.Fabric.
func (ep *Endpoint) Sever(peer ids.NodeID, why error) {
	if e := ep.ends[peer]; e != nil && !ep.crashed {
		ep.net.disconnect(e.link, true, why)
	}
}

// Stats implements fabric.Fabric.
func (ep *Endpoint) Stats() fabric.Stats { return ep.stats }

// Close implements fabric.Fabric. To the peers it looks like Crash.
func (ep *Endpoint) Close() error {
	if !ep.crashed {
		ep.net.Crash(ep.id)
	}
	return nil
}

// detach copies what a packet still has in its sender's memory.
func (p *packet) detach() {
	for i := range p.frames {
		if f := &p.frames[i]; f.kind == kindWrite {
			f.src = slices.Clone(f.src)
		}
	}
}

func (n *Network) packet() *packet {
	if k := len(n.free); k > 0 {
		p := n.free[k-1]
		n.free = n.free[:k-1]
		return p
	}
	return &packet{}
}

func (n *Network) recycle(p *packet) {
	clear(p.frames)
	p.frames, p.words, p.bytes = p.frames[:0], p.words[:0], 0
	n.free = append(n.free, p)
}
