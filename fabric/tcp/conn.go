package tcp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// readBuffer is how much a connection reads at once where it does not read into a region.
const readBuffer = 64 << 10

// maxRecord is the most that TLS hands out at once; who gets less has it all, as a rule.
const maxRecord = 16 << 10

var (
	errReplaced = errors.New("replaced by a newer connection")
	errClosed   = errors.New("closed by this node")
)

// conn is one connection after its handshake. The goroutine that runs it reads; a second one writes what
// Flush could not.
type conn struct {
	p *peer
	link

	once sync.Once
	err  error         // why the connection ended; set before dead is closed
	dead chan struct{} // closed when the connection is ending
	done chan struct{} // closed when it has ended and Down was called

	// next collects what is queued. busy is the token: whoever set it may send cur, and no one
	// else (K1). All three are guarded by p.mu.
	next *batch
	busy bool
	full bool // too much was queued

	// cur belongs to the holder of the token.
	cur  *batch
	raw  *rawWriter    // nil if the connection is not a TCP socket
	kick chan struct{} // passes the token to the writer goroutine
}

// link is a connection as it is used, and the one below it that closing does not wait for: closing a TLS
// connection writes to it.
type link struct {
	nc, base net.Conn
}

func newConn(p *peer, l link) *conn {
	return &conn{
		p: p, link: l,
		dead: make(chan struct{}), done: make(chan struct{}),
		next: &batch{}, cur: &batch{}, raw: newRawWriter(l.nc),
		kick: make(chan struct{}, 1),
	}
}

// fail ends the connection. When it returns, no system call on the socket is in progress: closing
// waits for that, and so does once.
func (c *conn) fail(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.dead)
		_ = c.base.Close()
	})
}

// read serves the connection until it breaks.
func (c *conn) read() error {
	f := c.p.f
	d := &decoder{regions: &f.regions, discarded: &f.discarded}
	d.message = func(msg []byte) { f.cfg.Events.Message(c.p.id, msg) }
	buf := make([]byte, readBuffer)
	next := func() (n int, drained bool, err error) {
		if n, err = c.nc.Read(buf); n > 0 {
			err = errors.Join(d.consume(buf[:n]), err)
		}
		return n, n < maxRecord, err
	}
	if raw := newRawReader(c.nc, d, buf); raw != nil {
		next = raw.next
	}
	for {
		n, drained, err := next()
		f.received.Add(uint64(n))
		c.p.heard.Add(uint64(n))
		if d.landed {
			d.landed = false
			if drained {
				f.cfg.Events.Drained()
			} else {
				f.cfg.Events.Wake()
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("closed by the peer")
			}
			return err
		}
	}
}

// write is the writer goroutine: it sends what it is passed, then all that was queued meanwhile.
func (c *conn) write() {
	var out *bufio.Writer
	if c.raw == nil {
		out = bufio.NewWriterSize(c.nc, 64<<10)
	}
	for {
		select {
		case <-c.kick:
		case <-c.dead:
			return
		}
		for more := true; more; {
			var err error
			if c.raw != nil {
				err = c.raw.write(c.cur, true)
			} else {
				err = writePieces(out, c.cur)
			}
			if err != nil {
				c.fail(err)
				return
			}
			more = c.sent()
		}
	}
}

// writePieces sends a batch through a net.Conn. Short pieces are joined, for a TLS record each
// would cost more.
func writePieces(out *bufio.Writer, b *batch) error {
	for !b.done() {
		p := b.rest(0)
		if _, err := out.Write(p); err != nil {
			return err
		}
		b.advance(len(p))
	}
	return out.Flush()
}

// sent is called by the holder of the token when cur is sent. It gives the token back, or goes on with what
// was queued meanwhile.
func (c *conn) sent() (more bool) {
	c.p.f.sent.Add(uint64(c.cur.size))
	c.cur.reset()
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.busy = false
	return c.takeLocked()
}

// takeLocked takes the token and what is queued, if there is something and the token is free. If it is not, its
// holder will find what is queued. The caller holds p.mu.
func (c *conn) takeLocked() bool {
	if c.busy || c.next.empty() {
		return false
	}
	c.busy = true
	c.cur, c.next = c.next, c.cur
	return true
}

// flush sends cur as far as it goes without waiting (K2). The owner's goroutine calls it with the token.
func (c *conn) flush() {
	// An error is left to the writer, which meets it again: closing the socket may wait.
	if c.raw != nil && c.raw.write(c.cur, false) == nil && c.cur.done() && !c.sent() {
		return
	}
	c.kick <- struct{}{} // has room: there is one token
}

// fullLocked reports whether more is queued than a connection may hold. It then ends the connection; until
// that is done all is dropped, lest something arrive after a gap (F5).
func (c *conn) fullLocked() bool {
	if !c.full && len(c.next.own) > c.p.f.cfg.MaxQueued {
		c.full = true
		go c.fail(fmt.Errorf("the peer is too slow: %d bytes wait for it", len(c.next.own)))
	}
	return c.full
}
