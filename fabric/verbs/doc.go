// Package verbs is the fabric over RDMA: one-sided writes that the adapters carry out, without the peer's
// processor. It stands on fabric/tcp: each link begins as a TCP connection with its handshake, its
// encryption and its checks, over which the two ends agree whether they have adapters that reach each
// other. If so, everything of the owner goes over a reliable connected queue pair; if not, that link stays
// what it is, and Links says why.
//
//	TCP connection up      both ends send Offer: an adapter's address, or why there is none
//	both have one          each connects its queue pair and says Connected
//	peer is connected      each sends an empty message over the pair; when it is acknowledged: Result
//	both Results are good  the link is up, over the pair. Else it is up over TCP
//
// # What goes over a queue pair
//
// Write is one RDMA WRITE for each 128 KiB, WriteWords one for each cache line, or what software stores
// in order, without the words that the peer has from before. The last of what one
// Flush posts carries immediate data, which raises a completion at the peer: its reader looks for
// completions for a moment and then sleeps on the completion channel. Control messages go by SEND over the
// same pair and not over the TCP connection, for F1 wants them in order with the writes; the
// connection then carries nothing but its own end, which is how the death of a process shows at once.
//
// The 32 bits of immediate data of each SEND and of each WRITE that has them:
//
//	bits 28-31  kind: 0 wake, 1 message, 2 notes, 3 nothing but credits
//	bit  27     the message ends here
//	bits 0-15   credits: receive slots free again
//
// # Memory
//
// A peer must know address and key of a region before it can write there. Each link has a protection
// domain of its own and registers each region in it, so that a key is of use to one peer only, over one
// connection only. Notes over the pair say which regions there are and which end:
//
//	offset size field
//	     0    4 kind    1 region, 2 revoke, 3 revoked, 4 discarded, 5 wanted, 6 absent
//	     4    4 key     remote key, of a region
//	     8    8 id      fabric.RegionID; of discarded: how many writes
//	    16    8 address of a region
//	    24    8 size    of a region in bytes
//
// Whoever writes to a region that it knows nothing of asks first, and what is queued waits for the answer: the peer may have
// registered it and said so to a third node, whose word was faster than the note. Discarding the write and carrying
// out the next would show a counter ahead of its bytes (F5).
//
// Deregister must not pull memory away from under writes on their way: an adapter answers that by ending the
// connection. It revokes the region instead and waits for the answer, which the peer's reader gives
// without its owner, in order behind what was posted. A peer that does not answer loses its connection.
//
// Regions are memory of the Go heap, which does not move, pinned while registered. What is sent is copied into
// memory registered for that, unless the owner has announced it by Source, as shards does for the ring of the own node: then
// the adapter reads it where it lies, and it stays registered, beyond its release, until what was posted of it is sent.
//
// # The build
//
// The build tag verbs, with cgo, compiles the part that talks to adapters (ibv.go). It needs the headers
// of rdma-core, and loads the library when the program runs. Without the tag, or without library or
// adapter, all links stay on TCP. iWARP adapters are not used: they have no immediate data, by which all that lands is
// told, and their queue pairs connect through a connection manager only, not by the numbers that the ends exchange.
//
// Invariants
//
//	Q1  what is posted to a queue pair is in the order queued; nothing overtakes but notes, and Revoked
//	    stands behind every write to its region.
//	Q2  no more is outstanding than the send queue, the stage and the peer's receive slots hold. The rest
//	    waits in memory, up to MaxQueued, and the owner never waits.
//	Q3  an aligned word is never copied in parts: no write of words is longer than the device stores in order.
//	Q4  when Down is called the queue pair is gone: nothing lands, and no memory is read.
//	Q5  a region's key ends with Deregister or with the link, whichever comes first; a source's with its release, once all
//	    that was posted of it is sent, or with the link.
//	Q6  a peer can make this node end the link, and count, but not panic, read or allocate more than it sent.
//	Q7  both ends decide alike which way a link goes.
//	Q8  an idle link uses no processor.
//
// Locks: Fabric.reg, then peer.mu, then Fabric.ctl. A link is guarded by its peer's. No callback is called with a
// lock held.
package verbs
