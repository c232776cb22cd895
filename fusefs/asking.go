package fusefs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// asking is what a node remembers of what the kernel asked about it and was told.
type asking struct {
	now   atomic.Int32 // questions and writes that are being answered
	last  atomic.Int64 // when the last was, in unix nanoseconds
	mtime atomic.Int64 // that the kernel was told
	size  atomic.Int64 // the least length that it may take the file to have

	// telling is held while the kernel is told to forget pages. Who holds it waits for the kernel, which may wait for reads
	// and writes to be answered: neither they nor a reader of requests may wait for it.
	telling sync.Mutex

	mu     sync.Mutex
	thread uint32 // for whom the last answer was
	other  int64  // when the last was given that was for somebody else
}

// company is for how long after an answer its thread may not have got it: a thread that is not alone within this time
// may be ignored by the kernel.
const company = time.Second

// answered notes an answer for a thread, and says whether nobody else got one lately or is about to.
func (a *asking) answered(thread uint32) (alone bool) {
	now := time.Now().UnixNano()
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.last.Swap(now)
	if a.thread != thread {
		a.thread, a.other = thread, last
	}
	return a.now.Add(-1) == 0 && thread != 0 && now-a.other > int64(company)
}

// changes notes that a file is being changed by this kernel, until the function that it returns is called.
func (a *asking) changes(h *fuse.InHeader) (answered func()) {
	a.now.Add(1)
	return func() { a.answered(h.Pid) }
}

// shorter notes that the kernel may take the file to be no longer than that.
func (a *asking) shorter(size int64) {
	for was := a.size.Load(); size < was && !a.size.CompareAndSwap(was, size); was = a.size.Load() {
	}
}

// ask is called before the attributes of a file are looked up.
func (g *forgetter) ask(n *node) (before uint64) {
	n.asked.now.Add(1)
	return g.seq.Load()
}

// told is called with what the kernel will be told, and what ask returned. Who asks in order to read the pages that the
// kernel has must not find old ones afterwards.
func (g *forgetter) told(ctx context.Context, n *node, before uint64, a *fuse.Attr, reads bool) {
	c, _ := ctx.(*caller)
	var thread uint32
	if c != nil {
		thread = c.thread
	}
	alone := n.asked.answered(thread)
	if a == nil || !n.live() {
		return
	}
	mtime := join(a.Mtime, a.Mtimensec)
	n.asked.shorter(int64(a.Size))
	s, noted := g.noted(n.ino)
	if !noted {
		n.asked.mtime.Store(mtime)
		if alone {
			n.asked.size.Store(int64(a.Size))
		}
		return
	}
	if !reads || s.seq > before || c == nil || !g.apart(c.unique) {
		return // who asks to read will come, or began before the change was acknowledged
	}
	n.asked.telling.Lock()
	defer n.asked.telling.Unlock()
	if s, noted = g.noted(n.ino); !noted {
		return // somebody else has insisted meanwhile
	}
	same := n.asked.mtime.Swap(mtime) == mtime
	if alone && (s.seen || !same) {
		n.asked.size.Store(int64(a.Size))
		g.saw(n.ino, s.seq)
		return
	}
	g.insist(ctx, n)
	if time.Since(s.made) >= g.unseen {
		g.drop(n.ino, s.seq) // else what the pages are filled with next may be old once more
	}
}
