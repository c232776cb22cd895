package bench

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dfs/ids"
)

// bare is a member of a group that only sends: the same processes send as many bytes to each other over
// plain TCP as the sockets take, from and into memory as large as the rings. It is what TCP on this
// machine allows at most.
type bare struct {
	load  Load
	rank  ids.Rank
	out   []net.Conn // to each other member, if this one sends
	in    []net.Conn // from each sender
	moved atomic.Uint64
	done  sync.WaitGroup
}

// bareChunk is how much is written and read at once at most.
const bareChunk = 1 << 20

func splitAddr(s string) (fabric, raw string) {
	fabric, raw, _ = strings.Cut(s, " ")
	return fabric, raw
}

// newBare connects to all that this member sends to. All members do so at once.
func newBare(load Load, rank ids.Rank, addrs []string, l net.Listener) (*bare, error) {
	b := &bare{load: load, rank: rank}
	expect := load.Senders
	if int(rank) < load.Senders {
		expect--
		for r, addr := range addrs {
			if ids.Rank(r) == rank {
				continue
			}
			_, raw := splitAddr(addr)
			c, err := net.Dial("tcp", raw)
			if err != nil {
				b.close()
				return nil, err
			}
			b.out = append(b.out, c)
		}
	}
	for range expect {
		c, err := l.Accept()
		if err != nil {
			b.close()
			return nil, err
		}
		b.in = append(b.in, c)
	}
	return b, nil
}

// measure sends to all, and counts what comes in. A member that gets nothing counts what it sends.
func (b *bare) measure() (c Count, err error) {
	for _, conn := range b.out {
		b.done.Go(func() { b.write(conn) })
	}
	for _, conn := range b.in {
		b.done.Go(func() { b.read(conn) })
	}
	t := time.NewTimer(b.load.WarmUp)
	<-t.C
	cpu, start, before := cpuTime(), time.Now(), b.moved.Load()
	t.Reset(b.load.Time)
	<-t.C
	return Count{Delivered: b.moved.Load() - before, Elapsed: time.Since(start), CPU: cpuTime() - cpu}, nil
}

func (b *bare) write(c net.Conn) {
	ring := make([]byte, b.load.Ring)
	for at := 0; ; at = (at + bareChunk) % len(ring) {
		if _, err := c.Write(ring[at:min(at+bareChunk, len(ring))]); err != nil {
			return
		}
	}
}

func (b *bare) read(c net.Conn) {
	ring := make([]byte, b.load.Ring)
	for at := 0; ; {
		n, err := c.Read(ring[at:min(at+bareChunk, len(ring))])
		b.moved.Add(uint64(n))
		if err != nil {
			return
		}
		if at += n; at == len(ring) {
			at = 0
		}
	}
}

func (b *bare) close() {
	for _, c := range append(b.out, b.in...) {
		_ = c.Close()
	}
	b.done.Wait()
}
