package namespace

import (
	"dfs/errs"
)

// capabilities is the attribute that gives a program capabilities; it goes where setuid goes.
const capabilities = "security.capability"

func (o SetAttr) apply(c *change) (errs.Kind, []byte) {
	n := c.inode(o.Ino)
	if n == nil {
		return errs.NotFound, nil
	}
	if kind := o.check(n); kind != errs.OK {
		return kind, nil
	}
	if o.Valid == 0 {
		return c.inodeResult(n)
	}
	chown := o.Valid&(AttrUID|AttrGID) != 0
	if o.Valid&AttrUID != 0 {
		n.UID = o.UID
	}
	if o.Valid&AttrGID != 0 {
		n.GID = o.GID
	}
	switch {
	case o.Valid&AttrMode != 0:
		n.Mode = n.Mode&ModeType | o.Mode&ModePerm
		c.chmodACL(n)
	case chown:
		n.killPriv()
	}
	if o.Valid&AttrKillPriv != 0 {
		n.killPriv()
	}
	if (chown || o.Valid&AttrKillPriv != 0) && !n.IsDir() {
		c.dropXattr(n, capabilities)
	}
	o.setTimes(c, n)
	return c.inodeResult(n)
}

// check says whether the fields that count make sense for the inode.
func (o SetAttr) check(n *loaded) errs.Kind {
	both := func(a, b AttrMask) bool { return o.Valid&a != 0 && o.Valid&b != 0 }
	switch {
	case o.Valid&^attrAll != 0, both(AttrAtime, AttrAtimeNow), both(AttrMtime, AttrMtimeNow):
		return errs.Invalid
	case n.Type() == Regular && o.Valid&attrTimes != 0:
		return errs.Invalid // kept by objects
	case n.Type() == Symlink && o.Valid&AttrMode != 0:
		return errs.NotSupported
	}
	return errs.OK
}

func (o SetAttr) setTimes(c *change, n *loaded) {
	c.touch(n)
	set := func(field *int64, explicit, now AttrMask, value int64) {
		if o.Valid&explicit != 0 {
			*field = value
		}
		if o.Valid&now != 0 {
			*field = c.now
		}
	}
	set(&n.Atime, AttrAtime, AttrAtimeNow, o.Atime)
	set(&n.Mtime, AttrMtime, AttrMtimeNow, o.Mtime)
	set(&n.Ctime, AttrCtime, 0, o.Ctime)
}

// killPriv takes away setuid, and setgid where it means a group and not mandatory locking. What the
// bits mean on a directory is no privilege.
func (n *Inode) killPriv() {
	if n.IsDir() {
		return
	}
	n.Mode &^= ModeSetuid
	if n.Mode&modeGroupExec != 0 {
		n.Mode &^= ModeSetgid
	}
}

func (o Touch) apply(c *change) (errs.Kind, []byte) {
	n := c.inode(o.Ino)
	switch {
	case n == nil:
		return errs.NotFound, nil
	case n.Type() == Regular:
		return errs.Invalid, nil
	case n.Atime < c.now:
		n.Atime, n.dirty = c.now, true
	}
	return errs.OK, nil
}
