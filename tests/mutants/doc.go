// Package mutants tests the tests: it puts known bugs into the source, one at a time, and checks that a test
// fails. Without it a green simulation would say little.
//
// A mutant is a replacement of some text by another within a function, or within two. Each function that has mutants
// is compiled with a copy of itself for each of them, and begins by asking which one is alive (weave.go); a variable of
// the environment says so. So all mutants are in one binary for each package of tests, which is compiled once, with
// -overlay: the tree stays as it is. The table in table.go says which tests must catch a mutant: most often the
// simulation, else those of a package.
//
//	make mutants
//	go test ./tests/mutants -run 'TestMutantsAreCaught/trim' -v -args -all
//
// To write one: take a line that a promise rests on, and an edit of it that somebody could make by mistake;
// one("name in words", simulation, "path/file.go", "old text", "new text"). The old text must occur once in
// the file: take in as much of the line, or of the next one with its \n and tabs, as makes it so. The new text
// must compile: a variable that is used no more becomes "_ = name". Several edits that are one bug together,
// as when two defences cover the same hole, go into one mutant. Run it; if it survives 400 seeds, ask which
// history would show it, and teach tests/sim/faults.go or the program to make that history more often. A bug
// that needs bytes which no healthy cluster makes belongs to a test of its package: "./versionlog TestTorn".
//
// When the code has changed so that an old text is gone (TestTableFitsTheCode says so, in any `go test`), write
// the mutant anew for the new code; when it survives because it is no bug any more, say why in the commit that
// removes it.
//
// Invariants
//
//	MU1  every old text is found exactly once in its file, and the mutant compiles.
//	MU2  every mutant is caught: a test says what is wrong. A timeout, a build that fails or a process that is
//	     killed is none.
//	MU3  without a mutant the same tests pass.
package mutants
