// Package fusefs is the mount: it answers the kernel's FUSE requests with operations on and queries of the
// replicated state machines, in the present and, by names like @t=-10m, in the past.
//
//	/dev/fuse <--> loop --> go-fuse's ProtocolServer --> filesystem --> Store (package shards)
//	                        takes requests apart          |   nodes     what the kernel knows, by number
//	                                                      |   handles   what is open
//	                                                      |   writes    of each file: answered, not delivered yet
//	                                                      +-- reaper    finishes off what was removed
//	                                                      +-- forgetter tells the kernel what others changed
//
// # The present
//
// Operations on names and attributes wait until they are delivered, so every member has received them. A write
// is submitted and answered; its result is taken when it comes, and whatever asks for the file's contents or
// attributes here waits for the file's pending writes first. The kernel is given no time to keep live entries and
// attributes of files, and it asks for the attributes before it reads pages that it has (AUTO_INVAL_DATA); the first who
// asks after another node's change is answered when the kernel was told to forget the pages (forget.go), so reads are as new
// as the Store's. Mapped pages are invalidated a moment after the change was delivered. Attributes of directories the kernel
// may keep until an operation that may change them is acknowledged (grants.go).
//
// Permissions are checked by the kernel (default_permissions). Locks of files are held by the namespace, for all nodes;
// who waits for one waits there (locks.go). The kernel keeps locks of directories to itself: those hold on one node.
//
// # The past
//
// Names of the past are found by lookup in every live directory and are in no listing:
//
//	@t=SPEC, @v=VIEW.SEQ, @GMT-2026.11.22-10.42.05   the directory as of then
//	FILE@t=SPEC, FILE@v=VIEW.SEQ                       an entry of it as of then; a file really called so wins
//	@history/                                          the names that the directory has or had
//	@history/NAME/                                     the versions of NAME, by time, also of what had the name before
//
// SPEC is a time in RFC 3339, in full or shortened (2026-11-22T10:42, in the node's zone if it has none), unix
// seconds with a fraction, a span before now (-90s -10m -2h -3d -1w -1h30m), or v=VIEW.SEQ. Days and weeks of a span
// are of 24 hours. A span counts from the moment when the process asked first, for up to a tenth of the span (at
// least two seconds), so that a program that walks a tree sees one moment. What cannot be answered is ENOENT, and
// the log says why. No entry can get a name that begins with @t= or @v=, nor @history or @snapshots.
//
// The past has the permissions that it had then, and is entered with those that the directory has now. Its inode
// numbers are hashes of inode and moment with the top bit set, the same on every node. The kernel may keep
// everything it is told of the past.
//
// A version in @history is the end of a run of writes through one handle. When a handle through which something was
// written is closed, an operation that changes nothing marks the end of the run: in the history of the file's
// attributes it is a record equal to the one before. A truncation by path is a run of its own, setting times is
// none. What had another name before begins with a version at the moment of the rename. A directory has a version
// wherever its entries were left alone for a second.
//
// # Invariants
//
//	U1  every error passes through the table of errno.go once; a kind that is not there is EIO, and logged.
//	U2  what another node changed is seen by the next call that begins after the change was acknowledged; in a mapping
//	    it is seen as soon as a program asks for the file's attributes, or when the forgetter has got to it, some
//	    milliseconds later.
//	U3  an open handle of the past, and an open directory from when it is first read or rewound, stay at their moment.
//	U4  the past is read-only: EROFS.
//	U5  a node is known as long as the kernel has references to it or handles are open, and no longer.
//	U6  there is always a goroutine reading requests: one that may wait gives up its place.
//	U7  what a write, fsync or close of a handle returned without error, the error of an earlier write through it
//	    excepted, is delivered: by close at the latest. An error is told once. Pending writes of a file are bounded.
//	U8  @history shows a version for each run of writes and no others.
//	U9  an inode without a name is released only when it is not open here, and never opened again after that; its
//	    contents go when all members have released it, whoever crashes meanwhile.
//	U10  a lock that was given to a program is freed when POSIX says so, at the latest when the handle that it was asked
//	     for through is closed, and when the node starts anew; nobody else has what it excludes until then.
//	U11  the kernel never finds by one number a directory at another place than where it has it.
//	U12  a file handle of a live inode leads to it as long as it has a name, at every node and after every restart, and
//	     never to another.
//	U13  the kernel has no attributes of a directory that are older than what any node shows: it is told to forget them before
//	     this node acknowledges or publishes what changes them, and keeps none for longer than this node may answer reads.
//
// Locks: nodeTable.mu, handleTable.mu, handle.mu, writes.mu, dirStream.mu, loop.mu, lockers.mu and those of lockTable,
// asking, reaper, forgetter, grants, moments and limiter. dirStream.mu is held while the Store is asked and may be held around
// nodeTable.mu; writes.mu may be held around handle.mu; no other two are held together, and none while waiting for the
// Store or the kernel. Only asking.telling is held meanwhile, and around others: neither a reader of requests nor READ or
// WRITE wait for it. grants.mu is held while the kernel is told to forget attributes, which waits for nobody.
//
// A node has one Server at a time: mounting releases what the node had open before. Its owner calls Unmount and Wait
// before it closes the Store. The process that serves a mount must not map or execute files of it.
package fusefs
