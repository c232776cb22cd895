package namespace

import (
	"encoding/binary"
	"fmt"

	"dfs/errs"
	"dfs/ids"
	"dfs/index"
)

// change is what one operation will do: it reads the state and collects writes, which reach the
// index only when the operation has succeeded (T5).
type change struct {
	r   index.Reader
	now int64

	inodes []*loaded
	writes []write
	count  *counters

	// Room for what nearly every operation needs, so that it takes one allocation.
	inodeRoom [4]*loaded
	writeRoom [4]write
}

// loaded is an inode that the operation has read or made. Each is loaded once, so that two names of
// one directory in an operation mean the same one.
type loaded struct {
	Inode
	ino   ids.Ino
	dirty bool
}

// write is a record to put or to delete.
type write struct {
	key, value []byte
	remove     bool
}

// counters is the one record that is not about an inode.
type counters struct {
	next   ids.Ino // the next inode number
	inodes uint64  // how many inodes there are
}

func newChange(r index.Reader, now int64) *change {
	c := &change{r: r, now: now}
	c.inodes, c.writes = c.inodeRoom[:0], c.writeRoom[:0]
	return c
}

func panicf(format string, args ...any) { panic("namespace: " + fmt.Sprintf(format, args...)) }

// inode loads an inode to read, or to change with touch. It returns nil if there is none.
func (c *change) inode(ino ids.Ino) *loaded {
	for _, n := range c.inodes {
		if n.ino == ino {
			return n
		}
	}
	v, ok := c.r.Get(InodeKey(ino))
	if !ok {
		return nil
	}
	n := &loaded{Inode: mustInode(ino, v), ino: ino}
	c.inodes = append(c.inodes, n)
	return n
}

// mustInode is inode for one that an entry names (T2).
func (c *change) mustInode(ino ids.Ino) *loaded {
	n := c.inode(ino)
	if n == nil {
		panicf("T2: an entry names inode %d, which does not exist", ino)
	}
	return n
}

// touch makes the inode part of what the operation writes, with the operation's time as its ctime.
func (c *change) touch(n *loaded) *loaded {
	n.Ctime, n.dirty = c.now, true
	return n
}

// touchDir is touch for a directory whose entries change.
func (c *change) touchDir(n *loaded) {
	n.Mtime = c.now
	c.touch(n)
}

// dir loads a directory that may be given new entries.
func (c *change) dir(ino ids.Ino) (*loaded, errs.Kind) {
	n := c.inode(ino)
	switch {
	case n == nil:
		return nil, errs.NotFound
	case !n.IsDir():
		return nil, errs.NotDirectory
	case n.Nlink == 0:
		return nil, errs.NotFound
	}
	return n, errs.OK
}

// entry returns what a name means in a directory.
func (c *change) entry(parent ids.Ino, name string) (ids.Ino, Type, bool) {
	v, ok := c.r.Get(DirentKey(parent, name))
	if !ok {
		return 0, 0, false
	}
	ino, t := mustDirent(parent, name, v)
	return ino, t, true
}

// add allocates a number for a new inode.
func (c *change) add(inode Inode) *loaded {
	count := c.counters()
	n := &loaded{Inode: inode, ino: count.next, dirty: true}
	n.Atime, n.Mtime, n.Ctime, n.Btime = c.now, c.now, c.now, c.now
	count.next++
	count.inodes++
	c.inodes = append(c.inodes, n)
	return n
}

func (c *change) put(key, value []byte) { c.writes = append(c.writes, write{key: key, value: value}) }
func (c *change) delete(key []byte)     { c.writes = append(c.writes, write{key: key, remove: true}) }

// counters loads the counters to change them.
func (c *change) counters() *counters {
	if c.count == nil {
		count := loadCounters(c.r)
		c.count = &count
	}
	return c.count
}

// commit writes what was collected.
func (c *change) commit(w index.Writer) {
	for _, n := range c.inodes {
		if n.dirty {
			w.Put(InodeKey(n.ino), n.Encode())
		}
	}
	for _, wr := range c.writes {
		switch {
		case wr.remove && passing(wr.key):
			w.DeletePassing(wr.key)
		case wr.remove:
			w.Delete(wr.key)
		case passing(wr.key):
			w.PutPassing(wr.key, wr.value)
		default:
			w.Put(wr.key, wr.value)
		}
	}
	if c.count != nil {
		w.Put(counterKey(), c.count.encode())
	}
}

func (n *counters) encode() []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n.next)), n.inodes)
}

// loadCounters reads the counters; before Init there is no inode.
func loadCounters(r index.Reader) counters {
	v, ok := r.Get(counterKey())
	if !ok {
		return counters{next: ids.RootIno}
	}
	d := decoder{rest: v}
	n := counters{next: d.ino(), inodes: d.uvarint()}
	if !d.done() {
		panicf("T6: counters %x cannot be read", v)
	}
	return n
}
