// Package nvm is storage whose durability is explicit: flat directories of preallocated files, written
// in place, durable when Persist says so. The implementations of Dir and File:
//
//	OpenOS     files of the operating system: fallocate, pwritev, fdatasync
//	OpenBest   persistent memory behind a DAX file system where there is some, else as OpenOS
//	NewStrict  memory that forgets in Crash what was not persisted, for tests
//	NewTraced  memory with the code of persistent memory, which tells what each order of its stores leaves, for tests
//
// Persistent memory is used where a mapping with MAP_SYNC can be made: only then does the kernel promise that stores
// need nothing but the processor to be durable. Whole cache lines are copied past the cache, their rests stored and
// flushed by CLWB, CLFLUSHOPT or CLFLUSH, and each write ends in a store fence of its own, for a fence says
// nothing about other processors. What moves a goroutine to another processor in the middle of a write has locked
// instructions on its way, which are as good as a fence. So Persist has nothing left to do. Reads are copies. Memory that
// fails gives errs.IO. Nothing of it is registered with RDMA adapters: those refuse the memory of a DAX file system.
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
