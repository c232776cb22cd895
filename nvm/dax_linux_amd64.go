package nvm

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapSync maps a file so that what is stored into it needs nothing but the processor's own flushes to be durable. The
// kernel refuses where that is not so.
func mapSync(f *os.File, n int, writable bool) (mem []byte, err error) {
	prot := unix.PROT_READ
	if writable {
		prot |= unix.PROT_WRITE
	}
	err = control(f, func(fd int) error {
		mem, err = unix.Mmap(fd, 0, n, prot, unix.MAP_SHARED_VALIDATE|unix.MAP_SYNC)
		return err
	})
	return mem, err
}

// Written in dax_linux_amd64.s. lines counts cache lines from p, which is the start of one.
func cpuid(leaf, sub uint32) (a, b, c, d uint32)
func flushCLWB(p unsafe.Pointer, lines int)
func flushCLFLUSHOPT(p unsafe.Pointer, lines int)
func flushCLFLUSH(p unsafe.Pointer, lines int)
func streamLines(dst, src unsafe.Pointer, lines int)
func storeFence()

// processor is the flusher of this machine.
type processor struct {
	write func(p unsafe.Pointer, lines int)
}

// findFlusher takes the best of the instructions that the processor has: CLWB keeps the line in the cache, CLFLUSHOPT
// does not, and CLFLUSH waits for each.
func findFlusher() (flusher, string) {
	if most, _, _, _ := cpuid(0, 0); most >= 7 {
		_, b, _, _ := cpuid(7, 0)
		switch {
		case b>>24&1 != 0:
			return processor{flushCLWB}, ""
		case b>>23&1 != 0:
			return processor{flushCLFLUSHOPT}, ""
		}
	}
	if _, _, _, d := cpuid(1, 0); d>>19&1 != 0 {
		return processor{flushCLFLUSH}, ""
	}
	return nil, "the processor has no CLFLUSH"
}

func (processor) store(dst, src []byte) { copy(dst, src) }

func (processor) stream(dst, src []byte) {
	streamLines(unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), len(dst)/line)
}

func (c processor) flush(dst []byte) {
	first := uintptr(unsafe.Pointer(&dst[0])) % line
	c.write(unsafe.Pointer(uintptr(unsafe.Pointer(&dst[0]))-first), (int(first)+len(dst)+line-1)/line)
}

func (processor) fence() { storeFence() }
