package posix

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lockBytes is the struct of fcntl(2) as an agent takes it.
func lockBytes(typ int16, start, length int64) []byte {
	l := unix.Flock_t{Type: typ, Start: start, Len: length}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&l)), unsafe.Sizeof(l))...)
}

func (f *file) lockRequest(cmd int, typ int16, start, length int64) request {
	return request{Op: "lock", FD: f.fd, A: int64(cmd), Data: lockBytes(typ, start, length)}
}

// lock is fcntl(2), with the outcome that it must have.
func (f *file) lock(want syscall.Errno, cmd int, typ int16, start, length int64) {
	f.w.Helper()
	f.call(want, f.lockRequest(cmd, typ, start, length))
}

// who is F_GETLK: the lock that stands in the way of one.
func (f *file) who(cmd int, typ int16, start, length int64) unix.Flock_t {
	f.w.Helper()
	return f.call(0, f.lockRequest(cmd, typ, start, length)).Lock
}

// later returns a lock that has to be waited for, and checks that it is not had yet.
func (f *file) later(r request) <-chan reply {
	f.w.Helper()
	r.FD = f.fd
	c := f.agent.begin(r)
	select {
	case got := <-c:
		f.w.Fatalf("%s did not wait: %v", show(r), name(got.Errno))
	case <-time.After(30 * time.Millisecond):
	}
	return c
}

func (w *world) now(c <-chan reply, want syscall.Errno) {
	w.Helper()
	select {
	case got := <-c:
		if got.Errno != want {
			w.Fatalf("waiting for a lock: %v, want %v", name(got.Errno), name(want))
		}
	case <-time.After(10 * time.Second):
		w.Fatal("a lock is waited for and never had")
	}
}

// three opens a file in three processes at three mounts.
func three(w *world) [3]*file {
	w.at(0, root).open("f", unix.O_CREAT|unix.O_RDWR, 0o666).close()
	var all [3]*file
	for i := range all {
		all[i] = w.another(i, root).open("f", unix.O_RDWR, 0)
	}
	return all
}

const (
	rd, wr, un = unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK
	setlk      = unix.F_SETLK
	setlkw     = unix.F_SETLKW
	getlk      = unix.F_GETLK
	ofdSet     = 37
	ofdWait    = 38
	ofdGet     = 36
)

// fcntl(2): locks of processes exclude each other on all nodes, byte by byte.
func TestProcessLocks(t *testing.T) {
	w := newWorld(t, true)
	f := three(w)
	f[0].lock(0, setlk, wr, 10, 10)
	f[1].lock(unix.EAGAIN, setlk, wr, 19, 1)
	f[1].lock(unix.EAGAIN, setlk, rd, 0, 0)
	f[1].lock(0, setlk, wr, 0, 10)
	f[2].lock(0, setlk, wr, 20, 0)
	if l := f[2].who(getlk, rd, 0, 0); l.Type != wr || l.Start != 0 || l.Len != 10 || l.Pid != 0 {
		t.Fatalf("F_GETLK of what another node has: %+v", l)
	}
	if l := f[0].who(getlk, wr, 10, 10); l.Type != un {
		t.Fatalf("F_GETLK of what one has oneself: %+v", l)
	}
	// A part is given up, and one made shared; others may share that, and have what is free.
	f[0].lock(0, setlk, un, 12, 2)
	f[1].lock(0, setlk, wr, 12, 2)
	f[0].lock(0, setlk, rd, 14, 2)
	f[1].lock(0, setlk, rd, 14, 2)
	f[2].lock(0, setlk, rd, 14, 2)
	f[2].lock(unix.EAGAIN, setlk, wr, 14, 2)
	f[2].lock(unix.EAGAIN, setlk, rd, 16, 1)
	if l := f[2].who(getlk, wr, 13, 3); l.Type != wr || l.Start != 12 || l.Len != 2 {
		t.Fatalf("F_GETLK: %+v", l)
	}
	f[0].lock(unix.EINVAL, setlk, wr, -1, 1)
	f[0].lock(unix.EINVAL, setlk, 17, 0, 1)
	ro := w.at(0, root).open("f", unix.O_RDONLY, 0)
	ro.lock(unix.EBADF, setlk, wr, 100, 1)
}

// fcntl(2): the locks of a process are gone when it closes any descriptor of the file, and when it ends. Locks of an
// open file stay until its last descriptor is closed.
func TestLocksEndWithClose(t *testing.T) {
	w := newWorld(t, true)
	f := three(w)
	f[0].lock(0, setlk, wr, 0, 0)
	second := (&actor{w: w, agent: f[0].agent}).open("f", unix.O_RDONLY, 0)
	f[1].lock(unix.EAGAIN, setlk, rd, 0, 0)
	second.close()
	f[1].lock(0, setlk, rd, 0, 0)
	f[1].kill()
	eventually(w, "the locks of a killed process are free", func() bool {
		return f[2].agent.do(f[2].withFD(f[2].lockRequest(setlk, wr, 0, 0))).Errno == 0
	})
	f[2].lock(0, setlk, un, 0, 0)

	f[0].lock(0, ofdSet, wr, 0, 0)
	second = (&actor{w: w, agent: f[0].agent}).open("f", unix.O_RDWR, 0)
	second.lock(unix.EAGAIN, ofdSet, rd, 0, 0)
	second.lock(unix.EAGAIN, setlk, rd, 0, 0)
	second.close()
	f[2].lock(unix.EAGAIN, ofdSet, rd, 0, 0)
	copied := int(f[0].call(0, request{Op: "dup"}).N)
	f[0].close()
	f[2].lock(unix.EAGAIN, setlk, rd, 0, 0)
	f[0].fd = copied
	f[0].close()
	eventually(w, "the locks of a closed file are free", func() bool {
		return f[2].agent.do(f[2].withFD(f[2].lockRequest(ofdSet, wr, 0, 0))).Errno == 0
	})
}

func (f *file) withFD(r request) request { r.FD = f.fd; return r }

// eventually waits for what nobody tells: the kernel frees some locks behind the back of whoever closes a file.
func eventually(w *world, what string, ok func() bool) {
	w.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			w.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// fcntl(2): F_SETLKW waits for what other nodes have, in the order of coming, until it is free.
func TestLocksAreWaitedFor(t *testing.T) {
	w := newWorld(t, true)
	f := three(w)
	for _, cmd := range [][2]int{{setlk, setlkw}, {ofdSet, ofdWait}} {
		f[0].lock(0, cmd[0], wr, 0, 100)
		first := f[1].later(f[1].lockRequest(cmd[1], wr, 50, 100))
		f[2].lock(0, cmd[1], rd, 120, 50) // who waits is in nobody's way
		f[2].lock(0, cmd[0], un, 0, 0)
		next := f[2].later(f[2].lockRequest(cmd[1], rd, 60, 10))
		f[0].lock(0, cmd[0], un, 0, 50)
		f[0].lock(0, cmd[0], un, 50, 50)
		w.now(first, 0)
		f[1].lock(0, cmd[0], un, 0, 0)
		w.now(next, 0)
		f[2].lock(0, cmd[0], un, 0, 0)
	}
}

// Whoever is killed while it waits does not get the lock.
func TestKilledWhileWaiting(t *testing.T) {
	w := newWorld(t, true)
	f := three(w)
	f[0].lock(0, setlk, wr, 0, 0)
	f[1].later(f[1].lockRequest(setlkw, wr, 0, 0))
	third := f[2].later(f[2].lockRequest(setlkw, wr, 0, 0))
	f[1].kill()
	f[0].lock(0, setlk, un, 0, 0)
	w.now(third, 0)
}

// fcntl(2): EDEADLK, when processes of three nodes would wait for each other; not for locks of open files.
func TestDeadlocks(t *testing.T) {
	w := newWorld(t, true)
	f := three(w)
	for i := range f {
		f[i].lock(0, setlk, wr, int64(i), 1)
	}
	first := f[0].later(f[0].lockRequest(setlkw, wr, 1, 1))
	second := f[1].later(f[1].lockRequest(setlkw, rd, 2, 1))
	f[2].lock(unix.EDEADLK, setlkw, wr, 0, 1)
	f[2].lock(0, setlk, un, 2, 1)
	w.now(second, 0)
	f[1].lock(0, setlk, un, 0, 0)
	w.now(first, 0)
	f[0].lock(0, setlk, un, 0, 0)

	f[0].lock(0, ofdSet, wr, 0, 1)
	f[1].lock(0, ofdSet, wr, 1, 1)
	first = f[0].later(f[0].lockRequest(ofdWait, wr, 1, 1))
	second = f[1].later(f[1].lockRequest(ofdWait, wr, 0, 1))
	f[0].lock(0, ofdSet, un, 0, 1)
	w.now(second, 0)
	f[1].lock(0, ofdSet, un, 0, 0)
	w.now(first, 0)
}

func (f *file) flock(want syscall.Errno, how int) {
	f.w.Helper()
	f.call(want, request{Op: "flock", A: int64(how)})
}

// flock(2): shared and exclusive, converted, waited for, freed with the last descriptor; apart from fcntl's.
func TestFlock(t *testing.T) {
	w := newWorld(t, true)
	f := three(w)
	f[0].flock(0, unix.LOCK_SH)
	f[1].flock(0, unix.LOCK_SH|unix.LOCK_NB)
	f[2].flock(unix.EWOULDBLOCK, unix.LOCK_EX|unix.LOCK_NB)
	f[2].lock(0, setlk, wr, 0, 0)
	f[1].flock(0, unix.LOCK_UN)
	f[0].flock(0, unix.LOCK_EX|unix.LOCK_NB)
	waits := f[1].later(request{Op: "flock", A: unix.LOCK_SH})
	waits2 := f[2].later(request{Op: "flock", A: unix.LOCK_SH})
	f[0].flock(0, unix.LOCK_SH)
	w.now(waits, 0)
	w.now(waits2, 0)
	f[0].flock(0, unix.LOCK_UN)
	// Both want it for themselves, and give up what they share: one after the other has it.
	waits = f[1].later(request{Op: "flock", A: unix.LOCK_EX})
	waits2 = f[2].later(request{Op: "flock", A: unix.LOCK_EX})
	w.now(waits, 0)
	f[1].flock(0, unix.LOCK_UN)
	w.now(waits2, 0)
	waits = f[1].later(request{Op: "flock", A: unix.LOCK_EX})
	copied := int(f[2].call(0, request{Op: "dup"}).N)
	f[2].close()
	f[0].flock(unix.EWOULDBLOCK, unix.LOCK_SH|unix.LOCK_NB)
	f[2].fd = copied
	f[2].close()
	w.now(waits, 0)
	f[1].kill()
	f[0].flock(0, unix.LOCK_EX)
}

// When a node is killed and starts anew, what its programs had locked is free.
func TestLocksEndWithTheNode(t *testing.T) {
	w := newWorld(t, true)
	f := three(w)
	f[2].lock(0, setlk, wr, 0, 0)
	f[2].flock(0, unix.LOCK_EX)
	waits := f[0].later(f[0].lockRequest(setlkw, wr, 0, 0))
	if err := cluster.dfs("dev", "kill", filepath.Join(cluster.dir, "c"), "3"); err != nil {
		t.Fatal(err)
	}
	if err := cluster.dfs("dev", "restart", filepath.Join(cluster.dir, "c"), "3"); err != nil {
		t.Fatal(err)
	}
	w.now(waits, 0)
	f[1].flock(0, unix.LOCK_EX)
}
