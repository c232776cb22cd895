//go:build linux && cgo && verbs

package verbs

// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "ibv.h"
import "C"

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// adapter is a device of this machine, with the port and address that links use.
type adapter struct {
	context *C.struct_ibv_context
	title   string
	whole   int
	port    port
	end     endpoint
}

// loaded loads the library once; a program cannot do without it again.
var loaded = sync.OnceValue(func() string {
	if why := C.dfs_load(); why != nil {
		return C.GoString(why)
	}
	return ""
})

// findDevice opens the adapter that the configuration wants.
func findDevice(c Config) (device, error) {
	if why := loaded(); why != "" {
		return nil, fmt.Errorf("%s", why)
	}
	var names [4096]byte
	n := C.dfs_list((*C.char)(unsafe.Pointer(&names[0])), C.int(len(names)))
	if n < 0 {
		return nil, fmt.Errorf("looking for adapters: %w", syscall.Errno(-n))
	}
	found := strings.SplitN(string(names[:]), "\x00", int(n)+1)[:n]
	p, err := choose(found, c, os.DirFS("/"))
	if err != nil {
		return nil, err
	}
	return openAdapter(p)
}

func openAdapter(p port) (device, error) {
	name := C.CString(p.device)
	defer C.free(unsafe.Pointer(name))
	context := C.dfs_open(name)
	if context == nil {
		return nil, fmt.Errorf("adapter %s cannot be opened; is /dev/infiniband readable?", p.device)
	}
	d := &adapter{context: context, title: p.device, whole: p.words, port: p}
	var attr C.struct_dfs_port
	err := errnoOf(C.dfs_query_port(context, C.int(p.number), &attr))
	switch {
	case err != nil:
		err = fmt.Errorf("port %d of %s: %w", p.number, p.device, err)
	case attr.iwarp != 0:
		err = fmt.Errorf("adapter %s is iWARP, which has no immediate data", p.device)
	case attr.active == 0:
		err = fmt.Errorf("port %d of %s is not active", p.number, p.device)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	d.end = endpoint{lid: uint16(attr.lid), ethernet: attr.ethernet != 0, mtu: uint8(attr.mtu), gid: p.gid}
	return d, nil
}

func errnoOf(n C.int) error {
	if n == 0 {
		return nil
	}
	return syscall.Errno(n)
}

func (d *adapter) name() string { return d.title }
func (d *adapter) words() int   { return d.whole }
func (d *adapter) close()       { C.dfs_close(d.context) }

// queuePair is a pair of an adapter. Its C part lies in C's memory; what adapters read and write is
// mapped.
type queuePair struct {
	d        *adapter
	c        *C.struct_dfs_pair
	stageMem []byte
	slotMem  []byte
	chunk    int
	end      endpoint
	events   *os.File // the completion channel, for the runtime's poller
	raw      syscall.RawConn
	waiting  sync.Mutex // held by wait, so that the channel outlives it
	deadline time.Time  // of the channel; guarded by waiting
}

func (d *adapter) open(s sizes) (pair, error) {
	q := &queuePair{d: d, chunk: s.chunk, end: d.end}
	q.c = (*C.struct_dfs_pair)(C.calloc(1, C.sizeof_struct_dfs_pair))
	err := q.build(s)
	if err != nil {
		q.close()
		q.release()
		return nil, err
	}
	q.end.number = uint32(C.dfs_pair_number(q.c))
	q.end.sequence = rand.Uint32() & 0xffffff
	return q, nil
}

func (q *queuePair) build(s sizes) (err error) {
	if q.stageMem, err = mapped(s.stage); err != nil {
		return err
	}
	if q.slotMem, err = mapped(s.receives * s.chunk); err != nil {
		return err
	}
	err = errnoOf(C.dfs_pair_open(q.c, q.d.context, C.uint32_t(s.sends), C.uint32_t(s.receives), C.uint32_t(s.chunk),
		unsafe.Pointer(&q.stageMem[0]), C.uint64_t(len(q.stageMem)), unsafe.Pointer(&q.slotMem[0])))
	if err != nil {
		return fmt.Errorf("%w (ulimit -l must allow the memory of the rings)", err)
	}
	fd, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(q.c.fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return errno
	}
	q.events = os.NewFile(fd, "completion channel")
	q.raw, err = q.events.SyscallConn()
	return err
}

func mapped(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, (n+4095)&^4095, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
}

func (q *queuePair) local() endpoint { return q.end }
func (q *queuePair) inline() int     { return int(q.c.inline_max) }
func (q *queuePair) slot(i int) []byte {
	return q.slotMem[i*q.chunk : (i+1)*q.chunk]
}

func (q *queuePair) stage() ([]byte, key) {
	return q.stageMem, key{addr: uint64(uintptr(unsafe.Pointer(&q.stageMem[0]))), local: uint32(C.dfs_key(q.c.stage))}
}

func (e endpoint) c() (c C.struct_dfs_endpoint) {
	c.number, c.sequence, c.lid, c.mtu = C.uint32_t(e.number), C.uint32_t(e.sequence), C.uint16_t(e.lid), C.uint8_t(e.mtu)
	if e.ethernet {
		c.ethernet = 1
	}
	for i, b := range e.gid {
		c.gid[i] = C.uint8_t(b)
	}
	return c
}

func (q *queuePair) connect(remote endpoint) error {
	here, there := q.end.c(), remote.c()
	return errnoOf(C.dfs_pair_connect(q.c, C.int(q.d.port.number), C.int(q.d.port.gidIndex), &here, &there))
}

// memoryRegion is registered memory. Its owner keeps it pinned.
type memoryRegion struct {
	mr *C.struct_ibv_mr
	k  key
}

func (q *queuePair) register(mem []byte, remote bool) (registration, error) {
	writable := C.int(0)
	if remote {
		writable = 1
	}
	r := &memoryRegion{k: key{addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))}}
	var lkey, rkey C.uint32_t
	var mr *C.struct_ibv_mr
	err := errnoOf(C.dfs_register(q.c, C.uint64_t(r.k.addr), C.uint64_t(len(mem)), writable, &mr, &lkey, &rkey))
	runtime.KeepAlive(mem)
	r.mr, r.k.local, r.k.remote = mr, uint32(lkey), uint32(rkey)
	return r, err
}

func (r *memoryRegion) key() key { return r.k }

func (r *memoryRegion) close() error {
	if r.mr == nil {
		return nil
	}
	mr := r.mr
	r.mr = nil
	return errnoOf(C.dfs_deregister(mr))
}

func (q *queuePair) receive(slots []uint32) error {
	if len(slots) == 0 {
		return nil
	}
	return errnoOf(C.dfs_pair_receive(q.c, (*C.uint32_t)(unsafe.Pointer(&slots[0])), C.int(len(slots))))
}

func (q *queuePair) post(wrs []request) error {
	if len(wrs) == 0 {
		return nil
	}
	return errnoOf(C.dfs_pair_post(q.c, (*C.struct_dfs_request)(unsafe.Pointer(&wrs[0])), C.int(len(wrs))))
}

func (q *queuePair) poll(which queue, into []completion, looks int) (int, error) {
	n := C.dfs_pair_poll(q.c, C.int(which), (*C.struct_dfs_completion)(unsafe.Pointer(&into[0])), C.int(len(into)), C.int(looks))
	if n < 0 {
		return 0, syscall.Errno(-n)
	}
	return int(n), nil
}

func (q *queuePair) arm(which queue) error { return errnoOf(C.dfs_pair_arm(q.c, C.int(which))) }

func (q *queuePair) wait(deadline time.Time) error {
	q.waiting.Lock()
	defer q.waiting.Unlock()
	if deadline != q.deadline {
		if err := q.events.SetReadDeadline(deadline); err != nil {
			return err
		}
		q.deadline = deadline
	}
	var failed error
	err := q.raw.Read(func(uintptr) bool {
		failed = errnoOf(C.dfs_pair_event(q.c))
		return failed != syscall.EAGAIN
	})
	if err == nil {
		err = failed
	}
	return err
}

func (q *queuePair) close() {
	if q.c == nil {
		return
	}
	C.dfs_pair_stop(q.c)
	if q.events != nil {
		_ = q.events.Close() // ends a wait
	}
	q.waiting.Lock()
	defer q.waiting.Unlock()
}

// release gives back what close leaves for the registrations: the protection domain, above all.
func (q *queuePair) release() {
	if q.c == nil {
		return
	}
	C.dfs_pair_close(q.c)
	C.free(unsafe.Pointer(q.c))
	q.c = nil
	for _, m := range [][]byte{q.stageMem, q.slotMem} {
		if m != nil {
			_ = syscall.Munmap(m)
		}
	}
	q.stageMem, q.slotMem = nil, nil
}
