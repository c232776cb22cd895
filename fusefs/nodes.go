package fusefs

import (
	"slices"
	"sync"

	"dfs/hlc"
	"dfs/ids"
)

// nodeID is the number by which the kernel speaks of an inode. That of a live inode is its ids.Ino; a directory that was
// moved (spot) has a number in the bits above that. So a live inode is found by a number that the kernel had from an
// earlier life of the node, or from another node: file handles are such numbers (U12). All others have the top bit
// set and are given out by nodeTable.
type nodeID uint64

const (
	pastBit = 1 << 63
	inoBits = 48 // of an inode number that file handles can have
)

// liveIno returns the inode of the number of a live node, or 0.
func (id nodeID) liveIno() ids.Ino {
	if id&pastBit != 0 {
		return 0
	}
	return ids.Ino(id & (1<<inoBits - 1))
}

// nodeSort tells the kinds of node apart.
type nodeSort uint8

const (
	sortLive    nodeSort = iota // an inode now
	sortPast                    // an inode as of a moment
	sortHistory                 // DIR/@history
	sortTrail                   // DIR/@history/NAME
)

// nodeKey says what a node is. Two lookups that come to the same key are the same node.
//
// A directory must not be reachable by two paths, or the kernel would move it from one to the other and ".."
// would lead astray. So a node of the past also remembers the door it was entered by: the live directory, and
// the name there if it was not the directory itself that was asked for. st_ino does not depend on the door.
type nodeKey struct {
	sort nodeSort
	ino  ids.Ino       // sortHistory and sortTrail: the directory
	at   hlc.Timestamp // sortPast
	door ids.Ino       // sortPast
	name string        // sortPast: the name in the door; sortTrail: NAME
}

// node is something that the kernel knows by number.
type node struct {
	nodeKey
	id nodeID

	// Guarded by nodeTable.mu.
	lookups uint64 // references that the kernel has taken and not given back
	opens   int    // handles, directories included
	spot    spot   // live directories: where the kernel has it

	writes  writes // live regular files
	seen    attrSeen
	lockers lockers
	asked   asking
}

// live says whether the node is an inode now, so that it can be changed.
func (n *node) live() bool { return n.sort == sortLive }

// spot is an entry by which the kernel has a directory.
//
// When another node moves a directory that the kernel knows, the kernel still has it at its old place. Finding it at
// the new one, the kernel would move it there, but it cannot while it looks names up for a rename itself: that
// fails with ESTALE. So a directory that is found at another place gets another number, and to the kernel it is
// another directory, with the same st_ino; the old one goes when nobody uses it any more.
type spot struct {
	parent uint64 // by the kernel's number
	name   string
}

// nodeTable holds the nodes that the kernel knows or that are open (U5).
type nodeTable struct {
	mu    sync.Mutex
	live  map[ids.Ino]*node
	older map[ids.Ino][]*node // of live directories: the nodes before the one in live
	other map[nodeID]*node    // all but those in live whose number is that of the inode
	byKey map[nodeKey]*node   // those that are not live
	next  nodeID
	// released remembers which orphans this node has told the others that it will not open again.
	released map[ids.Ino]struct{}
	makes    map[uint64]struct{} // requests under way that make a file and open it, by number
	lastMake uint64
	deferred bool // an orphan was not released because of one of them
}

func newNodeTable() *nodeTable {
	t := &nodeTable{
		live: map[ids.Ino]*node{}, older: map[ids.Ino][]*node{}, other: map[nodeID]*node{}, byKey: map[nodeKey]*node{},
		next: pastBit, released: map[ids.Ino]struct{}{}, makes: map[uint64]struct{}{},
	}
	root := t.add(nodeKey{ino: ids.RootIno})
	root.lookups = 1 // the kernel never looks it up
	return t
}

// find returns a node that the kernel knows, or nil.
func (t *nodeTable) find(id uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID(id)
}

func (t *nodeTable) byID(id uint64) *node {
	if n := t.live[ids.Ino(id)]; n != nil && uint64(n.id) == id {
		return n
	}
	return t.other[nodeID(id)]
}

// known returns the node of a live inode if there is one.
func (t *nodeTable) known(ino ids.Ino) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live[ino]
}

// ref returns the node of a key with one more reference by the kernel.
func (t *nodeTable) ref(key nodeKey) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.get(key)
	if n == nil {
		n = t.add(key)
	}
	n.lookups++
	return n
}

// refDir is ref for a live directory that is found at a place.
func (t *nodeTable) refDir(ino ids.Ino, at spot) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.live[ino]
	switch {
	case ino == ids.RootIno:
	case n != nil && n.spot == spot{}:
		n.spot = at
	case n == nil || n.spot != at:
		t.retire(n)
		n = t.add(nodeKey{ino: ino})
		n.spot = at
	}
	n.lookups++
	return n
}

// hadBefore returns a node to which the kernel had a reference before the one that it was just given, or nil.
func (t *nodeTable) hadBefore(id uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.byID(id); n != nil && n.lookups > 1 {
		return n
	}
	return nil
}

// retire makes room for another node of a live inode.
func (t *nodeTable) retire(n *node) {
	if n != nil {
		t.older[n.ino] = append(t.older[n.ino], n)
		t.other[n.id] = n
	}
}

// refID returns what has a number, if it is known or a live inode, with one more reference by the kernel.
func (t *nodeTable) refID(id uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID(id)
	if n == nil {
		ino := nodeID(id).liveIno()
		if ino == 0 {
			return nil
		}
		t.retire(t.live[ino])
		n = &node{nodeKey: nodeKey{ino: ino}, id: nodeID(id)}
		t.live[ino] = n
		if uint64(ino) != id {
			t.other[n.id] = n
		}
	}
	n.lookups++
	return n
}

// nodesOf returns the nodes of a live inode.
func (t *nodeTable) nodesOf(ino ids.Ino) []*node {
	all := slices.Clone(t.older[ino])
	if n := t.live[ino]; n != nil {
		all = append(all, n)
	}
	return all
}

// moved is told that the kernel has moved a directory.
func (t *nodeTable) moved(ino ids.Ino, from, to spot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.nodesOf(ino) {
		if n.spot == from {
			n.spot = to
		}
	}
}

// numbers returns what the kernel calls live inodes.
func (t *nodeTable) numbers(inos []ids.Ino) (all []uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ino := range inos {
		for _, n := range t.nodesOf(ino) {
			all = append(all, uint64(n.id))
		}
	}
	return all
}

func (t *nodeTable) get(key nodeKey) *node {
	if key.sort == sortLive {
		return t.live[key.ino]
	}
	return t.byKey[key]
}

func (t *nodeTable) add(key nodeKey) *node {
	n := &node{nodeKey: key}
	if key.sort == sortLive {
		t.live[key.ino] = n
		n.id = nodeID(key.ino)
		for t.other[n.id] != nil {
			n.id += 1 << inoBits
		}
		if n.id == nodeID(key.ino) {
			return n
		}
	} else {
		t.byKey[key] = n
		n.id = t.next
		t.next++
	}
	t.other[n.id] = n
	return n
}

// forget gives back references of the kernel. It returns the inode, and whether the node is not known any more.
func (t *nodeTable) forget(id, count uint64) (ino ids.Ino, gone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID(id)
	if n == nil || n.ino == ids.RootIno && n.live() {
		return 0, false
	}
	n.lookups -= min(count, n.lookups)
	return n.ino, t.dropIfUnused(n)
}

// open notes a handle.
func (t *nodeTable) open(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.opens++
}

// isReleased says whether an inode was released. An orphan that was must not be opened any more: its contents
// may be gone at any moment.
func (t *nodeTable) isReleased(ino ids.Ino) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, released := t.released[ino]
	return released
}

// close takes a handle back.
func (t *nodeTable) close(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.opens--
	t.dropIfUnused(n)
}

func (t *nodeTable) dropIfUnused(n *node) bool {
	switch {
	case n.lookups > 0 || n.opens > 0:
		return false
	case !n.live():
		delete(t.byKey, n.nodeKey)
	case t.live[n.ino] == n:
		delete(t.live, n.ino)
	default:
		t.older[n.ino] = slices.DeleteFunc(t.older[n.ino], func(o *node) bool { return o == n })
		if len(t.older[n.ino]) == 0 {
			delete(t.older, n.ino)
		}
	}
	if t.other[n.id] == n {
		delete(t.other, n.id)
	}
	return true
}

// making notes that a file is about to be made and opened here. Until made is called nobody knows its number, though it
// may be an orphan already: it has no name, or somebody else removes it. Made says whether an orphan may be released now
// that could not before.
func (t *nodeTable) making() (made func() bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastMake++
	number := t.lastMake
	t.makes[number] = struct{}{}
	return func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.makes, number)
		was := t.deferred
		t.deferred = false
		return was
	}
}

// newestMake returns the number of the last request that makes a file: of an orphan that is there now, no later one is.
func (t *nodeTable) newestMake() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lastMake
}

// release says whether an orphan may be released: it is not open here, and from now on cannot be opened. It was made by
// a request up to the given number, if here. While the kernel still knows it, it is held as well unless force is set.
func (t *nodeTable) release(ino ids.Ino, madeBy uint64, force bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.nodesOf(ino) {
		if n.opens > 0 || n.lookups > 0 && !force {
			return false
		}
	}
	for number := range t.makes {
		if number <= madeBy {
			t.deferred = true
			return false
		}
	}
	t.released[ino] = struct{}{}
	return true
}

// prune keeps of the released orphans those that keep says.
func (t *nodeTable) prune(keep func(ino ids.Ino) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ino := range t.released {
		if !keep(ino) {
			delete(t.released, ino)
		}
	}
}

// counts is for statistics.
func (t *nodeTable) counts() (live, past int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.live), len(t.byKey)
}

// pastIno is the st_ino of an inode as of a moment: the same on every node and after every restart, and never
// that of a live one. The mixing is that of splitmix64.
func pastIno(ino ids.Ino, at hlc.Timestamp) uint64 {
	return mix(mix(uint64(ino))^uint64(at)) | pastBit
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
