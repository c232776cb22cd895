package verbs

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"dfs/fabric"
	"dfs/fabric/tcp"
	"dfs/ids"
)

// Fabric is a node's end of the links to its peers.
type Fabric struct {
	cfg   Config
	inner *tcp.Fabric
	peers atomic.Pointer[map[ids.NodeID]*peer]
	grow  sync.Mutex // guards changes of peers
	ctl   sync.Mutex // serialises calls of inner that are one goroutine's at a time

	dev    device // nil if there is none
	devWhy string // why

	reg     sync.Mutex // guards regions and sources, and which of them links have
	regions map[fabric.RegionID]*region
	sources map[*source]bool

	// dirty are the peers for which something was queued since the last Flush, and plain says that inner
	// has something. Only the owner's goroutine uses them.
	dirty []*peer
	plain bool

	wg      sync.WaitGroup // readers of links
	closing atomic.Bool
	closed  sync.Once

	sent, received, discarded, dropped atomic.Uint64
}

// region is memory that peers may write into.
type region struct {
	mem []byte
	pin runtime.Pinner
}

// source is memory that is sent without being copied.
type source struct {
	mem  []byte
	pin  runtime.Pinner
	uses atomic.Int64 // by its owner, and by links that have it registered
}

// drop ends one use.
func (s *source) drop() {
	if s.uses.Add(-1) == 0 {
		s.pin.Unpin()
	}
}

var _ fabric.Fabric = (*Fabric)(nil)

// New returns a fabric that does nothing until Start.
func New(cfg Config) (*Fabric, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	f := &Fabric{
		cfg: cfg, regions: map[fabric.RegionID]*region{}, sources: map[*source]bool{},
	}
	f.peers.Store(&map[ids.NodeID]*peer{})
	for id := range cfg.TCP.Peers {
		f.know(id)
	}
	inner := cfg.TCP
	inner.Events = fabric.Events{
		Up: f.controlUp, Down: f.controlDown, Message: f.controlMessage,
		Wake: cfg.TCP.Events.Wake, Drained: cfg.TCP.Events.Drained,
	}
	var err error
	if f.inner, err = tcp.New(inner); err != nil {
		return nil, err
	}
	if cfg.Mode == Off {
		f.devWhy = cmp.Or(cfg.Why, `configured: fabric = "tcp"`)
		return f, nil
	}
	if f.dev, err = cfg.find(cfg); err != nil {
		if cfg.Mode == Required {
			return nil, fmt.Errorf("fabric/verbs: %w", err)
		}
		f.dev, f.devWhy = nil, err.Error()
	}
	return f, nil
}

// Start begins to accept and to dial. Callbacks may come before it returns.
func (f *Fabric) Start() { f.inner.Start() }

// Available says which adapter links use where their peers can, or why there is none.
func (f *Fabric) Available() (device, why string) {
	if f.dev == nil {
		return "", f.devWhy
	}
	return f.dev.name(), ""
}

// Links says how each peer is reached, ascending.
func (f *Fabric) Links() []Link {
	var all []Link
	for _, id := range slices.Sorted(maps.Keys(*f.peers.Load())) {
		p := f.peer(id)
		p.mu.Lock()
		l := Link{Peer: id, Up: p.state == stateUp, Reason: p.why}
		switch {
		case !l.Up:
		case p.link != nil:
			l.Transport = "verbs " + f.dev.name()
		default:
			l.Transport = "tcp"
		}
		p.mu.Unlock()
		all = append(all, l)
	}
	return all
}

// Register implements fabric.Fabric.
func (f *Fabric) Register(id fabric.RegionID, mem []byte) {
	f.inner.Register(id, mem)
	r := &region{mem: mem}
	f.reg.Lock()
	defer f.reg.Unlock()
	if f.dev != nil && len(mem) > 0 && !f.closing.Load() {
		r.pin.Pin(unsafe.SliceData(mem))
	}
	f.regions[id] = r
	f.eachLink(func(l *link) {
		l.offer(id, r)
		l.pump()
	})
}

// eachLink calls fn for each queue pair, with its peer's lock held.
func (f *Fabric) eachLink(fn func(l *link)) {
	for _, p := range *f.peers.Load() {
		p.mu.Lock()
		if p.link != nil {
			fn(p.link)
		}
		p.mu.Unlock()
	}
}

// Deregister implements fabric.Fabric. It waits for the readers of the peers, but not for their owners, and for
// no peer longer than RevokeTimeout.
func (f *Fabric) Deregister(id fabric.RegionID) {
	f.inner.Deregister(id)
	f.reg.Lock()
	r := f.regions[id]
	delete(f.regions, id)
	var waiting []*link
	f.eachLink(func(l *link) {
		if l.revoke(id) {
			waiting = append(waiting, l)
		}
	})
	f.reg.Unlock()
	for _, l := range waiting {
		l.awaitRevoked(id)
	}
	if r != nil {
		r.pin.Unpin()
	}
}

// Source implements fabric.Fabric. What a link has posted of the memory when it is released keeps it registered there until
// it is sent.
func (f *Fabric) Source(mem []byte) (release func()) {
	if f.dev == nil || len(mem) == 0 {
		return func() {}
	}
	s := &source{mem: mem}
	s.uses.Store(1)
	s.pin.Pin(unsafe.SliceData(mem))
	f.reg.Lock()
	defer f.reg.Unlock()
	f.sources[s] = true
	f.eachLink(func(l *link) { l.addSource(s) })
	return sync.OnceFunc(func() {
		f.reg.Lock()
		defer f.reg.Unlock()
		f.eachLink(func(l *link) { l.dropSource(s) })
		if f.sources[s] { // else Close has dropped it
			delete(f.sources, s)
			s.drop()
		}
	})
}

// Write implements fabric.Fabric.
func (f *Fabric) Write(id ids.NodeID, region fabric.RegionID, off int, src []byte) {
	p := f.lock(id, func(p *peer) bool { return p.fence.Allows(region) })
	if p == nil {
		return
	}
	defer p.mu.Unlock()
	if p.link == nil {
		f.ctl.Lock()
		f.inner.Write(id, region, off, src)
		f.ctl.Unlock()
		return
	}
	if len(src) > 0 {
		p.link.queueWrite(region, off, src)
	}
}

// WriteWords implements fabric.Fabric.
func (f *Fabric) WriteWords(id ids.NodeID, region fabric.RegionID, off int, words []uint64) {
	if off%8 != 0 {
		panic(fmt.Sprintf("fabric/verbs: words at offset %d, which is no multiple of 8 (F2)", off))
	}
	p := f.lock(id, func(p *peer) bool { return p.fence.Allows(region) })
	if p == nil {
		return
	}
	defer p.mu.Unlock()
	if p.link == nil {
		f.ctl.Lock()
		f.inner.WriteWords(id, region, off, words)
		f.ctl.Unlock()
		return
	}
	if len(words) > 0 {
		p.link.queueWords(region, off, words)
	}
}

// Send implements fabric.Fabric.
func (f *Fabric) Send(id ids.NodeID, msg []byte) {
	if len(msg) > fabric.MaxMessage {
		panic(fmt.Sprintf("fabric/verbs: a message of %d bytes is longer than %d", len(msg), fabric.MaxMessage))
	}
	p := f.lock(id, func(p *peer) bool { return p.fence.Open() })
	if p == nil {
		return
	}
	defer p.mu.Unlock()
	if p.link == nil {
		f.ctl.Lock()
		f.inner.Send(id, msg)
		f.ctl.Unlock()
		return
	}
	p.link.queueMessage(msg)
}

// lock returns the peer with its lock held, if something may be sent to it now. Otherwise it counts a drop and
// returns nil.
func (f *Fabric) lock(id ids.NodeID, allows func(*peer) bool) *peer {
	p := f.peer(id)
	if p == nil {
		f.dropped.Add(1)
		return nil
	}
	p.mu.Lock()
	if !allows(p) || p.link != nil && p.link.tooFull() {
		p.mu.Unlock()
		f.dropped.Add(1)
		return nil
	}
	if p.link == nil {
		f.plain = true
	} else if !p.flushing {
		p.flushing = true
		f.dirty = append(f.dirty, p)
	}
	return p
}

// Flush implements fabric.Fabric.
func (f *Fabric) Flush() {
	for _, p := range f.dirty {
		p.flushing = false
		p.mu.Lock()
		if p.link != nil {
			p.link.pump()
		}
		p.mu.Unlock()
	}
	f.dirty = f.dirty[:0]
	if f.plain {
		f.plain = false
		f.ctl.Lock()
		f.inner.Flush()
		f.ctl.Unlock()
	}
}

// Stats implements fabric.Fabric.
func (f *Fabric) Stats() fabric.Stats {
	s := f.inner.Stats()
	s.Sent += f.sent.Load()
	s.Received += f.received.Load()
	s.Discarded += f.discarded.Load()
	s.Dropped += f.dropped.Load()
	return s
}

// Close implements fabric.Fabric.
func (f *Fabric) Close() error {
	f.closing.Store(true)
	f.endLinks()           // those who wait for a queue pair go on
	err := f.inner.Close() // no callback of it runs after this
	f.closed.Do(func() {
		f.endLinks()
		f.wg.Wait()
		f.reg.Lock()
		defer f.reg.Unlock()
		for _, r := range f.regions {
			r.pin.Unpin()
		}
		for s := range f.sources {
			s.drop()
		}
		clear(f.sources)
		if f.dev != nil {
			f.dev.close()
		}
	})
	return err
}

func (f *Fabric) endLinks() {
	for _, p := range *f.peers.Load() {
		p.mu.Lock()
		for _, l := range []*link{p.trial, p.link} {
			if l != nil {
				l.end(errClosed)
			}
		}
		p.state = stateOffline
		p.fence.Disconnected()
		p.mu.Unlock()
	}
}

// AddPeer makes a node a peer, to be dialled at addr if its id is higher, or changes its address.
func (f *Fabric) AddPeer(id ids.NodeID, addr string) error {
	f.know(id)
	return f.inner.AddPeer(id, addr)
}

// RemovePeer ends the connection to a node and refuses new ones.
func (f *Fabric) RemovePeer(id ids.NodeID) { f.inner.RemovePeer(id) }

// Heard implements fabric.Fabric: of what goes over TCP.
func (f *Fabric) Heard(peer ids.NodeID) uint64 { return f.inner.Heard(peer) }

// Sever implements fabric.Fabric.
func (f *Fabric) Sever(id ids.NodeID, why error) {
	if p := f.peer(id); p != nil {
		f.breakControl(p, why)
	}
}

// know makes an entry for a peer, which stays, for its fence.
func (f *Fabric) know(id ids.NodeID) {
	f.grow.Lock()
	defer f.grow.Unlock()
	if f.peer(id) == nil {
		peers := maps.Clone(*f.peers.Load())
		peers[id] = &peer{f: f, id: id}
		f.peers.Store(&peers)
	}
}

func (f *Fabric) peer(id ids.NodeID) *peer { return (*f.peers.Load())[id] }
