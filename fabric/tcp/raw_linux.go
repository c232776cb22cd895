package tcp

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxIovecs is IOV_MAX, the most pieces that one writev takes.
const maxIovecs = 1024

// directMax bounds one read straight into a region, and with it the time that the registry is held.
const directMax = 1 << 20

// rawWriter sends batches on a TCP socket with writev, and can do so without waiting.
type rawWriter struct {
	rc  syscall.RawConn
	fn  func(fd uintptr) bool // w.writable, made once so that calls allocate nothing
	iov [maxIovecs]unix.Iovec

	// the call in progress
	b    *batch
	wait bool
	err  error
}

// newRawWriter returns nil if nc is not a TCP socket.
func newRawWriter(nc net.Conn) *rawWriter {
	rc := rawOf(nc)
	if rc == nil {
		return nil
	}
	w := &rawWriter{rc: rc}
	w.fn = w.writable
	return w
}

func rawOf(nc net.Conn) syscall.RawConn {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	rc, err := tc.SyscallConn()
	if err != nil {
		return nil
	}
	return rc
}

// write sends as much of b as the socket takes; if wait is set, all of it.
func (w *rawWriter) write(b *batch, wait bool) error {
	w.b, w.wait, w.err = b, wait, nil
	err := w.rc.Write(w.fn)
	if err == nil {
		err = w.err
	}
	w.b = nil
	return err
}

// writable is called by the runtime's poller; false waits until the socket takes more.
func (w *rawWriter) writable(fd uintptr) bool {
	for !w.b.done() {
		iov, size := w.gather()
		raceRelease()
		n, _, errno := syscall.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
		switch errno {
		case 0:
			w.b.advance(int(n))
			if int(n) < size {
				return !w.wait
			}
		case syscall.EINTR:
		case syscall.EAGAIN:
			return !w.wait
		default:
			w.err = os.NewSyscallError("writev", errno)
			return true
		}
	}
	return true
}

// gather lays out what is left of the batch for writev.
func (w *rawWriter) gather() (iov []unix.Iovec, size int) {
	k := min(len(w.b.pieces)-w.b.sent, maxIovecs)
	for i := range k {
		p := w.b.rest(i)
		raceReads(p)
		w.iov[i].Base = unsafe.SliceData(p)
		w.iov[i].SetLen(len(p))
		size += len(p)
	}
	return w.iov[:k], size
}

// rawReader feeds a decoder from a TCP socket, reading long payloads straight into their regions.
type rawReader struct {
	rc  syscall.RawConn
	fn  func(fd uintptr) bool
	d   *decoder
	buf []byte

	// the call in progress
	direct, n int  // bytes that came into a region, and into buf
	drained   bool // the socket had less than it was asked for
	err       error
}

func newRawReader(nc net.Conn, d *decoder, buf []byte) *rawReader {
	rc := rawOf(nc)
	if rc == nil {
		return nil
	}
	r := &rawReader{rc: rc, d: d, buf: buf}
	r.fn = r.readable
	return r
}

// next waits for bytes and hands them to the decoder. It returns how many came, and whether they were all.
func (r *rawReader) next() (n int, drained bool, err error) {
	r.err = nil
	if err := r.rc.Read(r.fn); err != nil {
		return 0, false, err
	}
	if r.err != nil {
		return 0, false, r.err
	}
	return r.direct + r.n, r.drained, r.d.consume(r.buf[:r.n])
}

// readable is called by the runtime's poller; false waits until there is something to read. The
// registry is locked for one read that does not block (K3).
func (r *rawReader) readable(fd uintptr) bool {
	r.d.regions.mu.RLock()
	defer r.d.regions.mu.RUnlock()
	for {
		mem := r.d.direct()
		if len(mem) > directMax {
			mem = mem[:directMax]
		}
		var iov [2]unix.Iovec
		k := 0
		if len(mem) > 0 {
			iov[0].Base = unsafe.SliceData(mem)
			iov[0].SetLen(len(mem))
			k = 1
		}
		// The buffer takes what follows, unless the payload goes on after this read.
		if len(mem) == 0 || len(mem) == r.d.left {
			iov[k].Base = unsafe.SliceData(r.buf)
			iov[k].SetLen(len(r.buf))
			k++
		}
		got, _, errno := syscall.RawSyscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(k))
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return false
		case errno != 0:
			r.err = os.NewSyscallError("readv", errno)
			return true
		case got == 0:
			r.err = io.EOF
			return true
		}
		raceAcquire()
		r.drained = uint64(got) < uint64(iov[0].Len)+uint64(iov[1].Len)
		r.direct = min(int(got), len(mem))
		r.n = int(got) - r.direct
		raceWrites(mem[:r.direct])
		r.d.advance(r.direct)
		return true
	}
}

// tune sets what a link wants of its socket.
func tune(nc net.Conn, deadAfter time.Duration) {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	// Errors are of no consequence: the link works without, only slower.
	_ = tc.SetNoDelay(true)
	probe := max(deadAfter/4, time.Second)
	_ = tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: probe, Interval: probe, Count: 3})
	rc := rawOf(nc)
	if rc == nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
	})
}

const (
	// shortTrip is up to which round trip a link is short: what it has in flight then never needs more than shortBuffer,
	// up to 20 Gbit/s and more.
	shortTrip = 100 * time.Microsecond
	// shortBuffer bounds what a short link has in flight, framing of the kernel included. It is little enough to
	// stay in the processor's cache until the other end, if it is on this machine, copies it out, and enough that
	// the sender seldom has to wait. With 64 KiB it waits too often, from 512 KiB on the bytes come from memory.
	shortBuffer = 256 << 10
)

// bound keeps what a link has in flight small if its round trip is short. Called after the handshake, it knows the
// shortest of several. Longer links are left to the kernel's own tuning, which needs to fill the wire.
func bound(nc net.Conn) {
	rc := rawOf(nc)
	if rc == nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || !short(info.Min_rtt) {
			return
		}
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, shortBuffer/2) // the kernel doubles it
	})
}

// short reports whether a shortest round trip in microseconds makes a link short. Before the kernel has seen one it
// is 0 or the greatest number.
func short(micros uint32) bool {
	return micros > 0 && micros <= uint32(shortTrip.Microseconds())
}
