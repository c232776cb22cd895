// Package fabrictest is the suite that every implementation of fabric.Fabric passes: what a node may
// rely on, tried from outside, with faults.
//
// An implementation gives Run a function that opens a Net. In a Net with goroutines of its own the suite
// waits for callbacks; in one that is stepped by hand it calls Step until what it waits for has
// happened. There is no sleeping in either.
//
// Invariants
//
//	The suite checks F1 to F5 of package fabric; each test names those it tries. It knows nothing of an
//	implementation but the fields of Net.
package fabrictest
