package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dfs/fabric"
	"dfs/ids"
)

// peer is another node, connected or not. It is kept when it is removed, for its fence.
type peer struct {
	f  *Fabric
	id ids.NodeID

	// flushing says that the peer is in Fabric.dirty. Only the owner's goroutine uses it.
	flushing bool

	heard atomic.Uint64 // bytes that came

	mu     sync.Mutex
	addr   string
	ctx    context.Context // ends when the peer is removed or the fabric closed
	cancel context.CancelFunc
	fence  fabric.Fence
	conn   *conn  // takes what is queued; nil if not connected
	tail   *conn  // the newest connection, which may wait for older ones to end (K5)
	told   string // the trouble last logged
}

// gone reports whether the peer was removed.
func (p *peer) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ctx.Err() != nil
}

// dialLoop keeps the peer connected until ctx ends.
func (p *peer) dialLoop(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		l, err := p.dial(ctx)
		if err == nil {
			start := time.Now()
			p.run(ctx, l)
			// A connection that does not last, say because two nodes go by one id, is a failure too.
			if time.Since(start) > p.f.cfg.RetryMax {
				attempt = 0
			}
		} else {
			p.report(err)
		}
		if !p.pause(ctx, attempt) {
			return
		}
	}
}

// dial opens a connection and shakes hands.
func (p *peer) dial(ctx context.Context) (link, error) {
	ctx, cancel := context.WithTimeout(ctx, p.f.cfg.HandshakeTimeout)
	defer cancel()
	p.mu.Lock()
	addr := p.addr
	p.mu.Unlock()
	nc, err := p.f.cfg.Dial(ctx, addr)
	if err != nil {
		return link{}, fmt.Errorf("cannot reach node %d: %w", p.id, err)
	}
	return p.f.shake(ctx, nc, p.id, func(nc net.Conn) error { return p.f.greet(nc, p.id) })
}

// pause waits before the next attempt: twice as long after each failure, half of it at random, so that
// the nodes of a cluster that comes back do not all dial at once.
func (p *peer) pause(ctx context.Context, attempt int) bool {
	cfg := &p.f.cfg
	d := cfg.RetryMin
	for ; attempt > 0 && d < cfg.RetryMax; attempt-- {
		d *= 2
	}
	d = min(d, cfg.RetryMax)
	t := time.NewTimer(d/2 + time.Duration(cfg.Jitter()*float64(d/2)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// run serves a connection until it ends.
func (p *peer) run(ctx context.Context, l link) {
	c := newConn(p, l)
	defer close(c.done)
	defer context.AfterFunc(ctx, func() { c.fail(errClosed) })()

	// One after the other (K5), the newest last. One that was replaced while it waited is dead already.
	p.mu.Lock()
	older := p.tail
	p.tail = c
	p.mu.Unlock()
	if older != nil {
		older.fail(errReplaced)
		<-older.done
	}
	select {
	case <-c.dead:
		return
	default:
	}

	p.mu.Lock()
	p.conn, p.told = c, ""
	p.fence.Connected()
	p.mu.Unlock()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	p.f.cfg.Events.Up(p.id)

	c.fail(c.read())
	<-written
	p.mu.Lock()
	p.conn = nil
	p.fence.Disconnected()
	p.mu.Unlock()
	if p.f.ctx.Err() == nil {
		p.f.cfg.Events.Down(p.id, fmt.Errorf("connection to node %d: %w", p.id, c.err))
	}
	p.mu.Lock()
	if p.tail == c {
		p.tail = nil // to let go of its memory
	}
	p.mu.Unlock()
}

// report logs why there is no connection, and tells the owner of a refusal: once for each new reason.
func (p *peer) report(err error) {
	if p.gone() {
		return
	}
	p.mu.Lock()
	news := !sameTrouble(p.told, err.Error())
	p.told = err.Error()
	p.mu.Unlock()
	if !news {
		return
	}
	p.f.cfg.Logger.Warn("no connection", "node", p.f.cfg.Self, "peer", p.id, "reason", err)
	var r *refusal
	if errors.As(err, &r) && p.f.cfg.Refused != nil {
		p.f.cfg.Refused(p.id, r.reason)
	}
}

// sameTrouble compares texts but for the numbers in them: ports and clock offsets differ each time.
func sameTrouble(a, b string) bool {
	noDigits := func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}
	return strings.Map(noDigits, a) == strings.Map(noDigits, b)
}

func isRefusal(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}
