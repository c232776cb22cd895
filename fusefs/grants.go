package fusefs

import (
	"sync"
	"sync/atomic"
	"time"

	"dfs/ids"
	"dfs/namespace"
)

// grants are the attributes of directories that the kernel may use for a time without asking (U13). It needs them at
// every directory on the way to a file, to check permissions, and they seldom change. Of files it always asks.
//
// What a member acknowledges may be seen at another one from then on. So before this node acknowledges an operation,
// or publishes one of its own, it has its kernel forget the attributes that the operation may change; whoever asks after that
// waits until it is applied. The kernel ignores an answer to what it asked before it was told to forget, as it does with
// attributes older than those that it has. And no grant is longer than this node may answer reads at all.
type grants struct {
	vouched func() time.Duration   // how long reads may be answered if nothing more is heard of the others
	tell    func(ino ids.Ino) bool // has the kernel forget attributes; false: it does not know the inode
	doubt   func(ino ids.Ino)      // an inode that was granted is not known: it may just be about to be
	changes atomic.Uint64          // counts operations that were acknowledged
	mu      sync.Mutex             // held while the kernel is told, which waits for nobody
	until   map[ids.Ino]time.Time  // of what was granted
	swept   time.Time              // when those that have run out were last looked for
	ended   bool                   // there is no kernel any more
}

const (
	// longestGrant bounds a grant. Half of what is left of a lease is less, as a rule; the other half is for the time
	// between the answer and when the kernel begins to count.
	longestGrant  = time.Second
	shortestGrant = 20 * time.Millisecond
	// maxGrants bounds how many there are, and so for how long a removed directory holds up the node, which has the kernel
	// forget all.
	maxGrants = 1024
)

func newGrants(vouched func() time.Duration) *grants {
	return &grants{
		vouched: vouched, tell: func(ids.Ino) bool { return true }, doubt: func(ids.Ino) {}, until: map[ids.Ino]time.Time{},
	}
}

// ask is called before a directory is looked at.
func (g *grants) ask() (before uint64) { return g.changes.Load() }

// give returns for how long the kernel may keep the attributes of a directory, which were read after ask returned before.
// They must be about an inode that the kernel has had all the time: what it is told to forget of one that it does not
// know it does not forget.
func (g *grants) give(n *node, before uint64) time.Duration {
	valid := min(g.vouched()/2, longestGrant)
	if uint64(n.id) != uint64(n.ino) || valid < shortestGrant {
		return 0
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	_, had := g.until[n.ino]
	if g.ended || g.changes.Load() != before || !had && !g.roomLocked(now) {
		return 0
	}
	g.until[n.ino] = now.Add(2 * longestGrant) // the kernel counts from when it sees the answer
	return valid
}

func (g *grants) roomLocked(now time.Time) bool {
	if len(g.until) >= maxGrants && now.Sub(g.swept) > longestGrant/4 {
		g.swept = now
		for ino, until := range g.until {
			if until.Before(now) {
				delete(g.until, ino)
			}
		}
	}
	return len(g.until) < maxGrants
}

// acknowledged is called before an operation is acknowledged or published, and with none when anything may have
// changed. It is called by the engine and must not block.
func (g *grants) acknowledged(sub ids.Subgroup, op []byte) {
	if sub != ids.Namespace {
		return
	}
	g.changes.Add(1) // before looking at what there is: who gives looks at this last
	for _, ino := range g.revoke(op) {
		g.doubt(ino)
	}
}

// revoke takes back what an operation may change, and returns what the kernel does not know.
func (g *grants) revoke(op []byte) (unknown []ids.Ino) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.until) == 0 || g.ended {
		return nil
	}
	take := func(ino ids.Ino) {
		delete(g.until, ino)
		if !g.tell(ino) {
			unknown = append(unknown, ino)
		}
	}
	some, all := changedDirs(op)
	for _, ino := range some {
		if _, granted := g.until[ino]; granted {
			take(ino)
		}
	}
	if all {
		for ino := range g.until {
			take(ino)
		}
	}
	return unknown
}

// end is called before the connection to the kernel is closed.
func (g *grants) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
}

// changedDirs returns the directories whose attributes an operation may change, or that it may be any: where one is
// known by its name only, and for what is not known here.
func changedDirs(b []byte) (some [2]ids.Ino, all bool) {
	op, err := namespace.Decode(b)
	if err != nil {
		return some, true
	}
	switch op := op.(type) {
	case namespace.Create:
		some[0] = op.Parent
	case namespace.Tmpfile:
		some[0] = op.Parent
	case namespace.Link:
		some[0] = op.Parent
	case namespace.Unlink:
		some[0] = op.Parent
	case namespace.SetAttr:
		some[0] = op.Ino
	case namespace.SetXattr:
		some[0] = op.Ino
	case namespace.RemoveXattr:
		some[0] = op.Ino
	case namespace.Touch:
		some[0] = op.Ino
	case namespace.SetLock, namespace.Unlock, namespace.TestLock, namespace.CancelLock, namespace.ReleaseNode:
	default:
		all = true
	}
	return some, all
}
