// Package nvm is storage whose durability is explicit: flat directories of preallocated files, written
// in place, durable when Persist says so. There are two implementations of Dir and File, and a place
// for a third:
//
//	OpenOS     files of the operating system: fallocate, pwritev, fdatasync
//	NewStrict  memory that forgets in Crash what was not persisted, for tests
//
// Persistent memory behind a DAX file system is the third: a File whose writes are non-temporal copies
// into a mapping made with MAP_SYNC, whose Persist is one store fence, and whose reads are copies
// out of the mapping. It belongs in dax.go, beside os.go; OpenOS picks it where the mapping succeeds. The
// invariants below are what such memory gives, so nothing above has to change.
//
// Invariants
//
//	N1  bytes are durable when a Persist of their file, begun after they were written, has returned; a
//	    name or its removal is durable when a Sync of the directory has. Before that they may be durable
//	    or not, each on its own.
//	N2  an aligned word of 8 bytes is on storage as it was before a write or as it is after; nothing
//	    larger is atomic.
//	N3  only offsets leave the package, never pointers into storage.
//	N4  a file has the size it was created with, and reads as zeros where it was not written.
//	N5  after a Persist failed, what it should have made durable may be lost even if a later one
//	    succeeds. The caller must not retry and go on.
//
// Errors carry a kind, errs.NoSpace, errs.NotFound, errs.Exists, errs.Invalid or errs.IO, and name the
// file. Names have no slash. A File may be used by many goroutines at once; writes that overlap are the
// caller's to avoid. The package nvmtest holds the tests that every implementation passes.
package nvm
