// Package record is the one format in which an operation lies in a sender's ring, travels, and lies in
// the log: a header, the operation, and its data. A receiver writes ring bytes to its log as they
// are; only the fields fixed at delivery are filled in.
//
//	offset size field      meaning
//	     0    4 magic      "dfsR", or "dfsH" in a record without its data (hollow)
//	     4    4 crc        CRC-32C of bytes 8 up to the end of the operation (header, sums, operation)
//	     8    8 version    the version given at delivery; 0 in a ring
//	    16    8 timestamp  the sender's clock in a ring; the timestamp given at delivery in the log
//	    24    8 position   the sender's slot in a ring; the record's own position (LSN) in the log
//	    32    4 origin     the node that sent the operation
//	    36    4 incarnation  which start of that node
//	    40    8 counter    the operation's number at its origin and incarnation, from 1
//	    48    4 opLen      bytes of operation
//	    52    4 dataLen    bytes of data
//	    56    2 subgroup   whose operation it is
//	    58    1 kind       Op, Pad, View, Mark or Copy
//	    59    1 format     1
//	    60    4 durable    in the log: how far behind this record the synced part ended when it was
//	                       appended, in 64-byte units, saturating; 0 in a ring
//	    64  4*n sums       CRC-32C of each 4096 bytes of data (the last may be shorter)
//	        opLen operation, then zeros to a multiple of 64
//	      dataLen data, then zeros to a multiple of 64
//
// All numbers are little-endian. Every record starts and ends on a multiple of 64 bytes, and so does
// its data, so a read of one block verifies one or two sums and not the whole record.
//
// A hollow record ends where the data would begin; dataLen says how much that is, and its sums are there. It lies in the
// log of a node that does not keep the data. If the data comes there after all, it lies further on in a Copy.
//
// Invariants
//
//	R1  Parse accepts only what fits its buffer and matches its header checksum; it never panics and
//	    never allocates by a length that it read.
//	R2  bytes of data are handed out only after their sums were verified, except by Data, whose caller
//	    made them.
//	R3  Finish changes nothing that the sums of the data cover, so data is summed once, by its sender.
//	R4  a hollow record has, but for the magic, the head of the full one, so it verifies data from elsewhere.
package record
