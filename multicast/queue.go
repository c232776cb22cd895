package multicast

import "dfs/hlc"

// entry is a message in a ring.
type entry struct {
	index uint64        // which slot of its sender
	end   uint64        // where it ends, in absolute bytes of the ring
	time  hlc.Timestamp // the sender's stamp; from delivery on, the message's timestamp
	seq   Seq           // 0 until it is delivered
	size  uint32        // of the record
}

// queue holds the messages of one sender in order:
//
//	first <= logged <= next <= last
//	first..logged  logged here, kept because others may still need the bytes (own messages only)
//	logged..next   delivered, not yet reported as logged
//	next..last     received, not yet delivered
type queue struct {
	buf                       []entry // entry i is at i modulo its length, a power of two
	first, logged, next, last uint64
}

const firstQueue = 16 // entries of a queue at first

func (q *queue) at(i uint64) *entry { return &q.buf[i&uint64(len(q.buf)-1)] }

// push appends. A queue never holds more messages than fit its ring, so it stops growing.
func (q *queue) push(e entry) {
	if q.last-q.first == uint64(len(q.buf)) {
		grown := make([]entry, max(firstQueue, 2*len(q.buf)))
		for i := q.first; i < q.last; i++ {
			grown[i&uint64(len(grown)-1)] = *q.at(i)
		}
		q.buf = grown
	}
	*q.at(q.last) = e
	q.last++
}
