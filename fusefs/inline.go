package fusefs

import (
	"encoding/binary"
	"runtime/debug"
	"syscall"
)

func stack() string { return string(debug.Stack()) }

// inline says whether the answer to a request needs no waiting: neither for the order of operations nor for
// writes that are not delivered yet. A reader thread answers such a request itself (U6).
func (f *filesystem) inline(h header, request []byte) bool {
	switch h.opcode {
	case opForget, opBatchForget, opInterrupt, opInit, opPoll, opDestroy:
		return true
	case opLookup:
		// Names with @ may lead into the past, which may have to be waited for.
		if len(request) > inHeaderSize && request[inHeaderSize] == '@' {
			return false
		}
	case opGetattr, opStatx, opReadlink, opGetxattr, opListxattr, opOpendir, opReaddir, opReaddirplus, opReleasedir, opRead, opLseek:
	case opOpen:
		if len(request) < inHeaderSize+4 || binary.NativeEndian.Uint32(request[inHeaderSize:])&syscall.O_TRUNC != 0 {
			return false
		}
	case opRelease, opFlush:
		if !f.untouched(request) {
			return false
		}
	default:
		return false
	}
	n := f.nodes.find(h.node)
	if n == nil || !n.live() || !n.writes.quiet() || !f.store.NowReady() {
		return false
	}
	if h.opcode == opGetattr || h.opcode == opStatx {
		// Asked last: what NowReady vouches for is noted. The kernel may have to be told to forget pages first.
		_, noted := f.forget.noted(n.ino)
		return !noted
	}
	return true
}

// untouched says that nothing was written through the handle of a FLUSH or RELEASE since its last close mark, and that
// nobody has locks of the file.
func (f *filesystem) untouched(request []byte) bool {
	if len(request) < inHeaderSize+8 {
		return false
	}
	h := f.handles.get(binary.NativeEndian.Uint64(request[inHeaderSize:]))
	return h != nil && h.progress() == runNone && h.n.lockers.count.Load() == 0
}
