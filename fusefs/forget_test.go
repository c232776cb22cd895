package fusefs

import (
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// listener is a kernel that is told of one file.
type listener struct {
	t     *testing.T
	g     *forgetter
	n     *node
	tells int
	size  int64    // that it knows
	order []string // of what it was told
}

func newListener(w *wire, ino ids.Ino) *listener {
	l := &listener{t: w.t.(*testing.T), g: w.f.forget, n: w.f.nodes.ref(nodeKey{ino: ino})}
	l.g.tell = func(told ids.Ino) error {
		if l.tells++; told != ino {
			l.t.Errorf("U2: told of inode %d", told)
		}
		l.order = append(l.order, "forget")
		return nil
	}
	l.g.put = func(_ ids.Ino, at int64, b []byte) error {
		l.size = max(l.size, at+int64(len(b)))
		l.order = append(l.order, "put")
		return nil
	}
	return l
}

// asks is a question for attributes, and says how often the kernel was told to forget.
func (l *listener) asks(size uint64, reads bool) (tells int) {
	l.tells = 0
	l.g.told(&caller{f: l.g.f}, l.n, &fuse.Attr{Size: size}, reads)
	return l.tells
}

// due has the forgetter tell of what is due at a time.
func (l *listener) due(when time.Time) (tells int) {
	due, next := l.g.due(when)
	if l.g.count.Load() > 0 && len(due) == 0 && next <= 0 {
		l.t.Error("U2: nobody looks again")
	}
	l.tells = 0
	for range due {
		l.g.remind(l.t.Context(), l.n)
	}
	return l.tells
}

// U2: the kernel is told to forget a file's pages some time after another node changed it, unless somebody has asked before.
func TestForgetter(t *testing.T) {
	l := newListener(newWire(t), 9)
	later := time.Now().Add(time.Hour)
	l.g.note(8) // the kernel does not know it
	l.g.note(9)
	if l.due(time.Now()) != 0 {
		t.Error("U2: told at once")
	}
	l.g.note(9)
	if l.due(later) != 1 || l.due(later) != 0 {
		t.Error("U2: not told once")
	}
	l.g.note(9)
	l.asks(0, true)
	if l.due(later) != 0 || l.g.count.Load() > 0 {
		t.Error("U2: told of what the kernel was told")
	}
}

// U2: who asks first after another node has changed a file gets the answer after the kernel was told to forget the pages,
// whatever it was told before; a reader of requests does not tell, and leaves it to others.
func TestForgetterInsists(t *testing.T) {
	l := newListener(newWire(t), 9)
	if l.asks(0, true) != 0 {
		t.Error("U2: told of nothing")
	}
	l.g.note(9)
	if l.asks(0, false) != 0 {
		t.Error("U2: told by who does not read")
	}
	l.g.apart = func(uint64) bool { return false }
	if l.asks(0, true) != 0 {
		t.Error("U2: told by a reader of requests")
	}
	l.g.apart = func(uint64) bool { return true }
	if l.asks(0, true) != 1 || l.asks(0, true) != 0 {
		t.Error("U2: not told once")
	}
	l.g.note(9)
	tell := l.g.tell
	l.g.tell = func(ino ids.Ino) error { l.g.note(9); return tell(ino) }
	l.asks(0, true)
	if l.g.tell = tell; l.asks(0, true) != 1 {
		t.Error("U2: a change that came while the kernel was told was forgotten")
	}
}

// U2: the kernel learns that a file has become longer, also when it was told of less meanwhile; what it is shown for that does
// not stay if something was written here at the same time.
func TestForgetterTellsLength(t *testing.T) {
	w := newWire(t)
	l := newListener(w, 9)
	sub := w.store.DataShard(9)
	grow := func(text string) {
		w.store.as(fakeOther, sub, objects.Append{Ino: 9}.Encode(), []byte(text))
		l.g.note(9)
		l.order = nil
		l.asks(0, true)
	}
	grow("0123456789")
	if l.size != 10 {
		t.Errorf("U2: the kernel knows of %d bytes, want 10", l.size)
	}
	l.size = 0
	l.n.asked.size.Store(10)
	l.g.note(9)
	l.asks(10, true)
	if l.size != 0 {
		t.Error("U2: the kernel was told of a length that it knows")
	}
	l.asks(7, false) // an old answer, which it may believe
	l.g.note(9)
	l.asks(10, true)
	if l.size != 10 {
		t.Errorf("U2: the kernel knows of 7 bytes or %d, want 10", l.size)
	}
	put := l.g.put
	l.g.put = func(ino ids.Ino, at int64, b []byte) error {
		l.n.asked.changing()()
		return put(ino, at, b)
	}
	grow("more")
	if got := l.order; len(got) != 3 || got[0] != "forget" || got[1] != "put" || got[2] != "forget" {
		t.Errorf("U2: with a write at the same time the kernel was told to %v", got)
	}
}

// U2: by the answer to chmod the kernel may take a file to be shorter than it was told before.
func TestSetAttrTellsLength(t *testing.T) {
	w := newWire(t)
	made, err := namespace.DecodeCreateResult(w.store.must(ids.Namespace, namespace.Create{Parent: 1, Name: "f", Mode: 0o100644}.Encode()).Body)
	must(t, err)
	w.store.must(w.store.DataShard(made.Ino), objects.Write{Ino: made.Ino}.Encode(), []byte("text"))
	n := w.f.nodes.ref(nodeKey{ino: made.Ino})
	n.asked.size.Store(10)
	in := fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: fuse.InHeader{NodeId: uint64(n.id)}, Valid: fuse.FATTR_MODE, Mode: 0o600}}
	var out fuse.AttrOut
	if status := w.f.SetAttr(nil, &in, &out); status != fuse.OK || out.Size != 4 {
		t.Fatalf("chmod: %v, of %d bytes", status, out.Size)
	}
	if got := n.asked.size.Load(); got != 4 {
		t.Errorf("U2: the kernel is taken to know of %d bytes, it may know of 4", got)
	}
}
