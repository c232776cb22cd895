package fusefs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
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
	var a fuse.Attr
	born, err := f.attr(ctx, n, &a)
	if err != nil {
		return f.fail("statx", err)
	}
	fillStatx(&a, &out.Statx)
	if born != 0 {
		out.Mask |= unix.STATX_BTIME
		out.Btime.Sec, out.Btime.Nsec = split(born)
	}
	return fuse.OK
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
