// Package advice joins to an error what the user can do about it: the next command to type. The command
// line prints the two on two lines:
//
//	dfs: error: mount point /mnt/dfs does not exist
//	dfs: hint: mkdir -p /mnt/dfs
//
// An error says what is wrong, in terms of what the user gave; the hint says what to do, and most hints
// can be typed as they are. An error without an obvious next step has no hint: a bad one is worse.
//
// Invariants
//
//	A1  the hint nearest to the outside wins: who knows more of the user's purpose wraps last.
//	A2  advice changes neither the text, the kind nor the chain of an error.
package advice
