// Package mountpoint looks after the places where dfs is mounted: is this directory fit to mount on, what is
// mounted there, is it a mount whose process died, and how to take it away.
//
//	free ---- mount ----> live ---- process dies ----> stale ("transport endpoint is not connected")
//	  ^                    |                              |
//	  +---- Unmount -------+------------ Detach ----------+
//
// A process that waits for a filesystem may wait for ever when its cluster does, so nothing here touches a
// live dfs mount without a deadline.
//
// Invariants
//
//	MP1  Check changes nothing, and every error it returns has a hint.
//	MP2  no call blocks longer than its deadline on a filesystem that does not answer.
//	MP3  only a mount of the type fuse.dfs is ever taken away.
//
// Works for root by system calls, and for others through fusermount3.
package mountpoint
