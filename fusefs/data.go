package fusefs

import (
	"context"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dfs/errs"
	"dfs/ids"
	"dfs/namespace"
	"dfs/objects"
)

// filled is a fuse.ReadResult whose bytes are in the reply already: Read put them there.
type filled int

func (n filled) Bytes(buf []byte) ([]byte, fuse.Status) { return buf[:n], fuse.OK }
func (n filled) Size() int                              { return int(n) }
func (n filled) Done()                                  {}
func (n filled) Readv(dst [][]byte) (int, fuse.Status)  { return int(n), fuse.OK }

// Read is read(2) of what the kernel does not have in its cache.
func (f *filesystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h := f.handles.get(in.Fh)
	if h == nil || h.dir != nil {
		return nil, fuse.EBADF
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	n, err := f.read(ctx, h.n, int64(in.Offset), buf)
	if err != nil {
		return nil, f.fail("read", err)
	}
	if n < len(buf) {
		h.n.asked.shorter(int64(in.Offset) + int64(n)) // the kernel concludes that the file ends there
	}
	return filled(n), fuse.OK
}

func (f *filesystem) read(ctx context.Context, n *node, off int64, buf []byte) (int, error) {
	r, err := f.contents(ctx, n)
	if err != nil {
		return 0, err
	}
	var room [16]objects.Piece
	pieces := room[:0]
	length := objects.Map(r, n.ino, off, int64(len(buf)), func(p objects.Piece) bool {
		pieces = append(pieces, p)
		return true
	})
	for _, p := range pieces {
		part := buf[p.FileOff-off:][:p.Len]
		if p.Hole {
			clear(part)
			continue
		}
		if err := f.store.ReadData(p.LSN, int(p.Off), part); err != nil {
			return 0, errs.Wrap(kindOf(err), err, "read inode %d at %d", n.ino, p.FileOff)
		}
	}
	return int(length), nil
}

// fileAttr returns the data shard's part of a regular file's attributes.
func (f *filesystem) fileAttr(ctx context.Context, n *node) (objects.Attr, error) {
	r, err := f.contents(ctx, n)
	if err != nil {
		return objects.Attr{}, err
	}
	a, _ := objects.Stat(r, n.ino)
	return a, nil
}

// attrSeen remembers a file's attributes from one open to the next.
type attrSeen struct {
	mu    sync.Mutex
	valid bool
	attr  objects.Attr
}

// swap says whether a is what was seen the last time, and remembers it.
func (s *attrSeen) swap(a objects.Attr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := s.valid && s.attr == a
	s.valid, s.attr = true, a
	return same
}

// Write is write(2), or the writing back of a mapped page.
func (f *filesystem) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	h := f.handles.get(in.Fh)
	if h == nil || h.dir != nil || !writing(h.flags) {
		return 0, fuse.EBADF
	}
	if len(data) < int(in.Size) {
		return 0, fuse.EINVAL // the request is shorter than it says
	}
	data = data[:in.Size]
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	defer h.n.asked.changing()()
	if err := f.write(ctx, h, in, data); err != nil {
		return 0, f.fail("write", err)
	}
	return uint32(len(data)), fuse.OK
}

func (f *filesystem) write(ctx context.Context, h *handle, in *fuse.WriteIn, data []byte) error {
	if k := h.takeError(); k != errs.OK {
		return errs.New(k, "an earlier write failed")
	}
	n := h.n
	if in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0 {
		f.killPrivileges(ctx, n)
	}
	if err := n.writes.room(ctx, f.cfg.MaxPending); err != nil {
		return err
	}
	op := objects.Write{Ino: n.ino, Off: int64(in.Offset)}.Encode()
	var done func(Result)
	// Pages are written back to where they are, even if the file was opened for appending.
	if in.Flags&syscall.O_APPEND != 0 && in.WriteFlags&fuse.WRITE_CACHE == 0 {
		op, done = objects.Append{Ino: n.ino}.Encode(), func(res Result) { f.appended(n.ino, in.Offset, res) }
	}
	call, err := f.submit(ctx, f.store.DataShard(n.ino), op, data)
	if err != nil {
		return err
	}
	h.changed(runWrote)
	n.writes.add(pendingWrite{call: call, h: h, done: done})
	synced := in.Flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0
	if !f.cfg.Strict && !synced {
		return nil
	}
	if err := n.writes.settle(ctx); err != nil {
		return err
	}
	if k := h.takeError(); k != errs.OK {
		return errs.New(k, "write")
	}
	if synced {
		return f.persist(ctx)
	}
	return nil
}

// appended is called when an append was delivered. The kernel keeps the bytes in its page cache where it thought
// the end of the file was; if the file had grown on another node, that was wrong.
func (f *filesystem) appended(ino ids.Ino, assumed uint64, res Result) {
	if at, err := objects.DecodeOffset(res.Body); err != nil || uint64(at) != assumed {
		f.forget.note(ino)
	}
}

// killPrivileges takes set-user-id, set-group-id and capabilities off a file that a stranger changes.
func (f *filesystem) killPrivileges(ctx context.Context, n *node) {
	r, err := f.now(ctx, ids.Namespace)
	if err != nil {
		return // the write that follows fails the same way
	}
	inode, err := namespace.Stat(r, n.ino)
	if err != nil || inode.Mode&(namespace.ModeSetuid|namespace.ModeSetgid) == 0 && inode.XattrBytes == 0 {
		return
	}
	op := namespace.SetAttr{Ino: n.ino, Valid: namespace.AttrKillPriv}
	if _, err := f.do(ctx, ids.Namespace, op.Encode()); err != nil {
		f.limited.warn("set-user-id was not cleared", "inode", n.ino, "error", err)
	}
}

// killUnlessRoot is killPrivileges for the requests with which the kernel does not say whether the caller may keep
// them (CAP_FSETID): root may.
func (f *filesystem) killUnlessRoot(ctx context.Context, n *node, uid uint32) {
	if uid != 0 {
		f.killPrivileges(ctx, n)
	}
}

// Fallocate makes room, holes and zeros.
func (f *filesystem) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	h := f.handles.get(in.Fh)
	if h == nil || h.dir != nil || !writing(h.flags) {
		return fuse.EBADF
	}
	if in.Offset > objects.MaxSize || in.Length > objects.MaxSize {
		return f.fail("fallocate", errs.TooLarge)
	}
	ino, off, length := h.n.ino, int64(in.Offset), int64(in.Length)
	keep := in.Mode&unix.FALLOC_FL_KEEP_SIZE != 0
	var op objects.Op
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	switch in.Mode &^ unix.FALLOC_FL_KEEP_SIZE {
	case 0:
		if err := f.roomFor(ctx, h.n, length); err != nil {
			return f.fail("fallocate", err)
		}
		op = objects.Allocate{Ino: ino, Off: off, Len: length, KeepSize: keep}
	case unix.FALLOC_FL_PUNCH_HOLE:
		op = objects.PunchHole{Ino: ino, Off: off, Len: length}
	case unix.FALLOC_FL_ZERO_RANGE:
		op = objects.ZeroRange{Ino: ino, Off: off, Len: length, KeepSize: keep}
	default:
		return f.fail("fallocate", errs.NotSupported)
	}
	defer h.n.asked.changing()()
	f.killUnlessRoot(ctx, h.n, in.Uid)
	h.changed(runWrote)
	_, err := f.do(ctx, f.store.DataShard(ino), op.Encode())
	return f.fail("fallocate", err)
}

// roomFor refuses room for more bytes than fit: nothing is set aside, but what cannot be must not be promised.
func (f *filesystem) roomFor(ctx context.Context, n *node, length int64) error {
	a, err := f.fileAttr(ctx, n)
	if err != nil {
		return err
	}
	if length > a.Bytes && uint64(length-a.Bytes) > f.store.Space().FreeBytes {
		return errs.NoSpace
	}
	return nil
}

// CopyFileRange is copy_file_range(2). Within one shard the copy shares the bytes; across shards EXDEV makes the
// kernel copy them through its cache.
func (f *filesystem) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	src, dst := f.handles.get(in.FhIn), f.handles.get(in.FhOut)
	if src == nil || dst == nil || src.dir != nil || dst.dir != nil || !writing(dst.flags) || in.Flags != 0 {
		return 0, fuse.EBADF
	}
	sub := f.store.DataShard(dst.n.ino)
	if !src.n.live() || f.store.DataShard(src.n.ino) != sub {
		return 0, f.fail("copy_file_range", errs.CrossDevice)
	}
	if in.OffIn > objects.MaxSize || in.OffOut > objects.MaxSize {
		return 0, f.fail("copy_file_range", errs.TooLarge)
	}
	const most = 1<<32 - 4096 // the reply has 32 bits
	op := objects.Clone{Src: src.n.ino, SrcOff: int64(in.OffIn), Dst: dst.n.ino, DstOff: int64(in.OffOut), Len: int64(min(in.Len, most))}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	defer dst.n.asked.changing()()
	f.killUnlessRoot(ctx, dst.n, in.Uid)
	dst.changed(runWrote)
	res, err := f.do(ctx, sub, op.Encode())
	if err != nil {
		return 0, f.fail("copy_file_range", err)
	}
	copied, err := objects.DecodeLength(res.Body)
	return uint32(copied), f.fail("copy_file_range", err)
}
