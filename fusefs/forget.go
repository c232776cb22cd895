package fusefs

import (
	"context"
	"sync"
	"sync/atomic"

	"dfs/errs"
	"dfs/ids"
	"dfs/objects"
)

// forgetter makes this node's kernel forget the pages of files that other nodes change (U2); everything else the
// kernel asks for anew each time. It runs behind: the engine only notes what changed.
//
// While the kernel is told to forget, it does not look at the attributes that it was just given, and so would not
// see that its pages are old. GetAttr therefore answers only when the kernel has forgotten what was noted before.
type forgetter struct {
	f     *filesystem
	tell  func(ino ids.Ino) error // the kernel
	wake  chan struct{}
	count atomic.Int32 // files in stale and telling

	mu      sync.Mutex
	stale   map[ids.Ino]chan struct{} // closed when the kernel has forgotten the file's pages
	telling map[ids.Ino]chan struct{} // the same, taken by run
}

func newForgetter(f *filesystem, tell func(ino ids.Ino) error) *forgetter {
	return &forgetter{f: f, tell: tell, wake: make(chan struct{}, 1), stale: map[ids.Ino]chan struct{}{}}
}

// applied is called with each operation in order of delivery, by the engine: it must not block.
func (g *forgetter) applied(sub ids.Subgroup, origin ids.NodeID, op []byte) {
	if sub == ids.Namespace {
		g.f.locks.applied(op)
		g.f.reaper.poke() // it may have made an orphan; looking costs less than reading each operation
		return
	}
	if origin == g.f.store.Self() {
		return // the kernel that wrote it has it
	}
	o, err := objects.Decode(op)
	if err != nil {
		return
	}
	if ino := changedFile(o); ino != 0 {
		g.note(ino)
	}
}

// changedFile returns the file whose contents an operation changes, or 0.
func changedFile(op objects.Op) ids.Ino {
	switch op := op.(type) {
	case objects.Write:
		return op.Ino
	case objects.Append:
		return op.Ino
	case objects.Truncate:
		return op.Ino
	case objects.PunchHole:
		return op.Ino
	case objects.ZeroRange:
		return op.Ino
	case objects.Clone:
		return op.Dst
	}
	return 0
}

// note has the kernel forget a file's pages soon.
func (g *forgetter) note(ino ids.Ino) {
	if g.f.nodes.known(ino) == nil {
		return
	}
	g.mu.Lock()
	if g.stale[ino] == nil {
		g.stale[ino] = make(chan struct{})
		g.count.Add(1)
	}
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// pending returns what is closed when the kernel has forgotten a file's pages, or nil if it has.
func (g *forgetter) pending(ino ids.Ino) <-chan struct{} {
	if g.count.Load() == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.stale[ino]; c != nil {
		return c // what is being told is told before
	}
	return g.telling[ino]
}

// forgotten waits until the kernel has forgotten a file's pages as far as they were noted.
func (g *forgetter) forgotten(ctx context.Context, ino ids.Ino) error {
	c := g.pending(ino)
	if c == nil {
		return nil
	}
	for {
		select {
		case <-c:
			return nil
		case <-ctx.Done():
			if err := errs.Wrap(errs.Interrupted, ctx.Err(), "waiting for the kernel to forget pages"); !goOn(ctx, err) {
				return err
			}
		}
	}
}

// run tells the kernel until the mount is gone.
func (g *forgetter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		}
		g.mu.Lock()
		telling := g.stale
		g.telling, g.stale = telling, map[ids.Ino]chan struct{}{}
		g.mu.Unlock()
		for ino, told := range telling {
			if err := g.tell(ino); err != nil && ctx.Err() == nil {
				g.f.limited.warn("the kernel could not be told to forget pages", "inode", ino, "error", err)
			}
			close(told) // a closed channel may stay in telling: it makes nobody wait
			g.count.Add(-1)
		}
	}
}
