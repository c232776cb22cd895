// Package sst is the shared state table of one view: a row of 8-byte words per member, of which every
// member keeps a whole copy, writes only its own row, and pushes that row to the same place in the
// copies of the others. All agreement in dfs is deduced from these rows; nothing is asked or answered.
//
//	row of member m (n members, G groups), lowest address first:
//
//	for each group   Tail           bytes of its ring that m published, absolute
//	                 Sent           slots that m used up, messages and nulls
//	                 Received[n]    slots of each member that m has received
//	                 Delivered      position in the order up to which m delivered and logged
//	                 Persisted      number of the last message that is durable at m
//	                 Frontier       m's promise: whatever it sends beyond Sent is stamped later
//	                 WantPersisted  message that m wants to be durable everywhere
//	                 WantFrontier   time that m wants every Frontier to reach
//	Echo[n]          the last Heartbeat of each member that m has seen
//	Low              odd while m's disk has no room for new data
//	Wedged           1: m neither sends nor receives in this view any more
//	Heartbeat        grows while m lives
//	(zeros up to a multiple of 8 words, so that rows start on cache lines of their own)
//
// A push stores the words of a row in ascending order of address, each atomically (fabric, F2), after
// the ring bytes that were written before (F1). A snapshot loads them in descending order. So when
// the loads meet a push in the middle, or many pushes, it still holds that of two words of one
// row the lower one is at least as fresh as the higher one: the higher was loaded first, and
// whoever stored it had stored the lower before. Therefore whatever a word vouches for stands below it:
//
//	ring bytes < Tail < Sent          a slot below Sent without a record below Tail is a null
//	Sent < Frontier                   what was sent before the promise is counted in Sent
//	Delivered < Persisted             what is durable was delivered
//	Received, Frontier < Wedged       the words of a wedged member are its last
//	Echo < Wedged                     who wedged has seen no later heartbeat in the view
//	everything < Heartbeat            a row is at least as fresh as its heartbeat
//
// Invariants
//
//	S1  a word has one writer, the member whose row it is in. Setters exist for the own row only.
//	S2  a word never decreases in a view. A setter that would break this panics.
//	S3  in a snapshot, of two words of one row the lower one is at least as fresh, and every guarded
//	    word stands below its guard.
//	S4  a step decides on one snapshot; no word of another member is read twice for one decision.
//	S5  the memory of a table belongs to one view. A next view has memory of its own, so a late write of
//	    the old one lands nowhere.
//	S6  rows of others are outside bytes: one that breaks S2 or a bound is refused with errs.Corrupt,
//	    and what it held before stays in the snapshot for good. No later code meets a refused value.
//
// The caller owns the memory and the pushing: after its steps, if Dirty, it writes Row at RowOffset to
// every other member that it is DirtyFor, and calls Pushed. Words set quietly do not make the table dirty; they travel with
// the next push, so the caller pushes at every heartbeat in any case. One goroutine owns a Table and
// its Snapshots; only the fabric writes beside it, into rows of others.
package sst
