package namespace

import (
	"slices"

	"dfs/errs"
	"dfs/ids"
)

func (o Orphan) encode() []byte {
	return appendNodes(appendBool(make([]byte, 0, 2+2*len(o.Released)), o.Gone), o.Released)
}

func decodeOrphan(b []byte) (Orphan, error) {
	d := decoder{rest: b}
	o := Orphan{Gone: d.bool(), Released: d.nodes()}
	if !d.done() {
		return Orphan{}, errs.New(errs.Corrupt, "orphan record %x cannot be read", b)
	}
	return o, nil
}

// released returns o with one more node, and whether that changed it.
func (o Orphan) released(node ids.NodeID) (Orphan, bool) {
	at, found := slices.BinarySearch(o.Released, node)
	if found {
		return o, false
	}
	o.Released = slices.Insert(o.Released, at, node)
	return o, true
}

// releasedBy says whether all members have released it.
func (o Orphan) releasedBy(members []ids.NodeID) bool {
	for _, m := range members {
		if _, found := slices.BinarySearch(o.Released, m); !found {
			return false
		}
	}
	return true
}

func (o Release) apply(c *change) (errs.Kind, []byte) {
	if len(o.Members) == 0 {
		return errs.Invalid, nil
	}
	var res ReleaseResult
	inos := slices.Clone(o.Inos)
	slices.Sort(inos)
	for _, ino := range slices.Compact(inos) {
		if v, ok := c.r.Get(orphanKey(ino)); ok {
			c.release(ino, mustOrphan(ino, v), o.Node, o.Members, &res)
		}
	}
	return errs.OK, res.encode()
}

func (o ReleaseAll) apply(c *change) (errs.Kind, []byte) {
	if len(o.Members) == 0 {
		return errs.Invalid, nil
	}
	var res ReleaseResult
	type found struct {
		ino    ids.Ino
		orphan Orphan
	}
	var batch []found
	Orphans(c.r, o.After, func(ino ids.Ino, orphan Orphan) bool {
		batch = append(batch, found{ino, orphan})
		return len(batch) < MaxBatch
	})
	for _, f := range batch {
		c.release(f.ino, f.orphan, o.Node, o.Members, &res)
	}
	if len(batch) == MaxBatch {
		res.Next = batch[MaxBatch-1].ino
	}
	return errs.OK, res.encode()
}

// release notes that node released an orphan and deletes the inode if it was the last of the members.
func (c *change) release(ino ids.Ino, o Orphan, node ids.NodeID, members []ids.NodeID, res *ReleaseResult) {
	if o.Gone {
		return
	}
	o, changed := o.released(node)
	switch {
	case o.releasedBy(members):
		inode, err := Stat(c.r, ino)
		if err != nil {
			panicf("T2: orphan %d has no inode", ino)
		}
		c.reap(ino, &inode)
		res.Gone = append(res.Gone, Gone{ino, inode.Type()})
	case changed:
		c.put(orphanKey(ino), o.encode())
	}
}

// reap deletes the records of an orphan. Of a regular file a note is left until its contents are
// dropped as well, so that no crash of the node that does it can lose them for good.
func (c *change) reap(ino ids.Ino, inode *Inode) {
	c.delete(InodeKey(ino))
	c.counters().inodes--
	if inode.XattrBytes > 0 {
		from, to := inoRange(tableXattr, ino)
		c.r.Scan(from, to, func(k, _ []byte) bool {
			c.delete(slices.Clone(k))
			return true
		})
	}
	if inode.Type() == Regular {
		c.put(orphanKey(ino), Orphan{Gone: true}.encode())
	} else {
		c.delete(orphanKey(ino))
	}
}

func (o Dropped) apply(c *change) (errs.Kind, []byte) {
	for _, ino := range o.Inos {
		if v, ok := c.r.Get(orphanKey(ino)); ok && mustOrphan(ino, v).Gone {
			c.delete(orphanKey(ino))
		}
	}
	return errs.OK, nil
}
