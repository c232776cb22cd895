package fusefs

import (
	"context"
	"sync"

	"dfs/ids"
	"dfs/objects"
)

// forgetter makes this node's kernel forget what other nodes change (U2): the pages of files, for those who map
// them; everything else the kernel asks for anew each time. It runs behind: the engine only notes what changed.
type forgetter struct {
	f     *filesystem
	tell  func(ino ids.Ino) error // the kernel
	wake  chan struct{}
	mu    sync.Mutex
	stale map[ids.Ino]struct{}
}

func newForgetter(f *filesystem, tell func(ino ids.Ino) error) *forgetter {
	return &forgetter{f: f, tell: tell, wake: make(chan struct{}, 1), stale: map[ids.Ino]struct{}{}}
}

// applied is called with each operation in order of delivery, by the engine: it must not block.
func (g *forgetter) applied(sub ids.Subgroup, origin ids.NodeID, op []byte) {
	if sub == ids.Namespace {
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
	g.stale[ino] = struct{}{}
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
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
		stale := g.stale
		g.stale = map[ids.Ino]struct{}{}
		g.mu.Unlock()
		for ino := range stale {
			if err := g.tell(ino); err != nil && ctx.Err() == nil {
				g.f.limited.warn("the kernel could not be told to forget pages", "inode", ino, "error", err)
			}
		}
	}
}
