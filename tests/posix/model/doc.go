// Package model is a filesystem in memory, done in the most stupid way, and random programs for it: what a real one
// must answer to the same calls is what it answers. The tests of package posix run the programs at three mounts, those
// of package fusefs without a kernel.
//
// A Step is one call of root on a short path of few names, or on one of a few open files, at one of three nodes. The
// answer is an error number and, for calls that ask, a text. What a program is made of follows from its seed alone.
// Minimize makes a program that fails shorter, and Program.String and Parse are inverse, so that it can be kept.
//
// Targets of symbolic links lead nowhere, so the model need not follow them.
//
// Invariants
//
//	PM1  a program is a function of its seed and length.
//	PM2  Parse is the inverse of Program.String.
//	PM3  what Minimize returns fails, and no longer does when any one step is left out.
package model
