// Package views decides who the members are and where one view ends and the next begins. It is a pure
// core: the owner feeds it what happened (links up and down, messages, finished local work, the time) and
// carries out the effects it answers with, in order.
//
// A view is a list of members, each with its incarnation (which start of that node), and the list of the
// cluster's configured nodes. While a view is active, messages flow through the rings and rows of that view.
// When a link breaks, or a member says that it stopped, every member that hears of it wedges: it sends and
// receives no more in that view. Those who can reach each other then agree on the end of the view and on the
// next one. It takes a majority of the configured nodes of the last view; who is not among them stays
// wedged, so there is one line of views.
//
//	node                                     leader (of those linked to each other the lowest that has installed the latest view)
//	state, to everyone, at each change  ->
//	                                    <-   Prepare{ballot}
//	persist the promise                 ->   Promise{installed view, received, accepted, log}
//	                                    <-   Propose{next view, trim}, when all have promised
//	persist it                          ->   Accepted
//	                                    <-   Decided{source}, when all have accepted
//	deliver up to the trim, or fetch what
//	is missing from the source; sync    ->   Ready{end of log, of data}
//	                                    <-   Commit, when all are at the same end
//	persist the view, install it        ->   Installed, to every member
//
// Promise to Accepted is Paxos (Lamport, The Part-Time Parliament), one instance for each view number, with
// the configured nodes of the view before as acceptors: a proposal that may have been decided is taken up by
// every later leader, with its trim. Anything that breaks on the way (a link, a node) voids the ballot, and the
// leader of those who are left begins a higher one.
//
// A survivor is a member that still holds the rings of the last view. The trim says, for each group
// and sender, up to which slot messages are delivered: the least that a survivor received. What any
// member delivered before was received by all, so it lies within the trim. A restarted member has
// only its log; it fetches the rest from the source. With no survivor the longest log is the source.
//
// A node that is left out while a view goes on catches up with a member of it (CatchUp) and says so; the first
// member then ends the view to take it in, which leaves only the last moments to be fetched.
//
// Invariants
//
//	V1  view numbers increase, and of a number there is one view: it is installed after a majority of the configured
//	    nodes of the view before has accepted it, and by a member only when its log is complete.
//	V2  a wedged member stays wedged until the next view; a suspicion is not taken back.
//	V3  all survivors deliver the same trim: it is part of the decided proposal.
//	V4  a ballot below the one that a node promised to wait for is refused; an attempt that began anew voids what
//	    the ballot rested on.
//	V5  nothing of view k+1 is delivered before every member's log ends where view k ended, and each of them has
//	    installed view k+1.
//	V6  the members of a view are a majority of its configured nodes, so of any two majorities that decide on its
//	    successor one has a member with all that was persisted everywhere.
//	V7  what was decided is known to one of those who decide next, though nodes that have lost their disks, or are
//	    new, have a say too.
//	V8  every member has all data that the layout of the settled nodes gives it, and of each shard there is a member; the
//	    settled nodes become the configured ones only when all members have what the layout of those gives them.
//
// Not every member need keep all data: Config.Keepers says for a set of nodes who keeps what. When the configured nodes
// change, the layout does, and data moves while views go on; until it is moved, the settled nodes are those of before.
// The end of a view is then no further than somebody is left who has the data.
//
// The package does not move data: fetching from the source is the owner's work.
package views
