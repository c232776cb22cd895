package fusefs

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// asking is what a node knows of what the kernel knows about a file.
type asking struct {
	size    atomic.Int64  // the least length that it may take the file to have
	changes atomic.Uint64 // how often it has begun or ended to change the file itself

	// telling is held while the kernel is told to forget pages. Who holds it waits for the kernel, which may wait for reads
	// and writes to be answered: neither they nor a reader of requests may wait for it.
	telling sync.Mutex
}

// changing notes that a file is being changed by this kernel, until the function that it returns is called.
func (a *asking) changing() (changed func()) {
	a.changes.Add(1)
	return func() { a.changes.Add(1) }
}

// shorter notes that the kernel may take the file to be no longer than that.
func (a *asking) shorter(size int64) {
	for was := a.size.Load(); size < was && !a.size.CompareAndSwap(was, size); was = a.size.Load() {
	}
}

// told is called with what the kernel will be told about a file. Who asks in order to read the pages that the kernel has
// must not find old ones afterwards.
func (g *forgetter) told(ctx context.Context, n *node, a *fuse.Attr, reads bool) {
	n.asked.shorter(int64(a.Size))
	if _, noted := g.noted(n.ino); !noted || !reads {
		return // who asks to read will come
	}
	// A reader of requests may not wait for the kernel. What it answers came before the change was acknowledged (inline).
	if c, ok := ctx.(*caller); ok && g.apart(c.unique) {
		g.remind(ctx, n)
	}
}
