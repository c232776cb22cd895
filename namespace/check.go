package namespace

import (
	"fmt"
	"maps"
	"slices"

	"dfs/ids"
	"dfs/index"
)

// Check reads every record and calls report for each breach of T2, T3, T6, T7 and T8. Its memory grows with
// the number of inodes.
func Check(r index.Reader, report func(problem string)) {
	c := checker{
		r: r, inodes: map[ids.Ino]Inode{}, report: func(format string, args ...any) { report(fmt.Sprintf(format, args...)) },
		links: map[ids.Ino]uint32{}, subdirs: map[ids.Ino]uint32{}, entries: map[ids.Ino]uint64{},
		xattrs: map[ids.Ino]uint32{}, orphans: map[ids.Ino]bool{},
	}
	c.read()
	for _, ino := range sorted(c.inodes) {
		c.inode(ino, c.inodes[ino])
	}
	for _, ino := range sorted(c.orphans) {
		if _, ok := c.inodes[ino]; !ok {
			c.report("T2: orphan %d has no inode", ino)
		}
	}
	for _, ino := range sorted(c.xattrs) {
		if _, ok := c.inodes[ino]; !ok {
			c.report("T6: attributes of inode %d, which does not exist", ino)
		}
	}
	c.tree()
	c.locks()
	c.claims()
}

func sorted[V any](m map[ids.Ino]V) []ids.Ino { return slices.Sorted(maps.Keys(m)) }

type checker struct {
	r       index.Reader
	report  func(format string, args ...any)
	inodes  map[ids.Ino]Inode
	links   map[ids.Ino]uint32 // entries that name an inode
	subdirs map[ids.Ino]uint32 // entries of a directory that name directories
	entries map[ids.Ino]uint64 // entries of a directory
	xattrs  map[ids.Ino]uint32 // bytes of attribute names
	orphans map[ids.Ino]bool   // those not gone
}

func (c *checker) read() {
	scan := func(table byte, fn func(k, v []byte)) {
		from, to := tableRange(table)
		c.r.Scan(from, to, func(k, v []byte) bool { fn(k, v); return true })
	}
	scan(tableInode, func(k, v []byte) {
		n, err := DecodeInode(v)
		if err != nil {
			c.report("T6: inode %d: %v", keyIno(k), err)
			return
		}
		c.inodes[keyIno(k)] = n
	})
	scan(tableDirent, func(k, v []byte) { c.dirent(keyIno(k), keyName(k), v) })
	scan(tableXattr, func(k, v []byte) { c.xattrs[keyIno(k)] += uint32(len(keyName(k)) + 1) })
	scan(tableOrphan, func(k, v []byte) {
		o, err := decodeOrphan(v)
		if err != nil {
			c.report("T6: orphan %d: %v", keyIno(k), err)
		} else if _, lives := c.inodes[keyIno(k)]; o.Gone && lives {
			c.report("T2: inode %d is gone but exists", keyIno(k))
		} else if !o.Gone {
			c.orphans[keyIno(k)] = true
		}
	})
}

func (c *checker) dirent(dir ids.Ino, name string, v []byte) {
	ino, t, err := DecodeDirent(v)
	if err != nil {
		c.report("T6: entry %q of directory %d: %v", name, dir, err)
		return
	}
	c.links[ino]++
	c.entries[dir]++
	n, ok := c.inodes[ino]
	parent := c.inodes[dir]
	switch {
	case !ok:
		c.report("T2: entry %q of directory %d names inode %d, which does not exist", name, dir, ino)
	case n.Type() != t:
		c.report("T2: entry %q of directory %d has type %d, inode %d has %d", name, dir, t, ino, n.Type())
	case !parent.IsDir() || parent.Nlink == 0:
		c.report("T2: entry %q lies in inode %d, which is not a directory of the tree", name, dir)
	}
	if t == Directory {
		c.subdirs[dir]++
		if n.Parent != dir {
			c.report("T3: directory %d lies in %d but has %d as its parent", ino, dir, n.Parent)
		}
	}
}

func (c *checker) inode(ino ids.Ino, n Inode) {
	want := c.links[ino]
	switch {
	case ino == ids.RootIno && want > 0:
		c.report("T3: the root has a name")
	case ino == ids.RootIno || n.IsDir() && want == 1:
		want = 2 + c.subdirs[ino]
	case n.IsDir() && want > 1:
		c.report("T3: directory %d has %d names", ino, want)
	}
	if n.Nlink != want {
		c.report("T2: inode %d has link count %d, counted %d", ino, n.Nlink, want)
	}
	if n.Entries != c.entries[ino] {
		c.report("T2: directory %d has %d entries, counted %d", ino, n.Entries, c.entries[ino])
	}
	if n.XattrBytes != c.xattrs[ino] {
		c.report("T6: inode %d has %d bytes of attribute names, counted %d", ino, n.XattrBytes, c.xattrs[ino])
	}
	if c.orphans[ino] != (n.Nlink == 0) {
		c.report("T2: inode %d has link count %d and orphan record: %v", ino, n.Nlink, c.orphans[ino])
	}
}

// tree checks that every directory that is not an orphan leads up to the root, and the counters.
func (c *checker) tree() {
	above := map[ids.Ino]bool{ids.RootIno: true} // known to lead up to the root
	last := ids.Ino(0)
	for _, ino := range sorted(c.inodes) {
		n := c.inodes[ino]
		last = ino
		if !n.IsDir() || n.Nlink == 0 {
			continue
		}
		var path []ids.Ino
		for at := ino; !above[at] && len(path) <= len(c.inodes); at = c.inodes[at].Parent {
			path = append(path, at)
		}
		if len(path) > len(c.inodes) {
			c.report("T3: directory %d does not lead up to the root", ino)
			continue
		}
		for _, at := range path {
			above[at] = true
		}
	}
	count := loadCounters(c.r)
	if count.inodes != uint64(len(c.inodes)) || count.next <= last {
		c.report("T6: counters say %d inodes, next is %d; counted %d, last is %d", count.inodes, count.next, len(c.inodes), last)
	}
}

// locks checks the locks of all files.
func (c *checker) locks() {
	waits := map[string]bool{}
	from, to := tableRange(tableLock)
	c.r.Scan(from, to, func(k, v []byte) bool {
		ino := keyIno(k)
		f, err := decodeLocks(v)
		if err != nil {
			c.report("T6: locks of inode %d: %v", ino, err)
			return true
		}
		if len(f.held)+len(f.waiting) == 0 {
			c.report("T6: an empty record of the locks of inode %d", ino)
		}
		for i := range f.held {
			if h := f.find(&f.held[i]); h != nil {
				c.report("T7: inode %d: %+v and %+v are both held", ino, *h, f.held[i])
			}
		}
		for i := range f.waiting {
			w := &f.waiting[i]
			if f.find(&w.Lock) == nil {
				c.report("T7: inode %d: nothing stands in the way of %+v", ino, *w)
			}
			if w.detect {
				waits[string(waitKey(w.Owner, ino))] = true
			}
		}
		return true
	})
	from, to = tableRange(tableWait)
	c.r.Scan(from, to, func(k, _ []byte) bool {
		if !waits[string(k)] {
			c.report("T6: owner %x is said to wait for inode %d", k[1:17], waitIno(k))
		}
		delete(waits, string(k))
		return true
	})
	for _, k := range slices.Sorted(maps.Keys(waits)) {
		c.report("T6: nothing says that owner %x waits for inode %d", k[1:17], waitIno([]byte(k)))
	}
}

// claims checks who has which token.
func (c *checker) claims() {
	expected := map[ids.NodeID]bool{}
	from, to := tableRange(tableClaim)
	c.r.Scan(from, to, func(k, v []byte) bool {
		r, err := decodeClaim(v)
		switch {
		case err != nil || len(k) != len(claimKey(TokenID{})):
			c.report("T6: claim %x: %v", k[1:], err)
		case r.Node == 0 || r.Node > MaxNode:
			c.report("T6: claim %x is of node %d", k[1:], r.Node)
		case r.State < Closed && expected[r.Node]:
			c.report("T8: node %d is expected twice", r.Node)
		}
		expected[r.Node] = expected[r.Node] || r.State < Closed
		return true
	})
}
