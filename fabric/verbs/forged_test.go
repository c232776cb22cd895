package verbs

import (
	"net"
	"strings"
	"testing"

	"dfs/fabric"
	"dfs/fabric/tcp"
	"dfs/ids"
)

// liar is a node 2 of which the test says what it says about its link to node 1, an honest one.
type liar struct {
	honest *Fabric
	w      *watcher // of the honest node
	tcp    *tcp.Fabric
	up     chan struct{}
	heard  chan saying
	down   chan struct{}
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	listeners := map[ids.NodeID]net.Listener{}
	for id := ids.NodeID(1); id <= 2; id++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[id] = l
	}
	x := &liar{up: make(chan struct{}, 64), heard: make(chan saying, 64), down: make(chan struct{}, 64)}
	cfg := Config{TCP: tcp.Config{Self: 1, Listener: listeners[1], Peers: map[ids.NodeID]string{2: listeners[2].Addr().String()}}}
	inMemory()(&cfg)
	cfg.Mode = Auto
	x.w = watch(&cfg)
	var err error
	if x.honest, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	x.tcp, err = tcp.New(tcp.Config{
		Self: 2, Listener: listeners[2], Peers: map[ids.NodeID]string{1: listeners[1].Addr().String()},
		Events: fabric.Events{
			Up:   func(ids.NodeID) { x.up <- struct{}{} },
			Down: func(ids.NodeID, error) { x.down <- struct{}{} },
			Message: func(_ ids.NodeID, b []byte) {
				if s, err := decodeSaying(b); err == nil {
					select {
					case x.heard <- s:
					default: // the connections of before
					}
				}
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	x.honest.Start()
	x.tcp.Start()
	t.Cleanup(func() { _ = x.honest.Close(); _ = x.tcp.Close() })
	<-x.up
	return x
}

func (x *liar) say(b []byte) {
	x.tcp.Send(1, b)
	x.tcp.Flush()
}

// offered is an offer as a peer makes it whose adapter is in order.
func goodOffer() saying {
	return saying{kind: sayOffer, yes: true, end: endpoint{number: 77, sequence: 5, mtu: 3, ethernet: true}, receives: 64, chunk: 4096}
}

// Q6: offers that make no sense end the connection, and leave no queue pair and no registration.
func TestForgedOffers(t *testing.T) {
	for name, forge := range map[string]func() []byte{
		"a queue pair number of 25 bits": func() []byte { s := goodOffer(); s.end.number = 1 << 24; return s.encode() },
		"a packet number of 25 bits":     func() []byte { s := goodOffer(); s.end.sequence = 1 << 24; return s.encode() },
		"no packet size":                 func() []byte { s := goodOffer(); s.end.mtu = 0; return s.encode() },
		"a packet size there is not":     func() []byte { s := goodOffer(); s.end.mtu = 6; return s.encode() },
		"too few receive slots":          func() []byte { s := goodOffer(); s.receives = minReceives - 1; return s.encode() },
		"slots of no bytes":              func() []byte { s := goodOffer(); s.chunk = 0; return s.encode() },
		"slots longer than any message":  func() []byte { s := goodOffer(); s.chunk = fabric.MaxMessage + 1; return s.encode() },
		"half an offer":                  func() []byte { return goodOffer().encode()[:saySize-1] },
		"an endless reason":              func() []byte { return append(goodOffer().encode(), make([]byte, maxReason+1)...) },
		"an unknown flag":                func() []byte { b := goodOffer().encode(); b[6] |= 1 << 7; return b },
		"an unknown kind":                func() []byte { b := goodOffer().encode(); b[5] = 9; return b },
		"another format":                 func() []byte { b := goodOffer().encode(); b[4]++; return b },
		"no offer at all":                func() []byte { return []byte("GET / HTTP/1.1\r\n\r\n") },
		"a result before an offer":       func() []byte { return saying{kind: sayResult, yes: true}.encode() },
		"connected before an offer":      func() []byte { return saying{kind: sayConnected}.encode() },
	} {
		t.Run(name, func(t *testing.T) {
			x := newLiar(t)
			x.say(forge())
			<-x.down
			x.w.mu.Lock()
			if n := x.w.ups[2]; n > 0 {
				t.Errorf("Q6: the link came up %d times", n)
			}
			x.w.mu.Unlock()
			if err := x.honest.Close(); err != nil {
				t.Error(err)
			}
			d := device1(x.honest)
			if n, m := d.open_.Load(), d.registrations.Load(); n != 0 || m != 0 {
				t.Errorf("Q6: %d queue pairs and %d registrations are left", n, m)
			}
		})
	}
}

// Q6, Q7: an offer that makes sense and leads nowhere, a second one, and a proof of what was never connected.
func TestForgedAgreement(t *testing.T) {
	t.Run("a queue pair of nobody", func(t *testing.T) {
		x := newLiar(t)
		x.say(goodOffer().encode())
		<-x.heard // its offer
		if s := <-x.heard; s.kind != sayResult || s.yes || !strings.Contains(s.reason, "no such queue pair") {
			t.Errorf("Q7: node 1 says %+v of a queue pair that there is not", s)
		}
		x.say(saying{kind: sayResult, yes: true}.encode())
		x.w.wait(t, "the link", func() bool { return x.w.ups[2] > 0 })
		if l := x.honest.Links()[0]; l.Transport != "tcp" {
			t.Errorf("Q7: the link is up as %+v", l)
		}
		if n := device1(x.honest).open_.Load(); n != 0 {
			t.Errorf("Q6: %d queue pairs are left", n)
		}
	})
	for name, second := range map[string]saying{"offered twice": goodOffer(), "proven before it was connected": {kind: sayResult, yes: true}} {
		t.Run(name, func(t *testing.T) {
			x := newLiar(t)
			dev := x.honest.dev.(*memDevice)
			far, err := dev.open(sizes{sends: 64, receives: 64, chunk: 4096, stage: 1 << 16})
			if err != nil {
				t.Fatal(err)
			}
			defer far.close()
			offer := goodOffer()
			offer.end = far.local()
			x.say(offer.encode())
			x.say(second.encode())
			<-x.down
			x.w.mu.Lock()
			defer x.w.mu.Unlock()
			if n := x.w.ups[2]; n > 0 {
				t.Errorf("Q6: the link came up %d times", n)
			}
		})
	}
}

// Q6: a peer that says a region is longer than it is, or elsewhere, or has another key, gets its link ended by its own
// adapter, when something is written there, and nothing lands.
func TestForgedRegions(t *testing.T) {
	for name, forge := range map[string]func(n *note){
		"longer than it is": func(n *note) { n.size += 1 << 20 },
		"elsewhere":         func(n *note) { n.addr -= 1 << 20 },
		"another key":       func(n *note) { n.key += 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			all, w := two(t, nil)
			mem := fabric.Alloc(4096)
			all[2].Register(3, mem)
			all[2].Send(1, []byte("ready"))
			all[2].Flush()
			w[1].wait(t, "node 2", func() bool { return len(w[1].messages) == 1 })
			p := all[2].peer(1)
			p.mu.Lock()
			n := p.link.mine[3].note
			forge(&n)
			p.link.send(n.append(nil), immNotes<<immKind)
			p.link.post()
			p.mu.Unlock()
			all[2].Send(1, []byte("forged"))
			all[2].Flush()
			w[1].wait(t, "the forged note", func() bool { return len(w[1].messages) == 2 })
			off := int(n.size) - 64
			all[1].Write(2, 3, off, []byte("somewhere"))
			all[1].Flush()
			w[1].wait(t, "the end of the link", func() bool { return w[1].downs[2] > 0 })
			for i, b := range mem {
				if b != 0 {
					t.Fatalf("Q6: something landed at %d", i)
				}
			}
		})
	}
}
