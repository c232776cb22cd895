// Package hlc is a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014) kept in one
// int64 of unix nanoseconds: the physical time where it moves, one more than the last value where
// it does not. Physical time is an argument, so the package reads no clock.
//
// A Timestamp is also the coordinate of the past: each delivered message has one, those of a group
// increase strictly, and the state "as of T" is made of the messages with a timestamp of at most T.
//
// Invariants
//
//	H1  what Now returns increases strictly on one node.
//	H2  after Observe(t), Now returns more than t.
//	H3  a timestamp too far ahead of the physical clock is refused by Check, never absorbed.
//
// The caller serialises all calls on one Clock. The package does not compare clocks between nodes;
// the owner of the links does, with Check.
package hlc
