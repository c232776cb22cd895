// Package objects is the replicated state machine of file contents: which bytes of which file lie where
// in the log, the sizes and times of files, appends, truncation, holes, and copies that share bytes. It
// has no state of its own: everything lies in versioned records of the index, Apply changes the newest
// of them, and the queries read them as of any moment, now or in the past, in one way. The bytes
// themselves stay in the log record that brought them; an extent is a reference to a run of them.
//
// Records, by key. The first byte is the table; inode numbers, epochs and offsets are big-endian, of
// 8, 4 and 8 bytes, so that the extents of a file lie together in the order of their offsets:
//
//	'a' inode               attributes: format (1), which times were set (1), size, bytes in extents,
//	                        number of extents, epoch; ctime; mtime and atime less ctime
//	'e' inode epoch offset  an extent: length, LSN of the log record, offset in the data of the record
//	'g' inode epoch         nothing; the extents of that epoch are garbage
//	's'                     bytes in the extents of all files, number of 'g' records
//
// Numbers are unsigned varints but for format and times set, which are single bytes, and times, which
// are signed varints. An operation is a byte that says which, then its fields in the order in
// which its struct has them, numbers as varints, with a length before a list.
//
// What is in no extent reads as zeros. A file without attributes is empty; the caller puts its times
// together with those of its inode, with Attr.Times. Nothing here knows whether an inode exists: a
// write to a file after its Drop makes a file that nobody will drop, so the caller sends none.
//
// # Bounded work
//
// An operation takes time in proportion to the extents that it touches. Emptying or dropping a file of
// many extents would hold up all others, so the extents are left as garbage under their epoch, and the
// file, if it lives on, begins the next epoch. While Garbage says so, someone sends Purge, each of which
// deletes a bounded number.
//
// Invariants
//
//	O1  the state is a function of the operations and their timestamps only, but for LSNs and offsets
//	    in records; so replicas have equal Digests.
//	O2  extents of a file do not overlap, none is empty or longer than MaxExtent, none reaches beyond
//	    the size.
//	O3  the bytes and the number of extents in the attributes, and the bytes in the counters, are the
//	    sums over the extents that are not garbage.
//	O4  what a Reader at a moment says never changes, whatever is applied at later timestamps.
//	O5  a failed operation changes nothing.
//	O6  every record decodes, every extent is of a file at its epoch or garbage and not both, and the
//	    number of garbage records is right.
//
// Check verifies O2, O3 and O6 over a whole state.
package objects
