package namespace

import (
	"math"
	"strings"

	"dfs/errs"
	"dfs/hlc"
	"dfs/ids"
	"dfs/index"
)

// Apply carries out one encoded operation at its timestamp and returns its result, which the Decode
// functions read. It is a function of the state, the operation and the timestamp only (T1). With any
// kind but errs.OK the state is as before (T5) and there is no result.
func Apply(w index.Writer, now hlc.Timestamp, op []byte) (errs.Kind, []byte) {
	o, err := Decode(op)
	if err != nil {
		return errs.Invalid, nil
	}
	c := newChange(w, int64(now))
	kind, result := o.apply(c)
	if kind != errs.OK {
		return kind, nil
	}
	c.commit(w)
	return errs.OK, result
}

// checkName says whether an entry may have the name.
func checkName(name string) errs.Kind {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return errs.Invalid
	case len(name) > MaxName:
		return errs.NameTooLong
	}
	return errs.OK
}

func (c *change) inodeResult(n *loaded) (errs.Kind, []byte) {
	return errs.OK, InodeResult{Ino: n.ino, Inode: n.Inode}.encode()
}

func (o Init) apply(c *change) (errs.Kind, []byte) {
	if root := c.inode(ids.RootIno); root != nil {
		return c.inodeResult(root)
	}
	root := c.add(Inode{
		Mode: Directory.Mode() | 0o755, UID: o.UID, GID: o.GID, Nlink: 2, Parent: ids.RootIno,
	})
	return c.inodeResult(root)
}

// check says whether a Create makes sense apart from the state.
func (o Create) check() errs.Kind {
	t := Type(o.Mode & ModeType >> typeShift)
	switch {
	case !t.valid() || o.Mode&^(ModeType|ModePerm) != 0:
		return errs.Invalid
	case t != Symlink && o.Target != "":
		return errs.Invalid
	case t == Symlink && o.Target == "":
		return errs.NotFound // what POSIX says of an empty path
	case len(o.Target) > MaxTarget:
		return errs.NameTooLong
	case strings.IndexByte(o.Target, 0) >= 0:
		return errs.Invalid
	}
	return checkName(o.Name)
}

func (o Create) apply(c *change) (errs.Kind, []byte) {
	if kind := o.check(); kind != errs.OK {
		return kind, nil
	}
	dir, kind := c.dir(o.Parent)
	if kind != errs.OK {
		return kind, nil
	}
	if ino, t, taken := c.entry(o.Parent, o.Name); taken {
		return o.existing(c, ino, t)
	}
	inode := Inode{Mode: o.Mode, UID: o.UID, GID: o.GID, Nlink: 1, Target: o.Target}
	switch inode.Type() {
	case Directory:
		if dir.Nlink == math.MaxUint32 {
			return errs.TooManyLinks, nil
		}
		inode.Nlink, inode.Parent = 2, dir.ino
		dir.Nlink++
	case CharDev, BlockDev:
		inode.Rdev = o.Rdev
	}
	n := c.inherit(dir, inode, o.Umask)
	c.link(dir, o.Name, n)
	return errs.OK, CreateResult{Ino: n.ino, Inode: n.Inode}.encode()
}

// existing is what a Create comes to when the name is taken.
func (o Create) existing(c *change, ino ids.Ino, t Type) (errs.Kind, []byte) {
	switch wanted := Type(o.Mode >> typeShift); {
	case o.Exclusive || wanted != Regular:
		return errs.Exists, nil
	case t == Directory:
		return errs.IsDirectory, nil
	case t != Regular:
		return errs.Exists, nil
	}
	return errs.OK, CreateResult{Ino: ino, Inode: c.mustInode(ino).Inode, Existed: true}.encode()
}

func (o Tmpfile) apply(c *change) (errs.Kind, []byte) {
	if o.Mode&ModeType != 0 && o.Mode&ModeType != Regular.Mode() || o.Mode&^(ModeType|ModePerm) != 0 {
		return errs.Invalid, nil
	}
	dir, kind := c.dir(o.Parent)
	if kind != errs.OK {
		return kind, nil
	}
	n := c.inherit(dir, Inode{
		Mode: o.Mode | Regular.Mode(), UID: o.UID, GID: o.GID, Linkable: o.Linkable,
	}, o.Umask)
	c.put(orphanKey(n.ino), Orphan{}.encode())
	return errs.OK, CreateResult{Ino: n.ino, Inode: n.Inode}.encode()
}

// inherit adds an inode to be made in dir, with what it takes from dir: the group and setgid bit of
// a setgid directory (the BSD rule), and the default ACL, which stands in for the umask.
func (c *change) inherit(dir *loaded, inode Inode, umask uint32) *loaded {
	if dir.Mode&ModeSetgid != 0 {
		inode.GID = dir.GID
		if inode.IsDir() {
			inode.Mode |= ModeSetgid
		}
	}
	if inode.Type() == Symlink {
		inode.Mode |= 0o777
		return c.add(inode)
	}
	deflt, ok := c.acl(dir, aclDefault)
	if !ok {
		inode.Mode &^= umask & ModePerm
		return c.add(inode)
	}
	access, minimal := deflt.create(&inode.Mode)
	n := c.add(inode)
	if !minimal {
		c.setXattr(n, aclAccess, access.encode(), false)
	}
	if n.IsDir() {
		c.setXattr(n, aclDefault, deflt.encode(), false)
	}
	return n
}

// link adds an entry for n.
func (c *change) link(dir *loaded, name string, n *loaded) {
	c.put(DirentKey(dir.ino, name), encodeDirent(n.ino, n.Type()))
	dir.Entries++
	c.touchDir(dir)
}

// unlink takes away an entry; what it named has a link less, and is an orphan if it has none left.
func (c *change) unlink(dir *loaded, name string, n *loaded) (orphan bool) {
	c.delete(DirentKey(dir.ino, name))
	dir.Entries--
	c.touchDir(dir)
	return c.loseLink(dir, n)
}

// loseLink counts one entry in dir less for n.
func (c *change) loseLink(dir, n *loaded) (orphan bool) {
	c.touch(n)
	if n.IsDir() {
		n.Nlink = 0
		dir.Nlink--
	} else {
		n.Nlink--
	}
	if n.Nlink == 0 {
		c.put(orphanKey(n.ino), Orphan{}.encode())
	}
	return n.Nlink == 0
}

func (o Link) apply(c *change) (errs.Kind, []byte) {
	if kind := checkName(o.Name); kind != errs.OK {
		return kind, nil
	}
	dir, kind := c.dir(o.Parent)
	if kind != errs.OK {
		return kind, nil
	}
	n := c.inode(o.Ino)
	switch {
	case n == nil:
		return errs.NotFound, nil
	case n.IsDir():
		return errs.NotPermitted, nil
	case n.Nlink == 0 && !n.Linkable:
		return errs.NotFound, nil // its last name is gone, as if it had been looked up too late
	case n.Nlink >= MaxLinks:
		return errs.TooManyLinks, nil
	}
	if _, _, taken := c.entry(o.Parent, o.Name); taken {
		return errs.Exists, nil
	}
	if n.Nlink == 0 {
		c.delete(orphanKey(n.ino))
	}
	n.Nlink++
	n.Linkable = false
	c.touch(n)
	c.link(dir, o.Name, n)
	return c.inodeResult(n)
}

// target loads what a name to be removed means.
func (c *change) target(parent ids.Ino, name string) (dir, n *loaded, kind errs.Kind) {
	if kind := checkName(name); kind != errs.OK {
		return nil, nil, kind
	}
	dir, kind = c.dir(parent)
	if kind != errs.OK {
		return nil, nil, kind
	}
	ino, _, ok := c.entry(parent, name)
	if !ok {
		return nil, nil, errs.NotFound
	}
	return dir, c.mustInode(ino), errs.OK
}

func (o Unlink) apply(c *change) (errs.Kind, []byte) {
	dir, n, kind := c.target(o.Parent, o.Name)
	switch {
	case kind != errs.OK:
		return kind, nil
	case n.IsDir():
		return errs.IsDirectory, nil
	}
	orphan := c.unlink(dir, o.Name, n)
	return errs.OK, UnlinkResult{Ino: n.ino, Type: n.Type(), Orphan: orphan}.encode()
}

func (o Rmdir) apply(c *change) (errs.Kind, []byte) {
	dir, n, kind := c.target(o.Parent, o.Name)
	switch {
	case kind != errs.OK:
		return kind, nil
	case !n.IsDir():
		return errs.NotDirectory, nil
	case n.Entries > 0:
		return errs.NotEmpty, nil
	}
	orphan := c.unlink(dir, o.Name, n)
	return errs.OK, UnlinkResult{Ino: n.ino, Type: Directory, Orphan: orphan}.encode()
}
