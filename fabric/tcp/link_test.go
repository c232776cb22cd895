package tcp

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"dfs/fabric"
	"dfs/ids"
)

// trace hands out what happened as text, one event at a time.
func trace(c chan string) fabric.Events {
	return fabric.Events{
		Up:      func(ids.NodeID) { c <- "up" },
		Down:    func(ids.NodeID, error) { c <- "down" },
		Message: func(_ ids.NodeID, msg []byte) { c <- string(msg) },
	}
}

func expect(t *testing.T, c chan string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := await(t, w, c); got != w {
			t.Fatalf("%s, want %s", got, w)
		}
	}
}

// K5, F3: a new connection of a peer ends the older one, whose end does not have to notice.
func TestReplaced(t *testing.T) {
	c := make(chan string, 100)
	f := alone(t, func(cfg *Config) { cfg.Events = trace(c) })
	var newest net.Conn
	for round := range 3 {
		newest = befriend(t, f)
		if round > 0 {
			expect(t, c, "down")
		}
		expect(t, c, "up")
		var frame [headerSize + 2]byte
		header{kind: frameMessage, size: 2}.put(frame[:])
		copy(frame[headerSize:], "hi")
		if _, err := newest.Write(frame[:]); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "hi")
	}
	_ = newest.Close()
	expect(t, c, "down")
}

// A node that starts again at the same address is connected again, and regions of before are closed (F5).
func TestRestart(t *testing.T) {
	first := listen(t, "127.0.0.1:0")
	addr := first.Addr().String()
	_ = first.Close()
	c := make(chan string, 100)
	one, err := New(Config{Self: 1, Peers: map[ids.NodeID]string{2: addr}, Listener: listen(t, "127.0.0.1:0"), Events: trace(c),
		RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	one.Start()
	defer func() { _ = one.Close() }()
	for round := range 4 {
		woken := make(chan struct{}, 100)
		two, err := New(Config{Self: 2, Peers: map[ids.NodeID]string{1: ""}, Listener: listen(t, addr),
			Events: fabric.Events{Wake: func() { woken <- struct{}{} }}})
		if err != nil {
			t.Fatal(err)
		}
		mem := fabric.Alloc(128)
		two.Register(1, mem[:64])
		two.Register(fabric.RegionID(10+round), mem[64:])
		two.Start()
		expect(t, c, "up")
		one.WriteWords(2, 1, 0, []uint64{1})
		one.WriteWords(2, fabric.RegionID(10+round), 0, []uint64{1})
		one.Flush()
		await(t, "the word", woken)
		words := fabric.Words(mem)
		if got := atomic.LoadUint64(&words[8]); got != 1 {
			t.Errorf("round %d: the new region has %d, want 1", round, got)
		}
		if got := atomic.LoadUint64(&words[0]); (got == 1) != (round == 0) {
			t.Errorf("F5: round %d: the region of the first round has %d", round, got)
		}
		_ = two.Close()
		expect(t, c, "down")
	}
}

// listen listens at an address. The test that is given the listener closes it.
func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if addr == "127.0.0.1:0" {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l
}

// A peer that is removed is cut off and refused; added again, it is connected again.
func TestRemovePeer(t *testing.T) {
	c1, c2 := make(chan string, 100), make(chan string, 100)
	refused := make(chan string, 10)
	var logs [3]logbook
	all := cluster(t, 2, func(cfg *Config) {
		cfg.Logger = logs[cfg.Self].logger()
		cfg.Events = trace(map[ids.NodeID]chan string{1: c1, 2: c2}[cfg.Self])
		cfg.Refused = func(_ ids.NodeID, reason string) { refused <- reason }
	})
	expect(t, c1, "up")
	expect(t, c2, "up")
	all[2].RemovePeer(1)
	expect(t, c2, "down")
	expect(t, c1, "down")
	if reason := await(t, "the refusal", refused); reason != "node 1 was removed from the cluster, says node 2" {
		t.Errorf("refused with %q", reason)
	}
	for id := 1; id <= 2; id++ {
		if n := logs[id].count("was removed from the cluster"); n != 1 {
			t.Errorf("node %d logged %d times, want once", id, n)
		}
	}
	if err := all[2].AddPeer(1, ""); err != nil {
		t.Fatal(err)
	}
	expect(t, c1, "up")
	expect(t, c2, "up")
	all[1].RemovePeer(2)
	expect(t, c1, "down")
	expect(t, c2, "down")
	if err := all[1].AddPeer(2, all[2].cfg.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	expect(t, c1, "up")
	expect(t, c2, "up")
	for _, bad := range []struct {
		id   ids.NodeID
		addr string
	}{{0, "x"}, {1, "x"}, {7, ""}} {
		if err := all[1].AddPeer(bad.id, bad.addr); err == nil {
			t.Errorf("AddPeer(%d, %q) was accepted", bad.id, bad.addr)
		}
	}
}

// A peer that moves is found at its new address.
func TestMovedPeer(t *testing.T) {
	c1, c2 := make(chan string, 100), make(chan string, 100)
	all := cluster(t, 2, func(cfg *Config) {
		cfg.Events = trace(map[ids.NodeID]chan string{1: c1, 2: c2}[cfg.Self])
	})
	expect(t, c1, "up")
	expect(t, c2, "up")
	moved := listen(t, "127.0.0.1:0")
	if err := all[1].AddPeer(2, moved.Addr().String()); err != nil {
		t.Fatal(err)
	}
	select {
	case what := <-c1:
		t.Errorf("%q because of a new address", what)
	default:
	}
	if err := all[2].Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, c1, "down")
	again, err := New(Config{Self: 2, Peers: map[ids.NodeID]string{1: ""}, Listener: moved, Events: trace(c2)})
	if err != nil {
		t.Fatal(err)
	}
	again.Start()
	t.Cleanup(func() { _ = again.Close() })
	expect(t, c1, "up")
	expect(t, c2, "up")
}

// A connection for something else is handed on, and does not count as a handshake; Close ends it.
func TestDivert(t *testing.T) {
	got, ended := make(chan string, 1), make(chan struct{})
	f := alone(t, func(cfg *Config) {
		cfg.HandshakeTimeout = 50 * time.Millisecond
		cfg.Divert = func(nc net.Conn) func(context.Context) {
			word := make([]byte, 4)
			if _, err := io.ReadFull(nc, word); err != nil || string(word) != "join" {
				return nil
			}
			return func(ctx context.Context) {
				defer close(ended)
				line, _ := io.ReadAll(nc)
				got <- string(line)
				<-ctx.Done()
			}
		}
	})
	nc, err := net.Dial("tcp", f.cfg.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "join"); err != nil {
		t.Fatal(err)
	}
	<-time.After(100 * time.Millisecond) // longer than a handshake may take
	if len(f.handshakes) != 0 {
		t.Error("it holds up others' handshakes")
	}
	if _, err := io.WriteString(nc, "me"); err != nil {
		t.Fatal(err)
	}
	if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if line := await(t, "the request", got); line != "me" {
		t.Errorf("got %q", line)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the end", ended)
}

// K2: a peer that takes nothing for too long loses its connection, not this node its memory; and what is
// sent meanwhile is dropped, not sent after a gap.
func TestTooSlow(t *testing.T) {
	downs := make(chan error, 1)
	c2 := make(chan string, 100)
	all := cluster(t, 2, func(cfg *Config) {
		cfg.MaxQueued = fabric.MaxMessage
		if cfg.Self == 1 {
			cfg.Events.Down = func(_ ids.NodeID, err error) { downs <- err }
		}
		if cfg.Self == 2 {
			cfg.Events.Up = func(ids.NodeID) { c2 <- "up" }
		}
	})
	expect(t, c2, "up")
	all[2].regions.mu.Lock()
	msg := make([]byte, 1<<20)
	var err error
	for err == nil {
		all[1].Send(2, msg)
		all[1].Flush()
		select {
		case err = <-downs:
		default:
		}
	}
	all[2].regions.mu.Unlock()
	if all[1].Stats().Dropped == 0 {
		t.Error("nothing was dropped")
	}
	expect(t, c2, "up")
}

// The steady path of a sender allocates nothing.
func TestNoAllocation(t *testing.T) {
	one, two, _ := pair(t, plain)
	two.Register(1, fabric.Alloc(1<<20))
	one.Register(1, fabric.Alloc(1<<20))
	src, row := make([]byte, 2000), make([]uint64, 8)
	if n := testing.AllocsPerRun(200, func() {
		one.Write(2, 1, 64, src)
		one.Write(2, 1, 64, src[:100])
		one.WriteWords(2, 1, 0, row)
		one.Flush()
	}); n >= 1 { // other goroutines of the process count too, now and then
		t.Errorf("%v allocations a round", n)
	}
}

// Registering twice or askew is a mistake of the owner.
func TestRegisterPanics(t *testing.T) {
	r := registry{regions: map[fabric.RegionID]*region{}}
	mem := fabric.Alloc(256)
	r.add(1, mem)
	for name, add := range map[string]func(){"twice": func() { r.add(1, mem) }, "askew": func() { r.add(2, mem[8:]) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("registered %s", name)
				}
			}()
			add()
		}()
	}
}

// A listener that fails does not stop the node from accepting later.
func TestAcceptFails(t *testing.T) {
	l := &failing{Listener: listen(t, "127.0.0.1:0")}
	l.fail.Store(3)
	c := make(chan string, 10)
	f := alone(t, func(cfg *Config) {
		_ = cfg.Listener.Close()
		cfg.Listener, cfg.Events = l, trace(c)
		cfg.RetryMin, cfg.RetryMax = time.Millisecond, time.Millisecond
		cfg.Peers = map[ids.NodeID]string{1: ""}
	})
	befriend(t, f)
	expect(t, c, "up")
}

type failing struct {
	net.Listener
	fail atomic.Int32
}

func (l *failing) Accept() (net.Conn, error) {
	if l.fail.Add(-1) >= 0 {
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

// K3: after Down the sender's memory is its own again: what it writes there reaches nobody.
func TestSourceAfterDown(t *testing.T) {
	for _, secure := range []func(cfg *Config){plain, func(cfg *Config) { cfg.Secure = hide }} {
		src, mem := make([]byte, 1<<20), fabric.Alloc(1<<20)
		downs, ups := [3]chan struct{}{1: make(chan struct{}, 10), 2: make(chan struct{}, 10)}, make(chan struct{}, 10)
		all := cluster(t, 2, func(cfg *Config) {
			secure(cfg)
			cfg.Events.Up = func(ids.NodeID) { ups <- struct{}{} }
			cfg.Events.Down = func(ids.NodeID, error) {
				if cfg.Self == 1 {
					for i := range src {
						src[i] = 0xff
					}
				}
				downs[cfg.Self] <- struct{}{}
			}
		})
		for round := range 10 {
			await(t, "Up", ups)
			await(t, "Up", ups)
			id := fabric.RegionID(round)
			clear(src)
			all[2].Register(id, mem)
			for range 30 {
				all[1].Write(2, id, 0, src)
				all[1].Flush()
			}
			breakLink(all[1], 2)
			await(t, "Down at the sender", downs[1])
			await(t, "Down at the receiver", downs[2])
			all[2].Deregister(id)
			for i, b := range mem {
				if b != 0 {
					t.Fatalf("K3: round %d: byte %d was written to the source after Down, and arrived", round, i)
				}
			}
		}
	}
}

// Drained is called when the peer's bytes are used up, and Wake when there may be more.
func TestDrained(t *testing.T) {
	drained, woken := make(chan struct{}, 1000), make(chan struct{}, 1000)
	one, two, _ := pair(t, func(cfg *Config) {
		cfg.Events.Wake = func() { woken <- struct{}{} }
		cfg.Events.Drained = func() { drained <- struct{}{} }
	})
	two.Register(1, fabric.Alloc(1<<20))
	one.WriteWords(2, 1, 0, make([]uint64, 8))
	one.Flush()
	await(t, "Drained after a few bytes", drained)
	if len(woken) > 0 {
		t.Error("Wake after a few bytes")
	}
	for range 4 * readBuffer / copyMax { // small writes, which are read into the buffer
		one.Write(2, 1, 0, make([]byte, copyMax))
	}
	one.Flush()
	await(t, "Wake in the midst of many", woken)
	await(t, "Drained after many", drained)
}
