package fusefs

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// loop serves one connection to the kernel (U6). Readers take requests with blocking reads. Whoever has read a
// request answers it: it never moves from one goroutine to another. A request that may have to wait, or is large, is
// answered apart: its goroutine gives up its place as a reader for the time, and if nobody else waits for requests
// then, a new goroutine takes the place. So there is always a reader.
//
// On few processors there is one reader. With two that poll(2) and are both woken by each request, so that the one
// nearer to the caller gets it, a call took up to half as much time of the processors again, and was no faster.
type loop struct {
	fd       int
	protocol *fuse.ProtocolServer
	inline   func(h header, request []byte) bool // says that a request can be answered without waiting
	log      func(msg string, args ...any)

	large sync.Pool // *[]byte of maxIO+headRoom
	small sync.Pool // *[]byte of smallReply

	mu       sync.Mutex
	vacant   []*place
	reading  int                 // places that are taken
	apart    map[uint64]struct{} // requests that are being answered apart, by the kernel's number
	ended    bool
	err      error // why the connection ended, nil if by unmounting
	greeted  bool
	ready    chan struct{} // closed when INIT was answered, or the connection ended before
	gone     chan struct{} // closed when the connection has ended
	serving  sync.WaitGroup
	inlined  atomic.Uint64
	detached atomic.Uint64
}

// place is what it takes to be a reader.
type place struct {
	in, reply *[]byte
}

// Readers is how many goroutines of a Server wait for requests, each with a thread of its own.
func Readers() int { return max(1, min(4, runtime.NumCPU()/4)) }

func newLoop(fd int, protocol *fuse.ProtocolServer) *loop {
	l := &loop{fd: fd, protocol: protocol, apart: map[uint64]struct{}{}, ready: make(chan struct{}), gone: make(chan struct{})}
	l.large.New = func() any { b := make([]byte, maxIO+headRoom); return &b }
	l.small.New = func() any { b := make([]byte, smallReply); return &b }
	return l
}

// start begins to serve.
func (l *loop) start() {
	for range Readers() {
		l.vacant = append(l.vacant, &place{in: l.large.Get().(*[]byte), reply: l.large.Get().(*[]byte)})
	}
	// The first request is INIT, and nothing may be answered before it: there is one reader until then.
	l.serving.Add(1)
	go l.serve(l.takeLocked())
}

// takeLocked makes the caller a reader if there is a place.
func (l *loop) takeLocked() *place {
	if len(l.vacant) == 0 || l.ended {
		return nil
	}
	p := l.vacant[len(l.vacant)-1]
	l.vacant = l.vacant[:len(l.vacant)-1]
	l.reading++
	return p
}

// leave gives a place up to answer a request apart. If nobody else reads, somebody new does.
func (l *loop) leave(p *place, unique uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apart[unique] = struct{}{}
	l.leaveLocked(p)
	if l.reading == 0 {
		if p := l.takeLocked(); p != nil {
			l.serving.Add(1)
			go l.serve(p)
		}
	}
}

func (l *loop) leaveLocked(p *place) {
	l.reading--
	l.vacant = append(l.vacant, p)
}

// isApart says that a request is being answered apart.
func (l *loop) isApart(unique uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, apart := l.apart[unique]
	return apart
}

// rejoin makes the caller, who has answered a request apart, a reader again if there is a place.
func (l *loop) rejoin(unique uint64) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.apart, unique)
	return l.takeLocked()
}

// serve reads and answers requests until it is not needed any more.
func (l *loop) serve(p *place) {
	defer l.serving.Done()
	for p != nil {
		n, errno := readNext(l.fd, *p.in)
		switch errno {
		case 0:
		case unix.EINTR, unix.ENOENT: // ENOENT: the caller was interrupted before we could read it
			continue
		default: // ENODEV: unmounted
			l.end(p, errno)
			return
		}
		request := (*p.in)[:n]
		h, ok := parseHeader(request)
		switch {
		case !ok:
			l.log("request with a wrong length", "bytes", n, "header", h.length)
		case h.replySize(request) <= quickReply && l.inline(h, request):
			l.inlined.Add(1)
			l.answer(request, *p.reply)
			if h.opcode == opInit {
				l.greet()
			}
		default:
			p = l.serveApart(p, h, n)
		}
	}
}

// serveApart answers a request that may have to wait, and returns a place to go on from, or nil.
func (l *loop) serveApart(p *place, h header, n int) *place {
	l.detached.Add(1)
	request, from := p.in, &l.large
	if n <= smallReply {
		request, from = l.small.Get().(*[]byte), &l.small
		copy(*request, (*p.in)[:n])
	} else {
		p.in = l.large.Get().(*[]byte)
	}
	to := &l.small
	if h.replySize((*request)[:n]) > smallReply {
		to = &l.large
	}
	reply := to.Get().(*[]byte)
	l.leave(p, h.unique)
	l.answer((*request)[:n], *reply)
	from.Put(request)
	to.Put(reply)
	return l.rejoin(h.unique)
}

// greet opens the other places once INIT was answered.
func (l *loop) greet() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.greeted {
		return
	}
	l.greeted = true
	for p := l.takeLocked(); p != nil; p = l.takeLocked() {
		l.serving.Add(1)
		go l.serve(p)
	}
	close(l.ready)
}

// end notes that the connection is gone.
func (l *loop) end(p *place, errno syscall.Errno) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaveLocked(p)
	if l.ended {
		return
	}
	l.ended = true
	if errno != unix.ENODEV || !l.greeted {
		l.err = errno
	}
	if !l.greeted {
		close(l.ready)
	}
	close(l.gone)
}

// drainPeriod is how often requests that wait are told that nobody waits for them: one may just be about to.
const drainPeriod = 20 * time.Millisecond

// drain returns when the connection has ended and everything is answered.
func (l *loop) drain() {
	<-l.gone
	served := make(chan struct{})
	go func() {
		defer close(served)
		l.serving.Wait()
	}()
	tick := time.NewTicker(drainPeriod)
	defer tick.Stop()
	for {
		l.mu.Lock()
		for unique := range l.apart {
			l.interrupt(unique)
		}
		l.mu.Unlock()
		select {
		case <-served:
			return
		case <-tick.C:
		}
	}
}

// interrupt does what the kernel does when the caller of a request got a signal.
func (l *loop) interrupt(unique uint64) {
	var request [inHeaderSize + 8]byte
	var reply [smallReply]byte
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint32(request[4:], opInterrupt)
	binary.NativeEndian.PutUint64(request[inHeaderSize:], unique)
	l.protocol.HandleRequest([][]byte{request[:]}, [][]byte{reply[:]})
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

// readNext waits for a request and reads it.
func readNext(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return int(n), errno
}

// quickReply is up to where a reply is made by the reader, and written without telling the Go scheduler about the
// system call: the copy is short, and giving the processor away and back costs more than it.
const quickReply = 16 << 10

func writeNow(fd int, p []byte) (errno syscall.Errno) {
	for {
		call := syscall.Syscall
		if len(p) <= quickReply {
			call = syscall.RawSyscall
		}
		if _, _, errno = call(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))); errno != unix.EINTR {
			return errno
		}
	}
}
