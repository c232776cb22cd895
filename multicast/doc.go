// Package multicast is atomic multicast in one view: every member sends, and every member delivers
// the same messages in the same order, each of them only after all members have received it. It is
// the ring multicast of Derecho (Jha et al., TOCS 2019) with the batching of Spindle (2021).
//
// A Group is one total order among some members of a view. Each of them has a ring of bytes at each
// other one, which it alone writes; a message is a record (package record) laid into the own ring
// in place, copied to the others' copies of that ring as it is, and delivered from there. What the
// members say about the rings is in their rows of the shared state table (package sst):
//
//	sender, rank 0   |m0|m1|..|m2|           Tail (bytes), Sent = 4 (slots), slot 2 is a null
//	slots            0  1  2  3
//	order            (0,r0) (0,r1) (0,r2) (1,r0) (1,r1) (1,r2) (2,r0) ...   round robin
//
// Slot k of the member at place r has position k*n + r, and messages are delivered by position. A
// member that has nothing to say gives up its slots: Sent counts them, and no record has their
// position. Such a slot is a null. It costs no bytes, and no push of its own, since it goes out in
// the row that acknowledges the message which made it necessary.
//
// # The null rule
//
// A member at place r that sees Sent = c > 0 at place s moves its own Sent to at least c if r < s, and to
// c-1 if r > s. Those are just the slots of r at positions before slot c-1 of s, the last one that s used.
// Hence (1) once all members saw the last slot of s, every position before it is known, used for a message or
// given up, and s's message waits for nothing but its receipt: nobody who is silent holds up a sender. (2) What the
// rule asks for never lies beyond the greatest position used by some message: a null given up for slot c-1 of s
// has a position before it, so following the rule for that null asks nobody for a position that the rule for s
// did not ask for already. So nulls cause no nulls without a message behind them, and
// silence stays silent.
//
// # Why a null needs to be received by nobody
//
// A position that a member knows as a null holds no message at any member, now or later: Sent of its
// owner has passed it without a record, the owner never goes back, and a receiver refuses a record at a position
// that it has counted already. Version and timestamp of a message depend on the messages before
// it, not on nulls. So the delivered sequence is the sequence of messages by position, whatever is known
// about the nulls between; a member only must know, of each position that it passes, that it is a null. A trim
// treats every slot at or beyond it as a null. A message that anyone delivered was received by all, so it
// lies below the trim of its sender, and so do all messages delivered before it; a slot beyond the
// trim that someone had passed by was a null in truth, and one below is judged by the survivors
// from the same records. So what survivors deliver begins with what anyone delivered.
//
// # Time
//
// A record carries its sender's clock as of publication. At delivery the message gets the timestamp
// max(that, timestamp before + 1), and the delivering member's clock moves past it. Frontier in a
// member's row is its promise that what it sends beyond Sent is stamped later. Of member m, the
// messages not yet delivered here are those in its ring, stamped from the first one on, and those beyond Sent,
// stamped after its Frontier; so nothing of m to come is at or before min(Frontier, first stamp - 1),
// and the minimum over the members is the group's time frontier at this node.
//
// # Invariants
//
//	M1   bytes of a ring are written again only after every member has delivered and logged the message
//	     that lay there.
//	M2   messages are delivered in the order of their positions, at every member.
//	M3   a message is delivered only when all members have received it and every position before it is
//	     known; after a wedge, only when the trim covers it.
//	M4   in a wedged group nothing is published, received, acknowledged or promised any more.
//	M5   a member's slots up to the last one that anyone used are used: by its messages, or as nulls.
//	M6   nothing waits for a null: not for its receipt by others, nor for its persistence, nor for its time.
//	M7   timestamps increase strictly in the order of delivery and are the same at every member.
//	M8   a member sends no stamp at or before its promised Frontier, and delivers no message at or before
//	     a TimeFrontier that it returned.
//	M9   a member's messages are published, and so delivered, in the order of their reservations.
//	M10  sequence numbers count the delivered messages of the view: 1, 2, 3, without a gap.
//	M11  what peers wrote is checked before use; what makes no sense is reported as the error of that
//	     member, which is heard no more. Nothing that a peer writes makes this package panic.
//	M12  after a trim, what survivors have delivered is the same, and begins with what any member delivered.
//
// # What the caller does
//
// One goroutine owns the Group and steps it; any number of goroutines use its Outbox. Methods marked
// "with the outbox" are called with the mutex held that guards the Outbox; the package has no lock. A step:
//
//	1  lock; Collect; unlock. If it returns true, wake those who wait for room.
//	2  table.Snapshot, then Step of each group. A *MemberError or *sst.RowError: suspect that member.
//	3  do for each message of Arrived and Published what must be done before it is acknowledged or known.
//	4  write Effects.Writes of each group to the same ring at every other member, then push the row
//	   to those that the table is DirtyFor. In that order on each link.
//	5  log and apply Effects.Deliveries in order; then Logged. Their records lie in ring memory that
//	   is valid until then.
//	6  if SyncNow, have the log synced, and then call SetPersisted; if Effects.More, step again at once.
//
// Where little can be said in a push, none is made: that nulls were received, that messages were logged (while
// that frees little), and what was persisted (for members that did not ask) are set quietly. So a lone message costs a push
// of its sender and one of each receiver. The row is pushed at every heartbeat too, with all that is in it.
//
// At the end of a view: Wedge every group, then set the table's Wedged word and push; agree on the
// minimum of Received over the members that go on, all of them wedged; cut the links to the others,
// since delivery patches records in the rings that the links may still be reading; Trim; log and apply what it
// returns; Logged; Unsent, and send those again in the next view. The next view's Config.After must be the same at
// all members, and not less than the last delivered timestamp and every survivor's Frontier.
package multicast
