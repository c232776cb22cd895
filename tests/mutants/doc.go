// Package mutants tests the tests: it puts known bugs into the source, one at a time, and checks that a test
// fails. Without it a green simulation would say little.
//
// A mutant is a replacement of some text by another in one file or two. It is laid over the source with
// `go test -overlay`, so the tree stays as it is. The table in table.go says which tests must catch it:
// most often the simulation, else those of a package.
//
//	make mutants
//	go test ./tests/mutants -run 'TestMutantsAreCaught/trim' -v -args -all
//
// When the code has changed so that an old text is gone, write the mutant anew for the new code; when it
// survives because it is no bug any more, say why in the commit that removes it.
//
// Invariants
//
//	MU1  every old text is found exactly once in its file, and the mutant compiles.
//	MU2  every mutant is caught.
package mutants
