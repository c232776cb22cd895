package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dfs/ids"

	"golang.org/x/sys/unix"
)

// bare is a member of a group without protocol, over plain TCP. What it reaches is what the machine allows
// at most. The same processes send each other as many bytes as the sockets take, from and into memory as
// large as the rings; or, if the load is Closed, each sender sends one message to all others, and waits until
// they have answered with a few bytes.
type bare struct {
	load  Load
	rank  ids.Rank
	out   []net.Conn // to each other member, if this one sends
	in    []net.Conn // from each sender
	moved atomic.Uint64
	times chan Histogram // of ask, when it is over
	file  *syncedFile    // if the load says Sync
	done  sync.WaitGroup
}

// bareAnswer is the length of an answer.
const bareAnswer = 8

// bareChunk is how much is written and read at once at most.
const bareChunk = 1 << 20

func splitAddr(s string) (fabric, raw string) {
	fabric, raw, _ = strings.Cut(s, " ")
	return fabric, raw
}

// newBare connects to all that this member sends to. All members do so at once.
func newBare(load Load, rank ids.Rank, addrs []string, l net.Listener, dir string) (_ *bare, err error) {
	b := &bare{load: load, rank: rank, times: make(chan Histogram, 1)}
	if load.Sync {
		if b.file, err = newSyncedFile(filepath.Join(dir, fmt.Sprintf("bare%d", rank+1))); err != nil {
			return nil, err
		}
	}
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

// measure sends to all, and counts the bytes that come in, or the answers.
func (b *bare) measure() (c Count, err error) {
	counting := &atomic.Bool{}
	if b.load.Closed {
		b.done.Go(func() { b.ask(counting) })
		for _, conn := range b.in {
			b.done.Go(func() { b.answer(conn) })
		}
	} else {
		for _, conn := range b.out {
			b.done.Go(func() { b.write(conn) })
		}
		for _, conn := range b.in {
			b.done.Go(func() { b.read(conn) })
		}
	}
	t := time.NewTimer(b.load.WarmUp)
	<-t.C
	counting.Store(true)
	cpu, start, before := cpuTime(), time.Now(), b.moved.Load()
	t.Reset(b.load.Time)
	<-t.C
	c = Count{Delivered: b.moved.Load() - before, Elapsed: time.Since(start), CPU: cpuTime() - cpu}
	for _, conn := range b.out {
		_ = conn.SetDeadline(time.Now())
	}
	if b.load.Closed && len(b.out) > 0 {
		c.Latency = <-b.times
	}
	return c, nil
}

// ask sends one message after the other to all, until its sockets refuse to.
func (b *bare) ask(counting *atomic.Bool) {
	if len(b.out) == 0 {
		return
	}
	var latency Histogram
	defer func() { b.times <- latency }()
	p, a := make([]byte, b.load.Size), make([]byte, bareAnswer)
	for {
		count, start := counting.Load(), time.Now()
		for _, conn := range b.out {
			if _, err := conn.Write(p); err != nil {
				return
			}
		}
		if b.file != nil && b.file.add(p) != nil {
			return
		}
		for _, conn := range b.out {
			if _, err := io.ReadFull(conn, a); err != nil {
				return
			}
		}
		if count {
			latency.Add(time.Since(start))
		}
		b.moved.Add(1)
	}
}

// answer answers each whole message.
func (b *bare) answer(conn net.Conn) {
	p, a := make([]byte, b.load.Size), make([]byte, bareAnswer)
	for {
		if _, err := io.ReadFull(conn, p); err != nil {
			return
		}
		if b.file != nil && b.file.add(p) != nil {
			return
		}
		if _, err := conn.Write(a); err != nil {
			return
		}
	}
}

// syncedFile is appended to and synced.
type syncedFile struct {
	mu sync.Mutex
	f  *os.File
	at int64
}

// syncedSize is allocated beforehand, as a log would do; after it, the file is written from the start.
const syncedSize = 64 << 20

func newSyncedFile(name string) (*syncedFile, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, syncedSize), f.Sync()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &syncedFile{f: f}, nil
}

// add writes p behind what was written before and makes it durable.
func (s *syncedFile) add(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at+int64(len(p)) > syncedSize {
		s.at = 0
	}
	if _, err := s.f.WriteAt(p, s.at); err != nil {
		return err
	}
	s.at += int64(len(p))
	return unix.Fdatasync(int(s.f.Fd()))
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
	if b.file != nil {
		_ = b.file.f.Close()
	}
}
