// Package fabric is one-sided writing into the memory of peers: the one way in which nodes talk.
//
// A node registers regions of its memory; a peer writes bytes into them at an offset, without the
// node taking part. Control messages travel on the same ordered link for what is rare (handshakes,
// view changes, catching up). Implementations: fabric/tcp (a reader goroutine stores what arrives),
// fabric/sim (deterministic, for tests), and fabric/verbs (RDMA).
//
// Invariants
//
//	F1  what one node sends to one peer (Write, WriteWords, Send) takes effect in the order sent: a
//	    counter written after bytes is seen after them.
//	F2  each word of WriteWords is stored atomically, in ascending order of address.
//	F3  a connection that breaks is reported by Down exactly once, and nothing sent on it takes effect
//	    after Down was called; a later connection is reported by Up.
//	F4  a write to a region that is not registered, or outside of it, has no effect but a counter: it
//	    belongs to an epoch that is over.
//
// The callbacks of Events come from the implementation's goroutines, one at a time per peer, and must
// not block. Write, WriteWords, Send and Flush are called by one goroutine only and never block.
package fabric
