package fusefs

import (
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/ids"
	"dfs/namespace"
)

// changeable returns the node of a directory or inode that is about to be changed: only the present can be (U4).
func (f *filesystem) changeable(id uint64) (*node, error) {
	n, err := f.node(id)
	if err == nil && !n.live() {
		err = errs.New(errs.ReadOnly, "the past cannot be changed")
	}
	return n, err
}

// freshName refuses names that belong to the past.
func freshName(name string) error {
	if reserved(name) {
		return errs.New(errs.Invalid, "the name %q is reserved for looking into the past", name)
	}
	return nil
}

// nameError explains the failure of an operation on an existing name: one that leads into the past is there but
// cannot be changed.
func (f *filesystem) nameError(name string, err error) error {
	if k := kindOf(err); k != errs.NotFound && k != errs.OK {
		return err
	}
	if _, asks, bad := parsePastName(name, f.cfg.Zone); name == historyName || err != nil && asks && bad == nil {
		return errs.New(errs.ReadOnly, "%q is in the past", name)
	}
	return err
}

// make creates something that has a name, and fills the reply.
func (f *filesystem) make(cancel <-chan struct{}, h *fuse.InHeader, op namespace.Create, out *fuse.EntryOut) error {
	parent, err := f.changeable(h.NodeId)
	if err != nil {
		return err
	}
	if err := freshName(op.Name); err != nil {
		return err
	}
	ctx := f.caller(cancel, h)
	defer ctx.end()
	op.Parent, op.UID, op.GID, op.Exclusive = parent.ino, h.Uid, h.Gid, true
	res, err := f.do(ctx, ids.Namespace, op.Encode())
	if err != nil {
		return err
	}
	made, err := namespace.DecodeCreateResult(res.Body)
	if err != nil {
		return err
	}
	return f.entryOf(ctx, made.Ino, &made.Inode, spot{h.NodeId, op.Name}, out)
}

// Mknod is mknod(2).
func (f *filesystem) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	op := namespace.Create{Name: name, Mode: in.Mode, Umask: in.Umask, Rdev: in.Rdev}
	return f.fail("mknod", f.make(cancel, &in.InHeader, op, out))
}

// Mkdir is mkdir(2).
func (f *filesystem) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	op := namespace.Create{Name: name, Mode: in.Mode&namespace.ModePerm | syscall.S_IFDIR, Umask: in.Umask}
	return f.fail("mkdir", f.make(cancel, &in.InHeader, op, out))
}

// Symlink is symlink(2).
func (f *filesystem) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	op := namespace.Create{Name: name, Mode: syscall.S_IFLNK | 0o777, Target: target}
	return f.fail("symlink", f.make(cancel, h, op, out))
}

// Link is link(2).
func (f *filesystem) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.fail("link", f.link(cancel, in, name, out))
}

func (f *filesystem) link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) error {
	parent, err := f.changeable(in.NodeId)
	if err != nil {
		return err
	}
	n, err := f.node(in.Oldnodeid)
	if err != nil {
		return err
	}
	if !n.live() {
		return errs.New(errs.CrossDevice, "a file of the past cannot be linked into the present; copy it")
	}
	if err := freshName(name); err != nil {
		return err
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	res, err := f.do(ctx, ids.Namespace, namespace.Link{Ino: n.ino, Parent: parent.ino, Name: name}.Encode())
	if err != nil {
		return err
	}
	linked, err := namespace.DecodeInodeResult(res.Body)
	if err != nil {
		return err
	}
	return f.entryOf(ctx, linked.Ino, &linked.Inode, spot{}, out)
}

// Unlink is unlink(2).
func (f *filesystem) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return f.fail("unlink", f.remove(cancel, h, name, func(parent ids.Ino) []byte {
		return namespace.Unlink{Parent: parent, Name: name}.Encode()
	}))
}

// Rmdir is rmdir(2).
func (f *filesystem) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return f.fail("rmdir", f.remove(cancel, h, name, func(parent ids.Ino) []byte {
		return namespace.Rmdir{Parent: parent, Name: name}.Encode()
	}))
}

func (f *filesystem) remove(cancel <-chan struct{}, h *fuse.InHeader, name string, op func(parent ids.Ino) []byte) error {
	parent, err := f.changeable(h.NodeId)
	if err != nil {
		return err
	}
	ctx := f.caller(cancel, h)
	defer ctx.end()
	_, err = f.do(ctx, ids.Namespace, op(parent.ino))
	return f.nameError(name, err)
}

// Rename is renameat2(2).
func (f *filesystem) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	return f.fail("rename", f.rename(cancel, in, oldName, newName))
}

func (f *filesystem) rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) error {
	from, err := f.changeable(in.NodeId)
	if err != nil {
		return err
	}
	to, err := f.changeable(in.Newdir)
	if err != nil {
		return err
	}
	flags := namespace.RenameFlags(in.Flags)
	if flags&^(namespace.RenameNoReplace|namespace.RenameExchange) != 0 {
		return errs.New(errs.Invalid, "rename with flags %#x", in.Flags)
	}
	if reserved(oldName) {
		return errs.New(errs.ReadOnly, "%q is in the past", oldName)
	}
	if err := freshName(newName); err != nil {
		return err
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	op := namespace.Rename{OldParent: from.ino, OldName: oldName, NewParent: to.ino, NewName: newName, Flags: flags, UID: in.Uid, GID: in.Gid}
	res, err := f.do(ctx, ids.Namespace, op.Encode())
	if err != nil {
		return f.nameError(oldName, err)
	}
	moved, err := namespace.DecodeRenameResult(res.Body)
	if err != nil {
		return err
	}
	was, is := spot{in.NodeId, oldName}, spot{in.Newdir, newName}
	f.nodes.moved(moved.Ino, was, is)
	if flags&namespace.RenameExchange != 0 {
		f.nodes.moved(moved.Replaced, is, was)
	}
	return nil
}

// SetXAttr is setxattr(2).
func (f *filesystem) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, attr string, data []byte) fuse.Status {
	if uint32(len(data)) < in.Size {
		return fuse.EINVAL // the request is shorter than it says
	}
	if !knownXattr(attr) {
		return f.fail("setxattr", errs.NotSupported)
	}
	flags := namespace.XattrFlags(in.Flags) & (namespace.XattrCreate | namespace.XattrReplace)
	if in.SetXAttrFlags&fuse.SETXATTR_ACL_KILL_SGID != 0 {
		flags |= namespace.XattrKillSetgid
	}
	return f.fail("setxattr", f.changeInode(cancel, &in.InHeader, func(ino ids.Ino) []byte {
		return namespace.SetXattr{Ino: ino, Name: attr, Value: data[:in.Size], Flags: flags}.Encode()
	}))
}

// knownXattr says whether an attribute is of a namespace of xattr(7) that is stored here.
func knownXattr(name string) bool {
	for _, prefix := range [...]string{"user.", "security.", "trusted."} {
		if strings.HasPrefix(name, prefix) && len(name) > len(prefix) {
			return true
		}
	}
	return name == aclAccess || name == aclDefault
}

// RemoveXAttr is removexattr(2).
func (f *filesystem) RemoveXAttr(cancel <-chan struct{}, h *fuse.InHeader, attr string) fuse.Status {
	if !knownXattr(attr) {
		return f.fail("removexattr", errs.NotSupported)
	}
	return f.fail("removexattr", f.changeInode(cancel, h, func(ino ids.Ino) []byte {
		return namespace.RemoveXattr{Ino: ino, Name: attr}.Encode()
	}))
}

func (f *filesystem) changeInode(cancel <-chan struct{}, h *fuse.InHeader, op func(ino ids.Ino) []byte) error {
	n, err := f.changeable(h.NodeId)
	if err != nil {
		return err
	}
	ctx := f.caller(cancel, h)
	defer ctx.end()
	_, err = f.do(ctx, ids.Namespace, op(n.ino))
	return gone(n, err)
}

// aclAccess is the access control list. @history has that of its directory: without it the permission bits would
// say more than they mean.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// GetXAttr is getxattr(2).
func (f *filesystem) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	n, err := f.node(h.NodeId)
	if err != nil {
		return 0, f.fail("getxattr", err)
	}
	if !knownXattr(attr) {
		return 0, f.fail("getxattr", errs.NotSupported)
	}
	if (n.sort == sortHistory || n.sort == sortTrail) && attr != aclAccess {
		return 0, f.fail("getxattr", errs.NoAttribute)
	}
	ctx := f.caller(cancel, h)
	defer ctx.end()
	r, err := f.names(ctx, n)
	if err != nil {
		return 0, f.fail("getxattr", err)
	}
	value, err := namespace.GetXattr(r, n.ino, attr)
	if err != nil {
		return 0, f.fail("getxattr", gone(n, err))
	}
	return give(dest, string(value))
}

// ListXAttr is listxattr(2).
func (f *filesystem) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	n, err := f.node(h.NodeId)
	if err != nil {
		return 0, f.fail("listxattr", err)
	}
	if n.sort == sortHistory || n.sort == sortTrail {
		return 0, fuse.OK
	}
	ctx := f.caller(cancel, h)
	defer ctx.end()
	r, err := f.names(ctx, n)
	if err != nil {
		return 0, f.fail("listxattr", err)
	}
	names, err := namespace.ListXattr(r, n.ino)
	if err != nil {
		return 0, f.fail("listxattr", gone(n, err))
	}
	var list strings.Builder
	for _, name := range names {
		list.WriteString(name)
		list.WriteByte(0)
	}
	return give(dest, list.String())
}

// give copies a value out, or says how much room it needs.
func give(dest []byte, value string) (uint32, fuse.Status) {
	if len(value) > len(dest) {
		return uint32(len(value)), fuse.Status(syscall.ERANGE)
	}
	return uint32(copy(dest, value)), fuse.OK
}
