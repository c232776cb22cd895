// Package versionlog is the one physical log of a node: every record delivered to any of its subgroups,
// in the order of delivery. It is also where the data of files lives: what was written is read back
// from here.
//
// The log is a row of segment files of one size, numbered from 0. A position (LSN) counts bytes
// through all of them, so position / size is the file and position % size the offset. A segment
// starts with a header of 64 bytes (see segment.encode), records follow without gaps (package record),
// and filler ends it where the next record did not fit. Behind the end of the log lie zeros.
//
//	segment-0000000007                          segment-0000000008         segment-0000000009
//	[header][record][record]....[filler]        [header][record]|0000      0000000000000000000
//	                                     end of the log ...... ^           the spare
//
// Beside them lies the file mark, which says how far the log is durable.
//
// Append writes and Sync persists; the owner decides when, nothing happens by itself. A record becomes
// durable with everything before it.
//
// While syncs are brief, which is so when somebody calls fsync again and again, Append also writes zeros ahead of
// the end, where space was only reserved (see zeroAhead).
//
// # Recovery
//
// Open walks over the records at the end. The first place that does not hold a good record at its own
// position is the end. Whether it was torn by a crash or damaged later is decided by what is known to
// have been durable: the mark, and the durable field of any good record behind the place. Torn
// bytes are wiped out and later segments removed, durably, before anything is appended. Damage is
// reported and nothing is changed; the replica gets its copy from another one.
//
// Only segments that the mark does not cover wholly are read, and the last one, with all data; in the
// others only headers of segments, unless Config.VerifyAll is set. Reads verify what they touch anyway.
//
// # A full disk
//
// The next segment is reserved ahead of need, by Sync. When the disk has no room for it, Low says so,
// and the log goes on in the segment that is left: records with data are taken until Config.ReserveBytes
// are left in it, so that what is already under way can still be delivered; from there on only
// records without data, so that files can be deleted. Then Append fails with errs.NoSpace, as often
// as it is tried, until there is room again.
//
// # Locks
//
// Log.sync, then Log.grow, then Log.mu; reader.mu alone. Only sync is held during a sync of the
// storage, and grow while a file is made.
//
// Invariants
//
//	L1  what Open finds is a prefix of what was appended, whole records only, and has at least all
//	    that a Sync covered.
//	L2  bytes leave the log only after their checksum was verified.
//	L3  what a failed Append has written is gone, durably, before another one writes.
//	L4  Durable, the mark and the durable field of records never say more than the storage has.
//	L5  damage to what was said to be durable is reported, with file and offset, and is never cut off.
//	    (Nothing can report it if the damage hits the last records and also what was written after
//	    them: the mark is not synced itself.)
//	L6  after a failed write or sync nothing more is appended or said to be durable. Only lack of space
//	    is no failure.
//	L7  a position that was durable never names another record, unless the log was cut before it.
//	L8  what is behind a cut is gone as a whole, or, before Cut has ended well, there as a whole.
//	L9  a record that was appended hollow stays so: its data may come later, in a Copy, and is never read at its place.
//
// Package versionlog does not order or interpret records, keeps no index, and removes no segment.
package versionlog
