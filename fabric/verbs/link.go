package verbs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"dfs/errs"
	"dfs/fabric"
)

// link is one queue pair in use. All of it is guarded by the peer's lock, but for what run says.
type link struct {
	p    *peer
	f    *Fabric
	pair pair
	done chan struct{} // closed when run has ended, or was never begun

	dead   error // why the link ended; nil while it lives
	failed bool  // by itself, not by the peer's going
	closed bool  // pair is closed

	// What is queued: pending[head:], with bytes in own.
	pending []op
	head    int
	passed  uint64 // ops that were at the head before
	ask     question
	own     []byte
	full    bool
	notes   []byte // to go before anything pending

	discards uint64 // own writes that found no region, to be told

	// What is posted. Requests are numbered; ring remembers what each holds.
	posted, freed uint64
	signalled     uint64 // how many up to the last one that tells its end
	marked        held   // by those
	ring          []held
	stage         stage
	bytes         uint64 // in all requests posted
	reqs          []request
	sendArmed     bool

	credits     int // receive slots of the peer that are free
	remoteChunk int
	owed        int // slots of this end that are free again and not told

	directory map[fabric.RegionID]note // the peer's regions
	mine      map[fabric.RegionID]*offered
	rows      map[fabric.RegionID]*row // what was last posted there by WriteWords
	sources   map[*source]registration
	leaving   []leaving // sources that are released but not wholly sent

	comps  []completion
	slots  []uint32
	msg    []byte // of a message, what has come
	inbox  [][]byte
	landed bool
}

// offered is a region of this end that the peer may write into.
type offered struct {
	registration
	note    note
	revoked bool // or asked to be
}

// leaving is a source that is registered until so many requests are freed.
type leaving struct {
	source *source
	registration
	until uint64
}

// question is whether the peer has a region. The answer no is good for what was queued when it was asked.
type question struct {
	region  fabric.RegionID
	before  uint64 // of ops, counted as link.passed
	waiting bool
	absent  bool
}

// held is what becomes free with a request: stage up to here, and bytes on their way.
type held struct{ stage, bytes uint64 }

func newLink(p *peer, pr pair) *link {
	s := p.f.cfg.sizes
	mem, k := pr.stage()
	return &link{
		p: p, f: p.f, pair: pr, done: make(chan struct{}),
		ring: make([]held, s.sends), stage: stage{mem: mem, key: k},
		directory: map[fabric.RegionID]note{}, mine: map[fabric.RegionID]*offered{}, sources: map[*source]registration{},
		rows:  map[fabric.RegionID]*row{},
		comps: make([]completion, 64), slots: make([]uint32, 0, 64),
	}
}

// fillReceives posts all receive slots.
func (l *link) fillReceives() error {
	all := make([]uint32, l.f.cfg.sizes.receives)
	for i := range all {
		all[i] = uint32(i)
	}
	return l.pair.receive(all)
}

func (l *link) connect(remote endpoint) error {
	if l.closed {
		return l.dead
	}
	return l.pair.connect(remote)
}

// prove sends an empty message and waits until the peer's adapter has it. The peer's lock is not held.
func (l *link) prove(deadline time.Time) error {
	l.p.mu.Lock()
	if !l.closed {
		l.put(request{op: opSend, imm: immCredits << immKind}, 0)
		l.signal(&l.reqs[0])
		l.credits--
		l.post()
	}
	for !l.closed && l.dead == nil && l.freed != l.posted {
		if err := l.pair.arm(sendQueue); err != nil {
			l.fail(err)
		} else if l.pollSends(); l.dead == nil && l.freed != l.posted {
			l.p.mu.Unlock()
			err := l.pair.wait(deadline)
			l.p.mu.Lock()
			if err != nil {
				l.dead = fmt.Errorf("no answer over the queue pair: %w", err)
			}
		}
	}
	defer l.p.mu.Unlock()
	if errors.Is(l.dead, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the adapters do not reach each other within %v", l.f.cfg.ProveTimeout)
	}
	return l.dead
}

// run is the reader: it takes completions, and calls the owner with no lock held.
func (l *link) run() {
	defer close(l.done)
	idle := time.Time{}  // since when nothing comes; zero: something has
	spin := l.f.cfg.Spin // less where looking has been in vain, more where it has not
	for {
		inbox, landed, more, over := l.take()
		for _, msg := range inbox {
			l.f.cfg.TCP.Events.Message(l.p.id, msg)
		}
		switch {
		case landed && more:
			l.f.cfg.TCP.Events.Wake()
		case landed:
			l.f.cfg.TCP.Events.Drained()
		}
		if over != nil {
			l.broken()
			return
		}
		if landed || more || len(inbox) > 0 {
			if !idle.IsZero() {
				spin = min(2*spin, l.f.cfg.Spin)
			}
			idle = time.Time{}
			continue
		}
		if idle.IsZero() {
			idle = time.Now()
		}
		if time.Since(idle) < spin {
			runtime.Gosched()
			continue
		}
		if l.sleep() {
			spin, idle = max(spin/2, l.f.cfg.Spin/16), time.Time{}
		}
	}
}

// take polls and returns what is for the owner.
func (l *link) take() (inbox [][]byte, landed, more bool, dead error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	more = l.poll(looks)
	inbox, landed = l.inbox, l.landed
	l.inbox, l.landed = nil, false
	return inbox, landed, more, l.dead
}

// sleep waits for a completion, unless there is one (Q8). It reports whether it slept.
func (l *link) sleep() bool {
	l.p.mu.Lock()
	if l.dead == nil {
		l.check(l.pair.arm(receiveQueue))
	}
	more := l.poll(1) // what came before the arming raises nothing
	busy := more || l.dead != nil || l.landed || len(l.inbox) > 0
	l.p.mu.Unlock()
	if busy {
		return false
	}
	if err := l.pair.wait(time.Time{}); err != nil {
		l.p.mu.Lock()
		l.fail(err)
		l.p.mu.Unlock()
	}
	return true
}

func (l *link) check(err error) {
	if err != nil {
		l.fail(err)
	}
}

// fail marks the link as dead; its reader then ends the connection, and Down is called.
func (l *link) fail(err error) {
	if l.dead == nil {
		l.dead, l.failed = fmt.Errorf("verbs: %w", err), true
		l.shut()
	}
}

// broken ends the connection of a link that has failed.
func (l *link) broken() {
	l.p.mu.Lock()
	dead, failed := l.dead, l.failed
	l.p.mu.Unlock()
	if failed {
		l.f.breakControl(l.p, dead)
	}
}

// end closes the link for a reason from outside.
func (l *link) end(err error) {
	if l.dead == nil {
		l.dead = err
	}
	l.shut()
}

// shut closes the queue pair: when it returns, nothing lands and nothing is read (Q4), and no key is good (Q5).
func (l *link) shut() {
	if l.closed {
		return
	}
	l.closed = true
	l.pair.close()
	for _, o := range l.mine {
		_ = o.close()
	}
	for s, r := range l.sources {
		_ = r.close()
		s.drop()
	}
	for _, s := range l.leaving {
		_ = s.close()
		s.source.drop()
	}
	l.leaving = nil
	clear(l.mine)
	clear(l.sources)
	l.pair.release()
	l.pending, l.own, l.notes, l.head = nil, nil, nil, 0
}

// offer registers a region for the peer and tells it.
func (l *link) offer(id fabric.RegionID, r *region) {
	if l.dead != nil || len(r.mem) == 0 {
		return
	}
	reg, err := l.pair.register(r.mem, true)
	if err != nil {
		l.fail(fmt.Errorf("registering %d bytes: %w", len(r.mem), err))
		return
	}
	k := reg.key()
	o := &offered{registration: reg, note: note{kind: noteRegion, key: k.remote, id: id, addr: k.addr, size: uint64(len(r.mem))}}
	l.mine[id] = o
	l.notes = o.note.append(l.notes)
}

// revoke asks the peer to write into a region no more. It reports whether there is something to wait for.
func (l *link) revoke(id fabric.RegionID) bool {
	if l.dead != nil || l.mine[id] == nil {
		return false
	}
	l.mine[id].revoked = true
	l.notes = note{kind: noteRevoke, id: id}.append(l.notes)
	l.pump()
	return l.dead == nil
}

// awaitRevoked waits until the peer has answered, the link is dead, or the time is up: then it is dead too. The
// caller may be the link's own reader, so it looks itself.
func (l *link) awaitRevoked(id fabric.RegionID) {
	began := time.Now()
	for {
		l.p.mu.Lock()
		if l.dead == nil {
			l.poll(1)
		}
		waiting := l.dead == nil && l.mine[id] != nil
		if waiting && time.Since(began) > l.f.cfg.RevokeTimeout {
			l.fail(fmt.Errorf("the peer did not give up region %#x within %v", uint64(id), l.f.cfg.RevokeTimeout))
			waiting = false
		}
		l.p.mu.Unlock()
		if !waiting {
			l.broken()
			return
		}
		if time.Since(began) < l.f.cfg.Spin {
			runtime.Gosched()
		} else {
			time.Sleep(l.f.cfg.Spin) // rare: views end seldom, and this is between them
		}
	}
}

func (l *link) addSource(s *source) {
	if l.dead != nil {
		return
	}
	if reg, err := l.pair.register(s.mem, false); err == nil {
		l.sources[s] = reg // else it is copied
		s.uses.Add(1)
	}
}

// dropSource ends the use of a source by what is not posted yet. The adapter may still read for what is: its last request is
// then followed by one that tells its end.
func (l *link) dropSource(s *source) {
	reg := l.sources[s]
	if reg == nil {
		return
	}
	delete(l.sources, s)
	l.leaving = append(l.leaving, leaving{s, reg, l.posted})
	if l.signalled < l.posted && l.credits > 0 && l.posted-l.freed < uint64(len(l.ring)-1) {
		l.put(request{op: opSend, imm: immCredits << immKind}, 0)
		l.signal(&l.reqs[len(l.reqs)-1])
		l.credits--
		l.post()
	}
	l.releaseSent()
	l.pollSends()
}

// releaseSent deregisters the released sources of which everything is sent.
func (l *link) releaseSent() {
	for len(l.leaving) > 0 && l.leaving[0].until <= l.freed {
		s := l.leaving[0]
		l.leaving = l.leaving[1:]
		err := s.close()
		s.source.drop()
		l.check(err)
	}
}

// sourced returns the local key of src if it lies in a source, and its address.
func (l *link) sourced(src []byte) (k key, ok bool) {
	if len(src) <= copyMax {
		return k, false
	}
	addr := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(src))))
	for s, reg := range l.sources {
		base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.mem))))
		if addr >= base && addr+uint64(len(src)) <= base+uint64(len(s.mem)) {
			k = reg.key()
			k.addr = addr
			return k, true
		}
	}
	return k, false
}

// noted takes one note of the peer (Q6).
func (l *link) noted(n note) error {
	switch n.kind {
	case noteRegion:
		if len(l.directory) >= 1<<16 {
			return errs.New(errs.Corrupt, "the peer has more regions than can be")
		}
		l.directory[n.id] = n
		delete(l.rows, n.id)
		l.ask.waiting = l.ask.waiting && l.ask.region != n.id
	case noteRevoke:
		delete(l.directory, n.id)
		delete(l.rows, n.id)
		l.notes = note{kind: noteRevoked, id: n.id}.append(l.notes)
	case noteRevoked:
		if reg := l.mine[n.id]; reg != nil {
			delete(l.mine, n.id)
			return reg.close()
		}
	case noteWanted:
		if o := l.mine[n.id]; o != nil && !o.revoked {
			l.notes = o.note.append(l.notes)
		} else {
			l.notes = note{kind: noteAbsent, id: n.id}.append(l.notes)
		}
	case noteAbsent:
		if l.ask.waiting && l.ask.region == n.id {
			l.ask.waiting, l.ask.absent = false, true
		}
	case noteDiscarded:
		l.f.discarded.Add(uint64(n.id))
	}
	return nil
}

// message takes a chunk of a message.
func (l *link) message(chunk []byte, last bool) error {
	if len(l.msg)+len(chunk) > fabric.MaxMessage {
		return errs.New(errs.Corrupt, "a message is longer than %d bytes", fabric.MaxMessage)
	}
	l.msg = append(l.msg, chunk...)
	if last {
		l.inbox = append(l.inbox, bytes.Clone(l.msg))
		if l.msg = l.msg[:0]; cap(l.msg) > 1<<20 {
			l.msg = nil
		}
	}
	return nil
}
