package fusefs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// SetAttr is chmod, chown, truncate and utimensat.
func (f *filesystem) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.fail("setattr", f.setAttr(cancel, in, out))
}

func (f *filesystem) setAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) error {
	n, err := f.changeable(in.NodeId)
	if err != nil {
		return err
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	r, err := f.now(ctx, ids.Namespace)
	if err != nil {
		return err
	}
	inode, err := namespace.Stat(r, n.ino)
	if err != nil {
		return gone(n, err)
	}
	regular := inode.Type() == namespace.Regular
	if regular {
		defer n.asked.changing()()
	}
	if op := nameAttrs(in, n.ino, regular); op.Valid != 0 {
		res, err := f.do(ctx, ids.Namespace, op.Encode())
		if err != nil {
			return gone(n, err)
		}
		changed, err := namespace.DecodeInodeResult(res.Body)
		if err != nil {
			return err
		}
		inode = changed.Inode
	}
	if regular {
		if err := f.setFileAttrs(ctx, n, in); err != nil {
			return err
		}
	} else if in.Valid&fuse.FATTR_SIZE != 0 {
		return errs.New(errs.Invalid, "only a file has a size to be set")
	}
	if err := f.attrOf(ctx, n, &inode, &out.Attr); err != nil || !regular {
		return err
	}
	n.asked.shorter(int64(out.Size)) // the kernel believes it, whatever it was told meanwhile
	return nil
}

// nameAttrs returns the namespace's part of a change of attributes.
func nameAttrs(in *fuse.SetAttrIn, ino ids.Ino, regular bool) namespace.SetAttr {
	op := namespace.SetAttr{Ino: ino, Mode: in.Mode & namespace.ModePerm, UID: in.Uid, GID: in.Gid}
	set := func(bit uint32, mask namespace.AttrMask) {
		if in.Valid&bit != 0 {
			op.Valid |= mask
		}
	}
	set(fuse.FATTR_MODE, namespace.AttrMode)
	set(fuse.FATTR_UID, namespace.AttrUID)
	set(fuse.FATTR_GID, namespace.AttrGID)
	set(fuse.FATTR_KILL_SUIDGID, namespace.AttrKillPriv)
	if regular {
		return op
	}
	switch {
	case in.Valid&fuse.FATTR_ATIME_NOW != 0:
		op.Valid |= namespace.AttrAtimeNow
	case in.Valid&fuse.FATTR_ATIME != 0:
		op.Valid, op.Atime = op.Valid|namespace.AttrAtime, join(in.Atime, in.Atimensec)
	}
	switch {
	case in.Valid&fuse.FATTR_MTIME_NOW != 0:
		op.Valid |= namespace.AttrMtimeNow
	case in.Valid&fuse.FATTR_MTIME != 0:
		op.Valid, op.Mtime = op.Valid|namespace.AttrMtime, join(in.Mtime, in.Mtimensec)
	}
	return op
}

// setFileAttrs sets the size and the times of a regular file.
func (f *filesystem) setFileAttrs(ctx context.Context, n *node, in *fuse.SetAttrIn) error {
	sub := f.store.DataShard(n.ino)
	if in.Valid&fuse.FATTR_SIZE != 0 {
		if in.Size > objects.MaxSize {
			return errs.TooLarge
		}
		if _, err := f.do(ctx, sub, objects.Truncate{Ino: n.ino, Size: int64(in.Size)}.Encode()); err != nil {
			return err
		}
		n.asked.shorter(int64(in.Size))
		f.truncated(ctx, n, in)
	}
	op := objects.SetTimes{
		Ino:   n.ino,
		Atime: fileTime(in.Valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec),
		Mtime: fileTime(in.Valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec),
	}
	if op.Atime.Kind == objects.TimeOmit && op.Mtime.Kind == objects.TimeOmit {
		return nil
	}
	_, err := f.do(ctx, sub, op.Encode())
	return err
}

// truncated makes a truncation part of the run of writes of the handle it was made through, or a run of its own.
func (f *filesystem) truncated(ctx context.Context, n *node, in *fuse.SetAttrIn) {
	h := &handle{n: n}
	fh, through := in.GetFh()
	if through {
		if open := f.handles.get(fh); open != nil {
			h = open
		}
	}
	h.changed(runWrote)
	if !through {
		f.markClose(ctx, h, runWrote)
	}
	f.reaper.purge(f.store.DataShard(n.ino))
}

func fileTime(valid, given, now uint32, sec uint64, nsec uint32) objects.Time {
	switch {
	case valid&now != 0:
		return objects.Time{Kind: objects.TimeNow}
	case valid&given != 0:
		return objects.Time{Kind: objects.TimeAt, At: join(sec, nsec)}
	}
	return objects.Time{}
}
