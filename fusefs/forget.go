package fusefs

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"dfs/ids"
	"dfs/objects"
)

// forgetter makes this node's kernel forget the pages of files that other nodes change (U2).
//
// The kernel asks for a file's attributes before it reads pages that it has, but what it is told is not enough: it ignores
// attributes that it has asked for before it got others of the same file, or before a write of its own ended, even if
// those others are older. So a note is kept of each file that was changed, and whoever asks next gets the answer after
// the kernel was told to forget the pages. What the kernel reads after that is new, and attributes that it has asked for
// before it ignores. Only the length it must be told as well: it may believe in a shorter one.
//
// What is left are mappings that nobody asks about. For these the kernel is told a moment after the change.
type forgetter struct {
	f     *filesystem
	tell  func(ino ids.Ino) error                     // the kernel
	put   func(ino ids.Ino, at int64, b []byte) error // into the kernel's pages, which makes the file so long
	apart func(unique uint64) bool                    // says that a request may wait for the kernel
	wake  chan struct{}
	count atomic.Int32 // len(stale)

	mu    sync.Mutex
	seq   uint64 // of the last note
	stale map[ids.Ino]note
}

// note is that a file was changed by another node.
type note struct {
	seq uint64
	due time.Time
}

// forgetDelay is how long a mapping may show what it was. Meanwhile whoever reads the file has most likely asked for its
// attributes, and of many changes the kernel is told once.
const forgetDelay = 10 * time.Millisecond

func newForgetter(f *filesystem, tell func(ino ids.Ino) error) *forgetter {
	return &forgetter{
		f: f, tell: tell, put: func(ids.Ino, int64, []byte) error { return nil }, apart: func(uint64) bool { return true },
		wake: make(chan struct{}, 1), stale: map[ids.Ino]note{},
	}
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
	case objects.Allocate:
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

// note has the kernel forget a file's pages soon. The change shows already, and who must see it has not been answered.
func (g *forgetter) note(ino ids.Ino) {
	if g.f.nodes.known(ino) == nil {
		return
	}
	g.mu.Lock()
	s, known := g.stale[ino]
	if !known {
		g.count.Add(1)
		s.due = time.Now().Add(forgetDelay)
	}
	g.seq++
	s.seq = g.seq
	g.stale[ino] = s
	g.mu.Unlock()
	if known {
		return
	}
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// run tells the kernel of what nobody asks about, until the mount is gone.
func (g *forgetter) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-pause.C:
		}
		due, next := g.due(time.Now())
		for _, ino := range due {
			if n := g.f.nodes.known(ino); n != nil {
				g.remind(ctx, n)
			} else {
				g.drop(ino, math.MaxUint64)
			}
		}
		if next > 0 {
			pause.Reset(next)
		}
	}
}

// due returns the files that the kernel is to be told of now, and when to look again, if there are others.
func (g *forgetter) due(now time.Time) (due []ids.Ino, next time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ino, s := range g.stale {
		switch wait := s.due.Sub(now); {
		case wait <= 0:
			due = append(due, ino)
		case next == 0 || wait < next:
			next = wait
		}
	}
	return due, next
}

// remind makes the kernel forget a file's pages, unless somebody else has since the last change. It waits for the kernel.
func (g *forgetter) remind(ctx context.Context, n *node) {
	n.asked.telling.Lock()
	defer n.asked.telling.Unlock()
	if s, noted := g.noted(n.ino); noted {
		g.insist(ctx, n)
		g.drop(n.ino, s.seq)
	}
}

// insist makes the kernel forget a file's pages now, and know of at least the length that the file has: it may ignore the
// answer that says so. That the file is shorter it sees by what it reads. The caller has n.asked.telling.
func (g *forgetter) insist(ctx context.Context, n *node) {
	g.forget(n)
	changes := n.asked.changes.Load()
	a, err := g.f.fileAttr(ctx, n)
	if err != nil || a.Size <= n.asked.size.Load() {
		return // an error is the next reader's, too
	}
	var last [1]byte
	if got, err := g.f.read(ctx, n, a.Size-1, last[:]); err != nil || got < 1 {
		return
	}
	if g.put(n.ino, a.Size-1, last[:]) != nil {
		return // the end of the file is seen by the next read
	}
	n.asked.size.Store(a.Size)
	if n.asked.changes.Load() != changes {
		g.forget(n) // what was put there may be older than what was written here meanwhile
	}
}

func (g *forgetter) forget(n *node) {
	if err := g.tell(n.ino); err != nil && g.f.ctx.Err() == nil {
		g.f.limited.warn("the kernel could not be told to forget pages", "inode", n.ino, "error", err)
	}
}

// noted returns the note of a file.
func (g *forgetter) noted(ino ids.Ino) (note, bool) {
	if g.count.Load() == 0 {
		return note{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.stale[ino]
	return s, ok
}

// drop takes a note away, unless there was a change after it.
func (g *forgetter) drop(ino ids.Ino, seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s, ok := g.stale[ino]; ok && s.seq <= seq {
		delete(g.stale, ino)
		g.count.Add(-1)
	}
}
