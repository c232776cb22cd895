// Package devcluster runs a cluster of node processes on this machine, for trying dfs out, for developing and
// for tests. All of it is in one directory:
//
//	DIR/node1/node.toml   configuration, made by Create
//	DIR/node1/data/       data directory
//	DIR/node1/log         what the process said
//	DIR/mnt1/             mount point
//
// The nodes are real: each is a process of its own session that listens on a loopback port, and that outlives
// the command which started it. Nothing is remembered outside of DIR: who runs is asked of the locks of the
// data directories, how they are of the control sockets.
//
// Invariants
//
//	DC1  a signal goes only to a process that holds the lock of the node's data directory at that moment,
//	     or that the same command started.
//	DC2  a start that fails ends the processes that it began, and says what the failed one said.
//	DC3  after Stop no process of the cluster runs and no mount of it is left, in whatever state they were.
//	DC4  one command at a time changes a cluster.
package devcluster
