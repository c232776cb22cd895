package namespace

import (
	"encoding/binary"
	"fmt"

	"dfs/errs"
)

// Access control lists are kept as the kernel hands them over, in two extended attributes. Checking
// them is the kernel's part; here they are inherited and kept in step with the permission bits.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// The format of the attribute's value: a version, then entries of {tag, permissions, id}, ordered by
// tag, all little-endian.
const (
	aclVersion    = 2
	aclHeaderSize = 4
	aclEntrySize  = 8
)

// The tags of entries.
const (
	tagUserObj  = 0x01
	tagUser     = 0x02
	tagGroupObj = 0x04
	tagGroup    = 0x08
	tagMask     = 0x10
	tagOther    = 0x20
)

type aclEntry struct {
	tag, perm uint16
	id        uint32 // of a tagUser or tagGroup
}

type acl []aclEntry

// parseACL reads an attribute's value. ok is false for what the kernel would not accept.
func parseACL(b []byte) (a acl, ok bool) {
	le := binary.LittleEndian
	if len(b) < aclHeaderSize || le.Uint32(b) != aclVersion || (len(b)-aclHeaderSize)%aclEntrySize != 0 {
		return nil, false
	}
	for b = b[aclHeaderSize:]; len(b) > 0; b = b[aclEntrySize:] {
		a = append(a, aclEntry{le.Uint16(b), le.Uint16(b[2:]), le.Uint32(b[4:])})
	}
	return a, a.valid()
}

// valid says whether the list has its three obligatory entries, in order, a mask if it has named
// ones, and nothing else. The empty list is valid: it stands for none.
func (a acl) valid() bool {
	count := map[uint16]int{}
	last := uint16(0)
	for _, e := range a {
		if e.perm&^7 != 0 || e.tag < last {
			return false
		}
		last = e.tag
		count[e.tag]++
	}
	if len(a) == 0 {
		return true
	}
	named := count[tagUser] + count[tagGroup]
	return count[tagUserObj] == 1 && count[tagGroupObj] == 1 && count[tagOther] == 1 && count[tagMask] <= 1 &&
		(named == 0 || count[tagMask] == 1) && 3+named+count[tagMask] == len(a)
}

func (a acl) encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(make([]byte, 0, aclHeaderSize+aclEntrySize*len(a)), aclVersion)
	for _, e := range a {
		b = le.AppendUint16(b, e.tag)
		b = le.AppendUint16(b, e.perm)
		b = le.AppendUint32(b, e.id)
	}
	return b
}

// classes returns the entries that the three classes of the permission bits stand for; the group's
// is the mask where there is one.
func (a acl) classes() (user, group, other *aclEntry) {
	for i := range a {
		switch a[i].tag {
		case tagUserObj:
			user = &a[i]
		case tagGroupObj, tagMask: // the mask comes later
			group = &a[i]
		case tagOther:
			other = &a[i]
		}
	}
	return user, group, other
}

// bits returns the permission bits that say the same, and whether they say all of it.
func (a acl) bits() (perm uint32, minimal bool) {
	user, group, other := a.classes()
	return uint32(user.perm)<<6 | uint32(group.perm)<<3 | uint32(other.perm), len(a) == 3
}

// chmod makes the list agree with permission bits.
func (a acl) chmod(mode uint32) {
	user, group, other := a.classes()
	user.perm, group.perm, other.perm = uint16(mode>>6&7), uint16(mode>>3&7), uint16(mode&7)
}

// create returns the access list of an inode made with mode in a directory that has a as its default
// list, and takes off mode what the list does not allow.
func (a acl) create(mode *uint32) (access acl, minimal bool) {
	access = append(acl(nil), a...)
	perm, minimal := access.bits()
	*mode &= perm | ^uint32(0o777)
	access.chmod(*mode)
	return access, minimal
}

// acl reads a list that an inode has.
func (c *change) acl(n *loaded, name string) (acl, bool) {
	if n.XattrBytes == 0 {
		return nil, false
	}
	v, ok := c.r.Get(XattrKey(n.ino, name))
	if !ok {
		return nil, false
	}
	a, valid := parseACL(v)
	if !valid || len(a) == 0 {
		panic(fmt.Sprintf("namespace: T6: %s of inode %d is %x", name, n.ino, v))
	}
	return a, true
}

// chmodACL makes the access list, if there is one, follow new permission bits.
func (c *change) chmodACL(n *loaded) {
	if a, ok := c.acl(n, aclAccess); ok {
		a.chmod(n.Mode)
		c.setXattr(n, aclAccess, a.encode(), true)
	}
}

// setACL carries out a SetXattr of one of the two lists.
func (o SetXattr) setACL(c *change, n *loaded, exists bool) errs.Kind {
	a, ok := parseACL(o.Value)
	switch {
	case !ok:
		return errs.Invalid
	case n.Type() == Symlink:
		return errs.NotSupported
	case o.Name == aclDefault && !n.IsDir():
		return errs.AccessDenied // what Linux says
	case len(a) == 0:
		c.dropXattr(n, o.Name)
		return errs.OK
	}
	if o.Name == aclAccess {
		perm, minimal := a.bits()
		n.Mode = n.Mode&^0o777 | perm
		if o.Flags&XattrKillSetgid != 0 {
			n.Mode &^= ModeSetgid
		}
		if minimal {
			c.dropXattr(n, o.Name)
			return errs.OK
		}
	}
	c.setXattr(n, o.Name, a.encode(), exists)
	return errs.OK
}
