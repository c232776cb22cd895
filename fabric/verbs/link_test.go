package verbs

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dfs/fabric"
	"dfs/ids"
)

// watcher counts callbacks and lets a test wait for them.
type watcher struct {
	mu       sync.Mutex
	changed  *sync.Cond
	ups      map[ids.NodeID]int
	downs    map[ids.NodeID]int
	messages []string
	wakes    int
	why      error
	refused  string
}

func watch(cfg *Config) *watcher {
	w := &watcher{ups: map[ids.NodeID]int{}, downs: map[ids.NodeID]int{}}
	w.changed = sync.NewCond(&w.mu)
	do := func(fn func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		fn()
		w.changed.Broadcast()
	}
	cfg.TCP.Events = fabric.Events{
		Up:      func(p ids.NodeID) { do(func() { w.ups[p]++ }) },
		Down:    func(p ids.NodeID, err error) { do(func() { w.downs[p]++; w.why = err }) },
		Message: func(_ ids.NodeID, m []byte) { do(func() { w.messages = append(w.messages, string(m)) }) },
		Wake:    func() { do(func() { w.wakes++ }) },
	}
	cfg.TCP.Refused = func(_ ids.NodeID, reason string) { do(func() { w.refused = reason }) }
	return w
}

func (w *watcher) wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	late := time.AfterFunc(2*time.Minute, func() { w.mu.Lock(); w.refused += " (too late)"; w.mu.Unlock(); w.changed.Broadcast() })
	defer late.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !done() {
		if strings.Contains(w.refused, "(too late)") {
			t.Fatalf("waiting for %s: not after 2 minutes", what)
		}
		w.changed.Wait()
	}
}

// two starts the nodes 1 and 2 with adapters in memory and waits until each has said to be up.
func two(t *testing.T, edit func(cfg *Config)) (all map[ids.NodeID]*Fabric, w map[ids.NodeID]*watcher) {
	t.Helper()
	w = map[ids.NodeID]*watcher{}
	memory := inMemory()
	all = cluster(t, 2, func(cfg *Config) {
		memory(cfg)
		cfg.Mode = Auto
		w[cfg.TCP.Self] = watch(cfg)
		if edit != nil {
			edit(cfg)
		}
	})
	for id, other := range map[ids.NodeID]ids.NodeID{1: 2, 2: 1} {
		w[id].wait(t, "the link", func() bool { return w[id].ups[other] > 0 })
	}
	return all, w
}

func pairOf(p *peer) *memPair {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link.pair.(*memPair)
}

func device1(f *Fabric) *memDevice { return f.dev.(*memDevice) }

// Q7: both ends agree on what a link uses, and each says why.
func TestAgreement(t *testing.T) {
	for name, c := range map[string]struct {
		edit      func(cfg *Config)
		transport string
		why       [2]string // parts of the reasons of node 1 and 2
	}{
		"both":    {nil, "verbs memory0", [2]string{"", ""}},
		"one off": {func(cfg *Config) { cfg.Mode = map[ids.NodeID]Mode{1: Off, 2: Auto}[cfg.TCP.Self] }, "tcp", [2]string{"configured", "node 1: configured"}},
		"no adapter": {func(cfg *Config) {
			if cfg.TCP.Self == 2 {
				cfg.find = func(Config) (device, error) { return nil, errors.New("no adapter here") }
			}
		}, "tcp", [2]string{"node 2: no adapter here", "no adapter here"}},
		"no queue pairs": {func(cfg *Config) {
			dev, _ := cfg.find(*cfg)
			dev.(*memDevice).fails.Store(int64(2 * (cfg.TCP.Self % 2)))
		}, "tcp", [2]string{"no queue pairs left", "node 1: no queue pair"}},
		"not reached": {func(cfg *Config) {
			dev, _ := cfg.find(*cfg)
			dev.(*memDevice).net.cut = true
			cfg.ProveTimeout = 50 * time.Millisecond
		}, "tcp", [2]string{"", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			all, w := two(t, c.edit)
			for id, f := range all {
				l := f.Links()[0]
				if !l.Up || l.Transport != c.transport || !strings.Contains(l.Reason, c.why[id-1]) {
					t.Errorf("Q7: node %d says %+v, want %q because of %q", id, l, c.transport, c.why[id-1])
				}
			}
			all[1].Send(2, []byte("hello"))
			all[1].Flush()
			w[2].wait(t, "a message", func() bool { return len(w[2].messages) == 1 && w[2].messages[0] == "hello" })
		})
	}
}

// A link that must use verbs and cannot does not come up, and the operator is told.
func TestRequired(t *testing.T) {
	memory := inMemory()
	var w [3]*watcher
	cluster(t, 2, func(cfg *Config) {
		memory(cfg)
		w[cfg.TCP.Self] = watch(cfg)
		if cfg.TCP.Self == 2 {
			cfg.Mode = Off
		}
	})
	w[1].wait(t, "the refusal", func() bool { return strings.Contains(w[1].refused, "must use verbs") })
	if w[1].mu.Lock(); w[1].ups[2] > 0 {
		t.Error("the link is up")
	}
	w[1].mu.Unlock()
	if _, err := New(Config{Mode: Required, TCP: w0(t)}); err == nil {
		t.Error("a node without an adapter started with verbs required")
	}
}

// Q5, Q6: forged notes and immediate data end the link, and the next one is as good.
func TestForged(t *testing.T) {
	for name, forge := range map[string]func(l *link){
		"half a note":  func(l *link) { l.send([]byte("too short"), immNotes<<immKind) },
		"unknown note": func(l *link) { l.send(note{kind: 77}.append(nil), immNotes<<immKind) },
		"endless region": func(l *link) {
			l.send(note{kind: noteRegion, addr: 1 << 63, size: 1 << 63}.append(nil), immNotes<<immKind)
		},
		"unknown kind":     func(l *link) { l.send([]byte("?"), 9<<immKind) },
		"too many credits": func(l *link) { l.send(nil, immCredits<<immKind|maxCredits) },
		"key of nobody": func(l *link) {
			r := request{op: opWrite, remote: 4096, rkey: 12345, size: 8}
			l.stage.fill(&r, make([]byte, 8), 0)
			l.put(r, 8)
		},
	} {
		t.Run(name, func(t *testing.T) {
			all, w := two(t, nil)
			p := all[1].peer(2)
			p.mu.Lock()
			forge(p.link)
			p.link.post()
			p.mu.Unlock()
			w[2].wait(t, "the end of the link", func() bool { return w[2].downs[1] > 0 })
			w[2].wait(t, "another link", func() bool { return w[2].ups[1] > 1 })
		})
	}
}

// Q4, Q5: nothing stays registered, and no queue pair open, after many views and broken links.
func TestNothingLeaks(t *testing.T) {
	all, w := two(t, nil)
	views, size := 1000, 1<<12
	if testing.Short() {
		views = 100
	}
	for v := range views {
		for _, f := range all {
			f.Register(fabric.RegionID(v), fabric.Alloc(size))
		}
		all[1].Write(2, fabric.RegionID(v), 0, make([]byte, size))
		all[2].WriteWords(1, fabric.RegionID(v), 8, []uint64{1, 2})
		all[1].Flush()
		all[2].Flush()
		for _, f := range all {
			f.Deregister(fabric.RegionID(v))
		}
		if v%100 == 99 {
			n := w[1].ups[2]
			all[1].Sever(2, errors.New("broken by the test"))
			for id, other := range map[ids.NodeID]ids.NodeID{1: 2, 2: 1} {
				w[id].wait(t, "another link", func() bool { return w[id].ups[other] > n })
			}
		}
	}
	for id, f := range all {
		if n := device1(f).registrations.Load(); n != 0 {
			t.Errorf("Q5: node %d: %d registrations are left after %d views", id, n, views)
		}
		if n := device1(f).open_.Load(); n != 1 {
			t.Errorf("Q4: node %d: %d queue pairs are open, want 1", id, n)
		}
	}
	for id, f := range all {
		_ = f.Close()
		if n := device1(f).open_.Load(); n != 0 {
			t.Errorf("Q4: node %d: %d queue pairs are open after Close", id, n)
		}
	}
}

// Q5: a peer that does not answer a revocation loses its link, and Deregister returns.
func TestDeregisterFromHung(t *testing.T) {
	all, w := two(t, func(cfg *Config) { cfg.RevokeTimeout = 30 * time.Millisecond })
	mem := fabric.Alloc(4096)
	all[1].Register(7, mem)
	hung := all[2].peer(1)
	hung.mu.Lock() // its reader takes nothing
	all[1].Deregister(7)
	if n := device1(all[1]).registrations.Load(); n != 0 {
		t.Errorf("Q5: %d keys are good after Deregister", n)
	}
	hung.mu.Unlock()
	w[1].wait(t, "the end of the link", func() bool { return w[1].downs[2] > 0 })
	if !strings.Contains(w[1].why.Error(), "did not give up region") {
		t.Errorf("down because of %v", w[1].why)
	}
}

// Deregister may be called from a callback of the reader that it waits for.
func TestDeregisterInCallback(t *testing.T) {
	var f [3]*Fabric
	done := make(chan bool, 1)
	all, _ := two(t, func(cfg *Config) {
		if cfg.TCP.Self == 2 {
			message := cfg.TCP.Events.Message
			cfg.TCP.Events.Message = func(p ids.NodeID, m []byte) {
				message(p, m)
				f[2].Deregister(1)
				done <- true
			}
		}
	})
	f[2] = all[2]
	all[2].Register(1, fabric.Alloc(4096))
	all[1].Send(2, []byte("end it"))
	all[1].Flush()
	<-done
}

// Q2: what waits is bounded: a peer too slow loses its link.
func TestTooMuchQueued(t *testing.T) {
	all, w := two(t, func(cfg *Config) { cfg.MaxQueued = fabric.MaxMessage })
	p := all[2].peer(1)
	p.mu.Lock()
	msg := make([]byte, fabric.MaxMessage)
	for range 4 {
		all[1].Send(2, msg)
		all[1].Flush()
	}
	w[1].wait(t, "the end of the link", func() bool { return w[1].downs[2] > 0 })
	p.mu.Unlock()
}

// Q3: no write of words is longer than the device stores in order, or crosses a cache line.
func TestWordsAreCut(t *testing.T) {
	all, _ := two(t, nil)
	p := all[1].peer(2)
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.link
	l.directory[5] = note{kind: noteRegion, id: 5, addr: 1 << 20, size: 4096}
	l.queueWords(5, 40, make([]uint64, 30))
	var sizes []uint32
	for l.step() {
		r := l.reqs[len(l.reqs)-1]
		if r.remote/64 != (r.remote+uint64(r.size)-1)/64 {
			t.Errorf("Q3: %d bytes at %#x cross a cache line", r.size, r.remote)
		}
		sizes = append(sizes, r.size)
	}
	if len(sizes) != 5 || sizes[0] != 24 {
		t.Errorf("Q3: cut into %v", sizes)
	}
	l.reqs = nil // never posted
	l.fail(errors.New("the test is over"))
}

// F2: of a row only what has changed is sent, and all of it where something else was written across it, to another
// place, or to memory that the peer has registered anew.
func TestRowsAreSentOnce(t *testing.T) {
	all, w := two(t, nil)
	mem := fabric.Alloc(4096)
	all[2].Register(5, mem)
	all[2].Send(1, []byte("ready"))
	all[2].Flush()
	w[1].wait(t, "node 2", func() bool { return len(w[1].messages) == 1 })
	p, sent := all[1].peer(2), 0
	row := make([]uint64, 24)
	check := func(what string, want ...uint64) { // offsets and sizes, in words
		t.Helper()
		p.mu.Lock()
		l := p.link
		l.queueWords(5, 128, row)
		var got []uint64
		for l.step() {
		}
		for _, r := range l.reqs {
			got = append(got, (r.remote-l.directory[5].addr-128)/8, uint64(r.size)/8)
		}
		l.pump()
		p.mu.Unlock()
		if !slices.Equal(got, want) {
			t.Errorf("F2: %s: offsets and sizes %v, want %v", what, got, want)
		}
		sent++
		all[1].Send(2, []byte("sent"))
		all[1].Flush()
		w[2].wait(t, "the row", func() bool { return len(w[2].messages) == sent })
		if !slices.Equal(fabric.Words(mem)[16:40], row) {
			t.Errorf("F2: %s: the row is %v, want %v", what, fabric.Words(mem)[16:40], row)
		}
	}
	check("the first", 0, 8, 8, 8, 16, 8)
	check("the same")
	row[3], row[5], row[23] = 1, 2, 3
	check("three words", 3, 3, 23, 1)
	all[1].Write(2, 5, 128+8*4, []byte("across  "))
	all[1].Flush()
	row[20] = 9
	check("something across it", 0, 8, 8, 8, 16, 8)
	all[1].WriteWords(2, 5, 128+8*8, []uint64{77})
	all[1].Flush()
	check("words at another place", 0, 8, 8, 8, 16, 8)
	all[2].Deregister(5)
	mem = fabric.Alloc(4096)
	all[2].Register(5, mem)
	all[2].Send(1, []byte("ready"))
	all[2].Flush()
	w[1].wait(t, "node 2", func() bool { return len(w[1].messages) == 2 })
	check("registered anew", 0, 8, 8, 8, 16, 8)
}

// Q1, Q8: sources are sent without a copy, and an idle link polls nothing.
func TestSourceAndIdle(t *testing.T) {
	all, w := two(t, nil)
	src, mem := fabric.Alloc(1<<20), fabric.Alloc(1<<20)
	for i := range src {
		src[i] = byte(i * 7)
	}
	release := all[1].Source(src)
	all[2].Register(1, mem)
	all[2].Send(1, []byte("ready"))
	all[2].Flush()
	w[1].wait(t, "node 2", func() bool { return len(w[1].messages) == 1 })
	all[1].Write(2, 1, 0, src)
	p := all[1].peer(2)
	p.mu.Lock()
	before := p.link.stage.tail
	p.link.pump()
	if p.link.stage.tail != before {
		t.Error("a source was copied")
	}
	p.mu.Unlock()
	all[1].Send(2, []byte("sent"))
	all[1].Flush()
	w[2].wait(t, "the message behind it", func() bool { return len(w[2].messages) == 1 })
	if !bytes.Equal(src, mem) {
		t.Error("Q1: the message overtook the bytes")
	}
	release()
	idle := pairOf(all[2].peer(1))
	polled := idle.polls.Load()
	for range 100 { // what release has told still comes, and a reader looks for a while
		quiet := time.NewTimer(50 * time.Millisecond)
		<-quiet.C
		before := polled
		if polled = idle.polls.Load(); polled-before <= 2 {
			return
		}
	}
	t.Error("Q8: an idle link polls again and again")
}

// Q5: a source that is released while the adapter may still read it stays registered until that is over, and what is not
// posted by then is copied.
func TestSourceReleased(t *testing.T) {
	all, w := two(t, nil)
	src, mem := fabric.Alloc(2<<20), fabric.Alloc(2<<20)
	for i := range src {
		src[i] = byte(i * 7)
	}
	release := all[1].Source(src)
	all[2].Register(1, mem)
	all[2].Send(1, []byte("ready"))
	all[2].Flush()
	w[1].wait(t, "node 2", func() bool { return len(w[1].messages) == 1 })
	before := device1(all[1]).registrations.Load()
	far := pairOf(all[2].peer(1))
	far.mu.Lock()              // nothing lands there
	all[1].Write(2, 1, 0, src) // more than is on its way at once
	all[1].Flush()
	release()
	n := device1(all[1]).registrations.Load()
	far.mu.Unlock()
	if n != before {
		t.Fatalf("Q5: %d registrations, %d before the release of what is being sent", n, before)
	}
	all[1].Send(2, []byte("sent"))
	all[1].Flush()
	w[2].wait(t, "the message behind it", func() bool { return len(w[2].messages) == 1 })
	if !bytes.Equal(src, mem) {
		t.Error("Q1: not all that was written before the release has arrived")
	}
	w[1].wait(t, "the source to be deregistered", func() bool {
		time.AfterFunc(time.Millisecond, w[1].changed.Broadcast)
		return device1(all[1]).registrations.Load() == before-1
	})
	if n := w[1].downs[2]; n > 0 {
		t.Error("the link broke:", w[1].why)
	}
}

// A queue pair that breaks early again and again is given up for TCP.
func TestFlaky(t *testing.T) {
	all, w := two(t, nil)
	for i := range flaky {
		p := all[1].peer(2)
		p.mu.Lock()
		p.link.fail(errors.New("broken by the test"))
		p.mu.Unlock()
		all[1].Sever(2, errors.New("broken"))
		w[1].wait(t, "another link", func() bool { return w[1].ups[2] > i+1 })
	}
	if l := all[1].Links()[0]; l.Transport != "tcp" || !strings.Contains(l.Reason, "3 queue pairs in a row broke at once, so none until the next connection") {
		t.Errorf("after %d broken queue pairs: %+v", flaky, l)
	}
}

// Q6: a message that never ends is refused when it is longer than messages are.
func TestEndlessMessage(t *testing.T) {
	l := &link{}
	chunk := make([]byte, 1<<20)
	for range fabric.MaxMessage / len(chunk) {
		if err := l.message(chunk, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.message(chunk[:1], false); err == nil {
		t.Error("Q6: a message of more than MaxMessage bytes was taken")
	}
}

// F5, Q1: a write to a region that the peer's note has not told yet waits for it, and what is behind it too; if there is
// no such region, what was written before the question is discarded, and nothing after.
func TestWantedRegion(t *testing.T) {
	all, w := two(t, nil)
	mem := fabric.Alloc(4096)
	all[2].Register(3, mem)
	all[2].Send(1, []byte("ready"))
	all[2].Flush()
	w[1].wait(t, "node 2", func() bool { return len(w[1].messages) == 1 })
	p := all[1].peer(2)
	p.mu.Lock()
	delete(p.link.directory, 3) // as if the note were still on its way
	p.mu.Unlock()
	all[1].Write(2, 4, 0, []byte("nowhere"))
	all[1].Write(2, 3, 64, []byte("bytes"))
	all[1].WriteWords(2, 3, 0, []uint64{5})
	all[1].Send(2, []byte("behind"))
	all[1].Flush()
	w[2].wait(t, "the message behind", func() bool { return len(w[2].messages) == 1 })
	if string(mem[64:69]) != "bytes" || fabric.Words(mem)[0] != 5 {
		t.Errorf("Q1: bytes %q, counter %d", mem[64:69], fabric.Words(mem)[0])
	}
	if n := all[2].Stats().Discarded; n != 1 {
		t.Errorf("F4: %d writes are discarded, want 1", n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.link
	l.queueWords(9, 0, []uint64{1})
	l.step() // asks
	l.queueWords(9, 0, []uint64{2})
	if n := len(l.pending) - l.head; n != 2 {
		t.Errorf("F5: words written after the question are put into %d of 2 ops, and would be discarded with them", n)
	}
	if err := l.noted(note{kind: noteAbsent, id: 9}); err != nil || !l.isAbsent(9) {
		t.Error("the answer is not taken", err)
	}
	l.progress(&l.pending[l.head], 8)
	if l.isAbsent(9) {
		t.Error("F5: the answer is taken for what was written after the question")
	}
	l.fail(errors.New("the test is over"))
}
