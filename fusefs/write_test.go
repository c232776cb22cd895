package fusefs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dfs/errs"
	"dfs/ids"
	"dfs/objects"
)

// openFile opens a new file at the mount.
func (m *mounted) openFile(t testing.TB, name string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(m.dir, name), flags|os.O_CREATE, 0o644)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// goes runs fn in the background and returns a channel that is closed when it is done.
func goes(fn func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	return done
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// U7: a write returns before it is delivered; whoever looks at the file here sees it, and waits if need be.
func TestWritesArePipelined(t *testing.T) {
	m := mount(t)
	f := m.openFile(t, "f", os.O_RDWR)
	m.store.hold(true)
	for i := range 10 {
		if _, err := fmt.Fprintf(f, "line %d\n", i); err != nil {
			t.Fatalf("U7: a write waited for its delivery and failed: %v", err)
		}
	}
	n := m.f.nodes.known(ids.Ino(stat0(t, f)))
	if got := n.writes.count.Load(); got != 10 {
		t.Errorf("U7: %d writes are pending, want 10", got)
	}
	var size int64
	looked := goes(func() {
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
	})
	fd := dup(t, f)
	closed := goes(func() { unix.Close(fd) })
	eventually(t, "both wait", func() bool { return m.store.pending.Load() >= 10 })
	if isDone(looked) || isDone(closed) {
		t.Error("U7: fstat or close did not wait for writes that are not delivered")
	}
	m.store.hold(false)
	<-looked
	<-closed
	if size != 70 {
		t.Errorf("U7: fstat saw %d bytes", size)
	}
}

// stat0 returns the inode number of an open file without asking the mount.
func stat0(t testing.TB, f *os.File) uint64 {
	t.Helper()
	var st unix.Statx_t
	must(t, unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st))
	return st.Ino
}

// U7: an error that comes after a write was answered is told once, by the next write, fsync or close.
func TestLateErrors(t *testing.T) {
	m := mount(t)
	fail := func(k errs.Kind) {
		m.store.mu.Lock()
		defer m.store.mu.Unlock()
		m.store.refuse = func(sub ids.Subgroup, op []byte) errs.Kind {
			if o, err := objects.Decode(op); sub != ids.Namespace && err == nil {
				if _, ok := o.(objects.Write); ok {
					return k
				}
			}
			return errs.OK
		}
	}
	teller := map[string]func(f *os.File) error{
		"write": func(f *os.File) error { _, err := f.WriteString("more"); return err },
		"fsync": func(f *os.File) error { return f.Sync() },
		"close": func(f *os.File) error { return unix.Close(dup(t, f)) },
	}
	for name, tell := range teller {
		f := m.openFile(t, name, os.O_RDWR)
		fail(errs.NoSpace)
		if _, err := f.WriteString("lost"); err != nil {
			t.Errorf("%s: the first write: %v", name, err)
		}
		m.settle(t, f)
		fail(errs.OK)
		want(t, "U7: "+name+" after a lost write", tell(f), syscall.ENOSPC)
		want(t, "U7: "+name+" again", tell(f), 0)
	}
}

// settle waits until the mount has taken the results of a file's writes.
func (m *mounted) settle(t testing.TB, f *os.File) {
	t.Helper()
	n := m.f.nodes.known(ids.Ino(stat0(t, f)))
	eventually(t, "the writes are delivered", n.writes.quiet)
}

func dup(t testing.TB, f *os.File) int {
	t.Helper()
	fd, err := unix.Dup(int(f.Fd()))
	must(t, err)
	return fd
}

// U7: the writes of one file that are answered but not delivered are bounded.
func TestPendingIsBounded(t *testing.T) {
	m := mount(t, func(c *Config) { c.MaxPending = 4 })
	f := m.openFile(t, "f", os.O_RDWR)
	n := m.f.nodes.known(ids.Ino(stat0(t, f)))
	m.store.hold(true)
	done := goes(func() {
		for range 8 {
			_, _ = f.WriteString("x")
		}
	})
	eventually(t, "four are pending", func() bool { return n.writes.count.Load() == 4 })
	if isDone(done) {
		t.Error("U7: eight writes were taken")
	}
	m.store.hold(false)
	<-done
	if got := stat(t, f.Name()).Size; got != 8 {
		t.Errorf("size %d", got)
	}
}

func TestStrictAndSync(t *testing.T) {
	m := mount(t, func(c *Config) { c.Strict = true })
	f := m.openFile(t, "strict", os.O_RDWR)
	m.store.hold(true)
	done := goes(func() { _, _ = f.WriteString("x") })
	eventually(t, "it is submitted", func() bool { return m.store.pending.Load() == 1 })
	if isDone(done) {
		t.Error("a strict write did not wait")
	}
	m.store.hold(false)
	<-done

	m = mount(t)
	for _, flag := range []int{unix.O_SYNC, unix.O_DSYNC} {
		f := m.openFile(t, fmt.Sprint(flag), os.O_RDWR|flag)
		before := m.store.syncs.Load()
		_, err := f.WriteString("x")
		must(t, err)
		if m.store.syncs.Load() == before { // some kernels send FSYNC as well
			t.Errorf("flags %#x: a write was not persisted", flag)
		}
	}
	f = m.openFile(t, "f", os.O_RDWR)
	before := m.store.syncs.Load()
	must(t, f.Sync())
	d, err := os.Open(m.dir)
	must(t, err)
	defer d.Close()
	must(t, d.Sync())
	if m.store.syncs.Load() != before+2 {
		t.Error("fsync of a file and a directory did not persist")
	}
}

// Appends never overlap: neither those of two handles, nor those of another node, of which this kernel knows
// nothing yet.
func TestAppends(t *testing.T) {
	m := mount(t)
	a, b := m.openFile(t, "log", os.O_RDWR|os.O_APPEND), m.openFile(t, "log", os.O_RDWR|os.O_APPEND)
	ino := ids.Ino(stat0(t, a))
	for i := range 50 {
		_, err := a.WriteString("a")
		must(t, err)
		if i%5 == 0 {
			m.store.as(fakeOther, m.store.DataShard(ino), objects.Append{Ino: ino}.Encode(), []byte("o"))
		}
		_, err = b.WriteString("b")
		must(t, err)
	}
	got := []byte(read(t, a.Name()))
	for _, c := range []struct {
		letter string
		count  int
	}{{"a", 50}, {"b", 50}, {"o", 10}} {
		if n := bytes.Count(got, []byte(c.letter)); n != c.count {
			t.Errorf("%d of %q, want %d", n, c.letter, c.count)
		}
	}
	if len(got) != 110 {
		t.Errorf("%d bytes", len(got))
	}
}

// A caller that is killed stops waiting, whether its operation was submitted or not; another signal changes nothing.
func TestKilledCaller(t *testing.T) {
	m := mount(t)
	m.store.hold(true)
	cmd := exec.Command("mkdir", filepath.Join(m.dir, "d"))
	must(t, cmd.Start())
	eventually(t, "it waits", func() bool { return m.store.holds("d") })
	must(t, cmd.Process.Signal(syscall.SIGWINCH)) // ignored by default
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGTERM {
		t.Errorf("mkdir ended with %v", cmd.ProcessState)
	}
	if m.Stats().Interrupted != 1 {
		t.Errorf("%d callers gave up", m.Stats().Interrupted)
	}
	m.store.hold(false)
	eventually(t, "it happens nevertheless", func() bool { _, err := os.Stat(filepath.Join(m.dir, "d")); return err == nil })
}

func TestSigkillPending(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tx\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n": false,
		"SigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n":           true,
		"SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n":           true,
		"SigPnd:\t0000000000400000\nShdPnd:\t0000000000000000\n":           false, // SIGURG
		"": false, "SigPnd:\n": false, "SigPnd: x\n": false,
	} {
		if sigkillPending([]byte(status)) != want {
			t.Errorf("%q: %v", status, !want)
		}
	}
	if process(uint32(os.Getpid())) != uint32(os.Getpid()) || process(0) != 0 || killed(uint32(os.Getpid())) || killed(0) {
		t.Error("this process is alive")
	}
}

// Who changes a file of another user takes its privileges away.
func TestPrivilegesAreKilled(t *testing.T) {
	m := mount(t)
	p := filepath.Join(m.dir, "tool")
	nobody := func(script string) { m.sh(t, "setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '"+script+"'") }
	for what, change := range map[string]func(){
		"write":    func() { nobody("echo x >>tool") },
		"truncate": func() { nobody("truncate -s 1 tool") },
		"O_TRUNC":  func() { nobody(": >tool") },
		"chown":    func() { must(t, os.Chown(p, 1, 1)) },
	} {
		write(t, p, "#!/bin/sh\n")
		must(t, unix.Chmod(p, 0o6777))
		if got := stat(t, p).Mode & 0o7777; got != 0o6777 {
			t.Fatalf("%s: mode %o before", what, got)
		}
		change()
		if got := stat(t, p).Mode & 0o7777; got != 0o777 {
			t.Errorf("%s: mode %o after", what, got)
		}
		must(t, os.Remove(p))
	}
	write(t, p, "x")
	must(t, unix.Chmod(p, 0o4755))
	write(t, p, "root may")
	if got := stat(t, p).Mode & 0o7777; got != 0o4755 {
		t.Errorf("root's write: mode %o", got)
	}
}
