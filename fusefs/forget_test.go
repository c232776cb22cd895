package fusefs

import (
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/ids"
)

// asks is a question of a thread for the attributes of a file, which are answered.
func (g *forgetter) asks(n *node, thread uint32, mtime int64) (answer func()) {
	before := g.ask(n)
	return func() {
		var a fuse.Attr
		a.Mtime, a.Mtimensec = split(mtime)
		g.told(&caller{f: g.f, thread: thread}, n, before, &a, true)
	}
}

// U2: the kernel is told to forget a file's pages some time after another node changed it, but neither when it has
// learnt of the change by a new time of modification, nor while it asks.
func TestForgetter(t *testing.T) {
	w := newWire(t)
	g := w.f.forget
	n := w.f.nodes.ref(nodeKey{ino: 9})
	tells := 0
	g.tell = func(ino ids.Ino) error {
		if tells++; ino != 9 {
			t.Errorf("U2: told of inode %d", ino)
		}
		return nil
	}
	later := func() time.Time { return time.Now().Add(company + time.Second) }
	told := func(when time.Time) bool {
		due, next := g.due(when)
		if g.count.Load() > 0 && len(due) == 0 && next <= 0 {
			t.Fatal("U2: nobody looks again")
		}
		tells = 0
		for _, ino := range due {
			g.remind(t.Context(), ino)
		}
		return tells > 0
	}
	g.note(8) // the kernel does not know it
	g.note(9)
	if told(time.Now()) {
		t.Error("U2: told at once")
	}
	if !told(later()) || told(later()) {
		t.Error("U2: not told once")
	}
	g.note(9)
	g.asks(n, 1, 100)()
	if told(later()) || g.count.Load() > 0 {
		t.Error("U2: told of what the kernel has seen")
	}
	answer := g.asks(n, 1, 200)
	g.note(9)
	if told(later()) {
		t.Error("U2: told while the kernel asks")
	}
	answer()
	if told(time.Unix(0, n.asked.last.Load()+1)) {
		t.Error("U2: told right after an answer")
	}
	if !told(later()) {
		t.Error("U2: not told of a change after what the kernel was told was looked up")
	}
	g.queued = func() bool { return true }
	g.note(9)
	if told(later()) {
		t.Error("U2: told while a request waits to be read")
	}
}

// U2: an answer that the kernel may ignore, or by which it does not see that its pages are old, comes after the kernel was
// told to forget them.
func TestForgetterInsists(t *testing.T) {
	w := newWire(t)
	g := w.f.forget
	n := w.f.nodes.ref(nodeKey{ino: 9})
	tells := 0
	g.unseen = 0
	g.tell = func(ids.Ino) error { tells++; return nil }
	insisted := func(what string, want int) {
		t.Helper()
		if tells != want {
			t.Errorf("U2: %s: told %d times, want %d", what, tells, want)
		}
		tells = 0
	}
	g.asks(n, 1, 100)()
	g.note(9)
	g.asks(n, 1, 101)()
	g.asks(n, 1, 101)()
	insisted("one thread", 0)
	g.asks(n, 2, 101)()
	g.asks(n, 2, 101)()
	insisted("another thread, while the first may not have got its answer", 1)
	g.note(9)
	g.asks(n, 2, 102)()
	insisted("two threads", 1)

	n.asked.other = 0 // long ago
	g.note(9)
	g.asks(n, 2, 102)()
	insisted("the time of modification was set back", 1)
	g.note(9)
	other := g.asks(n, 2, 102)
	g.asks(n, 2, 103)()
	insisted("while somebody else asks", 1)
	other()
	insisted("somebody else, answered later", 0)

	n.asked.other = 0
	g.note(9)
	n.asked.changes(&fuse.InHeader{Caller: fuse.Caller{Pid: 3}})()
	g.asks(n, 2, 104)()
	insisted("after a write here", 1)
	g.note(9)
	g.apart = func(uint64) bool { return false }
	g.asks(n, 2, 105)()
	insisted("a reader of requests", 0)
	if _, noted := g.noted(9); !noted {
		t.Error("U2: a note went though nobody was told")
	}

	n.asked.size.Store(50) // an answer that comes before the change is seen may shorten the file for the kernel
	before := g.ask(n)
	g.note(9)
	g.told(&caller{f: w.f, thread: 5}, n, before, &fuse.Attr{Size: 7}, true)
	if got := n.asked.size.Load(); got != 7 {
		t.Errorf("U2: the kernel is taken to know of %d bytes, it may know of 7", got)
	}
}
