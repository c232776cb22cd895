// Package sim runs whole clusters of dfs from one seed on one goroutine: the real cores, engine, state
// machines, log and index of 1, 3 or 5 nodes, on a network and on disks that are simulated, in virtual
// time. The seed decides everything: who submits what, when every message arrives, what breaks. The
// same seed gives the same run, event for event, so a failure is replayed by its seed.
//
//	clients      random programs on every node: operations, reads of the present and of the past, syncs
//	faults       slow, clogged, broken and flapping links, nodes that are isolated in one direction or both, one or
//	             several, for a little less and for longer than it takes to be suspected, paused nodes, killed
//	             processes, power failures of one node or of all, slow and failing disks, full disks, wrong clocks
//	changes      machines that are not configured come in, one by one or several at once, running already or not;
//	             nodes leave, alive or dead; one loses its disk and another takes its number; and data moves meanwhile,
//	             under all other faults. A disk is lost only while all data is where it should be
//	rot          bits flip in data on disks, where another node has it (not in what recovery reads anyway: of that it says
//	             that it is damaged; and not in heads)
//	points       a change of views is a row of points (points.go): each message of it, what is persisted, the trim,
//	             the rings, the first row. At each a node, most often the one that is there, dies in the middle of its
//	             step, is paused or isolated; a table tells how often
//	referees     watch what goes over the wire and to the disks and what clients are told, and know
//	             nothing of the engine's state: see below
//
// A run is a time of faults, then everything is healed, and the cluster must come to rest: every node
// serves, every call ends, all replicas are equal, and what was said of the past is said again.
//
//	go test ./tests/sim -run TestSim -args -seeds=500
//	go test ./tests/sim -run TestSim -args -seed=7 -trace
//	go test ./tests/sim -run TestSim -args -seeds=5000 -rare     (of these those with changes or rot)
//
// Seeds that found bugs are kept in testdata/seeds, with what they found, and run first.
//
// What is not simulated: goroutines and locks of the engine (its own tests and the race detector see
// to these), the kernel and FUSE, Pebble (index.Mem stands in, with what Pebble may lose in a crash), and bytes that change on
// the wire by themselves.
//
// Invariants, by the referee that keeps each
//
//	W1   agreement: all replicas append the same operations in the same order, at the same versions and
//	     timestamps, which increase strictly.
//	W2   the operations of one life of a node are delivered in the order of submission, each once,
//	     and none is left out before a later one.
//	W3   one primary view: of a number there is one view, a majority of the nodes are its members, and once a view has
//	     delivered an operation or answered a read of the present, no node answers one in an earlier view (leases).
//	     In a running view an operation is delivered only when every member has acknowledged it.
//	W4   what was delivered in an open view is lost only if no majority of the nodes remembers the view: a node
//	     remembers it that was a member in its present life and has received what every accepted proposal for the end of
//	     it asks for; or if of some shard no keeper that remembers it took part in the last ballot about its end. A log is cut only of what may be lost so. What a finished Sync covers, and what was there when a
//	     view opened that delivered something, stays whatever happens.
//	W5   words of rows never decrease, and Persisted never says more than the replica's disk has.
//	W6   replicas have the state that the order leads to, and calls the results: compared with a model.
//	W7   a read of the present sees every operation whose call was over before, and whatever an earlier
//	     read saw, on whatever node, also after a partition or a pause.
//	W8   a read at T answers what the order says of T, for ever: no operation is stamped at or before a T
//	     that was answered.
//	W9   once everything is healed the cluster serves within seconds, every call of a living node ends,
//	     and an idle cluster answers without waiting for a timer.
//	W10  the same seed gives the same run.
//	W11  once everything is healed each node has the data of all operations of the shards that it keeps, and every node reads
//	     all data as it was submitted. A damaged byte is never served, and is repaired while another node has it.
//	W12  nobody who keeps what a node showed, for as long as the node vouches for it and until it tells him to let go, has
//	     what is older than what was seen anywhere.
//	W13  of a view that is over no registered memory is left, and of connections there is one for each pair of nodes.
package sim
