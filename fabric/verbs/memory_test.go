package verbs

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"dfs/fabric"
)

// adapters is a network of adapters in memory: what queue pairs do, done by goroutines. An access that a real
// adapter refuses ends both queue pairs here too.
type adapters struct {
	mu    sync.Mutex
	pairs map[uint32]*memPair
	last  uint32
	cut   bool // no queue pair reaches another
}

// memDevice is one node's adapter.
type memDevice struct {
	net   *adapters
	fails atomic.Int64 // so many opens fail
	// registrations counts what is registered.
	registrations atomic.Int64
	open_         atomic.Int64
}

func (d *memDevice) name() string { return "memory0" }
func (d *memDevice) words() int   { return 8 }
func (d *memDevice) close()       {}

func (d *memDevice) open(s sizes) (pair, error) {
	if d.fails.Add(-1) >= 0 {
		return nil, errors.New("no queue pairs left")
	}
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	d.net.last++
	p := &memPair{
		dev: d, id: d.net.last, mem: fabric.Alloc(s.stage), slots: make([]byte, s.receives*s.chunk), chunk: s.chunk,
		keys: map[uint32][]byte{}, event: make(chan struct{}, 1), over: make(chan struct{}), depth: s.sends,
	}
	p.work = sync.NewCond(&p.mu)
	p.keyed(p.mem)
	d.net.pairs[p.id] = p
	d.open_.Add(1)
	return p, nil
}

// memPair is a queue pair. Its goroutine is the sending half of the adapter.
type memPair struct {
	dev   *memDevice
	id    uint32
	mem   []byte
	slots []byte
	chunk int
	depth int

	mu      sync.Mutex
	work    *sync.Cond
	remote  *memPair
	keys    map[uint32][]byte
	lastKey uint32
	free    []uint32 // posted receives
	sends   []request
	taken   [][]byte // beside sends: payloads taken at once
	posted  int
	done    [2][]completion
	armed   [2]bool
	broken  bool

	polls atomic.Int64
	event chan struct{}
	over  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup
}

func (p *memPair) local() endpoint       { return endpoint{number: p.id, mtu: 3, ethernet: true} }
func (p *memPair) inline() int           { return 128 }
func (p *memPair) slot(i int) []byte     { return p.slots[i*p.chunk : (i+1)*p.chunk] }
func (p *memPair) stage() ([]byte, key)  { return p.mem, key{addr: address(p.mem), local: 1} }
func address(b []byte) uint64            { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
func (p *memPair) keyed(b []byte) uint32 { p.lastKey++; p.keys[p.lastKey] = b; return p.lastKey }

func (p *memPair) connect(remote endpoint) error {
	p.dev.net.mu.Lock()
	other, cut := p.dev.net.pairs[remote.number], p.dev.net.cut
	p.dev.net.mu.Unlock()
	if other == nil {
		return errors.New("no such queue pair")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !cut {
		p.remote = other
	}
	p.wg.Go(p.run)
	return nil
}

type memRegistration struct {
	p    *memPair
	mem  []byte
	key_ uint32
	once sync.Once
}

func (p *memPair) register(mem []byte, _ bool) (registration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dev.registrations.Add(1)
	return &memRegistration{p: p, mem: mem, key_: p.keyed(mem)}, nil
}

func (r *memRegistration) key() key {
	return key{addr: address(r.mem), local: r.key_, remote: r.key_}
}

func (r *memRegistration) close() error {
	r.once.Do(func() {
		r.p.mu.Lock()
		defer r.p.mu.Unlock()
		delete(r.p.keys, r.key_)
		r.p.dev.registrations.Add(-1)
	})
	return nil
}

func (p *memPair) receive(slots []uint32) error {
	p.mu.Lock()
	p.free = append(p.free, slots...)
	remote := p.remote
	p.mu.Unlock()
	if remote != nil {
		remote.work.Broadcast()
	}
	return nil
}

func (p *memPair) post(wrs []request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.posted += len(wrs); p.posted > p.depth {
		return errors.New("Q2: the send queue is full")
	}
	for _, r := range wrs {
		var taken []byte
		if r.flags&flagInline != 0 {
			if r.size > 128 {
				return errors.New("too long to be inline")
			}
			taken = slices.Clone(p.memoryLocked(r.lkey, r.local, r.size))
		}
		p.sends, p.taken = append(p.sends, r), append(p.taken, taken)
	}
	p.work.Broadcast()
	return nil
}

// memoryLocked returns registered memory, nil if it is not.
func (p *memPair) memoryLocked(k uint32, addr uint64, size uint32) []byte {
	mem := p.keys[k]
	at := addr - address(mem)
	if mem == nil || addr < address(mem) || at+uint64(size) > uint64(len(mem)) {
		return nil
	}
	return mem[at : at+uint64(size)]
}

// run carries out what is posted, in order.
func (p *memPair) run() {
	signalled := 0
	for {
		p.mu.Lock()
		for !p.broken && (len(p.sends) == 0 || p.remote == nil) {
			p.work.Wait()
		}
		if p.broken {
			p.mu.Unlock()
			return
		}
		r, src, remote := p.sends[0], p.taken[0], p.remote
		p.sends, p.taken = p.sends[1:], p.taken[1:]
		if src == nil && r.size > 0 {
			src = p.memoryLocked(r.lkey, r.local, r.size)
		}
		p.mu.Unlock()
		status := uint32(4)
		if src != nil || r.size == 0 {
			status = p.carryOut(&r, src, remote)
		}
		p.mu.Lock()
		signalled++
		if status != 0 {
			p.breakLocked(status)
		} else if r.flags&flagSignalled != 0 {
			p.posted -= signalled
			signalled = 0
			p.completeLocked(sendQueue, completion{id: r.id})
		}
		p.mu.Unlock()
		if status != 0 {
			remote.mu.Lock()
			remote.breakLocked(5)
			remote.mu.Unlock()
			return
		}
	}
}

// carryOut does one request at the other end, and returns its status.
func (p *memPair) carryOut(r *request, src []byte, q *memPair) uint32 {
	slot := uint32(0)
	if r.op != opWrite {
		for {
			q.mu.Lock()
			if q.broken || len(q.free) > 0 {
				break
			}
			q.mu.Unlock()
			p.mu.Lock()
			if !p.broken { // woken by a receive of the other end, or soon enough
				time.AfterFunc(time.Millisecond, p.work.Broadcast)
				p.work.Wait()
			}
			broken := p.broken
			p.mu.Unlock()
			if broken {
				return 5
			}
		}
		if q.broken {
			q.mu.Unlock()
			return 12
		}
		slot, q.free = q.free[0], q.free[1:]
	} else {
		q.mu.Lock()
	}
	defer q.mu.Unlock()
	if q.broken {
		return 12
	}
	if r.op == opSend {
		if int(r.size) > q.chunk {
			return 9
		}
		copy(q.slot(int(slot)), src)
	} else if r.size > 0 {
		dst := q.memoryLocked(r.rkey, r.remote, r.size)
		if dst == nil {
			return 10
		}
		store(dst, src)
	}
	if r.op != opWrite {
		q.completeLocked(receiveQueue, completion{id: uint64(slot), size: r.size, imm: r.imm, hasImm: 1})
	}
	return 0
}

// store copies whole words where it can.
func store(dst, src []byte) {
	if len(src)%8 != 0 || address(dst)%8 != 0 {
		copy(dst, src)
		return
	}
	for i := 0; i < len(src); i += 8 {
		atomic.StoreUint64((*uint64)(unsafe.Pointer(&dst[i])), binary.NativeEndian.Uint64(src[i:]))
	}
}

func (p *memPair) completeLocked(q queue, c completion) {
	p.done[q] = append(p.done[q], c)
	if p.armed[q] {
		p.armed[q] = false
		select {
		case p.event <- struct{}{}:
		default:
		}
	}
}

// breakLocked ends the pair with an error.
func (p *memPair) breakLocked(status uint32) {
	if p.broken {
		return
	}
	p.broken = true
	p.completeLocked(sendQueue, completion{status: status})
	p.completeLocked(receiveQueue, completion{status: 5})
	p.work.Broadcast()
}

func (p *memPair) poll(q queue, into []completion, _ int) (int, error) {
	p.polls.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(into, p.done[q])
	p.done[q] = append(p.done[q][:0], p.done[q][n:]...)
	return n, nil
}

func (p *memPair) arm(q queue) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed[q] = true
	return nil
}

func (p *memPair) wait(deadline time.Time) error {
	var late <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-p.event:
		return nil
	case <-p.over:
		return os.ErrClosed
	case <-late:
		return os.ErrDeadlineExceeded
	}
}

func (p *memPair) close() {
	p.once.Do(func() {
		close(p.over)
		p.mu.Lock()
		p.broken = true
		p.work.Broadcast()
		remote := p.remote
		p.mu.Unlock()
		if remote != nil {
			remote.work.Broadcast()
		}
		p.wg.Wait()
		p.dev.net.mu.Lock()
		delete(p.dev.net.pairs, p.id)
		p.dev.net.mu.Unlock()
		p.dev.open_.Add(-1)
	})
}
func (p *memPair) release() {}
