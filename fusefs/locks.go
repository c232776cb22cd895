package fusefs

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dfs/errs"
	"dfs/ids"
	"dfs/namespace"
)

// lockTable is this mount's part in the locks of all nodes (U10). They are held by the namespace; here stands who
// waits for one, and which owners must be freed when a file is closed.
//
// A lock of fcntl(2) belongs to a process: the kernel names it in FLUSH, which it sends whenever the process closes a
// descriptor of the file. Locks of flock(2) and those of open files belong to the handle, and go with RELEASE; the
// kernel sends no unlock for them. It does not say which locks are of open files either, so RELEASE frees everything
// that came through its handle.
type lockTable struct {
	f       *filesystem
	tickets atomic.Uint64
	waiting atomic.Int32
	begun   chan struct{} // closed when what was locked here before is going to be freed before anything else

	mu   sync.Mutex
	wake chan struct{} // closed and replaced when locks were changed anywhere
}

// closeGrace is how long a lock that cannot be had at once is waited for all the same. When the last close(2) of
// whoever has it returned, that may not be known yet: the kernel sends RELEASE and does not wait.
const closeGrace = 2 * time.Millisecond

func newLockTable(f *filesystem) *lockTable {
	return &lockTable{f: f, begun: make(chan struct{}), wake: make(chan struct{})}
}

// run frees what was locked here before: by an earlier life of the node, or an earlier mount. Locks are given only
// after that.
func (t *lockTable) run(ctx context.Context) {
	op := namespace.ReleaseNode{Node: t.f.store.Self(), Incarnation: t.f.store.Incarnation()}
	if _, err := t.f.store.Submit(ctx, ids.Namespace, op.Encode()); err == nil {
		close(t.begun)
	}
}

// applied is told of each operation of the namespace.
func (t *lockTable) applied(op []byte) {
	if t.waiting.Load() == 0 || !namespace.ChangesLocks(op) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.wake)
	t.wake = make(chan struct{})
}

// changed returns what is closed when locks are changed from now on.
func (t *lockTable) changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wake
}

// lockers are the owners that may have locks of a file through this mount.
type lockers struct {
	count atomic.Int32 // len(all), so that the common case takes no lock
	used  atomic.Bool  // there was one since the kernel has known the file

	mu  sync.Mutex
	all map[uint64]struct{}
}

func (l *lockers) add(owner uint64) {
	l.used.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[uint64]struct{}{}
	}
	l.all[owner] = struct{}{}
	l.count.Store(int32(len(l.all)))
}

// remove says whether the owner was there.
func (l *lockers) remove(owner uint64) bool {
	if l.count.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.all[owner]
	delete(l.all, owner)
	l.count.Store(int32(len(l.all)))
	return ok
}

func (f *filesystem) lockOwner(id uint64) namespace.LockOwner {
	return namespace.LockOwner{Node: f.store.Self(), Incarnation: f.store.Incarnation(), ID: id}
}

// wanted is a request for a lock, or for its end.
type wanted struct {
	h    *handle
	ino  ids.Ino
	lock namespace.Lock
	typ  uint32
}

func (f *filesystem) wanted(in *fuse.LkIn) (wanted, fuse.Status) {
	h := f.handles.get(in.Fh)
	if h == nil || h.dir != nil {
		return wanted{}, fuse.EBADF
	}
	w := wanted{h: h, ino: ids.Ino(f.inoOf(h.n.nodeKey)), typ: in.Lk.Typ, lock: namespace.Lock{
		Owner: f.lockOwner(in.Owner), Exclusive: in.Lk.Typ == syscall.F_WRLCK, Start: in.Lk.Start, End: in.Lk.End, PID: in.Lk.Pid,
	}}
	if in.LkFlags&fuse.FUSE_LK_FLOCK != 0 {
		w.lock.Whole, w.lock.Start, w.lock.End = true, 0, namespace.MaxLockEnd
	}
	if w.lock.Start > w.lock.End || w.lock.End > namespace.MaxLockEnd || in.Lk.Typ > syscall.F_UNLCK {
		return wanted{}, fuse.EINVAL
	}
	return w, fuse.OK
}

// GetLk is fcntl(2) with F_GETLK: who has a lock that stands in the way. A process of another node is told as 0.
func (f *filesystem) GetLk(cancel <-chan struct{}, in *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	w, bad := f.wanted(in)
	if bad != fuse.OK {
		return bad
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	res, err := f.lockResult(ctx, namespace.TestLock{Ino: w.ino, Lock: w.lock}.Encode())
	if err != nil {
		return f.fail("getlk", err)
	}
	out.Lk = in.Lk
	if res.Granted {
		out.Lk.Typ = syscall.F_UNLCK
		return fuse.OK
	}
	out.Lk = fuse.FileLock{Start: res.Holder.Start, End: res.Holder.End, Typ: syscall.F_RDLCK}
	if res.Holder.Exclusive {
		out.Lk.Typ = syscall.F_WRLCK
	}
	if res.Holder.Owner.Node == f.store.Self() {
		out.Lk.Pid = res.Holder.PID
	}
	return fuse.OK
}

// SetLk is a lock that is had at once or not at all, or given up.
func (f *filesystem) SetLk(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	w, bad := f.wanted(in)
	if bad != fuse.OK {
		return bad
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	if w.typ == syscall.F_UNLCK {
		return f.fail("unlock", f.unlock(ctx, &w))
	}
	had, err := f.tryLock(ctx, &w)
	if err == nil && !had {
		pause := time.NewTimer(closeGrace)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		had, err = f.tryLock(ctx, &w)
	}
	if err == nil && !had {
		return status(errs.WouldBlock)
	}
	return f.fail("lock", err)
}

// unlock gives a lock up. What was written under it comes first.
func (f *filesystem) unlock(ctx context.Context, w *wanted) error {
	if err := w.h.n.writes.settle(ctx); err != nil {
		return err
	}
	op := namespace.Unlock{Ino: w.ino, Owner: w.lock.Owner, Whole: w.lock.Whole, Start: w.lock.Start, End: w.lock.End}
	_, err := f.do(ctx, ids.Namespace, op.Encode())
	return err
}

func (f *filesystem) lockResult(ctx context.Context, op []byte) (namespace.LockResult, error) {
	res, err := f.do(ctx, ids.Namespace, op)
	if err != nil {
		return namespace.LockResult{}, err
	}
	return namespace.DecodeLockResult(res.Body)
}

// tryLock takes a lock if it can be had.
func (f *filesystem) tryLock(ctx context.Context, w *wanted) (had bool, err error) {
	select {
	case <-f.locks.begun:
	case <-ctx.Done():
		return false, errs.Wrap(errs.Interrupted, ctx.Err(), "waiting for the node to be ready")
	}
	w.h.n.lockers.add(w.lock.Owner.ID) // first, so that whoever closes the file meanwhile frees it
	w.h.addLocker(w.lock.Owner.ID)
	res, err := f.lockResult(ctx, namespace.SetLock{Ino: w.ino, Lock: w.lock}.Encode())
	return res.Granted, err
}

// SetLkw is a lock that is waited for. Any signal ends that, unless the lock has come: the kernel begins anew if the
// program wants that.
func (f *filesystem) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	w, bad := f.wanted(in)
	if bad != fuse.OK {
		return bad
	}
	ctx := f.caller(cancel, &in.InHeader)
	defer ctx.end()
	if w.typ == syscall.F_UNLCK {
		return f.fail("unlock", f.unlock(ctx, &w))
	}
	had, err := f.tryLock(ctx, &w)
	if err != nil || had {
		return f.fail("lock", err)
	}
	f.locks.waiting.Add(1)
	defer f.locks.waiting.Add(-1)
	return f.fail("lock", f.waitLock(ctx, cancel, &w, !w.lock.Whole && !asksForOpenFile(in.InHeader.Pid)))
}

// waitLock stands in the queue for a lock until it is had or signal is closed.
func (f *filesystem) waitLock(ctx context.Context, signal <-chan struct{}, w *wanted, detect bool) error {
	op := namespace.SetLock{Ino: w.ino, Lock: w.lock, Wait: true, Ticket: f.locks.tickets.Add(1), Detect: detect}
	for {
		changed := f.locks.changed()
		res, err := f.lockResult(ctx, op.Encode())
		if err != nil || res.Granted {
			return err
		}
		for waits := true; waits; {
			select {
			case <-changed:
			case <-signal:
				return f.stopWaiting(ctx, &op)
			}
			changed = f.locks.changed()
			r, err := f.now(ctx, ids.Namespace)
			if err != nil {
				return err
			}
			waits = namespace.Waits(r, w.ino, w.lock.Owner, op.Ticket)
		}
	}
}

// stopWaiting leaves the queue. If the lock has come meanwhile, all is well.
func (f *filesystem) stopWaiting(ctx context.Context, op *namespace.SetLock) error {
	res, err := f.lockResult(ctx, namespace.CancelLock{Ino: op.Ino, Owner: op.Lock.Owner, Ticket: op.Ticket}.Encode())
	switch {
	case err != nil:
		return err
	case !res.Granted:
		return errs.New(errs.Interrupted, "waiting for a lock")
	}
	return nil
}

// freeOwner gives up the locks that an owner has of a file.
func (f *filesystem) freeOwner(ctx context.Context, n *node, owner uint64) error {
	var last Call
	for _, whole := range []bool{false, true} {
		op := namespace.Unlock{Ino: ids.Ino(f.inoOf(n.nodeKey)), Owner: f.lockOwner(owner), Whole: whole, End: namespace.MaxLockEnd}
		call, err := f.submit(ctx, ids.Namespace, op.Encode())
		if err != nil {
			return err
		}
		last = call
	}
	_, err := await(ctx, last)
	return err
}

// closeLocks frees the locks of a process that closes a descriptor of the file.
func (f *filesystem) closeLocks(ctx context.Context, h *handle, owner uint64) error {
	if !h.n.lockers.remove(owner) {
		return nil
	}
	return f.freeOwner(ctx, h.n, owner)
}

// releaseLocks frees the locks that came through a handle that is closed for good.
func (f *filesystem) releaseLocks(ctx context.Context, h *handle) {
	for _, owner := range h.takeLockers() {
		if !h.n.lockers.remove(owner) {
			continue
		}
		if err := f.freeOwner(ctx, h.n, owner); err != nil {
			f.limited.warn("locks of a file that was closed were not freed", "inode", h.n.ino, "error", err)
		}
	}
}

// fcntlOpenFile is F_OFD_SETLKW.
const fcntlOpenFile = 38

// asksForOpenFile says whether a thread that waits in fcntl(2) wants a lock of an open file. FUSE does not say, but
// no deadlock may be seen in such locks: one thread may wait for what another frees. The thread's second argument is
// the command. Where that cannot be read the lock is taken to be a process's.
func asksForOpenFile(thread uint32) bool {
	call, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(thread), 10) + "/syscall")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(call))
	if len(fields) < 3 || fields[0] != strconv.Itoa(unix.SYS_FCNTL) {
		return false
	}
	command, err := strconv.ParseUint(fields[2], 0, 64)
	return err == nil && uint32(command) == fcntlOpenFile
}
