// Package faults tests clusters of real processes with real mounts while nodes are killed, stopped and cut off from
// each other. It holds what programs were told against what is there afterwards.
//
// The test process never touches a mount: agents do, processes of their own, one or more at each mount. A call of an
// agent may hang as long as the cluster does; the test process goes on. Agents that are commanded do one call for each
// line they read; the others repeat something and report every turn. Moments are those of the machine's monotonic
// clock, read by the agents right before and after their calls, so they compare across processes.
//
// Invariants
//
//	F1  what fsync acknowledged is there, on every node, after any crash; what a node that lived on was told of is
//	    there too. Nothing is there twice or in parts, and the nodes agree.
//	F2  a majority goes on after the suspicion time; a minority answers neither writes nor reads of the present.
//	F3  whoever reads after a write was acknowledged gets that write or a newer one, also right after his node was
//	    stopped for any time.
//	F4  with consistency = strict, calls through all mounts are linearizable: each takes effect at one moment between
//	    its begin and its end, a call of unknown outcome at any moment after its begin or never.
//	F5  by default, who saw a write sees all that its writer had written or seen before.
//	F6  a test leaves no process, mount, network namespace or interface behind, however it ends.
package faults
