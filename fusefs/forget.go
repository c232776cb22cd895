package fusefs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dfs/ids"
	"dfs/objects"
)

// forgetter makes this node's kernel forget the pages of files that other nodes change (U2). It need not where a program
// asks for the file's attributes, as the kernel does before it reads pages that it has: the kernel sees that the time
// of modification is another, and forgets the pages by itself. What is left are mappings that nobody asks about.
//
// Being told to forget makes the kernel ignore attributes that it has asked for before and gets after, so that it goes
// on with the old size. So it is told only when it is unlikely to be asking: some time after the change, and some time
// after the last answer.
type forgetter struct {
	f      *filesystem
	tell   func(ino ids.Ino) error // the kernel
	queued func() bool             // says that the kernel has sent a request that nobody has read
	wake   chan struct{}
	count  atomic.Int32  // len(stale)
	seq    atomic.Uint64 // of the last note

	mu    sync.Mutex
	stale map[ids.Ino]note
}

// note is that a file was changed by another node.
type note struct {
	seq uint64
	due time.Time
}

// asking is what a node remembers of the attributes that the kernel was told.
type asking struct {
	now   atomic.Int32 // questions that are being answered
	last  atomic.Int64 // when the last was, in unix nanoseconds
	mtime atomic.Int64 // that it was told
}

const (
	// forgetDelay is how long a mapping may show what it was: meanwhile whoever reads the file has most likely asked
	// for its attributes.
	forgetDelay = 10 * time.Millisecond
	// askingQuiet is how long ago the last answer must be.
	askingQuiet = 2 * time.Millisecond
)

func newForgetter(f *filesystem, tell func(ino ids.Ino) error) *forgetter {
	return &forgetter{f: f, tell: tell, queued: func() bool { return false }, wake: make(chan struct{}, 1), stale: map[ids.Ino]note{}}
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
	if _, known := g.stale[ino]; !known {
		g.count.Add(1)
	}
	g.stale[ino] = note{seq: g.seq.Add(1), due: time.Now().Add(forgetDelay)}
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// ask is called before the attributes of a file are looked up.
func (g *forgetter) ask(n *node) (before uint64) {
	n.asked.now.Add(1)
	return g.seq.Load()
}

// told is called with what the kernel is told, and what ask returned: if it sees by that what was noted before, it need
// not be told to forget.
func (g *forgetter) told(n *node, before uint64, mtime int64, ok bool) {
	n.asked.last.Store(time.Now().UnixNano())
	n.asked.now.Add(-1)
	if !ok || n.asked.mtime.Swap(mtime) == mtime || g.count.Load() == 0 || !n.live() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s, noted := g.stale[n.ino]; noted && s.seq <= before {
		delete(g.stale, n.ino)
		g.count.Add(-1)
	}
}

// run tells the kernel until the mount is gone.
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
			if err := g.tell(ino); err != nil && ctx.Err() == nil {
				g.f.limited.warn("the kernel could not be told to forget pages", "inode", ino, "error", err)
			}
		}
		if next > 0 {
			pause.Reset(next)
		}
	}
}

// due takes the files that the kernel is to be told of now, and returns when to look again, if there are others.
func (g *forgetter) due(now time.Time) (due []ids.Ino, next time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ino, s := range g.stale {
		wait := s.due.Sub(now)
		if n := g.f.nodes.known(ino); n != nil && wait <= 0 {
			quiet := now.Sub(time.Unix(0, n.asked.last.Load()))
			if n.asked.now.Load() > 0 || quiet >= 0 && quiet < askingQuiet || g.queued() {
				wait = askingQuiet
			}
		}
		if wait <= 0 {
			due = append(due, ino)
			delete(g.stale, ino)
			g.count.Add(-1)
			continue
		}
		if next == 0 || wait < next {
			next = wait
		}
	}
	return due, next
}
