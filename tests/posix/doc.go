// Package posix tests the filesystem as programs see it: real nodes, three mounts, and processes that call the system
// as root and as users. What is expected is written down from the manual pages of Linux and from POSIX.1-2024.
//
// # How
//
// An agent is a process of this test binary that works in a directory of one mount, as one user, and makes the
// system calls that it is told to (agent_test.go). A test says what each call must do. Most run twice: with
// all calls at one mount, and with each call at the next of three, so that whatever one node was told is asked of
// another right away. Calls on descriptors go to the agent that opened them.
//
// Besides the tables there are a fuzzer, which compares random operations at three mounts with a model in memory, a
// test of coherence in a loop, and suites of others, which `make posix` runs if a user has them.
//
// # What is left out
//
// exclusions.txt lists what does not work as the manual pages say, each with the reason. The list may only get
// shorter: a test counts it.
//
// Invariants (of the tests)
//
//	PX1  a test leaves no process and no mount behind, however it ends.
//	PX2  a program of the fuzzer is a function of its seed, and a failing one is made short before it is shown.
//	PX3  what is excluded has a reason, and the list does not grow.
package posix
