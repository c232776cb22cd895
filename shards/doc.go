// Package shards is the engine of a node: it hosts the replicas that the node holds. It drives the pure
// cores (views, sst, multicast, namespace, objects) with what the fabric, the log and the clock
// bring, and carries out what they answer.
//
//	Submit --> own ring --+                        +--> log --> index --> Call, Now, At, Sync
//	                      |  Step: read the table, |
//	peers' rings, rows ---+  receive, acknowledge, +--> rings and rows of the peers (fabric)
//	links, syncs ---------+  publish, deliver      +--> views: wedge, agree, install
//
// One goroutine at a time calls Step: Run, or one that has nothing else to do, a reader of the fabric whose
// connection is drained (fabric.Doorbell); the simulation calls Step itself, and then nothing in a whole
// cluster runs in parallel. What other goroutines share with Step is guarded by one mutex, Node.mu, held
// for moments and never while another lock is taken; positions that readers need are atomic words.
//
// The order is everywhere, the bytes are where the layout says. All members of a view are in one order and apply every
// operation, so that what one node does is applied everywhere in the order in which it did it, over all files and
// directories, with no waiting. The data of a write is kept by the nodes that Keepers names; the others keep its head,
// which has the sums of the data, and ask a keeper when someone reads it.
//
// A message is acknowledged (its receipt counted in the own row) before it is applied. Whatever was
// applied anywhere was acknowledged by everyone, so a reader that waits until all that this node
// acknowledged is applied sees everything that anyone has seen (Now). The past needs no such wait: once
// the time frontier has passed T, the index as of T never changes (At).
//
// Invariants
//
//	G1  every replica applies the same operations in the same order at the same timestamps.
//	G2  a read of the present answers after everything acknowledged when it came is applied, and only while no view
//	    without this node can be open (a lease): answers and reads of what was delivered between two views wait
//	    until the leases on the first one are over.
//	G3  a read at T answers only when nothing at or before T can come, now or in a later life, and what it shows is
//	    persisted by every member.
//	G4  an operation is applied once: it carries its origin, incarnation and counter, and a view passes
//	    on to the next what it did not deliver.
//	G5  a message is in the log before it is in the index, and in the index before anyone is told.
//	G6  nothing is counted as persisted before a sync of the log that began after its append ended well; a failed
//	    sync stops the replica.
//	G7  after a restart the index is brought to the end of the log before the node speaks.
//	G8  which nodes keep the data of a shard is a function of the set of nodes, the shard, and how many replicas there are
//	    to be; when a node comes or goes, only what it takes over or leaves moves.
//	G9  a member of a view gets and logs the data of the shards that it is to keep by a layout of the view, and of the
//	    others the heads; before it says that it has caught up, or is whole, it has, durably, all data that it is to
//	    keep. Data that is read or brought from elsewhere is verified by the sums in the log here.
//
//	G10 before an operation is acknowledged, or published by its own node, OnAcknowledge tells of it; so what a node
//	    showed before, and took back when it was told, is shown nowhere once the operation is shown anywhere.
//
// Callers must not hold a lock that a function given to OnApply or OnAcknowledge takes.
package shards
