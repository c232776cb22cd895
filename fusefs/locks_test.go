package fusefs

import (
	"context"
	"encoding/binary"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dfs/errs"
	"dfs/ids"
	"dfs/namespace"
)

const opGetlk, opSetlk, opSetlkw = 31, 32, 33

// lockIn is the body of a request for a lock on everything.
func lockIn(fh, owner uint64, typ uint32, flags uint32) []byte {
	b := binary.NativeEndian.AppendUint64(nil, fh)
	b = binary.NativeEndian.AppendUint64(b, owner)
	b = binary.NativeEndian.AppendUint64(b, 0)
	b = binary.NativeEndian.AppendUint64(b, namespace.MaxLockEnd)
	for _, v := range []uint32{typ, 77, flags, 0} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

// locked is a wire with an open file, and another node that has a lock of it.
func locked(t *testing.T) (w *wire, node, fh uint64, theirs namespace.LockOwner) {
	w = newWire(t)
	create := binary.NativeEndian.AppendUint32(nil, unix.O_RDWR)
	create = append(binary.NativeEndian.AppendUint32(create, 0o100644), make([]byte, 8)...)
	status, reply := w.call(opCreate, 1, append(create, "f\x00"...))
	if status != 0 {
		t.Fatal(status)
	}
	node, fh = binary.NativeEndian.Uint64(reply), binary.NativeEndian.Uint64(reply[128:])
	theirs = namespace.LockOwner{Node: fakeOther, Incarnation: 3, ID: 1}
	w.store.as(fakeOther, ids.Namespace, namespace.SetLock{
		Ino: ids.Ino(node), Lock: namespace.Lock{Owner: theirs, Exclusive: true, End: namespace.MaxLockEnd, PID: 9},
	}.Encode())
	return w, node, fh, theirs
}

func (w *wire) held(ino uint64) (who []namespace.LockOwner) {
	res := w.store.must(ids.Namespace, namespace.TestLock{Ino: ids.Ino(ino), Lock: namespace.Lock{Exclusive: true, End: namespace.MaxLockEnd}}.Encode())
	if lock, err := namespace.DecodeLockResult(res.Body); err == nil && !lock.Granted {
		who = append(who, lock.Holder.Owner)
	}
	return who
}

// U10: a lock of another node stands in the way; who waits for it gets it when it is free, or stops when a signal
// comes, and then does not have it.
func TestLocksOfOtherNodes(t *testing.T) {
	w, node, fh, theirs := locked(t)
	if status, _ := w.call(opSetlk, node, lockIn(fh, 5, syscall.F_RDLCK, 0)); status != -int32(unix.EAGAIN) {
		t.Fatalf("U10: SETLK: %d", status)
	}
	if status, reply := w.call(opGetlk, node, lockIn(fh, 5, syscall.F_RDLCK, 0)); status != 0 ||
		binary.NativeEndian.Uint32(reply[16:]) != syscall.F_WRLCK || binary.NativeEndian.Uint32(reply[20:]) != 0 {
		t.Fatalf("U10: GETLK: %d %x", status, reply)
	}
	wait := func(signal bool) error {
		cancel, done := make(chan struct{}), make(chan error)
		h := w.f.handles.get(fh)
		want := wanted{h: h, ino: ids.Ino(node), lock: namespace.Lock{Owner: w.f.lockOwner(5), End: namespace.MaxLockEnd}}
		w.f.locks.waiting.Add(1)
		defer w.f.locks.waiting.Add(-1)
		h.n.lockers.add(5)
		h.addLocker(5)
		go func() { done <- w.f.waitLock(context.Background(), cancel, &want, true) }()
		eventually(t, "it waits", func() bool {
			r, _ := w.store.Now(context.Background(), ids.Namespace)
			return namespace.Waits(r, ids.Ino(node), want.lock.Owner, w.f.locks.tickets.Load())
		})
		if signal {
			close(cancel)
		} else {
			w.store.as(fakeOther, ids.Namespace, namespace.ReleaseNode{Node: fakeOther, Incarnation: 3}.Encode())
			w.f.locks.applied(namespace.ReleaseNode{}.Encode()) // there is no mount that the store would tell
		}
		return <-done
	}
	if err := wait(true); errs.KindOf(err) != errs.Interrupted {
		t.Fatalf("U10: a signal: %v", err)
	}
	if who := w.held(node); len(who) != 1 || who[0] != theirs {
		t.Fatalf("U10: held by %v", who)
	}
	if err := wait(false); err != nil {
		t.Fatalf("U10: %v", err)
	}
	if who := w.held(node); len(who) != 1 || who[0].ID != 5 {
		t.Fatalf("U10: held by %v", who)
	}
	flush := append(binary.NativeEndian.AppendUint64(nil, fh), make([]byte, 8)...)
	if status, _ := w.call(opFlush, node, binary.NativeEndian.AppendUint64(flush, 6)); status != 0 || len(w.held(node)) != 1 {
		t.Fatalf("U10: FLUSH of another process: %d, held by %v", status, w.held(node))
	}
	if status, _ := w.call(opFlush, node, binary.NativeEndian.AppendUint64(flush, 5)); status != 0 || len(w.held(node)) != 0 {
		t.Fatalf("U10: FLUSH: %d, held by %v", status, w.held(node))
	}
}

// U10: what a handle locked is free when it is closed, and what was locked before the mount when there is a new one.
func TestLocksEnd(t *testing.T) {
	w, node, fh, theirs := locked(t)
	w.store.as(fakeOther, ids.Namespace, namespace.Unlock{Ino: ids.Ino(node), Owner: theirs, End: namespace.MaxLockEnd}.Encode())
	if status, _ := w.call(opSetlk, node, lockIn(fh, 5, syscall.F_WRLCK, 0)); status != 0 {
		t.Fatal(status)
	}
	if status, _ := w.call(opSetlk, node, lockIn(fh, 6, syscall.F_WRLCK, 1)); status != 0 {
		t.Fatalf("U10: flock beside fcntl: %d", status)
	}
	if status, _ := w.call(opSetlk, node, lockIn(fh, 7, syscall.F_WRLCK, 1)); status != -int32(unix.EAGAIN) {
		t.Fatalf("U10: flock: %d", status)
	}
	w.call(opRelease, node, append(binary.NativeEndian.AppendUint64(nil, fh), make([]byte, 16)...))
	if who := w.held(node); len(who) != 0 {
		t.Fatalf("U10: held by %v", who)
	}
	old := w.f.lockOwner(8)
	w.store.must(ids.Namespace, namespace.SetLock{Ino: ids.Ino(node), Lock: namespace.Lock{Owner: old, Exclusive: true, End: 9}}.Encode())
	newFilesystem(context.Background(), w.f.cfg).locks.run(context.Background())
	if who := w.held(node); len(who) != 0 {
		t.Fatalf("U10: held by %v", who)
	}
}

// What an agent of the tests of clusters cannot show: what the kernel says of a thread that waits in fcntl.
func TestAsksForOpenFile(t *testing.T) {
	if asksForOpenFile(0) || asksForOpenFile(1<<31) {
		t.Error("a thread that is not there asks for a lock")
	}
}
