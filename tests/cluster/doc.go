// Package cluster tests clusters of real processes with real mounts on this machine, started by the dfs
// binary as a user starts them. The binary is named by DFS_BINARY, or built.
//
// Invariants (of the tests)
//
//	C1  a test leaves no process and no mount behind, however it ends.
//	C2  nothing waits for a time to pass: a test waits for what it expects, with a deadline.
package cluster
