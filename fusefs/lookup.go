package fusefs

import (
	"context"
	"math"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/ids"
	"dfs/namespace"
)

// pastValid is how long the kernel may keep what it was told about the past (U4): it cannot change.
const pastValid = 24 * time.Hour

// Lookup finds what a name means.
func (f *filesystem) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return f.fail("lookup", f.lookup(cancel, h, name, out))
}

func (f *filesystem) lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) error {
	ctx := f.caller(cancel, h)
	defer ctx.end()
	switch name {
	case ".":
		return f.lookupSelf(ctx, h.NodeId, out)
	case "..":
		return f.lookupParent(ctx, h.NodeId, out)
	}
	parent, err := f.node(h.NodeId)
	if err != nil {
		return err
	}
	switch parent.sort {
	case sortPast:
		return f.lookupPast(ctx, parent, name, out)
	case sortHistory:
		return f.lookupTrail(ctx, parent, name, out)
	case sortTrail:
		return f.lookupVersion(ctx, parent, name, out)
	}
	if reserved(name) {
		if done, err := f.lookupDoor(ctx, h, parent, name, out); done {
			return err
		}
	}
	before := f.grants.ask()
	r, err := f.now(ctx, ids.Namespace)
	if err != nil {
		return err
	}
	ino, _, err := namespace.Lookup(r, parent.ino, name)
	if errs.KindOf(err) == errs.NotFound {
		if done, err := f.lookupDoor(ctx, h, parent, name, out); done {
			return err
		}
	}
	if err != nil {
		return err
	}
	inode, err := namespace.Stat(r, ino)
	if err != nil {
		return err
	}
	if err := f.entryOf(ctx, ino, &inode, spot{h.NodeId, name}, out); err != nil {
		return err
	}
	if n := f.nodes.hadBefore(out.NodeId); n != nil && inode.IsDir() {
		out.SetAttrTimeout(f.grants.give(n, before))
	}
	return nil
}

// lookupPast finds a name in a directory of the past.
func (f *filesystem) lookupPast(ctx context.Context, parent *node, name string, out *fuse.EntryOut) error {
	r, err := f.names(ctx, parent)
	if err != nil {
		return err
	}
	ino, _, err := namespace.Lookup(r, parent.ino, name)
	if errs.KindOf(err) == errs.NotFound {
		out.SetEntryTimeout(pastValid) // NodeId 0: there is no such name, and never will be
		return nil
	}
	if err != nil {
		return err
	}
	key := parent.nodeKey
	key.ino = ino
	return f.pastEntry(ctx, key, out)
}

// entryOf fills the reply for a live inode whose record is at hand, and counts the kernel's reference.
func (f *filesystem) entryOf(ctx context.Context, ino ids.Ino, inode *namespace.Inode, at spot, out *fuse.EntryOut) error {
	var n *node
	if inode.IsDir() {
		n = f.nodes.refDir(ino, at)
	} else {
		n = f.nodes.ref(nodeKey{ino: ino})
	}
	return f.referred(ctx, n, inode, out)
}

// referred fills the reply for a live node to which the kernel got a reference.
func (f *filesystem) referred(ctx context.Context, n *node, inode *namespace.Inode, out *fuse.EntryOut) error {
	if err := f.fillAttr(ctx, n, inode, &out.Attr, false); err != nil {
		f.nodes.forget(uint64(n.id), 1)
		return err
	}
	out.NodeId = uint64(n.id)
	return nil
}

// pastEntry fills the reply for a node of the past, and counts the kernel's reference.
func (f *filesystem) pastEntry(ctx context.Context, key nodeKey, out *fuse.EntryOut) error {
	n := f.nodes.ref(key)
	if _, err := f.attr(ctx, n, &out.Attr); err != nil {
		f.nodes.forget(uint64(n.id), 1)
		return err
	}
	out.NodeId, out.Generation = uint64(n.id), f.generation()
	if n.sort == sortPast {
		out.SetEntryTimeout(pastValid)
		out.SetAttrTimeout(pastValid)
	}
	return nil
}

// Forget takes back references of the kernel.
func (f *filesystem) Forget(id, count uint64) {
	if ino, gone := f.nodes.forget(id, count); gone {
		f.reaper.letGo(ino)
	}
}

// GetAttr is stat(2).
func (f *filesystem) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, err := f.node(in.NodeId)
	if err != nil {
		return f.fail("getattr", err)
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	if n.sort == sortPast {
		out.SetTimeout(pastValid)
	}
	before := f.grants.ask()
	_, err = f.attr(ctx, n, &out.Attr)
	if err == nil && n.live() && out.IsDir() {
		out.SetTimeout(f.grants.give(n, before))
	}
	return f.fail("getattr", err)
}

// attr fills the attributes of any node. It returns when the node was made, in unix nanoseconds, or 0 if it never was.
func (f *filesystem) attr(ctx context.Context, n *node, out *fuse.Attr) (born int64, err error) {
	if n.sort == sortHistory || n.sort == sortTrail {
		return 0, f.virtualAttr(ctx, n, out)
	}
	r, err := f.names(ctx, n)
	if err != nil {
		return 0, err
	}
	inode, err := namespace.Stat(r, n.ino)
	if err != nil {
		return 0, gone(n, err)
	}
	return inode.Btime, f.fillAttr(ctx, n, &inode, out, true)
}

// gone turns the absence of an inode that the kernel has in hand into ESTALE.
func gone(n *node, err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return errs.New(errs.Stale, "inode %d does not exist any more", n.ino)
	}
	return err
}

// blockSize is the st_blksize that programs take as a hint how much to read and write at once.
const blockSize = 128 << 10

// directorySize is the st_size of directories; it means nothing.
const directorySize = 4096

// fillAttr puts the attributes of an inode together from the namespace's part and, for a regular file, that of
// its data shard. Reads says that the kernel may be asking in order to read pages that it has.
func (f *filesystem) fillAttr(ctx context.Context, n *node, inode *namespace.Inode, out *fuse.Attr, reads bool) error {
	if inode.Type() != namespace.Regular {
		return f.attrOf(ctx, n, inode, out)
	}
	if err := f.attrOf(ctx, n, inode, out); err != nil {
		return err
	}
	if n.live() {
		f.forget.told(ctx, n, out, reads)
	}
	return nil
}

// attrOf is fillAttr without a note that the kernel is told.
func (f *filesystem) attrOf(ctx context.Context, n *node, inode *namespace.Inode, out *fuse.Attr) error {
	at, mt, ct := inode.Atime, inode.Mtime, inode.Ctime
	*out = fuse.Attr{
		Ino: uint64(n.ino), Mode: inode.Mode, Nlink: inode.Nlink, Owner: fuse.Owner{Uid: inode.UID, Gid: inode.GID},
		Rdev: inode.Rdev, Blksize: blockSize,
	}
	if n.sort == sortPast {
		out.Ino = pastIno(n.ino, n.at)
	}
	switch inode.Type() {
	case namespace.Regular:
		a, err := f.fileAttr(ctx, n)
		if err != nil {
			return err
		}
		out.Size, out.Blocks = uint64(a.Size), uint64(a.Bytes+511)/512
		at, mt, ct = a.Times(at, mt, ct)
	case namespace.Symlink:
		out.Size = uint64(len(inode.Target))
	case namespace.Directory:
		out.Size, out.Blocks = directorySize, directorySize/512
	}
	out.Atime, out.Atimensec = split(at)
	out.Mtime, out.Mtimensec = split(mt)
	out.Ctime, out.Ctimensec = split(ct)
	return nil
}

// split turns nanoseconds since the epoch, which may be negative, into seconds and nanoseconds.
func split(t int64) (sec uint64, nsec uint32) {
	s, ns := t/1e9, t%1e9
	if ns < 0 {
		s, ns = s-1, ns+1e9
	}
	return uint64(s), uint32(ns)
}

// join is the inverse of split. Times that int64 cannot hold are clamped to those that it can.
func join(sec uint64, nsec uint32) int64 {
	const most = math.MaxInt64/int64(1e9) - 1
	return max(-most, min(int64(sec), most))*1e9 + int64(min(nsec, 1e9-1))
}

// Access is never asked: the kernel checks permissions itself (default_permissions), and ENOSYS makes it stop
// sending these.
func (f *filesystem) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.ENOSYS }

// Readlink returns the target of a symbolic link.
func (f *filesystem) Readlink(cancel <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	n, err := f.node(h.NodeId)
	if err != nil {
		return nil, f.fail("readlink", err)
	}
	ctx := f.caller(cancel, h)
	defer ctx.end()
	r, err := f.names(ctx, n)
	if err != nil {
		return nil, f.fail("readlink", err)
	}
	target, err := namespace.Readlink(r, n.ino)
	return []byte(target), f.fail("readlink", gone(n, err))
}
