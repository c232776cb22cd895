// Package ids holds the names by which the parts of dfs speak of nodes, views, subgroups, inodes and
// versions, each a type of its own so that the compiler keeps them apart.
//
// A cluster is a set of nodes (NodeID). A view (ViewID) is the list of nodes that are members now;
// a member's position in it is its Rank. Files and directories are inodes (Ino). Each inode belongs
// to a replicated state machine, a Subgroup; subgroups with the same replicas share one Group, which
// is one total order of messages. A Version is a message's place in that order.
//
// Invariants
//
//	I1  0 is no node, no view, no inode and no version.
//	I2  versions of one group compare in delivery order, over all views.
//	I3  a Version is made of a view and a message number that fit; MakeVersion panics otherwise. It is
//	    never a slot of a ring, a log position or a timestamp: those have types of their own.
package ids
