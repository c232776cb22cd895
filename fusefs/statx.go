package fusefs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dfs/namespace"
)

// Statx is statx(2) of a program that wants to know when a file was made; for everything else the kernel asks GetAttr.
func (f *filesystem) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	n, err := f.node(in.NodeId)
	if err != nil {
		return f.fail("statx", err)
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	if n.sort == sortPast {
		out.SetTimeout(pastValid)
	}
	return f.fail("statx", f.statx(ctx, n, &out.Statx))
}

func (f *filesystem) statx(ctx context.Context, n *node, out *fuse.Statx) error {
	var a fuse.Attr
	if n.sort == sortHistory || n.sort == sortTrail {
		if err := f.virtualAttr(ctx, n, &a); err != nil {
			return err
		}
		fillStatx(&a, out)
		return nil
	}
	r, err := f.names(ctx, n)
	if err != nil {
		return err
	}
	inode, err := namespace.Stat(r, n.ino)
	if err != nil {
		return gone(n, err)
	}
	if err := f.fillAttr(ctx, n, &inode, &a); err != nil {
		return err
	}
	fillStatx(&a, out)
	out.Mask |= unix.STATX_BTIME
	out.Btime.Sec, out.Btime.Nsec = split(inode.Btime)
	return nil
}

// fillStatx tells attributes in the form of statx(2).
func fillStatx(a *fuse.Attr, out *fuse.Statx) {
	out.Mask = unix.STATX_BASIC_STATS
	out.Ino, out.Size, out.Blocks, out.Blksize = a.Ino, a.Size, a.Blocks, a.Blksize
	out.Mode, out.Nlink, out.Uid, out.Gid = uint16(a.Mode), a.Nlink, a.Uid, a.Gid
	out.RdevMajor, out.RdevMinor = unix.Major(uint64(a.Rdev)), unix.Minor(uint64(a.Rdev))
	out.Atime = fuse.SxTime{Sec: a.Atime, Nsec: a.Atimensec}
	out.Mtime = fuse.SxTime{Sec: a.Mtime, Nsec: a.Mtimensec}
	out.Ctime = fuse.SxTime{Sec: a.Ctime, Nsec: a.Ctimensec}
}
