package fusefs

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// The layout of what the kernel sends, as far as the loop looks into it: fuse_in_header and the fixed part of
// fuse_read_in, which LISTXATTR, GETXATTR and IOCTL share in their place for the size of the reply.
const (
	inHeaderSize  = 40
	outHeaderSize = 16
	headRoom      = 4096 // a reader's buffer must hold more than the data: the header and the fixed part
	smallRequest  = 4096
	smallReply    = 8192 // READLINK and everything with a fixed size
)

// header is the part of fuse_in_header that decides how a request is served.
type header struct {
	length, opcode uint32
	unique, node   uint64
}

func parseHeader(b []byte) (header, bool) {
	if len(b) < inHeaderSize {
		return header{}, false
	}
	h := header{
		length: binary.NativeEndian.Uint32(b), opcode: binary.NativeEndian.Uint32(b[4:]),
		unique: binary.NativeEndian.Uint64(b[8:]), node: binary.NativeEndian.Uint64(b[16:]),
	}
	return h, int(h.length) == len(b)
}

// replySize returns how many bytes the reply to a request may take.
func (h header) replySize(request []byte) int {
	at := 0
	switch h.opcode {
	case opRead, opReaddir, opReaddirplus:
		at = inHeaderSize + 16
	case opGetxattr, opListxattr:
		at = inHeaderSize
	case opIoctl:
		at = inHeaderSize + 28
	}
	if at == 0 || len(request) < at+4 {
		return smallReply
	}
	return smallReply + int(min(binary.NativeEndian.Uint32(request[at:]), maxIO))
}

// loop serves one connection to the kernel: two threads, each locked to its goroutine, read requests without
// blocking and poll(2) when there are none. What can be answered at once is answered on the spot, without any
// switch of goroutines; what may wait is handed to a goroutine of its own, so that the readers are always
// there for the rest (U6).
//
// More readers do not help: a request that waits holds none of them, and idle ones cost wake-ups.
type loop struct {
	fd       int
	protocol *fuse.ProtocolServer
	// inline says whether a request can be answered without waiting. If it can but may take a while, busy
	// decides: the other reader must be free then.
	inline func(h header, request []byte) bool
	log    func(msg string, args ...any)

	busy    atomic.Int32 // readers that are answering a request on the spot
	readers sync.WaitGroup
	workers sync.WaitGroup
	large   sync.Pool // *[]byte of maxIO+headRoom
	small   sync.Pool // *[]byte of smallReply
	once    sync.Once
	ready   chan struct{} // closed when the first request, INIT, was answered
	failed  atomic.Pointer[error]

	inlined, handed atomic.Uint64
}

const readerThreads = 2

func newLoop(fd int, protocol *fuse.ProtocolServer) *loop {
	l := &loop{fd: fd, protocol: protocol, ready: make(chan struct{})}
	l.large.New = func() any { b := make([]byte, maxIO+headRoom); return &b }
	l.small.New = func() any { b := make([]byte, smallReply); return &b }
	return l
}

// start begins to serve. The first request is INIT, and nothing may be answered before it: the first reader
// starts the second.
func (l *loop) start() {
	l.readers.Add(1)
	go l.read(true)
}

// wait returns when the connection is gone and everything is answered.
func (l *loop) wait() {
	l.readers.Wait()
	l.workers.Wait()
}

// read is one reader thread.
func (l *loop) read(first bool) {
	defer l.readers.Done()
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	in := l.large.Get().(*[]byte)
	reply := l.large.Get().(*[]byte)
	defer func() { l.large.Put(in); l.large.Put(reply) }()
	for {
		n, errno := readNow(l.fd, *in)
		switch errno {
		case 0:
		case unix.EAGAIN:
			waitReadable(l.fd)
			continue
		case unix.EINTR, unix.ENOENT: // ENOENT: the caller was interrupted before we could read it
			continue
		default: // ENODEV: unmounted
			l.end(errno)
			return
		}
		request := (*in)[:n]
		h, ok := parseHeader(request)
		if !ok {
			l.log("request with a wrong length", "bytes", n, "header", h.length)
			continue
		}
		if first {
			l.answer(request, *reply)
			l.begin()
			first = false
			continue
		}
		if l.busy.Add(1) == 1 && l.inline(h, request) {
			l.inlined.Add(1)
			l.answer(request, *reply)
			l.busy.Add(-1)
			continue
		}
		l.busy.Add(-1)
		in = l.hand(h, in, n)
	}
}

// begin starts the second reader once INIT was answered.
func (l *loop) begin() {
	l.once.Do(func() {
		for range readerThreads - 1 {
			l.readers.Add(1)
			go l.read(false)
		}
		close(l.ready)
	})
}

// end notes why the connection ended.
func (l *loop) end(errno syscall.Errno) {
	var err error = errno
	if errno != unix.ENODEV {
		l.failed.CompareAndSwap(nil, &err)
		l.log("reading from the kernel failed", "error", errno)
	}
	l.once.Do(func() {
		l.failed.CompareAndSwap(nil, &err)
		close(l.ready)
	})
}

// hand gives a request to a goroutine, with its bytes, and returns the buffer for the next.
func (l *loop) hand(h header, in *[]byte, n int) *[]byte {
	l.handed.Add(1)
	request, next := in, in
	var owner *sync.Pool
	if n <= smallRequest {
		request, owner = l.small.Get().(*[]byte), &l.small
		copy(*request, (*in)[:n])
	} else {
		next, owner = l.large.Get().(*[]byte), &l.large
	}
	l.workers.Add(1)
	go func() {
		defer l.workers.Done()
		pool := &l.small
		if h.replySize((*request)[:n]) > smallReply {
			pool = &l.large
		}
		reply := pool.Get().(*[]byte)
		l.answer((*request)[:n], *reply)
		pool.Put(reply)
		owner.Put(request)
	}()
	return next
}

// answer serves one request and writes the reply.
func (l *loop) answer(request, reply []byte) {
	n, _ := l.protocol.HandleRequest([][]byte{request}, [][]byte{reply})
	if n == 0 {
		return // FORGET and the like have no reply
	}
	// ENOENT: the request is not there any more, for example because its caller was killed. The connection may
	// also be gone meanwhile; the readers see that too.
	if errno := writeNow(l.fd, reply[:n]); errno != 0 && errno != unix.ENOENT && errno != unix.ENODEV {
		h, _ := parseHeader(request)
		l.log("a reply was refused by the kernel", "opcode", h.opcode, "bytes", n, "error", errno)
	}
}

// readNow reads without blocking. It does not tell the Go scheduler that it is in a system call: the copy is
// short, and giving the processor away and back costs more than it.
func readNow(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}

// quickWrite is up to where a reply is written without telling the scheduler.
const quickWrite = 16 << 10

func writeNow(fd int, p []byte) (errno syscall.Errno) {
	for {
		call := syscall.Syscall
		if len(p) <= quickWrite {
			call = rawSyscall
		}
		if _, _, errno = call(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))); errno != unix.EINTR {
			return errno
		}
	}
}

func rawSyscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err syscall.Errno) {
	return syscall.RawSyscall(trap, a1, a2, a3)
}

// waitReadable blocks this thread until there is a request, or an error to be read.
func waitReadable(fd int) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	_, _ = unix.Poll(fds, -1) // EINTR and errors are found by the next read
}
