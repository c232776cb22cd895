// Package bench measures dfs: atomic multicast alone, the engine of a node, and filesystems through
// their mounts. It is a library; the command line starts it and prints what it returns.
//
// Absolute figures of one machine move from day to day, so whatever a figure is compared with is measured in
// the same run: bare TCP between the same processes beside multicast, a plain loopback mount beside a
// mount of dfs, in turns.
//
//	multicast    Multicast.Run: workers, each a process with one member (Work), or all in this process
//	             (memory); member is the loop around a multicast.Group with no log and no state machine
//	             behind it; bare is the same traffic without any protocol
//	replication  Replication.Run: whole engines of package shards, with log and index
//	filesystem   FS.Run: what programs do to files, in directories of one or several mounts
//
// Invariants
//
//	B1  a rate is that of the slowest member, by its own clock.
//	B2  rounds take turns over all that is compared, and what is told is their median.
//	B3  nothing is counted before everyone works, nor after someone stopped.
//	B4  a time told by a Histogram is wrong by less than two percent, and no time is left out.
//	B5  a filesystem workload leaves nothing behind in the directories that it was given.
package bench
