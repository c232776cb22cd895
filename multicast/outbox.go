package multicast

import (
	"fmt"

	"dfs/record"
)

// maxShare is the part of a ring that one message may take: with its padding it takes at most twice as
// much, so a message always fits into an empty ring.
const maxShare = 4

// Outbox is the sending side of a Group's own ring, shared by many goroutines under a mutex of the
// caller: Reserve with the mutex held, build the record without it, Commit with it.
type Outbox struct {
	ring     []byte
	limit    uint64 // reservations that may be in flight
	tail     uint64 // bytes of the ring reserved, absolute
	freed    uint64 // bytes of the ring that may be written again, absolute (M1)
	finished uint64 // reservations whose bytes are freed
	closed   bool   // wedged: no more reservations
	open     int    // reserved and not committed

	// The reservations from collected to reserved; number i is at i modulo the length, a power of two.
	spans               []span
	collected, reserved uint64
}

// span is where a message lies, or will lie, in the own ring.
type span struct {
	start     uint64 // of the record, in absolute bytes
	pad       uint32 // bytes before it up to the end of the ring, to be filled with a Pad
	size      uint32
	committed bool
}

// Reservation is room in the own ring for one message. Build the record in Buf (record.Build, or a copy
// of a record of the same size), then Commit.
type Reservation struct {
	Buf []byte
	id  uint64
}

// Fits reports whether a message can be sent at all: it takes at most a quarter of the ring.
func (o *Outbox) Fits(opLen, dataLen int) bool {
	return opLen >= 0 && opLen <= record.MaxOp && dataLen >= 0 && dataLen <= record.MaxData &&
		record.Size(opLen, dataLen) <= len(o.ring)/maxShare
}

// Reserve, with the outbox, gives room for a message of that size, which must fit. It returns false
// while the ring is full or too many messages are in flight, and for ever once the group is wedged.
func (o *Outbox) Reserve(opLen, dataLen int) (Reservation, bool) {
	if !o.Fits(opLen, dataLen) {
		panic(fmt.Sprintf("multicast: M9: a message of %d and %d bytes for a ring of %d", opLen, dataLen, len(o.ring)))
	}
	if o.closed || o.reserved-o.finished >= o.limit {
		return Reservation{}, false
	}
	size, ring := uint64(record.Size(opLen, dataLen)), uint64(len(o.ring))
	off, pad := o.tail&(ring-1), uint64(0)
	if off+size > ring {
		off, pad = 0, ring-off
	}
	if o.tail+pad+size-o.freed > ring {
		return Reservation{}, false
	}
	r := Reservation{Buf: o.ring[off : off+size : off+size], id: o.reserved}
	o.append(span{start: o.tail + pad, pad: uint32(pad), size: uint32(size)})
	o.tail += pad + size
	o.open++
	return r, true
}

func (o *Outbox) at(id uint64) *span { return &o.spans[id&uint64(len(o.spans)-1)] }

func (o *Outbox) append(p span) {
	if o.reserved-o.collected == uint64(len(o.spans)) {
		grown := make([]span, max(firstQueue, 2*len(o.spans)))
		for i := o.collected; i < o.reserved; i++ {
			grown[i&uint64(len(grown)-1)] = *o.at(i)
		}
		o.spans = grown
	}
	*o.at(o.reserved) = p
	o.reserved++
}

// Commit, with the outbox, says that the record in r.Buf is complete. Messages are published in the
// order of their reservations, up to the first that is not committed (M9), so commit soon.
func (o *Outbox) Commit(r Reservation) {
	if r.id < o.collected || r.id >= o.reserved || o.at(r.id).committed {
		panic(fmt.Sprintf("multicast: M9: reservation %d is committed twice, or of another ring (%d to %d are known)",
			r.id, o.collected, o.reserved))
	}
	size, err := record.PeekSize(r.Buf)
	if p := o.at(r.id); err != nil || size != int(p.size) || record.Record(r.Buf).Kind() != record.Op {
		panic(fmt.Sprintf("multicast: M9: committed is not an operation of %d bytes but %d bytes (%v)", p.size, size, err))
	}
	o.at(r.id).committed = true
	o.open--
}

// Open, with the outbox, returns the number of reservations that are not committed.
func (o *Outbox) Open() int { return o.open }

// Used, with the outbox, returns the bytes of the own ring that some member has not logged yet.
func (o *Outbox) Used() int { return int(o.tail - o.freed) }

// take appends the committed spans, in order of reservation, up to the first that is not (M9).
func (o *Outbox) take(dst []span) []span {
	for o.collected < o.reserved && o.at(o.collected).committed {
		dst = append(dst, *o.at(o.collected))
		o.collected++
	}
	return dst
}
