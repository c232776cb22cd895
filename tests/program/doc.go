// Package program finds the dfs program that tests with real processes run.
//
// Invariants
//
//	TP1  the program is built from the tree under test, unless the environment variable DFS_BINARY names one.
package program
