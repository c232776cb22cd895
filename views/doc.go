// Package views decides who the members are and where one view ends and the next begins. It is a pure
// core: the owner feeds it what happened (links up and down, messages, finished local work) and
// carries out the effects it answers with, in order.
//
// A view is a list of members, each with its incarnation (which start of that node). While a view is
// active, messages flow through the rings and rows of that view. When a link breaks or a member
// says that it stopped, every member wedges: it sends and receives no more in that view. Then the
// members agree on the end of the view and on the next one:
//
//	member                                  leader (lowest node of the membership)
//	Report{installed view, received, log}-> waits for a report of every member
//	                                     <- Propose{next view, trim, source}
//	persist the trim (survivors)         -> Trimmed
//	                                     <- Deliver, when all have persisted it
//	deliver up to the trim, or fetch what
//	is missing from the source; sync     -> Ready{end of log}
//	                                     <- Commit, when all are at the same end
//	persist the view, install it         -> Installed, to every member
//
// A survivor is a member that still holds the rings of the last view. The trim says, for each group
// and sender, up to which slot messages are delivered: the least that a survivor received. What any
// member delivered before was received by all, so it lies within the trim. A restarted member has
// only its log; it fetches the rest from the source. With no survivor the longest log is the source.
//
// The membership is the configured one: every member must take part. Anything that breaks during the
// agreement (a link, a member) voids it, and it starts again from fresh reports.
//
// Invariants
//
//	V1  view numbers increase, and a view is installed by a member only after every member was ready.
//	V2  a wedged member stays wedged until the next view; a suspicion is not taken back.
//	V3  all survivors deliver the same trim: it is persisted by every survivor before any delivers it,
//	    and a persisted trim is adopted by every later proposal for that view.
//	V4  a report counts only for the attempt it was made in; a proposal is obeyed only by members whose
//	    current attempt it names.
//	V5  nothing of view k+1 is delivered before every member's log ends where view k ended.
//
// The package does not move data: fetching from the source is the owner's work.
package views
