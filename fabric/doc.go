// Package fabric is one-sided writing into the memory of peers: the one way in which nodes talk.
//
// A node registers regions of its memory; a peer writes bytes into them at an offset, without the
// node taking part. Control messages travel on the same ordered link for what is rare (handshakes,
// view changes, catching up). Implementations: fabric/tcp (a reader goroutine stores what arrives),
// fabric/sim (deterministic, for tests), and fabric/verbs (RDMA). fabric/fabrictest is the suite
// that each of them passes.
//
// Invariants
//
//	F1  what one node sends to one peer (Write, WriteWords, Send) takes effect in the order sent: a
//	    counter written after bytes is seen after them, and a message is told after all of them. But a write needs
//	    nobody at the peer: it may be seen before a message that was sent ahead of it is told.
//	F2  each word of WriteWords is stored atomically, in ascending order of address.
//	F3  a connection that breaks is reported by Down exactly once, and nothing sent on it takes effect
//	    after Down was called; a later connection is reported by Up.
//	F4  a write to a region that is not registered, or outside of it, has no effect but a counter: it
//	    belongs to an epoch that is over.
//	F5  what one node writes into one region of a peer arrives as a prefix: writes to a region go only
//	    over the connection that carried the first of them. After it broke, or if there was none then,
//	    they are dropped. So a counter never arrives over a new connection ahead of bytes that an old
//	    one lost, however late the owner handles Down. A region of the next epoch starts afresh.
//
// F5 is about what was sent; a peer that registers a region late has missed what came before (F4).
// So a node registers the regions of a view before it tells anyone that it is ready for that view.
//
// The callbacks of Events come from the implementation's goroutines, one at a time per peer, with no lock
// held, and must not block. Write, WriteWords, Send and Flush are called by one goroutine at a time, which
// may be one that runs a callback, and never block.
package fabric
