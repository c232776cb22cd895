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
// Most often it need not: the kernel asks for a file's attributes before it reads pages that it has, sees that the time of
// modification is another, and forgets the pages by itself. But it ignores attributes that it has asked for before and gets
// after others of the same file, or after a write of its own, even if those others are older: then it would go on with
// the old pages. So whoever may be ignored, because the kernel was told something for somebody else a moment ago, gets the
// answer after the kernel was told to forget the pages. A note of the change is kept until then.
//
// What is left are mappings that nobody asks about. Being told to forget makes the kernel ignore attributes too. So it is
// told only when it is unlikely to be asking: some time after the change, and some time after the last answer.
type forgetter struct {
	f      *filesystem
	tell   func(ino ids.Ino) error                     // the kernel
	put    func(ino ids.Ino, at int64, b []byte) error // into the kernel's pages, which makes the file so long
	apart  func(unique uint64) bool                    // says that a request may wait for the kernel
	queued func() bool                                 // says that the kernel has sent a request that nobody has read
	wake   chan struct{}
	unseen time.Duration // for how long after a note the change may not show yet: it is applied a moment later
	count  atomic.Int32  // len(stale)
	seq    atomic.Uint64 // of the last note

	mu    sync.Mutex
	stale map[ids.Ino]note
}

// note is that a file was changed by another node.
type note struct {
	seq  uint64
	made time.Time
	due  time.Time
	seen bool // the only one who asks was told; if nobody else comes until it is due the kernel has listened
}

const (
	// forgetDelay is how long a mapping may show what it was: meanwhile whoever reads the file has most likely asked
	// for its attributes.
	forgetDelay = 10 * time.Millisecond
	// askingQuiet is how long ago the last answer must be.
	askingQuiet = 2 * time.Millisecond
)

func newForgetter(f *filesystem, tell func(ino ids.Ino) error) *forgetter {
	return &forgetter{
		f: f, tell: tell, put: func(ids.Ino, int64, []byte) error { return nil }, apart: func(uint64) bool { return true },
		queued: func() bool { return false }, wake: make(chan struct{}, 1), stale: map[ids.Ino]note{},
		unseen: 100 * time.Millisecond,
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

// note has the kernel forget a file's pages soon.
func (g *forgetter) note(ino ids.Ino) {
	if g.f.nodes.known(ino) == nil {
		return
	}
	g.mu.Lock()
	if _, known := g.stale[ino]; !known {
		g.count.Add(1)
	}
	now := time.Now()
	g.stale[ino] = note{seq: g.seq.Add(1), made: now, due: now.Add(forgetDelay)}
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
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
			g.remind(ctx, ino)
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
		wait := s.due.Sub(now)
		n := g.f.nodes.known(ino)
		if n != nil && !s.seen && wait <= 0 {
			quiet := now.Sub(time.Unix(0, n.asked.last.Load()))
			if n.asked.now.Load() > 0 || quiet >= 0 && quiet < askingQuiet || g.queued() {
				wait = askingQuiet
			}
		}
		switch {
		case wait > 0:
			if next == 0 || wait < next {
				next = wait
			}
		case n == nil || s.seen:
			g.dropLocked(ino)
		default:
			due = append(due, ino)
		}
	}
	return due, next
}

// remind tells the kernel of a change that nobody has asked about.
func (g *forgetter) remind(ctx context.Context, ino ids.Ino) {
	n := g.f.nodes.known(ino)
	if n == nil {
		g.drop(ino, math.MaxUint64)
		return
	}
	n.asked.telling.Lock()
	defer n.asked.telling.Unlock()
	if s, noted := g.noted(ino); noted && !s.seen {
		g.insist(ctx, n)
		g.drop(ino, s.seq)
	}
}

// insist makes the kernel forget a file's pages now, and know of at least the length that the file has: it may ignore the
// answer that says so. That the file is shorter it sees by what it reads. The caller has n.asked.telling.
func (g *forgetter) insist(ctx context.Context, n *node) {
	if err := g.tell(n.ino); err != nil && g.f.ctx.Err() == nil {
		g.f.limited.warn("the kernel could not be told to forget pages", "inode", n.ino, "error", err)
	}
	a, err := g.f.fileAttr(ctx, n)
	if err != nil {
		return // as the read that follows
	}
	if a.Size > n.asked.size.Swap(a.Size) {
		var last [1]byte
		if got, err := g.f.read(ctx, n, a.Size-1, last[:]); err == nil && got == 1 {
			_ = g.put(n.ino, a.Size-1, last[:]) // else the end of the file is seen by the next read
		}
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
		g.dropLocked(ino)
	}
}

func (g *forgetter) dropLocked(ino ids.Ino) {
	delete(g.stale, ino)
	g.count.Add(-1)
}

// saw marks a note as seen by the only one who asks.
func (g *forgetter) saw(ino ids.Ino, seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s, ok := g.stale[ino]; ok && s.seq == seq {
		g.stale[ino] = note{seq: seq, due: time.Now().Add(company), seen: true}
	}
}
