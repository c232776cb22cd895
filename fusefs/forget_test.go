package fusefs

import (
	"testing"
	"time"

	"dfs/ids"
)

// U2: the kernel is told to forget a file's pages some time after another node changed it, but neither when it has
// learnt of the change by a new time of modification, nor while it asks.
func TestForgetter(t *testing.T) {
	w := newWire(t)
	g := w.f.forget
	n := w.f.nodes.ref(nodeKey{ino: 9})
	later := func() time.Time { return time.Now().Add(time.Second) }
	told := func(when time.Time) bool {
		due, next := g.due(when)
		if len(due) > 1 || len(due) == 1 && due[0] != ids.Ino(9) {
			t.Fatalf("U2: told of %v", due)
		}
		if len(due)+int(g.count.Load()) > 0 && len(due) == 0 && next <= 0 {
			t.Fatal("U2: nobody looks again")
		}
		return len(due) > 0
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
	g.told(n, g.ask(n), 100, true)
	if told(later()) {
		t.Error("U2: told of what the kernel has seen")
	}
	g.note(9)
	g.told(n, g.ask(n), 100, true)
	if !told(later()) {
		t.Error("U2: not told although the time of modification is the same")
	}
	before := g.ask(n)
	g.note(9)
	if told(later()) {
		t.Error("U2: told while the kernel asks")
	}
	g.told(n, before, 200, true)
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
