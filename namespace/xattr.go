package namespace

import (
	"bytes"
	"strings"

	"dfs/errs"
)

func (o SetXattr) apply(c *change) (errs.Kind, []byte) {
	switch {
	case o.Name == "" || strings.IndexByte(o.Name, 0) >= 0 || o.Flags&^xattrAll != 0:
		return errs.Invalid, nil
	case len(o.Name) > MaxXattrName:
		return errs.Range, nil
	case len(o.Value) > MaxXattr:
		return errs.TooLarge, nil
	}
	n := c.inode(o.Ino)
	if n == nil {
		return errs.NotFound, nil
	}
	exists := c.hasXattr(n, o.Name)
	switch {
	case exists && o.Flags&XattrCreate != 0:
		return errs.Exists, nil
	case !exists && o.Flags&XattrReplace != 0:
		return errs.NoAttribute, nil
	case !exists && int(n.XattrBytes)+len(o.Name)+1 > MaxXattr:
		return errs.NoSpace, nil // no listxattr could return more
	}
	if o.Name == aclAccess || o.Name == aclDefault {
		if kind := o.setACL(c, n, exists); kind != errs.OK {
			return kind, nil
		}
	} else {
		// The value lies in the operation's buffer, which is not ours to keep.
		c.setXattr(n, o.Name, bytes.Clone(o.Value), exists)
	}
	c.touch(n)
	return c.inodeResult(n)
}

func (o RemoveXattr) apply(c *change) (errs.Kind, []byte) {
	n := c.inode(o.Ino)
	switch {
	case n == nil:
		return errs.NotFound, nil
	case len(o.Name) > MaxXattrName:
		return errs.Range, nil
	case !c.hasXattr(n, o.Name):
		return errs.NoAttribute, nil
	}
	c.dropXattr(n, o.Name)
	c.touch(n)
	return c.inodeResult(n)
}

func (c *change) hasXattr(n *loaded, name string) bool {
	if n.XattrBytes == 0 {
		return false
	}
	_, ok := c.r.Get(XattrKey(n.ino, name))
	return ok
}

// setXattr stores a value; the caller marks the inode as changed.
func (c *change) setXattr(n *loaded, name string, value []byte, exists bool) {
	if !exists {
		n.XattrBytes += uint32(len(name) + 1)
	}
	c.put(XattrKey(n.ino, name), value)
}

// dropXattr removes an attribute if it is there; the caller marks the inode as changed.
func (c *change) dropXattr(n *loaded, name string) {
	if c.hasXattr(n, name) {
		n.XattrBytes -= uint32(len(name) + 1)
		c.delete(XattrKey(n.ino, name))
	}
}
