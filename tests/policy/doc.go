// Package policy keeps the rules of the house that decay silently when nobody measures them. It has no
// code of its own, only tests that read the tree: the import graph from `go list`, the syntax trees of
// all files, and the two tables of ARCHITECTURE.md, which are the written form of rules 1 and 2.
//
// Invariants
//
//	P1  a package of dfs imports only what its row of the floor plan in ARCHITECTURE.md allows, and every
//	    row goes downward. A new edge is a decision: change the table, and say why in the commit. Do not
//	    loosen it to make a build pass.
//	P2  a third-party module is imported only from the packages that its row of the dependency table in
//	    ARCHITECTURE.md names.
//	P3  the pure cores do no I/O, start no goroutine, read no clock, share no memory and draw no random
//	    number: everything comes in as an argument and goes out as a value.
//	P4  every package has a doc.go with numbered invariants, and every number is cited by a test.
//	P5  tests wait for events, they do not sleep; nobody decides on the text of an error; only the
//	    command line ends the process; memory tricks stay in the packages that exist for them.
//	P6  nothing in the tree names the machine it was written on.
//	P7  each mistake of docs/pitfalls.md names what would show it, and that is there.
package policy
