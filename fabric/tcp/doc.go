// Package tcp is the fabric over TCP: one connection for each pair of nodes, over which one-sided
// writes travel as frames that a goroutine of the receiver stores into registered memory.
//
//	owner's goroutine                          peer
//	Write, WriteWords, Send: queue             a reader goroutine a connection:
//	Flush: one non-blocking writev  ---------> header into its buffer, payload into the region,
//	  what does not fit: the writer goroutine  words by atomic stores, Wake once a batch
//
// Of two nodes the one with the lower id dials. A broken connection is dialled again with a growing,
// jittered pause; a connection that comes in while an older one of the same peer still seems alive
// replaces it, for only a node that lost the old one dials.
//
// Handshake, all numbers little-endian. The dialer sends Hello; the other answers Hello or Refusal; the
// dialer answers Ready or Refusal. After Ready both ends speak frames.
//
//	offset size field   meaning
//	     0    4 magic   "dfsF"
//	     4    1 format  1; this header is the same in all formats, so that a refusal can be read
//	     5    1 kind    1 Hello, 2 Refusal, 3 Ready
//	     6    2 size    bytes of body
//	     8    4 from    the sender's node id
//	    12    4 to      the node id that it wants to talk to
//	    16 size body    Hello: Config.Hello; Refusal: the reason in words; Ready: nothing
//
// Frame:
//
//	offset size field   meaning
//	     0    1 kind    1 Write, 2 Words, 3 Message
//	     1    3 zero    zeros
//	     4    4 size    bytes of payload, at most 1 GiB (Message: fabric.MaxMessage)
//	     8    8 region  where the payload goes; 0 in a Message
//	    16    8 off     byte offset in the region; a multiple of 8 for Words; 0 in a Message
//	    24 size payload Words: 8-byte words
//
// TLS: Config.Secure wraps a connection before anything is sent on it, and Config.Identify says which
// node the other end has proven to be. Config.Divert takes connections that come for something else than a
// link, so that a node needs one port. A connection that is not a bare *net.TCPConn is written by its
// writer goroutine only, since it cannot be written without blocking.
//
// Invariants
//
//	K1  bytes of one connection leave in the order queued: whoever sends holds the connection's token
//	    (conn.busy), and there is one.
//	K2  no call of the owner but Close waits for the network, a peer, or a goroutine that does.
//	K3  memory given to Write is not read after Down, and a region's memory is not written after
//	    Deregister: the reader stores only under the registry's lock, and holds it only for copies and
//	    reads that do not block.
//	K4  a peer can make this node close the connection and count, but not panic or allocate more
//	    than it has sent.
//	K5  connections of one peer are reported one after the other: Up, messages, Down, then the next Up.
//
// Locks: Fabric.mu, then peer.mu. registry.mu is taken with no other lock held. No callback is called
// with a lock held.
package tcp
