package fusefs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"dfs/errs"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// writing says whether a file opened with these flags can be written through.
func writing(flags uint32) bool { return flags&syscall.O_ACCMODE != syscall.O_RDONLY }

// Create is open(2) with O_CREAT of a name that the kernel did not find.
func (f *filesystem) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	defer f.making()()
	op := namespace.Create{Name: name, Mode: in.Mode&namespace.ModePerm | syscall.S_IFREG, Umask: in.Umask}
	err := f.make(cancel, &in.InHeader, op, &out.EntryOut)
	if errs.KindOf(err) == errs.Exists && in.Flags&syscall.O_EXCL == 0 {
		// Another node was faster. Whether the caller may open that file is for the kernel to check: ESTALE makes
		// it look the name up again.
		err = errs.New(errs.Stale, "%q was created meanwhile", name)
	}
	if err != nil {
		return f.fail("create", err)
	}
	return f.openMade(in, out)
}

// Tmpfile is open(2) with O_TMPFILE: a file without a name.
func (f *filesystem) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	defer f.making()()
	if err := f.tmpfile(cancel, in, &out.EntryOut); err != nil {
		return f.fail("tmpfile", err)
	}
	return f.openMade(in, out)
}

func (f *filesystem) tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.EntryOut) error {
	parent, err := f.changeable(in.NodeId)
	if err != nil {
		return err
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	op := namespace.Tmpfile{Parent: parent.ino, Mode: in.Mode & namespace.ModePerm, Umask: in.Umask, UID: in.Uid, GID: in.Gid,
		Linkable: in.Flags&syscall.O_EXCL == 0}
	res, err := f.do(ctx, ids.Namespace, op.Encode())
	if err != nil {
		return err
	}
	made, err := namespace.DecodeCreateResult(res.Body)
	if err != nil {
		return err
	}
	return f.entryOf(ctx, made.Ino, &made.Inode, spot{}, out)
}

// making keeps the reaper from a file that is made and opened, until the function that it returns is called (U9).
func (f *filesystem) making() (made func()) {
	end := f.nodes.making()
	return func() {
		if end() {
			f.reaper.poke()
		}
	}
}

// openMade gives out the handle of a file that was just made.
func (f *filesystem) openMade(in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	n := f.nodes.find(out.NodeId)
	f.nodes.open(n)
	out.Fh = f.handles.add(&handle{n: n, flags: in.Flags})
	out.OpenFlags = openFlags(in.Flags, n)
	return fuse.OK
}

// openFlags returns what the kernel is told about a live file's handle. A handle that cannot be written through
// needs no flush when it is closed, unless the file is one that programs lock: closing any of its descriptors frees the
// locks of the process.
func openFlags(flags uint32, n *node) uint32 {
	if writing(flags) || n.lockers.used.Load() {
		return 0
	}
	return fuse.FOPEN_NOFLUSH
}

// Open is open(2) of a file that exists.
func (f *filesystem) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, err := f.node(in.NodeId)
	if err != nil {
		return f.fail("open", err)
	}
	if !n.live() {
		return f.fail("open", f.openPast(n, in, out))
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	return f.fail("open", f.open(ctx, n, in, out))
}

func (f *filesystem) openPast(n *node, in *fuse.OpenIn, out *fuse.OpenOut) error {
	if writing(in.Flags) || in.Flags&syscall.O_TRUNC != 0 {
		return errs.New(errs.ReadOnly, "the past cannot be changed")
	}
	f.nodes.open(n)
	out.Fh = f.handles.add(&handle{n: n, flags: in.Flags})
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | openFlags(in.Flags, n)
	return nil
}

func (f *filesystem) open(ctx context.Context, n *node, in *fuse.OpenIn, out *fuse.OpenOut) error {
	f.nodes.open(n) // first, so that the reaper does not release it meanwhile
	if err := f.openable(ctx, n); err != nil {
		f.nodes.close(n)
		return err
	}
	h := &handle{n: n, flags: in.Flags}
	if in.Flags&syscall.O_TRUNC != 0 {
		defer n.asked.changing()()
		if in.Mode&fuse.OPEN_KILL_SUIDGID != 0 {
			f.killPrivileges(ctx, n)
		}
		if _, err := f.do(ctx, f.store.DataShard(n.ino), objects.Truncate{Ino: n.ino}.Encode()); err != nil {
			f.nodes.close(n)
			return err
		}
		n.asked.shorter(0)
		h.changed(runEmpty)
		f.reaper.purge(f.store.DataShard(n.ino))
	}
	out.Fh = f.handles.add(h)
	out.OpenFlags = openFlags(in.Flags, n)
	if f.unchanged(ctx, n) {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
	return nil
}

// openable refuses what is gone, and orphans that this node has said it will not open again.
func (f *filesystem) openable(ctx context.Context, n *node) error {
	r, err := f.now(ctx, ids.Namespace)
	if err != nil {
		return err
	}
	inode, err := namespace.Stat(r, n.ino)
	if err != nil {
		return gone(n, err)
	}
	if inode.Nlink == 0 && f.nodes.isReleased(n.ino) {
		return errs.New(errs.Stale, "inode %d was removed", n.ino)
	}
	return nil
}

// unchanged says whether the file is what it was when it was last opened here, so that the kernel may keep its
// pages. Reads ask for the attributes first anyway; this is for those who map the file.
func (f *filesystem) unchanged(ctx context.Context, n *node) bool {
	r, err := f.contents(ctx, n)
	if err != nil {
		return false
	}
	a, _ := objects.Stat(r, n.ino)
	return n.seen.swap(a)
}

// Flush is close(2): when it returns every member has received what was written through the handle.
func (f *filesystem) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	h := f.handles.get(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	var err error
	if h.n.live() {
		f.markClose(ctx, h, runWrote)
		err = f.settleHandle(ctx, h)
	}
	return f.fail("close", errors.Join(err, f.closeLocks(ctx, h, in.LockOwner)))
}

// settleHandle waits for what was written and returns what went wrong with it (U7).
func (f *filesystem) settleHandle(ctx context.Context, h *handle) error {
	if err := h.n.writes.settle(ctx); err != nil {
		return err
	}
	if k := h.takeError(); k != errs.OK {
		return errs.New(k, "an earlier write failed")
	}
	return nil
}

// markClose ends a run of writes that got at least so far: @history shows one version for each (U8). The mark is an
// operation that sets nothing: in the past it is a record that is the same as the one before. Nobody waits for it.
func (f *filesystem) markClose(ctx context.Context, h *handle, least runState) {
	if !h.endRun(least) {
		return
	}
	mark := objects.SetTimes{Ino: h.n.ino, KeepCtime: true}
	if _, err := f.submit(ctx, f.store.DataShard(h.n.ino), mark.Encode()); err != nil {
		f.limited.warn("the end of a version was not noted", "inode", h.n.ino, "error", err)
	}
}

// Fsync is fsync(2): when it returns every replica has everything on persistent storage.
func (f *filesystem) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h := f.handles.get(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	if !h.n.live() {
		return fuse.OK
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	if err := f.settleHandle(ctx, h); err != nil {
		return f.fail("fsync", err)
	}
	return f.fail("fsync", f.persist(ctx))
}

// FsyncDir is fsync(2) of a directory.
func (f *filesystem) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	return f.fail("fsync", f.persist(ctx))
}

// Release is the end of a handle; no caller waits for it.
func (f *filesystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	h := f.handles.remove(in.Fh)
	if h == nil {
		return
	}
	if h.n.live() {
		f.markClose(f.ctx, h, runEmpty)
		if err := h.n.writes.settle(f.ctx); err == nil {
			if k := h.takeError(); k != errs.OK { // pages of a mapping that were written back after close
				f.limited.warn("a write failed after its file was closed", "inode", h.n.ino, "error", k)
			}
		}
	}
	f.releaseLocks(f.ctx, h)
	f.nodes.close(h.n)
	f.reaper.letGo(h.n.ino)
}
