// Package namespace is the replicated state machine of directories and inodes: names, owners and
// modes, link counts, extended attributes and access control lists, and orphans, which are inodes
// that nobody can name any more but someone may have open. It has no state of its own: everything
// lies in versioned records of the index, Apply changes the newest of them, and the queries read them
// as of any moment, now or in the past, in one way.
//
// Records, by key. The first byte is the table, inode numbers are 8 bytes big-endian, so that the
// entries of a directory lie together in the order of their names:
//
//	'd' parent name   what the name means: inode number, type byte
//	'i' inode         the inode: format (1), flags (1: linkable), mode, uid, gid, nlink, length of the
//	                  list of attribute names; btime; atime, mtime, ctime less btime; then of a
//	                  directory its parent and number of entries, of a device its number, of a
//	                  symbolic link the length of its target and the target
//	'o' inode         an orphan: whether it is gone (0 or 1), number of nodes that released it, the nodes
//	'n'               the highest number that was given to a node of the cluster
//	's'               the next inode number, the number of inodes
//	't' token(16)     who has a token with which nodes come into the cluster: state, key (32), number, address, when
//	                  it was used, when it expires
//	'x' inode name    the value of an extended attribute
//	'y' inode         the locks of a file: how many are held; of each its flags (1: exclusive, 2: of flock, 4: search
//	                  for deadlocks), node, incarnation and number of the owner, start, length less one, process; then
//	                  how many are waited for, each the same and its ticket
//	'z' node(4) incarnation(4) owner(8) inode
//	                  nothing: the owner waits for a lock of that file, and is part of the search for deadlocks
//
// Numbers are unsigned varints but for flags, formats and types, which are single bytes, and times,
// which are signed varints. An operation is a byte that says which, then its fields in the order in
// which its struct has them; strings and lists have their length before them.
//
// # What Apply checks and what it leaves
//
// It checks everything that depends on the state. Permissions, the sticky bit and the group
// membership that a setgid bit demands were checked by the kernel of the caller; what changed in
// between does not matter, as on any filesystem that several use. The size, atime and mtime of a
// regular file belong to package objects.
//
// # Locks
//
// Locks of fcntl, flock and open files are held by the table, so every node sees the same ones, and they are freed
// with the node that holds them. Who waits stands in the table too: the operation that frees a lock gives it to those
// who wait for it, first come, first served, and the search for deadlocks finds circles over all nodes. Locks are
// of the present only: their records have no past (index.Writer.PutPassing).
//
// # Who comes into the cluster
//
// Nothing of that is about files; it is here because it must be in the one order: a token is good at any node, once in the
// whole cluster, and no number is given to two nodes. A Claim says who has a token, RaiseClaim how far the node is.
//
// # The end of an inode
//
// An inode that loses its last link gets an orphan record. Each member of the view says with Release
// that it does not have it open; from then on it must refuse to open it. The Release that completes
// the members given in it deletes the inode. Of a regular file a record stays that says that it is
// gone, until Dropped says that its contents are dropped too. Whoever finds records by Orphans, after
// any crash, may repeat each step: all are idempotent.
//
// Invariants
//
//	T1  Apply is a function of state, operation and timestamp only; so replicas have equal Digests.
//	T2  the link count of an inode is the number of entries that name it; that of a directory in the
//	    tree is 2 and the number of its subdirectories. Every entry names an inode, and the count of
//	    entries in a directory is right. An inode has an orphan record that is not gone if and only
//	    if its link count is 0.
//	T3  no directory is its own ancestor: every directory that is not an orphan is named by one entry,
//	    in the directory that it has as its parent, and leads up to the root.
//	T4  what a Reader at a moment says never changes, whatever is applied at later timestamps; but for locks.
//	T5  a failed operation changes nothing.
//	T6  every record decodes, and the counters are right: inode numbers are never used twice.
//	T7  no two owners hold locks that conflict; nobody waits for a lock that nothing stands in the way of; what a
//	    node held is free after its ReleaseNode.
//
//	T8  a token is one key's for ever, and nobody else's; a new node gets a number that none had before. A number and an
//	    address are expected of one node at most.
//
// Check verifies T2, T3, T6, T7 and T8 over a whole state.
package namespace
