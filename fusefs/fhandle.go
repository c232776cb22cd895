package fusefs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/ids"
	"dfs/namespace"
)

// Who has a file handle, of name_to_handle_at(2) or as a client of NFS, comes by the number of a node. If the kernel does not
// have it any more it asks for "." there; and to find out where a directory is it asks for ".." and reads what is listed
// there (FUSE_EXPORT_SUPPORT). Numbers of live inodes mean the same on every node and after every restart, and no inode
// gets the number of one that is gone. Those of the past are known as long as the mount is there and the kernel has them.

// lookupSelf answers for ".": what is known by a number, or is a live inode with a name.
func (f *filesystem) lookupSelf(ctx context.Context, id uint64, out *fuse.EntryOut) error {
	n := f.nodes.find(id)
	if n != nil && !n.live() {
		return f.pastEntry(ctx, n.nodeKey, out)
	}
	r, err := f.now(ctx, ids.Namespace)
	if err != nil {
		return err
	}
	ino := nodeID(id).liveIno()
	inode, err := namespace.Stat(r, ino)
	if err != nil {
		return err
	}
	// What has no name is there only for those who have it open. Only a directory has more than one number.
	if n == nil && (inode.Nlink == 0 || nodeID(ino) != nodeID(id) && (!inode.IsDir() || ino == ids.RootIno)) {
		return errs.New(errs.Stale, "no file handle leads to node %d", id)
	}
	return f.referred(ctx, f.nodes.refID(id), &inode, out)
}

// lookupParent answers for "..": the directory that a live one is in, by any of its numbers.
func (f *filesystem) lookupParent(ctx context.Context, id uint64, out *fuse.EntryOut) error {
	n, err := f.node(id)
	if err != nil {
		return err
	}
	if !n.live() {
		return errs.New(errs.Stale, "a file handle leads to a directory of the past that is not in use any more")
	}
	r, err := f.now(ctx, ids.Namespace)
	if err != nil {
		return err
	}
	parent, err := namespace.Parent(r, n.ino)
	if err != nil {
		return err
	}
	inode, err := namespace.Stat(r, parent)
	if err != nil {
		return err
	}
	return f.referred(ctx, f.nodes.ref(nodeKey{ino: parent}), &inode, out)
}

// generation tells apart what numbers of the past mean, which differs between nodes and from mount to mount. A file handle has
// it too, so that an old one leads nowhere.
func (f *filesystem) generation() uint64 {
	return uint64(uint32(mix(uint64(f.store.Self())<<32 | uint64(f.store.Incarnation()))))
}
