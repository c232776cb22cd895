package tcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"dfs/errs"
	"dfs/fabric"
	"dfs/ids"
)

// maxHandshakes bounds the connections whose other end has not said yet who it is.
const maxHandshakes = 64

// Fabric is a node's end of the links to its peers.
type Fabric struct {
	cfg     Config
	regions registry

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // all goroutines that may call the owner

	mu    sync.Mutex // guards changes of peers, and wg.Add against Close
	peers atomic.Pointer[map[ids.NodeID]*peer]

	// dirty are the peers for which something was queued since the last Flush. Only the owner's
	// goroutine uses it.
	dirty []*peer

	handshakes chan struct{}          // a slot each
	stranger   atomic.Pointer[string] // the trouble last logged about a node that is no peer

	sent, received, discarded, dropped atomic.Uint64
}

var _ fabric.Fabric = (*Fabric)(nil)

// New returns a fabric that does nothing until Start.
func New(cfg Config) (*Fabric, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	f := &Fabric{cfg: cfg, handshakes: make(chan struct{}, maxHandshakes)}
	f.regions.regions = make(map[fabric.RegionID]*region)
	f.peers.Store(&map[ids.NodeID]*peer{})
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

// Start begins to accept and to dial. Callbacks may come before it returns.
func (f *Fabric) Start() {
	f.wg.Go(f.accept)
	context.AfterFunc(f.ctx, func() { _ = f.cfg.Listener.Close() })
	for id, addr := range f.cfg.Peers {
		_ = f.AddPeer(id, addr) // New has validated them
	}
}

// AddPeer makes a node a peer, to be dialled at addr if its id is higher, or changes its address: a connection
// that is there stays, the next one goes to addr. It does not wait.
func (f *Fabric) AddPeer(id ids.NodeID, addr string) error {
	if err := f.cfg.validPeer(id, addr); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return errors.New("fabric/tcp: closed")
	}
	p := f.peer(id)
	if p == nil {
		p = &peer{f: f, id: id}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	peers := maps.Clone(*f.peers.Load())
	peers[id] = p // for all to find, but not to use before it is complete
	f.peers.Store(&peers)
	p.addr = addr
	if p.ctx != nil && p.ctx.Err() == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(f.ctx)
	p.ctx, p.cancel = ctx, cancel
	if id > f.cfg.Self {
		f.wg.Go(func() { p.dialLoop(ctx) })
	}
	return nil
}

// RemovePeer ends the connection to a node and refuses new ones, with a line in the log. It does not wait: Down
// comes later.
func (f *Fabric) RemovePeer(id ids.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.peer(id); p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cancel()
	}
}

// peer returns the peer, nil if it never was one.
func (f *Fabric) peer(id ids.NodeID) *peer { return (*f.peers.Load())[id] }

// accept takes connections until the fabric is closed.
func (f *Fabric) accept() {
	for attempt := 0; ; attempt++ {
		nc, err := f.cfg.Listener.Accept()
		if f.ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			return
		}
		if err != nil { // out of descriptors, most likely
			if attempt == 0 {
				f.cfg.Logger.Error("cannot accept connections", "node", f.cfg.Self, "reason", err)
			}
			select {
			case <-time.After(f.cfg.RetryMax):
			case <-f.ctx.Done():
			}
			continue
		}
		attempt = -1
		select {
		case f.handshakes <- struct{}{}:
			f.wg.Go(func() { f.serve(nc) })
		default:
			_ = nc.Close()
		}
	}
}

// serve shakes hands on a connection that came in and runs it.
func (f *Fabric) serve(nc net.Conn) {
	var p *peer
	var diverted func(ctx context.Context)
	ctx, cancel := context.WithTimeout(f.ctx, f.cfg.HandshakeTimeout)
	l, err := f.shake(ctx, nc, 0, func(nc net.Conn) (err error) {
		if f.cfg.Divert != nil {
			if diverted = f.cfg.Divert(nc); diverted != nil {
				return nil
			}
		}
		p, err = f.welcome(nc)
		return err
	})
	cancel()
	<-f.handshakes
	switch {
	case err == nil && diverted != nil:
		stop := context.AfterFunc(f.ctx, func() { _ = nc.Close() })
		diverted(f.ctx)
		stop()
		_ = l.nc.Close()
	case err == nil:
		p.mu.Lock()
		ctx := p.ctx
		p.mu.Unlock()
		p.run(ctx, l)
	case f.ctx.Err() != nil:
	case p != nil && !p.gone():
		p.report(err)
	default:
		text := err.Error()
		if old := f.stranger.Swap(&text); old == nil || !sameTrouble(*old, text) {
			f.cfg.Logger.Warn("refused a connection", "node", f.cfg.Self, "from", nc.RemoteAddr(), "reason", err)
		}
	}
}

// shake prepares a fresh connection, secures it and shakes hands, all before ctx ends.
func (f *Fabric) shake(ctx context.Context, nc net.Conn, peer ids.NodeID, hands func(net.Conn) error) (link, error) {
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	tune(nc, f.cfg.DeadAfter)
	l, err := link{nc, nc}, error(nil)
	if f.cfg.Secure != nil {
		if l.nc, err = f.cfg.Secure(ctx, nc, peer); err != nil {
			if refusedByTLS(err) {
				err = errs.Wrap(errs.AccessDenied, err, "the other end does not accept this node's certificate, its log says why")
			}
			err = fmt.Errorf("securing the connection: %w", err)
		}
	}
	if err == nil {
		err = hands(l.nc)
	}
	if !stop() {
		err = fmt.Errorf("handshake: not done after %v", f.cfg.HandshakeTimeout)
	}
	if err != nil {
		_ = nc.Close()
		return link{}, err
	}
	bound(nc)
	return l, nil
}

// Register implements fabric.Fabric.
func (f *Fabric) Register(id fabric.RegionID, mem []byte) { f.regions.add(id, mem) }

// Deregister implements fabric.Fabric. It waits for copies in progress, not for the network.
func (f *Fabric) Deregister(id fabric.RegionID) { f.regions.remove(id) }

// Source implements fabric.Fabric. The kernel reads any memory.
func (f *Fabric) Source([]byte) (release func()) { return func() {} }

// Write implements fabric.Fabric. Short writes are copied, others sent from src.
func (f *Fabric) Write(peer ids.NodeID, region fabric.RegionID, off int, src []byte) {
	p, c := f.lock(peer)
	if p == nil {
		return
	}
	defer p.mu.Unlock()
	if !p.fence.Allows(region) || c.fullLocked() {
		f.dropped.Add(1)
		return
	}
	for len(src) > maxPayload {
		c.next.write(region, off, src[:maxPayload])
		off, src = off+maxPayload, src[maxPayload:]
	}
	if len(src) > 0 {
		c.next.write(region, off, src)
	}
}

// WriteWords implements fabric.Fabric.
func (f *Fabric) WriteWords(peer ids.NodeID, region fabric.RegionID, off int, words []uint64) {
	if off%8 != 0 || len(words) > maxPayload/8 {
		panic(fmt.Sprintf("fabric/tcp: %d words at offset %d, which is no multiple of 8, or too many (F2)", len(words), off))
	}
	p, c := f.lock(peer)
	if p == nil {
		return
	}
	defer p.mu.Unlock()
	if !p.fence.Allows(region) || c.fullLocked() {
		f.dropped.Add(1)
		return
	}
	if len(words) > 0 {
		c.next.words(region, off, words)
	}
}

// Send implements fabric.Fabric.
func (f *Fabric) Send(peer ids.NodeID, msg []byte) {
	if len(msg) > fabric.MaxMessage {
		panic(fmt.Sprintf("fabric/tcp: a message of %d bytes is longer than %d", len(msg), fabric.MaxMessage))
	}
	p, c := f.lock(peer)
	if p == nil {
		return
	}
	defer p.mu.Unlock()
	if c == nil || c.fullLocked() {
		f.dropped.Add(1)
		return
	}
	c.next.message(msg)
}

// lock returns the peer with its lock held, and its connection, nil if there is none. If the node is no
// peer, it counts that as dropped and returns nil.
func (f *Fabric) lock(id ids.NodeID) (*peer, *conn) {
	p := f.peer(id)
	if p == nil {
		f.dropped.Add(1)
		return nil, nil
	}
	if !p.flushing {
		p.flushing = true
		f.dirty = append(f.dirty, p)
	}
	p.mu.Lock()
	return p, p.conn
}

// Heard implements fabric.Fabric.
func (f *Fabric) Heard(peer ids.NodeID) uint64 {
	if p := f.peer(peer); p != nil {
		return p.heard.Load()
	}
	return 0
}

// Sever implements fabric.Fabric.
func (f *Fabric) Sever(peer ids.NodeID, why error) {
	p := f.peer(peer)
	if p == nil {
		return
	}
	p.mu.Lock()
	c := p.conn
	p.mu.Unlock()
	if c != nil {
		c.fail(why)
	}
}

// Flush implements fabric.Fabric.
func (f *Fabric) Flush() {
	for _, p := range f.dirty {
		p.flushing = false
		p.mu.Lock()
		c := p.conn
		some := c != nil && c.takeLocked()
		p.mu.Unlock()
		if some {
			c.flush()
		}
	}
	f.dirty = f.dirty[:0]
}

// Stats implements fabric.Fabric.
func (f *Fabric) Stats() fabric.Stats {
	return fabric.Stats{
		Sent: f.sent.Load(), Received: f.received.Load(),
		Discarded: f.discarded.Load(), Dropped: f.dropped.Load(),
	}
}

// Close implements fabric.Fabric.
func (f *Fabric) Close() error {
	f.mu.Lock()
	f.cancel()
	f.mu.Unlock()
	_ = f.cfg.Listener.Close() // Start's AfterFunc may be closing it too
	f.wg.Wait()
	return nil
}
