// Package relay says who sends which block of a large object to whom, so that the sender does not send it once for
// each receiver: the binomial pipeline. Receivers pass blocks on while others are still on their way, and the time for
// a group hardly grows with its size.
//
// The members stand at the corners of a cube with as many dimensions as it takes, the sender at corner 0. In step s all
// exchange a block along dimension s modulo their number; after d+k-1 steps each of 2^d corners has all k blocks.
// A group of another size leaves corners empty: the member at the corner that differs in the highest bit stands
// there too, and passes nothing to itself.
//
// There are no rounds on the network. A Machine knows its own sends in the order of their steps and makes each as soon
// as it has the block. If a member dies, the others say what they have, and Repair says who sends what is missing.
//
// The package is pure: it moves no bytes.
//
// Invariants
//
//	J1  a plan sends each block to each receiver once, and the sender's own never.
//	J2  a member sends a block only if it has it by an earlier step of the plan.
//	J3  every Machine ends, in whatever order blocks of different peers arrive.
//	J4  after deaths, what any survivor has all survivors get; the rest is said to be lost.
//	J5  a member has at most two sends and two receipts in a step, one of each where the group fills the cube.
package relay
