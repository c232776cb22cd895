//go:build race

package tcp

import (
	"runtime"
	"unsafe"
)

// The race detector does not see system calls. These tell it what package syscall would: that what was
// done before a write is seen after the read of it, and which memory the kernel read and wrote.

var ioSync int64

func raceRelease() { runtime.RaceReleaseMerge(unsafe.Pointer(&ioSync)) }
func raceAcquire() { runtime.RaceAcquire(unsafe.Pointer(&ioSync)) }

func raceReads(p []byte) {
	if len(p) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(p)), len(p))
	}
}

func raceWrites(p []byte) {
	if len(p) > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(p)), len(p))
	}
}
