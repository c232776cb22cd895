package fusefs

// The numbers of requests, from linux/fuse.h, as far as the loop tells them apart.
const (
	opLookup       = 1
	opForget       = 2
	opGetattr      = 3
	opReadlink     = 5
	opOpen         = 14
	opRead         = 15
	opWrite        = 16
	opStatfs       = 17
	opRelease      = 18
	opGetxattr     = 22
	opListxattr    = 23
	opFlush        = 25
	opInit         = 26
	opOpendir      = 27
	opReaddir      = 28
	opReleasedir   = 29
	opInterrupt    = 36
	opDestroy      = 38
	opIoctl        = 39
	opPoll         = 40
	opBatchForget  = 42
	opReaddirplus  = 44
	opLseek        = 46
	opStatx        = 52
	noteInvalInode = 2 // FUSE_NOTIFY_INVAL_INODE
	noteStore      = 4 // FUSE_NOTIFY_STORE
	notePrune      = 9 // FUSE_NOTIFY_PRUNE
)
