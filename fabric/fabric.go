package fabric

import "dfs/ids"

// RegionID names registered memory. Both ends compute it alike from what the region is for and the
// view that it belongs to, so that a write of an old view finds no region (F4).
type RegionID uint64

// Events are what a fabric tells its owner. Functions left nil are not called.
type Events struct {
	// Up: a connection to peer is there; what is sent from now on will arrive or Down is called.
	Up func(peer ids.NodeID)
	// Down: the connection to peer broke; err says why. Called once for each Up (F3), but not for
	// the connections that Close ends.
	Down func(peer ids.NodeID, err error)
	// Message: a control message arrived. The callee owns msg.
	Message func(peer ids.NodeID, msg []byte)
	// Wake: something was written into a registered region. May be called once for many writes.
	Wake func()
	// Drained is called in place of Wake when the peer's bytes are used up for the moment. The goroutine
	// that calls it has nothing better to do, so the callee may do what follows from the write then
	// and there, and save waking another. If it is nil, Wake is called.
	Drained func()
}

// WithDefaults returns events in which every function can be called.
func (e Events) WithDefaults() Events {
	if e.Up == nil {
		e.Up = func(ids.NodeID) {}
	}
	if e.Down == nil {
		e.Down = func(ids.NodeID, error) {}
	}
	if e.Message == nil {
		e.Message = func(ids.NodeID, []byte) {}
	}
	if e.Wake == nil {
		e.Wake = func() {}
	}
	if e.Drained == nil {
		e.Drained = e.Wake
	}
	return e
}

// Fabric connects a node to its peers.
type Fabric interface {
	// Register lets peers write into mem, whose address must be a multiple of 64. The id must not be
	// registered already.
	Register(id RegionID, mem []byte)
	// Deregister ends that: when it returns, no write lands in the region's memory any more.
	Deregister(id RegionID)
	// Source announces memory, as Alloc makes it, that Write will be given parts of: an adapter can then read it where it lies.
	// release may be called at any time.
	Source(mem []byte) (release func())
	// Write queues src to be written into peer's region at off, in bytes. src must stay unchanged until
	// the peer is known to have it, or until Down(peer). It is dropped where F5 says so.
	Write(peer ids.NodeID, region RegionID, off int, src []byte)
	// WriteWords queues 8-byte words to be stored atomically at off, a multiple of 8 bytes (F2). words may be
	// reused at once. It may replace words queued before for the same place if nothing was queued since, and words that are as
	// this node has written them there last need not be sent: nobody else may write there.
	WriteWords(peer ids.NodeID, region RegionID, off int, words []uint64)
	// Send queues a control message; msg may be reused at once. It is dropped if peer is not connected.
	Send(peer ids.NodeID, msg []byte)
	// Flush posts everything queued.
	Flush()
	// Sever gives up the connection to peer, if there is one, because of why: Down(peer) follows at both ends, at
	// this one even if peer does not answer. A later connection is reported by Up as ever.
	Sever(peer ids.NodeID, why error)
	// Heard counts the bytes that have come from peer. While it grows the peer lives, though what it says about itself may
	// be far behind in what is on its way: of a hung peer no more comes than the network had accepted. Bytes that an
	// adapter puts into memory need not be counted.
	Heard(peer ids.NodeID) uint64
	// Stats returns the counters so far.
	Stats() Stats
	// Close ends all connections and goroutines; no callback runs after it returned. It must not be
	// called from a callback.
	Close() error
}

// Stats counts what one node's fabric did since it was made.
type Stats struct {
	Sent      uint64 // bytes handed to the network, framing included
	Received  uint64 // bytes that came from it
	Discarded uint64 // writes of peers that found no region or did not fit it (F4)
	Dropped   uint64 // own writes and messages not sent for want of a connection (F5)
}

// MaxMessage is the longest control message in bytes.
const MaxMessage = 4 << 20
